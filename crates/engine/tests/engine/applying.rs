//! From a plan to what became of it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use device_writeback_core::apply::{Operation, OperationResult, ResultCode};
use device_writeback_core::graph::Field;
use device_writeback_core::plan::{Action, ApprovedPlan, Octets};
use device_writeback_core::schema::Attribute;
use device_writeback_engine::{Control, ErrorKind, Observer, Report, Stage};

use super::support::{
    Act, Event, Lab, LabEngine, device, device_id, device_with, dn, finish, lab, object_id, plan,
    reasons, spool, sync, sync_all, today, try_sync,
};

fn approved(engine: &LabEngine) -> ApprovedPlan {
    let planned = plan(engine).unwrap();
    finish(engine.verify(&planned.plan)).unwrap();
    planned
        .plan
        .approve(&engine.options().limits, &planned.history, None)
        .unwrap()
}

fn apply(engine: &LabEngine, plan: &ApprovedPlan) -> Report {
    finish(engine.apply(plan, &Control::new())).unwrap()
}

fn renamed(number: u32) -> device_writeback_core::graph::CloudDevice {
    device_with(number, |device| {
        device.display_name = Field::Value(format!("new {number}").into());
    })
}

/// Ten objects: 1 to 3 are to go, 4 to 6 get another name, 11 to 13 are new.
fn busy_lab() -> Lab {
    let lab = lab((1..=10).map(device));
    sync_all(&lab.engine());
    lab.now_has(
        (4..=6)
            .map(renamed)
            .chain((7..=10).map(device))
            .chain((11..=13).map(device)),
    );
    lab.forget_events();
    lab
}

fn answer(code: ResultCode) -> Act {
    Act::Answer(OperationResult::new(code, "says the server"))
}

#[test]
fn the_window_is_used_and_never_exceeded() {
    for (window, devices, most) in [(1, 40, 1), (16, 600, 16), (16, 5, 5), (0, 10, 1)] {
        let lab = lab((1..=devices).map(device));
        lab.directory.window.store(window, SeqCst);
        lab.directory.delay.store(5, SeqCst);
        sync_all(&lab.engine());
        assert_eq!(
            lab.directory.most.load(SeqCst),
            most,
            "window {window}, {devices} devices"
        );
        assert_eq!(lab.directory.memory().len(), devices as usize);
    }
}

/// Two objects under one name: one was moved away and the other took its place while the pages were read. The directory of
/// these tests fails when two operations meet on one name.
#[test]
fn one_name_is_written_by_one_change_at_a_time() {
    let lab = lab((1..=20).map(device));
    sync_all(&lab.engine());
    lab.now_has((1..=20).map(renamed));
    lab.directory.on_import(|mut objects| {
        for pair in objects.chunks_exact_mut(2) {
            pair[0].dn = pair[1].dn.clone();
        }
        objects
    });
    lab.directory.window.store(16, SeqCst);
    lab.directory.delay.store(5, SeqCst);
    let (plan, report) = sync(&lab.engine());
    assert_eq!(plan.len(), 20);
    // Those that are found under another name than the plan saw are left alone.
    assert_eq!((report.done, report.stale), (10, 10), "{report:?}");
    assert!(lab.directory.most.load(SeqCst) > 1);
}

