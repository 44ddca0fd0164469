//! Files that commands write, and what they do when they cannot.

use std::fs;

use device_writeback::core::guid::TenantId;
use device_writeback::file::FileState;

use crate::support::{NOW, Place, command};

#[cfg(unix)]
#[test]
fn a_saved_plan_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let path = place.path("plan.json");
    let file = path.to_str().unwrap();
    // A file that was there before does not lend its mode.
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let said = place.run(&["plan", "--out", file]).expect(2);
    assert!(
        said.out.contains(&format!("saved in {file}")),
        "{}",
        said.out
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let left: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn other_forms_are_saved_to_be_read_only() {
    let place = Place::new();
    for (format, begin) in [("ldif", "version: 1"), ("html", "<!")] {
        let path = place.path(&format!("plan.{format}"));
        let file = path.to_str().unwrap();
        let said = place
            .run(&["plan", "-q", "--format", format, "--out", file])
            .expect(2);
        assert!(
            said.out.contains("only --format json saves a plan"),
            "{}",
            said.out
        );
        assert!(fs::read_to_string(&path).unwrap().starts_with(begin));
        place.run(&["apply", file]).expect(1);
    }
    let path = place.path("plan.json");
    let said = place
        .run(&["plan", "--format", "json", "--out", path.to_str().unwrap()])
        .expect(2);
    assert_eq!(said.out.as_bytes(), fs::read(&path).unwrap());
}

#[test]
fn a_plan_that_cannot_be_saved_leaves_nothing() {
    let place = Place::new();
    let path = place.path("no/such/folder/plan.json");
    let said = place
        .run(&["plan", "--out", path.to_str().unwrap()])
        .expect(1);
    assert!(
        said.err.contains("the plan cannot be saved in"),
        "{}",
        said.err
    );
    assert!(said.err.contains("help: make the folder"), "{}", said.err);
    // A folder is in the way.
    let folder = place.path("folder");
    fs::create_dir(&folder).unwrap();
    let said = place
        .run(&["plan", "--out", folder.to_str().unwrap()])
        .expect(1);
    assert!(
        said.err.contains("the plan cannot be saved in"),
        "{}",
        said.err
    );
    assert!(fs::read_dir(place.path(".")).unwrap().all(|entry| {
        !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .ends_with(".tmp")
    }));
}

#[test]
fn two_runs_at_once_are_refused() {
    let place = Place::new();
    fs::create_dir_all(place.path("target/quickstart")).unwrap();
    let tenant = TenantId::parse("6babcaad-604b-40ac-a9d7-9fd97c0b779f").unwrap();
    let state = place.path("target/quickstart/state.db");
    let held = FileState::open(&state, tenant).unwrap();
    for verb in ["sync", "plan"] {
        let said = place.run(&[verb]).expect(1);
        assert!(said.err.contains("another run"), "{}", said.err);
        assert!(said.err.contains("state.db"), "{}", said.err);
    }
    assert!(place.is_untouched());
    drop(held);
    place.run(&["sync", "-q"]).expect(0);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    for verb in ["plan", "sync"] {
        let mut child = command()
            .args([verb, "--all", "--config"])
            .arg(place.config())
            .args(["--now", NOW])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // The reader goes before the first byte comes.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(!err.contains("panicked") && !err.contains("error"), "{err}");
        let code = if verb == "plan" { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{err}");
    }
    assert!(!place.is_untouched(), "what was to be done is done");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_the_result_is_a_failure() {
    let place = Place::new();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = command()
        .args(["plan", "--config"])
        .arg(place.config())
        .args(["--now", NOW])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("the result cannot be written"), "{err}");
}
