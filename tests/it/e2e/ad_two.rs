//! Two domain controllers that replicate: the run moves to the second one when the first is gone, and what the first one took with
//! it is neither called done nor written a second time.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use device_writeback_tests::samba::{DEVICES, Dc, Entry, SERVICE, SambaOptions, Scope, TwoDcs};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ad_devices::{device, device_id, device_with, dn, line, object, object_id, user_id};
use crate::ad_fleet::{Fleet, Running, assert_none_twice};
use crate::ad_support::{Objects, listed, text};
use crate::product::{self, Said};
use crate::tenant::TENANT;

const FLEET: Fleet = Fleet {
    existing: 200,
    new: 800,
};
/// So many of the new objects are on the first controller when it is lost.
const WRITTEN: usize = 200;
const DEVICES_ONLY: &str = "(objectClass=msDS-Device)";

/// Two domain controllers, and the program beside them.
struct Pair {
    dcs: TwoDcs,
    folder: TempDir,
}

impl Pair {
    fn start() -> Pair {
        let pair = Pair {
            dcs: TwoDcs::start(&SambaOptions::default()).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        let config = format!(
            "tenant_id = {TENANT:?}\n\
             [source]\nkind = \"file\"\npath = \"devices.json\"\nusers = \"users.json\"\n\
             [state]\npath = \"state.db\"\n\
             [directory]\nkind = \"ldap\"\nid = \"contoso.test\"\nurls = [{:?}, {:?}]\n\
             bind_dn = {:?}\npassword_file = \"password\"\nca_file = {:?}\n\
             connect_timeout_seconds = 2\noperation_timeout_seconds = 5\nreconnect_seconds = 30\n",
            pair.dcs.ldaps_url(Dc::One),
            pair.dcs.ldaps_url(Dc::Two),
            SERVICE.upn,
            pair.dcs.ca_file(),
        );
        fs::write(pair.path("config.toml"), config).unwrap();
        fs::write(pair.path("password"), SERVICE.password).unwrap();
        fs::set_permissions(pair.path("password"), fs::Permissions::from_mode(0o600)).unwrap();
        let users: Vec<Value> = (0..)
            .zip(pair.dcs.users())
            .map(|(number, user)| {
                json!({"id": user_id(number), "onPremisesSecurityIdentifier": user.sid})
            })
            .collect();
        fs::write(pair.path("users.json"), json!(users).to_string()).unwrap();
        pair
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tell(&self, devices: &[Value]) {
        fs::write(self.path("devices.json"), json!(devices).to_string()).unwrap();
    }

    /// Starts the program in the client's network.
    fn begin(&self, arguments: &[&str]) -> Running {
        let mut command = product::command(self.folder.path(), &self.path("config.toml"));
        command.args(arguments);
        Running::spawn(&mut self.dcs.in_client(&command))
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.begin(arguments).end()
    }

    /// A `sync` that does all it planned; its result.
    #[track_caller]
    fn sync(&self) -> Value {
        let said = self.run(&["sync", "--format", "json"]).expect(0);
        let result = said.json()["result"].clone();
        assert_eq!(result["done"], result["planned"], "{}", said.out);
        result
    }

    #[track_caller]
    fn assert_nothing_to_do(&self) {
        let said = self.run(&["sync", "--format", "json"]).expect(0);
        assert_eq!(said.json()["outcome"], "nothing_to_do", "{}", said.out);
    }

    /// The objects of the container on one controller, with every attribute.
    fn devices(&self, dc: Dc) -> Objects {
        let found = self
            .dcs
            .search_on(dc, DEVICES, Scope::OneLevel, DEVICES_ONLY, &[]);
        by_name(found.unwrap())
    }

    /// Waits until both have the same objects, and they are as expected.
    fn replicated(&self, expected: impl Fn(&[Entry]) -> bool) -> BTreeSet<String> {
        let attributes = [
            "displayName",
            "msDS-IsEnabled",
            "msDS-DeviceOSVersion",
            "msDS-DevicePhysicalIDs",
            "msDS-RegisteredUsers",
            "altSecurityIdentities",
        ];
        let found = self.dcs.wait_until_replicated(
            DEVICES,
            Scope::OneLevel,
            DEVICES_ONLY,
            &attributes,
            expected,
        );
        by_name(found.unwrap()).into_keys().collect()
    }
}

fn by_name(entries: Vec<Entry>) -> Objects {
    let entry = |entry: Entry| (entry.dn.to_string(), entry.attributes);
    entries.into_iter().map(entry).collect()
}

/// The objects that there are in the end.
fn expected() -> BTreeSet<String> {
    let gone: BTreeSet<u32> = FLEET.gone().collect();
    let all = (0..FLEET.existing + FLEET.new).filter(|number| !gone.contains(number));
    all.map(dn).collect()
}

#[test]
fn a_run_moves_to_the_second_controller_and_writes_nothing_twice() {
    let mut pair = Pair::start();
    pair.tell(&FLEET.before());
    pair.sync();
    pair.replicated(|found| found.len() == FLEET.existing as usize);

    // From here on nothing gets from the first controller to the second one.
    pair.dcs.black_hole(Dc::Two).unwrap();
    pair.tell(&FLEET.now());
    let mut running = pair.begin(&["sync", "--format", "json"]);
    let deadline = Instant::now() + Duration::from_secs(120);
    let new = |objects: &Objects| {
        let is_new = |dn: &String| {
            (FLEET.existing..)
                .take(FLEET.new as usize)
                .any(|n| *dn == self::dn(n))
        };
        objects.keys().filter(|dn| is_new(dn)).count()
    };
    while new(&pair.devices(Dc::One)) < WRITTEN {
        assert!(
            !running.has_ended() && Instant::now() < deadline,
            "{:?}",
            running.end()
        );
        thread::sleep(Duration::from_millis(20));
    }
    // What it was sent last it writes, and nobody hears of it.
    pair.dcs.black_hole(Dc::One).unwrap();
    thread::sleep(Duration::from_millis(500));
    pair.dcs.kill(Dc::One);
    pair.dcs.heal(Dc::Two).unwrap();
    let said = running.end();
    assert_eq!(said.code, Some(2), "{said:?}");
    let result = &said.json()["result"];
    let number = |name: &str| result[name].as_u64().unwrap() as usize;
    let failures = result["failures"].as_array().unwrap();
    assert_eq!(number("not_begun"), 0, "{said:?}");
    assert_eq!(
        number("done") + failures.len(),
        number("planned"),
        "{said:?}"
    );

    // What the first controller took with it is not called done, and is not on the second one.
    let two = pair.devices(Dc::Two);
    let mut lost = 0;
    for failure in failures {
        let message = text(&failure["message"]);
        assert!(message.contains("may still arrive"), "{failure}");
        if failure["action"] == "create" {
            lost += 1;
            assert!(!two.contains_key(&text(&failure["dn"])), "{failure}");
        }
    }
    assert!(lost >= WRITTEN, "{lost} of {WRITTEN}");
    let created = result["actions"]["create"].as_u64().unwrap() as usize;
    assert_eq!(new(&two), created);

    pair.dcs.heal(Dc::One).unwrap();
    pair.dcs.restart(Dc::One).unwrap();
    let met = pair.replicated(|found| found.len() > two.len());
    assert!(two.keys().filter(|dn| !expected().contains(*dn)).all(|dn| {
        // Deleted on the first controller, or not deleted at all yet.
        FLEET.gone().any(|number| *dn == self::dn(number))
    }));
    assert!(met.iter().all(|dn| !dn.contains("CNF:")), "{met:?}");
    pair.sync();
    assert_eq!(
        pair.replicated(|found| found.len() == expected().len()),
        expected()
    );
    pair.assert_nothing_to_do();
    for dc in Dc::ALL {
        let found = pair.devices(dc);
        assert_none_twice(&found);
        assert_eq!(found.into_keys().collect::<BTreeSet<_>>(), expected());
    }
}

#[test]
fn the_second_controller_is_used_and_conflict_objects_are_left_alone() {
    let mut pair = Pair::start();
    pair.dcs.kill(Dc::One);
    pair.tell(&[device(1), device(2)]);
    let result = pair.sync();
    assert_eq!(result["done"], 2, "{result}");
    assert_eq!(pair.devices(Dc::Two).len(), 2);
    pair.dcs.restart(Dc::One).unwrap();
    pair.replicated(|found| found.len() == 2);

    // The same name on both sides while they do not see each other.
    let anchor = line(
        "msDS-CloudAnchor",
        format!("Device_{}", object_id(3)).as_bytes(),
    );
    pair.dcs.black_hole(Dc::Two).unwrap();
    for dc in Dc::ALL {
        pair.dcs
            .modify_on(dc, object(&dn(3), 3, &anchor).as_bytes())
            .unwrap();
    }
    pair.dcs.heal(Dc::Two).unwrap();
    let is_conflict = |dn: &str| dn.contains("CNF:");
    let names = pair.replicated(|found| {
        found.len() == 4 && found.iter().any(|entry| is_conflict(&entry.dn.to_string()))
    });
    let conflicting: Vec<&String> = names.iter().filter(|name| is_conflict(name)).collect();
    assert_eq!(conflicting.len(), 1, "{names:?}");
    assert!(names.contains(&dn(3)));

    let before = content(pair.devices(Dc::One));
    // There is something to write on both, were they not in conflict; and something on another object.
    let changed = |number| device_with(number, json!({"displayName": "another name"}));
    pair.tell(&[device(1), changed(2), changed(3)]);
    let said = pair.run(&["plan", "--format", "json"]).expect(2);
    let plan = said.json();
    let conflicts = listed(&plan, "conflicts");
    assert!(!conflicts.is_empty(), "{plan}");
    for (_, device) in &conflicts {
        assert_eq!(*device, device_id(3), "{plan}");
    }
    assert!(said.out.contains("CNF:"), "{plan}");
    let changes = plan["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "{plan}");
    assert_eq!(changes[0]["dn"], dn(2), "{plan}");

    assert_eq!(pair.sync()["done"], 1);
    let after = content(pair.devices(Dc::One));
    for name in [&dn(3), conflicting[0]] {
        assert_eq!(after[name], before[name], "{name}");
    }
    // Gone in the cloud: still nobody's to delete.
    pair.tell(&[
        device(1),
        changed(2),
        json!({"id": object_id(3), "@removed": {"reason": "deleted"}}),
    ]);
    let said = pair.run(&["sync", "--format", "json"]).expect(0);
    assert_eq!(said.json()["outcome"], "nothing_to_do", "{}", said.out);
    assert_eq!(content(pair.devices(Dc::One)), after);
}

/// Without what replication itself changes on a conflict object, now or a moment later.
fn content(mut devices: Objects) -> Objects {
    for attributes in devices.values_mut() {
        attributes.retain(|name, _| !matches!(name.as_str(), "uSNChanged" | "whenChanged"));
    }
    devices
}
