//! Generators over small pools, so that ids, names and certificates collide.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use device_writeback_core::alt_security_id::AltSecurityId;
use device_writeback_core::attributes::AttributeSet;
use device_writeback_core::cloud_anchor::{self, CloudAnchorEncoding};
use device_writeback_core::directory::{DirectoryObject, device_dn};
use device_writeback_core::dn::Dn;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::graph::{
    AlternativeSecurityIds, BadRecord, CloudDevice, CloudItem, CloudRecord, Field, LinkedObject,
    Removal,
};
use device_writeback_core::guid::{DeviceId, Guid, ObjectGuid, ObjectId};
use device_writeback_core::plan::Completeness;
use device_writeback_core::rules::{Adopt, NullFlag, PrincipalFacts, Retire, Rules, Stale};
use device_writeback_core::schema::{Attribute, Profile, VERSION_2012_R2};
use device_writeback_core::sid::{Sid, SidEncoding};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use super::model;
use super::world::{CONTAINER, DOMAIN, Tuning, World, container, now};

const DEVICES: u8 = 6;
const OBJECTS: u8 = 8;
const CERTIFICATES: u8 = 9;

pub fn device_id(number: u8) -> DeviceId {
    DeviceId::from(Guid::from_bytes([0xd0_u8.wrapping_add(number); 16]))
}

pub fn object_id(number: u8) -> ObjectId {
    ObjectId::from(Guid::from_bytes([0xa0_u8.wrapping_add(number); 16]))
}

pub fn object_guid(number: u8) -> ObjectGuid {
    ObjectGuid::from(Guid::from_bytes([0x60_u8.wrapping_add(number); 16]))
}

pub fn certificate(number: u8) -> AltSecurityId {
    let key = STANDARD.encode([number; 32]);
    AltSecurityId::parse(&format!("X509:<SHA1-TP-PUBKEY>{number:040X}{key}")).unwrap()
}

/// 1104 is a user, 1105 protected, 1106 nobody, 1107 could not be looked up.
pub fn user(rid: u32) -> Sid {
    format!("{DOMAIN}-{rid}").parse().unwrap()
}

pub fn principals() -> BTreeMap<Sid, PrincipalFacts> {
    BTreeMap::from([
        (user(1104), PrincipalFacts::User { protected: false }),
        (user(1108), PrincipalFacts::User { protected: false }),
        (user(1105), PrincipalFacts::User { protected: true }),
        (user(1106), PrincipalFacts::NotFound),
        (user(500), PrincipalFacts::User { protected: true }),
    ])
}

pub fn days_ago(days: i64) -> FileTime {
    now().minus_days(days)
}

fn field<T: Clone + std::fmt::Debug + 'static>(
    values: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Field<T>> {
    prop_oneof![
        10 => values.prop_map(Field::Value),
        1 => Just(Field::Null),
        1 => Just(Field::Absent),
    ]
}

fn text(values: &'static [&'static str]) -> impl Strategy<Value = Field<Box<str>>> {
    field(select(values).prop_map(Box::from))
}

fn any_device_id() -> impl Strategy<Value = DeviceId> {
    (0..DEVICES).prop_map(device_id)
}

fn any_object_id() -> impl Strategy<Value = ObjectId> {
    (0..OBJECTS).prop_map(object_id)
}

fn sid() -> impl Strategy<Value = Sid> {
    prop_oneof![
        4 => Just(user(1104)),
        3 => select(vec![1105, 1106, 1107, 1108, 500]).prop_map(user),
        1 => Just("S-1-5-21-9-9-9-1104".parse().unwrap()),
    ]
}

fn links() -> impl Strategy<Value = Vec<LinkedObject>> {
    let link = (any_object_id(), prop::bool::weighted(0.1), field(sid())).prop_map(
        |(id, other_kind, sid)| LinkedObject {
            id,
            other_kind,
            sid,
        },
    );
    prop::collection::vec(link, 0..3)
}

