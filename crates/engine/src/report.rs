//! What became of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use device_writeback_core::apply::{OperationResult, Verdict};
use device_writeback_core::dn::Dn;
use device_writeback_core::guid::DeviceId;
use device_writeback_core::plan::{Action, Change};
use serde::Serialize;

/// `format_version` of the report document.
pub const REPORT_FORMAT_VERSION: u32 = 1;

/// One outcome per change, counted; those that are not done are named.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Version of this document.
    pub format_version: u32,
    /// Digest of the plan, in hexadecimal.
    pub plan_digest: String,
    /// Number of changes in the plan.
    pub planned: u64,
    /// Changes whose object is now as the plan wanted it.
    pub done: u64,
    /// Of these, changes that found their object that way already.
    pub already: u64,
    /// Changes whose object is not what the plan saw.
    pub stale: u64,
    /// Changes that the directory refused.
    pub failed: u64,
    /// Changes that were not begun because the run was cancelled or the directory was lost for good.
    pub not_begun: u64,
    /// Done changes by action.
    pub actions: BTreeMap<&'static str, u64>,
    /// Changes that are not done.
    pub failures: Vec<Failure>,
    /// Whether the run was cancelled.
    pub cancelled: bool,
    /// Why the rest was not begun, when the directory could not be asked any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}

/// A change that is not done.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The device.
    pub device_id: DeviceId,
    /// The object.
    pub dn: Dn,
    /// What should have been done.
    pub action: Action,
    /// `stale`, `retry` or `failed`.
    pub verdict: &'static str,
    /// The LDAP result that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ldap_result: Option<LdapResultDocument>,
    /// What was found.
    pub message: String,
}

/// An LDAP result in a document.
#[derive(Clone, Debug, Serialize)]
pub struct LdapResultDocument {
    /// The code.
    pub code: u32,
    /// Its name in [RFC 4511].
    pub name: &'static str,
    /// The server's message.
    pub message: String,
}

impl From<&OperationResult> for LdapResultDocument {
    fn from(result: &OperationResult) -> Self {
        Self {
            code: result.code.0,
            name: result.code.name(),
            message: result.message.clone(),
        }
    }
}

impl Report {
    pub(crate) fn new(plan_digest: String, planned: u64) -> Self {
        Self {
            format_version: REPORT_FORMAT_VERSION,
            plan_digest,
            planned,
            done: 0,
            already: 0,
            stale: 0,
            failed: 0,
            not_begun: 0,
            actions: BTreeMap::new(),
            failures: Vec::new(),
            cancelled: false,
            stopped: None,
            milliseconds: 0,
        }
    }

    pub(crate) fn count(&mut self, action: Action, verdict: Verdict, already: bool) {
        match verdict {
            Verdict::Done => {
                self.done += 1;
                self.already += u64::from(already);
                *self.actions.entry(action.as_str()).or_default() += 1;
            }
            Verdict::Stale => self.stale += 1,
            _ => self.failed += 1,
        }
    }

    /// A change that was counted as done is not.
    pub(crate) fn take_back(&mut self, change: &Change, message: &str) {
        self.done = self.done.saturating_sub(1);
        if let Some(count) = self.actions.get_mut(change.action.as_str()) {
            *count = count.saturating_sub(1);
        }
        self.actions.retain(|_, count| *count > 0);
        self.failed += 1;
        self.failures.push(Failure {
            device_id: change.device_id,
            dn: change.dn.clone(),
            action: change.action,
            verdict: Verdict::Failed.as_str(),
            ldap_result: None,
            message: message.to_owned(),
        });
    }

    pub(crate) fn finish(&mut self, elapsed: Duration) {
        self.milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.failures
            .sort_by(|left, right| (left.device_id, &left.dn).cmp(&(right.device_id, &right.dn)));
    }

    /// Whether every change is done.
    pub fn is_complete(&self) -> bool {
        self.done == self.planned
    }
}
