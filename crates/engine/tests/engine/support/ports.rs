//! The memory ports with page sizes, delays, faults and a common log.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use device_writeback_core::apply::{Operation, OperationResult, Target};
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::graph::CloudRecord;
use device_writeback_core::guid::DeviceId;
use device_writeback_core::plan::{CloudKey, Completeness, DirectoryKey, History, Provenance};
use device_writeback_core::rules::PrincipalFacts;
use device_writeback_core::sid::Sid;
use device_writeback_engine::memory::{MemoryDirectory, MemoryState};
use device_writeback_engine::ports::{
    CloudImport, CloudSource, Directory, DirectoryFacts, DirectoryImport, JournalEntry,
    JournalOutcome, RunEnd, RunStart, StateStore,
};
use device_writeback_engine::{Error, ErrorKind};

use super::waiting::Yield;

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Principals(Vec<Sid>),
    Journal(Vec<DeviceId>),
    Write(DeviceId),
    Read,
    Commit,
    Outcomes(usize),
    EndRun,
}

/// What becomes of a write.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Perform,
    Answer(OperationResult),
    /// The connection breaks before the server has the request.
    LoseRequest,
    /// The connection breaks after the server did it.
    LoseAnswer,
}

type Log = Arc<Mutex<Vec<Event>>>;
type Rule = Box<dyn Fn(&Operation, usize) -> Act + Send + Sync>;
type Sight = Box<dyn Fn(Vec<DirectoryObject>) -> Vec<DirectoryObject> + Send + Sync>;
type Hook = Box<dyn FnOnce(&MemoryDirectory) + Send + Sync>;

/// The number of pages that each side has given, so that one can wait for the other.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) source: AtomicUsize,
    pub(crate) directory: AtomicUsize,
}