#[test]
fn every_change_has_one_outcome() {
    let lab = busy_lab();
    lab.directory.window.store(4, SeqCst);
    lab.directory
        .on_write(|operation, _| match operation.dn() == &dn(2) {
            true => answer(ResultCode::INSUFFICIENT_ACCESS_RIGHTS),
            false if operation.dn() == &dn(12) => answer(ResultCode::CONSTRAINT_VIOLATION),
            false => Act::Perform,
        });
    let plan = approved(&lab.engine());
    lab.directory.memory().remove(&dn(5));
    let report = apply(&lab.engine(), &plan);
    assert_eq!(
        (report.planned, report.done, report.stale, report.failed),
        (9, 6, 1, 2)
    );
    assert_eq!(report.not_begun, 0);
    assert!(!report.cancelled && !report.is_complete());
    assert_eq!(report.actions["create"], 2);
    assert_eq!(report.actions["update"], 2);
    assert_eq!(report.actions["delete"], 2);
    let failures: Vec<_> = report
        .failures
        .iter()
        .map(|failure| (failure.device_id, failure.verdict, failure.action))
        .collect();
    assert_eq!(
        failures,
        [
            (device_id(2), "failed", Action::Delete),
            (device_id(5), "stale", Action::Update),
            (device_id(12), "failed", Action::Create),
        ]
    );
    let refused = &report.failures[0];
    let result = refused.ldap_result.as_ref().unwrap();
    assert_eq!((result.code, result.name), (50, "insufficientAccessRights"));
    assert_eq!(
        refused.message,
        "insufficientAccessRights (50): says the server"
    );
    assert_eq!(report.failures[1].message, "the object is gone");
    assert!(lab.events().contains(&Event::Outcomes(9)));
    assert!(lab.has(2) && !lab.has(12) && !lab.has(1) && lab.has(13));
}

#[test]
fn a_busy_server_is_asked_eight_times() {
    for (busy, done) in [(7, true), (8, false)] {
        let lab = lab([device(1)]);
        lab.directory.on_write(move |_, number| {
            if number < busy {
                answer(ResultCode::BUSY)
            } else {
                Act::Perform
            }
        });
        let (_, report) = sync(&lab.engine());
        assert_eq!(report.is_complete(), done);
        assert_eq!(lab.has(1), done);
        let writes = lab
            .events()
            .iter()
            .filter(|event| matches!(event, Event::Write(_)))
            .count();
        assert_eq!(writes, 8);
        if !done {
            assert_eq!((report.failed, report.failures[0].verdict), (1, "retry"));
        }
    }
}

/// Devices match by their id, never by name: an object that somebody has made meanwhile under another name gets no twin.
#[test]
fn a_device_that_has_got_an_object_of_another_name_is_not_created() {
    let lab = lab((1..=3).map(device));
    let plan = approved(&lab.engine());
    let memory = lab.directory.memory();
    let other =
        device_writeback_core::dn::Dn::parse("CN=by hand,CN=RegisteredDevices,DC=contoso,DC=com")
            .unwrap();
    memory.insert(
        other,
        [(
            "msDS-DeviceID".to_owned(),
            device_id(2).to_le_bytes().to_vec(),
        )],
    );
    let report = apply(&lab.engine(), &plan);
    assert_eq!((report.done, report.stale), (2, 1), "{report:?}");
    assert_eq!(report.failures[0].device_id, device_id(2));
    assert!(report.failures[0].message.contains("another name"));
    assert!(lab.has(1) && !lab.has(2) && lab.has(3));
}

/// A directory that is gone for good is not asked for every single change that is left.
#[test]
fn the_rest_is_not_begun_when_the_directory_is_gone() {
    for window in [1, 4] {
        let lab = lab((1..=600).map(device));
        lab.directory.window.store(window, SeqCst);
        lab.directory.on_write(|_, number| match number {
            0..50 => Act::Perform,
            _ => Act::LoseRequest,
        });
        let engine = lab.engine();
        let plan = approved(&engine);
        lab.directory.reads_fail.store(usize::MAX, SeqCst);
        let report = apply(&engine, &plan);
        assert_eq!((report.planned, report.done), (600, 50));
        assert!(
            (3..=3 + window as u64).contains(&report.failed),
            "{report:?}"
        );
        assert_eq!(report.not_begun, 550 - report.failed);
        assert_eq!(
            report.stopped.as_deref(),
            Some("the connection to dc1 was lost")
        );
        assert!(!report.cancelled && !report.is_complete());

        lab.directory.reads_fail.store(0, SeqCst);
        lab.directory.on_write(|_, _| Act::Perform);
        let (_, report) = sync(&lab.engine());
        assert!(report.is_complete() && report.stopped.is_none());
        assert!(plan_is_empty(&lab));
    }
}

