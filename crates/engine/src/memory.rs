//! Ports in memory, for tests, documentation and embedders that bring their own sides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use device_writeback_core::apply::{
    Modification, ModificationKind, Operation, OperationResult, ResultCode, Target, Verdict,
};
use device_writeback_core::directory::{DirectoryObject, OBJECT_GUID};
use device_writeback_core::dn::Dn;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::graph::CloudRecord;
use device_writeback_core::guid::{DeviceId, Guid, ObjectGuid, ObjectId};
use device_writeback_core::plan::{CloudKey, Completeness, DirectoryKey, History, Provenance};
use device_writeback_core::rules::PrincipalFacts;
use device_writeback_core::schema::Attribute;
use device_writeback_core::sid::Sid;

use crate::error::Error;
use crate::ports::{
    CloudImport, CloudSource, Directory, DirectoryFacts, DirectoryImport, JournalEntry,
    JournalOutcome, RunEnd, RunStart, StateStore,
};

/// A source of records that are at hand.
#[derive(Clone, Debug)]
pub struct MemorySource {
    records: Vec<CloudRecord>,
    completeness: Completeness,
}

impl MemorySource {
    /// A source of these records.
    pub fn new(records: Vec<CloudRecord>, completeness: Completeness) -> Self {
        Self {
            records,
            completeness,
        }
    }
}

/// A reading of a [`MemorySource`].
#[derive(Debug)]
pub struct MemoryImport<P> {
    page: Option<Vec<P>>,
    completeness: Completeness,
}

impl CloudSource for MemorySource {
    type Import = MemoryImport<CloudRecord>;

    async fn import(&self) -> Result<Self::Import, Error> {
        Ok(MemoryImport {
            page: Some(self.records.clone()),
            completeness: self.completeness.clone(),
        })
    }

    async fn reread(&self, keys: &[CloudKey]) -> Result<Vec<CloudRecord>, Error> {
        let wanted: BTreeSet<u64> = keys.iter().map(|key| key.sequence).collect();
        Ok(self
            .records
            .iter()
            .filter(|record| wanted.contains(&record.sequence))
            .cloned()
            .collect())
    }

    fn locate(&self, sequence: u64) -> String {
        format!("record {sequence}")
    }
}

impl CloudImport for MemoryImport<CloudRecord> {
    async fn next_page(&mut self) -> Result<Option<Vec<CloudRecord>>, Error> {
        Ok(self.page.take())
    }

    fn completeness(&self) -> Completeness {
        self.completeness.clone()
    }
}

impl DirectoryImport for MemoryImport<DirectoryObject> {
    async fn next_page(&mut self) -> Result<Option<Vec<DirectoryObject>>, Error> {
        Ok(self.page.take())
    }
}

type Values = BTreeMap<String, Vec<Vec<u8>>>;
type Objects = BTreeMap<String, (Dn, Values)>;

/// A directory in memory. It knows names, values and deletion by value; the schema's own checks are the business of real
/// directories.
#[derive(Debug)]
pub struct MemoryDirectory {
    facts: DirectoryFacts,
    principals: BTreeMap<Sid, PrincipalFacts>,
    objects: Mutex<Objects>,
}

impl MemoryDirectory {
    /// An empty container in a directory with these facts and users.
    pub fn new(
        facts: DirectoryFacts,
        principals: impl IntoIterator<Item = (Sid, PrincipalFacts)>,
    ) -> Self {
        Self {
            facts,
            principals: principals.into_iter().collect(),
            objects: Mutex::default(),
        }
    }

    /// Puts an object there, as another program would.
    pub fn insert(&self, dn: Dn, values: impl IntoIterator<Item = (String, Vec<u8>)>) {
        let mut entry = Values::new();
        for (name, value) in values {
            entry.entry(name).or_default().push(value);
        }
        self.lock().insert(dn.normalized(), (dn, entry));
    }

    /// Takes an object away, as another program would.
    pub fn remove(&self, dn: &Dn) -> bool {
        self.lock().remove(&dn.normalized()).is_some()
    }

    /// The values of an object by LDAP name.
    pub fn values(&self, dn: &Dn) -> Option<BTreeMap<String, Vec<Vec<u8>>>> {
        self.lock()
            .get(&dn.normalized())
            .map(|(_, values)| values.clone())
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decoded(sequence: u64, dn: &Dn, values: &Values) -> DirectoryObject {
        let attributes = values
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        DirectoryObject::decode(sequence, dn.clone(), attributes)
    }

    fn all(&self) -> Vec<DirectoryObject> {
        self.lock()
            .values()
            .enumerate()
            .map(|(number, (dn, values))| Self::decoded(number as u64, dn, values))
            .collect()
    }
}

impl Directory for MemoryDirectory {
    type Import = MemoryImport<DirectoryObject>;

