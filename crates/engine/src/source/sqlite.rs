//! SQLite files, read only. A file with a write-ahead log is read with it; in a folder where nothing may be written,
//! only a file without one.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use meshwork_core::name::quoted;
use meshwork_core::types::ColumnType;
use meshwork_core::{Error, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow, SqliteValueRef};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions, Decode, Executor, Row, SqlSafeStr, Sqlite, Statement, TypeInfo,
    ValueRef,
};

use super::file::SourceFile;
use super::range::{Condition, plain_moment};
use super::relation::{Cell, Reader, Relation, RelationSource, Rows};
use super::{Range, Reading, Source, Typing};

#[derive(Debug)]
struct SqliteReader {
    relation: Relation,
    file: SourceFile,
    options: SqliteConnectOptions,
    /// What to select from, quoted.
    from: String,
    condition: Condition,
    /// Columns as the table declares them.
    declared: Vec<(String, String)>,
}

pub async fn open(
    input: &str,
    file: SourceFile,
    table: Option<&str>,
    query: Option<&str>,
    typing: &Typing,
    reading: Reading,
) -> Result<Arc<dyn Source>> {
    // Also refuses what is not a regular file.
    drop(file.open()?);
    let options = options(input, &file)?;
    let from = match (table, query) {
        (Some(table), None) => quoted(table),
        (None, Some(query)) => format!("({}\n) AS q", single_query(input, query)?),
        _ => return Err(super::either_table_or_query(input)),
    };
    let mut connection = connect(input, &file, &options).await?;
    let statement = AssertSqlSafe(format!("SELECT * FROM {from}")).into_sql_str();
    let statement = connection.prepare(statement).await.map_err(|error| refused(input, &file, &error))?;
    let declared = match table {
        Some(table) => declared(input, &file, &mut connection, table).await?,
        None => Vec::new(),
    };
    let columns = statement.columns().iter().map(|column| {
        let declared = declared.iter().find(|(name, _)| name == column.name()).map(|(_, ty)| ty.as_str());
        (column.name().to_owned(), type_of(declared.unwrap_or(column.type_info().name())))
    });
    let relation = Relation::new(input, columns.collect(), typing, reading);
    let condition = Condition::default();
    Ok(Arc::new(RelationSource(Arc::new(SqliteReader { relation, file, options, from, condition, declared }))))
}

fn options(input: &str, file: &SourceFile) -> Result<SqliteConnectOptions> {
    let beside = |suffix: &str| {
        let mut name = file.path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::metadata(Path::new(&name)).is_ok_and(|meta| meta.len() > 0)
    };
    let folder = file.path.parent().unwrap_or(Path::new("/"));
    let writable = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
    if !writable && beside("-wal") && !beside("-shm") {
        let message = format!("input `{input}`: `{}` has changes in a log that cannot be read here", file.name);
        return Err(Error::environment("MW0535", message)
            .hint("let its writer close it (`PRAGMA wal_checkpoint(TRUNCATE)`), or copy the file with `.backup`"));
    }
    Ok(SqliteConnectOptions::new()
        .filename(&file.path)
        .read_only(true)
        .immutable(!writable && !beside("-wal"))
        .busy_timeout(Duration::from_secs(10))
        // The schema comes from others: its views and triggers may call no function with side effects.
        .pragma("trusted_schema", "OFF")
        .pragma("query_only", "ON")
        // Statements are the domain's, not for the server's log.
        .disable_statement_logging())
}

async fn connect(input: &str, file: &SourceFile, options: &SqliteConnectOptions) -> Result<SqliteConnection> {
    options.connect().await.map_err(|error| refused(input, file, &error))
}

