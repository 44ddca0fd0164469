use std::collections::BTreeSet;

use device_writeback_core::apply::{Operation, Target, Verdict};
use device_writeback_core::boolean::ldap_boolean;
use device_writeback_core::dn::Dn;
use device_writeback_core::guid::{Guid, ObjectId};
use device_writeback_core::plan::{Action, Identity, Octets};
use device_writeback_core::rules::Reason;
use device_writeback_core::schema::Attribute;
use futures_executor::block_on;

use super::*;

const NOW: &str = "2026-06-01T08:00:00Z";

fn time(text: &str) -> FileTime {
    FileTime::parse_rfc3339(text).unwrap()
}

fn tenant(number: u8) -> TenantId {
    TenantId::from(Guid::from_bytes([number; 16]))
}

fn device(number: u32) -> DeviceId {
    let spread = (u128::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    DeviceId::from(Guid::from_bytes(spread.to_be_bytes()))
}

fn object(number: u32) -> ObjectId {
    ObjectId::from(Guid::from_bytes((u128::from(number) + 1).to_be_bytes()))
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below").join("state.db");
    (folder, path)
}

fn start(now: FileTime) -> RunStart {
    RunStart {
        time: now,
        tenant_id: tenant(1),
        plan_digest: [0xAB; 32],
    }
}

fn end(known: Vec<(DeviceId, ObjectId)>, waiting: Vec<DeviceId>, ours: Option<u64>) -> RunEnd {
    let mut known = known;
    known.sort_unstable();
    RunEnd {
        run: None,
        time: time(NOW),
        tenant_id: tenant(1),
        known,
        our_objects: ours,
        waiting,
    }
}

fn entry(number: u64, device: DeviceId, action: Action, retirement: bool) -> JournalEntry {
    let target = Target {
        dn: Dn::parse(&format!("CN={device},DC=x")).unwrap(),
        guid: None,
    };
    JournalEntry {
        number,
        device_id: device,
        action,
        reason: if retirement {
            Reason::GoneRemoved
        } else {
            Reason::AttributesDiffer
        },
        retirement,
        target: target.clone(),
        before: vec![(
            Attribute::IsEnabled,
            vec![Octets(ldap_boolean(true).to_vec())],
        )],
        operations: vec![Operation::Delete { target }],
    }
}

fn outcome(number: u64, device: DeviceId, action: Action, verdict: Verdict) -> JournalOutcome {
    JournalOutcome {
        number,
        device_id: device,
        action,
        reason: Reason::GoneRemoved,
        verdict,
        message: String::new(),
    }
}

#[test]
fn remembers_known_devices_over_a_reopening_and_merges_what_is_new() {
    let (_folder, path) = folder();
    let ask: Vec<DeviceId> = (0..4).map(device).collect();
    {
        let state = FileState::open(&path, tenant(1)).unwrap();
        assert_eq!(
            block_on(state.provenance(&ask)).unwrap(),
            vec![Provenance::default(); 4]
        );
        block_on(state.end_run(end(
            vec![(device(0), object(0)), (device(2), object(2))],
            vec![],
            None,
        )))
        .unwrap();
    }
    let state = FileState::open(&path, tenant(1)).unwrap();
    block_on(state.end_run(end(
        vec![(device(1), object(1)), (device(2), object(9))],
        vec![],
        None,
    )))
    .unwrap();
    let known: Vec<bool> = block_on(state.provenance(&ask))
        .unwrap()
        .iter()
        .map(|one| one.known)
        .collect();
    assert_eq!(
        known,
        [true, true, true, false],
        "nothing is forgotten, nothing is invented"
    );
}

#[test]
fn a_run_that_learns_nothing_writes_nothing() {
    let (_folder, path) = folder();
    let state = FileState::open(&path, tenant(1)).unwrap();
    let known: Vec<_> = (0..5_000)
        .map(|number| (device(number), object(number)))
        .collect();
    block_on(state.end_run(end(known.clone(), vec![device(7)], Some(12)))).unwrap();
    let before = std::fs::read(&path).unwrap();
    block_on(state.end_run(end(known, vec![device(7)], Some(12)))).unwrap();
    assert!(
        before == std::fs::read(&path).unwrap(),
        "the file is as it was"
    );
    assert_eq!(
        block_on(state.history(time(NOW))).unwrap().our_objects,
        Some(12)
    );
    assert_eq!(
        block_on(state.provenance(&[device(7)])).unwrap()[0].disabled_since,
        Some(time(NOW))
    );
}

#[test]
fn a_second_run_is_refused_while_the_first_holds_the_file() {
    let (_folder, path) = folder();
    let first = FileState::open(&path, tenant(1)).unwrap();
    let error = FileState::open(&path, tenant(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("another run holds"), "{error}");
    drop(first);
    FileState::open(&path, tenant(1)).unwrap();
}

#[test]
fn another_tenants_state_is_refused() {
    let (_folder, path) = folder();
    drop(FileState::open(&path, tenant(1)).unwrap());
    let error = FileState::open(&path, tenant(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error.to_string().contains(&tenant(1).to_string()),
        "{error}"
    );
}

#[test]
fn another_forests_state_is_refused() {
    let (_folder, path) = folder();
    let identity = |number: u8| Identity {
        tenant_id: tenant(1),
        source_id: String::new(),
        directory_id: String::new(),
        domain_guid: Some(Guid::from_bytes([number; 16]).into()),
        container: Dn::parse("CN=RegisteredDevices,DC=x").unwrap(),
    };
    let state = FileState::open(&path, tenant(1)).unwrap();
    block_on(state.claim(&identity(7))).unwrap();
    block_on(state.claim(&identity(7))).unwrap();
    drop(state);
    let state = FileState::open(&path, tenant(1)).unwrap();
    let error = block_on(state.claim(&identity(8))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("07070707"), "{error}");
}

#[test]
fn a_damaged_file_is_named_with_the_remedy() {
    let (_folder, path) = folder();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, b"this is no database, and never was one").unwrap();
    let error = FileState::open(&path, tenant(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("state.db"), "{error}");
    assert!(error.remedy().unwrap().contains("never a delete"));
}

#[cfg(unix)]
#[test]
fn the_file_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path) = folder();
    let _state = FileState::open(&path, tenant(1)).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn retirements_count_for_a_day_and_a_device_counts_once() {
    let (_folder, path) = folder();
    let state = FileState::open(&path, tenant(1)).unwrap();
    let run = block_on(state.begin_run(&start(time(NOW)))).unwrap();
    let entries = [
        entry(0, device(0), Action::Delete, true),
        entry(1, device(1), Action::Update, false),
        entry(2, device(2), Action::Disable, true),
    ];
    block_on(state.journal(run, &entries)).unwrap();
    // The run is cut short and tried again an hour later.
    let again = block_on(state.begin_run(&start(time("2026-06-01T09:00:00Z")))).unwrap();
    block_on(state.journal(again, &[entry(0, device(0), Action::Delete, true)])).unwrap();
    let retired = |now: &str| block_on(state.history(time(now))).unwrap().retired;
    assert_eq!(
        retired("2026-06-01T09:00:00Z"),
        BTreeSet::from([device(0), device(2)])
    );
    assert_eq!(
        retired("2026-06-02T07:59:59Z"),
        BTreeSet::from([device(0), device(2)])
    );
    assert_eq!(
        retired("2026-06-02T08:00:00Z"),
        BTreeSet::from([device(0)]),
        "a day is over"
    );
    assert_eq!(retired("2026-06-02T09:00:00Z"), BTreeSet::new());
}

#[test]
fn the_last_disabling_starts_the_clock_and_a_return_stops_it() {
    let (_folder, path) = folder();
    let state = FileState::open(&path, tenant(1)).unwrap();
    let since = || block_on(state.provenance(&[device(0)])).unwrap()[0].disabled_since;
    let first = block_on(state.begin_run(&start(time(NOW)))).unwrap();
    block_on(state.outcomes(
        first,
        &[outcome(0, device(0), Action::Disable, Verdict::Failed)],
    ))
    .unwrap();
    assert_eq!(since(), None, "it was not disabled");
    block_on(state.outcomes(
        first,
        &[outcome(0, device(0), Action::Disable, Verdict::Done)],
    ))
    .unwrap();
    let later = block_on(state.begin_run(&start(time("2026-06-09T08:00:00Z")))).unwrap();
    block_on(state.outcomes(
        later,
        &[outcome(0, device(0), Action::Disable, Verdict::Done)],
    ))
    .unwrap();
    assert_eq!(since(), Some(time("2026-06-09T08:00:00Z")));
    block_on(state.outcomes(
        later,
        &[outcome(1, device(0), Action::Update, Verdict::Done)],
    ))
    .unwrap();
    assert_eq!(since(), None);
}

#[test]
fn a_device_that_comes_back_or_is_only_disabled_in_the_cloud_has_no_clock() {
    let (_folder, path) = folder();
    let state = FileState::open(&path, tenant(1)).unwrap();
    let since = |number| block_on(state.provenance(&[device(number)])).unwrap()[0].disabled_since;
    let run = block_on(state.begin_run(&start(time(NOW)))).unwrap();
    let mut in_cloud = outcome(0, device(0), Action::Disable, Verdict::Done);
    in_cloud.reason = Reason::DisabledInCloud;
    let gone = outcome(1, device(1), Action::Disable, Verdict::Done);
    block_on(state.outcomes(run, &[in_cloud, gone])).unwrap();
    assert_eq!((since(0), since(1)), (None, Some(time(NOW))));
    block_on(state.end_run(end(vec![(device(1), object(1))], vec![device(1)], None))).unwrap();
    assert_eq!(since(1), Some(time(NOW)), "it waits");
    block_on(state.end_run(end(vec![(device(1), object(1))], vec![], None))).unwrap();
    assert_eq!(since(1), None, "it is back");
}

#[test]
fn the_journal_tells_what_was_before_and_what_became_of_it() {
    let (_folder, path) = folder();
    let state = FileState::open(&path, tenant(1)).unwrap();
    let run = block_on(state.begin_run(&start(time(NOW)))).unwrap();
    block_on(state.journal(
        run,
        &[
            entry(0, device(0), Action::Delete, true),
            entry(1, device(1), Action::Update, false),
        ],
    ))
    .unwrap();
    block_on(state.outcomes(run, &[outcome(0, device(0), Action::Delete, Verdict::Done)])).unwrap();
    drop(state);
    let state = FileState::open(&path, tenant(1)).unwrap();
    let runs = state.runs().unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(
        (runs[0].run, runs[0].time, runs[0].plan_digest.as_str()),
        (run, time(NOW), "ab".repeat(32).as_str())
    );
    let entries = state.journal_entries(run).unwrap();
    assert_eq!(entries.len(), 2);
    let (journalled, became) = &entries[0];
    assert_eq!(journalled.device_id, device(0));
    assert_eq!(journalled.before[0].old, [Octets(b"TRUE".to_vec())]);
    assert_eq!(became.as_ref().unwrap().verdict, "done");
    assert!(
        entries[1].1.is_none(),
        "the second was sent, and nobody knows"
    );
    assert!(state.journal_entries(run + 1).unwrap().is_empty());
}

#[test]
fn a_permission_is_good_once() {
    let (_folder, path) = folder();
    let state = FileState::open(&path, tenant(1)).unwrap();
    assert!(!block_on(state.use_override([1; 32], time(NOW))).unwrap());
    assert!(block_on(state.use_override([1; 32], time(NOW))).unwrap());
    assert!(!block_on(state.use_override([2; 32], time(NOW))).unwrap());
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(FileState::open(&path, tenant(1)).unwrap());
    for (mode, refused) in [(0o666, true), (0o620, true), (0o644, false), (0o600, false)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let opened = FileState::open(&path, tenant(1));
        assert_eq!(opened.is_err(), refused, "{mode:o}");
        if let Err(error) = opened {
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.remedy().unwrap().contains("chmod 600"));
        }
    }
}
