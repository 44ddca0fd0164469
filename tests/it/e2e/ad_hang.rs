//! A domain controller that does not answer: stopped, or behind a network that swallows everything, before the run, in its
//! reading and in its writing. It costs the time-outs and nothing else: the run ends, it names the server and the time-out, and
//! the next run finishes.

use std::process::Command;
use std::thread;
use std::time::Duration;

use device_writeback_tests::samba::SambaDc;

use crate::ad_fleet::{Base, Fleet, Scene, assert_none_twice, moment};
use crate::ad_proxy::{Mode, Moment};

const FLEET: Fleet = Fleet {
    existing: 400,
    new: 300,
};
/// Two seconds for an answer, three to get the connection back.
const IMPATIENT: &str =
    "connect_timeout_seconds = 2\noperation_timeout_seconds = 2\nreconnect_seconds = 3";
/// One second for an answer, and a minute to get the connection back.
const PATIENT: &str =
    "connect_timeout_seconds = 1\noperation_timeout_seconds = 1\nreconnect_seconds = 60";
/// No run of these may take longer, on a busy machine too: time-outs must not add up.
const BOUND: Duration = Duration::from_secs(30);

/// How it falls silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    /// Its processes stop (`SIGSTOP`): the system takes connections and data, nobody reads them. Going on it does what it was
    /// sent.
    Stopped,
    /// The network swallows both ways.
    Swallowed,
    /// The network swallows its answers: what it was sent takes effect.
    Mute,
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    BeforeTheRun,
    /// In this part of the reading.
    Reading(f64),
    /// In this part of the writing.
    Writing(f64),
}

fn signal(dc: &SambaDc, name: &str) {
    let mut kill = Command::new("kill");
    kill.args(["-s", name]);
    kill.args(dc.process_ids().iter().map(u32::to_string));
    assert!(kill.status().unwrap().success());
}

impl When {
    fn moment(self, base: &Base, silence: Silence) -> Moment {
        match self {
            When::BeforeTheRun => Moment::Sent(0),
            // Before the last question: the answers to the others may be under way already.
            When::Reading(_) if silence == Silence::Stopped => {
                Moment::Sent(base.reading.sent * 9 / 10)
            }
            When::Reading(part) => moment(base, -part),
            When::Writing(part) => moment(base, part),
        }
    }
}

impl Silence {
    /// The moment has come.
    fn begin(self, scene: &Scene) {
        if self == Silence::Stopped {
            signal(&scene.site.dc, "STOP");
            scene.proxy.set(Mode::Pass);
        }
    }

    fn mode(self) -> Mode {
        match self {
            // Until it is stopped.
            Silence::Stopped => Mode::Hold,
            Silence::Swallowed => Mode::Swallow,
            Silence::Mute => Mode::Mute,
        }
    }

    fn end(self, scene: &Scene) {
        match self {
            Silence::Stopped => signal(&scene.site.dc, "CONT"),
            Silence::Swallowed | Silence::Mute => scene.proxy.set(Mode::Pass),
        }
    }
}

fn falls_silent_for_good(scene: &mut Scene, base: &Base, silence: Silence, when: When) {
    let told = format!("{silence:?}, {when:?}");
    scene.restore(base);
    scene.configure(IMPATIENT);
    let before = scene.site.devices();
    let reached = scene.proxy.at(when.moment(base, silence), silence.mode());
    if when == When::BeforeTheRun {
        silence.begin(scene);
    }
    let mut running = scene.begin();
    if when != When::BeforeTheRun {
        assert!(running.meets(&reached), "{told}");
        silence.begin(scene);
    }
    let begun = running.begun;
    let said = running.end();
    let took = begun.elapsed();
    assert!(took < BOUND, "{told}: {took:?}");
    let expected = match when {
        When::BeforeTheRun | When::Reading(_) => 1,
        When::Writing(_) => 2,
    };
    assert_eq!(said.code, Some(expected), "{told}: {said:?}");
    let all = format!("{}{}", said.out, said.err);
    assert!(all.contains("no answer in 2 s"), "{told}: {all}");
    assert!(all.contains(&scene.proxy.url()), "{told}: {all}");
    if let When::Writing(_) = when {
        let result = &said.json()["result"];
        let number = |name: &str| result[name].as_u64().unwrap();
        assert!(result["stopped"].is_string(), "{told}: {result}");
        assert!(number("not_begun") > 0, "{told}: {result}");
        let named = result["failures"].as_array().unwrap().len() as u64;
        assert_eq!(
            named + number("done") + number("not_begun"),
            base.changes,
            "{told}: {result}"
        );
    }

    silence.end(scene);
    let now = scene.site.devices();
    assert_none_twice(&now);
    if !matches!(when, When::Writing(_)) {
        assert_eq!(now, before, "{told}: nothing was to be written");
    }
    let second = scene.begin().end();
    assert_eq!(second.code, Some(0), "{told}: {second:?}");
    let result = &second.json()["result"];
    assert_eq!(result["done"], result["planned"], "{told}: {result}");
    scene.assert_finished(base, &[], &told);
    scene.site.assert_nothing_to_do(&[]);
}

#[test]
fn silence_costs_the_time_out_and_nothing_else() {
    let mut scene = Scene::start();
    let base = scene.base(FLEET);
    for (silence, when) in [
        (Silence::Stopped, When::BeforeTheRun),
        (Silence::Stopped, When::Reading(0.9)),
        (Silence::Stopped, When::Writing(0.5)),
        (Silence::Swallowed, When::BeforeTheRun),
        (Silence::Swallowed, When::Reading(0.6)),
        (Silence::Swallowed, When::Writing(0.2)),
        (Silence::Mute, When::Writing(0.7)),
    ] {
        falls_silent_for_good(&mut scene, &base, silence, when);
    }
}

#[test]
fn a_pause_longer_than_the_time_out_is_survived_in_the_same_run() {
    let mut scene = Scene::start();
    let base = scene.base(FLEET);
    for (silence, when) in [
        (Silence::Swallowed, When::Reading(0.6)),
        (Silence::Stopped, When::Writing(0.3)),
        (Silence::Swallowed, When::Writing(0.5)),
        (Silence::Mute, When::Writing(0.7)),
    ] {
        let told = format!("{silence:?}, {when:?}");
        scene.restore(&base);
        scene.configure(PATIENT);
        let reached = scene.proxy.at(when.moment(&base, silence), silence.mode());
        let mut running = scene.begin();
        assert!(running.meets(&reached), "{told}");
        silence.begin(&scene);
        thread::sleep(Duration::from_secs(3));
        silence.end(&scene);
        let said = running.end();
        assert_eq!(said.code, Some(0), "{told}: {said:?}");
        let result = &said.json()["result"];
        assert_eq!(result["done"], result["planned"], "{told}: {result}");
        assert_eq!(result["planned"], base.changes, "{told}: {result}");
        scene.assert_finished(&base, &[], &told);
    }
}
