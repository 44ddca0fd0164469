//! Changed plans whose digest fits their content: what verifying refuses them for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use device_writeback_core::plan::Completeness;
use device_writeback_core::rules::{Adopt, PrincipalFacts, Reason};
use device_writeback_core::schema::{Attribute, Profile};
use serde_json::{Value, json};

use crate::forge::{Here, add, attribute, change, document, object, remove, sealed, small};
use crate::support::generate::{certificate, device_id, object_guid, object_id, user};
use crate::support::world::{self, CONTAINER, World, parse};

/// Tampers with a plan that verifies, and tells what stops it.
#[track_caller]
fn tampered(change: impl FnOnce(&mut Value), refusal: &str) {
    tampered_under(small(), change, refusal);
}

#[track_caller]
fn tampered_under(world: World, change: impl FnOnce(&mut Value), refusal: &str) {
    let plan = world::plan(&world);
    let here = Here::new(world);
    here.verify(&plan).unwrap();
    let mut document = document(&plan);
    change(&mut document);
    let outcome = match parse(&sealed(&document)) {
        Ok(plan) => here.verify(&plan),
        Err(error) => panic!("the tampered document does not even parse: {error}"),
    };
    match outcome {
        Ok(()) => panic!("the tampered plan is accepted"),
        Err(error) => assert!(error.contains(refusal), "{error}"),
    }
}

#[test]
fn a_delete_of_what_the_plan_holds() {
    tampered(
        |plan| {
            let device = change(plan, "delete")["device_id"].clone();
            let held = json!({
                "device_id": device,
                "code": "held_unknown",
                "message": Reason::HeldUnknown.sentence(),
            });
            plan["held"] = json!([held]);
        },
        "holds this very device",
    );
}

#[test]
fn names_outside_of_the_container() {
    let foreign = "CN=Administrator,CN=Users,DC=contoso,DC=com";
    for action in ["create", "update", "disable", "delete"] {
        tampered(
            |plan| change(plan, action)["dn"] = foreign.into(),
            "no direct child",
        );
    }
    let below = format!("CN=x,CN={},{CONTAINER}", device_id(2));
    tampered(
        |plan| change(plan, "update")["dn"] = below.into(),
        "no direct child",
    );
    tampered(
        |plan| change(plan, "delete")["dn"] = CONTAINER.into(),
        "no direct child",
    );
    let other = format!("CN=other,{CONTAINER}");
    tampered(
        |plan| change(plan, "create")["dn"] = other.into(),
        "is not named",
    );
}

#[test]
fn attributes_that_are_not_managed() {
    tampered(
        |plan| {
            add(
                change(plan, "update"),
                "msDS-DeviceMDMStatus",
                json!([]),
                json!([{"text": "x"}]),
            )
        },
        "does not manage it",
    );
    tampered(
        |plan| {
            add(
                change(plan, "update"),
                "msDS-KeyCredentialLink",
                json!([]),
                json!([{"text": "B:4:0102:CN=x"}]),
            );
        },
        "does not manage it",
    );
    let mut world = small();
    world.rules.profile = Profile::Connect;
    tampered_under(
        world,
        |plan| {
            add(
                change(plan, "update"),
                "msDS-DeviceTrustType",
                json!([]),
                json!([{"text": "2", "meaning": "ServerAd"}]),
            )
        },
        "does not manage it",
    );
    let mut world = small();
    world.forest.schema.remove(Attribute::IsCompliant);
    tampered_under(
        world,
        |plan| {
            add(
                change(plan, "update"),
                "msDS-IsCompliant",
                json!([]),
                json!([{"text": "TRUE"}]),
            )
        },
        "does not manage it",
    );
    // Another class's attribute is none that the document can name.
    let mut plan = document(&world::plan(&small()));
    add(
        change(&mut plan, "update"),
        "userAccountControl",
        json!([]),
        json!([{"text": "512"}]),
    );
    assert!(
        parse(&sealed(&plan))
            .unwrap_err()
            .contains("no attribute of msDS-Device")
    );
}

#[test]
fn a_plan_for_somewhere_else() {
    let other = "11111111-2222-3333-4444-555555555555";
    tampered(|plan| plan["tenant_id"] = other.into(), "made for tenant");
    tampered(|plan| plan["source_id"] = "x".into(), "made for source");
    tampered(
        |plan| plan["directory_id"] = "x".into(),
        "made for directory",
    );
    tampered(|plan| plan["domain_guid"] = other.into(), "made for domain");
    tampered(|plan| plan["domain_guid"] = Value::Null, "made for domain");
    tampered(
        |plan| plan["container"] = "CN=RegisteredDevices,DC=fabrikam,DC=com".into(),
        "made for container",
    );
    tampered(
        |plan| plan["rules_digest"] = "00".repeat(32).into(),
        "made for the rules",
    );
    tampered(
        |plan| plan["profile"] = "connect".into(),
        "made for the rules",
    );
}

