//! Kills the domain controller, as a power cut does, at fifty moments of a run over two thousand devices, while somebody else
//! edits the same objects. Afterwards nothing is lost, nothing is there twice, and nobody's edit is gone: every attribute that
//! `ldapsearch` prints is the one that a run without a crash ends with.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use device_writeback_tests::samba::{ADMIN, SambaDc};

use crate::ad_devices::dn;
use crate::ad_fleet::{Base, Edit, Fleet, Random, Scene, assert_none_twice, foreign, moment};
use crate::ad_proxy::Mode;

const FLEET: Fleet = Fleet {
    existing: 1_000,
    new: 1_000,
};
const SEED: u64 = 0x5eed_0101;
/// Moments at which the domain controller is back before the run gives up, that many in each of the runs.
const PATIENT: usize = 25;
const IN_ONE_RUN: usize = 5;
/// Moments at which the run gives up, and another one finishes.
const GIVEN_UP: usize = 25;
/// One moment in so many is one of reading.
const READING_IN: usize = 5;

/// One run with its crashes: parts of the reading (negative) or of the writing, in ascending order.
#[derive(Clone, Debug)]
struct Attempt {
    number: usize,
    parts: Vec<f64>,
    /// Whether the domain controller comes back before the run gives up.
    is_patient: bool,
}

/// The moments: one in each part of the run, so that none is left out.
fn attempts() -> VecDeque<Attempt> {
    let mut random = Random(SEED);
    let mut parts = |count: usize| -> Vec<f64> {
        let reading = count / READING_IN;
        let mut within = |number: usize, of: usize| (number as f64 + random.fraction()) / of as f64;
        let mut parts: Vec<f64> = (0..reading).map(|n| -within(n, reading)).collect();
        parts.extend((0..count - reading).map(|n| within(n, count - reading)));
        parts
    };
    let alone = parts(GIVEN_UP).into_iter().map(|part| vec![part]);
    let parts = parts(PATIENT);
    let runs = PATIENT / IN_ONE_RUN;
    // The first, the sixth, the eleventh ... : each run crashes in all its parts.
    let together = (0..runs).map(|run| parts.iter().skip(run).step_by(runs).copied().collect());
    let attempts = together
        .map(|parts| (parts, true))
        .chain(alone.map(|parts| (parts, false)));
    let attempt = |(number, (parts, is_patient))| Attempt {
        number,
        parts,
        is_patient,
    };
    attempts.enumerate().map(attempt).collect()
}

#[test]
fn a_killed_domain_controller_loses_nothing_and_doubles_nothing() {
    let mut scene = Scene::start();
    let base = scene.base(FLEET);
    eprintln!(
        "DBG changes {} {:?} {:?}",
        base.changes, base.reading, base.whole
    );
    assert!(base.changes > 1_500, "{} changes", base.changes);
    let queue = Mutex::new(attempts());
    let gave_up = thread::scope(|scope| {
        let (queue, base) = (&queue, &base);
        let other = scope.spawn(move || work(&mut Scene::start(), base, queue));
        let gave_up = work(&mut scene, base, queue);
        gave_up + other.join().unwrap()
    });
    // A moment at the very end may leave nothing to be given up.
    assert!(gave_up >= GIVEN_UP - 3, "only {gave_up} runs gave up");
}

/// Takes attempts until there are none; how many runs gave up.
fn work(scene: &mut Scene, base: &Base, queue: &Mutex<VecDeque<Attempt>>) -> usize {
    let mut gave_up = 0;
    loop {
        let Some(attempt) = queue.lock().unwrap().pop_front() else {
            return gave_up;
        };
        gave_up += usize::from(attempt.go(scene, base));
    }
}

