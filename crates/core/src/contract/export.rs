//! A contract as an ODCS 3.1 file. What ODCS has no word for stands in a `custom` check of the engine `meshwork`, so that
//! reading the file again gives the same contract.

mod yaml;

use yaml::Yaml;
pub(crate) use yaml::scalar;

use crate::contract::{Contract, Dialect, Field, Sla, SlaProperty, Table, native, operator};
use crate::error::Severity;
use crate::quality::{Clause, Metric, Rule, Scope, Threshold, Unit};
use crate::types::{ColumnType, Literal, LogicalType};

/// The contract as a file of the standard: the author's own, comments and all, where it is one.
pub fn export(contract: &Contract) -> String {
    match contract.dialect {
        Dialect::Odcs(_) if !contract.text.is_empty() => contract.text.clone(),
        _ => to_odcs(contract),
    }
}

/// The normalised contract in ODCS 3.1.0.
pub fn to_odcs(contract: &Contract) -> String {
    let id = contract.id.as_ref().map_or(contract.name.as_str(), |id| id.as_str());
    let mut top = Yaml::map();
    top.put("apiVersion", Yaml::text("v3.1.0"));
    top.put("kind", Yaml::text("DataContract"));
    top.put("id", Yaml::text(id));
    top.put("name", Yaml::text(&contract.name));
    top.put("version", Yaml::text(&contract.version.to_string()));
    top.put("status", Yaml::text("active"));
    if let Some(owner) = &contract.owner {
        top.put("team", Yaml::of([("name", Yaml::text(owner))]));
    }
    if let Some(description) = &contract.description {
        top.put("description", Yaml::of([("purpose", Yaml::text(description))]));
    }
    top.put("schema", Yaml::List(contract.tables.iter().map(table).collect()));
    top.put_list("slaProperties", contract.sla.iter().map(sla).collect());
    top.print()
}

