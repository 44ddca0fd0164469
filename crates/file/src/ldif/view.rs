//! What is read: the file, the seed in its place, or an empty prepared domain; and whether it is
//! still what was read.

use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use device_writeback_core::ldif::LdifError;
use device_writeback_engine::error::{Error, ErrorKind};

use super::{LdifOptions, domain};

/// A directory as it stood at one moment.
#[derive(Clone, Debug)]
pub(super) struct View {
    path: PathBuf,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Origin {
    File(Stamp),
    Seed(PathBuf, Stamp),
    Prepared(Arc<[u8]>),
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    identity: (u64, u64),
}

impl Stamp {
    fn new(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            identity: identity(metadata),
        }
    }
}

/// Device and inode: a file that was written anew and renamed is another one.
#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// The content of a view, opened.
#[derive(Debug)]
pub(super) enum Handle {
    File(File),
    Memory(Cursor<Arc<[u8]>>),
}

impl Read for Handle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Memory(memory) => memory.read(buffer),
        }
    }
}

impl Seek for Handle {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Memory(memory) => memory.seek(to),
        }
    }
}

impl View {
    /// Looks at what is there now.
    pub(super) fn take(options: &LdifOptions) -> Result<Self, Error> {
        let path = options.path.clone();
        let origin = if let Some(stamp) = stamp(&path)? {
            Origin::File(stamp)
        } else if let Some(seed) = &options.seed {
            let stamp = stamp(seed)?.ok_or_else(|| {
                Error::new(
                    ErrorKind::Config,
                    format!(
                        "reading the directory: there is neither {} nor its seed {}",
                        path.display(),
                        seed.display()
                    ),
                )
                .with_remedy("correct the path of the seed, or leave it out to begin with an empty prepared domain")
            })?;
            Origin::Seed(seed.clone(), stamp)
        } else {
            Origin::Prepared(domain::prepared(options)?.into())
        };
        Ok(Self { path, origin })
    }

    /// Opens the content.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when it is no longer what this view saw.
    pub(super) fn open(&self) -> Result<Handle, Error> {
        self.verify()?;
        let (path, seen) = match &self.origin {
            Origin::File(stamp) => (&self.path, stamp),
            Origin::Seed(path, stamp) => (path, stamp),
            Origin::Prepared(content) => {
                return Ok(Handle::Memory(Cursor::new(Arc::clone(content))));
            }
        };
        let file = File::open(path).map_err(|error| self.io_error("opening", error))?;
        let metadata = file
            .metadata()
            .map_err(|error| self.io_error("opening", error))?;
        if Stamp::new(&metadata) != *seen {
            return Err(self.stale());
        }
        Ok(Handle::File(file))
    }

    /// Checks that the content is still what this view saw.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when it is not.
    pub(super) fn verify(&self) -> Result<(), Error> {
        let is_same = match &self.origin {
            Origin::File(seen) => stamp(&self.path)?.as_ref() == Some(seen),
            Origin::Seed(seed, seen) => {
                stamp(&self.path)?.is_none() && stamp(seed)?.as_ref() == Some(seen)
            }
            Origin::Prepared(_) => stamp(&self.path)?.is_none(),
        };
        if is_same { Ok(()) } else { Err(self.stale()) }
    }

    /// The file that the next commit replaces; `None` when it makes one.
    pub(super) fn replaced(&self) -> Option<&Path> {
        matches!(self.origin, Origin::File(_)).then_some(&*self.path)
    }

    /// What is read, for messages.
    pub(super) fn name(&self) -> String {
        match &self.origin {
            Origin::File(_) => self.path.display().to_string(),
            Origin::Seed(seed, _) => seed.display().to_string(),
            Origin::Prepared(_) => format!("{} (not there yet)", self.path.display()),
        }
    }

    /// A failure of the medium.
    pub(super) fn io_error(&self, doing: &str, error: io::Error) -> Error {
        Error::new(
            ErrorKind::Directory,
            format!("{doing} the directory file {}", self.name()),
        )
        .with_remedy("check the file, its permissions and the disk")
        .with_source(error)
    }

    /// The record at `offset` is not what a directory can hold.
    pub(super) fn record_error(&self, offset: u64, error: &LdifError) -> Error {
        let place = match self.line(offset) {
            Ok(line) => format!("line {}", line + error.line as u64 - 1),
            Err(_) => format!("record at byte {offset}"),
        };
        Error::new(
            ErrorKind::Directory,
            format!(
                "reading the directory file {}, {place}: {}",
                self.name(),
                error.message
            ),
        )
        .with_remedy("correct the file at that line; it holds objects with their attributes, one record each")
    }

    /// The number of the line that begins at `offset`, from 1.
    pub(super) fn line(&self, offset: u64) -> Result<u64, Error> {
        let mut input = self.open()?.take(offset);
        let mut buffer = vec![0; 1 << 16];
        let mut line = 1;
        loop {
            let read = input
                .read(&mut buffer)
                .map_err(|error| self.io_error("reading", error))?;
            if read == 0 {
                return Ok(line);
            }
            let part = buffer.get(..read).unwrap_or_default();
            line += part.iter().filter(|octet| **octet == b'\n').count() as u64;
        }
    }

    fn stale(&self) -> Error {
        Error::new(
            ErrorKind::Stale,
            format!(
                "the directory file {} changed since it was read",
                self.path.display()
            ),
        )
        .with_remedy("plan again; nothing was written")
    }
}

fn stamp(path: &Path) -> Result<Option<Stamp>, Error> {
    let fail = |message: String| Error::new(ErrorKind::Directory, message);
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(Error::new(
            ErrorKind::Config,
            format!(
                "reading the directory: {} is a folder, not a file",
                path.display()
            ),
        )
        .with_remedy("name an LDIF file, or one to be made")),
        Ok(metadata) => Ok(Some(Stamp::new(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail(format!("looking at {}", path.display()))
            .with_remedy("check the file and its permissions")
            .with_source(error)),
    }
}
