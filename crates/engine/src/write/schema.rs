//! The schemas of a table: what it declares to readers, what its data files hold, and whether old files still fit.

use std::sync::Arc;

use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use meshwork_core::contract::Table;
use meshwork_core::quality::Rule;
use meshwork_core::{Error, Result, Severity};
use serde_json::Value;

use super::actions::delta_schema;
use crate::native::arrow_field;

/// The table's schema as readers see it. A column is declared without nulls only where a clause that blocks has
/// checked it.
pub fn stored_schema(table: &Table) -> SchemaRef {
    let fields: Vec<ArrowField> = table
        .fields
        .iter()
        .map(|field| {
            let gated = table.clauses.iter().any(|clause| {
                clause.severity == Severity::Error
                    && matches!(&clause.rule, Rule::Required { column } if *column == field.name)
            });
            arrow_field(field).with_nullable(!(field.required && gated))
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// The same for a table that is built from a sample, where such a clause may have no answer.
pub fn sampled_schema(stored: &Schema) -> SchemaRef {
    Arc::new(Schema::new(
        stored.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
    ))
}

/// The schema of data files: everything may be null, because rows are written before their clauses have answered.
pub fn file_schema(stored: &Schema) -> SchemaRef {
    Arc::new(Schema::new(
        stored.fields().iter().map(|f| ArrowField::new(f.name(), f.data_type().clone(), true)).collect::<Vec<_>>(),
    ))
}

/// Whether files written under `metadata` can stay in a table of this schema: columns may only have been added.
pub fn still_fits(output: &str, metadata: Option<&Value>, stored: &Schema) -> Result<()> {
    let written = metadata.and_then(|m| m.get("schemaString")).and_then(Value::as_str).unwrap_or_default();
    let written: Value = serde_json::from_str(written).unwrap_or_default();
    let wanted = delta_schema(stored);
    let fields = |schema: &Value| schema.get("fields").and_then(Value::as_array).cloned().unwrap_or_default();
    let wanted = fields(&wanted);
    for old in fields(&written) {
        let same = |new: &&Value| new["name"] == old["name"] && new["type"] == old["type"];
        if !wanted.iter().any(|new| same(&new)) {
            let name = old["name"].as_str().unwrap_or_default();
            return Err(Error::check(
                "MW0676",
                format!(
                    "output `{output}`: the column `{name}` of the rows that are there was renamed, retyped or removed"
                ),
            )
            .hint("run it once with `--full-refresh`, which writes every row anew"));
        }
    }
    Ok(())
}
