//! The tables of a SQLite file: what they declare, and what their rows hold. A declaration binds no value there, so a type
//! is proposed only where all values fit it.

use meshwork_control::port::data::{FilesSpec, SourceSpec};
use meshwork_core::infer::{Catalog, ColumnProfile, ForeignKey, ProfiledType, ProposedSource};
use meshwork_core::name::quoted;
use meshwork_core::types::ColumnType;
use meshwork_core::{Error, Result};

use super::file::{Located, text_field};
use super::{Bounds, Examined, table};
use crate::source::sqlite::{SqliteColumn, SqliteTable, catalog, type_of};
use crate::source::{self, Access, Meter, Reading};

pub async fn tables(
    located: &Located,
    files: &FilesSpec,
    access: &Access,
    bounds: Bounds,
    heard: &(dyn Fn(&str) + Send + Sync),
) -> Result<Vec<Examined>> {
    let found = access.files(&located.name, files, &None, &Meter::default()).await?;
    let [file] = found.as_slice() else {
        return Err(Error::usage("MW1101", format!("`{}` are several SQLite files", located.shown))
            .hint("take them over one by one: each may hold several tables"));
    };
    let tables = catalog(&located.name, file).await?;
    let keys: Vec<(String, Vec<String>)> = tables.iter().map(|t| (t.name.clone(), primary_key(t))).collect();
    let mut examined = Vec::new();
    for table in tables {
        heard(&format!("{} {}", located.shown, table.name));
        let mut one = rows(located, files, &table, access, bounds).await?;
        one.profile.catalog = declared(&table, &keys);
        examined.push(one);
    }
    if examined.is_empty() {
        return Err(Error::not_found("MW1100", format!("`{}` has no table", located.shown)));
    }
    Ok(examined)
}

async fn rows(
    located: &Located,
    files: &FilesSpec,
    table: &SqliteTable,
    access: &Access,
    bounds: Bounds,
) -> Result<Examined> {
    // Long values that say nothing are not read.
    let column = |column: &SqliteColumn| match (quoted(&column.name), type_of(&column.declared)) {
        (name, ColumnType::Binary) => format!("CASE WHEN {name} IS NOT NULL THEN 'x' END AS {name}"),
        (name, _) => name,
    };
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    let query = format!("SELECT {} FROM {} LIMIT {}", columns.join(", "), quoted(&table.name), bounds.rows + 1);
    let spec = SourceSpec::Sqlite { files: files.clone(), table: None, query: Some(query) };
    // All values as texts: each has a type of its own.
    let fields: Vec<_> = table.columns.iter().map(|column| text_field(&column.name)).collect();
    let opened = source::open(&located.name, &spec, &fields, &Reading::default(), access).await?;
    let source = ProposedSource::File { kind: "sqlite", path: located.shown.clone(), table: Some(table.name.clone()) };
    let mut one = table::examine(&table.name, source, &opened, &table::all(&opened), false, bounds).await?;
    for (profile, column) in one.profile.columns.iter_mut().zip(&table.columns) {
        profile.ty = typed(profile, &column.declared);
        profile.not_null = column.not_null;
    }
    Ok(one)
}

/// The declared type where all values have it, else what they have in common.
fn typed(profile: &ColumnProfile, declared: &str) -> ProfiledType {
    let guessed = profile.ty.clone();
    let seen = &profile.seen;
    let none = seen.present() == 0;
    let digits = |precision: u8, scale: i8| {
        let scale = u32::from(scale.unsigned_abs());
        seen.numbers.is_some() && seen.digits.1 <= scale && seen.digits.0 + scale <= u32::from(precision)
    };
    let upper = declared.to_ascii_uppercase();
    let flags = || seen.values.iter().flatten().all(|(value, _)| value == "0" || value == "1");
    let native = match type_of(declared) {
        _ if upper.starts_with("BOOL") && seen.values.is_some() && flags() => Some(ColumnType::Boolean),
        ColumnType::Int64 if none || guessed.native == ColumnType::Int64 => Some(ColumnType::Int64),
        ColumnType::Decimal { precision, scale } if none || digits(precision, scale) => {
            Some(ColumnType::Decimal { precision, scale })
        }
        ColumnType::Float64 if none || seen.numbers.is_some() => Some(ColumnType::Float64),
        ColumnType::Binary => Some(ColumnType::Binary),
        // Digits in a column of texts are a postal code, not a number.
        ColumnType::Text if ["CHAR", "CLOB", "TEXT"].iter().any(|word| upper.contains(word)) => Some(ColumnType::Text),
        _ => None,
    };
    let Some(native) = native else {
        let because = if declared.is_empty() {
            guessed.because.clone()
        } else {
            format!("{}, declared {declared}", guessed.because)
        };
        return ProfiledType { because, ..guessed };
    };
    let length = upper.split_once("CHAR(").and_then(|(_, rest)| rest.split_once(')')?.0.trim().parse::<u64>().ok());
    ProfiledType {
        max_length: length.filter(|length| native == ColumnType::Text && seen.lengths.1 <= *length),
        native,
        declared: true,
        because: declared.to_owned(),
        ..ProfiledType::default()
    }
}

fn primary_key(table: &SqliteTable) -> Vec<String> {
    let mut columns: Vec<&SqliteColumn> = table.columns.iter().filter(|column| column.key > 0).collect();
    columns.sort_by_key(|column| column.key);
    columns.into_iter().map(|column| column.name.clone()).collect()
}

fn declared(table: &SqliteTable, keys: &[(String, Vec<String>)]) -> Catalog {
    // Names of tables and columns mean the same in any case.
    let foreign_key = |(columns, to, theirs): &(Vec<String>, String, Vec<Option<String>>)| {
        let (table, key) = keys.iter().find(|(name, _)| name.eq_ignore_ascii_case(to))?;
        let to_columns: Option<Vec<String>> = theirs.iter().cloned().collect();
        Some(ForeignKey {
            columns: columns.clone(),
            table: table.clone(),
            to_columns: to_columns.unwrap_or_else(|| key.clone()),
        })
    };
    Catalog {
        primary_key: primary_key(table),
        unique: table.unique.clone(),
        foreign_keys: table.foreign_keys.iter().filter_map(foreign_key).collect(),
        said_by: "the database",
    }
}
