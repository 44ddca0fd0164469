//! Throw-away Active Directory domain controllers: Samba, on a loopback address of its own.
//!
//! ```no_run
//! use device_writeback_tests::samba::{SambaDc, SambaOptions, Scope};
//!
//! let dc = SambaDc::start(&SambaOptions::default())?;
//! let devices = dc.ldapsearch(dc.devices_dn(), Scope::OneLevel, "(objectClass=*)", &["cn"])?;
//! assert!(devices.is_empty());
//! # Ok::<(), device_writeback_tests::LabError>(())
//! ```
//!
//! The first lab of a schema level makes the domain (five to ten seconds); what it made is kept,
//! and every further lab on this machine starts from a copy in about a second. Kept are copies
//! in `/dev/shm` (or, where that is small, the folder for temporary files), in a folder
//! `device-writeback-labs-UID`; those that no test used for a day are removed.
//!
//! A lab ends when its value is dropped, also by a panic. When the test process itself ends or
//! is killed the controller notices the closed pipe that is its standard input and ends too; its
//! folder goes when the next lab starts.
//!
//! The controller listens on ports below 1024: this needs root (or a user namespace, as
//! `unshare -rn sh -c 'ip link set lo up; cargo xtask test'` makes one).

use std::net::Ipv4Addr;
use std::path::Path;

use crate::LabError;
use crate::samba::controller::Controller;
use crate::samba::store::{Lease, Store, Template};

mod certificates;
mod controller;
mod domain;
mod network;
mod pair;
mod store;

pub use self::domain::{
    ADMIN, BASE, Credentials, DEVICES, LabUser, REALM, SERVICE, SambaSchema, Scope, USER_PASSWORD,
};
pub use self::pair::{Dc, TwoDcs};
pub use crate::openldap::Entry;

use self::domain::Domain;

/// What a lab is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SambaOptions {
    /// The schema level.
    pub schema: SambaSchema,
    /// How many users besides the built-in ones and the service account.
    pub users: u32,
    /// Lines for the `[global]` part of `smb.conf`, such as
    /// `ldap server require strong auth = allow_sasl_over_tls`.
    pub settings: String,
}

impl Default for SambaOptions {
    fn default() -> SambaOptions {
        SambaOptions {
            schema: SambaSchema::Windows2016,
            users: 20,
            settings: String::new(),
        }
    }
}

/// A running domain controller of `contoso.test`. It ends, and its files go, when this is dropped.
#[derive(Debug)]
pub struct SambaDc {
    controller: Controller,
    domain: Domain,
    template: Template,
    // Dropped last: removes the folder and gives the address back.
    _lease: Lease,
}

impl SambaDc {
    /// Starts a controller on a free address and waits until LDAPS and Kerberos answer.
    ///
    /// # Errors
    ///
    /// When Samba or its Python modules, OpenSSL or the LDAP tools are missing, ports below 1024
    /// may not be opened, or the controller does not come up.
    pub fn start(options: &SambaOptions) -> Result<SambaDc, LabError> {
        let store = Store::open()?;
        let template = domain::template(&store, options.schema, options.users)?;
        let lease = store.lease()?;
        let folder = lease.folder();
        template.copy(&["private", "state", "users.tsv", "service.keytab"], folder)?;
        template.copy(&["ca"], folder)?;
        let domain = Domain::read(folder)?;
        let mut controller = Controller::new(folder, "dc1", lease.address());
        controller.add_settings(&options.settings);
        certificates::issue(
            &folder.join("ca"),
            folder,
            &["dc1.contoso.test", "contoso.test", "localhost"],
            lease.address(),
        )?;
        domain::write_kerberos(folder, &[lease.address()])?;
        let mut dc = SambaDc {
            controller,
            domain,
            template,
            _lease: lease,
        };
        dc.first_start()?;
        Ok(dc)
    }

