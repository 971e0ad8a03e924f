//! Quality clauses of the short form. An ODCS `custom` check of the engine `meshwork` holds one of these, too.

use super::shape::CLAUSES;
use crate::contract::draft::{Declared, SlaDraft};
use crate::contract::look::{items, spanned_text, strings, text, whole};
use crate::contract::{SlaProperty, operator, severity};
use crate::quality::{Metric, Rule, Scope, Threshold, Unit};
use crate::reader::{Findings, Spanned, shown};
use crate::types::Literal;
use crate::yaml::{Node, NodeKind};

/// Clauses, and the promises that stand among them.
pub fn read(findings: &Findings<'_>, nodes: &[Node]) -> (Vec<Declared>, Vec<SlaDraft>) {
    let mut declared = Vec::new();
    let mut promises = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        match freshness(node) {
            Some(promise) => promises.push(promise),
            None => declared.extend(read_one(findings, node, index)),
        }
    }
    (declared, promises)
}

fn freshness(node: &Node) -> Option<SlaDraft> {
    let (key, promise) = node.entry("freshness")?;
    let (value, element) = match promise.kind {
        NodeKind::Map(_) => {
            (spanned_text(promise, "max").or_else(|| spanned_text(promise, "value"))?, spanned_text(promise, "field"))
        }
        _ => (Spanned { value: promise.as_text()?.to_owned(), span: promise.span }, None),
    };
    Some(SlaDraft { at: key.span, property: SlaProperty::Freshness, element, value, unit: None })
}

/// One entry of the list; several clauses where it names several columns.
pub fn read_one(findings: &Findings<'_>, node: &Node, index: usize) -> Vec<Declared> {
    if node.as_map().is_none() {
        return Vec::new();
    }
    let words: Vec<&(crate::yaml::Key, Node)> =
        node.entries().iter().filter(|(key, _)| CLAUSES.contains(&key.text.as_str())).collect();
    let [(key, value)] = words.as_slice() else {
        match words.get(1) {
            Some((second, _)) => findings.error_hinting(
                "MW0230",
                second.span,
                format!("one clause says both `{}` and `{}`", words[0].0.text, second.text),
                "Give each an entry of its own.",
            ),
            None => {
                let hint = "Say what must hold, such as `no_nulls: [id]`.";
                findings.error_hinting("MW0230", node.span, "the clause says nothing to check", hint);
            }
        }
        return Vec::new();
    };
    let word = CLAUSES.iter().find(|word| **word == key.text).copied().unwrap_or_default();
    let scope = match spanned_text(node, "scope") {
        Some(scope) if scope.value == "batch" => Scope::Batch,
        Some(scope) if scope.value != "table" => {
            let message = format!("`{}` is not a scope", shown(&scope.value));
            findings.unknown("MW0114", scope.span, message, &scope.value, ["table", "batch"]);
            Scope::Table
        }
        _ => Scope::Table,
    };
    let severity = severity::read(findings, node);
    let (id, description, dimension) =
        (text(node, "id").or_else(|| text(node, "name")), text(node, "description"), text(node, "dimension"));
    let description =
        if word == "text" { description.or_else(|| value.as_text().map(str::to_owned)) } else { description };
    let rules = rules(findings, word, value);
    rules
        .into_iter()
        .map(|rule| Declared {
            at: key.span,
            id: id.clone(),
            index,
            word,
            severity,
            scope,
            description: description.clone(),
            dimension: dimension.clone(),
            rule,
        })
        .collect()
}

