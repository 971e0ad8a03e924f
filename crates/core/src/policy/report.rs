//! Everything that shows data is data (D20): what of a run's report one reader may see.

use std::collections::BTreeMap;

use super::decision::{ColumnAccess, Decision};
use crate::id::OutputId;
use crate::quality::{ClauseResult, Outcome};
use crate::run::{ColumnProfile, OutputReport, RunReport};

/// Stands for a value that the reader may not see.
pub const HIDDEN: &str = "(masked)";

/// The report as shown. `owner`: a member of the product's domain. `decisions`: this reader's, by output; an output
/// without one is shown as to somebody who may not read it. `is_sql`: whether a clause's number is that of a query, which
/// may be a value (`max(salary)`) and not a count.
///
/// Who may not read the table learns for each clause whether it passed; so does everybody whose view has a row filter, as
/// numbers would count hidden rows. Owners see samples and the profile, through their masks.
#[must_use]
pub fn shown(
    mut report: RunReport,
    owner: bool,
    decisions: &BTreeMap<OutputId, Decision>,
    is_sql: &dyn Fn(&OutputId, &str) -> bool,
) -> RunReport {
    for output in &mut report.outputs {
        output.staged = None;
        // What was set aside is the owners' to know.
        if !owner {
            (output.quarantine, output.release) = (None, None);
        }
        if let Some(set_aside) = &mut output.quarantine {
            set_aside.files.clear();
        }
        match decisions.get(&output.output).filter(|decision| decision.allowed) {
            Some(decision) if decision.rows.is_empty() => masked(output, owner, decision, is_sql),
            _ => verdicts_only(output),
        }
    }
    if !owner {
        report.rows_read = 0;
        report.bytes_read = 0;
    }
    report
}

fn masked(output: &mut OutputReport, owner: bool, decision: &Decision, is_sql: &dyn Fn(&OutputId, &str) -> bool) {
    let clear = |column: &str| decision.column(column).is_some_and(|c| c.access == ColumnAccess::Clear);
    let withheld = |column: &str| decision.column(column).is_none_or(|c| c.access == ColumnAccess::Withheld);
    if !decision.is_unobliged() {
        let id = output.output.clone();
        for clause in output.clauses.iter_mut().filter(|clause| is_sql(&id, &clause.clause)) {
            *clause = verdict_only(clause);
        }
    }
    if !owner {
        output.clauses.iter_mut().for_each(|clause| clause.samples.clear());
        output.profile.clear();
        return;
    }
    for sample in output.clauses.iter_mut().flat_map(|clause| &mut clause.samples) {
        sample.values.retain(|(column, _)| !withheld(column));
        for (_, value) in sample.values.iter_mut().filter(|(column, _)| !clear(column)) {
            *value = Some(HIDDEN.to_owned());
        }
    }
    output.profile.retain(|profile| !withheld(&profile.column));
    for profile in output.profile.iter_mut().filter(|profile| !clear(&profile.column)) {
        *profile = ColumnProfile { column: profile.column.clone(), nulls: profile.nulls, ..ColumnProfile::default() };
    }
}

fn verdicts_only(output: &mut OutputReport) {
    output.rows = 0;
    output.bytes = 0;
    output.changes = None;
    (output.quarantine, output.release) = (None, None);
    output.profile.clear();
    for clause in &mut output.clauses {
        *clause = verdict_only(clause);
    }
}

fn verdict_only(clause: &ClauseResult) -> ClauseResult {
    let message = match &clause.outcome {
        Outcome::Pass => "passed",
        Outcome::Fail => "failed",
        Outcome::Error { .. } => "could not be checked",
        Outcome::NotEvaluated { .. } => "not evaluated",
    };
    let outcome = match &clause.outcome {
        Outcome::Error { .. } => Outcome::Error { because: "for the owners to see".to_owned() },
        other => other.clone(),
    };
    ClauseResult {
        clause: clause.clause.clone(),
        severity: clause.severity,
        outcome,
        message: message.to_owned(),
        measured: None,
        failing_rows: None,
        checked_rows: None,
        samples: Vec::new(),
    }
}
