//! From two sides to a plan, and from a plan to permission to apply it.
//!
//! ```text
//! pages of both sides -> Planner::cloud / Planner::directory   (any order, any number)
//! end of both sides   -> end_cloud / end_directory
//! loop: unresolved()  -> answer_provenance / resolve_cloud / resolve_directory / resolve_vanished, until it is empty
//! finish()            -> Plan -> approve(limits) -> ApprovedPlan
//! ```
//!
//! Per device the planner keeps ids, flags and a digest of the managed attributes. Where digests differ it asks for the full
//! records of just those devices, so that memory follows the number of changes in a batch and not the size of the tenant.

mod change;
mod digest;
mod document;
mod entry;
mod join;
mod limits;
mod planner;
mod resolve;
mod spool;
mod verify;
mod writer;

pub use change::{Action, AttributeChange, Change, Octets, meaning};
pub use document::{Completeness, FORMAT_VERSION, Identity, Listed, Plan, Summary};
pub use limits::{ApprovedPlan, History, Limits, Override, Refusal, RefusalCode};
pub use planner::{Planner, Setup};
pub use spool::{MemorySpool, Spool};
pub use verify::{Expected, VerifyError};

pub(crate) use document::hex;

use crate::filetime::FileTime;
use crate::guid::{DeviceId, ObjectGuid, ObjectId};

/// Why a plan could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The planner was asked for something that its state does not allow yet.
    #[error("the plan cannot be finished: {0}")]
    Unfinished(&'static str),
    /// The spool failed.
    #[error("the spool that holds the plan's changes failed")]
    Spool(#[from] std::io::Error),
    /// A plan document is not what it should be.
    #[error("the plan document cannot be read: {0}")]
    Document(String),
}

impl PlanError {
    /// The JSON reader repeats what it found: its text is kept to one line, without control characters.
    fn document(error: &serde_json::Error) -> Self {
        let mut text = String::new();
        for character in error.to_string().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        Self::Document(text)
    }
}

/// What the planner needs before it can go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unresolved {
    /// Objects that look orphaned: has the source ever known these devices, and since when are they disabled?
    pub provenance: Vec<DeviceId>,
    /// Cloud records to be read again.
    pub cloud: Vec<CloudKey>,
    /// Directory objects to be read again.
    pub directory: Vec<DirectoryKey>,
}

impl Unresolved {
    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.provenance.is_empty() && self.cloud.is_empty() && self.directory.is_empty()
    }
}

/// Names a cloud record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloudKey {
    /// The device.
    pub device_id: DeviceId,
    /// The object id.
    pub object_id: ObjectId,
    /// The record's sequence number; a file source finds the record by it.
    pub sequence: u64,
}

/// Names a directory object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryKey {
    /// The device.
    pub device_id: DeviceId,
    /// The `objectGUID`, if the directory gave one.
    pub object_guid: Option<ObjectGuid>,
    /// The object's sequence number; a file-based directory finds the object by it.
    pub sequence: u64,
}

/// What the state knows of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The source has named this device in an earlier run.
    pub known: bool,
    /// Since when its object has been disabled by a retirement.
    pub disabled_since: Option<FileTime>,
}
