//! What a saved plan must survive before it is applied, and the limits.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

mod support;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use device_writeback_core::cloud_anchor::{self, CloudAnchorEncoding};
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::graph::{
    AlternativeSecurityIds, CloudDevice, CloudItem, CloudRecord, Field, LinkedObject,
};
use device_writeback_core::guid::{Guid, TenantId};
use device_writeback_core::plan::{
    Completeness, Expected, History, Identity, Limits, Override, Plan, RefusalCode,
};
use device_writeback_core::rules::{Adopt, PrincipalFacts, Principals, Retire, Rules};
use device_writeback_core::schema::{Attribute, Profile, VERSION_2012_R2};
use serde_json::{Value, json};
use sha2::Digest as _;
use support::generate::{certificate, device_id, object_guid, object_id, user};
use support::world::{self, CONTAINER, World, bytes, identity, parse};

fn cloud_device(number: u8) -> CloudDevice {
    let mut device = CloudDevice::new(object_id(number));
    device.device_id = Some(device_id(number));
    device.account_enabled = Field::Value(true);
    device.display_name = Field::Value(format!("LAPTOP-{number}").into());
    device.alternative_security_ids = Field::Value(AlternativeSecurityIds {
        usable: vec![certificate(number)],
        unusable: 0,
    });
    device.registered_owners = Field::Value(vec![LinkedObject {
        id: object_id(40),
        other_kind: false,
        sid: Field::Value(user(1104)),
    }]);
    device
}

fn object(number: u8, marked: bool) -> DirectoryObject {
    let mark = cloud_anchor::encode(object_id(number), CloudAnchorEncoding::Text);
    let id = device_id(number);
    let mut attributes = vec![
        ("objectGUID", object_guid(number).to_le_bytes().to_vec()),
        ("displayName", format!("LAPTOP-{number}").into_bytes()),
        (
            "altSecurityIdentities",
            certificate(number).as_str().as_bytes().to_vec(),
        ),
        ("msDS-DeviceID", id.to_le_bytes().to_vec()),
        ("msDS-IsEnabled", b"TRUE".to_vec()),
        ("msDS-RegisteredOwner", user(1104).to_string().into_bytes()),
    ];
    if marked {
        attributes.push(("msDS-CloudAnchor", mark));
    }
    let dn = world::container().child("CN", &id.to_string());
    DirectoryObject::decode(u64::from(number), dn, attributes)
}

/// Device 1 is created, 2 updated, 3 disabled, 4 deleted, 5 unchanged.
fn small() -> World {
    let mut world = World::empty();
    world
        .principals
        .insert(user(1104), PrincipalFacts::User { protected: false });
    let mut devices: Vec<_> = [1, 2, 3, 5].map(cloud_device).into();
    devices[1].display_name = Field::Value("NEW".into());
    devices[2].account_enabled = Field::Value(false);
    world.cloud = devices
        .into_iter()
        .enumerate()
        .map(|(sequence, device)| CloudRecord {
            sequence: sequence as u64,
            item: CloudItem::Device(Box::new(device)),
        })
        .collect();
    world.directory = [2, 3, 4, 5].map(|number| object(number, true)).into();
    world.known = BTreeSet::from([device_id(4)]);
    world
}

/// A configuration to verify against.
struct Here {
    identity: Identity,
    world: World,
    limits: Limits,
    principals: Principals,
}

impl Here {
    fn new(world: World) -> Self {
        let mut principals = Principals::new();
        for (sid, facts) in &world.principals {
            principals.insert(*sid, *facts);
        }
        Self {
            identity: identity(),
            limits: Limits::default(),
            principals,
            world,
        }
    }

    fn verify(&self, plan: &Plan) -> Result<(), String> {
        plan.verify(&Expected {
            identity: &self.identity,
            rules: &self.world.rules,
            forest: &self.world.forest,
            principals: &self.principals,
            limits: &self.limits,
            now: self.world.now,
        })
        .map_err(|error| error.to_string())
    }
}

fn document(plan: &Plan) -> Value {
    serde_json::from_slice(&bytes(plan)).unwrap()
}

/// The document with a digest that fits its content: whoever can change a plan can do that too.
fn sealed(document: &Value) -> Vec<u8> {
    let mut text = String::new();
    let head = [
        "format_version",
        "tenant_id",
        "source_id",
        "directory_id",
        "domain_guid",
        "container",
        "profile",
        "rules_digest",
        "take_over",
        "time",
        "complete",
    ];
    text.push('{');
    for (number, name) in head.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        text.push_str(&format!("{comma}\"{name}\":{}", ordered(&document[name])));
    }
    let mut summary = document["summary"].clone();
    recount(document, &mut summary);
    text.push_str(&format!(",\n\"summary\":{}", ordered_summary(&summary)));
    for name in ["changes", "skipped", "held", "conflicts"] {
        text.push_str(&format!(",\n\"{name}\":["));
        let mut list = document[name].as_array().unwrap().clone();
        if name == "changes" {
            let rank = |change: &Value| {
                let action = change["action"].as_str().unwrap();
                let actions = ["disable", "update", "create", "delete"];
                (
                    actions.iter().position(|own| *own == action),
                    change["device_id"].as_str().unwrap().to_owned(),
                )
            };
            list.sort_by_key(rank);
        }
        for (number, item) in list.iter().enumerate() {
            text.push_str(if number == 0 { "\n" } else { ",\n" });
            text.push_str(&ordered(item));
        }
        text.push(']');
    }
    let digest: [u8; 32] = sha2::Sha256::digest(text.as_bytes()).into();
    let digest: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
    text.push_str(&format!(",\n\"digest\":\"{digest}\"\n}}\n"));
    text.into_bytes()
}

