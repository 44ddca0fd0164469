//! The report: whatever happens, it counts every change once.

use std::sync::atomic::Ordering::SeqCst;

use device_writeback_core::apply::{OperationResult, ResultCode};
use device_writeback_core::graph::Field;
use device_writeback_engine::REPORT_FORMAT_VERSION;
use proptest::prelude::*;
use serde_json::json;

use super::support::{Act, device, device_id, device_with, dn, lab, plan, sync, sync_all};

/// What may become of a write, by a number.
fn act(number: u8) -> Act {
    let answer = |code| Act::Answer(OperationResult::new(code, "x"));
    match number % 10 {
        0 => answer(ResultCode::BUSY),
        1 => answer(ResultCode::NO_SUCH_OBJECT),
        2 => answer(ResultCode::ENTRY_ALREADY_EXISTS),
        3 => answer(ResultCode::NO_SUCH_ATTRIBUTE),
        4 => answer(ResultCode::INSUFFICIENT_ACCESS_RIGHTS),
        5 => answer(ResultCode(9_999)),
        6 => Act::LoseRequest,
        7 => Act::LoseAnswer,
        _ => Act::Perform,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_add_up_whatever_happens(
        fates in proptest::collection::vec(any::<u8>(), 1..40),
        window in 1_usize..9,
        reads_fail in 0_usize..6,
    ) {
        let lab = lab((1..=30).map(device));
        sync_all(&lab.engine());
        // Three go, seven are renamed, fifteen are new.
        lab.now_has((4..=45).map(|number| device_with(number, |device| {
            if number <= 10 {
                device.display_name = Field::Value("renamed".into());
            }
        })));
        lab.directory.window.store(window, SeqCst);
        lab.directory.reads_fail.store(reads_fail, SeqCst);
        lab.directory.on_write(move |_, number| act(fates[number % fates.len()]));
        let (plan_made, report) = sync(&lab.engine());

        prop_assert_eq!(report.planned, 25);
        prop_assert_eq!(report.planned, plan_made.len() as u64);
        prop_assert_eq!(report.done + report.stale + report.failed + report.not_begun, report.planned);
        prop_assert_eq!(report.not_begun, 0);
        prop_assert!(report.already <= report.done);
        prop_assert_eq!(report.actions.values().sum::<u64>(), report.done);
        prop_assert_eq!(report.failures.len() as u64, report.stale + report.failed);
        let mut named: Vec<_> = report.failures.iter().map(|failure| failure.device_id).collect();
        prop_assert!(named.is_sorted());
        named.dedup();
        prop_assert_eq!(named.len(), report.failures.len());
        for failure in &report.failures {
            prop_assert!(!failure.message.is_empty());
        }

        // Whatever happened, the next run with a sound directory ends it.
        lab.directory.reads_fail.store(0, SeqCst);
        lab.directory.on_write(|_, _| Act::Perform);
        sync_all(&lab.engine());
        prop_assert!(plan(&lab.engine()).unwrap().plan.is_empty());
        prop_assert_eq!(lab.directory.memory().len(), 42);
    }
}

#[test]
fn the_report_is_a_document() {
    let lab = lab([device(1), device(2)]);
    lab.directory
        .on_write(|operation, _| match operation.dn() == &dn(2) {
            true => Act::Answer(OperationResult::new(
                ResultCode::CONSTRAINT_VIOLATION,
                "0000207D: \u{1b}[2J",
            )),
            false => Act::Perform,
        });
    let (plan, report) = sync(&lab.engine());
    let digest: String = plan
        .digest()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    let mut document = serde_json::to_value(&report).unwrap();
    assert!(document["milliseconds"].take().is_u64());
    assert_eq!(
        document,
        json!({
            "format_version": REPORT_FORMAT_VERSION,
            "plan_digest": digest,
            "planned": 2,
            "done": 1,
            "already": 0,
            "stale": 0,
            "failed": 1,
            "not_begun": 0,
            "actions": {"create": 1},
            "failures": [{
                "device_id": device_id(2).to_string(),
                "dn": dn(2).to_string(),
                "action": "create",
                "verdict": "failed",
                "ldap_result": {
                    "code": 19,
                    "name": "constraintViolation",
                    "message": "0000207D: \u{1b}[2J",
                },
                "message": r"constraintViolation (19): 0000207D: \u{1b}[2J",
            }],
            "cancelled": false,
            "milliseconds": null,
        })
    );
}
