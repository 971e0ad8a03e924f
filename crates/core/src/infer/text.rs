//! The proposal as files: contracts, SQL and manifests, with the evidence as comments.

use std::collections::HashSet;

use super::column::{Around, FieldProposal, field, one_line};
use super::key::{self, Key, Reference, counted};
use super::{ForeignKey, ProposedSource, TableProfile, Target, column_names, table_name};
use crate::check::Named;
use crate::contract::scalar;
use crate::name::{Name, quoted};
use crate::scaffold::File;

/// A product with its files, and what a person should hear of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    pub files: Vec<File>,
    pub outputs: Vec<ProposedOutput>,
    /// What could not be taken over.
    pub notes: Vec<String>,
}

/// One output in numbers, for the summary.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposedOutput {
    pub name: Name,
    pub rows: u64,
    pub complete: bool,
    pub columns: usize,
    pub key: Vec<String>,
    pub references: usize,
    pub personal: Vec<String>,
}

/// A database connection of domain.yaml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    pub name: Name,
    /// Keys and values below the connection's name.
    pub lines: Vec<(&'static str, String)>,
}

impl Connected {
    /// As it stands below `connections:`.
    pub fn yaml(&self) -> String {
        let mut out = format!("  {}:\n", self.name);
        for (key, value) in &self.lines {
            out.push_str(&format!("    {key}: {}\n", plain_or_quoted(value)));
        }
        out
    }
}

fn plain_or_quoted(value: &str) -> String {
    let number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    if number || value.starts_with("${secret:") { value.to_owned() } else { scalar(value) }
}

/// A table, named.
struct Draft<'a> {
    table: &'a TableProfile,
    output: Name,
    input: Name,
    columns: Vec<String>,
    fields: Vec<FieldProposal>,
    key: Option<Key>,
    references: Vec<Reference>,
}

/// The product that these tables make. `taken` holds the domain's output names, `classifications` those of the mesh;
/// `contains` as for [`key::references`].
pub fn propose(
    target: &Target,
    tables: &[TableProfile],
    taken: &HashSet<Name>,
    classifications: &[String],
    contains: &dyn Fn((usize, usize), (usize, usize)) -> Option<bool>,
) -> Proposal {
    let mut notes = Vec::new();
    let mut named = names(tables, taken, &target.product);
    let keys: Vec<Option<Key>> = tables
        .iter()
        .map(|table| {
            let types: Vec<_> = table.columns.iter().map(|c| c.ty.native.clone()).collect();
            key::primary(table, &types)
        })
        .collect();
    let outputs: Vec<(Name, Vec<String>)> = named.iter().map(|n| (n.output.clone(), n.columns.clone())).collect();
    for (at, one) in named.iter_mut().enumerate() {
        one.key = keys[at].clone();
        one.references = key::references(tables, &keys, at, contains);
        one.references.retain(|reference| {
            let known = tables.iter().any(|t| t.name == reference.key.table);
            if !known {
                notes.push(format!(
                    "{} refers to {}, which is not among the tables: left out",
                    one.table.name, reference.key.table
                ));
            }
            known
        });
        one.fields = one
            .table
            .columns
            .iter()
            .enumerate()
            .map(|(column, profile)| {
                let around = around(one, column, tables, &outputs, classifications);
                field(profile, &one.columns[column], &around)
            })
            .collect();
    }
    let folder = format!("domains/{}/{}", target.domain, target.product);
    let mut files = vec![(format!("{folder}/product.yaml"), product(target, &named))];
    for one in &named {
        files.push((format!("{folder}/{}.contract.yaml", one.output), contract(target, one, tables, &outputs)));
        files.push((format!("{folder}/{}.sql", one.output), sql(one)));
    }
    let outputs = named.iter().map(summary).collect();
    Proposal { files, outputs, notes }
}

fn names<'a>(tables: &'a [TableProfile], taken: &HashSet<Name>, product: &Name) -> Vec<Draft<'a>> {
    let mut outputs = taken.clone();
    let mut inputs = HashSet::new();
    let mut named = Vec::new();
    for table in tables {
        let own = table.name.rsplit('.').next().unwrap_or(&table.name);
        let output = table_name(own, product, Named::Output, &outputs);
        outputs.insert(output.clone());
        let input = table_name(&format!("{output}_source"), "source", Named::Input, &inputs);
        inputs.insert(input.clone());
        let columns = column_names(short(table).iter().map(String::as_str));
        named.push(Draft { table, output, input, columns, fields: Vec::new(), key: None, references: Vec::new() });
    }
    named
}

/// What columns are called: by the last part of a path such as `properties.mag`, where no other one ends so.
fn short(table: &TableProfile) -> Vec<String> {
    let paths = matches!(table.source, ProposedSource::Json { .. });
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let name = |column: &super::ColumnProfile| {
        let own = last(&column.name);
        let alone = table.columns.iter().filter(|c| last(&c.name).eq_ignore_ascii_case(&own)).count() == 1;
        if paths && alone && own.starts_with(char::is_alphabetic) { own } else { column.name.clone() }
    };
    table.columns.iter().map(name).collect()
}

