//! Which value each attribute gets, one function per row of the schema table.

use super::owner::{SidVerdict, judge_sid};
use super::{Judge, NullFlag, Reason};
use crate::attributes::{AttributeMask, AttributeSet};
use crate::boolean::ldap_boolean;
use crate::cloud_anchor;
use crate::graph::{CloudDevice, Field, LinkedObject};
use crate::guid::DeviceId;
use crate::schema::{Attribute, Syntax};

/// A remark on one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Notice {
    /// The attribute.
    pub attribute: Attribute,
    /// What happened to the value.
    pub reason: Reason,
}

/// What the directory should say about a device in scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredDevice {
    /// The values; an attribute of `known` without one here should have none.
    pub values: AttributeSet,
    /// The attributes about which the cloud has a say; all others keep the directory's values.
    pub known: AttributeMask,
    /// Values that were not written, and why.
    pub notices: Vec<Notice>,
}

/// Whether the cloud had a say about an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// What was pushed is the whole truth.
    Known,
    /// Unknown is not empty: the directory's value stays.
    Unknown,
    /// As [`Say::Unknown`], with a remark.
    Kept(Reason),
    /// As [`Say::Known`], with a remark on a value left out.
    LeftOut(Reason),
}

/// Pushes the values of one attribute.
pub(crate) type FlowFn = fn(Attribute, &Flow<'_>, &mut AttributeSet) -> Say;

/// What a flow function sees.
pub(crate) struct Flow<'a> {
    judge: Judge<'a>,
    device: &'a CloudDevice,
    device_id: DeviceId,
}

impl Judge<'_> {
    /// The values that `device` should have in the directory. Call it only for a device that [`Judge::scope`] found in scope.
    pub fn desired(&self, device: &CloudDevice, device_id: DeviceId) -> DesiredDevice {
        let mut desired = DesiredDevice::default();
        self.desired_into(device, device_id, &mut desired);
        desired
    }

    /// As [`Judge::desired`], reusing the memory of `desired`.
    pub fn desired_into(
        &self,
        device: &CloudDevice,
        device_id: DeviceId,
        desired: &mut DesiredDevice,
    ) {
        desired.values.clear();
        desired.notices.clear();
        desired.known = AttributeMask::EMPTY;
        let flow = Flow {
            judge: *self,
            device,
            device_id,
        };
        for attribute in self.managed().iter() {
            let Some(function) = attribute.schema().flow else {
                continue;
            };
            let say = function(attribute, &flow, &mut desired.values);
            match say {
                Say::Known | Say::LeftOut(_) => desired.known.insert(attribute),
                Say::Unknown | Say::Kept(_) => {}
            }
            if let Say::Kept(reason) | Say::LeftOut(reason) = say {
                desired.notices.push(Notice { attribute, reason });
            }
        }
    }
}

pub(crate) fn display_name(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    text(attribute, &flow.device.display_name, out)
}

pub(crate) fn alt_security_identities(
    attribute: Attribute,
    flow: &Flow<'_>,
    out: &mut AttributeSet,
) -> Say {
    match &flow.device.alternative_security_ids {
        Field::Value(ids) => {
            for id in &ids.usable {
                out.push(attribute, id.as_str().as_bytes());
            }
            Say::Known
        }
        Field::Null | Field::Absent => Say::Unknown,
    }
}

pub(crate) fn device_id(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    out.push(attribute, &flow.device_id.to_le_bytes());
    Say::Known
}

pub(crate) fn is_enabled(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    match flow.device.account_enabled {
        Field::Value(enabled) => {
            out.push(attribute, ldap_boolean(enabled));
            Say::Known
        }
        // The class requires a value, so there is nothing to clear; and nobody said that the device is disabled.
        Field::Null | Field::Absent => Say::Unknown,
    }
}

pub(crate) fn os_type(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    text(attribute, &flow.device.operating_system, out)
}

pub(crate) fn os_version(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    text(attribute, &flow.device.operating_system_version, out)
}

pub(crate) fn physical_ids(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    let ids = match &flow.device.physical_ids {
        Field::Absent => return Say::Unknown,
        Field::Null => return Say::Known,
        Field::Value(ids) => ids,
    };
    let mut left_out = false;
    for (index, id) in ids.iter().enumerate() {
        // A domain controller refuses a second value that differs in case only.
        let repeated = ids
            .iter()
            .take(index)
            .any(|earlier| same_ignoring_case(earlier, id));
        if repeated {
            continue;
        }
        if fits(attribute, id) && !id.is_empty() {
            out.push(attribute, id.as_bytes());
        } else {
            left_out = true;
        }
    }
    if left_out {
        Say::LeftOut(Reason::ValueOutOfRange)
    } else {
        Say::Known
    }
}

pub(crate) fn object_version(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    match flow.device.device_version {
        Field::Value(version) => {
            out.push(attribute, version.to_string().as_bytes());
            Say::Known
        }
        Field::Null => Say::Known,
        Field::Absent => Say::Unknown,
    }
}

pub(crate) fn cloud_anchor(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    out.push(
        attribute,
        &cloud_anchor::encode(flow.device.id, flow.judge.rules.cloud_anchor),
    );
    Say::Known
}

