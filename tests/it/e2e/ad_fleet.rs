//! Two thousand devices on a domain controller: as they were, as they are now, and what others did to their objects.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use device_writeback_tests::samba::{DEVICES, LabUser, SambaDc, SambaSchema};
use serde_json::{Value, json};

use crate::ad_devices::{
    alternative_id, device_with, dn, graph_key, modify, object, object_id, people,
};
use crate::ad_proxy::{Moment, Proxy, Traffic};
use crate::ad_support::{Objects, Setup, Site};
use crate::product::{self, Said};

/// How many devices have an object before, and how many are new.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    pub(crate) existing: u32,
    pub(crate) new: u32,
}

/// What happens to a device that has an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// A removal record tells of it.
    Removed,
    /// Nobody names it any more.
    Absent,
    Disabled,
    /// Name and version change.
    Text,
    /// Alternative ids, physical ids and users change.
    Sets,
    Unchanged,
}

fn fate(number: u32) -> Fate {
    match number % 20 {
        // 9 % of the objects: a limit would refuse more.
        0 if !number.is_multiple_of(200) => Fate::Removed,
        10 if number % 200 != 10 => Fate::Absent,
        1 | 11 => Fate::Disabled,
        2 | 3 | 12 | 13 => Fate::Text,
        4 | 5 | 14 | 15 => Fate::Sets,
        _ => Fate::Unchanged,
    }
}

impl Fleet {
    /// The source when every device with an object was known.
    pub(crate) fn before(self) -> Vec<Value> {
        (0..self.existing).map(usual).collect()
    }

    /// The source as it is now.
    pub(crate) fn now(self) -> Vec<Value> {
        let existing = (0..self.existing).filter_map(|number| match fate(number) {
            Fate::Removed => {
                Some(json!({"id": object_id(number), "@removed": {"reason": "deleted"}}))
            }
            Fate::Absent => None,
            Fate::Disabled => Some(with(number, json!({"accountEnabled": false}))),
            Fate::Text => Some(with(
                number,
                json!({
                    "displayName": format!("Büro-Gerät {number:04}"),
                    "operatingSystemVersion": "10.0.26200.1",
                }),
            )),
            Fate::Sets => Some(with(
                number,
                json!({
                    "alternativeSecurityIds": [
                        graph_key(&alternative_id(number)),
                        graph_key(&alternative_id(number + 1_000_000)),
                    ],
                    "physicalIds": [format!("[HWID]:h:{number}"), "[OrderId]:7"],
                    "registeredUsers": people(&[number % 20, (number + 1) % 20]),
                }),
            )),
            Fate::Unchanged => Some(usual(number)),
        });
        let new = (self.existing..self.existing + self.new).map(usual);
        existing.chain(new).collect()
    }

    /// Devices whose objects are changed, though not deleted, in an order that follows no number.
    pub(crate) fn changed(self) -> Vec<u32> {
        let number = |at: u32| at * 331 % self.existing;
        let changes =
            |number: &u32| matches!(fate(*number), Fate::Disabled | Fate::Text | Fate::Sets);
        (0..self.existing).map(number).filter(changes).collect()
    }

    /// Devices that are gone.
    pub(crate) fn gone(self) -> impl Iterator<Item = u32> {
        (0..self.existing).filter(|number| matches!(fate(*number), Fate::Removed | Fate::Absent))
    }
}

fn usual(number: u32) -> Value {
    with(number, json!({}))
}

fn with(number: u32, changes: Value) -> Value {
    let mut device = device_with(
        number,
        json!({"registeredOwners": people(&[number % 20]), "registeredUsers": people(&[number % 20])}),
    );
    for (name, value) in changes.as_object().unwrap() {
        device[name] = value.clone();
    }
    device
}

/// The tenant's people, of whom every domain controller of the labs has twenty.
pub(crate) fn tell_people(site: &Site) {
    let users: Vec<(u32, Option<&str>)> = (0..)
        .zip(site.dc.users())
        .map(|(number, LabUser { sid, .. })| (number, Some(sid.as_str())))
        .collect();
    site.tell_users(&users);
}

