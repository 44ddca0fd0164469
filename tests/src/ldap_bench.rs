//! What the LDAP clients of `cargo xtask bench ldap` have in common: their arguments, the devices they send, the trust
//! they put in the server, and the line they print.
//!
//! Every client sends the same requests, value for value: an add of the whole device; a modify that deletes and adds
//! one value of two attributes; a delete.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use device_writeback_core::directory::OBJECT_GUID;
use device_writeback_core::dn::Dn;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::ldif::{self, Body};
use device_writeback_core::schema::{Attribute, DEVICE_CLASS};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Entries of a page of a search, as Active Directory allows by default.
pub const PAGE: i32 = 1_000;

/// A filter for devices.
pub const DEVICE_FILTER: &str = "(objectClass=msDS-Device)";

/// How many days a modify raises `msDS-ApproximateLastLogonTimeStamp` by.
const DAYS: i64 = 1;

/// What a client does in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Add every device.
    Add,
    /// Change two attributes of every device.
    Modify,
    /// Delete every device.
    Delete,
    /// Read every device there is.
    Read,
}

impl Job {
    /// The word on the command line and in the output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Modify => "modify",
            Self::Delete => "delete",
            Self::Read => "read",
        }
    }
}

/// The arguments of a client.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// `ldaps://HOST:PORT`.
    pub url: String,
    /// File with the certificate (PEM) of the authority that the server's certificate must come from.
    pub ca_file: String,
    /// Who binds.
    pub bind_dn: String,
    /// The password.
    pub password: String,
    /// The domain.
    pub base: Dn,
    /// What to do.
    pub job: Job,
    /// LDIF content records, among them the devices.
    pub file: String,
    /// How many requests may be without an answer at a time.
    pub window: usize,
    /// How many devices of the file to use, from the first.
    pub limit: usize,
}

impl Arguments {
    /// How a client is called.
    pub const USAGE: &str =
        "URL CA_FILE BIND_DN PASSWORD BASE add|modify|delete|read FILE WINDOW [LIMIT]";

    /// The arguments of this process.
    ///
    /// # Errors
    ///
    /// The usage, when they are others.
    pub fn of_process() -> Result<Arguments, String> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        Arguments::parse(&words).ok_or_else(|| format!("usage: CLIENT {}", Self::USAGE))
    }

    fn parse(words: &[String]) -> Option<Arguments> {
        let (url, rest) = words.split_first()?;
        let [
            ca_file,
            bind_dn,
            password,
            base,
            job,
            file,
            window,
            rest @ ..,
        ] = rest
        else {
            return None;
        };
        let jobs = [Job::Add, Job::Modify, Job::Delete, Job::Read];
        let limit = match rest {
            [] => usize::MAX,
            [limit] => limit.parse().ok()?,
            _ => return None,
        };
        Some(Arguments {
            url: url.clone(),
            ca_file: ca_file.clone(),
            bind_dn: bind_dn.clone(),
            password: password.clone(),
            base: Dn::parse(base).ok()?,
            job: jobs.into_iter().find(|known| known.name() == job)?,
            file: file.clone(),
            window: window.parse().ok().filter(|window| *window > 0)?,
            limit,
        })
    }

    /// The container of the devices.
    #[must_use]
    pub fn container(&self) -> Dn {
        self.base.child("CN", "RegisteredDevices")
    }

    /// The first [`limit`](Self::limit) devices of the file, named under this container.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a device lacks what every device has.
    pub fn devices(&self) -> Result<Vec<Device>, String> {
        let text =
            std::fs::read(&self.file).map_err(|error| format!("reading {}: {error}", self.file))?;
        let container = self.container().to_string();
        let mut devices = Vec::new();
        for record in ldif::parse_all(&text) {
            if devices.len() == self.limit {
                break;
            }
            let record = record.map_err(|error| format!("reading {}: {error}", self.file))?;
            if let Body::Content(values) = record.body {
                devices.extend(Device::new(values, &container)?);
            }
        }
        Ok(devices)
    }
}