/// A change here and there that cannot be asked for is that change's problem.
#[test]
fn a_directory_that_answers_in_between_is_not_gone() {
    let lab = lab((1..=40).map(device));
    lab.directory.on_write(|_, number| match number % 4 {
        0 => Act::LoseAnswer,
        _ => Act::Perform,
    });
    let (_, report) = sync(&lab.engine());
    assert!(
        report.is_complete() && report.stopped.is_none(),
        "{report:?}"
    );
}

#[test]
fn what_a_lost_server_acknowledged_is_looked_at_again() {
    let lab = busy_lab();
    let (epoch, memory) = (lab.directory.epoch.clone(), lab.directory.shared_memory());
    // The third object that was added has not reached the other server when the run moves there, nor has a new name.
    let kept = memory.values(&dn(5)).unwrap();
    lab.directory.on_write(move |operation, _| {
        if operation.dn() == &dn(13) {
            epoch.store(1, SeqCst);
            memory.remove(&dn(11));
            let values = kept.iter().flat_map(|(name, values)| {
                values.iter().map(|value| (name.clone(), value.clone()))
            });
            memory.insert(dn(5), values);
        }
        Act::Perform
    });
    let (_, report) = sync(&lab.engine());
    let lost: Vec<_> = report
        .failures
        .iter()
        .map(|failure| (failure.device_id, failure.verdict, failure.action))
        .collect();
    assert_eq!(
        lost,
        [
            (device_id(5), "failed", Action::Update),
            (device_id(11), "failed", Action::Create),
        ],
        "{report:?}"
    );
    assert!(report.failures[0].message.contains("may still arrive"));
    assert_eq!(
        (report.planned, report.done, report.failed, report.not_begun),
        (9, 7, 2, 0)
    );
    assert_eq!((report.actions["create"], report.actions["update"]), (2, 2));
    // The state does not take it for done either, and the next run sees to it.
    let (_, report) = sync(&lab.engine());
    assert!(report.is_complete() && report.planned == 2, "{report:?}");
}

#[test]
fn nothing_is_added_at_a_second_server_that_may_still_arrive_from_the_first() {
    let lab = lab([device(1), device(2)]);
    let epoch = lab.directory.epoch.clone();
    lab.directory
        .on_write(move |operation, _| match operation.dn() == &dn(1) {
            true => {
                epoch.store(1, SeqCst);
                Act::LoseRequest
            }
            false => Act::Perform,
        });
    let (_, report) = sync(&lab.engine());
    assert_eq!((report.done, report.failed), (1, 1));
    assert!(
        report.failures[0]
            .message
            .contains("not added a second time")
    );
    let writes = lab
        .events()
        .iter()
        .filter(|event| **event == Event::Write(device_id(1)))
        .count();
    assert_eq!(writes, 1);
}

#[test]
fn a_lost_answer_is_settled_by_reading() {
    type Rule = fn(&Operation, usize) -> Act;
    let rules: [(Rule, u64); 2] = [
        (
            |_, number| match number % 2 {
                0 => Act::LoseAnswer,
                _ => Act::Perform,
            },
            9,
        ),
        // Each first request gets lost; the second try works.
        (
            |operation, number| match operation {
                Operation::Delete { .. } => Act::Perform,
                _ if number % 2 == 0 => Act::LoseRequest,
                _ => Act::Perform,
            },
            0,
        ),
    ];
    for (rule, already) in rules {
        let lab = busy_lab();
        lab.directory.on_write(rule);
        let (plan, report) = sync(&lab.engine());
        assert_eq!(report.done, plan.len() as u64, "{report:?}");
        assert!(report.already <= already, "{report:?}");
        lab.directory.on_write(|_, _| Act::Perform);
        assert!(plan_is_empty(&lab));
    }
}

fn plan_is_empty(lab: &Lab) -> bool {
    plan(&lab.engine()).unwrap().plan.is_empty()
}

