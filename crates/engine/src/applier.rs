//! Carrying out an approved plan.

use std::collections::BTreeSet;
use std::time::Instant;

use device_writeback_core::apply::Target;
use device_writeback_core::apply::{
    Answer, Execution, Outcome, Progress, Request, Verdict, operations,
};
use device_writeback_core::plan::{ApprovedPlan, Change};
use device_writeback_core::schema::Attribute;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use crate::control::{Control, Stage};
use crate::driver::{Engine, Learned, plan_error};
use crate::error::Error;
use crate::ports::{CloudSource, Directory, JournalEntry, JournalOutcome, RunStart, StateStore};
use crate::report::{Failure, LdapResultDocument, Report};

/// How often a change is begun anew when the directory says that it may do better in a moment.
const TRIES: usize = 3;
/// How many changes are journalled together, ahead of their operations.
const JOURNALLED: usize = 256;

impl<S: CloudSource, D: Directory, T: StateStore> Engine<S, D, T> {
    /// Carries out exactly that plan: one outcome per change; one refused object is that object's problem. A plan may come
    /// from anywhere, so [`Engine::verify`] runs first, whoever called it before.
    ///
    /// # Errors
    /// [`Engine::verify`]'s, before anything is written. What makes the rest pointless: the state cannot be written, or the directory cannot make its writes last. The
    /// directory then holds what it held before, as far as it can.
    pub async fn apply(&self, plan: &ApprovedPlan, control: &Control) -> Result<Report, Error> {
        self.verify(plan.plan()).await?;
        // What the source named alive is not in a plan; the rest of what its making has shown is.
        let learned = Learned::from_plan(plan.plan(), Vec::new());
        self.carry_out(plan, learned, control).await
    }

    pub(crate) async fn carry_out(
        &self,
        approved: &ApprovedPlan,
        mut learned: Learned,
        control: &Control,
    ) -> Result<Report, Error> {
        let begun = Instant::now();
        let plan = approved.plan();
        let digest = plan
            .digest()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mut report = Report::new(digest, plan.len() as u64);
        let mut run = None;
        let mut outcomes = Vec::new();
        if !plan.is_empty() {
            let start = RunStart {
                time: self.options.now,
                tenant_id: self.options.tenant_id,
                plan_digest: plan.digest(),
            };
            let number = self.state.begin_run(&start).await?;
            run = Some(number);
            outcomes = self
                .carry_out_changes(approved, number, &mut learned, &mut report, control)
                .await?;
            self.directory.commit().await?;
            for chunk in outcomes.chunks(10_000) {
                self.state.outcomes(number, chunk).await?;
            }
        }
        learned.known.sort_unstable();
        learned.known.dedup_by_key(|known| known.0);
        self.state.end_run(self.run_end(run, learned)).await?;
        report.finish(begun.elapsed());
        tracing::info!(
            planned = report.planned,
            done = report.done,
            stale = report.stale,
            failed = report.failed,
            outcomes = outcomes.len(),
            "applied"
        );
        Ok(report)
    }

    async fn carry_out_changes(
        &self,
        approved: &ApprovedPlan,
        run: u64,
        learned: &mut Learned,
        report: &mut Report,
        control: &Control,
    ) -> Result<Vec<JournalOutcome>, Error> {
        let plan = approved.plan();
        let total = plan.len() as u64;
        let window = self.directory.window().max(1);
        let mut outcomes = Vec::with_capacity(plan.len());
        let mut changes = plan.changes().enumerate().peekable();
        while changes.peek().is_some() && !control.is_cancelled() {
            let mut batch = Vec::with_capacity(JOURNALLED);
            for (number, change) in changes.by_ref().take(JOURNALLED) {
                batch.push((number as u64, change.map_err(plan_error)?));
            }
            let entries: Vec<_> = batch
                .iter()
                .map(|(number, change)| journal_entry(*number, change))
                .collect();
            self.state.journal(run, &entries).await?;
            let mut waiting = batch.into_iter().peekable();
            let mut busy: BTreeSet<String> = BTreeSet::new();
            let mut flight = FuturesUnordered::new();
            loop {
                while flight.len() < window
                    && let Some((number, change)) = waiting.next_if(|(_, change)| {
                        !control.is_cancelled() && !busy.contains(&change.dn.normalized())
                    })
                {
                    busy.insert(change.dn.normalized());
                    flight.push(self.carry_out_change(number, change));
                }
                let Some((number, change, outcome)) = flight.next().await else {
                    break;
                };
                busy.remove(&change.dn.normalized());
                if outcome.verdict == Verdict::Done
                    && let Some(object) = change.object_id
                {
                    learned.known.push((change.device_id, object));
                }
                outcomes.push(record(number, &change, &outcome, report));
                control.progress(Stage::Apply, outcomes.len() as u64, Some(total));
            }
        }
        // A cancellation may come in the middle of a batch, the last one too.
        report.not_begun = total.saturating_sub(outcomes.len() as u64);
        report.cancelled = report.not_begun > 0;
        Ok(outcomes)
    }

