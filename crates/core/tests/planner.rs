//! The planner's protocol, and what it once got wrong.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

mod support;

use std::io;

use device_writeback_core::cloud_anchor::{self, CloudAnchorEncoding};
use device_writeback_core::directory::{DirectoryObject, device_dn};
use device_writeback_core::dn::Dn;
use device_writeback_core::graph::{
    AlternativeSecurityIds, BadRecord, CloudDevice, CloudItem, CloudRecord, Field, LinkedObject,
};
use device_writeback_core::guid::{DeviceId, Guid};
use device_writeback_core::plan::{
    Action, Completeness, MemorySpool, PlanError, Planner, Provenance, Spool,
};
use device_writeback_core::rules::{PrincipalFacts, Reason, Retire};
use device_writeback_core::schema::Attribute;
use support::generate::{bad, certificate, days_ago, device_id, object_guid, object_id, user};
use support::world::{self, Tuning, World, changes, container, fed, plan, resolve, setup};

fn cloud_device(number: u8) -> CloudDevice {
    let mut device = CloudDevice::new(object_id(number));
    device.device_id = Some(device_id(number));
    device.account_enabled = Field::Value(true);
    device.display_name = Field::Value("Laptop".into());
    device.alternative_security_ids = Field::Value(AlternativeSecurityIds {
        usable: vec![certificate(number)],
        unusable: 0,
    });
    device
}

fn record(sequence: u64, device: CloudDevice) -> CloudRecord {
    CloudRecord {
        sequence,
        item: CloudItem::Device(Box::new(device)),
    }
}

fn object(number: u8) -> DirectoryObject {
    object_with(number, &[])
}

fn object_with(number: u8, values: &[(&str, &str)]) -> DirectoryObject {
    let mark = cloud_anchor::encode(object_id(number), CloudAnchorEncoding::Text);
    let mut attributes = vec![
        ("objectGUID", object_guid(number).to_le_bytes().to_vec()),
        (
            "altSecurityIdentities",
            certificate(number).as_str().as_bytes().to_vec(),
        ),
        ("displayName", b"Laptop".to_vec()),
        ("msDS-DeviceID", device_id(number).to_le_bytes().to_vec()),
        ("msDS-CloudAnchor", mark),
    ];
    if !values.iter().any(|(name, _)| *name == "msDS-IsEnabled") {
        attributes.push(("msDS-IsEnabled", b"TRUE".to_vec()));
    }
    attributes.extend(
        values
            .iter()
            .map(|(name, value)| (*name, value.as_bytes().to_vec())),
    );
    let dn = device_dn(device_id(number), &container());
    DirectoryObject::decode(u64::from(number), dn, attributes)
}

/// Devices of the cloud and objects of the directory, all known.
fn world_of(cloud: &[u8], directory: &[u8]) -> World {
    let mut world = World::empty();
    world.cloud = cloud
        .iter()
        .map(|number| record(u64::from(*number), cloud_device(*number)))
        .collect();
    world.directory = directory.iter().map(|number| object(*number)).collect();
    world.known = directory.iter().copied().map(device_id).collect();
    world
}

fn frugal() -> Tuning {
    Tuning {
        keep_whole: 0,
        batch: 1,
        ..Tuning::default()
    }
}

fn decisions(world: &World) -> Vec<(DeviceId, Action, Reason)> {
    changes(&plan(world))
        .iter()
        .map(|change| (change.device_id, change.action, change.reason))
        .collect()
}

fn codes(list: &[device_writeback_core::plan::Listed]) -> Vec<Reason> {
    list.iter().map(|listed| listed.code).collect()
}

#[test]
fn nothing_can_be_asked_before_both_sides_have_ended() {
    let world = world_of(&[1], &[1]);
    let mut planner = Planner::new(
        setup(&world, &Tuning::default()),
        Box::<MemorySpool>::default(),
    );
    assert!(matches!(
        planner.unresolved(),
        Err(PlanError::Unfinished(_))
    ));
    planner.end_cloud(Completeness::Full);
    assert!(matches!(
        planner.unresolved(),
        Err(PlanError::Unfinished(_))
    ));
    planner.end_directory(Completeness::Full);
    assert!(planner.unresolved().unwrap().is_empty());
    planner.finish().unwrap();
}

#[test]
fn a_plan_is_refused_while_anything_is_open() {
    let world = world_of(&[1, 2], &[]);
    let mut planner = fed(&world, &frugal());
    let open = planner.unresolved().unwrap();
    assert_eq!(open.cloud.len(), 1);
    assert!(open.directory.is_empty() && open.provenance.is_empty());
    let error = planner.finish().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plan cannot be finished: devices are unresolved"
    );
}

