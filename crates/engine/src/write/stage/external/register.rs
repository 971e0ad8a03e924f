//! Files of others held against the contract: which of their columns is which, and whether these hold what it says.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use meshwork_core::contract::Field;
use meshwork_core::{Error, Result};
use serde_json::Value;

use super::look::Entry;
use crate::native::holds;
use crate::read::external::{Registered, RegisteredColumn, RegisteredFile};

/// What a table says of its columns beside its files.
#[derive(Default)]
pub(super) struct Names {
    /// A file that lacks a column is older than the column.
    grown: bool,
    /// Columns whose values do not stand in the files.
    partitions: Vec<String>,
    /// Where files have columns under other names: these, by the names that readers know.
    mapped: Option<HashMap<String, Mapped>>,
}

struct Mapped {
    physical: String,
    /// By which files know it, where that and not the name counts.
    id: Option<i64>,
}

impl Names {
    /// The names that stand in the folders of every file.
    pub fn of_folders(files: &[Entry]) -> Self {
        let mut partitions: Vec<String> =
            files.first().map(|file| file.partition.keys().cloned().collect()).unwrap_or_default();
        partitions.retain(|name| files.iter().all(|file| file.partition.contains_key(name)));
        partitions.sort_unstable();
        Self { partitions, ..Self::default() }
    }

    /// From the schema of a Delta table, as its log has it.
    pub fn of_table(schema: &Value, settings: &HashMap<String, String>, partitions: Vec<String>) -> Self {
        let mode = settings.get("delta.columnMapping.mode").map_or("none", String::as_str);
        let mapped = (mode != "none").then(|| {
            let fields = schema["fields"].as_array().into_iter().flatten();
            let mapped = fields.filter_map(|field| {
                let said = |key: &str| &field["metadata"][format!("delta.columnMapping.{key}")];
                let physical = said("physicalName").as_str()?.to_owned();
                let id = said("id").as_i64().filter(|_| mode == "id");
                Some((field["name"].as_str()?.to_owned(), Mapped { physical, id }))
            });
            mapped.collect()
        });
        Self { grown: true, partitions, mapped }
    }

    /// What files call a column; `None` for one that the table does not have.
    fn physical<'n>(&'n self, name: &'n String) -> Option<(&'n String, Option<i64>)> {
        match &self.mapped {
            None => Some((name, None)),
            Some(mapped) => mapped.get(name).map(|mapped| (&mapped.physical, mapped.id)),
        }
    }

    fn known<'n>(&'n self, files: &'n [Entry]) -> Vec<&'n str> {
        let mut known: Vec<&str> = match &self.mapped {
            Some(mapped) => mapped.keys().map(String::as_str).collect(),
            None => {
                let inside = files.iter().flat_map(|file| file.footer.names());
                inside.chain(files.iter().flat_map(|file| file.partition.keys().map(String::as_str))).collect()
            }
        };
        known.sort_unstable();
        known.dedup();
        known.truncate(40);
        known
    }
}

pub(super) fn register(
    input: &str,
    format: &str,
    fields: &[Field],
    names: &Names,
    files: Vec<Entry>,
) -> Result<(Registered, u64)> {
    let in_some = |name: &str| files.iter().any(|file| file.footer.column(name).is_some());
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let called = field.physical_name.iter().chain(std::iter::once(&field.name));
        let called: Vec<_> = called.filter_map(|name| Some((name, names.physical(name)?))).collect();
        // A column that the files have counts; their folders only repeat it.
        let inside = called.iter().find(|(_, (physical, _))| in_some(physical));
        let outside = || called.iter().find(|(name, _)| names.partitions.contains(name));
        // Of a table that says itself which columns it has, one may be younger than all of its files.
        let declared = || called.first().filter(|_| names.mapped.is_some());
        let found = inside.map(|found| (found, false)).or_else(|| outside().map(|found| (found, true)));
        let found = found.or_else(|| declared().map(|found| (found, false)));
        let Some(((_, (physical, id)), partition)) = found else { return Err(missing(input, field, names, &files)) };
        if let (Some(id), false) = (id, partition)
            && let Some(file) = files.iter().find(|file| !file.footer.knows(physical, *id))
        {
            return Err(by_number(input, &file.name, physical));
        }
        columns.push(RegisteredColumn {
            id: field.id.clone(),
            name: field.name.clone(),
            physical: (*physical).clone(),
            native: field.native.clone(),
            partition,
        });
    }
    for file in &files {
        for column in columns.iter().filter(|column| !column.partition) {
            match file.footer.column(&column.physical) {
                Some(ty) if fits(ty, file.footer.is_int96(&column.physical), column) => {}
                Some(ty) => return Err(misfit(input, &file.name, column, ty)),
                None if names.grown => {}
                None => {
                    let message = format!("input `{input}`: `{}` has no column `{}`", file.name, column.physical);
                    return Err(Error::check("MW0684", message)
                        .hint("all files of one external table have the columns of its contract"));
                }
            }
        }
    }
    let left = |file: &Entry| file.footer.rows - file.deleted.as_ref().map_or(0, |deleted| deleted.rows);
    let rows = files.iter().map(left).sum();
    let outside: Vec<&str> = columns.iter().filter(|c| c.partition).map(|c| c.physical.as_str()).collect();
    let files = files.into_iter().map(|mut file| RegisteredFile {
        partition: outside.iter().map(|name| file.partition.remove(*name).flatten()).collect(),
        pin: file.pin,
        deleted: file.deleted,
    });
    let files = files.collect();
    Ok((Registered { format: format.to_owned(), version: None, bucket: None, columns, files }, rows))
}

fn fits(ty: &DataType, int96: bool, column: &RegisteredColumn) -> bool {
    use meshwork_core::types::ColumnType as T;
    // What Spark writes for instants: nanoseconds in form, microseconds in what it holds.
    if int96 { matches!(column.native, T::Timestamp | T::LocalTimestamp) } else { holds(ty, &column.native) }
}

fn misfit(input: &str, file: &str, column: &RegisteredColumn, found: &DataType) -> Error {
    let message = format!(
        "input `{input}`: the column `{}` of `{file}` is {found}, and the contract says {}",
        column.physical, column.native
    );
    Error::check("MW0684", message)
        .hint("an external table is served as it lies: declare the type that it has, or take it in with `mode: full`")
}

fn by_number(input: &str, file: &str, physical: &str) -> Error {
    let message = format!("input `{input}`: `{file}` knows the column `{physical}` by a number under another name");
    Error::check("MW0685", message)
        .hint("take the table in with `mode: full`, if that reads it, or let its writer rewrite it")
}

fn missing(input: &str, field: &Field, names: &Names, files: &[Entry]) -> Error {
    let wanted = field.physical_name.as_deref().unwrap_or(&field.name);
    let known = names.known(files).join(", ");
    let message = format!("input `{input}`: no file has the column `{wanted}`; found: {known}");
    Error::check("MW0684", message)
        .hint("name the column of the files as `physicalName` of the contract's field, or take the field out")
}
