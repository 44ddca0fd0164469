//! A change on its way: what to ask the directory next, and what its answer means.

use std::fmt;

use super::operation::{Operation, Target, mark_for_deletion, needs_reading, operations, target};
use super::result::{OperationResult, ResultCode};
use crate::attributes::{parse_number, same_meaning};
use crate::boolean::ldap_boolean;
use crate::directory::DirectoryObject;
use crate::plan::{Action, AttributeChange, Change, Octets};
use crate::schema::{Attribute, Equality};

/// What the directory is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Read the object with the attributes of the schema table (base scope).
    Read(Target),
    /// Perform this write.
    Write(Operation),
}

/// What the directory answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a read: the object, or `None` when there is none.
    Object(Option<DirectoryObject>),
    /// To a write.
    Result(OperationResult),
}

/// The verdict on a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The object is as the plan wanted it.
    Done,
    /// The object is not what the plan saw: somebody else was there. Plan again.
    Stale,
    /// The server may do better in a moment; begin again with a fresh [`Execution`].
    Retry,
    /// The server refused.
    Failed,
}

impl Verdict {
    /// The verdict's name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stale => "stale",
            Self::Retry => "retry",
            Self::Failed => "failed",
        }
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// For [`Verdict::Done`]: nothing had to be written, the object was already as wanted.
    pub already: bool,
    /// The LDAP result that decided, if one did.
    pub result: Option<OperationResult>,
    /// What was found, for people; empty for an ordinary success.
    pub message: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verdict.as_str())?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if let Some(result) = &self.result {
            write!(f, ": {result}")?;
        }
        Ok(())
    }
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Ask the directory this.
    Next(Request),
    /// The change has ended.
    Finished(Outcome),
}

/// What an LDAP result of a write says about it, by itself. [`Execution`] reads the object where that does not settle it.
pub fn classify(operation: &Operation, result: &OperationResult) -> Verdict {
    Written::from(operation).verdict(result.code)
}

/// What kind of write it was.
#[derive(Clone, Copy, Debug)]
enum Written {
    Add,
    Modify,
    Delete,
}

impl From<&Operation> for Written {
    fn from(operation: &Operation) -> Self {
        match operation {
            Operation::Add { .. } => Self::Add,
            Operation::Modify { .. } => Self::Modify,
            Operation::Delete { .. } => Self::Delete,
        }
    }
}