fn rules(findings: &Findings<'_>, word: &str, node: &Node) -> Vec<Rule> {
    let column = || text(node, "field").unwrap_or_default();
    let columns = || match node.kind {
        NodeKind::Text(_) | NodeKind::List(_) => names(node),
        _ if node.get("field").is_some() => vec![column()],
        _ => strings(node, "fields"),
    };
    match word {
        "no_nulls" => names(node).into_iter().map(|column| Rule::Required { column }).collect(),
        "unique" => vec![Rule::Unique { columns: names(node) }],
        "range" => {
            let (min, exclusive_min) = bound(node, "min", "exclusive_min");
            let (max, exclusive_max) = bound(node, "max", "exclusive_max");
            vec![Rule::Range { column: column(), min, max, exclusive_min, exclusive_max }]
        }
        "enum" => vec![Rule::Enum { column: column(), values: literals(node, "values") }],
        "pattern" | "regex" => {
            let pattern = text(node, "pattern").or_else(|| text(node, "regex"));
            if pattern.is_none() {
                findings.error_hinting("MW0112", node.span, "the pattern has no `pattern`", "Add `pattern: …`.");
            }
            vec![Rule::Pattern { column: column(), pattern: pattern.unwrap_or_default() }]
        }
        "length" => vec![Rule::Length {
            column: column(),
            min: whole(node, "min").map(|found| found.value),
            max: whole(node, "max").map(|found| found.value),
        }],
        "multiple_of" => {
            let factor = node.get("factor").and_then(literal).unwrap_or(Literal::Integer(1));
            vec![Rule::MultipleOf { column: column(), factor }]
        }
        "format" => vec![Rule::Format { column: column(), format: text(node, "format").unwrap_or_default() }],
        "references" => vec![references(findings, node, columns())],
        "row_count" => row_count(findings, node),
        "null_values" => metric(findings, node, Metric::NullValues { column: column() }),
        "missing_values" => {
            let values = items(node, "values").iter().map(literal).collect();
            metric(findings, node, Metric::MissingValues { column: column(), missing: values })
        }
        "invalid_values" => {
            let (valid, pattern) = (literals(node, "values"), text(node, "pattern"));
            metric(findings, node, Metric::InvalidValues { column: column(), valid, pattern })
        }
        "duplicate_values" => metric(findings, node, Metric::DuplicateValues { columns: columns() }),
        "sql" => sql(findings, node),
        "not_evaluated" => vec![Rule::NotEvaluated { because: node.as_text().unwrap_or_default().to_owned() }],
        _ => vec![Rule::NotEvaluated { because: "it is said in words".to_owned() }],
    }
}

fn names(node: &Node) -> Vec<String> {
    let nodes = node.as_list().unwrap_or(std::slice::from_ref(node));
    nodes.iter().filter_map(Node::as_text).map(str::to_owned).collect()
}

/// A value of a contract; None for null, lists, maps and numbers that are not decimal.
pub fn literal(node: &Node) -> Option<Literal> {
    match &node.kind {
        NodeKind::Bool(value) => Some(Literal::Boolean(*value)),
        NodeKind::Number(text) => node.as_i64().map(Literal::Integer).or_else(|| Literal::number(text)),
        NodeKind::Text(text) => Some(Literal::Text(text.clone())),
        NodeKind::Null | NodeKind::List(_) | NodeKind::Map(_) => None,
    }
}

fn literals(node: &Node, key: &str) -> Vec<Literal> {
    items(node, key).iter().filter_map(literal).collect()
}

/// `exclusive` holds a bound, or true for the inclusive one.
fn bound(node: &Node, inclusive: &str, exclusive: &str) -> (Option<Literal>, bool) {
    let plain = node.get(inclusive).and_then(literal);
    match node.get(exclusive).and_then(literal) {
        None | Some(Literal::Boolean(false)) => (plain, false),
        Some(Literal::Boolean(true)) => (plain, true),
        bound => (bound, true),
    }
}

fn references(findings: &Findings<'_>, node: &Node, columns: Vec<String>) -> Rule {
    let mut to_columns = strings(node, "to_fields");
    to_columns.extend(text(node, "to_field"));
    let Some(to) = spanned_text(node, "to") else {
        return Rule::NotEvaluated { because: "it names no table".to_owned() };
    };
    let parts: Vec<&str> = to.value.split('.').collect();
    // A single column may stand at the end of `to`: `domain.output.column`.
    let to_table = match (parts.as_slice(), to_columns.is_empty()) {
        ([domain, output, column], true) => {
            to_columns.push((*column).to_owned());
            format!("{domain}.{output}")
        }
        ([output, column], true) if columns.len() == 1 => {
            to_columns.push((*column).to_owned());
            (*output).to_owned()
        }
        ([_] | [_, _], false) => to.value.clone(),
        ([_] | [_, _], true) => {
            to_columns.clone_from(&columns);
            to.value.clone()
        }
        _ => {
            let hint = "Write `output.column` or `domain.output.column`.";
            findings.error_hinting("MW0226", to.span, format!("`{}` names no table", shown(&to.value)), hint);
            to.value.clone()
        }
    };
    if to_columns.len() != columns.len() {
        let message = format!("{} columns cannot reference {}", columns.len(), to_columns.len());
        findings.error("MW0226", node.span, message);
    }
    Rule::References { columns, to: to_table, to_columns }
}