/// A port that the test keeps a hand on.
pub(crate) struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    fn new(port: T) -> Self {
        Self(Arc::new(port))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> std::ops::Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

pub(crate) struct Lab {
    pub(crate) source: Shared<LabSource>,
    pub(crate) directory: Shared<LabDirectory>,
    pub(crate) state: Shared<LabState>,
    pub(crate) log: Log,
    pub(crate) pages: Arc<Pages>,
}

impl Lab {
    pub(crate) fn new(
        records: Vec<CloudRecord>,
        directory: MemoryDirectory,
        state: MemoryState,
    ) -> Self {
        let log = Log::default();
        let pages = Arc::new(Pages::default());
        Self {
            source: Shared::new(LabSource {
                records: Mutex::new(records),
                reread: Mutex::default(),
                completeness: Mutex::new(Completeness::Full),
                page_size: AtomicUsize::new(usize::MAX),
                fails_at_page: AtomicUsize::new(usize::MAX),
                in_turns: AtomicBool::new(false),
                rereads: AtomicUsize::new(0),
                imports: AtomicUsize::new(0),
                pages: Arc::clone(&pages),
            }),
            directory: Shared::new(LabDirectory {
                memory: Arc::new(directory),
                log: Arc::clone(&log),
                page_size: AtomicUsize::new(usize::MAX),
                fails_at_page: AtomicUsize::new(usize::MAX),
                window: AtomicUsize::new(1),
                epoch: Arc::default(),
                delay: AtomicUsize::new(0),
                one_at_a_time: AtomicBool::new(false),
                busy: Arc::default(),
                in_turns: AtomicBool::new(false),
                flight: Mutex::default(),
                most: AtomicUsize::new(0),
                writes: AtomicUsize::new(0),
                rule: Mutex::new(Box::new(|_, _| Act::Perform)),
                reads_fail: AtomicUsize::new(0),
                commit_fails: AtomicBool::new(false),
                without_container: AtomicBool::new(false),
                answers_short: AtomicBool::new(false),
                before_reread: Mutex::default(),
                seen: Mutex::new(Box::new(|objects| objects)),
                pages: Arc::clone(&pages),
            }),
            state: Shared::new(LabState {
                memory: state,
                log: Arc::clone(&log),
                journal_fails: AtomicBool::new(false),
                history_fails: AtomicBool::new(false),
                answers_short: AtomicBool::new(false),
                ends: Mutex::default(),
            }),
            log,
            pages,
        }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn forget_events(&self) {
        self.log.lock().unwrap().clear();
    }
}

pub(crate) struct LabSource {
    records: Mutex<Vec<CloudRecord>>,
    reread: Mutex<Option<Vec<CloudRecord>>>,
    pub(crate) completeness: Mutex<Completeness>,
    pub(crate) page_size: AtomicUsize,
    pub(crate) fails_at_page: AtomicUsize,
    /// Every page waits for the page of the directory before it.
    pub(crate) in_turns: AtomicBool,
    pub(crate) rereads: AtomicUsize,
    pub(crate) imports: AtomicUsize,
    pages: Arc<Pages>,
}

impl LabSource {
    pub(crate) fn set_records(&self, records: Vec<CloudRecord>) {
        *self.records.lock().unwrap() = records;
    }

    pub(crate) fn records(&self) -> Vec<CloudRecord> {
        self.records.lock().unwrap().clone()
    }

    /// What a second reading finds, instead of what the first one found.
    pub(crate) fn set_reread(&self, records: Vec<CloudRecord>) {
        *self.reread.lock().unwrap() = Some(records);
    }

    pub(crate) fn is_now(&self, completeness: Completeness) {
        *self.completeness.lock().unwrap() = completeness;
    }
}

pub(crate) struct LabImport<P> {
    left: Vec<P>,
    page_size: usize,
    page: usize,
    fails_at_page: usize,
    completeness: Completeness,
    in_turns: bool,
    busy: Option<Arc<AtomicBool>>,
    pages: Arc<Pages>,
}

impl<P> LabImport<P> {
    async fn next(&mut self, kind: ErrorKind) -> Result<Option<Vec<P>>, Error> {
        if let Some(busy) = &self.busy {
            occupy(busy).await;
        }
        Yield(2).await;
        if let Some(busy) = &self.busy {
            busy.store(false, Ordering::SeqCst);
        }
        if self.page == self.fails_at_page {
            return Err(Error::new(kind, "the reading broke off"));
        }
        self.page += 1;
        if self.left.is_empty() {
            return Ok(None);
        }
        let rest = self.left.split_off(self.page_size.min(self.left.len()));
        Ok(Some(std::mem::replace(&mut self.left, rest)))
    }
}

async fn occupy(busy: &AtomicBool) {
    while busy.swap(true, Ordering::SeqCst) {
        Yield(1).await;
    }
}

impl CloudSource for Shared<LabSource> {
    type Import = LabImport<CloudRecord>;

    async fn import(&self) -> Result<Self::Import, Error> {
        self.imports.fetch_add(1, Ordering::SeqCst);
        Ok(LabImport {
            left: self.records(),
            page_size: self.page_size.load(Ordering::SeqCst),
            page: 0,
            fails_at_page: self.fails_at_page.load(Ordering::SeqCst),
            completeness: self.completeness.lock().unwrap().clone(),
            in_turns: self.in_turns.load(Ordering::SeqCst),
            busy: None,
            pages: Arc::clone(&self.pages),
        })
    }

    async fn reread(&self, keys: &[CloudKey]) -> Result<Vec<CloudRecord>, Error> {
        self.rereads.fetch_add(keys.len(), Ordering::SeqCst);
        Yield(1).await;
        let changed = self.reread.lock().unwrap().clone();
        Ok(changed
            .unwrap_or_else(|| self.records())
            .into_iter()
            .filter(|record| keys.iter().any(|key| key.sequence == record.sequence))
            .collect())
    }

    fn locate(&self, sequence: u64) -> String {
        format!("record {sequence}")
    }
}

impl CloudImport for LabImport<CloudRecord> {
    async fn next_page(&mut self) -> Result<Option<Vec<CloudRecord>>, Error> {
        while self.in_turns && self.pages.directory.load(Ordering::SeqCst) < self.page {
            Yield(1).await;
        }
        let page = self.next(ErrorKind::Source).await;
        self.pages.source.fetch_add(1, Ordering::SeqCst);
        page
    }

    fn completeness(&self) -> Completeness {
        self.completeness.clone()
    }
}

pub(crate) struct LabDirectory {
    memory: Arc<MemoryDirectory>,
    log: Log,
    pub(crate) page_size: AtomicUsize,
    pub(crate) fails_at_page: AtomicUsize,
    pub(crate) window: AtomicUsize,
    /// Which server it is.
    pub(crate) epoch: Arc<AtomicU64>,
    /// How often a write is polled before it answers; the n-th write waits n times more, modulo 7.
    pub(crate) delay: AtomicUsize,
    /// One connection: a reading in progress keeps it for a whole page.
    pub(crate) one_at_a_time: AtomicBool,
    busy: Arc<AtomicBool>,
    pub(crate) in_turns: AtomicBool,
    flight: Mutex<BTreeMap<String, usize>>,
    /// The most writes that were in flight at once.
    pub(crate) most: AtomicUsize,
    writes: AtomicUsize,
    rule: Mutex<Rule>,
    /// So many reads fail.
    pub(crate) reads_fail: AtomicUsize,
    pub(crate) commit_fails: AtomicBool,
    pub(crate) without_container: AtomicBool,
    pub(crate) answers_short: AtomicBool,
    before_reread: Mutex<Option<Hook>>,
    seen: Mutex<Sight>,
    pages: Arc<Pages>,
}

impl LabDirectory {
    pub(crate) fn memory(&self) -> &MemoryDirectory {
        &self.memory
    }

    pub(crate) fn shared_memory(&self) -> Arc<MemoryDirectory> {
        Arc::clone(&self.memory)
    }

    /// Decides about every write; the number counts the writes from 0.
    pub(crate) fn on_write(&self, rule: impl Fn(&Operation, usize) -> Act + Send + Sync + 'static) {
        self.writes.store(0, Ordering::SeqCst);
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// Does this before the next second reading.
    pub(crate) fn before_reread(
        &self,
        hook: impl FnOnce(&MemoryDirectory) + Send + Sync + 'static,
    ) {
        *self.before_reread.lock().unwrap() = Some(Box::new(hook));
    }

    /// Changes what an import sees.
    pub(crate) fn on_import(
        &self,
        seen: impl Fn(Vec<DirectoryObject>) -> Vec<DirectoryObject> + Send + Sync + 'static,
    ) {
        *self.seen.lock().unwrap() = Box::new(seen);
    }

    fn log(&self, event: Event) {
        self.log.lock().unwrap().push(event);
    }

    async fn perform(&self, operation: &Operation) -> Result<OperationResult, Error> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        if let Some(name) = operation.dn().rdn() {
            self.log(Event::Write(name.value().parse().unwrap()));
        }
        let delay = self.delay.load(Ordering::SeqCst);
        if delay > 0 {
            Yield(delay + number % 7).await;
        }
        let lost = || Error::new(ErrorKind::Directory, "the connection to dc1 was lost");
        let act = (self.rule.lock().unwrap())(operation, number);
        match act {
            Act::Perform => self.memory.write(operation).await,
            Act::Answer(result) => Ok(result),
            Act::LoseRequest => Err(lost()),
            Act::LoseAnswer => {
                self.memory.write(operation).await?;
                Err(lost())
            }
        }
    }
}

impl Directory for Shared<LabDirectory> {
    type Import = LabImport<DirectoryObject>;

    async fn facts(&self) -> Result<DirectoryFacts, Error> {
        let mut facts = self.memory.facts().await?;
        facts.container_exists = !self.without_container.load(Ordering::SeqCst);
        Ok(facts)
    }

    async fn import(&self) -> Result<Self::Import, Error> {
        if self.without_container.load(Ordering::SeqCst) {
            return Err(Error::new(
                ErrorKind::Directory,
                "reading devices: noSuchObject (32)",
            ));
        }
        let mut all = Vec::new();
        let mut import = self.memory.import().await?;
        while let Some(page) = import.next_page().await? {
            all.extend(page);
        }
        let one_at_a_time = self.one_at_a_time.load(Ordering::SeqCst);
        Ok(LabImport {
            left: (self.seen.lock().unwrap())(all),
            page_size: self.page_size.load(Ordering::SeqCst),
            page: 0,
            fails_at_page: self.fails_at_page.load(Ordering::SeqCst),
            completeness: Completeness::Full,
            in_turns: self.in_turns.load(Ordering::SeqCst),
            busy: one_at_a_time.then(|| Arc::clone(&self.busy)),
            pages: Arc::clone(&self.pages),
        })
    }

    async fn principals(&self, sids: &[Sid]) -> Result<Vec<PrincipalFacts>, Error> {
        self.log(Event::Principals(sids.to_vec()));
        if self.one_at_a_time.load(Ordering::SeqCst) {
            occupy(&self.busy).await;
            self.busy.store(false, Ordering::SeqCst);
        }
        let mut answers = self.memory.principals(sids).await?;
        if self.answers_short.load(Ordering::SeqCst) {
            answers.pop();
        }
        Ok(answers)
    }

    async fn reread(
        &self,
        keys: &[DirectoryKey],
    ) -> Result<Vec<(DeviceId, DirectoryObject)>, Error> {
        if let Some(hook) = self.before_reread.lock().unwrap().take() {
            hook(&self.memory);
        }
        self.memory.reread(keys).await
    }

    async fn read(&self, target: &Target) -> Result<Option<DirectoryObject>, Error> {
        self.log(Event::Read);
        let fail = self
            .reads_fail
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if fail.is_ok() {
            return Err(Error::new(
                ErrorKind::Directory,
                "the connection to dc1 was lost",
            ));
        }
        self.memory.read(target).await
    }

    async fn write(&self, operation: &Operation) -> Result<OperationResult, Error> {
        let name = operation.dn().normalized();
        {
            let mut flight = self.flight.lock().unwrap();
            let before = flight.insert(name.clone(), 1);
            assert_eq!(before, None, "two operations at once on {name}");
            self.most.fetch_max(flight.len(), Ordering::SeqCst);
        }
        let result = self.perform(operation).await;
        self.flight.lock().unwrap().remove(&name);
        result
    }

    async fn commit(&self) -> Result<(), Error> {
        self.log(Event::Commit);
        if self.commit_fails.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Directory, "the disk is full"));
        }
        Ok(())
    }

    fn window(&self) -> usize {
        self.window.load(Ordering::SeqCst)
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }
}

