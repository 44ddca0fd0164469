//! The values that the cloud asks for, and how they are compared with what the directory has.

use std::collections::{BTreeMap, HashSet};

use device_writeback_core::cloud_anchor;
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::graph::{CloudDevice, Field, LinkedObject};
use device_writeback_core::guid::DeviceId;
use device_writeback_core::plan::Octets;
use device_writeback_core::rules::{Notice, NullFlag, PrincipalFacts, Reason};
use device_writeback_core::schema::{Attribute, Profile};
use device_writeback_core::sid::Sid;

use crate::support::world::World;

pub type Wanted = BTreeMap<Attribute, Vec<Vec<u8>>>;

/// The attributes about which the cloud has a say, with their values.
pub fn wanted(world: &World, device: &CloudDevice, id: DeviceId) -> (Wanted, Vec<Notice>) {
    let mut wanted = Wanted::new();
    let mut notices = Vec::new();
    for attribute in Attribute::ALL.iter().copied() {
        let row = attribute.schema();
        let managed = match world.rules.profile {
            Profile::Connect => row.connect,
            _ => row.adfs,
        };
        if !managed || !world.forest.schema.contains(attribute) {
            continue;
        }
        match attribute_values(world, device, id, attribute) {
            Ok((Some(values), reason)) => {
                wanted.insert(attribute, values);
                notices.extend(reason.map(|reason| Notice { attribute, reason }));
            }
            Ok((None, _)) => {}
            Err(reason) => notices.push(Notice { attribute, reason }),
        }
    }
    (wanted, notices)
}

pub(super) fn enabled(device: &CloudDevice) -> Option<bool> {
    match device.account_enabled {
        Field::Value(enabled) => Some(enabled),
        Field::Null | Field::Absent => None,
    }
}

/// A value as text that is equal for equal meaning.
pub(super) fn meaning(attribute: Attribute, value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value).into_owned();
    let raw = || format!("raw {}", value.escape_ascii());
    match attribute {
        Attribute::RegisteredOwner | Attribute::RegisteredUsers | Attribute::ComputerSid => {
            Sid::decode_either(value).map_or_else(|_| raw(), |(sid, _)| sid.to_string())
        }
        Attribute::CloudAnchor => {
            cloud_anchor::decode(value).map_or_else(|_| raw(), |id| id.to_string())
        }
        Attribute::DeviceObjectVersion | Attribute::DeviceTrustType => text
            .parse::<i64>()
            .map_or_else(|_| raw(), |number| number.to_string()),
        Attribute::DevicePhysicalIds => text.to_lowercase(),
        _ => raw(),
    }
}

pub(super) fn octets(mut values: Vec<Vec<u8>>) -> Vec<Octets> {
    values.sort();
    values.into_iter().map(Octets).collect()
}

pub(super) fn values(object: &DirectoryObject, attribute: Attribute) -> Vec<Octets> {
    octets(
        object
            .values
            .values(attribute)
            .map(<[u8]>::to_vec)
            .collect(),
    )
}

/// Whether a SID may be written; `Err(None)` is "nobody knows".
pub(super) fn judge(world: &World, sid: &Sid) -> Result<(), Option<Reason>> {
    if !world
        .forest
        .domain_sids
        .iter()
        .any(|domain| sid.domain() == Some(*domain))
    {
        return Err(Some(Reason::OwnerForeignDomain));
    }
    if sid.rid().unwrap() < 1000 {
        return Err(Some(Reason::OwnerBuiltIn));
    }
    match world.principals.get(sid) {
        None => Err(None),
        Some(PrincipalFacts::NotFound) => Err(Some(Reason::OwnerUnresolved)),
        Some(PrincipalFacts::User { protected: true }) if !world.rules.allow_protected_owners => {
            Err(Some(Reason::OwnerProtected))
        }
        Some(_) => Ok(()),
    }
}

/// `Ok((None, _))`: unknown; `Err`: unknown, with a remark.
type Values = Result<(Option<Vec<Vec<u8>>>, Option<Reason>), Reason>;

