//! GUIDs, and the four kinds of them that must not be mixed up.
//!
//! The same GUID has two octet orders. Text (and RFC 9562) is big-endian throughout; Microsoft's
//! binary form, which Active Directory stores in `objectGUID` and `msDS-DeviceID`, has the first
//! three fields little-endian ([MS-DTYP] 2.3.4.2, `Guid.ToByteArray()` in .NET).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{InvalidValue, quoted};

/// A GUID, held in the order of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Guid([u8; 16]);

impl Guid {
    /// The GUID with all bits zero.
    pub const NIL: Self = Self([0; 16]);

    /// Reads the hyphenated form, in any letter case, with or without braces around it.
    ///
    /// # Errors
    /// Any other form, such as 32 digits without hyphens, is refused.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        parse_text(text.as_bytes()).ok_or_else(|| {
            InvalidValue::new(
                "GUID",
                format!(
                    "{} is not of the form 01234567-89ab-cdef-0123-456789abcdef",
                    quoted(text)
                ),
            )
        })
    }

    /// From octets in the order of the text.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Octets in the order of the text.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// From Microsoft's mixed order ([MS-DTYP] 2.3.4.2), the one Active Directory stores.
    pub const fn from_le_bytes(bytes: [u8; 16]) -> Self {
        Self(swap_fields(bytes))
    }

    /// Microsoft's mixed order ([MS-DTYP] 2.3.4.2), the one Active Directory stores.
    pub const fn to_le_bytes(self) -> [u8; 16] {
        swap_fields(self.0)
    }

    /// As [`from_le_bytes`](Self::from_le_bytes), from a value of any length.
    ///
    /// # Errors
    /// Refuses anything but 16 octets.
    pub fn from_le_slice(bytes: &[u8]) -> Result<Self, InvalidValue> {
        <[u8; 16]>::try_from(bytes)
            .map(Self::from_le_bytes)
            .map_err(|_| {
                InvalidValue::new(
                    "GUID",
                    format!(
                        "a binary GUID has 16 octets, this value has {}",
                        bytes.len()
                    ),
                )
            })
    }

    /// Whether all bits are zero.
    pub const fn is_nil(self) -> bool {
        u128::from_be_bytes(self.0) == 0
    }

    /// The lower-case hyphenated form as ASCII, without an allocation.
    pub fn text(self) -> [u8; 36] {
        let mut out = [b'-'; 36];
        for (octet, at) in self.0.iter().zip(PAIRS) {
            if let Some(pair) = out.get_mut(at..at + 2) {
                pair.copy_from_slice(&hex_pair(*octet));
            }
        }
        out
    }

    /// Appends the lower-case hyphenated form as ASCII.
    pub fn write_text(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text());
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Guid {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text)
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.text();
        serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl de::Visitor<'_> for TextVisitor {
    type Value = Guid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a GUID as text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Guid, E> {
        Guid::parse(text).map_err(E::custom)
    }
}

