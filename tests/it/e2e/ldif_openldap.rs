//! A plan rendered as LDIF, carried out by OpenLDAP's `ldapmodify` on Active Directory's schema, makes
//! the same objects as `apply` on the LDIF directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use device_writeback_core::dn::Dn;
use device_writeback_core::ldif::{self, AttrVal, Body, Record};
use device_writeback_tests::LabError;
use device_writeback_tests::openldap::{DEVICES, OpenLdap};
use serde_json::Value;

use crate::product;
use crate::tenant::{Size, Tenant};

const SCHEMA: &str = include_str!("../../src/schema/msds-device.schema");
/// `noSuchAttribute`, [RFC 4511] 4.1.9: a value that is to be deleted is not there.
const NO_SUCH_ATTRIBUTE: i32 = 16;

/// Values as a set, by attribute in lower case.
type Object = BTreeMap<String, BTreeSet<Vec<u8>>>;
/// Devices by name.
type Devices = BTreeMap<Dn, Object>;

/// A tenant in files, and a server that holds the same devices.
struct Twins {
    folder: tempfile::TempDir,
    config: PathBuf,
    directory: PathBuf,
    server: OpenLdap,
}

impl Twins {
    fn of_quickstart() -> Twins {
        let folder = tempfile::tempdir().unwrap();
        let config = product::quickstart(folder.path());
        let seed = config.with_file_name("directory.ldif");
        let directory = folder.path().join("target/quickstart/directory.ldif");
        Twins::load(folder, config, directory, &seed)
    }

    fn of_tenant(size: Size) -> Twins {
        let folder = tempfile::tempdir().unwrap();
        let tenant = Tenant::make(folder.path(), size);
        let work = folder.path().join("work");
        fs::create_dir(&work).unwrap();
        let directory = work.join("directory.ldif");
        let config = folder.path().join("config.toml");
        fs::copy(tenant.directory(), &directory).unwrap();
        tenant.config(&config, &tenant.devices(), "");
        Twins::load(folder, config, directory.clone(), &directory)
    }

    fn load(folder: tempfile::TempDir, config: PathBuf, directory: PathBuf, found: &Path) -> Twins {
        let server = OpenLdap::start().unwrap();
        server.ldapmodify(&additions(found)).unwrap();
        let twins = Twins {
            folder,
            config,
            directory,
            server,
        };
        assert_eq!(twins.on_server(), in_file(found), "the loaded objects");
        twins
    }

    fn run(&self, arguments: &[&str]) -> product::Said {
        product::run(self.folder.path(), &self.config, arguments)
    }

    fn plan(&self) -> Value {
        self.run(&["plan", "--format", "json"]).expect(2).json()
    }

    fn plan_as_ldif(&self) -> String {
        self.run(&["plan", "--format", "ldif"]).expect(2).out
    }

    fn on_server(&self) -> Devices {
        let found = self
            .server
            .ldapsearch(DEVICES, "(objectClass=msDS-Device)", &[]);
        let device = |entry: device_writeback_tests::openldap::Entry| {
            let values = entry.attributes.into_iter().map(|(name, values)| {
                (
                    name.to_lowercase(),
                    values.into_iter().collect::<BTreeSet<_>>(),
                )
            });
            (entry.dn, values.collect())
        };
        found.unwrap().into_iter().map(device).collect()
    }

    /// Carries the plan out on both and compares; gives how many devices there are.
    fn carry_out(&self) -> usize {
        let plan = self.plan();
        let created: BTreeSet<Dn> = changes(&plan, "create").map(dn).collect();
        let ldif = self.plan_as_ldif();
        self.server.ldapmodify(ldif.as_bytes()).unwrap();
        self.run(&["sync", "-q"]).expect(0);

        let mut written = in_file(&self.directory);
        for dn in &created {
            // Active Directory and the LDIF directory give a new object a GUID, this server does not.
            let guid = written.get_mut(dn).unwrap().remove("objectguid");
            assert!(guid.is_some(), "{dn} has no GUID");
        }
        let found = self.on_server();
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            written.keys().collect::<Vec<_>>()
        );
        for (dn, object) in &found {
            assert_eq!(object, &written[dn], "{dn}");
        }
        found.len()
    }
}

/// The devices of a directory file as records that add them, as far as the server's schema goes.
fn additions(file: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    for (dn, attributes) in devices(file) {
        let body = Body::Add(attributes);
        ldif::write_record(&mut text, &Record::new(dn.to_string(), body));
    }
    text
}

fn in_file(file: &Path) -> Devices {
    let mut found = Devices::new();
    for (dn, attributes) in devices(file) {
        let mut object = Object::new();
        for attribute in attributes {
            object
                .entry(attribute.name.to_lowercase())
                .or_default()
                .insert(attribute.value);
        }
        assert!(found.insert(dn.clone(), object).is_none(), "{dn} twice");
    }
    found
}

