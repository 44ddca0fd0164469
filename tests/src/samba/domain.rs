//! What the domain `contoso.test` of the labs holds.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::LabError;
use crate::lab::run_to_success;
use crate::samba::certificates;
use crate::samba::store::{Store, Template};

/// The domain's DN.
pub const BASE: &str = "DC=contoso,DC=test";
/// The container of registered devices.
pub const DEVICES: &str = "CN=RegisteredDevices,DC=contoso,DC=test";
/// The Kerberos realm.
pub const REALM: &str = "CONTOSO.TEST";
/// The built-in Administrator.
pub const ADMIN: Credentials = Credentials {
    upn: "Administrator@contoso.test",
    password: "Passw0rd!Admin",
};
/// The account with just the rights that writing devices takes.
pub const SERVICE: Credentials = Credentials {
    upn: "svc-writeback@contoso.test",
    password: "Svc-Passw0rd!1",
};
/// The password of every [`LabUser`].
pub const USER_PASSWORD: &str = "User-Passw0rd!1";

/// Makes the databases; needs the interpreter that has Samba's modules, which is the system's.
const SCRIPT: &str = include_str!("../../tools/samba_lab.py");
const PYTHON: &str = "/usr/bin/python3";

/// Time to make a domain, on a machine that is busy with other tests.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The schema level of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SambaSchema {
    /// Windows Server 2012 R2: `objectVersion` 69, devices without the newer attributes.
    Windows2012R2,
    /// Windows Server 2016: `objectVersion` 87.
    Windows2016,
}

impl SambaSchema {
    /// The value of `objectVersion` at the head of the schema.
    #[must_use]
    pub fn object_version(self) -> u32 {
        match self {
            SambaSchema::Windows2012R2 => 69,
            SambaSchema::Windows2016 => 87,
        }
    }

    /// Samba's name of it.
    fn name(self) -> &'static str {
        match self {
            SambaSchema::Windows2012R2 => "2012_R2",
            SambaSchema::Windows2016 => "2016",
        }
    }
}

/// How deep a search goes ([RFC 4511] 4.5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The base alone.
    Base,
    /// Its children.
    OneLevel,
    /// The base and everything below it.
    Subtree,
}

impl Scope {
    /// What `ldapsearch -s` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Scope::Base => "base",
            Scope::OneLevel => "one",
            Scope::Subtree => "sub",
        }
    }
}

/// Who binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user principal name; Active Directory takes it as the name of a simple bind.
    pub upn: &'static str,
    /// The password.
    pub password: &'static str,
}

/// Somebody who can own a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabUser {
    /// The `sAMAccountName`.
    pub name: String,
    /// The `userPrincipalName`.
    pub upn: String,
    /// The `objectSid`, `S-1-5-21-...`.
    pub sid: String,
    /// The `objectGUID`, lower case with hyphens.
    pub guid: String,
    /// The distinguished name.
    pub dn: String,
}

/// What a lab's folder says of its domain.
#[derive(Debug)]
pub(crate) struct Domain {
    sid: String,
    users: Vec<LabUser>,
    kerberos_config: PathBuf,
    keytab: PathBuf,
}

impl Domain {
    pub(crate) fn read(folder: &Path) -> Result<Domain, LabError> {
        let text = fs::read_to_string(folder.join("users.tsv"))
            .map_err(LabError::file("read the users of a domain"))?;
        let mut lines = text.lines();
        let sid = lines.next().unwrap_or_default().to_owned();
        let users = lines.map(user).collect::<Result<_, _>>()?;
        Ok(Domain {
            sid,
            users,
            kerberos_config: folder.join("krb5.conf"),
            keytab: folder.join("service.keytab"),
        })
    }

    pub(crate) fn sid(&self) -> &str {
        &self.sid
    }

    pub(crate) fn users(&self) -> &[LabUser] {
        &self.users
    }

    pub(crate) fn kerberos_config(&self) -> &Path {
        &self.kerberos_config
    }

    pub(crate) fn keytab(&self) -> &Path {
        &self.keytab
    }
}

