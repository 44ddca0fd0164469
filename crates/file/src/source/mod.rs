//! Devices out of exported Graph JSON.

mod import;
mod input;
mod reread;
#[cfg(test)]
mod tests;
mod users;

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use device_writeback_core::graph::CloudRecord;
use device_writeback_core::plan::CloudKey;
use device_writeback_engine::error::{Error, ErrorKind};
use device_writeback_engine::ports::CloudSource;
use futures_channel::oneshot;

pub use self::import::FileImport;
use self::input::{Input, Inputs, LARGEST_FILE, OFFSET_BITS};
use self::users::Users;

/// Where an export lies, and what it is.
#[derive(Clone, Debug)]
pub struct FileSourceOptions {
    /// A file of devices (a page, an array, NDJSON of devices or of pages; compressed if the name ends in `.gz`), or a folder
    /// of such files. Of a folder every `*.json`, `*.ndjson` and `*.jsonl` counts, with or without `.gz`, in the order of their
    /// names with numbers by value. Hidden files do not count; anything else in the folder, such as `page-2.json.part` or a
    /// folder, makes the reading incomplete, since it may be a part of the export.
    pub path: PathBuf,
    /// The tenant's users with `id` and `onPremisesSecurityIdentifier`, in the same forms. Without it only owners count whose
    /// SID stands in the device's record.
    pub users: Option<PathBuf>,
    /// The export is a choice of devices or a delta answer: what is missing from it says nothing.
    pub partial: bool,
}

/// Exported Graph JSON as a source of devices.
///
/// A record's sequence number is the number of its file, from 0, shifted left by 40 bits, plus the offset of its opening
/// brace in the file's (decompressed) bytes. So later files and later places win, and a number finds its record again.
/// Files over 1 TiB are refused.
///
/// A reading is *complete* unless [`FileSourceOptions::partial`] is set; it is *incomplete* when JSON ends early or is damaged,
/// when the folder holds something besides page files, and when the last page of the last file carries an `@odata.nextLink`. An `@odata.deltaLink` says nothing either way: the
/// first delta answer holds the whole tenant, every later one must be given as partial.
///
/// The list of files and the users are read when the source is opened; files of devices are opened for each reading.
#[derive(Debug)]
pub struct FileSource {
    files: Arc<Files>,
}

#[derive(Debug)]
struct Files {
    inputs: Vec<Input>,
    /// What makes the folder more than its page files.
    stray: Option<String>,
    users: Users,
    partial: bool,
    /// Decompressed text of files, by their number, once one of their records has been asked for.
    unpacked: Mutex<HashMap<usize, File>>,
}

impl FileSource {
    /// Finds the files and reads the users. Blocks while it does.
    ///
    /// # Errors
    /// A path is missing, unreadable, or holds no export; the users cannot be read.
    pub fn open(options: FileSourceOptions) -> Result<Self, Error> {
        let Inputs {
            files: inputs,
            stray,
        } = input::inputs(&options.path, "source.path")?;
        let users = match &options.users {
            Some(path) => {
                let inputs = input::inputs(path, "source.users")?;
                if let Some(stray) = inputs.stray {
                    tracing::warn!("users may be missing: {stray}");
                }
                Users::read(&inputs.files)?
            }
            None => Users::default(),
        };
        Ok(Self {
            files: Arc::new(Files {
                inputs,
                stray,
                users,
                partial: options.partial,
                unpacked: Mutex::default(),
            }),
        })
    }
}

impl CloudSource for FileSource {
    type Import = FileImport;

    async fn import(&self) -> Result<FileImport, Error> {
        FileImport::start(&self.files)
    }

    async fn reread(&self, keys: &[CloudKey]) -> Result<Vec<CloudRecord>, Error> {
        let (sender, receiver) = oneshot::channel();
        let files = Arc::clone(&self.files);
        let keys = keys.to_vec();
        import::spawn("reread-devices", move || {
            // Nobody waits any more if this fails.
            let _ = sender.send(reread::reread(&files, &keys));
        })?;
        receiver.await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Internal,
                "reading devices again: the reading thread ended early",
            ))
        })
    }

    fn locate(&self, sequence: u64) -> String {
        let (index, offset) = place(sequence);
        match self.files.inputs.get(index) {
            Some(input) if input.gzip => {
                format!("{}, byte {offset} when unpacked", input.name())
            }
            Some(input) => format!("{}, byte {offset}", input.name()),
            None => format!("record {sequence}, of no file of this source"),
        }
    }
}

fn sequence(index: usize, offset: u64) -> u64 {
    (index as u64) << OFFSET_BITS | offset
}

fn place(sequence: u64) -> (usize, u64) {
    (
        usize::try_from(sequence >> OFFSET_BITS).unwrap_or(usize::MAX),
        sequence & (LARGEST_FILE - 1),
    )
}
