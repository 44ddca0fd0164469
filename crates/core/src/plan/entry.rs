//! What a million records leave behind while they stream past, and what the join makes of it.

use crate::guid::{DeviceId, Guid, ObjectId};
use crate::rules::Reason;

/// What the cloud says about a device, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloudKind {
    InScope,
    OutOfScope,
    Unusable,
    Stale,
    SoftDeleted,
    Bad,
    /// Another record of the same object came later.
    Superseded,
}

/// A flag that may not be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Unknown,
    No,
    Yes,
}

impl From<Option<bool>> for Known {
    fn from(value: Option<bool>) -> Self {
        match value {
            None => Self::Unknown,
            Some(false) => Self::No,
            Some(true) => Self::Yes,
        }
    }
}

/// 64 bytes for a cloud record.
#[derive(Clone, Copy, Debug)]
pub(super) struct CloudEntry {
    pub(super) device: DeviceId,
    pub(super) object: ObjectId,
    pub(super) digest: [u64; 2],
    pub(super) sequence: u64,
    /// Seconds since 1970, 0 for none.
    pub(super) last_logon: u32,
    pub(super) kind: CloudKind,
    pub(super) reason: Reason,
    pub(super) enabled: Known,
    /// The digest is not over the whole mask: only the full record tells.
    pub(super) deviates: bool,
}

/// 80 bytes for a directory object.
#[derive(Clone, Copy, Debug)]
pub(super) struct DirectoryEntry {
    pub(super) device: DeviceId,
    pub(super) guid: Guid,
    pub(super) anchor: ObjectId,
    pub(super) digest: [u64; 2],
    pub(super) sequence: u64,
    pub(super) last_logon: u32,
    pub(super) enabled: Known,
    pub(super) ours: bool,
    pub(super) has_key: bool,
    /// The name is that of a replication conflict.
    pub(super) conflict_name: bool,
}

/// What an event on an object id says: a record that names no device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Deleted,
    SoftDeleted,
    Bad,
    /// Alive without a valid device id; the flag is its `accountEnabled`.
    Nameless(Known),
}

/// What is to be done about a device, before its full records are at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// No object yet.
    Create,
    /// Both sides exist and may differ.
    Compare,
    /// An object that is not ours becomes ours.
    Adopt,
    /// Only the enabled flag follows the cloud.
    Enabled(bool),
    /// Retire by disabling.
    Disable,
    /// Retire by deleting.
    Delete,
}

/// A device that needs its full records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) device: DeviceId,
    pub(super) task: Task,
    pub(super) reason: Reason,
    /// Sequence number and object id of the cloud record.
    pub(super) cloud: Option<(u64, ObjectId)>,
    /// Sequence number and GUID of the directory object.
    pub(super) directory: Option<(u64, Guid)>,
}

/// Something listed in the plan without a change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remark {
    pub(super) device: DeviceId,
    pub(super) object: Option<ObjectId>,
    pub(super) reason: Reason,
    /// The cloud record it is about.
    pub(super) cloud: Option<u64>,
    /// The directory object it is about.
    pub(super) directory: Option<u64>,
}

/// An object of ours without a live device in scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) entry: DirectoryEntry,
    pub(super) reason: Reason,
    /// Whether the source itself named the device in this run.
    pub(super) named: bool,
    /// Whether the live device is disabled in the cloud.
    pub(super) disabled_in_cloud: bool,
}

/// An alternative id that a record or an object has: 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct AltId {
    /// Hash of the alternative id.
    pub(super) hash: u64,
    /// Place of the entry in its list, before [`join`] sorts it.
    pub(super) place: u32,
    /// The entry is one of the directory's.
    pub(super) directory: bool,
}

/// What it means that a device is not in the cloud import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// The import was of chosen devices only.
    MeansNothing,
    /// Everything was read, but some record does not say whose it is.
    Unproven,
    /// A part was not read: even a removal may be answered by a record that nobody saw.
    Unread,
    /// The device is gone.
    Proves,
}
