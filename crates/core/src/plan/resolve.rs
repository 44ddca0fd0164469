//! From a device that needs attention to its change: the part of the planner that looks at full records.

use std::collections::BTreeMap;

use super::change::{Action, AttributeChange, Change, Octets};
use super::document::{Listed, Plan, Summary};
use super::entry::{Candidate, Known, Remark, Task, Work};
use super::join::raises;
use super::planner::{Planner, raise_after, seconds};
use super::{PlanError, Provenance, Unresolved};
use crate::attributes::{AttributeMask, canonical_set};
use crate::boolean::ldap_boolean;
use crate::directory::{DirectoryObject, device_dn};
use crate::filetime::FileTime;
use crate::graph::CloudDevice;
use crate::guid::{DeviceId, Guid, ObjectId};
use crate::rules::{DesiredDevice, Notice, Reason, ReasonKind, Retire, Verdict};
use crate::schema::{Attribute, Equality};

/// A record that was asked for: not here yet, here, or not to be had.
type Part<T> = Option<Result<T, ()>>;

/// A device whose records are being gathered.
pub(super) struct Open {
    work: Work,
    pub(super) cloud: Part<Box<CloudDevice>>,
    pub(super) directory: Part<DirectoryObject>,
}

impl Open {
    pub(super) fn cloud_key(&self) -> Option<(u64, ObjectId)> {
        self.work.cloud
    }

    pub(super) fn vanish(&mut self) {
        self.cloud.get_or_insert(Err(()));
        self.directory.get_or_insert(Err(()));
    }

    fn wants_cloud(&self) -> bool {
        self.work.cloud.is_some() && self.cloud.is_none()
    }

    fn wants_directory(&self) -> bool {
        self.work.directory.is_some() && self.directory.is_none()
    }
}

/// What became of a device.
enum Outcome {
    Change(Box<Change>),
    Unchanged,
    Changing,
}

impl Planner {
    pub(super) fn needs_provenance(&self, candidate: &Candidate) -> bool {
        let grace = match candidate.reason {
            Reason::SoftDeleted => false,
            Reason::OutOfScope => self.setup.rules.out_of_scope == Retire::DisableThenDelete,
            _ => self.setup.rules.gone == Retire::DisableThenDelete,
        };
        grace || !(candidate.named || self.setup.take_over)
    }

    /// Decides what happens to an object of ours whose device is gone or out of scope.
    pub(super) fn decide(&mut self, candidate: Candidate, provenance: Provenance) {
        let rules = &self.setup.rules;
        let Candidate {
            entry,
            reason,
            named,
            disabled_in_cloud,
        } = candidate;
        let policy = match reason {
            // Restorable: the object waits, locked, until the device comes back or is finally gone.
            Reason::SoftDeleted => Retire::Disable,
            Reason::OutOfScope => rules.out_of_scope,
            _ => rules.gone,
        };
        let disabled = entry.enabled == Known::No;
        let verdict = if !(named || provenance.known || self.setup.take_over) {
            Err(Some(Reason::HeldUnknown))
        } else {
            match policy {
                Retire::Keep => Err(Some(Reason::HeldKept)),
                Retire::Disable if disabled => Err(None),
                Retire::Disable => Ok((Task::Disable, reason)),
                Retire::DisableThenDelete if !disabled => Ok((Task::Disable, reason)),
                Retire::DisableThenDelete => {
                    let days = i64::from(rules.delete_after_days);
                    match provenance.disabled_since {
                        Some(since) if self.setup.now >= since.plus_days(days) => {
                            Ok((Task::Delete, Reason::GraceOver))
                        }
                        _ => Err(Some(Reason::HeldGrace)),
                    }
                }
                Retire::Delete => Ok((Task::Delete, reason)),
            }
        };
        let verdict = match verdict {
            // The cloud disabled it, whatever the rules think of it: no limit holds that back.
            Ok((Task::Disable, _)) if disabled_in_cloud => {
                Ok((Task::Disable, Reason::DisabledInCloud))
            }
            Ok((Task::Delete, _)) if entry.has_key && !rules.delete_objects_with_keys => {
                Err(Some(Reason::HeldKey))
            }
            other => other,
        };
        let work = |task, reason| Work {
            device: entry.device,
            task,
            reason,
            cloud: None,
            directory: Some((entry.sequence, entry.guid)),
        };
        if disabled_in_cloud && !disabled && verdict.is_err() {
            self.work
                .push_back(work(Task::Enabled(false), Reason::DisabledInCloud));
        }
        let Some(joined) = self.joined.as_mut() else {
            return;
        };
        match verdict {
            Ok((task, reason)) => self.work.push_back(work(task, reason)),
            Err(Some(reason)) => joined.remarks.push(Remark {
                device: entry.device,
                object: Some(entry.anchor).filter(|anchor| anchor.guid() != Guid::NIL),
                reason,
                cloud: None,
                directory: Some(entry.sequence),
            }),
            Err(None) => joined.unchanged += 1,
        }
    }

