//! One self-contained page that a change board can read, print and file.
//!
//! The page loads nothing: its content security policy allows its own style and script, by their hashes, and nothing else.
//! Without the script it is a plain table.

mod rows;

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use self::rows::{change_row, listed_rows};
use super::safe::push_html;
use super::{RenderOptions, Rendered, counted, grouped, head_rows, kind, retirements, warnings};
use crate::plan::{Action, Listed, Plan, hex};
use crate::rules::Reason;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub(super) fn render(plan: &Plan, options: &RenderOptions, out: &mut dyn Write) -> Rendered {
    let mut page = String::new();
    head(plan, &mut page);
    summary(plan, options, &mut page);
    out.write_all(page.as_bytes())?;

    changes(plan, options, out)?;
    for (title, about, list) in [
        (
            "Held",
            "Objects of ours that are not changed although something would call for it.",
            plan.held(),
        ),
        (
            "Conflicts",
            "A person has to settle these; nothing is written for them.",
            plan.conflicts(),
        ),
        (
            "Skipped",
            "Devices that are not written and have no object of ours.",
            plan.skipped(),
        ),
    ] {
        listed(title, about, list, options, out)?;
    }

    page.clear();
    page.push_str("<footer>\n<p>Digest of the plan, which its approval names: <code>");
    page.push_str(&hex::encode(&plan.digest()));
    page.push_str("</code></p>\n<p>This page is a rendering. What is applied is the JSON document with this digest.</p>\n</footer>\n</main>\n<script>");
    page.push_str(SCRIPT);
    page.push_str("</script>\n</body>\n</html>\n");
    Ok(out.write_all(page.as_bytes())?)
}

/// `sha256-...` of the [Content Security Policy](https://www.w3.org/TR/CSP3/#grammardef-hash-source).
fn hash_source(inline: &str) -> String {
    format!("sha256-{}", BASE64.encode(Sha256::digest(inline)))
}

fn head(plan: &Plan, page: &mut String) {
    let title = format!("Device writeback plan of {}", plan.time());
    page.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str(&format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'\">\n",
        hash_source(STYLE),
        hash_source(SCRIPT)
    ));
    page.push_str(
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>",
    );
    push_html(page, &title);
    page.push_str("</title>\n<style>");
    page.push_str(STYLE);
    page.push_str("</style>\n</head>\n<body>\n<main>\n<h1>");
    push_html(page, &title);
    page.push_str("</h1>\n<dl class=\"head card\">\n");
    let digest = ("Digest", hex::encode(&plan.digest()), true);
    for (label, value, mono) in head_rows(plan).into_iter().chain([digest]) {
        page.push_str(&format!("<dt>{label}</dt><dd><bdi"));
        if mono {
            page.push_str(" class=\"mono\"");
        }
        page.push('>');
        push_html(page, &value);
        page.push_str("</bdi></dd>\n");
    }
    page.push_str("</dl>\n");
}

fn summary(plan: &Plan, options: &RenderOptions, page: &mut String) {
    let mut warned: Vec<(&str, String)> = warnings(plan, options)
        .into_iter()
        .map(|warning| ("", warning))
        .collect();
    if let (Some(Err(_)), Some(first)) = (&options.limits, warned.first_mut()) {
        first.0 = " class=\"refused\"";
    }
    if plan.summary().retirements > 0 {
        let sentence = format!(
            "This plan retires {}: deletes, and disables because a device is gone or out of scope.",
            retirements(plan)
        );
        warned.push(("", sentence));
    }
    if !warned.is_empty() {
        page.push_str("<ul class=\"warnings\">\n");
        for (class, warning) in warned {
            page.push_str(&format!("<li{class}>"));
            push_html(page, &sentence_case(&warning));
            page.push_str("</li>\n");
        }
        page.push_str("</ul>\n");
    }
    page.push_str("<ul class=\"tiles\">\n");
    let summary = plan.summary();
    let tiles = Action::ALL
        .iter()
        .map(|action| (action.as_str(), plan.count_of(*action)))
        .chain([
            ("unchanged", summary.unchanged),
            ("held", plan.held().len() as u64),
            ("conflicts", plan.conflicts().len() as u64),
            ("skipped", plan.skipped().len() as u64),
        ]);
    for (label, count) in tiles {
        page.push_str(&format!(
            "<li class=\"card {label}\"><b>{}</b><span>{label}</span></li>\n",
            grouped(count)
        ));
    }
    page.push_str("</ul>\n");
    page.push_str(&format!(
        "<p class=\"soft\">Read from the cloud: {}, {} live, {} in scope. Read from the directory: {}, {} ours.</p>\n",
        counted(summary.cloud_records, "record"),
        grouped(summary.live_devices),
        grouped(summary.in_scope),
        counted(summary.directory_objects, "object"),
        grouped(summary.our_objects),
    ));
    if summary.reasons.is_empty() {
        return;
    }
    page.push_str("<h2>Reasons</h2>\n<div class=\"card wide\"><table class=\"list\">\n<thead><tr><th scope=\"col\">Kind</th><th scope=\"col\" class=\"number\">Count</th><th scope=\"col\">Reason</th></tr></thead>\n<tbody>\n");
    for reason in Reason::ALL {
        let Some(count) = summary.reasons.get(reason.code()) else {
            continue;
        };
        page.push_str(&format!(
            "<tr><td>{}</td><td class=\"number\">{}</td><td>",
            kind(reason.kind()),
            grouped(*count)
        ));
        push_html(page, reason.sentence());
        page.push_str(&format!(
            " <code class=\"soft\">{reason}</code></td></tr>\n"
        ));
    }
    page.push_str("</tbody></table></div>\n");
}