impl Attempt {
    /// Whether the first run gave up.
    fn go(&self, scene: &mut Scene, base: &Base) -> bool {
        let told = format!("seed {SEED:#x}, {self:?}");
        scene.restore(base);
        scene.configure(if self.is_patient {
            "reconnect_seconds = 60"
        } else {
            "reconnect_seconds = 1\nconnect_timeout_seconds = 2"
        });
        let editor = Editor::new(&scene.site.dc, base);
        let ended = AtomicBool::new(false);
        let (edits, said) = thread::scope(|scope| {
            let editing = scope.spawn(|| editor.edit(&ended));
            let said = self.run(scene, base, &told);
            ended.store(true, Ordering::Release);
            (editing.join().unwrap(), said)
        });
        let gave_up = said.code != Some(0);
        if gave_up {
            assert!(!self.is_patient, "{told}: {}\n{}", said.out, said.err);
            assert!(matches!(said.code, Some(1 | 2)), "{told}: {said:?}");
            // It says who is gone, and what to do.
            let all = format!("{}{}", said.out, said.err);
            assert!(all.contains("localhost"), "{told}: {all}");
            assert_none_twice(&scene.site.devices());
            let second = scene.begin().end();
            assert_eq!(second.code, Some(0), "{told}: {second:?}");
            let result = &second.json()["result"];
            assert_eq!(result["done"], result["planned"], "{told}: {result}");
        } else {
            let result = &said.json()["result"];
            assert_eq!(result["done"], result["planned"], "{told}: {result}");
            assert_eq!(result["planned"], base.changes, "{told}");
        }
        scene.assert_finished(base, &edits, &told);
        if self.number.is_multiple_of(5) {
            scene.site.assert_nothing_to_do(&[]);
            scene.assert_finished(base, &edits, &told);
        }
        gave_up
    }

    /// The first run with the domain controller's crashes in it; in the end it is there.
    fn run(&self, scene: &mut Scene, base: &Base, told: &str) -> crate::product::Said {
        let mut running = scene.begin();
        for (at, part) in self.parts.iter().enumerate() {
            // Every other time the answers are lost some moments before the requests are.
            let mode = match (self.number + at) % 2 {
                0 => Mode::Pass,
                _ => Mode::Mute,
            };
            let reached = scene.proxy.at(moment(base, *part), mode);
            if !running.meets(&reached) {
                break;
            }
            scene.site.dc.kill();
            scene.proxy.set(Mode::Pass);
            if self.is_patient {
                scene.site.dc.restart().unwrap();
            }
        }
        let said = running.end();
        if !self.is_patient {
            scene.site.dc.restart().unwrap();
        }
        assert!(said.code.is_some(), "{told}: {said:?}");
        said
    }
}

/// Somebody who writes on objects while the program does.
struct Editor {
    address: Ipv4Addr,
    ca_file: PathBuf,
    names: Vec<String>,
}

impl Editor {
    fn new(dc: &SambaDc, base: &Base) -> Editor {
        let ours = base.fleet.changed().into_iter().map(dn);
        Editor {
            address: dc.address(),
            ca_file: dc.ca_file().to_owned(),
            names: std::iter::once(foreign()).chain(ours).collect(),
        }
    }

    /// One object after the other, until there is no run any more.
    fn edit(&self, ended: &AtomicBool) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (number, dn) in self.names.iter().enumerate() {
            if ended.load(Ordering::Acquire) {
                break;
            }
            let value = format!("edited meanwhile, {number}");
            let ldif = format!(
                "dn: {dn}\nchangetype: modify\nreplace: description\ndescription: {value}\n"
            );
            edits.push(Edit {
                dn: dn.clone(),
                value,
                is_done: self.modify(&ldif),
            });
            thread::sleep(Duration::from_millis(100));
        }
        edits
    }

    fn modify(&self, ldif: &str) -> bool {
        use std::io::Write as _;
        let mut command = Command::new("ldapmodify");
        command
            .env("LDAPTLS_CACERT", &self.ca_file)
            .args(["-x", "-o", "nettimeout=5", "-H"])
            .arg(format!("ldaps://{}:636", self.address))
            .args(["-D", ADMIN.upn, "-w", ADMIN.password])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let written = input.write_all(ldif.as_bytes());
        drop(input);
        child.wait().unwrap().success() && written.is_ok()
    }
}