#[test]
fn a_connection_that_stays_lost_fails_the_change_and_says_so() {
    let lab = lab([device(1), device(2)]);
    lab.directory
        .on_write(|operation, _| match operation.dn() == &dn(1) {
            true => Act::LoseRequest,
            false => Act::Perform,
        });
    let (_, report) = sync(&lab.engine());
    assert_eq!((report.done, report.failed), (1, 1));
    assert_eq!(report.failures[0].message, "the write did not take effect");

    lab.directory.reads_fail.store(usize::MAX, SeqCst);
    let (_, report) = sync(&lab.engine());
    assert_eq!((report.planned, report.failed), (1, 1));
    assert_eq!(report.failures[0].message, "the connection to dc1 was lost");

    lab.directory.reads_fail.store(2, SeqCst);
    lab.directory.on_write(|_, number| match number {
        0 => Act::LoseAnswer,
        _ => Act::Perform,
    });
    let (_, report) = sync(&lab.engine());
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.already, 1);
    assert!(lab.has(1));
}

#[test]
fn a_failed_commit_is_an_error_and_nothing_counts() {
    let lab = busy_lab();
    let ends = lab.state.ends().len();
    lab.directory.commit_fails.store(true, SeqCst);
    let error = try_sync(&lab.engine()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Directory);
    assert_eq!(error.to_string(), "the disk is full");
    let events = lab.events();
    assert_eq!(events.last(), Some(&Event::Commit));
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::Outcomes(_) | Event::EndRun))
    );
    assert_eq!(lab.state.ends().len(), ends);
    // The retirements were journalled, so they count.
    let history = finish(lab.engine().history()).unwrap();
    assert_eq!(history.retired.len(), 3);
}

#[test]
fn a_journal_that_cannot_be_written_stops_before_the_first_write() {
    let lab = busy_lab();
    lab.state.journal_fails.store(true, SeqCst);
    assert_eq!(
        try_sync(&lab.engine()).unwrap_err().kind(),
        ErrorKind::Internal
    );
    assert_eq!(lab.events(), []);
}

#[test]
fn the_journal_comes_before_the_write() {
    let lab = lab((1..=600).map(device));
    lab.directory.window.store(16, SeqCst);
    lab.directory.delay.store(2, SeqCst);
    sync_all(&lab.engine());
    lab.now_has((1..=600).map(renamed));
    lab.forget_events();
    sync_all(&lab.engine());
    let mut journalled = BTreeSet::new();
    let (mut writes, mut committed) = (0, false);
    for event in lab.events() {
        match event {
            Event::Journal(devices) => journalled.extend(devices),
            Event::Write(device) => {
                assert!(journalled.contains(&device), "{device}");
                assert!(!committed);
                writes += 1;
            }
            Event::Commit => committed = true,
            Event::Outcomes(count) => {
                assert!(committed);
                assert_eq!(count, 600);
            }
            Event::EndRun => assert!(committed),
            Event::Read | Event::Principals(_) => {}
        }
    }
    assert_eq!((writes, journalled.len()), (600, 600));
}

#[test]
fn the_journal_has_the_values_before() {
    let lab = busy_lab();
    sync_all(&lab.engine());
    let entries = lab.state.memory.journal_entries();
    let entry = |number| {
        entries
            .iter()
            .rev()
            .find(|entry| entry.device_id == device_id(number))
            .unwrap()
    };
    let octets = |text: &str| vec![Octets(text.as_bytes().to_vec())];
    let before = |number, attribute| {
        let found = entry(number)
            .before
            .iter()
            .find(|(own, _)| *own == attribute)
            .map(|(_, values)| values.clone());
        found.unwrap_or_default()
    };

    assert_eq!(entry(4).action, Action::Update);
    assert_eq!(before(4, Attribute::DisplayName), octets("PC 4"));
    assert_eq!(entry(4).before.len(), 2, "the name, and the mark");
    assert_eq!(
        before(4, Attribute::CloudAnchor),
        octets("Device_00000004-aaaa-4bbb-8ccc-ddddeeeeffff")
    );
    assert!(!entry(4).retirement);

    assert_eq!(entry(1).action, Action::Delete);
    assert!(entry(1).retirement);
    assert_eq!(before(1, Attribute::IsEnabled), octets("TRUE"));
    assert_eq!(before(1, Attribute::AltSecurityIdentities).len(), 1);
    assert_eq!(
        before(1, Attribute::DeviceId)[0].0,
        device_id(1).to_le_bytes()
    );
    assert!(entry(1).target.guid.is_some());
    assert_eq!(entry(1).operations.len(), 2);

    assert_eq!(entry(11).action, Action::Create);
    assert_eq!(entry(11).before, []);
    assert_eq!(entry(11).target.dn, dn(11));
    // Three changes to each of the two runs, numbered as in their plans.
    let numbers: Vec<_> = entries.iter().skip(10).map(|entry| entry.number).collect();
    assert_eq!(numbers, (0..9).collect::<Vec<_>>());
}

