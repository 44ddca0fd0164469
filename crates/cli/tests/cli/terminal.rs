//! Colours, logs, progress, and names that an attacker chose.

use serde_json::Value;

use crate::support::{NOW, Place, assert_harmless, command};

#[test]
fn hostile_names_never_reach_the_terminal_raw() {
    let place = Place::new();
    let (path, document) = place.save_plan();
    let hostile: Vec<&str> = document["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| &change["attributes"][0])
        .filter(|attribute| attribute["name"] == "displayName")
        .filter_map(|attribute| attribute["new"][0]["text"].as_str())
        .filter(|name| {
            name.chars()
                .any(|character| !character.is_alphanumeric() && !"-. ".contains(character))
        })
        .collect();
    assert!(hostile.len() >= 8, "{hostile:?}");
    let file = path.to_str().unwrap();
    for arguments in [
        &["plan", "--all"][..],
        &["show", "--all", file],
        &["sync", "--all", "--log-level", "trace"],
        &["sync", "--all", "--log", "json", "--log-level", "trace"],
    ] {
        let said = place.run(arguments);
        assert_harmless(&said.out);
        assert_harmless(&said.err);
    }
    for name in hostile {
        let said = place.run(&["explain", name]).expect(0);
        assert_harmless(&said.out);
        assert_harmless(&said.err);
    }
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let place = Place::new();
    let escape = '\u{1b}';
    let run = |arguments: &[&str], no_color: &str| {
        let output = command()
            .arg("plan")
            .args(arguments)
            .arg("--config")
            .arg(place.config())
            .args(["--now", NOW])
            .env("NO_COLOR", no_color)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!run(&[], "").contains(escape), "no terminal");
    assert!(!run(&[], "1").contains(escape));
    assert!(run(&["--color", "always"], "").contains(escape));
    assert!(
        run(&["--color", "always"], "1").contains(escape),
        "asked for"
    );
    assert!(!run(&["--color", "never"], "").contains(escape));
    assert!(!run(&["--color", "always", "--format", "json"], "").contains(escape));
}

#[test]
fn progress_is_a_line_a_stage_where_there_is_no_terminal() {
    let place = Place::new();
    let said = place.run(&["sync"]).expect(0);
    for line in [
        "reading the source: 109 records in ",
        "reading the directory: 68 objects in ",
        "applying: 48 of 48 changes in ",
    ] {
        assert!(said.err.contains(line), "{line} in {}", said.err);
    }
    assert!(
        said.err.lines().all(|line| line.ends_with(" s")),
        "{}",
        said.err
    );
    let quiet = place.run(&["sync", "--quiet"]).expect(0);
    assert_eq!(quiet.err, "");
}

#[test]
fn logs_go_to_the_standard_error_in_the_form_asked_for() {
    let place = Place::new();
    let said = place
        .run(&["sync", "-q", "--log", "json", "--log-level", "info"])
        .expect(0);
    let lines: Vec<Value> = said
        .err
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        lines.iter().any(|line| line["message"] == "applied"),
        "{}",
        said.err
    );
    let said = place.run(&["sync", "-q", "--log-level", "info"]).expect(0);
    assert!(said.err.contains("applied"), "{}", said.err);
    let said = place
        .run(&["sync", "-q", "--log", "off", "--log-level", "trace"])
        .expect(0);
    assert_eq!(said.err, "");
}