fn sla(sla: &Sla) -> Yaml {
    let (name, value, unit) = match &sla.property {
        SlaProperty::Freshness => ("freshness", None, None),
        SlaProperty::Latency => ("latency", None, None),
        SlaProperty::Retention => ("retention", None, None),
        SlaProperty::Frequency => ("frequency", None, None),
        SlaProperty::Availability => ("availability", Some(Yaml::number(sla.value)), None),
        SlaProperty::Other(name) => {
            let text = sla.text.clone().unwrap_or_else(|| sla.value.to_string());
            (name.as_str(), Some(Yaml::text(&text)), None)
        }
    };
    let (value, unit) = match value {
        Some(value) => (value, unit),
        None => {
            let units = [(86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"), (1.0, "seconds")];
            let (seconds, unit) = units.into_iter().find(|(s, _)| sla.value % s == 0.0).unwrap_or((1.0, "seconds"));
            (Yaml::number(sla.value / seconds), Some(unit))
        }
    };
    let mut out = Yaml::of([("property", Yaml::text(name)), ("value", value)]);
    if let Some(unit) = unit {
        out.put("unit", Yaml::text(unit));
    }
    if let Some(element) = &sla.element {
        out.put("element", Yaml::text(element));
    }
    out
}

fn table(table: &Table) -> Yaml {
    let mut out = Yaml::of([("name", Yaml::text(&table.name))]);
    if let Some(name) = &table.physical_name {
        out.put("physicalName", Yaml::text(name));
    }
    if let Some(description) = &table.description {
        out.put("description", Yaml::text(description));
    }
    out.put("properties", Yaml::List(table.fields.iter().map(|f| field(f, &table.clauses)).collect()));
    let plain = |clause: &&Clause| !is_implied(clause, &table.fields);
    let relationships = table.clauses.iter().filter(|c| c.id.starts_with("references(")).filter_map(|clause| {
        let Rule::References { columns, to, to_columns } = &clause.rule else { return None };
        let from = columns.iter().map(|column| Yaml::text(&format!("{}.{column}", table.name))).collect();
        let to = to_columns.iter().map(|column| Yaml::text(&format!("{to}.{column}"))).collect();
        Some(Yaml::of([("from", Yaml::List(from)), ("to", Yaml::List(to))]))
    });
    out.put_list("relationships", relationships.collect());
    let quality = table.clauses.iter().filter(plain).filter(|clause| column_of(clause).is_none());
    out.put_list("quality", quality.map(check).collect());
    out
}

/// Whether the exported property says it already.
fn is_implied(clause: &Clause, fields: &[Field]) -> bool {
    let bare = clause.severity == Severity::Error && clause.description.is_none() && clause.dimension.is_none();
    if clause.id == "primary_key" || clause.id.starts_with("references(") || matches!(clause.rule, Rule::Type { .. }) {
        return true;
    }
    let columns = clause.rule.columns();
    let name = match columns.as_slice() {
        [one] => *one,
        _ => return false,
    };
    let Some(word) = clause.id.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) else { return false };
    let word = word.split('#').next().unwrap_or_default();
    let options = [
        "required",
        "range",
        "pattern",
        "length",
        "multiple_of",
        "format",
        "unique",
        "time",
        "u8",
        "u16",
        "u32",
        "u64",
    ];
    bare && fields.iter().any(|f| f.name == name) && (options.contains(&word) || word == "references")
}

/// The one column that a check can stand at.
fn column_of(clause: &Clause) -> Option<&str> {
    match (&clause.rule, clause.rule.columns().as_slice()) {
        (Rule::Required { .. } | Rule::Enum { .. } | Rule::Pattern { .. } | Rule::Metric { .. }, [column]) => {
            Some(*column)
        }
        _ => None,
    }
}

fn field(field: &Field, clauses: &[Clause]) -> Yaml {
    let own = |word: &str| clauses.iter().find(|clause| clause.id == format!("{}.{word}", field.name)).map(|c| &c.rule);
    let mut out =
        Yaml::of([("name", Yaml::text(&field.name)), ("logicalType", Yaml::text(field.logical_type.as_str()))]);
    let mut options = Yaml::map();
    let unsigned = ["u8", "u16", "u32", "u64"].into_iter().find(|format| own(format).is_some());
    type_options(&mut options, field, unsigned);
    if let Some(Rule::Format { format, .. }) = own("format") {
        options.put("format", Yaml::text(format));
    }
    if let Some(Rule::Range { min, max, exclusive_min, exclusive_max, .. }) = own("range") {
        for (bound, exclusive, name, exclusive_name) in
            [(min, exclusive_min, "minimum", "exclusiveMinimum"), (max, exclusive_max, "maximum", "exclusiveMaximum")]
        {
            if let Some(bound) = bound {
                options.put(if *exclusive { exclusive_name } else { name }, Yaml::literal(bound));
            }
        }
    }
    if let Some(Rule::Pattern { pattern, .. }) = own("pattern") {
        options.put("pattern", Yaml::text(pattern));
    }
    if let Some(Rule::Length { min, max, .. }) = own("length") {
        let list = field.logical_type == LogicalType::Array;
        let names = if list { ("minItems", "maxItems") } else { ("minLength", "maxLength") };
        for (name, bound) in [(names.0, min), (names.1, max)] {
            if let Some(bound) = bound {
                options.put(name, Yaml::Plain(bound.to_string()));
            }
        }
    }
    if let Some(Rule::MultipleOf { factor, .. }) = own("multiple_of") {
        options.put("multipleOf", Yaml::literal(factor));
    }
    out.put_map("logicalTypeOptions", options);
    for (name, value) in [
        ("physicalType", &field.physical_type),
        ("physicalName", &field.physical_name),
        ("description", &field.description),
    ] {
        if let Some(value) = value {
            out.put(name, Yaml::text(value));
        }
    }
    let required = own("required").is_some();
    for (name, value) in [
        ("required", required && field.primary_key.is_none()),
        ("unique", field.unique),
        ("primaryKey", field.primary_key.is_some()),
    ] {
        if value {
            out.put(name, Yaml::Plain("true".to_owned()));
        }
    }
    if let Some(at) = field.primary_key {
        out.put("primaryKeyPosition", Yaml::Plain(at.to_string()));
    }
    if !field.classifications.is_empty() {
        let names: Vec<&str> = field.classifications.iter().map(|name| name.as_str()).collect();
        out.put("classification", Yaml::text(&names.join(", ")));
    }
    out.put_list("tags", field.tags.iter().map(|tag| Yaml::text(tag)).collect());
    out.put_list("examples", field.examples.iter().map(Yaml::literal).collect());
    nested(&mut out, &field.native);
    let references = clauses.iter().filter(|c| c.id.starts_with(&format!("{}.references", field.name)));
    let relationships = references.filter_map(|clause| match &clause.rule {
        Rule::References { to, to_columns, .. } => {
            Some(Yaml::of([("to", Yaml::text(&format!("{to}.{}", to_columns.join("."))))]))
        }
        _ => None,
    });
    out.put_list("relationships", relationships.collect());
    let checks = clauses
        .iter()
        .filter(|c| column_of(c) == Some(&field.name))
        .filter(|c| !is_implied(c, std::slice::from_ref(field)));
    out.put_list("quality", checks.map(check).collect());
    out.put_list("customProperties", custom(field));
    out
}

fn type_options(options: &mut Yaml, field: &Field, unsigned: Option<&str>) {
    let mut format = |text: &str| options.put("format", Yaml::text(text));
    match (&field.native, field.logical_type) {
        (_, LogicalType::Integer) if unsigned.is_some() => format(unsigned.unwrap_or_default()),
        (ColumnType::Int8, _) => format("i8"),
        (ColumnType::Int16, _) => format("i16"),
        (ColumnType::Int32, _) => format("i32"),
        (ColumnType::Float32, _) => format("f32"),
        (ColumnType::Binary, _) => format("binary"),
        (ColumnType::Date | ColumnType::Timestamp | ColumnType::LocalTimestamp, _) | (_, LogicalType::Time) => {
            if let Some(pattern) = &field.format {
                format(pattern);
            }
        }
        _ => {}
    }
    if field.native == ColumnType::LocalTimestamp {
        options.put("timezone", Yaml::Plain("false".to_owned()));
    }
    if let Some(zone) = &field.default_timezone {
        options.put("defaultTimezone", Yaml::text(zone));
    }
}

/// Our own additions, where the standard puts such.
fn custom(field: &Field) -> Vec<Yaml> {
    let property = |name: &str, value: Yaml| Yaml::of([("property", Yaml::text(name)), ("value", value)]);
    let mut out = Vec::new();
    if let Some(from) = &field.renamed_from {
        out.push(property("renamedFrom", Yaml::text(from)));
    }
    if let (ColumnType::Decimal { precision, scale }, LogicalType::Number) = (&field.native, field.logical_type) {
        let physical = field.physical_type.as_deref().and_then(native::physical).and_then(|physical| physical.decimal);
        if physical != Some((u64::from(*precision), u64::from(scale.unsigned_abs()))) {
            out.push(property("precision", Yaml::Plain(precision.to_string())));
            out.push(property("scale", Yaml::Plain(scale.to_string())));
        }
    }
    out
}

/// What an array or object holds, from its type alone.
fn nested(out: &mut Yaml, native: &ColumnType) {
    match native {
        ColumnType::List(item) => out.put("items", part(None, item)),
        ColumnType::Struct(parts) => {
            out.put("properties", Yaml::List(parts.iter().map(|(name, ty)| part(Some(name), ty)).collect()));
        }
        _ => {}
    }
}

fn part(name: Option<&str>, native: &ColumnType) -> Yaml {
    let mut out = Yaml::map();
    if let Some(name) = name {
        out.put("name", Yaml::text(name));
    }
    let (logical, format) = match native {
        ColumnType::Boolean => ("boolean", None),
        ColumnType::Int8 => ("integer", Some("i8")),
        ColumnType::Int16 => ("integer", Some("i16")),
        ColumnType::Int32 => ("integer", Some("i32")),
        ColumnType::Int64 => ("integer", None),
        ColumnType::Float32 => ("number", Some("f32")),
        ColumnType::Float64 | ColumnType::Decimal { .. } => ("number", None),
        ColumnType::Text => ("string", None),
        ColumnType::Binary => ("string", Some("binary")),
        ColumnType::Date => ("date", None),
        ColumnType::Timestamp | ColumnType::LocalTimestamp => ("timestamp", None),
        ColumnType::List(_) => ("array", None),
        ColumnType::Struct(_) => ("object", None),
    };
    out.put("logicalType", Yaml::text(logical));
    let mut options = Yaml::map();
    if let Some(format) = format {
        options.put("format", Yaml::text(format));
    }
    if *native == ColumnType::LocalTimestamp {
        options.put("timezone", Yaml::Plain("false".to_owned()));
    }
    out.put_map("logicalTypeOptions", options);
    if let ColumnType::Decimal { precision, scale } = native {
        out.put("physicalType", Yaml::text(&format!("decimal({precision},{scale})")));
    }
    nested(&mut out, native);
    out
}

fn check(clause: &Clause) -> Yaml {
    let mut out = Yaml::map();
    // An id that its author gave stands behind `quality.`; others are made of the place in the list.
    if let Some((_, name)) = clause.id.split_once("quality.") {
        out.put("name", Yaml::text(name.split('#').next().unwrap_or(name)));
    }
    match library(&clause.rule) {
        Some((metric, unit, must, arguments)) => {
            out.put("metric", Yaml::text(metric));
            threshold(&mut out, &must);
            if unit == Unit::Percent {
                out.put("unit", Yaml::text("percent"));
            }
            out.put_map("arguments", arguments);
        }
        None => match &clause.rule {
            Rule::Sql { query, must: Some(must) } => {
                out.put("type", Yaml::text("sql"));
                out.put("query", Yaml::text(query));
                threshold(&mut out, must);
            }
            rule => {
                out.put("type", Yaml::text("custom"));
                out.put("engine", Yaml::text("meshwork"));
                let mut implementation = implementation(rule);
                if clause.scope == Scope::Batch {
                    implementation.put("scope", Yaml::text("batch"));
                }
                out.put("implementation", implementation);
            }
        },
    }
    match clause.severity {
        Severity::Error => {}
        Severity::Warning => out.put("severity", Yaml::text("warning")),
        Severity::Info => out.put("severity", Yaml::text("info")),
    }
    if let Some(dimension) = &clause.dimension {
        out.put("dimension", Yaml::text(dimension));
    }
    if let Some(description) = &clause.description {
        out.put("description", Yaml::text(description));
    }
    if clause.scope == Scope::Batch && !out.has("implementation") {
        let scope = Yaml::of([("property", Yaml::text("scope")), ("value", Yaml::text("batch"))]);
        out.put("customProperties", Yaml::List(vec![scope]));
    }
    out
}

fn threshold(out: &mut Yaml, must: &Threshold) {
    match operator::odcs(must) {
        (name, numbers) if numbers.len() == 1 => out.put(name, Yaml::number(numbers[0])),
        (name, numbers) => out.put(name, Yaml::List(numbers.into_iter().map(Yaml::number).collect())),
    }
}

/// The library metric that says it, with its arguments.
fn library(rule: &Rule) -> Option<(&'static str, Unit, Threshold, Yaml)> {
    let none = Threshold::MustBe(0.0);
    let list = |values: &[Literal]| Yaml::List(values.iter().map(Yaml::literal).collect());
    let names =
        |names: &[String]| Yaml::of([("properties", Yaml::List(names.iter().map(|n| Yaml::text(n)).collect()))]);
    Some(match rule {
        Rule::Required { .. } => ("nullValues", Unit::Rows, none, Yaml::map()),
        Rule::Unique { columns } => ("duplicateValues", Unit::Rows, none, names(columns)),
        Rule::Enum { values, .. } => ("invalidValues", Unit::Rows, none, Yaml::of([("validValues", list(values))])),
        Rule::Pattern { pattern, .. } => {
            ("invalidValues", Unit::Rows, none, Yaml::of([("pattern", Yaml::text(pattern))]))
        }
        Rule::Metric { metric, unit, must } => {
            let (name, arguments) = match metric {
                Metric::RowCount => ("rowCount", Yaml::map()),
                Metric::NullValues { .. } => ("nullValues", Yaml::map()),
                Metric::MissingValues { missing, .. } => {
                    let null = || Yaml::Plain("null".to_owned());
                    let values = missing.iter().map(|value| value.as_ref().map_or_else(null, Yaml::literal)).collect();
                    ("missingValues", Yaml::of([("missingValues", Yaml::List(values))]))
                }
                Metric::InvalidValues { valid, pattern, .. } => {
                    let mut arguments = Yaml::map();
                    arguments.put_list("validValues", valid.iter().map(Yaml::literal).collect());
                    if let Some(pattern) = pattern {
                        arguments.put("pattern", Yaml::text(pattern));
                    }
                    ("invalidValues", arguments)
                }
                Metric::DuplicateValues { columns } if columns.len() == 1 => ("duplicateValues", Yaml::map()),
                Metric::DuplicateValues { columns } => ("duplicateValues", names(columns)),
            };
            (name, *unit, must.clone(), arguments)
        }
        _ => return None,
    })
}

/// A clause in the short form.
fn implementation(rule: &Rule) -> Yaml {
    let at = |column: &str| Yaml::of([("field", Yaml::text(column))]);
    let whole = |n: &u64| Yaml::Plain(n.to_string());
    match rule {
        Rule::Range { column, min, max, exclusive_min, exclusive_max } => {
            let mut out = at(column);
            for (bound, excluded, name, exclusive) in
                [(min, exclusive_min, "min", "exclusive_min"), (max, exclusive_max, "max", "exclusive_max")]
            {
                if let Some(bound) = bound {
                    out.put(if *excluded { exclusive } else { name }, Yaml::literal(bound));
                }
            }
            Yaml::of([("range", out)])
        }
        Rule::Length { column, min, max } => {
            let mut out = at(column);
            for (name, bound) in [("min", min), ("max", max)] {
                if let Some(bound) = bound {
                    out.put(name, whole(bound));
                }
            }
            Yaml::of([("length", out)])
        }
        Rule::MultipleOf { column, factor } => {
            let mut out = at(column);
            out.put("factor", Yaml::literal(factor));
            Yaml::of([("multiple_of", out)])
        }
        Rule::Format { column, format } => {
            let mut out = at(column);
            out.put("format", Yaml::text(format));
            Yaml::of([("format", out)])
        }
        Rule::References { columns, to, to_columns } => {
            let names = |names: &[String]| Yaml::List(names.iter().map(|n| Yaml::text(n)).collect());
            let out = [("fields", names(columns)), ("to", Yaml::text(to)), ("to_fields", names(to_columns))];
            Yaml::of([("references", Yaml::of(out))])
        }
        Rule::Sql { query, .. } => Yaml::of([("sql", Yaml::text(query))]),
        Rule::NotEvaluated { because } => Yaml::of([("not_evaluated", Yaml::text(because))]),
        // All others have a word in ODCS, see `library`.
        other => Yaml::of([("not_evaluated", Yaml::text(&format!("{other:?}")))]),
    }
}
