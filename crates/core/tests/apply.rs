//! Operations of changes, and the course of an execution, request by request.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

mod support;

use device_writeback_core::apply::{
    Answer, Execution, ModificationKind, Operation, OperationResult, Outcome, Progress, Request,
    ResultCode, Verdict, classify, operations,
};
use device_writeback_core::directory::{DirectoryObject, device_dn};
use device_writeback_core::plan::{Action, AttributeChange, Change, Octets};
use device_writeback_core::rules::Reason;
use device_writeback_core::schema::Attribute;
use support::generate::{certificate, device_id, object_guid, object_id};
use support::memory::{Memory, execute};
use support::world::container;

const MARK: &str = "Device_a1a1a1a1-a1a1-a1a1-a1a1-a1a1a1a1a1a1";

fn octets(text: &str) -> Octets {
    Octets(text.as_bytes().to_vec())
}

fn attribute(attribute: Attribute, old: &[&str], new: &[&str]) -> AttributeChange {
    let values = |values: &[&str]| values.iter().map(|value| octets(value)).collect();
    AttributeChange {
        attribute,
        old: values(old),
        new: values(new),
    }
}

fn change(action: Action, attributes: Vec<AttributeChange>) -> Change {
    let create = action == Action::Create;
    Change {
        action,
        device_id: device_id(1),
        object_id: Some(object_id(1)),
        dn: device_dn(device_id(1), &container()),
        display_name: None,
        object_guid: (!create).then(|| object_guid(1)),
        reason: match action {
            Action::Create => Reason::NewDevice,
            Action::Delete => Reason::GoneAbsent,
            Action::Disable => Reason::DisabledInCloud,
            _ => Reason::AttributesDiffer,
        },
        mark: (!create).then(|| octets(MARK)),
        attributes,
        notices: Vec::new(),
    }
}

fn object(values: &[(&str, &str)]) -> DirectoryObject {
    let mut attributes = vec![
        ("objectGUID", object_guid(1).to_le_bytes().to_vec()),
        ("msDS-DeviceID", device_id(1).to_le_bytes().to_vec()),
        ("msDS-CloudAnchor", MARK.as_bytes().to_vec()),
        (
            "altSecurityIdentities",
            certificate(1).as_str().as_bytes().to_vec(),
        ),
    ];
    attributes.extend(
        values
            .iter()
            .map(|(name, value)| (*name, value.as_bytes().to_vec())),
    );
    DirectoryObject::decode(1, device_dn(device_id(1), &container()), attributes)
}

fn usual() -> DirectoryObject {
    object(&[("displayName", "Laptop"), ("msDS-IsEnabled", "TRUE")])
}

fn result(code: ResultCode) -> Answer {
    Answer::Result(OperationResult::new(code, ""))
}

/// Plays a course of answers and says how it ended; the requests are asserted by kind.
#[track_caller]
fn play(change: Change, course: Vec<(&str, Answer)>) -> Outcome {
    let (mut execution, mut request) = Execution::start(change);
    let last = course.len() - 1;
    for (number, (kind, answer)) in course.into_iter().enumerate() {
        let found = match &request {
            Request::Read(_) => "read",
            Request::Write(Operation::Add { .. }) => "add",
            Request::Write(Operation::Modify { .. }) => "modify",
            Request::Write(_) => "delete",
        };
        assert_eq!(found, kind, "request {number}");
        match execution.answer(answer) {
            Progress::Next(next) => {
                assert!(number < last, "asks for more: {next:?}");
                request = next;
            }
            Progress::Finished(outcome) => {
                assert_eq!(number, last, "{outcome}");
                return outcome;
            }
        }
    }
    panic!("the course is empty");
}

fn flag() -> Change {
    change(
        Action::Disable,
        vec![attribute(Attribute::IsEnabled, &["TRUE"], &["FALSE"])],
    )
}

fn rename() -> Change {
    change(
        Action::Update,
        vec![attribute(Attribute::DisplayName, &["Laptop"], &["New"])],
    )
}

fn delete() -> Change {
    change(
        Action::Delete,
        vec![
            attribute(Attribute::DisplayName, &["Laptop"], &[]),
            attribute(Attribute::IsEnabled, &["TRUE"], &[]),
        ],
    )
}

