//! The few BER shapes that LDAP messages are made of ([RFC 4511] 5.1).

use bytes::BytesMut;
use lber::common::TagClass;
use lber::parse::parse_uint;
use lber::structure::{PL, StructureTag};
use lber::structures::{ASNTag, Enumerated, Integer};
use lber::universal::Types;

pub(super) fn primitive(class: TagClass, id: u64, octets: impl Into<Vec<u8>>) -> StructureTag {
    let payload = PL::P(octets.into());
    StructureTag { class, id, payload }
}

pub(super) fn constructed(class: TagClass, id: u64, parts: Vec<StructureTag>) -> StructureTag {
    let payload = PL::C(parts);
    StructureTag { class, id, payload }
}

pub(super) fn octets(octets: impl Into<Vec<u8>>) -> StructureTag {
    primitive(TagClass::Universal, Types::OctetString as u64, octets)
}

pub(super) fn sequence(parts: Vec<StructureTag>) -> StructureTag {
    constructed(TagClass::Universal, Types::Sequence as u64, parts)
}

pub(super) fn set(parts: Vec<StructureTag>) -> StructureTag {
    constructed(TagClass::Universal, Types::Set as u64, parts)
}

pub(super) fn application(id: u64, parts: Vec<StructureTag>) -> StructureTag {
    constructed(TagClass::Application, id, parts)
}

pub(super) fn integer(inner: i64) -> StructureTag {
    let value = Integer {
        inner,
        ..Integer::default()
    };
    value.into_structure()
}

pub(super) fn enumerated(inner: i64) -> StructureTag {
    let value = Enumerated {
        inner,
        ..Enumerated::default()
    };
    value.into_structure()
}

pub(super) fn encode(tag: StructureTag) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    // Writing into memory cannot fail.
    let _ = lber::write::encode_into(&mut bytes, tag);
    bytes.to_vec()
}

/// One element with any octets inside, its length in the form every reader knows.
pub(super) fn element(identifier: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![identifier, 0x84];
    bytes.extend(
        u32::try_from(content.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    bytes.extend_from_slice(content);
    bytes
}

/// What the front of `bytes` holds.
pub(super) enum Front {
    /// An element, and how many octets it took.
    Element(StructureTag, usize),
    /// The beginning of an element.
    Incomplete,
    /// Not BER.
    Garbage,
}

pub(super) fn decode(bytes: &[u8]) -> Front {
    match lber::Parser::new().parse(bytes) {
        Ok((rest, tag)) => Front::Element(tag, bytes.len() - rest.len()),
        Err(error) if error.is_incomplete() => Front::Incomplete,
        Err(_) => Front::Garbage,
    }
}

pub(super) fn parts(tag: StructureTag) -> Option<std::vec::IntoIter<StructureTag>> {
    tag.expect_constructed().map(Vec::into_iter)
}

pub(super) fn number(tag: StructureTag) -> Option<i64> {
    let octets = tag.expect_primitive()?;
    let (_, value) = parse_uint(&octets).ok()?;
    i64::try_from(value).ok()
}

pub(super) fn truth(tag: StructureTag) -> Option<bool> {
    Some(tag.expect_primitive()?.iter().any(|octet| *octet != 0))
}

pub(super) fn text(tag: StructureTag) -> Option<String> {
    String::from_utf8(tag.expect_primitive()?).ok()
}
