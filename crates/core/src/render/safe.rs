//! Text that an attacker chose, made harmless.

use std::fmt::Write as _;

/// `text` with everything that could drive a terminal, break a line, reorder or hide what is shown written as `\u{..}`:
/// control characters (C0, DEL, C1), line and paragraph separators, bidirectional controls, and characters without a
/// visible form. Letters of every script stay.
pub fn terminal_safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_safe(&mut out, text);
    out
}

/// [`terminal_safe`] between double quotes, so that the end of a value can be told from what follows it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        push_character(&mut out, character);
    }
    out.push('"');
    out
}

/// Appends `text` for HTML content or an attribute value between double quotes; characters that are not shown as they
/// are stand as with [`terminal_safe`].
pub(super) fn push_html(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => push_character(out, character),
        }
    }
}

fn push_safe(out: &mut String, text: &str) {
    for character in text.chars() {
        push_character(out, character);
    }
}

fn push_character(out: &mut String, character: char) {
    if is_unsafe(character) {
        // Writing to a String does not fail.
        let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
    } else {
        out.push(character);
    }
}

/// Unicode's categories Cc and Zl, Zp, what Unicode 3.9 calls default ignorable, and the bidirectional controls (UAX #9).
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{AD}' | '\u{34F}' | '\u{61C}'
            | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFFB}'
            | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(text: &str) -> String {
        let mut out = String::new();
        push_html(&mut out, text);
        out
    }

    #[test]
    fn what_drives_a_terminal_is_written_out() {
        assert_eq!(
            terminal_safe("a\u{1b}[31mb\r\nc\u{9b}d\u{7f}"),
            r"a\u{1b}[31mb\u{d}\u{a}c\u{9b}d\u{7f}"
        );
    }

    #[test]
    fn what_reorders_or_hides_is_written_out() {
        for character in "\u{200b}\u{200d}\u{200e}\u{200f}\u{202a}\u{202e}\u{2028}\u{2066}\u{2069}\u{feff}\u{61c}\u{e0041}".chars() {
            assert_eq!(
                terminal_safe(&character.to_string()),
                format!("\\u{{{:x}}}", u32::from(character))
            );
        }
    }

    #[test]
    fn letters_of_every_script_stay() {
        let text = "Müller-Büro 東京-端末-07 مكتب 💻 é";
        assert_eq!(terminal_safe(text), text);
        assert_eq!(html(text), text);
    }

    #[test]
    fn quotes_end_where_the_value_ends() {
        assert_eq!(quoted("a\" -> \"b\\"), r#""a\" -> \"b\\""#);
        assert_eq!(quoted("\n"), r#""\u{a}""#);
    }

    #[test]
    fn html_has_no_markup_left() {
        assert_eq!(
            html("<script>alert('x\"&')</script>\u{202e}"),
            r"&lt;script&gt;alert(&#39;x&quot;&amp;&#39;)&lt;/script&gt;\u{202e}"
        );
    }
}
