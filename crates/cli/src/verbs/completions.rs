//! `completions`: for shells.

use clap::CommandFactory as _;
use device_writeback::engine::Error;

use crate::args::{self, Args};
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(output: Output, args: &args::Completions) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut Args::command(),
        "device-writeback",
        &mut script,
    );
    output.write(|out| out.write_all(&script))?;
    Ok(Exit::Done)
}
