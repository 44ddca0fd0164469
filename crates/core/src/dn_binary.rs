//! The DN-Binary syntax: octets bound to the name of an object ([MS-ADTS] 3.1.1.2.2.2.3).
//!
//! `msDS-KeyCredentialLink` has it; the name is that of the object carrying the attribute.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::dn::Dn;
use crate::error::{InvalidValue, quoted};
use crate::guid::{hex_pair, hex_value};

const WHAT: &str = "DN-Binary value";

/// Octets and a distinguished name, `B:<number of hex digits>:<hex digits>:<name>` as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnBinary {
    data: Vec<u8>,
    dn: Dn,
}

impl DnBinary {
    /// A value of `data` bound to `dn`.
    pub fn new(data: impl Into<Vec<u8>>, dn: Dn) -> Self {
        Self {
            data: data.into(),
            dn,
        }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// Refuses a digit count that is not the exact number of hex digits, and anything that is not
    /// hex digits followed by a name.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let error = |why: &str| InvalidValue::new(WHAT, format!("{} {why}", quoted(text)));
        let Some((count, rest)) = text
            .strip_prefix("B:")
            .or_else(|| text.strip_prefix("b:"))
            .and_then(|rest| rest.split_once(':'))
        else {
            return Err(error(
                "is not of the form B:<number of hex digits>:<hex digits>:<name>",
            ));
        };
        let digits: usize = count
            .parse()
            .ok()
            .filter(|_| count.bytes().all(|octet| octet.is_ascii_digit()))
            .ok_or_else(|| error("has no number of hex digits after B:"))?;
        let Some((hex, dn)) = rest.split_once(':').filter(|(hex, _)| hex.len() == digits) else {
            return Err(error("does not have as many hex digits as it says"));
        };
        let (pairs, odd) = hex.as_bytes().as_chunks::<2>();
        let data: Option<Vec<u8>> = pairs
            .iter()
            .map(|&[high, low]| {
                let (high, low) = (hex_value(high), hex_value(low));
                (high < 16 && low < 16).then_some(high << 4 | low)
            })
            .collect();
        let Some(data) = data.filter(|_| odd.is_empty()) else {
            return Err(error("has data that is not pairs of hex digits"));
        };
        let dn = Dn::parse(dn).map_err(|cause| {
            InvalidValue::new(WHAT, format!("its distinguished name {}", cause.detail()))
        })?;
        Ok(Self { data, dn })
    }

    /// The octets.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The name the octets are bound to.
    pub fn dn(&self) -> &Dn {
        &self.dn
    }
}

impl fmt::Display for DnBinary {
    /// The text form, with upper-case digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "B:{}:", self.data.len() * 2)?;
        for octet in &self.data {
            for digit in hex_pair(*octet) {
                f.write_char(char::from(digit.to_ascii_uppercase()))?;
            }
        }
        write!(f, ":{}", self.dn)
    }
}

impl FromStr for DnBinary {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_are_counted_and_printed_in_upper_case() {
        let value = DnBinary::parse("b:8:00ffaB12:cn=x,dc=contoso,dc=com").unwrap();
        assert_eq!(value.data(), [0x00, 0xff, 0xab, 0x12]);
        assert_eq!(*value.dn(), Dn::parse("CN=x,DC=contoso,DC=com").unwrap());
        assert_eq!(value.to_string(), "B:8:00FFAB12:CN=x,DC=contoso,DC=com");
        let empty = DnBinary::new([], Dn::EMPTY);
        assert_eq!(empty.to_string(), "B:0::");
        assert_eq!("B:0::".parse(), Ok(empty));
    }

    #[test]
    fn colons_in_the_name_are_part_of_it() {
        let value = DnBinary::parse("B:2:7F:CN=a:b,DC=c").unwrap();
        assert_eq!(value.dn().rdn().unwrap().value(), "a:b");
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "",
            "B",
            "B:",
            "B:2",
            "B:2:00",
            "S:2:00:CN=x",
            "B:4:00:CN=x",
            "B:2:0000:CN=x",
            "B:1:0:CN=x",
            "B:2:0g:CN=x",
            "B:+2:00:CN=x",
            "B:-2:00:CN=x",
            "B::00:CN=x",
            "B:99999999999999999999:00:CN=x",
            "B:2:é:CN=x",
            "B:2:00:x",
        ] {
            assert!(DnBinary::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            DnBinary::parse("B:2:00:x").unwrap_err().to_string(),
            "invalid DN-Binary value: its distinguished name \"x\" has \"x\" where an attribute \
             type and = are expected"
        );
    }

    proptest! {
        #[test]
        fn round_trips(data: Vec<u8>, name in "[a-zA-Z0-9 ,:é]{1,12}") {
            let value = DnBinary::new(data, Dn::EMPTY.child("CN", &name));
            prop_assert_eq!(DnBinary::parse(&value.to_string()), Ok(value));
        }

        #[test]
        fn never_panics(text in "B:[0-9]{0,2}:[0-9a-fg]{0,4}:.{0,4}|.{0,12}") {
            let _ = DnBinary::parse(&text);
        }
    }
}
