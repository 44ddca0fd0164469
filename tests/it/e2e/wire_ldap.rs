//! The LDAP adapter against a server that does what a domain controller does only on a bad day.

mod connecting;
mod flow;
mod listing;
mod lost;
mod malformed;
mod product;
mod results;
mod secrets;
mod servers;
mod support;
mod users;
