//! Whether a device is written back at all.

use super::owner::{SidVerdict, judge_sid};
use super::{Judge, Reason, Stale};
use crate::filetime::FileTime;
use crate::graph::{CloudDevice, Field};
use crate::guid::DeviceId;
use crate::schema::Attribute;

/// What the rules say about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is written.
    InScope,
    /// It is alive, but a filter excludes it: an existing object is retired.
    OutOfScope(Reason),
    /// It is alive, but the class requires what it lacks: an existing object is held.
    Unusable(Reason),
    /// AD FS would clean it up: not created, an existing object is held.
    Stale,
    /// It is soft-deleted.
    SoftDeleted,
}

/// The device id and the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Absent when the device has no valid one, which makes it unusable.
    pub device_id: Option<DeviceId>,
    /// The verdict.
    pub verdict: Verdict,
}

impl Judge<'_> {
    /// Decides whether `device` is written back. The order of the checks is part of the behaviour: what the device *is*
    /// (deleted, without an id) comes before what the rules *want*, and that before what it lacks.
    pub fn scope(&self, device: &CloudDevice) -> Scope {
        let verdict = self.verdict(device);
        Scope {
            device_id: device.device_id,
            verdict,
        }
    }

    fn verdict(&self, device: &CloudDevice) -> Verdict {
        if device.deleted {
            return Verdict::SoftDeleted;
        }
        let Some(id) = device.device_id else {
            return Verdict::Unusable(Reason::NoDeviceId);
        };
        if let Some(reason) = self.excluded(device, id) {
            return Verdict::OutOfScope(reason);
        }
        match device.display_name.value() {
            None => return Verdict::Unusable(Reason::NoDisplayName),
            Some(name) if name.is_empty() => return Verdict::Unusable(Reason::NoDisplayName),
            Some(name) => {
                let longest = Attribute::DisplayName
                    .schema()
                    .range
                    .map_or(usize::MAX, |range| range.1);
                // Only text longer in bytes can be longer in code units.
                if name.len() > longest && name.encode_utf16().count() > longest {
                    return Verdict::Unusable(Reason::DisplayNameTooLong);
                }
            }
        }
        if device
            .alternative_security_ids
            .value()
            .is_none_or(|ids| ids.usable.is_empty())
        {
            return Verdict::Unusable(Reason::NoAlternativeSecurityId);
        }
        if self.rules.stale == Stale::Hold
            && let Some(days) = self.forest.inactivity_days
            // 0 switches the cleaning up off.
            && days != 0
            && self.older_than(&device.approximate_last_sign_in, days)
        {
            return Verdict::Stale;
        }
        Verdict::InScope
    }

    fn excluded(&self, device: &CloudDevice, id: DeviceId) -> Option<Reason> {
        let rules = self.rules;
        if rules.exclude_devices.contains(&id) {
            return Some(Reason::Excluded);
        }
        if !rules.include_devices.is_empty() && !rules.include_devices.contains(&id) {
            return Some(Reason::NotIncluded);
        }
        let texts = [
            (
                &rules.trust_types,
                &device.trust_type,
                Reason::TrustTypeExcluded,
            ),
            (
                &rules.operating_systems,
                &device.operating_system,
                Reason::OperatingSystemExcluded,
            ),
            (
                &rules.profile_types,
                &device.profile_type,
                Reason::ProfileTypeExcluded,
            ),
            (
                &rules.ownerships,
                &device.device_ownership,
                Reason::OwnershipExcluded,
            ),
        ];
        for (wanted, actual, reason) in texts {
            if !wanted.is_empty() && !listed(wanted, actual) {
                return Some(reason);
            }
        }
        let flags = [
            (
                rules.is_managed,
                &device.is_managed,
                Reason::NotManagedAsAsked,
            ),
            (
                rules.is_compliant,
                &device.is_compliant,
                Reason::NotCompliantAsAsked,
            ),
            (
                rules.account_enabled,
                &device.account_enabled,
                Reason::EnabledExcluded,
            ),
        ];
        for (wanted, actual, reason) in flags {
            if let Some(wanted) = wanted
                && !actual.is_absent()
                && actual.value().copied().unwrap_or(false) != wanted
            {
                return Some(reason);
            }
        }
        if let Some(days) = rules.max_sign_in_age_days
            && self.older_than(&device.approximate_last_sign_in, days)
        {
            return Some(Reason::SignInTooOld);
        }
        if rules.require_on_premises_owner && !self.has_on_premises_owner(device) {
            return Some(Reason::OwnerNotOnPremises);
        }
        None
    }

    /// Whether the last sign-in is known and further back than `days`; a device that has no such date is not old.
    fn older_than(&self, last_sign_in: &Field<FileTime>, days: u32) -> bool {
        last_sign_in
            .value()
            .is_some_and(|last| *last < self.now.minus_days(i64::from(days)))
    }

    /// An owner that could not be read is not evidence against the device.
    fn has_on_premises_owner(&self, device: &CloudDevice) -> bool {
        let Some(owners) = device.registered_owners.value() else {
            return device.registered_owners.is_absent();
        };
        owners
            .iter()
            .filter(|owner| !owner.other_kind)
            .any(|owner| match &owner.sid {
                Field::Absent => true,
                Field::Null => false,
                Field::Value(sid) => !matches!(
                    judge_sid(sid, self.rules, self.forest, self.principals),
                    SidVerdict::Refused(_)
                ),
            })
    }
}

/// A property that was not in the answer excludes nobody.
fn listed(wanted: &[String], actual: &Field<Box<str>>) -> bool {
    match actual {
        Field::Absent => true,
        Field::Null => false,
        Field::Value(actual) => wanted
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(actual)),
    }
}
