//! Entries, and how the values of an attribute are compared.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use device_writeback_core::dn::Dn;
use device_writeback_core::schema::{Attribute, Syntax};
use device_writeback_core::sid::Sid;

/// Attributes outside of the device class whose values are octets.
const OCTETS: &[&str] = &[
    "objectGUID",
    "objectSid",
    "invocationId",
    "nTSecurityDescriptor",
];

/// Attributes whose values are distinguished names.
const NAMES: &[&str] = &[
    "distinguishedName",
    "msDS-DeviceLocation",
    "nCName",
    "objectCategory",
];

/// An object of the directory: its name and its attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The distinguished name as it is printed; empty for the rootDSE.
    pub dn: String,
    /// By name in lower case: the name as it is printed, and the values.
    attributes: BTreeMap<String, (String, Vec<Vec<u8>>)>,
}

impl Entry {
    /// An entry without attributes.
    #[must_use]
    pub fn new(dn: &str) -> Entry {
        Entry {
            dn: dn.to_owned(),
            attributes: BTreeMap::new(),
        }
    }

    /// The same with these values of an attribute, in place of any that it had.
    #[must_use]
    pub fn with<V: AsRef<[u8]>>(
        mut self,
        name: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Entry {
        let values = values.into_iter().map(|value| value.as_ref().to_vec());
        self.set(name, values.collect());
        self
    }

    /// The values of an attribute, in the order they were added; none when it is absent.
    #[must_use]
    pub fn values(&self, name: &str) -> &[Vec<u8>] {
        match self.attributes.get(&name.to_ascii_lowercase()) {
            Some((_, values)) => values,
            None => &[],
        }
    }

    /// The first value of an attribute as text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        let first = self.values(name).first()?;
        Some(String::from_utf8_lossy(first).into_owned())
    }

    /// Sets the values of an attribute; none takes the attribute away.
    pub fn set(&mut self, name: &str, values: Vec<Vec<u8>>) {
        let key = name.to_ascii_lowercase();
        if values.is_empty() {
            self.attributes.remove(&key);
            return;
        }
        self.attributes
            .entry(key)
            .or_insert_with(|| (name.to_owned(), Vec::new()))
            .1 = values;
    }

    /// Every attribute by its printed name, sorted without regard to case.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &[Vec<u8>])> {
        self.attributes
            .values()
            .map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    pub(super) fn has_class(&self, class: &str) -> bool {
        let is = |value: &Vec<u8>| value.eq_ignore_ascii_case(class.as_bytes());
        self.values("objectClass").iter().any(is)
    }
}

/// Whether two values of an attribute are equal: octets exactly, names as names, SIDs also in
/// their text form (as in a filter), everything else without regard to case.
pub(super) fn equal(name: &str, value: &[u8], wanted: &[u8]) -> bool {
    if value == wanted {
        return true;
    }
    if name.eq_ignore_ascii_case("objectSid") {
        let text = std::str::from_utf8(wanted).ok();
        let sid = text.and_then(|text| Sid::parse(text).ok());
        return sid.is_some_and(|sid| sid.to_bytes() == value);
    }
    if is_octets(name) {
        return false;
    }
    let (Ok(value), Ok(wanted)) = (std::str::from_utf8(value), std::str::from_utf8(wanted)) else {
        return false;
    };
    if is_name(name) {
        return match (Dn::parse(value), Dn::parse(wanted)) {
            (Ok(value), Ok(wanted)) => value == wanted,
            _ => false,
        };
    }
    value.to_lowercase() == wanted.to_lowercase()
}

/// Numbers by their value, everything else by its octets.
pub(super) fn ordered(value: &[u8], other: &[u8]) -> Ordering {
    let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<i64>().ok();
    match (number(value), number(other)) {
        (Some(value), Some(other)) => value.cmp(&other),
        _ => value.to_ascii_lowercase().cmp(&other.to_ascii_lowercase()),
    }
}

