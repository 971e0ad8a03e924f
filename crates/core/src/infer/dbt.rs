//! Tables from a dbt project: `target/manifest.json`, schema version 10 and later. What its tests promise of columns
//! becomes the contract; data is not in it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Catalog, ColumnProfile, ForeignKey, ProfiledType, ProposedSource, TableProfile};
use crate::contract::physical_type;
use crate::error::{Error, Result};

/// A project's tables, by what made them.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    pub name: String,
    /// `postgres`, `snowflake`, ….
    pub adapter: String,
    /// Models, seeds and snapshots.
    pub models: Vec<TableProfile>,
    /// What the models are built from.
    pub sources: Vec<TableProfile>,
    pub notes: Vec<String>,
}

/// The oldest manifest that has `attached_node`, by which a test names its table.
const OLDEST: u32 = 10;

pub fn read(text: &str) -> Result<Project> {
    let manifest: Value = serde_json::from_str(text).map_err(|error| {
        Error::check(
            "MW1104",
            format!("not a dbt manifest: line {}, column {}: not JSON", error.line(), error.column()),
        )
        .hint("`dbt compile` writes it to target/manifest.json")
    })?;
    let written = manifest["metadata"]["dbt_schema_version"].as_str().unwrap_or_default();
    let version = written.rsplit("/v").next().and_then(|v| v.trim_end_matches(".json").parse::<u32>().ok());
    match version {
        Some(version) if version >= OLDEST && written.contains("/manifest/") => {}
        Some(version) if written.contains("/manifest/") => {
            return Err(Error::check(
                "MW1104",
                format!("the dbt manifest has schema version {version}; {OLDEST} is needed"),
            )
            .hint("make it with dbt 1.6 or later"));
        }
        _ => {
            return Err(Error::check("MW1104", "this JSON file is not a dbt manifest")
                .hint("`dbt compile` writes it to target/manifest.json"));
        }
    }
    let mut project = Project {
        name: text_of(&manifest["metadata"]["project_name"]).unwrap_or_else(|| "dbt".to_owned()),
        adapter: text_of(&manifest["metadata"]["adapter_type"]).unwrap_or_default(),
        models: Vec::new(),
        sources: Vec::new(),
        notes: Vec::new(),
    };
    let empty = serde_json::Map::new();
    let nodes = manifest["nodes"].as_object().unwrap_or(&empty);
    let sources = manifest["sources"].as_object().unwrap_or(&empty);
    let mut tables: BTreeMap<&str, TableProfile> = BTreeMap::new();
    for (id, node) in nodes.iter().chain(sources) {
        let kind = node["resource_type"].as_str().unwrap_or_default();
        let stored = node["config"]["materialized"].as_str().is_none_or(|m| m != "ephemeral");
        let enabled = node["config"]["enabled"].as_bool() != Some(false);
        if !matches!(kind, "model" | "seed" | "snapshot" | "source") || !enabled {
            continue;
        }
        if !stored {
            project.notes.push(format!("{id} is ephemeral: there is no table of it"));
            continue;
        }
        tables.insert(id, table(node));
    }
    let names: BTreeMap<String, String> =
        tables.iter().map(|(id, table)| ((*id).to_owned(), table.name.clone())).collect();
    for (id, node) in nodes.iter().filter(|(_, node)| node["resource_type"] == "test") {
        let attached = node["attached_node"].as_str().or_else(|| only_model(node));
        let Some(table) = attached.and_then(|on| tables.get_mut(on)) else { continue };
        if !apply(node, table, &names) {
            project
                .notes
                .push(format!("the test {} has no clause here: left out", node["name"].as_str().unwrap_or(id)));
        }
    }
    for (id, table) in tables {
        if id.starts_with("source.") { project.sources.push(table) } else { project.models.push(table) }
    }
    Ok(project)
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn table(node: &Value) -> TableProfile {
    let named = ["alias", "identifier", "name"].iter().find_map(|key| text_of(&node[*key])).unwrap_or_default();
    let name = match text_of(&node["schema"]) {
        Some(schema) => format!("{schema}.{named}"),
        None => named,
    };
    let columns = node["columns"].as_object().into_iter().flat_map(|columns| columns.values()).map(column).collect();
    TableProfile {
        source: ProposedSource::Database { kind: "postgres", table: name.clone(), query: None },
        name,
        description: text_of(&node["description"]),
        rows: 0,
        complete: false,
        columns,
        catalog: Catalog { said_by: "dbt", ..Catalog::default() },
        combinations: Vec::new(),
    }
}

fn column(column: &Value) -> ColumnProfile {
    let written = text_of(&column["data_type"]);
    let native = written.as_deref().and_then(physical_type);
    let ty = ProfiledType {
        declared: native.is_some(),
        because: match &written {
            Some(written) => written.clone(),
            None => "dbt names no data_type".to_owned(),
        },
        native: native.unwrap_or(crate::types::ColumnType::Text),
        ..ProfiledType::default()
    };
    let mut tags: Vec<String> = list(&column["tags"]);
    let meta = column["meta"].as_object().or_else(|| column["config"]["meta"].as_object());
    for (key, value) in meta.into_iter().flatten() {
        match (key.as_str(), value) {
            ("classification", Value::String(name)) => tags.push(name.clone()),
            ("pii" | "contains_pii", Value::Bool(true)) => tags.push("pii".to_owned()),
            _ => {}
        }
    }
    let constraint = |kind: &str| {
        column["constraints"].as_array().is_some_and(|all| all.iter().any(|constraint| constraint["type"] == kind))
    };
    ColumnProfile {
        name: text_of(&column["name"]).unwrap_or_default(),
        description: text_of(&column["description"]),
        ty,
        not_null: constraint("not_null") || constraint("primary_key"),
        tags,
        ..ColumnProfile::default()
    }
}

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(items) => items.iter().filter_map(text_of).collect(),
        _ => Vec::new(),
    }
}

