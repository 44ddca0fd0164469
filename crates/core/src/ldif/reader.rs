//! Reading of LDIF.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{AttrVal, Body, LdifError, ModOp, ModSpec, Record};
use crate::error::{quoted, quoted_bytes};

/// Where the first record in `buffer` ends, the blank lines after it included. `at_eof` says that
/// nothing follows the buffer.
///
/// `None` asks for more octets; with `at_eof`, it means that the buffer is empty. Blank lines
/// before the first record are returned on their own, [`parse_record`] reads them as `None`.
pub fn record_end(buffer: &[u8], at_eof: bool) -> Option<usize> {
    let mut end = match buffer {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => match find_blank(buffer) {
            Some(end) => end,
            None => return (at_eof && !buffer.is_empty()).then_some(buffer.len()),
        },
    };
    loop {
        match buffer.get(end..) {
            Some([b'\n', ..]) => end += 1,
            Some([b'\r', b'\n', ..]) => end += 2,
            // Another blank line could follow.
            None | Some([] | [b'\r']) if !at_eof => return None,
            _ => return Some(end),
        }
    }
}

/// Reads one record, with or without the blank lines around it.
///
/// `None` if there is none: only comments, or the `version` line.
///
/// # Errors
/// Refuses what [RFC 2849] does not define, values given by URL, and controls. Values that should
/// be in base64 because they are not ASCII are accepted, as many tools write them so.
pub fn parse_record(record: &[u8]) -> Result<Option<Record>, LdifError> {
    let mut lines = Lines::new(record);
    let Some(line) = dn_line(&mut lines)? else {
        return Ok(None);
    };
    let (dn, dn_span) = (line.text()?, line.span);
    let body = parse_body(&mut lines)?;
    Ok(Some(Record { dn, dn_span, body }))
}

/// The `dn` line, with the `version` line before it checked; `None` without either.
pub(super) fn dn_line<'a>(lines: &mut Lines<'a>) -> Result<Option<Line<'a>>, LdifError> {
    let Some(mut line) = lines.next_line()? else {
        return Ok(None);
    };
    if line.name.eq_ignore_ascii_case("version") {
        if &*line.value != b"1" {
            return Err(line.error("the version of LDIF must be 1"));
        }
        match lines.next_line()? {
            Some(next) => line = next,
            None => return Ok(None),
        }
    }
    if !line.name.eq_ignore_ascii_case("dn") {
        let start = quoted(&line.name);
        return Err(line.error(format!(
            "a record starts with \"dn\", not with {start}; ldapsearch leaves its own lines out with -LLL"
        )));
    }
    Ok(Some(line))
}

/// Reads all records of a text that is in memory as a whole. After an error, reading continues
/// with the next record.
pub fn parse_all(text: &[u8]) -> Records<'_> {
    Records {
        text,
        lines_before: 0,
    }
}

/// Iterator of [`parse_all`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    text: &'a [u8],
    lines_before: usize,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, LdifError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let end = record_end(self.text, true)?;
            let (record, rest) = self.text.split_at_checked(end)?;
            self.text = rest;
            let lines_before = self.lines_before;
            self.lines_before += memchr::memchr_iter(b'\n', record).count();
            match parse_record(record) {
                Ok(None) => {}
                Ok(Some(record)) => return Some(Ok(record)),
                Err(LdifError { line, message }) => {
                    return Some(Err(LdifError {
                        line: lines_before + line,
                        message,
                    }));
                }
            }
        }
    }
}

/// The end of the first blank line that follows another line.
fn find_blank(buffer: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', buffer).find_map(|at| match buffer.get(at + 1..) {
        Some([b'\n', ..]) => Some(at + 2),
        Some([b'\r', b'\n', ..]) => Some(at + 3),
        _ => None,
    })
}

