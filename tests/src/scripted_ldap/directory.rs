//! The objects the server holds, and how they are found.

use std::collections::BTreeMap;
use std::ops::Bound;

use device_writeback_core::dn::Dn;
use device_writeback_core::error::InvalidValue;
use device_writeback_core::guid::Guid;
use device_writeback_core::schema::SchemaVersion;
use device_writeback_core::sid::Sid;

use super::filter::Filter;
use super::message::{LdapResult, Scope, code};
use super::values::Entry;

/// The levels of a name from the root down, in lower case: what is below an object follows it.
pub(super) type Key = Vec<String>;

/// A naming context that this server does not hold: searches at and below it are referred.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere {
    pub(super) dn: String,
    pub(super) guid: Guid,
    pub(super) sid: Sid,
}

/// The objects of the server. Nothing here is checked as a request would be.
#[derive(Debug)]
pub struct Directory {
    pub(super) entries: BTreeMap<Key, Entry>,
    by_guid: BTreeMap<Vec<u8>, Key>,
    /// The heads of the naming contexts that the server holds.
    pub(super) contexts: Vec<Key>,
    pub(super) elsewhere: Vec<Elsewhere>,
    pub(super) schema: SchemaVersion,
    /// The last number given to a change.
    pub(super) usn: u64,
    /// How many GUIDs have been made.
    guids: u64,
}

impl Directory {
    pub(super) fn empty(schema: SchemaVersion) -> Directory {
        Directory {
            entries: BTreeMap::new(),
            by_guid: BTreeMap::new(),
            contexts: Vec::new(),
            elsewhere: Vec::new(),
            schema,
            usn: 12_000,
            guids: 0,
        }
    }

    /// The object of that name (or `<GUID=...>`, `<SID=...>`); the empty name is the rootDSE.
    #[must_use]
    pub fn entry(&self, dn: &str) -> Option<&Entry> {
        self.entries.get(&self.locate(dn).ok()?)
    }

    /// The same, to change it as nobody could over LDAP.
    pub fn entry_mut(&mut self, dn: &str) -> Option<&mut Entry> {
        let key = self.locate(dn).ok()?;
        self.entries.get_mut(&key)
    }

    /// Puts an object there, in place of any other of its name. An absent `objectGUID` is made,
    /// `cn`, `name` and `distinguishedName` are filled in, `uSNChanged` is counted.
    ///
    /// # Errors
    ///
    /// When its `dn` is no distinguished name.
    pub fn insert(&mut self, mut entry: Entry) -> Result<(), InvalidValue> {
        let dn = Dn::parse(&entry.dn)?;
        entry.dn = dn.to_string();
        if let Some(rdn) = dn.rdn() {
            entry.set("distinguishedName", vec![entry.dn.clone().into_bytes()]);
            entry.set("name", vec![rdn.value().as_bytes().to_vec()]);
            let kind = if rdn.kind() == "CN" { "cn" } else { rdn.kind() };
            entry.set(kind, vec![rdn.value().as_bytes().to_vec()]);
            if entry.values("objectGUID").is_empty() {
                let guid = self.new_guid();
                entry.set("objectGUID", vec![guid.to_le_bytes().to_vec()]);
            }
            self.touch(&mut entry);
        }
        let key = key(&dn);
        if !key.is_empty() {
            self.remove_key(&key);
        }
        if let Some(guid) = entry.values("objectGUID").first() {
            self.by_guid.insert(guid.clone(), key.clone());
        }
        self.entries.insert(key, entry);
        Ok(())
    }

    /// Takes an object away, and leaves what is below it.
    pub fn remove(&mut self, dn: &str) -> Option<Entry> {
        let key = self.locate(dn).ok()?;
        self.remove_key(&key)
    }

    /// The objects directly below a name, sorted by name.
    #[must_use]
    pub fn children(&self, dn: &str) -> Vec<&Entry> {
        let Ok(base) = self.locate(dn) else {
            return Vec::new();
        };
        let level = base.len() + 1;
        self.below(&base)
            .filter(|(key, _)| key.len() == level)
            .map(|(_, entry)| entry)
            .collect()
    }