#[test]
fn only_what_differs_is_read_again_in_batches() {
    let mut world = world_of(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]);
    for number in [1, 3, 5] {
        let mut device = cloud_device(number);
        device.display_name = Field::Value("New".into());
        world.cloud[usize::from(number) - 1] = record(u64::from(number), device);
    }
    let mut planner = fed(
        &world,
        &Tuning {
            batch: 2,
            ..frugal()
        },
    );
    let first = planner.unresolved().unwrap();
    assert_eq!((first.cloud.len(), first.directory.len()), (2, 2));
    assert_eq!(first.directory[0].object_guid, Some(object_guid(1)));
    // Asking again does not open more.
    assert_eq!(planner.unresolved().unwrap(), first);
    resolve(&mut planner, &world);
    assert_eq!(planner.finish().unwrap().count_of(Action::Update), 3);
}

#[test]
fn a_record_that_changed_between_two_readings_is_held() {
    let mut newer = cloud_device(1);
    newer.alternative_security_ids = Field::Null;
    let mut renamed = cloud_device(1);
    renamed.device_id = Some(device_id(5));
    let mut nameless = cloud_device(1);
    nameless.device_id = None;
    let items = [
        CloudItem::Device(Box::new(newer)),
        CloudItem::Device(Box::new(renamed)),
        CloudItem::Device(Box::new(nameless)),
        bad(Some(object_id(1)), None),
        CloudItem::Removed {
            id: object_id(1),
            reason: device_writeback_core::graph::Removal::Deleted,
        },
    ];
    for item in items {
        let world = world_of(&[1], &[]);
        let mut planner = fed(&world, &frugal());
        let open = planner.unresolved().unwrap();
        planner
            .resolve_cloud(CloudRecord {
                sequence: open.cloud[0].sequence,
                item: item.clone(),
            })
            .unwrap();
        assert!(planner.unresolved().unwrap().is_empty(), "{item:?}");
        let plan = planner.finish().unwrap();
        assert!(plan.is_empty());
        assert_eq!(codes(plan.held()), [Reason::HeldChanging], "{item:?}");
    }
}

#[test]
fn an_object_that_changed_between_two_readings_is_held() {
    let unmarked = {
        let world_object = object(1);
        let values: Vec<_> = world_object
            .values
            .iter()
            .filter(|(attribute, _)| *attribute != Attribute::CloudAnchor)
            .map(|(attribute, value)| (attribute.name(), value.to_vec()))
            .collect();
        DirectoryObject::decode(1, world_object.dn, values)
    };
    let key = object_with(1, &[("msDS-KeyCredentialLink", "B:4:0102:CN=x")]);
    for found in [Some(unmarked), Some(key), None] {
        let world = world_of(&[2], &[1, 2]);
        let mut planner = fed(&world, &frugal());
        let open = planner.unresolved().unwrap();
        assert_eq!(open.provenance, [device_id(1)]);
        planner.answer_provenance(
            device_id(1),
            Provenance {
                known: true,
                disabled_since: None,
            },
        );
        // The device that is as it should be is compared, too: its record says less than the mask.
        let open = planner.unresolved().unwrap();
        assert_eq!((open.cloud.len(), open.directory.len()), (1, 1));
        planner.resolve_cloud(world.cloud[0].clone()).unwrap();
        planner
            .resolve_directory(device_id(2), world.directory[1].clone())
            .unwrap();
        let open = planner.unresolved().unwrap();
        assert_eq!(open.directory[0].device_id, device_id(1));
        match found {
            Some(found) => planner.resolve_directory(device_id(1), found).unwrap(),
            None => planner.resolve_vanished(device_id(1)).unwrap(),
        }
        assert!(planner.unresolved().unwrap().is_empty());
        let plan = planner.finish().unwrap();
        assert!(plan.is_empty());
        assert_eq!(codes(plan.held()), [Reason::HeldChanging]);
    }
}

#[test]
fn an_object_that_was_enabled_again_keeps_its_grace() {
    let mut world = world_of(&[2], &[2]);
    world
        .directory
        .push(object_with(1, &[("msDS-IsEnabled", "FALSE")]));
    world.rules.gone = Retire::DisableThenDelete;
    let mut planner = fed(&world, &frugal());
    planner.unresolved().unwrap();
    planner.answer_provenance(
        device_id(1),
        Provenance {
            known: true,
            disabled_since: Some(days_ago(31)),
        },
    );
    world.directory[1] = object(1);
    resolve(&mut planner, &world);
    let plan = planner.finish().unwrap();
    assert!(plan.is_empty());
    assert_eq!(codes(plan.held()), [Reason::HeldChanging]);
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let world = world_of(&[1, 2], &[1]);
    let mut planner = fed(&world, &frugal());
    planner.unresolved().unwrap();
    planner.answer_provenance(device_id(4), Provenance::default());
    planner.resolve_directory(device_id(4), object(4)).unwrap();
    planner.resolve_vanished(device_id(4)).unwrap();
    planner.resolve_cloud(record(77, cloud_device(4))).unwrap();
    resolve(&mut planner, &world);
    let found = planner.finish().unwrap();
    assert_eq!(world::bytes(&found), world::bytes(&plan(&world)));
}