fn parse_body(lines: &mut Lines<'_>) -> Result<Body, LdifError> {
    let Some(first) = lines.next_line()? else {
        return Ok(Body::Content(Vec::new()));
    };
    if first.name.eq_ignore_ascii_case("control") {
        return Err(first.error("controls are not supported; remove the line"));
    }
    if !first.name.eq_ignore_ascii_case("changetype") {
        return Ok(Body::Content(parse_attributes(Some(first), lines)?));
    }
    let kind = first.value.to_ascii_lowercase();
    match kind.as_slice() {
        b"add" => Ok(Body::Add(parse_attributes(None, lines)?)),
        b"delete" => match lines.next_line()? {
            None => Ok(Body::Delete),
            Some(line) => Err(line.error("nothing can follow \"changetype: delete\"")),
        },
        b"modify" => Ok(Body::Modify(parse_changes(lines)?)),
        b"modrdn" | b"moddn" => parse_mod_dn(lines),
        _ => Err(first.error(format!(
            "{} is no changetype; add, delete, modify, modrdn and moddn are",
            quoted_bytes(&first.value)
        ))),
    }
}

fn parse_attributes(
    first: Option<Line<'_>>,
    lines: &mut Lines<'_>,
) -> Result<Vec<AttrVal>, LdifError> {
    let mut attributes = Vec::with_capacity(16);
    let mut line = first;
    loop {
        let Some(current) = line
            .take()
            .map_or_else(|| lines.next_line(), |line| Ok(Some(line)))?
        else {
            return Ok(attributes);
        };
        // A record that runs into the next one must not pass for a single one.
        if ["dn", "changetype", "-"]
            .iter()
            .any(|word| current.name.eq_ignore_ascii_case(word))
        {
            return Err(current.error(format!(
                "{} cannot stand among attributes; is the blank line between two records missing?",
                quoted(&current.name)
            )));
        }
        attributes.push(AttrVal {
            name: current.name.into_owned(),
            value: current.value.into_owned(),
            span: current.span,
        });
    }
}

fn parse_changes(lines: &mut Lines<'_>) -> Result<Vec<ModSpec>, LdifError> {
    let mut changes = Vec::new();
    while let Some(line) = lines.next_line()? {
        let op = [ModOp::Add, ModOp::Delete, ModOp::Replace]
            .into_iter()
            .find(|op| line.name.eq_ignore_ascii_case(op.as_str()))
            .ok_or_else(|| {
                line.error(format!(
                    "{} is no kind of change; add, delete and replace are",
                    quoted(&line.name)
                ))
            })?;
        let name = line.text()?;
        if !is_attribute_name(name.as_bytes()) {
            return Err(line.error(format!("{} is no attribute name", quoted(&name))));
        }
        let mut values = Vec::new();
        loop {
            let Some(line) = lines.next_line()? else {
                return Err(LdifError {
                    line: lines.number.max(1),
                    message: "the change ends without a line \"-\"".to_owned(),
                });
            };
            if line.name == "-" {
                break;
            }
            if !line.name.eq_ignore_ascii_case(&name) {
                return Err(line.error(format!(
                    "a value of {} is expected here, or \"-\" to end the change",
                    quoted(&name)
                )));
            }
            values.push(line.value.into_owned());
        }
        changes.push(ModSpec { op, name, values });
    }
    Ok(changes)
}

fn parse_mod_dn(lines: &mut Lines<'_>) -> Result<Body, LdifError> {
    let new_rdn = lines.expect("newrdn")?.text()?;
    let flag = lines.expect("deleteoldrdn")?;
    let delete_old_rdn = match &*flag.value {
        b"0" => false,
        b"1" => true,
        _ => return Err(flag.error("deleteoldrdn is 0 or 1")),
    };
    let new_superior = match lines.next_line()? {
        None => None,
        Some(line) if line.name.eq_ignore_ascii_case("newsuperior") => Some(line.text()?),
        Some(line) => return Err(line.error("only newsuperior can follow deleteoldrdn")),
    };
    if let Some(line) = lines.next_line()? {
        return Err(line.error("nothing can follow newsuperior"));
    }
    Ok(Body::ModDn {
        new_rdn,
        delete_old_rdn,
        new_superior,
    })
}

