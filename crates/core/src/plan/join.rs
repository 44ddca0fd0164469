//! The join of both sides, over small entries: what a million records leave behind while they stream past.
//!
//! Everything here is decided from ids, flags and digests. Sorting makes the order of arrival irrelevant; the sequence number
//! decides which of two records of one object counts.

use std::collections::{HashMap, HashSet};

use super::entry::{
    Absence, AltId, Candidate, CloudEntry, CloudKind, DirectoryEntry, Event, Known, Remark, Task,
    Work,
};
use crate::guid::{DeviceId, Guid, ObjectId};
use crate::rules::Reason;

/// What the join has to know besides the entries.
pub(super) struct Terms<'a> {
    pub(super) events: &'a HashMap<ObjectId, (u64, Event)>,
    /// Names taken by objects whose device id is another one.
    pub(super) odd_names: &'a HashMap<DeviceId, u64>,
    /// Devices that share an alternative id with another.
    pub(super) shared_alt_ids: &'a HashSet<DeviceId>,
    pub(super) absence: Absence,
    /// A part of the directory was not read: an object may exist that nobody saw.
    pub(super) directory_incomplete: bool,
    pub(super) adopt: bool,
    /// Whether the last sign-in is managed, and how many seconds newer it must be.
    pub(super) raise_after: Option<u32>,
}

/// The result of the join.
#[derive(Debug, Default)]
pub(super) struct Joined {
    pub(super) work: Vec<Work>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) remarks: Vec<Remark>,
    pub(super) unchanged: u64,
    pub(super) ours: u64,
    pub(super) live: u64,
    pub(super) in_scope: u64,
}

/// Devices that share an alternative id with another; what superseded records said counts no more.
pub(super) fn shared(
    mut ids: Vec<AltId>,
    cloud: &[CloudEntry],
    directory: &[DirectoryEntry],
) -> HashSet<DeviceId> {
    let device = |id: &AltId| {
        let place = id.place as usize;
        if id.directory {
            directory.get(place).map(|entry| entry.device)
        } else {
            cloud
                .get(place)
                .filter(|entry| entry.kind != CloudKind::Superseded)
                .map(|entry| entry.device)
        }
    };
    ids.sort_unstable_by_key(|id| id.hash);
    let mut shared = HashSet::new();
    for chunk in ids.chunk_by(|left, right| left.hash == right.hash) {
        let mut devices = chunk.iter().filter_map(device);
        let first = devices.next();
        let mut others = devices.filter(|device| Some(*device) != first).peekable();
        if others.peek().is_some() {
            shared.extend(first);
            shared.extend(others);
        }
    }
    shared
}

/// Sorts both sides and merges them; [`supersede`] comes first.
pub(super) fn join(
    cloud: &mut [CloudEntry],
    directory: &mut [DirectoryEntry],
    terms: &Terms<'_>,
) -> Joined {
    cloud.sort_unstable_by_key(|entry| (entry.device, entry.sequence));
    directory.sort_unstable_by_key(|entry| (entry.device, entry.sequence));
    let mut joined = Joined::default();
    let mut cloud_groups = cloud
        .chunk_by(|left, right| left.device == right.device)
        .peekable();
    let mut directory_groups = directory
        .chunk_by(|left, right| left.device == right.device)
        .peekable();
    loop {
        let next_cloud = cloud_groups
            .peek()
            .and_then(|group| group.first())
            .map(|entry| entry.device);
        let next_directory = directory_groups
            .peek()
            .and_then(|group| group.first())
            .map(|entry| entry.device);
        let device = match (next_cloud, next_directory) {
            (None, None) => return joined,
            (Some(device), None) | (None, Some(device)) => device,
            (Some(left), Some(right)) => left.min(right),
        };
        let records = cloud_groups
            .next_if(|_| next_cloud == Some(device))
            .unwrap_or_default();
        let objects = directory_groups
            .next_if(|_| next_directory == Some(device))
            .unwrap_or_default();
        joined.device(device, records, objects, terms);
    }
}

