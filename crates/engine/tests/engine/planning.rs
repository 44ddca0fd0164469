//! From two sides to a plan.

use std::sync::atomic::Ordering::SeqCst;

use device_writeback_core::graph::{CloudItem, CloudRecord, Field, Removal};
use device_writeback_core::plan::{Action, Completeness};
use device_writeback_core::rules::{PrincipalFacts, Reason};
use device_writeback_engine::memory::{MemoryDirectory, MemoryState};
use device_writeback_engine::{Control, ErrorKind, Observer, Stage};

use super::support::{
    Event, Lab, device, device_id, device_with, dn, facts, finish, full, lab, object_id, owned_by,
    plan, reasons, records, spool, sync_all, try_sync, user_sid,
};

#[test]
fn a_second_run_finds_nothing_to_do() {
    let lab = lab([device(1), owned_by(2, 1100), device(3)]);
    let engine = lab.engine();
    let planned = plan(&engine).unwrap();
    assert_eq!(reasons(&planned.plan)["new_device"], 3);
    assert_eq!(lab.directory.memory().len(), 0, "planning writes nothing");
    assert!(
        lab.events()
            .iter()
            .all(|event| matches!(event, Event::Principals(_))),
        "planning touches no state"
    );

    finish(engine.verify(&planned.plan)).unwrap();
    sync_all(&engine);
    assert_eq!(lab.directory.memory().len(), 3);
    assert_eq!(
        lab.value(2, "msDS-RegisteredOwner").unwrap(),
        user_sid(1100).to_string()
    );

    let again = plan(&engine).unwrap().plan;
    assert!(again.is_empty());
    assert_eq!(again.summary().unchanged, 3);
}

#[test]
fn the_sides_may_wait_for_each_other() {
    for take_turns in [false, true] {
        let lab = lab((1..=9).map(device));
        sync_all(&lab.engine());
        lab.source.in_turns.store(take_turns, SeqCst);
        lab.directory.in_turns.store(take_turns, SeqCst);
        lab.pages.source.store(0, SeqCst);
        lab.pages.directory.store(0, SeqCst);
        lab.source.page_size.store(1, SeqCst);
        lab.directory.page_size.store(1, SeqCst);
        let planned = plan(&lab.engine()).unwrap();
        assert_eq!(planned.plan.summary().unchanged, 9);
        assert_eq!(lab.pages.source.load(SeqCst), 10);
        assert_eq!(lab.pages.directory.load(SeqCst), 10);
    }
}

/// A single connection that a page in progress keeps: the owners of a page must not wait for it while nobody takes it.
#[test]
fn a_directory_that_does_one_thing_at_a_time_is_enough() {
    let lab = lab((1..=8).map(|number| owned_by(number, 1100 + number)));
    sync_all(&lab.engine());
    lab.directory.one_at_a_time.store(true, SeqCst);
    for (source, directory) in [(1, 1), (1, 8), (8, 1), (3, 2)] {
        lab.source.page_size.store(source, SeqCst);
        lab.directory.page_size.store(directory, SeqCst);
        assert!(plan(&lab.engine()).unwrap().plan.is_empty());
    }
}

#[test]
fn pages_may_have_any_size() {
    let all = || (1..=10).map(|number| owned_by(number, 1100 + number % 3));
    let lab = lab(all().take(6));
    sync_all(&lab.engine());
    lab.now_has(all().skip(2));
    let digest = |source, directory| {
        lab.source.page_size.store(source, SeqCst);
        lab.directory.page_size.store(directory, SeqCst);
        let plan = plan(&lab.engine()).unwrap().plan;
        assert_eq!(plan.count_of(Action::Create), 4);
        assert_eq!(plan.count_of(Action::Delete), 2);
        plan.digest()
    };
    let whole = digest(usize::MAX, usize::MAX);
    for size in [1, 2, 3, 7] {
        assert_eq!(digest(size, usize::MAX), whole);
        assert_eq!(digest(usize::MAX, size), whole);
        assert_eq!(digest(size, size), whole);
    }
}

#[test]
fn what_is_not_kept_is_read_again() {
    let lab = lab((1..=4).map(device));
    sync_all(&lab.engine());
    lab.now_has((2..=6).map(|number| {
        device_with(number, |device| {
            device.display_name = Field::Value("renamed".into());
        })
    }));
    let kept = plan(&lab.engine()).unwrap().plan;
    assert_eq!(lab.source.rereads.load(SeqCst), 0);
    let engine = lab.engine_at(super::support::today(), |options| options.keep_whole = 0);
    let reread = plan(&engine).unwrap().plan;
    assert_eq!(lab.source.rereads.load(SeqCst), 5);
    assert_eq!(reread.digest(), kept.digest());
    assert_eq!(reasons(&reread)["attributes_differ"], 3);
    assert_eq!(reasons(&reread)["new_device"], 2);
    assert_eq!(reasons(&reread)["gone_absent"], 1);
}

