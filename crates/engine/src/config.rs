//! The configuration: one TOML text for the command line, the bindings and Rust programs.

mod directory;
mod messages;

use std::path::{Path, PathBuf};

use device_writeback_core::guid::{Guid, TenantId};
use device_writeback_core::plan::Limits;
use device_writeback_core::rules::Rules;
pub use device_writeback_core::schema::SchemaVersion;
use serde::Deserialize;

use self::directory::RawDirectory;
pub use self::directory::{
    DirectoryConfig, DirectoryKind, LdapAuth, LdapConfig, LdifConfig, MAX_IN_FLIGHT, Secret,
};
use self::messages::{Text, remedy_of};
use crate::error::Error;

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Whose devices these are.
    pub tenant_id: TenantId,
    /// Where devices come from.
    pub source: SourceConfig,
    /// Where they are written.
    pub directory: DirectoryConfig,
    /// The rules.
    pub rules: Rules,
    /// The limits.
    pub limits: Limits,
    /// What is remembered.
    pub state: StateConfig,
}

/// The configuration as it is written. Which keys a section may have depends on its kind, and is looked at afterwards: the TOML
/// reader knows the place of a mistake only as long as every key has a field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    tenant_id: TenantId,
    source: SourceConfig,
    directory: RawDirectory,
    #[serde(default)]
    rules: Rules,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    state: StateConfig,
}

/// Kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SourceKind {
    /// Exported Graph JSON.
    File,
}

/// `[source]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SourceConfig {
    /// The kind.
    pub kind: SourceKind,
    /// A name of this source, carried in plans.
    #[serde(default)]
    pub id: String,
    /// `file`: a page, an array, NDJSON, or a folder of these; `.gz` too.
    pub path: PathBuf,
    /// `file`: Graph users with `id` and `onPremisesSecurityIdentifier`.
    #[serde(default)]
    pub users: Option<PathBuf>,
    /// `file`: the export has chosen devices only, as a delta has; absence then says nothing.
    #[serde(default)]
    pub partial: bool,
}

/// `[state]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StateConfig {
    /// The state file.
    pub path: PathBuf,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("state.db"),
        }
    }
}

impl Config {
    /// Reads a configuration from TOML `text`. `name` is what errors call it, relative paths are relative to `folder`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the line, the key and a suggestion.
    pub fn parse(text: &str, name: &str, folder: &Path) -> Result<Self, Error> {
        let at = Text { text, name };
        let raw: RawConfig = toml::from_str(text).map_err(|error| at.explain(&error))?;
        let mut config = Self {
            tenant_id: raw.tenant_id,
            source: raw.source,
            directory: raw.directory.check(at)?,
            rules: raw.rules,
            limits: raw.limits,
            state: raw.state,
        };
        if config.tenant_id.guid() == Guid::NIL {
            return Err(at.wrong(
                "tenant_id",
                "is the zero GUID",
                "give the tenant's own id, as Entra ID shows it under Overview",
            ));
        }
        config.check_paths(at)?;
        config.check_rules(at)?;
        config.check_limits(at)?;
        for (_, path, _) in config.paths_mut() {
            if path.is_relative() {
                *path = folder.join(&*path);
            }
        }
        Ok(config)
    }

    /// Every file and folder that is named: its key, the path, and whether it is written.
    fn paths_mut(&mut self) -> Vec<(&'static str, &mut PathBuf, bool)> {
        let mut paths = vec![("source.path", &mut self.source.path, false)];
        paths.extend(
            self.source
                .users
                .as_mut()
                .map(|users| ("source.users", users, false)),
        );
        paths.extend(self.directory.paths_mut());
        paths.push(("state.path", &mut self.state.path, true));
        paths
    }

    fn check_paths(&mut self, at: Text<'_>) -> Result<(), Error> {
        let paths = self.paths_mut();
        if let Some((key, ..)) = paths
            .iter()
            .find(|(_, path, _)| path.as_os_str().is_empty())
        {
            return Err(at.wrong(key, "is empty", "name a file"));
        }
        // What is written would replace whatever else has its name.
        for (written, own, _) in paths.iter().filter(|(.., is_written)| *is_written) {
            let other = paths
                .iter()
                .find(|(key, path, _)| key != written && path == own);
            if let Some((other, ..)) = other {
                return Err(at.wrong(
                    written,
                    &format!("and {other} name the same file"),
                    "give each a file of its own",
                ));
            }
        }
        Ok(())
    }

    fn check_rules(&self, at: Text<'_>) -> Result<(), Error> {
        let rules = &self.rules;
        if let Some(twice) = rules
            .include_devices
            .iter()
            .find(|device| rules.exclude_devices.contains(device))
        {
            return Err(at.wrong(
                "rules.exclude_devices",
                &format!("has device {twice}, which is in rules.include_devices too"),
                "keep one of the two",
            ));
        }
        for trust in &rules.trust_types {
            const TRUST_TYPES: [&str; 3] = ["AzureAd", "ServerAd", "Workplace"];
            if !TRUST_TYPES
                .iter()
                .any(|known| known.eq_ignore_ascii_case(trust))
            {
                return Err(at.wrong(
                    "rules.trust_types",
                    &format!("has \"{}\"", trust.escape_debug()),
                    &remedy_of(trust, &TRUST_TYPES, "the trust types are"),
                ));
            }
        }
        Ok(())
    }

    fn check_limits(&self, at: Text<'_>) -> Result<(), Error> {
        let share = self.limits.max_retirement_share;
        if !(0.0..=1.0).contains(&share) {
            return Err(at.wrong(
                "limits.max_retirement_share",
                &format!("is {share}"),
                "give a share from 0.0 to 1.0: 0.1 is a tenth",
            ));
        }
        Ok(())
    }
}
