//! The one schema table of `msDS-Device`: every attribute the project knows, with its syntax, arity, range, the schema
//! version that brought it, the profiles that manage it, how equality is decided and where its value comes from.
//!
//! Encoding, decoding, validation and the LDIF directory all read this table; no other module spells an attribute name
//! of `msDS-Device`. Sources: `[MS-ADSC]` 2.136, `[MS-ADA1]`/`[MS-ADA2]`, Microsoft's schema update files.

use crate::attributes::AttributeMask;
use crate::rules::flow::{self, FlowFn};

/// LDAP name of the class of a registered device. Possible superior: [`CONTAINER_CLASS`] only.
pub const DEVICE_CLASS: &str = "msDS-Device";
/// LDAP name of the class of the container that holds registered devices.
pub const CONTAINER_CLASS: &str = "msDS-DeviceContainer";
/// LDAP name of the class of the forest's registration service, of which there is one (`[MS-DVRE]` 3.1.1).
pub const REGISTRATION_SERVICE_CLASS: &str = "msDS-DeviceRegistrationService";
/// Attribute of the registration service: DN of the container of the devices.
pub const DEVICE_LOCATION: &str = "msDS-DeviceLocation";
/// Attribute of the registration service: after how many days without use a device is deleted; 0 is never.
pub const INACTIVITY_PERIOD: &str = "msDS-MaximumRegistrationInactivityPeriod";
/// `objectVersion` of the schema head of Windows Server 2012 R2.
pub const VERSION_2012_R2: u32 = 69;
/// `objectVersion` of the schema head of Windows Server 2016.
pub const VERSION_2016: u32 = 87;

/// A version of the Active Directory schema that has registered devices.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[non_exhaustive]
pub enum SchemaVersion {
    /// Windows Server 2012 R2.
    #[serde(rename = "2012r2")]
    Windows2012R2,
    /// Windows Server 2016.
    #[default]
    #[serde(rename = "2016")]
    Windows2016,
}

impl SchemaVersion {
    /// Its name in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Windows2012R2 => "2012r2",
            Self::Windows2016 => "2016",
        }
    }

    /// `objectVersion` of the schema head.
    pub const fn object_version(self) -> u32 {
        match self {
            Self::Windows2012R2 => VERSION_2012_R2,
            Self::Windows2016 => VERSION_2016,
        }
    }

    /// The attributes that it has on `msDS-Device`.
    pub fn attributes(self) -> AttributeMask {
        Attribute::available(self.object_version())
    }
}

impl std::fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Attribute syntax, named as in `[MS-ADTS]` 3.1.1.2.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Syntax {
    /// `String(Unicode)`, 2.5.5.12: UTF-8 on the wire; ranges count UTF-16 code units.
    Unicode,
    /// `String(Octet)`, 2.5.5.10: bytes; ranges count bytes.
    Octets,
    /// `Boolean`, 2.5.5.8: `TRUE` or `FALSE`.
    Boolean,
    /// `Integer`, 2.5.5.9: a signed 32-bit number in decimal.
    Integer,
    /// `LargeInteger`, 2.5.5.16: a signed 64-bit number in decimal.
    LargeInteger,
    /// `String(Sid)`, 2.5.5.17: a binary SID.
    Sid,
    /// `Object(DN-Binary)`, 2.5.5.7.
    DnBinary,
}

/// How two values of an attribute are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Equality {
    /// Octet by octet: the case of `altSecurityIdentities` matters, its base64 is case-sensitive.
    Exact,
    /// Unicode text ignoring case, as AD itself compares the values of a multi-valued string.
    CaseIgnore,
    /// As a number.
    Number,
    /// As a SID, whether stored as text or as bytes.
    Sid,
    /// As the object id of a cloud anchor, whether stored as text or as bytes.
    CloudAnchor,
    /// A time stamp that is only ever raised: older or slightly newer is equal ([`crate::rules::Rules::last_logon_min_days`]).
    Raised,
}

/// Which set of attributes a run manages.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Profile {
    /// The documented list of Entra Connect plus what AD FS makes use of.
    #[default]
    Adfs,
    /// Exactly the documented list of Entra Connect.
    Connect,
}

