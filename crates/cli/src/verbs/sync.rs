//! `sync`: plan, check, apply, report.

use device_writeback::FileSpool;
use device_writeback::core::render::Format;
use device_writeback::engine::{Error, ErrorKind, SyncEnd};

use crate::args;
use crate::exit::Exit;
use crate::output::{refusal_lines, write_plan};
use crate::run::Context;
use crate::text::{counts, others};

use super::report;

pub(crate) async fn run(context: &Context, args: &args::Sync) -> Result<Exit, Error> {
    let run = context.open(args.take_over.take_over)?;
    let end = run
        .sync(Box::new(FileSpool::new()), &context.control)
        .await?;
    context.end_progress();
    let output = context.output;
    let mut options = output.render_options(args.listing.all);
    match end {
        SyncEnd::Refused(plan, refusal) => {
            let places = super::places(&run, &plan);
            options.limits = Some(Err(refusal.clone()));
            if output.is_json() {
                output.document(&report::document(
                    "sync",
                    &plan,
                    &places,
                    None,
                    Some(&refusal),
                ))?;
            } else {
                output.write(|out| match output.quiet {
                    true => writeln!(out, "{}", counts(&plan)),
                    false => write_plan(&plan, Format::Text, &options, &places, out),
                })?;
            }
            let way = context.hints.save(args.take_over.take_over);
            output.note(&refusal_lines(&refusal, way));
            Ok(Exit::Refused)
        }
        SyncEnd::Applied(plan, result) => {
            let places = super::places(&run, &plan);
            options.limits = Some(Ok(()));
            if output.is_json() {
                output.document(&report::document(
                    "sync",
                    &plan,
                    &places,
                    Some(&result),
                    None,
                ))?;
            } else {
                output.write(|out| {
                    if plan.is_empty() {
                        return writeln!(out, "nothing to do: {}", others(&plan));
                    }
                    if !output.quiet {
                        write_plan(&plan, Format::Text, &options, &places, out)?;
                        writeln!(out)?;
                    }
                    report::text(&plan, &result, out)
                })?;
            }
            Ok(report::exit(&result))
        }
        _ => Err(Error::new(
            ErrorKind::Internal,
            "the run ended in a way that this command line does not know",
        )),
    }
}