/// The databases of a domain that no controller has opened yet, with its certificate authority.
pub(crate) fn template(
    store: &Store,
    schema: SambaSchema,
    users: u32,
) -> Result<Template, LabError> {
    let key = format!(
        "one-{}-{users}-{}",
        schema.object_version(),
        digest(&[SCRIPT, certificates::RECIPE])
    );
    store.template(&key, |folder| {
        let mut python = Command::new(PYTHON);
        python
            .args(["-B", "-"])
            .arg(folder)
            .args([schema.name(), &users.to_string()])
            // Not the machine's own configuration of Samba.
            .env("SMB_CONF_PATH", folder.join("etc").join("smb.conf"));
        run_to_success(&mut python, SCRIPT.as_bytes(), folder, TIMEOUT)?;
        certificates::make_authorities(&folder.join("ca"))
    })
}

/// A short name of the texts that a template depends on.
pub(crate) fn digest(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    let mut name = String::new();
    for byte in hash.finalize().iter().take(6) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Writes a Kerberos configuration that asks no name server.
pub(crate) fn write_kerberos(folder: &Path, controllers: &[Ipv4Addr]) -> Result<(), LabError> {
    let mut text = format!(
        "[libdefaults]
    default_realm = {REALM}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
[realms]
    {REALM} = {{
"
    );
    for address in controllers {
        let _ = writeln!(text, "        kdc = {address}");
    }
    let _ = write!(
        text,
        "    }}
[domain_realm]
    .contoso.test = {REALM}
    contoso.test = {REALM}
    localhost = {REALM}
"
    );
    for address in controllers {
        let _ = writeln!(text, "    {address} = {REALM}");
    }
    fs::write(folder.join("krb5.conf"), text)
        .map_err(LabError::file("write a Kerberos configuration"))
}

/// LDIF that lets Kerberos clients name the controller by its address.
pub(crate) fn service_names(host: &str, address: Ipv4Addr) -> String {
    let name = host.split('.').next().unwrap_or(host).to_uppercase();
    format!(
        "dn: CN={name},OU=Domain Controllers,{BASE}
changetype: modify
add: servicePrincipalName
servicePrincipalName: ldap/localhost
servicePrincipalName: ldap/{address}
"
    )
}

/// The DN of the device registration service, and LDIF that makes it with all that is above it.
///
/// The container above must be a plain one: in one of class
/// `msDS-DeviceRegistrationServiceContainer` no service connection point may stand beside it.
pub(crate) fn registration_service(inactivity_days: u32) -> (String, String) {
    let top = format!("CN=Device Registration Configuration,CN=Services,CN=Configuration,{BASE}");
    let services = format!("CN=Device Registration Services,{top}");
    let dn = format!("CN=9a1e0a4c-52c1-4a3e-8d2f-6d6a3f1b7c05,{services}");
    let ldif = format!(
        "dn: {top}
changetype: add
objectClass: container

dn: {services}
changetype: add
objectClass: msDS-DeviceRegistrationServiceContainer

dn: {dn}
changetype: add
objectClass: msDS-DeviceRegistrationService
msDS-DeviceLocation: {DEVICES}
msDS-IsEnabled: TRUE
msDS-RegistrationQuota: 10
msDS-MaximumRegistrationInactivityPeriod: {inactivity_days}
"
    );
    (dn, ldif)
}

/// LDIF that sets the inactivity period of the service at `dn`.
pub(crate) fn inactivity_period(dn: &str, days: u32) -> String {
    format!(
        "dn: {dn}
changetype: modify
replace: msDS-MaximumRegistrationInactivityPeriod
msDS-MaximumRegistrationInactivityPeriod: {days}
"
    )
}

fn user(line: &str) -> Result<LabUser, LabError> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, upn, sid, guid, dn] = fields.as_slice() else {
        return Err(LabError::Output {
            program: "samba_lab.py".to_owned(),
            detail: format!("a user has five fields, not `{line}`"),
        });
    };
    Ok(LabUser {
        name: (*name).to_owned(),
        upn: (*upn).to_owned(),
        sid: (*sid).to_owned(),
        guid: (*guid).to_owned(),
        dn: (*dn).to_owned(),
    })
}
