//! The command line of device-writeback: the only place with an environment, a clock, signals and an exit code.

mod args;
mod clock;
mod exit;
mod file;
mod hints;
mod logs;
mod output;
mod panics;
mod progress;
mod run;
mod settings;
mod target;
mod text;
mod verbs;

fn main() -> std::process::ExitCode {
    run::main().into()
}
