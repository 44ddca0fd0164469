//! One record as an object.

use device_writeback_core::attributes::AttributeSet;
use device_writeback_core::directory::{DirectoryObject, OBJECT_GUID};
use device_writeback_core::dn::{Dn, is_child_text};
use device_writeback_core::guid::ObjectGuid;
use device_writeback_core::ldif::{
    AttrVal, Body, ContentReader, LdifError, parse_record, write_attr,
};
use device_writeback_core::plan::Octets;
use device_writeback_core::schema::{Attribute, DEVICE_CLASS};

/// LDAP name of the attribute that names an object's classes.
pub(super) const OBJECT_CLASS: &str = "objectClass";

/// An object as a reader of the directory sees it.
pub(super) struct Decoded {
    pub(super) object: DirectoryObject,
    /// Whether its class is `msDS-Device`.
    pub(super) is_device: bool,
}

/// Reads a record; `None` when it is none, or no direct child of `container` (a normalized name).
pub(super) fn decode(
    record: &[u8],
    sequence: u64,
    container: Option<&str>,
) -> Result<Option<Decoded>, LdifError> {
    let Some(mut reader) = ContentReader::new(record)? else {
        return Ok(None);
    };
    if container.is_some_and(|container| !is_child_text(reader.dn(), container)) {
        return Ok(None);
    }
    let dn = parse_dn(reader.dn())?;
    let (mut values, mut guid, mut is_device) = (AttributeSet::new(), None, false);
    let mut buffer = Vec::new();
    while let Some(line) = reader.next_line()? {
        if let Some(attribute) = Attribute::from_name(line.name()) {
            let mut decoded = Ok(());
            values.push_with(attribute, |out| decoded = line.decode_into(out));
            decoded?;
        } else if line.name().eq_ignore_ascii_case(OBJECT_GUID) {
            buffer.clear();
            line.decode_into(&mut buffer)?;
            guid = ObjectGuid::from_le_slice(&buffer).ok();
        } else if line.name().eq_ignore_ascii_case(OBJECT_CLASS) {
            buffer.clear();
            line.decode_into(&mut buffer)?;
            is_device |= buffer.eq_ignore_ascii_case(DEVICE_CLASS.as_bytes());
        }
    }
    Ok(Some(Decoded {
        object: DirectoryObject {
            sequence,
            dn,
            guid,
            values,
        },
        is_device,
    }))
}

/// A record with all that is needed to change it in place.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) dn: Dn,
    bytes: Vec<u8>,
    attributes: Vec<AttrVal>,
    /// Where the `dn` line begins; comments and the `version` line can stand before it.
    head: usize,
    /// Where the last line with content ends.
    tail: usize,
    line_end: &'static str,
}

impl Entry {
    /// Reads a record; `None` when it is none.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, LdifError> {
        let Some(record) = parse_record(bytes)? else {
            return Ok(None);
        };
        let Body::Content(attributes) = record.body else {
            return Err(LdifError {
                line: 1,
                message: "the record is a change; an object with its attributes is expected here"
                    .into(),
            });
        };
        let dn_line = bytes.get(record.dn_span.clone()).unwrap_or_default();
        Ok(Some(Self {
            dn: parse_dn(&record.dn)?,
            head: record.dn_span.start,
            tail: attributes
                .last()
                .map_or(record.dn_span.end, |last| last.span.end),
            line_end: if dn_line.ends_with(b"\r\n") {
                "\r\n"
            } else {
                "\n"
            },
            bytes: bytes.to_vec(),
            attributes,
        }))
    }

    /// The values of the attribute of that LDAP name.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.attributes
            .iter()
            .filter(|attribute| attribute.name.eq_ignore_ascii_case(name))
            .map(|attribute| &*attribute.value)
    }

    /// Whether the object is of that class.
    pub(super) fn has_class(&self, class: &str) -> bool {
        self.values(OBJECT_CLASS)
            .any(|value| value.eq_ignore_ascii_case(class.as_bytes()))
    }

    /// The most special class, for messages.
    pub(super) fn class(&self) -> String {
        let last = self.values(OBJECT_CLASS).last().unwrap_or(b"no class");
        String::from_utf8_lossy(last).into_owned()
    }

    /// `objectGUID`.
    pub(super) fn guid(&self) -> Option<ObjectGuid> {
        ObjectGuid::from_le_slice(self.values(OBJECT_GUID).last()?).ok()
    }

    /// What stays when the object goes: the comments and the `version` line before it.
    pub(super) fn head(&self) -> &[u8] {
        self.bytes.get(..self.head).unwrap_or_default()
    }

    /// The record with these attributes changed to these values, and every other line as it is.
    pub(super) fn edited(&self, changed: &[(Attribute, Vec<Octets>)]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 256);
        let mut written = vec![false; changed.len()];
        let mut at = 0;
        let copy = |out: &mut Vec<u8>, from: usize, to: usize| {
            out.extend_from_slice(self.bytes.get(from..to).unwrap_or_default());
        };
        for line in &self.attributes {
            let found = changed
                .iter()
                .zip(&mut written)
                .find(|((attribute, _), _)| attribute.name().eq_ignore_ascii_case(&line.name));
            let Some(((_, values), written)) = found else {
                continue;
            };
            copy(&mut out, at, line.span.start);
            at = line.span.end;
            if !std::mem::replace(written, true) {
                self.write_values(&mut out, &line.name, values);
            }
        }
        copy(&mut out, at, self.tail);
        if !out.ends_with(b"\n") {
            out.extend_from_slice(self.line_end.as_bytes());
        }
        for ((attribute, values), written) in changed.iter().zip(written) {
            if !written {
                self.write_values(&mut out, attribute.name(), values);
            }
        }
        copy(&mut out, self.tail.max(at), self.bytes.len());
        out
    }

    fn write_values(&self, out: &mut Vec<u8>, name: &str, values: &[Octets]) {
        for value in values {
            write_line(out, name, value.as_ref(), self.line_end);
        }
    }
}

