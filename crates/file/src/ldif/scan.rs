//! What the directory says about itself: one pass in constant memory.

use std::collections::HashMap;

use device_writeback_core::dn::Dn;
use device_writeback_core::ldif::LdifError;
use device_writeback_core::rules::PrincipalFacts;
use device_writeback_core::schema::{
    CONTAINER_CLASS, DEVICE_LOCATION, INACTIVITY_PERIOD, REGISTRATION_SERVICE_CLASS,
};
use device_writeback_core::sid::Sid;
use device_writeback_engine::error::{Error, ErrorKind};
use device_writeback_engine::ports::DirectoryFacts;
use memchr::memmem::Finder;

use super::LdifOptions;
use super::entry::Entry;
use super::records::Records;
use super::view::View;

const DOMAIN_CLASS: &str = "domainDNS";
const OBJECT_SID: &str = "objectSid";

/// The users of the forest.
#[derive(Debug, Default)]
pub(super) struct Users {
    /// Domains; a user is its domain's number and its relative id.
    domains: HashMap<Sid, u32>,
    /// Whether the user is protected.
    users: HashMap<(u32, u32), bool>,
}

impl Users {
    /// What is known of that SID.
    pub(super) fn find(&self, sid: &Sid) -> PrincipalFacts {
        let find = || {
            let domain = self.domains.get(&sid.domain()?)?;
            self.users.get(&(*domain, sid.rid()?)).copied()
        };
        match find() {
            Some(protected) => PrincipalFacts::User { protected },
            None => PrincipalFacts::NotFound,
        }
    }

    fn insert(&mut self, sid: &Sid, protected: bool) {
        let (Some(domain), Some(rid)) = (sid.domain(), sid.rid()) else {
            return;
        };
        let next = u32::try_from(self.domains.len()).unwrap_or(u32::MAX);
        let domain = *self.domains.entry(domain).or_insert(next);
        *self.users.entry((domain, rid)).or_default() |= protected;
    }
}

/// Reads through `view`.
pub(super) fn scan(view: &View, options: &LdifOptions) -> Result<(DirectoryFacts, Users), Error> {
    let mut scan = Scan::default();
    let mut records = Records::new(view.open()?);
    let finder = Finder::new("\nobjectClass: msDS-Device");
    while let Some((offset, record)) = records
        .next()
        .map_err(|error| view.io_error("reading", error))?
    {
        if is_plain_device(record, &finder) {
            continue;
        }
        match Entry::parse(record).and_then(|entry| match entry {
            Some(entry) => scan.object(&entry, options, offset),
            None => Ok(()),
        }) {
            Ok(()) => {}
            Err(error) => return Err(view.record_error(offset, &error)),
        }
    }
    scan.finish(view, options)
}

/// Whether the record is certainly a device: most are, and none of them matters here.
fn is_plain_device(record: &[u8], finder: &Finder<'_>) -> bool {
    finder.find_iter(record).any(|at| {
        let end = at + finder.needle().len();
        let rest = record.get(end..).unwrap_or_default();
        let rest = rest.strip_prefix(b"\r").unwrap_or(rest);
        // A line that goes on would be of another class.
        match rest {
            [] => true,
            [b'\n', next @ ..] => !next.starts_with(b" "),
            _ => false,
        }
    })
}

#[derive(Default)]
struct Scan {
    domain_guid: Option<device_writeback_core::guid::ObjectGuid>,
    domain_sids: Vec<Sid>,
    domains: Vec<Dn>,
    containers: Vec<Dn>,
    services: Vec<Service>,
    users: Users,
}

struct Service {
    offset: u64,
    location: Option<Dn>,
    inactivity_days: Option<u32>,
}

impl Scan {
    fn object(
        &mut self,
        entry: &Entry,
        options: &LdifOptions,
        offset: u64,
    ) -> Result<(), LdifError> {
        let is_user = (entry.has_class("user") || entry.has_class("inetOrgPerson"))
            && !entry.has_class("computer")
            && !entry.has_class("group");
        if is_user {
            let is_deleted = entry.values("isDeleted").any(|value| value == b"TRUE");
            if let Some(sid) = sid(entry)?
                && !is_deleted
            {
                let protected = entry.values("adminCount").any(|value| value == b"1");
                self.users.insert(&sid, protected);
            }
        } else if entry.has_class(DOMAIN_CLASS) {
            self.domain_sids.extend(sid(entry)?);
            self.domains.push(entry.dn.clone());
            if entry.dn == options.base {
                self.domain_guid = entry.guid();
            }
        } else if entry.has_class(CONTAINER_CLASS) {
            self.containers.push(entry.dn.clone());
        } else if entry.has_class(REGISTRATION_SERVICE_CLASS) {
            let location = text(entry, DEVICE_LOCATION)?
                .map(|text| Dn::parse(&text).map_err(|error| refuse(DEVICE_LOCATION, &error)))
                .transpose()?;
            let inactivity_days = text(entry, INACTIVITY_PERIOD)?
                .map(|text| {
                    text.parse()
                        .map_err(|error| refuse(INACTIVITY_PERIOD, &error))
                })
                .transpose()?;
            self.services.push(Service {
                offset,
                location,
                inactivity_days,
            });
        }
        Ok(())
    }

