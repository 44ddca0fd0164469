//! The three ports: where devices come from, where they are written, what is remembered.
//!
//! The traits are asynchronous and need no runtime. Their futures are `Send`; whoever does blocking work behind them does it on
//! a thread of its own.

use std::future::Future;

use device_writeback_core::apply::{Operation, OperationResult, Target, Verdict};
use device_writeback_core::attributes::AttributeMask;
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::dn::Dn;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::graph::CloudRecord;
use device_writeback_core::guid::{DeviceId, ObjectGuid, ObjectId, TenantId};
use device_writeback_core::plan::{
    Action, CloudKey, Completeness, DirectoryKey, History, Identity, Octets, Provenance,
};
use device_writeback_core::rules::{PrincipalFacts, Reason};
use device_writeback_core::schema::Attribute;
use device_writeback_core::sid::Sid;

use crate::error::Error;

/// Where devices come from.
pub trait CloudSource: Send + Sync {
    /// A reading in progress.
    type Import: CloudImport + 'static;

    /// Begins a complete reading of the source.
    fn import(&self) -> impl Future<Output = Result<Self::Import, Error>> + Send;

    /// Reads these records again; a record that is no longer there is left out of the answer.
    fn reread(
        &self,
        keys: &[CloudKey],
    ) -> impl Future<Output = Result<Vec<CloudRecord>, Error>> + Send;

    /// Where the record of that sequence number stands, for people: a file and a position, a page.
    fn locate(&self, sequence: u64) -> String;
}

/// A reading of the source in progress.
pub trait CloudImport: Send {
    /// The next page of records, in any number; `None` at the end.
    fn next_page(&mut self)
    -> impl Future<Output = Result<Option<Vec<CloudRecord>>, Error>> + Send;

    /// How complete the reading was; asked after the end.
    fn completeness(&self) -> Completeness;
}

/// What a directory says about itself before anything is read.
#[derive(Clone, Debug)]
pub struct DirectoryFacts {
    /// `objectGUID` of the domain object.
    pub domain_guid: Option<ObjectGuid>,
    /// DN of the domain.
    pub base: Dn,
    /// The container of the devices (`msDS-DeviceLocation`, else configured, else `CN=RegisteredDevices` under the base).
    pub container: Dn,
    /// Whether the container exists.
    pub container_exists: bool,
    /// Attributes that the live schema has on `msDS-Device`.
    pub schema: AttributeMask,
    /// SIDs of the forest's domains.
    pub domain_sids: Vec<Sid>,
    /// `msDS-MaximumRegistrationInactivityPeriod` of the registration service in days; `None` without a service or when it is 0.
    pub inactivity_days: Option<u32>,
}

impl DirectoryFacts {
    /// The container of the devices: where the registration service says (`msDS-DeviceLocation`), which is what AD FS reads; else as
    /// configured; else `CN=RegisteredDevices` under the base.
    pub fn container(location: Option<Dn>, configured: Option<&Dn>, base: &Dn) -> Dn {
        if let (Some(location), Some(configured)) = (&location, configured)
            && location != configured
        {
            tracing::warn!(
                %location, %configured,
                "the registration service names another container than the configuration; it is the one AD FS reads"
            );
        }
        location
            .or_else(|| configured.cloned())
            .unwrap_or_else(|| base.child("CN", "RegisteredDevices"))
    }
}

/// Where devices are written.
pub trait Directory: Send + Sync {
    /// A reading in progress.
    type Import: DirectoryImport + 'static;

    /// Looks at the directory.
    fn facts(&self) -> impl Future<Output = Result<DirectoryFacts, Error>> + Send;

    /// Begins to read every `msDS-Device` directly under the container. Not asked for where the facts say that there is no container.
    fn import(&self) -> impl Future<Output = Result<Self::Import, Error>> + Send;

    /// What the forest says about these SIDs, in the same order.
    fn principals(
        &self,
        sids: &[Sid],
    ) -> impl Future<Output = Result<Vec<PrincipalFacts>, Error>> + Send;

    /// Reads these objects again, each with the device it was asked for; an object that is gone is left out.
    fn reread(
        &self,
        keys: &[DirectoryKey],
    ) -> impl Future<Output = Result<Vec<(DeviceId, DirectoryObject)>, Error>> + Send;

    /// Reads one object by GUID, or by DN where there is no GUID.
    fn read(
        &self,
        target: &Target,
    ) -> impl Future<Output = Result<Option<DirectoryObject>, Error>> + Send;

    /// Performs one write. A refusal of the directory is a result, not an error; an error means that nobody knows what happened.
    fn write(
        &self,
        operation: &Operation,
    ) -> impl Future<Output = Result<OperationResult, Error>> + Send;

