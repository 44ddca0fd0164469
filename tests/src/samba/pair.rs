//! Two domain controllers that replicate with each other, and a client that reaches both.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use device_writeback_core::guid::Guid;

use crate::LabError;
use crate::lab::{run, run_to_success};
use crate::samba::controller::Controller;
use crate::samba::domain::{
    self, ADMIN, BASE, Credentials, DEVICES, Domain, LabUser, SERVICE, Scope,
};
use crate::samba::network::{Network, address};
use crate::samba::store::{Slot, Store};
use crate::samba::{Entry, SambaOptions, certificates};

/// Changes when the pair is made in another way: a part of the template's name.
const RECIPE: &str = "two controllers, 1";

/// Time for one step of making the second controller, and for a command in the client.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Time for a change to get to the other controller, also after a time apart: then the next
/// periodic replication brings it.
const REPLICATED: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(100);

/// One of the controllers of [`TwoDcs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dc {
    /// `dc1.contoso.test`.
    One,
    /// `dc2.contoso.test`.
    Two,
}

impl Dc {
    /// Both.
    pub const ALL: [Dc; 2] = [Dc::One, Dc::Two];

    fn machine(self) -> &'static str {
        match self {
            Dc::One => "dc1",
            Dc::Two => "dc2",
        }
    }
}

/// Two domain controllers of `contoso.test` and a client, each in a network namespace of its own.
/// All of it goes when this is dropped.
///
/// Only programs run by [`run_in_client`](Self::run_in_client) reach the controllers; they find
/// them by name (`dc1.contoso.test`, `dc2.contoso.test`) and by address. A change on one controller
/// is on the other after about a second.
#[derive(Debug)]
pub struct TwoDcs {
    one: Controller,
    two: Controller,
    domain: Domain,
    network: Network,
    // Dropped last: removes the folder and gives the network's name back.
    slot: Slot,
}

impl TwoDcs {
    /// Starts both and waits until LDAPS and Kerberos answer on each.
    ///
    /// # Errors
    ///
    /// What [`SambaDc::start`](crate::samba::SambaDc::start) refuses; and
    /// [`LabError::Missing`] where we may not make network namespaces.
    pub fn start(options: &SambaOptions) -> Result<TwoDcs, LabError> {
        let store = Store::open()?;
        let single = domain::template(&store, options.schema, options.users)?;
        let slot = store.pair_slot()?;
        let name = format!("device-writeback-{}", slot.name());
        let network = Network::make(&name, slot.folder())?;
        network.name_machines(&[("dc1", "contoso.test"), ("dc2", "")])?;
        let key = format!("two-{}", domain::digest(&[single.key(), RECIPE]));
        let template = store.template(&key, |folder| {
            single.copy(
                &["private", "state", "users.tsv", "service.keytab", "ca"],
                folder,
            )?;
            make(&network, folder)
        })?;
        template.copy(&["."], slot.folder())?;
        let (mut one, mut two) = controllers(&network, slot.folder());
        one.add_settings(&options.settings);
        two.add_settings(&options.settings);
        let mut pair = TwoDcs {
            domain: Domain::read(slot.folder())?,
            one,
            two,
            network,
            slot,
        };
        let partners = fs::read_to_string(pair.slot.folder().join("partners"))
            .map_err(LabError::file("read the names of the controllers"))?;
        name_partners(&pair.network, &partners)?;
        pair.one.spawn()?;
        pair.two.spawn()?;
        pair.one.wait_until_it_answers()?;
        pair.two.wait_until_it_answers()?;
        Ok(pair)
    }

    /// The address of a controller, seen from the client.
    #[must_use]
    pub fn address(&self, dc: Dc) -> Ipv4Addr {
        self.controller(dc).address()
    }

    /// The name of a controller; the client knows it.
    #[must_use]
    pub fn host(&self, dc: Dc) -> &str {
        self.controller(dc).host()
    }

    /// `ldaps://HOST:636`.
    #[must_use]
    pub fn ldaps_url(&self, dc: Dc) -> String {
        format!("ldaps://{}:636", self.host(dc))
    }

    /// `ldap://HOST:389`: for StartTLS and Kerberos.
    #[must_use]
    pub fn ldap_url(&self, dc: Dc) -> String {
        format!("ldap://{}:389", self.host(dc))
    }

