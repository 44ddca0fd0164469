//! The decision table a second time: straight over whole records, with maps and without digests, batches or re-reading.

mod decision;
mod scope;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::graph::{CloudDevice, CloudItem, Removal};
use device_writeback_core::guid::{DeviceId, ObjectId};
use device_writeback_core::plan::{Change, Plan};
use device_writeback_core::rules::{Reason, ReasonKind};
use device_writeback_core::schema::Attribute;

use super::world::{World, changes, container};
use decision::Decision;
use scope::{Scope, scope};
use values::enabled;
pub use values::wanted;

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
