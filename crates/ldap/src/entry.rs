//! Search results as bytes: nothing is guessed from how a value looks.

use device_writeback_core::directory::{DirectoryObject, OBJECT_GUID};
use device_writeback_core::dn::Dn;
use device_writeback_core::schema::Attribute;
use ldap3::asn1::{PL, StructureTag};

/// An entry as it came.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) dn: String,
    pub(crate) attributes: Vec<(String, Vec<Vec<u8>>)>,
}

/// A part of an attribute's values: Active Directory gives 1,500 at once ([MS-ADTS] 3.1.1.3.1.3.3).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The attribute without the option.
    pub(crate) name: String,
    /// Where the rest begins; `None` when this was the end.
    pub(crate) next: Option<usize>,
}

impl Entry {
    /// Takes a `SearchResultEntry` ([RFC 4511] 4.5.2) apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(tag: StructureTag) -> Result<Self, &'static str> {
        let mut parts = constructed(tag)?.into_iter();
        let dn = utf8(parts.next().ok_or("an entry has no name")?)?;
        let list = parts.next().ok_or("an entry has no attributes")?;
        let mut attributes = Vec::new();
        for attribute in constructed(list)? {
            let mut parts = constructed(attribute)?.into_iter();
            let name = utf8(parts.next().ok_or("an attribute has no name")?)?;
            let values = constructed(parts.next().ok_or("an attribute has no values")?)?
                .into_iter()
                .map(primitive)
                .collect::<Result<Vec<_>, _>>()?;
            attributes.push((name, values));
        }
        Ok(Self { dn, attributes })
    }

    /// The values of an attribute.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.attributes
            .iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .flat_map(|(_, values)| values.iter().map(Vec::as_slice))
    }

    /// The first value of an attribute.
    pub(crate) fn first(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// The first value of an attribute that is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.first(name)?).ok()
    }

    /// Whether the entry is of that class.
    pub(crate) fn has_class(&self, class: &str) -> bool {
        self.values("objectClass")
            .any(|value| value.eq_ignore_ascii_case(class.as_bytes()))
    }

    /// Gives values that came in parts their plain name, and says where the rest of each begins.
    pub(crate) fn take_ranges(&mut self) -> Vec<Range> {
        let mut ranges = Vec::new();
        for (name, _) in &mut self.attributes {
            if let Some(range) = range(name) {
                name.clone_from(&range.name);
                ranges.push(range);
            }
        }
        ranges
    }

    /// What the schema table knows of the entry.
    ///
    /// # Errors
    /// The name is none.
    pub(crate) fn object(self, sequence: u64) -> Result<DirectoryObject, (String, String)> {
        let dn = match Dn::parse(&self.dn) {
            Ok(dn) => dn,
            Err(error) => return Err((self.dn, error.to_string())),
        };
        let values = self.attributes.iter().flat_map(|(name, values)| {
            let wanted =
                name.eq_ignore_ascii_case(OBJECT_GUID) || Attribute::from_name(name).is_some();
            values
                .iter()
                .filter(move |_| wanted)
                .map(move |value| (name, value))
        });
        Ok(DirectoryObject::decode(sequence, dn, values))
    }
}

/// `name;range=0-1499` and `name;range=1500-*`.
fn range(name: &str) -> Option<Range> {
    let mut parts = name.split(';');
    let plain = parts.next()?;
    let bounds = parts.find_map(|option| {
        let (key, bounds) = option.split_at_checked(6)?;
        key.eq_ignore_ascii_case("range=").then_some(bounds)
    })?;
    let (_, end) = bounds.split_once('-')?;
    let next = match end {
        "*" => None,
        end => Some(end.parse::<usize>().ok()?.checked_add(1)?),
    };
    Some(Range {
        name: plain.to_owned(),
        next,
    })
}

fn constructed(tag: StructureTag) -> Result<Vec<StructureTag>, &'static str> {
    match tag.payload {
        PL::C(parts) => Ok(parts),
        PL::P(_) => Err("there are bytes where parts should be"),
    }
}

fn primitive(tag: StructureTag) -> Result<Vec<u8>, &'static str> {
    match tag.payload {
        PL::P(bytes) => Ok(bytes),
        PL::C(_) => Err("there are parts where bytes should be"),
    }
}

