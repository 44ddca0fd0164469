//! From a [`Change`](crate::plan::Change) to LDAP operations, and from LDAP results back to what became of it.
//!
//! [`operations`] gives the operations as data. [`Execution`] adds the reading before and after that law 8 asks for: a change
//! that someone else made between plan and apply is not overwritten as far as LDAP lets us see it. Neither does any I/O: an
//! embedder with its own LDAP connection performs each [`Request`] and hands back the [`Answer`].
//!
//! What LDAP cannot show: AD compares text ignoring case, so a deletion by value also removes a value that differs in case
//! only; and a write on another domain controller that has not replicated yet is invisible here. Text and multi-valued
//! attributes are therefore read just before and just after the write.

mod execution;
mod operation;
mod result;

pub use execution::{Answer, Execution, Outcome, Progress, Request, Verdict, classify, is_settled};
pub use operation::{Modification, ModificationKind, Operation, Target, operations};
pub use result::{OperationResult, ResultCode};
