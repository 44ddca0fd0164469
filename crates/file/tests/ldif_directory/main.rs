//! The LDIF directory behaves as a directory.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

mod changes;
mod commit;
mod facts;
mod model;
mod preservation;
mod refusals;
mod support;
