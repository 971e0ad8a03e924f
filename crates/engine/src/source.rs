//! Sources: what a product reads that is not another product. Files are confined to the domain's folder; every row
//! knows where it came from until it is written.

mod avro;
pub mod content;
mod csv;
pub(crate) mod delta;
mod fetch;
pub mod file;
pub mod guess;
pub(crate) mod json;
pub(crate) mod mysql;
pub(crate) mod parquet;
mod postgres;
mod range;
mod relation;
mod secret;
pub(crate) mod sqlite;
mod stream;
mod table;
pub mod text;
mod unfit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::streaming::PartitionStream;
use meshwork_control::port::data::{FilesSpec, SourceSpec};
use meshwork_core::contract::Field;
use meshwork_core::{Error, Result};

pub(crate) use fetch::objects;
pub use fetch::{Access, is_delta, listed};
pub use file::Identity;
pub use postgres::{PostgresColumn, postgres_client, postgres_columns};
pub use range::Range;
pub use secret::Secrets;
pub use sqlite::copy as copy_sqlite;
pub use table::{Face, ORIGIN, ROW, SourceTable, projected};
pub use unfit::{Samples, Unfit};

use text::TextType;

/// What all sources of one output share while it is built.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub meter: Arc<Meter>,
    pub origins: Arc<Origins>,
    /// Values that did not fit the type that the contract gives their column.
    pub unfit: Arc<Unfit>,
    pub news: Arc<News>,
}

/// Columns that a source has come to have, which neither the contract nor the first look at it knew.
#[derive(Debug, Default)]
pub struct News(std::sync::Mutex<BTreeMap<(String, String), String>>);

impl News {
    const KEPT: usize = 20;

    fn add(&self, input: &str, column: &str, source: &str, line: u64) {
        let mut found = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (input.to_owned(), column.to_owned());
        if found.len() < Self::KEPT && !found.contains_key(&key) {
            found.insert(key, format!("{source}, line {line}"));
        }
    }

    /// For the run's log.
    pub fn lines(&self) -> Vec<String> {
        let found = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found
            .iter()
            .map(|((input, column), place)| {
                format!("input {input}: new column `{column}`, first in {place}; it is not read")
            })
            .collect()
    }
}

/// What was read so far.
#[derive(Debug, Default)]
pub struct Meter {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    pub fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The names behind the numbers in the hidden origin column.
#[derive(Debug, Default)]
pub struct Origins(std::sync::Mutex<Vec<String>>);

impl Origins {
    pub fn add(&self, name: &str) -> i32 {
        let mut names = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(at) = names.iter().position(|known| known == name) {
            return i32::try_from(at).unwrap_or(i32::MAX);
        }
        names.push(name.to_owned());
        i32::try_from(names.len() - 1).unwrap_or(i32::MAX)
    }

    pub fn name(&self, number: i32) -> Option<String> {
        let names = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        names.get(usize::try_from(number).ok()?).cloned()
    }
}

/// An opened source: its columns are known, nothing else has been read.
pub trait Source: std::fmt::Debug + Send + Sync {
    /// The columns that SQL sees.
    fn schema(&self) -> SchemaRef;
    /// Whether its rows have an origin: then `partitions` may be asked for the two hidden columns behind the others.
    fn has_origin(&self) -> bool;
    /// One stream a file, of these columns: indices into `schema()`, then `len` for the origin and `len + 1` for the row.
    fn partitions(&self, columns: &[usize]) -> Vec<Arc<dyn PartitionStream>>;
    /// The same source without rows that lie outside of a range, where it can be asked so. It may still yield some.
    fn within(&self, _: &Range) -> Option<Arc<dyn Source>> {
        None
    }
    /// The same rows in the same order each time, where they come in another one otherwise.
    fn in_order(&self) -> Option<Arc<dyn Source>> {
        None
    }
    /// For errors about a column that is not there: what could have gone wrong in reading it.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The types that a contract gives to columns of a source: by the source's own name of the column.
#[derive(Clone, Debug, Default)]
pub struct Typing {
    columns: BTreeMap<String, Promised>,
}

#[derive(Clone, Debug)]
struct Promised {
    /// The contract's name of it.
    field: String,
    ty: TextType,
}

impl Typing {
    pub fn of(fields: &[Field]) -> Self {
        let promised = |field: &Field| Promised { field: field.name.clone(), ty: TextType::of(field) };
        let mut columns: BTreeMap<_, _> = fields.iter().map(|f| (f.name.clone(), promised(f))).collect();
        // A physical name is the more specific statement about the source.
        columns.extend(fields.iter().filter_map(|f| Some((f.physical_name.clone()?, promised(f)))));
        Self { columns }
    }

