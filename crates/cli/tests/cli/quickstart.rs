//! The quickstart shows every kind of decision, and those that are expected.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use device_writeback::core::ldif::{Body, parse_all};
use serde_json::Value;

use crate::support::{NOW, Place};

type Values = BTreeMap<String, BTreeSet<Vec<u8>>>;

/// Decisions as `expected.json` calls them, and as a plan does.
const DECISIONS: &[(&str, &str, &str, &str)] = &[
    (
        "conflict",
        "duplicate_device_id",
        "conflicts",
        "duplicate_in_cloud",
    ),
    (
        "conflict",
        "duplicate_object",
        "conflicts",
        "duplicate_in_directory",
    ),
    ("conflict", "foreign_object", "conflicts", "foreign_object"),
    ("conflict", "name_taken", "conflicts", "name_taken"),
    (
        "conflict",
        "replication_conflict",
        "conflicts",
        "replication_conflict",
    ),
    (
        "conflict",
        "shared_alternative_id",
        "conflicts",
        "duplicate_alternative_security_id",
    ),
    ("create", "new", "create", "new_device"),
    ("delete", "gone", "delete", "gone_removed"),
    ("delete", "out_of_scope", "delete", "out_of_scope"),
    (
        "disable",
        "disabled_in_cloud",
        "disable",
        "disabled_in_cloud",
    ),
    ("disable", "soft_deleted", "disable", "soft_deleted"),
    ("held", "bad_record", "held", "held_bad_record"),
    ("held", "has_key", "held", "held_key"),
    ("held", "never_known", "held", "held_unknown"),
    ("held", "stale", "held", "held_stale"),
    ("held", "unusable", "held", "held_unusable"),
    ("skipped", "invalid_device_id", "skipped", "no_device_id"),
    (
        "skipped",
        "no_alternative_id",
        "skipped",
        "no_alternative_security_id",
    ),
    ("skipped", "no_display_name", "skipped", "no_display_name"),
    ("skipped", "out_of_scope", "skipped", "excluded"),
    (
        "skipped",
        "soft_deleted",
        "skipped",
        "soft_deleted_unwritten",
    ),
    ("skipped", "stale", "skipped", "stale"),
    ("unchanged", "same", "unchanged", "same"),
    ("update", "changed", "update", "attributes_differ"),
];

