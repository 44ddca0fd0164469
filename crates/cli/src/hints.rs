//! Commands that messages offer: they work as they are printed.

use std::path::Path;

use crate::args::{Digest, Global};
use crate::text::safe;

/// What every offered command needs so that it is about the same run.
#[derive(Clone, Debug)]
pub(crate) struct Hints {
    globals: String,
}

impl Hints {
    pub(crate) fn new(global: &Global) -> Self {
        let mut globals = String::new();
        if let Some(config) = &global.config {
            globals = format!(" --config {}", word(config));
        }
        if let Some(now) = global.now {
            globals = format!("{globals} --now {now}");
        }
        Self { globals }
    }

    /// Applies the plan that is saved in `file`.
    pub(crate) fn apply(&self, file: &Path, digest: [u8; 32]) -> String {
        format!(
            "device-writeback apply {} --digest {}{}",
            word(file),
            Digest(digest),
            self.globals
        )
    }

    /// What to do about a limit that refuses the plan that is saved in `file`.
    pub(crate) fn exceed(&self, file: &Path, digest: [u8; 32]) -> String {
        format!(
            "help: look at every retirement; if they are meant: device-writeback apply {} --digest {} --override-limits{}",
            word(file),
            Digest(digest),
            self.globals
        )
    }

    /// What to do about a limit that refuses a plan that is not saved. Made again at another moment it has another digest, so
    /// only the plan that is saved can say how it is applied.
    pub(crate) fn save(&self, take_over: bool) -> String {
        let take_over = if take_over { " --take-over" } else { "" };
        format!(
            "help: look at every retirement; if they are meant, save the plan, which then says how to apply it with --override-limits: device-writeback plan --out plan.json{take_over}{}",
            self.globals
        )
    }
}

/// A path as one word of a shell, and never an option.
fn word(path: &Path) -> String {
    let text = safe(&path.display().to_string());
    let text = if text.starts_with('-') {
        format!("./{text}")
    } else {
        text.to_string()
    };
    let plain = |character: char| {
        character.is_alphanumeric() || matches!(character, '/' | '.' | '_' | '-' | '+' | ':' | ',')
    };
    // A backslash separates folders on Windows, and its shells take it as it is.
    let plain = |character: char| plain(character) || (cfg!(windows) && character == '\\');
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word_and_no_option() {
        for (path, expected) in [
            ("plan.json", "plan.json"),
            ("/var/lib/Pläne/p-1.json", "/var/lib/Pläne/p-1.json"),
            ("my plan.json", "'my plan.json'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("--all", "./--all"),
            ("-a b", "'./-a b'"),
        ] {
            assert_eq!(word(Path::new(path)), expected);
        }
    }
}