fn attribute_values(
    world: &World,
    device: &CloudDevice,
    id: DeviceId,
    attribute: Attribute,
) -> Values {
    let rules = &world.rules;
    let known = |values: Vec<Vec<u8>>| Ok((Some(values), None));
    let text = |field: &Field<Box<str>>, longest: usize| match field {
        Field::Absent => Ok((None, None)),
        Field::Null => Ok((Some(Vec::new()), None)),
        Field::Value(text) if text.is_empty() => Ok((Some(Vec::new()), None)),
        Field::Value(text) if text.encode_utf16().count() > longest => Err(Reason::ValueOutOfRange),
        Field::Value(text) => Ok((Some(vec![text.as_bytes().to_vec()]), None)),
    };
    let boolean = |value: bool| {
        vec![if value {
            b"TRUE".to_vec()
        } else {
            b"FALSE".to_vec()
        }]
    };
    let flag = |field: &Field<bool>| match field {
        Field::Absent => Ok((None, None)),
        Field::Value(value) => Ok((Some(boolean(*value)), None)),
        Field::Null if rules.null_flag == NullFlag::False => Ok((Some(boolean(false)), None)),
        Field::Null => Ok((Some(Vec::new()), None)),
    };
    match attribute {
        Attribute::DisplayName => text(&device.display_name, 256),
        Attribute::AltSecurityIdentities => match &device.alternative_security_ids {
            Field::Value(ids) => known(
                ids.usable
                    .iter()
                    .map(|id| id.as_str().as_bytes().to_vec())
                    .collect(),
            ),
            _ => Ok((None, None)),
        },
        Attribute::DeviceId => known(vec![id.to_le_bytes().to_vec()]),
        Attribute::IsEnabled => Ok((enabled(device).map(boolean), None)),
        Attribute::DeviceOsType => text(&device.operating_system, 1024),
        Attribute::DeviceOsVersion => text(&device.operating_system_version, 512),
        Attribute::DevicePhysicalIds => match &device.physical_ids {
            Field::Absent => Ok((None, None)),
            Field::Null => known(Vec::new()),
            Field::Value(ids) => {
                let mut seen = HashSet::new();
                let mut values = Vec::new();
                let mut reason = None;
                for id in ids {
                    if !seen.insert(id.to_lowercase()) {
                        continue;
                    }
                    if id.is_empty() || id.encode_utf16().count() > 1024 {
                        reason = Some(Reason::ValueOutOfRange);
                    } else {
                        values.push(id.as_bytes().to_vec());
                    }
                }
                Ok((Some(values), reason))
            }
        },
        Attribute::DeviceObjectVersion => match device.device_version {
            Field::Absent => Ok((None, None)),
            Field::Null => known(Vec::new()),
            Field::Value(version) => known(vec![version.to_string().into_bytes()]),
        },
        Attribute::CloudAnchor => known(vec![cloud_anchor::encode(device.id, rules.cloud_anchor)]),
        Attribute::RegisteredOwner => people(world, &device.registered_owners, true),
        Attribute::RegisteredUsers => people(world, &device.registered_users, false),
        Attribute::IsManaged | Attribute::CloudIsManaged => flag(&device.is_managed),
        Attribute::IsCompliant => flag(&device.is_compliant),
        Attribute::ApproximateLastLogonTimeStamp => Ok((
            device
                .approximate_last_sign_in
                .value()
                .map(|time| vec![time.ticks().to_string().into_bytes()]),
            None,
        )),
        Attribute::DeviceTrustType => match device.trust_type.value().map(|text| &**text) {
            None if device.trust_type.is_absent() => Ok((None, None)),
            None => known(Vec::new()),
            Some(text) => {
                let names = ["workplace", "azuread", "serverad"];
                match names
                    .iter()
                    .position(|name| text.to_ascii_lowercase() == *name)
                {
                    Some(number) => known(vec![number.to_string().into_bytes()]),
                    None => Err(Reason::ValueOutOfRange),
                }
            }
        },
        Attribute::ComputerSid => match &device.on_premises_security_identifier {
            Field::Absent => Ok((None, None)),
            Field::Null => known(Vec::new()),
            Field::Value(sid) if world.forest.domain_sids.iter().any(|d| sid.is_in_domain(d)) => {
                known(vec![sid.to_bytes()])
            }
            Field::Value(_) => Ok((Some(Vec::new()), Some(Reason::OwnerForeignDomain))),
        },
        other => panic!("{other} is managed"),
    }
}

fn people(world: &World, list: &Field<Vec<LinkedObject>>, only_first: bool) -> Values {
    let list = match list {
        Field::Absent => return Ok((None, None)),
        Field::Null => return Ok((Some(Vec::new()), None)),
        Field::Value(list) => list,
    };
    let mut values = Vec::new();
    let mut remark = None;
    let take = if only_first { 1 } else { usize::MAX };
    for person in list.iter().filter(|person| !person.other_kind).take(take) {
        match person.sid {
            Field::Absent => return Err(Reason::OwnerUnknown),
            Field::Null => {}
            Field::Value(sid) => match judge(world, &sid) {
                Ok(()) => {
                    let value = sid.encode(world.rules.sid_encoding);
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
                Err(Some(reason)) => remark = Some(reason),
                Err(None) => return Err(Reason::OwnerUnknown),
            },
        }
    }
    Ok((Some(values), remark))
}
