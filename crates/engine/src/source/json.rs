//! JSON: one object a line, an array of objects, or records inside a document. Values are kept as written until they
//! meet their type, so that no digit is lost.

pub mod paths;
mod records;
mod value;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use datafusion::physical_plan::streaming::PartitionStream;
use meshwork_core::product::{Absent, JsonOptions, record_path};
use meshwork_core::types::ColumnType;
use meshwork_core::{Error, Result};

use super::file::SourceFile;
use super::stream::{Assembly, FilePartition, Sink};
use super::text::{TextColumn, TextType};
use super::{BATCH_BYTES, BATCH_ROWS, Reading, Source, Typing};
use records::Records;
use value::{Path, split_object};

/// Keys that the contract does not name are looked for in this many records of each file.
const SAMPLED: usize = 1000;

#[derive(Debug)]
struct JsonSource {
    shared: Arc<Shared>,
    files: Vec<SourceFile>,
}

#[derive(Debug)]
struct Shared {
    input: String,
    names: Vec<String>,
    paths: Vec<Path>,
    /// The keys of records that some column looks at.
    keys: BTreeSet<String>,
    types: Vec<TextType>,
    typing: Typing,
    schema: SchemaRef,
    records: Option<Vec<String>>,
    absent: Absent,
    reading: Reading,
}

/// The columns are those of the contract (by physical name) and the keys of the first records, which are text.
pub fn open(
    input: &str,
    files: Vec<SourceFile>,
    contract: &[String],
    options: &JsonOptions,
    typing: &Typing,
    reading: Reading,
) -> Result<Arc<dyn Source>> {
    let records = match &options.records {
        None => None,
        Some(path) => Some(record_path(path).ok_or_else(|| {
            Error::check("MW0534", format!("input `{input}`: `{path}` is not a path to records"))
                .hint("write `$` for the whole document, `$.a.b` for an array inside")
        })?),
    };
    let mut seen = BTreeSet::new();
    for file in &files {
        let mut records = Records::open(file, records.as_deref())?;
        for _ in 0..SAMPLED {
            let Some((line, text)) = records.next()? else { break };
            seen.extend(members(file, line, text)?.into_iter().map(|(key, _)| key));
        }
    }
    let mut names: Vec<String> = contract.to_vec();
    names.extend(seen.into_iter().filter(|key| !contract.contains(key)));
    let paths: Vec<Path> = names.iter().map(|name| Path::of(name)).collect();
    let keys = paths.iter().map(|path| path.first().to_owned()).chain(names.iter().cloned()).collect();
    let types: Vec<TextType> = names.iter().map(|name| typing.or_text(name)).collect();
    let schema = Arc::new(Schema::new(
        names.iter().zip(&types).map(|(name, ty)| ArrowField::new(name, ty.arrow(), true)).collect::<Vec<_>>(),
    ));
    let (input, typing, absent) = (input.to_owned(), typing.clone(), options.absent);
    let shared = Shared { input, names, paths, keys, types, typing, schema, records, absent, reading };
    Ok(Arc::new(JsonSource { shared: Arc::new(shared), files }))
}

impl Source for JsonSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shared.schema)
    }

    fn has_origin(&self) -> bool {
        true
    }

    fn partitions(&self, columns: &[usize]) -> Vec<Arc<dyn PartitionStream>> {
        let (schema, origins, shared) = (&self.shared.schema, &self.shared.reading.origins, Arc::clone(&self.shared));
        let read = move |file: &SourceFile, assembly: &Assembly, sink: Sink<'_>| read(&shared, file, assembly, sink);
        FilePartition::of_each(&self.files, schema, columns, origins, read)
    }
}

