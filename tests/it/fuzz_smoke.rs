//! Every fuzz target on its seeds and on random mutations of them, with a stable compiler.
//!
//! The same octets every time: a failure here is found again. `DEVICE_WRITEBACK_FUZZ_ROUNDS`
//! sets the number of mutations for each target.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

use std::fs;
use std::path::Path;

use device_writeback_core::plan::{MemorySpool, Plan};
use device_writeback_tests::fuzz_targets::{TARGETS, Target, sealed};
use device_writeback_tests::mutator::Mutator;

/// Quick enough for every `cargo test`.
const ROUNDS: u32 = 2_000;

#[test]
fn seeds_and_their_mutations_hold_the_targets_laws() {
    let rounds = match std::env::var("DEVICE_WRITEBACK_FUZZ_ROUNDS") {
        Ok(text) => text
            .parse()
            .expect("DEVICE_WRITEBACK_FUZZ_ROUNDS is a number"),
        Err(_) => ROUNDS,
    };
    for target in TARGETS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        let mut mutator = Mutator::new(target.name);
        for seed in &seeds {
            check(target, seed);
        }
        for _ in 0..rounds {
            check(target, &mutator.mutate(&seeds));
        }
    }
}

/// A seed that the reader refuses would leave the fuzzer outside of what it is to search.
#[test]
fn the_seeds_of_plan_documents_are_plans() {
    let target = TARGETS.iter().find(|target| target.name == "plan_file");
    for seed in seeds(target.unwrap()) {
        let document = sealed(&seed).expect("the seed has a digest");
        Plan::parse(document.as_slice(), Box::<MemorySpool>::default()).unwrap();
    }
}

#[test]
fn every_target_has_a_fuzzer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut files: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    files.sort();
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
}

/// Runs a target and, where it fails, says on which input.
fn check(target: &Target, input: &[u8]) {
    if let Err(cause) = std::panic::catch_unwind(|| (target.run)(input)) {
        eprintln!(
            "target {} fails on b\"{}\"",
            target.name,
            input.escape_ascii()
        );
        std::panic::resume_unwind(cause);
    }
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target.name);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // The order of a folder is not the same everywhere.
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}
