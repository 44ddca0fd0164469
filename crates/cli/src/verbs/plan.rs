//! `plan`: what would be done.

use device_writeback::FileSpool;
use device_writeback::core::plan::{Plan, Refusal};
use device_writeback::core::render::Format;
use device_writeback::engine::Error;

use crate::args::{self, OutputFormat};
use crate::exit::Exit;
use crate::file;
use crate::output::{Places, refusal_lines, write_plan};
use crate::run::Context;
use crate::target;
use crate::text::{counts, safe};

pub(crate) async fn run(context: &Context, args: &args::Plan) -> Result<Exit, Error> {
    if let Some(path) = &args.out {
        target::check(path, &context.config_file, &context.config)?;
    }
    let run = context.open(args.take_over.take_over)?;
    let planned = run
        .plan(Box::new(FileSpool::new()), &context.control)
        .await?;
    context.end_progress();
    let limits = planned.check_limits(&run.options().limits);
    let plan = &planned.plan;
    let places = super::places(&run, plan);
    let output = context.output;
    let mut options = output.render_options(args.listing.all);
    options.limits = Some(limits.clone());
    if let Some(path) = &args.out {
        let format = match output.format {
            OutputFormat::Text => Format::Json,
            other => other.into(),
        };
        file::replace(path, |out| {
            write_plan(plan, format, &options, &Places::new(), out)
        })?;
    }
    output.write(|out| match (output.format, &args.out) {
        (OutputFormat::Text, _) | (OutputFormat::Ldif | OutputFormat::Html, Some(_)) => {
            if output.quiet {
                writeln!(out, "{}", counts(plan))?;
            } else {
                write_plan(plan, Format::Text, &options, &places, out)?;
            }
            let lines = verdict(context, args, plan, &limits);
            if !output.quiet && !lines.is_empty() {
                writeln!(out)?;
            }
            lines.iter().try_for_each(|line| writeln!(out, "{line}"))
        }
        (format, _) => write_plan(plan, format.into(), &options, &places, out),
    })?;
    Ok(match (plan.is_empty(), limits) {
        (false, _) => Exit::Pending,
        (true, Ok(())) => Exit::Done,
        (true, Err(_)) => Exit::Refused,
    })
}

/// What would become of the plan, and the way on.
fn verdict(
    context: &Context,
    args: &args::Plan,
    plan: &Plan,
    limits: &Result<(), Refusal>,
) -> Vec<String> {
    let format = context.output.format;
    let saved = args.out.as_deref();
    let applicable = saved.filter(|_| format == OutputFormat::Text);
    let (hints, digest) = (&context.hints, plan.digest());
    let mut lines = Vec::new();
    match limits {
        Err(refusal) => {
            let way = applicable.map_or_else(
                || hints.save(args.take_over.take_over),
                |file| hints.exceed(file, digest),
            );
            let mut refused = refusal_lines(refusal, way).into_iter();
            lines.extend(refused.next().map(|line| format!("would be {line}")));
            lines.extend(refused);
        }
        Ok(()) if plan.is_empty() => {}
        Ok(()) => {
            lines.push("would be applied: the limits are kept".into());
            if let Some(file) = applicable {
                lines.push(format!(
                    "apply exactly this with: {}",
                    hints.apply(file, digest)
                ));
            }
        }
    }
    if let Some(path) = saved {
        let path = safe(&path.display().to_string());
        lines.push(match format {
            OutputFormat::Ldif | OutputFormat::Html => {
                format!("saved in {path}, to be read; only --format json saves a plan for apply")
            }
            _ => format!("saved in {path}"),
        });
    }
    lines
}