fn expected(place: &Place) -> Value {
    serde_json::from_slice(&fs::read(place.quickstart().join("expected.json")).unwrap()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn every_device_gets_the_decision_that_is_expected() {
    let place = Place::new();
    let plan = place.run(&["plan", "--format", "json"]).expect(2).json();
    let expected = expected(&place);
    let mut decided: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for change in plan["changes"].as_array().unwrap() {
        decided
            .entry(text(&change["device_id"]))
            .or_default()
            .push((text(&change["action"]), text(&change["reason"])));
    }
    for list in ["skipped", "held", "conflicts"] {
        for listed in plan[list].as_array().unwrap() {
            let id = match &listed["device_id"] {
                Value::String(id) => id,
                // A device without a device id goes by its object id.
                _ => listed["object_id"].as_str().unwrap(),
            };
            decided
                .entry(id.to_owned())
                .or_default()
                .push((list.to_owned(), text(&listed["code"])));
        }
    }
    let mut seen = BTreeSet::new();
    for decision in expected["decisions"].as_array().unwrap() {
        let hint = (
            decision["action"]
                .as_str()
                .or(decision["list"].as_str())
                .unwrap(),
            decision["code_hint"].as_str().unwrap(),
        );
        let (_, _, action, code) = DECISIONS
            .iter()
            .find(|(list, code, ..)| (*list, *code) == hint)
            .unwrap_or_else(|| panic!("unknown decision {hint:?}"));
        let found = decided
            .remove(decision["device_id"].as_str().unwrap())
            .or_else(|| decided.remove(decision["object_id"].as_str()?))
            .unwrap_or_else(|| vec![("unchanged".into(), "same".into())]);
        assert_eq!(
            found,
            [((*action).to_owned(), (*code).to_owned())],
            "{}",
            decision["display_name"]
        );
        seen.insert(hint);
    }
    assert!(decided.is_empty(), "nobody expects {decided:?}");
    assert_eq!(
        seen.len(),
        DECISIONS.len(),
        "every kind of decision is shown"
    );
    assert_eq!(
        plan["summary"]["our_objects"], expected["ours"],
        "our objects"
    );
    assert_eq!(plan["summary"]["directory_objects"], expected["objects"]);
    assert_eq!(
        plan["summary"]["unchanged"],
        expected["summary"]["unchanged"]
    );
}

#[test]
fn every_written_value_is_the_expected_one() {
    let place = Place::new();
    let plan = place.run(&["plan", "--format", "json"]).expect(2).json();
    let changes: BTreeMap<String, &Value> = plan["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (text(&change["device_id"]), change))
        .collect();
    let mut compared = 0;
    for decision in expected(&place)["decisions"].as_array().unwrap() {
        let (Some(wanted), both) = (match (decision.get("attributes"), decision.get("changes")) {
            (Some(attributes), _) => (Some(attributes), false),
            (None, changes) => (changes, true),
        }) else {
            continue;
        };
        let change = changes[decision["device_id"].as_str().unwrap()];
        assert_eq!(change["dn"], decision["dn"]);
        let (mut old, mut new) = (Values::new(), Values::new());
        let (mut wanted_old, mut wanted_new) = (Values::new(), Values::new());
        for attribute in change["attributes"].as_array().unwrap() {
            old.insert(text(&attribute["name"]), plan_values(&attribute["old"]));
            new.insert(text(&attribute["name"]), plan_values(&attribute["new"]));
        }
        for (name, values) in wanted.as_object().unwrap() {
            let (before, after) = if both {
                (base64_values(&values["old"]), base64_values(&values["new"]))
            } else {
                (BTreeSet::new(), base64_values(values))
            };
            wanted_old.insert(name.clone(), before);
            wanted_new.insert(name.clone(), after);
        }
        assert_eq!(new, wanted_new, "{}", decision["display_name"]);
        assert_eq!(old, wanted_old, "{}", decision["display_name"]);
        compared += 1;
    }
    assert_eq!(compared, 44, "30 creates, 10 updates, 4 disables");
}

#[test]
fn a_run_writes_exactly_the_plan_and_a_second_run_nothing() {
    let place = Place::new();
    let seed = fs::read(place.quickstart().join("directory.ldif")).unwrap();
    let first = place.run(&["sync"]).expect(0);
    assert!(first.out.contains("48 of 48 changes done"), "{}", first.out);
    for heading in [
        "Disable (4)",
        "Update (10)",
        "Create (30)",
        "Delete (4)",
        "Held (6)",
        "Conflicts (7)",
        "Skipped (11)",
    ] {
        assert!(first.out.contains(heading), "{heading} in {}", first.out);
    }
    let after = fs::read(place.directory()).unwrap();
    assert_eq!(
        fs::read(place.quickstart().join("directory.ldif")).unwrap(),
        seed,
        "the seed stays"
    );
    compare_directory(&place, &seed, &after);

    let second = place.run(&["sync"]).expect(0);
    assert_eq!(
        second.out,
        "nothing to do: 79 unchanged, 6 held, 7 conflicts, 12 skipped\n"
    );
    assert_eq!(fs::read(place.directory()).unwrap(), after);
    let plan = place.run(&["plan"]).expect(0);
    assert!(plan.out.contains("Nothing to do."), "{}", plan.out);
    assert_eq!(fs::read(place.directory()).unwrap(), after);
}

/// The directory after a run has the expected values, and what is not ours as it was.
fn compare_directory(place: &Place, seed: &[u8], after: &[u8]) {
    let (before, now) = (objects(seed), objects(after));
    let expected = expected(place);
    for dn in expected["untouched"].as_array().unwrap() {
        let dn = dn.as_str().unwrap();
        assert_eq!(before[dn], now[dn], "{dn}");
    }
    for decision in expected["decisions"].as_array().unwrap() {
        let Some(dn) = decision["dn"].as_str() else {
            continue;
        };
        match decision["action"].as_str() {
            Some("create") => {
                for (name, values) in decision["attributes"].as_object().unwrap() {
                    assert_eq!(now[dn][name], base64_values(values), "{name} of {dn}");
                }
            }
            Some("update" | "disable") => {
                for (name, values) in decision["changes"].as_object().unwrap() {
                    let current = now[dn].get(name).cloned().unwrap_or_default();
                    assert_eq!(current, base64_values(&values["new"]), "{name} of {dn}");
                }
                for (name, values) in &before[dn] {
                    if decision["changes"].get(name).is_none() {
                        assert_eq!(&now[dn][name], values, "{name} of {dn}");
                    }
                }
            }
            Some("delete") => assert!(!now.contains_key(dn), "{dn}"),
            _ => assert_eq!(before.get(dn), now.get(dn), "{dn}"),
        }
    }
    assert_eq!(
        now.len(),
        before.len() + 26,
        "30 are created, 4 are deleted"
    );
}

fn objects(ldif: &[u8]) -> BTreeMap<String, Values> {
    parse_all(ldif)
        .map(|record| {
            let record = record.unwrap();
            let Body::Content(attributes) = record.body else {
                panic!("{} is no content record", record.dn);
            };
            let mut values = Values::new();
            for attribute in attributes {
                values
                    .entry(attribute.name)
                    .or_default()
                    .insert(attribute.value);
            }
            (record.dn, values)
        })
        .collect()
}

fn plan_values(values: &Value) -> BTreeSet<Vec<u8>> {
    values
        .as_array()
        .unwrap()
        .iter()
        .map(|value| match value["text"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => BASE64.decode(value["base64"].as_str().unwrap()).unwrap(),
        })
        .collect()
}

fn base64_values(values: &Value) -> BTreeSet<Vec<u8>> {
    values
        .as_array()
        .unwrap()
        .iter()
        .map(|value| BASE64.decode(value.as_str().unwrap()).unwrap())
        .collect()
}

#[test]
fn a_tight_limit_refuses_everything() {
    let place = Place::new();
    let config = place.quickstart().join("config-limit.toml");
    let said = place.run_with(&config, NOW, &["sync"]).expect(3);
    assert!(
        said.err.contains("refused (too_many_retirements): 6 retirements are planned, limits.max_retirements allows 2"),
        "{}",
        said.err
    );
    assert!(said.err.contains("--override-limits"), "{}", said.err);
    assert!(said.out.contains("Delete (4)"), "{}", said.out);
    assert!(!said.out.contains("done"), "{}", said.out);
    assert!(
        !place
            .path("target/quickstart-limit/directory.ldif")
            .exists()
    );

    let planned = place.run_with(&config, NOW, &["plan"]).expect(2);
    assert!(
        planned
            .out
            .contains("would be refused (too_many_retirements)"),
        "{}",
        planned.out
    );
    let quiet = place.run_with(&config, NOW, &["sync", "-q"]).expect(3);
    assert_eq!(quiet.out.lines().count(), 1, "{}", quiet.out);
}

#[test]
fn take_over_settles_what_the_source_never_knew() {
    let place = Place::new();
    let plan = place
        .run(&["plan", "--take-over", "--format", "json"])
        .expect(2)
        .json();
    assert_eq!(plan["take_over"], true);
    assert_eq!(plan["summary"]["actions"]["delete"], 6);
    assert_eq!(plan["summary"]["reasons"]["gone_absent"], 2);
    assert!(plan["summary"]["reasons"].get("held_unknown").is_none());
}

#[test]
fn an_unreadable_record_is_named_with_its_place() {
    let place = Place::new();
    let said = place.run(&["plan"]).expect(2);
    let line = said
        .out
        .lines()
        .find(|line| line.contains("42bac19b-e030-4117-bf19-545db9719eb5"))
        .unwrap();
    let (_, place_of_record) = line.split_once("  at ").unwrap_or_else(|| panic!("{line}"));
    let (file, rest) = place_of_record.split_once(", byte ").unwrap();
    assert!(file.contains("page-"), "{line}");
    let offset: usize = rest.split("  ").next().unwrap().parse().unwrap();
    let name = file.rsplit('/').next().unwrap();
    let bytes = fs::read(place.quickstart().join("devices").join(name)).unwrap();
    assert_eq!(bytes[offset], b'{', "{line}");
    let record = String::from_utf8_lossy(&bytes[offset..]);
    assert!(
        record
            .split("\"deviceId\"")
            .nth(1)
            .unwrap()
            .contains("42bac19b-e030-4117-bf19-545db9719eb5")
    );
    let report = place.run(&["sync", "--format", "json"]).expect(0).json();
    let held = report["plan"]["held"].as_array().unwrap();
    let entry = held
        .iter()
        .find(|entry| entry["code"] == "held_bad_record")
        .unwrap();
    assert!(entry["location"].as_str().unwrap().contains(", byte "));
}
