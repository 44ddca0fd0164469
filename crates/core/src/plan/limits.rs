//! How much a run may take away, and the permission to apply.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::document::{Completeness, Plan};
use crate::guid::DeviceId;

/// Limits on retirements: deletes, and disables because a device is gone, soft-deleted or out of scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// At most this many retirements in a run, and in any 24 hours.
    pub max_retirements: u64,
    /// At most this share (0 to 1) of our objects in a run, and in any 24 hours, once there are more than [`Limits::share_applies_above`].
    pub max_retirement_share: f64,
    /// Up to this many retirements the share is not looked at: a forest with five devices may lose one.
    pub share_applies_above: u64,
    /// A saved plan older than this many hours is not applied.
    pub max_plan_age_hours: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_retirements: 500,
            max_retirement_share: 0.10,
            share_applies_above: 10,
            max_plan_age_hours: 24,
        }
    }
}

/// What happened before this run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Devices retired in the last 24 hours.
    pub retired: BTreeSet<DeviceId>,
    /// Number of our objects as of the last full import; a plan made from full imports brings its own.
    pub our_objects: Option<u64>,
}

/// Permission to exceed the limits, good for exactly one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// The digest of the plan that was looked at.
    pub digest: [u8; 32],
}

/// Why a plan may not be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalCode {
    /// More retirements than [`Limits::max_retirements`] in this run.
    TooManyRetirements,
    /// More retirements than [`Limits::max_retirements`] within 24 hours.
    TooManyRetirementsInADay,
    /// A larger share of our objects than [`Limits::max_retirement_share`] in this run.
    ShareTooLarge,
    /// A larger share of our objects than [`Limits::max_retirement_share`] within 24 hours.
    ShareTooLargeInADay,
    /// The source has no live device at all.
    EmptySource,
    /// No live device is in scope.
    EmptyScope,
}

impl RefusalCode {
    /// The stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooManyRetirements => "too_many_retirements",
            Self::TooManyRetirementsInADay => "too_many_retirements_in_a_day",
            Self::ShareTooLarge => "share_too_large",
            Self::ShareTooLargeInADay => "share_too_large_in_a_day",
            Self::EmptySource => "empty_source",
            Self::EmptyScope => "empty_scope",
        }
    }
}

/// A plan was refused: nothing of it is applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[error("refused ({}): {message}", code.as_str())]
pub struct Refusal {
    /// Which limit.
    pub code: RefusalCode,
    /// Numbers and remedy.
    pub message: String,
}

/// A plan that has passed the limits. Only [`Plan::approve`] makes one, and only this can be applied.
pub struct ApprovedPlan(Plan);

impl ApprovedPlan {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.0
    }

    /// The plan, without the permission.
    pub fn into_plan(self) -> Plan {
        self.0
    }
}

impl fmt::Debug for ApprovedPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApprovedPlan").field(&self.0).finish()
    }
}

impl Plan {
    /// Checks the limits. On a refusal the plan comes back, to be shown.
    ///
    /// # Errors
    /// [`Refusal`] with the plan: when one limit trips, nothing at all may be applied.
    pub fn approve(
        self,
        limits: &Limits,
        history: &History,
        exception: Option<Override>,
    ) -> Result<ApprovedPlan, Box<(Self, Refusal)>> {
        if exception.is_some_and(|exception| exception.digest == self.digest()) {
            return Ok(ApprovedPlan(self));
        }
        match self.check_limits(limits, history) {
            Ok(()) => Ok(ApprovedPlan(self)),
            Err(refusal) => Err(Box::new((self, refusal))),
        }
    }

    /// The check of [`Plan::approve`], without giving permission.
    ///
    /// # Errors
    /// [`Refusal`] names the first limit that trips.
    pub fn check_limits(&self, limits: &Limits, history: &History) -> Result<(), Refusal> {
        let summary = self.summary();
        let full = *self.source_completeness() == Completeness::Full;
        let refuse = |code, message| Err(Refusal { code, message });
        // Only a reading that claims to be complete can be empty by mistake.
        if *self.source_completeness() != Completeness::Partial {
            if summary.live_devices == 0 {
                return refuse(
                    RefusalCode::EmptySource,
                    "the source has no live device; an empty export is no reason to empty the directory. Check the source".into(),
                );
            }
            if summary.in_scope == 0 {
                return refuse(
                    RefusalCode::EmptyScope,
                    format!(
                        "none of the {} live devices is in scope; check the filters in rules",
                        summary.live_devices
                    ),
                );
            }
        }
        let planned: BTreeSet<DeviceId> = self.retired_devices().collect();
        if planned.is_empty() {
            return Ok(());
        }
        let run = planned.len() as u64;
        let day = history.retired.union(&planned).count() as u64;
        let most = limits.max_retirements;
        if run > most {
            return refuse(
                RefusalCode::TooManyRetirements,
                format!("{run} retirements are planned, limits.max_retirements allows {most}"),
            );
        }
        if day > most {
            return refuse(
                RefusalCode::TooManyRetirementsInADay,
                format!(
                    "with the {run} planned there would be {day} retirements within 24 hours, limits.max_retirements allows {most}"
                ),
            );
        }
        let ours = if full {
            summary.our_objects
        } else {
            history.our_objects.unwrap_or(summary.our_objects)
        };
        let allowed = share(ours, limits.max_retirement_share);
        let percent = limits.max_retirement_share * 100.0;
        if run > limits.share_applies_above && run > allowed {
            return refuse(
                RefusalCode::ShareTooLarge,
                format!(
                    "{run} retirements are planned, limits.max_retirement_share allows {percent:.0} % of our {ours} objects ({allowed})"
                ),
            );
        }
        if day > limits.share_applies_above && day > allowed {
            return refuse(
                RefusalCode::ShareTooLargeInADay,
                format!(
                    "with the {run} planned there would be {day} retirements within 24 hours, limits.max_retirement_share allows {percent:.0} % of our {ours} objects ({allowed})"
                ),
            );
        }
        Ok(())
    }
}

/// The whole number of objects that a share allows; a share outside of 0 to 1, or no number, allows nothing.
fn share(ours: u64, share: f64) -> u64 {
    if (0.0..=1.0).contains(&share) {
        // 0.29 of 100 is 28.999999999999996 to a computer and 29 to everybody else.
        (ours as f64 * share + 1e-6).floor() as u64
    } else {
        0
    }
}