    /// Makes the writes since the last commit last. Until then no outcome counts; a directory that makes every write last
    /// at once has nothing to do.
    fn commit(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// How many changes may be under way at once. Asked again and again: a directory may follow its latency.
    fn window(&self) -> usize {
        1
    }

    /// A number that rises whenever the directory is served by another server than before, which may not have what was
    /// written, or what others wrote, a moment ago. A directory that is one file has one server.
    fn epoch(&self) -> u64 {
        0
    }
}

/// A reading of the directory in progress.
pub trait DirectoryImport: Send {
    /// The next page of objects, in any number; `None` at the end.
    fn next_page(
        &mut self,
    ) -> impl Future<Output = Result<Option<Vec<DirectoryObject>>, Error>> + Send;
}

/// What is remembered between runs. Losing it costs a full run and never a delete.
pub trait StateStore: Send + Sync {
    /// Says which forest the run is about. A state belongs to one tenant and one domain: what was known of another forest must
    /// never count as knowledge about this one. The default keeps no such thing.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when the state is another's.
    fn claim(&self, identity: &Identity) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = identity;
        std::future::ready(Ok(()))
    }

    /// What is known of these devices, in the same order.
    fn provenance(
        &self,
        devices: &[DeviceId],
    ) -> impl Future<Output = Result<Vec<Provenance>, Error>> + Send;

    /// Retirements of the 24 hours before `now`, and the number of our objects as of the last full import.
    fn history(&self, now: FileTime) -> impl Future<Output = Result<History, Error>> + Send;

    /// Begins a run that writes; the number names it in the journal.
    fn begin_run(&self, run: &RunStart) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Makes these entries last, before any of their operations is sent. Retirements count from here.
    fn journal(
        &self,
        run: u64,
        entries: &[JournalEntry],
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// What became of the changes; called after the directory's commit. A change that is done starts the clock of its device's
    /// deletion ([`JournalOutcome::starts_clock`]) unless it is running, or stops it.
    fn outcomes(
        &self,
        run: u64,
        outcomes: &[JournalOutcome],
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Remembers what a reading of both sides has shown, and ends the run if there was one. Stops the clock of a device that
    /// [has returned](RunEnd::has_returned), unless this run journalled its retirement.
    fn end_run(&self, end: RunEnd) -> impl Future<Output = Result<(), Error>> + Send;

    /// Whether a permission to exceed the limits was used before for the plan of that digest; marks it used.
    fn use_override(
        &self,
        digest: [u8; 32],
        now: FileTime,
    ) -> impl Future<Output = Result<bool, Error>> + Send;
}

/// The head of a run in the journal.
#[derive(Clone, Debug)]
pub struct RunStart {
    /// Now.
    pub time: FileTime,
    /// The tenant; a state file belongs to one.
    pub tenant_id: TenantId,
    /// Digest of the plan that is applied.
    pub plan_digest: [u8; 32],
}

/// A change that is about to be carried out.
#[derive(Clone, Debug)]
pub struct JournalEntry {
    /// The change's place in the plan, from 0.
    pub number: u64,
    /// The device.
    pub device_id: DeviceId,
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// Whether it counts as a retirement.
    pub retirement: bool,
    /// The object.
    pub target: Target,
    /// The values before, of every attribute that is written or lost.
    pub before: Vec<(Attribute, Vec<Octets>)>,
    /// The operations as they are sent.
    pub operations: Vec<Operation>,
}

/// What became of a change.
#[derive(Clone, Debug)]
pub struct JournalOutcome {
    /// The change's place in the plan.
    pub number: u64,
    /// The device.
    pub device_id: DeviceId,
    /// What was done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The verdict.
    pub verdict: Verdict,
    /// The LDAP result and what was found, for people.
    pub message: String,
}

impl JournalOutcome {
    /// Whether a change that is done starts the clock of `disable-then-delete`: it disabled the object because its device is
    /// gone or out of scope. A device that was only disabled in the cloud is still there.
    pub fn starts_clock(&self) -> bool {
        self.action == Action::Disable
            && matches!(
                self.reason,
                Reason::GoneAbsent | Reason::GoneRemoved | Reason::OutOfScope
            )
    }
}

/// What a run has learned.
#[derive(Clone, Debug)]
pub struct RunEnd {
    /// The run, if it wrote anything.
    pub run: Option<u64>,
    /// Now.
    pub time: FileTime,
    /// The tenant.
    pub tenant_id: TenantId,
    /// Devices that the source named alive, sorted by device id.
    pub known: Vec<(DeviceId, ObjectId)>,
    /// Number of our objects, when both sides were read in full.
    pub our_objects: Option<u64>,
    /// Objects that are disabled and wait for their deletion: their clock starts now if it is not running;
    /// sorted.
    pub waiting: Vec<DeviceId>,
}

impl RunEnd {
    /// Whether the source has named `device` and nothing waits for its deletion: when it goes another time, its days are
    /// counted from then.
    pub fn has_returned(&self, device: DeviceId) -> bool {
        self.known
            .binary_search_by_key(&device, |known| known.0)
            .is_ok()
            && self.waiting.binary_search(&device).is_err()
    }
}
