//! How a found object is shown: chosen attributes, ranges of values, extended names.

use device_writeback_core::dn::Dn;
use device_writeback_core::guid::Guid;
use device_writeback_core::sid::Sid;
use lber::structure::StructureTag;

use super::ber::{self, Front};
use super::directory::{Directory, Key, key};
use super::message::{self, AttributeValues, Control, LdapResult, code};
use super::values::{Entry, is_name};

/// `LDAP_SERVER_EXTENDED_DN_OID` ([MS-ADTS] 3.1.1.3.4.1.5).
pub(super) const EXTENDED_DN: &str = "1.2.840.113556.1.4.529";

/// Attributes that are computed: shown only to who names them ([MS-ADTS] 3.1.1.4.5), and whole.
const CONSTRUCTED: &[&str] = &["attributeTypes", "objectClasses"];

/// What a search wants to see.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    pub(super) attributes: &'a [String],
    pub(super) types_only: bool,
    /// Names with GUID and SID, as hex digits or as text.
    pub(super) extended: Option<NameForm>,
    /// `MaxValRange`.
    pub(super) max_values: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameForm {
    Hex,
    Text,
}

impl NameForm {
    /// The form a request asks for: hex digits unless its value says otherwise.
    pub(super) fn wanted(controls: &[Control]) -> Option<NameForm> {
        let control = controls.iter().find(|control| control.oid == EXTENDED_DN)?;
        let flag = match ber::decode(&control.value) {
            Front::Element(tag, _) => ber::parts(tag)
                .and_then(|mut parts| parts.next())
                .and_then(ber::number),
            Front::Incomplete | Front::Garbage => None,
        };
        Some(match flag {
            Some(1) => NameForm::Text,
            _ => NameForm::Hex,
        })
    }
}

/// The search result entry of an object; `None` when it has gone.
pub(super) fn show(
    directory: &Directory,
    place: &Key,
    selection: &Selection<'_>,
) -> Result<Option<StructureTag>, LdapResult> {
    let Some(entry) = directory.entries.get(place) else {
        return Ok(None);
    };
    let root = place.is_empty().then(|| root_dse(directory, entry));
    let entry = root.as_ref().unwrap_or(entry);
    let mut shown: Vec<AttributeValues> = Vec::new();
    let everything =
        selection.attributes.is_empty() || selection.attributes.iter().any(|name| name == "*");
    if everything {
        for (name, values) in entry.attributes() {
            if !contains(CONSTRUCTED, name) {
                ranged(&mut shown, name, values, None, selection.max_values)?;
            }
        }
    }
    for wanted in selection.attributes {
        let (name, range) = parse_range(wanted);
        let Some((name, values)) = attribute(entry, name) else {
            continue;
        };
        if everything && range.is_none() && !contains(CONSTRUCTED, name) {
            continue;
        }
        let most = match contains(CONSTRUCTED, name) {
            true => usize::MAX,
            false => selection.max_values,
        };
        ranged(&mut shown, name, values, range, most)?;
    }
    if let Some(form) = selection.extended {
        for (name, values) in &mut shown {
            if is_name(name) {
                for value in values {
                    let text = String::from_utf8_lossy(value).into_owned();
                    *value = extended(directory, &text, form).into_bytes();
                }
            }
        }
    }
    if selection.types_only {
        shown.iter_mut().for_each(|(_, values)| values.clear());
    }
    let dn = match selection.extended {
        Some(form) => extended(directory, &entry.dn, form),
        None => entry.dn.clone(),
    };
    Ok(Some(message::entry(&dn, shown)))
}

/// The rootDSE with what changes by the moment; a test's own values stay.
fn root_dse(directory: &Directory, entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    let now = jiff::Timestamp::now();
    let now = now.strftime("%Y%m%d%H%M%S.0Z").to_string();
    for (name, value) in [
        ("currentTime", now),
        ("highestCommittedUSN", directory.usn.to_string()),
    ] {
        if entry.values(name).is_empty() {
            entry.set(name, vec![value.into_bytes()]);
        }
    }
    entry
}

fn contains(names: &[&str], name: &str) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

fn attribute<'a>(entry: &'a Entry, name: &str) -> Option<(&'a str, &'a [Vec<u8>])> {
    let mut attributes = entry.attributes();
    attributes.find(|(own, _)| own.eq_ignore_ascii_case(name))
}

type Range = (usize, Option<usize>);

/// `member;range=0-1499` or `member;range=1500-*`.
fn parse_range(wanted: &str) -> (&str, Option<Range>) {
    let Some((name, options)) = wanted.split_once(';') else {
        return (wanted, None);
    };
    let range = options.split(';').find_map(|option| {
        let (kind, range) = option.split_once('=')?;
        let (low, high) = range.split_once('-')?;
        let high = match high {
            "*" => None,
            high => Some(high.parse().ok()?),
        };
        kind.eq_ignore_ascii_case("range")
            .then_some((low.parse().ok()?, high))
    });
    (name, range)
}

