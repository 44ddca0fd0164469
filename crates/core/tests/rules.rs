//! Runs the shared rule vectors, `tests/vectors/rule/*.json`: one file for each rule. The bindings run the same files.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use device_writeback_core::attributes::AttributeMask;
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::dn::Dn;
use device_writeback_core::graph::{
    BadRecord, CloudItem, CloudRecord, CloudUser, Field, LinkedObject, Reader,
};
use device_writeback_core::guid::{DeviceId, Guid, ObjectGuid};
use device_writeback_core::plan::{Change, Completeness, History, Limits, Listed, Octets, Plan};
use device_writeback_core::rules::{PrincipalFacts, Rules};
use device_writeback_core::schema::{Attribute, VERSION_2012_R2, VERSION_2016};
use serde::Deserialize;
use serde_json::Value;
use support::model::{self, Expected};
use support::world::{self, Tuning, World};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: String,
    source: String,
    tenant_id: String,
    container: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    rules: Rules,
    forest: ForestDocument,
    state: State,
    principals: BTreeMap<String, Principal>,
    now: String,
    #[serde(default)]
    take_over: bool,
    cloud: Vec<Value>,
    #[serde(default)]
    users: Vec<Value>,
    cloud_complete: String,
    directory: Vec<Object>,
    #[serde(default)]
    limits: Option<Limits>,
    #[serde(default)]
    history: HistoryDocument,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForestDocument {
    schema: Schema,
    domain_sids: Vec<String>,
    inactivity_days: Option<u32>,
}

