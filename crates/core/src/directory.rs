//! An object of the directory as the planner sees it.

use crate::attributes::AttributeSet;
use crate::boolean::parse_ldap_boolean;
use crate::cloud_anchor;
use crate::dn::Dn;
use crate::error::InvalidValue;
use crate::guid::{DeviceId, ObjectGuid, ObjectId};
use crate::schema::Attribute;

/// An `msDS-Device` as it stands in the directory: its name and the values of the attributes of the schema table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryObject {
    /// Order within the import; a file-based directory uses the record's position.
    pub sequence: u64,
    /// The name.
    pub dn: Dn,
    /// `objectGUID`, if the directory has one.
    pub guid: Option<ObjectGuid>,
    /// Values of attributes of the schema table; others are none of our business.
    pub values: AttributeSet,
}

impl DirectoryObject {
    /// Picks what the schema table knows out of an LDAP entry. `objectGUID` is taken from the attributes when it is there.
    pub fn decode<N, V>(sequence: u64, dn: Dn, attributes: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let mut object = Self {
            sequence,
            dn,
            guid: None,
            values: AttributeSet::new(),
        };
        for (name, value) in attributes {
            if let Some(attribute) = Attribute::from_name(name.as_ref()) {
                object.values.push(attribute, value.as_ref());
            } else if name.as_ref().eq_ignore_ascii_case(OBJECT_GUID) {
                object.guid = ObjectGuid::from_le_slice(value.as_ref()).ok();
            }
        }
        object
    }

    /// `msDS-DeviceID`.
    ///
    /// # Errors
    /// It is missing or not 16 octets.
    pub fn device_id(&self) -> Result<DeviceId, InvalidValue> {
        match self.values.first(Attribute::DeviceId) {
            Some(octets) => DeviceId::from_le_slice(octets),
            None => Err(InvalidValue::new(
                Attribute::DeviceId.name(),
                "the object has none",
            )),
        }
    }

    /// Whether the object carries the mark of a writeback.
    pub fn is_marked(&self) -> bool {
        self.values.has(Attribute::CloudAnchor)
    }

    /// The cloud object that the mark names, if it can be read.
    pub fn anchor(&self) -> Option<ObjectId> {
        cloud_anchor::decode(self.values.first(Attribute::CloudAnchor)?).ok()
    }

    /// `msDS-IsEnabled`.
    pub fn is_enabled(&self) -> Option<bool> {
        parse_ldap_boolean(self.values.first(Attribute::IsEnabled)?).ok()
    }

    /// Whether the object holds a device key.
    pub fn has_key(&self) -> bool {
        self.values.has(Attribute::KeyCredentialLink)
    }
}

/// LDAP name of the attribute that identifies an object for good.
pub const OBJECT_GUID: &str = "objectGUID";

/// The DN that an object of `device` gets: `CN=<device id>` directly under `container`.
pub fn device_dn(device: DeviceId, container: &Dn) -> Dn {
    container.child("CN", &device.to_string())
}