fn certificates() -> impl Strategy<Value = AlternativeSecurityIds> {
    prop::collection::btree_set(0..CERTIFICATES, 0..3).prop_map(|numbers| AlternativeSecurityIds {
        usable: numbers.into_iter().map(certificate).collect(),
        unusable: 0,
    })
}

fn sign_in() -> impl Strategy<Value = FileTime> {
    prop_oneof![
        (0..200_i64).prop_map(days_ago),
        // The distances that the rules ask for, and a tick around them.
        (select(vec![0, 14, 28, 90]), -1..=1_i64).prop_map(|(days, ticks)| {
            FileTime::from_ticks(days_ago(days).ticks() + ticks).unwrap()
        }),
    ]
}

pub fn cloud_device() -> impl Strategy<Value = CloudDevice> {
    let long = "x".repeat(257);
    let name = prop_oneof![
        12 => select(vec!["Laptop", "laptop", "Büro"]).prop_map(Box::<str>::from),
        1 => Just(Box::from("")),
        1 => Just(Box::from(long.as_str())),
    ];
    let physical = prop::collection::vec(
        prop_oneof![
            10 => select(vec!["[GID]:g1", "[gid]:G1", "[HWID]:h2", "Ä", "ä"]).prop_map(Box::<str>::from),
            1 => Just(Box::from("")),
            1 => Just(Box::from("y".repeat(1025).as_str())),
        ],
        0..3,
    );
    let identity = (
        any_object_id(),
        weighted(0.95, any_device_id()),
        prop::bool::weighted(0.1),
    );
    let flags = (
        field(any::<bool>()),
        field(any::<bool>()),
        field(any::<bool>()),
    );
    let values = (
        field(name),
        field(certificates()),
        field(sign_in()),
        field(0..3_i32),
        field(physical),
        field(sid()),
    );
    let texts = (
        text(&["Windows", "windows", "", "Linux"]),
        text(&["10.0", "11.0"]),
        text(&["Workplace", "AzureAd", "serverad", "Else"]),
        text(&["RegisteredDevice", "SecureVM"]),
        text(&["company", "personal"]),
    );
    let people = (field(links()), field(links()));
    (identity, flags, values, texts, people).prop_map(|(identity, flags, values, texts, people)| {
        let mut device = CloudDevice::new(identity.0);
        device.device_id = identity.1;
        device.deleted = identity.2;
        (
            device.account_enabled,
            device.is_managed,
            device.is_compliant,
        ) = flags;
        (
            device.display_name,
            device.alternative_security_ids,
            device.approximate_last_sign_in,
            device.device_version,
            device.physical_ids,
            device.on_premises_security_identifier,
        ) = values;
        (
            device.operating_system,
            device.operating_system_version,
            device.trust_type,
            device.profile_type,
            device.device_ownership,
        ) = texts;
        (device.registered_owners, device.registered_users) = people;
        device
    })
}

fn cloud_item() -> impl Strategy<Value = CloudItem> {
    let bad = (
        weighted(0.7, any_object_id()),
        weighted(0.6, any_device_id()),
    )
        .prop_map(|(id, device_id)| bad(id, device_id));
    let removed = (any_object_id(), any::<bool>()).prop_map(|(id, gone)| CloudItem::Removed {
        id,
        reason: if gone {
            Removal::Deleted
        } else {
            Removal::Changed
        },
    });
    prop_oneof![
        16 => cloud_device().prop_map(|device| CloudItem::Device(Box::new(device))),
        2 => removed,
        1 => bad,
    ]
}

pub fn bad(id: Option<ObjectId>, device_id: Option<DeviceId>) -> CloudItem {
    CloudItem::Bad(BadRecord {
        id,
        device_id,
        detail: "accountEnabled is of the wrong type".into(),
    })
}

pub fn completeness() -> impl Strategy<Value = Completeness> {
    prop_oneof![
        6 => Just(Completeness::Full),
        3 => Just(Completeness::Partial),
        1 => Just(Completeness::Incomplete("page 3 of 7 is missing".into())),
    ]
}

