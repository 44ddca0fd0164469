//! Active Directory over LDAP: the directory port on a real domain controller.
mod options;
mod server;

pub use options::{Auth, LdapOptions, MAX_WINDOW, Password, Roots, Timeouts};
pub use server::ServerUrl;
