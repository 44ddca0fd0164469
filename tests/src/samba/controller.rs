//! One Samba domain controller: its configuration, its processes, and the tools that talk to it.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::LabError;
use crate::lab::{run, run_to_success};
use crate::openldap::{Entry, entries};
use crate::samba::domain::{ADMIN, BASE, Credentials, REALM, Scope};

/// Time to come up, to end, and for one call of an LDAP tool.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is asked whether it answers, and whether it has ended.
const POLL: Duration = Duration::from_millis(30);

/// Part of a second that the times of `/proc/PID/stat` count in: the same on every Linux, whatever
/// its timer (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// A controller, running or not. Its processes end when this is dropped.
#[derive(Debug)]
pub(crate) struct Controller {
    folder: PathBuf,
    host: String,
    /// The NetBIOS name.
    name: String,
    address: Ipv4Addr,
    /// Lines of the configuration that differ between labs.
    settings: String,
    /// The network namespace it and the tools run in.
    namespace: Option<String>,
    kerberos: PathBuf,
    ca: PathBuf,
    wrong_ca: PathBuf,
    server: Option<Child>,
}

impl Controller {
    /// A controller `name` of the domain, with its files in `folder`, on a loopback address.
    pub(crate) fn new(folder: &Path, name: &str, address: Ipv4Addr) -> Controller {
        let ca = folder.join("ca");
        Controller {
            folder: folder.to_owned(),
            host: format!("{name}.contoso.test"),
            name: name.to_uppercase(),
            address,
            // Samba takes a loopback address other than the first only with a mask.
            settings: format!(
                "    interfaces = {address}/8
    server services = ldap, cldap, kdc, rpc, drepl
"
            ),
            namespace: None,
            kerberos: folder.join("krb5.conf"),
            ca: ca.join("authority.pem"),
            wrong_ca: ca.join("stranger.pem"),
            server: None,
        }
    }

    /// A controller that replicates with others, with its files below `folder`, in a namespace.
    pub(crate) fn replicating(
        folder: &Path,
        name: &str,
        address: Ipv4Addr,
        namespace: String,
    ) -> Controller {
        let ca = folder.join("ca");
        let mut controller = Controller::new(&folder.join(name), name, address);
        // Tell the other one at once, and do not wait minutes for the first and the next time.
        controller.settings = format!(
            "    interfaces = {address}/24
    server services = ldap, cldap, kdc, rpc, drepl, kcc
    dreplsrv:notify_interval = 1
    dreplsrv:periodic_startup_interval = 2
    dreplsrv:periodic_interval = 10
    kccsrv:periodic_startup_interval = 1
"
        );
        controller.namespace = Some(namespace);
        controller.kerberos = folder.join("krb5.conf");
        controller.ca = ca.join("authority.pem");
        controller.wrong_ca = ca.join("stranger.pem");
        controller
    }