/// One row of the table.
#[derive(Debug)]
#[non_exhaustive]
pub struct AttributeSchema {
    /// The `lDAPDisplayName`.
    pub name: &'static str,
    /// The attribute syntax.
    pub syntax: Syntax,
    /// At most one value.
    pub single_valued: bool,
    /// `rangeLower` and `rangeUpper`: UTF-16 code units for text, bytes for octets.
    pub range: Option<(usize, usize)>,
    /// In the class's `mustContain`.
    pub mandatory: bool,
    /// `objectVersion` of the first Windows Server schema that has it on `msDS-Device`.
    pub since: u32,
    /// Managed under [`Profile::Adfs`].
    pub adfs: bool,
    /// Managed under [`Profile::Connect`].
    pub connect: bool,
    /// How values are compared.
    pub equality: Equality,
    /// The Graph property or properties behind it; empty where Graph has none.
    pub graph: &'static str,
    pub(crate) flow: Option<FlowFn>,
}

impl AttributeSchema {
    /// Whether `profile` manages this attribute.
    pub fn managed_by(&self, profile: Profile) -> bool {
        match profile {
            Profile::Adfs => self.adfs,
            Profile::Connect => self.connect,
        }
    }
}

/// Which profiles manage a row.
const BOTH: (bool, bool) = (true, true);
const ADFS: (bool, bool) = (true, false);
const NONE: (bool, bool) = (false, false);

macro_rules! attributes {
    ($( $(#[$doc:meta])* $variant:ident: $name:literal, $syntax:ident, $arity:ident, $range:expr, $must:ident, $since:expr,
        $profiles:expr, $equality:ident, $graph:literal, $flow:expr; )*) => {
        /// An attribute of `msDS-Device`; the variants are the rows of the schema table, in its order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Attribute { $( $(#[$doc])* $variant, )* }

        impl Attribute {
            /// Every attribute, in table order.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// This attribute's row.
            pub fn schema(self) -> &'static AttributeSchema {
                match self { $( Self::$variant => {
                    static ROW: AttributeSchema = AttributeSchema {
                        name: $name, syntax: Syntax::$syntax, single_valued: arity::$arity, range: $range,
                        mandatory: presence::$must, since: $since, adfs: $profiles.0, connect: $profiles.1,
                        equality: Equality::$equality, graph: $graph, flow: $flow,
                    };
                    &ROW
                } )* }
            }
        }
    };
}

mod arity {
    pub(super) const SINGLE: bool = true;
    pub(super) const MULTI: bool = false;
}
mod presence {
    pub(super) const MUST: bool = true;
    pub(super) const MAY: bool = false;
}

