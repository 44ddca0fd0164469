//! What an administrator reads on a terminal.

use std::io::{self, Write};

use super::safe::{quoted, terminal_safe};
use super::value::{difference, shown};
use super::{RenderOptions, Rendered, counted, grouped, head_rows, retirements, warnings};
use crate::directory::device_dn;
use crate::plan::{Action, AttributeChange, Change, Listed, Octets, Plan, hex};
use crate::rules::Reason;
use crate::schema::Attribute;

pub(super) fn render(plan: &Plan, options: &RenderOptions, out: &mut dyn Write) -> Rendered {
    let mut page = Page { options, out };
    page.head(plan)?;
    page.counts(plan)?;
    page.changes(plan)?;
    page.list(plan, "Held", plan.held(), true)?;
    page.list(plan, "Conflicts", plan.conflicts(), true)?;
    page.list(plan, "Skipped", plan.skipped(), options.verbose)?;
    page.foot(plan)?;
    Ok(())
}

/// How a piece of text is set off from its surroundings.
#[derive(Clone, Copy)]
enum Style {
    Heading,
    Warning,
    Dim,
    Old,
    New,
    Action(Action),
}

impl Style {
    /// Parameters of `CSI .. m` (ECMA-48 8.3.117).
    fn parameters(self) -> &'static str {
        match self {
            Self::Heading => "1",
            Self::Warning => "1;33",
            Self::Dim => "2",
            Self::Old => "31",
            Self::New => "32",
            Self::Action(Action::Disable) => "1;33",
            Self::Action(Action::Update) => "1;36",
            Self::Action(Action::Create) => "1;32",
            Self::Action(Action::Delete) => "1;31",
        }
    }
}

struct Page<'a> {
    options: &'a RenderOptions,
    out: &'a mut dyn Write,
}

