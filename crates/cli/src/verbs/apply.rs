//! `apply`: exactly that plan.

use device_writeback::core::plan::{Override, Plan};
use device_writeback::engine::{Error, ErrorKind};

use crate::args::{self, Digest};
use crate::exit::Exit;
use crate::output::{Places, refusal_lines};
use crate::run::Context;
use crate::text::{counted, safe};

use super::{report, saved};

pub(crate) async fn run(context: &Context, args: &args::Apply) -> Result<Exit, Error> {
    let plan = saved::read(&args.file)?;
    check_digest(&plan, args)?;
    let run = context.open(false)?;
    run.verify(&plan)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::Refused if error.remedy().is_none() => {
                error.with_remedy("make a new plan with this configuration")
            }
            _ => error,
        })?;
    let output = context.output;
    let history = run.history().await?;
    let limits = &run.options().limits;
    let approved = match plan.approve(limits, &history, None) {
        Ok(approved) => approved,
        Err(refused) => {
            let (plan, refusal) = *refused;
            let digest = plan.digest();
            if !args.override_limits {
                let way = context.hints.exceed(&args.file, digest);
                let lines = refusal_lines(&refusal, way);
                if output.is_json() {
                    output.document(&report::document(
                        "apply",
                        &plan,
                        &Places::new(),
                        None,
                        Some(&refusal),
                    ))?;
                }
                output.note(&lines);
                return Ok(Exit::Refused);
            }
            run.use_override(digest).await?;
            output.note(&[format!(
                "exceeding the limits as asked: {}",
                safe(&refusal.message)
            )]);
            plan.approve(limits, &history, Some(Override { digest }))
                .map_err(|refused| {
                    Error::new(ErrorKind::Refused, refused.1.to_string())
                        .with_remedy("make a new plan")
                })?
        }
    };
    let result = run.apply(&approved, &context.control).await?;
    context.end_progress();
    let plan = approved.plan();
    if output.is_json() {
        output.document(&report::document(
            "apply",
            plan,
            &Places::new(),
            Some(&result),
            None,
        ))?;
    } else {
        output.write(|out| {
            if plan.is_empty() {
                return writeln!(out, "nothing to do: the plan has {}", counted(0, "change"));
            }
            report::text(plan, &result, out)
        })?;
    }
    Ok(report::exit(&result))
}

fn check_digest(plan: &Plan, args: &args::Apply) -> Result<(), Error> {
    let found = Digest(plan.digest());
    match args.digest {
        Some(wanted) if wanted != found => Err(Error::new(
            ErrorKind::Refused,
            format!(
                "the plan {} is not the one that --digest names: its digest is {found}",
                args.file.display()
            ),
        )
        .with_remedy("look at this plan with show, or find the one that was looked at")),
        _ => Ok(()),
    }
}