#[test]
fn sids_are_asked_for_once_and_only_where_the_answer_counts() {
    let world = World::empty();
    let mut planner = Planner::new(
        setup(&world, &Tuning::default()),
        Box::<MemorySpool>::default(),
    );
    let link = |rid: u32, other_kind| LinkedObject {
        id: object_id(1),
        other_kind,
        sid: Field::Value(user(rid)),
    };
    let mut device = cloud_device(1);
    device.registered_owners = Field::Value(vec![link(1104, false), link(500, false)]);
    let mut foreign = link(1105, false);
    foreign.sid = Field::Value("S-1-5-21-9-9-9-1104".parse().unwrap());
    device.registered_users = Field::Value(vec![
        link(1104, false),
        link(1108, true),
        foreign,
        link(1105, false),
    ]);
    let record = record(1, device);
    assert_eq!(planner.sids_to_look_up(&record), [user(1104), user(1105)]);
    planner.principal(user(1104), PrincipalFacts::NotFound);
    assert_eq!(planner.sids_to_look_up(&record), [user(1105)]);
}

#[test]
fn the_source_knows_what_it_named() {
    let mut world = world_of(&[1, 2], &[]);
    world.cloud.push(CloudRecord {
        sequence: 10,
        item: bad(None, Some(device_id(3))),
    });
    world.cloud.push(CloudRecord {
        sequence: 11,
        item: CloudItem::Removed {
            id: object_id(2),
            reason: device_writeback_core::graph::Removal::Deleted,
        },
    });
    let mut planner = fed(&world, &Tuning::default());
    resolve(&mut planner, &world);
    let known: Vec<_> = planner.known_devices().collect();
    assert_eq!(known, [(device_id(1), object_id(1))]);
}

#[test]
fn records_are_counted_as_they_are_fed() {
    let mut world = world_of(&[1, 2], &[1, 2]);
    let mut nameless = cloud_device(3);
    nameless.device_id = None;
    world.cloud.push(record(10, nameless));
    world.cloud.push(CloudRecord {
        sequence: 11,
        item: bad(None, None),
    });
    let removal = |sequence| CloudRecord {
        sequence,
        item: CloudItem::Removed {
            id: object_id(4),
            reason: device_writeback_core::graph::Removal::Changed,
        },
    };
    world.cloud.extend([removal(12), removal(13)]);
    let mut odd = object(5);
    odd.values = Default::default();
    odd.values.push(Attribute::CloudAnchor, b"Device_x");
    world.directory.push(odd);
    let summary = plan(&world).summary().clone();
    assert_eq!(summary.cloud_records, 6);
    assert_eq!((summary.live_devices, summary.in_scope), (3, 2));
    assert_eq!((summary.directory_objects, summary.our_objects), (3, 3));
    assert_eq!(summary.unchanged, 2);
}

#[test]
fn bad_records_are_named_with_what_is_wrong() {
    let mut world = world_of(&[], &[]);
    let detail = "isManaged is of the wrong type".to_owned();
    world.cloud.push(CloudRecord {
        sequence: 42,
        item: CloudItem::Bad(BadRecord {
            id: None,
            device_id: None,
            detail: detail.clone(),
        }),
    });
    let plan = plan(&world);
    let listed = &plan.skipped()[0];
    assert_eq!(listed.sequence, Some(42));
    assert_eq!(listed.detail.as_deref(), Some(&detail[..]));
    assert_eq!(
        listed.message(),
        "its record could not be read: isManaged is of the wrong type"
    );
}

/// They superseded each other, and the first device was retired.
#[test]
fn two_bad_records_without_object_ids_hold_two_devices() {
    let mut world = world_of(&[], &[1, 2]);
    for number in [1, 2] {
        world.cloud.push(CloudRecord {
            sequence: u64::from(number),
            item: bad(None, Some(device_id(number))),
        });
    }
    let plan = plan(&world);
    assert!(plan.is_empty());
    assert_eq!(codes(plan.held()), [Reason::HeldBadRecord; 2]);
}

