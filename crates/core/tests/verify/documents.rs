//! Documents: which are read, and what they say.

use std::collections::BTreeSet;

use device_writeback_core::guid::{Guid, TenantId};
use device_writeback_core::rules::{Retire, Rules};
use device_writeback_core::schema::{Attribute, Profile, VERSION_2012_R2};
use serde_json::Value;

use crate::forge::{Here, attribute, change, document, sealed, small};
use crate::support::generate::{device_id, user};
use crate::support::world::{self, CONTAINER, bytes, parse};

#[test]
fn a_plan_survives_writing_reading_and_verifying() {
    let world = small();
    let plan = world::plan(&world);
    let written = bytes(&plan);
    let read = parse(&written).unwrap();
    assert_eq!(bytes(&read), written);
    assert_eq!(read.digest(), plan.digest());
    assert_eq!(world::changes(&read), world::changes(&plan));
    assert_eq!(read.summary(), plan.summary());
    Here::new(world).verify(&read).unwrap();
    // The sealing of these tests is the planner's own.
    assert_eq!(sealed(&document(&plan)), written);
}

#[test]
fn a_plan_names_the_sids_to_look_up() {
    let world = small();
    let plan = world::plan(&world);
    assert_eq!(plan.sids_to_look_up(&world.forest).unwrap(), [user(1104)]);
}

#[test]
fn documents_that_are_not_read() {
    let plan = world::plan(&small());
    let good = document(&plan);
    let refused = |change: &dyn Fn(&mut Value), why: &str| {
        let mut document = good.clone();
        change(&mut document);
        let error = parse(&serde_json::to_vec(&document).unwrap()).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    // Another layout of the same document is the same plan.
    let pretty = serde_json::to_vec_pretty(&good).unwrap();
    assert_eq!(bytes(&parse(&pretty).unwrap()), bytes(&plan));
    refused(
        &|plan| plan["digest"] = "00".repeat(32).into(),
        "digest does not match",
    );
    refused(&|plan| plan["digest"] = "x".into(), "64 hexadecimal digits");
    refused(
        &|plan| plan["digest"] = "+0".repeat(32).into(),
        "64 hexadecimal digits",
    );
    refused(
        &|plan| plan["source_id"] = "x".into(),
        "digest does not match",
    );
    refused(
        &|plan| plan["comment"] = "x".into(),
        "unknown or repeated member",
    );
    refused(&|plan| plan["complete"]["x"] = 1.into(), "unknown field");
    refused(&|plan| plan["summary"]["x"] = 1.into(), "unknown field");
    refused(
        &|plan| change(plan, "update")["x"] = 1.into(),
        "unknown field",
    );
    refused(
        &|plan| attribute(change(plan, "update"), "displayName")["x"] = 1.into(),
        "unknown field",
    );
    refused(
        &|plan| plan["format_version"] = 2.into(),
        "format_version is 2",
    );
    refused(
        &|plan| plan["summary"]["retirements"] = 0.into(),
        "does not count",
    );
    refused(
        &|plan| plan["summary"]["actions"]["delete"] = 0.into(),
        "does not count",
    );
    refused(
        &|plan| change(plan, "update")["reason"] = "because".into(),
        "reason code",
    );
    for name in good.as_object().unwrap().keys() {
        refused(
            &|plan| _ = plan.as_object_mut().unwrap().remove(name),
            &format!("no member {name}"),
        );
    }
    let text = String::from_utf8(bytes(&plan)).unwrap();
    let twice = text.replacen("\"source_id\"", "\"source_id\":\"tenant\",\"source_id\"", 1);
    assert!(parse(twice.as_bytes()).unwrap_err().contains("twice"));
    assert!(parse(format!("{text}x").as_bytes()).is_err());
    assert!(parse(&text.as_bytes()[..text.len() / 2]).is_err());
}

#[test]
fn a_meaning_that_misleads() {
    let plan = world::plan(&small());
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut document = document(&plan);
        change(&mut document);
        let error = parse(&sealed(&document)).unwrap_err();
        assert!(error.contains("meaning"), "{error}");
    };
    refused(&|plan| {
        attribute(change(plan, "create"), "msDS-DeviceID")["new"][0]["meaning"] =
            device_id(9).to_string().into();
    });
    refused(&|plan| {
        let value = &mut attribute(change(plan, "create"), "msDS-DeviceID")["new"][0];
        _ = value.as_object_mut().unwrap().remove("meaning");
    });
    refused(&|plan| {
        attribute(change(plan, "update"), "displayName")["new"][0]["meaning"] = "OLD".into();
    });
    // So does a message that is not its code's.
    let mut world = small();
    world.known.clear();
    let mut document = document(&world::plan(&world));
    document["held"][0]["message"] = "all is well".into();
    let error = parse(&sealed(&document)).unwrap_err();
    assert!(error.contains("is not that code's"), "{error}");
}

#[test]
fn what_the_schema_lacks_is_said_once() {
    let mut world = small();
    world.forest.schema = Attribute::available(VERSION_2012_R2);
    let plan = world::plan(&world);
    assert_eq!(
        plan.summary().missing_attributes,
        [
            "msDS-IsCompliant",
            "msDS-DeviceTrustType",
            "msDS-ComputerSID"
        ]
    );
    for change in plan.changes() {
        for attribute in change.unwrap().attributes {
            assert!(world.forest.schema.contains(attribute.attribute));
        }
    }
    assert!(
        world::plan(&small())
            .summary()
            .missing_attributes
            .is_empty()
    );
}

#[test]
fn the_rules_digest_tells_rules_apart() {
    let mut digests = BTreeSet::from([Rules::default().digest()]);
    let changed: [fn(&mut Rules); 6] = [
        |rules| rules.profile = Profile::Connect,
        |rules| rules.gone = Retire::Keep,
        |rules| rules.out_of_scope = Retire::Keep,
        |rules| rules.last_logon_min_days = 15,
        |rules| rules.exclude_devices = vec![device_id(1)],
        |rules| rules.include_devices = vec![device_id(1)],
    ];
    for change in changed {
        let mut rules = Rules::default();
        change(&mut rules);
        assert!(digests.insert(rules.digest()), "{rules:?}");
    }
}

#[test]
fn the_identity_is_compared_by_meaning() {
    let world = small();
    let plan = world::plan(&world);
    let mut here = Here::new(world);
    here.identity.container =
        device_writeback_core::dn::Dn::parse(&CONTAINER.to_uppercase()).unwrap();
    here.verify(&plan).unwrap();
    here.identity.tenant_id = TenantId::from(Guid::from_bytes([1; 16]));
    assert!(here.verify(&plan).is_err());
}
