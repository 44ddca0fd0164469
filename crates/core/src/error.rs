//! What can go wrong, in two sizes: [`InvalidValue`] for one value that could not be read, and
//! [`ErrorKind`] for the table of kinds that every language binding shares.

use std::fmt;

use serde::{Serialize, Serializer};

/// How much of a refused value is quoted back, in characters after escaping.
const QUOTE_LIMIT: usize = 80;

/// A value that does not have the form its type asks for.
///
/// Quoted input is escaped and cut, so that the message can be shown on a terminal or written to
/// a log whatever the input was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what}: {detail}")]
pub struct InvalidValue {
    what: &'static str,
    detail: String,
}

impl InvalidValue {
    /// An error about a `what` (such as `"GUID"`); `detail` says what is wrong and what is
    /// expected instead.
    pub fn new(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            what,
            detail: detail.into(),
        }
    }

    /// The kind of value that was refused, such as `"GUID"`.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// What is wrong with it.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// The kinds of failure, one table for Rust, C and Python.
///
/// The names ([`as_str`](Self::as_str)) and numbers ([`code`](Self::code)) are stable; kinds may
/// be added.
///
/// Running again helps without any change for [`Source`](Self::Source) and
/// [`Directory`](Self::Directory) when the other side was unavailable, and for
/// [`Stale`](Self::Stale) after planning anew. The other kinds need somebody to act first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is missing something, contradicts itself, or cannot be read.
    Config,
    /// A document or value from outside does not have the form it must have.
    Data,
    /// A credential was refused or lacks a permission.
    Auth,
    /// The side that devices come from failed.
    Source,
    /// The directory that devices are written to failed.
    Directory,
    /// A limit or a safety rule held the run back; nothing was written.
    Refused,
    /// The directory or the source moved on since the plan was made.
    Stale,
    /// The caller asked to stop.
    Cancelled,
    /// The handle was made in another process, before a fork.
    Forked,
    /// A defect in this software.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order of the table.
    pub const ALL: &[Self] = &[
        Self::Config,
        Self::Data,
        Self::Auth,
        Self::Source,
        Self::Directory,
        Self::Refused,
        Self::Stale,
        Self::Cancelled,
        Self::Forked,
        Self::Internal,
    ];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Data => "data",
            Self::Auth => "auth",
            Self::Source => "source",
            Self::Directory => "directory",
            Self::Refused => "refused",
            Self::Stale => "stale",
            Self::Cancelled => "cancelled",
            Self::Forked => "forked",
            Self::Internal => "internal",
        }
    }

    /// The stable number, used by the C interface.
    pub const fn code(self) -> i32 {
        match self {
            Self::Config => 10,
            Self::Data => 20,
            Self::Auth => 30,
            Self::Source => 40,
            Self::Directory => 50,
            Self::Refused => 60,
            Self::Stale => 61,
            Self::Cancelled => 62,
            Self::Forked => 70,
            Self::Internal => 90,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// `text` in quotes, with everything that is not plain printable text escaped, cut to a length
/// that fits a message.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(QUOTE_LIMIT) + 4);
    out.push('"');
    let mut room = QUOTE_LIMIT;
    for character in text.chars() {
        let escaped = character.escape_debug();
        let Some(left) = room.checked_sub(escaped.len()) else {
            out.push_str("\"...");
            return out;
        };
        room = left;
        out.extend(escaped);
    }
    out.push('"');
    out
}

/// As [`quoted`], for octets that should have been text.
pub(crate) fn quoted_bytes(bytes: &[u8]) -> String {
    // Four octets make at most one character, so this much always fills the quote.
    let (head, cut) = match bytes.split_at_checked(QUOTE_LIMIT * 4 + 4) {
        Some((head, _)) => (head, true),
        None => (bytes, false),
    };
    let text = quoted(&String::from_utf8_lossy(head));
    if cut && !text.ends_with("...") {
        format!("{text}...")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_distinct_and_listed_once() {
        let names: std::collections::BTreeSet<_> =
            ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let codes: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(names.len(), 10);
        assert_eq!(codes, [10, 20, 30, 40, 50, 60, 61, 62, 70, 90]);
        assert_eq!(ErrorKind::Cancelled.to_string(), "cancelled");
        assert_eq!(serde_json::to_string(&ErrorKind::Data).unwrap(), "\"data\"");
    }

    #[test]
    fn message_names_the_value() {
        let error = InvalidValue::new("GUID", "too short");
        assert_eq!(error.to_string(), "invalid GUID: too short");
        assert_eq!((error.what(), error.detail()), ("GUID", "too short"));
    }

    #[test]
    fn quotes_are_escaped_and_cut() {
        assert_eq!(quoted("a\n\u{1b}[31m\"b"), r#""a\n\u{1b}[31m\"b""#);
        assert_eq!(quoted(&"x".repeat(80)), format!("\"{}\"", "x".repeat(80)));
        assert_eq!(
            quoted(&"x".repeat(81)),
            format!("\"{}\"...", "x".repeat(80))
        );
        assert!(quoted(&"\u{1}".repeat(1000)).len() < 90);
        assert_eq!(quoted_bytes(b"\xffa"), "\"\u{fffd}a\"");
        assert!(quoted_bytes(&[b'a'; 5000]).ends_with("\"..."));
    }
}
