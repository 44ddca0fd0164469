//! A forest, a made-up tenant and the program between them: what the tests on a real domain controller share.
//!
//! What the program says is never taken for what the directory has: the directory is always asked by `ldapsearch`, octets and all.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use device_writeback_tests::samba::{
    ADMIN, BASE, Credentials, DEVICES, Entry, SERVICE, SambaDc, SambaOptions, SambaSchema, Scope,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::product::{self, Said};
use crate::tenant::TENANT;

/// Both schema levels.
pub(crate) const LEVELS: [SambaSchema; 2] = [SambaSchema::Windows2012R2, SambaSchema::Windows2016];

/// Attributes that the domain controller itself keeps on every object.
const SYSTEM: [&str; 11] = [
    "distinguishedName",
    "dSCorePropagationData",
    "instanceType",
    "name",
    "objectCategory",
    "objectGUID",
    "showInAdvancedViewOnly",
    "uSNChanged",
    "uSNCreated",
    "whenChanged",
    "whenCreated",
];
/// Of these, the ones that change with every write.
const VOLATILE: [&str; 3] = ["dSCorePropagationData", "uSNChanged", "whenChanged"];

/// An attribute's name and its values, sorted.
pub(crate) type Attributes = BTreeMap<String, Vec<Vec<u8>>>;
/// Objects by their DN.
pub(crate) type Objects = BTreeMap<String, Attributes>;

/// How the program is configured.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) url: String,
    pub(crate) start_tls: bool,
    pub(crate) account: Credentials,
    pub(crate) ca_file: PathBuf,
    /// Further lines of `[directory]`.
    pub(crate) directory: String,
    /// Lines of `[rules]`.
    pub(crate) rules: String,
    /// Lines of `[limits]`.
    pub(crate) limits: String,
}

/// A domain controller, and a folder with the files of the program.
pub(crate) struct Site {
    pub(crate) dc: SambaDc,
    pub(crate) schema: SambaSchema,
    folder: TempDir,
}

impl Site {
    /// Starts a domain controller; the program is configured as [`Site::setup`] has it, with a tenant without users.
    pub(crate) fn start(schema: SambaSchema) -> Site {
        let options = SambaOptions {
            schema,
            ..SambaOptions::default()
        };
        let site = Site {
            dc: SambaDc::start(&options).unwrap(),
            schema,
            folder: tempfile::tempdir().unwrap(),
        };
        site.configure(&site.setup());
        site.tell_users(&[]);
        site
    }

    /// The usual configuration: over LDAPS as the service account, with the default rules.
    pub(crate) fn setup(&self) -> Setup {
        Setup {
            url: self.dc.ldaps_url(),
            start_tls: false,
            account: SERVICE,
            ca_file: self.dc.ca_file().to_owned(),
            directory: String::new(),
            rules: String::new(),
            limits: String::new(),
        }
    }

    /// The usual configuration with these `[rules]`.
    pub(crate) fn configure_rules(&self, rules: &str) {
        self.configure(&Setup {
            rules: rules.to_owned(),
            ..self.setup()
        });
    }

    /// Writes configuration and password.
    pub(crate) fn configure(&self, setup: &Setup) {
        let text = format!(
            "tenant_id = {TENANT:?}\n\
             [source]\nkind = \"file\"\npath = \"devices.json\"\nusers = \"users.json\"\n\
             [state]\npath = \"state.db\"\n\
             [directory]\nkind = \"ldap\"\nid = \"contoso.test\"\nurls = [{:?}]\nstart_tls = {}\n\
             bind_dn = {:?}\npassword_file = \"password\"\nca_file = {:?}\n{}\n\
             [rules]\n{}\n[limits]\n{}\n",
            setup.url,
            setup.start_tls,
            setup.account.upn,
            setup.ca_file,
            setup.directory,
            setup.rules,
            setup.limits
        );
        fs::write(self.path("config.toml"), text).unwrap();
        fs::write(
            self.path("password"),
            format!("{}\n", setup.account.password),
        )
        .unwrap();
        self.set_password_mode(0o600);
    }

