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

pub(crate) use crate::ad_devices::{
    alternative_id, device, device_id, device_octets, device_with, dn, graph_key, line, modify,
    object, object_id, people, sid_octets, user_id,
};
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
