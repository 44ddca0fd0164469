//! One value, as people see it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::plan::{AttributeChange, Octets, meaning};
use crate::schema::{Attribute, Syntax};

/// A value's text, not escaped yet.
pub(super) struct Shown {
    /// The value as text, or its octets in base64.
    pub(super) text: String,
    /// Somebody else chose the text: it is shown between quotes.
    pub(super) free: bool,
    /// `text` is base64.
    pub(super) encoded: bool,
    /// What it means, where the text does not say it.
    pub(super) meaning: Option<String>,
}

pub(super) fn shown(attribute: Attribute, value: &[u8]) -> Shown {
    let meaning = meaning(attribute, value);
    let unicode = attribute.schema().syntax == Syntax::Unicode;
    let plain = value.iter().all(|byte| matches!(byte, b' '..=b'~')) && !value.is_empty();
    // Sixteen octets may be printable by chance; a device id is never text.
    let octets = attribute == Attribute::DeviceId || !(unicode || plain);
    match std::str::from_utf8(value) {
        Ok(text) if !octets => Shown {
            text: text.to_owned(),
            free: attribute != Attribute::AltSecurityIdentities && unicode,
            encoded: false,
            meaning,
        },
        _ => Shown {
            text: BASE64.encode(value),
            free: false,
            encoded: true,
            meaning,
        },
    }
}

/// The values of an attribute that go, that come, and how many stay.
pub(super) fn difference(change: &AttributeChange) -> (Vec<&Octets>, Vec<&Octets>, usize) {
    let goes: Vec<_> = change
        .old
        .iter()
        .filter(|value| !change.new.contains(value))
        .collect();
    let comes: Vec<_> = change
        .new
        .iter()
        .filter(|value| !change.old.contains(value))
        .collect();
    let stay = change.old.len() - goes.len();
    (goes, comes, stay)
}