/// The types as the table declares them: drivers only know what they mean to them.
async fn declared(
    input: &str,
    file: &SourceFile,
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Vec<(String, String)>> {
    sqlx::query_as("SELECT name, type FROM pragma_table_info(?)")
        .bind(table)
        .fetch_all(connection)
        .await
        .map_err(|error| refused(input, file, &error))
}

/// What a database says of one of its tables or views.
pub(crate) struct SqliteTable {
    pub name: String,
    pub columns: Vec<SqliteColumn>,
    pub unique: Vec<Vec<String>>,
    /// Columns, the other table, and its columns where they are named.
    pub foreign_keys: Vec<(Vec<String>, String, Vec<Option<String>>)>,
}

pub(crate) struct SqliteColumn {
    pub name: String,
    /// As it was declared; perhaps empty.
    pub declared: String,
    pub not_null: bool,
    /// Its place in the primary key, from 1; else 0.
    pub key: i64,
}

/// For `infer`: the tables of a file.
pub(crate) async fn catalog(input: &str, file: &SourceFile) -> Result<Vec<SqliteTable>> {
    drop(file.open()?);
    let failed = |error: sqlx::Error| refused(input, file, &error);
    let mut connection = connect(input, file, &options(input, file)?).await?;
    let listed = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'view') \
                  AND name NOT LIKE 'sqlite@_%' ESCAPE '@' ORDER BY name";
    let names: Vec<(String,)> = sqlx::query_as(listed).fetch_all(&mut connection).await.map_err(failed)?;
    let mut tables = Vec::new();
    for (name,) in names {
        let of = "SELECT name, type, \"notnull\", pk FROM pragma_table_info(?)";
        let columns: Vec<(String, String, bool, i64)> =
            sqlx::query_as(of).bind(&name).fetch_all(&mut connection).await.map_err(failed)?;
        let keys = "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?) ORDER BY id, seq";
        let keys: Vec<(i64, String, String, Option<String>)> =
            sqlx::query_as(keys).bind(&name).fetch_all(&mut connection).await.map_err(failed)?;
        let mut foreign_keys = std::collections::BTreeMap::new();
        for (id, to, column, theirs) in keys {
            let key = foreign_keys.entry(id).or_insert_with(|| (Vec::new(), to, Vec::new()));
            key.0.push(column);
            key.2.push(theirs);
        }
        // Of expressions there is no column.
        let unique = "SELECT l.seq, i.name FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i \
                      WHERE l.\"unique\" AND NOT l.partial AND l.origin <> 'pk' ORDER BY l.seq, i.seqno";
        let indexed: Vec<(i64, Option<String>)> =
            sqlx::query_as(unique).bind(&name).fetch_all(&mut connection).await.map_err(failed)?;
        let mut unique = std::collections::BTreeMap::<i64, Option<Vec<String>>>::new();
        for (index, column) in indexed {
            let columns = unique.entry(index).or_insert_with(|| Some(Vec::new()));
            *columns = columns.take().zip(column).map(|(mut columns, column)| {
                columns.push(column);
                columns
            });
        }
        tables.push(SqliteTable {
            name,
            columns: columns
                .into_iter()
                .map(|(name, declared, not_null, key)| SqliteColumn { name, declared, not_null, key })
                .collect(),
            unique: unique.into_values().flatten().collect(),
            foreign_keys: foreign_keys.into_values().collect(),
        });
    }
    Ok(tables)
}

/// A copy as of one moment, whatever its writer does meanwhile.
pub async fn copy(file: &SourceFile, target: &Path) -> Result<()> {
    let input = &file.name;
    let options = options(input, file)?.pragma("query_only", "OFF");
    let mut connection = connect(input, file, &options).await?;
    sqlx::query("VACUUM INTO ?")
        .bind(target.to_string_lossy().as_ref())
        .execute(&mut connection)
        .await
        .map(|_| ())
        .map_err(|error| broken(input, file, &error))
}

