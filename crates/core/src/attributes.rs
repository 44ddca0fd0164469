//! Attribute values as they stand on the wire, kept compactly.

use std::fmt;

use crate::alt_security_id::AltSecurityId;
use crate::boolean::parse_ldap_boolean;
use crate::cloud_anchor;
use crate::dn_binary::DnBinary;
use crate::error::InvalidValue;
use crate::filetime::FileTime;
use crate::schema::{Attribute, Equality, Syntax};
use crate::sid::Sid;

/// A set of attributes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct AttributeMask(u32);

impl AttributeMask {
    /// No attribute.
    pub const EMPTY: Self = Self(0);

    /// Whether `attribute` is in the set.
    pub const fn contains(self, attribute: Attribute) -> bool {
        self.0 & Self::bit(attribute) != 0
    }

    /// Adds `attribute`.
    pub const fn insert(&mut self, attribute: Attribute) {
        self.0 |= Self::bit(attribute);
    }

    /// Takes `attribute` out.
    pub const fn remove(&mut self, attribute: Attribute) {
        self.0 &= !Self::bit(attribute);
    }

    /// What both sets have.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What this set has and `other` lacks.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every attribute of `other` is in this set.
    pub const fn is_superset(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The attributes in table order.
    pub fn iter(self) -> impl Iterator<Item = Attribute> {
        Attribute::ALL
            .iter()
            .copied()
            .filter(move |attribute| self.contains(*attribute))
    }

    const fn bit(attribute: Attribute) -> u32 {
        1 << attribute as u32
    }
}

impl FromIterator<Attribute> for AttributeMask {
    fn from_iter<I: IntoIterator<Item = Attribute>>(iter: I) -> Self {
        let mut mask = Self::EMPTY;
        for attribute in iter {
            mask.insert(attribute);
        }
        mask
    }
}

impl fmt::Debug for AttributeMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Attribute::name))
            .finish()
    }
}

/// Values of attributes of one object, in LDAP wire encoding, in the order they were added.
///
/// One buffer holds all values: a million records pass through here, and most are thrown away after their digest is taken.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AttributeSet {
    data: Vec<u8>,
    spans: Vec<(Attribute, u32)>,
}

impl AttributeSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one value of `attribute`.
    pub fn push(&mut self, attribute: Attribute, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.close(attribute);
    }

    /// Adds one value of `attribute`, written by `write` into the shared buffer.
    pub fn push_with(&mut self, attribute: Attribute, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.data);
        self.close(attribute);
    }

    /// The values of `attribute`, in the order they were added.
    pub fn values(&self, attribute: Attribute) -> impl Iterator<Item = &[u8]> {
        self.iter()
            .filter(move |(own, _)| *own == attribute)
            .map(|(_, value)| value)
    }

    /// The first value of `attribute`.
    pub fn first(&self, attribute: Attribute) -> Option<&[u8]> {
        self.values(attribute).next()
    }

    /// Whether `attribute` has a value.
    pub fn has(&self, attribute: Attribute) -> bool {
        self.spans.iter().any(|(own, _)| *own == attribute)
    }

    /// All values with their attributes, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (Attribute, &[u8])> {
        let mut start = 0;
        self.spans.iter().map(move |&(attribute, end)| {
            let value = self.data.get(start..end as usize).unwrap_or_default();
            start = end as usize;
            (attribute, value)
        })
    }

    /// The attributes that have a value.
    pub fn attributes(&self) -> AttributeMask {
        self.spans.iter().map(|(attribute, _)| *attribute).collect()
    }

    /// Forgets all values and keeps the memory.
    pub fn clear(&mut self) {
        self.data.clear();
        self.spans.clear();
    }

    fn close(&mut self, attribute: Attribute) {
        // A single object is far below 4 GiB: the readers refuse larger records.
        let end = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        self.spans.push((attribute, end));
    }
}

impl fmt::Debug for AttributeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(
                self.iter()
                    .map(|(attribute, value)| (attribute.name(), value.escape_ascii().to_string())),
            )
            .finish()
    }
}

