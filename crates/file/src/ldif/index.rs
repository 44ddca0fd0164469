//! Where each object stands in the file.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use device_writeback_core::directory::OBJECT_GUID;
use device_writeback_core::dn::Dn;
use device_writeback_core::guid::ObjectGuid;
use device_writeback_core::ldif::{ContentReader, LdifError};
use device_writeback_engine::error::{Error, ErrorKind};
use memchr::memmem::Finder;

use super::entry::{Entry, parse_dn};
use super::records::{Records, read_record_at};
use super::view::{Handle, View};

/// So many children of an object are remembered; a container of devices has millions.
const CHILDREN: usize = 8;

/// Names and GUIDs by their keyed hashes, 16 bytes each; a hit is settled by reading the record.
#[derive(Debug)]
pub(super) struct Index {
    view: View,
    input: Handle,
    hasher: RandomState,
    names: Vec<(u64, u64)>,
    guids: Vec<(u64, u64)>,
    /// The first children of each object that has any, by the hash of its name.
    children: Vec<(u64, u64)>,
    buffer: Vec<u8>,
    /// The last line end of the file.
    pub(super) line_end: &'static str,
}

impl Index {
    /// Reads through the whole of `view`.
    ///
    /// # Errors
    /// The file is no LDIF content, or two objects share a name or an `objectGUID`.
    pub(super) fn build(view: &View) -> Result<Self, Error> {
        let mut records = Records::new(view.open()?);
        let mut index = Self {
            view: view.clone(),
            input: view.open()?,
            hasher: RandomState::new(),
            names: Vec::new(),
            guids: Vec::new(),
            children: Vec::new(),
            buffer: Vec::new(),
            line_end: "\n",
        };
        let finder = Finder::new("\nobjectGUID:");
        let (mut name, mut value) = (String::new(), Vec::new());
        let mut families: HashMap<u64, usize> = HashMap::new();
        while let Some((offset, record)) = records
            .next()
            .map_err(|error| view.io_error("reading", error))?
        {
            if record.ends_with(b"\r\n") {
                index.line_end = "\r\n";
            } else if record.ends_with(b"\n") {
                index.line_end = "\n";
            }
            let guid = head(record, &finder, &mut name, &mut value)
                .map_err(|error| view.record_error(offset, &error))?;
            if name.is_empty() {
                continue;
            }
            index.names.push((index.hash_name(&name), offset));
            if let Some(parent) = parent(&name) {
                let parent = index.hash_name(parent);
                let seen = families.entry(parent).or_default();
                if *seen < CHILDREN {
                    *seen += 1;
                    index.children.push((parent, offset));
                }
            }
            if let Some(guid) = guid {
                index.guids.push((index.hash_guid(guid), offset));
            }
        }
        for hashes in [&mut index.names, &mut index.guids, &mut index.children] {
            hashes.sort_unstable();
            hashes.shrink_to_fit();
        }
        index.refuse_twins()?;
        Ok(index)
    }

    /// The keyed hash of a normalized name.
    pub(super) fn hash_name(&self, normalized: &str) -> u64 {
        self.hasher.hash_one(normalized)
    }

    /// The keyed hash of a GUID.
    pub(super) fn hash_guid(&self, guid: ObjectGuid) -> u64 {
        self.hasher.hash_one(guid.to_bytes())
    }

    /// The offset of the object of that name.
    pub(super) fn find_name(&mut self, dn: &Dn, hash: u64) -> Result<Option<u64>, Error> {
        self.find(true, hash, |entry| entry.dn == *dn)
    }

    /// The offset of the object of that `objectGUID`.
    pub(super) fn find_guid(&mut self, guid: ObjectGuid, hash: u64) -> Result<Option<u64>, Error> {
        self.find(false, hash, |entry| entry.guid() == Some(guid))
    }

    /// The offsets of objects whose parent's name may have that hash; not all of them when `true` comes with them.
    pub(super) fn children(&self, hash: u64) -> (Vec<u64>, bool) {
        let from = self.children.partition_point(|(own, _)| *own < hash);
        let offsets: Vec<u64> = self
            .children
            .iter()
            .skip(from)
            .take_while(|(own, _)| *own == hash)
            .map(|(_, offset)| *offset)
            .collect();
        let is_cut = offsets.len() >= CHILDREN;
        (offsets, is_cut)
    }

