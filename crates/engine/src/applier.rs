//! Carrying out an approved plan.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use device_writeback_core::apply::Target;
use device_writeback_core::apply::{
    Answer, Execution, Outcome, Progress, Request, Verdict, is_settled, operations,
};
use device_writeback_core::guid::DeviceId;
use device_writeback_core::plan::{Action, ApprovedPlan, Change, Plan};
use device_writeback_core::schema::Attribute;
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use crate::control::{Control, Stage};
use crate::driver::{Engine, Learned, plan_error};
use crate::error::Error;
use crate::ports::{CloudSource, Directory, JournalEntry, JournalOutcome, RunStart, StateStore};
use crate::report::{Failure, LdapResultDocument, Report};

/// How often a change is begun when the directory says that it may do better in a moment; it sets the pauses between.
const TRIES: usize = 8;
/// How often a change is begun when the directory cannot be asked, which has tried for itself to be asked.
const TRIES_UNREACHABLE: usize = 3;
/// After how many changes in a row that could not be asked for the rest is not begun.
const UNREACHABLE: usize = 3;
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
        let taken = self.verified(plan.plan()).await?;
        // What the source named alive is not in a plan; the rest of what its making has shown is.
        let learned = Learned::from_plan(plan.plan(), Vec::new());
        self.carry_out(plan, learned, &taken, control).await
    }

    pub(crate) async fn carry_out(
        &self,
        approved: &ApprovedPlan,
        mut learned: Learned,
        taken: &BTreeSet<DeviceId>,
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
                .carry_out_changes(approved, number, &mut learned, taken, &mut report, control)
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
        taken: &BTreeSet<DeviceId>,
        report: &mut Report,
        control: &Control,
    ) -> Result<Vec<JournalOutcome>, Error> {
        let plan = approved.plan();
        let total = plan.len() as u64;
        let mut outcomes = Vec::with_capacity(plan.len());
        // Where each change was carried out: a directory that moves to another server may lose what the first one said.
        let mut epochs = Vec::with_capacity(plan.len());
        let mut changes = plan.changes().enumerate().peekable();
        let mut journalling = None;
        let mut waiting: VecDeque<Waiting> = VecDeque::new();
        let mut busy: BTreeSet<String> = BTreeSet::new();
        let mut flight = FuturesUnordered::new();
        let mut stop = Stop::default();
        loop {
            // The journal is one batch ahead, so that nothing in flight waits for it.
            if journalling.is_none()
                && waiting.len() < JOURNALLED
                && changes.peek().is_some()
                && !stop.is_set(control)
            {
                let batch = changes
                    .by_ref()
                    .take(JOURNALLED)
                    .map(|(number, change)| Ok((number as u64, change.map_err(plan_error)?)))
                    .collect::<Result<_, Error>>();
                match batch {
                    Ok(batch) => journalling = Some(Box::pin(self.journal(run, batch))),
                    Err(error) => stop.because(error),
                }
            }
            let window = self.directory.window().max(1);
            while flight.len() < window
                && !stop.is_set(control)
                && waiting
                    .front()
                    .is_some_and(|waiting| !busy.contains(&waiting.name))
                && let Some(Waiting {
                    number,
                    change,
                    name,
                }) = waiting.pop_front()
            {
                busy.insert(name.clone());
                let has_object =
                    change.action == Action::Create && taken.contains(&change.device_id);
                flight.push(async move {
                    let carried_out = match has_object {
                        true => CarriedOut::stale_create(number, change, self.directory.epoch()),
                        false => self.carry_out_change(number, change).await,
                    };
                    (carried_out, name)
                });
            }
            let next = match (journalling.take(), flight.is_empty()) {
                (None, true) => break,
                (None, false) => Either::Right(flight.next().await),
                (Some(journal), true) => Either::Left(journal.await),
                (Some(journal), false) => match select(journal, flight.next()).await {
                    Either::Left((journalled, _)) => Either::Left(journalled),
                    Either::Right((carried_out, journal)) => {
                        journalling = Some(journal);
                        Either::Right(carried_out)
                    }
                },
            };
            match next {
                Either::Left(Ok(batch)) => waiting.extend(batch.into_iter().map(Waiting::new)),
                // What is in flight is not left alone.
                Either::Left(Err(error)) => stop.because(error),
                Either::Right(None) => {}
                Either::Right(Some((carried_out, name))) => {
                    let CarriedOut {
                        number,
                        change,
                        outcome,
                        epoch,
                        unreachable,
                    } = carried_out;
                    busy.remove(&name);
                    if outcome.verdict == Verdict::Done
                        && let Some(object) = change.object_id
                    {
                        learned.known.push((change.device_id, object));
                    }
                    stop.saw(unreachable.then_some(&outcome));
                    outcomes.push(record(number, &change, &outcome, report));
                    epochs.push(epoch);
                    control.progress(Stage::Apply, outcomes.len() as u64, Some(total));
                }
            }
        }
        if let Some(error) = stop.error {
            return Err(error);
        }
        self.settle(plan, &mut outcomes, &epochs, report).await?;
        // A cancellation may come in the middle of a batch, the last one too.
        report.not_begun = total.saturating_sub(outcomes.len() as u64);
        report.cancelled = report.not_begun > 0 && control.is_cancelled();
        report.stopped = stop.unreachable.filter(|_| report.not_begun > 0);
        Ok(outcomes)
    }

    /// Makes a batch of changes last in the journal, and gives it back.
    async fn journal(
        &self,
        run: u64,
        batch: Vec<(u64, Change)>,
    ) -> Result<Vec<(u64, Change)>, Error> {
        let entries: Vec<_> = batch
            .iter()
            .map(|(number, change)| journal_entry(*number, change))
            .collect();
        self.state.journal(run, &entries).await?;
        Ok(batch)
    }

    async fn carry_out_change(&self, number: u64, mut change: Change) -> CarriedOut {
        let mut tries = 0;
        loop {
            tries += 1;
            let executed;
            (executed, change) = self.execute(change).await;
            let Executed {
                mut outcome,
                epoch,
                unreachable,
            } = executed;
            let moved = epoch != self.directory.epoch();
            if outcome.verdict == Verdict::Retry && moved && change.action == Action::Create {
                // Added there and here, it would be there twice when the two meet again.
                outcome.verdict = Verdict::Failed;
                outcome.message = "the server that was sent the object was lost, and the one in its place does not have it; it may still arrive from there, so it is not added a second time in this run".to_owned();
            }
            let most = if unreachable {
                TRIES_UNREACHABLE
            } else {
                TRIES
            };
            if outcome.verdict != Verdict::Retry || tries >= most {
                return CarriedOut {
                    number,
                    change,
                    outcome,
                    epoch: self.directory.epoch(),
                    unreachable,
                };
            }
            tracing::debug!(device = %change.device_id, tries, outcome = %outcome, "trying again");
        }
    }

    async fn execute(&self, change: Change) -> (Executed, Change) {
        let (mut execution, mut request) = Execution::start(change);
        let mut epoch = self.directory.epoch();
        loop {
            let answered = match &request {
                Request::Read(target) => self.directory.read(target).await.map(Answer::Object),
                Request::Write(operation) => {
                    epoch = self.directory.epoch();
                    self.directory.write(operation).await.map(Answer::Result)
                }
            };
            let progress = match (answered, &request) {
                (Ok(answer), _) => execution.answer(answer),
                (Err(error), Request::Write(_)) => {
                    tracing::debug!(error = %error, "the answer to a write was lost, reading the object");
                    execution.uncertain()
                }
                // Beginning anew is safe: whatever took effect is found to be done.
                (Err(error), Request::Read(_)) => {
                    let executed = Executed {
                        outcome: Outcome {
                            verdict: Verdict::Retry,
                            already: false,
                            result: error.ldap_result().cloned(),
                            message: error.chain(),
                        },
                        epoch,
                        unreachable: true,
                    };
                    return (executed, execution.into_change());
                }
            };
            match progress {
                Progress::Next(next) => request = next,
                Progress::Finished(outcome) => {
                    let executed = Executed {
                        outcome,
                        epoch,
                        unreachable: false,
                    };
                    return (executed, execution.into_change());
                }
            }
        }
    }

    /// Looks again at what was done at another server than the one that is asked now: a server that was lost may have taken
    /// acknowledged writes with it. What is not there is not done.
    async fn settle(
        &self,
        plan: &Plan,
        outcomes: &mut [JournalOutcome],
        epochs: &[u64],
        report: &mut Report,
    ) -> Result<(), Error> {
        let now = self.directory.epoch();
        let mut doubtful: BTreeMap<u64, &mut JournalOutcome> = outcomes
            .iter_mut()
            .zip(epochs)
            .filter(|(outcome, epoch)| outcome.verdict == Verdict::Done && **epoch != now)
            .map(|(outcome, _)| (outcome.number, outcome))
            .collect();
        if doubtful.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            changes = doubtful.len(),
            "looking again at what was done at the server that was lost"
        );
        let mut changes = plan.changes().enumerate();
        let mut flight = FuturesUnordered::new();
        loop {
            while flight.len() < self.directory.window().max(1)
                && let Some((number, change)) =
                    changes.find(|(number, _)| doubtful.contains_key(&(*number as u64)))
            {
                let change = change.map_err(plan_error)?;
                flight.push(async move {
                    let target = Target {
                        dn: change.dn.clone(),
                        guid: change.object_guid,
                    };
                    let object = self.directory.read(&target).await;
                    (number as u64, change, object)
                });
            }
            let Some((number, change, object)) = flight.next().await else {
                return Ok(());
            };
            let lost = match object {
                Ok(object) if is_settled(&change, object.as_ref()) => continue,
                Ok(_) => "done at a server that was lost, and not to be seen at the one in its place; it may still arrive from there".to_owned(),
                Err(error) => format!("done at a server that was lost; {}", error.chain()),
            };
            if let Some(outcome) = doubtful.get_mut(&number) {
                report.take_back(&change, &lost);
                outcome.verdict = Verdict::Failed;
                outcome.message = lost;
            }
        }
    }
}

