//! Whether a clause can be what its author meant: it names columns that exist, on types where it means something, with
//! values of that type. Values are brought into the one spelling that engines compare.

use std::collections::{HashMap, HashSet};

use crate::Diagnostic;
use crate::contract::Field;
use crate::contract::native::{TEXT_FORMATS, has_order};
use crate::contract::value::Expected;
use crate::quality::{Clause, Metric, Rule};
use crate::reader::{Findings, shown};
use crate::suggestion;
use crate::types::{ColumnType, Literal, LogicalType};
use crate::yaml::Span;

/// The columns of one table, by name: contracts may have thousands.
#[derive(Debug)]
pub struct Columns<'t> {
    fields: &'t [Field],
    by_name: HashMap<&'t str, &'t Field>,
}

impl<'t> Columns<'t> {
    pub fn new(fields: &'t [Field]) -> Self {
        let mut by_name = HashMap::new();
        for field in fields {
            by_name.entry(field.name.as_str()).or_insert(field);
        }
        Self { fields, by_name }
    }

    fn find(&self, name: &str) -> Option<&'t Field> {
        self.by_name.get(name).copied()
    }

    /// As many as are worth comparing with a misspelt one.
    fn names(&self) -> Vec<&'t str> {
        self.fields.iter().take(200).map(|field| field.name.as_str()).collect()
    }
}

/// Longest regular expression, in bytes: what it compiles to is bounded by the size limit below.
const REGEX_SIZE: usize = 1 << 20;

pub fn check(findings: &Findings<'_>, columns: &Columns<'_>, clause: &mut Clause, at: Span) {
    if !exist(findings, columns, &clause.rule, at) {
        return;
    }
    let field = clause.rule.columns().first().and_then(|name| columns.find(name));
    let note = |code: &str, message: String| findings.error(code, at, message);
    match (&mut clause.rule, field) {
        (Rule::Enum { values, .. }, Some(field)) => {
            if values.is_empty() {
                note(
                    "MW0216",
                    format!("the enum of `{}` has no values, so nothing could ever pass", shown(&field.name)),
                );
            }
            typed(findings, field, values, at);
            let mut seen = HashSet::new();
            for value in values.iter() {
                if !seen.insert((value.decimal(), value.decimal().is_none().then_some(value))) {
                    note(
                        "MW0216",
                        format!("`{}` stands twice in the enum of `{}`", shown(&value.to_string()), shown(&field.name)),
                    );
                }
            }
        }
        (Rule::Range { min, max, exclusive_min, exclusive_max, .. }, Some(field)) => {
            range(findings, field, (min, *exclusive_min), (max, *exclusive_max), at);
        }
        (Rule::Pattern { pattern, .. }, Some(field)) => {
            if !matches!(field.native, ColumnType::Text) {
                note(
                    "MW0218",
                    format!("a pattern means nothing for `{}`, which is {}", shown(&field.name), field.logical_type),
                );
            }
            regex(findings, pattern, at);
        }
        (Rule::Length { min, max, .. }, Some(field)) => {
            if !matches!(field.native, ColumnType::Text | ColumnType::Binary | ColumnType::List(_)) {
                note(
                    "MW0218",
                    format!("a length means nothing for `{}`, which is {}", shown(&field.name), field.logical_type),
                );
            }
            match (*min, *max) {
                (Some(min), Some(max)) if min > max => {
                    note("MW0215", format!("the length has a minimum of {min} above its maximum of {max}"))
                }
                (None, None) => note("MW0230", "the length has no bound".to_owned()),
                _ => {}
            }
        }
        (Rule::MultipleOf { factor, .. }, Some(field)) => {
            if !matches!(field.logical_type, LogicalType::Integer | LogicalType::Number) {
                note(
                    "MW0218",
                    format!("multiples mean nothing for `{}`, which is {}", shown(&field.name), field.logical_type),
                );
            }
            if factor.decimal().is_none_or(|factor| factor.is_zero() || factor.is_negative()) {
                note("MW0215", "the factor of a multiple must be above 0".to_owned());
            }
        }
        (Rule::Format { format, .. }, Some(field)) => {
            if field.native != ColumnType::Text {
                note(
                    "MW0218",
                    format!(
                        "a text format means nothing for `{}`, which is {}",
                        shown(&field.name),
                        field.logical_type
                    ),
                );
            }
            if !TEXT_FORMATS.contains(&format.as_str()) {
                let message = format!("`{}` is not a text format that can be checked", shown(format));
                findings.unknown("MW0222", at, message, format, TEXT_FORMATS.iter().copied());
            }
        }
        (Rule::Unique { columns: names }, _) => distinct(findings, columns, names, at),
        (Rule::Metric { metric, .. }, field) => self::metric(findings, columns, metric, field, at),
        (Rule::Sql { query, .. }, _) if query.trim().is_empty() => {
            note("MW0230", "the SQL clause has no query".to_owned())
        }
        _ => {}
    }
}