#[test]
fn applying_twice_finds_everything_done() {
    let lab = busy_lab();
    let plan = approved(&lab.engine());
    let first = apply(&lab.engine(), &plan);
    assert_eq!((first.done, first.already), (9, 0), "{first:?}");
    let second = apply(&lab.engine(), &plan);
    assert_eq!((second.done, second.already), (9, 9), "{second:?}");
}

#[test]
fn what_somebody_else_changed_is_left_alone() {
    let lab = busy_lab();
    let plan = approved(&lab.engine());
    let memory = lab.directory.memory();
    let flat = |number, name: &str, value: &str| {
        let mut values = memory.values(&dn(number)).unwrap();
        values.insert(name.to_owned(), vec![value.as_bytes().to_vec()]);
        let flat = values
            .into_iter()
            .flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)));
        memory.insert(dn(number), flat.collect::<Vec<_>>());
    };
    flat(4, "displayName", "by hand");
    flat(
        1,
        "msDS-CloudAnchor",
        "Device_deadbeef-0000-4000-8000-000000000000",
    );
    let report = apply(&lab.engine(), &plan);
    assert_eq!((report.done, report.stale), (7, 2), "{report:?}");
    assert_eq!(lab.value(4, "displayName").unwrap(), "by hand");
    assert!(lab.has(1));
}

/// Cancels after so many changes.
struct CancelAfter(u64, Mutex<Option<Control>>);

impl Observer for CancelAfter {
    fn progress(&self, stage: Stage, done: u64, _total: Option<u64>) {
        if stage == Stage::Apply && done == self.0 {
            self.1.lock().unwrap().as_ref().unwrap().cancel();
        }
    }
}

fn cancel_after(changes: u64) -> Control {
    let observer = Arc::new(CancelAfter(changes, Mutex::new(None)));
    let control = Control::with_observer(Arc::clone(&observer) as Arc<dyn Observer>);
    *observer.1.lock().unwrap() = Some(control.clone());
    control
}

#[test]
fn a_cancelled_run_counts_what_it_did_not_begin() {
    // Within a batch, at its end, in the last one, and at the very last change.
    for (after, window) in [
        (1, 1),
        (100, 1),
        (256, 1),
        (300, 1),
        (300, 16),
        (599, 1),
        (600, 16),
    ] {
        let lab = lab((1..=600).map(device));
        lab.directory.window.store(window, SeqCst);
        lab.directory.delay.store(1, SeqCst);
        let control = cancel_after(after);
        let end = finish(lab.engine().sync(spool(), &control)).unwrap();
        let device_writeback_engine::SyncEnd::Applied(_, report) = end else {
            panic!("{end:?}");
        };
        assert!(report.done >= after && report.done < after + window as u64);
        assert_eq!(report.done + report.not_begun, 600);
        assert_eq!(report.cancelled, report.not_begun > 0);
        assert_eq!(lab.directory.memory().len() as u64, report.done);
        // What was done counts, and the next run does the rest.
        assert!(
            lab.events()
                .contains(&Event::Outcomes(report.done as usize))
        );
        assert!(lab.events().contains(&Event::EndRun));
        sync_all(&lab.engine());
        assert_eq!(lab.directory.memory().len(), 600);
    }
}

