//! The plan that the tests start from, and what builds, changes and re-seals its document.

use std::collections::BTreeSet;

use device_writeback_core::cloud_anchor::{self, CloudAnchorEncoding};
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::graph::{
    AlternativeSecurityIds, CloudDevice, CloudItem, CloudRecord, Field, LinkedObject,
};
use device_writeback_core::plan::{Expected, Identity, Limits, Plan};
use device_writeback_core::rules::{PrincipalFacts, Principals};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::support::generate::{certificate, device_id, object_guid, object_id, user};
use crate::support::world::{self, World, bytes, identity};

pub(crate) fn cloud_device(number: u8) -> CloudDevice {
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

pub(crate) fn object(number: u8, marked: bool) -> DirectoryObject {
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
pub(crate) fn small() -> World {
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
pub(crate) struct Here {
    pub(crate) identity: Identity,
    pub(crate) world: World,
    limits: Limits,
    principals: Principals,
}

impl Here {
    pub(crate) fn new(world: World) -> Self {
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

    pub(crate) fn verify(&self, plan: &Plan) -> Result<(), String> {
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

pub(crate) fn document(plan: &Plan) -> Value {
    serde_json::from_slice(&bytes(plan)).unwrap()
}

/// The document with a digest that fits its content: whoever can change a plan can do that too.
pub(crate) fn sealed(document: &Value) -> Vec<u8> {
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

pub(crate) fn change<'a>(document: &'a mut Value, action: &str) -> &'a mut Value {
    document["changes"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|change| change["action"] == action)
        .unwrap()
}

pub(crate) fn attribute<'a>(change: &'a mut Value, name: &str) -> &'a mut Value {
    change["attributes"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|attribute| attribute["name"] == name)
        .unwrap()
}

pub(crate) fn add(change: &mut Value, name: &str, old: Value, new: Value) {
    let attributes = change["attributes"].as_array_mut().unwrap();
    attributes.push(json!({"name": name, "old": old, "new": new}));
}

pub(crate) fn remove(change: &mut Value, name: &str) {
    let attributes = change["attributes"].as_array_mut().unwrap();
    attributes.retain(|attribute| attribute["name"] != name);
}
