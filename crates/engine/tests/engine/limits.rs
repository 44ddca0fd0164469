//! What is remembered between runs: retirements, the number of our objects, clocks, permissions.

use std::sync::atomic::Ordering::SeqCst;

use device_writeback_core::apply::{Operation, OperationResult, ResultCode};
use device_writeback_core::filetime::FileTime;
use device_writeback_core::graph::{CloudDevice, CloudItem, CloudRecord, Field, Removal};
use device_writeback_core::plan::{Completeness, Override, RefusalCode};
use device_writeback_core::rules::Retire;
use device_writeback_engine::{Control, ErrorKind, Options, SyncEnd};

use super::support::{
    Act, LabEngine, device, device_id, device_with, finish, full, lab, object_id, plan, reasons,
    sync, sync_all, today, try_sync,
};

fn refusal(engine: &LabEngine) -> RefusalCode {
    match try_sync(engine).unwrap() {
        SyncEnd::Refused(_, refusal) => refusal.code,
        other => panic!("{other:?}"),
    }
}

fn at_most(limit: u64) -> impl FnOnce(&mut Options) {
    move |options| {
        options.limits.max_retirements = limit;
        options.limits.max_retirement_share = 1.0;
    }
}

#[test]
fn retirements_count_for_a_day() {
    let lab = lab((1..=20).map(device));
    sync_all(&lab.engine());
    lab.now_has((4..=20).map(device));
    sync_all(&lab.engine_at(today(), at_most(5)));

    lab.now_has((7..=20).map(device));
    let later = FileTime::from_ticks(today().ticks() + 36_000_000_000 * 23).unwrap();
    assert_eq!(
        refusal(&lab.engine_at(later, at_most(5))),
        RefusalCode::TooManyRetirementsInADay
    );
    assert_eq!(
        lab.directory.memory().len(),
        17,
        "nothing at all is applied"
    );
    sync_all(&lab.engine_at(later, at_most(6)));
    sync_all(&lab.engine_at(today().plus_days(3), at_most(1)));
    lab.now_has((8..=20).map(device));
    sync_all(&lab.engine_at(today().plus_days(3), at_most(1)));
    assert_eq!(lab.directory.memory().len(), 13);
}

/// What was journalled counts although the directory refused it: nobody knows how far it came. A second try is the same device.
#[test]
fn a_second_try_is_no_second_retirement() {
    let lab = lab((1..=10).map(device));
    sync_all(&lab.engine());
    lab.now_has((4..=10).map(device));
    lab.directory.on_write(|_, _| {
        Act::Answer(OperationResult::new(
            ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
            "",
        ))
    });
    let (_, report) = sync(&lab.engine_at(today(), at_most(3)));
    assert_eq!((report.done, report.failed), (0, 3));
    let history = finish(lab.engine().history()).unwrap();
    assert_eq!(
        history.retired.into_iter().collect::<Vec<_>>(),
        [1, 2, 3].map(device_id)
    );

    lab.directory.on_write(|_, _| Act::Perform);
    sync_all(&lab.engine_at(today(), at_most(3)));
    assert_eq!(lab.directory.memory().len(), 7);
    lab.now_has((5..=10).map(device));
    assert_eq!(
        refusal(&lab.engine_at(today(), at_most(3))),
        RefusalCode::TooManyRetirementsInADay
    );
}

#[test]
fn a_partial_reading_is_measured_by_the_last_full_one() {
    let lab = lab((1..=200).map(device));
    sync_all(&lab.engine());
    assert_eq!(
        lab.state.ends()[0].our_objects,
        Some(0),
        "as it was read, before the writes"
    );
    let removed = |numbers: std::ops::RangeInclusive<u32>| {
        lab.source.is_now(Completeness::Partial);
        lab.source.set_records(
            numbers
                .enumerate()
                .map(|(sequence, number)| CloudRecord {
                    sequence: sequence as u64,
                    item: CloudItem::Removed {
                        id: object_id(number),
                        reason: Removal::Deleted,
                    },
                })
                .collect(),
        );
    };
    removed(1..=12);
    assert_eq!(refusal(&lab.engine()), RefusalCode::ShareTooLarge);

    lab.source.is_now(full());
    lab.now_has((1..=200).map(device));
    sync_all(&lab.engine());
    assert_eq!(lab.state.ends().last().unwrap().our_objects, Some(200));
    removed(1..=12);
    sync_all(&lab.engine());
    assert_eq!(lab.state.ends().last().unwrap().our_objects, None);
    let history = finish(lab.engine().history()).unwrap();
    assert_eq!(history.our_objects, Some(200));
    // 12 and 9 are more than a tenth of 200 within a day.
    removed(13..=21);
    assert_eq!(refusal(&lab.engine()), RefusalCode::ShareTooLargeInADay);
}

