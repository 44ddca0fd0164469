//! Whether the rules want a device, from its record alone.

use device_writeback_core::graph::{CloudDevice, Field};
use device_writeback_core::guid::DeviceId;
use device_writeback_core::rules::{Reason, Stale};

use super::values::judge;
use crate::support::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    In,
    Out(Reason),
    Unusable(Reason),
    Stale,
}

pub(super) fn scope(world: &World, device: &CloudDevice, id: DeviceId) -> Scope {
    let rules = &world.rules;
    let text = |wanted: &[String], actual: &Field<Box<str>>| {
        wanted.is_empty()
            || match actual {
                Field::Absent => true,
                Field::Null => false,
                Field::Value(actual) => wanted
                    .iter()
                    .any(|wanted| wanted.to_ascii_lowercase() == actual.to_ascii_lowercase()),
            }
    };
    let flag = |wanted: Option<bool>, actual: &Field<bool>| match (wanted, actual) {
        (None, _) | (_, Field::Absent) => true,
        (Some(wanted), Field::Null) => !wanted,
        (Some(wanted), Field::Value(actual)) => wanted == *actual,
    };
    let age = |days: u32| match device.approximate_last_sign_in {
        Field::Value(last) => last.plus_days(i64::from(days)) < world.now,
        _ => false,
    };
    let owned = || match &device.registered_owners {
        Field::Absent => true,
        Field::Null => false,
        Field::Value(owners) => owners.iter().any(|owner| {
            !owner.other_kind
                && match owner.sid {
                    Field::Absent => true,
                    Field::Null => false,
                    Field::Value(sid) => !matches!(judge(world, &sid), Err(Some(_))),
                }
        }),
    };
    let filters = [
        (!rules.exclude_devices.contains(&id), Reason::Excluded),
        (
            rules.include_devices.is_empty() || rules.include_devices.contains(&id),
            Reason::NotIncluded,
        ),
        (
            text(&rules.trust_types, &device.trust_type),
            Reason::TrustTypeExcluded,
        ),
        (
            text(&rules.operating_systems, &device.operating_system),
            Reason::OperatingSystemExcluded,
        ),
        (
            text(&rules.profile_types, &device.profile_type),
            Reason::ProfileTypeExcluded,
        ),
        (
            text(&rules.ownerships, &device.device_ownership),
            Reason::OwnershipExcluded,
        ),
        (
            flag(rules.is_managed, &device.is_managed),
            Reason::NotManagedAsAsked,
        ),
        (
            flag(rules.is_compliant, &device.is_compliant),
            Reason::NotCompliantAsAsked,
        ),
        (
            flag(rules.account_enabled, &device.account_enabled),
            Reason::EnabledExcluded,
        ),
        (
            !rules.max_sign_in_age_days.is_some_and(age),
            Reason::SignInTooOld,
        ),
        (
            !rules.require_on_premises_owner || owned(),
            Reason::OwnerNotOnPremises,
        ),
    ];
    for (passes, reason) in filters {
        if !passes {
            return Scope::Out(reason);
        }
    }
    match device.display_name.value() {
        None => return Scope::Unusable(Reason::NoDisplayName),
        Some(name) if name.is_empty() => return Scope::Unusable(Reason::NoDisplayName),
        Some(name) if name.encode_utf16().count() > 256 => {
            return Scope::Unusable(Reason::DisplayNameTooLong);
        }
        Some(_) => {}
    }
    if device
        .alternative_security_ids
        .value()
        .is_none_or(|ids| ids.usable.is_empty())
    {
        return Scope::Unusable(Reason::NoAlternativeSecurityId);
    }
    match world.forest.inactivity_days {
        Some(days) if days > 0 && rules.stale == Stale::Hold && age(days) => Scope::Stale,
        _ => Scope::In,
    }
}
