//! A plan that has not passed the limits cannot be made into one that has.

use device_writeback_core::plan::{ApprovedPlan, Plan};

fn made(plan: Plan) -> ApprovedPlan {
    ApprovedPlan(plan)
}

fn converted(plan: Plan) -> ApprovedPlan {
    plan.into()
}

fn main() {}
