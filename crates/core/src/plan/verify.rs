//! A saved plan is an unsigned write order: before it is applied, everything in it is checked again.

use std::collections::BTreeSet;

use super::change::{Action, AttributeChange, Change};
use super::document::{Completeness, Identity, Plan};
use super::limits::Limits;
use super::{PlanError, hex};
use crate::attributes::{AttributeMask, validate_meaning};
use crate::boolean::ldap_boolean;
use crate::cloud_anchor;
use crate::directory::device_dn;
use crate::filetime::FileTime;
use crate::guid::DeviceId;
use crate::rules::{
    Adopt, Forest, Judge, Principals, Reason, Retire, Rules, SidVerdict, judge_sid, needs_look_up,
};
use crate::schema::{Attribute, Equality};
use crate::sid::Sid;

/// What a plan must fit in order to be applied here and now.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Tenant, source, directory, domain and container of this configuration.
    pub identity: &'a Identity,
    /// The rules of this configuration.
    pub rules: &'a Rules,
    /// The forest as it is now.
    pub forest: &'a Forest,
    /// What the forest says of the SIDs that [`Plan::sids_to_look_up`] names.
    pub principals: &'a Principals,
    /// The limits; the plan's age is looked at here.
    pub limits: &'a Limits,
    /// Now.
    pub now: FileTime,
}

/// Clocks of two machines may differ by this much.
const CLOCK_SKEW_MINUTES: i64 = 5;

impl Plan {
    /// The SIDs that the plan would write and that the forest has to vouch for.
    ///
    /// # Errors
    /// The spool's.
    pub fn sids_to_look_up(&self, forest: &Forest) -> Result<Vec<Sid>, PlanError> {
        let mut sids = BTreeSet::new();
        for change in self.changes() {
            for (_, value) in new_values(&change?) {
                if let Ok((sid, _)) = Sid::decode_either(value)
                    && needs_look_up(&sid, forest)
                {
                    sids.insert(sid);
                }
            }
        }
        return Ok(sids.into_iter().collect());

        fn new_values(change: &Change) -> impl Iterator<Item = (Attribute, &[u8])> {
            change
                .attributes
                .iter()
                .filter(|change| is_principal(change.attribute))
                .flat_map(|change| {
                    change
                        .new
                        .iter()
                        .map(|value| (change.attribute, value.as_ref()))
                })
        }
    }

    /// Checks that every write of the plan is one that this configuration could have planned for this forest: right tenant,
    /// domain, container, rules and age; direct children of the container only; managed attributes only, with values
    /// that mean what they should; SIDs that the forest vouches for.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn verify(&self, expected: &Expected<'_>) -> Result<(), VerifyError> {
        self.verify_head(expected)?;
        let judge = Judge {
            rules: expected.rules,
            forest: expected.forest,
            principals: expected.principals,
            now: expected.now,
        };
        let managed = judge.managed();
        let untouchable: BTreeSet<DeviceId> = self
            .held()
            .iter()
            .chain(self.conflicts())
            .filter_map(|listed| listed.device_id)
            .collect();
        let mut seen: BTreeSet<DeviceId> = BTreeSet::new();
        for change in self.changes() {
            let change = change?;
            if change.is_retirement() && untouchable.contains(&change.device_id) {
                return Err(VerifyError::change(
                    &change,
                    "the plan holds this very device, or names it as a conflict",
                ));
            }
            if !seen.insert(change.device_id) {
                return Err(VerifyError::change(
                    &change,
                    "the plan changes this device twice",
                ));
            }
            verify_change(&change, expected, managed)
                .and_then(|()| verify_reason(&change, expected, self.source_completeness()))
                .map_err(|what| VerifyError::change(&change, what))?;
        }
        Ok(())
    }

    fn verify_head(&self, expected: &Expected<'_>) -> Result<(), VerifyError> {
        let (own, wanted) = (self.identity(), expected.identity);
        let differ = |what: &str, planned: &dyn std::fmt::Display, here: &dyn std::fmt::Display| {
            Err(VerifyError::Head(format!(
                "it was made for {what} {planned}, this configuration has {here}"
            )))
        };
        if own.tenant_id != wanted.tenant_id {
            return differ("tenant", &own.tenant_id, &wanted.tenant_id);
        }
        if own.source_id != wanted.source_id {
            return differ("source", &own.source_id.escape_debug(), &wanted.source_id);
        }
        if own.directory_id != wanted.directory_id {
            return differ(
                "directory",
                &own.directory_id.escape_debug(),
                &wanted.directory_id,
            );
        }
        if own.domain_guid != wanted.domain_guid {
            let text = |guid: Option<crate::guid::ObjectGuid>| {
                guid.map_or_else(|| "none".to_owned(), |guid| guid.to_string())
            };
            return differ("domain", &text(own.domain_guid), &text(wanted.domain_guid));
        }
        if own.container != wanted.container {
            return differ("container", &own.container, &wanted.container);
        }
        if self.rules_digest() != expected.rules.digest()
            || self.profile() != expected.rules.profile
        {
            return differ(
                "the rules",
                &hex::encode(&self.rules_digest()),
                &format!("{}; make a new plan", hex::encode(&expected.rules.digest())),
            );
        }
        let (made, now) = (self.time(), expected.now);
        let hours = i64::from(expected.limits.max_plan_age_hours);
        let ticks_per_hour = 36_000_000_000;
        if now.ticks().saturating_sub(made.ticks()) > hours.saturating_mul(ticks_per_hour) {
            return Err(VerifyError::Head(format!(
                "it is of {made} and now is {now}: older than limits.max_plan_age_hours ({hours}); make a new plan"
            )));
        }
        if made.ticks().saturating_sub(now.ticks()) > CLOCK_SKEW_MINUTES * ticks_per_hour / 60 {
            return Err(VerifyError::Head(format!(
                "it is of {made}, which is in the future: now is {now}"
            )));
        }
        Ok(())
    }
}