    async fn facts(&self) -> Result<DirectoryFacts, Error> {
        Ok(self.facts.clone())
    }

    async fn import(&self) -> Result<Self::Import, Error> {
        Ok(MemoryImport {
            page: Some(self.all()),
            completeness: Completeness::Full,
        })
    }

    async fn principals(&self, sids: &[Sid]) -> Result<Vec<PrincipalFacts>, Error> {
        Ok(sids
            .iter()
            .map(|sid| {
                self.principals
                    .get(sid)
                    .copied()
                    .unwrap_or(PrincipalFacts::NotFound)
            })
            .collect())
    }

    async fn reread(
        &self,
        keys: &[DirectoryKey],
    ) -> Result<Vec<(DeviceId, DirectoryObject)>, Error> {
        let all = self.all();
        Ok(keys
            .iter()
            .filter_map(|key| {
                // Positions move when an object comes or goes; a GUID stays.
                let object = all.iter().find(|object| match key.object_guid {
                    Some(guid) => object.guid == Some(guid),
                    None => object.sequence == key.sequence,
                })?;
                Some((key.device_id, object.clone()))
            })
            .collect())
    }

    async fn read(&self, target: &Target) -> Result<Option<DirectoryObject>, Error> {
        let objects = self.lock();
        Ok(objects
            .get(&key_of(&objects, target))
            .map(|(dn, values)| Self::decoded(0, dn, values)))
    }

    async fn write(&self, operation: &Operation) -> Result<OperationResult, Error> {
        let mut objects = self.lock();
        let key = match operation {
            Operation::Modify { target, .. } | Operation::Delete { target } => {
                key_of(&objects, target)
            }
            _ => operation.dn().normalized(),
        };
        let missing = || OperationResult::new(ResultCode::NO_SUCH_OBJECT, "");
        Ok(match operation {
            Operation::Add { .. } if objects.contains_key(&key) => {
                OperationResult::new(ResultCode::ENTRY_ALREADY_EXISTS, "")
            }
            Operation::Add { dn, attributes } => {
                let mut values: Values = attributes
                    .iter()
                    .map(|(name, values)| {
                        (
                            (*name).to_owned(),
                            values.iter().map(|value| value.0.clone()).collect(),
                        )
                    })
                    .collect();
                let guid = random_guid()?;
                values.insert(OBJECT_GUID.to_owned(), vec![guid.to_le_bytes().to_vec()]);
                objects.insert(key, (dn.clone(), values));
                OperationResult::SUCCESS
            }
            Operation::Modify { modifications, .. } => match objects.get_mut(&key) {
                None => missing(),
                Some((_, values)) => {
                    let mut next = values.clone();
                    match modifications
                        .iter()
                        .try_for_each(|modification| modify(&mut next, modification))
                    {
                        Ok(()) => {
                            *values = next;
                            OperationResult::SUCCESS
                        }
                        Err(code) => OperationResult::new(code, ""),
                    }
                }
            },
            Operation::Delete { .. } => match objects.remove(&key) {
                Some(_) => OperationResult::SUCCESS,
                None => missing(),
            },
            _ => OperationResult::new(
                ResultCode::UNWILLING_TO_PERFORM,
                "this operation is not known here",
            ),
        })
    }

    async fn commit(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// The key of the object that `target` names: by its GUID, which survives a rename, or by its DN where there is no GUID.
fn key_of(objects: &Objects, target: &Target) -> String {
    let Some(guid) = target.guid else {
        return target.dn.normalized();
    };
    let wanted = guid.to_le_bytes();
    let is_it = |values: &Values| {
        values.iter().any(|(name, values)| {
            name.eq_ignore_ascii_case(OBJECT_GUID)
                && values.first().is_some_and(|own| *own == wanted)
        })
    };
    let key = target.dn.normalized();
    if objects.get(&key).is_some_and(|(_, values)| is_it(values)) {
        return key;
    }
    objects
        .iter()
        .find(|(_, (_, values))| is_it(values))
        .map_or_else(String::new, |(key, _)| key.clone())
}

fn random_guid() -> Result<ObjectGuid, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(
            crate::error::ErrorKind::Internal,
            "drawing a random objectGUID failed",
        )
        .with_source(error.to_string())
    })?;
    Ok(Guid::from_bytes(bytes).into())
}