fn row_count(findings: &Findings<'_>, node: &Node) -> Vec<Rule> {
    let number = |key: &str| {
        let node = node.get(key)?;
        node.as_number()?.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| (n, node.span))
    };
    let mut thresholds = operator::read(findings, node);
    match (number("min"), number("max")) {
        (Some((min, at)), Some((max, _))) if min > max => {
            findings.error("MW0215", at, format!("the row count has a minimum of {min} above its maximum of {max}"));
        }
        (Some((min, at)), Some((max, _))) => thresholds.push((Threshold::MustBeBetween(min, max), at)),
        (Some((min, at)), None) => thresholds.push((Threshold::MustBeGreaterOrEqualTo(min), at)),
        (None, Some((max, at))) => thresholds.push((Threshold::MustBeLessOrEqualTo(max), at)),
        (None, None) if thresholds.is_empty() => {
            findings.error_hinting("MW0230", node.span, "the row count has no bound", "Add `min`, `max` or both.");
        }
        (None, None) => {}
    }
    operator::check(findings, &thresholds, Some(Unit::Rows));
    let rule = |(must, _)| Rule::Metric { metric: Metric::RowCount, unit: Unit::Rows, must };
    thresholds.into_iter().map(rule).collect()
}

/// Without an operator nothing of the kind may occur.
fn metric(findings: &Findings<'_>, node: &Node, metric: Metric) -> Vec<Rule> {
    let unit = unit(findings, node);
    let thresholds = operator::read(findings, node);
    operator::check(findings, &thresholds, Some(unit));
    if thresholds.is_empty() {
        return vec![operator::simplified(metric, unit, Threshold::MustBe(0.0))];
    }
    thresholds.into_iter().map(|(must, _)| operator::simplified(metric.clone(), unit, must)).collect()
}

pub fn unit(findings: &Findings<'_>, node: &Node) -> Unit {
    match spanned_text(node, "unit") {
        None => Unit::Rows,
        Some(unit) => match unit.value.as_str() {
            "rows" | "row" | "count" => Unit::Rows,
            "percent" | "%" | "percentage" => Unit::Percent,
            other => {
                let message = format!("`{}` is not a unit", shown(other));
                findings.unknown("MW0114", unit.span, message, other, ["rows", "percent"]);
                Unit::Rows
            }
        },
    }
}

fn sql(findings: &Findings<'_>, node: &Node) -> Vec<Rule> {
    if let Some(query) = node.as_text() {
        return vec![Rule::Sql { query: query.to_owned(), must: None }];
    }
    let query = text(node, "query").unwrap_or_default();
    let mut thresholds = operator::read(findings, node);
    if let Some(must) = node.get("must") {
        match &must.kind {
            NodeKind::Map(_) => thresholds.extend(operator::read(findings, must)),
            NodeKind::Number(text) => {
                thresholds.extend(
                    text.parse().ok().filter(|n: &f64| n.is_finite()).map(|n| (Threshold::MustBe(n), must.span)),
                );
            }
            NodeKind::Bool(value) => thresholds.push((Threshold::MustBe(f64::from(u8::from(*value))), must.span)),
            _ => {
                let hint = "Write `must: 0` or `must: { must_be_less_than: 5 }`.";
                findings.error_hinting("MW0231", must.span, "`must` is neither a number nor an operator", hint);
            }
        }
    }
    operator::check(findings, &thresholds, None);
    if thresholds.is_empty() {
        return vec![Rule::Sql { query, must: None }];
    }
    thresholds.into_iter().map(|(must, _)| Rule::Sql { query: query.clone(), must: Some(must) }).collect()
}
