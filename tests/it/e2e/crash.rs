//! Kills the program with SIGKILL at any point of a run. Afterwards the directory is the old or the
//! complete new one, and the next run ends where a run that nobody disturbed ends.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use device_writeback::core::ldif::{self, Body};
use device_writeback::core::plan::Action;
use device_writeback::file::FileState;

use crate::product;
use crate::tenant::{Size, TENANT, Tenant};

const SIZE: Size = Size {
    live: 3_000,
    removed: 100,
    absent: 100,
    new_in: 20,
    disabled_in: 60,
    changed_percent: 3,
};

/// Kills at random moments of one run, for each of the two verbs.
const RANDOM_KILLS: usize = 20;
/// Kills in a row, each of the run that is to repair what the kill before it left.
const ROW: usize = 5;
/// What a killed run may leave besides the directory and its state.
const UNFINISHED: &str = ".unfinished";

/// What a run is about to do when it is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// This long after its start.
    After(Duration),
    /// As soon as the lock file of the directory is there, and some more.
    Locked(Duration),
    /// As soon as a half-written directory is there, and some more.
    Writing(Duration),
    /// As soon as the state file is another one than before, and some more.
    StateChanged(Duration),
    /// As soon as the directory is a new one, and some more.
    Renamed(Duration),
}

/// Everything that a killed run works on, and what it is to end in.
struct Scene {
    /// Holds the tenant's files and `base`, from which each attempt begins.
    home: tempfile::TempDir,
    config: PathBuf,
    /// The directory file before; `None` when the first run makes it from a seed.
    old: Option<Vec<u8>>,
    /// What the directory is made from.
    original: Directory,
    /// The directory after a run that nobody disturbed.
    reference: Directory,
    arguments: Vec<String>,
    /// How long a run takes that nobody disturbs.
    duration: Duration,
    /// How many changes it makes.
    changes: usize,
}

/// Objects by name: the record as it stands in the file.
type Directory = BTreeMap<String, Vec<u8>>;

impl Scene {
    /// A tenant whose state knows every device, with the directory in place or as a seed.
    fn new(verb: &str, seeded: bool) -> Scene {
        let home = tempfile::tempdir().unwrap();
        let tenant = Tenant::make(home.path(), SIZE);
        let base = home.path().join("base");
        let work = base.join("work");
        fs::create_dir_all(&work).unwrap();
        // A first run on the devices as they were teaches the state which devices there are.
        let config = base.join("config.toml");
        let seed = format!("seed = {:?}", tenant.directory());
        tenant.config(&config, &tenant.devices_before, &seed);
        product::run(&base, &config, ["sync", "-q"]).expect(0);
        let original = fs::read(tenant.directory()).unwrap();
        if seeded {
            fs::remove_file(work.join("directory.ldif")).unwrap();
        } else {
            fs::copy(tenant.directory(), work.join("directory.ldif")).unwrap();
        }
        fs::remove_file(work.join("directory.ldif.lock")).unwrap();
        tenant.config(&config, &tenant.devices(), if seeded { &seed } else { "" });
        let mut scene = Scene {
            config: PathBuf::from("config.toml"),
            old: (!seeded).then(|| original.clone()),
            original: objects(&original),
            reference: Directory::new(),
            arguments: vec![verb.to_owned(), "--format".to_owned(), "json".to_owned()],
            duration: Duration::ZERO,
            changes: 0,
            home,
        };
        let planned = product::run(&base, &config, ["plan", "-q", "--out", "plan.json"]).expect(2);
        assert!(!planned.out.contains("would be refused"), "{}", planned.out);
        if verb == "apply" {
            scene.arguments.push("plan.json".to_owned());
        }
        scene.undisturbed();
        scene
    }

    fn undisturbed(&mut self) {
        let folder = self.attempt("undisturbed");
        let begun = Instant::now();
        let said = product::run(&folder, &self.config, &self.arguments).expect(0);
        self.duration = begun.elapsed();
        let report = said.json();
        let applied = &report["result"];
        assert_eq!(applied["done"], applied["planned"], "{}", said.out);
        self.changes = usize::try_from(applied["done"].as_u64().unwrap()).unwrap();
        self.reference = objects(&fs::read(folder.join("work/directory.ldif")).unwrap());
        let expected = SIZE.live.div_ceil(SIZE.new_in) + SIZE.removed + SIZE.absent;
        assert!(self.changes > expected, "{} changes", self.changes);
    }

    /// A fresh copy of where every run begins.
    fn attempt(&self, name: &str) -> PathBuf {
        let folder = self.home.path().join(name);
        product::copy(&self.home.path().join("base"), &folder);
        folder
    }

