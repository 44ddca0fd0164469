//! The decision table a second time: straight over whole records, with maps and without digests, batches or re-reading.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use device_writeback_core::cloud_anchor;
use device_writeback_core::directory::{DirectoryObject, device_dn};
use device_writeback_core::filetime::FileTime;
use device_writeback_core::graph::{CloudDevice, CloudItem, Field, LinkedObject, Removal};
use device_writeback_core::guid::{DeviceId, ObjectId};
use device_writeback_core::plan::{Action, AttributeChange, Change, Completeness, Octets, Plan};
use device_writeback_core::rules::{
    Adopt, Notice, NullFlag, PrincipalFacts, Reason, ReasonKind, Retire, Stale,
};
use device_writeback_core::schema::{Attribute, Profile};
use device_writeback_core::sid::Sid;

use super::world::{World, changes, container};

/// What a plan says, without its head.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub changes: Vec<Change>,
    pub skipped: Vec<(Option<DeviceId>, Reason)>,
    pub held: Vec<(Option<DeviceId>, Reason)>,
    pub conflicts: Vec<(Option<DeviceId>, Reason)>,
    pub unchanged: u64,
    pub ours: u64,
    pub live: u64,
    pub in_scope: u64,
}

impl Expected {
    pub fn of(plan: &Plan) -> Self {
        let list = |listed: &[device_writeback_core::plan::Listed]| {
            let mut list: Vec<_> = listed
                .iter()
                .map(|listed| (listed.device_id, listed.code))
                .collect();
            list.sort();
            list
        };
        let summary = plan.summary();
        Self {
            changes: changes(plan),
            skipped: list(plan.skipped()),
            held: list(plan.held()),
            conflicts: list(plan.conflicts()),
            unchanged: summary.unchanged,
            ours: summary.our_objects,
            live: summary.live_devices,
            in_scope: summary.in_scope,
        }
    }

    fn list(&mut self, device: Option<DeviceId>, reason: Reason) {
        match reason.kind() {
            ReasonKind::Skipped => self.skipped.push((device, reason)),
            ReasonKind::Held => self.held.push((device, reason)),
            ReasonKind::Conflict => self.conflicts.push((device, reason)),
            kind => panic!("{reason} is listed as {kind:?}"),
        }
    }
}

