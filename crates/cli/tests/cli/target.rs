//! `plan --out` and what it must not be pointed at.

use std::fs;
use std::path::Path;

use crate::support::{NOW, Place};

/// Fails the test unless saving in `file` is refused because of `what`.
fn assert_refused(place: &Place, file: &Path, what: &str) {
    let file = file.to_str().unwrap();
    let said = place.run(&["plan", "-q", "--out", file]).expect(1);
    assert!(
        said.err.contains(&format!(
            "the plan cannot be saved in {file}: that is {what}\nhelp: name "
        )),
        "{}",
        said.err
    );
    assert!(said.out.is_empty(), "{}", said.out);
}

#[test]
fn what_the_run_lives_on_is_not_overwritten() {
    let place = Place::new();
    let quickstart = place.quickstart();
    let target = place.path("target/quickstart");
    let cases = [
        (quickstart.join("config.toml"), "the configuration"),
        (quickstart.join("users.json"), "source.users"),
        (quickstart.join("directory.ldif"), "directory.seed"),
        (quickstart.join("devices"), "source.path"),
        (
            quickstart.join("devices/page-1.json"),
            "inside of source.path",
        ),
        (
            quickstart.join("devices/plan.json"),
            "inside of source.path",
        ),
        (
            quickstart.join("devices/../devices/./plan.json"),
            "inside of source.path",
        ),
        (quickstart.join("../quickstart/users.json"), "source.users"),
        (target.join("directory.ldif"), "directory.path"),
        (
            target.join("directory.ldif.lock"),
            "the lock of directory.path",
        ),
        (target.join("state.db"), "state.path"),
        (target.join("../quickstart/state.db"), "state.path"),
    ];
    let files = |folder: &Path| -> Vec<Vec<u8>> {
        ["config.toml", "users.json", "directory.ldif"]
            .iter()
            .map(|name| fs::read(folder.join(name)).unwrap())
            .collect()
    };
    let before = files(&quickstart);
    // Some of these names are of files that are yet to be made.
    for (file, what) in &cases {
        assert_refused(&place, file, what);
    }
    assert!(!target.exists(), "the refusal comes before everything else");
    place.run(&["sync", "-q"]).expect(0);
    let state = fs::read(target.join("state.db")).unwrap();
    let directory = fs::read(place.directory()).unwrap();
    for (file, what) in &cases {
        assert_refused(&place, file, what);
    }
    assert_eq!(files(&quickstart), before);
    assert_eq!(fs::read(target.join("state.db")).unwrap(), state);
    assert_eq!(fs::read(place.directory()).unwrap(), directory);
    assert!(!quickstart.join("devices/plan.json").exists());
    // Beside them there is room.
    let beside = quickstart.join("devices.plan.json");
    place
        .run(&["plan", "-q", "--out", beside.to_str().unwrap()])
        .expect(0);
}

#[test]
fn a_relative_name_is_refused_too() {
    let place = Place::new();
    let before = fs::read(place.config()).unwrap();
    for (file, what) in [
        ("crates/cli/quickstart/config.toml", "the configuration"),
        (
            "./target/../crates/cli/quickstart/users.json",
            "source.users",
        ),
        ("target/quickstart/state.db", "state.path"),
    ] {
        assert_refused(&place, Path::new(file), what);
    }
    assert_eq!(fs::read(place.config()).unwrap(), before);
}

#[test]
fn users_in_a_folder_are_not_mixed_with_a_plan() {
    let place = Place::new();
    let folder = place.quickstart().join("people");
    fs::create_dir(&folder).unwrap();
    fs::copy(place.quickstart().join("users.json"), folder.join("1.json")).unwrap();
    let config = place.changed_config("people.toml", &[("users.json", "people")]);
    let file = folder.join("plan.json");
    let said = place
        .run_with(&config, NOW, &["plan", "--out", file.to_str().unwrap()])
        .expect(1);
    assert!(said.err.contains("inside of source.users"), "{}", said.err);
    assert!(!file.exists());
}

#[cfg(unix)]
#[test]
fn links_do_not_hide_what_they_lead_to() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let link = |name: &str, target: &Path| {
        let path = place.path(name);
        symlink(target, &path).unwrap();
        path
    };
    let config = link("a.json", &place.config());
    assert_refused(&place, &config, "the configuration");
    let relative = link("b.json", Path::new("./crates/cli/quickstart/users.json"));
    assert_refused(&place, &relative, "source.users");
    let folder = link("c", &place.quickstart().join("devices"));
    assert_refused(&place, &folder.join("plan.json"), "inside of source.path");
    // It leads to what the first run makes.
    let absent = link("d.json", &place.directory());
    assert_refused(&place, &absent, "directory.path");
    let round = link("e.json", &place.path("e.json"));
    assert_refused(&place, &round, "a symbolic link");
    let other = place.path("other.json");
    fs::write(&other, "other").unwrap();
    let harmless = link("f.json", &other);
    assert_refused(&place, &harmless, "a symbolic link");
    assert!(harmless.is_symlink());
    assert_eq!(fs::read(&other).unwrap(), b"other");
    // The configuration itself may be a link; neither of its names is for a plan.
    for file in [&config, &place.config()] {
        let said = place
            .run_with(&config, NOW, &["plan", "--out", file.to_str().unwrap()])
            .expect(1);
        assert!(
            said.err.contains("that is the configuration"),
            "{}",
            said.err
        );
    }
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_replaced() {
    let place = Place::new();
    let folder = place.path("folder");
    fs::create_dir(&folder).unwrap();
    assert_refused(&place, &folder, "a folder");
    let socket = place.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_refused(&place, &socket, "a device, a pipe or a socket");
    // The same rule refuses a device node; a test on one could replace the machine's own.
}