/// The lines of a record, put together from their folded parts.
pub(super) struct Lines<'a> {
    record: &'a [u8],
    at: usize,
    /// Number of the physical line last read, counted from 1.
    number: usize,
    /// What was met so far; a record has no blank line within.
    progress: Progress,
}

#[derive(PartialEq)]
enum Progress {
    Before,
    Inside,
    After,
}

/// `name: value`, or the `-` that ends a change, with an empty value.
pub(super) struct Line<'a> {
    number: usize,
    span: Range<usize>,
    pub(super) name: Cow<'a, str>,
    value: Cow<'a, [u8]>,
}

/// A line as it stands in the record, which may be folded.
pub(super) struct Logical<'a> {
    pub(super) number: usize,
    span: Range<usize>,
    /// The first physical line.
    pub(super) first: &'a [u8],
    pub(super) is_folded: bool,
}

impl Line<'_> {
    fn error(&self, message: impl Into<String>) -> LdifError {
        LdifError {
            line: self.number,
            message: message.into(),
        }
    }

    pub(super) fn text(&self) -> Result<String, LdifError> {
        match std::str::from_utf8(&self.value) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.error(format!(
                "the value of {} is not UTF-8 text: {}",
                quoted(&self.name),
                quoted_bytes(&self.value)
            ))),
        }
    }
}

impl<'a> Line<'a> {
    pub(super) fn into_text(self) -> Result<Cow<'a, str>, LdifError> {
        match self.value {
            Cow::Borrowed(value) if let Ok(text) = std::str::from_utf8(value) => {
                Ok(Cow::Borrowed(text))
            }
            _ => self.text().map(Cow::Owned),
        }
    }
}

impl<'a> Lines<'a> {
    pub(super) fn new(record: &'a [u8]) -> Self {
        // Editors on Windows put a byte order mark at the start of a file.
        let at = if record.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        Self {
            record,
            at,
            number: 0,
            progress: Progress::Before,
        }
    }

    fn expect(&mut self, name: &str) -> Result<Line<'a>, LdifError> {
        match self.next_line()? {
            Some(line) if line.name.eq_ignore_ascii_case(name) => Ok(line),
            Some(line) => Err(line.error(format!("{name} is expected here"))),
            None => Err(LdifError {
                line: self.number.max(1),
                message: format!("the record ends where {name} is expected"),
            }),
        }
    }

    /// The next line that is no comment.
    fn next_line(&mut self) -> Result<Option<Line<'a>>, LdifError> {
        let Some(logical) = self.next_logical()? else {
            return Ok(None);
        };
        let text = if logical.is_folded {
            let mut unfolded = Vec::new();
            self.unfold(&logical, &mut unfolded);
            Cow::Owned(unfolded)
        } else {
            Cow::Borrowed(logical.first)
        };
        let number = logical.number;
        match parse_line(text) {
            Ok((name, value)) => Ok(Some(Line {
                number,
                span: logical.span,
                name,
                value,
            })),
            Err(message) => Err(LdifError {
                line: number,
                message,
            }),
        }
    }

    /// As [`next_line`](Self::next_line), without looking into the line.
    pub(super) fn next_logical(&mut self) -> Result<Option<Logical<'a>>, LdifError> {
        loop {
            let start = self.at;
            let Some(first) = self.next_physical() else {
                return Ok(None);
            };
            let number = self.number;
            if first.is_empty() {
                if self.progress == Progress::Inside {
                    self.progress = Progress::After;
                }
                continue;
            }
            let mut is_folded = false;
            while self.record.get(self.at) == Some(&b' ') {
                is_folded = true;
                self.next_physical();
            }
            if first.starts_with(b"#") {
                continue;
            }
            if self.progress == Progress::After {
                let message = "the record goes on after a blank line".to_owned();
                return Err(LdifError {
                    line: number,
                    message,
                });
            }
            self.progress = Progress::Inside;
            return Ok(Some(Logical {
                number,
                span: start..self.at,
                first,
                is_folded,
            }));
        }
    }

    /// Appends the line put together from its parts.
    pub(super) fn unfold(&self, line: &Logical<'a>, out: &mut Vec<u8>) {
        out.extend_from_slice(line.first);
        let parts = self.record.get(line.span.clone()).unwrap_or_default();
        for part in parts.split(|octet| *octet == b'\n').skip(1) {
            if let Some(part) = part.strip_prefix(b" ") {
                out.extend_from_slice(part.strip_suffix(b"\r").unwrap_or(part));
            }
        }
    }

    /// The next physical line without its end.
    fn next_physical(&mut self) -> Option<&'a [u8]> {
        let rest = self.record.get(self.at..).filter(|rest| !rest.is_empty())?;
        self.number += 1;
        let line = match memchr::memchr(b'\n', rest) {
            Some(end) => {
                self.at += end + 1;
                rest.get(..end)?
            }
            None => {
                self.at = self.record.len();
                rest
            }
        };
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Name and decoded value of an unfolded line.
type NameValue<'a> = (Cow<'a, str>, Cow<'a, [u8]>);

