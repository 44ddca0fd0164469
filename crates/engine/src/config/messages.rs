//! What a configuration is told when it is wrong: the place, the key, and what would be right there.

use crate::error::{Error, ErrorKind};

/// The text of a configuration, and what messages call it.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) name: &'a str,
}

impl Text<'_> {
    /// An error about the value of the dotted `key`.
    pub(super) fn wrong(self, key: &str, what: &str, remedy: &str) -> Error {
        self.wrong_at(span_of(self.text, key), key, what, remedy)
    }

    /// An error about the dotted `key` at that position.
    pub(super) fn wrong_at(self, at: Option<usize>, key: &str, what: &str, remedy: &str) -> Error {
        let place = at.map_or_else(String::new, |at| place(self.text, at));
        Error::new(
            ErrorKind::Config,
            format!("{}{place}: {key} {what}", self.name),
        )
        .with_remedy(remedy)
    }

    /// An error about a key that `section` must have.
    pub(super) fn missing(self, section: &str, key: &str) -> Error {
        self.wrong_at(
            span_of(self.text, section),
            &format!("{section}.{key}"),
            "is missing",
            &format!("add {key} = ... under [{section}]"),
        )
    }

    /// What the TOML reader says, with place and key, and what would be right there.
    pub(super) fn explain(self, error: &toml::de::Error) -> Error {
        explain(self.text, self.name, error)
    }
}

/// What is said to whoever writes a password into a configuration.
const NO_SECRETS: &str = "secrets are never stored in the configuration: name a file with password_file, or an environment variable with password_env";

/// Turns the TOML reader's error into one that names place and key, and says what would be right there.
fn explain(text: &str, name: &str, error: &toml::de::Error) -> Error {
    let place = error
        .span()
        .map_or_else(String::new, |span| place(text, span.start));
    let message = error.message().trim().replace('\n', "; ");
    let within = path_of(error);
    let dotted = |key: &str| match within.as_deref() {
        Some(section) => format!("{section}.{key}"),
        None => key.to_owned(),
    };
    let mut quoted = message.split('`').skip(1).step_by(2);
    let first = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    let new = |what: String| Error::new(ErrorKind::Config, format!("{name}{place}: {what}"));
    if message.starts_with("unknown field") {
        let is_secret = matches!(first, "password" | "bind_password" | "secret");
        let remedy = if is_secret && known.contains(&"password_file") {
            NO_SECRETS.to_owned()
        } else {
            remedy_of(first, &known, "the keys here are")
        };
        return new(format!("there is no key {}", dotted(first))).with_remedy(remedy);
    }
    if message.starts_with("missing field") {
        let remedy = match (within.as_deref(), first) {
            (Some(section), _) => format!("add {first} = ... under [{section}]"),
            (None, "tenant_id") => "add tenant_id = \"...\" at the top".to_owned(),
            (None, _) => format!("add a section [{first}]"),
        };
        return new(format!("{} is missing", dotted(first))).with_remedy(remedy);
    }
    let key = within.unwrap_or_default();
    if message.starts_with("unknown variant") {
        let later = matches!(
            (key.as_str(), first),
            ("source.kind", "graph") | ("directory.auth", "kerberos" | "external")
        );
        let lead = if later {
            "this version knows"
        } else {
            "it is one of"
        };
        let remedy = if later {
            format!("{lead} {}", known.join(", "))
        } else {
            remedy_of(first, &known, lead)
        };
        return new(format!("{key} is \"{}\"", first.escape_debug())).with_remedy(remedy);
    }
    // Names of accounts and Windows paths have backslashes.
    if message.starts_with("missing escaped value")
        || message.starts_with("too few unicode value digits")
    {
        return new("this backslash begins an escape that there is not".into()).with_remedy(
            r"write text with a backslash in single quotes, as 'CONTOSO\svc-writeback'",
        );
    }
    let what = plain(&message);
    if key.is_empty() {
        new(what)
    } else {
        new(format!("{key}: {what}"))
    }
}

/// What a type is called in a configuration, in place of the name it has in this program.
fn plain(message: &str) -> String {
    const NAMES: [(&str, &str); 8] = [
        ("expected u32", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list in [ ]"),
        ("expected path string", "expected a path in quotes"),
        ("expected a string", "expected text in quotes"),
        ("wanted string or table", "expected text in quotes"),
        ("duplicate key", "this key stands here for the second time"),
    ];
    let (head, wanted) = message.rsplit_once(", ").unwrap_or(("", message));
    let wanted = NAMES
        .iter()
        .find(|(from, _)| *from == wanted)
        .map_or(wanted, |(_, to)| to);
    let wanted = if wanted.starts_with("expected struct ") {
        "expected a section"
    } else {
        wanted
    };
    if head.is_empty() {
        wanted.to_owned()
    } else {
        format!("{head}, {wanted}")
    }
}

/// Line and column of a position in `text`, as `:3:9`.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!(":{line}:{column}")
}

/// The dotted key that the TOML reader was at. It tells only as part of its text, and only without the input.
fn path_of(error: &toml::de::Error) -> Option<String> {
    let mut bare = error.clone();
    bare.set_input(None);
    let text = bare.to_string();
    let path = text.rsplit_once("\nin `")?.1.trim_end();
    path.strip_suffix('`').map(str::to_owned)
}

/// Where the value of the dotted `key` begins.
fn span_of(text: &str, key: &str) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut parts = key.split('.').peekable();
    loop {
        let part = parts.next()?;
        let (_, value) = table.iter().find(|(own, _)| own.get_ref() == part)?;
        if parts.peek().is_none() {
            return Some(value.span().start);
        }
        table = value.get_ref().as_table()?;
    }
}

/// The likely name, or all of them.
pub(super) fn remedy_of(wrong: &str, known: &[&str], lead: &str) -> String {
    match suggestion(wrong, known.iter().copied()) {
        Some(best) => format!("did you mean {best}?"),
        None => format!("{lead} {}", known.join(", ")),
    }
}

fn suggestion<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wrong.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= 2.max(candidate.len() / 3))
        .min()
        .map(|(_, candidate)| candidate)
}
