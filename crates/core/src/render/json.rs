//! The plan document.

use std::io;

use super::Rendered;
use crate::plan::Plan;

/// JSON Schema (draft 2020-12) of the plan document.
pub const PLAN_SCHEMA: &str = include_str!("../../schema/plan.schema.json");

pub(super) fn render(plan: &Plan, out: &mut dyn io::Write) -> Rendered {
    Ok(plan.write(out)?)
}