fn create() -> Change {
    change(
        Action::Create,
        vec![
            attribute(Attribute::DisplayName, &[], &["Laptop"]),
            attribute(
                Attribute::AltSecurityIdentities,
                &[],
                &[certificate(1).as_str()],
            ),
            AttributeChange {
                attribute: Attribute::DeviceId,
                old: Vec::new(),
                new: vec![Octets(device_id(1).to_le_bytes().to_vec())],
            },
            attribute(Attribute::IsEnabled, &[], &["TRUE"]),
            attribute(Attribute::CloudAnchor, &[], &[MARK]),
        ],
    )
}

#[test]
fn every_modify_asserts_the_mark_and_the_device() {
    let id = Octets(device_id(1).to_le_bytes().to_vec());
    let adoption = Change {
        mark: None,
        reason: Reason::Adopted,
        ..change(
            Action::Update,
            vec![attribute(Attribute::CloudAnchor, &[], &[MARK])],
        )
    };
    let anchor = change(
        Action::Update,
        vec![attribute(Attribute::CloudAnchor, &[MARK], &["Device_new"])],
    );
    for (change, old_mark, new_mark) in [
        (flag(), Some(MARK), MARK),
        (rename(), Some(MARK), MARK),
        (delete(), Some(MARK), MARK),
        (anchor, Some(MARK), "Device_new"),
        (adoption, None, MARK),
    ] {
        let Operation::Modify { modifications, .. } = operations(&change).remove(0) else {
            panic!("{change:?}");
        };
        let mut wanted = Vec::new();
        if let Some(mark) = old_mark {
            wanted.push((ModificationKind::Delete, "msDS-CloudAnchor", octets(mark)));
        }
        wanted.push((ModificationKind::Add, "msDS-CloudAnchor", octets(new_mark)));
        wanted.push((ModificationKind::Delete, "msDS-DeviceID", id.clone()));
        wanted.push((ModificationKind::Add, "msDS-DeviceID", id.clone()));
        let found: Vec<_> = modifications
            .into_iter()
            .take(wanted.len())
            .map(|modification| {
                assert_eq!(modification.values.len(), 1);
                (
                    modification.kind,
                    modification.name,
                    modification.values[0].clone(),
                )
            })
            .collect();
        assert_eq!(found, wanted);
    }
}

#[test]
fn old_values_are_deleted_by_value_and_what_stays_is_left_alone() {
    let change = change(
        Action::Update,
        vec![
            attribute(Attribute::DevicePhysicalIds, &["a", "b"], &["b", "c"]),
            attribute(Attribute::IsManaged, &["TRUE"], &[]),
            attribute(Attribute::IsCompliant, &[], &["TRUE"]),
        ],
    );
    let Operation::Modify {
        modifications,
        target,
    } = operations(&change).remove(0)
    else {
        panic!("{change:?}");
    };
    assert_eq!(target.guid, Some(object_guid(1)));
    let found: Vec<_> = modifications
        .iter()
        .skip(4)
        .map(|modification| {
            (
                modification.kind,
                modification.name,
                &modification.values[..],
            )
        })
        .collect();
    use ModificationKind::{Add, Delete};
    assert_eq!(
        found,
        [
            (Delete, "msDS-DevicePhysicalIDs", &[octets("a")][..]),
            (Add, "msDS-DevicePhysicalIDs", &[octets("c")][..]),
            (Delete, "msDS-IsManaged", &[octets("TRUE")][..]),
            (Add, "msDS-IsCompliant", &[octets("TRUE")][..]),
        ]
    );
}

#[test]
fn a_create_names_its_class_first() {
    let Operation::Add { dn, attributes } = operations(&create()).remove(0) else {
        panic!("no add");
    };
    assert_eq!(dn, create().dn);
    assert_eq!(
        attributes[0],
        ("objectClass", vec![octets("top"), octets("msDS-Device")])
    );
    assert_eq!(
        attributes[1],
        ("cn", vec![octets(&device_id(1).to_string())])
    );
    assert_eq!(attributes.len(), 7);
}