/// Of several records of one object only the last counts, and a removal that came later than all of them ends them.
pub(super) fn supersede(cloud: &mut [CloudEntry], events: &HashMap<ObjectId, (u64, Event)>) {
    let mut order: Vec<(u64, u32)> = Vec::with_capacity(cloud.len());
    for (index, entry) in cloud.iter().enumerate() {
        // A bad record may have a device id and no object id: it speaks for that device only.
        if entry.object.is_nil() {
            continue;
        }
        let [a, b, c, d, e, f, g, h, ..] = entry.object.guid().to_bytes();
        // Half of the id finds the few that may be equal; a full comparison follows.
        order.push((
            u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            u32::try_from(index).unwrap_or(u32::MAX),
        ));
    }
    order.sort_unstable();
    for group in order
        .chunk_by(|left, right| left.0 == right.0)
        .filter(|group| group.len() > 1)
    {
        let mut last: HashMap<ObjectId, (u64, usize)> = HashMap::new();
        for &(_, index) in group {
            let index = index as usize;
            let Some(entry) = cloud.get(index).copied() else {
                continue;
            };
            match last.get(&entry.object).copied() {
                Some((sequence, _)) if sequence > entry.sequence => mark_superseded(cloud, index),
                Some((_, earlier)) => {
                    mark_superseded(cloud, earlier);
                    last.insert(entry.object, (entry.sequence, index));
                }
                None => {
                    last.insert(entry.object, (entry.sequence, index));
                }
            }
        }
    }
    if !events.is_empty() {
        for entry in cloud {
            if events
                .get(&entry.object)
                .is_some_and(|(sequence, _)| *sequence > entry.sequence)
            {
                entry.kind = CloudKind::Superseded;
            }
        }
    }
}

fn mark_superseded(cloud: &mut [CloudEntry], index: usize) {
    if let Some(entry) = cloud.get_mut(index) {
        entry.kind = CloudKind::Superseded;
    }
}

impl Joined {
    fn device(
        &mut self,
        device: DeviceId,
        records: &[CloudEntry],
        objects: &[DirectoryEntry],
        terms: &Terms<'_>,
    ) {
        self.ours += objects.iter().filter(|object| object.ours).count() as u64;
        let mut live = records
            .iter()
            .filter(|entry| !matches!(entry.kind, CloudKind::Superseded | CloudKind::SoftDeleted));
        let mut soft_deleted = records
            .iter()
            .rev()
            .filter(|entry| entry.kind == CloudKind::SoftDeleted)
            .peekable();
        let last_soft_deleted = soft_deleted.peek().copied();
        let soft_deleted = soft_deleted
            .find(|entry| objects.iter().any(|object| object.anchor == entry.object))
            .or(last_soft_deleted);
        // A live record speaks for the device; a soft-deleted one with the same id is an earlier registration.
        let record = match (live.next(), live.next()) {
            (Some(_), Some(second)) => {
                self.live += 2 + live.count() as u64;
                // Nothing is written for either, and whatever stands there stays.
                self.remark(
                    device,
                    Reason::DuplicateInCloud,
                    Some(second),
                    objects.first(),
                );
                return;
            }
            (Some(only), None) => {
                self.live += 1;
                Some(only)
            }
            (None, _) => soft_deleted,
        };
        if record.is_some_and(|record| record.kind == CloudKind::InScope) {
            self.in_scope += 1;
        }
        match objects {
            [] => self.absent(device, record, terms),
            [object] if object.ours && !object.conflict_name => self.ours(*object, record, terms),
            [object] if !object.conflict_name => self.foreign(*object, record, terms),
            several => {
                let conflict = several.iter().find(|object| object.conflict_name);
                // Objects that are all foreign are nobody's problem until a device of ours wants the id.
                let concerns_us = record.is_some_and(|record| record.kind == CloudKind::InScope)
                    || several.iter().any(|object| object.ours);
                if concerns_us {
                    let reason = match conflict {
                        Some(_) => Reason::ReplicationConflict,
                        None => Reason::DuplicateInDirectory,
                    };
                    self.remark(device, reason, record, conflict.or(several.last()));
                } else {
                    self.absent(device, record, terms);
                }
            }
        }
    }