impl DirectoryImport for LabImport<DirectoryObject> {
    async fn next_page(&mut self) -> Result<Option<Vec<DirectoryObject>>, Error> {
        while self.in_turns && self.pages.source.load(Ordering::SeqCst) <= self.page {
            Yield(1).await;
        }
        let page = self.next(ErrorKind::Directory).await;
        self.pages.directory.fetch_add(1, Ordering::SeqCst);
        page
    }
}

pub(crate) struct LabState {
    pub(crate) memory: MemoryState,
    log: Log,
    pub(crate) journal_fails: AtomicBool,
    pub(crate) history_fails: AtomicBool,
    pub(crate) answers_short: AtomicBool,
    ends: Mutex<Vec<RunEnd>>,
}

impl LabState {
    /// How the runs ended, in order.
    pub(crate) fn ends(&self) -> Vec<RunEnd> {
        self.ends.lock().unwrap().clone()
    }

    fn log(&self, event: Event) {
        self.log.lock().unwrap().push(event);
    }
}

impl StateStore for Shared<LabState> {
    async fn provenance(&self, devices: &[DeviceId]) -> Result<Vec<Provenance>, Error> {
        let mut answers = self.memory.provenance(devices).await?;
        if self.answers_short.load(Ordering::SeqCst) {
            answers.clear();
        }
        Ok(answers)
    }