    /// The certificate, PEM, of the authority that issued both controllers' certificates.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        self.one.ca_file()
    }

    /// The domain's DN.
    #[must_use]
    pub fn base_dn(&self) -> &'static str {
        BASE
    }

    /// The DN of the container of registered devices; it exists and is empty.
    #[must_use]
    pub fn devices_dn(&self) -> &'static str {
        DEVICES
    }

    /// The domain's SID, `S-1-5-21-...`.
    #[must_use]
    pub fn domain_sid(&self) -> &str {
        self.domain.sid()
    }

    /// `user01`, `user02` and so on.
    #[must_use]
    pub fn users(&self) -> &[LabUser] {
        self.domain.users()
    }

    /// Who may do everything.
    #[must_use]
    pub fn admin(&self) -> Credentials {
        ADMIN
    }

    /// Who may write devices.
    #[must_use]
    pub fn service(&self) -> Credentials {
        SERVICE
    }

    /// The Kerberos configuration to set as `KRB5_CONFIG`.
    #[must_use]
    pub fn kerberos_config(&self) -> &Path {
        self.domain.kerberos_config()
    }

    /// The keys of [`service`](Self::service), to set as `KRB5_CLIENT_KTNAME`.
    #[must_use]
    pub fn keytab(&self) -> &Path {
        self.domain.keytab()
    }

    /// The lab's folder, for a test's own files; it goes with the lab.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.slot.folder()
    }

    /// The command, with its arguments, variables and folder, as one that runs in the client's
    /// network. Standard input and output are the caller's to set.
    #[must_use]
    pub fn in_client(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("ip");
        wrapped
            .args(["netns", "exec", &self.network.namespace("client")])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            wrapped.current_dir(folder);
        }
        wrapped
    }

    /// Runs a command in the client's network to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not end in time; a failing command is no error.
    pub fn run_in_client(&self, command: &Command) -> Result<Output, LabError> {
        let printed = run(&mut self.in_client(command), b"", self.folder(), TIMEOUT)?;
        Ok(Output {
            status: printed.status,
            stdout: printed.stdout,
            stderr: printed.stderr.into_bytes(),
        })
    }

    /// Searches as Administrator what one controller has; sorted by DN. It is asked in its own
    /// network: this works while it is in a [`black_hole`](Self::black_hole) too.
    ///
    /// # Errors
    ///
    /// [`LabError::Failed`] carries the LDAP result code of a refused search.
    pub fn search_on(
        &self,
        dc: Dc,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
    ) -> Result<Vec<Entry>, LabError> {
        self.controller(dc)
            .search(&ADMIN, base, scope, filter, attributes)
    }

    /// Runs `ldapmodify` as Administrator on one controller, in its own network.
    ///
    /// # Errors
    ///
    /// [`LabError::Failed`] carries the LDAP result code of the first refused record.
    pub fn modify_on(&self, dc: Dc, ldif: &[u8]) -> Result<String, LabError> {
        self.controller(dc).modify(&ADMIN, ldif)
    }

    /// Waits until both controllers give the same answer to a search and it is the expected one;
    /// returns it.
    ///
    /// # Errors
    ///
    /// When a search is refused, or after a minute.
    pub fn wait_until_replicated(
        &self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
        expected: impl Fn(&[Entry]) -> bool,
    ) -> Result<Vec<Entry>, LabError> {
        let deadline = Instant::now() + REPLICATED;
        loop {
            let one = self.search_on(Dc::One, base, scope, filter, attributes)?;
            let two = self.search_on(Dc::Two, base, scope, filter, attributes)?;
            if one == two && expected(&one) {
                return Ok(one);
            }
            if Instant::now() >= deadline {
                let (one, two) = (one.len(), two.len());
                return Err(LabError::TimedOut {
                    program: "samba".to_owned(),
                    what: "replicate",
                    seconds: REPLICATED.as_secs(),
                    stderr: format!("one has {one}, the other {two}\n{}", self.one.log()),
                });
            }
            std::thread::sleep(POLL);
        }
    }

    /// Ends every process of a controller at once, as a power cut does.
    pub fn kill(&mut self, dc: Dc) {
        self.controller_mut(dc).kill();
    }

    /// Asks a controller to end and waits until it has.
    ///
    /// # Errors
    ///
    /// When it does not end in time; it is killed then.
    pub fn stop_gracefully(&mut self, dc: Dc) -> Result<(), LabError> {
        self.controller_mut(dc).stop()
    }

    /// Starts a controller again and waits until it answers; one that runs is stopped first.
    ///
    /// # Errors
    ///
    /// When it does not end or does not come up.
    pub fn restart(&mut self, dc: Dc) -> Result<(), LabError> {
        let controller = self.controller_mut(dc);
        controller.stop()?;
        controller.start()
    }

    /// Cuts a controller off: whatever is sent to it gets no answer at all, not even a refusal.
    ///
    /// # Errors
    ///
    /// When the system refuses it.
    pub fn black_hole(&self, dc: Dc) -> Result<(), LabError> {
        self.network.connect(dc.machine(), false)
    }

    /// Ends a [`black_hole`](Self::black_hole).
    ///
    /// # Errors
    ///
    /// When the system refuses it.
    pub fn heal(&self, dc: Dc) -> Result<(), LabError> {
        self.network.connect(dc.machine(), true)
    }

    /// The processes of a controller, in ascending order.
    #[must_use]
    pub fn process_ids(&self, dc: Dc) -> Vec<u32> {
        self.controller(dc).process_ids()
    }

    fn controller(&self, dc: Dc) -> &Controller {
        match dc {
            Dc::One => &self.one,
            Dc::Two => &self.two,
        }
    }

    fn controller_mut(&mut self, dc: Dc) -> &mut Controller {
        match dc {
            Dc::One => &mut self.one,
            Dc::Two => &mut self.two,
        }
    }
}

