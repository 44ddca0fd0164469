//! Writing of LDIF.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Body, Record};

/// Longest line written, without its end.
const COLUMNS: usize = 76;

/// Appends `version: 1`, which goes before the first record of a file.
pub fn write_version(out: &mut Vec<u8>) {
    out.extend_from_slice(b"version: 1\n");
}

/// Appends one value of the attribute `name`, which is trusted to be an attribute's name:
/// `name: value`, or `name:: ` and base64 for everything that is not plain printable ASCII. Lines
/// are folded at 76 columns.
pub fn write_attr(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let mut line = Vec::with_capacity(name.len() + 3 + value.len() * 4 / 3 + 4);
    line.extend_from_slice(name.as_bytes());
    if value.is_empty() {
        line.push(b':');
    } else if is_plain(value) {
        line.extend_from_slice(b": ");
        line.extend_from_slice(value);
    } else {
        line.extend_from_slice(b":: ");
        line.extend_from_slice(STANDARD.encode(value).as_bytes());
    }
    write_folded(out, &line);
}

/// Appends a comment of one line.
///
/// Whatever `text` is, it stays within that line: control characters, line breaks and characters
/// without a printed form are written as escapes.
pub fn write_comment(out: &mut Vec<u8>, text: &str) {
    out.push(b'#');
    if !text.is_empty() {
        out.push(b' ');
    }
    let mut buffer = [0; 4];
    for character in text.chars() {
        if character.is_ascii_graphic() || character == ' ' {
            out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        } else {
            for escaped in character.escape_debug() {
                out.extend_from_slice(escaped.encode_utf8(&mut buffer).as_bytes());
            }
        }
    }
    out.push(b'\n');
}

/// Appends a record and the blank line that ends it. Spans are of no account.
pub fn write_record(out: &mut Vec<u8>, record: &Record) {
    write_attr(out, "dn", record.dn.as_bytes());
    match &record.body {
        Body::Content(attributes) => {
            for attribute in attributes {
                write_attr(out, &attribute.name, &attribute.value);
            }
        }
        Body::Add(attributes) => {
            write_attr(out, "changetype", b"add");
            for attribute in attributes {
                write_attr(out, &attribute.name, &attribute.value);
            }
        }
        Body::Delete => write_attr(out, "changetype", b"delete"),
        Body::Modify(changes) => {
            write_attr(out, "changetype", b"modify");
            for change in changes {
                write_attr(out, change.op.as_str(), change.name.as_bytes());
                for value in &change.values {
                    write_attr(out, &change.name, value);
                }
                out.extend_from_slice(b"-\n");
            }
        }
        Body::ModDn {
            new_rdn,
            delete_old_rdn,
            new_superior,
        } => {
            // The older word, which every reader knows and which allows a new parent as well.
            write_attr(out, "changetype", b"modrdn");
            write_attr(out, "newrdn", new_rdn.as_bytes());
            write_attr(
                out,
                "deleteoldrdn",
                if *delete_old_rdn { b"1" } else { b"0" },
            );
            if let Some(parent) = new_superior {
                write_attr(out, "newsuperior", parent.as_bytes());
            }
        }
    }
    out.push(b'\n');
}

/// Whether a value can stand as it is: a SAFE-STRING of [RFC 2849] made of printable characters
/// that does not end with a space.
fn is_plain(value: &[u8]) -> bool {
    let [first, ..] = value else { return true };
    !matches!(first, b' ' | b':' | b'<')
        && !value.ends_with(b" ")
        && value.iter().all(|octet| matches!(octet, b' '..=b'~'))
}

fn write_folded(out: &mut Vec<u8>, line: &[u8]) {
    let (mut head, mut rest) = line.split_at_checked(COLUMNS).unwrap_or((line, &[]));
    loop {
        out.extend_from_slice(head);
        out.push(b'\n');
        if rest.is_empty() {
            return;
        }
        out.push(b' ');
        (head, rest) = rest.split_at_checked(COLUMNS - 1).unwrap_or((rest, &[]));
    }
}