fn only_model(test: &Value) -> Option<&str> {
    let on = test["depends_on"]["nodes"].as_array()?;
    match on.as_slice() {
        [one] => one.as_str(),
        _ => None,
    }
}

/// Takes over what a test promises; whether it could. A test that only warns promises nothing.
fn apply(test: &Value, table: &mut TableProfile, names: &BTreeMap<String, String>) -> bool {
    if test["config"]["severity"].as_str().is_some_and(|severity| severity.eq_ignore_ascii_case("warn")) {
        return false;
    }
    let said = &test["test_metadata"];
    let arguments = &said["kwargs"];
    // A condition on rows makes it a promise about some of them only.
    if !arguments["where"].is_null() || !test["config"]["where"].is_null() {
        return false;
    }
    let column = text_of(&test["column_name"]).or_else(|| text_of(&arguments["column_name"]));
    match (said["name"].as_str().unwrap_or_default(), column) {
        ("not_null", Some(column)) => with(table, &column, |found| found.not_null = true),
        ("unique", Some(column)) => {
            with(table, &column, |_| ());
            table.catalog.unique.push(vec![column]);
            true
        }
        ("accepted_values", Some(column)) => {
            let values: Vec<String> = arguments["values"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect();
            !values.is_empty() && with(table, &column, |found| found.accepted = values)
        }
        ("relationships", Some(column)) => {
            let to = test["depends_on"]["nodes"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let to = to.filter_map(|id| names.get(id)).find(|name| **name != table.name);
            let to = to.cloned().or_else(|| {
                // A table that refers to itself stands once among those that the test depends on.
                arguments["to"].as_str().filter(|to| to.contains(own(&table.name))).map(|_| table.name.clone())
            });
            let (Some(to), Some(field)) = (to, text_of(&arguments["field"])) else { return false };
            with(table, &column, |_| ());
            table.catalog.foreign_keys.push(ForeignKey { columns: vec![column], table: to, to_columns: vec![field] });
            true
        }
        ("unique_combination_of_columns", _) => {
            let columns = list(&arguments["combination_of_columns"]);
            columns.iter().for_each(|column| {
                with(table, column, |_| ());
            });
            table.catalog.unique.push(columns);
            true
        }
        _ => false,
    }
}

fn own(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Changes a column, which a test may be the first to name.
fn with(table: &mut TableProfile, name: &str, change: impl FnOnce(&mut ColumnProfile)) -> bool {
    let at = table.columns.iter().position(|column| column.name == name).unwrap_or_else(|| {
        let ty = ProfiledType { because: "dbt names no data_type".to_owned(), ..ProfiledType::default() };
        table.columns.push(ColumnProfile { name: name.to_owned(), ty, ..ColumnProfile::default() });
        table.columns.len() - 1
    });
    change(&mut table.columns[at]);
    true
}

impl Project {
    /// What the project says of a table, for one whose rows were read: its words, and promises that the catalog of the
    /// database does not make.
    pub fn describe(said: &TableProfile, read: &mut TableProfile) {
        read.description = said.description.clone().or(read.description.take());
        if read.catalog.said_by.is_empty()
            || read.catalog == (Catalog { said_by: read.catalog.said_by, ..Catalog::default() })
        {
            read.catalog.said_by = "dbt";
        }
        for columns in &said.catalog.unique {
            if !read.catalog.unique.contains(columns) && read.catalog.primary_key != *columns {
                read.catalog.unique.push(columns.clone());
            }
        }
        for key in &said.catalog.foreign_keys {
            if !read.catalog.foreign_keys.iter().any(|known| known.columns == key.columns) {
                read.catalog.foreign_keys.push(key.clone());
            }
        }
        for column in &mut read.columns {
            let Some(of) = said.columns.iter().find(|c| c.name.eq_ignore_ascii_case(&column.name)) else { continue };
            column.description = of.description.clone().or(column.description.take());
            column.not_null |= of.not_null;
            if column.accepted.is_empty() {
                column.accepted.clone_from(&of.accepted);
            }
            column.tags.extend(of.tags.iter().cloned());
        }
    }
}