    fn finish(self, view: &View, options: &LdifOptions) -> Result<(DirectoryFacts, Users), Error> {
        if let [one, other, ..] = &*self.services {
            return Err(Error::new(
                ErrorKind::Directory,
                format!(
                    "reading the directory file {}: there are {} objects of class {REGISTRATION_SERVICE_CLASS}, the first at lines {} and {}",
                    view.name(),
                    self.services.len(),
                    view.line(one.offset)?,
                    view.line(other.offset)?,
                ),
            )
            .with_remedy("a forest has one; find out which of them AD FS uses and remove the others"));
        }
        if let Some(domain) = self.domains.first()
            && !self.domains.contains(&options.base)
        {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "reading the directory file {}: the base \"{}\" is no domain of the file, which holds \"{domain}\"",
                    view.name(),
                    options.base,
                ),
            )
            .with_remedy(format!(
                "set directory.base to \"{domain}\", or name the file of the other domain"
            )));
        }
        let service = self.services.into_iter().next();
        let location = service
            .as_ref()
            .and_then(|service| service.location.clone());
        let container =
            DirectoryFacts::container(location, options.container.as_ref(), &options.base);
        if !container.is_child_of(&options.base) {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "reading the directory file {}: the container \"{container}\" is not directly under the base \"{}\", where alone one can be",
                    view.name(),
                    options.base,
                ),
            )
            .with_remedy("set directory.base to the domain that the container is in"));
        }
        let facts = DirectoryFacts {
            domain_guid: self.domain_guid,
            base: options.base.clone(),
            container_exists: self.containers.contains(&container),
            container,
            schema: options.schema.attributes(),
            domain_sids: self.domain_sids,
            inactivity_days: service
                .and_then(|service| service.inactivity_days)
                .filter(|days| *days > 0),
        };
        Ok((facts, self.users))
    }
}

fn sid(entry: &Entry) -> Result<Option<Sid>, LdifError> {
    entry
        .values(OBJECT_SID)
        .next()
        .map(|value| Sid::decode_either(value).map(|(sid, _)| sid))
        .transpose()
        .map_err(|error| refuse(OBJECT_SID, &error))
}

fn text(entry: &Entry, name: &str) -> Result<Option<String>, LdifError> {
    entry
        .values(name)
        .next()
        .map(|value| String::from_utf8(value.to_vec()))
        .transpose()
        .map_err(|error| refuse(name, &error))
}

fn refuse(name: &str, error: &dyn std::error::Error) -> LdifError {
    LdifError {
        line: 1,
        message: format!("the {name} of this object cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_known_without_reading_them() {
        let finder = Finder::new("\nobjectClass: msDS-Device");
        for (text, expected) in [
            (
                "dn: CN=x\nobjectClass: top\nobjectClass: msDS-Device\ncn: x\n\n",
                true,
            ),
            ("dn: CN=x\r\nobjectClass: msDS-Device\r\ncn: x\r\n", true),
            ("dn: CN=x\nobjectClass: msDS-Device", true),
            ("dn: CN=x\nobjectClass: msDS-DeviceContainer\n", false),
            ("dn: CN=x\nobjectClass: msDS-Device\n Container\n", false),
            (
                "dn: CN=x\nobjectClass: msDS-Device\r\n Container\r\n",
                false,
            ),
            (
                "dn: CN=x\n# \n objectClass: msDS-Device\nobjectClass: user\n",
                false,
            ),
            (
                "dn: CN=x\nobjectClass: msDS-DeviceContainer\nobjectClass: msDS-Device\n",
                true,
            ),
            ("dn: CN=x\nobjectClass:: bXNEUy1EZXZpY2U=\n", false),
        ] {
            assert_eq!(
                is_plain_device(text.as_bytes(), &finder),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn protection_adds_up() {
        let mut users = Users::default();
        let sid = Sid::parse("S-1-5-21-1-2-3-1104").unwrap();
        users.insert(&sid, true);
        users.insert(&sid, false);
        users.insert(&Sid::parse("S-1-5-21-9-9-9-1105").unwrap(), false);
        assert_eq!(users.find(&sid), PrincipalFacts::User { protected: true });
        for unknown in [
            "S-1-5-21-9-9-9-1104",
            "S-1-5-21-1-2-3-1105",
            "S-1-5-21-1-2-4-1104",
            "S-1-1-0",
        ] {
            let unknown = Sid::parse(unknown).unwrap();
            assert_eq!(users.find(&unknown), PrincipalFacts::NotFound, "{unknown}");
        }
    }
}
