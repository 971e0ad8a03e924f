//! Operators of metrics and SQL clauses, in both spellings, and what can never hold.

use crate::quality::{Metric, Rule, Threshold, Unit};
use crate::reader::Findings;
use crate::yaml::{Node, NodeKind, Span};

type Single = fn(f64) -> Threshold;
type Double = fn(f64, f64) -> Threshold;

/// ODCS name, short name, what it makes.
const SINGLE: &[(&str, &str, Single)] = &[
    ("mustBe", "must_be", Threshold::MustBe),
    ("mustNotBe", "must_not_be", Threshold::MustNotBe),
    ("mustBeGreaterThan", "must_be_greater_than", Threshold::MustBeGreaterThan),
    ("mustBeGreaterOrEqualTo", "must_be_greater_or_equal_to", Threshold::MustBeGreaterOrEqualTo),
    ("mustBeLessThan", "must_be_less_than", Threshold::MustBeLessThan),
    ("mustBeLessOrEqualTo", "must_be_less_or_equal_to", Threshold::MustBeLessOrEqualTo),
];
const DOUBLE: &[(&str, &str, Double)] = &[
    ("mustBeBetween", "must_be_between", Threshold::MustBeBetween),
    ("mustNotBeBetween", "must_not_be_between", Threshold::MustNotBeBetween),
];

/// All operators that stand in a map, each with its place. Several mean that all must hold.
pub fn read(findings: &Findings<'_>, node: &Node) -> Vec<(Threshold, Span)> {
    let mut found = Vec::new();
    for (key, value) in node.entries() {
        if let Some((_, _, make)) = SINGLE.iter().find(|(odcs, short, _)| key.text == *odcs || key.text == *short) {
            match number(value) {
                Some(number) => found.push((make(number), value.span)),
                None => findings.error_hinting(
                    "MW0231",
                    value.span,
                    format!("`{}` must be a number, not {}", key.text, value.kind_name()),
                    "A count or a query result is a number; true and false count as 1 and 0.",
                ),
            }
        } else if let Some((_, _, make)) =
            DOUBLE.iter().find(|(odcs, short, _)| key.text == *odcs || key.text == *short)
        {
            match value.as_list().unwrap_or_default() {
                [low, high] => match (number(low), number(high)) {
                    (Some(low), Some(high)) if low <= high => found.push((make(low, high), value.span)),
                    (Some(low), Some(high)) => findings.error_hinting(
                        "MW0231",
                        value.span,
                        format!("`{}` goes from {low} down to {high}", key.text),
                        "The smaller number stands first.",
                    ),
                    _ => findings.error("MW0231", value.span, format!("`{}` takes two numbers", key.text)),
                },
                _ => findings.error("MW0231", value.span, format!("`{}` takes two numbers", key.text)),
            }
        }
    }
    found
}

fn number(node: &Node) -> Option<f64> {
    match &node.kind {
        NodeKind::Bool(value) => Some(f64::from(u8::from(*value))),
        NodeKind::Number(text) => text.parse::<f64>().ok().filter(|value| value.is_finite()),
        _ => None,
    }
}

/// The values that an operator lets through, as intervals of the number line: `(low, low included, high, high included)`.
fn intervals(threshold: &Threshold) -> Vec<(f64, bool, f64, bool)> {
    const LOW: f64 = f64::NEG_INFINITY;
    const HIGH: f64 = f64::INFINITY;
    match *threshold {
        Threshold::MustBe(x) => vec![(x, true, x, true)],
        Threshold::MustNotBe(x) => vec![(LOW, false, x, false), (x, false, HIGH, false)],
        Threshold::MustBeGreaterThan(x) => vec![(x, false, HIGH, false)],
        Threshold::MustBeGreaterOrEqualTo(x) => vec![(x, true, HIGH, false)],
        Threshold::MustBeLessThan(x) => vec![(LOW, false, x, false)],
        Threshold::MustBeLessOrEqualTo(x) => vec![(LOW, false, x, true)],
        Threshold::MustBeBetween(a, b) => vec![(a, true, b, true)],
        Threshold::MustNotBeBetween(a, b) => vec![(LOW, false, a, false), (b, false, HIGH, false)],
    }
}

