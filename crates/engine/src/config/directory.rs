//! `[directory]`: where devices are written.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use device_writeback_core::dn::Dn;
use device_writeback_core::schema::SchemaVersion;
use serde::Deserialize;
use toml::Spanned;

use super::messages::Text;
use crate::error::Error;

/// As many writes may be in flight at most.
pub const MAX_IN_FLIGHT: usize = 256;

/// `[directory]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectoryConfig {
    /// A name of this directory, carried in plans.
    pub id: String,
    /// DN of the domain. An LDIF file needs it; a domain controller says it itself (`defaultNamingContext`).
    pub base: Option<Dn>,
    /// The container, unless `msDS-DeviceLocation` says it or it is `CN=RegisteredDevices` under the base.
    pub container: Option<Dn>,
    /// What it is.
    pub kind: DirectoryKind,
}

/// Kinds of directories.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirectoryKind {
    /// `kind = "ldif"`: an LDIF file that behaves like the directory.
    Ldif(LdifConfig),
    /// `kind = "ldap"`: a domain controller.
    Ldap(LdapConfig),
}

/// The keys of `kind = "ldif"`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LdifConfig {
    /// `path`: the file; absent, it is made on the first write.
    pub path: PathBuf,
    /// `seed`: what the file begins as when it is absent; else an empty prepared domain.
    pub seed: Option<PathBuf>,
    /// `schema`: the schema that is enforced (`2012r2` or `2016`, the default).
    pub schema: SchemaVersion,
}

/// The keys of `kind = "ldap"`.
///
/// ```toml
/// [directory]
/// kind = "ldap"
/// urls = ["ldaps://dc1.contoso.com", "ldaps://dc2.contoso.com"]
/// bind_dn = "svc-writeback@contoso.com"
/// password_file = "writeback.password"
/// ca_file = "contoso-ca.pem"
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LdapConfig {
    /// `urls`: domain controllers of one domain, in the order they are tried; at least one, none twice. `ldaps://host[:port]`, or
    /// `ldap://host[:port]` with `start_tls`. A run stays on one of them as long as it is there.
    pub urls: Vec<String>,
    /// `start_tls`: whether an `ldap://` connection is secured before anything else is sent; default false. Without it, an
    /// `ldap://` URL is refused: a simple bind would send the password in the clear ([RFC 4513] 6.3.1).
    ///
    /// [RFC 4513]: https://www.rfc-editor.org/rfc/rfc4513
    pub start_tls: bool,
    /// `auth`: as whom the directory is used.
    pub auth: LdapAuth,
    /// `ca_file`: PEM certificates that are believed, and no other; else the roots of the system, where the program opts in. The
    /// host name in a certificate is verified always.
    pub ca_file: Option<PathBuf>,
    /// `connect_timeout_seconds`: for connecting to one server, with TLS and the bind; 1 to 3600, default 10.
    pub connect_timeout: Duration,
    /// `operation_timeout_seconds`: for the answer to one operation; 1 to 3600, default 60.
    pub operation_timeout: Duration,
    /// `reconnect_seconds`: for getting a lost connection back, all servers and pauses together; 0 (one attempt) to 3600, default
    /// 30.
    pub reconnect: Duration,
    /// `max_in_flight`: as many writes are in flight at most; 1 to [`MAX_IN_FLIGHT`], the default.
    pub max_in_flight: usize,
    /// `max_operations_per_second`: as many operations are sent at most while changes are carried out; default: no such limit.
    pub max_operations_per_second: Option<NonZeroU32>,
}

/// As whom an LDAP directory is used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LdapAuth {
    /// `auth = "simple"`, the default: a simple bind, over TLS only.
    Simple {
        /// `bind_dn`: a user principal name, a DN or `DOMAIN\name` ([MS-ADTS] 5.1.1.1.1).
        bind_dn: String,
        /// `password_file` or `password_env`: where its password is.
        password: Secret,
    },
}

/// Where a secret is. It is never in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Secret {
    /// In a file that nobody else can read, with or without a line end after it.
    File(PathBuf),
    /// In the environment variable of that name.
    Environment(String),
}

