//! What became of a plan.

use std::io::{self, Write};

use device_writeback::core::plan::{Listed, Plan, Refusal};
use device_writeback::engine::Report;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::output::Places;
use crate::text::{counted, hex, safe};

/// `format_version` of the report document.
const FORMAT_VERSION: u32 = 1;
/// Changes that text names when they are not done; documents name all.
const NAMED: usize = 1_000;

/// The exit code of a run that was carried out.
pub(super) fn exit(report: &Report) -> Exit {
    if report.is_complete() {
        Exit::Done
    } else {
        Exit::Pending
    }
}

/// The report document, described by `schema/report.schema.json`.
pub(super) fn document(
    verb: &str,
    plan: &Plan,
    places: &Places,
    report: Option<&Report>,
    refusal: Option<&Refusal>,
) -> Value {
    let outcome = match (refusal, report) {
        (Some(_), _) => "refused",
        (None, _) if plan.is_empty() => "nothing_to_do",
        (None, Some(report)) if report.cancelled => "cancelled",
        (None, Some(report)) if !report.is_complete() => "incomplete",
        (None, _) => "done",
    };
    let list = |listed: &[Listed]| -> Value {
        listed.iter().map(|listed| entry(listed, places)).collect()
    };
    let identity = plan.identity();
    json!({
        "format_version": FORMAT_VERSION,
        "kind": "report",
        "verb": verb,
        "outcome": outcome,
        "plan": {
            "tenant_id": identity.tenant_id,
            "source_id": identity.source_id,
            "directory_id": identity.directory_id,
            "domain_guid": identity.domain_guid,
            "container": identity.container,
            "profile": plan.profile(),
            "time": plan.time(),
            "take_over": plan.take_over(),
            "complete": {
                "source": plan.source_completeness(),
                "directory": plan.directory_completeness(),
            },
            "digest": hex(&plan.digest()),
            "summary": plan.summary(),
            "skipped": list(plan.skipped()),
            "held": list(plan.held()),
            "conflicts": list(plan.conflicts()),
        },
        "refusal": refusal.map(|refusal| json!({
            "code": refusal.code.as_str(),
            "message": refusal.message,
        })),
        "result": report,
    })
}

fn entry(listed: &Listed, places: &Places) -> Value {
    let location = listed.sequence.and_then(|sequence| places.get(&sequence));
    let mut entry = json!({
        "device_id": listed.device_id,
        "object_id": listed.object_id,
        "dn": listed.dn,
        "code": listed.code,
        "message": listed.message(),
        "location": location,
    });
    if let Value::Object(members) = &mut entry {
        members.retain(|_, value| !value.is_null());
    }
    entry
}

/// The report for people: counts, then what is not done with its cause.
pub(super) fn text(plan: &Plan, report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{} of {} done in {:.1} s{}",
        report.done,
        counted(report.planned, "change"),
        report.milliseconds as f64 / 1_000.0,
        if report.cancelled {
            ", then stopped"
        } else {
            ""
        }
    )?;
    if let Some(stopped) = &report.stopped {
        writeln!(
            out,
            "stopped: {}; run again when it is there, what is done is found to be done",
            safe(stopped)
        )?;
    }
    for (action, count) in &report.actions {
        writeln!(out, "  {action:<10}  {count:>9}")?;
    }
    for (count, what) in [
        (report.already, "of these found done already"),
        (report.stale, "not what the plan saw, left alone"),
        (report.failed, "failed"),
        (report.not_begun, "not begun"),
    ] {
        if count > 0 {
            writeln!(out, "  {count} {what}")?;
        }
    }
    if !report.failures.is_empty() {
        writeln!(out, "\nNot done ({})", report.failures.len())?;
    }
    for failure in report.failures.iter().take(NAMED) {
        writeln!(
            out,
            "  {:<7}  {}  {}\n    {}: {}",
            failure.action,
            failure.device_id,
            safe(&failure.dn.to_string()),
            failure.verdict,
            safe(&failure.message)
        )?;
    }
    let left = report.failures.len().saturating_sub(NAMED);
    if left > 0 {
        writeln!(out, "  ... and {left} more; --format json names all")?;
    }
    let (held, conflicts) = (plan.held().len(), plan.conflicts().len());
    if held + conflicts > 0 {
        writeln!(
            out,
            "{held} held and {} need a person",
            counted(conflicts as u64, "conflict")
        )?;
    }
    Ok(())
}
