//! The futures can be sent to another thread, and nothing that can be printed has a secret.

use device_writeback_core::plan::{ApprovedPlan, MemorySpool};
use device_writeback_engine::memory::{MemoryDirectory, MemorySource, MemoryState};
use device_writeback_engine::ports::{CloudSource, Directory, StateStore};
use device_writeback_engine::{Control, Engine, Error, ErrorKind, Options, Planned, SyncEnd};

use super::support::{facts, full, options, today};

fn is_send<T: Send>(value: T) -> T {
    value
}

/// Compiles only while every future is `Send` over any ports, and says nothing about their lifetimes.
fn futures_are_send<S: CloudSource, D: Directory, T: StateStore>(
    engine: &Engine<S, D, T>,
    approved: &ApprovedPlan,
    control: &Control,
) {
    let spool = || Box::new(MemorySpool::default());
    drop(is_send(engine.plan(spool(), control)));
    drop(is_send(engine.sync(spool(), control)));
    drop(is_send(engine.explain("x", spool(), control)));
    drop(is_send(engine.apply(approved, control)));
    drop(is_send(engine.verify(approved.plan())));
    drop(is_send(engine.history()));
    drop(is_send(engine.use_override([0; 32])));
}

#[test]
fn futures_and_values_can_be_sent() {
    fn shared<T: Send + Sync>() {}
    shared::<Engine<MemorySource, MemoryDirectory, MemoryState>>();
    shared::<Control>();
    shared::<Options>();
    shared::<Error>();
    shared::<Planned>();
    shared::<SyncEnd>();
    let check: fn(&Engine<MemorySource, MemoryDirectory, MemoryState>, &ApprovedPlan, &Control) =
        futures_are_send;
    let _ = check;

    let run = std::thread::spawn(|| {
        let engine = Engine::new(
            MemorySource::new(Vec::new(), full()),
            MemoryDirectory::new(facts(), []),
            MemoryState::new(),
            options(today()),
        );
        let spool = Box::new(MemorySpool::default());
        futures_executor::block_on(engine.sync(spool, &Control::new()))
    });
    assert!(matches!(run.join().unwrap(), Ok(SyncEnd::Refused(..))));
}

#[test]
fn errors_say_everything_once() {
    let cause = Error::new(ErrorKind::Directory, "connecting to dc1 failed")
        .with_source("connection refused");
    let error = Error::new(ErrorKind::Directory, "reading the container failed")
        .with_remedy("start dc1")
        .with_request_id("42")
        .with_source(cause);
    assert_eq!(error.to_string(), "reading the container failed");
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "connecting to dc1 failed");
    assert_eq!(cause.source().unwrap().to_string(), "connection refused");
    assert_eq!(error.remedy(), Some("start dc1"));
    assert_eq!(error.request_id(), Some("42"));
    assert_eq!(error.ldap_result(), None);
    let debug = format!("{error:?}");
    assert!(debug.contains("connection refused") && debug.contains("start dc1"));
}

/// The handle of a run holds whatever its owner put into the observer: none of it is printed.
#[test]
fn a_control_prints_its_flag_only() {
    struct Secretive(#[allow(dead_code, reason = "it is there not to be seen")] &'static str);
    impl device_writeback_engine::Observer for Secretive {
        fn progress(&self, _: device_writeback_engine::Stage, _: u64, _: Option<u64>) {}
    }
    let control = Control::with_observer(std::sync::Arc::new(Secretive("hunter2")));
    assert_eq!(format!("{control:?}"), "Control { cancelled: false, .. }");
    control.cancel();
    assert_eq!(
        format!("{:?}", control.clone()),
        "Control { cancelled: true, .. }"
    );
}