fn modify(values: &mut Values, modification: &Modification) -> Result<(), ResultCode> {
    let own = values
        .keys()
        .find(|name| name.eq_ignore_ascii_case(modification.name))
        .cloned()
        .unwrap_or_else(|| modification.name.to_owned());
    let current = values.entry(own.clone()).or_default();
    for value in &modification.values {
        let position = current.iter().position(|present| *present == value.0);
        match (modification.kind, position) {
            (ModificationKind::Add, None) => current.push(value.0.clone()),
            (ModificationKind::Add, Some(_)) => return Err(ResultCode::ATTRIBUTE_OR_VALUE_EXISTS),
            (ModificationKind::Delete, None) => return Err(ResultCode::NO_SUCH_ATTRIBUTE),
            (ModificationKind::Delete, Some(position)) => {
                current.remove(position);
            }
        }
    }
    if Attribute::from_name(&own).is_some_and(|attribute| attribute.schema().single_valued)
        && current.len() > 1
    {
        return Err(ResultCode::ATTRIBUTE_OR_VALUE_EXISTS);
    }
    if current.is_empty() {
        values.remove(&own);
    }
    Ok(())
}

/// A state in memory: forgotten with the process.
#[derive(Debug, Default)]
pub struct MemoryState(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    known: BTreeMap<DeviceId, ObjectId>,
    disabled: BTreeMap<DeviceId, FileTime>,
    retired: BTreeMap<DeviceId, FileTime>,
    our_objects: Option<u64>,
    overrides: BTreeSet<[u8; 32]>,
    runs: Vec<FileTime>,
    journal: Vec<JournalEntry>,
}

impl Remembered {
    /// When that run began.
    fn begun(&self, run: u64) -> Option<FileTime> {
        let index = usize::try_from(run).ok()?.checked_sub(1)?;
        self.runs.get(index).copied()
    }
}

impl MemoryState {
    /// Nothing remembered.
    pub fn new() -> Self {
        Self::default()
    }

    /// The changes that were journalled.
    pub fn journal_entries(&self) -> Vec<JournalEntry> {
        self.lock().journal.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for MemoryState {
    async fn provenance(&self, devices: &[DeviceId]) -> Result<Vec<Provenance>, Error> {
        let state = self.lock();
        Ok(devices
            .iter()
            .map(|device| Provenance {
                known: state.known.contains_key(device),
                disabled_since: state.disabled.get(device).copied(),
            })
            .collect())
    }

    async fn history(&self, now: FileTime) -> Result<History, Error> {
        let state = self.lock();
        let day = now.minus_days(1);
        let retired = state
            .retired
            .iter()
            .filter(|(_, time)| **time > day)
            .map(|(device, _)| *device)
            .collect();
        Ok(History {
            retired,
            our_objects: state.our_objects,
        })
    }

    async fn begin_run(&self, run: &RunStart) -> Result<u64, Error> {
        let mut state = self.lock();
        state.runs.push(run.time);
        let day = run.time.minus_days(1);
        state.retired.retain(|_, time| *time > day);
        Ok(state.runs.len() as u64)
    }

    async fn journal(&self, run: u64, entries: &[JournalEntry]) -> Result<(), Error> {
        let mut state = self.lock();
        let begun = state.begun(run);
        if let Some(time) = begun {
            let retired = entries.iter().filter(|entry| entry.retirement);
            state
                .retired
                .extend(retired.map(|entry| (entry.device_id, time)));
        }
        state.journal.extend_from_slice(entries);
        Ok(())
    }

    async fn outcomes(&self, run: u64, outcomes: &[JournalOutcome]) -> Result<(), Error> {
        let mut state = self.lock();
        let begun = state.begun(run);
        for outcome in outcomes
            .iter()
            .filter(|outcome| outcome.verdict == Verdict::Done)
        {
            match begun {
                Some(time) if outcome.starts_clock() => {
                    state.disabled.insert(outcome.device_id, time);
                }
                _ => {
                    state.disabled.remove(&outcome.device_id);
                }
            }
        }
        Ok(())
    }

    async fn end_run(&self, end: RunEnd) -> Result<(), Error> {
        let mut state = self.lock();
        let begun = end.run.and_then(|run| state.begun(run));
        let Remembered {
            disabled, retired, ..
        } = &mut *state;
        disabled.retain(|device, _| {
            let retired_now = begun.is_some() && retired.get(device).copied() == begun;
            retired_now || !end.has_returned(*device)
        });
        for device in end.waiting {
            state.disabled.entry(device).or_insert(end.time);
        }
        state.known.extend(end.known);
        if end.our_objects.is_some() {
            state.our_objects = end.our_objects;
        }
        Ok(())
    }

    async fn use_override(&self, digest: [u8; 32], _now: FileTime) -> Result<bool, Error> {
        Ok(!self.lock().overrides.insert(digest))
    }
}
