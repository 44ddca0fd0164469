//! The configuration: one TOML text for the command line, the bindings and Rust programs.

use std::path::{Path, PathBuf};

use device_writeback_core::dn::Dn;
use device_writeback_core::guid::TenantId;
use device_writeback_core::plan::Limits;
use device_writeback_core::rules::Rules;
use device_writeback_core::schema::{VERSION_2012_R2, VERSION_2016};
use serde::Deserialize;

use crate::error::{Error, ErrorKind};

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Whose devices these are.
    pub tenant_id: TenantId,
    /// Where devices come from.
    pub source: SourceConfig,
    /// Where they are written.
    pub directory: DirectoryConfig,
    /// The rules.
    #[serde(default)]
    pub rules: Rules,
    /// The limits.
    #[serde(default)]
    pub limits: Limits,
    /// What is remembered.
    #[serde(default)]
    pub state: StateConfig,
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

/// Kinds of directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DirectoryKind {
    /// An LDIF file that behaves like the directory.
    Ldif,
}

/// Schema versions of the embedded directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub enum SchemaVersion {
    /// Windows Server 2012 R2.
    #[serde(rename = "2012r2")]
    V2012R2,
    /// Windows Server 2016.
    #[default]
    #[serde(rename = "2016")]
    V2016,
}

impl SchemaVersion {
    /// The `objectVersion` of the schema head.
    pub fn object_version(self) -> u32 {
        match self {
            Self::V2012R2 => VERSION_2012_R2,
            Self::V2016 => VERSION_2016,
        }
    }
}

/// `[directory]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DirectoryConfig {
    /// The kind.
    pub kind: DirectoryKind,
    /// A name of this directory, carried in plans.
    #[serde(default)]
    pub id: String,
    /// `ldif`: the file; absent, it is made on the first write.
    pub path: PathBuf,
    /// `ldif`: what the file begins as when it is absent; else an empty prepared domain.
    #[serde(default)]
    pub seed: Option<PathBuf>,
    /// DN of the domain.
    pub base: Dn,
    /// The container, unless `msDS-DeviceLocation` says it or it is `CN=RegisteredDevices` under the base.
    #[serde(default)]
    pub container: Option<Dn>,
    /// `ldif`: the schema that is enforced.
    #[serde(default)]
    pub schema: SchemaVersion,
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
    /// [`ErrorKind::Config`] with the line, the key and a suggestion.
    pub fn parse(text: &str, name: &str, folder: &Path) -> Result<Self, Error> {
        let mut config: Self = toml::from_str(text).map_err(|error| explain(text, name, &error))?;
        config.check(name)?;
        let absolute = |path: &mut PathBuf| {
            if path.is_relative() {
                *path = folder.join(&*path);
            }
        };
        absolute(&mut config.source.path);
        config.source.users.as_mut().map(absolute);
        absolute(&mut config.directory.path);
        config.directory.seed.as_mut().map(absolute);
        absolute(&mut config.state.path);
        Ok(config)
    }

    /// What each value means beyond its type.
    fn check(&self, name: &str) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::new(ErrorKind::Config, format!("{name}: {what}")));
        if self.tenant_id.guid() == device_writeback_core::guid::Guid::NIL {
            return wrong("tenant_id is the zero GUID; give the tenant's own id".into());
        }
        let share = self.limits.max_retirement_share;
        if !(0.0..=1.0).contains(&share) {
            return wrong(format!(
                "limits.max_retirement_share is {share}; it is a share from 0.0 to 1.0"
            ));
        }
        for (key, path) in [
            ("source.path", &self.source.path),
            ("directory.path", &self.directory.path),
            ("state.path", &self.state.path),
        ] {
            if path.as_os_str().is_empty() {
                return wrong(format!("{key} is empty; name a file"));
            }
        }
        if self.directory.base.is_empty() {
            return wrong(
                "directory.base is empty; give the DN of the domain, as DC=contoso,DC=com".into(),
            );
        }
        if let Some(container) = &self.directory.container
            && !container.is_child_of(&self.directory.base)
        {
            return wrong(format!(
                "directory.container {container} is not directly under directory.base {}; an msDS-DeviceContainer stands only under the domain's root",
                self.directory.base
            ));
        }
        if let Some(twice) = self
            .rules
            .include_devices
            .iter()
            .find(|device| self.rules.exclude_devices.contains(device))
        {
            return wrong(format!(
                "device {twice} is in rules.include_devices and in rules.exclude_devices; keep one"
            ));
        }
        for trust in &self.rules.trust_types {
            const TRUST_TYPES: [&str; 3] = ["AzureAd", "ServerAd", "Workplace"];
            if !TRUST_TYPES
                .iter()
                .any(|known| known.eq_ignore_ascii_case(trust))
            {
                return wrong(format!(
                    "rules.trust_types has \"{}\"; the trust types are AzureAd, ServerAd and Workplace{}",
                    trust.escape_debug(),
                    suggestion(trust, TRUST_TYPES)
                        .map_or_else(String::new, |best| format!(" (did you mean {best}?)"))
                ));
            }
        }
        Ok(())
    }
}

/// Turns the TOML reader's error into one that names line, column and, for a key that does not exist, the likely one.
fn explain(text: &str, name: &str, error: &toml::de::Error) -> Error {
    let place = error.span().map_or_else(String::new, |span| {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!(":{line}:{column}")
    });
    let message = error.message().trim().replace('\n', "; ");
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let mut result = Error::new(ErrorKind::Config, format!("{name}{place}: {message}"));
    if (message.starts_with("unknown field") || message.starts_with("unknown variant"))
        && let Some((wrong, known)) = quoted.split_first()
    {
        result = match (*wrong, suggestion(wrong, known.iter().copied())) {
            ("graph" | "ldap", _) => {
                result.with_remedy("this version knows kind = \"file\" and kind = \"ldif\"")
            }
            (_, Some(best)) => result.with_remedy(format!("did you mean {best}?")),
            _ => result,
        };
    } else if message.starts_with("missing field")
        && let Some(field) = quoted.first()
    {
        result = result.with_remedy(format!("add {field}"));
    }
    result
}

fn suggestion<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wrong.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= 2.max(candidate.len() / 3))
        .min()
        .map(|(_, candidate)| candidate)
}
