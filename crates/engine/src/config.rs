//! The configuration: one TOML text for the command line, the bindings and Rust programs.

use std::path::{Path, PathBuf};

use device_writeback_core::dn::Dn;
use device_writeback_core::guid::TenantId;
use device_writeback_core::plan::Limits;
use device_writeback_core::rules::Rules;
pub use device_writeback_core::schema::SchemaVersion;
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
        config.check(text, name)?;
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
    fn check(&self, text: &str, name: &str) -> Result<(), Error> {
        let wrong = |key: &str, what: &str, remedy: &str| {
            let place = span_of(text, key).map_or_else(String::new, |at| place(text, at));
            Err(
                Error::new(ErrorKind::Config, format!("{name}{place}: {key} {what}"))
                    .with_remedy(remedy),
            )
        };
        if self.tenant_id.guid() == device_writeback_core::guid::Guid::NIL {
            return wrong(
                "tenant_id",
                "is the zero GUID",
                "give the tenant's own id, as Entra ID shows it under Overview",
            );
        }
        let (source, directory) = (&self.source, &self.directory);
        let paths = [
            ("source.path", Some(&source.path)),
            ("source.users", source.users.as_ref()),
            ("directory.path", Some(&directory.path)),
            ("directory.seed", directory.seed.as_ref()),
            ("state.path", Some(&self.state.path)),
        ];
        for (key, path) in paths {
            if path.is_some_and(|path| path.as_os_str().is_empty()) {
                return wrong(key, "is empty", "name a file");
            }
        }
        // These two are written; whatever else has their name would be lost.
        for written in ["directory.path", "state.path"] {
            let own = paths.iter().find(|(key, _)| *key == written);
            let other = paths
                .iter()
                .find(|(key, path)| *key != written && own.is_some_and(|(_, own)| own == path));
            if let Some((other, _)) = other {
                return wrong(
                    written,
                    &format!("and {other} name the same file"),
                    "give each a file of its own",
                );
            }
        }
        if directory.base.is_empty() {
            return wrong(
                "directory.base",
                "is empty",
                "give the DN of the domain, as DC=contoso,DC=com",
            );
        }
        if let Some(container) = &directory.container
            && !container.is_child_of(&directory.base)
        {
            return wrong(
                "directory.container",
                &format!(
                    "{container} is not directly under directory.base {}; an msDS-DeviceContainer stands only under the domain's root",
                    directory.base
                ),
                &format!(
                    "give CN=RegisteredDevices,{} or leave it out",
                    directory.base
                ),
            );
        }
        let rules = &self.rules;
        if let Some(twice) = rules
            .include_devices
            .iter()
            .find(|device| rules.exclude_devices.contains(device))
        {
            return wrong(
                "rules.exclude_devices",
                &format!("has device {twice}, which is in rules.include_devices too"),
                "keep one of the two",
            );
        }
        for trust in &rules.trust_types {
            const TRUST_TYPES: [&str; 3] = ["AzureAd", "ServerAd", "Workplace"];
            if !TRUST_TYPES
                .iter()
                .any(|known| known.eq_ignore_ascii_case(trust))
            {
                return wrong(
                    "rules.trust_types",
                    &format!("has \"{}\"", trust.escape_debug()),
                    &remedy_of(trust, &TRUST_TYPES, "the trust types are"),
                );
            }
        }
        let share = self.limits.max_retirement_share;
        if !(0.0..=1.0).contains(&share) {
            return wrong(
                "limits.max_retirement_share",
                &format!("is {share}"),
                "give a share from 0.0 to 1.0: 0.1 is a tenth",
            );
        }
        Ok(())
    }
}

/// Turns the TOML reader's error into one that names place and key, and says what would be right there.
fn explain(text: &str, name: &str, error: &toml::de::Error) -> Error {
    let place = error
        .span()
        .map_or_else(String::new, |span| place(text, span.start));
    let message = error.message().trim().replace('\n', "; ");
    let within = path_of(error);
    let dotted = |key: &str| match within.as_deref() {
        Some(section) => format!("{section}.{key}"),
        None => key.to_owned(),
    };
    let mut quoted = message.split('`').skip(1).step_by(2);
    let first = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    let new = |what: String| Error::new(ErrorKind::Config, format!("{name}{place}: {what}"));
    if message.starts_with("unknown field") {
        return new(format!("there is no key {}", dotted(first))).with_remedy(remedy_of(
            first,
            &known,
            "the keys here are",
        ));
    }
    if message.starts_with("missing field") {
        let remedy = match (within.as_deref(), first) {
            (Some(section), _) => format!("add {first} = ... under [{section}]"),
            (None, "tenant_id") => "add tenant_id = \"...\" at the top".to_owned(),
            (None, _) => format!("add a section [{first}]"),
        };
        return new(format!("{} is missing", dotted(first))).with_remedy(remedy);
    }
    let key = within.unwrap_or_default();
    if message.starts_with("unknown variant") {
        let later = key.ends_with(".kind") && matches!(first, "graph" | "ldap");
        let lead = if later {
            "this version knows"
        } else {
            "it is one of"
        };
        let remedy = if later {
            format!("{lead} {}", known.join(", "))
        } else {
            remedy_of(first, &known, lead)
        };
        return new(format!("{key} is \"{}\"", first.escape_debug())).with_remedy(remedy);
    }
    let what = plain(&message);
    if key.is_empty() {
        new(what)
    } else {
        new(format!("{key}: {what}"))
    }
}

/// What a type is called in a configuration, in place of the name it has in this program.
fn plain(message: &str) -> String {
    const NAMES: [(&str, &str); 8] = [
        ("expected u32", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list in [ ]"),
        ("expected path string", "expected a path in quotes"),
        ("expected a string", "expected text in quotes"),
        ("wanted string or table", "expected text in quotes"),
        ("duplicate key", "this key stands here for the second time"),
    ];
    let (head, wanted) = message.rsplit_once(", ").unwrap_or(("", message));
    let wanted = NAMES
        .iter()
        .find(|(from, _)| *from == wanted)
        .map_or(wanted, |(_, to)| to);
    let wanted = if wanted.starts_with("expected struct ") {
        "expected a section"
    } else {
        wanted
    };
    if head.is_empty() {
        wanted.to_owned()
    } else {
        format!("{head}, {wanted}")
    }
}

/// Line and column of a position in `text`, as `:3:9`.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!(":{line}:{column}")
}

/// The dotted key that the TOML reader was at. It tells only as part of its text, and only without the input.
fn path_of(error: &toml::de::Error) -> Option<String> {
    let mut bare = error.clone();
    bare.set_input(None);
    let text = bare.to_string();
    let path = text.rsplit_once("\nin `")?.1.trim_end();
    path.strip_suffix('`').map(str::to_owned)
}

/// Where the value of the dotted `key` begins.
fn span_of(text: &str, key: &str) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut parts = key.split('.').peekable();
    loop {
        let part = parts.next()?;
        let (_, value) = table.iter().find(|(own, _)| own.get_ref() == part)?;
        if parts.peek().is_none() {
            return Some(value.span().start);
        }
        table = value.get_ref().as_table()?;
    }
}

/// The likely name, or all of them.
fn remedy_of(wrong: &str, known: &[&str], lead: &str) -> String {
    match suggestion(wrong, known.iter().copied()) {
        Some(best) => format!("did you mean {best}?"),
        None => format!("{lead} {}", known.join(", ")),
    }
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