/// The record of a new device and the blank line after it.
pub(super) fn new_device(
    dn: &Dn,
    attributes: &[(Attribute, &[Octets])],
    guid: ObjectGuid,
    line_end: &str,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut line = |name: &str, value: &[u8]| write_line(&mut out, name, value, line_end);
    line("dn", dn.to_string().as_bytes());
    line(OBJECT_CLASS, b"top");
    line(OBJECT_CLASS, DEVICE_CLASS.as_bytes());
    let name = dn.rdn().map(|rdn| rdn.value()).unwrap_or_default();
    line("cn", name.as_bytes());
    for (attribute, values) in attributes {
        for value in *values {
            line(attribute.name(), value.as_ref());
        }
    }
    line(OBJECT_GUID, &guid.to_le_bytes());
    out.extend_from_slice(line_end.as_bytes());
    out
}

fn write_line(out: &mut Vec<u8>, name: &str, value: &[u8], line_end: &str) {
    if line_end == "\n" {
        write_attr(out, name, value);
        return;
    }
    let mut line = Vec::new();
    write_attr(&mut line, name, value);
    // A line end within a value is in base64: what is left are the ends of lines.
    for part in line.split_inclusive(|octet| *octet == b'\n') {
        out.extend_from_slice(part.strip_suffix(b"\n").unwrap_or(part));
        out.extend_from_slice(line_end.as_bytes());
    }
}

pub(super) fn parse_dn(text: &str) -> Result<Dn, LdifError> {
    Dn::parse(text).map_err(|error| LdifError {
        line: 1,
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "# about it\nversion: 1\ndn: CN=a,DC=b\nobjectClass: top\nobjectClass: msDS-Device\n\
                          DISPLAYNAME:: b2\n xk\nfoo;x: keep  me\n# a note\nmsDS-DevicePhysicalIDs: 1\n\
                          description: d\nmsDS-DevicePhysicalIDs: 2\n# end\n\n\n";

    fn octets(values: &[&str]) -> Vec<Octets> {
        values
            .iter()
            .map(|value| Octets::from(value.as_bytes()))
            .collect()
    }

    #[test]
    fn changed_lines_are_replaced_where_they_stood() {
        let entry = Entry::parse(RECORD.as_bytes()).unwrap().unwrap();
        assert_eq!(entry.head(), b"# about it\nversion: 1\n");
        let edited = entry.edited(&[
            (Attribute::DevicePhysicalIds, octets(&["3", "4"])),
            (Attribute::DisplayName, octets(&["new"])),
            (Attribute::IsManaged, octets(&["TRUE"])),
            (Attribute::DeviceOsType, octets(&[])),
        ]);
        assert_eq!(
            String::from_utf8(edited).unwrap(),
            "# about it\nversion: 1\ndn: CN=a,DC=b\nobjectClass: top\nobjectClass: msDS-Device\n\
             DISPLAYNAME: new\nfoo;x: keep  me\n# a note\nmsDS-DevicePhysicalIDs: 3\nmsDS-DevicePhysicalIDs: 4\n\
             description: d\nmsDS-IsManaged: TRUE\n# end\n\n\n"
        );
        assert_eq!(entry.edited(&[]), RECORD.as_bytes());
    }

    #[test]
    fn windows_line_ends_and_a_missing_last_one() {
        let text = "dn: CN=a,DC=b\r\nobjectClass: msDS-Device\r\ndisplayName: x";
        let entry = Entry::parse(text.as_bytes()).unwrap().unwrap();
        let edited = entry.edited(&[(Attribute::IsManaged, octets(&["TRUE"]))]);
        assert_eq!(
            edited,
            format!("{text}\r\nmsDS-IsManaged: TRUE\r\n").into_bytes()
        );
        let edited = entry.edited(&[(Attribute::DisplayName, octets(&[&"y".repeat(80)]))]);
        let edited = String::from_utf8(edited).unwrap();
        assert_eq!(edited.matches("\r\n").count(), 4, "{edited:?}");
        assert_eq!(edited.matches('\n').count(), 4);
    }

    #[test]
    fn a_new_record_reads_back() {
        let dn = Dn::parse("CN=a\\,b,DC=c").unwrap();
        let guid = ObjectGuid::from_bytes([7; 16]);
        let names = octets(&["n"]);
        for line_end in ["\n", "\r\n"] {
            let record = new_device(&dn, &[(Attribute::DisplayName, &names)], guid, line_end);
            let decoded = decode(&record, 5, Some("dc=c")).unwrap().unwrap();
            assert!(decoded.is_device);
            assert_eq!(decoded.object.dn, dn);
            assert_eq!(decoded.object.guid, Some(guid));
            assert_eq!(
                decoded.object.values.first(Attribute::DisplayName),
                Some(&b"n"[..])
            );
            assert!(decode(&record, 5, Some("dc=d")).unwrap().is_none());
            let entry = Entry::parse(&record).unwrap().unwrap();
            assert_eq!((entry.guid(), entry.line_end), (Some(guid), line_end));
            assert_eq!(entry.values("cn").collect::<Vec<_>>(), [b"a,b"]);
        }
    }
}