    /// The loopback address that the controller listens on: LDAP 389, LDAPS 636, Kerberos 88.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.controller.address()
    }

    /// `ldaps://ADDRESS:636`. The certificate names the address.
    #[must_use]
    pub fn ldaps_url(&self) -> String {
        self.controller.ldaps_url()
    }

    /// `ldap://ADDRESS:389`: for StartTLS and Kerberos; a simple bind in the clear is refused.
    #[must_use]
    pub fn ldap_url(&self) -> String {
        format!("ldap://{}:389", self.address())
    }

    /// The controller's name, `dc1.contoso.test`. No resolver of the machine knows it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.controller.host()
    }

    /// The certificate, PEM, of the authority that issued the controller's certificate.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        self.controller.ca_file()
    }

    /// The certificate, PEM, of an authority that issued nothing.
    #[must_use]
    pub fn wrong_ca_file(&self) -> &Path {
        self.controller.wrong_ca_file()
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

    /// `user01`, `user02` and so on, in this order; their password is [`USER_PASSWORD`].
    #[must_use]
    pub fn users(&self) -> &[LabUser] {
        self.domain.users()
    }

    /// Who may do everything.
    #[must_use]
    pub fn admin(&self) -> Credentials {
        ADMIN
    }

    /// Who may make, change and delete devices and read deleted objects, and write nothing else.
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
        self.controller.folder()
    }

    /// Searches as Administrator over LDAPS; sorted by DN.
    ///
    /// No `attributes` means all user attributes.
    ///
    /// # Errors
    ///
    /// [`LabError::Failed`] carries the LDAP result code of a refused search.
    pub fn ldapsearch(
        &self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
    ) -> Result<Vec<Entry>, LabError> {
        self.controller
            .search(&ADMIN, base, scope, filter, attributes)
    }

    /// As [`ldapsearch`](Self::ldapsearch), as somebody else.
    ///
    /// # Errors
    ///
    /// [`LabError::Failed`] carries the LDAP result code of a refused bind or search.
    pub fn ldapsearch_as(
        &self,
        who: &Credentials,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
    ) -> Result<Vec<Entry>, LabError> {
        self.controller.search(who, base, scope, filter, attributes)
    }

    /// Runs `ldapmodify` as Administrator over LDAPS on LDIF change records; returns what it
    /// printed.
    ///
    /// # Errors
    ///
    /// [`LabError::Failed`] carries the LDAP result code of the first refused record.
    pub fn ldapmodify(&self, ldif: &[u8]) -> Result<String, LabError> {
        self.controller.modify(&ADMIN, ldif)
    }

    /// As [`ldapmodify`](Self::ldapmodify), as somebody else.
    ///
    /// # Errors
    ///
    /// [`LabError::Failed`] carries the LDAP result code of the first refused record.
    pub fn ldapmodify_as(&self, who: &Credentials, ldif: &[u8]) -> Result<String, LabError> {
        self.controller.modify(who, ldif)
    }

    /// Makes the objects of a device registration service, as preparing a forest for AD FS does,
    /// its container being [`devices_dn`](Self::devices_dn); returns the service's DN.
    ///
    /// `inactivity_days` is `msDS-MaximumRegistrationInactivityPeriod`; 0 means that no device is
    /// ever too old. Called again it changes just that.
    ///
    /// # Errors
    ///
    /// When the directory refuses one of them.
    pub fn prepare_registration_service(&self, inactivity_days: u32) -> Result<String, LabError> {
        let (dn, make) = domain::registration_service(inactivity_days);
        match self.ldapmodify(make.as_bytes()) {
            // entryAlreadyExists, [RFC 4511] 4.1.9.
            Err(LabError::Failed { code: Some(68), .. }) => {
                self.ldapmodify(domain::inactivity_period(&dn, inactivity_days).as_bytes())?;
            }
            outcome => {
                outcome?;
            }
        }
        Ok(dn)
    }

    /// Ends every process of the controller at once, as a power cut does to it. What it had
    /// written stays, as far as the operating system is concerned.
    pub fn kill(&mut self) {
        self.controller.kill();
    }

    /// Asks the controller to end and waits until it has.
    ///
    /// # Errors
    ///
    /// When it does not end in time; it is killed then.
    pub fn stop_gracefully(&mut self) -> Result<(), LabError> {
        self.controller.stop()
    }

    /// Starts the controller again on the same databases and waits until it answers. One that
    /// still runs is stopped first.
    ///
    /// # Errors
    ///
    /// When it does not end or does not come up.
    pub fn restart(&mut self) -> Result<(), LabError> {
        self.controller.stop()?;
        self.controller.start()
    }

    /// Puts the databases back to what they were at the start; takes about a second.
    ///
    /// # Errors
    ///
    /// When the controller does not come up again.
    pub fn reset(&mut self) -> Result<(), LabError> {
        self.controller.kill();
        let folder = self.controller.folder();
        for part in ["private", "state", "cache"] {
            store::remove(&folder.join(part))?;
        }
        self.template.copy(&["private", "state"], folder)?;
        self.first_start()
    }

    /// The processes of the controller, in ascending order; none when it does not run.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        self.controller.process_ids()
    }

    /// Processor time, in seconds, that the controller's processes used since its last start.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        self.controller.cpu_seconds()
    }

    fn first_start(&mut self) -> Result<(), LabError> {
        self.controller.start()?;
        let names = domain::service_names(self.controller.host(), self.address());
        self.ldapmodify(names.as_bytes())?;
        Ok(())
    }
}
