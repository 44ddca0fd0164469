//! Where changes go as they are decided, and the index that puts them in order.

use super::PlanError;
use super::change::{Action, Change};
use super::spool::Spool;
use crate::guid::DeviceId;
use crate::rules::Reason;

/// Where a change lies in the spool. Sorting by this is the plan's order: by action, then by device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IndexEntry {
    pub(super) action: Action,
    pub(super) device: DeviceId,
    pub(super) reason: Reason,
    pub(super) retirement: bool,
    pub(super) offset: u64,
    pub(super) length: u32,
}

/// Appends changes to a spool.
pub(super) struct ChangeWriter {
    spool: Box<dyn Spool>,
    index: Vec<IndexEntry>,
    buffer: Vec<u8>,
}

impl ChangeWriter {
    pub(super) fn new(spool: Box<dyn Spool>) -> Self {
        Self {
            spool,
            index: Vec::new(),
            buffer: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, change: &Change) -> Result<(), PlanError> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, change)
            .map_err(|error| PlanError::Spool(std::io::Error::other(error)))?;
        let length = u32::try_from(self.buffer.len()).map_err(|_| {
            PlanError::Spool(std::io::Error::other("a change is larger than 4 GiB"))
        })?;
        let offset = self.spool.append(&self.buffer)?;
        self.index.push(IndexEntry {
            action: change.action,
            device: change.device_id,
            reason: change.reason,
            retirement: change.is_retirement(),
            offset,
            length,
        });
        Ok(())
    }

    pub(super) fn into_parts(mut self) -> (Box<dyn Spool>, Vec<IndexEntry>) {
        self.index.sort_unstable();
        (self.spool, self.index)
    }
}