#[derive(Clone, Debug)]
enum Live<'a> {
    Device(&'a CloudDevice, Scope),
    Bad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    In,
    Out(Reason),
    Unusable(Reason),
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByObject {
    Deleted,
    SoftDeleted,
    Bad,
    Nameless(Option<bool>),
}

pub fn expected(world: &World) -> Expected {
    let mut expected = Expected::default();
    // Of the records of one object only the last counts.
    let mut records: Vec<_> = world.cloud.iter().collect();
    records.sort_by_key(|record| record.sequence);
    let mut last: HashMap<ObjectId, &CloudItem> = HashMap::new();
    let mut live: BTreeMap<DeviceId, Vec<Live<'_>>> = BTreeMap::new();
    let mut soft: BTreeMap<DeviceId, Vec<ObjectId>> = BTreeMap::new();
    let mut by_object: BTreeMap<ObjectId, ByObject> = BTreeMap::new();
    let mut unidentified = 0;
    for record in records {
        match &record.item {
            CloudItem::Device(device) => _ = last.insert(device.id, &record.item),
            CloudItem::Removed { id, .. } => _ = last.insert(*id, &record.item),
            CloudItem::Bad(bad) => match (bad.id, bad.device_id) {
                (Some(id), _) => _ = last.insert(id, &record.item),
                (None, Some(device)) => live.entry(device).or_default().push(Live::Bad),
                (None, None) => {
                    unidentified += 1;
                    expected.list(None, Reason::BadRecordUnwritten);
                }
            },
        }
    }
    for (id, item) in last {
        match item {
            CloudItem::Removed {
                reason: Removal::Deleted,
                ..
            } => _ = by_object.insert(id, ByObject::Deleted),
            CloudItem::Removed { .. } => _ = by_object.insert(id, ByObject::SoftDeleted),
            CloudItem::Bad(bad) => match bad.device_id {
                Some(device) => live.entry(device).or_default().push(Live::Bad),
                None => _ = by_object.insert(id, ByObject::Bad),
            },
            CloudItem::Device(device) => match (device.device_id, device.deleted) {
                (None, true) => _ = by_object.insert(id, ByObject::SoftDeleted),
                (None, false) => _ = by_object.insert(id, ByObject::Nameless(enabled(device))),
                (Some(name), true) => soft.entry(name).or_default().push(id),
                (Some(name), false) => live
                    .entry(name)
                    .or_default()
                    .push(Live::Device(device, scope(world, device, name))),
            },
        }
    }
    expected.live = live.values().flatten().count() as u64
        + by_object
            .values()
            .filter(|event| matches!(event, ByObject::Nameless(_)))
            .count() as u64;

    let mut objects: BTreeMap<DeviceId, Vec<&DirectoryObject>> = BTreeMap::new();
    let mut taken: HashSet<String> = HashSet::new();
    let mut with_alt_id: HashMap<Vec<u8>, BTreeSet<DeviceId>> = HashMap::new();
    for object in &world.directory {
        if !object.dn.is_child_of(&container()) {
            continue;
        }
        taken.insert(object.dn.normalized());
        expected.ours += u64::from(object.is_marked());
        match object.device_id() {
            Err(_) if object.is_marked() => expected.list(None, Reason::NoDeviceIdInDirectory),
            Err(_) => {}
            Ok(device) => {
                objects.entry(device).or_default().push(object);
                if !object.is_marked() {
                    for value in object.values.values(Attribute::AltSecurityIdentities) {
                        with_alt_id
                            .entry(value.to_vec())
                            .or_default()
                            .insert(device);
                    }
                }
            }
        }
    }
    for (id, event) in &by_object {
        // Nobody can say which device an unreadable record is when no object carries its object id.
        let carried = objects
            .values()
            .flatten()
            .any(|object| object.anchor() == Some(*id));
        if matches!(event, ByObject::Bad) && !carried {
            unidentified += 1;
        }
    }
    for (device, records) in &live {
        for record in records {
            if let Live::Device(cloud, Scope::In) = record {
                for id in &cloud.alternative_security_ids.value().unwrap().usable {
                    with_alt_id
                        .entry(id.as_str().as_bytes().to_vec())
                        .or_default()
                        .insert(*device);
                }
            }
        }
    }
    let shared: BTreeSet<DeviceId> = with_alt_id
        .into_values()
        .filter(|devices| devices.len() > 1)
        .flatten()
        .collect();

    let devices: BTreeSet<DeviceId> = live
        .keys()
        .chain(soft.keys())
        .chain(objects.keys())
        .copied()
        .collect();
    let mut used: BTreeSet<ObjectId> = BTreeSet::new();
    for device in devices {
        let none = Vec::new();
        Decision {
            world,
            device,
            soft: soft.get(&device).unwrap_or(&Vec::new()),
            objects: objects.get(&device).unwrap_or(&Vec::new()),
            by_object: &by_object,
            unidentified,
            shared: shared.contains(&device),
            taken: &taken,
            used: &mut used,
            expected: &mut expected,
        }
        .decide(live.get(&device).unwrap_or(&none));
    }
    for (id, event) in by_object {
        match event {
            ByObject::Bad if !used.contains(&id) => {
                expected.list(None, Reason::BadRecordUnwritten);
            }
            ByObject::Nameless(_) if !used.contains(&id) => {
                expected.list(None, Reason::NoDeviceId);
            }
            _ => {}
        }
    }
    expected
        .changes
        .sort_by_key(|change| (change.action, change.device_id));
    expected.skipped.sort();
    expected.held.sort();
    expected.conflicts.sort();
    expected
}

fn enabled(device: &CloudDevice) -> Option<bool> {
    match device.account_enabled {
        Field::Value(enabled) => Some(enabled),
        Field::Null => Some(false),
        Field::Absent => None,
    }
}

struct Decision<'a> {
    world: &'a World,
    device: DeviceId,
    soft: &'a Vec<ObjectId>,
    objects: &'a Vec<&'a DirectoryObject>,
    by_object: &'a BTreeMap<ObjectId, ByObject>,
    unidentified: u32,
    shared: bool,
    taken: &'a HashSet<String>,
    used: &'a mut BTreeSet<ObjectId>,
    expected: &'a mut Expected,
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

    fn decide(mut self, live: &[Live<'_>]) {
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

/// A value as text that is equal for equal meaning.
fn meaning(attribute: Attribute, value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value).into_owned();
    let raw = || format!("raw {}", value.escape_ascii());
    match attribute {
        Attribute::RegisteredOwner | Attribute::RegisteredUsers | Attribute::ComputerSid => {
            Sid::decode_either(value).map_or_else(|_| raw(), |(sid, _)| sid.to_string())
        }
        Attribute::CloudAnchor => {
            cloud_anchor::decode(value).map_or_else(|_| raw(), |id| id.to_string())
        }
        Attribute::DeviceObjectVersion | Attribute::DeviceTrustType => text
            .parse::<i64>()
            .map_or_else(|_| raw(), |number| number.to_string()),
        Attribute::DevicePhysicalIds => text.to_lowercase(),
        _ => raw(),
    }
}

fn octets(mut values: Vec<Vec<u8>>) -> Vec<Octets> {
    values.sort();
    values.into_iter().map(Octets).collect()
}

fn values(object: &DirectoryObject, attribute: Attribute) -> Vec<Octets> {
    octets(
        object
            .values
            .values(attribute)
            .map(<[u8]>::to_vec)
            .collect(),
    )
}

fn scope(world: &World, device: &CloudDevice, id: DeviceId) -> Scope {
    let rules = &world.rules;
    let text = |wanted: &[String], actual: &Field<Box<str>>| {
        wanted.is_empty()
            || match actual {
                Field::Absent => true,
                Field::Null => false,
                Field::Value(actual) => wanted
                    .iter()
                    .any(|wanted| wanted.to_ascii_lowercase() == actual.to_ascii_lowercase()),
            }
    };
    let flag = |wanted: Option<bool>, actual: &Field<bool>| match (wanted, actual) {
        (None, _) | (_, Field::Absent) => true,
        (Some(wanted), Field::Null) => !wanted,
        (Some(wanted), Field::Value(actual)) => wanted == *actual,
    };
    let age = |days: u32| match device.approximate_last_sign_in {
        Field::Value(last) => last.plus_days(i64::from(days)) < world.now,
        _ => false,
    };
    let owned = || match &device.registered_owners {
        Field::Absent => true,
        Field::Null => false,
        Field::Value(owners) => owners.iter().any(|owner| {
            !owner.other_kind
                && match owner.sid {
                    Field::Absent => true,
                    Field::Null => false,
                    Field::Value(sid) => !matches!(judge(world, &sid), Err(Some(_))),
                }
        }),
    };
    let filters = [
        (!rules.exclude_devices.contains(&id), Reason::Excluded),
        (
            rules.include_devices.is_empty() || rules.include_devices.contains(&id),
            Reason::NotIncluded,
        ),
        (
            text(&rules.trust_types, &device.trust_type),
            Reason::TrustTypeExcluded,
        ),
        (
            text(&rules.operating_systems, &device.operating_system),
            Reason::OperatingSystemExcluded,
        ),
        (
            text(&rules.profile_types, &device.profile_type),
            Reason::ProfileTypeExcluded,
        ),
        (
            text(&rules.ownerships, &device.device_ownership),
            Reason::OwnershipExcluded,
        ),
        (
            flag(rules.is_managed, &device.is_managed),
            Reason::NotManagedAsAsked,
        ),
        (
            flag(rules.is_compliant, &device.is_compliant),
            Reason::NotCompliantAsAsked,
        ),
        (
            flag(rules.account_enabled, &device.account_enabled),
            Reason::EnabledExcluded,
        ),
        (
            !rules.max_sign_in_age_days.is_some_and(age),
            Reason::SignInTooOld,
        ),
        (
            !rules.require_on_premises_owner || owned(),
            Reason::OwnerNotOnPremises,
        ),
    ];
    for (passes, reason) in filters {
        if !passes {
            return Scope::Out(reason);
        }
    }
    match device.display_name.value() {
        None => return Scope::Unusable(Reason::NoDisplayName),
        Some(name) if name.is_empty() => return Scope::Unusable(Reason::NoDisplayName),
        Some(name) if name.encode_utf16().count() > 256 => {
            return Scope::Unusable(Reason::DisplayNameTooLong);
        }
        Some(_) => {}
    }
    if device
        .alternative_security_ids
        .value()
        .is_none_or(|ids| ids.usable.is_empty())
    {
        return Scope::Unusable(Reason::NoAlternativeSecurityId);
    }
    match world.forest.inactivity_days {
        Some(days) if days > 0 && rules.stale == Stale::Hold && age(days) => Scope::Stale,
        _ => Scope::In,
    }
}

/// Whether a SID may be written; `Err(None)` is "nobody knows".
fn judge(world: &World, sid: &Sid) -> Result<(), Option<Reason>> {
    if !world
        .forest
        .domain_sids
        .iter()
        .any(|domain| sid.domain() == Some(*domain))
    {
        return Err(Some(Reason::OwnerForeignDomain));
    }
    if sid.rid().unwrap() < 1000 {
        return Err(Some(Reason::OwnerBuiltIn));
    }
    match world.principals.get(sid) {
        None => Err(None),
        Some(PrincipalFacts::NotFound) => Err(Some(Reason::OwnerUnresolved)),
        Some(PrincipalFacts::User { protected: true }) if !world.rules.allow_protected_owners => {
            Err(Some(Reason::OwnerProtected))
        }
        Some(_) => Ok(()),
    }
}

pub type Wanted = BTreeMap<Attribute, Vec<Vec<u8>>>;

/// The attributes about which the cloud has a say, with their values.
pub fn wanted(world: &World, device: &CloudDevice, id: DeviceId) -> (Wanted, Vec<Notice>) {
    let mut wanted = Wanted::new();
    let mut notices = Vec::new();
    for attribute in Attribute::ALL.iter().copied() {
        let row = attribute.schema();
        let managed = match world.rules.profile {
            Profile::Connect => row.connect,
            _ => row.adfs,
        };
        if !managed || !world.forest.schema.contains(attribute) {
            continue;
        }
        match attribute_values(world, device, id, attribute) {
            Ok((Some(values), reason)) => {
                wanted.insert(attribute, values);
                notices.extend(reason.map(|reason| Notice { attribute, reason }));
            }
            Ok((None, _)) => {}
            Err(reason) => notices.push(Notice { attribute, reason }),
        }
    }
    (wanted, notices)
}

/// `Ok((None, _))`: unknown; `Err`: unknown, with a remark.
type Values = Result<(Option<Vec<Vec<u8>>>, Option<Reason>), Reason>;

fn attribute_values(
    world: &World,
    device: &CloudDevice,
    id: DeviceId,
    attribute: Attribute,
) -> Values {
    let rules = &world.rules;
    let known = |values: Vec<Vec<u8>>| Ok((Some(values), None));
    let text = |field: &Field<Box<str>>, longest: usize| match field {
        Field::Absent => Ok((None, None)),
        Field::Null => Ok((Some(Vec::new()), None)),
        Field::Value(text) if text.is_empty() => Ok((Some(Vec::new()), None)),
        Field::Value(text) if text.encode_utf16().count() > longest => Err(Reason::ValueOutOfRange),
        Field::Value(text) => Ok((Some(vec![text.as_bytes().to_vec()]), None)),
    };
    let boolean = |value: bool| {
        vec![if value {
            b"TRUE".to_vec()
        } else {
            b"FALSE".to_vec()
        }]
    };
    let flag = |field: &Field<bool>| match field {
        Field::Absent => Ok((None, None)),
        Field::Value(value) => Ok((Some(boolean(*value)), None)),
        Field::Null if rules.null_flag == NullFlag::False => Ok((Some(boolean(false)), None)),
        Field::Null => Ok((Some(Vec::new()), None)),
    };
    match attribute {
        Attribute::DisplayName => text(&device.display_name, 256),
        Attribute::AltSecurityIdentities => match &device.alternative_security_ids {
            Field::Value(ids) => known(
                ids.usable
                    .iter()
                    .map(|id| id.as_str().as_bytes().to_vec())
                    .collect(),
            ),
            _ => Ok((None, None)),
        },
        Attribute::DeviceId => known(vec![id.to_le_bytes().to_vec()]),
        Attribute::IsEnabled => Ok((enabled(device).map(boolean), None)),
        Attribute::DeviceOsType => text(&device.operating_system, 1024),
        Attribute::DeviceOsVersion => text(&device.operating_system_version, 512),
        Attribute::DevicePhysicalIds => match &device.physical_ids {
            Field::Absent => Ok((None, None)),
            Field::Null => known(Vec::new()),
            Field::Value(ids) => {
                let mut seen = HashSet::new();
                let mut values = Vec::new();
                let mut reason = None;
                for id in ids {
                    if !seen.insert(id.to_lowercase()) {
                        continue;
                    }
                    if id.is_empty() || id.encode_utf16().count() > 1024 {
                        reason = Some(Reason::ValueOutOfRange);
                    } else {
                        values.push(id.as_bytes().to_vec());
                    }
                }
                Ok((Some(values), reason))
            }
        },
        Attribute::DeviceObjectVersion => match device.device_version {
            Field::Absent => Ok((None, None)),
            Field::Null => known(Vec::new()),
            Field::Value(version) => known(vec![version.to_string().into_bytes()]),
        },
        Attribute::CloudAnchor => known(vec![cloud_anchor::encode(device.id, rules.cloud_anchor)]),
        Attribute::RegisteredOwner => people(world, &device.registered_owners, true),
        Attribute::RegisteredUsers => people(world, &device.registered_users, false),
        Attribute::IsManaged | Attribute::CloudIsManaged => flag(&device.is_managed),
        Attribute::IsCompliant => flag(&device.is_compliant),
        Attribute::ApproximateLastLogonTimeStamp => Ok((
            device
                .approximate_last_sign_in
                .value()
                .map(|time| vec![time.ticks().to_string().into_bytes()]),
            None,
        )),
        Attribute::DeviceTrustType => match device.trust_type.value().map(|text| &**text) {
            None if device.trust_type.is_absent() => Ok((None, None)),
            None => known(Vec::new()),
            Some(text) => {
                let names = ["workplace", "azuread", "serverad"];
                match names
                    .iter()
                    .position(|name| text.to_ascii_lowercase() == *name)
                {
                    Some(number) => known(vec![number.to_string().into_bytes()]),
                    None => Err(Reason::ValueOutOfRange),
                }
            }
        },
        Attribute::ComputerSid => match &device.on_premises_security_identifier {
            Field::Absent => Ok((None, None)),
            Field::Null => known(Vec::new()),
            Field::Value(sid) if world.forest.domain_sids.iter().any(|d| sid.is_in_domain(d)) => {
                known(vec![sid.to_bytes()])
            }
            Field::Value(_) => Ok((Some(Vec::new()), Some(Reason::OwnerForeignDomain))),
        },
        other => panic!("{other} is managed"),
    }
}

fn people(world: &World, list: &Field<Vec<LinkedObject>>, only_first: bool) -> Values {
    let list = match list {
        Field::Absent => return Ok((None, None)),
        Field::Null => return Ok((Some(Vec::new()), None)),
        Field::Value(list) => list,
    };
    let mut values = Vec::new();
    let mut remark = None;
    let take = if only_first { 1 } else { usize::MAX };
    for person in list.iter().filter(|person| !person.other_kind).take(take) {
        match person.sid {
            Field::Absent => return Err(Reason::OwnerUnknown),
            Field::Null => {}
            Field::Value(sid) => match judge(world, &sid) {
                Ok(()) => {
                    let value = sid.encode(world.rules.sid_encoding);
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
                Err(Some(reason)) => remark = Some(reason),
                Err(None) => return Err(Reason::OwnerUnknown),
            },
        }
    }
    Ok((Some(values), remark))
}
