//! What the tests of rules, planner and apply share: a small world, a directory in memory, a naive second implementation
//! of the decision table, and generators that make all of them collide.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and no test needs all of this"
)]

pub mod generate;
pub mod memory;
pub mod model;
pub mod world;
