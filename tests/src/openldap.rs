//! A throw-away OpenLDAP server with the device part of Active Directory's schema.
//!
//! ```no_run
//! use device_writeback_tests::openldap::{DEVICES, OpenLdap};
//!
//! let server = OpenLdap::start()?;
//! let devices = server.ldapsearch(DEVICES, "(objectClass=msDS-Device)", &["msDS-DeviceID"])?;
//! assert!(devices.is_empty());
//! # Ok::<(), device_writeback_tests::LabError>(())
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use device_writeback_core::dn::Dn;
use device_writeback_core::ldif::{self, Body};
use tempfile::TempDir;

use crate::LabError;
use crate::lab::{run, run_to_success, spawn_logged, stop};

/// The domain the server holds.
pub const SUFFIX: &str = "DC=contoso,DC=com";
/// The container of registered devices; it exists and is empty.
pub const DEVICES: &str = "CN=RegisteredDevices,DC=contoso,DC=com";
/// The container of users; it exists and is empty.
pub const USERS: &str = "CN=Users,DC=contoso,DC=com";
/// Who may write everything.
pub const ROOT_DN: &str = "CN=admin,DC=contoso,DC=com";
/// The password of [`ROOT_DN`].
pub const ROOT_PASSWORD: &str = "throw-away";

/// The schema file, loaded alone.
const SCHEMA: &str = include_str!("schema/msds-device.schema");

/// What stands in the directory at the start.
const SEED: &str = "\
dn: DC=contoso,DC=com
changetype: add
objectClass: top
objectClass: domain
objectClass: domainDNS
dc: contoso

dn: CN=RegisteredDevices,DC=contoso,DC=com
changetype: add
objectClass: top
objectClass: msDS-DeviceContainer
cn: RegisteredDevices

dn: CN=Users,DC=contoso,DC=com
changetype: add
objectClass: top
objectClass: container
cn: Users
";

/// Time for the server to answer after its start, and for one call of an LDAP tool.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Somebody else can take the free port before the server does; then another one is tried.
const ATTEMPTS: usize = 5;

/// A running server. It ends, and its files go, when this is dropped.
#[derive(Debug)]
pub struct OpenLdap {
    server: Child,
    port: u16,
    folder: TempDir,
}

/// One entry that [`OpenLdap::ldapsearch`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The distinguished name. OpenLDAP prints attribute types of its own schema in lower case.
    pub dn: Dn,
    /// The attributes by name, spelled as the schema spells it. Values are sorted.
    pub attributes: BTreeMap<String, Vec<Vec<u8>>>,
}