    async fn carry_out_change(&self, number: u64, change: Change) -> (u64, Change, Outcome) {
        let mut tries = 0;
        loop {
            tries += 1;
            let outcome = self.execute(change.clone()).await;
            if outcome.verdict != Verdict::Retry || tries >= TRIES {
                return (number, change, outcome);
            }
            tracing::warn!(device = %change.device_id, tries, outcome = %outcome, "trying again");
        }
    }

    async fn execute(&self, change: Change) -> Outcome {
        let (mut execution, mut request) = Execution::start(change);
        loop {
            let answered = match &request {
                Request::Read(target) => self.directory.read(target).await.map(Answer::Object),
                Request::Write(operation) => {
                    self.directory.write(operation).await.map(Answer::Result)
                }
            };
            let progress = match (answered, &request) {
                (Ok(answer), _) => execution.answer(answer),
                (Err(error), Request::Write(_)) => {
                    tracing::warn!(error = %error, "the answer to a write was lost, reading the object");
                    execution.uncertain()
                }
                // Beginning anew is safe: whatever took effect is found to be done.
                (Err(error), Request::Read(_)) => {
                    return Outcome {
                        verdict: Verdict::Retry,
                        already: false,
                        result: error.ldap_result().cloned(),
                        message: chain(&error),
                    };
                }
            };
            match progress {
                Progress::Next(next) => request = next,
                Progress::Finished(outcome) => return outcome,
            }
        }
    }
}

fn journal_entry(number: u64, change: &Change) -> JournalEntry {
    let mut before: Vec<_> = change
        .attributes
        .iter()
        .filter(|change| !change.old.is_empty())
        .map(|change| (change.attribute, change.old.clone()))
        .collect();
    if let Some(mark) = &change.mark
        && !before
            .iter()
            .any(|(attribute, _)| *attribute == Attribute::CloudAnchor)
    {
        before.push((Attribute::CloudAnchor, vec![mark.clone()]));
    }
    JournalEntry {
        number,
        device_id: change.device_id,
        action: change.action,
        reason: change.reason,
        retirement: change.is_retirement(),
        target: Target {
            dn: change.dn.clone(),
            guid: change.object_guid,
        },
        before,
        operations: operations(change),
    }
}

fn record(number: u64, change: &Change, outcome: &Outcome, report: &mut Report) -> JournalOutcome {
    report.count(change.action, outcome.verdict, outcome.already);
    let message = match (&outcome.result, outcome.message.is_empty()) {
        (Some(result), true) => result.to_string(),
        (Some(result), false) => format!("{}: {result}", outcome.message),
        (None, _) => outcome.message.clone(),
    };
    if outcome.verdict != Verdict::Done {
        report.failures.push(Failure {
            device_id: change.device_id,
            dn: change.dn.clone(),
            action: change.action,
            verdict: outcome.verdict.as_str(),
            ldap_result: outcome.result.as_ref().map(LdapResultDocument::from),
            message: message.clone(),
        });
    }
    JournalOutcome {
        number,
        device_id: change.device_id,
        action: change.action,
        reason: change.reason,
        verdict: outcome.verdict,
        message,
    }
}

/// An error with its causes, each once.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
