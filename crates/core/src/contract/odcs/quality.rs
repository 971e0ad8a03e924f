//! Quality checks of ODCS.

use super::Custom;
use super::shape::METRICS;
use crate::contract::draft::Declared;
use crate::contract::look::{items, spanned_text, strings, text};
use crate::contract::shape::{Edition, Shape};
use crate::contract::short::{self, literal, unit};
use crate::contract::{operator, severity};
use crate::quality::{Metric, Rule, Scope, Threshold, Unit};
use crate::reader::{Findings, Spanned, shown};
use crate::yaml::Node;

pub fn read(findings: &Findings<'_>, nodes: &[Node], column: Option<&str>, edition: Edition) -> Vec<Declared> {
    nodes.iter().enumerate().flat_map(|(index, node)| read_one(findings, node, index, column, edition)).collect()
}

fn read_one(
    findings: &Findings<'_>,
    node: &Node,
    index: usize,
    column: Option<&str>,
    edition: Edition,
) -> Vec<Declared> {
    if node.as_map().is_none() {
        return Vec::new();
    }
    let severity = severity::read(findings, node);
    let scope = match Custom::of(node).text("scope") {
        Some(scope) if scope.value == "batch" => Scope::Batch,
        _ => Scope::Table,
    };
    let (id, description) = (text(node, "id").or_else(|| text(node, "name")), text(node, "description"));
    let dimension = text(node, "dimension");
    let kind = text(node, "type").unwrap_or_else(|| "library".to_owned());
    let (word, rules) = match kind.as_str() {
        "text" => ("text", vec![Rule::NotEvaluated { because: "it is said in words".to_owned() }]),
        "sql" => ("sql", sql(findings, node, column, edition)),
        "custom" => match own(findings, node, index) {
            Some(mut declared) => {
                for clause in &mut declared {
                    clause.at = node.span;
                    if node.get("severity").is_some() {
                        clause.severity = severity;
                    }
                    clause.id = id.clone().or(clause.id.take());
                    clause.description = description.clone().or(clause.description.take());
                    clause.dimension = dimension.clone().or(clause.dimension.take());
                }
                return declared;
            }
            None => {
                let engine = text(node, "engine").unwrap_or_default();
                ("custom", vec![Rule::NotEvaluated { because: format!("the engine {engine} does not run here") }])
            }
        },
        _ => library(findings, node, column, edition),
    };
    let declared = |rule| Declared {
        at: node.span,
        id: id.clone(),
        index,
        word,
        severity,
        scope,
        description: description.clone(),
        dimension: dimension.clone(),
        rule,
    };
    rules.into_iter().map(declared).collect()
}

/// A clause of the short form, which ODCS has no word for: `engine: meshwork`.
fn own(findings: &Findings<'_>, node: &Node, index: usize) -> Option<Vec<Declared>> {
    if text(node, "engine").as_deref() != Some("meshwork") {
        return None;
    }
    let implementation = node.get("implementation")?;
    Shape::Object(&short::CLAUSE).check(findings, implementation, "implementation", node.span, Edition::V3_2);
    Some(short::clause(findings, implementation, index))
}

fn library(findings: &Findings<'_>, node: &Node, column: Option<&str>, edition: Edition) -> (&'static str, Vec<Rule>) {
    let before_31 = edition == Edition::V3_0;
    let named = spanned_text(node, "metric").or_else(|| spanned_text(node, "rule"));
    let Some(named) = named else {
        let hint = "Say what is counted: `metric: nullValues`, with `mustBe: 0`.";
        findings.error_hinting("MW0235", node.span, "the check names no metric", hint);
        return ("library", Vec::new());
    };
    let Some(word) = metric_word(&named.value) else {
        if before_31 && node.get("metric").is_none() {
            findings.warning(
                "MW0235",
                named.span,
                format!("the rule `{}` is not known; it is not evaluated", shown(&named.value)),
                format!("The metrics of ODCS 3.1 are {}.", METRICS.join(", ")),
            );
            return (
                "library",
                vec![Rule::NotEvaluated { because: format!("the rule {} is not known", shown(&named.value)) }],
            );
        }
        let message = format!("`{}` is not a metric", shown(&named.value));
        findings.unknown("MW0235", named.span, message, &named.value, METRICS.iter().copied());
        return ("library", Vec::new());
    };
    let unit = unit(findings, node);
    let Some(metric) = metric(findings, node, word, column, &named) else { return (word, Vec::new()) };
    let mut thresholds = operator::read(findings, node);
    if word == "row_count" && unit == Unit::Percent {
        findings.error("MW0232", named.span, "the number of rows has no percentage");
        return (word, Vec::new());
    }
    operator::check(findings, &thresholds, Some(unit));
    if thresholds.is_empty() {
        let wrote_one = node.entries().iter().any(|(key, _)| super::OPERATORS.contains(&key.text.as_str()));
        match (before_31 && word != "row_count", wrote_one) {
            (_, true) => return (word, Vec::new()),
            // 3.0 did not ask for an operator: what is counted must not occur.
            (true, false) => thresholds.push((Threshold::MustBe(0.0), node.span)),
            (false, false) => {
                let hint = "Add one, such as `mustBe: 0` or `mustBeGreaterThan: 100`.";
                findings.error_hinting("MW0231", named.span, "the check has no operator", hint);
                return (word, Vec::new());
            }
        }
    }
    let rules = thresholds.into_iter().map(|(must, _)| operator::simplified(metric.clone(), unit, must));
    (word, rules.collect())
}

