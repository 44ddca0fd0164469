//! One device: both sides, what the rules say, and where every value comes from.

use device_writeback_core::attributes::same_meaning;
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::dn::Dn;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::graph::{BadRecord, CloudDevice, CloudItem, Removal};
use device_writeback_core::guid::{DeviceId, ObjectGuid, ObjectId};
use device_writeback_core::plan::{Action, Change, Completeness, Listed, Spool, meaning};
use device_writeback_core::rules::{DesiredDevice, Reason, Rules, Verdict};
use device_writeback_core::schema::{Attribute, Equality};
use serde::Serialize;

use crate::control::Control;
use crate::driver::{Engine, plan_error};
use crate::error::{Error, ErrorKind};
use crate::ports::{CloudSource, Directory, StateStore};
use crate::watch::Watch;

/// `format_version` of the explanation document.
pub const EXPLANATION_FORMAT_VERSION: u32 = 1;

/// Everything about one device.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Version of this document.
    pub format_version: u32,
    /// The device ids that the question turned up; more than one when a name is shared.
    pub device_ids: Vec<DeviceId>,
    /// The records of the source, in order.
    pub cloud: Vec<CloudSide>,
    /// The objects of the directory.
    pub directory: Vec<DirectorySide>,
    /// What the plan does.
    pub changes: Vec<ChangeSide>,
    /// What the plan says without a change.
    pub listed: Vec<ListedSide>,
    /// The end of it in a sentence.
    pub conclusion: String,
}

/// A record of the source.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CloudSide {
    /// Where it stands.
    pub location: String,
    /// The object id.
    pub object_id: Option<ObjectId>,
    /// The device id.
    pub device_id: Option<DeviceId>,
    /// The display name.
    pub display_name: Option<String>,
    /// What the rules say: `in_scope`, `out_of_scope`, `unusable`, `stale`, `soft_deleted`, `removed`, `bad_record`.
    pub verdict: &'static str,
    /// The code behind it, where there is one.
    pub code: Option<&'static str>,
    /// The verdict in a sentence.
    pub sentence: String,
    /// What each attribute should be; only in scope.
    pub attributes: Vec<AttributeSide>,
}

/// An attribute and where its value comes from.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AttributeSide {
    /// The LDAP name.
    pub name: &'static str,
    /// The Graph property behind it.
    pub graph: &'static str,
    /// What the cloud wants; `None` when it has no say and the directory's value stays.
    pub wanted: Option<Vec<String>>,
    /// What the directory has.
    pub current: Vec<String>,
    /// `same`, `differs`, `kept` or `absent` (no object to compare with).
    pub state: &'static str,
    /// Why a value is not written, or why the directory's stays.
    pub notice: Option<&'static str>,
}

/// An object of the directory.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DirectorySide {
    /// The name.
    pub dn: Dn,
    /// The `objectGUID`.
    pub object_guid: Option<ObjectGuid>,
    /// Whether it carries the mark of a writeback.
    pub ours: bool,
    /// The cloud object that the mark names.
    pub anchor: Option<ObjectId>,
    /// Its values, with the LDAP names.
    pub values: Vec<(String, String)>,
}

/// A change of the plan.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ChangeSide {
    /// What is done.
    pub action: Action,
    /// Why.
    pub code: Reason,
    /// Why, in a sentence.
    pub sentence: &'static str,
    /// The change as the plan has it.
    pub change: Change,
}

/// An entry of the plan without a change.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ListedSide {
    /// Why.
    pub code: Reason,
    /// Why, in a sentence.
    pub sentence: String,
}

