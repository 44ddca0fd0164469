//! Pieces of text for people.

use device_writeback::core::plan::{Action, Plan};
pub(crate) use device_writeback::core::render::terminal_safe as safe;

/// `1 change`, `2 changes`: for nouns that take an s.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// `text` between quotes, with everything harmless that could drive a terminal.
pub(crate) fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        safe(&text.replace('\\', "\\\\").replace('"', "\\\""))
    )
}

/// The plan in a line: `48 changes (4 disable, 44 create), 35 unchanged, 6 held, 7 conflicts, 11 skipped`.
pub(crate) fn counts(plan: &Plan) -> String {
    let actions: Vec<String> = Action::ALL
        .iter()
        .map(|action| (plan.count_of(*action), action))
        .filter(|(count, _)| *count > 0)
        .map(|(count, action)| format!("{count} {action}"))
        .collect();
    let actions = match actions.as_slice() {
        [] => String::new(),
        actions => format!(" ({})", actions.join(", ")),
    };
    format!(
        "{}{actions}, {}",
        counted(plan.len() as u64, "change"),
        others(plan)
    )
}

/// What a plan leaves alone: `35 unchanged, 6 held, 7 conflicts, 11 skipped`.
pub(crate) fn others(plan: &Plan) -> String {
    format!(
        "{} unchanged, {} held, {}, {} skipped",
        plan.summary().unchanged,
        plan.held().len(),
        counted(plan.conflicts().len() as u64, "conflict"),
        plan.skipped().len()
    )
}

/// Bytes as lower-case hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_cannot_be_left() {
        assert_eq!(quoted("a\"b\\\u{1b}[1m"), r#""a\"b\\\u{1b}[1m""#);
        assert_eq!(quoted("Müller"), "\"Müller\"");
    }

    #[test]
    fn nouns_follow_numbers() {
        assert_eq!(
            [
                counted(0, "change"),
                counted(1, "change"),
                counted(2, "change")
            ],
            ["0 changes", "1 change", "2 changes"]
        );
    }
}
