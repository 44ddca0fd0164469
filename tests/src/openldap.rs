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

mod certificates;

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

/// What Active Directory indexes on devices besides what every server here does.
const ADLIKE_INDEXES: &[&str] = &[
    "displayName",
    "msDS-DeviceOSType",
    "msDS-DeviceOSVersion",
    "msDS-DevicePhysicalIDs",
    "msDS-RegisteredOwner",
    "msDS-RegisteredUsers",
    "msDS-IsManaged",
    "msDS-CloudIsManaged",
    "msDS-DeviceObjectVersion",
    "msDS-ApproximateLastLogonTimeStamp",
    "msDS-ComputerSID",
];

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

/// How a server differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct OpenLdapOptions {
    /// Listen on [`OpenLdap::ldaps_url`] as well, with a certificate of an authority of its own.
    pub tls: bool,
    /// Index every attribute of devices and users that Active Directory indexes (`searchFlags` bit 0),
    /// not only those that tests look for.
    pub adlike_indexes: bool,
    /// Where the database's own folder is made; else beside the server's other files. In a memory file system the
    /// disk does not decide how fast the server is.
    pub database_parent: Option<PathBuf>,
    /// LDIF content records to hold at the start instead of the usual ones; loaded before the server runs.
    pub content: Option<PathBuf>,
}

/// A running server. It ends, and its files go, when this is dropped.
#[derive(Debug)]
pub struct OpenLdap {
    server: Child,
    port: u16,
    tls_port: Option<u16>,
    folder: TempDir,
    /// Kept so that it is removed in the end.
    _database: TempDir,
}

/// One entry that `ldapsearch` found.
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
        OpenLdap::start_with(&OpenLdapOptions::default())
    }

    /// As [`OpenLdap::start`], but another server.
    ///
    /// # Errors
    ///
    /// Those of [`OpenLdap::start`], and when the content cannot be loaded or `openssl` is missing.
    pub fn start_with(options: &OpenLdapOptions) -> Result<OpenLdap, LabError> {
        let mut attempt = 1;
        loop {
            match OpenLdap::start_once(options) {
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

    /// The server's address for TLS from the first byte, `ldaps://127.0.0.1:PORT`, when it was asked for.
    #[must_use]
    pub fn ldaps_url(&self) -> Option<String> {
        let port = self.tls_port?;
        Some(format!("ldaps://127.0.0.1:{port}"))
    }

    /// The certificate (PEM) of the authority that signed the server's; a file only with TLS.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join(certificates::AUTHORITY)
    }

    /// The server's process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.server.id()
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

    fn start_once(options: &OpenLdapOptions) -> Result<OpenLdap, LabError> {
        let folder = TempDir::new().map_err(LabError::file("create a server's folder"))?;
        let path = |name: &str| folder.path().join(name);
        let parent = options.database_parent.as_deref();
        let database = TempDir::new_in(parent.unwrap_or(folder.path()))
            .map_err(LabError::file("create a database folder"))?;
        if options.tls {
            certificates::make(folder.path(), TIMEOUT)?;
        }
        let configuration = path("slapd.conf");
        let text = configure(folder.path(), database.path(), options);
        fs::write(path("msds-device.schema"), SCHEMA)
            .and_then(|()| fs::write(&configuration, text))
            .map_err(LabError::file("write a server's configuration"))?;
        // Debian confines /usr/sbin/slapd, by its path, to the system's own database folders
        // (AppArmor); a copy elsewhere may read ours.
        let binary = path("slapd");
        fs::copy(installed_slapd(), &binary).map_err(LabError::start("slapd"))?;
        if let Some(content) = &options.content {
            let mut command = Command::new(&binary);
            command
                .args(["-Tadd", "-q", "-f"])
                .arg(&configuration)
                .arg("-l")
                .arg(content);
            run_to_success(&mut command, b"", folder.path(), TIMEOUT)?;
        }
        let free = || free_port().map_err(LabError::file("find a free port"));
        let (port, tls_port) = (free()?, options.tls.then(free).transpose()?);
        let mut listeners = format!("ldap://127.0.0.1:{port}/");
        if let Some(port) = tls_port {
            let _ = write!(listeners, " ldaps://127.0.0.1:{port}/");
        }
        let mut command = Command::new(&binary);
        command
            .args(["-d", "0", "-f"])
            .arg(&configuration)
            .args(["-h", &listeners]);
        let server = spawn_logged(&mut command, &path("log"))?;
        // From here on dropping the value stops the server.
        let mut server = OpenLdap {
            server,
            port,
            tls_port,
            folder,
            _database: database,
        };
        server.wait_until_it_answers()?;
        if options.content.is_none() {
            server.ldapmodify(SEED.as_bytes())?;
        }
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

/// What the server is told. The requests of one connection that wait for their turn are many in the tests of windows;
/// past `conn_max_pending_auth` slapd stops to read.
fn configure(folder: &Path, database: &Path, options: &OpenLdapOptions) -> String {
    let mut text = String::new();
    let (folder, database) = (folder.display(), database.display());
    // Where Debian keeps the modules; other systems link the database in.
    for modules in ["/usr/lib/ldap", "/usr/lib64/openldap", "/usr/lib/openldap"] {
        if Path::new(modules).join("back_mdb.so").exists() {
            let _ = writeln!(text, "modulepath {modules}\nmoduleload back_mdb");
            break;
        }
    }
    if options.tls {
        let _ = write!(
            text,
            "TLSCACertificateFile {folder}/{}
TLSCertificateFile {folder}/{}
TLSCertificateKeyFile {folder}/{}
",
            certificates::AUTHORITY,
            certificates::CERTIFICATE,
            certificates::KEY,
        );
    }
    // A lost test directory costs nothing: no sync to the disk.
    let _ = write!(
        text,
        "include {folder}/msds-device.schema
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
sizelimit unlimited
conn_max_pending_auth 100000
database monitor
database mdb
suffix {SUFFIX}
rootdn {ROOT_DN}
rootpw {ROOT_PASSWORD}
directory {database}
maxsize 4294967296
dbnosync
limits * size.prtotal=unlimited size.pr=unlimited
index objectClass,cn,msDS-DeviceID,altSecurityIdentities,objectSid eq
"
    );
    if options.adlike_indexes {
        let _ = writeln!(text, "index {} eq", ADLIKE_INDEXES.join(","));
    }
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

/// What `ldapsearch -LLL` printed, sorted by DN.
pub(crate) fn entries(printed: &[u8]) -> Result<Vec<Entry>, LabError> {
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