fn controllers(network: &Network, folder: &Path) -> (Controller, Controller) {
    let controller = |dc: Dc| {
        let machine = dc.machine();
        let namespace = network.namespace(machine);
        Controller::replicating(folder, machine, address(machine), namespace)
    };
    (controller(Dc::One), controller(Dc::Two))
}

/// Makes both controllers in `folder`, which holds a domain of one; none runs afterwards.
fn make(network: &Network, folder: &Path) -> Result<(), LabError> {
    let (mut one, mut two) = controllers(network, folder);
    domain::write_kerberos(folder, &[one.address(), two.address()])?;
    for controller in [&one, &two] {
        fs::create_dir_all(controller.folder())
            .map_err(LabError::file("create a controller's folder"))?;
        let names = [controller.host(), "contoso.test", "localhost"];
        let authority = folder.join("ca");
        certificates::issue(
            &authority,
            controller.folder(),
            &names,
            controller.address(),
        )?;
    }
    for part in ["private", "state"] {
        fs::rename(folder.join(part), one.folder().join(part))
            .map_err(LabError::file("move a controller's databases"))?;
    }
    one.start()?;
    tell_service_names(&one)?;
    join(&two, folder)?;
    let partners = [&one, &two].map(|of| dsa_name(&one, of));
    let [first, second] = partners;
    let partners = format!("{} {}", first?, second?);
    name_partners(network, &partners)?;
    fs::write(folder.join("partners"), partners)
        .map_err(LabError::file("write the names of the controllers"))?;
    two.start()?;
    tell_service_names(&two)?;
    // The first controller must learn the second one's service names before it can give out
    // tickets for it; without them replication would wait for minutes.
    replicate_once(&one, &two, folder)?;
    one.stop()?;
    two.stop()
}

/// Registers the names that Kerberos clients, and the other controller, know a controller by.
fn tell_service_names(controller: &Controller) -> Result<(), LabError> {
    let mut update = controller.program("samba_spnupdate");
    update
        .arg("--configfile")
        .arg(controller.folder().join("etc").join("smb.conf"));
    run_to_success(&mut update, b"", controller.folder(), TIMEOUT).map(drop)
}

/// Makes the second controller's databases out of the first one's.
fn join(two: &Controller, folder: &Path) -> Result<(), LabError> {
    let configuration = two.configure()?;
    let mut tool = two.program("samba-tool");
    tool.args(["domain", "join", "contoso.test", "DC"])
        .args(["--server", "dc1.contoso.test", "--dns-backend", "NONE"])
        .arg("--targetdir")
        .arg(two.folder())
        .arg("--configfile")
        .arg(configuration);
    run_to_success(as_administrator(&mut tool, folder), b"", folder, TIMEOUT).map(drop)
}

fn replicate_once(to: &Controller, from: &Controller, folder: &Path) -> Result<(), LabError> {
    let deadline = Instant::now() + REPLICATED;
    loop {
        let mut tool = to.program("samba-tool");
        tool.args(["drs", "replicate", to.host(), from.host(), BASE])
            .arg("--configfile")
            .arg(to.folder().join("etc").join("smb.conf"));
        match run_to_success(as_administrator(&mut tool, folder), b"", folder, TIMEOUT) {
            Err(LabError::Failed { .. }) if Instant::now() < deadline => {
                std::thread::sleep(POLL);
            }
            outcome => return outcome.map(drop),
        }
    }
}

/// The domain must be named: else Samba asks its own workgroup.
fn as_administrator<'a>(tool: &'a mut Command, folder: &Path) -> &'a mut Command {
    let account = format!("CONTOSO\\Administrator%{}", ADMIN.password);
    tool.env("HOME", folder).args(["-U", &account])
}

/// The name that replication partners look a controller up by: the GUID of its directory service.
fn dsa_name(ask: &Controller, of: &Controller) -> Result<String, LabError> {
    let name = of.host().split('.').next().unwrap_or_default();
    let dn = format!(
        "CN=NTDS Settings,CN={name},CN=Servers,CN=Default-First-Site-Name,CN=Sites,\
         CN=Configuration,{BASE}"
    );
    let found = ask.search(&ADMIN, &dn, Scope::Base, "(objectClass=*)", &["objectGUID"])?;
    let unreadable = |detail: String| LabError::Output {
        program: "ldapsearch".to_owned(),
        detail,
    };
    let value = found
        .first()
        .and_then(|entry| entry.attributes.get("objectGUID")?.first())
        .ok_or_else(|| unreadable(format!("{dn} has no objectGUID")))?;
    let guid = Guid::from_le_slice(value).map_err(|e| unreadable(e.to_string()))?;
    Ok(format!("{guid}._msdcs.contoso.test"))
}

fn name_partners(network: &Network, partners: &str) -> Result<(), LabError> {
    let (one, two) = partners.split_once(' ').unwrap_or((partners, ""));
    network.name_machines(&[("dc1", &format!("contoso.test {one}")), ("dc2", two)])
}
