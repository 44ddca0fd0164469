//! `cargo xtask fuzz`: a coverage-guided run with cargo-fuzz, which needs a nightly compiler.

use std::fs;

use crate::Command;
use crate::run::{Failure, program, root, run, succeeds};

pub(crate) const COMMAND: Command = Command {
    name: "fuzz",
    arguments: "TARGET [SECONDS]",
    about: "cargo-fuzz on one target (default 60 seconds); needs a nightly toolchain",
    run: fuzz,
};

/// The cargo-fuzz workspace, below the root.
const FUZZ: &str = "tests/fuzz";

fn fuzz(arguments: &[String]) -> Result<(), Failure> {
    let (target, seconds) = match arguments {
        [target] => (target, 60),
        [target, seconds] => {
            let seconds = seconds.parse::<u32>().map_err(|e| {
                Failure::Usage(format!("{seconds:?} is not a number of seconds: {e}"))
            })?;
            (target, seconds)
        }
        _ => {
            return Err(Failure::Usage(
                "fuzz takes a target and a number of seconds".to_owned(),
            ));
        }
    };
    let targets = targets()?;
    if !targets.contains(target) {
        let known = targets.join(", ");
        return Err(Failure::Usage(format!(
            "there is no target {target:?}, only {known}"
        )));
    }
    if !succeeds(program("rustup").args(["run", "nightly", "cargo", "--version"])) {
        return Err(Failure::new(
            "a nightly toolchain is missing: run `rustup toolchain install nightly`",
        ));
    }
    if !succeeds(program("cargo").args(["fuzz", "--version"])) {
        return Err(Failure::new(
            "cargo-fuzz is missing: run `cargo install --locked cargo-fuzz`",
        ));
    }
    // New finds go into the first folder, which is not tracked; the seeds are only read.
    let corpus = format!("{FUZZ}/corpus/{target}");
    fs::create_dir_all(root().join(&corpus))
        .map_err(|e| Failure::new(format!("cannot create {corpus}: {e}")))?;
    run(program("rustup")
        .args([
            "run",
            "nightly",
            "cargo",
            "fuzz",
            "run",
            "--fuzz-dir",
            FUZZ,
            target,
        ])
        .args([&corpus, &format!("{FUZZ}/seeds/{target}")])
        .args(["--", &format!("-max_total_time={seconds}")]))
}

/// The names of the fuzz targets: one source file each.
fn targets() -> Result<Vec<String>, Failure> {
    let folder = root().join(FUZZ).join("fuzz_targets");
    let failed = |e: std::io::Error| Failure::new(format!("cannot list {}: {e}", folder.display()));
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(stem) = path.file_stem()
        {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