fn around<'a>(
    one: &Draft<'a>,
    column: usize,
    tables: &[TableProfile],
    outputs: &[(Name, Vec<String>)],
    classifications: &'a [String],
) -> Around<'a> {
    let name = &one.table.columns[column].name;
    let key = one.key.as_ref().and_then(|key| {
        let at = key.columns.iter().position(|c| c == name)?;
        Some(((key.columns.len() > 1).then_some(at), key.confidence, key.because.clone()))
    });
    let references = one
        .references
        .iter()
        .filter(|reference| reference.key.columns == [name.clone()])
        .filter_map(|reference| {
            let (output, columns) = target_of(&reference.key, tables, outputs)?;
            Some((format!("{output}.{}", columns.first()?), reference.clone()))
        })
        .collect();
    Around {
        table: one.table,
        unique: one.table.catalog.unique.iter().any(|columns| *columns == [name.clone()]),
        key,
        references,
        classifications,
    }
}

/// Our names of what a foreign key refers to.
fn target_of(
    key: &ForeignKey,
    tables: &[TableProfile],
    outputs: &[(Name, Vec<String>)],
) -> Option<(Name, Vec<String>)> {
    let at = tables.iter().position(|table| table.name == key.table)?;
    let (output, columns) = &outputs[at];
    let ours = key.to_columns.iter().map(|theirs| {
        let place = tables[at].columns.iter().position(|c| c.name == *theirs)?;
        Some(columns[place].clone())
    });
    Some((output.clone(), ours.collect::<Option<_>>()?))
}

fn product(target: &Target, tables: &[Draft<'_>]) -> String {
    let mut out = format!(
        "\
# Proposed from {}. Go through the contracts, then set `status: draft` or `active`.
product: {}
version: 1.0.0
status: proposed              # it runs, and its own domain reads it; nobody vouches for it yet
archetype: source-aligned
description: {}
inputs:
",
        one_line(&target.from),
        target.product,
        scalar(&format!("Taken over as it is from {}.", one_line(&target.from)))
    );
    for one in tables {
        out.push_str(&format!("  {}:\n{}", one.input, source(&one.table.source, target)));
    }
    out.push_str("outputs:\n");
    for one in tables {
        out.push_str(&format!(
            "  {0}:\n    contract: {0}.contract.yaml\n    sql: {0}.sql\n    mode: full\n    on_violation: block\n",
            one.output
        ));
    }
    out
}

fn source(source: &ProposedSource, target: &Target) -> String {
    let mut out = "    source:\n".to_owned();
    let mut line = |key: &str, value: &str| out.push_str(&format!("      {key}: {value}\n"));
    let mut file = |kind: &str, path: &str| {
        line("type", kind);
        line("path", &scalar(path));
        if let Some(connection) = target.connection.as_ref().filter(|_| path.contains("://")) {
            line("connection", connection);
        }
    };
    match source {
        ProposedSource::Csv { path, options } => {
            file("csv", path);
            pinned(serde_json::to_value(options), &mut out);
        }
        ProposedSource::Json { path, options } => {
            file("json", path);
            pinned(serde_json::to_value(options), &mut out);
        }
        ProposedSource::File { kind, path, table } => {
            file(kind, path);
            if let Some(table) = table {
                line("table", &scalar(table));
            }
        }
        ProposedSource::Database { kind, table, query } => {
            line("type", kind);
            line("connection", target.connection.as_ref().map_or("source", Name::as_str));
            match query {
                None => line("table", &scalar(table)),
                Some(query) => line("query", &scalar(&one_line(query))),
            }
        }
    }
    out
}

/// All options, also those that are the default: what was found holds, whatever the defaults become.
fn pinned(options: serde_json::Result<serde_json::Value>, out: &mut String) {
    let options = options.unwrap_or_default();
    out.push_str("      options:\n");
    for (key, value) in options.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        out.push_str(&format!("        {key}: {}\n", flow(value)));
    }
}