pub fn rules() -> impl Strategy<Value = Rules> {
    let strings = |values: &'static [&'static str]| {
        prop_oneof![
            9 => Just(Vec::new()),
            1 => select(values).prop_map(|value| vec![value.to_owned()]),
        ]
    };
    let flag = || weighted(0.05, any::<bool>());
    let retire = || {
        select(vec![
            Retire::Delete,
            Retire::Delete,
            Retire::DisableThenDelete,
            Retire::Disable,
            Retire::Keep,
        ])
    };
    let filters = (
        strings(&["workplace", "AzureAD"]),
        strings(&["WINDOWS", "Linux"]),
        strings(&["registereddevice"]),
        strings(&["Company"]),
        (flag(), flag(), flag()),
        prop::bool::weighted(0.1),
        weighted(0.1, select(vec![14_u32, 28, 90])),
        prop::collection::vec(any_device_id(), 0..2),
        prop_oneof![9 => Just(Vec::new()), 1 => prop::collection::vec(any_device_id(), 1..5)],
    );
    let values = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        select(vec![0_u32, 14, 28]),
    );
    let retirement = (retire(), retire(), any::<bool>(), any::<bool>());
    (filters, values, retirement).prop_map(|(filters, values, retirement)| {
        let mut rules = Rules::default();
        let flags;
        (
            rules.trust_types,
            rules.operating_systems,
            rules.profile_types,
            rules.ownerships,
            flags,
            rules.require_on_premises_owner,
            rules.max_sign_in_age_days,
            rules.exclude_devices,
            rules.include_devices,
        ) = filters;
        (rules.is_managed, rules.is_compliant, rules.account_enabled) = flags;
        let (connect, adopt, null_false, binary_sid, binary_anchor, protected, days) = values;
        if connect {
            rules.profile = Profile::Connect;
        }
        if adopt {
            rules.adopt = Adopt::SameDeviceId;
        }
        if null_false {
            rules.null_flag = NullFlag::False;
        }
        if binary_sid {
            rules.sid_encoding = SidEncoding::Binary;
        }
        if binary_anchor {
            rules.cloud_anchor = CloudAnchorEncoding::Binary;
        }
        rules.allow_protected_owners = protected;
        rules.last_logon_min_days = days;
        let (gone, out_of_scope, ignore_stale, keys) = retirement;
        (rules.gone, rules.out_of_scope) = (gone, out_of_scope);
        if ignore_stale {
            rules.stale = Stale::Ignore;
        }
        rules.delete_objects_with_keys = keys;
        rules
    })
}

/// How an object of the directory comes about.
#[derive(Clone, Debug)]
struct ObjectPlan {
    device: Option<DeviceId>,
    mark: Mark,
    name: Name,
    guid: bool,
    /// Begin with what the cloud says of the device.
    copied: bool,
    overrides: Vec<(Attribute, Vec<Vec<u8>>)>,
}

#[derive(Clone, Copy, Debug)]
enum Mark {
    None,
    Unreadable,
    Object(u8, bool),
}

#[derive(Clone, Copy, Debug)]
enum Name {
    Own,
    UpperCase,
    Braces,
    Conflict,
    Other(u8),
    Words(u8),
    Elsewhere,
}

