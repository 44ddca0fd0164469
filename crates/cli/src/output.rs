//! Results on the standard output, errors on the standard error.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io::{self, BufWriter, IsTerminal as _, Write};

use device_writeback::core::plan::{Plan, Refusal, RefusalCode};
use device_writeback::core::render::{Format, RenderError, RenderOptions, render};
use device_writeback::engine::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::args::{ColorChoice, Global, OutputFormat};
use crate::text::safe;

/// Changes, and devices under a code, that text lists unless everything is asked for.
const LISTED: usize = 200;

/// Where records that a plan names by number stand.
pub(crate) type Places = BTreeMap<u64, String>;

/// How results are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) format: OutputFormat,
    pub(crate) quiet: bool,
    color: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let color = match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
            }
        };
        Self {
            format: global.format,
            quiet: global.quiet,
            color,
        }
    }

    /// Whether results are documents for programs.
    pub(crate) fn is_json(self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Writes a result. A reader that has seen enough (`| head`) is no failure.
    ///
    /// # Errors
    /// The standard output cannot be written.
    pub(crate) fn write(
        self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        match write(&mut out).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::new(
                ErrorKind::Config,
                "the result cannot be written to the standard output",
            )
            .with_remedy("send it somewhere with room for it")
            .with_source(error)),
            _ => {
                // What is still buffered has no reader.
                let _ = out.into_parts();
                Ok(())
            }
        }
    }

    /// Writes a document.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub(crate) fn document(self, document: &Value) -> Result<(), Error> {
        self.write(|out| {
            serde_json::to_writer_pretty(&mut *out, document)?;
            writeln!(out)
        })
    }

    /// How plans are shown.
    pub(crate) fn render_options(self, all: bool) -> RenderOptions {
        let mut options = RenderOptions::default();
        options.color = self.color;
        options.max_changes = (!all).then_some(LISTED);
        options.verbose = all;
        if all {
            options.max_rows = usize::MAX;
        }
        options
    }

    /// Says what stopped the command: for people on the standard error, for programs on the standard output too.
    pub(crate) fn error(self, error: &Error) {
        // Nobody is left to be told that this cannot be written.
        let _ = tell(error, &mut io::stderr().lock());
        if self.is_json() {
            let _ = self.document(&error_document(error));
        }
    }

    /// Says something besides the result, on the standard error.
    pub(crate) fn note(self, lines: &[String]) {
        let mut out = io::stderr().lock();
        for line in lines {
            let _ = writeln!(out, "{line}");
        }
    }
}

/// Writes `plan` as `format`; text gets the places of records instead of their numbers.
pub(crate) fn write_plan(
    plan: &Plan,
    format: Format,
    options: &RenderOptions,
    places: &Places,
    out: &mut dyn Write,
) -> io::Result<()> {
    let result = if format == Format::Text && !places.is_empty() {
        render(plan, format, options, &mut Located::new(places, out))
    } else {
        render(plan, format, options, out)
    };
    result.map_err(|error| match error {
        // As it is, so that a closed pipe can be told from a full disk.
        RenderError::Write { source, .. } => source,
        other => io::Error::other(other),
    })
}

/// What a limit said, and how it can be exceeded.
pub(crate) fn refusal_lines(refusal: &Refusal, exceed: String) -> Vec<String> {
    let mut lines = vec![format!(
        "{}; nothing is written",
        safe(&refusal.to_string())
    )];
    // Where everything is missing there is nothing to look at: the message says what to put right instead.
    if !matches!(
        refusal.code,
        RefusalCode::EmptySource | RefusalCode::EmptyScope
    ) {
        lines.push(exceed);
    }
    lines
}

fn tell(error: &Error, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "error: {}", safe(&error.to_string()))?;
    for cause in causes(error) {
        writeln!(out, "  cause: {}", safe(&cause))?;
    }
    let result = error.ldap_result().map(ToString::to_string);
    if let Some(result) = result.filter(|result| !error.chain().contains(result)) {
        writeln!(out, "  LDAP result: {}", safe(&result))?;
    }
    if let Some(id) = error.request_id() {
        writeln!(out, "  request-id: {}", safe(id))?;
    }
    if let Some(remedy) = error.remedy() {
        writeln!(out, "help: {}", safe(remedy))?;
    }
    out.flush()
}

/// The causes, none of which says what one before it said already.
fn causes(error: &Error) -> Vec<String> {
    let mut said = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
        source = cause.source();
    }
    said.split_off(1)
}

fn error_document(error: &Error) -> Value {
    json!({
        "format_version": 1,
        "kind": "error",
        "error": {
            "kind": error.kind(),
            "message": error.to_string(),
            "causes": causes(error),
            "remedy": error.remedy(),
            "ldap_result": error.ldap_result().map(|result| json!({
                "code": result.code.0,
                "name": result.code.name(),
                "message": result.message,
            })),
            "request_id": error.request_id(),
        }
    })
}

/// Passes a plan's text on, line by line, with `at FILE, byte N` for `record N`.
struct Located<'a> {
    places: &'a Places,
    line: Vec<u8>,
    out: &'a mut dyn Write,
}

impl<'a> Located<'a> {
    fn new(places: &'a Places, out: &'a mut dyn Write) -> Self {
        Self {
            places,
            line: Vec::new(),
            out,
        }
    }
}

impl Write for Located<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                match std::str::from_utf8(&self.line)
                    .ok()
                    .and_then(|line| located(line, self.places))
                {
                    Some(line) => self.out.write_all(line.as_bytes())?,
                    None => self.out.write_all(&self.line)?,
                }
                self.line.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The line of a listed record; its number stands before any text of the record's own.
fn located(line: &str, places: &Places) -> Option<String> {
    if !line.starts_with("          ") {
        return None;
    }
    let (before, rest) = line.split_once("  record ")?;
    let end = rest
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(rest.len());
    let (number, after) = rest.split_at_checked(end)?;
    let place = places.get(&number.parse().ok()?)?;
    Some(format!("{before}  at {}{after}", safe(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once_and_made_harmless() {
        let error = Error::new(
            ErrorKind::Source,
            "reading devices\u{1b}.json: no such file",
        )
        .with_remedy("give it\na name")
        .with_source(
            Error::new(ErrorKind::Source, "no such file")
                .with_source(Error::new(ErrorKind::Source, "the disk is gone")),
        );
        let mut out = Vec::new();
        tell(&error, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "error: reading devices\\u{1b}.json: no such file\n  cause: the disk is gone\nhelp: give it\\u{a}a name\n"
        );
        let document = error_document(&error);
        assert_eq!(document["error"]["kind"], "source");
        assert_eq!(document["error"]["causes"], json!(["the disk is gone"]));
    }

    #[test]
    fn record_numbers_become_places() {
        let places = Places::from([(1234, "devices/page-2.json, byte 1234".to_owned())]);
        let mut out = Vec::new();
        let mut located = Located::new(&places, &mut out);
        for piece in [
            "  record 1234\n          0000  rec",
            "ord 1234  accountEnabled:  record 1234 is no boolean\n          0001  record 12\n",
            "          record 1234\n",
        ] {
            located.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "  record 1234\n          0000  at devices/page-2.json, byte 1234  accountEnabled:  record 1234 is no boolean\n          0001  record 12\n          at devices/page-2.json, byte 1234\n"
        );
    }
}
