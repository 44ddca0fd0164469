//! The real binary, in temporary folders, on copies of the quickstart.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

mod apply;
mod config;
mod documents;
mod explain;
mod files;
mod hints;
mod ldap;
mod quickstart;
#[cfg(unix)]
mod signals;
mod support;
mod tamper;
mod target;
mod terminal;
mod usage;
