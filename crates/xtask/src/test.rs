//! `cargo xtask test`: everything that can be tested on one machine.

use crate::Command;
use crate::packages;
use crate::run::{Failure, Steps, cargo, run};

pub(crate) const COMMAND: Command = Command {
    name: "test",
    arguments: "[--fast]",
    about: "all tests; --fast leaves out the servers, the browser and the long fuzz run",
    run: test,
};

/// The package that holds the tests with servers and the fuzz targets.
const TESTS: &str = "device-writeback-tests";

/// The package of the binary that the end-to-end tests run.
const CLI: &str = "device-writeback-cli";

/// Mutations each fuzz target sees. Plain `cargo test` does with far fewer.
const FUZZ_ROUNDS: &str = "200000";

fn test(arguments: &[String]) -> Result<(), Failure> {
    let fast = match arguments {
        [] => false,
        [flag] if flag == "--fast" => true,
        _ => {
            return Err(Failure::Usage(
                "test takes no argument but --fast".to_owned(),
            ));
        }
    };
    let mut steps = Steps::new();
    if !fast {
        steps.step("programs the tests start", packages::ensure)?;
    }
    steps.step("unit, property, vector and snapshot tests", || {
        run(cargo().args(["test", "--workspace", "--locked"]))
    })?;
    if !fast {
        steps.step("end-to-end tests with servers", || {
            // They run the binary that lies beside them.
            run(cargo().args(["build", "--locked", "-p", CLI]))?;
            run(cargo()
                .args(["test", "--locked", "-p", TESTS, "--features", "e2e"])
                .args(["--test", "e2e"]))
        })?;
        steps.step("fuzz smoke run", || {
            run(cargo()
                .env("DEVICE_WRITEBACK_FUZZ_ROUNDS", FUZZ_ROUNDS)
                .args(["test", "--locked", "-p", TESTS, "--test", "fuzz_smoke"]))
        })?;
    }
    steps.finish();
    Ok(())
}