/// Notes columns that the table does not have.
fn exist(findings: &Findings<'_>, columns: &Columns<'_>, rule: &Rule, at: Span) -> bool {
    let mut all = true;
    for name in rule.columns() {
        if columns.find(name).is_none() && !name.is_empty() {
            let message = format!("there is no column `{}`", shown(name));
            findings.unknown("MW0210", at, message, name, columns.names());
            all = false;
        }
    }
    let needs_some = matches!(rule, Rule::Unique { .. } | Rule::Metric { metric: Metric::DuplicateValues { .. }, .. });
    if needs_some && rule.columns().is_empty() || rule.columns().contains(&"") {
        findings.error_hinting(
            "MW0210",
            at,
            "the clause names no column",
            "Name one with `field: …` or `fields: […]`.",
        );
        return false;
    }
    all
}

fn distinct(findings: &Findings<'_>, columns: &Columns<'_>, names: &[String], at: Span) {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            findings.error("MW0218", at, format!("`{}` stands twice in one key", shown(name)));
        }
        if let Some(field) =
            columns.find(name).filter(|field| matches!(field.native, ColumnType::List(_) | ColumnType::Struct(_)))
        {
            findings.error(
                "MW0218",
                at,
                format!("`{}` is {} and cannot be part of a key", shown(name), field.logical_type),
            );
        }
    }
}

fn metric(findings: &Findings<'_>, columns: &Columns<'_>, metric: &mut Metric, field: Option<&Field>, at: Span) {
    match (metric, field) {
        (Metric::DuplicateValues { columns: names }, _) => distinct(findings, columns, names, at),
        (Metric::InvalidValues { valid, pattern, .. }, Some(field)) => {
            typed(findings, field, valid, at);
            if let Some(pattern) = pattern {
                if field.native != ColumnType::Text {
                    let message = format!(
                        "a pattern means nothing for `{}`, which is {}",
                        shown(&field.name),
                        field.logical_type
                    );
                    findings.error("MW0218", at, message);
                }
                regex(findings, pattern, at);
            }
        }
        (Metric::MissingValues { missing, .. }, Some(field)) => {
            let expected = expected(field);
            // '' and 'N/A' stand for a missing number, too: a value of another type just never occurs.
            for value in missing.iter_mut().flatten() {
                if let Ok(found) = expected.value(value.clone()) {
                    *value = found;
                }
            }
            missing.retain(|value| value.as_ref().is_none_or(|value| expected.value(value.clone()).is_ok()));
        }
        _ => {}
    }
}

fn expected(field: &Field) -> Expected<'_> {
    Expected { logical: field.logical_type, native: &field.native, format: field.format.as_deref() }
}

/// Brings the values into the column's spelling; notes those of another type.
fn typed(findings: &Findings<'_>, field: &Field, values: &mut [Literal], at: Span) {
    for value in values {
        match expected(field).value(value.clone()) {
            Ok(found) => *value = found,
            Err(why) => {
                let message =
                    format!("`{}` cannot be a value of `{}`: {why}", shown(&value.to_string()), shown(&field.name));
                findings.error("MW0212", at, message);
            }
        }
    }
}

