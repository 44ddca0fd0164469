//! One device, explained.

use std::sync::atomic::Ordering::SeqCst;

use device_writeback_core::graph::{
    BadRecord, CloudDevice, CloudItem, CloudRecord, Field, Removal,
};
use device_writeback_core::guid::Guid;
use device_writeback_core::plan::{Action, Completeness};
use device_writeback_core::rules::Reason;
use device_writeback_engine::explain::AttributeSide;
use device_writeback_engine::{Control, Error, ErrorKind, Explanation};

use super::support::{
    Lab, LabEngine, device, device_id, device_with, dn, finish, lab, object_id, owned_by, records,
    spool, sync_all, today,
};

fn ask(engine: &LabEngine, question: &str) -> Result<Explanation, Error> {
    finish(engine.explain(question, spool(), &Control::new()))
}

fn explain(lab: &Lab, question: &str) -> Explanation {
    ask(&lab.engine(), question).unwrap()
}

fn attribute<'a>(explanation: &'a Explanation, name: &str) -> &'a AttributeSide {
    explanation.cloud[0]
        .attributes
        .iter()
        .find(|attribute| attribute.name == name)
        .unwrap()
}

fn renamed(number: u32) -> CloudDevice {
    device_with(number, |device| {
        device.display_name = Field::Value("Reception".into());
    })
}

#[test]
fn a_device_is_found_by_every_name_it_has() {
    let lab = lab((1..=5).map(device));
    sync_all(&lab.engine());
    let guid = lab.directory.memory().values(&dn(3)).unwrap()["objectGUID"][0].clone();
    let questions = [
        device_id(3).to_string(),
        format!(" {{{}}} ", device_id(3).to_string().to_uppercase()),
        object_id(3).to_string(),
        Guid::from_le_slice(&guid).unwrap().to_string(),
        "PC 3".into(),
        "pc 3".into(),
    ];
    for question in questions {
        let explanation = explain(&lab, &question);
        assert_eq!(explanation.device_ids, [device_id(3)], "{question}");
        assert_eq!(explanation.cloud.len(), 1, "{question}");
        assert_eq!(explanation.cloud[0].location, "record 20");
        assert_eq!(explanation.directory.len(), 1, "{question}");
        assert!(explanation.directory[0].ours);
        assert_eq!(explanation.directory[0].anchor, Some(object_id(3)));
        assert_eq!(explanation.directory[0].dn, dn(3));
        assert_eq!(
            explanation.conclusion,
            "the object is as it should be: nothing to do"
        );
    }
}

#[test]
fn an_unknown_device_is_an_error_that_says_what_to_give() {
    let lab = lab([device(1)]);
    for question in ["nobody\u{1b}[2J", &device_id(7).to_string(), ""] {
        let error = ask(&lab.engine(), question).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert_eq!(
            error.to_string(),
            format!(
                "neither the source nor the directory has a device \"{}\"",
                question.escape_debug()
            )
        );
        assert_eq!(
            error.remedy(),
            Some("give a device id, an object id, or the whole display name")
        );
    }
}

/// The two sides call it differently, or the directory's mark is that of an earlier registration: both are shown all the same.
#[test]
fn both_sides_are_found_by_the_name_of_one() {
    let lab = lab((1..=3).map(device));
    sync_all(&lab.engine());
    lab.now_has([
        device(1),
        device_with(2, |device| {
            device.id = object_id(22);
            device.display_name = Field::Value("Reception".into());
        }),
        device(3),
    ]);
    let questions = [
        "Reception".to_owned(),
        "PC 2".into(),
        object_id(22).to_string(),
        object_id(2).to_string(),
        device_id(2).to_string(),
    ];
    for question in questions {
        let explanation = explain(&lab, &question);
        assert_eq!(explanation.device_ids, [device_id(2)], "{question}");
        assert_eq!(explanation.cloud.len(), 1, "{question}");
        assert_eq!(explanation.directory.len(), 1, "{question}");
        let name = attribute(&explanation, "displayName");
        assert_eq!(name.state, "differs", "{question}");
        assert_eq!(name.wanted.as_deref(), Some(&["Reception".to_owned()][..]));
        assert_eq!(name.current, ["PC 2"]);
        assert_eq!(attribute(&explanation, "msDS-CloudAnchor").state, "differs");
        assert_eq!(explanation.changes.len(), 1);
    }
}

