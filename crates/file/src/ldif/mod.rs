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

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use device_writeback_core::attributes::AttributeMask;
use device_writeback_core::dn::Dn;
use device_writeback_core::error::InvalidValue;
use device_writeback_core::schema::{Attribute, VERSION_2012_R2, VERSION_2016};

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

/// A version of the Active Directory schema that has registered devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SchemaVersion {
    /// Windows Server 2012 R2.
    Windows2012R2,
    /// Windows Server 2016.
    #[default]
    Windows2016,
}

impl SchemaVersion {
    /// Its name in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Windows2012R2 => "2012r2",
            Self::Windows2016 => "2016",
        }
    }

    /// `objectVersion` of the schema head.
    pub const fn object_version(self) -> u32 {
        match self {
            Self::Windows2012R2 => VERSION_2012_R2,
            Self::Windows2016 => VERSION_2016,
        }
    }

    /// The attributes that it has on `msDS-Device`.
    pub fn attributes(self) -> AttributeMask {
        Attribute::available(self.object_version())
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SchemaVersion {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        [Self::Windows2012R2, Self::Windows2016]
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| InvalidValue::new("schema version", "2012r2 and 2016 are known"))
    }
}