fn range(
    findings: &Findings<'_>,
    field: &Field,
    min: (&mut Option<Literal>, bool),
    max: (&mut Option<Literal>, bool),
    at: Span,
) {
    if !has_order(&field.native) && field.logical_type != LogicalType::Time {
        let message = format!("a range means nothing for `{}`, which is {}", shown(&field.name), field.logical_type);
        findings.error("MW0218", at, message);
        return;
    }
    let ((min, exclusive_min), (max, exclusive_max)) = (min, max);
    if min.is_none() && max.is_none() {
        findings.error_hinting("MW0230", at, "the range has no bound", "Add `min`, `max` or both.");
        return;
    }
    for bound in [&mut *min, &mut *max].into_iter().flatten() {
        // A bound may lie outside of what the type holds, or between its values: `minimum: 0.5` of an integer.
        let number = field.native != ColumnType::Text && bound.decimal().is_some() && !temporal(&field.native);
        match expected(field).value(bound.clone()) {
            Ok(found) => *bound = found,
            Err(_) if number => {}
            Err(why) => {
                let message = format!("`{}` cannot bound `{}`: {why}", shown(&bound.to_string()), shown(&field.name));
                findings.error("MW0212", at, message);
                return;
            }
        }
    }
    if let (Some(min), Some(max)) = (min, max) {
        use std::cmp::Ordering::{Equal, Greater};
        match min.compare(max) {
            Some(Greater) => findings.error("MW0215", at, format!("the minimum {min} is above the maximum {max}")),
            Some(Equal) if exclusive_min || exclusive_max => {
                findings.error("MW0215", at, format!("no value is between {min} and {max}, as they are excluded"));
            }
            _ => {}
        }
    }
}

fn temporal(native: &ColumnType) -> bool {
    matches!(native, ColumnType::Date | ColumnType::Timestamp | ColumnType::LocalTimestamp)
}

fn compiled(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).size_limit(REGEX_SIZE).build()
}

fn regex(findings: &Findings<'_>, pattern: &str, at: Span) {
    let Err(error) = compiled(pattern) else { return };
    let why = match &error {
        regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
        // The last line of the parser's picture says what is wrong.
        other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    };
    let hint = if why.contains("look-around") || why.contains("backreference") {
        "Regular expressions here have neither look-around nor backreferences, so that they always end in time."
    } else {
        "See https://docs.rs/regex for the syntax; in YAML a pattern stands best in single quotes."
    };
    let message = format!("`{}` is not a regular expression: {why}", shown(pattern));
    findings.push(Diagnostic::error("MW0211", findings.place(at), at.length, message).hint(hint));
}

/// Why a value of the column breaks the rule; None where it holds, or cannot be said from one value.
pub fn breaks(rule: &Rule, value: &Literal) -> Option<String> {
    match rule {
        Rule::Enum { values, .. } => (!values.iter().any(|known| known.same(value))).then(|| {
            let known: Vec<String> = values.iter().map(Literal::to_string).collect();
            suggestion::hint(&value.to_string(), known.iter().map(String::as_str))
                .map_or_else(|| "it is not in the enum".to_owned(), |hint| format!("it is not in the enum. {hint}"))
        }),
        Rule::Range { min, max, exclusive_min, exclusive_max, .. } => {
            use std::cmp::Ordering::{Equal, Greater, Less};
            let below = min.as_ref().is_some_and(|min| match value.compare(min) {
                Some(Less) => true,
                Some(Equal) => *exclusive_min,
                _ => false,
            });
            let above = max.as_ref().is_some_and(|max| match value.compare(max) {
                Some(Greater) => true,
                Some(Equal) => *exclusive_max,
                _ => false,
            });
            match (below, above) {
                (true, _) => Some("it is below the minimum".to_owned()),
                (_, true) => Some("it is above the maximum".to_owned()),
                _ => None,
            }
        }
        Rule::Pattern { pattern, .. } => {
            let (Literal::Text(text), Ok(regex)) = (value, compiled(pattern)) else { return None };
            (!regex.is_match(text)).then(|| "it does not match the pattern".to_owned())
        }
        Rule::Length { min, max, .. } => {
            let Literal::Text(text) = value else { return None };
            let length = text.chars().count() as u64;
            let fits = min.is_none_or(|min| length >= min) && max.is_none_or(|max| length <= max);
            (!fits).then(|| format!("it has {length} characters"))
        }
        Rule::MultipleOf { factor, .. } => {
            let holds = value.decimal()?.is_multiple_of(&factor.decimal()?)?;
            (!holds).then(|| format!("it is not a multiple of {factor}"))
        }
        _ => None,
    }
}