    pub(crate) fn set_password_mode(&self, mode: u32) {
        fs::set_permissions(self.path("password"), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the tenant has: these devices and removal records, and nothing else.
    pub(crate) fn tell(&self, devices: &[Value]) {
        fs::write(self.path("devices.json"), json!(devices).to_string()).unwrap();
    }

    /// The tenant's users: [`user_id`] of a number, with its on-premises SID or without one.
    pub(crate) fn tell_users(&self, users: &[(u32, Option<&str>)]) {
        let users: Vec<Value> = users
            .iter()
            .map(|(number, sid)| json!({"id": user_id(*number), "onPremisesSecurityIdentifier": sid}))
            .collect();
        fs::write(self.path("users.json"), json!(users).to_string()).unwrap();
    }

    /// Runs the program.
    pub(crate) fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Said {
        let said = product::run(self.folder.path(), &self.path("config.toml"), arguments);
        for secret in [SERVICE.password, ADMIN.password] {
            assert!(!said.out.contains(secret), "a password in {}", said.out);
            assert!(!said.err.contains(secret), "a password in {}", said.err);
        }
        said
    }

    /// The plan, which has changes or not.
    #[track_caller]
    pub(crate) fn plan(&self, more: &[&str]) -> Value {
        let said = self.run(["plan", "--format", "json"].iter().chain(more));
        assert!(matches!(said.code, Some(0 | 2)), "{said:?}");
        said.json()
    }

    /// Saves a plan, which has changes, under `name`; gives the document.
    #[track_caller]
    pub(crate) fn save_plan(&self, name: &str) -> Value {
        self.run(["plan", "--format", "json", "--out", name])
            .expect(2)
            .json()
    }

    /// The report of a `sync` that ends with `code`.
    #[track_caller]
    pub(crate) fn sync(&self, more: &[&str], code: i32) -> Value {
        self.run(["sync", "--format", "json"].iter().chain(more))
            .expect(code)
            .json()
    }

    /// The report of applying the plan `name`, which ends with `code`.
    #[track_caller]
    pub(crate) fn apply(&self, name: &str, code: i32) -> Value {
        self.run(["apply", name, "--format", "json"])
            .expect(code)
            .json()
    }

    /// Plans and carries out; then the directory is exactly what the plan said, and nothing is left to do, nor done.
    /// Gives the plan and the objects of the container.
    #[track_caller]
    pub(crate) fn round(&self, more: &[&str]) -> (Value, Objects) {
        let before = self.everything();
        let plan = self.plan(more);
        assert_eq!(self.everything(), before, "planning writes nothing");
        let report = self.sync(more, 0);
        assert_eq!(report["plan"]["digest"], plan["digest"], "{report}");
        let after = self.everything();
        self.assert_written(&plan, &before, &after);
        self.assert_nothing_to_do(more);
        assert_eq!(self.everything(), after, "nothing to do is no write");
        let devices = after
            .into_iter()
            .filter(|(dn, _)| dn.ends_with(&format!(",{DEVICES}")))
            .collect();
        (plan, devices)
    }

    #[track_caller]
    pub(crate) fn assert_nothing_to_do(&self, more: &[&str]) {
        let report = self.sync(more, 0);
        assert_eq!(report["outcome"], "nothing_to_do", "{report}");
    }

    /// Every object of the domain with every attribute, what binds and searches leave behind taken out.
    #[track_caller]
    pub(crate) fn everything(&self) -> Objects {
        let mut objects = self.search(BASE, Scope::Subtree, "(objectClass=*)", &[]);
        for (dn, object) in &mut objects {
            object.remove("logonCount");
            object.remove("lastLogon");
            object.remove("lastLogonTimestamp");
            object.remove("badPwdCount");
            object.remove("badPasswordTime");
            // The controller writes about itself now and then, and about people who log on.
            if !dn.ends_with(DEVICES) {
                object.retain(|name, _| !VOLATILE.contains(&&**name));
                object.remove("rIDPreviousAllocationPool");
            }
        }
        objects
    }

    /// The objects of the container, with every attribute.
    #[track_caller]
    pub(crate) fn devices(&self) -> Objects {
        self.search(DEVICES, Scope::OneLevel, "(objectClass=*)", &[])
    }

    #[track_caller]
    pub(crate) fn search(
        &self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
    ) -> Objects {
        let found = self.dc.ldapsearch(base, scope, filter, attributes).unwrap();
        let entry = |entry: Entry| (entry.dn.to_string(), entry.attributes);
        found.into_iter().map(entry).collect()
    }

    /// Changes the directory as Administrator.
    #[track_caller]
    pub(crate) fn edit(&self, ldif: &str) {
        self.dc.ldapmodify(ldif.as_bytes()).unwrap();
    }

    /// Every change is in the directory as the plan has it, and nothing else is different.
    #[track_caller]
    pub(crate) fn assert_written(&self, plan: &Value, before: &Objects, after: &Objects) {
        let mut expected = before.clone();
        for change in plan["changes"].as_array().unwrap() {
            let dn = change["dn"].as_str().unwrap();
            let now = after.get(dn);
            if change["action"] == "delete" {
                assert_eq!(now, None, "{dn} is there");
                expected.remove(dn);
                continue;
            }
            let now = now.unwrap_or_else(|| panic!("{dn} is not there"));
            let mut object = match change["action"].as_str() {
                Some("create") => Attributes::from([
                    (
                        "cn".to_owned(),
                        vec![text(&change["device_id"]).into_bytes()],
                    ),
                    (
                        "objectClass".to_owned(),
                        vec![b"msDS-Device".to_vec(), b"top".to_vec()],
                    ),
                ]),
                _ => before.get(dn).unwrap().clone(),
            };
            for (name, value) in now {
                let kept: &[&str] = match before.contains_key(dn) {
                    true => &VOLATILE,
                    false => &SYSTEM,
                };
                if kept.contains(&&**name) {
                    object.insert(name.clone(), value.clone());
                }
            }
            for attribute in change["attributes"].as_array().unwrap() {
                let (name, values) = (text(&attribute["name"]), octets(&attribute["new"]));
                object.remove(&name);
                if !values.is_empty() {
                    object.insert(name, values);
                }
            }
            expected.insert(dn.to_owned(), object);
        }
        for (dn, object) in after {
            assert_eq!(expected.get(dn), Some(object), "{dn}");
        }
        assert_eq!(expected.len(), after.len());
    }
}

/// The values of a plan, sorted.
#[track_caller]
pub(crate) fn octets(values: &Value) -> Vec<Vec<u8>> {
    let octets = |value: &Value| match (&value["text"], &value["base64"]) {
        (Value::String(text), _) => text.clone().into_bytes(),
        (_, Value::String(text)) => BASE64.decode(text).unwrap(),
        _ => panic!("{value}"),
    };
    let mut values: Vec<_> = values.as_array().unwrap().iter().map(octets).collect();
    values.sort_unstable();
    values
}

#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

/// What a plan does, as `(action, device, reason)` in its order.
#[track_caller]
pub(crate) fn actions(plan: &Value) -> Vec<(String, String, String)> {
    let changes = plan["changes"].as_array().unwrap().iter();
    let members =
        |change: &Value| ["action", "device_id", "reason"].map(|name| text(&change[name]));
    changes.map(|change| members(change).into()).collect()
}

/// What a plan names without a change, as `(code, device)`, sorted.
#[track_caller]
pub(crate) fn listed(plan: &Value, list: &str) -> Vec<(String, String)> {
    let entries = plan[list].as_array().unwrap().iter();
    let mut entries: Vec<_> = entries
        .map(|entry| (text(&entry["code"]), text(&entry["device_id"])))
        .collect();
    entries.sort_unstable();
    entries
}

/// `(action, device, reason)` with a device given by its number.
pub(crate) fn action(action: &str, number: u32, reason: &str) -> (String, String, String) {
    (action.to_owned(), device_id(number), reason.to_owned())
}

/// `(code, device)` with a device given by its number.
pub(crate) fn named(code: &str, number: u32) -> (String, String) {
    (code.to_owned(), device_id(number))
}

/// The device id of a device; its first field begins with letters, so that case matters in a name.
pub(crate) fn device_id(number: u32) -> String {
    format!(
        "dbca{:04x}-5d6e-4b8a-9c0d-1e2f{number:08x}",
        number & 0xffff
    )
}

/// The octets of [`device_id`]: three little-endian fields, then eight octets as they stand ([MS-DTYP] 2.3.4.2).
pub(crate) fn device_octets(number: u32) -> Vec<u8> {
    let [.., third, fourth] = number.to_be_bytes();
    let mut octets = vec![fourth, third, 0xca, 0xdb, 0x6e, 0x5d, 0x8a, 0x4b];
    octets.extend([0x9c, 0x0d, 0x1e, 0x2f]);
    octets.extend(number.to_be_bytes());
    octets
}

/// The object id of a device.
pub(crate) fn object_id(number: u32) -> String {
    format!("0b1ec700-0000-4000-8000-0000{number:08x}")
}

/// The object id of a user.
pub(crate) fn user_id(number: u32) -> String {
    format!("05e70000-0000-4000-8000-0000{number:08x}")
}

/// The DN of a device's object.
pub(crate) fn dn(number: u32) -> String {
    format!("CN={},{DEVICES}", device_id(number))
}

/// The alternative security id of a device: prefix, 40 hexadecimal digits, 44 characters of base64.
pub(crate) fn alternative_id(number: u32) -> String {
    let hash = [number.to_le_bytes(); 8].concat();
    format!("X509:<SHA1-TP-PUBKEY>{number:040X}{}", BASE64.encode(hash))
}

/// An alternative security id as Graph gives it.
pub(crate) fn graph_key(id: &str) -> Value {
    let octets: Vec<u8> = id.encode_utf16().flat_map(u16::to_le_bytes).collect();
    json!({"type": 2, "identityProvider": null, "key": BASE64.encode(octets)})
}

/// A device as Graph gives it: managed, compliant, joined to Entra ID, with nobody's name on it.
pub(crate) fn device(number: u32) -> Value {
    json!({
        "id": object_id(number),
        "deviceId": device_id(number),
        "accountEnabled": true,
        "approximateLastSignInDateTime": "2026-05-20T07:30:05Z",
        "deviceOwnership": "Company",
        "deviceVersion": 2,
        "displayName": format!("DESKTOP-{number:04}"),
        "isCompliant": true,
        "isManaged": true,
        "onPremisesSecurityIdentifier": null,
        "operatingSystem": "Windows",
        "operatingSystemVersion": "10.0.26100.4061",
        "physicalIds": [format!("[HWID]:h:{number}"), format!("[GID]:g:{number}")],
        "profileType": "RegisteredDevice",
        "trustType": "AzureAd",
        "alternativeSecurityIds": [graph_key(&alternative_id(number))],
        "registeredOwners": [],
        "registeredUsers": [],
    })
}

/// [`device`] with some of its properties changed.
pub(crate) fn device_with(number: u32, changes: Value) -> Value {
    let mut device = device(number);
    let Value::Object(changes) = changes else {
        panic!("{changes}")
    };
    for (name, value) in changes {
        device[name] = value;
    }
    device
}

/// Owners or users of a device.
pub(crate) fn people(users: &[u32]) -> Value {
    users
        .iter()
        .map(|user| json!({"@odata.type": "#microsoft.graph.user", "id": user_id(*user)}))
        .collect()
}

/// LDIF that makes an `msDS-Device` with what the class asks for, and further lines; ends with an empty line.
pub(crate) fn object(dn: &str, number: u32, more: &str) -> String {
    format!(
        "dn: {dn}\nchangetype: add\nobjectClass: msDS-Device\ndisplayName: of number {number}\n\
         altSecurityIdentities: {}\nmsDS-DeviceID:: {}\nmsDS-IsEnabled: TRUE\n{more}\n",
        alternative_id(number),
        BASE64.encode(device_octets(number)),
    )
}

/// LDIF that changes one attribute of an object; ends with an empty line.
pub(crate) fn modify(dn: &str, lines: &str) -> String {
    let lines = lines.trim_end_matches('\n');
    format!("dn: {dn}\nchangetype: modify\n{lines}\n\n")
}

/// LDIF of a value in base64: `name:: ...` with a line end.
pub(crate) fn line(name: &str, value: &[u8]) -> String {
    format!("{name}:: {}\n", BASE64.encode(value))
}

/// The values of an attribute, none when it is not there.
pub(crate) fn values<'a>(objects: &'a Objects, dn: &str, name: &str) -> &'a [Vec<u8>] {
    let object = objects
        .get(dn)
        .unwrap_or_else(|| panic!("{dn} is not there"));
    object.get(name).map_or(&[], |values| values)
}

/// The one value of an attribute, as text.
#[track_caller]
pub(crate) fn value(objects: &Objects, dn: &str, name: &str) -> String {
    let [value] = values(objects, dn, name) else {
        panic!("{name} of {dn} has not one value")
    };
    String::from_utf8(value.clone()).unwrap()
}