#[test]
fn a_plan_of_another_time() {
    tampered(
        |plan| plan["time"] = "2026-05-31T07:59:59Z".into(),
        "older than",
    );
    tampered(
        |plan| plan["time"] = "2026-06-01T08:05:01Z".into(),
        "in the future",
    );
    // The day and the five minutes themselves are allowed.
    let world = small();
    let plan = world::plan(&world);
    let mut here = Here::new(world);
    for (now, fits) in [
        ("2026-06-02T08:00:00Z", true),
        ("2026-06-02T08:00:01Z", false),
        ("2026-06-01T07:55:00Z", true),
        ("2026-06-01T07:54:59Z", false),
    ] {
        here.world.now = now.parse().unwrap();
        assert_eq!(here.verify(&plan).is_ok(), fits, "{now}");
    }
}

#[test]
fn owners_that_nobody_vouches_for() {
    let owner = |sid: &str| {
        let sid = sid.to_owned();
        move |plan: &mut Value| {
            attribute(change(plan, "create"), "msDS-RegisteredOwner")["new"] =
                json!([{"text": sid}]);
        }
    };
    tampered(owner("S-1-5-21-9-9-9-1104"), "no domain of this forest");
    tampered(owner("S-1-5-32-544"), "no domain of this forest");
    tampered(owner(&user(500).to_string()), "built-in");
    tampered(owner(&user(1107).to_string()), "could not say");
    tampered(owner("somebody"), "SID");
    let mut world = small();
    world
        .principals
        .insert(user(1105), PrincipalFacts::User { protected: true });
    world
        .principals
        .insert(user(1106), PrincipalFacts::NotFound);
    tampered_under(world.clone(), owner(&user(1105).to_string()), "protected");
    tampered_under(
        world.clone(),
        owner(&user(1106).to_string()),
        "resolves to no user",
    );
    // As octets it is the same SID.
    let octets = STANDARD.encode(user(1105).to_bytes());
    let meaning = user(1105).to_string();
    tampered_under(
        world,
        |plan| {
            attribute(change(plan, "create"), "msDS-RegisteredOwner")["new"] =
                json!([{"base64": octets, "meaning": meaning}]);
        },
        "protected",
    );
    tampered(
        |plan| {
            let sid: device_writeback_core::sid::Sid = "S-1-5-21-9-9-9-1104".parse().unwrap();
            add(
                change(plan, "update"),
                "msDS-ComputerSID",
                json!([]),
                json!([{"base64": STANDARD.encode(sid.to_bytes()), "meaning": sid.to_string()}]),
            );
        },
        "no domain of this forest",
    );
}

#[test]
fn values_that_are_not_the_device_s() {
    let other = device_id(9);
    let value =
        json!([{"base64": STANDARD.encode(other.to_le_bytes()), "meaning": other.to_string()}]);
    tampered(
        |plan| attribute(change(plan, "create"), "msDS-DeviceID")["new"] = value.clone(),
        "another device's id",
    );
    tampered(
        |plan| {
            add(
                change(plan, "update"),
                "msDS-DeviceID",
                json!([]),
                value.clone(),
            )
        },
        "never changed",
    );
    let mark = format!("Device_{}", object_id(9));
    tampered(
        |plan| {
            attribute(change(plan, "create"), "msDS-CloudAnchor")["new"] = json!([{"text": mark}])
        },
        "not the mark of this change's object_id",
    );
    tampered(
        |plan| {
            add(
                change(plan, "update"),
                "msDS-CloudAnchor",
                json!([{"text": "other"}]),
                json!([]),
            )
        },
        "not the mark that the change asserts",
    );
    let old = format!("Device_{}", object_id(2));
    tampered(
        |plan| {
            add(
                change(plan, "update"),
                "msDS-CloudAnchor",
                json!([{"text": old}]),
                json!([]),
            )
        },
        "not the mark of this change's object_id",
    );
    for (name, value, why) in [
        ("displayName", json!([]), "requires a value"),
        ("displayName", json!([{"text": "x".repeat(257)}]), "257"),
        ("displayName", json!([{"text": ""}]), "empty"),
        (
            "displayName",
            json!([{"text": "a"}, {"text": "b"}]),
            "one value at most",
        ),
        ("msDS-IsEnabled", json!([{"text": "true"}]), "TRUE"),
        (
            "altSecurityIdentities",
            json!([{"text": "X509:<I>CN=x"}]),
            "X509",
        ),
        (
            "altSecurityIdentities",
            json!([{"text": certificate(1).as_str().replace("PUBKEY>0", "PUBKEY>+0")}]),
            "",
        ),
    ] {
        tampered(
            |plan| attribute(change(plan, "create"), name)["new"] = value,
            why,
        );
    }
    tampered(
        |plan| attribute(change(plan, "create"), "displayName")["old"] = json!([{"text": "x"}]),
        "no old values",
    );
    tampered(
        |plan| {
            add(
                change(plan, "update"),
                "msDS-ApproximateLastLogonTimeStamp",
                json!([]),
                json!([{"text": "-1"}]),
            );
        },
        "msDS-ApproximateLastLogonTimeStamp",
    );
}