pub(super) fn is_name(attribute: &str) -> bool {
    NAMES
        .iter()
        .any(|name| name.eq_ignore_ascii_case(attribute))
}

fn is_octets(attribute: &str) -> bool {
    OCTETS
        .iter()
        .any(|name| name.eq_ignore_ascii_case(attribute))
        || Attribute::from_name(attribute).is_some_and(|attribute| {
            matches!(attribute.schema().syntax, Syntax::Octets | Syntax::Sid)
        })
}

/// Why a device attribute may not have these values, as the number at the front of Active
/// Directory's message and an LDAP result code ([MS-ADTS] 3.1.1.5.1.1, [MS-ADTS] 3.1.1.3.1.9).
pub(super) fn refusal(attribute: Attribute, values: &[Vec<u8>]) -> Option<(u32, &'static str)> {
    let row = attribute.schema();
    let too_long = |value: &Vec<u8>| {
        let length = match row.syntax {
            Syntax::Unicode => String::from_utf8_lossy(value).encode_utf16().count(),
            _ => value.len(),
        };
        row.range
            .is_some_and(|(low, high)| length < low || length > high)
    };
    let wrong = |value: &Vec<u8>| {
        let text = std::str::from_utf8(value);
        match row.syntax {
            Syntax::Unicode => text.is_err() || value.is_empty(),
            Syntax::Boolean => !matches!(text, Ok("TRUE" | "FALSE")),
            Syntax::Integer => !text.is_ok_and(|text| text.parse::<i32>().is_ok()),
            Syntax::LargeInteger => !text.is_ok_and(|text| text.parse::<i64>().is_ok()),
            _ => false,
        }
    };
    if row.single_valued && values.len() > 1 {
        return Some((19, "00002081: AtrErr: problem 1005 (CONSTRAINT_ATT_TYPE)"));
    }
    if values.iter().any(wrong) {
        return Some((
            21,
            "00000057: comment: Error in attribute conversion operation",
        ));
    }
    if values.iter().any(too_long) {
        return Some((19, "00002082: AtrErr: problem 1005 (CONSTRAINT_ATT_TYPE)"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equal_whatever_their_spelling() {
        assert!(equal("nCName", b"DC=Contoso, DC=com", b"dc=contoso,dc=COM"));
        assert!(!equal("nCName", b"DC=contoso,DC=com", b"DC=com"));
    }

    #[test]
    fn a_sid_may_be_asked_for_as_text() {
        let sid = Sid::parse("S-1-5-21-1-2-3-1104").unwrap();
        assert!(equal("objectSid", &sid.to_bytes(), b"S-1-5-21-1-2-3-1104"));
        assert!(!equal("objectSid", &sid.to_bytes(), b"S-1-5-21-1-2-3-1105"));
    }

    #[test]
    fn values_outside_of_the_schema_are_refused() {
        let code = |attribute, values: &[&[u8]]| {
            let values: Vec<Vec<u8>> = values.iter().map(|value| value.to_vec()).collect();
            refusal(attribute, &values).map(|(code, _)| code)
        };
        assert_eq!(code(Attribute::IsEnabled, &[b"TRUE"]), None);
        assert_eq!(code(Attribute::IsEnabled, &[b"true"]), Some(21));
        assert_eq!(code(Attribute::DeviceId, &[&[0; 15]]), Some(19));
        assert_eq!(code(Attribute::DisplayName, &[&[b'x'; 257]]), Some(19));
        assert_eq!(code(Attribute::DisplayName, &[b"a", b"b"]), Some(19));
    }

    #[test]
    fn an_attribute_keeps_its_spelling() {
        let mut entry = Entry::new("").with("displayName", ["a"]);
        entry.set("DISPLAYNAME", vec![b"b".to_vec()]);
        let names: Vec<&str> = entry.attributes().map(|(name, _)| name).collect();
        assert_eq!(names, ["displayName"]);
        assert_eq!(entry.text("displayname").as_deref(), Some("b"));
    }
}