impl DirectoryConfig {
    /// Every file that is named: its key, the path, and whether it is written.
    pub(super) fn paths_mut(&mut self) -> Vec<(&'static str, &mut PathBuf, bool)> {
        match &mut self.kind {
            DirectoryKind::Ldif(ldif) => {
                let mut paths = vec![("directory.path", &mut ldif.path, true)];
                paths.extend(
                    ldif.seed
                        .as_mut()
                        .map(|seed| ("directory.seed", seed, false)),
                );
                paths
            }
            DirectoryKind::Ldap(ldap) => {
                let LdapAuth::Simple { password, .. } = &mut ldap.auth;
                let password = match password {
                    Secret::File(path) => Some(("directory.password_file", path, false)),
                    Secret::Environment(_) => None,
                };
                let ca_file = ldap.ca_file.as_mut();
                let ca_file = ca_file.map(|path| ("directory.ca_file", path, false));
                password.into_iter().chain(ca_file).collect()
            }
        }
    }
}

/// `[directory]` as it is written, with the keys of every kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDirectory {
    kind: RawKind,
    #[serde(default)]
    id: String,
    base: Option<Dn>,
    container: Option<Dn>,
    path: Option<PathBuf>,
    seed: Option<PathBuf>,
    schema: Option<SchemaVersion>,
    urls: Option<Vec<Spanned<String>>>,
    start_tls: Option<bool>,
    auth: Option<RawAuth>,
    bind_dn: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    ca_file: Option<PathBuf>,
    connect_timeout_seconds: Option<u64>,
    operation_timeout_seconds: Option<u64>,
    reconnect_seconds: Option<u64>,
    max_in_flight: Option<u64>,
    max_operations_per_second: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Ldif,
    Ldap,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawAuth {
    Simple,
}

/// Seconds that a time-out may have.
const TIMEOUT: RangeInclusive<u64> = 1..=3600;
/// Seconds that getting a connection back may take.
const RECONNECT: RangeInclusive<u64> = 0..=3600;

impl RawDirectory {
    /// Turns it into what its kind has.
    ///
    /// # Errors
    /// A key that this kind does not have or lacks, or a value that makes no sense.
    pub(super) fn check(self, at: Text<'_>) -> Result<DirectoryConfig, Error> {
        self.check_keys(at)?;
        let kind = match self.kind {
            RawKind::Ldif => DirectoryKind::Ldif(self.ldif(at)?),
            RawKind::Ldap => DirectoryKind::Ldap(self.ldap(at)?),
        };
        self.check_names(at)?;
        Ok(DirectoryConfig {
            id: self.id,
            base: self.base,
            container: self.container,
            kind,
        })
    }