/// One attribute, in a range where one was asked for or where it has too many values
/// ([MS-ADTS] 3.1.1.3.1.3.3).
fn ranged(
    shown: &mut Vec<AttributeValues>,
    name: &str,
    values: &[Vec<u8>],
    range: Option<Range>,
    most: usize,
) -> Result<(), LdapResult> {
    if range.is_none() && values.len() <= most {
        shown.push((name.to_owned(), values.to_vec()));
        return Ok(());
    }
    if range.is_none() {
        shown.push((name.to_owned(), Vec::new()));
    }
    let (low, high) = range.unwrap_or((0, None));
    let count = high.map_or(most, |high| (high + 1).saturating_sub(low).min(most));
    let rest = values.get(low..).filter(|rest| !rest.is_empty());
    let Some(rest) = rest else {
        let message = format!("00000057: comment: range of {name} begins after its last value");
        return Err(LdapResult::new(code::OPERATIONS_ERROR, &message));
    };
    let part: Vec<Vec<u8>> = rest.iter().take(count).cloned().collect();
    let end = match part.len() == rest.len() {
        true => "*".to_owned(),
        false => (low + part.len()).saturating_sub(1).to_string(),
    };
    shown.push((format!("{name};range={low}-{end}"), part));
    Ok(())
}

/// `<GUID=...>;<SID=...>;DN`; the name alone when nothing is known of it.
fn extended(directory: &Directory, dn: &str, form: NameForm) -> String {
    let Ok(parsed) = Dn::parse(dn) else {
        return dn.to_owned();
    };
    let place = key(&parsed);
    let (guid, sid) = match directory.entries.get(&place) {
        Some(entry) => (
            entry.values("objectGUID").first().cloned(),
            entry.values("objectSid").first().cloned(),
        ),
        None => {
            let mut others = directory.elsewhere.iter();
            match others.find(|other| Dn::parse(&other.dn).is_ok_and(|other| other == parsed)) {
                Some(other) => (
                    Some(other.guid.to_le_bytes().to_vec()),
                    Some(other.sid.to_bytes()),
                ),
                None => (None, None),
            }
        }
    };
    let mut text = String::new();
    if let Some(guid) = guid {
        let readable = Guid::from_le_slice(&guid).map(|guid| guid.to_string());
        text += &format!("<GUID={}>;", written(form, &guid, readable.ok()));
    }
    if let Some(sid) = sid {
        let readable = Sid::from_bytes(&sid).map(|sid| sid.to_string());
        text += &format!("<SID={}>;", written(form, &sid, readable.ok()));
    }
    text + dn
}

fn written(form: NameForm, octets: &[u8], readable: Option<String>) -> String {
    match readable {
        Some(text) if form == NameForm::Text => text,
        _ => octets.iter().map(|octet| format!("{octet:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use device_writeback_core::schema::SchemaVersion;

    use super::*;

    fn read_back(tag: StructureTag) -> BTreeMap<String, Vec<Vec<u8>>> {
        let mut parts = ber::parts(tag).unwrap();
        parts.next();
        let attributes = ber::parts(parts.next().unwrap()).unwrap();
        let pairs = attributes.map(|tag| {
            let mut parts = ber::parts(tag).unwrap();
            let name = ber::text(parts.next().unwrap()).unwrap();
            let values = ber::parts(parts.next().unwrap()).unwrap();
            let values = values.map(|value| value.expect_primitive().unwrap());
            (name, values.collect())
        });
        pairs.collect()
    }

    fn show_values(attributes: &[&str]) -> Result<BTreeMap<String, Vec<Vec<u8>>>, LdapResult> {
        let mut directory = Directory::empty(SchemaVersion::Windows2016);
        let values = ["a", "b", "c", "d", "e"];
        let entry = Entry::new("CN=x,DC=y")
            .with("member", values)
            .with("objectClass", ["group"]);
        directory.insert(entry).unwrap();
        let place = directory.locate("CN=x,DC=y").unwrap();
        let attributes: Vec<String> = attributes.iter().map(|name| (*name).to_owned()).collect();
        let selection = Selection {
            attributes: &attributes,
            types_only: false,
            extended: None,
            max_values: 2,
        };
        show(&directory, &place, &selection).map(|tag| read_back(tag.unwrap()))
    }

    #[test]
    fn many_values_come_as_an_empty_attribute_and_a_first_range() {
        let shown = show_values(&["member"]).unwrap();
        assert_eq!(shown.get("member").unwrap(), &Vec::<Vec<u8>>::new());
        assert_eq!(shown.get("member;range=0-1").unwrap(), &[b"a", b"b"]);
        assert_eq!(shown.len(), 2);
    }

    #[test]
    fn the_last_range_ends_with_a_star() {
        let shown = show_values(&["Member;Range=2-*"]).unwrap();
        assert_eq!(shown.get("member;range=2-3").unwrap(), &[b"c", b"d"]);
        let shown = show_values(&["member;range=4-5"]).unwrap();
        assert_eq!(shown.get("member;range=4-*").unwrap(), &[b"e"]);
        assert_eq!(show_values(&["member;range=5-*"]).unwrap_err().code, 1);
    }

    #[test]
    fn nothing_is_shown_to_who_asks_for_nothing() {
        assert!(show_values(&["1.1"]).unwrap().is_empty());
        assert!(show_values(&[]).unwrap().contains_key("objectClass"));
    }
}
