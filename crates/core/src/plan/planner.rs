//! The planner: a state machine that is fed with pages of both sides and turns out a [`Plan`].

mod feed;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::digest::Digester;
use super::document::{Completeness, Identity, Plan};
use super::entry::{
    Absence, AltId, Candidate, CloudEntry, CloudKind, DirectoryEntry, Event, Remark, Work,
};
use super::join::{Joined, Terms, join, shared, supersede};
use super::resolve::Open;
use super::spool::Spool;
use super::writer::ChangeWriter;
use super::{CloudKey, DirectoryKey, PlanError, Provenance, Unresolved};
use crate::attributes::AttributeMask;
use crate::directory::DirectoryObject;
use crate::dn::Dn;
use crate::filetime::FileTime;
use crate::graph::{BadRecord, CloudDevice, CloudItem, CloudRecord, Field};
use crate::guid::{DeviceId, Guid, ObjectId};
use crate::rules::{
    Adopt, DesiredDevice, Forest, Judge, PrincipalFacts, Principals, Reason, Rules, needs_look_up,
};
use crate::schema::Attribute;
use crate::sid::Sid;

/// What a run is about: who, where, when, under which rules.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setup {
    /// Tenant, source, directory, domain and container.
    pub identity: Identity,
    /// The rules.
    pub rules: Rules,
    /// The forest.
    pub forest: Forest,
    /// The moment the run counts from.
    pub now: FileTime,
    /// Treat marked objects that the source has never known as ours.
    pub take_over: bool,
    /// The attributes that the source's records usually carry. Records that carry others are compared in full: a wrong mask
    /// costs time, never correctness.
    pub mask: AttributeMask,
    /// How many records a side are kept whole, so that they need not be read again.
    pub keep_whole: usize,
    /// How many devices [`Planner::unresolved`] names at once.
    pub batch: usize,
    /// Key of the digests; draw it at random for each run.
    pub digest_key: [u8; 16],
}

impl Setup {
    /// The defaults of a run: everything that the profile and the schema allow is in the mask, 5,000 records are kept whole.
    pub fn new(
        identity: Identity,
        rules: Rules,
        forest: Forest,
        now: FileTime,
        digest_key: [u8; 16],
    ) -> Self {
        let mask = Attribute::managed(rules.profile, u32::MAX).intersection(forest.schema);
        Self {
            identity,
            rules,
            forest,
            now,
            take_over: false,
            mask,
            keep_whole: 5_000,
            batch: 5_000,
            digest_key,
        }
    }
}

/// Takes both sides and makes the plan. See [the module](super) for the protocol.
pub struct Planner {
    pub(super) setup: Setup,
    pub(super) principals: Principals,
    digester: Digester,
    desired: DesiredDevice,
    cloud: Vec<CloudEntry>,
    directory: Vec<DirectoryEntry>,
    /// Records that name an object id only; the latest of each.
    events: HashMap<ObjectId, (u64, Event)>,
    cloud_fed: u64,
    directory_fed: u64,
    bad_without_id: u64,
    bad: BTreeMap<u64, BadRecord>,
    nameless: Vec<Remark>,
    alt_ids: Vec<AltId>,
    odd_names: HashMap<DeviceId, u64>,
    pub(super) odd_dns: HashMap<u64, Dn>,
    pub(super) whole_cloud: HashMap<u64, Box<CloudDevice>>,
    pub(super) whole_directory: HashMap<u64, DirectoryObject>,
    pub(super) source: Option<Completeness>,
    pub(super) directory_end: Option<Completeness>,
    pub(super) joined: Option<Joined>,
    pub(super) questions: BTreeMap<DeviceId, Candidate>,
    pub(super) work: VecDeque<Work>,
    pub(super) open: BTreeMap<DeviceId, Open>,
    pub(super) writer: ChangeWriter,
}

impl Planner {
    /// A planner that puts its changes into `spool`.
    pub fn new(setup: Setup, spool: Box<dyn Spool>) -> Self {
        Self {
            digester: Digester::new(setup.digest_key),
            setup,
            principals: Principals::new(),
            desired: DesiredDevice::default(),
            cloud: Vec::new(),
            directory: Vec::new(),
            events: HashMap::new(),
            cloud_fed: 0,
            directory_fed: 0,
            bad_without_id: 0,
            bad: BTreeMap::new(),
            nameless: Vec::new(),
            alt_ids: Vec::new(),
            odd_names: HashMap::new(),
            odd_dns: HashMap::new(),
            whole_cloud: HashMap::new(),
            whole_directory: HashMap::new(),
            source: None,
            directory_end: None,
            joined: None,
            questions: BTreeMap::new(),
            work: VecDeque::new(),
            open: BTreeMap::new(),
            writer: ChangeWriter::new(spool),
        }
    }

