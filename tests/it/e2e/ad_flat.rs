//! A hundred runs in one process, with lost connections and time-outs among them: no memory, no file handle and no connection more
//! than after twenty. And the two brakes on a run: operations a second, and one write at a time.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _, stdin, stdout};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use device_writeback::core::filetime::FileTime;
use device_writeback::engine::config::Config;
use device_writeback::engine::{Control, Options, SyncEnd};
use device_writeback::{ConfiguredEngine, FileSpool, Platform};
use serde_json::{Value, json};

use crate::ad_devices::{device, device_with, dn};
use crate::ad_fleet::Scene;
use crate::ad_proxy::{Mode, Moment};
use crate::ad_support::value;
use crate::product::NOW;

const RUNS: u32 = 100;
/// By then everything that is made once has been made.
const WARM: u32 = 20;
const DEVICES: u32 = 40;
/// Memory that may come and go over eighty runs: 13 kB a run, less than keeping what a single run reads would take. The arenas of
/// threads that live a moment differ by half of it from one process to the next.
const TOLERANCE: u64 = 1 << 20;
/// Where the process of [`runs_within_this_process`] finds its files, and whether it keeps its engine.
const FOLDER: &str = "DEVICE_WRITEBACK_TEST_RUNS_IN";
const KEEPS: &str = "DEVICE_WRITEBACK_TEST_KEEPS_ENGINE";
/// Tells an answer from what the test harness says.
const ANSWER: &str = "answer: ";

/// The devices of a run: in each run other names, one more device or one less, one enabled or not.
fn devices(run: u32) -> Vec<Value> {
    let count = DEVICES - run % 2;
    let renamed = |number: u32| {
        let name = match number % 8 == run % 8 {
            true => format!("renamed in run {run}"),
            false => format!("DESKTOP-{number:04}"),
        };
        let enabled = number != 3 || run.is_multiple_of(3);
        device_with(
            number,
            json!({"displayName": name, "accountEnabled": enabled}),
        )
    };
    (0..count).map(renamed).collect()
}

