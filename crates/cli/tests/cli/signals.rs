//! The first signal asks, the second one does not.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::support::{NOW, Place, command};

/// An `apply` that reads its plan from a pipe, and so waits until somebody writes one.
struct Waiting {
    child: Child,
    pipe: File,
    said: Lines<BufReader<ChildStderr>>,
}

impl Waiting {
    fn new(place: &Place, pipe: &Path) -> Self {
        let mut child = command()
            .arg("apply")
            .arg(pipe)
            .args(["--now", NOW, "--config"])
            .arg(place.config())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // This returns when the run has opened its end, after it has begun to listen for signals.
        let pipe = OpenOptions::new().write(true).open(pipe).unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, pipe, said }
    }

    fn send(&self, signal: &str) {
        let status = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for the answer to the first signal.
    fn expect_stopping(&mut self) {
        let line = self.said.next().unwrap().unwrap();
        assert!(
            line.starts_with("stopping after what is in flight"),
            "{line}"
        );
    }
}

fn pipe(place: &Place) -> std::path::PathBuf {
    let pipe = place.path("plan.pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    pipe
}

#[test]
fn a_second_signal_ends_a_run_that_waits() {
    let place = Place::new();
    let pipe = pipe(&place);
    for (signal, other) in [("INT", "TERM"), ("TERM", "INT")] {
        let mut run = Waiting::new(&place, &pipe);
        run.send(signal);
        run.expect_stopping();
        run.send(other);
        assert_eq!(run.child.wait().unwrap().code(), Some(130));
        assert!(place.is_untouched());
    }
}

#[test]
fn a_run_that_is_asked_to_stop_begins_nothing_more() {
    let place = Place::new();
    let (path, _) = place.save_plan();
    let plan = fs::read(path).unwrap();
    let mut run = Waiting::new(&place, &pipe(&place));
    run.send("TERM");
    run.expect_stopping();
    run.pipe.write_all(&plan).unwrap();
    let Waiting { child, pipe, .. } = run;
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{out}");
    assert!(out.starts_with("0 of 48 changes done"), "{out}");
    assert!(out.contains("then stopped\n  48 not begun"), "{out}");
    assert!(place.is_untouched());
}