fn devices(file: &Path) -> Vec<(Dn, Vec<AttrVal>)> {
    let names: BTreeSet<String> = SCHEMA
        .split("NAME '")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('\'')?.0.to_lowercase()))
        .chain(["cn", "objectclass", "description"].map(str::to_owned))
        .collect();
    let content = fs::read(file).unwrap();
    let mut found = Vec::new();
    for record in ldif::parse_all(&content) {
        let record = record.unwrap();
        let Body::Content(mut attributes) = record.body else {
            panic!("{} is a change", record.dn);
        };
        let is_device = attributes.iter().any(|attribute| {
            attribute.name.eq_ignore_ascii_case("objectClass") && attribute.value == b"msDS-Device"
        });
        if is_device {
            attributes.retain(|attribute| names.contains(&attribute.name.to_lowercase()));
            found.push((Dn::parse(&record.dn).unwrap(), attributes));
        }
    }
    found
}

fn changes<'a>(plan: &'a Value, action: &'a str) -> impl Iterator<Item = &'a Value> {
    let changes = plan["changes"].as_array().unwrap();
    changes
        .iter()
        .filter(move |change| change["action"] == action)
}

fn dn(change: &Value) -> Dn {
    Dn::parse(change["dn"].as_str().unwrap()).unwrap()
}

/// The records of a rendered plan that are about one object.
fn records_of(ldif: &str, dn: &Dn) -> Vec<u8> {
    let mut text = Vec::new();
    for record in ldif::parse_all(ldif.as_bytes()) {
        let record = record.unwrap();
        if Dn::parse(&record.dn).unwrap() == *dn {
            ldif::write_record(&mut text, &record);
        }
    }
    assert!(!text.is_empty(), "nothing about {dn}");
    text
}

#[track_caller]
fn assert_refused(outcome: Result<String, LabError>) {
    let error = outcome.unwrap_err();
    assert!(
        matches!(
            error,
            LabError::Failed {
                code: Some(NO_SUCH_ATTRIBUTE),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn ldapmodify_makes_of_the_quickstart_what_apply_makes() {
    assert_eq!(Twins::of_quickstart().carry_out(), 68 + 30 - 4);
}

#[test]
fn ldapmodify_makes_of_a_tenant_what_apply_makes() {
    let size = Size {
        live: 300,
        removed: 20,
        absent: 5,
        new_in: 6,
        disabled_in: 11,
        changed_percent: 20,
    };
    // The five that nobody has known are held; one is AD FS's.
    assert_eq!(Twins::of_tenant(size).carry_out(), 300 + 5 + 1);
}

#[test]
fn ldapmodify_refuses_what_somebody_changed_since_the_plan() {
    let twins = Twins::of_quickstart();
    let plan = twins.plan();
    let ldif = twins.plan_as_ldif();
    let changed_attribute = |change: &Value, name: &str| {
        let attributes = change["attributes"].as_array().unwrap();
        attributes.iter().any(|attribute| attribute["name"] == name)
    };
    let edit = |dn: &Dn, name: &str, value: &str| {
        let edit = format!("dn: {dn}\nchangetype: modify\nreplace: {name}\n{name}: {value}\n-\n");
        twins.server.ldapmodify(edit.as_bytes()).unwrap();
    };

    // A name that somebody corrected by hand; the plan saw the one before.
    let renamed = changes(&plan, "update")
        .find(|change| changed_attribute(change, "displayName"))
        .map(dn)
        .expect("the quickstart renames a device");
    edit(&renamed, "displayName", "CORRECTED-BY-HAND");
    // A mark that is another one now: the object is another tenant's.
    let mut updates = changes(&plan, "update").map(dn).filter(|dn| *dn != renamed);
    let taken = updates.next().unwrap();
    edit(&taken, "msDS-CloudAnchor", "Device_somebody-else");
    let disabled = changes(&plan, "disable").map(dn).next().unwrap();
    edit(&disabled, "msDS-CloudAnchor", "Device_somebody-else");
    let deleted = changes(&plan, "delete").map(dn).last().unwrap();
    edit(&deleted, "msDS-CloudAnchor", "Device_somebody-else");
    let edited = [&renamed, &taken, &disabled, &deleted];

    let before = twins.on_server();
    for dn in edited {
        assert_refused(twins.server.ldapmodify(&records_of(&ldif, dn)));
        assert_eq!(twins.on_server(), before, "something of {dn} was written");
    }

    // The whole plan ends at the first of them. What comes after it is as it was.
    assert_refused(twins.server.ldapmodify(ldif.as_bytes()));
    let after = twins.on_server();
    for dn in edited {
        assert_eq!(after[dn], before[dn], "{dn}");
    }
    for dn in changes(&plan, "delete").map(dn) {
        assert_eq!(after.get(&dn), before.get(&dn), "{dn}");
    }
}
