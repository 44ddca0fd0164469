//! What a saved plan must survive before it is applied, and the limits.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

mod documents;
mod forge;
mod limits;
#[path = "../support/mod.rs"]
mod support;
mod tampering;
