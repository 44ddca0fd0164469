//! What a domain says about itself: its SID and GUID, the schema, where devices belong.

use device_writeback_core::attributes::AttributeMask;
use device_writeback_core::directory::OBJECT_GUID;
use device_writeback_core::dn::Dn;
use device_writeback_core::guid::ObjectGuid;
use device_writeback_core::schema::{
    Attribute, CONTAINER_CLASS, DEVICE_CLASS, DEVICE_LOCATION, INACTIVITY_PERIOD,
    REGISTRATION_SERVICE_CLASS,
};
use device_writeback_core::sid::Sid;
use device_writeback_engine::error::{Error, ErrorKind};
use device_writeback_engine::ports::DirectoryFacts;
use ldap3::Scope;

use crate::entry::Entry;
use crate::failure::Failure;
use crate::options::LdapOptions;
use crate::root::RootDse;
use crate::schema::ObjectClasses;
use crate::wire::{Connection, Search};

const OBJECT_SID: &str = "objectSid";
/// `systemFlags` of a crossRef that stands for a domain ([MS-ADTS] 6.1.1.2.1.1.5, FLAG_CR_NTDS_DOMAIN).
const IS_DOMAIN: &str = "(&(objectClass=crossRef)(systemFlags:1.2.840.113556.1.4.803:=2))";

/// What the rest of the adapter goes by.
#[derive(Clone, Debug)]
pub(crate) struct Domain {
    pub(crate) facts: DirectoryFacts,
    /// SID of the domain that the server is a controller of.
    pub(crate) sid: Option<Sid>,
    /// What is asked for of each device.
    pub(crate) attributes: Vec<&'static str>,
}

/// Looks at the domain through `connection`.
///
/// # Errors
/// [`ErrorKind::Config`] where the configuration and the directory contradict each other, [`ErrorKind::Directory`] where the
/// forest is not what it should be or cannot be read.
pub(crate) async fn discover(
    connection: &Connection,
    root: &RootDse,
    options: &LdapOptions,
) -> Result<Domain, Error> {
    let base = base(connection, root, options)?;
    let (domain_guid, sid) = domain(connection, &base).await?;
    let mut domain_sids = match &root.configuration {
        Some(configuration) => forest_sids(connection, configuration).await?,
        None => Vec::new(),
    };
    domain_sids.extend(sid.iter().cloned());
    domain_sids.sort_unstable();
    domain_sids.dedup();
    let service = match &root.configuration {
        Some(configuration) => service(connection, configuration).await?,
        None => None,
    };
    let (location, inactivity_days) = service.unwrap_or_default();
    let container = container(location, options, &base)?;
    let schema = schema(connection, root).await?;
    let facts = DirectoryFacts {
        domain_guid,
        container_exists: container_exists(connection, &container).await?,
        container,
        base,
        schema,
        domain_sids,
        inactivity_days: inactivity_days.filter(|days| *days > 0),
    };
    let attributes = std::iter::once(OBJECT_GUID)
        .chain(schema.iter().map(Attribute::name))
        .collect();
    Ok(Domain {
        facts,
        sid,
        attributes,
    })
}

fn base(connection: &Connection, root: &RootDse, options: &LdapOptions) -> Result<Dn, Error> {
    let server = connection.server();
    match (&root.domain, &options.base) {
        (Some(own), Some(configured)) if own != configured => Err(Error::new(
            ErrorKind::Config,
            format!("{server} serves the domain \"{own}\", and directory.base is \"{configured}\""),
        )
        .with_remedy("name a domain controller of that domain, or leave directory.base out")),
        (Some(own), _) => Ok(own.clone()),
        (None, Some(configured)) => {
            tracing::warn!(%server, "the server does not say that it is a domain controller; it is used as the configuration says");
            Ok(configured.clone())
        }
        (None, None) => Err(Error::new(
            ErrorKind::Directory,
            format!("{server} does not say which domain it serves: it is no domain controller"),
        )
        .with_remedy("name a domain controller in directory.urls")),
    }
}

async fn domain(
    connection: &Connection,
    base: &Dn,
) -> Result<(Option<ObjectGuid>, Option<Sid>), Error> {
    let doing = || format!("reading the domain {base}");
    let entry = object(connection, &base.to_string(), &[OBJECT_GUID, OBJECT_SID])
        .await
        .map_err(|failure| failure.into_error(doing()))?
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Directory,
                format!("{}: it does not exist, or may not be read", doing()),
            )
            .with_remedy("correct directory.base, or let the account read the domain object")
        })?;
    let guid = entry
        .first(OBJECT_GUID)
        .and_then(|value| ObjectGuid::from_le_slice(value).ok());
    let sid = entry
        .first(OBJECT_SID)
        .and_then(|value| Sid::from_bytes(value).ok());
    Ok((guid, sid))
}

/// SIDs of every domain of the forest, from the cross references.
async fn forest_sids(connection: &Connection, configuration: &Dn) -> Result<Vec<Sid>, Error> {
    let partitions = configuration.child("CN", "Partitions").to_string();
    let found = connection
        .search_with_extended_dns(Search {
            base: &partitions,
            scope: Scope::OneLevel,
            filter: IS_DOMAIN,
            attributes: &["nCName"],
        })
        .await;
    match found {
        Ok(entries) => Ok(entries
            .iter()
            .filter_map(|entry| sid_of_extended_dn(entry.text("nCName")?))
            .collect()),
        Err(failure) if failure.is_no_such_object() => Ok(Vec::new()),
        Err(failure) => {
            Err(failure.into_error(format!("reading the forest's domains in {partitions}")))
        }
    }
}