pub(crate) fn registered_owner(
    attribute: Attribute,
    flow: &Flow<'_>,
    out: &mut AttributeSet,
) -> Say {
    let owners = match &flow.device.registered_owners {
        Field::Absent => return Say::Unknown,
        Field::Null => return Say::Known,
        Field::Value(owners) => owners,
    };
    match owners.iter().find(|owner| !owner.other_kind) {
        None => Say::Known,
        Some(owner) => principal(attribute, owner, flow, out),
    }
}

pub(crate) fn registered_users(
    attribute: Attribute,
    flow: &Flow<'_>,
    out: &mut AttributeSet,
) -> Say {
    let users = match &flow.device.registered_users {
        Field::Absent => return Say::Unknown,
        Field::Null => return Say::Known,
        Field::Value(users) => users,
    };
    let mut values = AttributeSet::new();
    let mut say = Say::Known;
    for user in users.iter().filter(|user| !user.other_kind) {
        match principal(attribute, user, flow, &mut values) {
            // One user that could not be read makes the list incomplete, and an incomplete list would remove people.
            Say::Kept(reason) => return Say::Kept(reason),
            Say::Unknown => return Say::Unknown,
            Say::LeftOut(reason) => say = Say::LeftOut(reason),
            Say::Known => {}
        }
    }
    let mut seen: Vec<&[u8]> = Vec::new();
    for value in values.values(attribute) {
        if !seen.contains(&value) {
            out.push(attribute, value);
            seen.push(value);
        }
    }
    say
}

pub(crate) fn is_managed(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    flag(attribute, &flow.device.is_managed, flow, out)
}

pub(crate) fn is_compliant(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    flag(attribute, &flow.device.is_compliant, flow, out)
}

pub(crate) fn last_logon(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    match flow.device.approximate_last_sign_in {
        Field::Value(time) => {
            out.push(attribute, time.ticks().to_string().as_bytes());
            Say::Known
        }
        // Never cleared: the time stamp is only ever raised.
        Field::Null | Field::Absent => Say::Unknown,
    }
}

pub(crate) fn trust_type(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    let text = match &flow.device.trust_type {
        Field::Absent => return Say::Unknown,
        Field::Null => return Say::Known,
        Field::Value(text) => text,
    };
    // 2 is documented for domain-joined devices ([MS-DVRJ] 3.1.5.1.1.3); 0 and 1 follow its order.
    let number: &[u8] = match &**text {
        text if text.eq_ignore_ascii_case("Workplace") => b"0",
        text if text.eq_ignore_ascii_case("AzureAd") => b"1",
        text if text.eq_ignore_ascii_case("ServerAd") => b"2",
        _ => return Say::Kept(Reason::ValueOutOfRange),
    };
    out.push(attribute, number);
    Say::Known
}

pub(crate) fn computer_sid(attribute: Attribute, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    match &flow.device.on_premises_security_identifier {
        Field::Absent => Say::Unknown,
        Field::Null => Say::Known,
        Field::Value(sid) => {
            if !flow
                .judge
                .forest
                .domain_sids
                .iter()
                .any(|domain| sid.is_in_domain(domain))
            {
                return Say::LeftOut(Reason::OwnerForeignDomain);
            }
            out.push(attribute, &sid.to_bytes());
            Say::Known
        }
    }
}

fn text(attribute: Attribute, value: &Field<Box<str>>, out: &mut AttributeSet) -> Say {
    match value {
        Field::Absent => Say::Unknown,
        Field::Null => Say::Known,
        // AD has no empty values: empty is no value.
        Field::Value(text) if text.is_empty() => Say::Known,
        Field::Value(text) if !fits(attribute, text) => Say::Kept(Reason::ValueOutOfRange),
        Field::Value(text) => {
            out.push(attribute, text.as_bytes());
            Say::Known
        }
    }
}

fn flag(attribute: Attribute, value: &Field<bool>, flow: &Flow<'_>, out: &mut AttributeSet) -> Say {
    match (value, flow.judge.rules.null_flag) {
        (Field::Absent, _) => return Say::Unknown,
        (Field::Null, NullFlag::Clear) => {}
        (Field::Null, NullFlag::False) => out.push(attribute, ldap_boolean(false)),
        (Field::Value(value), _) => out.push(attribute, ldap_boolean(*value)),
    }
    Say::Known
}

fn principal(
    attribute: Attribute,
    user: &LinkedObject,
    flow: &Flow<'_>,
    out: &mut AttributeSet,
) -> Say {
    let sid = match &user.sid {
        Field::Absent => return Say::Kept(Reason::OwnerUnknown),
        Field::Null => return Say::Known,
        Field::Value(sid) => sid,
    };
    let Judge {
        rules,
        forest,
        principals,
        ..
    } = flow.judge;
    match judge_sid(sid, rules, forest, principals) {
        SidVerdict::Unknown => Say::Kept(Reason::OwnerUnknown),
        SidVerdict::Refused(reason) => Say::LeftOut(reason),
        SidVerdict::Written => {
            out.push(attribute, &sid.encode(rules.sid_encoding));
            Say::Known
        }
    }
}

fn fits(attribute: Attribute, text: &str) -> bool {
    debug_assert_eq!(attribute.schema().syntax, Syntax::Unicode);
    attribute
        .schema()
        .range
        .is_none_or(|(_, longest)| text.len() <= longest || text.encode_utf16().count() <= longest)
}

fn same_ignoring_case(left: &str, right: &str) -> bool {
    if left.is_ascii() && right.is_ascii() {
        left.eq_ignore_ascii_case(right)
    } else {
        left.to_lowercase() == right.to_lowercase()
    }
}
