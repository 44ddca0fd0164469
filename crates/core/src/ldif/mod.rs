//! LDIF ([RFC 2849]), octets in and octets out: the caller reads and writes the files.
//!
//! A large file is read record by record: [`record_end`] finds where the next record ends in what
//! was read so far, [`parse_record`] reads one. Spans are kept so that a file can be changed in
//! place without touching what did not change.

mod content;
mod reader;
mod writer;

use std::ops::Range;

pub use content::{ContentLine, ContentReader};
pub use reader::{Records, parse_all, parse_record, record_end};
pub use writer::{write_attr, write_comment, write_record, write_version};

/// One record: an object or a change to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The object's name, not parsed.
    pub dn: String,
    /// The octets of the `dn` line within the record, continuation lines and line end included.
    pub dn_span: Range<usize>,
    /// What the record says about the object.
    pub body: Body,
}

impl Record {
    /// A record that was not read from anywhere; its spans are empty.
    pub fn new(dn: impl Into<String>, body: Body) -> Self {
        Self {
            dn: dn.into(),
            dn_span: 0..0,
            body,
        }
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The attributes that the object has; a record without `changetype`.
    Content(Vec<AttrVal>),
    /// `changetype: add`: the attributes of a new object.
    Add(Vec<AttrVal>),
    /// `changetype: delete`.
    Delete,
    /// `changetype: modify`: the changes, in order.
    Modify(Vec<ModSpec>),
    /// `changetype: modrdn` or `moddn`.
    ModDn {
        /// The new relative name.
        new_rdn: String,
        /// Whether the old relative name's value is removed from the object.
        delete_old_rdn: bool,
        /// The new parent, when the object moves.
        new_superior: Option<String>,
    },
}

/// One value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttrVal {
    /// The attribute's name as written, options such as `;binary` included.
    pub name: String,
    /// The value's octets.
    pub value: Vec<u8>,
    /// The octets of the line within the record, continuation lines and line end included.
    pub span: Range<usize>,
}

impl AttrVal {
    /// A value that was not read from anywhere; its span is empty.
    pub fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            span: 0..0,
        }
    }
}

/// One change of a `changetype: modify` record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModSpec {
    /// What is done.
    pub op: ModOp,
    /// The attribute's name as written, options included.
    pub name: String,
    /// The values; none at all means every value, for [`ModOp::Delete`] and [`ModOp::Replace`].
    pub values: Vec<Vec<u8>>,
}

/// What a [`ModSpec`] does ([RFC 4511] 4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModOp {
    /// Adds the values.
    Add,
    /// Removes the values, or all of them.
    Delete,
    /// Puts the values in place of all others.
    Replace,
}

impl ModOp {
    /// The word LDIF has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Delete => "delete",
            Self::Replace => "replace",
        }
    }
}

/// LDIF that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct LdifError {
    /// The line, counted from 1: within the record for [`parse_record`], within the whole text
    /// for [`parse_all`].
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

#[cfg(test)]
mod tests;
