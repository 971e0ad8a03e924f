//! `on_violation: quarantine`: what it needs, and which clauses block all the same (D8).

use super::modes;
use super::outputs::Output;
use super::report::Report;
use crate::error::{Diagnostic, Severity};
use crate::product::OnViolation;
use crate::quarantine::{self, PREFIX};
use crate::reader::shown;

pub(super) fn check(output: &Output<'_>, report: &mut Report) {
    let manifest = output.at.manifest;
    let declared = manifest.on_violation.as_ref().filter(|reaction| reaction.value == OnViolation::Quarantine);
    let Some(reaction) = declared else {
        if let Some(limit) = &manifest.quarantine_limit {
            let message = "`quarantine_limit` has no effect with `on_violation: block`";
            let hint = "Add `on_violation: quarantine`, or remove it.";
            report.error("MW0179", output.path(), limit.span, message).hint(hint);
        }
        return;
    };
    let key: Vec<String> = manifest.key.iter().map(|key| key.value.clone()).collect();
    let (mode, merge) = (modes::mode(manifest), modes::merge(manifest));
    for version in &output.versions {
        for field in version.table.fields.iter().filter(|field| field.name.starts_with(PREFIX)) {
            let message = format!(
                "`{}` has a column `{}`: names that begin with `{PREFIX}` are taken by the quarantine",
                version.contract_path,
                shown(&field.name)
            );
            report.error("MW0180", output.path(), reaction.span, message).hint("Give the column another name.");
        }
        let blocking: Vec<String> = quarantine::obstacles(version.table, mode, &key, &merge)
            .map(|(clause, because)| format!("`{}` ({because})", shown(&clause.id)))
            .collect();
        if blocking.is_empty() {
            continue;
        }
        let message = format!(
            "rows that break {} of `{}` block the run, quarantine or not: {}",
            if blocking.len() == 1 { "a clause" } else { "some clauses" },
            version.contract_path,
            blocking.join(", ")
        );
        let place = reaction.span.place(output.path());
        report.note(Diagnostic::new(Severity::Info, "MW0181", place, reaction.span.length, message));
    }
}