fn read(shared: &Shared, file: &SourceFile, assembly: &Assembly, sink: Sink<'_>) -> Result<()> {
    let wanted = assembly.data_columns();
    let mut columns: Vec<TextColumn> = wanted.iter().map(|at| TextColumn::new(&shared.types[*at])).collect();
    // Whether the key of each column has come.
    let mut come = vec![false; wanted.len()];
    let mut rows = Vec::with_capacity(BATCH_ROWS);
    let (mut bytes, mut count, mut lines) = (0, 0u64, (0, 0));
    let mut records = Records::open(file, shared.records.as_deref())?;
    while let Some((line, text)) = records.next()? {
        bytes += text.len() as u64 + 1;
        count += 1;
        if count > 1 && line == lines.1 {
            shared.reading.unfit.ambiguous(&file.name, line);
        }
        lines = (if count == 1 { line } else { lines.0 }, line);
        let object = members(file, line, text)?;
        for (key, _) in &object {
            if !shared.keys.contains(key) {
                shared.reading.news.add(&shared.input, key, &file.name, line);
            }
        }
        for ((column, at), come) in columns.iter_mut().zip(&wanted).zip(&mut come) {
            let found = shared.paths[*at].find(&object);
            *come |= found.is_some();
            if !append(column, &shared.types[*at], found.unwrap_or("null")) {
                let raw = found.map(unquoted);
                shared.reading.unfit.record(&shared.names[*at], &file.name, line, raw.as_deref(), || {
                    let value =
                        |(key, raw): &(String, &str)| Some((shared.typing.field_of(key)?, Some((*raw).to_owned())));
                    object.iter().filter_map(value).collect()
                });
            }
        }
        rows.push(i64::try_from(line).unwrap_or(i64::MAX));
        if rows.len() == BATCH_ROWS || bytes >= BATCH_BYTES {
            shared.reading.meter.add(rows.len() as u64, std::mem::take(&mut bytes));
            if !flush(&mut columns, &mut rows, assembly, sink)? {
                return Ok(());
            }
        }
    }
    if count > 0 && shared.absent == Absent::Error {
        for (at, _) in wanted.iter().zip(&come).filter(|(_, come)| !**come) {
            if shared.typing.get(&shared.names[*at]).is_some() {
                return Err(gone(file, &shared.names[*at], count, lines));
            }
        }
    }
    shared.reading.meter.add(rows.len() as u64, bytes);
    if !rows.is_empty() {
        flush(&mut columns, &mut rows, assembly, sink)?;
    }
    Ok(())
}

/// Whether the value, as written, fits the column's type; else a null is appended.
fn append(column: &mut TextColumn, ty: &TextType, raw: &str) -> bool {
    if raw == "null" {
        column.append_null();
        return true;
    }
    let nested = matches!(ty.native, ColumnType::List(_) | ColumnType::Struct(_));
    if raw.starts_with(['{', '[']) && ty.native == ColumnType::Text && !ty.json {
        column.append_null();
        return false;
    }
    if raw.starts_with('"') && !nested {
        return match serde_json::from_str::<String>(raw) {
            Ok(text) => column.append(&text),
            Err(_) => column.append(raw),
        };
    }
    column.append(raw)
}

fn gone(file: &SourceFile, column: &str, count: u64, (first, last): (u64, u64)) -> Error {
    let message = format!(
        "`{}`, lines {first} to {last}: the column `{column}` of the contract is in none of the {count} records",
        file.name
    );
    Error::check("MW0533", message)
        .hint("the source may have changed: let the contract follow, or name the new key as the field's physicalName")
        .hint("if a key may be absent when it has no value, set `options: { absent: \"null\" }`")
}

/// A JSON text without its quotes; anything else as it stands.
fn unquoted(raw: &str) -> String {
    serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned())
}

fn flush(columns: &mut [TextColumn], rows: &mut Vec<i64>, assembly: &Assembly, sink: Sink<'_>) -> Result<bool> {
    let arrays: Vec<ArrayRef> = columns.iter_mut().map(TextColumn::finish).collect();
    let batch = assembly.batch(&arrays, std::mem::replace(rows, Vec::with_capacity(BATCH_ROWS)))?;
    Ok(sink(batch))
}

/// Keys with their values as written.
fn members<'l>(file: &SourceFile, line: u64, text: &'l str) -> Result<Vec<(String, &'l str)>> {
    let fault = |what: &str| {
        Error::check("MW0508", format!("`{}`, line {line}: {what}", file.name)).hint(
            "a JSON source holds one object a line, or an array of objects; `options: { records: $.… }` names an array inside a document",
        )
    };
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let at = if error.line() > 1 {
            format!("line {} of the record", error.line())
        } else {
            format!("column {}", error.column())
        };
        return Err(fault(&format!("not valid JSON at {at}")));
    }
    if !text.trim_start().starts_with('{') {
        return Err(fault("not a JSON object"));
    }
    split_object(text).ok_or_else(|| fault("not a JSON object"))
}

#[cfg(test)]
mod tests;
