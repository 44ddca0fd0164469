//! Writes devices registered in Microsoft Entra ID back into on-premises Active Directory as `msDS-Device` objects.
//!
//! It is not a way to create computer accounts, and it changes nothing in Entra ID.
//!
//! [`core`] is the brain without any I/O, [`engine`] the driver over three ports, [`mod@file`] the ports on files, [`mod@ldap`]
//! the directory on domain controllers. [`open`] builds a run from a configuration, with what [`Platform`] lets it take from the
//! machine:
//!
#![cfg_attr(feature = "file", doc = "```no_run")]
#![cfg_attr(not(feature = "file"), doc = "```text")]
//! use device_writeback::{engine, FileSpool, Platform};
//!
//! # async fn run() -> Result<(), engine::Error> {
//! let text = "tenant_id = ...";
//! let config = engine::config::Config::parse(text, "config.toml", std::path::Path::new("."))?;
//! let now = device_writeback::core::filetime::FileTime::parse_rfc3339("2026-06-01T08:00:00Z").unwrap();
//! let options = engine::Options::from_config(&config, now);
//! let run = device_writeback::open(&config, options, &Platform::none().with_system_roots())?;
//! let planned = run.plan(Box::new(FileSpool::new()), &engine::Control::new()).await?;
//! println!("{} changes", planned.plan.len());
//! # Ok(())
//! # }
//! ```
//!
//! Files need no runtime. A domain controller is awaited on a tokio runtime with its timers and sockets enabled.
//!
//! | Feature | Brings |
//! |---|---|
//! | `file` (default) | file source, LDIF directory, file-based state, [`open`] |
//! | `ldap` (default) | Active Directory over LDAP |

// What a build leaves out cannot be linked to.
#![cfg_attr(
    not(all(feature = "file", feature = "ldap")),
    allow(rustdoc::broken_intra_doc_links)
)]

pub use device_writeback_core as core;
pub use device_writeback_engine as engine;
#[cfg(feature = "file")]
pub use device_writeback_file as file;
#[cfg(feature = "ldap")]
pub use device_writeback_ldap as ldap;

#[cfg(feature = "file")]
mod configured;
#[cfg(any(feature = "file", feature = "ldap"))]
mod directory;
#[cfg(feature = "ldap")]
mod ldap_options;
mod platform;
#[cfg(feature = "ldap")]
mod secret;

#[cfg(feature = "file")]
pub use self::configured::{ConfiguredEngine, open};
#[cfg(any(feature = "file", feature = "ldap"))]
pub use self::directory::{ConfiguredDirectory, ConfiguredImport, open_directory};
pub use self::platform::Platform;
#[cfg(feature = "file")]
pub use device_writeback_file::FileSpool;
