//! Project chores, run as `cargo xtask COMMAND`.
//!
//! A chore is a module with a `COMMAND` constant and one line in [`COMMANDS`].
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool talks to the terminal"
)]

mod bench;
mod fuzz;
mod packages;
mod run;
mod test;

use std::process::ExitCode;

use crate::run::Failure;

/// Every chore, in the order of the help text.
const COMMANDS: &[Command] = &[test::COMMAND, fuzz::COMMAND, bench::COMMAND];

/// One chore.
pub(crate) struct Command {
    /// The word after `cargo xtask`.
    name: &'static str,
    /// The arguments, as the help text shows them.
    arguments: &'static str,
    /// What it does, in one line.
    about: &'static str,
    run: fn(&[String]) -> Result<(), Failure>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = match arguments.split_first() {
        None => return usage("name a command"),
        Some((name, rest)) => (name.as_str(), rest),
    };
    if matches!(name, "help" | "--help" | "-h") {
        println!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return usage(&format!("there is no command {name:?}"));
    };
    match (command.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => usage(&message),
        Err(failure) => {
            eprintln!("\nxtask {name}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn usage(message: &str) -> ExitCode {
    eprintln!("xtask: {message}\n\n{}", help());
    ExitCode::from(64)
}

fn help() -> String {
    let mut text = String::from("usage: cargo xtask COMMAND\n");
    for Command {
        name,
        arguments,
        about,
        ..
    } in COMMANDS
    {
        let call = format!("{name} {arguments}");
        text.push_str(&format!("\n  {call:<28} {about}"));
    }
    text
}