/// The DN of an object that is not ours: a device that registered itself.
pub(crate) fn foreign() -> String {
    format!("CN=a-device-of-adfs,{DEVICES}")
}

/// What others have put into the container, and on our objects.
fn foreign_edits(fleet: Fleet) -> String {
    let mut ldif = object(&foreign(), 9_000_001, "");
    let other = format!("CN=another-device-of-adfs,{DEVICES}");
    ldif += &object(&other, 9_000_002, "description: of somebody else\n");
    for number in (0..fleet.existing).step_by(7) {
        ldif += &modify(
            &dn(number),
            &format!("replace: description\ndescription: help desk {number}\n"),
        );
    }
    ldif
}

/// A domain controller with the objects of before and what others did, the program's files, and a network that can fail.
pub(crate) struct Scene {
    pub(crate) site: Site,
    pub(crate) proxy: Proxy,
}

/// What every attempt begins with, and what it ends in.
pub(crate) struct Base {
    pub(crate) fleet: Fleet,
    /// Databases of the domain controller and the state.
    folder: PathBuf,
    pub(crate) before: Objects,
    pub(crate) after: Objects,
    /// What a `plan` alone sends and receives.
    pub(crate) reading: Traffic,
    /// What the whole `sync` sends and receives.
    pub(crate) whole: Traffic,
    /// How many changes it makes.
    pub(crate) changes: u64,
}

impl Scene {
    /// A domain controller without objects.
    pub(crate) fn start() -> Scene {
        let site = Site::start(SambaSchema::Windows2016);
        tell_people(&site);
        Scene {
            proxy: Proxy::start(site.dc.address()),
            site,
        }
    }

    /// Makes the objects of before, and goes through the run once undisturbed. The base goes with this scene.
    pub(crate) fn base(&mut self, fleet: Fleet) -> Base {
        self.configure("");
        self.site.tell(&fleet.before());
        let report = self.site.sync(&[], 0);
        assert_eq!(report["result"]["done"], fleet.existing, "{report}");
        self.site.edit(&foreign_edits(fleet));
        let before = self.site.devices();
        self.site.dc.stop_gracefully().unwrap();
        let folder = self.site.dc.folder().join("base");
        fs::create_dir(&folder).unwrap();
        copy(&databases(&self.site.dc), &folder);
        fs::copy(self.site.path("state.db"), folder.join("state.db")).unwrap();
        self.site.dc.restart().unwrap();

        self.site.tell(&fleet.now());
        self.proxy.begin();
        self.site.plan(&[]);
        let reading = self.proxy.traffic();
        self.proxy.begin();
        let report = self.site.sync(&[], 0);
        let whole = self.proxy.traffic();
        let result = &report["result"];
        assert_eq!(result["done"], result["planned"], "{report}");
        self.site.assert_nothing_to_do(&[]);
        let base = Base {
            fleet,
            folder,
            before,
            after: self.site.devices(),
            reading,
            whole,
            changes: result["planned"].as_u64().unwrap(),
        };
        for number in fleet.gone() {
            assert!(!base.after.contains_key(&dn(number)), "{number}");
        }
        let new = base.after.len() + fleet.gone().count() - base.before.len();
        assert_eq!(new, fleet.new as usize);
        base
    }

    /// Puts domain controller and state back to what they were before.
    pub(crate) fn restore(&mut self, base: &Base) {
        self.site.dc.kill();
        for part in databases(&self.site.dc) {
            fs::remove_dir_all(part).unwrap();
        }
        copy(
            &["private", "state"].map(|part| base.folder.join(part)),
            self.site.dc.folder(),
        );
        fs::copy(base.folder.join("state.db"), self.site.path("state.db")).unwrap();
        self.site.tell(&base.fleet.now());
        self.site.dc.restart().unwrap();
        self.proxy.begin();
    }

    /// The program reaches the domain controller through the proxy, with these lines of `[directory]`.
    pub(crate) fn configure(&self, directory: &str) {
        self.site.configure(&Setup {
            url: self.proxy.url(),
            directory: directory.to_owned(),
            ..self.site.setup()
        });
    }