#[test]
fn sides_are_read_again_only_when_one_is_missing() {
    let lab = lab((1..=3).map(device));
    sync_all(&lab.engine());
    let imports = |question: &str| {
        let before = lab.source.imports.load(SeqCst);
        explain(&lab, question);
        lab.source.imports.load(SeqCst) - before
    };
    assert_eq!(imports("PC 2"), 1);
    assert_eq!(imports(&device_id(2).to_string()), 1);
    assert_eq!(imports(&object_id(2).to_string()), 1);
    lab.now_has([device(1), renamed(2), device(3)]);
    assert_eq!(imports("PC 2"), 2);
    lab.now_has([device(1)]);
    assert_eq!(imports(&device_id(2).to_string()), 1, "it was looked for");
}

#[test]
fn a_shared_name_shows_every_device() {
    let lab = lab([renamed(1), renamed(2), device(3)]);
    let explanation = explain(&lab, "reception");
    assert_eq!(explanation.device_ids, [device_id(1), device_id(2)]);
    assert_eq!(explanation.cloud.len(), 2);
    assert_eq!(explanation.changes.len(), 2);
    let other = explain(&lab, "pc 3");
    assert_eq!(other.device_ids, [device_id(3)]);
}

#[test]
fn attributes_say_where_they_come_from() {
    let lab = lab([device_with(1, |device| {
        device.operating_system = Field::Value("Windows".into());
    })]);
    let explanation = explain(&lab, "pc 1");
    assert_eq!(explanation.cloud[0].verdict, "in_scope");
    assert_eq!(attribute(&explanation, "displayName").state, "absent");
    assert_eq!(
        explanation.conclusion,
        "create: the device is in scope and has no object yet"
    );
    assert_eq!(explanation.changes[0].action, Action::Create);

    sync_all(&lab.engine());
    lab.now_has([device_with(1, |device| {
        device.display_name = Field::Value("renamed".into());
    })]);
    let explanation = explain(&lab, &device_id(1).to_string());
    let name = attribute(&explanation, "displayName");
    assert_eq!((name.graph, name.state), ("displayName", "differs"));
    let os = attribute(&explanation, "msDS-DeviceOSType");
    assert_eq!((os.graph, os.state), ("operatingSystem", "kept"));
    assert_eq!(os.wanted, None);
    assert_eq!(os.current, ["Windows"]);
    let id = attribute(&explanation, "msDS-DeviceID");
    assert_eq!(
        (id.state, &id.current[0]),
        ("same", &device_id(1).to_string())
    );
    assert_eq!(
        explanation.conclusion,
        "update: the cloud says something else than the directory"
    );
    assert!(
        explanation.cloud[0]
            .attributes
            .iter()
            .all(|attribute| !attribute.graph.is_empty())
    );
}

#[test]
fn a_last_sign_in_is_kept_unless_the_rule_raises_it() {
    let signed_in = |days| {
        device_with(1, |device| {
            device.approximate_last_sign_in = Field::Value(today().minus_days(days));
        })
    };
    let lab = lab([signed_in(30)]);
    sync_all(&lab.engine());
    let side = |days| {
        lab.now_has([signed_in(days)]);
        let explanation = explain(&lab, "pc 1");
        let side = attribute(&explanation, "msDS-ApproximateLastLogonTimeStamp").clone();
        assert_eq!(
            explanation.changes.len(),
            usize::from(side.state == "differs")
        );
        (side.state, side.notice)
    };
    assert_eq!(side(30), ("same", None));
    assert_eq!(
        side(40),
        (
            "kept",
            Some(
                "it is only ever raised, and the directory's is later (AD FS refreshes it itself)"
            )
        )
    );
    assert_eq!(
        side(17),
        (
            "kept",
            Some("it is raised only when it is later by rules.last_logon_min_days")
        )
    );
    assert_eq!(side(16), ("differs", None));
    assert_eq!(side(1), ("differs", None));
}

#[test]
fn a_value_that_is_not_written_says_why() {
    let lab = lab([owned_by(1, 500)]);
    let explanation = explain(&lab, "pc 1");
    let owner = attribute(&explanation, "msDS-RegisteredOwner");
    assert_eq!(owner.wanted.as_deref(), Some(&[][..]));
    assert_eq!(owner.notice, Some(Reason::OwnerBuiltIn.sentence()));
}