#[test]
fn a_delete_is_a_modify_and_a_delete() {
    let [
        Operation::Modify { modifications, .. },
        Operation::Delete { target },
    ] = &operations(&delete())[..]
    else {
        panic!("{:?}", operations(&delete()));
    };
    assert_eq!(target.guid, Some(object_guid(1)));
    let last = &modifications[modifications.len() - 2..];
    assert_eq!(last[0].values, [octets("TRUE")]);
    assert_eq!(last[1].values, [octets("FALSE")]);
    assert_eq!(
        (last[0].name, last[1].name),
        ("msDS-IsEnabled", "msDS-IsEnabled")
    );
}

#[test]
fn results_by_themselves() {
    let [add, modify, delete] =
        [create(), flag(), delete()].map(|change| operations(&change).pop().unwrap());
    let verdict =
        |operation: &Operation, code| classify(operation, &OperationResult::new(code, ""));
    for operation in [&add, &modify, &delete] {
        assert_eq!(verdict(operation, ResultCode::SUCCESS), Verdict::Done);
        for code in [
            ResultCode::BUSY,
            ResultCode::UNAVAILABLE,
            ResultCode::TIME_LIMIT_EXCEEDED,
        ] {
            assert_eq!(verdict(operation, code), Verdict::Retry);
        }
        for code in [
            ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
            ResultCode::OBJECT_CLASS_VIOLATION,
        ] {
            assert_eq!(verdict(operation, code), Verdict::Failed);
        }
    }
    assert_eq!(
        verdict(&add, ResultCode::ENTRY_ALREADY_EXISTS),
        Verdict::Stale
    );
    assert_eq!(verdict(&add, ResultCode::NO_SUCH_OBJECT), Verdict::Failed);
    assert_eq!(verdict(&modify, ResultCode::NO_SUCH_OBJECT), Verdict::Stale);
    assert_eq!(
        verdict(&modify, ResultCode::NO_SUCH_ATTRIBUTE),
        Verdict::Stale
    );
    assert_eq!(verdict(&delete, ResultCode::NO_SUCH_OBJECT), Verdict::Done);
    assert_eq!(ResultCode(12345).to_string(), "other (12345)");
}

#[test]
fn a_flag_needs_no_reading() {
    let outcome = play(flag(), vec![("modify", result(ResultCode::SUCCESS))]);
    assert_eq!((outcome.verdict, outcome.already), (Verdict::Done, false));
}

#[test]
fn a_flag_that_was_written_already_is_done() {
    let after = object(&[("displayName", "Laptop"), ("msDS-IsEnabled", "FALSE")]);
    let outcome = play(
        flag(),
        vec![
            ("modify", result(ResultCode::NO_SUCH_ATTRIBUTE)),
            ("read", Answer::Object(Some(after))),
        ],
    );
    assert_eq!((outcome.verdict, outcome.already), (Verdict::Done, true));
}

#[test]
fn text_is_read_before_and_after() {
    let new = object(&[("displayName", "New"), ("msDS-IsEnabled", "TRUE")]);
    let outcome = play(
        rename(),
        vec![
            ("read", Answer::Object(Some(usual()))),
            ("modify", result(ResultCode::SUCCESS)),
            ("read", Answer::Object(Some(new.clone()))),
        ],
    );
    assert_eq!((outcome.verdict, outcome.already), (Verdict::Done, false));
    let outcome = play(rename(), vec![("read", Answer::Object(Some(new)))]);
    assert_eq!((outcome.verdict, outcome.already), (Verdict::Done, true));
}

#[test]
fn text_that_differs_in_case_only_is_seen() {
    // A domain controller would let `laptop` be deleted as `Laptop`.
    let other = object(&[("displayName", "laptop"), ("msDS-IsEnabled", "TRUE")]);
    let outcome = play(
        rename(),
        vec![("read", Answer::Object(Some(other.clone())))],
    );
    assert_eq!(outcome.verdict, Verdict::Stale);
    let outcome = play(
        rename(),
        vec![
            ("read", Answer::Object(Some(usual()))),
            ("modify", result(ResultCode::SUCCESS)),
            ("read", Answer::Object(Some(other))),
        ],
    );
    assert_eq!(outcome.verdict, Verdict::Stale);
    assert!(outcome.message.contains("while it was being written"));
}