/// A change that is in the journal and not begun.
struct Waiting {
    number: u64,
    change: Change,
    /// The object's name, to compare: two changes of one object are never under way together.
    name: String,
}

impl Waiting {
    fn new((number, change): (u64, Change)) -> Self {
        Self {
            number,
            name: change.dn.normalized(),
            change,
        }
    }
}

/// What became of a change, and where.
struct CarriedOut {
    number: u64,
    change: Change,
    outcome: Outcome,
    epoch: u64,
    unreachable: bool,
}

impl CarriedOut {
    /// A create that is not begun: the device has an object of another name.
    fn stale_create(number: u64, change: Change, epoch: u64) -> Self {
        Self {
            number,
            change,
            outcome: Outcome {
                verdict: Verdict::Stale,
                already: false,
                result: None,
                message:
                    "an object of this device, of another name, has come since the plan was made"
                        .to_owned(),
            },
            epoch,
            unreachable: false,
        }
    }
}

/// One attempt at a change.
struct Executed {
    outcome: Outcome,
    /// The server that was sent the last write.
    epoch: u64,
    /// Whether the directory could not be asked.
    unreachable: bool,
}

/// Why no more changes are begun.
#[derive(Default)]
struct Stop {
    /// What makes the rest pointless.
    error: Option<Error>,
    /// How many changes in a row found no directory.
    in_a_row: usize,
    /// The directory does not come back.
    unreachable: Option<String>,
}

impl Stop {
    fn is_set(&self, control: &Control) -> bool {
        control.is_cancelled() || self.error.is_some() || self.unreachable.is_some()
    }

    fn because(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// A change has ended; `unreachable` is its outcome when the directory could not be asked.
    fn saw(&mut self, unreachable: Option<&Outcome>) {
        let Some(outcome) = unreachable else {
            self.in_a_row = 0;
            return;
        };
        self.in_a_row += 1;
        if self.in_a_row >= UNREACHABLE {
            self.unreachable
                .get_or_insert_with(|| outcome.message.clone());
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
