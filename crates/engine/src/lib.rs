//! Ports, configuration and the import-plan-apply driver of device-writeback.
//!
//! The engine brings a [`ports::CloudSource`], a [`ports::Directory`] and a [`ports::StateStore`] together around the planner of
//! `device-writeback-core`. It has no runtime, no environment and no
//! idea of the date (`now` is an option; it only measures how long an apply took): await its futures wherever you are.
//!
//! A whole run over ports in memory:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use device_writeback_core::{alt_security_id::AltSecurityId, dn::Dn, filetime::FileTime, graph, plan, schema};
//! use device_writeback_engine::memory::{MemoryDirectory, MemorySource, MemoryState};
//! use device_writeback_engine::{Control, Engine, Options, SyncEnd, ports::DirectoryFacts};
//!
//! let certificate = "X509:<SHA1-TP-PUBKEY>D09A73223D16855752C5E820A70540BA6450103E\
//!     fAEQj2hW5Ox+vjZP9wx5rOLbJypnn7SVJ8aw+GVD42Y=";
//! let key = AltSecurityId::parse(certificate)?.to_graph_key();
//! let (item, _) = graph::parse_device(&format!(
//!     r#"{{"id": "5c2d1bd1-7b0f-4d3c-9d1c-0f6e2a7b9c11", "displayName": "PC-17", "accountEnabled": true,
//!     "deviceId": "0b1ad1f5-3c53-4b4e-8d2e-6a4a3f1f0d77",
//!     "alternativeSecurityIds": [{{"type": 2, "key": "{key}"}}]}}"#
//! ))?;
//! let records = vec![graph::CloudRecord { sequence: 0, item }];
//! let source = MemorySource::new(records, plan::Completeness::Full);
//!
//! let base: Dn = "DC=contoso,DC=com".parse()?;
//! let facts = DirectoryFacts {
//!     domain_guid: None,
//!     container: base.child("CN", "RegisteredDevices"),
//!     base,
//!     container_exists: true,
//!     schema: schema::Attribute::available(schema::VERSION_2016),
//!     domain_sids: Vec::new(),
//!     inactivity_days: None,
//! };
//! let directory = MemoryDirectory::new(facts, []);
//!
//! let now = FileTime::parse_rfc3339("2026-03-01T12:00:00Z")?;
//! let options = Options::new("11111111-2222-4333-8444-555566667777".parse()?, now);
//! let engine = Engine::new(source, directory, MemoryState::new(), options);
//! let control = Control::new();
//! let run = engine.sync(Box::<plan::MemorySpool>::default(), &control);
//! match futures_executor::block_on(run)? {
//!     SyncEnd::Applied(plan, report) => assert_eq!((plan.len(), report.done), (1, 1)),
//!     SyncEnd::Refused(_, refusal) => return Err(refusal.message.into()),
//!     _ => {}
//! }
//! assert_eq!(engine.directory().len(), 1);
//! # Ok(())
//! # }
//! ```

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