    /// Opens the next batch of devices and says what they need.
    pub(super) fn advance(&mut self) -> Result<Unresolved, PlanError> {
        let mut unresolved = Unresolved::default();
        if !self.questions.is_empty() {
            unresolved.provenance = self
                .questions
                .keys()
                .copied()
                .take(self.setup.batch.max(1))
                .collect();
            return Ok(unresolved);
        }
        while self.open.is_empty() && !self.work.is_empty() {
            for _ in 0..self.setup.batch.max(1) {
                let Some(work) = self.work.pop_front() else {
                    break;
                };
                let cloud = work
                    .cloud
                    .and_then(|(sequence, _)| self.whole_cloud.remove(&sequence));
                let directory = work
                    .directory
                    .and_then(|(sequence, _)| self.whole_directory.remove(&sequence));
                let open = Open {
                    work,
                    cloud: cloud.map(Ok),
                    directory: directory.map(Ok),
                };
                if open.wants_cloud() || open.wants_directory() {
                    // An object may need two things, an enabled flag and a retirement say; the second waits its turn.
                    if let Some(earlier) = self.open.insert(work.device, open) {
                        self.work.push_back(earlier.work);
                    }
                } else {
                    self.close(open)?;
                }
            }
        }
        for open in self.open.values() {
            unresolved.push(&open.work, open.wants_cloud(), open.wants_directory());
        }
        Ok(unresolved)
    }

    pub(super) fn with_open(
        &mut self,
        device: DeviceId,
        fill: impl FnOnce(&mut Open),
    ) -> Result<(), PlanError> {
        let Some(open) = self.open.get_mut(&device) else {
            return Ok(());
        };
        fill(open);
        if !open.wants_cloud()
            && !open.wants_directory()
            && let Some(open) = self.open.remove(&device)
        {
            self.close(open)?;
        }
        Ok(())
    }

    fn close(&mut self, open: Open) -> Result<(), PlanError> {
        let work = open.work;
        let outcome = match (open.cloud.transpose(), open.directory.transpose()) {
            (Ok(cloud), Ok(directory)) => self.outcome(&work, cloud.as_deref(), directory.as_ref()),
            _ => Outcome::Changing,
        };
        let Some(joined) = self.joined.as_mut() else {
            return Ok(());
        };
        match outcome {
            Outcome::Change(change) => self.writer.push(&change)?,
            Outcome::Unchanged => joined.unchanged += 1,
            Outcome::Changing => joined.remarks.push(Remark {
                device: work.device,
                object: work.cloud.map(|(_, object)| object),
                reason: Reason::HeldChanging,
                cloud: work.cloud.map(|(sequence, _)| sequence),
                directory: work.directory.map(|(sequence, _)| sequence),
            }),
        }
        Ok(())
    }

    fn outcome(
        &self,
        work: &Work,
        cloud: Option<&CloudDevice>,
        directory: Option<&DirectoryObject>,
    ) -> Outcome {
        // A second reading may find another object, or one that changed hands in between.
        let adopts = work.task == Task::Adopt;
        if directory.is_some_and(|object| {
            object.device_id().ok() != Some(work.device) || object.is_marked() == adopts
        }) {
            return Outcome::Changing;
        }
        let flag = match work.task {
            Task::Enabled(enabled) => Some(enabled),
            Task::Disable => Some(false),
            _ => None,
        };
        if flag.is_some() && directory.is_some_and(|object| object.is_enabled() == flag) {
            return Outcome::Unchanged;
        }
        // What spoke for deleting the object at the first reading may be gone at the second.
        if work.task == Task::Delete
            && directory.is_some_and(|object| {
                (object.has_key() && !self.setup.rules.delete_objects_with_keys)
                    || (work.reason == Reason::GraceOver && object.is_enabled() != Some(false))
            })
        {
            return Outcome::Changing;
        }
        let change = match (work.task, cloud, directory) {
            (Task::Create, Some(cloud), None) => self.create(work, cloud),
            (Task::Compare | Task::Adopt, Some(cloud), Some(object)) => {
                return self.compare(work, cloud, object);
            }
            (Task::Enabled(enabled), _, Some(object)) => Some(set_enabled(work, object, enabled)),
            (Task::Disable, _, Some(object)) => Some(set_enabled(work, object, false)),
            (Task::Delete, _, Some(object)) => Some(delete(work, object)),
            _ => None,
        };
        change.map_or(Outcome::Changing, |change| {
            Outcome::Change(Box::new(change))
        })
    }

