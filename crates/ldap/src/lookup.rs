//! Reading chosen objects, and values that come in parts.

use std::collections::HashMap;
use std::fmt::Write as _;

use device_writeback_core::directory::{DirectoryObject, OBJECT_GUID};
use device_writeback_core::dn::Dn;
use device_writeback_core::guid::{DeviceId, ObjectGuid};
use device_writeback_core::plan::DirectoryKey;
use device_writeback_core::rules::PrincipalFacts;
use device_writeback_core::schema::{Attribute, DEVICE_CLASS};
use device_writeback_core::sid::Sid;
use futures_util::future::try_join_all;
use ldap3::Scope;

use crate::discovery::{Domain, object};
use crate::entry::{Entry, Range};
use crate::failure::Failure;
use crate::wire::{Connection, Search};

/// How many objects one search asks for: a filter far below what servers take (256 kB), an answer far below a page.
const TOGETHER: usize = 100;
const OBJECT_SID: &str = "objectSid";

/// As many values of one attribute are fetched at most. Active Directory keeps some 1,200 of an attribute that is no link; what
/// goes far beyond is a server whose parts lead nowhere.
const VALUES: usize = 100_000;

/// Fetches what is missing of values that came in parts.
///
/// # Errors
/// The server's; a server whose parts lead nowhere.
pub(crate) async fn complete(
    connection: &Connection,
    entry: &mut Entry,
    ranges: Vec<Range>,
) -> Result<(), Failure> {
    for range in ranges {
        let Range { name, mut next } = range;
        let mut values = Vec::new();
        while let Some(from) = next {
            let wanted = format!("{name};range={from}-*");
            let Some(mut more) = object(connection, &entry.dn, &[&wanted]).await? else {
                // Gone in between; whoever wants to change it will find out.
                break;
            };
            let ranges = more.take_ranges();
            next = match ranges
                .iter()
                .find(|range| range.name.eq_ignore_ascii_case(&name))
            {
                Some(range) => match range.next {
                    Some(next) if next <= from => {
                        return Err(Failure::Unreadable(format!(
                            "the values of {name} from {from} on begin at {next}"
                        )));
                    }
                    next => next,
                },
                None => None,
            };
            let had = values.len();
            for (own, more) in more.attributes {
                if own.eq_ignore_ascii_case(&name) {
                    values.extend(more);
                }
            }
            if next.is_some() && (values.len() == had || values.len() > VALUES) {
                return Err(Failure::Unreadable(format!(
                    "the values of {name} from {from} on do not come to an end"
                )));
            }
        }
        entry.attributes.push((name, values));
    }
    Ok(())
}

/// Reads one device object by its name, with all its values.
pub(crate) async fn read(
    connection: &Connection,
    domain: &Domain,
    name: &str,
) -> Result<Option<DirectoryObject>, Failure> {
    let Some(mut entry) = object(connection, name, &domain.attributes).await? else {
        return Ok(None);
    };
    let ranges = entry.take_ranges();
    complete(connection, &mut entry, ranges).await?;
    entry.object(0).map(Some).map_err(|(name, error)| {
        Failure::Unreadable(format!("\"{}\": {error}", name.escape_debug()))
    })
}

/// Reads device objects of the container by GUID, or by device id where the directory has no GUIDs.
pub(crate) async fn reread(
    connection: &Connection,
    domain: &Domain,
    keys: &[DirectoryKey],
) -> Result<Vec<(DeviceId, DirectoryObject)>, Failure> {
    let base = domain.facts.container.to_string();
    let mut found = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(TOGETHER) {
        let mut filter = format!("(&(objectClass={DEVICE_CLASS})(|");
        let mut by_guid: HashMap<ObjectGuid, DeviceId> = HashMap::new();
        let mut by_id: HashMap<DeviceId, DeviceId> = HashMap::new();
        for key in chunk {
            match key.object_guid {
                Some(guid) => {
                    equals(&mut filter, OBJECT_GUID, &guid.to_le_bytes());
                    by_guid.insert(guid, key.device_id);
                }
                None => {
                    equals(
                        &mut filter,
                        Attribute::DeviceId.name(),
                        &key.device_id.to_le_bytes(),
                    );
                    by_id.insert(key.device_id, key.device_id);
                }
            }
        }
        filter.push_str("))");
        let entries = connection
            .search(Search {
                base: &base,
                scope: Scope::OneLevel,
                filter: &filter,
                attributes: &domain.attributes,
            })
            .await?;
        for mut entry in entries {
            let ranges = entry.take_ranges();
            complete(connection, &mut entry, ranges).await?;
            let Ok(object) = entry.object(0) else {
                continue;
            };
            let device = object
                .guid
                .and_then(|guid| by_guid.get(&guid))
                .or_else(|| by_id.get(&object.device_id().ok()?));
            if let Some(device) = device {
                found.push((*device, object));
            }
        }
    }
    Ok(found)
}

/// What the domain says about these SIDs. Of another domain's SIDs this server knows nothing.
pub(crate) async fn principals(
    connection: &Connection,
    domain: &Domain,
    sids: &[Sid],
) -> Result<Vec<PrincipalFacts>, Failure> {
    let is_own = |sid: &Sid| domain.sid.as_ref().is_some_and(|own| sid.is_in_domain(own));
    let base = domain.facts.base.to_string();
    let own: Vec<&Sid> = sids.iter().filter(|sid| is_own(sid)).collect();
    let mut found: HashMap<Sid, PrincipalFacts> = HashMap::new();
    // All at once: each waits for the same way there and back.
    let searches: Vec<_> = own
        .chunks(TOGETHER)
        .map(|chunk| users(connection, &base, chunk))
        .collect();
    for entry in try_join_all(searches).await?.into_iter().flatten() {
        // A computer is a user in the schema, and nobody's owner.
        if entry.has_class("computer") {
            continue;
        }
        if let Some(sid) = entry
            .first(OBJECT_SID)
            .and_then(|value| Sid::from_bytes(value).ok())
        {
            let protected = entry.first("adminCount") == Some(b"1");
            found.insert(sid, PrincipalFacts::User { protected });
        }
    }
    Ok(sids
        .iter()
        .map(|sid| match found.get(sid) {
            Some(facts) => *facts,
            None if is_own(sid) => PrincipalFacts::NotFound,
            None => PrincipalFacts::Unknown,
        })
        .collect())
}

/// The users among these SIDs.
async fn users(connection: &Connection, base: &str, sids: &[&Sid]) -> Result<Vec<Entry>, Failure> {
    let mut filter = String::from("(&(objectClass=user)(|");
    for sid in sids {
        equals(&mut filter, OBJECT_SID, &sid.to_bytes());
    }
    filter.push_str("))");
    connection
        .search(Search {
            base,
            scope: Scope::Subtree,
            filter: &filter,
            attributes: &[OBJECT_SID, "objectClass", "adminCount"],
        })
        .await
}

/// Appends `(name=value)` with every octet of the value escaped ([RFC 4515] 3).
fn equals(filter: &mut String, name: &str, value: &[u8]) {
    filter.push('(');
    filter.push_str(name);
    filter.push('=');
    for octet in value {
        // Writing to a String cannot fail.
        let _ = write!(filter, "\\{octet:02x}");
    }
    filter.push(')');
}

/// What people are told that is being read.
pub(crate) fn reading(container: &Dn) -> String {
    format!("reading devices in {container}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_escaped() {
        let mut filter = String::new();
        equals(&mut filter, "objectGUID", b"*)\x00\xff");
        assert_eq!(filter, r"(objectGUID=\2a\29\00\ff)");
    }
}
