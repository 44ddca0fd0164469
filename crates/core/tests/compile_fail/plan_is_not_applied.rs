//! What wants an approved plan takes no other.

use device_writeback_core::plan::{ApprovedPlan, Plan};

fn apply(_: &ApprovedPlan) {}

fn unlimited(plan: &Plan) {
    apply(plan);
}

fn refused(plan: Plan) {
    let limits = device_writeback_core::plan::Limits::default();
    let history = device_writeback_core::plan::History::default();
    apply(&plan.approve(&limits, &history, None));
}

fn main() {}