/// Whether every value that `strict` lets through passes `loose` too.
pub fn implies(strict: &Threshold, loose: &Threshold) -> bool {
    let inside = |(low, low_in, high, high_in): (f64, bool, f64, bool), (a, a_in, b, b_in): (f64, bool, f64, bool)| {
        (low > a || low == a && (a_in || !low_in)) && (high < b || high == b && (b_in || !high_in))
    };
    intervals(strict).into_iter().all(|part| intervals(loose).into_iter().any(|whole| inside(part, whole)))
}

/// Whether some value of `within` passes all of them.
fn possible(thresholds: &[&Threshold], within: (f64, f64)) -> bool {
    let mut parts = vec![(within.0, true, within.1, true)];
    for threshold in thresholds {
        let mut next = Vec::new();
        for (low, low_in, high, high_in) in parts {
            for (a, a_in, b, b_in) in intervals(threshold) {
                let (start, start_in) = if a > low { (a, a_in) } else { (low, low_in && (a < low || a_in)) };
                let (end, end_in) = if b < high { (b, b_in) } else { (high, high_in && (b > high || b_in)) };
                if start < end || start == end && start_in && end_in {
                    next.push((start, start_in, end, end_in));
                }
            }
        }
        parts = next;
    }
    !parts.is_empty()
}

/// Notes thresholds that no table can meet, and percentages that do not exist.
pub fn check(findings: &Findings<'_>, thresholds: &[(Threshold, Span)], unit: Option<Unit>) {
    let Some(&(_, at)) = thresholds.first() else { return };
    let all: Vec<&Threshold> = thresholds.iter().map(|(threshold, _)| threshold).collect();
    let within = match unit {
        Some(Unit::Rows) => (0.0, f64::INFINITY),
        Some(Unit::Percent) => (0.0, 100.0),
        None => (f64::NEG_INFINITY, f64::INFINITY),
    };
    if unit == Some(Unit::Percent) {
        let out_of_range = |x: &f64| !(0.0..=100.0).contains(x);
        for (threshold, at) in thresholds {
            if numbers(threshold).iter().any(out_of_range) {
                findings.error(
                    "MW0232",
                    *at,
                    format!("{} is not a percentage: it must be from 0 to 100", words(threshold)),
                );
                return;
            }
        }
    }
    if !possible(&all, within) {
        let listed: Vec<String> = all.iter().map(|threshold| words(threshold)).collect();
        let what = match unit {
            Some(Unit::Rows) => "no count of rows",
            Some(Unit::Percent) => "no percentage",
            None => "no number",
        };
        findings.error("MW0233", at, format!("{what} can ever be {}", listed.join(" and ")));
    }
}

fn numbers(threshold: &Threshold) -> Vec<f64> {
    intervals(threshold).into_iter().flat_map(|(a, _, b, _)| [a, b]).filter(|x| x.is_finite()).collect()
}

/// `at least 5`, for messages.
pub fn words(threshold: &Threshold) -> String {
    match *threshold {
        Threshold::MustBe(x) => format!("{x}"),
        Threshold::MustNotBe(x) => format!("other than {x}"),
        Threshold::MustBeGreaterThan(x) => format!("more than {x}"),
        Threshold::MustBeGreaterOrEqualTo(x) => format!("at least {x}"),
        Threshold::MustBeLessThan(x) => format!("less than {x}"),
        Threshold::MustBeLessOrEqualTo(x) => format!("at most {x}"),
        Threshold::MustBeBetween(a, b) => format!("from {a} to {b}"),
        Threshold::MustNotBeBetween(a, b) => format!("outside {a} to {b}"),
    }
}