    /// The octets of the record at `offset`.
    pub(super) fn record(&mut self, offset: u64) -> Result<&[u8], Error> {
        read_record_at(&mut self.input, offset, &mut self.buffer)
            .map_err(|error| self.view.io_error("reading", error))?;
        Ok(&self.buffer)
    }

    /// The object at `offset`.
    pub(super) fn entry(&mut self, offset: u64) -> Result<Entry, Error> {
        let entry = Entry::parse(self.record(offset)?);
        match entry {
            Ok(Some(entry)) => Ok(entry),
            Ok(None) => Err(self.view.record_error(
                offset,
                &LdifError {
                    line: 1,
                    message: "an object was here when the file was read first".into(),
                },
            )),
            Err(error) => Err(self.view.record_error(offset, &error)),
        }
    }

    fn find(
        &mut self,
        by_name: bool,
        hash: u64,
        is_it: impl Fn(&Entry) -> bool,
    ) -> Result<Option<u64>, Error> {
        let hashes = if by_name { &self.names } else { &self.guids };
        let mut at = hashes.partition_point(|(own, _)| *own < hash);
        loop {
            let hashes = if by_name { &self.names } else { &self.guids };
            match hashes.get(at) {
                Some(&(own, offset)) if own == hash => {
                    if is_it(&self.entry(offset)?) {
                        return Ok(Some(offset));
                    }
                }
                _ => return Ok(None),
            }
            at += 1;
        }
    }

    /// In a directory a name and a GUID belong to one object each.
    fn refuse_twins(&mut self) -> Result<(), Error> {
        for by_name in [true, false] {
            let hashes = if by_name { &self.names } else { &self.guids };
            let suspects: Vec<(u64, u64)> = hashes
                .iter()
                .zip(hashes.iter().skip(1))
                .filter(|(one, other)| one.0 == other.0)
                .map(|(one, other)| (one.1, other.1))
                .collect();
            for (one, other) in suspects {
                let (first, second) = (self.entry(one)?, self.entry(other)?);
                let what = match by_name {
                    true if first.dn == second.dn => "name",
                    false if first.guid() == second.guid() => OBJECT_GUID,
                    _ => continue,
                };
                return Err(Error::new(
                    ErrorKind::Directory,
                    format!(
                        "reading the directory file {}: the objects at lines {} and {} have the same {what}",
                        self.view.name(),
                        self.view.line(one)?,
                        self.view.line(other)?,
                    ),
                )
                .with_remedy("remove one of them, or export the directory again"));
            }
        }
        Ok(())
    }
}

/// Puts the normalized name of a record into `name`, empty if it is no record, and finds its GUID.
fn head(
    record: &[u8],
    finder: &Finder<'_>,
    name: &mut String,
    value: &mut Vec<u8>,
) -> Result<Option<ObjectGuid>, LdifError> {
    name.clear();
    let Some(mut reader) = ContentReader::new(record)? else {
        return Ok(None);
    };
    normalize(reader.dn(), name)?;
    // The usual spelling, in a line of its own, is found without looking at all lines.
    let line = finder
        .find(record)
        .and_then(|at| record.get(at + 1..))
        .and_then(|rest| rest.split_inclusive(|octet| *octet == b'\n').next());
    if let Some(line) = line
        && let Some(base64) = line.strip_prefix(b"objectGUID::")
        && base64.trim_ascii().len() == 24
    {
        let text = [b"dn: x\n", line].concat();
        let mut single = ContentReader::new(&text)?;
        if let Some(line) = single
            .as_mut()
            .map(ContentReader::next_line)
            .transpose()?
            .flatten()
        {
            value.clear();
            if line.decode_into(value).is_ok() {
                return Ok(ObjectGuid::from_le_slice(value).ok());
            }
        }
    }
    let mut guid = None;
    while let Some(line) = reader.next_line()? {
        if line.name().eq_ignore_ascii_case(OBJECT_GUID) {
            value.clear();
            line.decode_into(value)?;
            guid = ObjectGuid::from_le_slice(value).ok();
        }
    }
    Ok(guid)
}

