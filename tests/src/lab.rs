//! What the labs have in common: running other people's programs with a time-out.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(20);

/// Why a lab could not do what a test asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A program could not be started: `cargo xtask test` installs what is missing.
    #[error("cannot start {program}; `cargo xtask test` installs what the tests need")]
    Start {
        /// The program's name.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program ended with something other than success.
    ///
    /// For the OpenLDAP tools `code` is the LDAP result code ([RFC 4511] appendix A).
    #[error("{program} failed with code {code:?}: {stderr}")]
    Failed {
        /// The program's name.
        program: String,
        /// The exit code, `None` when a signal ended it.
        code: Option<i32>,
        /// What it wrote to its standard error.
        stderr: String,
    },
    /// A program did not end, or a server did not answer, in time.
    #[error("{program} did not {what} within {seconds} s: {stderr}")]
    TimedOut {
        /// The program's name.
        program: String,
        /// What it should have done.
        what: &'static str,
        /// The time it had.
        seconds: u64,
        /// What it wrote to its standard error.
        stderr: String,
    },
    /// A program's output was not what it promises.
    #[error("cannot read the output of {program}: {detail}")]
    Output {
        /// The program's name.
        program: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The machine does not let a lab do what it needs to do.
    #[error("cannot {what}; {remedy}")]
    Missing {
        /// What cannot be done, and what the system said.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A file of the lab could not be read or written.
    #[error("cannot {what}")]
    File {
        /// What was being done.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl LabError {
    pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(io::Error) -> LabError {
        let what = what.into();
        move |source| LabError::File { what, source }
    }

    pub(crate) fn start(program: &str) -> impl FnOnce(io::Error) -> LabError {
        let program = program.to_owned();
        move |source| LabError::Start { program, source }
    }
}

/// What a child printed.
pub(crate) struct Printed {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Runs a program to its end and takes what it printed; kills it when the time is over.
///
/// Input and output go through files in `folder`: no pipe can fill up and block.
pub(crate) fn run(
    command: &mut Command,
    input: &[u8],
    folder: &Path,
    timeout: Duration,
) -> Result<Printed, LabError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let work = tempfile::tempdir_in(folder).map_err(LabError::file("create a folder"))?;
    let path = |name: &str| work.path().join(name);
    File::create(path("in"))
        .and_then(|mut file| file.write_all(input))
        .map_err(LabError::file("write a program's input"))?;
    let open = |name: &str| File::create(path(name)).map_err(LabError::file("create a file"));
    let stdin = File::open(path("in")).map_err(LabError::file("open a program's input"))?;
    command
        .stdin(stdin)
        .stdout(open("out")?)
        .stderr(open("err")?);
    let mut child = command.spawn().map_err(LabError::start(&program))?;
    let ended = wait(&mut child, timeout).map_err(LabError::file(format!("wait for {program}")))?;
    let read = |name: &str| std::fs::read(path(name));
    let stderr = String::from_utf8_lossy(&read("err").unwrap_or_default())
        .trim()
        .to_owned();
    let Some(status) = ended else {
        let (what, seconds) = ("end", timeout.as_secs());
        return Err(LabError::TimedOut {
            program,
            what,
            seconds,
            stderr,
        });
    };
    let stdout = read("out").map_err(LabError::file(format!("read the output of {program}")))?;
    Ok(Printed {
        status,
        stdout,
        stderr,
    })
}

/// As [`run`], but anything except success is an error.
pub(crate) fn run_to_success(
    command: &mut Command,
    input: &[u8],
    folder: &Path,
    timeout: Duration,
) -> Result<Vec<u8>, LabError> {
    let printed = run(command, input, folder, timeout)?;
    if printed.status.success() {
        return Ok(printed.stdout);
    }
    Err(LabError::Failed {
        program: command.get_program().to_string_lossy().into_owned(),
        code: printed.status.code(),
        stderr: printed.stderr,
    })
}

/// Waits for a child; past the time-out it is killed and `None` comes back.
fn wait(child: &mut Child, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            stop(child);
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Ends a child and collects it, whatever state it is in.
pub(crate) fn stop(child: &mut Child) {
    // An error here means that it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// A child without input whose output goes to a file.
pub(crate) fn spawn_logged(command: &mut Command, log: &Path) -> Result<Child, LabError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let file = File::create(log).map_err(LabError::file("create a server's log"))?;
    let copy = file
        .try_clone()
        .map_err(LabError::file("create a server's log"))?;
    command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(copy)
        .spawn()
        .map_err(LabError::start(&program))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn input_and_output_are_passed_through() {
        let folder = tempfile::tempdir().unwrap();
        let second = Duration::from_secs(60);
        let out = run_to_success(&mut shell("cat; echo b"), b"a\n", folder.path(), second).unwrap();
        assert_eq!(out, b"a\nb\n");
    }

    #[test]
    fn a_failure_carries_code_and_message() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = shell("echo no >&2; exit 53");
        let error = run_to_success(&mut command, b"", folder.path(), Duration::from_secs(60));
        assert!(matches!(
            error,
            Err(LabError::Failed { code: Some(53), stderr, .. }) if stderr == "no"
        ));
    }

    #[test]
    fn a_program_that_hangs_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let error = run_to_success(
            &mut shell("exec sleep 600"),
            b"",
            folder.path(),
            Duration::from_millis(50),
        );
        assert!(matches!(error, Err(LabError::TimedOut { what: "end", .. })));
    }
}