/// Also the names that examples of 3.0 used.
fn metric_word(name: &str) -> Option<&'static str> {
    Some(match name {
        "nullValues" | "nullCheck" | "nullCount" => "null_values",
        "missingValues" => "missing_values",
        "invalidValues" | "validValues" => "invalid_values",
        "duplicateValues" | "duplicateCount" | "uniqueCheck" => "duplicate_values",
        "rowCount" | "countCheck" => "row_count",
        _ => return None,
    })
}

fn metric(
    findings: &Findings<'_>,
    node: &Node,
    word: &str,
    column: Option<&str>,
    named: &Spanned<String>,
) -> Option<Metric> {
    let arguments = node.get("arguments").unwrap_or(node);
    let of_column = || {
        if column.is_none() {
            let message = format!("`{}` counts in one column, but stands at the table", shown(&named.value));
            findings.error_hinting("MW0235", named.span, message, "Move it to the `quality` of the property.");
        }
        column.map(str::to_owned)
    };
    Some(match word {
        "null_values" => Metric::NullValues { column: of_column()? },
        "missing_values" => {
            let missing: Vec<_> = items(arguments, "missingValues").iter().map(literal).collect();
            if missing.is_empty() {
                let hint = "Add `arguments: { missingValues: [null, ''] }`.";
                findings.error_hinting(
                    "MW0236",
                    named.span,
                    "missingValues does not say which values are missing",
                    hint,
                );
            }
            Metric::MissingValues { column: of_column()?, missing }
        }
        "invalid_values" => {
            let valid: Vec<_> = items(arguments, "validValues").iter().filter_map(literal).collect();
            let pattern = text(arguments, "pattern");
            if valid.is_empty() && pattern.is_none() {
                let hint = "Add `arguments: { validValues: [a, b] }` or `arguments: { pattern: '^…$' }`.";
                findings.error_hinting("MW0236", named.span, "invalidValues does not say which values are valid", hint);
            }
            Metric::InvalidValues { column: of_column()?, valid, pattern }
        }
        "duplicate_values" => match column {
            Some(column) => Metric::DuplicateValues { columns: vec![column.to_owned()] },
            None => {
                let columns = strings(arguments, "properties");
                if columns.is_empty() {
                    let hint = "Add `arguments: { properties: [a, b] }`.";
                    findings.error_hinting("MW0236", named.span, "duplicateValues does not say which columns", hint);
                }
                Metric::DuplicateValues { columns }
            }
        },
        _ => {
            if column.is_some() {
                let hint = "Move it to the `quality` of the schema object.";
                findings.error_hinting("MW0235", named.span, "rowCount counts a table, but stands at a property", hint);
                return None;
            }
            Metric::RowCount
        }
    })
}

fn sql(findings: &Findings<'_>, node: &Node, column: Option<&str>, edition: Edition) -> Vec<Rule> {
    let Some(written) = spanned_text(node, "query") else {
        findings.error_hinting("MW0112", node.span, "the SQL check has no `query`", "Add `query: SELECT …`.");
        return Vec::new();
    };
    let mut query = written.value.clone();
    for table in ["${object}", "${table}", "${model}", "{object}", "{model}"] {
        query = query.replace(table, "{table}");
    }
    for placeholder in ["${property}", "${column}", "{property}", "{column}"] {
        if query.contains(placeholder) {
            match column {
                Some(column) => query = query.replace(placeholder, &format!("\"{}\"", column.replace('"', "\"\""))),
                None => findings.error_hinting(
                    "MW0237",
                    written.span,
                    format!("`{placeholder}` stands in a check of the table, which has no property"),
                    "Name the column, or move the check to the property.",
                ),
            }
        }
    }
    let thresholds = operator::read(findings, node);
    operator::check(findings, &thresholds, None);
    if thresholds.is_empty() {
        let wrote_one = node.entries().iter().any(|(key, _)| super::OPERATORS.contains(&key.text.as_str()));
        if edition > Edition::V3_0 && !wrote_one {
            let hint = "Add one, such as `mustBe: 0`.";
            findings.error_hinting("MW0231", written.span, "the check has no operator", hint);
        }
        return vec![Rule::Sql { query, must: None }];
    }
    thresholds.into_iter().map(|(must, _)| Rule::Sql { query: query.clone(), must: Some(must) }).collect()
}
