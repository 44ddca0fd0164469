//! Reading chosen records again, by their offsets.

use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::PoisonError;

use device_writeback_core::graph::{CloudItem, CloudRecord, parse_device};
use device_writeback_core::plan::CloudKey;
use device_writeback_engine::error::{Error, ErrorKind};

use super::input::Input;
use super::{Files, place};

/// Bytes that are read at first: a few records, since the wanted ones are seldom neighbours.
const WINDOW: u64 = 8 << 10;

/// No record is larger; the first reading has refused it.
const LARGEST_WINDOW: u64 = 32 << 20;

/// The records that are still where they were, in the order of their places.
pub(super) fn reread(files: &Files, keys: &[CloudKey]) -> Result<Vec<CloudRecord>, Error> {
    let mut keys: Vec<&CloudKey> = keys.iter().collect();
    keys.sort_by_key(|key| key.sequence);
    let mut records = Vec::with_capacity(keys.len());
    for keys in keys.chunk_by(|a, b| place(a.sequence).0 == place(b.sequence).0) {
        let Some(index) = keys.first().map(|key| place(key.sequence).0) else {
            continue;
        };
        let Some(input) = files.inputs.get(index) else {
            continue;
        };
        let failure = |cause| input.failure(cause);
        if input.gzip {
            // One re-reading at a time: the position in the file is shared.
            let mut unpacked = files
                .unpacked
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let file = match unpacked.entry(index) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(unpack(input)?),
            };
            read(files, file, keys, &mut records).map_err(failure)?;
        } else {
            read(files, &mut input.file()?, keys, &mut records).map_err(failure)?;
        }
    }
    Ok(records)
}

/// There are no offsets into compressed data: its text goes to an unnamed temporary file, once.
fn unpack(input: &Input) -> Result<File, Error> {
    let failure = |cause: io::Error| {
        Error::new(
            ErrorKind::Source,
            format!("unpacking {} to a temporary file failed", input.name()),
        )
        .with_remedy(
            "make room for the temporary files (TMPDIR), or give source.path unpacked files",
        )
        .with_source(cause)
    };
    let mut file = tempfile::tempfile().map_err(failure)?;
    io::copy(&mut input.open()?, &mut file).map_err(failure)?;
    Ok(file)
}

fn read(
    files: &Files,
    file: &mut File,
    keys: &[&CloudKey],
    records: &mut Vec<CloudRecord>,
) -> io::Result<()> {
    let mut window = Window {
        file,
        start: 0,
        text: String::new(),
        at_end: false,
    };
    for key in keys {
        let (_, offset) = place(key.sequence);
        // The file may be another by now: only what is still the same object is an answer.
        if let Some(mut item) = window.record(offset)?
            && is_object(&item, key)
        {
            files.users.complete(&mut item);
            records.push(CloudRecord {
                sequence: key.sequence,
                item,
            });
        }
    }
    Ok(())
}

fn is_object(item: &CloudItem, key: &CloudKey) -> bool {
    match item {
        CloudItem::Device(device) => device.id == key.object_id,
        CloudItem::Removed { id, .. } => *id == key.object_id,
        CloudItem::Bad(bad) => bad.id == Some(key.object_id),
    }
}

/// A part of a file.
struct Window<'a> {
    file: &'a mut File,
    start: u64,
    text: String,
    /// The part reaches to the end of the file.
    at_end: bool,
}

impl Window<'_> {
    /// The record at `offset`, if there is one.
    fn record(&mut self, offset: u64) -> io::Result<Option<CloudItem>> {
        if let Some(text) = self.from(offset)
            && let Ok((item, _)) = parse_device(text)
        {
            return Ok(Some(item));
        }
        let mut size = WINDOW;
        loop {
            self.load(offset, size)?;
            match parse_device(&self.text) {
                Ok((item, _)) => return Ok(Some(item)),
                Err(error) if error.is_eof() && !self.at_end && size < LARGEST_WINDOW => size *= 2,
                Err(_) => return Ok(None),
            }
        }
    }

    fn from(&self, offset: u64) -> Option<&str> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.text.get(at..).filter(|text| !text.is_empty())
    }

    fn load(&mut self, offset: u64, size: u64) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.clear();
        self.start = offset;
        self.file.seek(SeekFrom::Start(offset))?;
        let read = (&mut *self.file).take(size).read_to_end(&mut bytes)?;
        self.at_end = (read as u64) < size;
        self.text = String::from_utf8(bytes).unwrap_or_else(|error| {
            // The last character may be cut; what is no text at all ends the part as well.
            let valid = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            bytes.truncate(valid);
            String::from_utf8(bytes).unwrap_or_default()
        });
        Ok(())
    }
}
