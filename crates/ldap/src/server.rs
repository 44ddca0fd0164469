//! Addresses of servers.

use std::fmt;
use std::str::FromStr;

use device_writeback_engine::error::{Error, ErrorKind};
use url::{Host, Url};

/// Ports of the global catalog, plain and TLS ([MS-ADTS] 3.1.1.3.1.1): a partial copy of the forest that is never written.
const GLOBAL_CATALOG: [u16; 2] = [3268, 3269];

/// The address of a domain controller: `ldaps://host[:636]`, or `ldap://host[:389]` for StartTLS.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    ldaps: bool,
    tls_url: Url,
    host: String,
    port: u16,
}

impl ServerUrl {
    /// Reads an LDAP URL with nothing in it but scheme, host and port.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with the remedy: another scheme, a name or a search in the URL, a global catalog port.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // Whatever stands before an @ may be a password, and is not repeated.
        let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
        let wrong = |what: &str, remedy: &str| {
            Error::new(
                ErrorKind::Config,
                format!("the server \"{}\" {what}", shown.escape_debug()),
            )
            .with_remedy(remedy)
        };
        const FORM: &str = "write it as ldaps://dc1.contoso.com";
        let url =
            Url::parse(text.trim()).map_err(|error| wrong("is no URL", FORM).with_source(error))?;
        let default_port = match url.scheme() {
            "ldaps" => 636,
            "ldap" => 389,
            _ => return Err(wrong("is no LDAP URL", FORM)),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "carries a user or a password",
                "give the account under bind_dn and its password in a file; both out of the URL",
            ));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(
                "says more than a server",
                "leave out what comes after the host; base and container have keys of their own",
            ));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(_)) => {
                return Err(wrong(
                    "has an IPv6 address in place of a name",
                    "write the server's DNS name, which its certificate carries",
                ));
            }
            _ => return Err(wrong("names no host", FORM)),
        };
        let port = url.port().unwrap_or(default_port);
        if GLOBAL_CATALOG.contains(&port) {
            return Err(wrong(
                "is a global catalog, which holds a part of every object and cannot be written",
                "leave out the port: a domain controller is written on 636 (ldaps) or 389 (ldap with StartTLS)",
            ));
        }
        let tls_url = Url::parse(&format!("ldaps://{host}:{port}"))
            .map_err(|error| wrong("is no URL", FORM).with_source(error))?;
        Ok(Self {
            ldaps: url.scheme() == "ldaps",
            tls_url,
            host,
            port,
        })
    }

    /// The host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the connection begins with TLS.
    pub fn is_ldaps(&self) -> bool {
        self.ldaps
    }

    /// The address of a connection that TLS begins on now, whatever was said before.
    pub(crate) fn tls_url(&self) -> &Url {
        &self.tls_url
    }
}

impl FromStr for ServerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default_port) = match self.ldaps {
            true => ("ldaps", 636),
            false => ("ldap", 389),
        };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != default_port {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_and_shown() {
        for (text, host, port, ldaps, shown) in [
            (
                "ldaps://dc1.contoso.com",
                "dc1.contoso.com",
                636,
                true,
                "ldaps://dc1.contoso.com",
            ),
            (
                "ldaps://DC1.contoso.com:636/",
                "dc1.contoso.com",
                636,
                true,
                "ldaps://dc1.contoso.com",
            ),
            (
                " ldap://10.1.2.3:1389 ",
                "10.1.2.3",
                1389,
                false,
                "ldap://10.1.2.3:1389",
            ),
            (
                "ldaps://localhost:3636",
                "localhost",
                3636,
                true,
                "ldaps://localhost:3636",
            ),
        ] {
            let server = ServerUrl::parse(text).unwrap();
            assert_eq!(server.host().to_lowercase(), host);
            assert_eq!(server.port(), port);
            assert_eq!(server.is_ldaps(), ldaps);
            assert_eq!(server.to_string().to_lowercase(), shown);
        }
    }

    #[test]
    fn what_is_no_server_is_refused_with_a_remedy() {
        for (text, expected) in [
            ("dc1.contoso.com", "is no URL"),
            ("https://dc1.contoso.com", "is no LDAP URL"),
            ("ldapi:///run/slapd/ldapi", "is no LDAP URL"),
            ("ldaps://", "names no host"),
            ("ldaps://dc1/DC=contoso,DC=com", "says more than a server"),
            ("ldaps://dc1?sub", "says more than a server"),
            ("ldaps://admin:secret@dc1", "carries a user or a password"),
            ("ldaps://[2001:db8::1]", "IPv6"),
            ("ldap://dc1:3268", "global catalog"),
            ("ldaps://dc1:3269", "global catalog"),
        ] {
            let error = ServerUrl::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(expected), "{text}: {error}");
            assert!(error.remedy().is_some());
            assert!(!format!("{error:?}").contains("secret"));
        }
    }
}
