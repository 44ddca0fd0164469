//! `plan --out`, `show`, `apply`.

use std::fs;

use crate::support::Place;

#[test]
fn a_saved_plan_is_applied_once_and_found_done_after() {
    let place = Place::new();
    let (path, document) = place.save_plan();
    let file = path.to_str().unwrap();
    assert!(place.is_untouched(), "plan writes nothing to the directory");
    let digest = document["digest"].as_str().unwrap();

    let first = place.run(&["apply", file, "--digest", digest]).expect(0);
    assert!(
        first.out.starts_with("48 of 48 changes done"),
        "{}",
        first.out
    );
    let after = fs::read(place.directory()).unwrap();
    let planned = place.run(&["plan"]).expect(0);
    assert!(planned.out.contains("Nothing to do."), "{}", planned.out);

    let again = place.run(&["apply", file]).expect(0);
    assert!(
        again.out.contains("48 of these found done already"),
        "{}",
        again.out
    );
    assert_eq!(fs::read(place.directory()).unwrap(), after);
}

#[test]
fn applying_a_saved_plan_gives_what_sync_gives() {
    let (one, other) = (Place::new(), Place::new());
    one.run(&["sync", "-q"]).expect(0);
    let (path, _) = other.save_plan();
    other.run(&["apply", path.to_str().unwrap()]).expect(0);
    // objectGUIDs are drawn; everything else is the same.
    let without_guids = |place: &Place| -> Vec<String> {
        String::from_utf8(fs::read(place.directory()).unwrap())
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with("objectGUID"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(without_guids(&one), without_guids(&other));
}

#[test]
fn an_empty_plan_is_saved_shown_and_applied() {
    let place = Place::new();
    place.run(&["sync", "-q"]).expect(0);
    let path = place.path("empty.json");
    let file = path.to_str().unwrap();
    place.run(&["plan", "--out", file]).expect(0);
    let said = place.run(&["apply", file]).expect(0);
    assert_eq!(said.out, "nothing to do: the plan has 0 changes\n");
}

#[test]
fn an_override_is_for_one_plan_and_one_time() {
    let place = Place::new();
    let (path, document) = place.save_plan();
    let file = path.to_str().unwrap();
    let digest = document["digest"].as_str().unwrap();
    let tight = place.changed_config(
        "tight.toml",
        &[("max_retirements = 500", "max_retirements = 1")],
    );
    let apply = |arguments: &[&str]| {
        let mut all = vec!["apply", file];
        all.extend_from_slice(arguments);
        place.run_with(&tight, crate::support::NOW, &all)
    };
    let refused = apply(&[]).expect(3);
    assert!(
        refused.err.contains("too_many_retirements"),
        "{}",
        refused.err
    );
    assert!(
        refused.err.contains(&format!(
            "apply {file} --digest {digest} --override-limits --config {} --now {}\n",
            tight.display(),
            crate::support::NOW
        )),
        "{}",
        refused.err
    );
    apply(&["--digest", digest]).expect(3);
    apply(&["--override-limits"]).expect(64);
    assert!(place.is_untouched());

    let done = apply(&["--digest", digest, "--override-limits"]).expect(0);
    assert!(
        done.err.contains("exceeding the limits as asked"),
        "{}",
        done.err
    );
    assert!(done.out.contains("48 of 48"), "{}", done.out);
    let again = apply(&["--digest", digest, "--override-limits"]).expect(1);
    assert!(again.err.contains("was used before"), "{}", again.err);
}

#[test]
fn an_object_that_moved_on_is_left_alone_and_named() {
    let place = Place::new();
    let (path, document) = place.save_plan();
    let device = place.rename_behind(&document);

    let said = place.run(&["apply", path.to_str().unwrap()]).expect(2);
    assert!(said.out.starts_with("47 of 48"), "{}", said.out);
    assert!(said.out.contains("1 not what the plan saw"), "{}", said.out);
    assert!(said.out.contains(&device), "{}", said.out);
    assert!(
        fs::read_to_string(place.directory())
            .unwrap()
            .contains("displayName: SOMEBODY-ELSE\n")
    );
    // The next run sees it and settles it.
    place.run(&["sync", "-q"]).expect(0);
}

#[test]
fn show_needs_nothing_but_the_plan() {
    let place = Place::new();
    let (path, document) = place.save_plan();
    let file = path.to_str().unwrap();
    let digest = document["digest"].as_str().unwrap();
    let text = crate::support::run(["show", file]).expect(0);
    assert!(text.out.contains("Create (30)") && text.out.contains(digest));
    let all = crate::support::run(["show", file, "--all"]).expect(0);
    assert!(all.out.len() > text.out.len());
    let json = crate::support::run(["show", file, "--format", "json"]).expect(0);
    assert_eq!(json.out.as_bytes(), fs::read(&path).unwrap());
    let html = crate::support::run(["show", file, "--format", "html"]).expect(0);
    assert!(html.out.starts_with("<!DOCTYPE html>") || html.out.starts_with("<!doctype html>"));
    let ldif = crate::support::run(["show", file, "--format", "ldif"]).expect(0);
    assert!(ldif.out.starts_with("version: 1\n"));
    let quiet = crate::support::run(["show", file, "-q"]).expect(0);
    assert_eq!(
        quiet.out,
        "48 changes (4 disable, 10 update, 30 create, 4 delete), 35 unchanged, 6 held, 7 conflicts, 11 skipped\n"
    );
    let missing = crate::support::run(["show", "no-such-plan.json"]).expect(1);
    assert!(
        missing
            .err
            .contains("the plan no-such-plan.json cannot be opened"),
        "{}",
        missing.err
    );
}