/// Appends a form of `value` that is equal for equal meaning: two values of `attribute` mean the same exactly when
/// their canonical forms are the same bytes.
pub fn canonical(attribute: Attribute, value: &[u8], out: &mut Vec<u8>) {
    // A value that does not decode is compared as bytes, and the marker keeps it apart from every decoded one.
    const DECODED: u8 = 0;
    const RAW: u8 = 1;
    match attribute.schema().equality {
        Equality::Exact => out.extend_from_slice(value),
        Equality::CaseIgnore => match std::str::from_utf8(value) {
            Ok(text) if text.is_ascii() => {
                out.push(DECODED);
                out.extend(value.iter().map(u8::to_ascii_lowercase));
            }
            Ok(text) => {
                out.push(DECODED);
                out.extend_from_slice(text.to_lowercase().as_bytes());
            }
            Err(_) => raw(value, out),
        },
        Equality::Number | Equality::Raised => match parse_number(value) {
            Some(number) => {
                out.push(DECODED);
                out.extend_from_slice(&number.to_be_bytes());
            }
            None => raw(value, out),
        },
        Equality::Sid => match Sid::decode_either(value) {
            Ok((sid, _)) => {
                out.push(DECODED);
                out.extend_from_slice(&sid.to_bytes());
            }
            Err(_) => raw(value, out),
        },
        Equality::CloudAnchor => match cloud_anchor::decode(value) {
            Ok(id) => {
                out.push(DECODED);
                out.extend_from_slice(&id.guid().to_bytes());
            }
            Err(_) => raw(value, out),
        },
    }

    fn raw(value: &[u8], out: &mut Vec<u8>) {
        out.push(RAW);
        out.extend_from_slice(value);
    }
}

/// Whether two lists of values mean the same set.
pub fn same_meaning<A, B>(attribute: Attribute, left: A, right: B) -> bool
where
    A: IntoIterator,
    A::Item: AsRef<[u8]>,
    B: IntoIterator,
    B::Item: AsRef<[u8]>,
{
    canonical_set(attribute, left) == canonical_set(attribute, right)
}

/// The canonical forms of `values`, as a set.
pub fn canonical_set<V>(attribute: Attribute, values: V) -> std::collections::BTreeSet<Vec<u8>>
where
    V: IntoIterator,
    V::Item: AsRef<[u8]>,
{
    values
        .into_iter()
        .map(|value| {
            let mut form = Vec::new();
            canonical(attribute, value.as_ref(), &mut form);
            form
        })
        .collect()
}

