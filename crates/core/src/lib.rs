//! The brain of device-writeback, without any I/O: devices registered in Microsoft Entra ID and the `msDS-Device` objects of an
//! Active Directory go in, a plan of LDAP operations comes out.
//!
//! This crate opens no sockets and no files, has no clock, no environment, no randomness and no runtime. It does not sign in to
//! anything. For that there are `device-writeback-engine` and the crates that implement its ports; an agent with its own LDAP
//! and HTTP stack needs only this one.
//!
//! ```text
//! Graph page -> graph::Reader -> CloudDevice -> rules -> DesiredDevice -+
//!                                                                       +-> plan::Planner -> Plan -> ApprovedPlan
//! LDAP entry -> directory::DirectoryObject -----------------------------+                               |
//!                                       outcome <- apply::Execution <- operation <- Change <------------+
//! ```
//!
//! A whole plan:
//!
//! ```
//! use device_writeback_core::graph::{CloudItem, CloudRecord, Reader};
//! use device_writeback_core::plan::{Completeness, Identity, MemorySpool, Planner, Setup};
//! use device_writeback_core::rules::{Forest, Rules};
//! use device_writeback_core::schema::SchemaVersion;
//!
//! let page = br#"{"value": [{"id": "8e60a5f8-8f9e-4c8a-9d58-1f0e2d6f8a11", "deviceId": "4f0c7f4e-7a1b-4b06-8a35-5f7c3a9f2f10",
//!     "displayName": "LAPTOP-1", "accountEnabled": true, "alternativeSecurityIds": []}]}"#;
//!
//! let identity = Identity {
//!     tenant_id: "6babcaad-604b-40ac-a9d7-9fd97c0b779f".parse()?,
//!     source_id: String::new(),
//!     directory_id: String::new(),
//!     domain_guid: None,
//!     container: "CN=RegisteredDevices,DC=contoso,DC=com".parse()?,
//! };
//! let forest = Forest::new(SchemaVersion::Windows2016.attributes());
//! let now = "2026-06-01T08:00:00Z".parse()?;
//! let setup = Setup::new(identity, Rules::default(), forest, now, [0; 16]); // the key: random in earnest
//! let mut planner = Planner::new(setup, Box::new(MemorySpool::default()));
//!
//! let mut reader: Reader<CloudItem> = Reader::new();
//! reader.push(page);
//! reader.end();
//! while let Some(element) = reader.next_record() {
//!     planner.cloud(CloudRecord { sequence: element.offset, item: element.record });
//! }
//! planner.end_cloud(Completeness::Full);
//! planner.end_directory(Completeness::Full); // an empty container
//!
//! assert!(planner.unresolved()?.is_empty());
//! let plan = planner.finish()?;
//! assert!(plan.is_empty());
//! assert_eq!(plan.skipped()[0].code.code(), "no_alternative_security_id");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod alt_security_id;
pub mod apply;
pub mod attributes;
pub mod boolean;
pub mod cloud_anchor;
pub mod directory;
pub mod dn;
pub mod dn_binary;
pub mod error;
pub mod filetime;
pub mod graph;
pub mod guid;
pub mod ldif;
pub mod plan;
pub mod render;
pub mod rules;
pub mod schema;
pub mod sid;
