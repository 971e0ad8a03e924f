//! An output of mode `external`: files of others are checked where they lie, and pinned. Nothing is copied.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::DataType;
use deltalake_core::DeltaTable;
use futures::StreamExt;
use meshwork_control::port::data::{FilesSpec, InputSpec, OutputSpec, Phase, SourceSpec};
use meshwork_core::contract::Field;
use meshwork_core::lineage::{ColumnLineage, ColumnSource};
use meshwork_core::publication::{Body, ExternalBody};
use meshwork_core::{Error, Result};

use super::super::files::DataFiles;
use super::super::ground::Ground;
use super::super::input::Inputs;
use super::super::schema::{file_schema, stored_schema};
use super::super::session::{self, Way};
use super::super::sink::Sink;
use super::super::{Pass, set};
use super::view::as_served;
use super::{After, Built, Made, Run};
use crate::failpoint;
use crate::native::holds;
use crate::read::external::{FileIdentity, Registered, RegisteredColumn, RegisteredFile, registered};
use crate::read::snapshot::unread;
use crate::source::file::{SourceFile, find_folder};
use crate::source::parquet::{Footer, footer};
use crate::source::{self, Access, Reading, delta};
use crate::storage::log::TableLog;

/// Longer than the clock of any file system ticks: two writes that bear the same time are both over when it has passed.
const TICK: Duration = Duration::from_millis(50);

impl Run {
    pub(super) async fn external(&self, at: usize, reading: &Reading, way: Way) -> Result<Built> {
        let output = &self.spec.outputs[at];
        let stored = stored_schema(&output.table);
        let schema = file_schema(&stored);
        let log = TableLog::open(&self.config.stores, &output.location, self.config.durable).await?;
        let ground = Ground::survey(&log, output, true).await?;
        let what = format!("output `{}`", output.name);
        let (input, source) = only(output, &self.spec.inputs)?;
        let (found, rows) = look(input, source, output, &self.access).await?;
        let pinned = match &output.served {
            Some(served) => registered(&log, served.delta_version).await?,
            None => None,
        };
        if let Some(served) = output.served.as_ref().filter(|_| pinned.as_ref() == Some(&found))
            && !self.is_referred_to(output)
        {
            self.log("info", format!("{what}: nothing is new"));
            return Ok(as_served(output, served, schema, reading));
        }
        tokio::time::sleep(TICK).await;
        if look(input, source, output, &self.access).await? != (found.clone(), rows) {
            return Err(Error::environment(
                "MW0686",
                format!("input `{input}`: its files change while they are looked at"),
            )
            .hint("run again when nothing writes there"));
        }
        let snapshot = found.snapshot()?;
        let table = DataFiles::of_others(&snapshot, rows, found.bytes());
        let sink = Sink {
            config: Arc::clone(&self.config),
            log,
            schema: Arc::clone(&schema),
            written: self.written.clone(),
            what: what.clone(),
        };
        let places: Vec<usize> =
            output.table.fields.iter().filter_map(|field| snapshot.schema().index_of(&field.name).ok()).collect();
        let mut pass = Pass::new(&output.table, Arc::clone(&schema), places.clone(), false, reading);
        let context = session::session(&self.spec.limits, &self.config.scratch, self.spec.now, way)?;
        let failed = |error| session::execution_error(&error, &what);
        let mut batches =
            context.read_table(Arc::new(table.clone())).map_err(failed)?.execute_stream().await.map_err(failed)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(failed)?;
            reading.meter.add(batch.num_rows() as u64, batch.get_array_memory_size() as u64);
            pass.batch(&batch)?;
            self.progress(output, Phase::Reading, pass.rows, reading);
        }
        if at == 0 {
            failpoint::pass(self.config.fail_point.as_ref(), "after-first-file").await?;
        }
        if pass.rows != rows {
            let message = format!("{what}: the files hold {} rows, and their footers say {rows}", pass.rows);
            return Err(Error::check("MW0687", message).hint("write the files again with another writer"));
        }
        self.progress(output, Phase::Checking, pass.rows, reading);
        let body =
            ExternalBody { format: found.format.clone(), version: found.version, files: found.files.len() as u64 };
        let lineage = found.columns.iter().map(|column| lineage(input, column)).collect();
        let inputs = Inputs::default();
        let made = Made { output, sink: &sink, ground: &ground, inputs: &inputs, stored: &stored };
        let staged = self.staged(&made, &After::default(), Some(found))?;
        let batch = set::Batch {
            output: output.name.to_string(),
            major: output.major,
            schema,
            written: table.clone(),
            table,
            trusted: false,
            unsettled: None,
            again: None,
            places,
        };
        Ok(Built {
            pass: Some(pass),
            batch,
            staged,
            lineage,
            reading: reading.clone(),
            changes: None,
            implied: Vec::new(),
            sampled: false,
            body: Body::External(body),
            scratch: None,
            rebuilt: false,
            set_aside: None,
            release: None,
            refusal: None,
        })
    }
}