fn flow(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// Keywords that stand for themselves only in quotes are hard to tell from those that do not: what is not plainly a name
/// of ours is quoted.
fn sql(one: &Draft<'_>) -> String {
    let columns: Vec<String> = one
        .table
        .columns
        .iter()
        .zip(&one.columns)
        .map(|(column, name)| {
            let (theirs, ours) = (quoted(&column.name), quoted(name));
            if theirs == ours { format!("    {ours}") } else { format!("    {theirs} AS {ours}") }
        })
        .collect();
    format!("SELECT\n{}\nFROM {}\n", columns.join(",\n"), one.input)
}

/// Where comments begin, as far as lines allow.
const COMMENTS: usize = 44;

fn with_comment(line: &str, comment: &str) -> String {
    if comment.is_empty() {
        return format!("{line}\n");
    }
    // A comment cannot go on over the end of its line.
    let comment = one_line(comment);
    format!("{line:COMMENTS$}  # {comment}\n")
}

fn contract(target: &Target, one: &Draft<'_>, tables: &[TableProfile], outputs: &[(Name, Vec<String>)]) -> String {
    let table = one.table;
    let read = match (table.rows, table.complete) {
        (0, _) => "no rows were read".to_owned(),
        (rows, true) => format!("{} rows, all of them read", counted(rows)),
        (rows, false) => {
            format!("the first {} rows were read, not all: what was seen of values only warns", counted(rows))
        }
    };
    let mut out = format!(
        "\
# Proposed from {}: {}, {read}.
# Behind each guess stands its evidence and how sure it is, from 0 to 1. Change what is wrong: what stays is a promise.
schema: {}
version: 1.0.0
owner: {}
",
        one_line(&target.from),
        one_line(&table.name),
        one.output,
        target.owner,
    );
    if table.name != *one.output.as_str() {
        out.push_str(&format!("physical_name: {}\n", scalar(&table.name)));
    }
    if let Some(description) = &table.description {
        out.push_str(&format!("description: {}\n", scalar(&one_line(description))));
    }
    out.push_str("fields:\n");
    for field in &one.fields {
        for note in &field.notes {
            out.push_str(&format!("  # {}: {}\n", one_line(&field.name), one_line(note)));
        }
        out.push_str(&format!("  - name: {}\n", scalar(&field.name)));
        for line in &field.lines {
            out.push_str(&with_comment(&format!("    {}: {}", line.key, line.value), &line.comment));
        }
    }
    quality(one, tables, outputs, &mut out);
    out
}

fn quality(one: &Draft<'_>, tables: &[TableProfile], outputs: &[(Name, Vec<String>)], out: &mut String) {
    let mut clauses = String::new();
    let ours = |theirs: &[String]| -> Option<Vec<String>> {
        let place = |name: &String| one.table.columns.iter().position(|c| c.name == *name);
        theirs.iter().map(|name| place(name).map(|at| scalar(&one.columns[at]))).collect()
    };
    if one.table.rows > 0 {
        clauses.push_str(&with_comment("  - row_count: { min: 1 }", "an empty source is not published"));
    }
    for columns in one.table.catalog.unique.iter().filter(|columns| columns.len() > 1) {
        let Some(columns) = ours(columns) else { continue };
        let line = format!("  - unique: [{}]", columns.join(", "));
        clauses.push_str(&with_comment(&line, &format!("{} declares it; 1.00", one.table.catalog.said_by)));
    }
    for reference in one.references.iter().filter(|r| r.key.columns.len() > 1) {
        let (Some(columns), Some((to, to_columns))) =
            (ours(&reference.key.columns), target_of(&reference.key, tables, outputs))
        else {
            continue;
        };
        let to_columns: Vec<String> = to_columns.iter().map(|c| scalar(c)).collect();
        let line = format!(
            "  - references: {{ fields: [{}], to: {to}, to_fields: [{}] }}",
            columns.join(", "),
            to_columns.join(", ")
        );
        clauses.push_str(&with_comment(&line, &format!("{}; {:.2}", reference.because, reference.confidence)));
    }
    let keyed = |name: &String| one.key.as_ref().is_some_and(|key| key.columns.contains(name));
    for (column, name) in one.table.columns.iter().zip(&one.columns) {
        let seen = &column.seen;
        let declared = one.table.catalog.unique.iter().any(|columns| *columns == [column.name.clone()]);
        let last = super::name::words(&column.name).pop().unwrap_or_default();
        let key_like = matches!(last.as_str(), "id" | "uuid" | "email" | "code" | "key") && seen.nulls == 0;
        if seen.unique && key_like && !keyed(&column.name) && !declared && seen.present() >= 20 {
            let why = format!("{} distinct values in {} rows", counted(seen.present()), counted(seen.rows));
            clauses.push_str(&with_comment(&format!("  - unique: [{}]", scalar(name)), &why));
            clauses.push_str("    severity: warning\n");
        }
    }
    for (clause, why) in one.fields.iter().flat_map(|field| &field.warnings) {
        clauses.push_str(&with_comment(&format!("  - {clause}"), why));
        clauses.push_str("    severity: warning\n");
    }
    if !clauses.is_empty() {
        out.push_str("quality:\n");
        out.push_str(&clauses);
    }
}

fn summary(one: &Draft<'_>) -> ProposedOutput {
    let personal = one.fields.iter().filter(|f| f.lines.iter().any(|l| l.key == "classification"));
    ProposedOutput {
        name: one.output.clone(),
        rows: one.table.rows,
        complete: one.table.complete,
        columns: one.columns.len(),
        key: one.key.as_ref().map(|key| key.columns.clone()).unwrap_or_default(),
        references: one.references.len(),
        personal: personal.map(|f| f.name.clone()).collect(),
    }
}
