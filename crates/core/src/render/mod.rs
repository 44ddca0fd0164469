//! A plan for readers: a terminal, a program, LDAP's own tools, a change board.
//!
//! Every renderer takes the changes one by one from the plan's spool, so that memory does not follow the size of the plan.
//! Device names are text that anybody with a device can choose; each renderer makes them harmless for its medium.

mod html;
mod json;
mod ldif;
mod safe;
mod text;
mod value;

use std::fmt;
use std::io;
use std::str::FromStr;

pub use json::PLAN_SCHEMA;
pub use safe::terminal_safe;

use crate::error::InvalidValue;
use crate::plan::{Completeness, Plan, PlanError, Refusal};
use crate::rules::ReasonKind;
use crate::schema::Profile;

/// A form in which a plan can be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// For people at a terminal.
    #[default]
    Text,
    /// The plan document, `format_version` 1, described by [`PLAN_SCHEMA`]; what can be applied later.
    Json,
    /// LDIF change records (RFC 2849) for OpenLDAP's `ldapmodify` and Windows' `ldifde`.
    Ldif,
    /// One self-contained page for people in a browser.
    Html,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Self] = &[Self::Text, Self::Json, Self::Ldif, Self::Html];

    /// The format's name: `text`, `json`, `ldif`, `html`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Ldif => "ldif",
            Self::Html => "html",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = InvalidValue;

    fn from_str(name: &str) -> Result<Self, InvalidValue> {
        Self::ALL
            .iter()
            .copied()
            .find(|format| format.as_str() == name)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|format| format.as_str()).collect();
                InvalidValue::new(
                    "format",
                    format!(
                        "\"{}\" is none of {}",
                        terminal_safe(name),
                        names.join(", ")
                    ),
                )
            })
    }
}

/// How a plan is shown. Start from [`RenderOptions::default`] and set what should differ.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RenderOptions {
    /// HTML: rows of each table; what is left out is stated on the page. Default 2,000.
    pub max_rows: usize,
    /// Text: colours, as terminal escape sequences of the renderer's own. Default off.
    pub color: bool,
    /// Text: changes shown, of all actions together; `None`, the default, shows all.
    pub max_changes: Option<usize>,
    /// Text: the objects' names and marks with each change, and every skipped device with its sentence. Default off.
    pub verbose: bool,
    /// All but JSON: what the limits said ([`Plan::check_limits`]); `None`, the default, when nobody asked them.
    pub limits: Option<Result<(), Refusal>>,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            max_rows: 2_000,
            color: false,
            max_changes: None,
            verbose: false,
            limits: None,
        }
    }
}

/// Why a plan could not be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The plan's own changes could not be read.
    #[error("the plan's changes cannot be read back while it is shown as {format}")]
    Plan {
        /// The format that was asked for.
        format: Format,
        /// What the plan said.
        #[source]
        source: PlanError,
    },
    /// The output could not be written.
    #[error("the plan cannot be written out as {format}")]
    Write {
        /// The format that was asked for.
        format: Format,
        /// What the writer said.
        #[source]
        source: io::Error,
    },
}

/// Writes `plan` to `out` as `format`, in UTF-8. Same plan, same options, same bytes.
///
/// `out` gets many small pieces: give it a buffer.
///
/// # Errors
/// [`RenderError::Write`] when `out` fails, [`RenderError::Plan`] when the plan's spool does.
pub fn render(
    plan: &Plan,
    format: Format,
    options: &RenderOptions,
    out: &mut dyn io::Write,
) -> Result<(), RenderError> {
    let result = match format {
        Format::Text => text::render(plan, options, out),
        Format::Json => json::render(plan, out),
        Format::Ldif => ldif::render(plan, options, out),
        Format::Html => html::render(plan, options, out),
    };
    result.map_err(|failure| match failure {
        Failure::Plan(source) => RenderError::Plan { format, source },
        Failure::Write(source) => RenderError::Write { format, source },
    })
}

