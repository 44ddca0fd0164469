//! Steps with a heading, child processes, and the one error type.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Why a chore stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line was wrong: shown with the help text, exit code 64.
    Usage(String),
    /// The chore itself failed; the text says what to do.
    Failed(String),
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure::Failed(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Usage(message) | Failure::Failed(message)) = self;
        f.write_str(message)
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The cargo that started us, in the root of the workspace, without a standard input.
pub(crate) fn cargo() -> Command {
    program(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
}

/// A program in the root of the workspace, without a standard input.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs a child to its end with our own output; anything but success is a failure.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let line = command_line(command);
    println!("$ {line}");
    let status = command
        .status()
        .map_err(|e| Failure::new(format!("cannot start `{line}`: {e}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{line}` failed: {status}")))
}

/// Whether the child starts and succeeds; its output is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs named steps one after the other and sums up what each took.
pub(crate) struct Steps {
    started: Instant,
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    pub(crate) fn new() -> Steps {
        Steps {
            started: Instant::now(),
            done: Vec::new(),
        }
    }

    /// Prints the heading, then does the step.
    pub(crate) fn step(
        &mut self,
        heading: &'static str,
        step: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        println!("\n=== {heading}");
        let started = Instant::now();
        step()?;
        self.done.push((heading, started.elapsed()));
        Ok(())
    }

    /// Prints the times.
    pub(crate) fn finish(self) {
        println!("\n=== all passed");
        for (heading, took) in &self.done {
            println!("{:>8.1} s  {heading}", took.as_secs_f64());
        }
        println!("{:>8.1} s  in total", self.started.elapsed().as_secs_f64());
    }
}

/// The command as somebody would type it, with the variables set for it in front.
fn command_line(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!(
            "{}={}",
            name.to_string_lossy(),
            value?.to_string_lossy()
        ))
    });
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned());
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace_manifest() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn a_failing_child_is_named_with_its_command_line() {
        let failure = run(program("false").arg("--now").env("X", "1")).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "`X=1 false --now` failed: exit status: 1"
        );
    }

    #[test]
    fn a_missing_program_is_named() {
        let failure = run(&mut program("no-such-program")).unwrap_err();
        assert!(
            failure
                .to_string()
                .starts_with("cannot start `no-such-program`: ")
        );
    }
}
