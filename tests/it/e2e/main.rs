//! End-to-end tests: they start servers and a browser, so only `cargo xtask test` runs them.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

mod chromium;
mod openldap;