impl<S: CloudSource, D: Directory, T: StateStore> Engine<S, D, T> {
    /// Explains what happens to a device, named by its device id, object id, or display name.
    ///
    /// # Errors
    /// As [`Engine::plan`]; [`ErrorKind::Data`] when neither side knows the device.
    pub async fn explain(
        &self,
        device: &str,
        spool: Box<dyn Spool>,
        control: &Control,
    ) -> Result<Explanation, Error> {
        let mut watch = Watch::for_device(device);
        let planned = self.plan_watching(spool, control, &mut watch).await?;
        if watch.cloud.is_empty() && watch.directory.is_empty() {
            return Err(Error::new(
                ErrorKind::Data,
                format!(
                    "neither the source nor the directory has a device \"{}\"",
                    device.escape_debug()
                ),
            )
            .with_remedy("give a device id, an object id, or the whole display name"));
        }
        let (devices, objects) = (watch.device_ids(), watch.object_ids());
        let mut changes = Vec::new();
        for change in planned.plan.changes() {
            let change = change.map_err(plan_error)?;
            if devices.contains(&change.device_id) {
                changes.push(ChangeSide {
                    action: change.action,
                    code: change.reason,
                    sentence: change.reason.sentence(),
                    change,
                });
            }
        }
        let plan = &planned.plan;
        let listed: Vec<ListedSide> = plan
            .skipped()
            .iter()
            .chain(plan.held())
            .chain(plan.conflicts())
            .filter(|listed| concerns(listed, &devices, &objects))
            .map(|listed| ListedSide {
                code: listed.code,
                sentence: listed.message(),
            })
            .collect();
        let chosen = *plan.source_completeness() == Completeness::Partial;
        let conclusion = conclude(&changes, &listed, &watch, chosen);
        let mut judged = watch.judged.iter();
        let cloud = watch
            .cloud
            .iter()
            .map(|record| {
                let location = self.source.locate(record.sequence);
                match &record.item {
                    CloudItem::Device(device) => {
                        let (verdict, desired) = judged
                            .next()
                            .map_or((Verdict::SoftDeleted, None), |(verdict, desired)| {
                                (*verdict, desired.as_ref())
                            });
                        device_side(
                            location,
                            device,
                            verdict,
                            desired,
                            &watch.directory,
                            &self.options.rules,
                        )
                    }
                    CloudItem::Removed { id, reason } => removed_side(location, *id, *reason),
                    CloudItem::Bad(bad) => bad_side(location, bad),
                }
            })
            .collect();
        Ok(Explanation {
            format_version: EXPLANATION_FORMAT_VERSION,
            device_ids: devices,
            cloud,
            directory: watch.directory.iter().map(directory_side).collect(),
            changes,
            listed,
            conclusion,
        })
    }
}

fn concerns(listed: &Listed, devices: &[DeviceId], objects: &[ObjectId]) -> bool {
    match (listed.device_id, listed.object_id) {
        (Some(device), _) => devices.contains(&device),
        (None, Some(object)) => objects.contains(&object),
        (None, None) => false,
    }
}

/// `chosen`: the source has chosen devices only.
fn conclude(changes: &[ChangeSide], listed: &[ListedSide], watch: &Watch, chosen: bool) -> String {
    let mut sentences: Vec<String> = changes
        .iter()
        .map(|change| format!("{}: {}", change.action, change.sentence))
        .collect();
    sentences.extend(
        listed
            .iter()
            .map(|listed| format!("{}: {}", listed.code, listed.sentence)),
    );
    if !sentences.is_empty() {
        return sentences.join("; ");
    }
    match (watch.cloud.is_empty(), watch.directory.as_slice()) {
        (_, []) => "there is no object for it and none is to be made".into(),
        (true, [object]) if !object.is_marked() => {
            "the object is not ours: it is never changed or deleted".into()
        }
        (true, _) if chosen => {
            "the source has chosen devices only and this is none of them: nothing to do".into()
        }
        _ => "the object is as it should be: nothing to do".into(),
    }
}

fn device_side(
    location: String,
    device: &CloudDevice,
    verdict: Verdict,
    desired: Option<&DesiredDevice>,
    objects: &[DirectoryObject],
    rules: &Rules,
) -> CloudSide {
    let (name, code, sentence) = match verdict {
        Verdict::InScope => ("in_scope", None, "the rules want it written".to_owned()),
        Verdict::OutOfScope(reason) => (
            "out_of_scope",
            Some(reason.code()),
            reason.sentence().to_owned(),
        ),
        Verdict::Unusable(reason) => (
            "unusable",
            Some(reason.code()),
            reason.sentence().to_owned(),
        ),
        Verdict::Stale => (
            "stale",
            Some(Reason::Stale.code()),
            Reason::Stale.sentence().to_owned(),
        ),
        Verdict::SoftDeleted => (
            "soft_deleted",
            Some(Reason::SoftDeleted.code()),
            Reason::SoftDeleted.sentence().to_owned(),
        ),
    };
    let object = objects
        .iter()
        .find(|object| object.device_id().ok() == device.device_id);
    CloudSide {
        location,
        object_id: Some(device.id),
        device_id: device.device_id,
        display_name: device.display_name.value().map(|name| name.to_string()),
        verdict: name,
        code,
        sentence,
        attributes: desired
            .map_or_else(Vec::new, |desired| attribute_sides(desired, object, rules)),
    }
}