    fn desired(&self, work: &Work, cloud: &CloudDevice) -> Option<DesiredDevice> {
        let judge = self.judge();
        let scope = judge.scope(cloud);
        (scope.verdict == Verdict::InScope && scope.device_id == Some(work.device))
            .then(|| judge.desired(cloud, work.device))
    }

    fn create(&self, work: &Work, cloud: &CloudDevice) -> Option<Change> {
        let mut desired = self.desired(work, cloud)?;
        if !desired.values.has(Attribute::IsEnabled) {
            // The class requires a value; nobody said that the device is enabled.
            desired
                .values
                .push(Attribute::IsEnabled, ldap_boolean(false));
        }
        let attributes = desired
            .values
            .attributes()
            .iter()
            .map(|attribute| AttributeChange {
                attribute,
                old: Vec::new(),
                new: sorted(desired.values.values(attribute)),
            })
            .collect();
        Some(Change {
            action: Action::Create,
            device_id: work.device,
            object_id: Some(cloud.id),
            dn: device_dn(work.device, &self.setup.identity.container),
            display_name: None,
            object_guid: None,
            reason: work.reason,
            mark: None,
            attributes,
            notices: desired.notices,
        })
    }

    fn compare(&self, work: &Work, cloud: &CloudDevice, object: &DirectoryObject) -> Outcome {
        let Some(desired) = self.desired(work, cloud) else {
            return Outcome::Changing;
        };
        let attributes: Vec<_> = desired
            .known
            .iter()
            .filter_map(|attribute| self.difference(attribute, &desired, object))
            .collect();
        if attributes.is_empty() {
            return Outcome::Unchanged;
        }
        let disables = attributes.iter().any(|change| {
            change.attribute == Attribute::IsEnabled
                && change
                    .new
                    .iter()
                    .any(|value| value.0 == ldap_boolean(false))
        });
        let (action, reason) = match work.task {
            Task::Adopt => (Action::Update, Reason::Adopted),
            _ if disables => (Action::Disable, Reason::DisabledInCloud),
            _ => (Action::Update, work.reason),
        };
        let changed: AttributeMask = attributes.iter().map(|change| change.attribute).collect();
        let mut change = base(work, object, action, reason);
        change.object_id = Some(cloud.id);
        change.attributes = attributes;
        change.notices = notices_of(&desired.notices, changed);
        Outcome::Change(Box::new(change))
    }

    fn difference(
        &self,
        attribute: Attribute,
        desired: &DesiredDevice,
        object: &DirectoryObject,
    ) -> Option<AttributeChange> {
        let differs = if attribute.schema().equality == Equality::Raised {
            let time =
                |value: Option<&[u8]>| value.and_then(|ticks| FileTime::parse_ticks(ticks).ok());
            let (old, new) = (
                time(object.values.first(attribute)),
                time(desired.values.first(attribute)),
            );
            let days = i64::from(self.setup.rules.last_logon_min_days);
            raises(seconds(old), seconds(new), raise_after(&self.setup.rules))
                // Seconds are enough to find the few, ticks decide.
                && old.is_none_or(|old| new.is_some_and(|new| new >= old.plus_days(days)))
        } else {
            canonical_set(attribute, desired.values.values(attribute))
                != canonical_set(attribute, object.values.values(attribute))
        };
        differs.then(|| AttributeChange {
            attribute,
            old: sorted(object.values.values(attribute)),
            new: sorted(desired.values.values(attribute)),
        })
    }

