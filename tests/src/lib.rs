//! What the tests of device-writeback share: throw-away servers, a browser, fuzz targets.
//!
//! Nothing here is part of the product. The labs start real programs and are used only by
//! tests behind the `e2e` feature, which `cargo xtask test` turns on.

pub mod chromium;
pub mod fuzz_targets;
mod lab;
pub mod ldap_bench;
pub mod mutator;
pub mod openldap;
pub mod samba;
pub mod scripted_ldap;

pub use crate::lab::LabError;
