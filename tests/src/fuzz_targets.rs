//! Fuzz targets: what must hold for any octets at all.
//!
//! One function per parser, used twice: by the fuzzers in `tests/fuzz` (`cargo xtask fuzz`) and
//! by the smoke test, which needs no nightly compiler. A target panics when its law is broken.
//! A new target needs an entry in [`TARGETS`], a file in `tests/fuzz/fuzz_targets` and seeds in
//! `tests/fuzz/seeds`.

use std::fmt::{Debug, Display};
use std::ops::Range;

use device_writeback_core::alt_security_id::AltSecurityId;
use device_writeback_core::dn::Dn;
use device_writeback_core::dn_binary::DnBinary;
use device_writeback_core::error::InvalidValue;
use device_writeback_core::graph::{BadRecord, CloudItem, CloudUser, Element, Reader, Resource};
use device_writeback_core::ldif::{self, Body, Record};
use device_writeback_core::plan::{MemorySpool, Plan};
use sha2::{Digest as _, Sha256};

/// A named target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name, also that of its fuzzer and its folder of seeds.
    pub name: &'static str,
    /// Runs the target on an input.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "alt_security_id",
        run: alt_security_id,
    },
    Target {
        name: "dn",
        run: dn,
    },
    Target {
        name: "dn_binary",
        run: dn_binary,
    },
    Target {
        name: "graph_page",
        run: graph_page,
    },
    Target {
        name: "ldif",
        run: ldif,
    },
    Target {
        name: "plan_file",
        run: plan_file,
    },
];

/// Alternative security ids: as `altSecurityIdentities` holds them, and as Graph's key.
pub fn alt_security_id(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    round_trip(text, AltSecurityId::parse);
    if let Some(id) = valid(AltSecurityId::from_graph_key(text)) {
        assert_eq!(
            AltSecurityId::from_graph_key(&id.to_graph_key()),
            Ok(id.clone())
        );
        assert_eq!(AltSecurityId::parse(id.as_str()), Ok(id));
    }
}

/// Distinguished names.
pub fn dn(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Some(name) = round_trip(text, Dn::parse) else {
        return;
    };
    // Equal names have equal keys, whatever their spelling.
    let again = Dn::parse(&name.to_string());
    assert_eq!(again.map(|again| again.normalized()), Ok(name.normalized()));
    if let Some(parent) = name.parent() {
        assert!(
            name.is_child_of(&parent) && name.is_below(&parent),
            "{name} below {parent}"
        );
    }
}

/// Values of the syntax Object(DN-Binary).
pub fn dn_binary(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    round_trip(text, DnBinary::parse);
}

/// Graph JSON: devices and users, whatever the pieces it arrives in.
pub fn graph_page(input: &[u8]) {
    graph_records::<CloudItem>(input);
    graph_records::<Result<CloudUser, BadRecord>>(input);
}

/// The records do not depend on where the network cuts the input.
fn graph_records<R: Resource + Debug + PartialEq>(input: &[u8]) {
    let whole = graph_read::<R>(&[input]);
    let limit = u64::try_from(input.len()).unwrap_or(u64::MAX);
    let offsets: Vec<u64> = whole.0.iter().map(|element| element.offset).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    assert!(offsets.iter().all(|&offset| offset < limit), "{offsets:?}");
    // Each piece may cost a look at the whole record again: small ones only for small inputs.
    let size = if input.len() < 100 { 1 } else { 97 };
    let pieces: Vec<&[u8]> = input.chunks(size).collect();
    assert_eq!(graph_read::<R>(&pieces), whole, "in pieces of {size}");
}

/// Every record, whether something stopped the reading, and the links.
type GraphRead<R> = (Vec<Element<R>>, bool, bool, bool);

fn graph_read<R: Resource>(pieces: &[&[u8]]) -> GraphRead<R> {
    let mut reader = Reader::<R>::new();
    let mut elements = Vec::new();
    let mut read = 0;
    // `None` stands for the end.
    for piece in pieces.iter().map(Some).chain([None]) {
        match piece {
            Some(piece) => reader.push(piece),
            None => reader.end(),
        }
        read += piece.map_or(0, |piece| piece.len());
        while let Some(element) = reader.next_record() {
            elements.push(element);
            assert!(elements.len() <= read, "more records than octets");
        }
    }
    if let Some(problem) = reader.problem() {
        one_line(&problem);
    }
    let links = (reader.has_next_link(), reader.has_delta_link());
    (elements, reader.problem().is_some(), links.0, links.1)
}