    pub fn get(&self, column: &str) -> Option<&TextType> {
        self.columns.get(column).map(|promised| &promised.ty)
    }

    fn or_text(&self, column: &str) -> TextType {
        // What the contract does not name is for the SQL to judge, nested or not.
        let any = || TextType { json: true, ..TextType::plain(meshwork_core::types::ColumnType::Text) };
        self.get(column).cloned().unwrap_or_else(any)
    }

    /// The contract's name of a source column. Samples hold such columns only, under that name: what has no name in the
    /// contract has no classification either, so nobody could say who may see it (D20).
    fn field_of(&self, column: &str) -> Option<String> {
        self.columns.get(column).map(|promised| promised.field.clone())
    }

    /// Source names of all contract columns: the physical name where there is one.
    pub fn source_names(fields: &[Field]) -> Vec<String> {
        fields.iter().map(|f| f.physical_name.clone().unwrap_or_else(|| f.name.clone())).collect()
    }
}

/// The files of a source as they are known again; `None` for one that is not made of files. Of those elsewhere only the
/// server's list is asked for.
pub async fn files(input: &str, spec: &SourceSpec, access: &Access) -> Result<Option<Vec<Identity>>> {
    let Some(files) = files_of(spec).cloned() else { return Ok(None) };
    if !matches!(files, FilesSpec::Folder { .. }) {
        return access.identities(input, &files).await.map(Some);
    }
    let input = input.to_owned();
    let identities = move || find(&input, &files)?.iter().map(file::SourceFile::identity).collect();
    in_background(identities).await.map(Some)
}

/// The digests of some files of a source, in the order of `names`. Those elsewhere are fetched for it, and kept for the run.
pub async fn digests(input: &str, spec: &SourceSpec, names: Vec<String>, access: &Access) -> Result<Vec<String>> {
    let Some(files) = files_of(spec).filter(|_| !names.is_empty()) else { return Ok(Vec::new()) };
    let only = Some(names.iter().cloned().collect());
    let found = access.files(input, files, &only, &Meter::default()).await?;
    let input = input.to_owned();
    in_background(move || {
        let of = |name: &String| match found.iter().find(|file| file.name == *name) {
            Some(file) => file.digest(),
            None => Err(went(&input, name)),
        };
        names.iter().map(of).collect()
    })
    .await
}

fn went(input: &str, name: &str) -> Error {
    Error::environment("MW0674", format!("input `{input}`: `{name}` went while it was read"))
        .hint("run again when nothing changes the files")
}

/// Whether its files lie on this machine, where they may change while they are read.
pub fn is_local(spec: &SourceSpec) -> bool {
    matches!(files_of(spec), Some(FilesSpec::Folder { .. }))
}

/// Whether its files are fetched from another machine.
pub fn is_elsewhere(spec: &SourceSpec) -> bool {
    files_of(spec).is_some_and(|files| !matches!(files, FilesSpec::Folder { .. }))
}

fn files_of(spec: &SourceSpec) -> Option<&FilesSpec> {
    match spec {
        SourceSpec::Csv { files, .. }
        | SourceSpec::Json { files, .. }
        | SourceSpec::Parquet { files }
        | SourceSpec::Avro { files } => Some(files),
        SourceSpec::Sqlite { .. } | SourceSpec::Delta { .. } | SourceSpec::Mysql(_) | SourceSpec::Postgres(_) => None,
    }
}

/// Some of the files of a source, by name.
pub type Selection = Option<std::collections::BTreeSet<String>>;

/// Opens a source: finds its files or asks the database, and learns the columns.
pub async fn open(
    input: &str,
    spec: &SourceSpec,
    fields: &[Field],
    reading: &Reading,
    access: &Access,
) -> Result<Arc<dyn Source>> {
    open_some(input, spec, &None, fields, reading, access).await
}

/// The same of no other files than `only`.
pub async fn open_some(
    input: &str,
    spec: &SourceSpec,
    only: &Selection,
    fields: &[Field],
    reading: &Reading,
    access: &Access,
) -> Result<Arc<dyn Source>> {
    let typing = Typing::of(fields);
    let find = async |files| -> Result<Vec<file::SourceFile>> {
        let found = access.files(input, files, only, &reading.meter).await?;
        let missing = only.iter().flatten().find(|name| found.iter().all(|file| file.name != **name));
        missing.map_or(Ok(found), |name| Err(went(input, name)))
    };
    let name = input.to_owned();
    match spec {
        SourceSpec::Csv { files, options } => {
            let (files, options, reading) = (find(files).await?, options.clone(), reading.clone());
            in_background(move || csv::open(&name, files, &options, &typing, reading)).await
        }
        SourceSpec::Json { files, options } => {
            let (files, options, reading) = (find(files).await?, options.clone(), reading.clone());
            let columns = Typing::source_names(fields);
            in_background(move || json::open(&name, files, &columns, &options, &typing, reading)).await
        }
        SourceSpec::Parquet { files } => {
            let (files, reading) = (find(files).await?, reading.clone());
            in_background(move || parquet::open(files, &typing, reading)).await
        }
        SourceSpec::Avro { files } => {
            let (files, reading) = (find(files).await?, reading.clone());
            in_background(move || avro::open(files, reading)).await
        }
        SourceSpec::Sqlite { files, table, query } => {
            let mut files = find(files).await?;
            let (Some(file), true) = (files.pop(), files.is_empty()) else {
                return Err(Error::check("MW0535", format!("input `{input}`: the path matches several files"))
                    .hint("a SQLite source is one file"));
            };
            sqlite::open(input, file, table.as_deref(), query.as_deref(), &typing, reading.clone()).await
        }
        SourceSpec::Delta { files, version } => delta::open(input, files, *version, reading.clone(), access).await,
        SourceSpec::Mysql(database) => mysql::open(input, database, &typing, reading.clone(), access).await,
        SourceSpec::Postgres(database) => postgres::open(input, database, &typing, reading.clone(), access).await,
    }
}

/// Files of a folder on this machine.
pub(crate) fn find(input: &str, files: &FilesSpec) -> Result<Vec<file::SourceFile>> {
    match files {
        FilesSpec::Folder { folder, path } => file::find(input, folder, path),
        FilesSpec::S3 { url, .. } | FilesSpec::Http { url, .. } => {
            Err(Error::usage("MW0501", format!("input `{input}`: `{url}` is not a file of this machine"))
                .hint("copy it here first"))
        }
    }
}

fn either_table_or_query(input: &str) -> Error {
    Error::check("MW0522", format!("input `{input}`: give either `table` or `query`"))
        .hint("`table: …`, or `query: SELECT …`")
}

pub(crate) async fn in_background<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(Error::environment("MW0502", "reading a source stopped unexpectedly")
            .hint("a damaged file can do this: check the files of the source")),
    }
}

/// Rows that a source hands over at a time.
const BATCH_ROWS: usize = 8192;
/// Of text: sorts and joins that spill hold a batch of each spill file, so wide rows come in fewer at a time.
const BATCH_BYTES: u64 = 1 << 20;