    /// No object that counts has the device's id.
    fn absent(&mut self, device: DeviceId, record: Option<&CloudEntry>, terms: &Terms<'_>) {
        let Some(record) = record else { return };
        match record.kind {
            CloudKind::InScope => {
                if let Some(taken) = terms.odd_names.get(&device) {
                    self.remarks.push(Remark {
                        device,
                        object: Some(record.object),
                        reason: Reason::NameTaken,
                        cloud: Some(record.sequence),
                        directory: Some(*taken),
                    });
                } else if terms.directory_incomplete {
                    self.remark(device, Reason::HeldIncomplete, Some(record), None);
                } else if terms.shared_alt_ids.contains(&device) {
                    self.remark(
                        device,
                        Reason::DuplicateAlternativeSecurityId,
                        Some(record),
                        None,
                    );
                } else {
                    self.push_work(Task::Create, Reason::NewDevice, Some(record), None, device);
                }
            }
            CloudKind::OutOfScope | CloudKind::Unusable => {
                self.remark(device, record.reason, Some(record), None)
            }
            CloudKind::Stale => self.remark(device, Reason::Stale, Some(record), None),
            CloudKind::SoftDeleted => {
                self.remark(device, Reason::SoftDeletedUnwritten, Some(record), None)
            }
            CloudKind::Bad => self.remark(device, Reason::BadRecordUnwritten, Some(record), None),
            CloudKind::Superseded => {}
        }
    }

    fn foreign(&mut self, object: DirectoryEntry, record: Option<&CloudEntry>, terms: &Terms<'_>) {
        let Some(record) = record else { return };
        if record.kind != CloudKind::InScope {
            self.absent(object.device, Some(record), terms);
        } else if !terms.adopt {
            self.remark(
                object.device,
                Reason::ForeignObject,
                Some(record),
                Some(&object),
            );
        } else if terms.shared_alt_ids.contains(&object.device) {
            self.remark(
                object.device,
                Reason::DuplicateAlternativeSecurityId,
                Some(record),
                Some(&object),
            );
        } else {
            self.push_work(
                Task::Adopt,
                Reason::Adopted,
                Some(record),
                Some(&object),
                object.device,
            );
        }
    }

    fn ours(&mut self, object: DirectoryEntry, record: Option<&CloudEntry>, terms: &Terms<'_>) {
        let device = object.device;
        let Some(record) = record else {
            return self.gone(object, terms);
        };
        match record.kind {
            CloudKind::InScope if terms.shared_alt_ids.contains(&device) => {
                self.remark(
                    device,
                    Reason::DuplicateAlternativeSecurityId,
                    Some(record),
                    Some(&object),
                );
                self.follow_disabled(&object, record);
            }
            CloudKind::InScope => {
                let raise = terms
                    .raise_after
                    .is_some_and(|seconds| raises(object.last_logon, record.last_logon, seconds));
                if record.digest == object.digest && !record.deviates && !raise {
                    self.unchanged += 1;
                } else {
                    self.push_work(
                        Task::Compare,
                        Reason::AttributesDiffer,
                        Some(record),
                        Some(&object),
                        device,
                    );
                }
            }
            CloudKind::OutOfScope => self.candidates.push(Candidate {
                entry: object,
                reason: Reason::OutOfScope,
                named: true,
                disabled_in_cloud: record.enabled == Known::No,
            }),
            // The object's own cloud object is there, in a record that has no device id.
            CloudKind::SoftDeleted
                if matches!(
                    terms.events.get(&object.anchor),
                    Some((_, Event::Bad | Event::Nameless(_)))
                ) =>
            {
                self.gone(object, terms);
            }
            // A removal counts for the object that it names; another registration of the device may be alive.
            CloudKind::SoftDeleted
                if record.object != object.anchor && terms.absence == Absence::MeansNothing =>
            {
                self.remark(device, Reason::SoftDeletedUnwritten, Some(record), None);
            }
            CloudKind::SoftDeleted
                if terms.absence == Absence::Unread
                    || (record.object != object.anchor && terms.absence == Absence::Unproven) =>
            {
                self.remark(device, Reason::HeldIncomplete, Some(record), Some(&object));
            }
            CloudKind::SoftDeleted => self.candidates.push(Candidate {
                entry: object,
                reason: Reason::SoftDeleted,
                named: true,
                disabled_in_cloud: false,
            }),
            CloudKind::Unusable => {
                self.remark(device, Reason::HeldUnusable, Some(record), Some(&object));
                match (record.enabled, object.enabled) {
                    (Known::Yes, Known::No) => self.follow(true, &object),
                    _ => self.follow_disabled(&object, record),
                }
            }
            CloudKind::Stale => {
                self.remark(device, Reason::HeldStale, Some(record), Some(&object));
                self.follow_disabled(&object, record);
            }
            CloudKind::Bad => {
                self.remark(device, Reason::HeldBadRecord, Some(record), Some(&object))
            }
            CloudKind::Superseded => {}
        }
    }