#[test]
fn a_record_that_changes_meanwhile_is_held() {
    let lab = lab((1..=4).map(device));
    let second = |number: u64, device| CloudRecord {
        sequence: (number - 1) * 10,
        item: device,
    };
    let alive = |device| CloudItem::Device(Box::new(device));
    lab.source.set_reread(vec![
        // The first as before, the second without a name, the third under another device id, the fourth removed.
        second(1, alive(device(1))),
        second(
            2,
            alive(device_with(2, |device| device.display_name = Field::Null)),
        ),
        second(
            3,
            alive(device_with(3, |device| {
                device.device_id = Some(device_id(99))
            })),
        ),
        second(
            4,
            CloudItem::Removed {
                id: object_id(4),
                reason: Removal::Deleted,
            },
        ),
    ]);
    let engine = lab.engine_at(super::support::today(), |options| options.keep_whole = 0);
    let plan = sync_all(&engine);
    assert_eq!(reasons(&plan)["held_changing"], 3);
    assert!(lab.has(1) && !lab.has(2) && !lab.has(3) && !lab.has(4));
    let held: Vec<_> = plan.held().iter().map(|held| held.device_id).collect();
    assert_eq!(held, [2, 3, 4].map(|number| Some(device_id(number))));
}

#[test]
fn a_record_that_vanishes_is_held() {
    let lab = lab((1..=3).map(device));
    lab.source
        .set_reread(records((1..=3).map(device)).into_iter().take(1).collect());
    let engine = lab.engine_at(super::support::today(), |options| options.keep_whole = 0);
    assert_eq!(reasons(&sync_all(&engine))["held_changing"], 2);
    assert_eq!(lab.directory.memory().len(), 1);
}

#[test]
fn an_object_that_vanishes_or_changes_hands_is_held() {
    let lab = lab((1..=3).map(device));
    sync_all(&lab.engine());
    lab.now_has((1..=3).map(|number| {
        device_with(number, |device| {
            device.display_name = Field::Value("renamed".into());
        })
    }));
    lab.directory.before_reread(|memory| {
        memory.remove(&dn(1));
        // The third loses its mark.
        let mut values = memory.values(&dn(3)).unwrap();
        values.remove("msDS-CloudAnchor");
        let flat = values
            .into_iter()
            .flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)));
        memory.insert(dn(3), flat.collect::<Vec<_>>());
    });
    let engine = lab.engine_at(super::support::today(), |options| options.keep_whole = 0);
    let plan = sync_all(&engine);
    assert_eq!(reasons(&plan)["held_changing"], 2);
    assert_eq!(lab.value(2, "displayName").unwrap(), "renamed");
    assert_eq!(lab.value(3, "displayName").unwrap(), "PC 3");
    assert!(!lab.has(1));
}

#[test]
fn the_forest_is_asked_once_for_every_sid() {
    let devices = (1..=30).map(|number| owned_by(number, 1100 + number % 4));
    let lab = lab(devices);
    for size in [1, 7, usize::MAX] {
        lab.forget_events();
        lab.source.page_size.store(size, SeqCst);
        plan(&lab.engine()).unwrap();
        let mut asked: Vec<_> = lab
            .events()
            .into_iter()
            .filter_map(|event| match event {
                Event::Principals(sids) => Some(sids),
                _ => None,
            })
            .flatten()
            .collect();
        asked.sort();
        assert_eq!(asked, [1100, 1101, 1102, 1103].map(user_sid));
    }
}

#[test]
fn many_owners_are_asked_about_in_portions() {
    let lab = Lab::new(
        records((1..=1_201).map(|number| owned_by(number, 10_000 + number))),
        MemoryDirectory::new(
            facts(),
            (10_001..=11_201).map(|rid| (user_sid(rid), PrincipalFacts::User { protected: false })),
        ),
        MemoryState::new(),
    );
    sync_all(&lab.engine());
    let portions: Vec<_> = lab
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::Principals(sids) => Some(sids.len()),
            _ => None,
        })
        .collect();
    assert_eq!(portions, [500, 500, 201]);
    assert_eq!(
        lab.value(1_201, "msDS-RegisteredOwner").unwrap(),
        user_sid(11_201).to_string()
    );
}

