//! The JSON that runs, journal entries and outcomes are kept as.

use device_writeback_core::apply::{Operation, Target};
use device_writeback_core::dn::Dn;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::guid::{DeviceId, ObjectGuid};
use device_writeback_core::plan::{Action, AttributeChange, Octets};
use device_writeback_core::rules::Reason;
use device_writeback_engine::ports::{JournalEntry, JournalOutcome, RunStart};
use serde::{Deserialize, Serialize};

/// A run that wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its number, from 1.
    pub run: u64,
    /// When it began.
    pub time: FileTime,
    /// SHA-256 of the plan, in hexadecimal.
    pub plan_digest: String,
}

impl RunRecord {
    pub(super) fn new(run: u64, start: &RunStart) -> Self {
        let plan_digest = start
            .plan_digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            run,
            time: start.time,
            plan_digest,
        }
    }
}

/// A change as it stood before its operations were sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// The device.
    pub device_id: DeviceId,
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The object's name.
    pub dn: Dn,
    /// The object's `objectGUID`.
    pub object_guid: Option<ObjectGuid>,
    /// The values before, of every attribute that is written or lost; the new values are in the operations.
    pub before: Vec<AttributeChange>,
    /// The operations as they are sent.
    pub operations: serde_json::Value,
}

/// A [`JournalRecord`] as it is written: nothing is copied first.
#[derive(Serialize)]
struct JournalText<'a> {
    device_id: DeviceId,
    action: Action,
    reason: Reason,
    dn: &'a Dn,
    object_guid: Option<ObjectGuid>,
    before: Vec<AttributeChange>,
    operations: &'a [Operation],
}

/// The JSON of a [`JournalRecord`].
pub(super) fn journal_text(entry: &JournalEntry) -> Result<Vec<u8>, redb::Error> {
    let Target { dn, guid } = &entry.target;
    let before = |(attribute, old): &(_, Vec<Octets>)| AttributeChange {
        attribute: *attribute,
        old: old.clone(),
        new: Vec::new(),
    };
    text(&JournalText {
        device_id: entry.device_id,
        action: entry.action,
        reason: entry.reason,
        dn,
        object_guid: *guid,
        before: entry.before.iter().map(before).collect(),
        operations: &entry.operations,
    })
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeRecord {
    /// `done`, `stale`, `retry` or `failed`.
    pub verdict: String,
    /// The LDAP result and what was found.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl OutcomeRecord {
    pub(super) fn new(outcome: &JournalOutcome) -> Self {
        Self {
            verdict: outcome.verdict.as_str().to_owned(),
            message: outcome.message.clone(),
        }
    }
}

pub(super) fn text<T: Serialize>(value: &T) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(value).map_err(|error| redb::Error::Corrupted(error.to_string()))
}

pub(super) fn parse<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, redb::Error> {
    serde_json::from_slice(bytes).map_err(|error| redb::Error::Corrupted(error.to_string()))
}
