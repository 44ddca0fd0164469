//! A run's input, and the planner driven over it.

use std::collections::{BTreeMap, BTreeSet};

use device_writeback_core::attributes::AttributeMask;
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::dn::Dn;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::graph::CloudRecord;
use device_writeback_core::guid::{DeviceId, Guid, TenantId};
use device_writeback_core::plan::{
    Change, Completeness, Identity, MemorySpool, Plan, Planner, Provenance, Setup,
};
use device_writeback_core::rules::{Forest, PrincipalFacts, Rules};
use device_writeback_core::schema::{Attribute, VERSION_2016};
use device_writeback_core::sid::Sid;

pub const CONTAINER: &str = "CN=RegisteredDevices,DC=contoso,DC=com";
pub const DOMAIN: &str = "S-1-5-21-11-22-33";

/// Everything a run reads.
#[derive(Clone, Debug)]
pub struct World {
    pub rules: Rules,
    pub forest: Forest,
    /// A SID that is not listed could not be looked up.
    pub principals: BTreeMap<Sid, PrincipalFacts>,
    pub now: FileTime,
    pub take_over: bool,
    pub cloud: Vec<CloudRecord>,
    pub cloud_end: Completeness,
    pub directory: Vec<DirectoryObject>,
    pub directory_end: Completeness,
    pub known: BTreeSet<DeviceId>,
    pub disabled_since: BTreeMap<DeviceId, FileTime>,
}

impl World {
    pub fn empty() -> Self {
        let mut forest = Forest::new(Attribute::available(VERSION_2016));
        forest.domain_sids = vec![DOMAIN.parse().unwrap()];
        Self {
            rules: Rules::default(),
            forest,
            principals: BTreeMap::new(),
            now: now(),
            take_over: false,
            cloud: Vec::new(),
            cloud_end: Completeness::Full,
            directory: Vec::new(),
            directory_end: Completeness::Full,
            known: BTreeSet::new(),
            disabled_since: BTreeMap::new(),
        }
    }
}

/// How the planner is run; nothing of it may show in the plan.
#[derive(Clone, Debug)]
pub struct Tuning {
    pub keep_whole: usize,
    pub batch: usize,
    pub mask: Option<AttributeMask>,
    pub key: [u8; 16],
    /// Sort keys of the records and objects, in that order; shorter lists leave the rest in place.
    pub order: Vec<u16>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            keep_whole: 5_000,
            batch: 5_000,
            mask: None,
            key: [7; 16],
            order: Vec::new(),
        }
    }
}

pub fn now() -> FileTime {
    "2026-06-01T08:00:00Z".parse().unwrap()
}

pub fn container() -> Dn {
    Dn::parse(CONTAINER).unwrap()
}

pub fn identity() -> Identity {
    Identity {
        tenant_id: TenantId::parse("6babcaad-604b-40ac-a9d7-9fd97c0b779f").unwrap(),
        source_id: "tenant".into(),
        directory_id: "forest".into(),
        domain_guid: Some(Guid::from_bytes([9; 16]).into()),
        container: container(),
    }
}

pub fn setup(world: &World, tuning: &Tuning) -> Setup {
    let mut setup = Setup::new(
        identity(),
        world.rules.clone(),
        world.forest.clone(),
        world.now,
        tuning.key,
    );
    setup.take_over = world.take_over;
    setup.keep_whole = tuning.keep_whole;
    setup.batch = tuning.batch;
    if let Some(mask) = tuning.mask {
        setup.mask = mask;
    }
    setup
}

/// A planner to which everything was fed.
pub fn fed(world: &World, tuning: &Tuning) -> Planner {
    enum Piece<'a> {
        Cloud(&'a CloudRecord),
        Directory(&'a DirectoryObject),
    }
    let mut planner = Planner::new(setup(world, tuning), Box::<MemorySpool>::default());
    for (sid, facts) in &world.principals {
        planner.principal(*sid, *facts);
    }
    let cloud = world.cloud.iter().map(Piece::Cloud);
    let directory = world.directory.iter().map(Piece::Directory);
    let mut pieces: Vec<_> = cloud.chain(directory).enumerate().collect();
    pieces.sort_by_key(|(index, _)| tuning.order.get(*index).copied().unwrap_or_default());
    for (_, piece) in pieces {
        match piece {
            Piece::Cloud(record) => planner.cloud(record.clone()),
            Piece::Directory(object) => planner.directory(object.clone()),
        }
    }
    planner.end_cloud(world.cloud_end.clone());
    planner.end_directory(world.directory_end.clone());
    planner
}

/// Answers everything the planner asks.
pub fn resolve(planner: &mut Planner, world: &World) {
    loop {
        let open = planner.unresolved().unwrap();
        if open.is_empty() {
            return;
        }
        for device in open.provenance {
            let provenance = Provenance {
                known: world.known.contains(&device),
                disabled_since: world.disabled_since.get(&device).copied(),
            };
            planner.answer_provenance(device, provenance);
        }
        for key in open.cloud {
            let record = world
                .cloud
                .iter()
                .find(|record| record.sequence == key.sequence)
                .unwrap();
            planner.resolve_cloud(record.clone()).unwrap();
        }
        for key in open.directory {
            let object = world
                .directory
                .iter()
                .find(|object| object.sequence == key.sequence)
                .unwrap();
            assert_eq!(object.guid, key.object_guid);
            planner
                .resolve_directory(key.device_id, object.clone())
                .unwrap();
        }
    }
}

pub fn plan_with(world: &World, tuning: &Tuning) -> Plan {
    let mut planner = fed(world, tuning);
    resolve(&mut planner, world);
    planner.finish().unwrap()
}

pub fn plan(world: &World) -> Plan {
    plan_with(world, &Tuning::default())
}

pub fn changes(plan: &Plan) -> Vec<Change> {
    plan.changes().collect::<Result<_, _>>().unwrap()
}

pub fn bytes(plan: &Plan) -> Vec<u8> {
    let mut out = Vec::new();
    plan.write(&mut out).unwrap();
    out
}

pub fn parse(bytes: &[u8]) -> Result<Plan, String> {
    Plan::parse(bytes, Box::<MemorySpool>::default()).map_err(|error| error.to_string())
}
