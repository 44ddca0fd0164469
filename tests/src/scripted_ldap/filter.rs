//! Search filters: read from a request, compared with an entry, printed for a person.

use std::fmt;

use lber::structure::StructureTag;

use super::ber;
use super::values::{Entry, equal, ordered};

const ALL_BITS: &str = "1.2.840.113556.1.4.803";
const ANY_BIT: &str = "1.2.840.113556.1.4.804";

/// A search filter ([RFC 4511] 4.5.1.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of them.
    And(Vec<Filter>),
    /// One of them.
    Or(Vec<Filter>),
    /// Not this one.
    Not(Box<Filter>),
    /// The attribute has this value.
    Equal(String, Vec<u8>),
    /// The attribute has a value with these pieces: at its start, in between, at its end.
    Substrings(String, Vec<u8>, Vec<Vec<u8>>, Vec<u8>),
    /// The attribute has a value that is not smaller.
    GreaterOrEqual(String, Vec<u8>),
    /// The attribute has a value that is not larger.
    LessOrEqual(String, Vec<u8>),
    /// The attribute has a value.
    Present(String),
    /// The attribute has a value that fits this one by a matching rule: all bits
    /// (1.2.840.113556.1.4.803) or one bit (1.2.840.113556.1.4.804) of a number. Nothing fits by
    /// another rule.
    #[expect(missing_docs, reason = "the fields are named as in the RFC")]
    Extensible {
        rule: String,
        attribute: String,
        value: Vec<u8>,
    },
}

impl Filter {
    pub(super) fn decode(tag: StructureTag) -> Option<Filter> {
        let assertion = |tag: StructureTag| {
            let mut parts = ber::parts(tag)?;
            Some((ber::text(parts.next()?)?, parts.next()?.expect_primitive()?))
        };
        Some(match tag.id {
            0 => Filter::And(
                ber::parts(tag)?
                    .map(Filter::decode)
                    .collect::<Option<_>>()?,
            ),
            1 => Filter::Or(
                ber::parts(tag)?
                    .map(Filter::decode)
                    .collect::<Option<_>>()?,
            ),
            2 => Filter::Not(Box::new(Filter::decode(ber::parts(tag)?.next()?)?)),
            3 | 8 => assertion(tag).map(|(name, value)| Filter::Equal(name, value))?,
            4 => Filter::decode_substrings(tag)?,
            5 => assertion(tag).map(|(name, value)| Filter::GreaterOrEqual(name, value))?,
            6 => assertion(tag).map(|(name, value)| Filter::LessOrEqual(name, value))?,
            7 => Filter::Present(ber::text(tag)?),
            9 => Filter::decode_extensible(tag)?,
            _ => return None,
        })
    }

    fn decode_substrings(tag: StructureTag) -> Option<Filter> {
        let mut parts = ber::parts(tag)?;
        let name = ber::text(parts.next()?)?;
        let (mut first, mut middle, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for piece in ber::parts(parts.next()?)? {
            let id = piece.id;
            let piece = piece.expect_primitive()?;
            match id {
                0 => first = piece,
                1 => middle.push(piece),
                2 => last = piece,
                _ => return None,
            }
        }
        Some(Filter::Substrings(name, first, middle, last))
    }

    fn decode_extensible(tag: StructureTag) -> Option<Filter> {
        let (mut rule, mut attribute, mut value) = (String::new(), String::new(), Vec::new());
        for part in ber::parts(tag)? {
            match part.id {
                1 => rule = ber::text(part)?,
                2 => attribute = ber::text(part)?,
                3 => value = part.expect_primitive()?,
                _ => {}
            }
        }
        Some(Filter::Extensible {
            rule,
            attribute,
            value,
        })
    }

    /// Whether an entry is meant. As in Active Directory, an attribute that is absent makes an
    /// assertion false and its negation true.
    pub(super) fn matches(&self, entry: &Entry) -> bool {
        let any = |name: &str, test: &dyn Fn(&[u8]) -> bool| {
            entry.values(name).iter().any(|value| test(value))
        };
        match self {
            Filter::And(all) => all.iter().all(|filter| filter.matches(entry)),
            Filter::Or(any) => any.iter().any(|filter| filter.matches(entry)),
            Filter::Not(filter) => !filter.matches(entry),
            Filter::Equal(name, wanted) => any(name, &|value| equal(name, value, wanted)),
            Filter::Substrings(name, first, middle, last) => {
                any(name, &|value| has_pieces(value, first, middle, last))
            }
            Filter::GreaterOrEqual(name, wanted) => {
                any(name, &|value| ordered(value, wanted).is_ge())
            }
            Filter::LessOrEqual(name, wanted) => any(name, &|value| ordered(value, wanted).is_le()),
            Filter::Present(name) => !entry.values(name).is_empty(),
            Filter::Extensible {
                rule,
                attribute,
                value: wanted,
            } => any(attribute, &|value| has_bits(rule, value, wanted)),
        }
    }
}

/// The bitwise rules of [MS-ADTS] 3.1.1.3.4.4.
fn has_bits(rule: &str, value: &[u8], wanted: &[u8]) -> bool {
    let number = |octets: &[u8]| std::str::from_utf8(octets).ok()?.parse::<i64>().ok();
    let (Some(value), Some(wanted)) = (number(value), number(wanted)) else {
        return false;
    };
    match rule {
        ALL_BITS => value & wanted == wanted,
        ANY_BIT => value & wanted != 0,
        _ => false,
    }
}

fn has_pieces(value: &[u8], first: &[u8], middle: &[Vec<u8>], last: &[u8]) -> bool {
    let value = value.to_ascii_lowercase();
    let Some(mut rest) = value.strip_prefix(first.to_ascii_lowercase().as_slice()) else {
        return false;
    };
    for piece in middle {
        let piece = piece.to_ascii_lowercase();
        let found = (0..=rest.len()).find_map(|at| rest.get(at..)?.strip_prefix(piece.as_slice()));
        let Some(after) = found else { return false };
        rest = after;
    }
    rest.ends_with(&last.to_ascii_lowercase())
}

/// As [RFC 4515] writes it; octets that are no printable ASCII are escaped.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = |f: &mut fmt::Formatter<'_>, sign: char, filters: &[Filter]| {
            write!(f, "({sign}")?;
            filters
                .iter()
                .try_for_each(|filter| write!(f, "{filter}"))?;
            write!(f, ")")
        };
        match self {
            Filter::And(filters) => several(f, '&', filters),
            Filter::Or(filters) => several(f, '|', filters),
            Filter::Not(filter) => write!(f, "(!{filter})"),
            Filter::Equal(name, value) => write!(f, "({name}={})", escaped(value)),
            Filter::Substrings(name, first, middle, last) => {
                write!(f, "({name}={}*", escaped(first))?;
                for piece in middle {
                    write!(f, "{}*", escaped(piece))?;
                }
                write!(f, "{})", escaped(last))
            }
            Filter::GreaterOrEqual(name, value) => write!(f, "({name}>={})", escaped(value)),
            Filter::LessOrEqual(name, value) => write!(f, "({name}<={})", escaped(value)),
            Filter::Present(name) => write!(f, "({name}=*)"),
            Filter::Extensible {
                rule,
                attribute,
                value,
            } => write!(f, "({attribute}:{rule}:={})", escaped(value)),
        }
    }
}

