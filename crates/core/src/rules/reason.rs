//! Reason codes: why something is in the plan, or is not.

/// What kind of decision a code belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReasonKind {
    /// A change is planned.
    Change,
    /// A live device that is not written, and has no object of ours.
    Skipped,
    /// An object of ours that is not changed although something would call for it.
    Held,
    /// Something that a person has to settle; nothing is written for it.
    Conflict,
    /// A value that is not written, on a device that otherwise is.
    Notice,
}

macro_rules! reasons {
    ($( $variant:ident $kind:ident $code:literal $sentence:literal; )*) => {
        /// A stable reason code with its sentence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Reason { $( #[doc = $sentence] $variant, )* }

        impl Reason {
            /// Every code.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The code: lower case with underscores, never changed once released.
            pub fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )* }
            }

            /// What it means and, where there is one, the remedy; for people.
            pub fn sentence(self) -> &'static str {
                match self { $( Self::$variant => $sentence, )* }
            }

            /// The kind of decision.
            pub fn kind(self) -> ReasonKind {
                match self { $( Self::$variant => ReasonKind::$kind, )* }
            }
        }
    };
}

reasons! {
    NewDevice Change "new_device" "the device is in scope and has no object yet";
    AttributesDiffer Change "attributes_differ" "the cloud says something else than the directory";
    DisabledInCloud Change "disabled_in_cloud" "the device was disabled in Entra ID";
    Adopted Change "adopted" "an object that was not ours has this device id, and rules.adopt takes it over";
    GoneRemoved Change "gone_removed" "Entra ID reports the device as deleted for good";
    GoneAbsent Change "gone_absent" "a complete reading of the tenant no longer has the device";
    SoftDeleted Change "soft_deleted" "the device is soft-deleted in Entra ID and can still be restored";
    OutOfScope Change "out_of_scope" "the device is alive, but a rule now excludes it";
    GraceOver Change "grace_over" "the object has been disabled for rules.delete_after_days";

    TrustTypeExcluded Skipped "trust_type_excluded" "its trustType is not in rules.trust_types";
    NotManagedAsAsked Skipped "managed_excluded" "its isManaged is not what rules.is_managed asks for";
    NotCompliantAsAsked Skipped "compliant_excluded" "its isCompliant is not what rules.is_compliant asks for";
    EnabledExcluded Skipped "enabled_excluded" "its accountEnabled is not what rules.account_enabled asks for";
    OperatingSystemExcluded Skipped "operating_system_excluded" "its operatingSystem is not in rules.operating_systems";
    ProfileTypeExcluded Skipped "profile_type_excluded" "its profileType is not in rules.profile_types";
    OwnershipExcluded Skipped "ownership_excluded" "its deviceOwnership is not in rules.ownerships";
    OwnerNotOnPremises Skipped "owner_not_on_premises" "it has no owner that is known on-premises, and rules.require_on_premises_owner is set";
    SignInTooOld Skipped "sign_in_too_old" "its last sign-in is older than rules.max_sign_in_age_days";
    NotIncluded Skipped "not_included" "it is not in rules.include_devices";
    Excluded Skipped "excluded" "it is in rules.exclude_devices";
    NoDeviceId Skipped "no_device_id" "it has no valid deviceId, so nothing could match it";
    NoDisplayName Skipped "no_display_name" "it has no display name, which the class msDS-Device requires";
    DisplayNameTooLong Skipped "display_name_too_long" "its display name is longer than the 256 characters that the schema allows";
    NoAlternativeSecurityId Skipped "no_alternative_security_id" "it has no usable type-2 alternativeSecurityId, so AD FS could never find it";
    Stale Skipped "stale" "its last sign-in is older than the forest's inactivity period, so AD FS would delete it; see rules.stale";
    SoftDeletedUnwritten Skipped "soft_deleted_unwritten" "it is soft-deleted in Entra ID and has no object here";
    BadRecordUnwritten Skipped "bad_record" "its record could not be read";

    HeldUnusable Held "held_unusable" "the device is alive but lacks what the class requires; the object is left alone except for its enabled flag";
    HeldStale Held "held_stale" "its last sign-in is older than the forest's inactivity period; see rules.stale";
    HeldBadRecord Held "held_bad_record" "the cloud record could not be read";
    HeldUnknown Held "held_unknown" "the object carries the mark of a writeback, but this source has never known the device: another tenant, Connect still running, or first contact; --take-over settles it";
    HeldKey Held "held_key" "the object holds a key that could not be written again; see rules.delete_objects_with_keys";
    HeldIncomplete Held "held_incomplete" "the device is missing from a reading that was not complete, which proves nothing";
    HeldKept Held "held_kept" "the device is gone or out of scope, and the rules say keep";
    HeldGrace Held "held_grace" "the object is disabled and waits for rules.delete_after_days";
    HeldChanging Held "held_changing" "the record changed or vanished while it was being read; the next run will see it";

    ForeignObject Conflict "foreign_object" "an object that is not ours has this device id; see rules.adopt";
    NameTaken Conflict "name_taken" "an object with another device id has the name that this device's object would get";
    DuplicateInCloud Conflict "duplicate_in_cloud" "two live devices of the tenant have this device id";
    DuplicateInDirectory Conflict "duplicate_in_directory" "two objects of the directory have this device id";
    ReplicationConflict Conflict "replication_conflict" "a replication conflict left a second object of this device (\\0ACNF:); remove it by hand";
    DuplicateAlternativeSecurityId Conflict "duplicate_alternative_security_id" "another device has the same alternative security id, so AD FS could take one for the other";
    NoDeviceIdInDirectory Conflict "no_device_id_in_directory" "an object with our mark has no readable msDS-DeviceID";

    OwnerUnknown Notice "owner_unknown" "the owner or a user could not be read; the directory's value is kept";
    OwnerForeignDomain Notice "owner_foreign_domain" "the SID is of no domain of this forest and is not written";
    OwnerBuiltIn Notice "owner_built_in" "the SID is that of a built-in account (RID below 1000) and is not written";
    OwnerUnresolved Notice "owner_unresolved" "the SID resolves to no user of this forest and is not written";
    OwnerProtected Notice "owner_protected" "the user is protected (adminCount) and is not written; see rules.allow_protected_owners";
    ValueOutOfRange Notice "value_out_of_range" "the value does not fit the schema; the directory's value is kept";
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl std::str::FromStr for Reason {
    type Err = crate::error::InvalidValue;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.code() == code)
            .ok_or_else(|| {
                crate::error::InvalidValue::new("reason code", code.escape_debug().to_string())
            })
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> serde::Deserialize<'de> for Reason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        code.parse().map_err(serde::de::Error::custom)
    }
}
