//! The files of a quarantine: the table's columns, what stood in them where it did not fit, and why each row is there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use deltalake_core::datafile::writer::DeltaWriter;
use futures::TryStreamExt;
use meshwork_control::port::data::{OutputSpec, RunSpec};
use meshwork_core::contract::Table;
use meshwork_core::id::RunId;
use meshwork_core::publication::TableLocation;
use meshwork_core::quarantine::{self, AT, CLAUSES, FILE, LINE, REASON, ROW, RUN, raw_id, raw_name};
use meshwork_core::{Error, Result};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use serde_json::{Value, json};

use crate::native::{COLUMN_ID, arrow_field};
use crate::storage::log::TableLog;
use crate::write::WriterConfig;
use crate::write::sink::{Sink, Written};

/// Why a row is set aside, and where it came from.
#[derive(Clone, Debug, Default)]
pub struct Note {
    pub clauses: Vec<String>,
    pub reasons: Vec<String>,
    pub place: (Option<String>, Option<u64>),
}

/// Every column can be found by its identity, so that a renamed one is.
fn schema(table: &Table) -> SchemaRef {
    let named = |field: ArrowField| {
        let name = field.name().clone();
        let known = field.metadata().contains_key(COLUMN_ID);
        let field = field.with_nullable(true);
        if known { field } else { field.with_metadata(HashMap::from([(COLUMN_ID.to_owned(), name)])) }
    };
    let own = table.fields.iter().map(|field| named(arrow_field(field)));
    let raw = table.fields.iter().map(|field| {
        let id = field.id.as_ref().map_or_else(|| field.name.clone(), ToString::to_string);
        let id = HashMap::from([(COLUMN_ID.to_owned(), raw_id(&id))]);
        ArrowField::new(raw_name(&field.name), DataType::Utf8, true).with_metadata(id)
    });
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let notes = [
        (RUN, DataType::Utf8),
        (ROW, DataType::Int64),
        (AT, moment),
        (CLAUSES, DataType::Utf8),
        (REASON, DataType::Utf8),
        (FILE, DataType::Utf8),
        (LINE, DataType::Int64),
    ];
    let notes = notes.into_iter().map(|(name, ty)| named(ArrowField::new(name, ty, true)));
    Arc::new(Schema::new(own.chain(raw).chain(notes).collect::<Vec<_>>()))
}

/// Writes the rows that one run sets aside of one output.
pub struct Files {
    sink: Sink,
    writer: Option<DeltaWriter>,
    run: String,
    at: i64,
    columns: usize,
    rows: i64,
}

impl Files {
    pub async fn new(
        config: &Arc<WriterConfig>,
        spec: &RunSpec,
        output: &OutputSpec,
        written: &Written,
    ) -> Result<Self> {
        let mut location = quarantine::location(&output.location);
        location.path = format!("{}/{}", location.path, spec.run);
        let sink = Sink {
            config: Arc::clone(config),
            log: TableLog::open(&config.stores, &location, config.durable).await?,
            schema: schema(&output.table),
            written: written.clone(),
            what: format!("the quarantine of output `{}`", output.name),
        };
        Ok(Self {
            sink,
            writer: None,
            run: spec.run.to_string(),
            at: spec.now.timestamp_micros(),
            columns: output.table.fields.len(),
            rows: 0,
        })
    }