    /// Starts a `sync`.
    pub(crate) fn begin(&self) -> Running {
        self.begin_with(&["sync", "--format", "json"])
    }

    /// Starts the program.
    pub(crate) fn begin_with(&self, arguments: &[&str]) -> Running {
        let config = self.site.path("config.toml");
        Running::spawn(product::command(&self.site.path(""), &config).args(arguments))
    }

    /// The directory is as the run that nobody disturbed left it, but for `edits`, which others made meanwhile.
    pub(crate) fn assert_finished(&self, base: &Base, edits: &[Edit], told: &str) {
        let found = self.site.devices();
        let names = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&base.after), "{told}: the objects");
        for (dn, object) in &found {
            let mut object = object.clone();
            let mut expected = base.after[dn].clone();
            let edited: Vec<_> = edits.iter().filter(|edit| edit.dn == *dn).collect();
            if let Some(edit) = edited.last() {
                let description = object.get("description").cloned().unwrap_or_default();
                let value = vec![edit.value.clone().into_bytes()];
                // Nobody knows what became of an edit that was not answered.
                if edit.is_done || description == value {
                    expected.insert("description".to_owned(), value);
                }
            }
            let changing: &[&str] = if base.before.contains_key(dn) {
                &["uSNChanged", "whenChanged"]
            } else {
                // Each new object gets an identity of its own.
                &[
                    "uSNChanged",
                    "whenChanged",
                    "uSNCreated",
                    "whenCreated",
                    "objectGUID",
                ]
            };
            for name in changing {
                object.remove(*name);
                expected.remove(*name);
            }
            assert_eq!(object, expected, "{told}: {dn}");
        }
    }
}

fn databases(dc: &SambaDc) -> [PathBuf; 2] {
    ["private", "state"].map(|part| dc.folder().join(part))
}

fn copy(parts: &[PathBuf], to: &Path) {
    let copied = Command::new("cp").arg("-a").args(parts).arg(to).status();
    assert!(copied.unwrap().success());
}

/// The program, running. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    // Files, not pipes: nobody reads while it runs.
    out: File,
    err: File,
    pub(crate) begun: Instant,
}

impl Running {
    pub(crate) fn spawn(command: &mut Command) -> Running {
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(err.try_clone().unwrap())
            .spawn()
            .unwrap();
        Running {
            child,
            out,
            err,
            begun: Instant::now(),
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it said in the end.
    pub(crate) fn end(mut self) -> Said {
        let read = |file: &mut File| {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            text
        };
        let status = self.child.wait().unwrap();
        Said {
            code: status.code(),
            out: read(&mut self.out),
            err: read(&mut self.err),
        }
    }

    /// Waits until the proxy tells; `false`: it ended before.
    pub(crate) fn meets(&mut self, told: &std::sync::mpsc::Receiver<()>) -> bool {
        loop {
            if told.recv_timeout(Duration::from_millis(5)).is_ok() {
                return true;
            }
            if self.has_ended() {
                return told.try_recv().is_ok();
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Something that somebody else wrote, while the program ran.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    pub(crate) dn: String,
    /// The `description`.
    pub(crate) value: String,
    /// Whether the domain controller said that it is written.
    pub(crate) is_done: bool,
}

/// A moment of the run: a part of its reading (below 0), or of its writing.
pub(crate) fn moment(base: &Base, part: f64) -> Moment {
    let of = |whole: u64, part: f64| (whole as f64 * part) as u64;
    if part < 0.0 {
        Moment::Received(of(base.reading.received, -part))
    } else {
        let writing = base.whole.sent - base.reading.sent;
        Moment::Sent(base.reading.sent + of(writing, part))
    }
}

/// The objects of the container, of which none is there twice.
pub(crate) fn assert_none_twice(objects: &Objects) {
    let mut ids: Vec<_> = objects
        .values()
        .filter_map(|object| object.get("msDS-DeviceID"))
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "a device is there twice");
    for dn in objects.keys() {
        assert!(!dn.contains("CNF:"), "{dn}");
    }
}

/// `SplitMix64`, for moments that are the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// At least 0, less than 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