macro_rules! guid_newtype {
    ($(#[$doc:meta])* $name:ident, $what:literal, nil: $nil:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Guid);

        impl $name {
            /// Reads the hyphenated form, in any letter case, with or without braces.
            ///
            /// # Errors
            /// Refuses what [`Guid::parse`] refuses, and the nil GUID where the type excludes it.
            pub fn parse(text: &str) -> Result<Self, InvalidValue> {
                let guid = Guid::parse(text)
                    .map_err(|error| InvalidValue::new($what, error.detail()))?;
                Self::checked(guid)
            }

            /// From octets in the order of the text.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Guid::from_bytes(bytes))
            }

            /// Octets in the order of the text.
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// From Microsoft's mixed order ([MS-DTYP] 2.3.4.2).
            pub const fn from_le_bytes(bytes: [u8; 16]) -> Self {
                Self(Guid::from_le_bytes(bytes))
            }

            /// Microsoft's mixed order ([MS-DTYP] 2.3.4.2).
            pub const fn to_le_bytes(self) -> [u8; 16] {
                self.0.to_le_bytes()
            }

            /// From a value in Microsoft's mixed order, of any length.
            ///
            /// # Errors
            /// Refuses anything but 16 octets, and the nil GUID where the type excludes it.
            pub fn from_le_slice(bytes: &[u8]) -> Result<Self, InvalidValue> {
                let guid = Guid::from_le_slice(bytes)
                    .map_err(|error| InvalidValue::new($what, error.detail()))?;
                Self::checked(guid)
            }

            /// The plain GUID.
            pub const fn guid(self) -> Guid {
                self.0
            }

            /// Whether all bits are zero.
            pub const fn is_nil(self) -> bool {
                self.0.is_nil()
            }

            /// The lower-case hyphenated form as ASCII, without an allocation.
            pub fn text(self) -> [u8; 36] {
                self.0.text()
            }

            /// Appends the lower-case hyphenated form as ASCII.
            pub fn write_text(self, out: &mut Vec<u8>) {
                self.0.write_text(out);
            }

            fn checked(guid: Guid) -> Result<Self, InvalidValue> {
                if !$nil && guid.is_nil() {
                    return Err(InvalidValue::new(
                        $what,
                        "the nil GUID (all zero) names nothing",
                    ));
                }
                Ok(Self(guid))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;

            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                Self::parse(text)
            }
        }

        impl From<Guid> for $name {
            fn from(guid: Guid) -> Self {
                Self(guid)
            }
        }

        impl From<$name> for Guid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::checked(Guid::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

guid_newtype! {
    /// `deviceId` of a Graph device and `msDS-DeviceID` of an `msDS-Device`: what both sides are
    /// matched by. Reading the nil GUID as one is refused, because devices that were never
    /// registered carry it.
    DeviceId, "device id", nil: false
}
guid_newtype! {
    /// `id` of an object in Graph.
    ObjectId, "object id", nil: true
}
guid_newtype! {
    /// `objectGUID` of an Active Directory object.
    ObjectGuid, "objectGUID", nil: true
}
guid_newtype! {
    /// Id of a Microsoft Entra tenant.
    TenantId, "tenant id", nil: true
}

/// Where the two digits of each octet stand in the text.
const PAIRS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// Value of each ASCII hex digit; `0xff` for everything else.
#[expect(
    clippy::indexing_slicing,
    reason = "runs in the compiler, which checks the places"
)]
const DIGITS: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut digit = 0u8;
    while digit < 10 {
        table[(b'0' + digit) as usize] = digit;
        digit += 1;
    }
    let mut digit = 0u8;
    while digit < 6 {
        table[(b'a' + digit) as usize] = 10 + digit;
        table[(b'A' + digit) as usize] = 10 + digit;
        digit += 1;
    }
    table
};

/// Value of an ASCII hex digit, `0xff` for anything else.
pub(crate) fn hex_value(digit: u8) -> u8 {
    DIGITS.get(usize::from(digit)).copied().unwrap_or(0xff)
}

/// Lower-case digits of an octet.
pub(crate) fn hex_pair(octet: u8) -> [u8; 2] {
    [hex_digit(octet >> 4), hex_digit(octet & 0x0f)]
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' + nibble - 10
    }
}

fn parse_text(text: &[u8]) -> Option<Guid> {
    let text = match text {
        [b'{', inner @ .., b'}'] => inner,
        _ => text,
    };
    let text: &[u8; 36] = text.try_into().ok()?;
    if [text[8], text[13], text[18], text[23]] != [b'-'; 4] {
        return None;
    }
    let mut out = [0; 16];
    let mut seen = 0;
    for (octet, at) in out.iter_mut().zip(PAIRS) {
        let high = hex_value(text.get(at).copied()?);
        let low = hex_value(text.get(at + 1).copied()?);
        seen |= high | low;
        *octet = high << 4 | low & 0x0f;
    }
    (seen & 0xf0 == 0).then_some(Guid(out))
}

