//! Whole runs over ports in memory that can be slowed, broken and watched.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod applying;
mod config;
mod explaining;
mod limits;
mod planning;
mod reports;
mod sending;
mod support;