/// The SID in `<GUID=...>;<SID=S-1-5-21-...>;DC=contoso,DC=com`.
fn sid_of_extended_dn(text: &str) -> Option<Sid> {
    let (_, rest) = text.split_once("<SID=")?;
    let (sid, _) = rest.split_once('>')?;
    Sid::parse(sid).ok()
}

/// Where the registration service says that devices belong, and after how many days an unused one goes.
async fn service(
    connection: &Connection,
    configuration: &Dn,
) -> Result<Option<(Option<Dn>, Option<u32>)>, Error> {
    let above = configuration
        .child("CN", "Services")
        .child("CN", "Device Registration Configuration")
        .to_string();
    let filter = format!("(objectClass={REGISTRATION_SERVICE_CLASS})");
    let found = connection
        .search(Search {
            base: &above,
            scope: Scope::Subtree,
            filter: &filter,
            attributes: &[DEVICE_LOCATION, INACTIVITY_PERIOD],
        })
        .await;
    let entries = match found {
        Ok(entries) => entries,
        Err(failure) if failure.is_no_such_object() => return Ok(None),
        Err(failure) => {
            return Err(
                failure.into_error(format!("looking for the registration service in {above}"))
            );
        }
    };
    if let [one, other, ..] = &*entries {
        return Err(Error::new(
            ErrorKind::Directory,
            format!(
                "there are {} objects of class {REGISTRATION_SERVICE_CLASS}: \"{}\", \"{}\"",
                entries.len(),
                one.dn,
                other.dn
            ),
        )
        .with_remedy("a forest has one; find out which of them AD FS uses and remove the others"));
    }
    let Some(entry) = entries.first() else {
        return Ok(None);
    };
    let refuse = |name: &str, text: &str| {
        Error::new(
            ErrorKind::Directory,
            format!(
                "reading \"{}\": {name} is \"{}\"",
                entry.dn,
                text.escape_debug()
            ),
        )
        .with_remedy("correct the registration service; AD FS goes by it too")
    };
    let location = entry
        .text(DEVICE_LOCATION)
        .map(|text| Dn::parse(text).map_err(|_| refuse(DEVICE_LOCATION, text)))
        .transpose()?;
    let days = entry
        .text(INACTIVITY_PERIOD)
        .map(|text| text.parse().map_err(|_| refuse(INACTIVITY_PERIOD, text)))
        .transpose()?;
    Ok(Some((location, days)))
}

fn container(location: Option<Dn>, options: &LdapOptions, base: &Dn) -> Result<Dn, Error> {
    let container = DirectoryFacts::container(location, options.container.as_ref(), base);
    if container.is_child_of(base) {
        return Ok(container);
    }
    Err(Error::new(
        ErrorKind::Config,
        format!(
            "the container \"{container}\" is not directly under the domain \"{base}\", where alone one can be"
        ),
    )
    .with_remedy("name a domain controller of the domain that the container is in"))
}

async fn container_exists(connection: &Connection, container: &Dn) -> Result<bool, Error> {
    let found = object(connection, &container.to_string(), &["objectClass"]).await;
    match found {
        Ok(Some(entry)) if !entry.has_class(CONTAINER_CLASS) => Err(Error::new(
            ErrorKind::Directory,
            format!("the container {container} is not of class {CONTAINER_CLASS}"),
        )
        .with_remedy(
            "correct directory.container; devices can only be created in such a container",
        )),
        Ok(entry) => Ok(entry.is_some()),
        Err(failure) => Err(failure.into_error(format!("looking for the container {container}"))),
    }
}

/// The attributes that `msDS-Device` has in the live schema.
async fn schema(connection: &Connection, root: &RootDse) -> Result<AttributeMask, Error> {
    let doing = "reading the schema";
    let missing = |what: &str, remedy: &str| {
        Error::new(ErrorKind::Directory, format!("{doing}: {what}")).with_remedy(remedy)
    };
    let Some(subschema) = &root.subschema else {
        return Err(missing(
            "the server does not say where it is (subschemaSubentry)",
            "see whether this is a domain controller",
        ));
    };
    let entries = connection
        .search(Search {
            base: subschema,
            scope: Scope::Base,
            filter: "(objectClass=*)",
            attributes: &["objectClasses"],
        })
        .await
        .map_err(|failure| failure.into_error(doing))?;
    let classes = ObjectClasses::parse(
        entries
            .iter()
            .flat_map(|entry| entry.values("objectClasses")),
    );
    classes.attributes_of(DEVICE_CLASS).ok_or_else(|| {
        missing(
            &format!("it has no class {DEVICE_CLASS}"),
            "extend the forest's schema to Windows Server 2012 R2 (69) or later",
        )
    })
}

/// Reads one object, or finds that there is none.
pub(crate) async fn object(
    connection: &Connection,
    dn: &str,
    attributes: &[&str],
) -> Result<Option<Entry>, Failure> {
    let found = connection
        .search(Search {
            base: dn,
            scope: Scope::Base,
            filter: "(objectClass=*)",
            attributes,
        })
        .await;
    match found {
        Ok(entries) if entries.len() > 1 => Err(Failure::Malformed(
            "one object was asked for, and more came".to_owned(),
        )),
        Ok(entries) => Ok(entries.into_iter().next()),
        Err(failure) if failure.is_no_such_object() => Ok(None),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sid_of_a_domain_is_read_from_its_name() {
        let text =
            "<GUID=00112233-4455-6677-8899-aabbccddeeff>;<SID=S-1-5-21-1-2-3>;DC=contoso,DC=com";
        assert_eq!(
            sid_of_extended_dn(text).unwrap().to_string(),
            "S-1-5-21-1-2-3"
        );
        assert_eq!(sid_of_extended_dn("DC=contoso,DC=com"), None);
        assert_eq!(sid_of_extended_dn("<SID=nonsense>;DC=x"), None);
    }
}