/// The process in which all happens; it does one run for each line that it reads.
struct Runner {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Runner {
    fn start(scene: &Scene, keeps_engine: bool) -> Runner {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "ad_flat::runs_within_this_process"])
            .env(FOLDER, scene.site.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if keeps_engine {
            command.env(KEEPS, "1");
        }
        let mut child = command.spawn().unwrap();
        Runner {
            requests: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn ask(&mut self) {
        self.requests.write_all(b"run\n").unwrap();
    }

    fn answer(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "it ended");
            // The harness begins a line that it does not end.
            if let Some((_, answer)) = line.split_once(ANSWER) {
                return serde_json::from_str(answer).unwrap();
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The hundred runs: nothing where nobody asks for them.
#[test]
fn runs_within_this_process() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let text = fs::read_to_string(folder.join("config.toml")).unwrap();
    let config = Config::parse(&text, "config.toml", folder).unwrap();
    let open = || {
        let options = Options::from_config(&config, FileTime::parse_rfc3339(NOW).unwrap());
        device_writeback::open(&config, options, &Platform::none()).unwrap()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let kept = std::env::var_os(KEEPS).map(|_| open());
    for line in stdin().lines() {
        assert_eq!(line.unwrap(), "run");
        let mut answer = match &kept {
            Some(engine) => runtime.block_on(run(engine)),
            None => runtime.block_on(run(&open())),
        };
        // What a run leaves to other tasks to close is closed in a moment.
        thread::sleep(Duration::from_millis(50));
        answer["files"] = json!(fs::read_dir("/proc/self/fd").unwrap().count());
        answer["resident"] = json!(resident());
        let mut out = stdout().lock();
        writeln!(out, "{ANSWER}{answer}").unwrap();
        out.flush().unwrap();
    }
}

async fn run(engine: &ConfiguredEngine) -> Value {
    match engine
        .sync(Box::new(FileSpool::new()), &Control::new())
        .await
    {
        Ok(SyncEnd::Applied(_, report)) => json!({
            "done": report.done,
            "planned": report.planned,
            "stopped": report.stopped,
        }),
        Ok(other) => json!({"refused": format!("{other:?}")}),
        Err(error) => json!({"error": error.to_string()}),
    }
}

/// Octets of memory that this process has in use, without the pages of the program itself, which come as they are needed.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    number.unwrap().parse::<u64>().unwrap() * 1024
}

/// Connections that the domain controller's LDAPS has with clients.
fn connections(scene: &Scene) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let address = u32::from_ne_bytes(scene.site.dc.address().octets());
    // As the kernel prints it: local address and port, the other end, 01 for established.
    let local = format!("{address:08X}:{:04X}", 636);
    let lines = table.lines().map(|line| line.split_ascii_whitespace());
    lines
        .filter_map(|mut fields| Some((fields.nth(1)?, fields.nth(1)?)))
        .filter(|(at, state)| *at == local && *state == "01")
        .count()
}

/// What is in use after a run.
fn use_of(scene: &Scene, answer: &Value) -> (u64, u64, usize) {
    let number = |name: &str| answer[name].as_u64().unwrap();
    (number("resident"), number("files"), connections(scene))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// One run whose connection is lost, or whose answers do not come, in its writing or in its reading.
fn disturbed(scene: &mut Scene, runner: &mut Runner, number: u32) -> Value {
    let traffic = scene.proxy.traffic();
    let reached = match number % 20 {
        // The answer to a search, or a part of it; the names of a page of objects alone are more.
        3 => scene
            .proxy
            .at(Moment::Received(traffic.received + 15_000), Mode::Pass),
        7 => scene
            .proxy
            .at(Moment::Received(traffic.received + 15_000), Mode::Swallow),
        _ => scene
            .proxy
            .at(Moment::Sent(traffic.sent + 6_000), Mode::Mute),
    };
    runner.ask();
    reached.recv_timeout(Duration::from_secs(30)).unwrap();
    if number % 20 == 3 {
        scene.site.dc.kill();
        scene.site.dc.restart().unwrap();
    } else {
        thread::sleep(Duration::from_millis(1_500));
        scene.proxy.set(Mode::Pass);
    }
    runner.answer()
}

fn hundred_runs(keeps_engine: bool) {
    let mut scene = Scene::start();
    scene.configure(
        "connect_timeout_seconds = 1\noperation_timeout_seconds = 1\nreconnect_seconds = 60",
    );
    scene.site.tell(&devices(0));
    let mut runner = Runner::start(&scene, keeps_engine);
    let mut warm = None;
    let mut last = None;
    let (state, state_of_first) = (scene.site.path("state.db"), scene.site.path("first.db"));
    for number in 1..=RUNS {
        scene.site.tell(&devices(number));
        // The journal grows with every run, and some of it is kept in memory while the file is open: not here.
        match number {
            2 => drop(fs::copy(&state, &state_of_first).unwrap()),
            3.. if !keeps_engine => drop(fs::copy(&state_of_first, &state).unwrap()),
            _ => {}
        }
        // Twenty of the hundred are disturbed, also before it is measured first.
        let answer = match number % 20 {
            3 | 7 | 11 | 15 => disturbed(&mut scene, &mut runner, number),
            _ => {
                runner.ask();
                runner.answer()
            }
        };
        assert_eq!(answer["done"], answer["planned"], "run {number}: {answer}");
        assert!(answer["done"].as_u64() > Some(0), "run {number}: {answer}");
        match number {
            WARM => warm = Some((use_of(&scene, &answer), length(&state))),
            RUNS => last = Some((use_of(&scene, &answer), length(&state))),
            _ => {}
        }
    }
    let ((before, files, open), journal) = warm.unwrap();
    let ((resident, files_now, open_now), journal_now) = last.unwrap();
    assert_eq!(files_now, files, "open files");
    assert_eq!(open_now, open, "connections at the domain controller");
    assert_eq!(open_now, usize::from(keeps_engine));
    assert!(
        resident <= before + TOLERANCE + (journal_now - journal),
        "{before} octets of memory after {WARM} runs, {resident} after {RUNS}"
    );
    let objects = scene.site.devices();
    assert_eq!(objects.len() as u32, DEVICES - RUNS % 2);
    let name = format!("renamed in run {RUNS}");
    assert_eq!(value(&objects, &dn(RUNS % 8), "displayName"), name);
}

#[test]
fn a_hundred_runs_of_one_engine_take_no_more_than_twenty() {
    hundred_runs(true);
}

#[test]
fn a_hundred_runs_each_opened_anew_take_no_more_than_twenty() {
    hundred_runs(false);
}

#[test]
fn operations_a_second_and_writes_in_flight_are_capped() {
    let scene = Scene::start();
    let devices: Vec<Value> = (0..100).map(device).collect();
    scene.configure("max_operations_per_second = 50");
    scene.site.tell(&devices);
    let begun = Instant::now();
    let report = scene.site.sync(&[], 0);
    // Ninety-nine gaps of 20 ms lie between a hundred operations.
    assert!(begun.elapsed() >= Duration::from_millis(1_900));
    assert_eq!(report["result"]["actions"]["create"], 100, "{report}");

    scene.configure("max_in_flight = 1");
    let renamed = |number| device_with(number, json!({"displayName": "another name"}));
    scene.site.tell(&(0..150).map(renamed).collect::<Vec<_>>());
    let report = scene.site.sync(&[], 0);
    assert_eq!(report["result"]["actions"]["create"], 50, "{report}");
    assert_eq!(report["result"]["actions"]["update"], 100, "{report}");
    scene.site.assert_nothing_to_do(&[]);
}
