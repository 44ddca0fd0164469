//! What the command line can do, a file each.

pub(crate) mod apply;
pub(crate) mod completions;
pub(crate) mod explain;
pub(crate) mod man;
pub(crate) mod plan;
mod report;
mod saved;
pub(crate) mod show;
pub(crate) mod sync;

use device_writeback::ConfiguredEngine;
use device_writeback::core::plan::Plan;
use device_writeback::engine::ports::CloudSource as _;

use crate::output::Places;

/// Where the records stand that `plan`, made from this source, names by number.
fn places(run: &ConfiguredEngine, plan: &Plan) -> Places {
    plan.skipped()
        .iter()
        .chain(plan.held())
        .chain(plan.conflicts())
        .filter_map(|listed| listed.sequence)
        .map(|sequence| (sequence, run.source().locate(sequence)))
        .collect()
}
