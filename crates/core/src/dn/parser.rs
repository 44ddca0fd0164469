//! Reading of distinguished names.

use std::borrow::Cow;

use super::{Ava, Dn, Rdn};
use crate::error::{InvalidValue, quoted};
use crate::guid::hex_value;

/// Attribute types that names in a domain consist of: as printed, and their object identifiers.
const KNOWN_KINDS: [(&str, &str); 9] = [
    ("CN", "2.5.4.3"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("OU", "2.5.4.11"),
    ("O", "2.5.4.10"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("UID", "0.9.2342.19200300.100.1.1"),
];

/// Characters that must not stand in a value without an escape ([RFC 4514] 3), besides the
/// separators `,` and `+`.
const MUST_ESCAPE: &[u8] = b"\";<>\0";

type Outcome<T> = Result<T, String>;

pub(super) fn parse(text: &str) -> Result<Dn, InvalidValue> {
    let error =
        |why: &str| InvalidValue::new("distinguished name", format!("{} {why}", quoted(text)));
    let mut rest = text.trim_start_matches(' ');
    if rest.is_empty() {
        return Ok(Dn::EMPTY);
    }
    if rest.starts_with('<') {
        return Err(error(
            "is a reference by GUID, SID or WKGUID, not a name; write the object's distinguishedName",
        ));
    }
    // The separators in escapes are counted too, which only makes the room a little too large.
    let levels = memchr::memchr_iter(b',', text.as_bytes()).count() + 1;
    let mut rdns = Vec::with_capacity(levels);
    loop {
        let (rdn, next) = parse_rdn(rest).map_err(|why| error(&why))?;
        rdns.push(rdn);
        let Some(next) = next else { break };
        rest = next;
    }
    Ok(Dn { rdns })
}

/// The printed form of an attribute type.
pub(super) fn canonical_kind(kind: &str) -> Cow<'static, str> {
    let oid = match kind.split_at_checked(4) {
        Some((prefix, oid)) if prefix.eq_ignore_ascii_case("OID.") => oid,
        _ => kind,
    };
    match KNOWN_KINDS
        .iter()
        .find(|(name, id)| name.eq_ignore_ascii_case(oid) || *id == oid)
    {
        Some((name, _)) => Cow::Borrowed(name),
        None => Cow::Owned(oid.to_owned()),
    }
}

/// Whether `text` is a short name ([RFC 4512] 1.4, keystring).
pub(super) fn is_keyword(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

/// One level, and the text after the comma that ends it.
fn parse_rdn(text: &str) -> Outcome<(Rdn, Option<&str>)> {
    let (first, mut end) = parse_ava(text)?;
    let mut rdn = Rdn {
        first,
        more: Vec::new(),
    };
    while let End::Plus(rest) = end {
        let (ava, next) = parse_ava(rest)?;
        rdn.more.push(ava);
        end = next;
    }
    if !rdn.more.is_empty() {
        rdn.more.push(rdn.first.clone());
        rdn.more.sort();
        rdn.first = rdn.more.remove(0);
        // A level is a set of pairs.
        rdn.more.dedup();
        rdn.more.retain(|ava| *ava != rdn.first);
    }
    match end {
        End::Comma(rest) => Ok((rdn, Some(rest))),
        _ => Ok((rdn, None)),
    }
}

enum End<'a> {
    Plus(&'a str),
    Comma(&'a str),
    Text,
}

fn parse_ava(text: &str) -> Outcome<(Ava, End<'_>)> {
    let Some((kind, rest)) = text.split_once('=') else {
        return Err(format!(
            "has {} where an attribute type and = are expected",
            quoted(text)
        ));
    };
    let kind = parse_kind(kind.trim_matches(' '))?;
    let rest = rest.trim_start_matches(' ');
    let (raw, end) = split_value(rest)?;
    if let Some(digits) = raw.strip_prefix('#') {
        let (value, is_ber) = parse_ber(digits)?;
        return Ok((
            Ava {
                kind,
                value,
                is_ber,
            },
            end,
        ));
    }
    let value = unescape(raw)?;
    Ok((
        Ava {
            kind,
            value,
            is_ber: false,
        },
        end,
    ))
}

fn parse_kind(kind: &str) -> Outcome<Cow<'static, str>> {
    let oid = match kind.split_at_checked(4) {
        Some((prefix, oid)) if prefix.eq_ignore_ascii_case("OID.") => oid,
        _ => kind,
    };
    let is_oid = oid.contains('.')
        && oid.split('.').all(|arc| {
            !arc.is_empty()
                && arc.bytes().all(|octet| octet.is_ascii_digit())
                && (arc == "0" || !arc.starts_with('0'))
        });
    if is_oid || is_keyword(kind) {
        return Ok(canonical_kind(kind));
    }
    Err(format!(
        "has {} where an attribute type is expected",
        quoted(kind)
    ))
}

/// The still escaped value at the start of `text`, without the spaces around it, and what ends it.
fn split_value(text: &str) -> Outcome<(&str, End<'_>)> {
    let octets = text.as_bytes();
    let mut at = 0;
    // The end of the value without trailing spaces, of which an escaped one is part of it.
    let mut value_end = 0;
    while let Some(octet) = octets.get(at) {
        match octet {
            b',' | b'+' => break,
            b'\\' => {
                // A pair of hex digits needs no more than its first one here.
                at += 2;
                value_end = at;
            }
            b' ' => at += 1,
            octet if MUST_ESCAPE.contains(octet) => {
                let character = char::from(*octet);
                return Err(if value_end == 0 && character == '"' {
                    "has a value in quotes; escape its special characters with \\ instead"
                        .to_owned()
                } else {
                    format!("has {character:?} in a value without \\ before it")
                });
            }
            _ => {
                at += 1;
                value_end = at;
            }
        }
    }
    // An escape can end within a character; then the character's own octets follow.
    let value = match text.get(..value_end) {
        Some(value) => value,
        None if value_end > text.len() => text,
        None => return Err("has an escaped character that needs no escape".to_owned()),
    };
    let end = match text
        .split_at_checked(at)
        .map(|(_, rest)| (rest, rest.get(1..)))
    {
        Some((rest, Some(next))) if rest.starts_with(',') => End::Comma(next),
        Some((rest, Some(next))) if rest.starts_with('+') => End::Plus(next),
        _ => End::Text,
    };
    Ok((value, end))
}

fn unescape(raw: &str) -> Outcome<Box<str>> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Ok(raw.into());
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut octets = raw.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'\\' {
            out.push(octet);
            continue;
        }
        match octets.next() {
            Some(
                special @ (b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b' ' | b'#' | b'='),
            ) => out.push(special),
            Some(high) if hex_value(high) < 16 => match octets.next().map(hex_value) {
                Some(low) if low < 16 => out.push(hex_value(high) << 4 | low),
                _ => return Err("has a \\ with a single hex digit, two are expected".to_owned()),
            },
            Some(_) => {
                return Err(
                    "has a \\ before a character that is neither special nor a hex digit"
                        .to_owned(),
                );
            }
            None => return Err("ends with a \\".to_owned()),
        }
    }
    match String::from_utf8(out) {
        Ok(value) => Ok(value.into_boxed_str()),
        Err(_) => Err("has hex pairs that are not UTF-8".to_owned()),
    }
}

