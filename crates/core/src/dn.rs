//! Distinguished names ([RFC 4514]), compared as Active Directory compares them.
//!
//! Two names are equal when their attribute types and values are equal without regard to letter
//! case; spaces around separators and the way a character is escaped do not matter.

mod parser;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::InvalidValue;
use crate::guid::Guid;

/// A distinguished name; the empty one names the root of the directory (rootDSE).
///
/// Printed with no spaces around separators and with no more escapes than needed. Common
/// attribute types are printed in upper case, as Active Directory does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dn {
    rdns: Vec<Rdn>,
}

/// One level of a name: an attribute type and its value, or several of them joined by `+`.
///
/// Several are kept in a fixed order, so that the order in which they were written does not
/// matter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rdn {
    first: Ava,
    more: Vec<Ava>,
}

/// Attribute type and value ("attribute value assertion").
#[derive(Clone)]
struct Ava {
    kind: Cow<'static, str>,
    /// Unescaped; for a `#` value that is not a string, the `#` and its digits.
    value: Box<str>,
    /// Whether `value` is such a `#` value.
    is_ber: bool,
}

impl Dn {
    /// The name of the root of the directory.
    pub const EMPTY: Self = Self { rdns: Vec::new() };

    /// Reads a name.
    ///
    /// # Errors
    /// Refuses what [RFC 4514] does not define, among it quoted values, `;` as separator, and
    /// Active Directory's `<GUID=...>` forms, which are no names.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        parser::parse(text)
    }

    /// The levels of the name, the object's own first and the domain's last.
    pub fn rdns(&self) -> &[Rdn] {
        &self.rdns
    }

    /// The object's own level; `None` for the empty name.
    pub fn rdn(&self) -> Option<&Rdn> {
        self.rdns.first()
    }

    /// Whether this is the empty name.
    pub fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// The name one level up; `None` for the empty name.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.rdns.split_first()?;
        Some(Self {
            rdns: rest.to_vec(),
        })
    }

    /// Whether `parent` is the name one level up.
    pub fn is_child_of(&self, parent: &Self) -> bool {
        self.rdns
            .split_first()
            .is_some_and(|(_, rest)| *rest == *parent.rdns)
    }

    /// Whether `ancestor` is any number of levels up, but at least one.
    pub fn is_below(&self, ancestor: &Self) -> bool {
        self.rdns.len() > ancestor.rdns.len() && self.rdns.ends_with(&ancestor.rdns)
    }

    /// The name of an object directly below this one. `kind` is its naming attribute, such as
    /// `"CN"`, and is trusted to be one; `value` is unescaped text, any text.
    #[must_use]
    pub fn child(&self, kind: &str, value: &str) -> Self {
        let ava = Ava {
            kind: parser::canonical_kind(kind),
            value: value.into(),
            is_ber: false,
        };
        let mut rdns = Vec::with_capacity(self.rdns.len() + 1);
        rdns.push(Rdn {
            first: ava,
            more: Vec::new(),
        });
        rdns.extend_from_slice(&self.rdns);
        Self { rdns }
    }

    /// Text that is the same for equal names and different for others: the printed form in lower
    /// case. Itself a name that parses to an equal one.
    pub fn normalized(&self) -> String {
        let mut text = self.to_string();
        if text.is_ascii() {
            text.make_ascii_lowercase();
            text
        } else {
            folded(&text).collect()
        }
    }

    /// Whether the object is the loser of a replication conflict, which Active Directory renames
    /// by appending a line feed, `CNF:` and its `objectGUID` ([MS-ADTS] 3.1.1.5.1.3).
    pub fn is_replication_conflict(&self) -> bool {
        self.rdn().is_some_and(|rdn| {
            rdn.value()
                .rsplit_once("\nCNF:")
                .is_some_and(|(_, guid)| Guid::parse(guid).is_ok())
        })
    }
}

impl Rdn {
    /// The attribute type, such as `CN`; of the first pair if there are several.
    pub fn kind(&self) -> &str {
        &self.first.kind
    }

    /// The unescaped value; of the first pair if there are several. A `#` value that is not a
    /// string is given as its digits, with the `#`.
    pub fn value(&self) -> &str {
        &self.first.value
    }