#[test]
fn a_device_without_a_change_says_why_not() {
    let lab = lab([
        device(1),
        device_with(2, |device| device.display_name = Field::Null),
        device_with(3, |device| {
            device.trust_type = Field::Value("Workplace".into())
        }),
        device_with(4, |device| device.deleted = true),
        device(5),
        device(5),
    ]);
    let engine = lab.engine_at(today(), |options| {
        options.rules.trust_types = vec!["AzureAd".into()];
    });
    let check = |number: u32, verdict: &str, code: Option<Reason>, listed: Reason| {
        let explanation = ask(&engine, &device_id(number).to_string()).unwrap();
        let side = &explanation.cloud[0];
        assert_eq!(side.verdict, verdict);
        assert_eq!(side.code, code.map(Reason::code));
        assert!(explanation.changes.is_empty());
        assert_eq!(explanation.listed[0].code, listed);
        assert_eq!(
            explanation.conclusion,
            format!("{listed}: {}", listed.sentence())
        );
    };
    use Reason::{
        DuplicateInCloud, NoDisplayName, SoftDeleted, SoftDeletedUnwritten, TrustTypeExcluded,
    };
    check(2, "unusable", Some(NoDisplayName), NoDisplayName);
    check(
        3,
        "out_of_scope",
        Some(TrustTypeExcluded),
        TrustTypeExcluded,
    );
    check(4, "soft_deleted", Some(SoftDeleted), SoftDeletedUnwritten);
    lab.source.set_records({
        let mut twins = records([device(5), device(5), device(1)]);
        if let CloudItem::Device(second) = &mut twins[1].item {
            second.id = object_id(55);
        }
        twins
    });
    check(5, "in_scope", None, DuplicateInCloud);
}

#[test]
fn removed_unreadable_and_missing_devices_are_explained() {
    let lab = lab((1..=4).map(device));
    sync_all(&lab.engine());
    let removed = |sequence, number, reason| CloudRecord {
        sequence,
        item: CloudItem::Removed {
            id: object_id(number),
            reason,
        },
    };
    let mut all = records([device(1)]);
    all.push(removed(50, 2, Removal::Deleted));
    all.push(removed(60, 3, Removal::Changed));
    all.push(CloudRecord {
        sequence: 70,
        item: CloudItem::Bad(BadRecord {
            id: Some(object_id(4)),
            device_id: Some(device_id(4)),
            detail: "displayName is a number".into(),
        }),
    });
    lab.source.set_records(all);
    let of = |number: u32| explain(&lab, &object_id(number).to_string());

    let gone = of(2);
    assert_eq!(gone.cloud[0].verdict, "removed");
    assert_eq!(gone.cloud[0].location, "record 50");
    assert_eq!(gone.device_ids, [device_id(2)]);
    assert_eq!(gone.changes[0].action, Action::Delete);
    assert_eq!(gone.changes[0].code, Reason::GoneRemoved);

    assert_eq!(of(3).changes[0].action, Action::Disable);

    let bad = of(4);
    assert_eq!(bad.cloud[0].verdict, "bad_record");
    assert_eq!(bad.cloud[0].sentence, "displayName is a number");
    assert_eq!(bad.listed[0].code, Reason::HeldBadRecord);

    lab.source.is_now(Completeness::Partial);
    lab.now_has([device(1)]);
    assert_eq!(
        of(2).conclusion,
        "the source has chosen devices only and this is none of them: nothing to do"
    );
}

#[test]
fn an_object_that_is_not_ours_is_left_alone() {
    let lab = lab([device(1)]);
    lab.insert_marked(2);
    let mut values = lab.directory.memory().values(&dn(2)).unwrap();
    values.remove("msDS-CloudAnchor");
    let flat = values
        .into_iter()
        .flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)));
    lab.directory
        .memory()
        .insert(dn(2), flat.collect::<Vec<_>>());
    let explanation = explain(&lab, "PC 2");
    assert!(!explanation.directory[0].ours);
    assert_eq!(
        explanation.conclusion,
        "the object is not ours: it is never changed or deleted"
    );
    // A device of ours wants its id.
    lab.now_has([device(1), device(2)]);
    assert_eq!(explain(&lab, "PC 2").listed[0].code, Reason::ForeignObject);
}

#[test]
fn the_explanation_is_a_document() {
    let lab = lab([device(1)]);
    let document = serde_json::to_value(explain(&lab, "PC 1")).unwrap();
    assert_eq!(document["format_version"], 1);
    assert_eq!(document["device_ids"][0], device_id(1).to_string());
    assert_eq!(document["changes"][0]["action"], "create");
    assert_eq!(document["changes"][0]["code"], "new_device");
    assert_eq!(document["cloud"][0]["attributes"][0]["name"], "displayName");
}