    /// Adds lines to its configuration that hold from the next start on.
    pub(crate) fn add_settings(&mut self, lines: &str) {
        for line in lines.lines() {
            self.settings.push_str("    ");
            self.settings.push_str(line.trim());
            self.settings.push('\n');
        }
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn ca_file(&self) -> &Path {
        &self.ca
    }

    pub(crate) fn wrong_ca_file(&self) -> &Path {
        &self.wrong_ca
    }

    pub(crate) fn ldaps_url(&self) -> String {
        format!("ldaps://{}:636", self.address)
    }

    pub(crate) fn search(
        &self,
        who: &Credentials,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
    ) -> Result<Vec<Entry>, LabError> {
        let mut command = self.ldap_tool("ldapsearch", who);
        command
            .args(["-LLL", "-o", "ldif-wrap=no", "-s", scope.name()])
            .args(["-b", base, filter])
            .args(attributes);
        entries(&run_to_success(&mut command, b"", &self.folder, TIMEOUT)?)
    }

    pub(crate) fn modify(&self, who: &Credentials, ldif: &[u8]) -> Result<String, LabError> {
        let mut command = self.ldap_tool("ldapmodify", who);
        let printed = run_to_success(&mut command, ldif, &self.folder, TIMEOUT)?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&mut self) -> Result<(), LabError> {
        self.spawn()?;
        self.wait_until_it_answers()
    }

    /// Starts it; it does not answer yet.
    pub(crate) fn spawn(&mut self) -> Result<(), LabError> {
        let configuration = self.configure()?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .map_err(LabError::file("open a controller's log"))?;
        let copy = log
            .try_clone()
            .map_err(LabError::file("open a controller's log"))?;
        let mut command = self.program("samba");
        command
            .arg("-i")
            .arg("--configfile")
            .arg(configuration)
            .args(["-M", "prefork"])
            // With `-i`, Samba ends when a pipe that is its standard input closes: when we end.
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(copy)
            .process_group(0);
        self.server = Some(command.spawn().map_err(LabError::start("samba"))?);
        Ok(())
    }

    /// Waits until LDAPS lets Administrator in and the Kerberos service listens.
    pub(crate) fn wait_until_it_answers(&mut self) -> Result<(), LabError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let ended = match self.server.as_mut() {
                Some(server) => server
                    .try_wait()
                    .map_err(LabError::file("wait for samba"))?,
                None => None,
            };
            if let Some(status) = ended {
                return Err(LabError::Failed {
                    program: "samba".to_owned(),
                    code: status.code(),
                    stderr: self.log(),
                });
            }
            let mut said = String::new();
            if self.listens_on(88) && self.listens_on(636) {
                let mut command = self.ldap_tool("ldapsearch", &ADMIN);
                command.args(["-LLL", "-s", "base", "-b", BASE, "1.1"]);
                let answer = run(&mut command, b"", &self.folder, TIMEOUT)?;
                if answer.status.success() {
                    return Ok(());
                }
                said = answer.stderr;
            }
            if Instant::now() >= deadline {
                return Err(LabError::TimedOut {
                    program: "samba".to_owned(),
                    what: "answer",
                    seconds: TIMEOUT.as_secs(),
                    stderr: format!("{said}\n{}", self.log()),
                });
            }
            std::thread::sleep(POLL);
        }
    }

    /// Kills all its processes and waits until they are gone.
    pub(crate) fn kill(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        let group = server.id();
        kill_group(group);
        let _ = server.wait();
        // The leader is gone; the others got the same signal and are collected by init.
        let deadline = Instant::now() + TIMEOUT;
        while !members(group).is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks it to end and waits; kills it past the time-out.
    pub(crate) fn stop(&mut self) -> Result<(), LabError> {
        let Some(server) = self.server.as_mut() else {
            return Ok(());
        };
        // The end of its input is what asks it.
        drop(server.stdin.take());
        let group = server.id();
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let ended = server
                .try_wait()
                .map_err(LabError::file("wait for samba"))?;
            if ended.is_some() && members(group).is_empty() {
                self.server = None;
                return Ok(());
            }
            if Instant::now() >= deadline {
                let stderr = self.log();
                self.kill();
                return Err(LabError::TimedOut {
                    program: "samba".to_owned(),
                    what: "end",
                    seconds: TIMEOUT.as_secs(),
                    stderr,
                });
            }
            std::thread::sleep(POLL);
        }
    }

    pub(crate) fn process_ids(&self) -> Vec<u32> {
        let group = self.server.as_ref().map(Child::id);
        let members = group.map(members).unwrap_or_default();
        members.into_iter().map(|member| member.id).collect()
    }

    pub(crate) fn cpu_seconds(&self) -> f64 {
        let group = self.server.as_ref().map(Child::id);
        let members = group.map(members).unwrap_or_default();
        members.iter().map(|member| member.cpu_seconds).sum()
    }

    /// A program in the controller's network namespace that finds the domain's KDCs.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = match &self.namespace {
            None => Command::new(name),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, name]);
                command
            }
        };
        // Servers live in a folder that an ordinary user's path does not have.
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .env("KRB5_CONFIG", &self.kerberos);
        command
    }

    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).trim().to_owned()
    }

    /// An LDAP tool with a simple bind over LDAPS, the machine's settings overridden.
    fn ldap_tool(&self, name: &str, who: &Credentials) -> Command {
        let mut command = self.program(name);
        command
            .env("HOME", &self.folder)
            .env("LDAPTLS_CACERT", &self.ca)
            .env("LDAPTLS_REQCERT", "demand")
            .args(["-x", "-H", &self.ldaps_url()])
            .args(["-D", who.upn, "-w", who.password]);
        command
    }

    /// Writes the configuration and makes the folders it names.
    pub(crate) fn configure(&self) -> Result<PathBuf, LabError> {
        let failed = || LabError::file("write a controller's configuration");
        for name in ["etc", "run", "cache", "ncalrpc", "signd", "winbindd", "dns"] {
            fs::create_dir_all(self.folder.join(name)).map_err(failed())?;
        }
        let path = self.folder.join("etc").join("smb.conf");
        let (folder, name, settings) = (self.folder.display(), &self.name, &self.settings);
        // Lost test data costs nothing: no sync to the disk. One worker for each service.
        let text = format!(
            "[global]
    netbios name = {name}
    realm = {REALM}
    workgroup = CONTOSO
    server role = active directory domain controller
    bind interfaces only = yes
    nbt port = 0
    private dir = {folder}/private
    state directory = {folder}/state
    cache directory = {folder}/cache
    lock directory = {folder}
    pid directory = {folder}/run
    binddns dir = {folder}/dns
    ncalrpc dir = {folder}/ncalrpc
    ntp signd socket directory = {folder}/signd
    winbindd socket directory = {folder}/winbindd
    tls cafile = {ca}
    tls certfile = {folder}/tls/cert.pem
    tls keyfile = {folder}/tls/key.pem
    log level = 1
    ldb:nosync = true
    prefork children = 1
{settings}
[sysvol]
    path = {folder}/state/sysvol
[netlogon]
    path = {folder}/state/sysvol/contoso.test/scripts
",
            ca = self.ca.display(),
        );
        fs::write(&path, text).map_err(failed())?;
        Ok(path)
    }

    /// Whether somebody listens on this port of our address, where the controller's network is.
    fn listens_on(&self, port: u16) -> bool {
        let Some(server) = &self.server else {
            return false;
        };
        let table = format!("/proc/{}/net/tcp", server.id());
        let table = fs::read_to_string(table).unwrap_or_default();
        // As the kernel prints it: the address's octets as they lie in memory, 0A for listening.
        let address = u32::from_ne_bytes(self.address.octets());
        let local = format!("{address:08X}:{port:04X}");
        table.lines().any(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            fields.next() == Some(local.as_str()) && fields.nth(1) == Some("0A")
        })
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process of a group.
struct Member {
    id: u32,
    cpu_seconds: f64,
}

