//! The commit: one pass over the file, beside the file, and a rename.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use device_writeback_engine::error::{Error, ErrorKind};
use tempfile::NamedTempFile;

use super::LdifOptions;
use super::entry::Entry;
use super::overlay::Fate;
use super::records::Records;
use super::session::Session;
use super::view::View;

/// End of the name of a file that is being written.
const UNFINISHED: &str = ".unfinished";

/// Keeps other writers away until it is dropped.
///
/// The lock lies on a file beside the directory, which is never removed: a lock on a file that is
/// renamed away keeps nobody out.
#[derive(Debug)]
pub(super) struct WriteLock {
    _file: File,
}

impl WriteLock {
    /// Takes the lock and removes what a writer that was killed has left.
    ///
    /// # Errors
    /// Somebody else holds it, or the folder cannot be written to.
    pub(super) fn take(options: &LdifOptions) -> Result<Self, Error> {
        let path = beside(&options.path, "", ".lock");
        let fail = |message: &str, error: io::Error| {
            Error::new(
                ErrorKind::Directory,
                format!("{message} {}", path.display()),
            )
            .with_remedy("check that the folder of the directory file exists and can be written to")
            .with_source(error)
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| fail("making the folder of", error))?;
        }
        let mut open = File::options();
        open.create(true).write(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
        let file = open
            .open(&path)
            .map_err(|error| fail("opening the lock file", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(
                    ErrorKind::Directory,
                    format!(
                        "writing the directory file {}: another run is writing to it",
                        options.path.display()
                    ),
                )
                .with_remedy("wait until the other run has ended, then plan again"));
            }
            Err(TryLockError::Error(error)) => return Err(fail("locking", error)),
        }
        remove_unfinished(&options.path);
        Ok(Self { _file: file })
    }
}

/// Writes the directory anew with the writes of `session`. Either all of them last afterwards, or
/// the file is as it was.
pub(super) fn commit(view: &View, session: &Session, path: &Path) -> Result<(), Error> {
    let fail = |error: io::Error| {
        Error::new(
            ErrorKind::Directory,
            format!("writing the directory file {}", path.display()),
        )
        .with_remedy(
            "check the disk and the permissions of the folder; the file is as it was before",
        )
        .with_source(error)
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let prefix = unfinished_prefix(path);
    let mut builder = tempfile::Builder::new();
    let mut temporary = builder
        .prefix(&prefix)
        .suffix(UNFINISHED)
        .tempfile_in(folder)
        .map_err(fail)?;
    write_all(view, session, &mut temporary, &fail)?;
    if let Some(old) = view.replaced() {
        take_over_mode(old, temporary.as_file()).map_err(fail)?;
    }
    temporary.as_file().sync_all().map_err(fail)?;
    view.verify()?;
    temporary.persist(path).map_err(|error| fail(error.error))?;
    // The rename itself has to last as well. Folders cannot be opened everywhere.
    #[cfg(unix)]
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(fail)?;
    Ok(())
}

fn write_all(
    view: &View,
    session: &Session,
    temporary: &mut NamedTempFile,
    fail: &dyn Fn(io::Error) -> Error,
) -> Result<(), Error> {
    let mut out = Writer::new(temporary.as_file_mut(), session.line_end());
    let mut records = Records::new(view.open()?);
    let mut buffer = Vec::new();
    while let Some((offset, record)) = records
        .next()
        .map_err(|error| view.io_error("reading", error))?
    {
        match session.overlay().fate(offset, &mut buffer).map_err(fail)? {
            Fate::Kept => out.write(record),
            Fate::Replaced(record) => out.write(record),
            Fate::Deleted => match Entry::parse(record) {
                Ok(Some(entry)) => out.write(entry.head()),
                _ => Ok(()),
            },
        }
        .map_err(fail)?;
    }
    for number in 0..session.overlay().added_count() {
        if session.overlay().added(number, &mut buffer).map_err(fail)? {
            out.write_apart(&buffer).map_err(fail)?;
        }
    }
    out.finish().map_err(fail)
}

/// Writes, and knows whether the last line was blank.
struct Writer<'a> {
    out: BufWriter<&'a mut File>,
    line_end: &'static str,
    last: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(file: &'a mut File, line_end: &'static str) -> Self {
        Self {
            out: BufWriter::with_capacity(1 << 20, file),
            line_end,
            last: Vec::with_capacity(8),
        }
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.out.write_all(octets)?;
        let tail = octets.get(octets.len().saturating_sub(4)..);
        self.last.extend_from_slice(tail.unwrap_or_default());
        let surplus = self.last.len().saturating_sub(4);
        self.last.drain(..surplus);
        Ok(())
    }

    /// Writes a record that a blank line has to part from what was before.
    fn write_apart(&mut self, record: &[u8]) -> io::Result<()> {
        if !self.last.is_empty() && !self.last.ends_with(b"\n") {
            self.write(self.line_end.as_bytes())?;
        }
        let is_apart =
            self.last.is_empty() || self.last.ends_with(b"\n\n") || self.last.ends_with(b"\n\r\n");
        if !is_apart {
            self.write(self.line_end.as_bytes())?;
        }
        self.write(record)
    }

    fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The new file is as open to others as the old one was; a file that is made is its maker's alone.
#[cfg(unix)]
fn take_over_mode(old: &Path, new: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let (was, is) = (fs::metadata(old)?, new.metadata()?);
    if (was.uid(), was.gid()) != (is.uid(), is.gid()) {
        // Only root can give a file away. Without that right the writer owns it from now on.
        if fchown(new, Some(was.uid()), Some(was.gid())).is_err() {
            tracing::debug!(file = %old.display(), "the owner of the directory file could not be kept");
        }
    }
    new.set_permissions(was.permissions())
}

#[cfg(not(unix))]
fn take_over_mode(old: &Path, new: &File) -> io::Result<()> {
    new.set_permissions(fs::metadata(old)?.permissions())
}

fn beside(path: &Path, before: &str, after: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(before);
    name.push(path.file_name().unwrap_or_default());
    name.push(after);
    path.with_file_name(name)
}

fn unfinished_prefix(path: &Path) -> std::ffi::OsString {
    let name = beside(path, ".", ".");
    name.file_name().unwrap_or_default().to_owned()
}

/// Removes files that writers which were killed have left. Whoever calls holds the lock, so none
/// is being written.
fn remove_unfinished(path: &Path) {
    let Some(entries) = path.parent().and_then(|folder| fs::read_dir(folder).ok()) else {
        return;
    };
    let prefix = unfinished_prefix(path);
    for entry in entries.flatten() {
        let name = entry.file_name();
        let octets = name.as_encoded_bytes();
        if octets.starts_with(prefix.as_encoded_bytes()) && octets.ends_with(UNFINISHED.as_bytes())
        {
            tracing::info!(file = %entry.path().display(), "removing what a killed run has left");
            // Not being able to is no reason not to write.
            let _ = fs::remove_file(entry.path());
        }
    }
}