fn lineage(input: &str, column: &RegisteredColumn) -> ColumnLineage {
    let from =
        ColumnSource { input: input.to_owned(), column: column.physical.clone(), flows: true, bears: Vec::new() };
    ColumnLineage { column: column.name.clone(), from: vec![from], inherited: Vec::new() }
}

/// The source that the output registers.
fn only<'a>(
    output: &OutputSpec,
    inputs: &'a std::collections::BTreeMap<String, InputSpec>,
) -> Result<(&'a str, &'a SourceSpec)> {
    let mut sources = inputs.iter();
    match (sources.next(), sources.next()) {
        (Some((name, InputSpec::Source(source @ (SourceSpec::Delta { .. } | SourceSpec::Parquet { .. })))), None) => {
            Ok((name, source))
        }
        _ => Err(Error::check("MW0684", format!("output `{}`: there is no single table to register", output.name))
            .hint("the product's only input must be a source of type `delta` or `parquet` in the domain's folder")),
    }
}

/// The table as it lies there now, and how many rows its files say to have.
async fn look(input: &str, source: &SourceSpec, output: &OutputSpec, access: &Access) -> Result<(Registered, u64)> {
    let fields = output.table.fields.clone();
    match source {
        SourceSpec::Parquet { files } => {
            let (input, files) = (input.to_owned(), files.clone());
            source::in_background(move || {
                let found = source::find(&input, &files)?;
                let partitions = partition_names(&found);
                let entries: Vec<Entry> = found
                    .into_iter()
                    .map(|file| Entry { partition: file.partitions.iter().cloned().collect(), file })
                    .collect();
                register(&input, "parquet", None, &fields, &partitions, false, entries)
            })
            .await
        }
        SourceSpec::Delta { files, version } => {
            let FilesSpec::Folder { folder, path } = files else { return Err(elsewhere(input)) };
            let (root, at) = find_folder(input, folder, path)?;
            let table = delta::load(input, files, *version, access).await?;
            let (version, partitions, entries) = entries(input, &table, &root, &at)?;
            let input = input.to_owned();
            source::in_background(move || register(&input, "delta", Some(version), &fields, &partitions, true, entries))
                .await
        }
        _ => Err(elsewhere(input)),
    }
}

fn elsewhere(input: &str) -> Error {
    Error::check("MW0684", format!("input `{input}`: only tables in the domain's folder can be registered"))
        .hint("take it in with `mode: full`")
}

/// One data file, with the values of its partition columns.
struct Entry {
    file: SourceFile,
    partition: HashMap<String, Option<String>>,
}

/// The names that stand in the folders of every file.
fn partition_names(files: &[SourceFile]) -> Vec<String> {
    let names = |file: &SourceFile| file.partitions.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let first = files.first().map(names).unwrap_or_default();
    first.into_iter().filter(|name| files.iter().all(|file| names(file).contains(name))).collect()
}

fn entries(input: &str, table: &DeltaTable, root: &Path, at: &Path) -> Result<(u64, Vec<String>, Vec<Entry>)> {
    let unreadable = |error: deltalake_core::DeltaTableError| {
        tracing::warn!(input, %error, "a Delta table cannot be registered");
        Error::environment("MW0537", format!("input `{input}`: the Delta table cannot be read"))
            .hint("check that its log is whole")
    };
    let state = table.snapshot().map_err(unreadable)?;
    let snapshot = state.snapshot();
    let refused = |feature: &str| {
        Error::check("MW0685", format!("input `{input}`: the table uses {feature}, with which it cannot be registered"))
            .hint("take it in with `mode: full`, which reads such tables, or let its writer rewrite it without")
    };
    if let Some(feature) = unread(snapshot.metadata().configuration(), snapshot.protocol()) {
        return Err(refused(&feature));
    }
    let partitions = snapshot.metadata().partition_columns().iter().map(ToString::to_string).collect();
    let mut entries = Vec::new();
    for file in snapshot.log_data().iter() {
        if file.deletion_vector_descriptor().is_some() {
            return Err(refused("deletion vectors"));
        }
        let path: PathBuf = at.join(file.path().as_ref());
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        entries.push(Entry { file: SourceFile::below(root, path, name), partition: file.partition_values_map() });
    }
    entries.sort_by(|a, b| a.file.name.cmp(&b.file.name));
    let version = table.version().unwrap_or_default();
    Ok((version, partitions, entries))
}

