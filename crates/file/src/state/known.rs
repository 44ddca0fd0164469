//! Which devices the source has ever named alive.
//!
//! 256 values, one per first byte of the device id, each a sorted run of 32-byte entries (device id, object id, both in text
//! order): a million devices are 32 MB in 256 pieces, and a piece is rewritten only when something in it is new.

use device_writeback_core::guid::{DeviceId, ObjectId};
use redb::ReadableTable;

const ENTRY: usize = 32;

/// The shard of a device.
pub(super) fn shard_of(device: DeviceId) -> u8 {
    let [first, ..] = device.guid().to_bytes();
    first
}

/// Whether a shard has the device.
pub(super) fn contains(shard: &[u8], device: DeviceId) -> bool {
    let wanted = device.guid().to_bytes();
    let (entries, _) = shard.as_chunks::<ENTRY>();
    entries
        .binary_search_by(|entry| entry.split_at(16).0.cmp(wanted.as_slice()))
        .is_ok()
}

/// The shards that change when `known`, sorted by device id, is added to what is remembered.
pub(super) fn changed_shards(
    table: &impl ReadableTable<u8, &'static [u8]>,
    known: &[(DeviceId, ObjectId)],
) -> Result<Vec<(u8, Vec<u8>)>, redb::Error> {
    let mut changed = Vec::new();
    for chunk in known.chunk_by(|left, right| shard_of(left.0) == shard_of(right.0)) {
        let Some((first, _)) = chunk.first() else {
            continue;
        };
        let shard = shard_of(*first);
        let old = table.get(shard)?;
        let old = old.as_ref().map_or(&[][..], |value| value.value());
        let new = merge(old, chunk);
        if new != old {
            changed.push((shard, new));
        }
    }
    Ok(changed)
}

/// Both in order; a device that is named again has its newer object id.
fn merge(old: &[u8], known: &[(DeviceId, ObjectId)]) -> Vec<u8> {
    let (entries, _) = old.as_chunks::<ENTRY>();
    let mut merged = Vec::with_capacity(old.len().max(known.len() * ENTRY));
    let mut remembered = entries.iter().peekable();
    for (position, (device, object)) in known.iter().enumerate() {
        if known
            .get(position + 1)
            .is_some_and(|(next, _)| next == device)
        {
            continue;
        }
        let key = device.guid().to_bytes();
        while let Some(entry) = remembered.next_if(|entry| entry.split_at(16).0 < key.as_slice()) {
            merged.extend_from_slice(entry);
        }
        remembered.next_if(|entry| entry.split_at(16).0 == key.as_slice());
        merged.extend_from_slice(&key);
        merged.extend_from_slice(&object.guid().to_bytes());
    }
    for entry in remembered {
        merged.extend_from_slice(entry);
    }
    merged
}
