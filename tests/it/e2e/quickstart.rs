//! What the README tells a newcomer to type. Every decision is checked by the command line's own tests.

use std::fs;

use crate::product::{self, Said};

/// The first command of the README, without `cargo run --release --`.
fn first_command() -> Vec<String> {
    let readme = fs::read_to_string(product::root().join("README.md")).unwrap();
    let command = readme
        .lines()
        .find_map(|line| line.trim().strip_prefix("cargo run --release -- "))
        .expect("the README shows how to run the quickstart with `cargo run --release -- ...`");
    command.split_whitespace().map(str::to_owned).collect()
}

fn run(folder: &std::path::Path, arguments: &[String]) -> Said {
    std::process::Command::new(product::binary())
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
        .into()
}

#[test]
fn the_first_command_of_the_readme_works_and_a_second_run_has_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    product::quickstart(folder.path());
    let command = first_command();
    let directory = folder.path().join("target/quickstart/directory.ldif");

    let first = run(folder.path(), &command).expect(0);
    assert!(first.out.contains("48 of 48 changes done"), "{}", first.out);
    let written = fs::read(&directory).unwrap();

    let second = run(folder.path(), &command).expect(0);
    assert!(second.out.starts_with("nothing to do: "), "{}", second.out);
    assert_eq!(fs::read(&directory).unwrap(), written);
}

#[test]
fn the_tight_variant_of_the_readme_command_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    product::quickstart(folder.path());
    let mut command = first_command();
    let config = command
        .iter_mut()
        .find(|word| word.ends_with("/config.toml"))
        .expect("the README's first command names the quickstart's configuration");
    *config = config.replace("config.toml", "config-limit.toml");
    let said = run(folder.path(), &command).expect(3);
    assert!(
        said.err.contains("refused (too_many_retirements)"),
        "{}",
        said.err
    );
    let directory = folder.path().join("target/quickstart-limit/directory.ldif");
    assert!(!directory.exists());
}

#[test]
fn the_quickstart_is_what_its_script_makes() {
    product::python("make_quickstart.py", &["--check".as_ref()]).expect(0);
}