attributes! {
    /// The name people see.
    DisplayName: "displayName", Unicode, SINGLE, Some((0, 256)), MUST, VERSION_2012_R2, BOTH, Exact, "displayName", Some(flow::display_name);
    /// The certificates AD FS finds the device by.
    AltSecurityIdentities: "altSecurityIdentities", Unicode, MULTI, None, MUST, VERSION_2012_R2, BOTH, Exact, "alternativeSecurityIds", Some(flow::alt_security_identities);
    /// The device id, 16 octets in Microsoft's mixed order; the join key.
    DeviceId: "msDS-DeviceID", Octets, SINGLE, Some((16, 16)), MUST, VERSION_2012_R2, BOTH, Exact, "deviceId", Some(flow::device_id);
    /// Whether AD FS lets the device authenticate.
    IsEnabled: "msDS-IsEnabled", Boolean, SINGLE, None, MUST, VERSION_2012_R2, BOTH, Exact, "accountEnabled", Some(flow::is_enabled);
    /// The operating system.
    DeviceOsType: "msDS-DeviceOSType", Unicode, SINGLE, Some((0, 1024)), MAY, VERSION_2012_R2, BOTH, Exact, "operatingSystem", Some(flow::os_type);
    /// The version of the operating system.
    DeviceOsVersion: "msDS-DeviceOSVersion", Unicode, SINGLE, Some((0, 512)), MAY, VERSION_2012_R2, BOTH, Exact, "operatingSystemVersion", Some(flow::os_version);
    /// Hardware and group ids that the device reported.
    DevicePhysicalIds: "msDS-DevicePhysicalIDs", Unicode, MULTI, Some((1, 1024)), MAY, VERSION_2012_R2, BOTH, CaseIgnore, "physicalIds", Some(flow::physical_ids);
    /// Version of the device object.
    DeviceObjectVersion: "msDS-DeviceObjectVersion", Integer, SINGLE, None, MAY, VERSION_2012_R2, BOTH, Number, "deviceVersion", Some(flow::object_version);
    /// The mark of ownership and the link to the cloud object.
    CloudAnchor: "msDS-CloudAnchor", Octets, SINGLE, None, MAY, VERSION_2012_R2, BOTH, CloudAnchor, "id", Some(flow::cloud_anchor);
    /// SID of the owner.
    RegisteredOwner: "msDS-RegisteredOwner", Octets, SINGLE, None, MAY, VERSION_2012_R2, BOTH, Sid, "registeredOwners", Some(flow::registered_owner);
    /// SIDs of the registered users.
    RegisteredUsers: "msDS-RegisteredUsers", Octets, MULTI, None, MAY, VERSION_2012_R2, ADFS, Sid, "registeredUsers", Some(flow::registered_users);
    /// Managed by a device management service.
    IsManaged: "msDS-IsManaged", Boolean, SINGLE, None, MAY, VERSION_2012_R2, BOTH, Exact, "isManaged", Some(flow::is_managed);
    /// Managed by a cloud device management service.
    CloudIsManaged: "msDS-CloudIsManaged", Boolean, SINGLE, None, MAY, VERSION_2012_R2, ADFS, Exact, "isManaged", Some(flow::is_managed);
    /// Last sign-in, a FILETIME; AD FS refreshes it itself and deletes devices by it.
    ApproximateLastLogonTimeStamp: "msDS-ApproximateLastLogonTimeStamp", LargeInteger, SINGLE, None, MAY, VERSION_2012_R2, ADFS, Raised, "approximateLastSignInDateTime", Some(flow::last_logon);
    /// Compliant with the policies of the management service.
    IsCompliant: "msDS-IsCompliant", Boolean, SINGLE, None, MAY, VERSION_2016, BOTH, Exact, "isCompliant", Some(flow::is_compliant);
    /// How the device is joined.
    DeviceTrustType: "msDS-DeviceTrustType", Integer, SINGLE, None, MAY, VERSION_2016, ADFS, Number, "trustType", Some(flow::trust_type);
    /// SID of the computer account of a hybrid-joined device.
    ComputerSid: "msDS-ComputerSID", Sid, SINGLE, None, MAY, VERSION_2016, ADFS, Sid, "onPremisesSecurityIdentifier", Some(flow::computer_sid);
    /// Never written: Graph has no source for it.
    DeviceMdmStatus: "msDS-DeviceMDMStatus", Unicode, SINGLE, Some((0, 256)), MAY, VERSION_2016, NONE, Exact, "", None;
    /// Never written without a key source: Graph does not expose device keys.
    KeyCredentialLink: "msDS-KeyCredentialLink", DnBinary, MULTI, None, MAY, VERSION_2016, NONE, Exact, "", None;
}

impl Attribute {
    /// The `lDAPDisplayName`.
    pub fn name(self) -> &'static str {
        self.schema().name
    }

    /// The attribute of that LDAP name (case-insensitive, [RFC 4512] 2.5), if the table has it.
    pub fn from_name(name: &str) -> Option<Self> {
        // Only a few names share a length, so this is one or two comparisons.
        Self::ALL.iter().copied().find(|attribute| {
            let own = attribute.name();
            own.len() == name.len() && own.eq_ignore_ascii_case(name)
        })
    }

    /// Attributes that `profile` manages and a schema of `objectVersion` `version` has.
    pub fn managed(profile: Profile, version: u32) -> AttributeMask {
        Self::ALL
            .iter()
            .copied()
            .filter(|attribute| {
                let row = attribute.schema();
                row.managed_by(profile) && row.since <= version
            })
            .collect()
    }

    /// Attributes that a schema of `objectVersion` `version` has on `msDS-Device`.
    pub fn available(version: u32) -> AttributeMask {
        Self::ALL
            .iter()
            .copied()
            .filter(|attribute| attribute.schema().since <= version)
            .collect()
    }
}

impl std::fmt::Display for Attribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