fn utf8(tag: StructureTag) -> Result<String, &'static str> {
    String::from_utf8(primitive(tag)?).map_err(|_| "a name is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap3::asn1::TagClass;
    use proptest::prelude::*;

    fn tag(id: u64, payload: PL) -> StructureTag {
        StructureTag {
            class: TagClass::Universal,
            id,
            payload,
        }
    }

    fn bytes(value: &[u8]) -> StructureTag {
        tag(4, PL::P(value.to_vec()))
    }

    fn entry(dn: &[u8], attributes: &[(&[u8], &[&[u8]])]) -> StructureTag {
        let attributes = attributes
            .iter()
            .map(|(name, values)| {
                let values = values.iter().map(|value| bytes(value)).collect();
                tag(16, PL::C(vec![bytes(name), tag(17, PL::C(values))]))
            })
            .collect();
        tag(4, PL::C(vec![bytes(dn), tag(16, PL::C(attributes))]))
    }

    #[test]
    fn values_stay_bytes_in_their_order() {
        let parsed = Entry::parse(entry(
            b"CN=x,CN=RegisteredDevices,DC=contoso,DC=com",
            &[
                // A GUID that happens to be text, and one that is not: both are bytes.
                (b"objectGUID", &[b"ABCDEFGHIJKLMNOP"]),
                (b"msDS-DeviceID", &[&[0xff; 16]]),
                (b"msDS-DevicePhysicalIDs", &[b"[b]", b"\xff\xfe", b"[a]"]),
                (b"description", &[b"ours to leave alone"]),
            ],
        ))
        .unwrap();
        let object = parsed.object(3).unwrap();
        assert_eq!(object.sequence, 3);
        assert_eq!(object.guid.unwrap().to_le_bytes(), *b"ABCDEFGHIJKLMNOP");
        assert_eq!(
            object.values.first(Attribute::DeviceId),
            Some(&[0xff; 16][..])
        );
        let ids: Vec<_> = object.values.values(Attribute::DevicePhysicalIds).collect();
        assert_eq!(ids, [&b"[b]"[..], b"\xff\xfe", b"[a]"]);
    }

    #[test]
    fn parts_of_values_are_recognised() {
        for (name, plain, next) in [
            (
                "msDS-DevicePhysicalIDs;range=0-1499",
                "msDS-DevicePhysicalIDs",
                Some(1500),
            ),
            (
                "msDS-DevicePhysicalIDs;Range=1500-*",
                "msDS-DevicePhysicalIDs",
                None,
            ),
            ("member;binary;range=0-9", "member", Some(10)),
        ] {
            let found = range(name).unwrap();
            assert_eq!((found.name.as_str(), found.next), (plain, next));
        }
        for name in [
            "member",
            "member;range=",
            "member;range=0",
            "member;range=0-x",
            "member;ranges=0-1",
        ] {
            assert_eq!(range(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_entry_is_an_error() {
        for broken in [
            bytes(b"x"),
            tag(4, PL::C(vec![])),
            tag(4, PL::C(vec![bytes(b"CN=x")])),
            tag(4, PL::C(vec![bytes(b"CN=\xff"), tag(16, PL::C(vec![]))])),
            tag(4, PL::C(vec![bytes(b"CN=x"), bytes(b"attributes")])),
            tag(
                4,
                PL::C(vec![bytes(b"CN=x"), tag(16, PL::C(vec![bytes(b"a")]))]),
            ),
            tag(
                4,
                PL::C(vec![tag(16, PL::C(vec![])), tag(16, PL::C(vec![]))]),
            ),
        ] {
            assert!(Entry::parse(broken).is_err());
        }
        let nameless = Entry::parse(entry(b"no name at all", &[])).unwrap();
        assert_eq!(nameless.object(0).unwrap_err().0, "no name at all");
    }

    fn any_tag() -> impl Strategy<Value = StructureTag> {
        let leaf = (0..20_u64, proptest::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(id, bytes)| tag(id, PL::P(bytes)));
        leaf.prop_recursive(5, 40, 4, |inner| {
            (0..20_u64, proptest::collection::vec(inner, 0..4))
                .prop_map(|(id, parts)| tag(id, PL::C(parts)))
        })
    }

    proptest! {
        #[test]
        fn nothing_that_a_server_says_panics(tag in any_tag()) {
            if let Ok(mut entry) = Entry::parse(tag) {
                let _ = entry.take_ranges();
                let _ = entry.object(0);
            }
        }
    }
}
