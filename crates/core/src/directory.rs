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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233-4455-6677-8899-aabbccddeeff";
    const MIXED: [u8; 16] = [
        0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee,
        0xff,
    ];

    fn decode(attributes: &[(&str, &[u8])]) -> DirectoryObject {
        let dn = Dn::parse("CN=x,CN=RegisteredDevices,DC=contoso,DC=com").unwrap();
        DirectoryObject::decode(7, dn, attributes.iter().copied())
    }

    #[test]
    fn the_table_s_attributes_are_picked_whatever_their_case() {
        let object = decode(&[
            ("OBJECTGUID", &MIXED),
            ("msds-deviceid", &MIXED),
            (
                "MSDS-CLOUDANCHOR",
                b"Device_00112233-4455-6677-8899-aabbccddeeff",
            ),
            ("msDS-IsEnabled", b"FALSE"),
            ("userAccountControl", b"512"),
            ("displayName;lang-de", b"Rechner"),
        ]);
        assert_eq!(object.sequence, 7);
        assert_eq!(object.guid.unwrap().to_string(), ID);
        assert_eq!(object.device_id().unwrap().to_string(), ID);
        assert_eq!(object.anchor().unwrap().to_string(), ID);
        assert_eq!(object.is_enabled(), Some(false));
        assert!(object.is_marked() && !object.has_key());
        assert!(!object.values.has(Attribute::DisplayName));
    }

    #[test]
    fn what_cannot_be_read_is_not_made_up() {
        let object = decode(&[
            ("objectGUID", b"short"),
            ("msDS-DeviceID", b"short"),
            ("msDS-CloudAnchor", b"somebody"),
            ("msDS-IsEnabled", b"yes"),
            ("msDS-KeyCredentialLink", b"B:4:0102:CN=x"),
        ]);
        assert_eq!(object.guid, None);
        assert!(object.device_id().is_err());
        // A mark that cannot be read is a mark.
        assert!(object.is_marked());
        assert_eq!(object.anchor(), None);
        assert_eq!(object.is_enabled(), None);
        assert!(object.has_key());
        let nothing = decode(&[]);
        assert_eq!(
            nothing.device_id().unwrap_err().to_string(),
            "invalid msDS-DeviceID: the object has none"
        );
        assert!(!nothing.is_marked());
        // The nil GUID is nobody's device id.
        assert!(decode(&[("msDS-DeviceID", &[0; 16])]).device_id().is_err());
    }

    #[test]
    fn the_name_is_the_device_id_in_lower_case() {
        let container = Dn::parse("CN=RegisteredDevices,DC=contoso,DC=com").unwrap();
        let device = DeviceId::parse(&ID.to_uppercase()).unwrap();
        let dn = device_dn(device, &container);
        assert_eq!(
            dn.to_string(),
            format!("CN={ID},CN=RegisteredDevices,DC=contoso,DC=com")
        );
        assert!(dn.is_child_of(&container));
    }
}
