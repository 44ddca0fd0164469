//! `explain`: one device.

use std::io::{self, Write};

use device_writeback::FileSpool;
use device_writeback::engine::explain::{AttributeSide, ChangeSide, CloudSide, DirectorySide};
use device_writeback::engine::{Error, ErrorKind, Explanation};
use serde_json::Value;

use crate::args;
use crate::exit::Exit;
use crate::run::Context;
use crate::text::{quoted, safe};

pub(crate) async fn run(context: &Context, args: &args::Explain) -> Result<Exit, Error> {
    let run = context.open(args.take_over.take_over)?;
    let explanation = run
        .explain(&args.device, Box::new(FileSpool::new()), &context.control)
        .await?;
    context.end_progress();
    let output = context.output;
    if output.is_json() {
        output.document(&document(&explanation)?)?;
    } else {
        output.write(|out| {
            if output.quiet {
                writeln!(out, "{}", safe(&explanation.conclusion))
            } else {
                text(&explanation, out)
            }
        })?;
    }
    Ok(Exit::Done)
}

/// The explanation document, described by `schema/explanation.schema.json`.
fn document(explanation: &Explanation) -> Result<Value, Error> {
    let mut document = serde_json::to_value(explanation).map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            "the explanation cannot be written as JSON",
        )
        .with_source(error)
    })?;
    if let Value::Object(members) = &mut document {
        members.insert("kind".into(), "explanation".into());
    }
    Ok(document)
}

fn text(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    for device in &explanation.device_ids {
        writeln!(out, "Device {device}")?;
    }
    if explanation.cloud.is_empty() {
        writeln!(out, "\nCloud: no record")?;
    }
    for side in &explanation.cloud {
        cloud(side, out)?;
    }
    if explanation.directory.is_empty() {
        writeln!(out, "\nDirectory: no object")?;
    }
    for side in &explanation.directory {
        directory(side, out)?;
    }
    let attributes: Vec<_> = explanation
        .cloud
        .iter()
        .filter(|side| !side.attributes.is_empty())
        .collect();
    for side in &attributes {
        let whose = match (attributes.len(), side.object_id) {
            (2.., Some(object)) => format!(" of object {object}"),
            _ => String::new(),
        };
        writeln!(
            out,
            "\nAttributes{whose}: LDAP name, Graph property, state, values"
        )?;
        table(&side.attributes, out)?;
    }
    if explanation.changes.is_empty() && explanation.listed.is_empty() {
        writeln!(out, "\nPlan: nothing")?;
    } else {
        writeln!(out, "\nPlan")?;
    }
    for side in &explanation.changes {
        change(side, out)?;
    }
    for side in &explanation.listed {
        writeln!(out, "  {}: {}", side.code, safe(&side.sentence))?;
    }
    writeln!(out, "\n{}", safe(&explanation.conclusion))
}

fn cloud(side: &CloudSide, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nCloud: {}", safe(&side.location))?;
    if let Some(id) = side.object_id {
        writeln!(out, "  object id     {id}")?;
    }
    if let Some(id) = side.device_id {
        writeln!(out, "  device id     {id}")?;
    }
    if let Some(name) = &side.display_name {
        writeln!(out, "  display name  {}", quoted(name))?;
    }
    let code = side
        .code
        .map_or_else(String::new, |code| format!(" ({code})"));
    writeln!(
        out,
        "  verdict       {}: {}{code}",
        side.verdict,
        safe(&side.sentence)
    )
}

fn directory(side: &DirectorySide, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nDirectory: {}", safe(&side.dn.to_string()))?;
    if let Some(guid) = side.object_guid {
        writeln!(out, "  objectGUID    {guid}")?;
    }
    let ours = match (side.ours, side.anchor) {
        (true, Some(object)) => format!("yes: its mark names cloud object {object}"),
        (true, None) => "yes: it carries a mark".into(),
        (false, _) => "no: it carries no mark, and is never changed or deleted".into(),
    };
    writeln!(out, "  ours          {ours}")?;
    let width = side
        .values
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    for (name, value) in &side.values {
        writeln!(out, "  {:<width$}  {}", safe(name), quoted(value))?;
    }
    Ok(())
}

fn table(attributes: &[AttributeSide], out: &mut dyn Write) -> io::Result<()> {
    let width = |length: fn(&AttributeSide) -> usize| {
        attributes.iter().map(length).max().unwrap_or_default()
    };
    let name_width = width(|side| side.name.len());
    let graph_width = width(|side| side.graph.len());
    let state_width = width(|side| side.state.len());
    for side in attributes {
        let head = format!(
            "  {:<name_width$}  {:<graph_width$}  {:<state_width$}",
            side.name, side.graph, side.state
        );
        let mut lines = match (side.state, &side.wanted) {
            ("differs", Some(wanted)) => values(&side.current, "- ")
                .into_iter()
                .chain(values(wanted, "+ "))
                .collect(),
            ("absent", Some(wanted)) => values(wanted, ""),
            _ => values(&side.current, ""),
        };
        if lines.is_empty() {
            lines.push("(no value)".into());
        }
        if let Some(notice) = side.notice {
            lines.push(format!("! {}", safe(notice)));
        }
        let mut label = head.as_str();
        let indent = head.len();
        for line in &lines {
            writeln!(out, "{label:<indent$}  {line}")?;
            label = "";
        }
    }
    Ok(())
}

fn values(values: &[String], before: &str) -> Vec<String> {
    values
        .iter()
        .map(|value| format!("{before}{}", quoted(value)))
        .collect()
}

fn change(side: &ChangeSide, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "  {}: {} ({})",
        side.action,
        safe(side.sentence),
        side.code
    )?;
    let names: Vec<_> = side
        .change
        .attributes
        .iter()
        .map(|change| change.attribute.name())
        .collect();
    if !names.is_empty() {
        writeln!(out, "    {}", names.join(", "))?;
    }
    for notice in &side.change.notices {
        writeln!(
            out,
            "    ! {}: {} ({})",
            notice.attribute,
            notice.reason.sentence(),
            notice.reason
        )?;
    }
    Ok(())
}