    /// Refuses the keys of another kind: whoever wrote them expects something of them.
    fn check_keys(&self, at: Text<'_>) -> Result<(), Error> {
        let (name, other, keys) = match self.kind {
            RawKind::Ldif => ("ldif", "ldap", self.ldap_keys()),
            RawKind::Ldap => ("ldap", "ldif", self.ldif_keys()),
        };
        match keys.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((key, _)) => Err(at.wrong(
                &format!("directory.{key}"),
                &format!("belongs to kind = \"{other}\""),
                &format!("leave it out: this directory has kind = \"{name}\""),
            )),
        }
    }

    fn ldif_keys(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("path", self.path.is_some()),
            ("seed", self.seed.is_some()),
            ("schema", self.schema.is_some()),
        ]
    }

    fn ldap_keys(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("urls", self.urls.is_some()),
            ("start_tls", self.start_tls.is_some()),
            ("auth", self.auth.is_some()),
            ("bind_dn", self.bind_dn.is_some()),
            ("password_file", self.password_file.is_some()),
            ("password_env", self.password_env.is_some()),
            ("ca_file", self.ca_file.is_some()),
            (
                "connect_timeout_seconds",
                self.connect_timeout_seconds.is_some(),
            ),
            (
                "operation_timeout_seconds",
                self.operation_timeout_seconds.is_some(),
            ),
            ("reconnect_seconds", self.reconnect_seconds.is_some()),
            ("max_in_flight", self.max_in_flight.is_some()),
            (
                "max_operations_per_second",
                self.max_operations_per_second.is_some(),
            ),
        ]
    }

    fn check_names(&self, at: Text<'_>) -> Result<(), Error> {
        if self.base.as_ref().is_some_and(Dn::is_empty) {
            return Err(at.wrong(
                "directory.base",
                "is empty",
                "give the DN of the domain, as DC=contoso,DC=com",
            ));
        }
        match (&self.base, &self.container) {
            (Some(base), Some(container)) if !container.is_child_of(base) => Err(at.wrong(
                "directory.container",
                &format!(
                    "{container} is not directly under directory.base {base}; an msDS-DeviceContainer stands only under the domain's root"
                ),
                &format!("give CN=RegisteredDevices,{base} or leave it out"),
            )),
            (_, Some(container)) if container.is_empty() => Err(at.wrong(
                "directory.container",
                "is empty",
                "give its DN, as CN=RegisteredDevices,DC=contoso,DC=com, or leave it out",
            )),
            _ => Ok(()),
        }
    }

    fn ldif(&self, at: Text<'_>) -> Result<LdifConfig, Error> {
        let Some(path) = self.path.clone() else {
            return Err(at.missing("directory", "path"));
        };
        if self.base.is_none() {
            return Err(at.missing("directory", "base"));
        }
        Ok(LdifConfig {
            path,
            seed: self.seed.clone(),
            schema: self.schema.unwrap_or_default(),
        })
    }

    fn ldap(&self, at: Text<'_>) -> Result<LdapConfig, Error> {
        let urls = self.urls(at)?;
        let RawAuth::Simple = self.auth.unwrap_or(RawAuth::Simple);
        let auth = LdapAuth::Simple {
            bind_dn: self.bind_dn(at)?,
            password: self.password(at)?,
        };
        let seconds = |key, value: Option<u64>, default, range: RangeInclusive<u64>| {
            let value = number(at, key, value, default, range, "seconds")?;
            Ok(Duration::from_secs(value))
        };
        let connect = self.connect_timeout_seconds;
        let operation = self.operation_timeout_seconds;
        let reconnect = self.reconnect_seconds;
        let most = MAX_IN_FLIGHT as u64;
        let in_flight = self.max_in_flight;
        let in_flight = number(at, "max_in_flight", in_flight, most, 1..=most, "a number")?;
        Ok(LdapConfig {
            urls,
            start_tls: self.start_tls.unwrap_or_default(),
            auth,
            ca_file: self.ca_file.clone(),
            connect_timeout: seconds("connect_timeout_seconds", connect, 10, TIMEOUT)?,
            operation_timeout: seconds("operation_timeout_seconds", operation, 60, TIMEOUT)?,
            reconnect: seconds("reconnect_seconds", reconnect, 30, RECONNECT)?,
            max_in_flight: usize::try_from(in_flight).unwrap_or(MAX_IN_FLIGHT),
            max_operations_per_second: self.max_operations_per_second(at)?,
        })
    }

    /// The servers. Scheme and encryption are looked at here, where the place is known; the rest by whoever connects.
    fn urls(&self, at: Text<'_>) -> Result<Vec<String>, Error> {
        const FORM: &str = "write it as ldaps://dc1.contoso.com";
        let urls = self.urls.as_deref();
        let urls = urls.ok_or_else(|| at.missing("directory", "urls"))?;
        if urls.is_empty() {
            return Err(at.wrong(
                "directory.urls",
                "is empty",
                "name a domain controller, as ldaps://dc1.contoso.com",
            ));
        }
        let start_tls = self.start_tls.unwrap_or_default();
        let mut seen = BTreeSet::new();
        for url in urls {
            let wrong = |what: &str, remedy: &str| {
                Err(at.wrong_at(Some(url.span().start), "directory.urls", what, remedy))
            };
            let text = url.get_ref().trim();
            if text.contains('@') {
                // Not shown: what stands before the @ may be a password.
                return wrong(
                    "has a URL with a user in it",
                    "give the account under bind_dn and its password in a file; both out of the URL",
                );
            }
            let shown = text.escape_debug();
            let Some(scheme) = Scheme::of(text) else {
                return wrong(&format!("has \"{shown}\", which is no LDAP URL"), FORM);
            };
            if scheme == Scheme::Ldap && !start_tls {
                return wrong(
                    &format!("has \"{shown}\": a simple bind is refused without TLS"),
                    "write ldaps:// for it, or set start_tls = true",
                );
            }
            if !seen.insert(scheme.server(text)) {
                return wrong(&format!("has \"{shown}\" twice"), "name every server once");
            }
        }
        let is_ldap = |url: &Spanned<String>| Scheme::of(url.get_ref()) == Some(Scheme::Ldap);
        if start_tls && !urls.iter().any(is_ldap) {
            return Err(at.wrong(
                "directory.start_tls",
                "is true, and every URL is ldaps://, where TLS comes before LDAP",
                "leave start_tls out, or write ldap:// for the servers to be asked for StartTLS",
            ));
        }
        Ok(urls
            .iter()
            .map(|url| url.get_ref().trim().to_owned())
            .collect())
    }

    fn bind_dn(&self, at: Text<'_>) -> Result<String, Error> {
        const FORM: &str =
            "write \"svc-writeback@contoso.com\", 'CONTOSO\\svc-writeback' or the account's DN";
        let name = self.bind_dn.as_deref();
        let name = name.ok_or_else(|| at.missing("directory", "bind_dn"))?;
        // A bind without a name succeeds as nobody ([RFC 4513] 5.1.1).
        if name.trim().is_empty() {
            return Err(at.wrong("directory.bind_dn", "is empty", FORM));
        }
        // "CONTOSO\backup" in double quotes has a backspace and no backslash.
        if name.contains(char::is_control) {
            return Err(at.wrong(
                "directory.bind_dn",
                &format!("is \"{}\", with a control character", name.escape_debug()),
                "a backslash in double quotes begins an escape: write it in single quotes, as 'CONTOSO\\svc-writeback'",
            ));
        }
        if !name.contains(['@', '\\', '=']) {
            return Err(at.wrong(
                "directory.bind_dn",
                &format!("is \"{}\", a name without its domain", name.escape_debug()),
                FORM,
            ));
        }
        Ok(name.to_owned())
    }

    fn password(&self, at: Text<'_>) -> Result<Secret, Error> {
        match (&self.password_file, &self.password_env) {
            (Some(file), None) => Ok(Secret::File(file.clone())),
            (None, Some(name)) if name.is_empty() || name.contains(['=', '\0']) => Err(at.wrong(
                "directory.password_env",
                &format!("is \"{}\"", name.escape_debug()),
                "give the name of an environment variable, as DEVICE_WRITEBACK_PASSWORD",
            )),
            (None, Some(name)) => Ok(Secret::Environment(name.clone())),
            (Some(_), Some(_)) => Err(at.wrong(
                "directory.password_env",
                "stands beside directory.password_file",
                "keep one of the two",
            )),
            (None, None) => Err(at.wrong(
                "directory",
                "has neither password_file nor password_env",
                "put the password into a file that only this account can read, and add password_file = ... under [directory]",
            )),
        }
    }

    fn max_operations_per_second(&self, at: Text<'_>) -> Result<Option<NonZeroU32>, Error> {
        let Some(number) = self.max_operations_per_second else {
            return Ok(None);
        };
        // More than that is no limit for any server.
        match NonZeroU32::new(u32::try_from(number).unwrap_or(u32::MAX)) {
            Some(number) => Ok(Some(number)),
            None => Err(at.wrong(
                "directory.max_operations_per_second",
                "is 0",
                "give a number from 1, or leave it out: then there is no such limit",
            )),
        }
    }
}

/// A number within its range.
fn number(
    at: Text<'_>,
    key: &str,
    value: Option<u64>,
    default: u64,
    range: RangeInclusive<u64>,
    what: &str,
) -> Result<u64, Error> {
    let value = value.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    Err(at.wrong(
        &format!("directory.{key}"),
        &format!("is {value}"),
        &format!("give {what} from {} to {}", range.start(), range.end()),
    ))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Ldap,
    Ldaps,
}

impl Scheme {
    fn of(url: &str) -> Option<Self> {
        let (scheme, _) = url.trim().split_once("://")?;
        match scheme.to_ascii_lowercase().as_str() {
            "ldap" => Some(Self::Ldap),
            "ldaps" => Some(Self::Ldaps),
            _ => None,
        }
    }

    /// The server in one spelling, so that none is tried twice.
    fn server(self, url: &str) -> String {
        let url = url.to_lowercase();
        let url = url.trim_end_matches('/');
        let port = match self {
            Self::Ldap => ":389",
            Self::Ldaps => ":636",
        };
        url.strip_suffix(port).unwrap_or(url).to_owned()
    }
}
