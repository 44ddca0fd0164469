//! The rootDSE: what a server says about itself.

use device_writeback_core::dn::Dn;
use device_writeback_engine::error::{Error, ErrorKind};
use ldap3::Scope;

use crate::entry::Entry;
use crate::failure::Failure;
use crate::wire::{Connection, Search};

/// `supportedCapabilities` of a read-only domain controller ([MS-ADTS] 3.1.1.3.4.3.5, ACTIVE_DIRECTORY_PARTIAL_SECRETS).
const READ_ONLY: &str = "1.2.840.113556.1.4.1920";

/// What the rest needs of it.
#[derive(Clone, Debug)]
pub(crate) struct RootDse {
    /// The domain that the server is a controller of.
    pub(crate) domain: Option<Dn>,
    /// The forest's configuration.
    pub(crate) configuration: Option<Dn>,
    /// Where the schema is told in the words of [RFC 4512].
    pub(crate) subschema: Option<String>,
    /// What tells this server from others.
    pub(crate) identity: String,
}

const ATTRIBUTES: [&str; 6] = [
    "defaultNamingContext",
    "configurationNamingContext",
    "subschemaSubentry",
    "dsServiceName",
    "dnsHostName",
    "supportedCapabilities",
];

impl RootDse {
    /// Asks the server behind `connection`.
    ///
    /// # Errors
    /// [`ErrorKind::Directory`]: it does not answer, or is one that cannot be written.
    pub(crate) async fn read(connection: &Connection) -> Result<Self, Error> {
        let server = connection.server();
        let doing = format!("reading what {server} says about itself");
        let entries = connection
            .search(Search {
                base: "",
                scope: Scope::Base,
                filter: "(objectClass=*)",
                attributes: &ATTRIBUTES,
            })
            .await
            .map_err(|failure| failure.into_error(&doing))?;
        // The one without a name: what else a confused server may send says nothing about it.
        let entry = entries
            .into_iter()
            .find(|entry| entry.dn.is_empty())
            .ok_or_else(|| {
                Failure::Malformed("there is no rootDSE".to_owned()).into_error(&doing)
            })?;
        if entry
            .values("supportedCapabilities")
            .any(|value| value == READ_ONLY.as_bytes())
        {
            return Err(Error::new(
                ErrorKind::Directory,
                format!("{server} is a read-only domain controller: nothing can be written to it"),
            )
            .with_remedy("name writable domain controllers in directory.urls"));
        }
        let dn = |name: &str| {
            let text = entry.text(name)?;
            Dn::parse(text).ok()
        };
        let identity = entry
            .text("dsServiceName")
            .or_else(|| entry.text("dnsHostName"))
            .map_or_else(|| server.to_string(), str::to_lowercase);
        Ok(Self {
            domain: dn("defaultNamingContext"),
            configuration: dn("configurationNamingContext"),
            subschema: text(&entry, "subschemaSubentry"),
            identity,
        })
    }
}

fn text(entry: &Entry, name: &str) -> Option<String> {
    entry.text(name).map(str::to_owned)
}
