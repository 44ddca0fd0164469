//! Taking records and objects in: each leaves an entry behind, and its full values only while there is room.

use super::super::entry::{AltId, CloudEntry, CloudKind, DirectoryEntry, Event, Known, Remark};
use super::{Planner, seconds};
use crate::directory::{DirectoryObject, device_dn};
use crate::filetime::FileTime;
use crate::graph::{CloudDevice, CloudItem, CloudRecord, Field, Removal};
use crate::guid::{DeviceId, Guid, ObjectId};
use crate::rules::{Judge, Reason, Verdict};
use crate::schema::Attribute;

/// How many unreadable records are described in a plan; the rest are only counted.
const DESCRIBED: usize = 10_000;

impl Planner {
    /// Feeds a record of the cloud side.
    pub fn cloud(&mut self, record: CloudRecord) {
        let CloudRecord { sequence, item } = record;
        self.cloud_fed += 1;
        match item {
            CloudItem::Device(device) => self.cloud_device(sequence, device),
            CloudItem::Removed { id, reason } => {
                let event = match reason {
                    Removal::Deleted => Event::Deleted,
                    Removal::Changed => Event::SoftDeleted,
                };
                self.event(id, sequence, event);
            }
            CloudItem::Bad(bad) => {
                match (bad.device_id, bad.id) {
                    (Some(device), id) => self.cloud.push(CloudEntry {
                        device,
                        object: id.unwrap_or(ObjectId::from(Guid::NIL)),
                        digest: [0; 2],
                        sequence,
                        last_logon: 0,
                        kind: CloudKind::Bad,
                        reason: Reason::BadRecordUnwritten,
                        enabled: Known::Unknown,
                        deviates: false,
                    }),
                    (None, Some(id)) => self.event(id, sequence, Event::Bad),
                    (None, None) => self.bad_without_id += 1,
                }
                self.bad.insert(sequence, bad);
                // The first ones by sequence are described, whatever the order of arrival.
                if self.bad.len() > DESCRIBED {
                    self.bad.pop_last();
                }
            }
        }
    }

    /// Feeds an object of the directory: any `msDS-Device`, ours or not. One that does not lie directly under the container
    /// is none of this run's business.
    pub fn directory(&mut self, object: DirectoryObject) {
        if !object.dn.is_child_of(&self.setup.identity.container) {
            return;
        }
        self.directory_fed += 1;
        let ours = object.is_marked();
        let sequence = object.sequence;
        let conflict_name = object.dn.is_replication_conflict();
        // The device whose object would get this very name; a GUID in braces, say, is another name.
        let named = object
            .dn
            .rdn()
            .and_then(|rdn| rdn.value().parse::<DeviceId>().ok())
            .filter(|name| object.dn == device_dn(*name, &self.setup.identity.container));
        let Ok(device) = object.device_id() else {
            if let Some(name) = named {
                self.odd_names.insert(name, sequence);
            }
            if ours {
                self.odd_dns.insert(sequence, object.dn.clone());
                self.nameless.push(Remark {
                    device: DeviceId::from(Guid::NIL),
                    object: object.anchor(),
                    reason: Reason::NoDeviceIdInDirectory,
                    cloud: None,
                    directory: Some(sequence),
                });
            }
            return;
        };
        if named != Some(device) {
            if let Some(name) = named {
                self.odd_names.insert(name, sequence);
            }
            self.odd_dns.insert(sequence, object.dn.clone());
        }
        if !ours {
            for value in object.values.values(Attribute::AltSecurityIdentities) {
                self.alt_ids.push(AltId {
                    hash: self.digester.short(value),
                    place: place(&self.directory),
                    directory: true,
                });
            }
        }
        self.directory.push(DirectoryEntry {
            device,
            guid: object.guid.map_or(Guid::NIL, |guid| guid.guid()),
            anchor: object.anchor().unwrap_or(ObjectId::from(Guid::NIL)),
            digest: self.digester.digest(&object.values, self.setup.mask),
            sequence,
            last_logon: seconds(
                object
                    .values
                    .first(Attribute::ApproximateLastLogonTimeStamp)
                    .and_then(|ticks| FileTime::parse_ticks(ticks).ok()),
            ),
            enabled: object.is_enabled().into(),
            ours,
            has_key: object.has_key(),
            conflict_name,
        });
        if self.whole_directory.len() < self.setup.keep_whole {
            self.whole_directory.insert(sequence, object);
        }
    }

    fn cloud_device(&mut self, sequence: u64, device: Box<CloudDevice>) {
        let judge = Judge {
            rules: &self.setup.rules,
            forest: &self.setup.forest,
            principals: &self.principals,
            now: self.setup.now,
        };
        let scope = judge.scope(&device);
        let enabled = match device.account_enabled {
            Field::Value(enabled) => Some(enabled).into(),
            Field::Null | Field::Absent => Known::Unknown,
        };
        let Some(id) = scope.device_id else {
            // Only the mark of an object can tell whose record this is, as with a removal.
            let event = match scope.verdict {
                Verdict::SoftDeleted => Event::SoftDeleted,
                _ => Event::Nameless(enabled),
            };
            return self.event(device.id, sequence, event);
        };
        let (kind, reason) = match scope.verdict {
            Verdict::InScope => (CloudKind::InScope, Reason::NewDevice),
            Verdict::OutOfScope(reason) => (CloudKind::OutOfScope, reason),
            Verdict::Unusable(reason) => (CloudKind::Unusable, reason),
            Verdict::Stale => (CloudKind::Stale, Reason::Stale),
            Verdict::SoftDeleted => (CloudKind::SoftDeleted, Reason::SoftDeletedUnwritten),
        };
        let (mut digest, mut deviates) = ([0; 2], false);
        if kind == CloudKind::InScope {
            judge.desired_into(&device, id, &mut self.desired);
            deviates = !self
                .desired
                .known
                .is_superset(self.setup.mask_without_raised());
            // A mask that leaves out what this record says would hide a difference.
            deviates |= !self.setup.mask.is_superset(self.desired.known);
            if !deviates {
                digest = self.digester.digest(&self.desired.values, self.setup.mask);
            }
            for value in self.desired.values.values(Attribute::AltSecurityIdentities) {
                self.alt_ids.push(AltId {
                    hash: self.digester.short(value),
                    place: place(&self.cloud),
                    directory: false,
                });
            }
        }
        self.cloud.push(CloudEntry {
            device: id,
            object: device.id,
            digest,
            sequence,
            last_logon: seconds(device.approximate_last_sign_in.value().copied()),
            kind,
            reason,
            enabled,
            deviates,
        });
        if kind == CloudKind::InScope && self.whole_cloud.len() < self.setup.keep_whole {
            self.whole_cloud.insert(sequence, device);
        }
    }

    fn event(&mut self, id: ObjectId, sequence: u64, event: Event) {
        let entry = self.events.entry(id).or_insert((sequence, event));
        if sequence >= entry.0 {
            *entry = (sequence, event);
        }
    }
}

/// Where the next entry of `list` will be.
fn place<T>(list: &[T]) -> u32 {
    // The join counts entries in 32 bits too: four thousand million devices are no tenant's.
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}