/// The processes of a group that have not ended, in ascending order.
fn members(group: u32) -> Vec<Member> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut members: Vec<Member> = entries
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let cpu_seconds = cpu_seconds_in_group(&stat, group)?;
            Some(Member { id, cpu_seconds })
        })
        .collect();
    members.sort_by_key(|member| member.id);
    members
}

/// Processor time of a process and its ended children, by a line of `/proc/PID/stat` (proc(5));
/// `None` for a process of another group and one that has ended.
fn cpu_seconds_in_group(stat: &str, group: u32) -> Option<f64> {
    // The program's name stands in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    if ended || fields.get(2)?.parse() != Ok(group) {
        return None;
    }
    let ticks: u32 = fields
        .get(11..15)?
        .iter()
        .map(|field| field.parse::<u32>().unwrap_or_default())
        .sum();
    Some(f64::from(ticks) / TICKS_PER_SECOND)
}

/// The standard library signals single processes only; a shell has it built in.
fn kill_group(group: u32) {
    let _ = Command::new("sh")
        .args(["-c", "kill -s KILL -- \"-$0\""])
        .arg(group.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4711 (a ) b) S 1 4700 4700 0 -1 4194560 1 2 3 4 150 50 20 30 20 0 1 0 9";

    #[test]
    fn processor_time_counts_ended_children() {
        assert_eq!(cpu_seconds_in_group(STAT, 4700), Some(2.5));
        assert_eq!(cpu_seconds_in_group(STAT, 4711), None);
        let ended = STAT.replace(") S", ") Z");
        assert_eq!(cpu_seconds_in_group(&ended, 4700), None);
    }

    #[test]
    fn a_group_is_killed_as_a_whole() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 600 & sleep 600"])
            .process_group(0)
            .spawn()
            .unwrap();
        let group = child.id();
        assert!(!members(group).is_empty());
        kill_group(group);
        child.wait().unwrap();
        while !members(group).is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