/// Why a plan is not applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The plan as a whole does not fit.
    #[error("the plan is refused: {0}")]
    Head(String),
    /// One change does not fit.
    #[error("the plan is refused: {action} of device {device}: {what}")]
    Change {
        /// The device.
        device: DeviceId,
        /// What the plan would do.
        action: Action,
        /// What is wrong with it.
        what: String,
    },
    /// The plan could not be read.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl VerifyError {
    fn change(change: &Change, what: impl Into<String>) -> Self {
        Self::Change {
            device: change.device_id,
            action: change.action,
            what: what.into(),
        }
    }
}

fn verify_change(
    change: &Change,
    expected: &Expected<'_>,
    managed: AttributeMask,
) -> Result<(), String> {
    if !change.dn.is_child_of(&expected.identity.container) {
        return Err(format!(
            "{} is no direct child of {}",
            change.dn, expected.identity.container
        ));
    }
    match (change.action, &change.mark) {
        (Action::Create, None) => {
            if change.dn != device_dn(change.device_id, &expected.identity.container) {
                return Err(format!(
                    "a new object of this device is not named {}",
                    change.dn
                ));
            }
            if change.object_guid.is_some() {
                return Err("a new object has no objectGUID yet".into());
            }
        }
        (Action::Create, Some(_)) => return Err("a new object has no mark yet".into()),
        // An adoption puts the mark on the object; without that it would be a write to somebody else's.
        (Action::Update, None)
            if expected.rules.adopt == Adopt::SameDeviceId
                && change.reason == Reason::Adopted
                && change
                    .attribute(Attribute::CloudAnchor)
                    .is_some_and(|anchor| anchor.old.is_empty()) => {}
        (_, None) => return Err("the object carries no mark of ours".into()),
        (_, Some(mark)) => {
            cloud_anchor::decode(mark.as_ref()).map(drop).or_else(|_| {
                if mark.as_ref().is_empty() {
                    Err("its mark is empty".to_owned())
                } else {
                    Ok(())
                }
            })?;
        }
    }
    let mut seen = AttributeMask::EMPTY;
    for attribute in &change.attributes {
        if seen.contains(attribute.attribute) {
            return Err(format!("{} is changed twice", attribute.attribute));
        }
        seen.insert(attribute.attribute);
        verify_attribute(change, attribute, expected, managed)
            .map_err(|what| format!("{}: {what}", attribute.attribute))?;
    }
    // The name is what a person approves: it must be the one that the change knows.
    if let Some(names) = change.attribute(Attribute::DisplayName)
        && names
            .old
            .first()
            .map(|name| String::from_utf8_lossy(&name.0))
            .as_deref()
            != change.display_name.as_deref()
    {
        return Err("its display_name is not the old displayName".into());
    }
    if seen.is_empty() && change.action != Action::Delete {
        return Err("it changes nothing".into());
    }
    if change.action == Action::Create {
        let required = Attribute::ALL
            .iter()
            .copied()
            .filter(|attribute| attribute.schema().mandatory);
        for attribute in required.chain([Attribute::CloudAnchor]) {
            if !seen.contains(attribute) {
                return Err(format!("{attribute} is missing"));
            }
        }
    }
    let disables = change
        .attribute(Attribute::IsEnabled)
        .is_some_and(|change| {
            change
                .new
                .iter()
                .any(|value| value.0 == ldap_boolean(false))
        });
    match change.action {
        Action::Disable if !disables => Err("it is called a disable and does not disable".into()),
        // A disable under another name would not be counted.
        Action::Update if disables && change.reason != Reason::Adopted => {
            Err("it is called an update and disables".into())
        }
        Action::Delete
            if change.attribute(Attribute::KeyCredentialLink).is_some()
                && !expected.rules.delete_objects_with_keys =>
        {
            Err("the object holds a key, and rules.delete_objects_with_keys is not set".into())
        }
        _ => Ok(()),
    }
}