#[test]
fn an_object_that_was_moved_away_is_never_written() {
    let mut moved = usual();
    moved.dn = device_dn(device_id(1), &container().parent().unwrap());
    for change in [rename(), delete()] {
        let outcome = play(change, vec![("read", Answer::Object(Some(moved.clone())))]);
        assert_eq!(outcome.verdict, Verdict::Stale);
        assert!(outcome.message.contains("moved"), "{outcome}");
    }
    // What is not read first is addressed by its name, which a moved object has no more.
    let (_, request) = Execution::start(flag());
    match request {
        Request::Write(Operation::Modify { target, .. }) => assert_eq!(target.guid, None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_object_is_never_written() {
    let mut device = usual();
    device.values = {
        let other = DirectoryObject::decode(
            1,
            device.dn.clone(),
            [
                ("msDS-DeviceID", device_id(2).to_le_bytes().to_vec()),
                ("msDS-CloudAnchor", MARK.as_bytes().to_vec()),
            ],
        );
        other.values
    };
    let mut guid = usual();
    guid.guid = Some(object_guid(9));
    let unmarked = DirectoryObject::decode(
        1,
        usual().dn,
        [
            ("msDS-DeviceID", device_id(1).to_le_bytes().to_vec()),
            ("displayName", b"Laptop".to_vec()),
        ],
    );
    for foreign in [device, guid, unmarked] {
        for change in [rename(), delete()] {
            let outcome = play(
                change,
                vec![("read", Answer::Object(Some(foreign.clone())))],
            );
            assert_eq!(outcome.verdict, Verdict::Stale, "{foreign:?}");
        }
    }
}

#[test]
fn a_delete_goes_on_where_it_was_cut_off() {
    for enabled in ["TRUE", "FALSE"] {
        let found = object(&[
            ("displayName", "changed since"),
            ("msDS-IsEnabled", enabled),
        ]);
        let outcome = play(
            delete(),
            vec![
                ("read", Answer::Object(Some(found))),
                ("modify", result(ResultCode::SUCCESS)),
                ("delete", result(ResultCode::SUCCESS)),
            ],
        );
        assert_eq!((outcome.verdict, outcome.already), (Verdict::Done, false));
    }
    let outcome = play(delete(), vec![("read", Answer::Object(None))]);
    assert_eq!((outcome.verdict, outcome.already), (Verdict::Done, true));
}

#[test]
fn a_delete_stops_at_keys_and_at_a_device_that_came_back() {
    let with_key = object(&[
        ("msDS-IsEnabled", "TRUE"),
        ("msDS-KeyCredentialLink", "B:4:0102:CN=x"),
    ]);
    let outcome = play(delete(), vec![("read", Answer::Object(Some(with_key)))]);
    assert_eq!(outcome.verdict, Verdict::Stale);
    assert!(outcome.message.contains("keys"));
    let disabled = change(
        Action::Delete,
        vec![attribute(Attribute::IsEnabled, &["FALSE"], &[])],
    );
    let outcome = play(disabled, vec![("read", Answer::Object(Some(usual())))]);
    assert_eq!(outcome.verdict, Verdict::Stale);
    assert!(outcome.message.contains("enabled"));
}

#[test]
fn an_object_that_cannot_be_deleted_is_named() {
    let outcome = play(
        delete(),
        vec![
            ("read", Answer::Object(Some(usual()))),
            ("modify", result(ResultCode::SUCCESS)),
            ("delete", result(ResultCode::NOT_ALLOWED_ON_NON_LEAF)),
        ],
    );
    assert_eq!(
        outcome.to_string(),
        "failed: the object is disabled but could not be deleted: notAllowedOnNonLeaf (66)"
    );
}

#[test]
fn a_create_that_meets_its_own_object_is_done() {
    let outcome = play(
        create(),
        vec![
            ("add", result(ResultCode::ENTRY_ALREADY_EXISTS)),
            ("read", Answer::Object(Some(usual()))),
        ],
    );
    assert_eq!((outcome.verdict, outcome.already), (Verdict::Done, true));
    let other = object(&[("displayName", "Other"), ("msDS-IsEnabled", "TRUE")]);
    let outcome = play(
        create(),
        vec![
            ("add", result(ResultCode::ENTRY_ALREADY_EXISTS)),
            ("read", Answer::Object(Some(other))),
        ],
    );
    assert_eq!(outcome.verdict, Verdict::Stale);
    let outcome = play(
        create(),
        vec![("add", result(ResultCode::INSUFFICIENT_ACCESS_RIGHTS))],
    );
    assert_eq!(outcome.verdict, Verdict::Failed);
    let outcome = play(create(), vec![("add", result(ResultCode::BUSY))]);
    assert_eq!(outcome.verdict, Verdict::Retry);
}

#[test]
fn a_constraint_violation_is_settled_by_reading() {
    let add = || {
        change(
            Action::Update,
            vec![attribute(Attribute::IsManaged, &[], &["TRUE"])],
        )
    };
    let with = |value| object(&[("displayName", "Laptop"), ("msDS-IsManaged", value)]);
    for (found, verdict) in [
        (with("TRUE"), Verdict::Done),
        (with("FALSE"), Verdict::Stale),
        // Nobody was there: the server does not like the value.
        (usual(), Verdict::Failed),
    ] {
        let outcome = play(
            add(),
            vec![
                ("modify", result(ResultCode::CONSTRAINT_VIOLATION)),
                ("read", Answer::Object(Some(found))),
            ],
        );
        assert_eq!(outcome.verdict, verdict);
    }
}

#[test]
fn a_time_stamp_that_went_further_is_done() {
    let raise = change(
        Action::Update,
        vec![attribute(
            Attribute::ApproximateLastLogonTimeStamp,
            &["100"],
            &["200"],
        )],
    );
    for (found, verdict) in [("201", Verdict::Done), ("150", Verdict::Stale)] {
        let outcome = play(
            raise.clone(),
            vec![
                ("modify", result(ResultCode::NO_SUCH_ATTRIBUTE)),
                (
                    "read",
                    Answer::Object(Some(object(&[(
                        "msDS-ApproximateLastLogonTimeStamp",
                        found,
                    )]))),
                ),
            ],
        );
        assert_eq!(outcome.verdict, verdict, "{found}");
    }
}

#[test]
fn a_lost_answer_is_settled_by_reading() {
    let settle = |change: Change, found: Option<DirectoryObject>| {
        let (mut execution, mut request) = Execution::start(change);
        while let Request::Read(_) = request {
            match execution.answer(Answer::Object(Some(usual()))) {
                Progress::Next(next) => request = next,
                Progress::Finished(outcome) => panic!("{outcome}"),
            }
        }
        assert!(matches!(
            execution.uncertain(),
            Progress::Next(Request::Read(_))
        ));
        match execution.answer(Answer::Object(found)) {
            Progress::Finished(outcome) => outcome.verdict,
            Progress::Next(request) => panic!("{request:?}"),
        }
    };
    let off = object(&[("displayName", "Laptop"), ("msDS-IsEnabled", "FALSE")]);
    assert_eq!(settle(flag(), Some(off)), Verdict::Done);
    assert_eq!(settle(flag(), Some(usual())), Verdict::Retry);
    assert_eq!(settle(flag(), None), Verdict::Stale);
    assert_eq!(settle(create(), Some(usual())), Verdict::Done);
    assert_eq!(settle(create(), None), Verdict::Retry);
    assert_eq!(settle(delete(), None), Verdict::Done);
    assert_eq!(settle(delete(), Some(usual())), Verdict::Retry);
}

#[test]
fn an_answer_to_another_question_fails() {
    let (mut execution, _) = Execution::start(flag());
    let Progress::Finished(outcome) = execution.answer(Answer::Object(None)) else {
        panic!("goes on");
    };
    assert_eq!(outcome.verdict, Verdict::Failed);
}

#[test]
fn one_refused_object_is_its_own_problem() {
    let mut memory = Memory::new(vec![usual()]);
    let mut refused = create();
    refused
        .attributes
        .retain(|change| change.attribute != Attribute::DisplayName);
    refused.dn = container().child("CN", "other");
    let outcome = execute(&mut memory, refused, |_, _| {});
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert_eq!(
        outcome.result.unwrap().code,
        ResultCode::OBJECT_CLASS_VIOLATION
    );
    assert_eq!(
        execute(&mut memory, rename(), |_, _| {}).verdict,
        Verdict::Done
    );
    assert_eq!(
        execute(&mut memory, flag(), |_, _| {}).verdict,
        Verdict::Done
    );
    assert_eq!(memory.objects[0].is_enabled(), Some(false));
}