#[test]
fn a_side_that_fails_stops_the_run() {
    let lab = lab((1..=5).map(device));
    sync_all(&lab.engine());
    lab.forget_events();
    lab.now_has([]);

    lab.source.page_size.store(1, SeqCst);
    lab.source.fails_at_page.store(0, SeqCst);
    let error = try_sync(&lab.engine()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert_eq!(error.to_string(), "the reading broke off");
    lab.source.fails_at_page.store(usize::MAX, SeqCst);

    lab.directory.page_size.store(2, SeqCst);
    lab.directory.fails_at_page.store(2, SeqCst);
    assert_eq!(
        try_sync(&lab.engine()).unwrap_err().kind(),
        ErrorKind::Directory
    );
    lab.directory.fails_at_page.store(usize::MAX, SeqCst);

    lab.state.history_fails.store(true, SeqCst);
    assert_eq!(
        try_sync(&lab.engine()).unwrap_err().kind(),
        ErrorKind::Internal
    );
    assert_eq!(lab.directory.memory().len(), 5);
    assert_eq!(lab.events(), []);
}

#[test]
fn an_adapter_that_leaves_out_an_answer_is_told_so() {
    let lab = lab([owned_by(1, 1100)]);
    lab.directory.answers_short.store(true, SeqCst);
    let error = plan(&lab.engine()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(
        error.to_string(),
        "the directory was asked 1 questions and gave 0 answers"
    );
    lab.directory.answers_short.store(false, SeqCst);
    sync_all(&lab.engine());

    lab.now_has([device(2)]);
    lab.state.answers_short.store(true, SeqCst);
    let error = plan(&lab.engine()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the state was asked 1 questions and gave 0 answers"
    );
}

#[test]
fn a_run_can_be_cancelled_while_it_reads() {
    struct CancelAt(Control, Stage, std::sync::Mutex<Option<Control>>);
    impl Observer for CancelAt {
        fn progress(&self, stage: Stage, _done: u64, _total: Option<u64>) {
            if stage == self.1 {
                self.0.cancel();
                self.2.lock().unwrap().as_ref().unwrap().cancel();
            }
        }
    }
    let lab = lab((1..=6).map(device));
    sync_all(&lab.engine());
    lab.forget_events();
    lab.now_has((2..=7).map(device));
    lab.source.page_size.store(2, SeqCst);
    lab.directory.page_size.store(2, SeqCst);
    let engine = lab.engine_at(super::support::today(), |options| options.keep_whole = 0);

    let before = Control::new();
    before.cancel();
    let error = finish(engine.sync(spool(), &before)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);

    for stage in [Stage::Source, Stage::Directory, Stage::Resolve] {
        let observer =
            std::sync::Arc::new(CancelAt(Control::new(), stage, std::sync::Mutex::new(None)));
        let control = Control::with_observer(observer.clone());
        *observer.2.lock().unwrap() = Some(control.clone());
        let error = finish(engine.sync(spool(), &control)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{stage:?}");
        assert!(observer.0.is_cancelled());
    }
    assert_eq!(lab.events(), []);
}

#[test]
fn objects_of_unknown_origin_wait_for_take_over() {
    let lab = lab([device(1)]);
    lab.insert_marked(2);
    let plan = sync_all(&lab.engine());
    assert_eq!(reasons(&plan)["held_unknown"], 1);
    assert!(lab.has(2));
    // Seeing it again does not make it known.
    assert_eq!(reasons(&sync_all(&lab.engine()))["held_unknown"], 1);

    let engine = lab.engine_at(super::support::today(), |options| options.take_over = true);
    let plan = sync_all(&engine);
    assert!(plan.take_over());
    assert_eq!(reasons(&plan)["gone_absent"], 1);
    assert!(!lab.has(2));
}

#[test]
fn what_the_source_has_named_once_is_known() {
    let lab = lab([device(1), device(2)]);
    lab.insert_marked(1);
    lab.insert_marked(2);
    sync_all(&lab.engine());
    let known = &lab.state.ends()[0].known;
    assert_eq!(
        *known,
        [(device_id(1), object_id(1)), (device_id(2), object_id(2))]
    );
    lab.now_has([device(1)]);
    let plan = sync_all(&lab.engine());
    assert_eq!(reasons(&plan)["gone_absent"], 1);
    assert!(lab.has(1) && !lab.has(2));
}

#[test]
fn an_incomplete_reading_takes_nothing_away() {
    let lab = lab((1..=4).map(device));
    sync_all(&lab.engine());
    lab.now_has([device(1)]);
    lab.source.is_now(Completeness::Incomplete("page 2".into()));
    assert_eq!(reasons(&sync_all(&lab.engine()))["held_incomplete"], 3);
    lab.source.is_now(Completeness::Partial);
    let plan = sync_all(&lab.engine());
    assert!(plan.is_empty() && plan.held().is_empty());
    assert_eq!(lab.directory.memory().len(), 4);
    lab.source.is_now(full());
    assert_eq!(
        reasons(&sync_all(&lab.engine()))[Reason::GoneAbsent.code()],
        3
    );
    assert_eq!(lab.directory.memory().len(), 1);
}