    /// What the run is about.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The SIDs in `record` about which the forest has to be asked before the record is fed: answer each with
    /// [`Planner::principal`]. Without an answer the owner counts as unknown and the directory's value stays.
    pub fn sids_to_look_up(&self, record: &CloudRecord) -> Vec<Sid> {
        let CloudItem::Device(device) = &record.item else {
            return Vec::new();
        };
        let mut sids = Vec::new();
        for links in [&device.registered_owners, &device.registered_users] {
            for link in links.value().into_iter().flatten() {
                if let Field::Value(sid) = &link.sid
                    && !link.other_kind
                    && !sids.contains(sid)
                    && self.principals.find(sid).is_none()
                    && needs_look_up(sid, &self.setup.forest)
                {
                    sids.push(*sid);
                }
            }
        }
        sids
    }

    /// Says what the forest knows about `sid`.
    pub fn principal(&mut self, sid: Sid, facts: PrincipalFacts) {
        self.principals.insert(sid, facts);
    }

    /// Says that the cloud import has ended, and whether it was complete.
    pub fn end_cloud(&mut self, completeness: Completeness) {
        self.source = Some(completeness);
    }

    /// Says that the directory import has ended: [`Completeness::Full`], or [`Completeness::Partial`] when only the objects of
    /// chosen devices were read.
    pub fn end_directory(&mut self, completeness: Completeness) {
        self.directory_end = Some(completeness);
    }

    /// What has to be answered or read again before the plan can be finished; empty when nothing is open. Ask again after
    /// every round of answers: devices come in batches.
    ///
    /// # Errors
    /// [`PlanError::Unfinished`] before both imports have ended, [`PlanError::Spool`].
    pub fn unresolved(&mut self) -> Result<Unresolved, PlanError> {
        if self.source.is_none() || self.directory_end.is_none() {
            return Err(PlanError::Unfinished("an import has not ended"));
        }
        if self.joined.is_none() {
            self.join();
        }
        self.advance()
    }

    /// Every device id that the cloud side named, alive or restorable, with its object id: what the source knows from now on.
    pub fn known_devices(&self) -> impl Iterator<Item = (DeviceId, ObjectId)> {
        self.cloud
            .iter()
            .filter(|entry| !matches!(entry.kind, CloudKind::Superseded | CloudKind::Bad))
            .map(|entry| (entry.device, entry.object))
    }

    /// Ends the planning.
    ///
    /// # Errors
    /// [`PlanError::Unfinished`] while anything is unresolved.
    pub fn finish(mut self) -> Result<Plan, PlanError> {
        if !self.unresolved()?.is_empty() {
            return Err(PlanError::Unfinished("devices are unresolved"));
        }
        self.into_plan()
    }