fn parse_line(text: Cow<'_, [u8]>) -> Result<NameValue<'_>, String> {
    match text {
        Cow::Borrowed(text) => split_line(text),
        Cow::Owned(text) => split_line(&text).map(|(name, value)| {
            (
                Cow::Owned(name.into_owned()),
                Cow::Owned(value.into_owned()),
            )
        }),
    }
}

fn split_line(text: &[u8]) -> Result<NameValue<'_>, String> {
    let (name, value) = split_encoded(text)?;
    let value = match value {
        Encoded::Plain(value) => Cow::Borrowed(value),
        Encoded::Base64(base64) => {
            let mut octets = Vec::new();
            decode_base64(name, base64, &mut octets)?;
            Cow::Owned(octets)
        }
    };
    Ok((Cow::Borrowed(name), value))
}

/// A value as it stands in a line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Encoded<'a> {
    Plain(&'a [u8]),
    Base64(&'a [u8]),
}

/// Appends the octets that `base64`, a value of `name`, stands for.
pub(super) fn decode_base64(name: &str, base64: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    STANDARD
        .decode_vec(base64, out)
        .map_err(|_| format!("the value of {} is not base64", quoted(name)))
}

/// Name and value of an unfolded line, the value not yet decoded.
pub(super) fn split_encoded(text: &[u8]) -> Result<(&str, Encoded<'_>), String> {
    if text == b"-" {
        return Ok(("-", Encoded::Plain(&[])));
    }
    let Some((name, rest)) = memchr::memchr(b':', text)
        .and_then(|colon| text.split_at_checked(colon))
        .and_then(|(name, rest)| Some((name, rest.get(1..)?)))
    else {
        return Err(format!(
            "{} is not of the form \"name: value\"",
            quoted_bytes(text)
        ));
    };
    let name = std::str::from_utf8(name)
        .ok()
        .filter(|name| is_attribute_name(name.as_bytes()))
        .ok_or_else(|| format!("{} is no attribute name", quoted_bytes(name)))?;
    let value = match rest {
        [b':', base64 @ ..] => Encoded::Base64(base64.trim_ascii()),
        [b'<', ..] => {
            return Err(format!(
                "the value of {} is given by URL, which is not followed; put the value itself here",
                quoted(name)
            ));
        }
        _ => {
            let start = rest
                .iter()
                .position(|octet| *octet != b' ')
                .unwrap_or(rest.len());
            let value = rest.get(start..).unwrap_or(&[]);
            if memchr::memchr2(b'\r', b'\0', value).is_some() {
                return Err(format!(
                    "the value of {} holds a carriage return or NUL; write it in base64",
                    quoted(name)
                ));
            }
            Encoded::Plain(value)
        }
    };
    Ok((name, value))
}

/// Whether `name` can be an attribute description with its options ([RFC 4512] 2.5).
fn is_attribute_name(name: &[u8]) -> bool {
    name.first().is_some_and(u8::is_ascii_alphanumeric)
        && name.iter().all(|octet| {
            matches!(octet, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b';' | b'_')
        })
}