/// Whether these rules know this reason for that action.
fn verify_reason(
    change: &Change,
    expected: &Expected<'_>,
    source: &Completeness,
) -> Result<(), String> {
    let rules = expected.rules;
    let policy = match change.reason {
        Reason::GoneAbsent | Reason::GoneRemoved => Some(rules.gone),
        Reason::OutOfScope => Some(rules.out_of_scope),
        _ => None,
    };
    let fits = match (change.action, change.reason) {
        (Action::Create, reason) => reason == Reason::NewDevice,
        (Action::Update, Reason::AttributesDiffer) => true,
        (Action::Update, reason) => reason == Reason::Adopted && change.mark.is_none(),
        (Action::Disable, Reason::DisabledInCloud | Reason::SoftDeleted) => true,
        (Action::Disable, _) => {
            matches!(policy, Some(Retire::Disable | Retire::DisableThenDelete))
        }
        (Action::Delete, Reason::GraceOver) => {
            [rules.gone, rules.out_of_scope].contains(&Retire::DisableThenDelete)
        }
        (Action::Delete, _) => policy == Some(Retire::Delete),
    };
    if !fits {
        return Err(format!(
            "{} is no reason for it under these rules",
            change.reason
        ));
    }
    if change.reason == Reason::GoneAbsent && *source != Completeness::Full {
        return Err("only a complete reading of the source shows that a device is absent".into());
    }
    Ok(())
}

fn verify_attribute(
    change: &Change,
    attribute: &AttributeChange,
    expected: &Expected<'_>,
    managed: AttributeMask,
) -> Result<(), String> {
    let AttributeChange {
        attribute: name,
        old,
        new,
    } = attribute;
    let row = name.schema();
    if change.action == Action::Delete {
        return if new.is_empty() {
            Ok(())
        } else {
            Err("a delete sets no values".into())
        };
    }
    if !managed.contains(*name) {
        return Err("the profile does not manage it, or the schema lacks it".into());
    }
    if change.action == Action::Create && !old.is_empty() {
        return Err("a new object has no old values".into());
    }
    if row.single_valued && (new.len() > 1 || old.len() > 1) {
        return Err("it has one value at most".into());
    }
    if row.mandatory && new.is_empty() {
        return Err("the class requires a value".into());
    }
    for value in new {
        validate_meaning(*name, value.as_ref()).map_err(|error| error.to_string())?;
    }
    match name {
        Attribute::DeviceId if change.action != Action::Create => {
            return Err("the device id of an object is never changed".into());
        }
        Attribute::DeviceId
            if new
                .iter()
                .any(|value| value.0 != change.device_id.to_le_bytes()) =>
        {
            return Err("the value is another device's id".into());
        }
        Attribute::CloudAnchor => {
            if old.first() != change.mark.as_ref() {
                return Err("the old value is not the mark that the change asserts".into());
            }
            let anchors = new
                .iter()
                .map(|value| cloud_anchor::decode(value.as_ref()).ok());
            if new.is_empty() || anchors.into_iter().any(|anchor| anchor != change.object_id) {
                return Err("the value is not the mark of this change's object_id".into());
            }
        }
        _ => {}
    }
    if is_principal(*name) {
        for value in new {
            let (sid, _) = Sid::decode_either(value.as_ref()).map_err(|error| error.to_string())?;
            match judge_sid(&sid, expected.rules, expected.forest, expected.principals) {
                SidVerdict::Written => {}
                SidVerdict::Refused(reason) => return Err(format!("{sid}: {}", reason.sentence())),
                SidVerdict::Unknown => {
                    return Err(format!("{sid}: the directory could not say who this is"));
                }
            }
        }
    } else if row.equality == Equality::Sid {
        for value in new {
            let (sid, _) = Sid::decode_either(value.as_ref()).map_err(|error| error.to_string())?;
            if !expected
                .forest
                .domain_sids
                .iter()
                .any(|domain| sid.is_in_domain(domain))
            {
                return Err(format!("{sid} is of no domain of this forest"));
            }
        }
    }
    Ok(())
}

/// Attributes whose SIDs let people sign in.
fn is_principal(attribute: Attribute) -> bool {
    matches!(
        attribute,
        Attribute::RegisteredOwner | Attribute::RegisteredUsers
    )
}
