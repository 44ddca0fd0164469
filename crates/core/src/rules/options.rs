//! The rules as options: every one has a name, a default and a place in the configuration.

use serde::{Deserialize, Serialize};

use crate::cloud_anchor::CloudAnchorEncoding;
use crate::guid::DeviceId;
use crate::schema::Profile;
use crate::sid::SidEncoding;

/// What happens to an object of ours whose device is gone or out of scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Retire {
    /// Delete the object.
    #[default]
    Delete,
    /// Disable it, delete it when it has been disabled for [`Rules::delete_after_days`].
    DisableThenDelete,
    /// Disable it and leave it.
    Disable,
    /// Leave it as it is.
    Keep,
}

/// What is written when Graph says `null` for `isManaged` or `isCompliant`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NullFlag {
    /// No value.
    #[default]
    Clear,
    /// `FALSE`.
    False,
}

/// What happens to a device that AD FS would clean up for inactivity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Stale {
    /// It is not created; an existing object is held.
    #[default]
    Hold,
    /// Inactivity plays no part.
    Ignore,
}

/// What happens when an object that is not ours has the device id of a device in scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Adopt {
    /// It is a conflict, reported and left alone.
    #[default]
    Never,
    /// The object becomes ours: it gets the cloud anchor and the cloud's values.
    SameDeviceId,
}

/// All rules. [`Rules::default`] is what the product documents as its defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Rules {
    /// Which attributes are managed.
    pub profile: Profile,
    /// Only these values of `trustType` (ignoring case); empty: all.
    pub trust_types: Vec<String>,
    /// Only devices whose `isManaged` is this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_managed: Option<bool>,
    /// Only devices whose `isCompliant` is this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_compliant: Option<bool>,
    /// Only devices whose `accountEnabled` is this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_enabled: Option<bool>,
    /// Only these values of `operatingSystem` (ignoring case); empty: all.
    pub operating_systems: Vec<String>,
    /// Only these values of `profileType` (ignoring case); empty: all.
    pub profile_types: Vec<String>,
    /// Only these values of `deviceOwnership` (ignoring case); empty: all.
    pub ownerships: Vec<String>,
    /// Only devices with an owner known on-premises.
    pub require_on_premises_owner: bool,
    /// Only devices that signed in within this many days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sign_in_age_days: Option<u32>,
    /// Only these devices; empty: all.
    pub include_devices: Vec<DeviceId>,
    /// Not these devices, whatever else holds.
    pub exclude_devices: Vec<DeviceId>,
    /// Objects that are not ours but have the device id of a device in scope.
    pub adopt: Adopt,
    /// `isManaged` and `isCompliant` `null`.
    pub null_flag: NullFlag,
    /// How SIDs are written to `msDS-RegisteredOwner` and `msDS-RegisteredUsers`; both forms are read.
    pub sid_encoding: SidEncoding,
    /// How `msDS-CloudAnchor` is written; both forms are read.
    pub cloud_anchor: CloudAnchorEncoding,
    /// Whether users under AdminSDHolder (`adminCount` 1) may be written as owners.
    pub allow_protected_owners: bool,
    /// The last sign-in is raised only when it is newer by this many days (AD FS refreshes it itself).
    pub last_logon_min_days: u32,
    /// The device is gone from the cloud.
    pub gone: Retire,
    /// The device is alive but a filter excludes it.
    pub out_of_scope: Retire,
    /// For [`Retire::DisableThenDelete`].
    pub delete_after_days: u32,
    /// Devices that AD FS would clean up.
    pub stale: Stale,
    /// Whether objects may be deleted that hold a key which cannot be written again.
    pub delete_objects_with_keys: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            trust_types: Vec::new(),
            is_managed: None,
            is_compliant: None,
            account_enabled: None,
            operating_systems: Vec::new(),
            profile_types: Vec::new(),
            ownerships: Vec::new(),
            require_on_premises_owner: false,
            max_sign_in_age_days: None,
            include_devices: Vec::new(),
            exclude_devices: Vec::new(),
            adopt: Adopt::default(),
            null_flag: NullFlag::default(),
            sid_encoding: SidEncoding::Text,
            cloud_anchor: CloudAnchorEncoding::Text,
            allow_protected_owners: false,
            last_logon_min_days: 14,
            gone: Retire::default(),
            out_of_scope: Retire::default(),
            delete_after_days: 30,
            stale: Stale::default(),
            delete_objects_with_keys: false,
        }
    }
}

impl Rules {
    /// SHA-256 over the rules in a fixed form: a plan names it, and is applied only under the same rules.
    pub fn digest(&self) -> [u8; 32] {
        use sha2::Digest as _;
        // Serializing a struct of plain values to memory cannot fail; an empty text would only refuse every plan.
        let text = serde_json::to_vec(self).unwrap_or_default();
        sha2::Sha256::digest(text).into()
    }
}