/// The ODCS name with its numbers, for export.
pub fn odcs(threshold: &Threshold) -> (&'static str, Vec<f64>) {
    match *threshold {
        Threshold::MustBe(x) => ("mustBe", vec![x]),
        Threshold::MustNotBe(x) => ("mustNotBe", vec![x]),
        Threshold::MustBeGreaterThan(x) => ("mustBeGreaterThan", vec![x]),
        Threshold::MustBeGreaterOrEqualTo(x) => ("mustBeGreaterOrEqualTo", vec![x]),
        Threshold::MustBeLessThan(x) => ("mustBeLessThan", vec![x]),
        Threshold::MustBeLessOrEqualTo(x) => ("mustBeLessOrEqualTo", vec![x]),
        Threshold::MustBeBetween(a, b) => ("mustBeBetween", vec![a, b]),
        Threshold::MustNotBeBetween(a, b) => ("mustNotBeBetween", vec![a, b]),
    }
}

/// A metric that may not occur at all is the rule that forbids it: `nullValues mustBe 0` and `required` are one thing.
pub fn simplified(metric: Metric, unit: Unit, must: Threshold) -> Rule {
    if !matches!(must, Threshold::MustBe(x) | Threshold::MustBeLessOrEqualTo(x) if x == 0.0) {
        return Rule::Metric { metric, unit, must };
    }
    match metric {
        Metric::NullValues { column } => Rule::Required { column },
        Metric::DuplicateValues { columns } => Rule::Unique { columns },
        Metric::InvalidValues { column, valid, pattern: None } if !valid.is_empty() => {
            Rule::Enum { column, values: valid }
        }
        Metric::InvalidValues { column, valid, pattern: Some(pattern) } if valid.is_empty() => {
            Rule::Pattern { column, pattern }
        }
        metric => Rule::Metric { metric, unit: Unit::Rows, must: Threshold::MustBe(0.0) },
    }
}

#[cfg(test)]
mod tests {
    use super::Threshold::{
        MustBe, MustBeBetween, MustBeGreaterThan, MustBeLessOrEqualTo, MustBeLessThan, MustNotBe, MustNotBeBetween,
    };
    use super::*;

    #[test]
    fn one_threshold_within_another() {
        for (strict, loose, expected) in [
            (MustBe(0.0), MustBeLessThan(1.0), true),
            (MustBeLessThan(1.0), MustBeLessOrEqualTo(1.0), true),
            (MustBeLessOrEqualTo(1.0), MustBeLessThan(1.0), false),
            (MustBeBetween(2.0, 3.0), MustBeGreaterThan(1.0), true),
            (MustBeGreaterThan(1.0), MustNotBe(1.0), true),
            (MustNotBe(1.0), MustBeGreaterThan(1.0), false),
            (MustNotBeBetween(0.0, 10.0), MustNotBeBetween(2.0, 3.0), true),
            (MustNotBeBetween(2.0, 3.0), MustNotBeBetween(0.0, 10.0), false),
        ] {
            assert_eq!(implies(&strict, &loose), expected, "{strict:?} within {loose:?}");
        }
    }

    #[test]
    fn thresholds_that_nothing_meets() {
        let rows = (0.0, f64::INFINITY);
        for (thresholds, expected) in [
            (vec![MustBeLessThan(0.0)], false),
            (vec![MustBeGreaterThan(5.0), MustBeLessThan(3.0)], false),
            (vec![MustBeGreaterThan(3.0), MustBeLessThan(5.0)], true),
            (vec![MustBe(3.0), MustNotBe(3.0)], false),
            (vec![MustBeBetween(0.0, 1.0), MustNotBeBetween(0.0, 1.0)], false),
        ] {
            assert_eq!(possible(&thresholds.iter().collect::<Vec<_>>(), rows), expected, "{thresholds:?}");
        }
    }
}