    /// The device is in no record that carries its device id.
    fn gone(&mut self, object: DirectoryEntry, terms: &Terms<'_>) {
        let event = terms
            .events
            .get(&object.anchor)
            .filter(|_| object.anchor.guid() != Guid::NIL);
        let (reason, named) = match (event, terms.absence) {
            (Some((sequence, Event::Bad)), _) => {
                self.named_by_object_id(&object, Reason::HeldBadRecord, *sequence);
                return;
            }
            (Some((sequence, Event::Nameless(enabled))), _) => {
                self.named_by_object_id(&object, Reason::HeldUnusable, *sequence);
                let enabled = match (enabled, object.enabled) {
                    (Known::Yes, Known::No) => true,
                    (Known::No, Known::Yes | Known::Unknown) => false,
                    _ => return,
                };
                self.follow(enabled, &object);
                return;
            }
            (
                Some((_, Event::Deleted)),
                Absence::Proves | Absence::Unproven | Absence::MeansNothing,
            ) => (Reason::GoneRemoved, true),
            (
                Some((_, Event::SoftDeleted)),
                Absence::Proves | Absence::Unproven | Absence::MeansNothing,
            ) => (Reason::SoftDeleted, true),
            (None, Absence::Proves) => (Reason::GoneAbsent, false),
            (None, Absence::Unproven) | (_, Absence::Unread) => {
                self.remark(object.device, Reason::HeldIncomplete, None, Some(&object));
                return;
            }
            (None, Absence::MeansNothing) => return,
        };
        self.candidates.push(Candidate {
            entry: object,
            reason,
            named,
            disabled_in_cloud: false,
        });
    }

    /// A device that was disabled in the cloud is disabled here at once, whatever else keeps its object from being written.
    fn follow_disabled(&mut self, object: &DirectoryEntry, record: &CloudEntry) {
        if record.enabled == Known::No && object.enabled != Known::No {
            self.follow(false, object);
        }
    }

    /// The object's device is in no record that carries its device id, but one names its cloud object.
    fn named_by_object_id(&mut self, object: &DirectoryEntry, reason: Reason, sequence: u64) {
        self.remarks.push(Remark {
            device: object.device,
            object: Some(object.anchor),
            reason,
            cloud: Some(sequence),
            directory: Some(object.sequence),
        });
    }

    fn follow(&mut self, enabled: bool, object: &DirectoryEntry) {
        let reason = if enabled {
            Reason::AttributesDiffer
        } else {
            Reason::DisabledInCloud
        };
        self.push_work(
            Task::Enabled(enabled),
            reason,
            None,
            Some(object),
            object.device,
        );
    }

    fn push_work(
        &mut self,
        task: Task,
        reason: Reason,
        record: Option<&CloudEntry>,
        object: Option<&DirectoryEntry>,
        device: DeviceId,
    ) {
        self.work.push(Work {
            device,
            task,
            reason,
            cloud: record.map(|record| (record.sequence, record.object)),
            directory: object.map(|object| (object.sequence, object.guid)),
        });
    }

    fn remark(
        &mut self,
        device: DeviceId,
        reason: Reason,
        record: Option<&CloudEntry>,
        object: Option<&DirectoryEntry>,
    ) {
        self.remarks.push(Remark {
            device,
            object: record.map(|record| record.object),
            reason,
            cloud: record.map(|record| record.sequence),
            directory: object.map(|object| object.sequence),
        });
    }
}

/// Whether a last sign-in of `cloud` raises the directory's; both in seconds since 1970, 0 for none. One that is equal
/// raises nothing, even where the rules ask for no distance.
pub(super) fn raises(directory: u32, cloud: u32, seconds: u32) -> bool {
    cloud != 0
        && (directory == 0
            || cloud
                .checked_sub(directory)
                .is_some_and(|newer| newer >= seconds.max(1)))
}