impl OpenLdap {
    /// Starts a server on a free port of 127.0.0.1 and waits until it answers.
    ///
    /// # Errors
    ///
    /// When `slapd` or the LDAP tools are missing or the server does not come up.
    pub fn start() -> Result<OpenLdap, LabError> {
        let mut attempt = 1;
        loop {
            match OpenLdap::start_once() {
                Err(error) if attempt < ATTEMPTS && may_pass(&error) => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    /// The server's address, `ldap://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// Runs `ldapmodify` as [`ROOT_DN`] on LDIF change records; returns what it printed.
    ///
    /// # Errors
    ///
    /// [`LabError::Failed`] carries the LDAP result code of the first refused record.
    pub fn ldapmodify(&self, ldif: &[u8]) -> Result<String, LabError> {
        let mut command = self.tool("ldapmodify");
        let printed = run_to_success(&mut command, ldif, self.folder.path(), TIMEOUT)?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }

    /// Searches `base` and everything below it as [`ROOT_DN`]; sorted by DN.
    ///
    /// No `attributes` means all user attributes.
    ///
    /// # Errors
    ///
    /// When the server refuses the search or answers with something that is not LDIF.
    pub fn ldapsearch(
        &self,
        base: &str,
        filter: &str,
        attributes: &[&str],
    ) -> Result<Vec<Entry>, LabError> {
        let mut command = self.tool("ldapsearch");
        command
            .args(["-LLL", "-o", "ldif-wrap=no", "-b", base, filter])
            .args(attributes);
        entries(&run_to_success(
            &mut command,
            b"",
            self.folder.path(),
            TIMEOUT,
        )?)
    }

    fn start_once() -> Result<OpenLdap, LabError> {
        let folder = TempDir::new().map_err(LabError::file("create a server's folder"))?;
        let path = |name: &str| folder.path().join(name);
        let configuration = path("slapd.conf");
        fs::create_dir(path("db")).map_err(LabError::file("create a database folder"))?;
        fs::write(path("msds-device.schema"), SCHEMA)
            .and_then(|()| fs::write(&configuration, configure(folder.path())))
            .map_err(LabError::file("write a server's configuration"))?;
        // Debian confines /usr/sbin/slapd, by its path, to the system's own database folders
        // (AppArmor); a copy elsewhere may read ours.
        let binary = path("slapd");
        fs::copy(installed_slapd(), &binary).map_err(LabError::start("slapd"))?;
        let port = free_port().map_err(LabError::file("find a free port"))?;
        let mut command = Command::new(&binary);
        command
            .args(["-d", "0", "-f"])
            .arg(&configuration)
            .args(["-h", &format!("ldap://127.0.0.1:{port}/")]);
        let server = spawn_logged(&mut command, &path("log"))?;
        // From here on dropping the value stops the server.
        let mut server = OpenLdap {
            server,
            port,
            folder,
        };
        server.wait_until_it_answers()?;
        server.ldapmodify(SEED.as_bytes())?;
        Ok(server)
    }

    fn wait_until_it_answers(&mut self) -> Result<(), LabError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let ended = self
                .server
                .try_wait()
                .map_err(LabError::file("wait for slapd"))?;
            if let Some(status) = ended {
                let (program, code) = ("slapd".to_owned(), status.code());
                return Err(LabError::Failed {
                    program,
                    code,
                    stderr: self.log(),
                });
            }
            let mut command = self.tool("ldapsearch");
            command.args(["-LLL", "-s", "base", "-b", "", "namingContexts"]);
            let answer = run(&mut command, b"", self.folder.path(), TIMEOUT)?;
            if answer.status.success() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let (program, seconds) = ("slapd".to_owned(), TIMEOUT.as_secs());
                let stderr = format!("{}\n{}", answer.stderr, self.log());
                return Err(LabError::TimedOut {
                    program,
                    what: "answer",
                    seconds,
                    stderr,
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// An LDAP tool that binds as [`ROOT_DN`] and reads no configuration of the machine.
    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("LDAPNOINIT", "1").args([
            "-x",
            "-H",
            &self.url(),
            "-D",
            ROOT_DN,
            "-w",
            ROOT_PASSWORD,
        ]);
        command
    }

    fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).trim().to_owned()
    }
}

impl Drop for OpenLdap {
    fn drop(&mut self) {
        stop(&mut self.server);
    }
}

fn configure(folder: &Path) -> String {
    let mut text = String::new();
    let folder = folder.display();
    // Where Debian keeps the modules; other systems link the database in.
    for modules in ["/usr/lib/ldap", "/usr/lib64/openldap", "/usr/lib/openldap"] {
        if Path::new(modules).join("back_mdb.so").exists() {
            let _ = writeln!(text, "modulepath {modules}\nmoduleload back_mdb");
            break;
        }
    }
    // A lost test directory costs nothing: no sync to the disk.
    let _ = write!(
        text,
        "include {folder}/msds-device.schema
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
sizelimit unlimited
database mdb
suffix {SUFFIX}
rootdn {ROOT_DN}
rootpw {ROOT_PASSWORD}
directory {folder}/db
maxsize 1073741824
dbnosync
limits * size.prtotal=unlimited size.pr=unlimited
index objectClass,cn,msDS-DeviceID,altSecurityIdentities eq
"
    );
    text
}

/// `slapd` lives in a folder that an ordinary user's `PATH` does not have.
fn installed_slapd() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [
        "/usr/sbin",
        "/usr/local/sbin",
        "/usr/lib/openldap",
        "/usr/libexec",
    ];
    std::env::split_paths(&path)
        .chain(folders.iter().map(PathBuf::from))
        .map(|folder| folder.join("slapd"))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| PathBuf::from("/usr/sbin/slapd"))
}

/// Whether another attempt at starting the server may do better: the port was taken, or a program
/// that another thread started in this moment still holds the server's new file open for writing.
fn may_pass(error: &LabError) -> bool {
    match error {
        LabError::Failed { .. } => true,
        LabError::Start { source, .. } => source.kind() == std::io::ErrorKind::ExecutableFileBusy,
        _ => false,
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn entries(printed: &[u8]) -> Result<Vec<Entry>, LabError> {
    let unreadable = |detail: String| LabError::Output {
        program: "ldapsearch".to_owned(),
        detail,
    };
    let mut entries = Vec::new();
    for record in ldif::parse_all(printed) {
        let record = record.map_err(|e| unreadable(e.to_string()))?;
        let Body::Content(values) = record.body else {
            return Err(unreadable(format!(
                "{} is a change, not an entry",
                record.dn
            )));
        };
        let mut attributes: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for value in values {
            attributes.entry(value.name).or_default().push(value.value);
        }
        attributes.values_mut().for_each(|values| values.sort());
        let dn = Dn::parse(&record.dn).map_err(|e| unreadable(e.to_string()))?;
        entries.push(Entry { dn, attributes });
    }
    entries.sort_by(|a, b| a.dn.cmp(&b.dn));
    Ok(entries)
}