/// A version of the schema, or the names of the attributes it has.
#[derive(Deserialize)]
#[serde(untagged)]
enum Schema {
    Version(String),
    Attributes(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    known: BTreeSet<DeviceId>,
    disabled_since: BTreeMap<DeviceId, String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Principal {
    User,
    Protected,
    NotFound,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    dn: String,
    guid: ObjectGuid,
    attributes: BTreeMap<String, Vec<Text>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Text {
    Text(String),
    Base64(String),
}

impl Text {
    fn octets(&self) -> Octets {
        Octets(match self {
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Base64(text) => STANDARD.decode(text).unwrap(),
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HistoryDocument {
    retired: BTreeSet<DeviceId>,
    our_objects: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    changes: Vec<ExpectedChange>,
    held: Vec<ExpectedListed>,
    skipped: Vec<ExpectedListed>,
    conflicts: Vec<ExpectedListed>,
    unchanged: u64,
    retirements: Option<u64>,
    /// The code with which the limits refuse the plan, `null` for a plan that passes.
    refusal: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedChange {
    device_id: DeviceId,
    action: String,
    reason: String,
    dn: Option<String>,
    object_id: Option<String>,
    /// Exactly these attributes change.
    attributes: Option<BTreeMap<String, OldNew>>,
    /// These attributes change, and maybe others.
    some_attributes: Option<BTreeMap<String, OldNew>>,
    notices: Option<Vec<ExpectedNotice>>,
}

#[derive(Deserialize)]
struct OldNew {
    old: Vec<Text>,
    new: Vec<Text>,
}

#[derive(Deserialize)]
struct ExpectedNotice {
    attribute: String,
    code: String,
}

#[derive(Deserialize)]
struct ExpectedListed {
    device_id: Option<DeviceId>,
    code: String,
}

#[test]
fn every_vector_holds() {
    let mut failures = Vec::new();
    for path in files() {
        let file: File = serde_json::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!file.rule.is_empty() && !file.source.is_empty());
        assert_eq!(file.container, world::CONTAINER);
        assert_eq!(file.tenant_id, world::identity().tenant_id.to_string());
        assert!(file.cases.len() >= 3, "{}", path.display());
        let mut names = BTreeSet::new();
        for case in &file.cases {
            assert!(names.insert(&case.name), "{} twice", case.name);
            if let Err(difference) = run(case) {
                failures.push(format!(
                    "{}: {}: {difference}",
                    path.file_name().unwrap().display(),
                    case.name
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_rule_has_its_file() {
    let names: Vec<_> = files()
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let rules = [
        "bad-record",
        "disabled",
        "duplicates",
        "encodings",
        "equality",
        "gone",
        "keys",
        "last-logon",
        "limits",
        "match",
        "name",
        "out-of-scope",
        "owner-sids",
        "ownership",
        "removal",
        "schema",
        "stale",
        "unknown",
        "unusable",
        "values",
        "who",
    ];
    assert_eq!(names, rules);
}

fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/rule");
    let mut files: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn run(case: &Case) -> Result<(), String> {
    let world = world_of(case);
    let plan = world::plan(&world);
    compare(case, &plan)?;
    // The same whatever is kept in memory, and by the other implementation.
    let frugal = Tuning {
        keep_whole: 0,
        batch: 1,
        key: [1; 16],
        ..Tuning::default()
    };
    if world::bytes(&world::plan_with(&world, &frugal)) != world::bytes(&plan) {
        return Err("another plan with nothing kept in memory".into());
    }
    if Expected::of(&plan) != model::expected(&world) {
        return Err(format!(
            "the decision table says {:?}",
            model::expected(&world)
        ));
    }
    Ok(())
}

fn world_of(case: &Case) -> World {
    let mut world = World::empty();
    world.rules = case.rules.clone();
    world.forest.schema = match &case.forest.schema {
        Schema::Version(version) if version == "2016" => Attribute::available(VERSION_2016),
        Schema::Version(version) if version == "2012r2" => Attribute::available(VERSION_2012_R2),
        Schema::Version(version) => panic!("schema {version}"),
        Schema::Attributes(names) => names
            .iter()
            .map(|name| Attribute::from_name(name).unwrap())
            .collect::<AttributeMask>(),
    };
    world.forest.domain_sids = case
        .forest
        .domain_sids
        .iter()
        .map(|sid| sid.parse().unwrap())
        .collect();
    world.forest.inactivity_days = case.forest.inactivity_days;
    world.known = case.state.known.clone();
    world.disabled_since = case
        .state
        .disabled_since
        .iter()
        .map(|(device, since)| (*device, since.parse().unwrap()))
        .collect();
    world.principals = case
        .principals
        .iter()
        .map(|(sid, facts)| {
            let facts = match facts {
                Principal::User => PrincipalFacts::User { protected: false },
                Principal::Protected => PrincipalFacts::User { protected: true },
                Principal::NotFound => PrincipalFacts::NotFound,
            };
            (sid.parse().unwrap(), facts)
        })
        .collect();
    world.now = case.now.parse().unwrap();
    world.take_over = case.take_over;
    world.cloud_end = match case.cloud_complete.as_str() {
        "full" => Completeness::Full,
        "partial" => Completeness::Partial,
        "incomplete" => Completeness::Incomplete("a page is missing".into()),
        other => panic!("cloud_complete {other}"),
    };
    world.cloud = cloud(case);
    world.directory = case
        .directory
        .iter()
        .enumerate()
        .map(|(number, object)| {
            let values = object.attributes.iter().flat_map(|(name, values)| {
                assert!(Attribute::from_name(name).is_some(), "{name}");
                values.iter().map(move |value| (name, value.octets()))
            });
            let dn = Dn::parse(&object.dn).unwrap();
            let mut read = DirectoryObject::decode(number as u64, dn, values);
            read.guid = Some(object.guid);
            read
        })
        .collect();
    world
}

/// The records, as they are read from Graph's JSON, with the SIDs of users that were read apart.
fn cloud(case: &Case) -> Vec<CloudRecord> {
    let users: BTreeMap<_, _> = read::<Result<CloudUser, BadRecord>>(&case.users)
        .into_iter()
        .map(|user| user.unwrap())
        .map(|user| (user.id, user.sid))
        .collect();
    let join = |links: &mut Field<Vec<LinkedObject>>| {
        if let Field::Value(links) = links {
            for link in links.iter_mut().filter(|link| link.sid.is_absent()) {
                link.sid = users.get(&link.id).cloned().unwrap_or_default();
            }
        }
    };
    read::<CloudItem>(&case.cloud)
        .into_iter()
        .enumerate()
        .map(|(number, mut item)| {
            if let CloudItem::Device(device) = &mut item {
                join(&mut device.registered_owners);
                join(&mut device.registered_users);
            }
            CloudRecord {
                sequence: number as u64,
                item,
            }
        })
        .collect()
}

fn read<R: device_writeback_core::graph::Resource>(values: &[Value]) -> Vec<R> {
    let mut reader = Reader::<R>::new();
    reader.push(&serde_json::to_vec(values).unwrap());
    reader.end();
    let records: Vec<R> = std::iter::from_fn(|| reader.next_record())
        .map(|element| element.record)
        .collect();
    assert_eq!(reader.problem(), None);
    assert_eq!(records.len(), values.len());
    records
}

fn compare(case: &Case, plan: &Plan) -> Result<(), String> {
    let expect = &case.expect;
    let changes = world::changes(plan);
    let name = |device: DeviceId, action: &str, reason: &str| format!("{action} {device} {reason}");
    let mut found: Vec<_> = changes
        .iter()
        .map(|change| {
            name(
                change.device_id,
                change.action.as_str(),
                change.reason.code(),
            )
        })
        .collect();
    let mut wanted: Vec<_> = expect
        .changes
        .iter()
        .map(|change| name(change.device_id, &change.action, &change.reason))
        .collect();
    found.sort();
    wanted.sort();
    same("changes", &found, &wanted)?;
    for wanted in &expect.changes {
        let found = changes
            .iter()
            .find(|change| change.device_id == wanted.device_id)
            .unwrap();
        compare_change(found, wanted)?;
    }
    for (what, found, wanted) in [
        ("held", plan.held(), &expect.held),
        ("skipped", plan.skipped(), &expect.skipped),
        ("conflicts", plan.conflicts(), &expect.conflicts),
    ] {
        let line = |device: Option<DeviceId>, code: &str| {
            let guid = device.map_or(Guid::NIL, DeviceId::guid);
            format!("{guid} {code}")
        };
        let mut found: Vec<_> = found
            .iter()
            .map(|listed: &Listed| line(listed.device_id, listed.code.code()))
            .collect();
        let mut wanted: Vec<_> = wanted
            .iter()
            .map(|listed| line(listed.device_id, &listed.code))
            .collect();
        found.sort();
        wanted.sort();
        same(what, &found, &wanted)?;
    }
    same("unchanged", &plan.summary().unchanged, &expect.unchanged)?;
    if let Some(retirements) = expect.retirements {
        same("retirements", &plan.summary().retirements, &retirements)?;
    }
    if let Some(limits) = &case.limits {
        let history = History {
            retired: case.history.retired.clone(),
            our_objects: case.history.our_objects,
        };
        let refusal = plan
            .check_limits(limits, &history)
            .err()
            .map(|refusal| refusal.code.as_str());
        let wanted = expect.refusal.as_ref().and_then(Value::as_str);
        same("refusal", &refusal, &wanted)?;
    } else {
        assert!(expect.refusal.is_none(), "{} has no limits", case.name);
    }
    Ok(())
}

fn compare_change(found: &Change, wanted: &ExpectedChange) -> Result<(), String> {
    if let Some(dn) = &wanted.dn {
        same("dn", &found.dn, &Dn::parse(dn).unwrap())?;
    }
    if let Some(id) = &wanted.object_id {
        same("object_id", &found.object_id, &Some(id.parse().unwrap()))?;
    }
    if let Some(notices) = &wanted.notices {
        let found: Vec<_> = found
            .notices
            .iter()
            .map(|notice| (notice.attribute.name(), notice.reason.code()))
            .collect();
        let wanted: Vec<_> = notices
            .iter()
            .map(|notice| (notice.attribute.as_str(), notice.code.as_str()))
            .collect();
        same("notices", &found, &wanted)?;
    }
    if let Some(attributes) = &wanted.attributes {
        let found: BTreeSet<_> = found
            .attributes
            .iter()
            .map(|change| change.attribute.name())
            .collect();
        let wanted: BTreeSet<_> = attributes.keys().map(String::as_str).collect();
        same("changed attributes", &found, &wanted)?;
    }
    let attributes = wanted.attributes.iter().chain(&wanted.some_attributes);
    for (name, values) in attributes.flatten() {
        let change = found
            .attribute(Attribute::from_name(name).unwrap())
            .ok_or_else(|| format!("{name} is not changed"))?;
        same(&format!("old {name}"), &change.old, &octets(&values.old))?;
        same(&format!("new {name}"), &change.new, &octets(&values.new))?;
    }
    Ok(())
}

fn octets(values: &[Text]) -> Vec<Octets> {
    let mut values: Vec<_> = values.iter().map(Text::octets).collect();
    values.sort();
    values
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what}: found {found:?}, wanted {wanted:?}"))
    }
}