    pub(super) fn remove_key(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        if let Some(guid) = entry.values("objectGUID").first() {
            self.by_guid.remove(guid);
        }
        self.usn += 1;
        Some(entry)
    }

    /// Counts a change of the object.
    pub(super) fn touch(&mut self, entry: &mut Entry) {
        self.usn += 1;
        let usn = self.usn.to_string().into_bytes();
        if entry.values("uSNCreated").is_empty() {
            entry.set("uSNCreated", vec![usn.clone()]);
        }
        entry.set("uSNChanged", vec![usn]);
    }

    /// Everything below a name, at any level.
    pub(super) fn below<'a>(
        &'a self,
        base: &Key,
    ) -> impl Iterator<Item = (&'a Key, &'a Entry)> + use<'a> {
        let base = base.clone();
        self.entries
            .range((Bound::Excluded(base.clone()), Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(&base))
    }

    /// Where a name of a request leads, whether or not something is there.
    pub(super) fn locate(&self, dn: &str) -> Result<Key, LdapResult> {
        if let Some(reference) = dn.strip_prefix('<') {
            let inner = reference.split('>').next().unwrap_or_default();
            return self.refer(inner).ok_or_else(|| self.missing(dn));
        }
        Dn::parse(dn).map(|dn| key(&dn)).map_err(|_| {
            let message = "0000208F: NameErr: DSID-03100225, problem 2006 (BAD_NAME), data 8350";
            LdapResult::new(code::INVALID_DN_SYNTAX, message)
        })
    }

    /// As [`Directory::locate`], but something is there.
    pub(super) fn existing(&self, dn: &str) -> Result<Key, LdapResult> {
        let key = self.locate(dn)?;
        if self.entries.contains_key(&key) {
            return Ok(key);
        }
        Err(self.nowhere(dn, &key))
    }

    /// The result for a name with nothing there: a referral outside of the naming contexts.
    pub(super) fn nowhere(&self, dn: &str, key: &Key) -> LdapResult {
        if self.contexts.iter().any(|context| key.starts_with(context))
            && !self.elsewhere.iter().any(|other| is_at(key, &other.dn))
        {
            return self.missing_key(key);
        }
        let host = Dn::parse(dn).map(|dn| dns_name(&dn)).unwrap_or_default();
        if host.is_empty() {
            return self.missing_key(key);
        }
        let message = format!(
            "0000202B: RefErr: DSID-03100835, data 0, 1 access points\n\tref 1: '{host}'\n"
        );
        LdapResult::new(code::REFERRAL, &message).referral(&format!("ldap://{host}/{dn}"))
    }

    fn missing(&self, dn: &str) -> LdapResult {
        let key = Dn::parse(dn).map(|dn| key(&dn)).unwrap_or_default();
        self.missing_key(&key)
    }

    fn missing_key(&self, key: &Key) -> LdapResult {
        let nearest = (1..key.len()).rev().find_map(|levels| {
            let entry = self.entries.get(key.get(..levels)?)?;
            Some(entry.dn.clone())
        });
        let nearest = nearest.unwrap_or_default();
        let message = format!(
            "0000208D: NameErr: DSID-0310028B, problem 2001 (NO_OBJECT), data 0, best match of:\n\t'{nearest}'\n"
        );
        let mut result = LdapResult::new(code::NO_SUCH_OBJECT, &message);
        result.matched_dn = nearest;
        result
    }

    /// `GUID=` in its text form or as hex digits, `SID=` likewise ([MS-ADTS] 3.1.1.3.1.2.4).
    fn refer(&self, reference: &str) -> Option<Key> {
        let (kind, value) = reference.split_once('=')?;
        if kind.eq_ignore_ascii_case("GUID") {
            let guid = match Guid::parse(value) {
                Ok(guid) if value.contains('-') => guid.to_le_bytes().to_vec(),
                _ => octets(value)?,
            };
            return self.by_guid.get(&guid).cloned();
        }
        if kind.eq_ignore_ascii_case("SID") {
            let sid = match Sid::parse(value) {
                Ok(sid) => sid.to_bytes(),
                Err(_) => octets(value)?,
            };
            let mut entries = self.entries.iter();
            let found = entries.find(|(_, entry)| entry.values("objectSid").contains(&sid));
            return found.map(|(key, _)| key.clone());
        }
        None
    }

    /// What a search finds, and the naming contexts it did not enter.
    pub(super) fn find(
        &self,
        base: &str,
        scope: Scope,
        filter: &Filter,
    ) -> Result<(Vec<Key>, Vec<String>), LdapResult> {
        let base = self.existing(base)?;
        if base.is_empty() && scope != Scope::Base {
            return Err(self.missing_key(&base));
        }
        let matches = |key: &Key| {
            let entry = self.entries.get(key);
            entry.is_some_and(|entry| filter.matches(entry))
        };
        if scope == Scope::Base {
            // The rootDSE has no class, and is found all the same ([RFC 4512] 5.1).
            let any =
                matches!(filter, Filter::Present(name) if name.eq_ignore_ascii_case("objectClass"));
            if base.is_empty() && any {
                return Ok((vec![base], Vec::new()));
            }
            let found = Some(base).filter(matches).into_iter().collect();
            return Ok((found, Vec::new()));
        }
        // A search stays in the naming context of its base ([MS-ADTS] 3.1.1.3.1.3.5) and names
        // those right below it.
        let held = self.contexts.iter().cloned();
        let others = self.elsewhere.iter().filter_map(|other| {
            let dn = Dn::parse(&other.dn).ok()?;
            Some(key(&dn))
        });
        let mut inner: Vec<Key> = held
            .chain(others)
            .filter(|context| context.len() > base.len() && context.starts_with(&base))
            .collect();
        inner.sort();
        let foreign = |key: &Key| inner.iter().any(|context| key.starts_with(context));
        let level = base.len() + 1;
        let in_scope = |key: &Key| scope == Scope::Subtree || key.len() == level;
        let own = (scope == Scope::Subtree && matches(&base)).then(|| base.clone());
        let found = self
            .below(&base)
            .map(|(key, _)| key)
            .filter(|key| in_scope(key) && !foreign(key) && matches(key))
            .cloned();
        let found = own.into_iter().chain(found).collect();
        let outermost = inner.iter().filter(|context| {
            in_scope(context)
                && !inner
                    .iter()
                    .any(|outer| outer.len() < context.len() && context.starts_with(outer))
        });
        Ok((found, outermost.map(|key| self.url(key)).collect()))
    }

    fn url(&self, key: &Key) -> String {
        let own = self.entries.get(key).map(|entry| entry.dn.clone());
        let other = || {
            let mut others = self.elsewhere.iter();
            Some(others.find(|other| is_at(key, &other.dn))?.dn.clone())
        };
        let dn = own.or_else(other).unwrap_or_default();
        let host = Dn::parse(&dn).map(|dn| dns_name(&dn)).unwrap_or_default();
        format!("ldap://{host}/{dn}")
    }

    /// GUIDs are made in a fixed order: the same requests make the same objects.
    fn new_guid(&mut self) -> Guid {
        self.guids += 1;
        let mut bytes = *b"\xd0\x9e\x5e\xed\x00\x00\x40\x00\x80\x00\0\0\0\0\0\0";
        for (octet, count) in bytes.iter_mut().rev().zip(self.guids.to_le_bytes()).take(6) {
            *octet = count;
        }
        Guid::from_bytes(bytes)
    }
}

pub(super) fn key(dn: &Dn) -> Key {
    let levels = dn.rdns().iter().rev();
    levels.map(|rdn| rdn.to_string().to_lowercase()).collect()
}

fn is_at(place: &Key, dn: &str) -> bool {
    Dn::parse(dn).is_ok_and(|dn| place.starts_with(&key(&dn)))
}

/// `contoso.com` for anything below `DC=contoso,DC=com`.
pub(super) fn dns_name(dn: &Dn) -> String {
    let labels = dn.rdns().iter().filter(|rdn| rdn.kind() == "DC");
    let labels: Vec<&str> = labels.map(|rdn| rdn.value()).collect();
    labels.join(".")
}

/// Octets written as hex digits.
fn octets(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    let (pairs, []) = digits.as_deref()?.as_chunks::<2>() else {
        return None;
    };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}