/// The object was deleted although its cloud object was there.
#[test]
fn a_live_record_without_a_device_id_holds_the_object_with_its_mark() {
    let mut world = world_of(&[2], &[1, 2]);
    let mut nameless = cloud_device(1);
    nameless.device_id = None;
    world.cloud.push(record(10, nameless.clone()));
    let found = plan(&world);
    assert!(found.is_empty());
    assert_eq!(codes(found.held()), [Reason::HeldUnusable]);
    assert!(found.skipped().is_empty());
    // A later record with the id again is the device again.
    world.cloud.push(record(11, cloud_device(1)));
    let found = plan(&world);
    assert_eq!(found.summary().unchanged, 2);
    assert!(found.held().is_empty() && found.skipped().is_empty());
    // Soft-deleted, it is disabled and not deleted.
    nameless.deleted = true;
    world.cloud.push(record(12, nameless));
    assert_eq!(
        decisions(&world),
        [(device_id(1), Action::Disable, Reason::SoftDeleted)]
    );
}

/// Creating would have made a second object beside one under another name that was not read.
#[test]
fn nothing_is_created_beside_a_directory_that_was_read_in_part() {
    let mut world = world_of(&[1], &[]);
    world.directory_end = Completeness::Incomplete("cut off".into());
    let plan = plan(&world);
    assert!(plan.is_empty());
    assert_eq!(codes(plan.held()), [Reason::HeldIncomplete]);
}

/// Which of two names was remembered depended on the order of arrival.
#[test]
fn a_name_in_braces_is_another_name() {
    let mut world = world_of(&[1], &[]);
    let mut plain = object(2);
    plain.dn = device_dn(device_id(1), &container());
    let mut braces = object(3);
    braces.dn = container().child("CN", &format!("{{{}}}", device_id(1)));
    world.directory = vec![braces.clone()];
    world.rules.gone = Retire::Keep;
    assert_eq!(
        decisions(&world),
        [(device_id(1), Action::Create, Reason::NewDevice)]
    );
    for order in [[&plain, &braces], [&braces, &plain]] {
        world.directory = order.map(Clone::clone).into();
        let plan = plan(&world);
        assert!(plan.is_empty());
        assert_eq!(codes(plan.conflicts()), [Reason::NameTaken]);
        assert_eq!(plan.conflicts()[0].dn, Some(plain.dn.clone()));
    }
}

/// Half of an id was taken for the whole.
#[test]
fn ids_that_begin_alike_are_different_devices() {
    let mut world = world_of(&[], &[]);
    let ids = [1, 2].map(|last| {
        let mut bytes = [7; 16];
        bytes[15] = last;
        DeviceId::from(Guid::from_bytes(bytes))
    });
    for (sequence, id) in ids.into_iter().enumerate() {
        let mut device = cloud_device(sequence as u8);
        device.device_id = Some(id);
        device.alternative_security_ids = cloud_device(1).alternative_security_ids;
        world.cloud.push(record(sequence as u64, device));
    }
    let plan = plan(&world);
    assert!(plan.is_empty());
    assert_eq!(
        codes(plan.conflicts()),
        [Reason::DuplicateAlternativeSecurityId; 2]
    );
}

/// With a distance of 0, an equal time stamp was raised again and again.
#[test]
fn an_equal_last_sign_in_is_never_raised() {
    let mut world = world_of(&[], &[]);
    world.rules.last_logon_min_days = 0;
    let mut device = cloud_device(1);
    device.approximate_last_sign_in = Field::Value(days_ago(3));
    world.cloud.push(record(1, device));
    let ticks = days_ago(3).ticks().to_string();
    world.directory = vec![object_with(
        1,
        &[("msDS-ApproximateLastLogonTimeStamp", &ticks)],
    )];
    assert_eq!(decisions(&world), []);
    let ticks = days_ago(4).ticks().to_string();
    world.directory = vec![object_with(
        1,
        &[("msDS-ApproximateLastLogonTimeStamp", &ticks)],
    )];
    assert_eq!(
        decisions(&world),
        [(device_id(1), Action::Update, Reason::AttributesDiffer)]
    );
}

#[test]
fn an_object_elsewhere_is_not_looked_at() {
    let mut world = world_of(&[1], &[1]);
    world.directory[0].dn = Dn::parse("CN=x,OU=elsewhere,DC=contoso,DC=com").unwrap();
    let plan = plan(&world);
    assert_eq!(plan.count_of(Action::Create), 1);
    assert_eq!(plan.summary().directory_objects, 0);
}

#[test]
fn a_spool_that_fails_is_an_error_and_no_panic() {
    struct Full;
    impl Spool for Full {
        fn append(&mut self, _: &[u8]) -> io::Result<u64> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn read(&self, _: u64, _: usize, _: &mut Vec<u8>) -> io::Result<()> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    let world = world_of(&[1], &[]);
    let mut planner = Planner::new(setup(&world, &Tuning::default()), Box::new(Full));
    planner.cloud(world.cloud[0].clone());
    planner.end_cloud(Completeness::Full);
    planner.end_directory(Completeness::Full);
    let error = planner.unresolved().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the spool that holds the plan's changes failed"
    );
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(!error.to_string().contains(&source));
}
