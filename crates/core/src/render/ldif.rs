//! LDIF change records ([RFC 2849]) that OpenLDAP's `ldapmodify` and Windows' `ldifde` carry out.
//!
//! The records are the operations of [`operations`]. They name objects by DN: what the LDAP driver does in addition, naming
//! objects by GUID and reading before and after a write, LDIF cannot say. The assertions within a record stay: the server
//! refuses it when the mark, the device id or an old value is no longer there.

use std::io::Write;

use super::safe::quoted;
use super::{RenderOptions, Rendered, counted, retirements, warnings};
use crate::apply::{Modification, ModificationKind, Operation, operations};
use crate::ldif::{
    AttrVal, Body, ModOp, ModSpec, Record, write_comment, write_record, write_version,
};
use crate::plan::{Change, Plan, hex};

pub(super) fn render(plan: &Plan, options: &RenderOptions, out: &mut dyn Write) -> Rendered {
    let mut buffer = Vec::new();
    write_version(&mut buffer);
    let identity = plan.identity();
    let mut lines = vec![
        format!("Device writeback plan of {}", plan.time()),
        format!("tenant {}", identity.tenant_id),
        format!("container {}", identity.container),
        format!(
            "{}; {} held, {} conflicts and {} skipped are not in here",
            counted(plan.len() as u64, "change"),
            plan.held().len(),
            plan.conflicts().len(),
            plan.skipped().len()
        ),
        format!("retirements {}", retirements(plan)),
        format!("digest {}", hex::encode(&plan.digest())),
        "Let nothing go on after an error (no -c of ldapmodify, no -k of ldifde): what asserts that an object is still".into(),
        "ours stands in the record before its deletion.".into(),
    ];
    lines.extend(
        warnings(plan, options)
            .into_iter()
            .map(|warning| format!("warning: {warning}")),
    );
    for line in lines {
        write_comment(&mut buffer, &line);
    }
    buffer.push(b'\n');
    for change in plan.changes() {
        let change = change?;
        comments(&change, &mut buffer);
        for operation in operations(&change) {
            write_record(&mut buffer, &record(&operation));
        }
        out.write_all(&buffer)?;
        buffer.clear();
    }
    // Nothing but the head when there is no change.
    Ok(out.write_all(&buffer)?)
}

fn comments(change: &Change, buffer: &mut Vec<u8>) {
    let name = change
        .name()
        .map_or_else(String::new, |name| format!(" {}", quoted(&name)));
    write_comment(
        buffer,
        &format!("{} {}{name}", change.action, change.device_id),
    );
    write_comment(
        buffer,
        &format!("{} ({})", change.reason.sentence(), change.reason),
    );
    for notice in &change.notices {
        write_comment(
            buffer,
            &format!(
                "{}: {} ({})",
                notice.attribute,
                notice.reason.sentence(),
                notice.reason
            ),
        );
    }
}

fn record(operation: &Operation) -> Record {
    let body = match operation {
        Operation::Add { attributes, .. } => Body::Add(
            attributes
                .iter()
                .flat_map(|(name, values)| {
                    values
                        .iter()
                        .map(|value| AttrVal::new(*name, value.as_ref()))
                })
                .collect(),
        ),
        Operation::Modify { modifications, .. } => {
            Body::Modify(modifications.iter().map(specification).collect())
        }
        Operation::Delete { .. } => Body::Delete,
    };
    Record::new(operation.dn().to_string(), body)
}

fn specification(modification: &Modification) -> ModSpec {
    ModSpec {
        op: match modification.kind {
            ModificationKind::Add => ModOp::Add,
            ModificationKind::Delete => ModOp::Delete,
        },
        name: modification.name.to_owned(),
        values: modification
            .values
            .iter()
            .map(|value| value.0.clone())
            .collect(),
    }
}
