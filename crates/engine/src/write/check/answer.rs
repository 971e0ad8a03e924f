//! Answers to clauses, in words.

use meshwork_core::quality::{Clause, ClauseResult, Metric, Outcome, Rule, Threshold, Unit};

use crate::source::Samples;

pub fn result(clause: &Clause, outcome: Outcome, message: String) -> ClauseResult {
    ClauseResult {
        clause: clause.id.clone(),
        severity: clause.severity,
        outcome,
        message,
        measured: None,
        failing_rows: None,
        checked_rows: None,
        samples: Vec::new(),
    }
}

pub fn error(clause: &Clause, because: String) -> ClauseResult {
    let message = format!("could not be checked: {because}");
    result(clause, Outcome::Error { because }, message)
}

/// The answer of a clause that no row may fail.
pub fn counted(clause: &Clause, failing: u64, rows: u64, what: &str, samples: Samples) -> ClauseResult {
    let outcome = if failing == 0 { Outcome::Pass } else { Outcome::Fail };
    let message =
        if failing == 0 { format!("{rows} rows checked") } else { format!("{failing} of {rows} rows {what}") };
    let mut answer = result(clause, outcome, message);
    answer.failing_rows = Some(failing);
    answer.checked_rows = Some(rows);
    answer.samples = samples.into_rows();
    answer
}

/// The answer of a clause that compares a number.
pub fn threshold(clause: &Clause, measured: f64, must: &Threshold, what: String, rows: u64) -> ClauseResult {
    let holds = must.holds(measured);
    let outcome = if holds { Outcome::Pass } else { Outcome::Fail };
    let message =
        if holds { format!("{what}: {}", requirement(must)) } else { format!("{what}, but {}", requirement(must)) };
    let mut answer = result(clause, outcome, message);
    answer.measured = Some(measured);
    answer.checked_rows = Some(rows);
    answer
}

pub fn measure(count: u64, rows: u64, unit: Unit) -> f64 {
    match unit {
        Unit::Rows => count as f64,
        Unit::Percent if rows == 0 => 0.0,
        // One correctly rounded division: 3 of 30 is 10, and 1 of 1000 is the double nearest to 0.1, as the contract's is.
        Unit::Percent => (count as f64 * 100.0) / rows as f64,
    }
}

fn requirement(must: &Threshold) -> String {
    match must {
        Threshold::MustBe(x) => format!("it must be {x}"),
        Threshold::MustNotBe(x) => format!("it must not be {x}"),
        Threshold::MustBeGreaterThan(x) => format!("it must be greater than {x}"),
        Threshold::MustBeGreaterOrEqualTo(x) => format!("it must be at least {x}"),
        Threshold::MustBeLessThan(x) => format!("it must be less than {x}"),
        Threshold::MustBeLessOrEqualTo(x) => format!("it must be at most {x}"),
        Threshold::MustBeBetween(a, b) => format!("it must be between {a} and {b}"),
        Threshold::MustNotBeBetween(a, b) => format!("it must not be between {a} and {b}"),
    }
}

pub fn describe_metric(metric: &Metric, measured: f64, unit: Unit) -> String {
    let number = match unit {
        Unit::Rows => format!("{measured}"),
        Unit::Percent => format!("{measured:.4} percent"),
    };
    match metric {
        Metric::RowCount => format!("{number} rows"),
        Metric::NullValues { column } => format!("{number} null values in {column}"),
        Metric::MissingValues { column, .. } => format!("{number} missing values in {column}"),
        Metric::InvalidValues { column, .. } => format!("{number} invalid values in {column}"),
        Metric::DuplicateValues { columns } => format!("{number} duplicate values in {}", columns.join(", ")),
    }
}

pub(super) fn describe_failure(rule: &Rule) -> String {
    match rule {
        Rule::Required { column } => format!("are null in {column}"),
        Rule::Enum { column, .. } => format!("have another value than the listed ones in {column}"),
        Rule::Range { column, .. } => format!("are out of range in {column}"),
        Rule::Pattern { column, .. } => format!("do not match the pattern in {column}"),
        Rule::Length { column, .. } => format!("have a length out of bounds in {column}"),
        Rule::MultipleOf { column, factor } => format!("are not a multiple of {factor} in {column}"),
        Rule::Format { column, format } => format!("are not a valid {format} in {column}"),
        _ => "fail".to_owned(),
    }
}