/// A device as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub dn: String,
    /// Its attributes, in the order of the file.
    pub attributes: Vec<(&'static str, Vec<Vec<u8>>)>,
}

/// One attribute of a modify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The attribute.
    pub name: &'static str,
    /// The value to delete.
    pub old: Vec<u8>,
    /// The value to add.
    pub new: Vec<u8>,
}

impl Device {
    /// `None` for an entry that is no device. `objectGUID` is the server's to give and left out.
    fn new(values: Vec<ldif::AttrVal>, container: &str) -> Result<Option<Device>, String> {
        let is_class = |value: &ldif::AttrVal| {
            value.name == "objectClass" && value.value == DEVICE_CLASS.as_bytes()
        };
        if !values.iter().any(is_class) {
            return Ok(None);
        }
        let mut attributes: Vec<(&'static str, Vec<Vec<u8>>)> = Vec::new();
        let mut dn = None;
        for value in values {
            let name = match value.name.as_str() {
                OBJECT_GUID => continue,
                "objectClass" => "objectClass",
                "cn" => {
                    dn = Some(format!(
                        "CN={},{container}",
                        String::from_utf8_lossy(&value.value)
                    ));
                    "cn"
                }
                other => Attribute::from_name(other)
                    .ok_or_else(|| format!("a device has the attribute {other}"))?
                    .name(),
            };
            match attributes.last_mut() {
                Some((last, values)) if *last == name => values.push(value.value),
                _ => attributes.push((name, vec![value.value])),
            }
        }
        let dn = dn.ok_or("a device has no cn")?;
        Ok(Some(Device { dn, attributes }))
    }

    /// What a modify of this device changes.
    ///
    /// # Errors
    ///
    /// When the device lacks one of the two attributes.
    pub fn swaps(&self) -> Result<[Swap; 2], String> {
        let enabled = self.first(Attribute::IsEnabled)?;
        let flipped: &[u8] = if enabled == b"TRUE" {
            b"FALSE"
        } else {
            b"TRUE"
        };
        let seen = self.first(Attribute::ApproximateLastLogonTimeStamp)?;
        let raised = FileTime::parse_ticks(seen)
            .map_err(|error| format!("{}: {error}", self.dn))?
            .plus_days(DAYS);
        Ok([
            Swap {
                name: Attribute::IsEnabled.name(),
                old: enabled.to_vec(),
                new: flipped.to_vec(),
            },
            Swap {
                name: Attribute::ApproximateLastLogonTimeStamp.name(),
                old: seen.to_vec(),
                new: raised.ticks().to_string().into_bytes(),
            },
        ])
    }

    fn first(&self, attribute: Attribute) -> Result<&[u8], String> {
        self.attributes
            .iter()
            .find(|(name, _)| *name == attribute.name())
            .and_then(|(_, values)| values.first())
            .map(Vec::as_slice)
            .ok_or_else(|| format!("{} has no {}", self.dn, attribute.name()))
    }
}

/// What every client asks a search for: what a device can have.
#[must_use]
pub fn read_attributes() -> Vec<&'static str> {
    let device = Attribute::ALL.iter().map(|attribute| attribute.name());
    std::iter::once(OBJECT_GUID).chain(device).collect()
}

/// TLS with certificates of this authority only.
///
/// # Errors
///
/// When the file holds no certificate.
pub fn tls(ca_file: &Path) -> Result<Arc<ClientConfig>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", ca_file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|e| failed(&e))? {
        let certificate = certificate.map_err(|e| failed(&e))?;
        roots.add(certificate).map_err(|e| failed(&e))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The line that a client prints at its end; `bytes` are those of all its requests or of all values it read, where it