/// Holds the files against the contract. `grown`: a file that lacks a column is older than the column.
fn register(
    input: &str,
    format: &str,
    version: Option<u64>,
    fields: &[Field],
    partitions: &[String],
    grown: bool,
    entries: Vec<Entry>,
) -> Result<(Registered, u64)> {
    let mut footers = Vec::with_capacity(entries.len());
    for entry in &entries {
        footers.push(footer(&entry.file)?);
    }
    let in_some = |name: &str| footers.iter().any(|(footer, _)| footer.column(name).is_some());
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let names = field.physical_name.iter().chain(std::iter::once(&field.name));
        // A column that the files have counts; their folders only repeat it.
        let found = names.clone().find(|name| in_some(name)).map(|name| (name, false));
        let found = found.or_else(|| names.clone().find(|name| partitions.contains(name)).map(|name| (name, true)));
        let Some((physical, partition)) = found else { return Err(missing(input, field, &footers, &entries)) };
        columns.push(RegisteredColumn {
            id: field.id.clone(),
            name: field.name.clone(),
            physical: physical.clone(),
            native: field.native.clone(),
            partition,
        });
    }
    for ((footer, _), entry) in footers.iter().zip(&entries) {
        for column in columns.iter().filter(|column| !column.partition) {
            match footer.column(&column.physical) {
                Some(ty) if fits(ty, footer.is_int96(&column.physical), column) => {}
                Some(ty) => return Err(misfit(input, &entry.file, column, ty)),
                None if grown => {}
                None => {
                    let message = format!("input `{input}`: `{}` has no column `{}`", entry.file.name, column.physical);
                    return Err(Error::check("MW0684", message)
                        .hint("all files of one external table have the columns of its contract"));
                }
            }
        }
    }
    let rows = footers.iter().map(|(footer, _)| footer.rows).sum();
    let outside: Vec<&str> = columns.iter().filter(|c| c.partition).map(|c| c.physical.as_str()).collect();
    let files = entries.into_iter().zip(footers).map(|(mut entry, (_, meta))| {
        let path = entry.file.path.canonicalize().map_err(|error| entry.file.unreadable(&error))?;
        let partition = outside.iter().map(|name| entry.partition.remove(*name).flatten()).collect();
        Ok(RegisteredFile { path, identity: FileIdentity::of(&meta), partition })
    });
    let files = files.collect::<Result<_>>()?;
    Ok((Registered { format: format.to_owned(), version, columns, files }, rows))
}

fn fits(ty: &DataType, int96: bool, column: &RegisteredColumn) -> bool {
    use meshwork_core::types::ColumnType as T;
    // What Spark writes for instants: nanoseconds in form, microseconds in what it holds.
    if int96 { matches!(column.native, T::Timestamp | T::LocalTimestamp) } else { holds(ty, &column.native) }
}

fn misfit(input: &str, file: &SourceFile, column: &RegisteredColumn, found: &DataType) -> Error {
    let message = format!(
        "input `{input}`: the column `{}` of `{}` is {found}, and the contract says {}",
        column.physical, file.name, column.native
    );
    Error::check("MW0684", message)
        .hint("an external table is served as it lies: declare the type that it has, or take it in with `mode: full`")
}

fn missing(input: &str, field: &Field, footers: &[(Footer, std::fs::Metadata)], entries: &[Entry]) -> Error {
    let wanted = field.physical_name.as_deref().unwrap_or(&field.name);
    let mut known: Vec<&str> = footers.iter().flat_map(|(footer, _)| footer.names()).collect();
    known.extend(entries.iter().flat_map(|entry| entry.partition.keys().map(String::as_str)));
    known.sort_unstable();
    known.dedup();
    known.truncate(40);
    let message = format!("input `{input}`: no file has the column `{wanted}`; found: {}", known.join(", "));
    Error::check("MW0684", message)
        .hint("name the column of the files as `physicalName` of the contract's field, or take the field out")
}
