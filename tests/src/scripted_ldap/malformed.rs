//! Answers that are not LDAP, each in one respect.

use lber::common::TagClass;
use lber::structure::StructureTag;

use super::ber;
use super::message::{self, Kind, response};

/// What is wrong with an answer.
///
/// Those about an *entry* come before the normal answer of a search; the others stand in place of
/// the final result of any request, after the entries of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Malformed {
    /// Entry: an inner length runs over the end of the message.
    EntryInnerLength,
    /// Entry: the attributes are an octet string.
    EntryAttributesPrimitive,
    /// Entry: it ends after the name.
    EntryWithoutAttributes,
    /// Entry: nothing in it.
    EntryEmpty,
    /// Entry: primitive, where it is constructed.
    EntryPrimitive,
    /// Entry: an attribute without its set of values.
    EntryAttributeWithoutValues,
    /// Entry: a value is a sequence.
    EntryValueConstructed,
    /// Entry: the name is not UTF-8.
    EntryNameNotUtf8,
    /// Entry: the name is no distinguished name.
    EntryNameNoDn,
    /// Entry: an attribute name is not UTF-8.
    EntryAttributeNotUtf8,
    /// Entry: the same attribute twice.
    EntryAttributeTwice,
    /// A continuation reference that is not UTF-8.
    ReferenceNotUtf8,
    /// A continuation reference that holds nothing.
    ReferenceEmpty,
    /// The response has an application tag that LDAP does not have (30).
    UnknownOperation,
    /// The response is that of another operation (a delete's; a modify's for a delete).
    OtherOperation,
    /// The response's tag is not of the application class.
    NotApplication,
    /// The result holds nothing.
    ResultEmpty,
    /// The result is primitive.
    ResultPrimitive,
    /// The result begins with the matched name: no code.
    ResultWithoutCode,
    /// The code has no octets.
    ResultCodeEmpty,
    /// The code has nine octets.
    ResultCodeTooLong,
    /// The result ends after the code.
    ResultWithoutMatchedDn,
    /// The matched name is not UTF-8.
    MatchedDnNotUtf8,
    /// The diagnostic message is not UTF-8.
    MessageNotUtf8,
    /// The referral is not UTF-8.
    ReferralNotUtf8,
    /// The referral is primitive.
    ReferralPrimitive,
    /// The response has a control without an OID.
    ControlWithoutOid,
    /// The control of a paged result is not BER.
    PagedControlGarbage,
    /// The controls are primitive.
    ControlsPrimitive,
    /// The message ends after its id.
    MessageWithoutOperation,
    /// The message holds nothing.
    MessageEmpty,
    /// The message is a set.
    MessageNotSequence,
    /// The message id is an octet string.
    MessageIdNotInteger,
    /// The message id has no octets.
    MessageIdEmpty,
    /// The message id has twelve octets.
    MessageIdTooLong,
    /// A length without end (the indefinite form), which LDAP forbids.
    IndefiniteLength,
    /// A length of almost 2 GiB, of which nothing follows.
    HugeLength,
    /// A length of more octets than a machine word has.
    LengthTooLong,
    /// Text, as a web server would send.
    NotBer,
}

