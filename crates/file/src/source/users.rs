//! The on-premises SIDs of an export's users.

use std::collections::HashMap;
use std::ops::ControlFlow;

use device_writeback_core::graph::{BadRecord, CloudItem, CloudUser, Field, LinkedObject};
use device_writeback_core::guid::ObjectId;
use device_writeback_core::sid::Sid;
use device_writeback_engine::error::{Error, ErrorKind};

use super::input::Input;

/// So many unreadable users are named in the log one by one.
const NAMED: u64 = 10;

/// What is known of the users; some 40 bytes for each.
#[derive(Debug, Default)]
pub(super) struct Users {
    /// SIDs without their last sub-authority, in the packet form: a handful of domains for any number of users.
    domains: Vec<Box<[u8]>>,
    /// Place in `domains` and last sub-authority; `None` for a user that has no SID.
    known: HashMap<ObjectId, Option<(u32, u32)>>,
}

impl Users {
    /// Reads the files; of two records of one user the later one counts.
    ///
    /// # Errors
    /// A file cannot be read or is no export of users. A single record that cannot be read leaves that user unknown.
    pub(super) fn read(inputs: &[Input]) -> Result<Self, Error> {
        let mut users = Self::default();
        let mut places = HashMap::new();
        let mut bad = 0;
        for input in inputs {
            let ending = input.read::<Result<CloudUser, BadRecord>>(|element| {
                match element.record {
                    Ok(user) => users.insert(&user, &mut places),
                    Err(record) => {
                        bad += 1;
                        if bad <= NAMED {
                            tracing::warn!(
                                file = %input.name(),
                                byte = element.offset,
                                "a user record cannot be read, the user counts as unknown: {record}"
                            );
                        }
                    }
                }
                ControlFlow::Continue(())
            })?;
            if let Some(problem) = ending.problem {
                return Err(Error::new(
                    ErrorKind::Data,
                    format!("reading the users in {}: {problem}", input.name()),
                )
                .with_remedy(
                    "export the users again, or leave source.users out: owners then stay as they are",
                ));
            }
            if ending.next_link {
                tracing::warn!(
                    file = %input.name(),
                    "the last page of users names a further page; users that are missing count as unknown"
                );
            }
        }
        if bad > NAMED {
            tracing::warn!("{bad} user records cannot be read");
        }
        Ok(users)
    }

    /// Completes the owners and users of a device whose SIDs the device's record does not tell.
    pub(super) fn complete(&self, item: &mut CloudItem) {
        if self.known.is_empty() {
            return;
        }
        if let CloudItem::Device(device) = item {
            self.complete_links(&mut device.registered_owners);
            self.complete_links(&mut device.registered_users);
        }
    }

    fn complete_links(&self, links: &mut Field<Vec<LinkedObject>>) {
        if let Field::Value(links) = links {
            for link in links.iter_mut().filter(|link| link.sid.is_absent()) {
                link.sid = self.sid(link.id);
            }
        }
    }

    fn sid(&self, user: ObjectId) -> Field<Sid> {
        let Some(known) = self.known.get(&user) else {
            return Field::Absent;
        };
        let Some((place, rid)) = *known else {
            return Field::Null;
        };
        let sid = self.domains.get(place as usize).and_then(|domain| {
            let octets = [&**domain, &rid.to_le_bytes()].concat();
            Sid::from_bytes(&octets).ok()
        });
        sid.map_or(Field::Absent, Field::Value)
    }

    fn insert(&mut self, user: &CloudUser, places: &mut HashMap<Box<[u8]>, u32>) {
        let known = match &user.sid {
            // A record that does not tell is no knowledge.
            Field::Absent => return,
            Field::Null => None,
            Field::Value(sid) => {
                let octets = sid.to_bytes();
                let Some((domain, rid)) = octets.split_last_chunk::<4>() else {
                    return;
                };
                let place = match places.get(domain) {
                    Some(&place) => place,
                    None => {
                        let Ok(place) = u32::try_from(self.domains.len()) else {
                            return;
                        };
                        self.domains.push(domain.into());
                        places.insert(domain.into(), place);
                        place
                    }
                };
                Some((place, u32::from_le_bytes(*rid)))
            }
        };
        self.known.insert(user.id, known);
    }
}