/// knows them. The processor time is that of the whole process.
#[must_use]
pub fn line(
    client: &str,
    job: Job,
    count: usize,
    failed: usize,
    seconds: f64,
    bytes: usize,
) -> String {
    let cpu = cpu_seconds().map_or("null".to_owned(), |seconds| format!("{seconds:.2}"));
    format!(
        "{{\"client\":\"{client}\",\"job\":\"{}\",\"count\":{count},\"failed\":{failed},\
         \"seconds\":{seconds:.6},\"bytes\":{bytes},\"cpu_seconds\":{cpu}}}",
        job.name()
    )
}

/// Prints what a program came to, its line or what went wrong, and gives the exit code.
#[allow(
    clippy::print_stdout,
    reason = "the figures are what these programs are for"
)]
#[must_use]
pub fn ended(came_to: Result<String, String>) -> ExitCode {
    let code = match came_to {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    };
    println!("{}", came_to.unwrap_or_else(|message| message));
    code
}

/// Processor time of this process so far, where `/proc` tells it (proc_pid_stat(5): `utime` and `stime`, in hundredths).
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Result<Vec<u32>, _> = ticks.map(str::parse).collect();
    Some(f64::from(ticks.ok()?.iter().sum::<u32>()) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
dn: CN=Users,DC=contoso,DC=com
objectClass: container
cn: Users

dn: CN=4f1c,CN=RegisteredDevices,DC=contoso,DC=com
objectClass: top
objectClass: msDS-Device
cn: 4f1c
msDS-IsEnabled: TRUE
msDS-DevicePhysicalIDs: a
msDS-DevicePhysicalIDs: b
msDS-ApproximateLastLogonTimeStamp: 134000000000000000
objectGUID:: AAAAAAAAAAAAAAAAAAAAAA==
";

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn arguments(file: &Path) -> Arguments {
        let text = format!(
            "ldaps://localhost:636 ca.pem CN=admin secret DC=contoso,DC=test add {} 32",
            file.display()
        );
        Arguments::parse(&words(&text)).unwrap()
    }

    #[test]
    fn a_device_is_named_under_the_container_of_the_run_and_keeps_its_values_but_the_guid() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.ldif");
        std::fs::write(&file, FILE).unwrap();
        let devices = arguments(&file).devices().unwrap();
        assert_eq!(devices.len(), 1);
        assert_eq!(
            devices[0].dn,
            "CN=4f1c,CN=RegisteredDevices,DC=contoso,DC=test"
        );
        let names: Vec<_> = devices[0]
            .attributes
            .iter()
            .map(|(n, v)| (*n, v.len()))
            .collect();
        assert_eq!(
            names,
            [
                ("objectClass", 2),
                ("cn", 1),
                ("msDS-IsEnabled", 1),
                ("msDS-DevicePhysicalIDs", 2),
                ("msDS-ApproximateLastLogonTimeStamp", 1)
            ]
        );
    }

    #[test]
    fn a_modify_flips_the_flag_and_raises_the_time_by_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.ldif");
        std::fs::write(&file, FILE).unwrap();
        let [flag, time] = arguments(&file).devices().unwrap()[0].swaps().unwrap();
        assert_eq!((flag.old, flag.new), (b"TRUE".to_vec(), b"FALSE".to_vec()));
        assert_eq!(time.new, b"134000864000000000");
    }

    #[test]
    fn arguments_that_are_too_few_too_many_or_no_numbers_are_refused() {
        for text in [
            "",
            "url ca dn pw DC=a add file",
            "url ca dn pw DC=a add file 0",
            "url ca dn pw DC=a rename file 1",
            "url ca dn pw DC=a add file 1 2 3",
        ] {
            assert!(Arguments::parse(&words(text)).is_none(), "{text}");
        }
        let limited = Arguments::parse(&words("url ca dn pw DC=a read file 1 7")).unwrap();
        assert_eq!((limited.job, limited.limit), (Job::Read, 7));
    }
}
