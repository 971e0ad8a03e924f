//! Clauses as guarantees: what the new contract still promises of what the old one did.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::{Changes, Level};
use crate::contract::{Table, operator};
use crate::error::Severity;
use crate::quality::{Clause, Metric, Rule, Scope};
use crate::types::Literal;

pub fn compare(path: &str, old: &Table, new: &Table, renames: &HashMap<&str, &str>, changes: &mut Changes) {
    let before: Vec<Clause> = old.clauses.iter().map(|clause| renamed(clause, renames)).collect();
    let column_gone = |clause: &Clause| clause.rule.columns().iter().any(|name| new.field(name).is_none());
    let old_name = |name: &'_ str| {
        renames.iter().find(|(_, to)| **to == name).map_or(name.to_owned(), |(from, _)| (*from).to_owned())
    };
    let column_new = |clause: &Clause| clause.rule.columns().iter().any(|name| old.field(&old_name(name)).is_none());
    let gates = |clause: &&Clause| clause.severity == Severity::Error && !matches!(clause.rule, Rule::Type { .. });
    let kept = |clause: &Clause, by: &[Clause]| by.iter().filter(gates).any(|other| implies(other, clause));
    // Changes of a column that went or came are told by that.
    for clause in before.iter().filter(gates).filter(|clause| !column_gone(clause) && !kept(clause, &new.clauses)) {
        let at = clause_path(path, clause);
        let column = clause.rule.columns().first().map(|name| old_name(name));
        let successor = new.clauses.iter().filter(gates).find(|other| same_kind(&clause.rule, &other.rule));
        let what = match successor {
            Some(other) => format!("guaranteed {}, now only {}", words(&clause.rule), words(&other.rule)),
            None => format!("no longer guaranteed: {}", words(&clause.rule)),
        };
        changes.add(&at, column.as_deref(), Level::Breaking, what);
    }
    for clause in new.clauses.iter().filter(gates).filter(|clause| !column_new(clause) && !kept(clause, &before)) {
        let at = clause_path(path, clause);
        changes.add(&at, None, Level::Compatible, format!("now guaranteed: {}", words(&clause.rule)));
    }
    silent(path, &before, &new.clauses, changes);
}

/// Clauses that do not gate, and what is said about those that do.
fn silent(path: &str, old: &[Clause], new: &[Clause], changes: &mut Changes) {
    let quiet = |clauses: &[Clause]| -> Vec<(Rule, Severity)> {
        let silent =
            clauses.iter().filter(|c| c.severity != Severity::Error || matches!(c.rule, Rule::NotEvaluated { .. }));
        let mut silent: Vec<_> = silent.map(|c| (c.rule.clone(), c.severity)).collect();
        // Their order says nothing.
        silent.sort_by_cached_key(|clause| format!("{clause:?}"));
        silent
    };
    if quiet(old) != quiet(new) {
        changes.add(path, None, Level::Patch, "clauses that do not gate changed");
    }
    let said = |clauses: &[Clause]| -> Vec<(Option<String>, Option<String>)> {
        let mut said: Vec<_> = clauses
            .iter()
            .map(|c| (c.description.clone(), c.dimension.clone()))
            .filter(|(a, b)| a.is_some() || b.is_some())
            .collect();
        said.sort();
        said
    };
    if said(old) != said(new) {
        changes.add(path, None, Level::Patch, "words about clauses changed");
    }
}

fn clause_path(table: &str, clause: &Clause) -> String {
    match clause.rule.columns().as_slice() {
        [column] => format!("{table}.{column}"),
        _ => table.to_owned(),
    }
}

fn renamed(clause: &Clause, renames: &HashMap<&str, &str>) -> Clause {
    let mut clause = clause.clone();
    let change = |name: &mut String| {
        if let Some(new) = renames.get(name.as_str()) {
            *name = (*new).to_owned();
        }
    };
    match &mut clause.rule {
        Rule::Type { column }
        | Rule::Required { column }
        | Rule::Enum { column, .. }
        | Rule::Range { column, .. }
        | Rule::Pattern { column, .. }
        | Rule::Length { column, .. }
        | Rule::MultipleOf { column, .. }
        | Rule::Format { column, .. } => change(column),
        Rule::Unique { columns } | Rule::References { columns, .. } => columns.iter_mut().for_each(change),
        Rule::Metric { metric, .. } => match metric {
            Metric::RowCount => {}
            Metric::NullValues { column }
            | Metric::MissingValues { column, .. }
            | Metric::InvalidValues { column, .. } => {
                change(column);
            }
            Metric::DuplicateValues { columns } => columns.iter_mut().for_each(change),
        },
        Rule::Sql { .. } | Rule::NotEvaluated { .. } => {}
    }
    clause
}

/// Whether data that holds to `new` holds to `old` too.
fn implies(new: &Clause, old: &Clause) -> bool {
    let scope_kept = new.scope == old.scope || old.scope == Scope::Batch && new.rule.is_row_local();
    scope_kept && rule_implies(&new.rule, &old.rule)
}