impl Written {
    fn verdict(self, code: ResultCode) -> Verdict {
        match (self, code) {
            (_, ResultCode::SUCCESS) => Verdict::Done,
            (_, code) if code.is_transient() => Verdict::Retry,
            (Self::Delete, ResultCode::NO_SUCH_OBJECT) => Verdict::Done,
            (Self::Add, ResultCode::ENTRY_ALREADY_EXISTS)
            | (
                Self::Modify,
                ResultCode::NO_SUCH_OBJECT
                | ResultCode::NO_SUCH_ATTRIBUTE
                | ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
            ) => Verdict::Stale,
            _ => Verdict::Failed,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Reading before the write.
    Before,
    /// The write, or the first of two.
    Write,
    /// Reading after a write that succeeded.
    After,
    /// Reading after a write that was refused as stale.
    Settle,
    /// Deleting after the mark was asserted.
    Delete,
}

/// Carries out one change: [`Execution::start`] gives the first request, [`Execution::answer`] takes each answer.
#[derive(Debug)]
pub struct Execution {
    change: Change,
    stage: Stage,
    written: Option<Written>,
    refused: Option<OperationResult>,
}

impl Execution {
    /// The change, and the first request.
    pub fn start(change: Change) -> (Self, Request) {
        let reads = match change.action {
            Action::Create => false,
            Action::Delete => true,
            // Deleting by value asserts numbers and flags exactly; text and sets need eyes.
            Action::Update | Action::Disable => needs_reading(&change),
        };
        let mut execution = Self {
            change,
            stage: Stage::Before,
            written: None,
            refused: None,
        };
        let request = if reads {
            Request::Read(target(&execution.change))
        } else {
            execution.stage = Stage::Write;
            match operations(&execution.change).into_iter().next() {
                Some(operation) => execution.write(operation),
                None => Request::Read(target(&execution.change)),
            }
        };
        (execution, request)
    }

    /// The change.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// The change, when its execution has ended and another one is to begin.
    pub fn into_change(self) -> Change {
        self.change
    }

    /// Takes the answer to the last request.
    pub fn answer(&mut self, answer: Answer) -> Progress {
        match (self.stage, answer) {
            (Stage::Before, Answer::Object(object)) => self.before(object.as_ref()),
            (Stage::Write, Answer::Result(result)) => self.written(result),
            (Stage::After | Stage::Settle, Answer::Object(object)) => self.after(object.as_ref()),
            (Stage::Delete, Answer::Result(result)) => match result.code {
                ResultCode::SUCCESS | ResultCode::NO_SUCH_OBJECT => done(false),
                code if code.is_transient() => ended(Verdict::Retry, "", Some(result)),
                _ => ended(
                    Verdict::Failed,
                    "the object is disabled but could not be deleted",
                    Some(result),
                ),
            },
            _ => ended(
                Verdict::Failed,
                "the directory adapter answered another question than the one asked",
                None,
            ),
        }
    }

    /// Instead of an answer to a write: the connection was lost, nobody knows whether it took effect. The object is read.
    pub fn uncertain(&mut self) -> Progress {
        self.stage = Stage::Settle;
        self.refused = None;
        Progress::Next(Request::Read(target(&self.change)))
    }

    fn write(&mut self, operation: Operation) -> Request {
        self.written = Some(Written::from(&operation));
        Request::Write(operation)
    }

    fn before(&mut self, object: Option<&DirectoryObject>) -> Progress {
        let Some(object) = object else {
            return match self.change.action {
                Action::Delete => done(true),
                _ => ended(Verdict::Stale, "the object is gone", None),
            };
        };
        let seen = compare(&self.change, object);
        if self.change.action == Action::Delete {
            return match seen {
                Seen::Foreign(what) => ended(Verdict::Stale, what, None),
                Seen::AsPlanned | Seen::InTarget | Seen::Different => self.begin_delete(object),
            };
        }
        match seen {
            Seen::InTarget => done(true),
            Seen::AsPlanned => {
                self.stage = Stage::Write;
                match operations(&self.change).into_iter().next() {
                    Some(operation) => Progress::Next(self.write(operation)),
                    None => done(true),
                }
            }
            Seen::Different => ended(
                Verdict::Stale,
                "somebody changed the object since the plan was made",
                None,
            ),
            Seen::Foreign(what) => ended(Verdict::Stale, what, None),
        }
    }

    fn begin_delete(&mut self, object: &DirectoryObject) -> Progress {
        let planned = self
            .change
            .attribute(Attribute::KeyCredentialLink)
            .map_or(&[][..], |keys| &keys.old);
        let keys: Vec<Octets> = values(object, Attribute::KeyCredentialLink);
        if !same_meaning(Attribute::KeyCredentialLink, planned, &keys) {
            return ended(
                Verdict::Stale,
                "the object's keys changed since the plan was made",
                None,
            );
        }
        // A first try that was cut short has disabled the object already; nothing of ours enables one that goes.
        let enabled = values(object, Attribute::IsEnabled);
        let on = Octets::from(ldap_boolean(true));
        let was_on = self
            .change
            .attribute(Attribute::IsEnabled)
            .is_some_and(|change| change.old.contains(&on));
        if enabled.contains(&on) && !was_on {
            return ended(
                Verdict::Stale,
                "somebody enabled the object since the plan was made",
                None,
            );
        }
        let operation = mark_for_deletion(&self.change, &enabled);
        self.stage = Stage::Write;
        Progress::Next(self.write(operation))
    }

    fn written(&mut self, result: OperationResult) -> Progress {
        let Some(written) = self.written else {
            return ended(Verdict::Failed, "nothing was written", Some(result));
        };
        match written.verdict(result.code) {
            Verdict::Done if self.change.action == Action::Delete => {
                self.stage = Stage::Delete;
                let operation = Operation::Delete {
                    target: target(&self.change),
                };
                Progress::Next(self.write(operation))
            }
            Verdict::Done
                if self.change.action != Action::Create && needs_reading(&self.change) =>
            {
                self.stage = Stage::After;
                Progress::Next(Request::Read(target(&self.change)))
            }
            Verdict::Done => done(false),
            Verdict::Stale => {
                self.stage = Stage::Settle;
                self.refused = Some(result);
                Progress::Next(Request::Read(target(&self.change)))
            }
            // Servers disagree on how to refuse a second value of a single-valued attribute.
            Verdict::Failed
                if result.code == ResultCode::CONSTRAINT_VIOLATION
                    && matches!(self.change.action, Action::Update | Action::Disable) =>
            {
                self.stage = Stage::Settle;
                self.refused = Some(result);
                Progress::Next(Request::Read(target(&self.change)))
            }
            verdict => ended(verdict, "", Some(result)),
        }
    }

    fn after(&mut self, object: Option<&DirectoryObject>) -> Progress {
        let refused = self.refused.take();
        let settling = self.stage == Stage::Settle;
        let Some(object) = object else {
            return match self.change.action {
                Action::Delete => done(true),
                Action::Create if refused.is_none() => {
                    ended(Verdict::Retry, "the write did not take effect", None)
                }
                _ => ended(Verdict::Stale, "the object is gone", refused),
            };
        };
        match compare(&self.change, object) {
            Seen::InTarget if self.change.action != Action::Delete => done(settling),
            Seen::Foreign(what) => ended(Verdict::Stale, what, refused),
            _ if settling && refused.is_none() && (self.change.action == Action::Delete) => {
                ended(Verdict::Retry, "the delete did not take effect", None)
            }
            Seen::AsPlanned if settling && refused.is_none() => {
                ended(Verdict::Retry, "the write did not take effect", None)
            }
            Seen::AsPlanned
                if refused
                    .as_ref()
                    .is_some_and(|result| result.code == ResultCode::CONSTRAINT_VIOLATION) =>
            {
                ended(Verdict::Failed, "", refused)
            }
            _ if settling => ended(
                Verdict::Stale,
                "the object is not what the plan saw",
                refused,
            ),
            _ => ended(
                Verdict::Stale,
                "somebody changed the object while it was being written",
                refused,
            ),
        }
    }
}

/// Whether `object` is what a change that is done leaves behind: as wanted, or gone after a delete.
pub fn is_settled(change: &Change, object: Option<&DirectoryObject>) -> bool {
    match (change.action, object) {
        (Action::Delete, object) => object.is_none(),
        (_, None) => false,
        (_, Some(object)) => matches!(compare(change, object), Seen::InTarget),
    }
}

/// How an object compares with what the plan saw and wants.
enum Seen {
    AsPlanned,
    InTarget,
    Different,
    Foreign(&'static str),
}

fn compare(change: &Change, object: &DirectoryObject) -> Seen {
    if object.device_id().ok() != Some(change.device_id) {
        return Seen::Foreign("the object belongs to another device now");
    }
    if change.object_guid.is_some() && object.guid.is_some() && change.object_guid != object.guid {
        return Seen::Foreign("another object has taken the name");
    }
    // By its GUID an object is found wherever it went; what is done here is done in the container only.
    if object.dn != change.dn {
        return Seen::Foreign("the object was moved or renamed since the plan was made");
    }
    let mark = object.values.first(Attribute::CloudAnchor);
    let new_mark = change
        .attribute(Attribute::CloudAnchor)
        .and_then(|anchor| anchor.new.first());
    let mark_fits = mark == change.mark.as_ref().map(|mark| mark.as_ref())
        || (new_mark.is_some() && mark == new_mark.map(|mark| mark.as_ref()));
    if !mark_fits {
        return Seen::Foreign("the object's mark is not the one the plan saw");
    }
    if change
        .attributes
        .iter()
        .all(|attribute| in_target(attribute, object))
    {
        Seen::InTarget
    } else if change
        .attributes
        .iter()
        .all(|attribute| as_planned(attribute, object))
    {
        Seen::AsPlanned
    } else {
        Seen::Different
    }
}

fn values(object: &DirectoryObject, attribute: Attribute) -> Vec<Octets> {
    let mut values: Vec<Octets> = object.values.values(attribute).map(Octets::from).collect();
    values.sort_unstable();
    values
}

fn in_target(change: &AttributeChange, object: &DirectoryObject) -> bool {
    let current = values(object, change.attribute);
    if change.attribute.schema().equality == Equality::Raised {
        let number = |values: &[Octets]| {
            values
                .first()
                .and_then(|value| parse_number(value.as_ref()))
        };
        // AD FS raises the time stamp too; further is as good.
        return number(&current) >= number(&change.new);
    }
    same_meaning(change.attribute, &current, &change.new)
}

fn as_planned(change: &AttributeChange, object: &DirectoryObject) -> bool {
    values(object, change.attribute) == change.old
}

fn done(already: bool) -> Progress {
    Progress::Finished(Outcome {
        verdict: Verdict::Done,
        already,
        result: None,
        message: String::new(),
    })
}

fn ended(verdict: Verdict, message: &str, result: Option<OperationResult>) -> Progress {
    Progress::Finished(Outcome {
        verdict,
        already: false,
        result,
        message: message.to_owned(),
    })
}