impl Page<'_> {
    /// `text`, which is harmless already, in a style.
    fn paint(&self, style: Style, text: &str) -> String {
        if self.options.color {
            format!("\u{1b}[{}m{text}\u{1b}[0m", style.parameters())
        } else {
            text.to_owned()
        }
    }

    fn head(&mut self, plan: &Plan) -> io::Result<()> {
        let title = format!("Device writeback plan of {}", plan.time());
        writeln!(self.out, "{}\n", self.paint(Style::Heading, &title))?;
        for (label, value, _) in head_rows(plan) {
            let label = label.to_lowercase();
            writeln!(self.out, "  {label:<10}  {}", terminal_safe(&value))?;
        }
        let warnings = warnings(plan, self.options);
        if !warnings.is_empty() {
            writeln!(self.out)?;
        }
        for warning in warnings {
            let line = format!("! {}", terminal_safe(&warning));
            writeln!(self.out, "{}", self.paint(Style::Warning, &line))?;
        }
        Ok(())
    }

    fn counts(&mut self, plan: &Plan) -> io::Result<()> {
        let summary = plan.summary();
        writeln!(
            self.out,
            "\n  cloud       {}: {} live, {} in scope\n  directory   {}: {} ours\n",
            counted(summary.cloud_records, "record"),
            grouped(summary.live_devices),
            grouped(summary.in_scope),
            counted(summary.directory_objects, "object"),
            grouped(summary.our_objects),
        )?;
        for action in Action::ALL {
            let line = format!("{action:<10}  {:>9}", grouped(plan.count_of(*action)));
            let line = if plan.count_of(*action) == 0 {
                line
            } else {
                self.paint(Style::Action(*action), &line)
            };
            writeln!(self.out, "  {line}")?;
        }
        for (label, count) in [
            ("unchanged", summary.unchanged),
            ("held", plan.held().len() as u64),
            ("conflicts", plan.conflicts().len() as u64),
            ("skipped", plan.skipped().len() as u64),
        ] {
            writeln!(self.out, "  {label:<10}  {:>9}", grouped(count))?;
        }
        Ok(())
    }

    fn changes(&mut self, plan: &Plan) -> Rendered {
        let most = self.options.max_changes.unwrap_or(usize::MAX);
        let mut current = None;
        for change in plan.changes().take(most) {
            let change = change?;
            if current != Some(change.action) {
                current = Some(change.action);
                self.heading(&capital(change.action), plan.count_of(change.action))?;
            } else {
                writeln!(self.out)?;
            }
            self.change(plan, &change)?;
        }
        let left = plan.len().saturating_sub(most) as u64;
        if left > 0 {
            writeln!(self.out, "\n  ... and {}", counted(left, "more change"))?;
        }
        if plan.is_empty() {
            writeln!(self.out, "\nNothing to do.")?;
        }
        Ok(())
    }

    fn heading(&mut self, title: &str, count: u64) -> io::Result<()> {
        let title = format!("{title} ({})", grouped(count));
        writeln!(self.out, "\n{}", self.paint(Style::Heading, &title))
    }

    fn change(&mut self, plan: &Plan, change: &Change) -> io::Result<()> {
        let action = format!("{:<7}", change.action);
        let action = self.paint(Style::Action(change.action), &action);
        let name = change
            .name()
            .map_or_else(String::new, |name| format!("  {}", quoted(&name)));
        writeln!(self.out, "  {action}  {}{name}", change.device_id)?;
        let code = self.paint(Style::Dim, &format!("({})", change.reason));
        writeln!(self.out, "    {} {code}", change.reason.sentence())?;
        let usual = device_dn(change.device_id, &plan.identity().container);
        if self.options.verbose || change.dn != usual {
            let dn = terminal_safe(&change.dn.to_string());
            writeln!(self.out, "    {}", self.paint(Style::Dim, &dn))?;
        }
        if self.options.verbose
            && let Some(guid) = change.object_guid
        {
            let line = format!("objectGUID {guid}");
            writeln!(self.out, "    {}", self.paint(Style::Dim, &line))?;
        }
        let width = change
            .attributes
            .iter()
            .map(|change| change.attribute.name().len())
            .max()
            .unwrap_or_default();
        for attribute in &change.attributes {
            self.attribute(change.action, attribute, width)?;
        }
        for notice in &change.notices {
            let line = format!(
                "! {}: {} ({})",
                notice.attribute,
                notice.reason.sentence(),
                notice.reason
            );
            writeln!(self.out, "    {}", self.paint(Style::Warning, &line))?;
        }
        Ok(())
    }

    /// `name  old -> new` where both are single values that fit, else a line for each value that goes or comes.
    fn attribute(
        &mut self,
        action: Action,
        change: &AttributeChange,
        width: usize,
    ) -> io::Result<()> {
        let (goes, comes, stay) = difference(change);
        let attribute = change.attribute;
        let name = format!("{:<width$}", attribute.name());
        if let ([old], [new], 0) = (goes.as_slice(), comes.as_slice(), stay) {
            let (old, new) = (self.value(attribute, old), self.value(attribute, new));
            if old.len() + new.len() <= 100 {
                return writeln!(
                    self.out,
                    "    {name}  {} -> {}",
                    self.paint(Style::Old, &old),
                    self.paint(Style::New, &new)
                );
            }
        }
        let single = attribute.schema().single_valued;
        if matches!(action, Action::Update | Action::Disable) && single && stay == 0 {
            let (pair, style) = match (goes.as_slice(), comes.as_slice()) {
                ([], [new]) => (
                    Some(format!("(none) -> {}", self.value(attribute, new))),
                    Style::New,
                ),
                ([old], []) => (
                    Some(format!("{} -> (none)", self.value(attribute, old))),
                    Style::Old,
                ),
                _ => (None, Style::Dim),
            };
            if let Some(pair) = pair {
                return writeln!(self.out, "    {name}  {}", self.paint(style, &pair));
            }
        }
        let mut lines = Vec::new();
        for value in goes {
            let line = format!("- {}", self.value(attribute, value));
            lines.push(self.paint(Style::Old, &line));
        }
        for value in comes {
            let line = format!("+ {}", self.value(attribute, value));
            lines.push(self.paint(Style::New, &line));
        }
        if stay > 0 {
            let line = format!("{} unchanged", counted(stay as u64, "value"));
            lines.push(self.paint(Style::Dim, &line));
        }
        let mut label = name.as_str();
        for line in lines {
            writeln!(self.out, "    {label:<width$}  {line}")?;
            label = "";
        }
        Ok(())
    }

    fn value(&self, attribute: Attribute, value: &Octets) -> String {
        let shown = shown(attribute, value.as_ref());
        let text = if shown.free {
            quoted(&shown.text)
        } else {
            terminal_safe(&shown.text)
        };
        match (shown.encoded, shown.meaning) {
            (false, None) => text,
            (false, Some(meaning)) => format!("{text} ({})", terminal_safe(&meaning)),
            (true, None) => format!("base64 {text}"),
            (true, Some(meaning)) if self.options.verbose => {
                format!("{} (base64 {text})", terminal_safe(&meaning))
            }
            (true, Some(meaning)) => terminal_safe(&meaning),
        }
    }

    /// A list by code: the sentence once, then the devices if they are asked for.
    fn list(&mut self, plan: &Plan, title: &str, list: &[Listed], each: bool) -> io::Result<()> {
        if list.is_empty() {
            return Ok(());
        }
        self.heading(title, list.len() as u64)?;
        for reason in Reason::ALL {
            let of_reason = || list.iter().filter(|listed| listed.code == *reason);
            let count = of_reason().count();
            if count == 0 {
                continue;
            }
            let code = self.paint(Style::Dim, &format!("({reason})"));
            writeln!(
                self.out,
                "  {:>6}  {} {code}",
                grouped(count as u64),
                reason.sentence()
            )?;
            if !each {
                continue;
            }
            let most = self.options.max_changes.unwrap_or(usize::MAX);
            for listed in of_reason().take(most) {
                let line = self.listed(plan, listed);
                writeln!(self.out, "          {line}")?;
            }
            let left = count.saturating_sub(most) as u64;
            if left > 0 {
                writeln!(self.out, "          ... and {} more", grouped(left))?;
            }
        }
        Ok(())
    }

    fn listed(&self, plan: &Plan, listed: &Listed) -> String {
        let mut parts = Vec::new();
        match (listed.device_id, listed.object_id) {
            (Some(device), _) => parts.push(device.to_string()),
            (None, Some(object)) => parts.push(format!("object {object}")),
            (None, None) => {}
        }
        if let Some(sequence) = listed.sequence {
            parts.push(format!("record {sequence}"));
        }
        if let Some(detail) = &listed.detail {
            parts.push(terminal_safe(detail));
        }
        if let Some(dn) = &listed.dn {
            let usual = listed
                .device_id
                .map(|device| device_dn(device, &plan.identity().container));
            if self.options.verbose || usual.as_ref() != Some(dn) {
                parts.push(terminal_safe(&dn.to_string()));
            }
        }
        parts.join("  ")
    }

    fn foot(&mut self, plan: &Plan) -> io::Result<()> {
        writeln!(self.out, "\n  retirements  {}", retirements(plan))?;
        match &self.options.limits {
            None => {}
            Some(Ok(())) => writeln!(self.out, "  limits       kept")?,
            Some(Err(refusal)) => {
                let line = terminal_safe(&refusal.to_string());
                writeln!(
                    self.out,
                    "  limits       {}",
                    self.paint(Style::Warning, &line)
                )?;
            }
        }
        writeln!(self.out, "  digest       {}", hex::encode(&plan.digest()))
    }
}

fn capital(action: Action) -> String {
    let name = action.as_str();
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => format!("{}{}", first.to_ascii_uppercase(), letters.as_str()),
        None => String::new(),
    }
}
