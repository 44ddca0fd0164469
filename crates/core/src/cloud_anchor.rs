//! `msDS-CloudAnchor`: the mark of an object that was written back, and the id of the Graph
//! object it came from.
//!
//! Two encodings are in use, so both are read: Entra Connect's anchor text `Device_<object id>`,
//! and the 16 octets of the object id in Microsoft's mixed order.

use crate::error::{InvalidValue, quoted_bytes};
use crate::guid::{Guid, ObjectId};

const PREFIX: &[u8] = b"Device_";

/// Which of the two encodings to write.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum CloudAnchorEncoding {
    /// ASCII `Device_` and the object id in lower case.
    #[default]
    Text,
    /// The 16 octets of the object id in Microsoft's mixed order ([MS-DTYP] 2.3.4.2).
    Binary,
}

/// The attribute's value for the Graph object `id`.
pub fn encode(id: ObjectId, encoding: CloudAnchorEncoding) -> Vec<u8> {
    match encoding {
        CloudAnchorEncoding::Text => {
            let mut out = Vec::with_capacity(PREFIX.len() + 36);
            out.extend_from_slice(PREFIX);
            id.write_text(&mut out);
            out
        }
        CloudAnchorEncoding::Binary => id.to_le_bytes().to_vec(),
    }
}

/// Reads either encoding. The text's prefix and GUID may be in any letter case.
///
/// # Errors
/// A value that is neither is refused; it was written by somebody else.
pub fn decode(value: &[u8]) -> Result<ObjectId, InvalidValue> {
    if let Ok(bytes) = <[u8; 16]>::try_from(value) {
        return Ok(ObjectId::from_le_bytes(bytes));
    }
    decode_text(value).map(ObjectId::from).ok_or_else(|| {
        InvalidValue::new(
            "cloud anchor",
            format!(
                "{} is neither \"Device_\" with an object id nor the 16 octets of one",
                quoted_bytes(value)
            ),
        )
    })
}

fn decode_text(value: &[u8]) -> Option<Guid> {
    let (prefix, id) = value.split_at_checked(PREFIX.len())?;
    // The braces that a GUID may have elsewhere are no part of an anchor.
    if !prefix.eq_ignore_ascii_case(PREFIX) || id.len() != 36 {
        return None;
    }
    Guid::parse(std::str::from_utf8(id).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "1c3a5f9e-0b2d-4c6e-8fa1-b3c5d7e9f102";

    #[test]
    fn both_encodings() {
        let id = ObjectId::parse(ID).unwrap();
        assert_eq!(
            encode(id, CloudAnchorEncoding::Text),
            b"Device_1c3a5f9e-0b2d-4c6e-8fa1-b3c5d7e9f102"
        );
        assert_eq!(
            encode(id, CloudAnchorEncoding::Binary)[..4],
            [0x9e, 0x5f, 0x3a, 0x1c]
        );
        assert_eq!(CloudAnchorEncoding::default(), CloudAnchorEncoding::Text);
    }

    #[test]
    fn letter_case_does_not_matter_when_reading() {
        let id = ObjectId::parse(ID).unwrap();
        for text in [
            format!("DEVICE_{}", ID.to_uppercase()),
            format!("device_{ID}"),
        ] {
            assert_eq!(decode(text.as_bytes()), Ok(id));
        }
    }

    #[test]
    fn other_values_are_refused() {
        for value in [
            String::new(),
            ID.to_owned(),
            "Device_".to_owned(),
            format!("User_{ID}"),
            format!("Device_{ID} "),
            format!("Device_{{{ID}}}"),
            format!("Device-{ID}"),
        ] {
            assert!(decode(value.as_bytes()).is_err(), "{value}");
        }
        assert!(decode(&[0; 15]).is_err());
    }

    proptest! {
        #[test]
        fn round_trips(bytes: [u8; 16]) {
            let id = ObjectId::from_bytes(bytes);
            for encoding in [CloudAnchorEncoding::Text, CloudAnchorEncoding::Binary] {
                prop_assert_eq!(decode(&encode(id, encoding)), Ok(id));
            }
        }

        #[test]
        fn never_panics(value: Vec<u8>) {
            let _ = decode(&value);
        }
    }
}
