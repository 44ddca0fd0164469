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
