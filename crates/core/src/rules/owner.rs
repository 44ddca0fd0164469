//! Which SIDs may be written as an owner or user of a device.
//!
//! Whoever can name a device's owner can let that person's identity be used with the device at AD FS. The tenant's
//! administrators must not become anyone on-premises, so a SID from the cloud counts only as far as the forest vouches for it.

use std::collections::HashMap;

use super::{Forest, Reason, Rules};
use crate::sid::Sid;

/// What the forest says about a SID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalFacts {
    /// A user of the forest.
    User {
        /// `adminCount` is 1: under AdminSDHolder.
        protected: bool,
    },
    /// No user of the forest has this SID.
    NotFound,
    /// The directory cannot tell: the SID is of another domain of the forest, which it does not hold.
    Unknown,
}

/// The SIDs looked up so far.
#[derive(Clone, Debug, Default)]
pub struct Principals(HashMap<Sid, PrincipalFacts>);

/// Relative ids below this belong to built-in accounts and groups (`[MS-DTYP]` 2.4.2.4).
const FIRST_ORDINARY_RID: u32 = 1000;

impl Principals {
    /// Nothing looked up yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers what the forest says about `sid`.
    pub fn insert(&mut self, sid: Sid, facts: PrincipalFacts) {
        self.0.insert(sid, facts);
    }

    /// What the forest said about `sid`.
    pub fn find(&self, sid: &Sid) -> Option<PrincipalFacts> {
        self.0.get(sid).copied()
    }
}

/// Whether a SID may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SidVerdict {
    Written,
    Refused(Reason),
    /// Nobody asked the forest, or it could not answer.
    Unknown,
}

/// Whether `sid` needs a look-up at all: a SID of another forest or of a built-in account is refused without one.
pub(crate) fn needs_look_up(sid: &Sid, forest: &Forest) -> bool {
    refused_by_form(sid, forest).is_none()
}

fn refused_by_form(sid: &Sid, forest: &Forest) -> Option<Reason> {
    if !forest
        .domain_sids
        .iter()
        .any(|domain| sid.is_in_domain(domain))
    {
        return Some(Reason::OwnerForeignDomain);
    }
    if sid.rid().is_none_or(|rid| rid < FIRST_ORDINARY_RID) {
        return Some(Reason::OwnerBuiltIn);
    }
    None
}

/// Decides about one SID.
pub(crate) fn judge_sid(
    sid: &Sid,
    rules: &Rules,
    forest: &Forest,
    principals: &Principals,
) -> SidVerdict {
    if let Some(reason) = refused_by_form(sid, forest) {
        return SidVerdict::Refused(reason);
    }
    match principals.find(sid) {
        None | Some(PrincipalFacts::Unknown) => SidVerdict::Unknown,
        Some(PrincipalFacts::NotFound) => SidVerdict::Refused(Reason::OwnerUnresolved),
        Some(PrincipalFacts::User { protected: true }) if !rules.allow_protected_owners => {
            SidVerdict::Refused(Reason::OwnerProtected)
        }
        Some(PrincipalFacts::User { .. }) => SidVerdict::Written,
    }
}
