//! Reading and writing with the writes that wait for the commit.

use device_writeback_core::apply::{Modification, Operation, OperationResult, ResultCode, Target};
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::dn::Dn;
use device_writeback_core::dn_binary::DnBinary;
use device_writeback_core::guid::ObjectGuid;
use device_writeback_core::ldif::LdifError;
use device_writeback_core::plan::Octets;
use device_writeback_core::schema::{Attribute, CONTAINER_CLASS, DEVICE_CLASS, Syntax};
use device_writeback_engine::error::{Error, ErrorKind};

use super::entry::{Entry, decode, new_device};
use super::index::Index;
use super::overlay::{Fate, Overlay};
use super::refusal::refuse;
use super::validate::{check_add, check_modify, check_name};
use super::view::View;
use device_writeback_core::schema::SchemaVersion;

/// Sequence numbers of objects that are not in the file yet begin here; no file is that large.
const FIRST_ADDED: u64 = 1 << 62;

/// The file's objects and what was written since.
#[derive(Debug)]
pub(super) struct Session {
    view: View,
    schema: SchemaVersion,
    index: Index,
    overlay: Overlay,
    /// The container that the last new object went to.
    container: Option<Dn>,
    buffer: Vec<u8>,
}

/// Where an object is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// At that offset of the file.
    Stored(u64),
    /// The new object of that number.
    Added(u32),
}

impl Session {
    /// Reads through the file once to find its objects.
    pub(super) fn open(view: &View, schema: SchemaVersion) -> Result<Self, Error> {
        Ok(Self {
            view: view.clone(),
            schema,
            index: Index::build(view)?,
            overlay: Overlay::default(),
            container: None,
            buffer: Vec::new(),
        })
    }

