//! Rows of the page's tables.

use super::super::counted;
use super::super::safe::push_html;
use super::super::value::{difference, shown};
use crate::directory::device_dn;
use crate::plan::{Action, AttributeChange, Change, Listed, Octets, Plan};
use crate::schema::Attribute;

pub(super) fn change_row(change: &Change, plan: &Plan, page: &mut String) {
    let (action, reason) = (change.action, change.reason);
    page.push_str(&format!(
        "<tbody class=\"change\" data-action=\"{action}\" data-reason=\"{reason}\">\n<tr><td><span class=\"badge {action}\">{action}</span></td><th scope=\"row\" class=\"name\">"
    ));
    match change.name() {
        Some(name) => isolated(page, &name),
        None => page.push_str("<span class=\"soft\">name unchanged</span>"),
    }
    page.push_str(&format!(
        "</th><td class=\"id\">{}</td><td>",
        change.device_id
    ));
    push_html(page, reason.sentence());
    page.push_str(&format!(
        " <code class=\"soft\">{reason}</code></td></tr>\n<tr><td colspan=\"4\"><details><summary>{}",
        counted(change.attributes.len() as u64, "attribute")
    ));
    if !change.notices.is_empty() {
        page.push_str(&format!(
            ", {}",
            counted(change.notices.len() as u64, "remark")
        ));
    }
    page.push_str("</summary>\n");
    identity(change, plan, page);
    for notice in &change.notices {
        page.push_str(&format!(
            "<p class=\"detail note\"><code>{}</code>: ",
            notice.attribute
        ));
        push_html(page, notice.reason.sentence());
        page.push_str(&format!(" <code>{}</code></p>\n", notice.reason));
    }
    page.push_str("<table class=\"values\">\n<thead><tr><th scope=\"col\">Attribute</th><th scope=\"col\">Before</th><th scope=\"col\">After</th></tr></thead>\n<tbody>\n");
    for attribute in &change.attributes {
        attribute_row(attribute, change.action, page);
    }
    page.push_str("</tbody></table></details></td></tr>\n</tbody>\n");
}

fn identity(change: &Change, plan: &Plan, page: &mut String) {
    page.push_str("<p class=\"detail soft\"><bdi class=\"mono\">");
    push_html(page, &change.dn.to_string());
    page.push_str("</bdi>");
    if let Some(guid) = change.object_guid {
        page.push_str(&format!(" · objectGUID <span class=\"id\">{guid}</span>"));
    }
    if let Some(object) = change.object_id {
        page.push_str(&format!(
            " · cloud object <span class=\"id\">{object}</span>"
        ));
    }
    page.push_str("</p>\n");
    if change.dn != device_dn(change.device_id, &plan.identity().container) {
        page.push_str("<p class=\"detail note\">The object's name is not the one that this device would get; it is kept.</p>\n");
    }
}

fn attribute_row(change: &AttributeChange, action: Action, page: &mut String) {
    let (goes, comes, _) = difference(change);
    page.push_str(&format!(
        "<tr><th scope=\"row\">{}</th><td>",
        change.attribute
    ));
    values(page, "was", change.attribute, &change.old, &goes);
    page.push_str("</td><td>");
    if action == Action::Delete {
        page.push_str("<span class=\"soft\">deleted</span>");
    } else {
        values(page, "is", change.attribute, &change.new, &comes);
    }
    page.push_str("</td></tr>\n");
}

/// The values of one side; those that are not in `moving` stay as they are.
fn values(
    page: &mut String,
    class: &str,
    attribute: Attribute,
    values: &[Octets],
    moving: &[&Octets],
) {
    if values.is_empty() {
        page.push_str("<span class=\"soft\">none</span>");
        return;
    }
    page.push_str(&format!("<ul class=\"{class}\">"));
    for value in values {
        page.push_str(if moving.contains(&value) {
            "<li>"
        } else {
            "<li class=\"stays\">"
        });
        let shown = shown(attribute, value.as_ref());
        match (shown.encoded, shown.meaning) {
            (false, meaning) => {
                isolated(page, &shown.text);
                if let Some(meaning) = meaning {
                    page.push_str(" <span class=\"meaning\">");
                    push_html(page, &meaning);
                    page.push_str("</span>");
                }
            }
            (true, Some(meaning)) => {
                isolated(page, &meaning);
                page.push_str(" <span class=\"meaning\">base64 ");
                push_html(page, &shown.text);
                page.push_str("</span>");
            }
            (true, None) => {
                page.push_str("<span class=\"meaning\">base64</span> ");
                push_html(page, &shown.text);
            }
        }
        page.push_str("</li>");
    }
    page.push_str("</ul>");
}

pub(super) fn listed_rows(listed: &Listed, page: &mut String) {
    page.push_str("<tr><td class=\"id\">");
    match listed.device_id {
        Some(device) => page.push_str(&device.to_string()),
        None => page.push_str("<span class=\"soft\">not known</span>"),
    }
    page.push_str("</td><td>");
    push_html(page, listed.code.sentence());
    page.push_str(&format!(" <code class=\"soft\">{}</code>", listed.code));
    if let Some(detail) = &listed.detail {
        page.push_str("<br><bdi class=\"mono\">");
        push_html(page, detail);
        page.push_str("</bdi>");
    }
    page.push_str("</td><td>");
    let mut parts = 0;
    let mut part = |page: &mut String, label: &str, value: &str| {
        if parts > 0 {
            page.push_str("<br>");
        }
        parts += 1;
        page.push_str(label);
        page.push_str("<bdi class=\"mono\">");
        push_html(page, value);
        page.push_str("</bdi>");
    };
    if let Some(dn) = &listed.dn {
        part(page, "", &dn.to_string());
    }
    if let Some(object) = listed.object_id {
        part(page, "cloud object ", &object.to_string());
    }
    if let Some(sequence) = listed.sequence {
        part(page, "record ", &sequence.to_string());
    }
    page.push_str("</td></tr>\n");
}

/// Text of any script, kept from reordering what stands around it (UAX #9 isolates).
fn isolated(page: &mut String, text: &str) {
    page.push_str("<bdi>");
    push_html(page, text);
    page.push_str("</bdi>");
}
