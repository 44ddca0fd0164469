//! What becomes of one device, from its records and its objects.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use device_writeback_core::directory::{DirectoryObject, device_dn};
use device_writeback_core::filetime::FileTime;
use device_writeback_core::graph::CloudDevice;
use device_writeback_core::guid::{DeviceId, ObjectId};
use device_writeback_core::plan::{Action, AttributeChange, Change, Completeness, Octets};
use device_writeback_core::rules::{Adopt, Reason, Retire};
use device_writeback_core::schema::Attribute;

use super::scope::Scope;
use super::values::{enabled, meaning, octets, values, wanted};
use super::{ByObject, Expected, Live};
use crate::support::world::{World, container};

pub(super) struct Decision<'a> {
    pub(super) world: &'a World,
    pub(super) device: DeviceId,
    pub(super) soft: &'a Vec<ObjectId>,
    pub(super) objects: &'a Vec<&'a DirectoryObject>,
    pub(super) by_object: &'a BTreeMap<ObjectId, ByObject>,
    pub(super) unidentified: u32,
    pub(super) shared: bool,
    pub(super) taken: &'a HashSet<String>,
    pub(super) used: &'a mut BTreeSet<ObjectId>,
    pub(super) expected: &'a mut Expected,
}

impl Decision<'_> {
    fn list(&mut self, reason: Reason) {
        self.expected.list(Some(self.device), reason);
    }

    fn incomplete(&self) -> bool {
        matches!(self.world.cloud_end, Completeness::Incomplete(_))
    }

    fn partial(&self) -> bool {
        self.world.cloud_end == Completeness::Partial
    }

    pub(super) fn decide(mut self, live: &[Live<'_>]) {
        if live.len() > 1 {
            return self.list(Reason::DuplicateInCloud);
        }
        let record = live.first();
        let in_scope = matches!(record, Some(Live::Device(_, Scope::In)));
        self.expected.in_scope += u64::from(in_scope);
        let conflict = self
            .objects
            .iter()
            .any(|object| object.dn.is_replication_conflict());
        if conflict || self.objects.len() > 1 {
            if in_scope || self.objects.iter().any(|object| object.is_marked()) {
                self.list(if conflict {
                    Reason::ReplicationConflict
                } else {
                    Reason::DuplicateInDirectory
                });
            } else {
                self.without_object(record);
            }
            return;
        }
        match (self.objects.first().copied(), record) {
            (None, _) => self.without_object(record),
            (Some(object), _) if !object.is_marked() => match record {
                Some(Live::Device(cloud, Scope::In)) => {
                    if self.world.rules.adopt == Adopt::Never {
                        self.list(Reason::ForeignObject);
                    } else if self.shared {
                        self.list(Reason::DuplicateAlternativeSecurityId);
                    } else {
                        self.compare(cloud, object, true);
                    }
                }
                _ => self.without_object(record),
            },
            (Some(object), Some(Live::Bad)) => {
                let _ = object;
                self.list(Reason::HeldBadRecord);
            }
            (Some(object), Some(Live::Device(cloud, scope))) => self.ours(object, cloud, *scope),
            (Some(object), None) => self.gone(object),
        }
    }

    fn without_object(&mut self, record: Option<&Live<'_>>) {
        match record {
            None if self.soft.is_empty() => {}
            None => self.list(Reason::SoftDeletedUnwritten),
            Some(Live::Bad) => self.list(Reason::BadRecordUnwritten),
            Some(Live::Device(_, Scope::Out(reason) | Scope::Unusable(reason))) => {
                self.list(*reason);
            }
            Some(Live::Device(_, Scope::Stale)) => self.list(Reason::Stale),
            Some(Live::Device(cloud, Scope::In)) => {
                let dn = device_dn(self.device, &container());
                if self.taken.contains(&dn.normalized()) {
                    self.list(Reason::NameTaken);
                } else if matches!(self.world.directory_end, Completeness::Incomplete(_)) {
                    self.list(Reason::HeldIncomplete);
                } else if self.shared {
                    self.list(Reason::DuplicateAlternativeSecurityId);
                } else {
                    self.create(cloud);
                }
            }
        }
    }

    fn create(&mut self, cloud: &CloudDevice) {
        let (mut wanted, notices) = wanted(self.world, cloud, self.device);
        wanted
            .entry(Attribute::IsEnabled)
            .or_insert_with(|| vec![b"FALSE".to_vec()]);
        self.expected.changes.push(Change {
            action: Action::Create,
            device_id: self.device,
            object_id: Some(cloud.id),
            dn: device_dn(self.device, &container()),
            display_name: None,
            object_guid: None,
            reason: Reason::NewDevice,
            mark: None,
            attributes: wanted
                .into_iter()
                .filter(|(_, values)| !values.is_empty())
                .map(|(attribute, values)| AttributeChange {
                    attribute,
                    old: Vec::new(),
                    new: octets(values),
                })
                .collect(),
            notices,
        });
    }

    fn ours(&mut self, object: &DirectoryObject, cloud: &CloudDevice, scope: Scope) {
        let disabled_in_cloud = enabled(cloud) == Some(false);
        match scope {
            Scope::In if self.shared => {
                self.list(Reason::DuplicateAlternativeSecurityId);
                if disabled_in_cloud {
                    self.set_enabled(object, false, Reason::DisabledInCloud);
                }
            }
            Scope::In => self.compare(cloud, object, false),
            Scope::Unusable(_) => {
                self.list(Reason::HeldUnusable);
                self.follow(object, enabled(cloud));
            }
            Scope::Stale => {
                self.list(Reason::HeldStale);
                if disabled_in_cloud {
                    self.set_enabled(object, false, Reason::DisabledInCloud);
                }
            }
            Scope::Out(_) => {
                let policy = self.world.rules.out_of_scope;
                let retired = self.retire(object, policy, Reason::OutOfScope, disabled_in_cloud);
                if !retired && disabled_in_cloud {
                    self.set_enabled(object, false, Reason::DisabledInCloud);
                }
            }
        }
    }

    /// The enabled flag of a held object.
    fn follow(&mut self, object: &DirectoryObject, wanted: Option<bool>) {
        match (wanted, object.is_enabled()) {
            (Some(true), Some(false)) => self.set_enabled(object, true, Reason::AttributesDiffer),
            (Some(false), _) => self.set_enabled(object, false, Reason::DisabledInCloud),
            _ => {}
        }
    }

    fn gone(&mut self, object: &DirectoryObject) {
        let anchor = object.anchor();
        let event = anchor.and_then(|anchor| self.by_object.get(&anchor).copied());
        if let Some(ByObject::Bad) = event {
            self.used.extend(anchor);
            return self.list(Reason::HeldBadRecord);
        }
        if let Some(ByObject::Nameless(enabled)) = event {
            self.used.extend(anchor);
            self.list(Reason::HeldUnusable);
            return self.follow(object, enabled);
        }
        if !self.soft.is_empty() {
            let same = anchor.is_some_and(|anchor| self.soft.contains(&anchor));
            if self.incomplete() || (!same && !self.partial() && self.unidentified > 0) {
                return self.list(Reason::HeldIncomplete);
            }
            if self.partial() && !same {
                return self.list(Reason::SoftDeletedUnwritten);
            }
            _ = self.retire(object, Retire::Disable, Reason::SoftDeleted, false);
            return;
        }
        match event {
            Some(_) if self.incomplete() => self.list(Reason::HeldIncomplete),
            Some(ByObject::Deleted) => {
                let policy = self.world.rules.gone;
                _ = self.retire(object, policy, Reason::GoneRemoved, false);
            }
            Some(_) => {
                _ = self.retire(object, Retire::Disable, Reason::SoftDeleted, false);
            }
            None if self.partial() => {}
            None if self.incomplete() || self.unidentified > 0 => {
                self.list(Reason::HeldIncomplete);
            }
            None => {
                if !self.world.take_over && !self.world.known.contains(&self.device) {
                    return self.list(Reason::HeldUnknown);
                }
                let policy = self.world.rules.gone;
                _ = self.retire(object, policy, Reason::GoneAbsent, false);
            }
        }
    }

    /// Whether a change was planned or nothing is left to do.
    fn retire(
        &mut self,
        object: &DirectoryObject,
        policy: Retire,
        reason: Reason,
        disabled_in_cloud: bool,
    ) -> bool {
        let off = object.is_enabled() == Some(false);
        let reason_of_disable = if disabled_in_cloud {
            Reason::DisabledInCloud
        } else {
            reason
        };
        match policy {
            Retire::Keep => {
                self.list(Reason::HeldKept);
                return false;
            }
            Retire::Disable if off => self.expected.unchanged += 1,
            Retire::Disable | Retire::DisableThenDelete if !off => {
                self.set_enabled(object, false, reason_of_disable);
            }
            Retire::DisableThenDelete => {
                let since = self.world.disabled_since.get(&self.device);
                let days = i64::from(self.world.rules.delete_after_days);
                if since.is_none_or(|since| self.world.now < since.plus_days(days)) {
                    self.list(Reason::HeldGrace);
                    return false;
                }
                return self.delete(object, Reason::GraceOver);
            }
            Retire::Delete => return self.delete(object, reason),
            other => panic!("{other:?}"),
        }
        true
    }

    fn delete(&mut self, object: &DirectoryObject, reason: Reason) -> bool {
        if object.has_key() && !self.world.rules.delete_objects_with_keys {
            self.list(Reason::HeldKey);
            return false;
        }
        let mut change = self.change(object, Action::Delete, reason);
        change.attributes = object
            .values
            .attributes()
            .iter()
            .map(|attribute| AttributeChange {
                attribute,
                old: values(object, attribute),
                new: Vec::new(),
            })
            .collect();
        self.expected.changes.push(change);
        true
    }

    fn set_enabled(&mut self, object: &DirectoryObject, to: bool, reason: Reason) {
        if object.is_enabled() == Some(to) {
            return;
        }
        let action = if to { Action::Update } else { Action::Disable };
        let mut change = self.change(object, action, reason);
        change.attributes = vec![AttributeChange {
            attribute: Attribute::IsEnabled,
            old: values(object, Attribute::IsEnabled),
            new: vec![Octets(if to { b"TRUE".into() } else { b"FALSE".into() })],
        }];
        self.expected.changes.push(change);
    }

    fn compare(&mut self, cloud: &CloudDevice, object: &DirectoryObject, adopt: bool) {
        let (wanted, notices) = wanted(self.world, cloud, self.device);
        let mut attributes = Vec::new();
        for (attribute, new) in wanted {
            let old = values(object, attribute);
            let differs = if attribute == Attribute::ApproximateLastLogonTimeStamp {
                let time = |value: &[u8]| FileTime::parse_ticks(value).ok();
                let days = i64::from(self.world.rules.last_logon_min_days);
                match (
                    old.first().and_then(|old| time(&old.0)),
                    new.first().and_then(|new| time(new)),
                ) {
                    (_, None) => false,
                    (None, Some(_)) => true,
                    (Some(old), Some(new)) => new > old && new >= old.plus_days(days),
                }
            } else {
                let meaning = |values: Vec<Vec<u8>>| -> BTreeSet<String> {
                    values
                        .into_iter()
                        .map(|value| meaning(attribute, &value))
                        .collect()
                };
                meaning(new.clone()) != meaning(old.iter().map(|old| old.0.clone()).collect())
            };
            if differs {
                attributes.push(AttributeChange {
                    attribute,
                    old,
                    new: octets(new),
                });
            }
        }
        if attributes.is_empty() {
            self.expected.unchanged += 1;
            return;
        }
        let disables = attributes.iter().any(|change| {
            change.attribute == Attribute::IsEnabled && change.new == [Octets(b"FALSE".into())]
        });
        let (action, reason) = match (adopt, disables) {
            (true, _) => (Action::Update, Reason::Adopted),
            (false, true) => (Action::Disable, Reason::DisabledInCloud),
            (false, false) => (Action::Update, Reason::AttributesDiffer),
        };
        let mut change = self.change(object, action, reason);
        change.object_id = Some(cloud.id);
        change.notices = notices
            .into_iter()
            .filter(|notice| {
                attributes
                    .iter()
                    .any(|change| change.attribute == notice.attribute)
            })
            .collect();
        change.attributes = attributes;
        self.expected.changes.push(change);
    }

    fn change(&self, object: &DirectoryObject, action: Action, reason: Reason) -> Change {
        Change {
            action,
            device_id: self.device,
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
}