/// The type that a column has where the contract gives none, by SQLite's rules of affinity; `DECIMAL(p,s)` is kept.
pub(crate) fn type_of(declared: &str) -> ColumnType {
    let upper = declared.to_ascii_uppercase();
    let has = |part: &str| upper.contains(part);
    let numbers =
        || upper.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(numbers, _)| numbers.split(','));
    if has("INT") {
        ColumnType::Int64
    } else if has("BLOB") {
        ColumnType::Binary
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        ColumnType::Float64
    } else if has("DEC") || has("NUMERIC") {
        let mut numbers = numbers().into_iter().flatten().map(|n| n.trim().parse::<u8>().ok());
        match (numbers.next().flatten(), numbers.next()) {
            (Some(precision @ 1..=38), Some(Some(scale))) if scale <= precision => {
                ColumnType::Decimal { precision, scale: scale.cast_signed() }
            }
            (Some(precision @ 1..=38), None) => ColumnType::Decimal { precision, scale: 0 },
            _ => ColumnType::Text,
        }
    } else {
        ColumnType::Text
    }
}

#[async_trait]
impl Reader for SqliteReader {
    fn relation(&self) -> &Relation {
        &self.relation
    }

    /// Values may have another type than their column, and then compare in another order: what could be one of these
    /// comes, too. For the same reason there is no upper end.
    fn within(&self, range: &Range) -> Option<Self> {
        let (_, ty) = self.relation.column(&range.column)?;
        let (_, declared) = self.declared.iter().find(|(name, _)| *name == range.column)?;
        let (from, included) = range.from.clone()?;
        let column = quoted(&range.column);
        let (sql, value) = match (&ty.native, type_of(declared)) {
            (ColumnType::Int8 | ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64, ColumnType::Int64) => {
                let compare = if included { ">=" } else { ">" };
                (format!("{column} {compare} CAST(? AS INTEGER) OR typeof({column}) = 'text'"), from)
            }
            (ColumnType::Date | ColumnType::Timestamp | ColumnType::LocalTimestamp, ColumnType::Text)
                if ty.format.is_none() =>
            {
                // Texts of any zone: an offset moves a day by one at most. Blanks in front come before all digits.
                let day = plain_moment(&from)?.get(..10)?.parse::<chrono::NaiveDate>().ok()?.pred_opt()?;
                let others = format!("CAST({column} AS TEXT) < '0' OR typeof({column}) <> 'text'");
                (format!("{column} >= ? OR {others}"), day.to_string())
            }
            _ => return None,
        };
        let nulls = if range.nulls { format!(" OR {column} IS NULL") } else { String::new() };
        Some(Self {
            relation: self.relation.clone(),
            file: self.file.clone(),
            options: self.options.clone(),
            from: self.from.clone(),
            condition: Condition { sql: format!(" WHERE {sql}{nulls}"), values: vec![value] },
            declared: self.declared.clone(),
        })
    }

    async fn read(&self, rows: &mut Rows<'_>) -> Result<()> {
        let input = &self.relation.input;
        let mut connection = connect(input, &self.file, &self.options).await?;
        let names = self.relation.names();
        let list: Vec<String> = rows.wanted().iter().map(|at| quoted(&names[*at])).collect();
        // Counting needs rows without columns.
        let list = if list.is_empty() { "1".to_owned() } else { list.join(", ") };
        let sql = AssertSqlSafe(format!("SELECT {list} FROM {}{}", self.from, self.condition.sql));
        let width = rows.wanted().len();
        let query = self.condition.values.iter().fold(sqlx::query(sql), |query, value| query.bind(value));
        let mut stream = query.fetch(&mut connection);
        while let Some(row) = stream.next().await {
            let row = row.map_err(|error| broken(input, &self.file, &error))?;
            let cells = cells(&row, width).map_err(|error| broken(input, &self.file, &error))?;
            if !rows.add(&cells).await? {
                break;
            }
        }
        Ok(())
    }
}

fn cells(row: &SqliteRow, width: usize) -> Result<Vec<Cell<'_>>, sqlx::Error> {
    (0..width).map(|at| cell(row.try_get_raw(at)?)).collect()
}

