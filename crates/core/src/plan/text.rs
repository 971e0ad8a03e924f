//! A plan in words.

use std::fmt::Write as _;

use crate::error::Severity;

use super::{Action, Change, Object, Plan};

pub(super) fn render(plan: &Plan) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        render_change(&mut text, change);
    }
    if plan.changes.is_empty() {
        text.push_str("No changes: what is declared is what is applied.\n");
    } else {
        let count = |action| plan.changes.iter().filter(|change| change.action == action).count();
        let (new, changed, gone) = (count(Action::Create), count(Action::Change), count(Action::Retire));
        let _ = writeln!(text, "\nPlan: {new} to create, {changed} to change, {gone} to retire.");
    }
    for note in &plan.notes {
        let _ = writeln!(text, "note: {note}");
    }
    for problem in &plan.problems {
        let word = match problem.severity {
            Severity::Error => "problem",
            Severity::Warning => "warning",
            Severity::Info => "note",
        };
        let _ = writeln!(text, "{word}: {}: {} ({})", problem.code, problem.message, problem.place);
        for hint in &problem.hints {
            let _ = writeln!(text, "  hint: {hint}");
        }
    }
    text
}

fn render_change(text: &mut String, change: &Change) {
    let sign = match change.action {
        Action::Create => '+',
        Action::Change => '~',
        Action::Retire => '-',
    };
    let (indent, what) = match change.object {
        Object::Mesh => ("", "mesh"),
        Object::Domain => ("", "domain"),
        Object::Product => ("  ", "product"),
        Object::Output => ("    ", "output"),
        Object::Version => ("    ", "version"),
    };
    let _ = writeln!(text, "{sign} {indent}{what} {}", change.name);
    for detail in &change.details {
        let breaking = if detail.breaking { " (breaking)" } else { "" };
        let _ = writeln!(text, "  {indent}  {}{breaking}", detail.text);
    }
    for affected in &change.affects {
        let columns = if affected.columns.is_empty() {
            String::new()
        } else {
            format!(", which names {}", affected.columns.join(", "))
        };
        let _ = writeln!(text, "  {indent}  read by {} ({}){columns}", affected.consumer, affected.through);
    }
}