fn changes(plan: &Plan, options: &RenderOptions, out: &mut dyn Write) -> Rendered {
    let mut page = String::from("<h2 id=\"changes\">Changes</h2>\n");
    if plan.is_empty() {
        page.push_str("<p>Nothing to do.</p>\n");
        return Ok(out.write_all(page.as_bytes())?);
    }
    filter(plan, &mut page);
    page.push_str(
        "<div class=\"card wide\"><table class=\"changes\" aria-labelledby=\"changes\">\n",
    );
    cap(&mut page, plan.len(), options.max_rows, "changes");
    page.push_str("<thead><tr><th scope=\"col\">Action</th><th scope=\"col\">Device</th><th scope=\"col\">Device id</th><th scope=\"col\">Reason</th></tr></thead>\n");
    for change in plan.changes().take(options.max_rows) {
        change_row(&change?, plan, &mut page);
        out.write_all(page.as_bytes())?;
        page.clear();
    }
    page.push_str("</table></div>\n");
    Ok(out.write_all(page.as_bytes())?)
}

/// Hidden until the script shows it: without the script it could do nothing.
fn filter(plan: &Plan, page: &mut String) {
    page.push_str("<form id=\"filter\" hidden>\n<label class=\"grow\">Filter <input type=\"search\" name=\"words\" autocomplete=\"off\" spellcheck=\"false\" placeholder=\"name, id, attribute, value\"></label>\n");
    page.push_str("<label>Action <select name=\"action\"><option value=\"\">all</option>");
    for action in Action::ALL {
        if plan.count_of(*action) > 0 {
            page.push_str(&format!("<option>{action}</option>"));
        }
    }
    page.push_str(
        "</select></label>\n<label>Reason <select name=\"reason\"><option value=\"\">all</option>",
    );
    for reason in Reason::ALL {
        if reason.kind() == crate::rules::ReasonKind::Change
            && plan.summary().reasons.contains_key(reason.code())
        {
            page.push_str(&format!("<option>{reason}</option>"));
        }
    }
    page.push_str("</select></label>\n<button type=\"button\" name=\"expand\">Expand all</button>\n<button type=\"button\" name=\"collapse\">Collapse all</button>\n<button type=\"reset\">Reset</button>\n<output name=\"count\" aria-live=\"polite\"></output>\n</form>\n");
}

fn listed(
    title: &str,
    about: &str,
    list: &[Listed],
    options: &RenderOptions,
    out: &mut dyn Write,
) -> Rendered {
    if list.is_empty() {
        return Ok(());
    }
    let id = title.to_ascii_lowercase();
    let mut page = format!(
        "<h2 id=\"{id}\">{title} ({})</h2>\n<p class=\"soft\">{about}</p>\n<div class=\"card wide\"><table class=\"list\" aria-labelledby=\"{id}\">\n",
        grouped(list.len() as u64)
    );
    cap(&mut page, list.len(), options.max_rows, "entries");
    page.push_str("<thead><tr><th scope=\"col\">Device id</th><th scope=\"col\">Reason</th><th scope=\"col\">Where</th></tr></thead>\n<tbody>\n");
    for listed in list.iter().take(options.max_rows) {
        listed_rows(listed, &mut page);
        out.write_all(page.as_bytes())?;
        page.clear();
    }
    page.push_str("</tbody></table></div>\n");
    Ok(out.write_all(page.as_bytes())?)
}

/// Says that rows are left out, when they are.
fn cap(page: &mut String, count: usize, most: usize, noun: &str) {
    if count > most {
        page.push_str(&format!(
            "<caption>Showing the first {} of {} {noun}; the JSON document has all.</caption>\n",
            grouped(most as u64),
            grouped(count as u64)
        ));
    }
}

fn sentence_case(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        let mut out: String = first.to_uppercase().collect();
        out.push_str(letters.as_str());
        out
    })
}