/// LDIF: records, their printed form, comments.
pub fn ldif(input: &[u8]) {
    let mut records = 0;
    for record in ldif::parse_all(input) {
        records += 1;
        assert!(records <= input.len(), "more records than octets");
        match record {
            Ok(record) => ldif_record(record),
            Err(error) => one_line(&error),
        }
    }
    for at_eof in [false, true] {
        if let Some(end) = ldif::record_end(input, at_eof) {
            assert!(
                end <= input.len(),
                "a record ends at {end} of {}",
                input.len()
            );
        }
    }
    // A comment is a comment whatever its text: no line of it may become a record.
    if let Ok(text) = std::str::from_utf8(input) {
        let mut comment = Vec::new();
        ldif::write_comment(&mut comment, text);
        let printed = comment.escape_ascii().to_string();
        assert!(
            comment.starts_with(b"#") && comment.ends_with(b"\n"),
            "{printed}"
        );
        assert_eq!(ldif::parse_all(&comment).count(), 0, "{printed}");
    }
}

/// Plan documents: as they are, and with a digest that fits whatever they say.
pub fn plan_file(input: &[u8]) {
    plan_document(input);
    if let Some(sealed) = sealed(input) {
        plan_document(&sealed);
    }
}

/// A plan document with the digest that fits what it says; `None` for bytes that have no digest at all.
pub fn sealed(document: &[u8]) -> Option<Vec<u8>> {
    const DIGEST: &[u8] = b",\n\"digest\":\"";
    let at = document
        .windows(DIGEST.len())
        .rposition(|window| window == DIGEST)?;
    let (body, _) = document.split_at_checked(at)?;
    let digest: [u8; 32] = Sha256::digest(body).into();
    let digest: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
    Some([body, DIGEST, digest.as_bytes(), b"\"\n}\n"].concat())
}

/// What is read is written again in the planner's own form, and reads the same then.
fn plan_document(input: &[u8]) {
    let parse = |bytes: &[u8]| Plan::parse(bytes, Box::<MemorySpool>::default());
    let plan = match parse(input) {
        Ok(plan) => plan,
        Err(error) => return one_line(&error),
    };
    let written = plan_written(&plan);
    let again = parse(&written)
        .map(|again| plan_written(&again))
        .map_err(|error| error.to_string());
    assert_eq!(
        again.map(|again| again.escape_ascii().to_string()),
        Ok(written.escape_ascii().to_string())
    );
    let mut retirements = 0;
    for change in plan.changes() {
        let change = change.unwrap_or_else(|e| broken(&format!("a change of a plan: {e}")));
        retirements += u64::from(change.is_retirement());
    }
    assert_eq!(retirements, plan.summary().retirements);
}

fn plan_written(plan: &Plan) -> Vec<u8> {
    let mut out = Vec::new();
    if let Err(error) = plan.write(&mut out) {
        broken(&format!("writing a plan to memory: {error}"));
    }
    out
}

fn ldif_record(record: Record) {
    let mut printed = Vec::new();
    ldif::write_record(&mut printed, &record);
    let text = printed.escape_ascii().to_string();
    assert!(printed.is_ascii(), "{text}");
    let longest = printed
        .split(|&octet| octet == b'\n')
        .map(<[u8]>::len)
        .max();
    assert!(longest <= Some(76), "{text}");
    let again: Vec<Record> = ldif::parse_all(&printed)
        .map(|again| without_spans(again.unwrap_or_else(|e| broken(&format!("{e}: {text}")))))
        .collect();
    assert_eq!(again, [without_spans(record)], "printed as {text}");
}

/// Where a value stood is not part of what it says.
fn without_spans(mut record: Record) -> Record {
    const NOWHERE: Range<usize> = 0..0;
    record.dn_span = NOWHERE;
    if let Body::Content(values) | Body::Add(values) = &mut record.body {
        values.iter_mut().for_each(|value| value.span = NOWHERE);
    }
    record
}

/// `parse(print(x)) == x`, and printing what was printed changes nothing.
fn round_trip<T>(text: &str, parse: fn(&str) -> Result<T, InvalidValue>) -> Option<T>
where
    T: Debug + Display + PartialEq,
{
    let value = valid(parse(text))?;
    let printed = value.to_string();
    let again = parse(&printed);
    assert_eq!(again.as_ref(), Ok(&value), "printed as {printed:?}");
    assert_eq!(again.map(|again| again.to_string()), Ok(printed));
    Some(value)
}

/// The value, if there is one; an error must be printable on one line.
fn valid<T>(outcome: Result<T, InvalidValue>) -> Option<T> {
    outcome.inspect_err(|error| one_line(error)).ok()
}

/// Errors end up in logs, where a second line would pass for an entry of its own.
fn one_line(error: &dyn Display) {
    let text = error.to_string();
    assert!(!text.contains(['\n', '\r', '\u{1b}']), "{text:?}");
}

#[expect(clippy::panic, reason = "a target panics when its law is broken")]
fn broken(law: &str) -> ! {
    panic!("{law}")
}