const fn swap_fields(b: [u8; 16]) -> [u8; 16] {
    [
        b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13],
        b[14], b[15],
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "9d53c6fa-b38e-4509-8fb1-51dedb421aac";
    const LE: [u8; 16] = [
        0xfa, 0xc6, 0x53, 0x9d, 0x8e, 0xb3, 0x09, 0x45, 0x8f, 0xb1, 0x51, 0xde, 0xdb, 0x42, 0x1a,
        0xac,
    ];

    #[test]
    fn both_orders_of_the_published_device_certificate() {
        let guid = Guid::parse(TEXT).unwrap();
        assert_eq!(guid.to_le_bytes(), LE);
        assert_eq!(Guid::from_le_slice(&LE).unwrap(), guid);
        assert_eq!(guid.to_bytes()[..4], [0x9d, 0x53, 0xc6, 0xfa]);
        assert_eq!(Guid::from_bytes(guid.to_bytes()), guid);
    }

    #[test]
    fn braces_and_case_are_accepted_and_nothing_else() {
        let guid = Guid::parse(TEXT).unwrap();
        assert_eq!(
            Guid::parse(&format!("{{{}}}", TEXT.to_uppercase())).unwrap(),
            guid
        );
        for text in [
            "",
            "{",
            "{}",
            "9d53c6fab38e45098fb151dedb421aac",
            "{9d53c6fa-b38e-4509-8fb1-51dedb421aac",
            "9d53c6fa-b38e-4509-8fb1-51dedb421aac}",
            "(9d53c6fa-b38e-4509-8fb1-51dedb421aac)",
            "{{9d53c6fa-b38e-4509-8fb1-51dedb421aac}}",
            " 9d53c6fa-b38e-4509-8fb1-51dedb421aac",
            "9d53c6fa-b38e-4509-8fb1-51dedb421aag",
            "9d53c6fa-b38e-4509-8fb1-51dedb421aa",
            "9d53c6fa-b38e-4509-8fb1_51dedb421aac",
            "9d53c6fa-b38e-45098-fb1-51dedb421aac",
            "9d53c6fa-b38e-4509-8fb1-51dedb421aé",
        ] {
            assert!(Guid::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_and_json_are_text() {
        let guid = Guid::parse(TEXT).unwrap();
        assert_eq!(format!("{guid:?}"), TEXT);
        assert_eq!(format!("{guid:>38}"), format!("  {TEXT}"));
        assert_eq!(
            format!("{:?}", ObjectId::from(guid)),
            format!("ObjectId({TEXT})")
        );
        let json = serde_json::to_string(&TenantId::from(guid)).unwrap();
        assert_eq!(json, format!("\"{TEXT}\""));
        assert_eq!(
            serde_json::from_str::<TenantId>(&json).unwrap().guid(),
            guid
        );
        assert!(serde_json::from_str::<ObjectGuid>("7").is_err());
    }

    #[test]
    fn nil_is_no_device_id() {
        let nil = Guid::NIL.to_string();
        assert!(Guid::parse(&nil).unwrap().is_nil());
        assert!(ObjectId::parse(&nil).unwrap().is_nil());
        assert_eq!(
            DeviceId::parse(&nil).unwrap_err().to_string(),
            "invalid device id: the nil GUID (all zero) names nothing"
        );
        assert!(DeviceId::from_le_slice(&[0; 16]).is_err());
        assert!(serde_json::from_str::<DeviceId>(&format!("\"{nil}\"")).is_err());
    }

    #[test]
    fn wrong_length_is_named() {
        assert_eq!(
            ObjectGuid::from_le_slice(&[1; 15]).unwrap_err().to_string(),
            "invalid objectGUID: a binary GUID has 16 octets, this value has 15"
        );
    }

    proptest! {
        #[test]
        fn round_trips(bytes: [u8; 16]) {
            let guid = Guid::from_bytes(bytes);
            let text = guid.to_string();
            prop_assert_eq!(Guid::parse(&text).unwrap(), guid);
            prop_assert_eq!(Guid::parse(&text.to_uppercase()).unwrap(), guid);
            prop_assert_eq!(Guid::from_le_bytes(guid.to_le_bytes()), guid);
            let mut written = Vec::new();
            guid.write_text(&mut written);
            prop_assert_eq!(written, text.into_bytes());
        }

        #[test]
        fn order_is_the_order_of_the_text(a: [u8; 16], b: [u8; 16]) {
            let (a, b) = (Guid::from_bytes(a), Guid::from_bytes(b));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-0-9a-fA-F{}g]{0,40}") {
            if let Ok(guid) = Guid::parse(&text) {
                let plain = text.trim_matches(['{', '}']).to_lowercase();
                prop_assert_eq!(guid.to_string(), plain);
            }
        }
    }
}
