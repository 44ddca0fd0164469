//! Who is written back, with which values: the rules between a [`crate::graph::CloudDevice`] and a [`DesiredDevice`].

pub(crate) mod flow;
mod options;
mod owner;
mod reason;
mod scope;

pub use flow::{DesiredDevice, Notice};
pub use options::{Adopt, NullFlag, Retire, Rules, Stale};
pub use owner::{PrincipalFacts, Principals};
pub(crate) use owner::{SidVerdict, judge_sid, needs_look_up};
pub use reason::{Reason, ReasonKind};
pub use scope::{Scope, Verdict};

use crate::attributes::AttributeMask;
use crate::filetime::FileTime;
use crate::schema::Attribute;
use crate::sid::Sid;

/// What the rules need to know of the forest and of the moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Forest {
    /// Attributes that the live schema has on `msDS-Device`.
    pub schema: AttributeMask,
    /// SIDs of the forest's domains.
    pub domain_sids: Vec<Sid>,
    /// `msDS-MaximumRegistrationInactivityPeriod` in days, when a registration service exists and it is not 0.
    pub inactivity_days: Option<u32>,
}

impl Forest {
    /// A forest whose schema has those attributes, with no known domain and no registration service.
    pub fn new(schema: AttributeMask) -> Self {
        Self {
            schema,
            domain_sids: Vec::new(),
            inactivity_days: None,
        }
    }
}

/// Everything that decides about a single device: the rules, the forest, the known principals and the time.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// The rules.
    pub rules: &'a Rules,
    /// The forest.
    pub forest: &'a Forest,
    /// What is known of the SIDs that may become owners.
    pub principals: &'a Principals,
    /// The moment the run counts from.
    pub now: FileTime,
}

impl Judge<'_> {
    /// The attributes of this run: managed by the profile and present in the schema.
    pub fn managed(&self) -> AttributeMask {
        Attribute::managed(self.rules.profile, u32::MAX).intersection(self.forest.schema)
    }
}