    pub(super) fn into_plan(mut self) -> Result<Plan, PlanError> {
        let joined = self
            .joined
            .take()
            .ok_or(PlanError::Unfinished("the sides were not joined"))?;
        let (cloud_records, directory_objects) = self.cloud_counts();
        let mut lists: BTreeMap<ReasonKind, Vec<Listed>> = BTreeMap::new();
        for remark in &joined.remarks {
            lists
                .entry(remark.reason.kind())
                .or_default()
                .push(self.listed(remark));
        }
        for list in lists.values_mut() {
            list.sort_unstable();
        }
        let mut take = |kind| lists.remove(&kind).unwrap_or_default();
        let (skipped, held, conflicts) = (
            take(ReasonKind::Skipped),
            take(ReasonKind::Held),
            take(ReasonKind::Conflict),
        );
        let summary = Summary {
            cloud_records,
            live_devices: joined.live,
            in_scope: joined.in_scope,
            directory_objects,
            our_objects: joined.ours,
            unchanged: joined.unchanged,
            missing_attributes: Attribute::managed(self.setup.rules.profile, u32::MAX)
                .difference(self.setup.forest.schema)
                .iter()
                .map(|attribute| attribute.name().to_owned())
                .collect(),
            ..Summary::default()
        };
        let (Some(source), Some(directory)) = (self.source.take(), self.directory_end.take())
        else {
            return Err(PlanError::Unfinished("an import has not ended"));
        };
        let (spool, index) = self.writer.into_parts();
        Plan::assemble(
            &self.setup,
            (source, directory),
            summary,
            [skipped, held, conflicts],
            spool,
            index,
        )
    }

    fn listed(&self, remark: &Remark) -> Listed {
        let nameless = remark.device.guid() == Guid::NIL;
        let dn = remark.directory.map(|sequence| {
            self.odd_dns
                .get(&sequence)
                .cloned()
                .unwrap_or_else(|| device_dn(remark.device, &self.setup.identity.container))
        });
        let bad = remark
            .cloud
            .and_then(|sequence| self.describe_bad(sequence));
        Listed {
            device_id: if nameless {
                bad.and_then(|bad| bad.device_id)
            } else {
                Some(remark.device)
            },
            code: remark.reason,
            object_id: remark.object.filter(|id| id.guid() != Guid::NIL),
            dn,
            detail: bad.map(|bad| bad.detail.clone()),
            sequence: if bad.is_some() { remark.cloud } else { None },
        }
    }
}

fn base(work: &Work, object: &DirectoryObject, action: Action, reason: Reason) -> Change {
    Change {
        action,
        device_id: work.device,
        object_id: object.anchor(),
        dn: object.dn.clone(),
        display_name: object
            .values
            .first(Attribute::DisplayName)
            .map(|name| String::from_utf8_lossy(name).into_owned()),
        object_guid: object.guid,
        reason,
        mark: object
            .values
            .first(Attribute::CloudAnchor)
            .map(Octets::from),
        attributes: Vec::new(),
        notices: Vec::new(),
    }
}

fn set_enabled(work: &Work, object: &DirectoryObject, enabled: bool) -> Change {
    let action = if enabled {
        Action::Update
    } else {
        Action::Disable
    };
    let mut change = base(work, object, action, work.reason);
    change.attributes = vec![AttributeChange {
        attribute: Attribute::IsEnabled,
        old: sorted(object.values.values(Attribute::IsEnabled)),
        new: vec![Octets::from(ldap_boolean(enabled))],
    }];
    change
}

fn delete(work: &Work, object: &DirectoryObject) -> Change {
    let mut change = base(work, object, Action::Delete, work.reason);
    change.attributes = object
        .values
        .attributes()
        .iter()
        .map(|attribute| AttributeChange {
            attribute,
            old: sorted(object.values.values(attribute)),
            new: Vec::new(),
        })
        .collect();
    change
}

/// Values in a fixed order: sets have none of their own.
fn sorted<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<Octets> {
    let mut values: Vec<Octets> = values.map(Octets::from).collect();
    values.sort_unstable();
    values
}

/// On an update only what concerns the change is repeated; otherwise every run would tell everything again.
fn notices_of(notices: &[Notice], changed: AttributeMask) -> Vec<Notice> {
    notices
        .iter()
        .copied()
        .filter(|notice| changed.contains(notice.attribute))
        .collect()
}
