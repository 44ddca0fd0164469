//! Active Directory over LDAP: the directory port of `device-writeback` on real domain controllers.
//!
//! [`LdapDirectory`] connects over TLS to one of several domain controllers of one domain, finds out what the forest is like
//! (container, schema, SIDs), reads devices page by page and writes pipelined. Values are octets whose meaning the schema
//! table decides; nothing is guessed from how they look.
//!
//! What it asks for is given to it as [`LdapOptions`]: it reads no environment, and the machine's certificate authorities
//! only for [`Roots::System`].

mod directory;
mod discovery;
mod entry;
mod failure;
mod import;
mod lookup;
mod opening;
mod options;
mod pace;
mod root;
mod schema;
mod server;
mod session;
mod start_tls;
mod tls;
mod window;
mod wire;

pub use directory::LdapDirectory;
pub use import::LdapImport;
pub use options::{Auth, LdapOptions, MAX_WINDOW, Password, Roots, Timeouts};
pub use server::ServerUrl;
