//! How a server is set up.

use std::time::Duration;

use device_writeback_core::schema::SchemaVersion;
use device_writeback_core::sid::Sid;

use super::message::{LdapResult, code};
use super::script::{ConnectionRule, Rule};
use super::{HOST, SERVICE_DN, SERVICE_NAME, SERVICE_PASSWORD};

/// How a server is set up; every field may be changed.
#[derive(Clone, Debug)]
pub struct Options {
    /// TLS from the start (`ldaps://`); StartTLS otherwise.
    pub tls: bool,
    /// Names and addresses in the certificate.
    pub certificate_names: Vec<String>,
    /// The certificate ended in 2021.
    pub certificate_expired: bool,
    /// Simple binds without TLS are refused with 8.
    pub require_encryption: bool,
    /// Everything may be done without a bind.
    pub anonymous: bool,
    /// Who may bind.
    pub accounts: Vec<Account>,
    /// The schema: its version, the attributes of the device class.
    pub schema: SchemaVersion,
    /// A read-only domain controller: it says so, and refers writes to another.
    pub read_only: bool,
    /// `isGlobalCatalogReady`.
    pub global_catalog_ready: bool,
    /// `isSynchronized`.
    pub synchronized: bool,
    /// How many ordinary users there are, with RIDs from 1104.
    pub users: u32,
    /// Other domains of the forest: they have cross references, and searches there are referred.
    pub other_domains: Vec<(String, Sid)>,
    /// A device registration service with this inactivity period in days.
    pub registration_service: Option<u32>,
    /// `MaxPageSize`: the most entries of a search or of one of its pages.
    pub max_page_size: usize,
    /// `MaxValRange`: the most values of an attribute that are shown at once.
    pub max_values: usize,
    /// How late every answer is.
    pub latency: Duration,
    /// What happens to single requests.
    pub script: Vec<Rule>,
    /// What is wrong with single connections.
    pub connection_rules: Vec<ConnectionRule>,
}

impl Default for Options {
    fn default() -> Options {
        let names = ["127.0.0.1", "localhost", HOST];
        Options {
            tls: true,
            certificate_names: names.map(str::to_owned).to_vec(),
            certificate_expired: false,
            require_encryption: true,
            anonymous: false,
            accounts: vec![Account::service()],
            schema: SchemaVersion::Windows2016,
            read_only: false,
            global_catalog_ready: true,
            synchronized: true,
            users: 20,
            other_domains: Vec::new(),
            registration_service: None,
            max_page_size: 1000,
            max_values: 1500,
            latency: Duration::ZERO,
            script: Vec::new(),
            connection_rules: Vec::new(),
        }
    }
}

/// Somebody who may bind with a password.
#[derive(Clone, Debug)]
pub struct Account {
    /// The names that are understood, in any case.
    pub names: Vec<String>,
    /// The password.
    pub password: String,
    /// Why the right password does not help.
    pub refusal: Option<BindRefusal>,
}

impl Account {
    /// The account of [`SERVICE_NAME`].
    #[must_use]
    pub fn service() -> Account {
        let names = [SERVICE_NAME, SERVICE_DN, "CONTOSO\\svc-writeback"];
        Account {
            names: names.map(str::to_owned).to_vec(),
            password: SERVICE_PASSWORD.to_owned(),
            refusal: None,
        }
    }
}

/// Why Active Directory refuses a bind: all of them are `invalidCredentials`, told apart by a
/// Win32 error code in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindRefusal {
    /// 52e: the name or the password is wrong.
    WrongPassword,
    /// 530: not at this hour.
    LogonHours,
    /// 532: the password has expired.
    PasswordExpired,
    /// 533: the account is disabled.
    Disabled,
    /// 701: the account has expired.
    AccountExpired,
    /// 773: the password must be changed first.
    MustChangePassword,
    /// 775: the account is locked.
    LockedOut,
}

impl BindRefusal {
    /// The result of such a bind.
    #[must_use]
    pub fn result(self) -> LdapResult {
        let data = match self {
            BindRefusal::WrongPassword => "52e",
            BindRefusal::LogonHours => "530",
            BindRefusal::PasswordExpired => "532",
            BindRefusal::Disabled => "533",
            BindRefusal::AccountExpired => "701",
            BindRefusal::MustChangePassword => "773",
            BindRefusal::LockedOut => "775",
        };
        let message = format!(
            "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data {data}, v4563"
        );
        LdapResult::new(code::INVALID_CREDENTIALS, &message)
    }
}

/// A user of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `sAMAccountName`.
    pub name: String,
    /// `userPrincipalName`.
    pub upn: String,
    /// The distinguished name.
    pub dn: String,
    /// `objectSid`.
    pub sid: Sid,
}