    async fn history(&self, now: FileTime) -> Result<History, Error> {
        if self.history_fails.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Internal, "the state cannot be read"));
        }
        self.memory.history(now).await
    }

    async fn begin_run(&self, run: &RunStart) -> Result<u64, Error> {
        self.memory.begin_run(run).await
    }

    async fn journal(&self, run: u64, entries: &[JournalEntry]) -> Result<(), Error> {
        if self.journal_fails.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Internal, "the state is full"));
        }
        // Whoever sends before this has ended sends too early.
        Yield(3).await;
        self.memory.journal(run, entries).await?;
        let devices = entries.iter().map(|entry| entry.device_id).collect();
        self.log(Event::Journal(devices));
        Ok(())
    }

    async fn outcomes(&self, run: u64, outcomes: &[JournalOutcome]) -> Result<(), Error> {
        self.log(Event::Outcomes(outcomes.len()));
        self.memory.outcomes(run, outcomes).await
    }

    async fn end_run(&self, end: RunEnd) -> Result<(), Error> {
        self.log(Event::EndRun);
        self.ends.lock().unwrap().push(end.clone());
        self.memory.end_run(end).await
    }

    async fn use_override(&self, digest: [u8; 32], now: FileTime) -> Result<bool, Error> {
        self.memory.use_override(digest, now).await
    }
}
