//! The directory that a configuration names, whatever its kind.

use device_writeback_core::apply::{Operation, OperationResult, Target};
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::guid::DeviceId;
use device_writeback_core::plan::DirectoryKey;
use device_writeback_core::rules::PrincipalFacts;
use device_writeback_core::sid::Sid;
use device_writeback_engine::config::{DirectoryConfig, DirectoryKind};
use device_writeback_engine::ports::{Directory, DirectoryFacts, DirectoryImport};
use device_writeback_engine::{Error, ErrorKind};
#[cfg(feature = "file")]
use device_writeback_file::{LdifDirectory, LdifImport, LdifOptions};
#[cfg(feature = "ldap")]
use device_writeback_ldap::{LdapDirectory, LdapImport};

use crate::platform::Platform;

/// The directory that a configuration names.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfiguredDirectory {
    /// `kind = "ldif"`
    #[cfg(feature = "file")]
    Ldif(LdifDirectory),
    /// `kind = "ldap"`
    #[cfg(feature = "ldap")]
    Ldap(LdapDirectory),
}

/// A reading of a [`ConfiguredDirectory`] in progress.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfiguredImport {
    /// `kind = "ldif"`
    #[cfg(feature = "file")]
    Ldif(LdifImport),
    /// `kind = "ldap"`
    #[cfg(feature = "ldap")]
    Ldap(LdapImport),
}

/// Opens the directory that `config` names, with what `platform` gives. Nothing is connected yet.
///
/// # Errors
/// [`ErrorKind::Config`]: a file that cannot be read or that others can read, a variable that is not set, an address that is
/// none, or a kind that this build does not have.
pub fn open_directory(
    config: &DirectoryConfig,
    platform: &Platform,
) -> Result<ConfiguredDirectory, Error> {
    // What a build without one of the kinds does not look at.
    let _ = platform;
    match &config.kind {
        #[cfg(feature = "file")]
        DirectoryKind::Ldif(ldif) => {
            let base = config.base.clone().ok_or_else(|| {
                Error::new(
                    ErrorKind::Config,
                    "opening the directory file: directory.base is missing",
                )
                .with_remedy("give the DN of the domain, as DC=contoso,DC=com")
            })?;
            let directory = LdifDirectory::open(LdifOptions {
                path: ldif.path.clone(),
                seed: ldif.seed.clone(),
                base,
                container: config.container.clone(),
                schema: ldif.schema,
            })?;
            Ok(ConfiguredDirectory::Ldif(directory))
        }
        #[cfg(feature = "ldap")]
        DirectoryKind::Ldap(ldap) => {
            let options = crate::ldap_options::options(config, ldap, platform)?;
            let directory = LdapDirectory::open(options)
                .map_err(|error| crate::ldap_options::name_certificates(ldap, error))?;
            Ok(ConfiguredDirectory::Ldap(directory))
        }
        other => {
            let name = match other {
                DirectoryKind::Ldif(_) => "ldif",
                DirectoryKind::Ldap(_) => "ldap",
                _ => "that kind",
            };
            Err(Error::new(
                ErrorKind::Config,
                format!("this build has no directory of kind = \"{name}\""),
            )
            .with_remedy("build it with the feature that has it: file for ldif, ldap for ldap"))
        }
    }
}

/// Does the same with whichever directory it is.
macro_rules! each {
    ($value:expr, $inner:ident => $result:expr) => {
        match $value {
            #[cfg(feature = "file")]
            Self::Ldif($inner) => $result,
            #[cfg(feature = "ldap")]
            Self::Ldap($inner) => $result,
        }
    };
}

impl Directory for ConfiguredDirectory {
    type Import = ConfiguredImport;

    async fn facts(&self) -> Result<DirectoryFacts, Error> {
        each!(self, directory => directory.facts().await)
    }

    async fn import(&self) -> Result<ConfiguredImport, Error> {
        match self {
            #[cfg(feature = "file")]
            Self::Ldif(directory) => directory.import().await.map(ConfiguredImport::Ldif),
            #[cfg(feature = "ldap")]
            Self::Ldap(directory) => directory.import().await.map(ConfiguredImport::Ldap),
        }
    }

    async fn principals(&self, sids: &[Sid]) -> Result<Vec<PrincipalFacts>, Error> {
        each!(self, directory => directory.principals(sids).await)
    }

    async fn reread(
        &self,
        keys: &[DirectoryKey],
    ) -> Result<Vec<(DeviceId, DirectoryObject)>, Error> {
        each!(self, directory => directory.reread(keys).await)
    }

    async fn read(&self, target: &Target) -> Result<Option<DirectoryObject>, Error> {
        each!(self, directory => directory.read(target).await)
    }

    async fn write(&self, operation: &Operation) -> Result<OperationResult, Error> {
        each!(self, directory => directory.write(operation).await)
    }

    async fn commit(&self) -> Result<(), Error> {
        each!(self, directory => directory.commit().await)
    }

    fn window(&self) -> usize {
        each!(self, directory => directory.window())
    }

    fn epoch(&self) -> u64 {
        each!(self, directory => directory.epoch())
    }
}

impl DirectoryImport for ConfiguredImport {
    async fn next_page(&mut self) -> Result<Option<Vec<DirectoryObject>>, Error> {
        each!(self, import => import.next_page().await)
    }
}