#[test]
fn a_run_cancelled_before_it_writes_does_nothing() {
    let lab = busy_lab();
    let plan = approved(&lab.engine());
    lab.forget_events();
    let control = Control::new();
    control.cancel();
    let report = finish(lab.engine().apply(&plan, &control)).unwrap();
    assert_eq!((report.planned, report.not_begun), (9, 9));
    assert!(report.cancelled && !report.is_complete());
    assert_eq!(lab.events(), [Event::Commit, Event::EndRun]);
    assert_eq!(lab.state.memory.journal_entries().len(), 10);
}

#[test]
fn nothing_to_do_touches_the_directory_not_at_all() {
    let lab = lab([device(1)]);
    sync_all(&lab.engine());
    lab.forget_events();
    let (_, report) = sync(&lab.engine());
    assert!(report.is_complete() && report.planned == 0);
    assert_eq!(lab.events(), [Event::EndRun]);
    assert_eq!(lab.state.ends().last().unwrap().run, None);
}

#[test]
fn without_its_container_a_run_is_refused() {
    let lab = lab([device(1)]);
    lab.directory.without_container.store(true, SeqCst);
    assert_eq!(
        reasons(&plan(&lab.engine()).unwrap().plan)["new_device"],
        1,
        "what would be done can be shown before the forest is prepared"
    );
    // By its object id a device is looked for twice.
    let question = object_id(1).to_string();
    let explained = finish(lab.engine().explain(&question, spool(), &Control::new())).unwrap();
    assert_eq!(explained.device_ids, [device_id(1)]);
    let error = try_sync(&lab.engine()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Directory);
    assert_eq!(
        error.to_string(),
        "the container CN=RegisteredDevices,DC=contoso,DC=com does not exist"
    );
    assert!(error.remedy().unwrap().contains("prepare"));
    let made = plan(&lab.engine()).unwrap().plan;
    assert_eq!(
        finish(lab.engine().verify(&made)).unwrap_err().kind(),
        ErrorKind::Directory
    );
    assert_eq!(lab.events(), []);
}

/// What a saved plan says about the past and about the directory's size is as unsigned as the rest of it.
#[test]
fn a_plan_that_knows_more_than_the_state_and_the_directory_is_refused() {
    let lab = lab((1..=3).map(device));
    sync_all(&lab.engine());
    lab.now_has((1..=2).map(device));
    let made = plan(&lab.engine()).unwrap().plan;
    assert_eq!(made.count_of(Action::Delete), 1);
    finish(lab.engine().verify(&made)).unwrap();

    // The same directory and the same source, with a state that never saw the device.
    let other = super::support::lab((1..=2).map(device));
    for number in 1..=3 {
        other.insert_marked(number);
    }
    let error = finish(other.engine().verify(&made)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("ever had it"), "{error}");

    // Two of the three objects that the plan counted are gone, and the plan deletes only one.
    assert!(lab.directory.memory().remove(&dn(1)));
    assert!(lab.directory.memory().remove(&dn(2)));
    let error = finish(lab.engine().verify(&made)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(
        error
            .to_string()
            .contains("counts 3 objects of ours, the directory has 1"),
        "{error}"
    );
}

#[test]
fn a_plan_for_other_rules_is_refused() {
    let lab = lab([device(1)]);
    let made = plan(&lab.engine()).unwrap().plan;
    let other = lab.engine_at(today(), |options| options.rules.last_logon_min_days = 7);
    let error = finish(other.verify(&made)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(
        error
            .to_string()
            .starts_with("the plan is refused: it was made for the rules "),
        "{error}"
    );
    let later = lab.engine_at(today().plus_days(2), |_| {});
    assert_eq!(
        finish(later.verify(&made)).unwrap_err().kind(),
        ErrorKind::Refused
    );
}