fn overrides() -> impl Strategy<Value = (Attribute, Vec<Vec<u8>>)> {
    let bytes = |values: &[&str]| {
        values
            .iter()
            .map(|value| value.as_bytes().to_vec())
            .collect()
    };
    let flag = select(vec![bytes(&["TRUE"]), bytes(&["FALSE"])]);
    let optional_flag = select(vec![bytes(&["TRUE"]), bytes(&["FALSE"]), bytes(&[])]);
    let people = || {
        let value = (sid(), any::<bool>()).prop_map(|(sid, text)| {
            sid.encode(if text {
                SidEncoding::Text
            } else {
                SidEncoding::Binary
            })
        });
        prop::collection::btree_set(value, 0..3).prop_map(Vec::from_iter)
    };
    let owner = prop_oneof![
        5 => people().prop_map(|mut people: Vec<Vec<u8>>| {
            people.truncate(1);
            people
        }),
        1 => Just(bytes(&["somebody"])),
    ];
    let ids = prop::collection::btree_set(0..CERTIFICATES, 1..3).prop_map(|numbers| {
        numbers
            .into_iter()
            .map(|number| certificate(number).as_str().as_bytes().to_vec())
            .collect()
    });
    let time = sign_in().prop_map(|time| vec![time.ticks().to_string().into_bytes()]);
    prop_oneof![
        (Just(Attribute::IsEnabled), flag),
        (
            Just(Attribute::DisplayName),
            select(vec![
                bytes(&["Laptop"]),
                bytes(&["LAPTOP"]),
                bytes(&["Other"])
            ])
        ),
        (Just(Attribute::IsManaged), optional_flag.clone()),
        (Just(Attribute::IsCompliant), optional_flag),
        (Just(Attribute::RegisteredOwner), owner),
        (Just(Attribute::RegisteredUsers), people()),
        (Just(Attribute::AltSecurityIdentities), ids),
        (
            Just(Attribute::ApproximateLastLogonTimeStamp),
            prop_oneof![9 => time, 1 => Just(bytes(&["0"])), 1 => Just(bytes(&[]))]
        ),
        (
            Just(Attribute::DevicePhysicalIds),
            select(vec![
                bytes(&["[gid]:g1"]),
                bytes(&["[HWID]:H2", "Z"]),
                bytes(&[])
            ])
        ),
        (
            Just(Attribute::DeviceObjectVersion),
            select(vec![bytes(&["1"]), bytes(&["01"]), bytes(&["2"])])
        ),
        (
            Just(Attribute::KeyCredentialLink),
            Just(bytes(&["B:4:0102:CN=x"]))
        ),
        (Just(Attribute::DeviceMdmStatus), Just(bytes(&["managed"]))),
    ]
}

fn object() -> impl Strategy<Value = ObjectPlan> {
    let mark = prop_oneof![
        2 => Just(Mark::None),
        1 => Just(Mark::Unreadable),
        12 => (0..OBJECTS, any::<bool>()).prop_map(|(object, text)| Mark::Object(object, text)),
    ];
    let name = prop_oneof![
        20 => Just(Name::Own),
        1 => Just(Name::UpperCase),
        1 => Just(Name::Braces),
        1 => Just(Name::Conflict),
        1 => Just(Name::Elsewhere),
        1 => (0..DEVICES).prop_map(Name::Other),
        1 => (0..DEVICES).prop_map(Name::Words),
    ];
    (
        weighted(0.97, any_device_id()),
        mark,
        name,
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.8),
        prop::collection::vec(overrides(), 0..4),
    )
        .prop_map(|(device, mark, name, guid, copied, overrides)| ObjectPlan {
            device,
            mark,
            name,
            guid,
            copied,
            overrides,
        })
}

