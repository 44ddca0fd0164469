//! `cargo xtask bench`: the measured goals, as ratios in one run on one machine.

use crate::Command;
use crate::run::{Failure, cargo, program, run};

pub(crate) const COMMAND: Command = Command {
    name: "bench",
    arguments: "[DEVICES]",
    about: "Measure reading, joining and memory against their goals (default 1,000,000 devices)",
    run: bench,
};

fn bench(arguments: &[String]) -> Result<(), Failure> {
    let devices = match arguments {
        [] => 1_000_000,
        [devices] => devices
            .parse::<u64>()
            .ok()
            .filter(|devices| (1_000..=10_000_000).contains(devices))
            .ok_or_else(|| {
                Failure::Usage("bench takes a number from 1000 to 10000000".to_owned())
            })?,
        _ => return Err(Failure::Usage("bench takes one number at most".to_owned())),
    };
    run(cargo().args([
        "build",
        "--release",
        "--locked",
        "-p",
        "device-writeback-cli",
    ]))?;
    run(cargo().args([
        "build",
        "--release",
        "--locked",
        "-p",
        "device-writeback-tests",
        "--bin",
        "stages",
    ]))?;
    run(program("python3").args(["-B", "tests/tools/bench.py", &devices.to_string()]))
}
