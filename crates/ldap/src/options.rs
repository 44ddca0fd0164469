//! What an LDAP directory is opened with.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use device_writeback_core::dn::Dn;
use zeroize::Zeroizing;

use crate::server::ServerUrl;

/// A password. Wiped from memory when it is dropped, and never shown.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// A password as it is sent, UTF-8.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Whether it has no character. A bind with a name and no password succeeds as nobody ([RFC 4513] 5.1.2) and is
    /// never tried.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// As whom the directory is used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Auth {
    /// A simple bind. Sent over TLS only.
    Simple {
        /// A user principal name, a DN or `DOMAIN\name`.
        name: String,
        /// Its password.
        password: Password,
    },
}

/// Whose certificates are believed. A host name is verified always; there is no way to turn that off.
#[derive(Clone, Debug)]
pub enum Roots {
    /// The certificates in this PEM text, and no other.
    Pem(Vec<u8>),
    /// The roots that this machine trusts. Reading them is the caller's decision: nothing here does it unasked.
    System,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For connecting to one address, with the TLS handshake and the bind.
    pub connect: Duration,
    /// For the answer to one operation; for a search, for each entry of it.
    pub operation: Duration,
    /// For getting a lost connection back, all servers and pauses together. Zero: one attempt.
    pub reconnect: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            operation: Duration::from_secs(60),
            reconnect: Duration::from_secs(30),
        }
    }
}

/// Where the directory is and how it is used.
#[derive(Clone, Debug)]
pub struct LdapOptions {
    /// Domain controllers of one domain, in the order they are tried. One run stays on one of them as long as it is there.
    pub servers: Vec<ServerUrl>,
    /// Whether an `ldap://` connection is secured with StartTLS before anything else is sent.
    pub start_tls: bool,
    /// Whose certificates are believed.
    pub roots: Roots,
    /// As whom.
    pub auth: Auth,
    /// DN of the domain; else the server's `defaultNamingContext`.
    pub base: Option<Dn>,
    /// The container, where no registration service names one.
    pub container: Option<Dn>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How many writes may be in flight at most, 1 to [`MAX_WINDOW`].
    pub max_in_flight: usize,
    /// How many operations a second are sent at most while changes are carried out.
    pub max_operations_per_second: Option<NonZeroU32>,
}

/// As many writes may be in flight at most: more than fill any network, and far below what servers queue for a connection.
pub const MAX_WINDOW: usize = 256;

impl LdapOptions {
    /// Options with defaults: time-outs of [`Timeouts::default`], up to [`MAX_WINDOW`] writes in flight, no cap.
    pub fn new(servers: Vec<ServerUrl>, roots: Roots, auth: Auth) -> Self {
        Self {
            servers,
            start_tls: false,
            roots,
            auth,
            base: None,
            container: None,
            timeouts: Timeouts::default(),
            max_in_flight: MAX_WINDOW,
            max_operations_per_second: None,
        }
    }
}