fn rule_implies(new: &Rule, old: &Rule) -> bool {
    match (new, old) {
        (Rule::Enum { column: a, values }, Rule::Enum { column: b, values: known }) => {
            a == b && values.iter().all(|value| known.iter().any(|other| other.same(value)))
        }
        (
            Rule::Range { column: a, min, max, exclusive_min, exclusive_max },
            Rule::Range { column: b, min: old_min, max: old_max, exclusive_min: old_emin, exclusive_max: old_emax },
        ) => {
            a == b
                && within(min.as_ref(), *exclusive_min, old_min.as_ref(), *old_emin, Ordering::Greater)
                && within(max.as_ref(), *exclusive_max, old_max.as_ref(), *old_emax, Ordering::Less)
        }
        (Rule::Enum { column: a, values }, Rule::Range { column: b, .. }) => {
            a == b && values.iter().all(|value| crate::contract::clause::breaks(old, value).is_none())
        }
        (Rule::Length { column: a, min, max }, Rule::Length { column: b, min: old_min, max: old_max }) => {
            a == b
                && old_min.is_none_or(|old| min.is_some_and(|new| new >= old))
                && old_max.is_none_or(|old| max.is_some_and(|new| new <= old))
        }
        (Rule::MultipleOf { column: a, factor }, Rule::MultipleOf { column: b, factor: old }) => {
            let divides = || factor.decimal()?.is_multiple_of(&old.decimal()?);
            a == b && divides() == Some(true)
        }
        // A key of fewer columns is the stricter one.
        (Rule::Unique { columns: new }, Rule::Unique { columns: old }) => new.iter().all(|column| old.contains(column)),
        (Rule::Metric { metric: new, unit, must }, Rule::Metric { metric: old, unit: old_unit, must: old_must }) => {
            new == old && unit == old_unit && operator::implies(must, old_must)
        }
        (Rule::Required { column: new }, Rule::Metric { metric: Metric::NullValues { column: old }, must, .. }) => {
            new == old && must.holds(0.0)
        }
        (
            Rule::Unique { columns: new },
            Rule::Metric { metric: Metric::DuplicateValues { columns: old }, must, .. },
        ) => new.iter().all(|column| old.contains(column)) && must.holds(0.0),
        (new, old) => new == old,
    }
}

/// Whether the new bound is at least as strict as the old; `stricter` is the side of a stricter bound.
fn within(
    new: Option<&Literal>,
    new_excluded: bool,
    old: Option<&Literal>,
    old_excluded: bool,
    stricter: Ordering,
) -> bool {
    match (new, old) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(new), Some(old)) => match new.compare(old) {
            Some(Ordering::Equal) => new_excluded || !old_excluded,
            found => found == Some(stricter),
        },
    }
}

/// Whether one may be the successor of the other.
fn same_kind(a: &Rule, b: &Rule) -> bool {
    let about = |rule: &Rule| rule.columns().into_iter().map(str::to_owned).collect::<Vec<_>>();
    std::mem::discriminant(a) == std::mem::discriminant(b)
        && match (a, b) {
            (Rule::Metric { metric: a, .. }, Rule::Metric { metric: b, .. }) => {
                std::mem::discriminant(a) == std::mem::discriminant(b) && a.columns() == b.columns()
            }
            (Rule::Sql { .. }, _) | (Rule::NotEvaluated { .. }, _) => false,
            _ => about(a) == about(b),
        }
}

/// A rule for people: `from 0 to 100`.
pub fn words(rule: &Rule) -> String {
    let list = |values: &[Literal]| values.iter().map(Literal::to_string).collect::<Vec<_>>().join(", ");
    match rule {
        Rule::Type { .. } => "values of the type".to_owned(),
        Rule::Required { .. } => "no nulls".to_owned(),
        Rule::Enum { values, .. } => format!("one of {}", list(values)),
        Rule::Range { min, max, exclusive_min, exclusive_max, .. } => {
            let min = min.as_ref().map(|min| format!("{} {min}", if *exclusive_min { "above" } else { "at least" }));
            let max = max.as_ref().map(|max| format!("{} {max}", if *exclusive_max { "below" } else { "at most" }));
            [min, max].into_iter().flatten().collect::<Vec<_>>().join(" and ")
        }
        Rule::Pattern { pattern, .. } => format!("the pattern {pattern}"),
        Rule::Length { min, max, .. } => {
            let min = min.map(|min| format!("at least {min}"));
            let max = max.map(|max| format!("at most {max}"));
            format!("a length of {}", [min, max].into_iter().flatten().collect::<Vec<_>>().join(" and "))
        }
        Rule::MultipleOf { factor, .. } => format!("multiples of {factor}"),
        Rule::Format { format, .. } => format!("the format {format}"),
        Rule::Unique { columns } => format!("unique {}", columns.join(", ")),
        Rule::References { to, to_columns, .. } => format!("references to {to} ({})", to_columns.join(", ")),
        Rule::Metric { metric, unit, must } => {
            let metric = match metric {
                Metric::RowCount => "rows",
                Metric::NullValues { .. } => "null values",
                Metric::MissingValues { .. } => "missing values",
                Metric::InvalidValues { .. } => "invalid values",
                Metric::DuplicateValues { .. } => "duplicate values",
            };
            let percent = if *unit == crate::quality::Unit::Percent { " percent" } else { "" };
            format!("{}{percent} {metric}", operator::words(must))
        }
        Rule::Sql { .. } => "a SQL clause".to_owned(),
        Rule::NotEvaluated { .. } => "a clause that is not evaluated".to_owned(),
    }
}