    /// The writes that wait.
    pub(super) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// The line end that new records get.
    pub(super) fn line_end(&self) -> &'static str {
        self.index.line_end
    }

    /// Reads one object.
    pub(super) fn read(&mut self, target: &Target) -> Result<Option<DirectoryObject>, Error> {
        match self.find_target(target)? {
            Some(place) => self.object(place),
            None => Ok(None),
        }
    }

    /// Reads the file's object at that offset, as it is by now.
    pub(super) fn read_stored(&mut self, offset: u64) -> Result<Option<DirectoryObject>, Error> {
        self.object(Place::Stored(offset))
    }

    /// Performs one write; it waits for the commit.
    pub(super) fn write(&mut self, operation: &Operation) -> Result<OperationResult, Error> {
        let refused = match operation {
            Operation::Add { dn, attributes } => self.add(dn, attributes)?,
            Operation::Modify {
                target,
                modifications,
            } => self.modify(target, modifications)?,
            Operation::Delete { target } => self.delete(target)?,
            _ => Err(refuse(
                ResultCode::UNWILLING_TO_PERFORM,
                "the operation is not supported",
            )),
        };
        Ok(refused.map_or_else(|refused| refused, |()| OperationResult::SUCCESS))
    }

    fn add(
        &mut self,
        dn: &Dn,
        attributes: &[(&'static str, Vec<Octets>)],
    ) -> Result<Result<(), OperationResult>, Error> {
        let checked = check_name(dn).and_then(|()| check_add(dn, attributes, self.schema));
        let attributes = match checked {
            Ok(attributes) => attributes,
            Err(refused) => return Ok(Err(refused)),
        };
        let Some(parent) = dn.parent() else {
            return Ok(Err(refuse(ResultCode::INVALID_DN_SYNTAX, "no parent")));
        };
        if let Err(refused) = self.check_container(dn, &parent)? {
            return Ok(Err(refused));
        }
        let hash = self.index.hash_name(&dn.normalized());
        if self.find_hashed(dn, hash)?.is_some() {
            return Ok(Err(refuse(
                ResultCode::ENTRY_ALREADY_EXISTS,
                format!("{dn} exists already"),
            )));
        }
        for (attribute, values) in &attributes {
            if let Err(refused) = self.check_references(dn, *attribute, values)? {
                return Ok(Err(refused));
            }
        }
        let guid = random_guid()?;
        let record = new_device(dn, &attributes, guid, self.line_end());
        let guid = self.index.hash_guid(guid);
        self.overlay
            .add(hash, guid, &record)
            .map_err(|error| self.spool_error(error))?;
        Ok(Ok(()))
    }

    fn modify(
        &mut self,
        target: &Target,
        modifications: &[Modification],
    ) -> Result<Result<(), OperationResult>, Error> {
        let (place, entry) = match self.device(target)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let changed = match check_modify(&entry, modifications, self.schema) {
            Ok(changed) => changed,
            Err(refused) => return Ok(Err(refused)),
        };
        for (attribute, values) in &changed {
            let mut new = values.clone();
            new.retain(|value| {
                !entry
                    .values(attribute.name())
                    .any(|old| old == value.as_ref())
            });
            if let Err(refused) = self.check_references(&entry.dn, *attribute, &new)? {
                return Ok(Err(refused));
            }
        }
        if !changed.is_empty() {
            self.replace(place, Some(&entry.edited(&changed)))?;
        }
        Ok(Ok(()))
    }

    fn delete(&mut self, target: &Target) -> Result<Result<(), OperationResult>, Error> {
        let (place, entry) = match self.device(target)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        if self.has_children(&entry.dn)? {
            return Ok(Err(refuse(
                ResultCode::NOT_ALLOWED_ON_NON_LEAF,
                format!("{} has objects below it", entry.dn),
            )));
        }
        self.replace(place, None)?;
        Ok(Ok(()))
    }

    fn replace(&mut self, place: Place, record: Option<&[u8]>) -> Result<(), Error> {
        match place {
            Place::Stored(offset) => self.overlay.replace_stored(offset, record),
            Place::Added(number) => self.overlay.replace_added(number, record),
        }
        .map_err(|error| self.spool_error(error))
    }

    /// The device that a write names.
    fn device(
        &mut self,
        target: &Target,
    ) -> Result<Result<(Place, Entry), OperationResult>, Error> {
        let dn = &target.dn;
        let none = || {
            refuse(
                ResultCode::NO_SUCH_OBJECT,
                match target.guid {
                    Some(guid) => format!("there is no object <GUID={guid}>, last seen as {dn}"),
                    None => format!("there is no object {dn}"),
                },
            )
        };
        let Some(place) = self.find_target(target)? else {
            return Ok(Err(none()));
        };
        let Some(entry) = self.entry(place)? else {
            return Ok(Err(none()));
        };
        if !entry.has_class(DEVICE_CLASS) {
            return Ok(Err(refuse(
                ResultCode::UNWILLING_TO_PERFORM,
                format!(
                    "{dn} is of class {}; only objects of class {DEVICE_CLASS} are written",
                    entry.class()
                ),
            )));
        }
        Ok(Ok((place, entry)))
    }

    /// Whether there are objects directly below a device.
    fn has_children(&mut self, dn: &Dn) -> Result<bool, Error> {
        // New objects go into containers alone, never below a device: children are in the file.
        let hash = self.index.hash_name(&dn.normalized());
        let (offsets, is_cut) = self.index.children(hash);
        if is_cut {
            // Those that were not remembered may all be deleted by now; the next commit shows it.
            return Ok(true);
        }
        for offset in offsets {
            if let Some(place) = self.alive(Some(offset))?
                && let Some(child) = self.entry(place)?
                && child.dn.is_child_of(dn)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn check_container(
        &mut self,
        dn: &Dn,
        parent: &Dn,
    ) -> Result<Result<(), OperationResult>, Error> {
        // Only devices come and go here, and none can be a parent: a container stays one.
        if self.container.as_ref() == Some(parent) {
            return Ok(Ok(()));
        }
        let entry = match self.find(parent)? {
            Some(place) => self.entry(place)?,
            None => None,
        };
        match entry {
            None => Ok(Err(refuse(
                ResultCode::NO_SUCH_OBJECT,
                format!("the parent of {dn} does not exist"),
            ))),
            Some(entry) if entry.has_class(CONTAINER_CLASS) => {
                self.container = Some(parent.clone());
                Ok(Ok(()))
            }
            Some(entry) => Ok(Err(refuse(
                ResultCode::NAMING_VIOLATION,
                format!(
                    "{dn}: a {DEVICE_CLASS} can be under a {CONTAINER_CLASS} alone, not under a {}",
                    entry.class()
                ),
            ))),
        }
    }

    /// The object that a value names has to exist.
    fn check_references(
        &mut self,
        dn: &Dn,
        attribute: Attribute,
        values: &[Octets],
    ) -> Result<Result<(), OperationResult>, Error> {
        if attribute.schema().syntax != Syntax::DnBinary {
            return Ok(Ok(()));
        }
        for value in values {
            let parsed = std::str::from_utf8(value.as_ref()).map(DnBinary::parse);
            let Ok(Ok(parsed)) = parsed else { continue };
            if parsed.dn() != dn && self.find(parsed.dn())?.is_none() {
                return Ok(Err(refuse(
                    ResultCode::CONSTRAINT_VIOLATION,
                    format!("{attribute} of {dn} names an object that does not exist"),
                )));
            }
        }
        Ok(Ok(()))
    }

    fn find_target(&mut self, target: &Target) -> Result<Option<Place>, Error> {
        let Some(guid) = target.guid else {
            return self.find(&target.dn);
        };
        let hash = self.index.hash_guid(guid);
        for number in self.overlay.by_guid(hash) {
            let place = Place::Added(number);
            if self
                .entry(place)?
                .is_some_and(|entry| entry.guid() == Some(guid))
            {
                return Ok(Some(place));
            }
        }
        let offset = self.index.find_guid(guid, hash)?;
        self.alive(offset)
    }

    fn find(&mut self, dn: &Dn) -> Result<Option<Place>, Error> {
        let hash = self.index.hash_name(&dn.normalized());
        self.find_hashed(dn, hash)
    }

    fn find_hashed(&mut self, dn: &Dn, hash: u64) -> Result<Option<Place>, Error> {
        for number in self.overlay.by_name(hash) {
            let place = Place::Added(number);
            if self.entry(place)?.is_some_and(|entry| entry.dn == *dn) {
                return Ok(Some(place));
            }
        }
        let offset = self.index.find_name(dn, hash)?;
        self.alive(offset)
    }

    fn alive(&mut self, offset: Option<u64>) -> Result<Option<Place>, Error> {
        let Some(offset) = offset else {
            return Ok(None);
        };
        let fate = self.overlay.fate(offset, &mut self.buffer);
        let is_deleted = match fate {
            Ok(fate) => matches!(fate, Fate::Deleted),
            Err(error) => return Err(self.spool_error(error)),
        };
        Ok((!is_deleted).then_some(Place::Stored(offset)))
    }

    /// Hands over the octets of the record at that place, as they are by now.
    fn with_record<T>(
        &mut self,
        place: Place,
        read: impl FnOnce(&[u8]) -> Result<Option<T>, LdifError>,
    ) -> Result<Option<T>, Error> {
        let spool_error = |view: &View, error| view.io_error("reading back writes to", error);
        match place {
            Place::Added(number) => {
                let found = self.overlay.added(number, &mut self.buffer);
                if !found.map_err(|error| spool_error(&self.view, error))? {
                    return Ok(None);
                }
                read(&self.buffer).map_err(|error| self.view.record_error(0, &error))
            }
            Place::Stored(offset) => {
                let record = match self.overlay.fate(offset, &mut self.buffer) {
                    Ok(Fate::Kept) => self.index.record(offset)?,
                    Ok(Fate::Deleted) => return Ok(None),
                    Ok(Fate::Replaced(record)) => record,
                    Err(error) => return Err(spool_error(&self.view, error)),
                };
                read(record).map_err(|error| self.view.record_error(offset, &error))
            }
        }
    }

    fn entry(&mut self, place: Place) -> Result<Option<Entry>, Error> {
        self.with_record(place, Entry::parse)
    }

    fn object(&mut self, place: Place) -> Result<Option<DirectoryObject>, Error> {
        let sequence = match place {
            Place::Stored(offset) => offset,
            Place::Added(number) => FIRST_ADDED + u64::from(number),
        };
        let decoded = self.with_record(place, |record| decode(record, sequence, None))?;
        Ok(decoded.map(|decoded| decoded.object))
    }

    fn spool_error(&self, error: std::io::Error) -> Error {
        self.view.io_error("gathering writes to", error)
    }
}

/// A GUID of random bits ([RFC 9562] 5.4), as a domain controller makes them.
fn random_guid() -> Result<ObjectGuid, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            "making an objectGUID: the system has no random numbers",
        )
        .with_source(error)
    })?;
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    let (g, i) = (g & 0x0f | 0x40, i & 0x3f | 0x80);
    Ok(ObjectGuid::from_bytes([
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p,
    ]))
}
