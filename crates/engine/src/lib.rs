//! Ports, configuration and the import-plan-apply driver of device-writeback.
//!
//! The engine brings a [`ports::CloudSource`], a [`ports::Directory`] and a [`ports::StateStore`] together around the planner of
//! `device-writeback-core`. It has no runtime, no clock and no environment: await its futures wherever you are.

mod applier;
pub mod config;
pub mod control;
mod driver;
pub mod error;
pub mod explain;
pub mod memory;
pub mod ports;
mod reading;
mod report;
mod watch;

pub use control::{Control, Observer, Stage};
pub use driver::{Engine, Options, Planned, SyncEnd};
pub use error::{Error, ErrorKind};
pub use explain::Explanation;
pub use report::{Failure, LdapResultDocument, REPORT_FORMAT_VERSION, Report};
