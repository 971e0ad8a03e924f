//! The tables of a MySQL or MariaDB database: what its catalog declares, and what their rows hold.

use std::collections::BTreeMap;

use meshwork_control::port::data::{DatabaseSpec, SourceSpec};
use meshwork_core::infer::{Catalog, ColumnProfile, ForeignKey, ProfiledType, ProposedSource};
use meshwork_core::types::ColumnType;
use meshwork_core::{Error, Result};
use sqlx::mysql::MySqlConnection;

use super::file::text_field;
use super::{Bounds, Examined, Wanted, table};
use crate::native::column_type;
use crate::source::mysql::{quoted, reading};
use crate::source::{self, Access, Reading};

// Casts, because the types of the catalog's columns differ between MySQL and MariaDB.
const TABLES: &str = "
    SELECT CAST(table_name AS CHAR), CAST(table_comment AS CHAR), CAST(table_type AS CHAR)
    FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'VIEW') ORDER BY 1";

const COLUMNS: &str = "
    SELECT CAST(column_name AS CHAR), CAST(column_type AS CHAR), is_nullable = 'NO', CAST(column_comment AS CHAR),
           CAST(character_maximum_length AS SIGNED)
    FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position";

const CONSTRAINTS: &str = "
    SELECT CAST(c.constraint_type AS CHAR), CAST(c.constraint_name AS CHAR), CAST(k.column_name AS CHAR),
           CAST(k.referenced_table_name AS CHAR), CAST(k.referenced_column_name AS CHAR)
    FROM information_schema.table_constraints c
    JOIN information_schema.key_column_usage k
      ON k.constraint_schema = c.constraint_schema AND k.table_name = c.table_name AND k.constraint_name = c.constraint_name
    WHERE c.table_schema = DATABASE() AND c.table_name = ? AND c.constraint_type IN ('PRIMARY KEY', 'UNIQUE', 'FOREIGN KEY')
      AND (k.referenced_table_schema IS NULL OR k.referenced_table_schema = DATABASE())
    ORDER BY c.constraint_name, k.ordinal_position";

/// All wanted tables of the database.
pub async fn mysql(
    spec: &DatabaseSpec,
    wanted: &Wanted,
    access: &Access,
    bounds: Bounds,
    heard: &(dyn Fn(&str) + Send + Sync),
) -> Result<Vec<Examined>> {
    let mut connection = reading("source", spec, access).await?;
    let found: Vec<(String, Option<String>, String)> =
        sqlx::query_as(TABLES).fetch_all(&mut connection).await.map_err(|error| unread(&error))?;
    let mut examined = Vec::new();
    for (name, comment, kind) in found {
        if !wanted.tables.is_empty() && !wanted.tables.contains(&name) {
            continue;
        }
        heard(&name);
        let columns = columns(&mut connection, &name).await?;
        let mut one = rows(&name, &columns, spec, access, bounds).await?;
        // Of a view the catalog says `VIEW`.
        one.profile.description = comment.filter(|comment| !comment.is_empty() && kind != "VIEW");
        one.profile.catalog = constraints(&mut connection, &name).await?;
        examined.push(one);
    }
    if examined.is_empty() {
        return Err(Error::not_found("MW1100", "the database has no table that this user may read"));
    }
    Ok(examined)
}

struct Declared {
    name: String,
    /// `varchar(80)`, `enum('a','b')`.
    ty: String,
    not_null: bool,
    comment: Option<String>,
    longest: Option<i64>,
}

async fn columns(connection: &mut MySqlConnection, table: &str) -> Result<Vec<Declared>> {
    type Row = (String, String, bool, Option<String>, Option<i64>);
    let found: Vec<Row> =
        sqlx::query_as(COLUMNS).bind(table).fetch_all(connection).await.map_err(|error| unread(&error))?;
    let declared = |(name, ty, not_null, comment, longest): Row| Declared { name, ty, not_null, comment, longest };
    Ok(found.into_iter().map(declared).collect())
}