/// A decimal number of an LDAP integer syntax.
pub fn parse_number(value: &[u8]) -> Option<i64> {
    // LDAP writes no sign before a positive number ([RFC 4517] 3.3.16).
    if value.starts_with(b"+") {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Checks `value` against the syntax and range that the table states for `attribute`, as a domain controller does on a write.
///
/// # Errors
/// [`InvalidValue`] names the attribute and what is wrong.
pub fn validate(attribute: Attribute, value: &[u8]) -> Result<(), InvalidValue> {
    let row = attribute.schema();
    let fail = |detail: String| Err(InvalidValue::new(row.name, detail));
    if value.is_empty() {
        return fail("a value cannot be empty".into());
    }
    let length = match row.syntax {
        Syntax::Unicode => match std::str::from_utf8(value) {
            Ok(text) => text.encode_utf16().count(),
            Err(_) => return fail("not UTF-8".into()),
        },
        _ => value.len(),
    };
    if let Some((low, high)) = row.range
        && !(low..=high).contains(&length)
    {
        let unit = if row.syntax == Syntax::Unicode {
            "UTF-16 code units"
        } else {
            "bytes"
        };
        return fail(format!(
            "{length} {unit}, the schema allows {low} to {high}"
        ));
    }
    match row.syntax {
        Syntax::Boolean => parse_ldap_boolean(value).map(drop),
        Syntax::Integer | Syntax::LargeInteger => match parse_number(value) {
            Some(number) if row.syntax == Syntax::LargeInteger || i32::try_from(number).is_ok() => {
                Ok(())
            }
            _ => fail("not a decimal number of the syntax's size".into()),
        },
        Syntax::Sid => Sid::from_bytes(value).map(drop),
        Syntax::DnBinary => match std::str::from_utf8(value) {
            Ok(text) => DnBinary::parse(text).map(drop),
            Err(_) => fail("not UTF-8".into()),
        },
        Syntax::Unicode | Syntax::Octets => Ok(()),
    }
}

/// Checks `value` as [`validate`] does and, beyond the directory's own checks, that it means what the product writes
/// there: a plan is an unsigned write order, and a well-formed octet string may still be no SID.
///
/// # Errors
/// [`InvalidValue`] names the attribute and what is wrong.
pub fn validate_meaning(attribute: Attribute, value: &[u8]) -> Result<(), InvalidValue> {
    validate(attribute, value)?;
    match attribute {
        Attribute::AltSecurityIdentities => {
            let text = std::str::from_utf8(value)
                .map_err(|_| InvalidValue::new(attribute.name(), "not UTF-8"))?;
            let parsed = AltSecurityId::parse(text)?;
            if parsed.as_str() == text {
                Ok(())
            } else {
                Err(InvalidValue::new(
                    attribute.name(),
                    "not in the form AD FS looks up",
                ))
            }
        }
        _ => match attribute.schema().equality {
            Equality::Sid => Sid::decode_either(value).map(drop),
            Equality::CloudAnchor => cloud_anchor::decode(value).map(drop),
            Equality::Raised => FileTime::parse_ticks(value).map(drop),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guid::ObjectId;
    use crate::sid::SidEncoding;

    fn form(attribute: Attribute, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        canonical(attribute, value, &mut out);
        out
    }

    fn same(attribute: Attribute, left: &[u8], right: &[u8]) -> bool {
        same_meaning(attribute, [left], [right])
    }

    #[test]
    fn masks_are_sets() {
        let mut mask: AttributeMask = [Attribute::IsManaged, Attribute::DisplayName]
            .into_iter()
            .collect();
        assert!(mask.contains(Attribute::DisplayName) && !mask.contains(Attribute::IsCompliant));
        assert_eq!(format!("{mask:?}"), r#"{"displayName", "msDS-IsManaged"}"#);
        let other: AttributeMask = [Attribute::DisplayName].into_iter().collect();
        assert_eq!(mask.intersection(other), other);
        assert!(mask.is_superset(other) && !other.is_superset(mask));
        assert!(mask.difference(mask).is_empty());
        mask.remove(Attribute::DisplayName);
        mask.remove(Attribute::DisplayName);
        assert_eq!(mask.iter().collect::<Vec<_>>(), [Attribute::IsManaged]);
        assert_eq!(AttributeMask::EMPTY.iter().count(), 0);
        let all: AttributeMask = Attribute::ALL.iter().copied().collect();
        assert_eq!(all.iter().collect::<Vec<_>>(), Attribute::ALL);
    }

    #[test]
    fn sets_keep_values_apart_and_in_order() {
        let mut set = AttributeSet::new();
        set.push(Attribute::DevicePhysicalIds, b"b");
        set.push(Attribute::DisplayName, b"");
        set.push_with(Attribute::DevicePhysicalIds, |out| {
            out.extend_from_slice(b"a")
        });
        let values: Vec<_> = set.values(Attribute::DevicePhysicalIds).collect();
        assert_eq!(values, [b"b", b"a"]);
        assert_eq!(set.first(Attribute::DisplayName), Some(&b""[..]));
        assert!(set.has(Attribute::DisplayName) && !set.has(Attribute::IsManaged));
        assert_eq!(set.first(Attribute::IsManaged), None);
        assert_eq!(set.attributes().iter().count(), 2);
        set.clear();
        assert_eq!(set, AttributeSet::new());
    }

    #[test]
    fn meanings() {
        let sid: Sid = "S-1-5-21-1-2-3-1104".parse().unwrap();
        let (text, octets) = (
            sid.encode(SidEncoding::Text),
            sid.encode(SidEncoding::Binary),
        );
        assert!(same(Attribute::RegisteredOwner, &text, &octets));
        assert!(!same(
            Attribute::RegisteredOwner,
            &text,
            b"S-1-5-21-1-2-3-1105"
        ));
        let id = ObjectId::parse("1c3a5f9e-0b2d-4c6e-8fa1-b3c5d7e9f102").unwrap();
        let anchor = |encoding| cloud_anchor::encode(id, encoding);
        assert!(same(
            Attribute::CloudAnchor,
            &anchor(cloud_anchor::CloudAnchorEncoding::Text),
            &anchor(cloud_anchor::CloudAnchorEncoding::Binary)
        ));
        assert!(same(Attribute::DeviceObjectVersion, b"02", b"2"));
        assert!(!same(Attribute::DeviceObjectVersion, b"+2", b"2"));
        assert!(same(
            Attribute::DevicePhysicalIds,
            "Ä".as_bytes(),
            "ä".as_bytes()
        ));
        assert!(!same(Attribute::DisplayName, b"a", b"A"));
        assert!(!same(Attribute::AltSecurityIdentities, b"a", b"A"));
        assert!(same_meaning(
            Attribute::DevicePhysicalIds,
            ["a", "B"],
            ["b", "A", "a"]
        ));
        assert!(!same_meaning(Attribute::DevicePhysicalIds, ["a"], [""; 0]));
    }

    #[test]
    fn a_value_that_means_nothing_is_equal_to_itself_only() {
        for attribute in [
            Attribute::RegisteredOwner,
            Attribute::CloudAnchor,
            Attribute::DeviceObjectVersion,
            Attribute::DevicePhysicalIds,
        ] {
            let odd = b"\xFFodd";
            assert!(same(attribute, odd, odd));
            assert!(!same(attribute, odd, b"\xFFODD"), "{attribute}");
            // Not even to what decodes to the same octets.
            let raw = form(attribute, odd);
            assert!(!raw.is_empty());
            assert_ne!(form(attribute, &raw), raw);
        }
    }

    #[test]
    fn ranges_as_a_domain_controller_counts_them() {
        let valid = |attribute, value: &str| validate(attribute, value.as_bytes()).is_ok();
        assert!(valid(Attribute::DisplayName, &"x".repeat(256)));
        assert!(!valid(Attribute::DisplayName, &"x".repeat(257)));
        assert!(valid(Attribute::DisplayName, &"\u{1F4BB}".repeat(128)));
        assert!(!valid(Attribute::DisplayName, &"\u{1F4BB}".repeat(129)));
        assert!(!valid(Attribute::DisplayName, ""));
        assert!(valid(Attribute::IsEnabled, "TRUE") && !valid(Attribute::IsEnabled, "true"));
        assert!(valid(Attribute::DeviceObjectVersion, "-2147483648"));
        assert!(!valid(Attribute::DeviceObjectVersion, "2147483648"));
        assert!(!valid(Attribute::DeviceObjectVersion, "+1"));
        assert!(valid(
            Attribute::ApproximateLastLogonTimeStamp,
            "9223372036854775807"
        ));
        assert!(!valid(
            Attribute::ApproximateLastLogonTimeStamp,
            "9223372036854775808"
        ));
        assert!(validate(Attribute::DeviceId, &[0; 16]).is_ok());
        assert_eq!(
            validate(Attribute::DeviceId, &[0; 15])
                .unwrap_err()
                .to_string(),
            "invalid msDS-DeviceID: 15 bytes, the schema allows 16 to 16"
        );
        assert!(validate(Attribute::DisplayName, b"\xFF").is_err());
        assert!(validate(Attribute::ComputerSid, b"S-1-5-21-1-2-3-4").is_err());
        assert!(validate(Attribute::RegisteredOwner, b"anything").is_ok());
    }

    #[test]
    fn meanings_that_the_product_would_write() {
        let valid = |attribute, value: &[u8]| validate_meaning(attribute, value).is_ok();
        assert!(valid(Attribute::RegisteredOwner, b"S-1-5-21-1-2-3-1104"));
        assert!(!valid(Attribute::RegisteredOwner, b"anything"));
        assert!(!valid(Attribute::CloudAnchor, b"Device_"));
        assert!(!valid(
            Attribute::AltSecurityIdentities,
            b"Kerberos:admin@contoso.com"
        ));
        assert!(!valid(Attribute::ApproximateLastLogonTimeStamp, b"-1"));
        assert!(valid(
            Attribute::ApproximateLastLogonTimeStamp,
            b"134000000000000000"
        ));
        // With a separator AD FS would not find it.
        let odd = format!(
            "X509:<SHA1-TP-PUBKEY>{}+{}=",
            "0".repeat(40),
            "A".repeat(43)
        );
        assert!(AltSecurityId::parse(&odd).is_ok());
        assert!(!valid(Attribute::AltSecurityIdentities, odd.as_bytes()));
    }

    proptest! {
        #[test]
        fn what_decodes_and_what_does_not_are_never_equal(
            number in 0..Attribute::ALL.len(),
            left in prop::collection::vec(any::<u8>(), 0..20),
            right in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let attribute = Attribute::ALL[number];
            if form(attribute, &left) == form(attribute, &right)
                && attribute.schema().equality == Equality::Exact
            {
                prop_assert_eq!(&left, &right);
            }
            prop_assert!(same(attribute, &left, &left));
            // No value panics, and what the product would write a domain controller takes.
            if validate_meaning(attribute, &left).is_ok() {
                prop_assert!(validate(attribute, &left).is_ok());
            }
        }
    }
}