    /// Runs until `moment` and kills; gives whether the run was still there to be killed.
    fn kill_at(&self, folder: &Path, moment: Moment) -> bool {
        let work = folder.join("work");
        let state = stamp(&work.join("state.db"));
        let directory = stamp(&work.join("directory.ldif"));
        let child = product::command(folder, &self.config)
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        match moment {
            Moment::After(delay) => kill_when(child, || true, delay),
            Moment::Locked(more) => {
                kill_when(child, || work.join("directory.ldif.lock").exists(), more)
            }
            Moment::Writing(more) => kill_when(child, || !unfinished(&work).is_empty(), more),
            Moment::StateChanged(more) => {
                kill_when(child, || stamp(&work.join("state.db")) != state, more)
            }
            Moment::Renamed(more) => kill_when(
                child,
                || stamp(&work.join("directory.ldif")) != directory,
                more,
            ),
        }
    }

    /// What must hold right after a kill. Gives whether the new directory is in place.
    fn check_after_kill(&self, folder: &Path, moment: Moment) -> bool {
        let work = folder.join("work");
        for entry in fs::read_dir(&work).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let known = ["directory.ldif", "directory.ldif.lock", "state.db"];
            assert!(
                known.contains(&&*name) || name.ends_with(UNFINISHED),
                "{moment:?} left {name}"
            );
        }
        let found = fs::read(work.join("directory.ldif")).ok();
        let is_new = found != self.old;
        if is_new {
            let found = found.unwrap_or_else(|| panic!("{moment:?}: the directory is gone"));
            self.check_directory(&found, moment);
        }
        self.check_state(folder, is_new, moment);
        is_new
    }

    /// Same objects, same values, and what is not written byte for byte.
    fn check_directory(&self, found: &[u8], moment: Moment) {
        let found = objects(found);
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            self.reference.keys().collect::<Vec<_>>(),
            "{moment:?}: the objects"
        );
        let mut created = 0;
        for (dn, record) in &found {
            let reference = &self.reference[dn];
            if self.original.contains_key(dn) {
                assert_eq!(text(record), text(reference), "{moment:?}: {dn}");
            } else {
                // The directory gives each new object a GUID of its own.
                assert_eq!(values(record), values(reference), "{moment:?}: {dn}");
                created += 1;
            }
        }
        assert_eq!(created, SIZE.live.div_ceil(SIZE.new_in), "{moment:?}");
    }

    /// The state opens again, and what has been written can be undone from its journal.
    fn check_state(&self, folder: &Path, is_new: bool, moment: Moment) {
        // Opening repairs: the next run is to do that itself.
        let copy = folder.join("state-copy.db");
        fs::copy(folder.join("work/state.db"), &copy).unwrap();
        let state = FileState::open(&copy, TENANT.parse().unwrap())
            .unwrap_or_else(|error| panic!("{moment:?}: {error}"));
        let runs = state.runs().unwrap();
        // The first run is the one that taught the state.
        let mut journalled = 0;
        for run in runs.iter().skip(1) {
            let entries = state.journal_entries(run.run).unwrap();
            for (entry, outcome) in &entries {
                if entry.action != Action::Create {
                    assert!(
                        !entry.before.is_empty(),
                        "{moment:?}: {} has no values before",
                        entry.dn
                    );
                }
                if let Some(outcome) = outcome {
                    assert!(is_new, "{moment:?}: an outcome of what did not last");
                    assert_eq!(outcome.verdict, "done", "{moment:?}");
                }
            }
            journalled = journalled.max(entries.len());
        }
        assert!(journalled <= self.changes, "{moment:?}");
        if is_new {
            assert_eq!(
                journalled, self.changes,
                "{moment:?}: not all is journalled"
            );
        }
        drop(state);
        fs::remove_file(copy).unwrap();
    }

    /// The run after the kill, the same or a `sync`, succeeds and ends where an undisturbed one does.
    fn finish(&self, folder: &Path, moment: Moment, with_sync: bool) {
        let sync = ["sync", "--format", "json"].map(str::to_owned);
        let arguments = if with_sync { &sync } else { &*self.arguments };
        let said = product::run(folder, &self.config, arguments);
        assert_eq!(said.code, Some(0), "{moment:?}: {}\n{}", said.out, said.err);
        let report = said.json();
        let result = &report["result"];
        assert_eq!(
            result["done"], result["planned"],
            "{moment:?}: {}",
            said.out
        );

        let work = folder.join("work");
        let directory = fs::read(work.join("directory.ldif")).unwrap();
        self.check_directory(&directory, moment);

        if with_sync {
            // That nothing is left to do is asked after every other kill, to save time.
            return;
        }
        let third = product::run(folder, &self.config, ["sync"]).expect(0);
        assert!(
            third.out.starts_with("nothing to do: "),
            "{moment:?}: {}",
            third.out
        );
        assert_eq!(fs::read(work.join("directory.ldif")).unwrap(), directory);
    }

    /// One kill and what comes after it.
    fn try_moment(&self, number: usize, moment: Moment) -> (bool, bool) {
        let folder = self.attempt(&format!("kill-{number}"));
        let killed = self.kill_at(&folder, moment);
        let is_new = self.check_after_kill(&folder, moment);
        self.finish(&folder, moment, number % 2 == 1);
        if !is_new {
            // A run that writes removes what the killed one left.
            assert_eq!(unfinished(&folder.join("work")), <[PathBuf; 0]>::default());
        }
        fs::remove_dir_all(folder).unwrap();
        (killed, is_new)
    }

    /// Kills at many moments; each of the telling ones must really have been met.
    fn try_many(&self, seed: u64) {
        let mut random = Random(seed);
        let mut within = |most: Duration| most.mul_f64(random.fraction());
        let mut moments = Vec::new();
        for number in 0..RANDOM_KILLS {
            // One in each part of the run: reading, planning, writing, the end.
            let part = self.duration / u32::try_from(RANDOM_KILLS).unwrap();
            let start = part * u32::try_from(number).unwrap();
            moments.push(Moment::After(start + within(part)));
        }
        let tail = self.duration / 10;
        for _ in 0..2 {
            moments.push(Moment::Locked(within(tail)));
            moments.push(Moment::Writing(Duration::ZERO));
            moments.push(Moment::Writing(within(Duration::from_millis(20))));
            moments.push(Moment::StateChanged(within(tail)));
            moments.push(Moment::Renamed(Duration::ZERO));
        }
        let (mut kills, mut old, mut new) = (0, 0, 0);
        for (number, moment) in moments.into_iter().enumerate() {
            let (killed, is_new) = self.try_moment(number, moment);
            kills += usize::from(killed);
            *(if is_new { &mut new } else { &mut old }) += usize::from(killed);
        }
        // A busy machine may let a run end before its moment comes, but not most of them.
        assert!(kills >= RANDOM_KILLS, "only {kills} runs were killed");
        assert!(
            old > 0 && new > 0,
            "killed before the rename {old}, after it {new}"
        );
    }

    /// Kills one run after the other in the same place.
    fn try_row(&self, seed: u64) {
        let mut random = Random(seed);
        let folder = self.attempt("row");
        let mut moment = Moment::Writing(Duration::ZERO);
        for _ in 0..ROW {
            self.kill_at(&folder, moment);
            if self.check_after_kill(&folder, moment) {
                break;
            }
            let left = unfinished(&folder.join("work"));
            assert!(left.len() <= 1, "half-written files pile up: {left:?}");
            moment = Moment::After(self.duration.mul_f64(random.fraction()));
        }
        self.finish(&folder, moment, false);
    }
}