/// By the value's own type: in SQLite each value has one, whatever its column says.
fn cell(value: SqliteValueRef<'_>) -> Result<Cell<'_>, sqlx::Error> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let kind = value.type_info().name().to_owned();
    Ok(match kind.as_str() {
        "INTEGER" => Cell::Text(Cow::Owned(decoded::<i64>(value)?.to_string())),
        "REAL" => Cell::Text(Cow::Owned(decoded::<f64>(value)?.to_string())),
        "BLOB" => Cell::Bytes(decoded(value)?),
        _ => match decoded::<&[u8]>(value).map(std::str::from_utf8)? {
            Ok(text) => Cell::Text(Cow::Borrowed(text)),
            Err(_) => Cell::Impossible,
        },
    })
}

fn decoded<'v, T: Decode<'v, Sqlite>>(value: SqliteValueRef<'v>) -> Result<T, sqlx::Error> {
    T::decode(value).map_err(sqlx::Error::Decode)
}

/// A text of one statement; a second one could attach other files.
fn single_query<'q>(input: &str, query: &'q str) -> Result<&'q str> {
    let query = query.trim().trim_end_matches(';').trim_end();
    let mut rest = query.char_indices().peekable();
    while let Some((_, c)) = rest.next() {
        let close = match c {
            '\'' | '"' | '`' => c,
            '[' => ']',
            '-' if rest.peek().is_some_and(|(_, c)| *c == '-') => '\n',
            '/' if rest.peek().is_some_and(|(_, c)| *c == '*') => {
                rest.next();
                let mut star = false;
                for (_, c) in rest.by_ref() {
                    if star && c == '/' {
                        break;
                    }
                    star = c == '*';
                }
                continue;
            }
            ';' => {
                return Err(Error::check(
                    "MW0522",
                    format!("input `{input}`: the query holds more than one statement"),
                )
                .hint("write one SELECT"));
            }
            _ => continue,
        };
        for (_, c) in rest.by_ref() {
            if c == close {
                break;
            }
        }
    }
    Ok(query)
}

/// Nothing has been read yet, so SQLite's words quote only names and SQL.
fn refused(input: &str, file: &SourceFile, error: &sqlx::Error) -> Error {
    let Some(db) = error.as_database_error() else {
        return Error::environment("MW0520", format!("input `{input}`: `{}` cannot be opened", file.name))
            .hint("check that the file is a SQLite database and that the user running meshwork may read it");
    };
    match db.code().as_deref() {
        // SQLITE_NOTADB, SQLITE_CORRUPT
        Some("26" | "11") => damaged(input, file),
        // SQLITE_CANTOPEN, SQLITE_READONLY…
        Some("14" | "8" | "264" | "520") => {
            Error::environment("MW0520", format!("input `{input}`: `{}` cannot be opened", file.name))
                .hint("a database with a write-ahead log needs its `-shm` file to be readable, or its folder writable")
        }
        _ => Error::check("MW0522", format!("input `{input}`: {}", db.message()))
            .hint("check `table` or `query` with `sqlite3 FILE`"),
    }
}

fn damaged(input: &str, file: &SourceFile) -> Error {
    Error::environment("MW0535", format!("input `{input}`: `{}` is not a whole SQLite database", file.name))
        .hint("it may have been copied while it was written to: copy it with `.backup` of sqlite3")
}

/// While rows came: SQLite's words may quote a value.
fn broken(input: &str, file: &SourceFile, error: &sqlx::Error) -> Error {
    match error.as_database_error().and_then(|db| db.code()).as_deref() {
        Some("26" | "11") => damaged(input, file),
        code => {
            let code = code.map(|code| format!(" (code {code})")).unwrap_or_default();
            Error::environment("MW0524", format!("input `{input}`: reading `{}` broke off{code}", file.name))
                .hint("run again; if it comes back, check the file with `PRAGMA integrity_check`")
        }
    }
}

#[cfg(test)]
mod tests;