/// What a renderer fails with, before the format's name is added.
enum Failure {
    Plan(PlanError),
    Write(io::Error),
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

type Rendered = Result<(), Failure>;

/// What a reader has to know before looking at the changes. Not escaped yet.
fn warnings(plan: &Plan, options: &RenderOptions) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(Err(refusal)) = &options.limits {
        warnings.push(format!(
            "nothing of this plan is applied: {}",
            refusal.message
        ));
    }
    for (side, completeness) in [
        ("source", plan.source_completeness()),
        ("directory", plan.directory_completeness()),
    ] {
        if let Completeness::Incomplete(why) = completeness {
            warnings.push(format!(
                "the {side} was not read completely, so nothing is retired for being absent: {why}"
            ));
        }
    }
    let missing = &plan.summary().missing_attributes;
    if !missing.is_empty() {
        warnings.push(format!(
            "the directory's schema lacks {}: left out everywhere",
            missing.join(", ")
        ));
    }
    if plan.take_over() {
        warnings.push(
            "take-over: marked objects that this source has never known are treated as ours".into(),
        );
    }
    warnings
}

/// What a plan is about: label, value, and whether the value is an identifier. Not escaped yet.
fn head_rows(plan: &Plan) -> [(&'static str, String, bool); 6] {
    let identity = plan.identity();
    let side = |id: &str, read| match id {
        "" => completeness(read),
        id => format!("{id}, {}", completeness(read)),
    };
    let domain = identity
        .domain_guid
        .map_or_else(|| "not known".to_owned(), |guid| guid.to_string());
    let source = side(&identity.source_id, plan.source_completeness());
    let directory = side(&identity.directory_id, plan.directory_completeness());
    [
        ("Tenant", identity.tenant_id.to_string(), true),
        ("Source", source, false),
        ("Directory", directory, false),
        ("Domain", domain, true),
        ("Container", identity.container.to_string(), true),
        ("Profile", profile(plan.profile()).to_owned(), false),
    ]
}

/// How complete a side is, in a word or a sentence. Not escaped yet.
fn completeness(completeness: &Completeness) -> String {
    match completeness {
        Completeness::Full => "complete".into(),
        Completeness::Partial => "chosen records only".into(),
        Completeness::Incomplete(why) => format!("incomplete: {why}"),
    }
}

/// Retirements and their share of our objects.
fn retirements(plan: &Plan) -> String {
    let summary = plan.summary();
    let (count, ours) = (summary.retirements, summary.our_objects);
    let share = match summary
        .retirements
        .saturating_mul(1_000)
        .checked_div(summary.our_objects)
    {
        Some(tenths) => format!(" ({}.{} %)", tenths / 10, tenths % 10),
        None => String::new(),
    };
    format!(
        "{} of {} objects of ours{share}",
        grouped(count),
        grouped(ours)
    )
}

fn profile(profile: Profile) -> &'static str {
    match profile {
        Profile::Adfs => "adfs",
        Profile::Connect => "connect",
    }
}

fn kind(kind: ReasonKind) -> &'static str {
    match kind {
        ReasonKind::Change => "change",
        ReasonKind::Skipped => "skipped",
        ReasonKind::Held => "held",
        ReasonKind::Conflict => "conflict",
        ReasonKind::Notice => "notice",
    }
}

/// A number with its thousands apart: `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 change`, `2 changes`: for nouns that take an s.
fn counted(number: u64, noun: &str) -> String {
    format!(
        "{} {noun}{}",
        grouped(number),
        if number == 1 { "" } else { "s" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names_that_read_back() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(*format));
        }
        let error = "pdf\u{1b}".parse::<Format>().unwrap_err().to_string();
        assert_eq!(
            error,
            r#"invalid format: "pdf\u{1b}" is none of text, json, ldif, html"#
        );
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(counted(1, "change"), "1 change");
        assert_eq!(counted(2_000, "change"), "2,000 changes");
    }
}