/// All values as texts: their types come from the catalog.
async fn rows(
    name: &str,
    declared: &[Declared],
    spec: &DatabaseSpec,
    access: &Access,
    bounds: Bounds,
) -> Result<Examined> {
    let plain = SourceSpec::Mysql(DatabaseSpec {
        table: None,
        query: Some(format!("SELECT * FROM {}", quoted(name))),
        ..spec.clone()
    });
    let by_table = SourceSpec::Mysql(DatabaseSpec { table: Some(name.to_owned()), query: None, ..spec.clone() });
    // A name with a dot in it would read as that of another database.
    let dotted = name.contains('.');
    let opened = source::open(name, if dotted { &plain } else { &by_table }, &[], &Reading::default(), access).await?;
    let schema = opened.schema();
    // Types that are not read stand in the catalog, not in the source.
    let columns: Vec<(&Declared, ColumnType)> = declared
        .iter()
        .filter_map(|column| {
            let field = schema.field_with_name(&column.name).ok()?;
            Some((column, column_type(field.data_type())?))
        })
        .collect();
    let text = |(column, ty): &(&Declared, ColumnType)| {
        let name = quoted(&column.name);
        match ty {
            // Long values that say nothing are not sent.
            ColumnType::Binary => format!("CASE WHEN {name} IS NOT NULL THEN 'x' END AS {name}"),
            _ if column.ty.starts_with("bit") => format!("CAST({name} + 0 AS CHAR) AS {name}"),
            _ => format!("CAST({name} AS CHAR) AS {name}"),
        }
    };
    let texts: Vec<String> = columns.iter().map(text).collect();
    let query = format!("SELECT {} FROM {} LIMIT {}", texts.join(", "), quoted(name), bounds.rows + 1);
    let whole = SourceSpec::Mysql(DatabaseSpec { table: None, query: Some(query), ..spec.clone() });
    let fields: Vec<_> = columns.iter().map(|(column, _)| text_field(&column.name)).collect();
    let opened = source::open(name, &whole, &fields, &Reading::default(), access).await?;
    let source = ProposedSource::Database { kind: "mysql", table: name.to_owned(), query: None };
    let mut one = table::examine(name, source, &opened, &table::all(&opened), false, bounds).await?;
    let mut selected = Vec::new();
    for (profile, (column, native)) in one.profile.columns.iter_mut().zip(&columns) {
        let quoted = quoted(&column.name);
        let no_days = is_moment(native) && profile.seen.present() > 0 && !is_moment(&profile.ty.native);
        selected.push(if no_days { format!("CAST({quoted} AS CHAR) AS {quoted}") } else { quoted });
        profile.ty = typed(profile, column, if no_days { &ColumnType::Text } else { native });
        if no_days {
            profile.ty.because =
                format!("{}, with values such as 0000-00-00 that are no day, so it is read as text", column.ty);
        }
        profile.not_null = column.not_null;
        profile.description = column.comment.clone().filter(|comment| !comment.is_empty());
        profile.accepted = listed(&column.ty);
    }
    if dotted || selected.iter().any(|column| column.starts_with("CAST(")) {
        let query = format!("SELECT {} FROM {}", selected.join(", "), quoted(name));
        one.profile.source = ProposedSource::Database { kind: "mysql", table: name.to_owned(), query: Some(query) };
    }
    Ok(one)
}

fn is_moment(ty: &ColumnType) -> bool {
    matches!(ty, ColumnType::Date | ColumnType::Timestamp | ColumnType::LocalTimestamp)
}

fn typed(profile: &ColumnProfile, column: &Declared, native: &ColumnType) -> ProfiledType {
    let flags = || profile.seen.values.iter().flatten().all(|(value, _)| value == "0" || value == "1");
    let native = match native {
        // What MySQL has for booleans.
        ColumnType::Int8 if column.ty.starts_with("tinyint(1)") && profile.seen.values.is_some() && flags() => {
            ColumnType::Boolean
        }
        other => other.clone(),
    };
    ProfiledType {
        // A `time` may be a duration, which no time of day is.
        time_of_day: column.ty.starts_with("time") && profile.ty.time_of_day && native == ColumnType::Text,
        max_length: column
            .longest
            .and_then(|longest| u64::try_from(longest).ok())
            .filter(|_| native == ColumnType::Text && column.ty.contains("char(")),
        native,
        declared: true,
        because: column.ty.clone(),
        ..ProfiledType::default()
    }
}

async fn constraints(connection: &mut MySqlConnection, table: &str) -> Result<Catalog> {
    type Row = (String, String, String, Option<String>, Option<String>);
    let found: Vec<Row> =
        sqlx::query_as(CONSTRAINTS).bind(table).fetch_all(connection).await.map_err(|error| unread(&error))?;
    let mut catalog = Catalog { said_by: "the catalog", ..Catalog::default() };
    let mut unique = BTreeMap::<String, Vec<String>>::new();
    let mut foreign = BTreeMap::<String, ForeignKey>::new();
    for (kind, name, column, to, theirs) in found {
        match (kind.as_str(), to, theirs) {
            ("PRIMARY KEY", ..) => catalog.primary_key.push(column),
            ("UNIQUE", ..) => unique.entry(name).or_default().push(column),
            (_, Some(to), Some(theirs)) => {
                let key = foreign.entry(name).or_insert_with(|| ForeignKey {
                    columns: Vec::new(),
                    table: to,
                    to_columns: Vec::new(),
                });
                key.columns.push(column);
                key.to_columns.push(theirs);
            }
            _ => {}
        }
    }
    catalog.unique = unique.into_values().collect();
    catalog.foreign_keys = foreign.into_values().collect();
    Ok(catalog)
}

/// The values of `enum('open','it''s paid')`.
fn listed(ty: &str) -> Vec<String> {
    let Some(mut rest) = ty.strip_prefix("enum(").and_then(|rest| rest.strip_suffix(')')) else { return Vec::new() };
    let mut values = Vec::new();
    while let Some(text) = rest.strip_prefix('\'') {
        let mut value = String::new();
        let mut chars = text.char_indices().peekable();
        let mut end = text.len();
        while let Some((at, c)) = chars.next() {
            if c != '\'' {
                value.push(c);
            } else if chars.next_if(|(_, next)| *next == '\'').is_some() {
                value.push('\'');
            } else {
                end = at + 1;
                break;
            }
        }
        values.push(value);
        rest = text[end..].trim_start_matches(',');
    }
    values
}

fn unread(error: &sqlx::Error) -> Error {
    // The catalog holds names and declarations, no values.
    let why = error.as_database_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
    Error::environment("MW1103", format!("the catalog of the database cannot be read: {why}"))
        .hint("the connection's user must be allowed to read the tables that are to be taken over")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_enums() {
        assert_eq!(listed("enum('open','it''s, paid','')"), ["open", "it's, paid", ""]);
        assert!(listed("varchar(80)").is_empty() && listed("set('a','b')").is_empty());
    }
}
