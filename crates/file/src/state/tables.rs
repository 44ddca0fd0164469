//! The tables of the state file.

use device_writeback_core::guid::DeviceId;
use redb::TableDefinition;

/// Format, owner and counters; numbers are little-endian.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Devices that the source has named alive, by first byte of the device id; see [`super::known`].
pub(super) const KNOWN: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("known");
/// Since when an object has been disabled, as a FILETIME.
pub(super) const DISABLED: TableDefinition<'_, &[u8; 16], i64> = TableDefinition::new("disabled");
/// When a device was last retired, as a FILETIME.
pub(super) const RETIRED: TableDefinition<'_, &[u8; 16], i64> = TableDefinition::new("retired");
/// Runs that wrote, as JSON.
pub(super) const RUNS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("runs");
/// Changes before they were sent, by run and place in the plan, as JSON.
pub(super) const JOURNAL: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("journal");
/// What became of them, as JSON.
pub(super) const OUTCOMES: TableDefinition<'_, (u64, u64), &[u8]> =
    TableDefinition::new("outcomes");
/// Digests of plans for which a permission to exceed the limits was used, and when.
pub(super) const OVERRIDES: TableDefinition<'_, &[u8; 32], i64> = TableDefinition::new("overrides");

/// The key of a device: its id in text order.
pub(super) fn key_of(device: DeviceId) -> [u8; 16] {
    device.guid().to_bytes()
}