fn build(world: &World, number: usize, plan: ObjectPlan) -> DirectoryObject {
    let number = u8::try_from(number).unwrap();
    let parent = container();
    let of_name = plan.device.unwrap_or_else(|| device_id(number % DEVICES));
    let dn = match plan.name {
        Name::Own => device_dn(of_name, &parent),
        Name::UpperCase => {
            Dn::parse(&device_dn(of_name, &parent).to_string().to_uppercase()).unwrap()
        }
        Name::Braces => parent.child("CN", &format!("{{{of_name}}}")),
        Name::Conflict => parent.child(
            "CN",
            &format!("{of_name}\nCNF:{}", object_guid(number).guid()),
        ),
        Name::Other(other) => device_dn(device_id(other), &parent),
        Name::Words(word) => parent.child("CN", &format!("device {word}")),
        Name::Elsewhere => device_dn(of_name, &Dn::parse(&format!("OU=x,{CONTAINER}")).unwrap()),
    };
    let mut values: BTreeMap<Attribute, Vec<Vec<u8>>> = BTreeMap::new();
    for (attribute, value) in [
        (Attribute::DisplayName, b"Laptop".to_vec()),
        (Attribute::IsEnabled, b"TRUE".to_vec()),
        (
            Attribute::AltSecurityIdentities,
            certificate(100 + number).as_str().as_bytes().to_vec(),
        ),
    ] {
        values.insert(attribute, vec![value]);
    }
    if plan.copied
        && let Some(device) = plan.device
        && let Some(cloud) = world
            .cloud
            .iter()
            .rev()
            .find_map(|record| match &record.item {
                CloudItem::Device(cloud) if cloud.device_id == Some(device) => Some(cloud),
                _ => None,
            })
    {
        let (wanted, _) = model::wanted(world, cloud, device);
        for (attribute, list) in wanted {
            // The class requires some, and what does not fit cannot be there.
            if !(list.is_empty() && attribute.schema().mandatory) {
                values.insert(attribute, list);
            }
        }
    }
    values.remove(&Attribute::DeviceId);
    if let Some(device) = plan.device {
        values.insert(Attribute::DeviceId, vec![device.to_le_bytes().to_vec()]);
    }
    values.extend(plan.overrides);
    match plan.mark {
        Mark::None => _ = values.remove(&Attribute::CloudAnchor),
        Mark::Unreadable => {
            values.insert(Attribute::CloudAnchor, vec![b"somebody else".to_vec()]);
        }
        Mark::Object(..) if plan.copied && values.contains_key(&Attribute::CloudAnchor) => {}
        Mark::Object(object, text) => {
            let encoding = if text {
                CloudAnchorEncoding::Text
            } else {
                CloudAnchorEncoding::Binary
            };
            let value = cloud_anchor::encode(object_id(object), encoding);
            values.insert(Attribute::CloudAnchor, vec![value]);
        }
    }
    let mut set = AttributeSet::new();
    for (attribute, list) in values {
        list.iter().for_each(|value| set.push(attribute, value));
    }
    DirectoryObject {
        sequence: u64::from(number),
        dn,
        guid: plan.guid.then(|| object_guid(number)),
        values: set,
    }
}

pub fn world() -> impl Strategy<Value = World> {
    let input = (
        prop::collection::vec(cloud_item(), 0..9),
        prop::collection::vec(object(), 0..9),
    );
    let ends = (completeness(), prop::bool::weighted(0.1));
    let state = (
        prop::collection::btree_set(any_device_id(), 0..7),
        prop::collection::btree_map(any_device_id(), (0..60_i64).prop_map(days_ago), 0..4),
        prop::bool::weighted(0.3),
    );
    let forest = (
        prop::bool::weighted(0.1),
        weighted(0.3, select(vec![0_u32, 14, 90])),
    );
    (input, ends, state, forest, rules()).prop_map(|(input, ends, state, forest, rules)| {
        let (items, objects) = input;
        let mut world = World::empty();
        world.rules = rules;
        world.principals = principals();
        if forest.0 {
            world.forest.schema = Attribute::available(VERSION_2012_R2);
        }
        world.forest.inactivity_days = forest.1;
        world.cloud = items
            .into_iter()
            .enumerate()
            .map(|(sequence, item)| CloudRecord {
                sequence: sequence as u64,
                item,
            })
            .collect();
        world.cloud_end = ends.0;
        if ends.1 {
            world.directory_end = Completeness::Incomplete("cut off".into());
        }
        (world.known, world.disabled_since, world.take_over) = state;
        let mut names = BTreeSet::new();
        world.directory = objects
            .into_iter()
            .enumerate()
            .map(|(number, plan)| build(&world, number, plan))
            .filter(|object| names.insert(object.dn.normalized()))
            .collect();
        world
    })
}

pub fn tuning() -> impl Strategy<Value = Tuning> {
    (
        select(vec![0_usize, 1, 3, 5_000]),
        1..4_usize,
        weighted(0.3, any::<u32>()),
        any::<[u8; 16]>(),
        prop::collection::vec(any::<u16>(), 20),
    )
        .prop_map(|(keep_whole, batch, mask, key, order)| Tuning {
            keep_whole,
            batch,
            mask: mask.map(|bits| {
                Attribute::ALL
                    .iter()
                    .copied()
                    .filter(|attribute| bits & (1 << *attribute as u32) != 0)
                    .collect()
            }),
            key,
            order,
        })
}