fn recount(document: &Value, summary: &mut Value) {
    let changes = document["changes"].as_array().unwrap();
    for action in ["create", "delete", "disable", "update"] {
        let count = changes
            .iter()
            .filter(|change| change["action"] == action)
            .count();
        summary["actions"][action] = count.into();
    }
    let mut reasons = serde_json::Map::new();
    let codes = changes.iter().map(|change| &change["reason"]);
    let listed = ["skipped", "held", "conflicts"]
        .iter()
        .flat_map(|name| document[name].as_array().unwrap())
        .map(|listed| &listed["code"]);
    for code in codes.chain(listed) {
        let count = &mut reasons.entry(code.as_str().unwrap()).or_insert(json!(0));
        **count = (count.as_u64().unwrap() + 1).into();
    }
    summary["reasons"] = reasons.into();
    let retirements = changes
        .iter()
        .filter(|change| {
            change["action"] == "delete"
                || (change["action"] == "disable"
                    && [
                        "gone_absent",
                        "gone_removed",
                        "soft_deleted",
                        "out_of_scope",
                    ]
                    .contains(&change["reason"].as_str().unwrap()))
        })
        .count();
    summary["retirements"] = retirements.into();
}

/// Members in the order in which a plan has them; `serde_json::Value` keeps none.
fn ordered(value: &Value) -> String {
    const ORDER: [&str; 22] = [
        "action",
        "name",
        "attribute",
        "device_id",
        "code",
        "message",
        "object_id",
        "dn",
        "display_name",
        "detail",
        "sequence",
        "object_guid",
        "reason",
        "mark",
        "attributes",
        "notices",
        "old",
        "new",
        "text",
        "base64",
        "meaning",
        "source",
    ];
    match value {
        Value::Object(members) => {
            let rank = |name: &str| {
                let rank = ORDER.iter().position(|own| *own == name);
                (rank.unwrap_or(ORDER.len()), name.to_owned())
            };
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| rank(name));
            let members: Vec<_> = members
                .into_iter()
                .map(|(name, value)| format!("{}:{}", json!(name), ordered(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(ordered).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

fn ordered_summary(summary: &Value) -> String {
    let names = [
        "cloud_records",
        "live_devices",
        "in_scope",
        "directory_objects",
        "our_objects",
        "unchanged",
        "missing_attributes",
        "retirements",
        "actions",
        "reasons",
    ];
    let members: Vec<_> = names
        .iter()
        .map(|name| format!("\"{name}\":{}", ordered(&summary[name])))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn change<'a>(document: &'a mut Value, action: &str) -> &'a mut Value {
    document["changes"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|change| change["action"] == action)
        .unwrap()
}

fn attribute<'a>(change: &'a mut Value, name: &str) -> &'a mut Value {
    change["attributes"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|attribute| attribute["name"] == name)
        .unwrap()
}

fn add(change: &mut Value, name: &str, old: Value, new: Value) {
    let attributes = change["attributes"].as_array_mut().unwrap();
    attributes.push(json!({"name": name, "old": old, "new": new}));
}

fn remove(change: &mut Value, name: &str) {
    let attributes = change["attributes"].as_array_mut().unwrap();
    attributes.retain(|attribute| attribute["name"] != name);
}

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
fn a_name_that_misleads() {
    for action in ["create", "update", "delete"] {
        tampered(
            |plan| change(plan, action)["display_name"] = "HARMLESS".into(),
            "display_name",
        );
    }
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

fn retiring(ours: u8, retired: u8) -> Plan {
    let mut world = World::empty();
    world.directory = (1..=ours).map(|number| object(number, true)).collect();
    world.known = (1..=ours).map(device_id).collect();
    world.cloud = (retired + 1..=ours)
        .map(|number| {
            let mut device = cloud_device(number);
            device.registered_owners = Field::Absent;
            CloudRecord {
                sequence: u64::from(number),
                item: CloudItem::Device(Box::new(device)),
            }
        })
        .collect();
    let plan = world::plan(&world);
    assert_eq!(plan.summary().retirements, u64::from(retired));
    plan
}

fn limits(most: u64, share: f64, above: u64) -> Limits {
    let mut limits = Limits::default();
    limits.max_retirements = most;
    limits.max_retirement_share = share;
    limits.share_applies_above = above;
    limits
}

fn refusal(plan: &Plan, limits: &Limits, retired: &[u8]) -> Option<RefusalCode> {
    let history = History {
        retired: retired.iter().copied().map(device_id).collect(),
        our_objects: None,
    };
    plan.check_limits(limits, &history)
        .err()
        .map(|refusal| refusal.code)
}

#[test]
fn every_limit_at_its_boundary() {
    let plan = retiring(20, 4);
    let count = |most, retired: &[u8]| refusal(&plan, &limits(most, 1.0, 0), retired);
    assert_eq!(count(4, &[]), None);
    assert_eq!(count(3, &[]), Some(RefusalCode::TooManyRetirements));
    assert_eq!(count(6, &[31, 32]), None);
    assert_eq!(
        count(5, &[31, 32]),
        Some(RefusalCode::TooManyRetirementsInADay)
    );
    // A device that was retired before counts once.
    assert_eq!(count(5, &[1, 2, 31]), None);
    assert_eq!(count(0, &[]), Some(RefusalCode::TooManyRetirements));

    let share = |share, above, retired: &[u8]| refusal(&plan, &limits(500, share, above), retired);
    assert_eq!(share(0.20, 0, &[]), None);
    assert_eq!(share(0.199, 0, &[]), Some(RefusalCode::ShareTooLarge));
    assert_eq!(share(0.0, 4, &[]), None);
    assert_eq!(share(0.0, 3, &[]), Some(RefusalCode::ShareTooLarge));
    assert_eq!(
        share(0.20, 4, &[31]),
        Some(RefusalCode::ShareTooLargeInADay)
    );
    assert_eq!(share(0.25, 4, &[31]), None);
    assert_eq!(share(1.0, 0, &[]), None);
    for nonsense in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        assert_eq!(
            share(nonsense, 0, &[]),
            Some(RefusalCode::ShareTooLarge),
            "{nonsense}"
        );
    }
}

#[test]
fn an_empty_source_and_an_empty_scope_are_refused() {
    let mut world = small();
    world.cloud.clear();
    let limits = Limits::default();
    assert_eq!(
        refusal(&world::plan(&world), &limits, &[]),
        Some(RefusalCode::EmptySource)
    );
    world.cloud_end = Completeness::Incomplete("cut off".into());
    assert_eq!(
        refusal(&world::plan(&world), &limits, &[]),
        Some(RefusalCode::EmptySource)
    );
    world.cloud_end = Completeness::Partial;
    assert_eq!(refusal(&world::plan(&world), &limits, &[]), None);
    let mut world = small();
    world.rules.trust_types = vec!["AzureAd".into()];
    for record in &mut world.cloud {
        if let CloudItem::Device(device) = &mut record.item {
            device.trust_type = Field::Value("Workplace".into());
        }
    }
    assert_eq!(
        refusal(&world::plan(&world), &limits, &[]),
        Some(RefusalCode::EmptyScope)
    );
}

#[test]
fn disabling_what_the_cloud_disabled_is_no_retirement() {
    let mut world = small();
    for record in &mut world.cloud {
        if let CloudItem::Device(device) = &mut record.item {
            device.account_enabled = Field::Value(false);
        }
    }
    world.rules.gone = Retire::Keep;
    let plan = world::plan(&world);
    assert_eq!(plan.summary().actions["disable"], 3);
    assert_eq!(refusal(&plan, &limits(0, 0.0, 0), &[]), None);
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
fn a_mass_soft_delete_trips_the_limits() {
    let mut world = small();
    for record in &mut world.cloud {
        if let CloudItem::Device(device) = &mut record.item {
            device.deleted = true;
        }
    }
    // Somebody is left, so that the source is not empty.
    world.cloud.push(CloudRecord {
        sequence: 1_000,
        item: CloudItem::Device(Box::new(cloud_device(9))),
    });
    world.rules.gone = Retire::Keep;
    let plan = world::plan(&world);
    assert_eq!(plan.summary().retirements, 3);
    assert_eq!(plan.summary().actions["disable"], 3);
    assert_eq!(
        refusal(&plan, &limits(2, 1.0, 10), &[]),
        Some(RefusalCode::TooManyRetirements)
    );
}

#[test]
fn an_override_is_good_for_one_plan() {
    let none = limits(0, 0.0, 0);
    let history = History::default();
    let plan = retiring(20, 4);
    let digest = plan.digest();
    let other = Override {
        digest: retiring(20, 5).digest(),
    };
    let (plan, refusal) = *plan.approve(&none, &history, Some(other)).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::TooManyRetirements);
    assert_eq!(
        refusal.to_string(),
        "refused (too_many_retirements): 4 retirements are planned, limits.max_retirements allows 0"
    );
    let approved = plan
        .approve(&none, &history, Some(Override { digest }))
        .unwrap();
    assert_eq!(approved.plan().digest(), digest);
    assert_eq!(approved.into_plan().digest(), digest);
    let approved = retiring(20, 4).approve(&Limits::default(), &history, None);
    assert!(approved.is_ok());
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
