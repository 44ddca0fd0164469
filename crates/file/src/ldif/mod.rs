//! One LDIF file that behaves as the directory.
//!
//! [`LdifDirectory`] answers writes with the results that a domain controller gives, by the schema
//! version it is told, and keeps everything it does not write byte for byte: objects of other
//! classes, attributes of no concern, comments, folding, line ends. Nothing reaches the file before
//! [`commit`](device_writeback_engine::ports::Directory::commit), which writes a new file beside it
//! and renames that, so that a crash leaves the old or the new one.

mod directory;
mod domain;
mod entry;
mod import;
mod index;
mod overlay;
mod records;
mod refusal;
mod rewrite;
mod scan;
mod session;
mod validate;
mod view;

use std::path::PathBuf;

use device_writeback_core::dn::Dn;
use device_writeback_core::schema::SchemaVersion;

pub use directory::LdifDirectory;
pub use import::LdifImport;

/// Where the directory lies and what it is.
#[derive(Clone, Debug)]
pub struct LdifOptions {
    /// The file. It may be absent: then the directory is the seed, or an empty prepared domain,
    /// and the first commit makes the file.
    pub path: PathBuf,
    /// A file to begin with when there is none at `path`; never written.
    pub seed: Option<PathBuf>,
    /// DN of the domain.
    pub base: Dn,
    /// The container of the devices, where no registration service names one.
    pub container: Option<Dn>,
    /// The schema that writes are held against.
    pub schema: SchemaVersion,
}

impl LdifOptions {
    /// The file at `path` for the domain `base`, with the schema of Windows Server 2016.
    pub fn new(path: impl Into<PathBuf>, base: Dn) -> Self {
        Self {
            path: path.into(),
            seed: None,
            base,
            container: None,
            schema: SchemaVersion::default(),
        }
    }
}