#[test]
fn an_empty_source_is_refused() {
    let lab = lab((1..=3).map(device));
    sync_all(&lab.engine());
    lab.now_has([]);
    assert_eq!(refusal(&lab.engine()), RefusalCode::EmptySource);
    assert_eq!(lab.directory.memory().len(), 3);
    assert_eq!(lab.state.ends().len(), 1, "a refused run leaves no trace");
}

#[test]
fn a_permission_is_for_one_plan_and_once() {
    let lab = lab((1..=20).map(device));
    sync_all(&lab.engine());
    lab.now_has([device(1)]);
    let engine = lab.engine();
    let planned = plan(&engine).unwrap();
    let refused = planned.check_limits(&engine.options().limits).unwrap_err();
    assert_eq!(refused.code, RefusalCode::ShareTooLarge);

    let digest = planned.plan.digest();
    finish(engine.use_override(digest)).unwrap();
    let permission = Some(Override { digest });
    let approved = planned
        .plan
        .approve(&engine.options().limits, &planned.history, permission)
        .unwrap();
    let report = finish(engine.apply(&approved, &Control::new())).unwrap();
    assert!(report.is_complete());
    assert_eq!(lab.directory.memory().len(), 1);

    let error = finish(engine.use_override(digest)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(
        error.to_string(),
        "the permission to exceed the limits was used before for this very plan"
    );
    assert!(error.remedy().is_some());
    finish(engine.use_override([7; 32])).unwrap();
}

fn with_grace(options: &mut Options) {
    options.rules.gone = Retire::DisableThenDelete;
    options.rules.delete_after_days = 10;
}

#[test]
fn a_gone_device_is_disabled_and_deleted_when_its_time_is_over() {
    let lab = lab([device(1), device(2)]);
    let on = |day| lab.engine_at(today().plus_days(day), with_grace);
    sync_all(&on(0));
    lab.now_has([device(1)]);
    assert_eq!(reasons(&sync_all(&on(1)))["gone_absent"], 1);
    assert_eq!(lab.value(2, "msDS-IsEnabled").unwrap(), "FALSE");

    for day in [2, 3, 5, 10] {
        let plan = sync_all(&on(day));
        assert_eq!(reasons(&plan)["held_grace"], 1, "day {day}");
        assert!(plan.is_empty());
    }
    let plan = sync_all(&on(11));
    assert_eq!(reasons(&plan)["grace_over"], 1);
    assert!(!lab.has(2));
    assert!(sync_all(&on(12)).is_empty());
}

#[test]
fn a_device_that_comes_back_begins_anew() {
    let lab = lab([device(1), device(2)]);
    let on = |day| lab.engine_at(today().plus_days(day), with_grace);
    sync_all(&on(0));
    lab.now_has([device(1)]);
    sync_all(&on(1));
    sync_all(&on(2));
    lab.now_has([device(1), device(2)]);
    sync_all(&on(3));
    assert_eq!(lab.value(2, "msDS-IsEnabled").unwrap(), "TRUE");
    lab.now_has([device(1)]);
    assert_eq!(reasons(&sync_all(&on(20)))["gone_absent"], 1);
    assert_eq!(reasons(&sync_all(&on(21)))["held_grace"], 1);
    assert_eq!(reasons(&sync_all(&on(29)))["held_grace"], 1);
    assert_eq!(reasons(&sync_all(&on(30)))["grace_over"], 1);
}

fn disabled(number: u32) -> CloudDevice {
    device_with(number, |device| {
        device.account_enabled = Field::Value(false);
    })
}

/// A disabled device is no gone device: its days are counted from when it goes, and again from when it goes once more.
#[test]
fn the_clock_runs_only_while_the_device_is_gone() {
    let lab = lab([device(1), device(2)]);
    let on = |day| lab.engine_at(today().plus_days(day), with_grace);
    sync_all(&on(0));
    lab.now_has([device(1), disabled(2)]);
    assert_eq!(reasons(&sync_all(&on(1)))["disabled_in_cloud"], 1);
    for (gone, back) in [(40, 45), (90, 95)] {
        lab.now_has([device(1)]);
        assert_eq!(reasons(&sync_all(&on(gone)))["held_grace"], 1);
        assert_eq!(reasons(&sync_all(&on(gone + 4)))["held_grace"], 1);
        lab.now_has([device(1), disabled(2)]);
        assert!(sync_all(&on(back)).is_empty());
    }
    lab.now_has([device(1)]);
    assert_eq!(reasons(&sync_all(&on(120)))["held_grace"], 1);
    assert_eq!(reasons(&sync_all(&on(130)))["grace_over"], 1);
}

/// Out of scope is alive and named by the source: that alone must not stop the clock, nor must a delete that failed.
#[test]
fn a_device_out_of_scope_waits_too() {
    let lab = lab([device(1), device(2)]);
    let on = |day: i64| {
        lab.engine_at(today().plus_days(day), |options| {
            options.rules.out_of_scope = Retire::DisableThenDelete;
            options.rules.delete_after_days = 10;
            if day > 0 {
                options.rules.exclude_devices = vec![device_id(2)];
            }
        })
    };
    sync_all(&on(0));
    assert_eq!(reasons(&sync_all(&on(1)))["out_of_scope"], 1);
    assert_eq!(reasons(&sync_all(&on(2)))["held_grace"], 1);
    assert_eq!(reasons(&sync_all(&on(10)))["held_grace"], 1);
    lab.directory
        .on_write(|_, _| Act::Answer(OperationResult::new(ResultCode::BUSY, "")));
    let (plan, report) = sync(&on(11));
    assert_eq!(reasons(&plan)["grace_over"], 1);
    assert_eq!(report.failed, 1);
    lab.directory.on_write(|_, _| Act::Perform);
    assert_eq!(reasons(&sync_all(&on(12)))["grace_over"], 1);
    assert!(!lab.has(2));
}

/// A saved plan knows which objects wait; without their clock a forest that only ever applies saved plans would keep them for ever.
#[test]
fn saved_plans_start_the_clock_too() {
    let lab = lab([device(1), disabled(2)]);
    let apply = |day: i64| {
        let engine = lab.engine_at(today().plus_days(day), with_grace);
        let planned = plan(&engine).unwrap();
        let approved = planned
            .plan
            .approve(&engine.options().limits, &planned.history, None)
            .unwrap();
        let report = finish(engine.apply(&approved, &Control::new())).unwrap();
        assert!(report.is_complete());
        approved.into_plan()
    };
    apply(0);
    lab.now_has([device(1)]);
    assert_eq!(reasons(&apply(2))["held_grace"], 1);
    assert_eq!(reasons(&apply(11))["held_grace"], 1);
    assert_eq!(reasons(&apply(12))["grace_over"], 1);
    assert!(!lab.has(2));
}

#[test]
fn a_disable_in_the_cloud_is_no_retirement() {
    let lab = lab((1..=30).map(device));
    sync_all(&lab.engine());
    lab.now_has((1..=30).map(disabled));
    let plan = sync_all(&lab.engine_at(today(), at_most(0)));
    assert_eq!(reasons(&plan)["disabled_in_cloud"], 30);
    assert_eq!(plan.summary().retirements, 0);
}

#[test]
fn a_failed_commit_leaves_the_clocks_alone() {
    let lab = lab([device(1), device(2)]);
    let on = |day| lab.engine_at(today().plus_days(day), with_grace);
    sync_all(&on(0));
    lab.now_has([device(1)]);
    sync_all(&on(1));
    sync_all(&on(2));
    let ends = lab.state.ends().len();
    lab.directory.commit_fails.store(true, SeqCst);
    // The write of the delete is lost with the commit; the server still has the object.
    lab.directory.on_write(|operation, _| match operation {
        Operation::Add { .. } => Act::Perform,
        _ => Act::Answer(OperationResult::SUCCESS),
    });
    let error = try_sync(&on(12)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Directory);
    assert_eq!(lab.state.ends().len(), ends);

    lab.directory.commit_fails.store(false, SeqCst);
    lab.directory.on_write(|_, _| Act::Perform);
    assert_eq!(reasons(&sync_all(&on(13)))["grace_over"], 1);
    assert!(!lab.has(2));
}