    /// Whether the level consists of several attributes joined by `+`.
    pub fn is_multi_valued(&self) -> bool {
        !self.more.is_empty()
    }

    /// All pairs of attribute type and unescaped value.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.avas().map(|ava| (&*ava.kind, &*ava.value))
    }

    fn avas(&self) -> impl Iterator<Item = &Ava> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, rdn) in self.rdns.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            fmt::Display::fmt(rdn, f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dn({self})")
    }
}

impl fmt::Display for Rdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, ava) in self.avas().enumerate() {
            if at > 0 {
                f.write_str("+")?;
            }
            f.write_str(&ava.kind)?;
            f.write_str("=")?;
            write_value(f, &ava.value, ava.is_ber)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Rdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rdn({self})")
    }
}

impl FromStr for Dn {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text)
    }
}

impl Serialize for Dn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Dn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl de::Visitor<'_> for TextVisitor {
    type Value = Dn;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a distinguished name as text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Dn, E> {
        Dn::parse(text).map_err(E::custom)
    }
}

impl PartialEq for Ava {
    fn eq(&self, other: &Self) -> bool {
        self.is_ber == other.is_ber
            && eq_folded(&self.kind, &other.kind)
            && eq_folded(&self.value, &other.value)
    }
}

impl Eq for Ava {}

impl PartialOrd for Ava {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ava {
    fn cmp(&self, other: &Self) -> Ordering {
        folded(&self.kind)
            .cmp(folded(&other.kind))
            .then_with(|| folded(&self.value).cmp(folded(&other.value)))
            .then_with(|| self.is_ber.cmp(&other.is_ber))
    }
}

impl Hash for Ava {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for text in [&*self.kind, &*self.value] {
            for character in folded(text) {
                state.write_u32(character.into());
            }
            state.write_u8(0xff);
        }
        self.is_ber.hash(state);
    }
}

/// Whether `child` names an object directly below `parent_normalized`, which is a
/// [`normalized`](Dn::normalized) name. As [`Dn::is_child_of`], without an allocation for names
/// of the usual form; text that is no name is not below anything.
pub fn is_child_text(child: &str, parent_normalized: &str) -> bool {
    // Without escapes, several values and quotes the first comma ends the first level, and
    // without spaces and characters beyond ASCII the rest compares octet by octet.
    let plain = |text: &str| {
        text.bytes()
            .all(|octet| octet.is_ascii_graphic() && !b"\\+\"#;<>".contains(&octet))
    };
    if let Some((leaf, rest)) = child.split_once(',')
        && plain(child)
        && rest.eq_ignore_ascii_case(parent_normalized)
        && leaf
            .split_once('=')
            .is_some_and(|(kind, _)| parser::is_keyword(kind))
    {
        return true;
    }
    match (Dn::parse(child), Dn::parse(parent_normalized)) {
        (Ok(child), Ok(parent)) => child.is_child_of(&parent),
        _ => false,
    }
}

/// The characters that comparisons see: each one in lower case, whatever stands beside it.
fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

fn eq_folded(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && folded(a).eq(folded(b)))
}

/// Writes a value with the escapes that [RFC 4514] 2.4 demands; control characters as hex pairs,
/// as Active Directory does.
fn write_value(f: &mut fmt::Formatter<'_>, value: &str, is_ber: bool) -> fmt::Result {
    if is_ber {
        return f.write_str(value);
    }
    let last = value.len().wrapping_sub(1);
    // What needs no escape is written in one piece.
    let mut rest = value;
    for (at, octet) in value.bytes().enumerate() {
        let is_space_at_end = octet == b' ' && (at == 0 || at == last);
        let is_special = b"\"+,;<>\\".contains(&octet) || (octet == b'#' && at == 0);
        let is_control = octet.is_ascii_control();
        if !(is_space_at_end || is_special || is_control) {
            continue;
        }
        let Some((plain, tail)) = rest.split_at_checked(rest.len() - (value.len() - at)) else {
            return Err(fmt::Error);
        };
        f.write_str(plain)?;
        if is_control {
            write!(f, "\\{octet:02X}")?;
        } else {
            write!(f, "\\{}", char::from(octet))?;
        }
        rest = tail.get(1..).unwrap_or_default();
    }
    f.write_str(rest)
}

#[cfg(test)]
mod tests;