/// Puts [`Dn::normalized`] of `text` into `out`; names of the usual form take no allocation.
fn normalize(text: &str, out: &mut String) -> Result<(), LdifError> {
    out.clear();
    if is_canonical(text) {
        out.push_str(text);
        out.make_ascii_lowercase();
    } else {
        out.push_str(&parse_dn(text)?.normalized());
    }
    Ok(())
}

/// The name of the parent, as a part of a normalized name.
fn parent(normalized: &str) -> Option<&str> {
    let mut is_escaped = false;
    let comma = normalized.find(|letter| {
        let is_end = letter == ',' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        is_end
    })?;
    normalized.get(comma + 1..)
}

/// Whether `text` is a name that prints as it stands, but for the case of letters.
fn is_canonical(text: &str) -> bool {
    !text.is_empty()
        && text.split(',').all(|level| {
            let Some((kind, value)) = level.split_once('=') else {
                return false;
            };
            kind.starts_with(|first: char| first.is_ascii_alphabetic())
                && kind
                    .bytes()
                    .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
                && !value.is_empty()
                && !value.starts_with(' ')
                && !value.ends_with(' ')
                && value
                    .bytes()
                    .all(|octet| matches!(octet, b' '..=b'~') && !b"\\+\"#;<>=".contains(&octet))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_cut_gives_the_normalized_name() {
        for text in [
            "CN=a4,CN=RegisteredDevices,DC=contoso,DC=com",
            "cn=Device Registration Services,dc=Contoso,dc=com",
            "CN = spaces , DC=com",
            "CN=a\\0ACNF:6aa9c2f5,DC=com",
            "CN=M\u{fc}ller,DC=com",
            "2.5.4.3=x,DC=com",
            "OID.2.5.4.3=x,DC=com",
            "CN=a\\,b,DC=com",
            "CN=a\\\\,CN=b\\,c,DC=com",
            "DC=com",
            "CN=#0401,DC=com",
            "CN=a+OU=b,DC=com",
            "CN=\\ a,DC=com",
            "CN=a=b,DC=com",
        ] {
            let mut out = String::from("left over");
            normalize(text, &mut out).unwrap();
            let dn = Dn::parse(text).unwrap();
            assert_eq!(out, dn.normalized(), "{text}");
            let above = dn.parent().map(|dn| dn.normalized());
            assert_eq!(
                parent(&out),
                above.as_deref().filter(|above| !above.is_empty())
            );
        }
        assert!(normalize("nonsense", &mut String::new()).is_err());
    }

    #[test]
    fn guids_are_found_however_they_are_written() {
        let finder = Finder::new("\nobjectGUID:");
        let guid = ObjectGuid::from_le_bytes(*b"0123456789abcdef");
        for (text, expected) in [
            (
                "dn: CN=x\nobjectGUID:: MDEyMzQ1Njc4OWFiY2RlZg==\ncn: x\n\n",
                Some(guid),
            ),
            (
                "dn: CN=x\r\nobjectGUID:: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
                Some(guid),
            ),
            ("dn: CN=x\nobjectGUID: 0123456789abcdef\n", Some(guid)),
            (
                "dn: CN=x\nOBJECTguid:: MDEyMzQ1Njc4OWFiY2RlZg==",
                Some(guid),
            ),
            (
                "dn: CN=x\nobjectGUID:: MDEyMzQ1Njc4\n OWFiY2RlZg==\n",
                Some(guid),
            ),
            ("dn: CN=x\ncn: x\n", None),
            ("dn: CN=x\nobjectGUID: short\n", None),
        ] {
            let mut name = String::new();
            let found = head(text.as_bytes(), &finder, &mut name, &mut Vec::new()).unwrap();
            assert_eq!(found, expected, "{text:?}");
            assert_eq!(name, "cn=x");
        }
    }
}