/// Value of `#` and the hex digits of its BER encoding ([RFC 4514] 2.4): the text if it is a
/// string, else the digits with the `#`, and whether it is the latter.
fn parse_ber(digits: &str) -> Outcome<(Box<str>, bool)> {
    let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
    let octets: Option<Vec<u8>> = pairs
        .iter()
        .map(|&[high, low]| {
            let (high, low) = (hex_value(high), hex_value(low));
            (high < 16 && low < 16).then_some(high << 4 | low)
        })
        .collect();
    let Some(octets) = octets.filter(|octets| odd.is_empty() && !octets.is_empty()) else {
        return Err("has a # value that is not pairs of hex digits".to_owned());
    };
    Ok(match ber_text(&octets) {
        Some(text) => (text.into(), false),
        None => (
            format!("#{}", digits.to_ascii_uppercase()).into_boxed_str(),
            true,
        ),
    })
}

/// The text of a primitive OCTET STRING, UTF8String, PrintableString or IA5String.
fn ber_text(octets: &[u8]) -> Option<&str> {
    let (&[tag, length], content) = octets.split_first_chunk::<2>()?;
    let content = match length {
        0..=0x7f => content,
        0x81 => {
            content
                .split_first()
                .filter(|(len, rest)| usize::from(**len) == rest.len())?
                .1
        }
        _ => return None,
    };
    if !matches!(tag, 0x04 | 0x0c | 0x13 | 0x16)
        || (length < 0x80 && usize::from(length) != content.len())
    {
        return None;
    }
    std::str::from_utf8(content).ok()
}
