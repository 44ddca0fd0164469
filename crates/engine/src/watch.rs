//! What an explanation looks out for while both sides pass by.

use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::graph::{CloudItem, CloudRecord};
use device_writeback_core::guid::{DeviceId, Guid, ObjectId};
use device_writeback_core::plan::Planner;
use device_writeback_core::rules::{DesiredDevice, Verdict};
use device_writeback_core::schema::Attribute;

/// What to look out for while both sides pass, and what was seen.
pub(crate) struct Watch {
    asked: Option<Wanted>,
    /// In a second reading: what it is about.
    wanted: Option<Wanted>,
    pub(crate) cloud: Vec<CloudRecord>,
    pub(crate) directory: Vec<DirectoryObject>,
    /// Of the devices in `cloud`, in its order.
    pub(crate) judged: Vec<(Verdict, Option<DesiredDevice>)>,
}

enum Wanted {
    Id(Guid),
    Name(String),
    /// Device ids that a first reading turned up on one side only.
    Devices(Vec<DeviceId>),
}

impl Watch {
    pub(crate) fn nothing() -> Self {
        Self {
            asked: None,
            wanted: None,
            cloud: Vec::new(),
            directory: Vec::new(),
            judged: Vec::new(),
        }
    }

    pub(crate) fn for_device(question: &str) -> Self {
        let wanted = match Guid::parse(question.trim()) {
            Ok(id) => Wanted::Id(id),
            Err(_) => Wanted::Name(question.trim().to_lowercase()),
        };
        Self {
            asked: Some(wanted),
            ..Self::nothing()
        }
    }

    pub(crate) fn see_cloud(&mut self, record: &CloudRecord) {
        let Some(wanted) = self.wanted.as_ref().or(self.asked.as_ref()) else {
            return;
        };
        let hit = match (wanted, &record.item) {
            (Wanted::Id(id), CloudItem::Device(device)) => {
                device.id.guid() == *id || device.device_id.is_some_and(|own| own.guid() == *id)
            }
            (Wanted::Id(id), CloudItem::Removed { id: own, .. }) => own.guid() == *id,
            (Wanted::Id(id), CloudItem::Bad(bad)) => {
                bad.id.is_some_and(|own| own.guid() == *id)
                    || bad.device_id.is_some_and(|own| own.guid() == *id)
            }
            (Wanted::Name(name), CloudItem::Device(device)) => device
                .display_name
                .value()
                .is_some_and(|own| own.to_lowercase() == *name),
            (Wanted::Name(_), _) => false,
            (Wanted::Devices(ids), CloudItem::Device(device)) => {
                device.device_id.is_some_and(|own| ids.contains(&own))
            }
            (Wanted::Devices(ids), CloudItem::Bad(bad)) => {
                bad.device_id.is_some_and(|own| ids.contains(&own))
            }
            (Wanted::Devices(_), CloudItem::Removed { .. }) => false,
        };
        if hit {
            self.cloud.push(record.clone());
        }
    }

    pub(crate) fn see_directory(&mut self, object: &DirectoryObject) {
        let Some(wanted) = self.wanted.as_ref().or(self.asked.as_ref()) else {
            return;
        };
        let hit = match wanted {
            Wanted::Id(id) => {
                object.device_id().is_ok_and(|own| own.guid() == *id)
                    || object.anchor().is_some_and(|own| own.guid() == *id)
                    || object.guid.is_some_and(|own| own.guid() == *id)
                    || object
                        .dn
                        .rdn()
                        .is_some_and(|rdn| Guid::parse(rdn.value()).is_ok_and(|own| own == *id))
            }
            Wanted::Name(name) => object
                .values
                .first(Attribute::DisplayName)
                .is_some_and(|own| String::from_utf8_lossy(own).to_lowercase() == *name),
            Wanted::Devices(ids) => object.device_id().is_ok_and(|own| ids.contains(&own)),
        };
        if hit {
            self.directory.push(object.clone());
        }
    }

    pub(crate) fn judge(&mut self, planner: &Planner) {
        let judge = planner.judge();
        self.cloud.sort_by_key(|record| record.sequence);
        self.judged = self
            .cloud
            .iter()
            .filter_map(|record| match &record.item {
                CloudItem::Device(device) => {
                    let scope = judge.scope(device);
                    let desired = match (scope.verdict, scope.device_id) {
                        (Verdict::InScope, Some(id)) => Some(judge.desired(device, id)),
                        _ => None,
                    };
                    Some((scope.verdict, desired))
                }
                _ => None,
            })
            .collect();
    }

    /// Whether the directory may have objects of the devices found that the question itself did not find.
    pub(crate) fn look_for_more_in_directory(&mut self) -> bool {
        let found: Vec<_> = self
            .directory
            .iter()
            .filter_map(|object| object.device_id().ok())
            .collect();
        self.look_for_more(&found)
    }

    /// As [`Watch::look_for_more_in_directory`], of records of the source.
    pub(crate) fn look_for_more_in_cloud(&mut self) -> bool {
        let found: Vec<_> = self
            .cloud
            .iter()
            .filter_map(|record| match &record.item {
                CloudItem::Device(device) => device.device_id,
                CloudItem::Bad(bad) => bad.device_id,
                CloudItem::Removed { .. } => None,
            })
            .collect();
        self.look_for_more(&found)
    }

    fn look_for_more(&mut self, found: &[DeviceId]) -> bool {
        let asked = match &self.asked {
            Some(Wanted::Id(id)) => Some(*id),
            Some(_) => None,
            None => return false,
        };
        let missing: Vec<_> = self
            .device_ids()
            .into_iter()
            // An id that was asked for has been looked for on both sides.
            .filter(|id| Some(id.guid()) != asked && !found.contains(id))
            .collect();
        let any = !missing.is_empty();
        self.wanted = Some(Wanted::Devices(missing));
        any
    }

    pub(crate) fn device_ids(&self) -> Vec<DeviceId> {
        let mut ids: Vec<DeviceId> = self
            .cloud
            .iter()
            .filter_map(|record| match &record.item {
                CloudItem::Device(device) => device.device_id,
                CloudItem::Bad(bad) => bad.device_id,
                CloudItem::Removed { .. } => None,
            })
            .chain(
                self.directory
                    .iter()
                    .filter_map(|object| object.device_id().ok()),
            )
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    pub(crate) fn object_ids(&self) -> Vec<ObjectId> {
        self.cloud
            .iter()
            .filter_map(|record| match &record.item {
                CloudItem::Device(device) => Some(device.id),
                CloudItem::Removed { id, .. } => Some(*id),
                CloudItem::Bad(bad) => bad.id,
            })
            .collect()
    }
}