impl Malformed {
    /// All of them.
    pub const ALL: &'static [Malformed] = &[
        Malformed::EntryInnerLength,
        Malformed::EntryAttributesPrimitive,
        Malformed::EntryWithoutAttributes,
        Malformed::EntryEmpty,
        Malformed::EntryPrimitive,
        Malformed::EntryAttributeWithoutValues,
        Malformed::EntryValueConstructed,
        Malformed::EntryNameNotUtf8,
        Malformed::EntryNameNoDn,
        Malformed::EntryAttributeNotUtf8,
        Malformed::EntryAttributeTwice,
        Malformed::ReferenceNotUtf8,
        Malformed::ReferenceEmpty,
        Malformed::UnknownOperation,
        Malformed::OtherOperation,
        Malformed::NotApplication,
        Malformed::ResultEmpty,
        Malformed::ResultPrimitive,
        Malformed::ResultWithoutCode,
        Malformed::ResultCodeEmpty,
        Malformed::ResultCodeTooLong,
        Malformed::ResultWithoutMatchedDn,
        Malformed::MatchedDnNotUtf8,
        Malformed::MessageNotUtf8,
        Malformed::ReferralNotUtf8,
        Malformed::ReferralPrimitive,
        Malformed::ControlWithoutOid,
        Malformed::PagedControlGarbage,
        Malformed::ControlsPrimitive,
        Malformed::MessageWithoutOperation,
        Malformed::MessageEmpty,
        Malformed::MessageNotSequence,
        Malformed::MessageIdNotInteger,
        Malformed::MessageIdEmpty,
        Malformed::MessageIdTooLong,
        Malformed::IndefiniteLength,
        Malformed::HugeLength,
        Malformed::LengthTooLong,
        Malformed::NotBer,
    ];

    /// Whether it is about an entry (or reference): only searches have those.
    #[must_use]
    pub fn is_entry(self) -> bool {
        self <= Malformed::ReferenceEmpty
    }

    /// The octets of the malformed message.
    pub(super) fn octets(self, id: i64, kind: Kind) -> Vec<u8> {
        if self.is_entry() {
            return match self.entry() {
                Some(tag) => response(id, tag, Vec::new()),
                // The value's length says 64 where one octet is left.
                None => ber::element(0x30, b"\x02\x01\x01\x64\x05\x04\x40x\x30\x00"),
            };
        }
        self.envelope(id, kind)
            .unwrap_or_else(|| self.result(id, kind))
    }

    fn entry(self) -> Option<StructureTag> {
        let dn = || ber::octets("CN=broken,CN=RegisteredDevices,DC=contoso,DC=com");
        let attribute = |name: &[u8], values: Vec<StructureTag>| {
            ber::sequence(vec![ber::octets(name), ber::set(values)])
        };
        let entry = |dn: StructureTag, attributes: Vec<StructureTag>| {
            ber::application(4, vec![dn, ber::sequence(attributes)])
        };
        let cn = || attribute(b"cn", vec![ber::octets("broken")]);
        let not_utf8 = b"CN=br\xff\xfeken,DC=contoso,DC=com";
        Some(match self {
            Malformed::EntryAttributesPrimitive => {
                ber::application(4, vec![dn(), ber::octets("cn")])
            }
            Malformed::EntryWithoutAttributes => ber::application(4, vec![dn()]),
            Malformed::EntryEmpty => ber::application(4, Vec::new()),
            Malformed::EntryPrimitive => ber::primitive(TagClass::Application, 4, "CN=broken"),
            Malformed::EntryAttributeWithoutValues => {
                entry(dn(), vec![ber::sequence(vec![ber::octets("cn")])])
            }
            Malformed::EntryValueConstructed => {
                let value = ber::sequence(vec![ber::octets("broken")]);
                entry(dn(), vec![attribute(b"cn", vec![value])])
            }
            Malformed::EntryNameNotUtf8 => entry(ber::octets(*not_utf8), vec![cn()]),
            Malformed::EntryNameNoDn => entry(ber::octets("no name=,,"), vec![cn()]),
            Malformed::EntryAttributeNotUtf8 => {
                entry(dn(), vec![attribute(b"c\xff\xfe", vec![ber::octets("x")])])
            }
            Malformed::EntryAttributeTwice => entry(dn(), vec![cn(), cn()]),
            Malformed::ReferenceNotUtf8 => {
                ber::application(19, vec![ber::octets(*b"ldap://\xff\xfe/")])
            }
            Malformed::ReferenceEmpty => ber::application(19, Vec::new()),
            _ => return None,
        })
    }

    /// What is wrong around the result; `None` when it is the result itself.
    fn envelope(self, id: i64, kind: Kind) -> Option<Vec<u8>> {
        let done = || ber::application(kind.response().unwrap_or(24), success());
        let content = |first: Vec<u8>| [first, ber::encode(done())].concat();
        Some(match self {
            Malformed::ControlWithoutOid => response(id, done(), vec![ber::sequence(Vec::new())]),
            Malformed::PagedControlGarbage => {
                let control = vec![
                    ber::octets(super::connection::PAGED),
                    ber::octets(*b"\x30\x84\xff"),
                ];
                response(id, done(), vec![ber::sequence(control)])
            }
            Malformed::ControlsPrimitive => {
                let controls = ber::primitive(TagClass::Context, 0, "x");
                let parts = vec![ber::integer(id), done(), controls];
                ber::encode(ber::sequence(parts))
            }
            Malformed::MessageWithoutOperation => {
                ber::encode(ber::sequence(vec![ber::integer(id)]))
            }
            Malformed::MessageEmpty => ber::encode(ber::sequence(Vec::new())),
            Malformed::MessageNotSequence => ber::encode(ber::set(vec![ber::integer(id), done()])),
            Malformed::MessageIdNotInteger => {
                let parts = vec![ber::octets(id.to_string()), done()];
                ber::encode(ber::sequence(parts))
            }
            Malformed::MessageIdEmpty => ber::element(0x30, &content(vec![0x02, 0x00])),
            Malformed::MessageIdTooLong => {
                let first = [&[0x02, 0x0c][..], &[0x7f; 12]].concat();
                ber::element(0x30, &content(first))
            }
            Malformed::IndefiniteLength => {
                let first = ber::encode(ber::integer(id));
                [vec![0x30, 0x80], content(first), vec![0, 0]].concat()
            }
            Malformed::HugeLength => vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0x00, 0x02, 0x01],
            Malformed::LengthTooLong => {
                [&[0x30, 0x90][..], &[0xff; 16], &[0x02, 0x01, 0x01]].concat()
            }
            Malformed::NotBer => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            _ => return None,
        })
    }

    fn result(self, id: i64, kind: Kind) -> Vec<u8> {
        let own = kind.response().unwrap_or(24);
        let code = |octets: &[u8]| ber::primitive(TagClass::Universal, 10, octets);
        let empty = || ber::octets("");
        let not_utf8 = || ber::octets(*b"br\xff\xfeken");
        let done = |parts: Vec<StructureTag>| ber::application(own, parts);
        let referral = |inner: StructureTag| done(vec![code(&[10]), empty(), empty(), inner]);
        let tag = match self {
            Malformed::UnknownOperation => ber::application(30, success()),
            Malformed::OtherOperation if kind == Kind::Delete => ber::application(7, success()),
            Malformed::OtherOperation => ber::application(11, success()),
            Malformed::NotApplication => ber::constructed(TagClass::Private, own, success()),
            Malformed::ResultEmpty => done(Vec::new()),
            Malformed::ResultPrimitive => ber::primitive(TagClass::Application, own, [10, 1, 0]),
            Malformed::ResultWithoutCode => done(vec![empty(), empty()]),
            Malformed::ResultCodeEmpty => done(vec![code(&[]), empty(), empty()]),
            Malformed::ResultCodeTooLong => done(vec![code(&[1; 9]), empty(), empty()]),
            Malformed::ResultWithoutMatchedDn => done(vec![code(&[0])]),
            Malformed::MatchedDnNotUtf8 => done(vec![code(&[32]), not_utf8(), empty()]),
            Malformed::MessageNotUtf8 => done(vec![code(&[53]), empty(), not_utf8()]),
            Malformed::ReferralNotUtf8 => {
                referral(ber::constructed(TagClass::Context, 3, vec![not_utf8()]))
            }
            Malformed::ReferralPrimitive => {
                referral(ber::primitive(TagClass::Context, 3, "ldap://x/"))
            }
            _ => message::reference("ldap://x/"),
        };
        response(id, tag, Vec::new())
    }
}

fn success() -> Vec<StructureTag> {
    message::LdapResult::success().parts()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_listed_once_and_differs() {
        let mut seen: Vec<Vec<u8>> = Malformed::ALL
            .iter()
            .map(|how| how.octets(7, Kind::Search))
            .collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), Malformed::ALL.len());
        assert!(Malformed::ALL.is_sorted());
        assert_eq!(
            Malformed::ALL.len(),
            Malformed::NotBer as usize + 1,
            "one is missing in the list"
        );
    }
}
