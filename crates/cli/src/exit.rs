//! What the process says when it ends.

use std::process::ExitCode;

/// How a command ended; the numbers are part of the command line's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Failed.
    Failed,
    /// `plan`: changes are pending; `apply`, `sync`: some objects failed.
    Pending,
    /// A limit refused.
    Refused,
    /// Wrong usage.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Pending => 2,
            Exit::Refused => 3,
            Exit::Usage => 64,
        })
    }
}