    pub async fn add(
        &mut self,
        columns: &[ArrayRef],
        raw: &BTreeMap<usize, StringArray>,
        notes: &[Note],
    ) -> Result<()> {
        if notes.is_empty() {
            return Ok(());
        }
        let n = notes.len();
        let mut all: Vec<ArrayRef> = columns.to_vec();
        all.extend((0..self.columns).map(|column| match raw.get(&column) {
            Some(texts) => Arc::new(texts.clone()) as ArrayRef,
            None => new_null_array(&DataType::Utf8, n),
        }));
        let first = self.rows + 1;
        self.rows += i64::try_from(n).unwrap_or(i64::MAX);
        let texts =
            |of: fn(&Note) -> Option<String>| Arc::new(notes.iter().map(of).collect::<StringArray>()) as ArrayRef;
        all.push(Arc::new(StringArray::from(vec![self.run.as_str(); n])));
        all.push(Arc::new(Int64Array::from_iter_values(first..=self.rows)));
        all.push(Arc::new(TimestampMicrosecondArray::from(vec![self.at; n]).with_timezone("UTC")));
        all.push(texts(|note| Some(note.clauses.join("; "))));
        all.push(texts(|note| Some(note.reasons.join("; "))));
        all.push(texts(|note| note.place.0.clone()));
        let line = |note: &Note| note.place.1.and_then(|line| i64::try_from(line).ok());
        all.push(Arc::new(notes.iter().map(line).collect::<Int64Array>()));
        let batch = RecordBatch::try_new(Arc::clone(&self.sink.schema), all)
            .map_err(|_| Error::internal("MW0605", "rows that are set aside do not have the contract's types"))?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.sink.open()?),
        };
        writer.write(&batch).await.map_err(|error| self.sink.fault(&error))
    }

    /// The files, by their place below the output's quarantine.
    pub async fn finish(&mut self) -> Result<Vec<Value>> {
        let Some(writer) = self.writer.take() else { return Ok(Vec::new()) };
        let mut adds = self.sink.close(writer).await?;
        for add in &mut adds {
            let name = add.get("path").and_then(Value::as_str).unwrap_or_default();
            add["path"] = json!(format!("{}/{name}", self.run));
        }
        Ok(adds)
    }
}

/// The rows of a file of a table, on a disk or in a bucket.
pub async fn rows(log: &TableLog, name: &str) -> Result<ParquetRecordBatchReader> {
    let fault = |error: &(dyn std::error::Error + 'static)| log.fault("reading a file of", error);
    let built = match log.folder()? {
        Some(folder) => {
            let file = std::fs::File::open(folder.join(name)).map_err(|error| fault(&error))?;
            ParquetRecordBatchReaderBuilder::try_new(file).and_then(ParquetRecordBatchReaderBuilder::build)
        }
        None => {
            let found = log.table_store().get(&Path::from(name)).await.map_err(|error| fault(&error))?;
            let bytes = found.bytes().await.map_err(|error| fault(&error))?;
            ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(ParquetRecordBatchReaderBuilder::build)
        }
    };
    built.map_err(|error| fault(&error))
}

/// Removes the folder of one run.
pub async fn remove(config: &WriterConfig, location: &TableLocation, run: &RunId) -> Result<()> {
    let log = TableLog::open(&config.stores, location, config.durable).await?;
    clear(&log, &|of| of == run.as_str()).await.map(|_| ())
}

/// Removes the folders of all runs but these.
pub async fn collect(config: &WriterConfig, location: &TableLocation, keep: &[RunId]) -> Result<Vec<String>> {
    let log = TableLog::open(&config.stores, &quarantine::location(location), config.durable).await?;
    clear(&log, &|of| !keep.iter().any(|kept| kept.as_str() == of)).await
}

/// Removes what lies in the folders of some runs.
async fn clear(log: &TableLog, goes: &(dyn Fn(&str) -> bool + Sync)) -> Result<Vec<String>> {
    let fault = |error: object_store::Error| log.fault("collecting", &error);
    let prefix = format!("{}/", log.table());
    let listed: Vec<object_store::ObjectMeta> = match log.store().list(Some(log.table())).try_collect().await {
        Ok(listed) => listed,
        Err(object_store::Error::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(fault(error)),
    };
    let mut removed = Vec::new();
    for object in listed {
        let Some(name) = object.location.as_ref().strip_prefix(&prefix) else { continue };
        if !goes(name.split('/').next().unwrap_or_default()) {
            continue;
        }
        match log.store().delete(&object.location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => removed.push(format!("quarantine/{name}")),
            Err(error) => return Err(fault(error)),
        }
    }
    // Folders that are empty now, and temporary files, which object stores do not list.
    if let Some(root) = log.folder()? {
        for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(goes) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
    removed.sort();
    Ok(removed)
}
