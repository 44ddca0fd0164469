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
