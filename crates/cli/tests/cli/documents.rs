//! `--format json` gives documents that their schemas describe.

use std::fs;

use serde_json::Value;

use crate::support::{NOW, Place, Said};

const REPORT: &str = include_str!("../../schema/report.schema.json");
const EXPLANATION: &str = include_str!("../../schema/explanation.schema.json");
const ERROR: &str = include_str!("../../schema/error.schema.json");
const PLAN: &str = device_writeback::core::render::PLAN_SCHEMA;

fn assert_valid(schema: &str, document: &Value) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(document["format_version"], 1);
}

fn valid(schema: &str, said: Said) -> Value {
    let document = said.json();
    assert_valid(schema, &document);
    document
}

#[test]
fn plan_and_show_give_plan_documents() {
    let place = Place::new();
    let plan = place.run(&["plan", "--format", "json"]).expect(2);
    valid(PLAN, plan);
    let (path, _) = place.save_plan();
    valid(
        PLAN,
        place.run(&["show", path.to_str().unwrap(), "--format", "json"]),
    );
}

#[test]
fn sync_and_apply_give_report_documents() {
    let place = Place::new();
    let (path, _) = place.save_plan();
    let file = path.to_str().unwrap();
    let tight = place.quickstart().join("config-limit.toml");
    let refused = valid(
        REPORT,
        place
            .run_with(&tight, NOW, &["sync", "--format", "json"])
            .expect(3),
    );
    assert_eq!(refused["outcome"], "refused");
    assert_eq!(refused["refusal"]["code"], "too_many_retirements");

    let done = valid(REPORT, place.run(&["sync", "--format", "json"]).expect(0));
    assert_eq!(done["outcome"], "done");
    assert_eq!(done["verb"], "sync");
    assert_eq!(done["result"]["done"], 48);
    assert_eq!(done["plan"]["held"].as_array().unwrap().len(), 6);

    let nothing = valid(REPORT, place.run(&["sync", "--format", "json"]).expect(0));
    assert_eq!(nothing["outcome"], "nothing_to_do");

    let applied = valid(
        REPORT,
        place.run(&["apply", file, "--format", "json"]).expect(0),
    );
    assert_eq!(applied["verb"], "apply");
    assert_eq!(applied["result"]["already"], 48);
}

#[test]
fn objects_that_are_not_done_are_in_the_report() {
    let place = Place::new();
    let (path, document) = place.save_plan();
    let device = place.rename_behind(&document);
    let said = place.run(&["apply", path.to_str().unwrap(), "--format", "json"]);
    let report = valid(REPORT, said.expect(2));
    assert_eq!(report["outcome"], "incomplete");
    let failures = report["result"]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["verdict"], "stale");
    assert_eq!(failures[0]["device_id"], device.as_str());
}

#[test]
fn explain_gives_an_explanation_document() {
    let place = Place::new();
    for device in [
        "LAPTOP-RENAMED",
        "LAPTOP-SCRAPPED-1",
        "LAPTOP-STALE",
        "LAPTOP-ZEROID",
        "Kiosk-Printer",
        "OWN-1",
        "42bac19b-e030-4117-bf19-545db9719eb5",
        "10d4ee2d-cf4b-4f7b-b619-5f1ccd3fecac",
    ] {
        let said = place.run(&["explain", device, "--format", "json"]);
        let document = valid(EXPLANATION, said.expect(0));
        assert_eq!(document["kind"], "explanation", "{device}");
    }
}

#[test]
fn errors_are_documents_too() {
    let place = Place::new();
    let said = place
        .run(&["explain", "-q", "nobody\u{1b}[2J", "--format", "json"])
        .expect(1);
    assert!(said.err.starts_with("error: "), "{}", said.err);
    let document = valid(ERROR, said);
    assert_eq!(document["error"]["kind"], "data");

    let missing = place.path("missing.toml");
    let said = place.run_with(&missing, NOW, &["sync", "--format", "json"]);
    let document = valid(ERROR, said.expect(1));
    assert_eq!(document["error"]["kind"], "config");
    assert_eq!(document["error"]["causes"].as_array().unwrap().len(), 1);

    let plan = place.path("plan.json");
    fs::write(&plan, "{}").unwrap();
    let said = place.run(&["apply", plan.to_str().unwrap(), "--format", "json"]);
    let document = valid(ERROR, said.expect(1));
    assert_eq!(document["error"]["kind"], "data");
}