    /// The judge of this run, for explanations: it knows the principals that were looked up so far.
    pub fn judge(&self) -> Judge<'_> {
        Judge {
            rules: &self.setup.rules,
            forest: &self.setup.forest,
            principals: &self.principals,
            now: self.setup.now,
        }
    }

    pub(super) fn describe_bad(&self, sequence: u64) -> Option<&BadRecord> {
        self.bad.get(&sequence)
    }

    pub(super) fn cloud_counts(&self) -> (u64, u64) {
        (self.cloud_fed, self.directory_fed)
    }

    /// Answers a question of [`Unresolved::provenance`].
    pub fn answer_provenance(&mut self, device: DeviceId, provenance: Provenance) {
        if let Some(candidate) = self.questions.remove(&device) {
            self.decide(candidate, provenance);
        }
    }

    /// Feeds a cloud record again, as asked by [`Unresolved::cloud`].
    ///
    /// # Errors
    /// [`PlanError::Spool`].
    pub fn resolve_cloud(&mut self, record: CloudRecord) -> Result<(), PlanError> {
        let CloudRecord { sequence, item } = record;
        let asked = |open: &Open| open.cloud_key().is_some_and(|(asked, _)| asked == sequence);
        match item {
            CloudItem::Device(device)
                if device
                    .device_id
                    .and_then(|id| self.open.get(&id))
                    .is_some_and(asked) =>
            {
                match device.device_id {
                    Some(id) => self.with_open(id, |open| open.cloud = Some(Ok(device))),
                    None => Ok(()),
                }
            }
            // What was a device of that id is something else by now.
            _ => {
                let device = self
                    .open
                    .iter()
                    .find(|(_, open)| asked(open))
                    .map(|(device, _)| *device);
                device.map_or(Ok(()), |device| self.resolve_vanished(device))
            }
        }
    }

    /// Feeds a directory object again, as asked by [`Unresolved::directory`].
    ///
    /// # Errors
    /// [`PlanError::Spool`].
    pub fn resolve_directory(
        &mut self,
        device: DeviceId,
        object: DirectoryObject,
    ) -> Result<(), PlanError> {
        self.with_open(device, |open| open.directory = Some(Ok(object)))
    }

    /// Says that the records of `device` that were asked for cannot be read again: the device is held.
    ///
    /// # Errors
    /// [`PlanError::Spool`].
    pub fn resolve_vanished(&mut self, device: DeviceId) -> Result<(), PlanError> {
        self.with_open(device, Open::vanish)
    }

    fn join(&mut self) {
        if !self.events.is_empty() {
            // A record that came after the removal says that the object lives.
            for entry in &self.cloud {
                if self
                    .events
                    .get(&entry.object)
                    .is_some_and(|(sequence, _)| *sequence < entry.sequence)
                {
                    self.events.remove(&entry.object);
                }
            }
        }
        let unidentified = self.bad_without_id + self.bad_without_object();
        let absence = match (&self.source, unidentified) {
            (Some(Completeness::Full), 0) => Absence::Proves,
            (Some(Completeness::Partial), _) => Absence::MeansNothing,
            (Some(Completeness::Full), _) => Absence::Unproven,
            _ => Absence::Unread,
        };
        supersede(&mut self.cloud, &self.events);
        let shared_alt_ids = shared(
            std::mem::take(&mut self.alt_ids),
            &self.cloud,
            &self.directory,
        );
        let raised = self
            .setup
            .mask
            .contains(Attribute::ApproximateLastLogonTimeStamp);
        let terms = Terms {
            events: &self.events,
            odd_names: &self.odd_names,
            shared_alt_ids: &shared_alt_ids,
            absence,
            directory_incomplete: matches!(self.directory_end, Some(Completeness::Incomplete(_))),
            adopt: self.setup.rules.adopt == Adopt::SameDeviceId,
            raise_after: raised.then(|| raise_after(&self.setup.rules)),
        };
        let mut joined = join(&mut self.cloud, &mut self.directory, &terms);
        self.work = std::mem::take(&mut joined.work).into();
        // An object with our mark is one of ours, readable or not.
        joined.ours += self.nameless.len() as u64;
        joined.remarks.append(&mut self.nameless);
        let held: HashSet<u64> = joined
            .remarks
            .iter()
            .filter(|remark| matches!(remark.reason, Reason::HeldBadRecord | Reason::HeldUnusable))
            .filter_map(|remark| remark.cloud)
            .collect();
        for (id, (sequence, event)) in &self.events {
            let reason = match event {
                Event::Bad => Reason::BadRecordUnwritten,
                Event::Nameless(_) => {
                    joined.live += 1;
                    Reason::NoDeviceId
                }
                Event::Deleted | Event::SoftDeleted => continue,
            };
            if !held.contains(sequence) {
                joined.remarks.push(Remark {
                    device: DeviceId::from(Guid::NIL),
                    object: Some(*id),
                    reason,
                    cloud: Some(*sequence),
                    directory: None,
                });
            }
        }
        for (sequence, bad) in &self.bad {
            if !bad.has_id() {
                joined.remarks.push(Remark {
                    device: DeviceId::from(Guid::NIL),
                    object: None,
                    reason: Reason::BadRecordUnwritten,
                    cloud: Some(*sequence),
                    directory: None,
                });
            }
        }
        let candidates = std::mem::take(&mut joined.candidates);
        self.joined = Some(joined);
        for candidate in candidates {
            if self.needs_provenance(&candidate) {
                self.questions.insert(candidate.entry.device, candidate);
            } else {
                self.decide(
                    candidate,
                    Provenance {
                        known: candidate.named,
                        disabled_since: None,
                    },
                );
            }
        }
    }
}

impl Planner {
    /// Unreadable records whose object id no object of ours carries: a device that registered anew has another object id
    /// than its object, so each of them may be any device that seems to be missing.
    fn bad_without_object(&self) -> u64 {
        let mut bad: HashSet<ObjectId> = self
            .events
            .iter()
            .filter(|(_, (_, event))| *event == Event::Bad)
            .map(|(id, _)| *id)
            .collect();
        if !bad.is_empty() {
            for object in self.directory.iter().filter(|object| object.ours) {
                bad.remove(&object.anchor);
            }
        }
        bad.len() as u64
    }
}

impl Setup {
    fn mask_without_raised(&self) -> AttributeMask {
        // A device that has never signed in has no time stamp to give: that is no deviation.
        let mut mask = self.mask;
        mask.remove(Attribute::ApproximateLastLogonTimeStamp);
        mask
    }
}

/// Days of the rule in seconds.
pub(super) fn raise_after(rules: &Rules) -> u32 {
    rules.last_logon_min_days.saturating_mul(86_400)
}

/// Seconds since 1970, 0 for none; enough to tell whether a time stamp is to be raised.
pub(super) fn seconds(time: Option<FileTime>) -> u32 {
    const UNIX_EPOCH: i64 = 11_644_473_600;
    time.map_or(0, |time| {
        let seconds = time.ticks() / 10_000_000 - UNIX_EPOCH;
        u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
    })
}

impl Unresolved {
    pub(super) fn push(&mut self, work: &Work, cloud: bool, directory: bool) {
        if let (true, Some((sequence, object))) = (cloud, work.cloud) {
            self.cloud.push(CloudKey {
                device_id: work.device,
                object_id: object,
                sequence,
            });
        }
        if let (true, Some((sequence, guid))) = (directory, work.directory) {
            let guid = if guid == Guid::NIL {
                None
            } else {
                Some(guid.into())
            };
            self.directory.push(DirectoryKey {
                device_id: work.device,
                object_guid: guid,
                sequence,
            });
        }
    }
}