fn attribute_sides(
    desired: &DesiredDevice,
    object: Option<&DirectoryObject>,
    rules: &Rules,
) -> Vec<AttributeSide> {
    Attribute::ALL
        .iter()
        .copied()
        .filter(|attribute| !attribute.schema().graph.is_empty())
        .map(|attribute| {
            let known = desired.known.contains(attribute);
            let wanted = || desired.values.values(attribute);
            let mut remark = None;
            let state = match object {
                None => "absent",
                Some(_) if !known => "kept",
                Some(object)
                    if same_meaning(attribute, wanted(), object.values.values(attribute)) =>
                {
                    "same"
                }
                Some(object) if attribute.schema().equality == Equality::Raised => {
                    remark = not_raised(
                        wanted().next(),
                        object.values.first(attribute),
                        rules.last_logon_min_days,
                    );
                    if remark.is_some() { "kept" } else { "differs" }
                }
                Some(_) => "differs",
            };
            AttributeSide {
                name: attribute.name(),
                graph: attribute.schema().graph,
                wanted: known.then(|| wanted().map(|value| show(attribute, value)).collect()),
                current: object.map_or_else(Vec::new, |object| {
                    object
                        .values
                        .values(attribute)
                        .map(|value| show(attribute, value))
                        .collect()
                }),
                state,
                notice: desired
                    .notices
                    .iter()
                    .find(|notice| notice.attribute == attribute)
                    .map(|notice| notice.reason.sentence())
                    .or(remark),
            }
        })
        .collect()
}

/// Why a time stamp that is only ever raised stays as it is; `None` when it is raised.
fn not_raised(wanted: Option<&[u8]>, current: Option<&[u8]>, days: u32) -> Option<&'static str> {
    let time = |value: Option<&[u8]>| FileTime::parse_ticks(value?).ok();
    let (wanted, current) = (time(wanted)?, time(current)?);
    if wanted <= current {
        Some("it is only ever raised, and the directory's is later (AD FS refreshes it itself)")
    } else if wanted < current.plus_days(i64::from(days)) {
        Some("it is raised only when it is later by rules.last_logon_min_days")
    } else {
        None
    }
}

fn show(attribute: Attribute, value: &[u8]) -> String {
    meaning(attribute, value).unwrap_or_else(|| String::from_utf8_lossy(value).into_owned())
}

fn removed_side(location: String, id: ObjectId, reason: Removal) -> CloudSide {
    let reason = match reason {
        Removal::Changed => Reason::SoftDeleted,
        Removal::Deleted => Reason::GoneRemoved,
    };
    CloudSide {
        location,
        object_id: Some(id),
        device_id: None,
        display_name: None,
        verdict: "removed",
        code: Some(reason.code()),
        sentence: reason.sentence().to_owned(),
        attributes: Vec::new(),
    }
}

fn bad_side(location: String, bad: &BadRecord) -> CloudSide {
    CloudSide {
        location,
        object_id: bad.id,
        device_id: bad.device_id,
        display_name: None,
        verdict: "bad_record",
        code: Some(Reason::BadRecordUnwritten.code()),
        sentence: bad.detail.clone(),
        attributes: Vec::new(),
    }
}

fn directory_side(object: &DirectoryObject) -> DirectorySide {
    DirectorySide {
        dn: object.dn.clone(),
        object_guid: object.guid,
        ours: object.is_marked(),
        anchor: object.anchor(),
        values: object
            .values
            .iter()
            .map(|(attribute, value)| (attribute.name().to_owned(), show(attribute, value)))
            .collect(),
    }
}