#[test]
fn changes_that_are_not_what_they_are_called() {
    tampered(
        |plan| {
            let copy = change(plan, "update").clone();
            plan["changes"].as_array_mut().unwrap().push(copy);
        },
        "twice",
    );
    tampered(
        |plan| {
            let copy = attribute(change(plan, "update"), "displayName").clone();
            let attributes = &mut change(plan, "update")["attributes"];
            attributes.as_array_mut().unwrap().push(copy);
        },
        "changed twice",
    );
    for action in ["update", "disable", "delete"] {
        tampered(
            |plan| _ = change(plan, action).as_object_mut().unwrap().remove("mark"),
            "no mark",
        );
        tampered(
            |plan| change(plan, action)["mark"] = json!({"base64": ""}),
            "mark is empty",
        );
    }
    tampered(
        |plan| change(plan, "create")["mark"] = json!({"text": "x"}),
        "no mark yet",
    );
    tampered(
        |plan| change(plan, "create")["object_guid"] = object_guid(1).to_string().into(),
        "no objectGUID yet",
    );
    tampered(
        |plan| {
            attribute(change(plan, "disable"), "msDS-IsEnabled")["new"] = json!([{"text": "TRUE"}])
        },
        "does not disable",
    );
    tampered(
        |plan| {
            let disable = change(plan, "disable");
            disable["action"] = "update".into();
            disable["reason"] = "attributes_differ".into();
        },
        "called an update and disables",
    );
    tampered(
        |plan| attribute(change(plan, "delete"), "displayName")["new"] = json!([{"text": "x"}]),
        "sets no values",
    );
    tampered(
        |plan| remove(change(plan, "update"), "displayName"),
        "changes nothing",
    );
    for name in [
        "displayName",
        "altSecurityIdentities",
        "msDS-DeviceID",
        "msDS-IsEnabled",
        "msDS-CloudAnchor",
    ] {
        tampered(
            |plan| remove(change(plan, "create"), name),
            &format!("{name} is missing"),
        );
    }
}

#[test]
fn reasons_that_these_rules_do_not_know() {
    for (action, reason) in [
        ("create", "adopted"),
        ("create", "stale"),
        ("update", "disabled_in_cloud"),
        ("update", "adopted"),
        ("disable", "gone_absent"),
        ("disable", "out_of_scope"),
        ("delete", "soft_deleted"),
        ("delete", "attributes_differ"),
        ("delete", "grace_over"),
    ] {
        tampered(
            |plan| change(plan, action)["reason"] = reason.into(),
            "is no reason",
        );
    }
    let mut world = small();
    world.cloud_end = Completeness::Partial;
    let here = Here::new(world);
    let mut plan = document(&world::plan(&small()));
    plan["complete"]["source"] = "partial".into();
    let error = here.verify(&parse(&sealed(&plan)).unwrap()).unwrap_err();
    assert!(error.contains("only a complete reading"), "{error}");
}

#[test]
fn an_adoption_only_where_the_rules_adopt() {
    let mut world = small();
    world.directory[0] = object(2, false);
    world.rules.adopt = Adopt::SameDeviceId;
    // Adopting is writing to what is somebody else's: never without putting the mark on it.
    tampered_under(
        world.clone(),
        |plan| remove(change(plan, "update"), "msDS-CloudAnchor"),
        "no mark",
    );
    tampered_under(
        world.clone(),
        |plan| change(plan, "update")["reason"] = "attributes_differ".into(),
        "no mark",
    );
    let plan = world::plan(&world);
    let mut here = Here::new(world);
    here.world.rules.adopt = Adopt::Never;
    assert!(here.verify(&plan).unwrap_err().contains("rules"));
}

#[test]
fn an_object_with_a_key() {
    tampered(
        |plan| {
            add(
                change(plan, "delete"),
                "msDS-KeyCredentialLink",
                json!([{"text": "B:4:0102:CN=x"}]),
                json!([]),
            );
        },
        "holds a key",
    );
}

#[test]
fn a_name_that_misleads() {
    for action in ["create", "update", "delete"] {
        tampered(
            |plan| change(plan, action)["display_name"] = "HARMLESS".into(),
            "display_name",
        );
    }
}