#[test]
fn a_killed_apply_leaves_the_old_or_the_new_directory() {
    let scene = Scene::new("apply", false);
    scene.try_many(0x5eed_0001);
    scene.try_row(0x5eed_0002);
}

#[test]
fn a_killed_sync_leaves_no_directory_or_a_complete_one() {
    let scene = Scene::new("sync", true);
    scene.try_many(0x5eed_0003);
    scene.try_row(0x5eed_0004);
}

/// Waits for the condition and for `more`, then kills. `false`: the run had ended before.
fn kill_when(mut child: Child, condition: impl Fn() -> bool, more: Duration) -> bool {
    while !condition() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        thread::sleep(Duration::from_micros(100));
    }
    thread::sleep(more);
    let killed = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    killed
}

/// What differs when a file is written or replaced.
fn stamp(path: &Path) -> Option<(u64, i64, i64)> {
    let data = fs::metadata(path).ok()?;
    Some((data.ino(), data.mtime(), data.mtime_nsec()))
}

fn unfinished(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(UNFINISHED))
        .collect()
}

/// The records of a directory file; a name that occurs twice fails the test.
fn objects(file: &[u8]) -> Directory {
    let mut objects = Directory::new();
    let mut rest = file;
    while !rest.is_empty() {
        let end = ldif::record_end(rest, true).unwrap_or(rest.len());
        let (record, after) = rest.split_at(end);
        rest = after;
        let Some(parsed) = ldif::parse_all(record).next() else {
            continue;
        };
        let dn = parsed
            .unwrap_or_else(|error| panic!("{error}: {}", text(record)))
            .dn;
        let is_first = objects.insert(dn.to_lowercase(), record.to_vec()).is_none();
        assert!(is_first, "{dn} is there twice");
    }
    objects
}

/// Attributes with their values, without the GUID.
fn values(record: &[u8]) -> BTreeMap<String, Vec<Vec<u8>>> {
    let record = ldif::parse_all(record).next().unwrap().unwrap();
    let Body::Content(attributes) = record.body else {
        panic!("{} is a change", record.dn);
    };
    let mut values: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for attribute in attributes {
        values
            .entry(attribute.name)
            .or_default()
            .push(attribute.value);
    }
    let guid = values.remove("objectGUID").expect("an object has a GUID");
    assert_eq!(guid.iter().map(Vec::len).collect::<Vec<_>>(), [16]);
    values.values_mut().for_each(|values| values.sort());
    values
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same moments every time.
struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap()) / f64::from(u32::MAX)
    }
}