fn escaped(value: &[u8]) -> String {
    let mut text = String::new();
    for octet in value {
        match octet {
            b'(' | b')' | b'*' | b'\\' => text.push_str(&format!("\\{octet:02x}")),
            b' '..=b'~' => text.push(char::from(*octet)),
            _ => text.push_str(&format!("\\{octet:02x}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::new("CN=a,DC=b")
            .with("cn", ["Alpha Beta"])
            .with("uSNChanged", ["1200"])
            .with("objectGUID", [[0xa0u8, b'A']])
    }

    fn equal(name: &str, value: &[u8]) -> Filter {
        Filter::Equal(name.to_owned(), value.to_vec())
    }

    #[test]
    fn text_is_compared_without_case_and_octets_are_not() {
        assert!(equal("CN", b"alpha beta").matches(&entry()));
        assert!(equal("objectguid", &[0xa0, b'A']).matches(&entry()));
        assert!(!equal("objectGUID", &[0xa0, b'a']).matches(&entry()));
    }

    #[test]
    fn the_negation_of_an_absent_attribute_is_true() {
        let absent = equal("msDS-CloudAnchor", b"x");
        assert!(!absent.matches(&entry()));
        assert!(Filter::Not(Box::new(absent)).matches(&entry()));
    }

    #[test]
    fn numbers_are_ordered_as_numbers() {
        let at_least = |value: &[u8]| Filter::GreaterOrEqual("uSNChanged".into(), value.to_vec());
        assert!(at_least(b"999").matches(&entry()));
        assert!(!at_least(b"1201").matches(&entry()));
    }

    #[test]
    fn bits_are_tested_by_rule() {
        let rule = |rule: &str, value: &str| Filter::Extensible {
            rule: rule.to_owned(),
            attribute: "uSNChanged".to_owned(),
            value: value.into(),
        };
        // 1200 is 0x4b0.
        assert!(rule(ALL_BITS, "1040").matches(&entry()));
        assert!(!rule(ALL_BITS, "1041").matches(&entry()));
        assert!(rule(ANY_BIT, "1041").matches(&entry()));
        assert!(!rule("2.5.13.2", "1200").matches(&entry()));
        let printed = rule(ANY_BIT, "2").to_string();
        assert_eq!(printed, "(uSNChanged:1.2.840.113556.1.4.804:=2)");
    }

    #[test]
    fn pieces_follow_one_another() {
        let pieces = |first: &str, middle: &[&str], last: &str| {
            let middle = middle.iter().map(|piece| piece.as_bytes().to_vec());
            Filter::Substrings("cn".into(), first.into(), middle.collect(), last.into())
        };
        assert!(pieces("al", &["ha", "be"], "TA").matches(&entry()));
        assert!(!pieces("al", &["be", "ha"], "").matches(&entry()));
        assert_eq!(pieces("al", &["(x"], "").to_string(), "(cn=al*\\28x*)");
    }
}
