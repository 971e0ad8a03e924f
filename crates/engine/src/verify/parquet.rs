//! Parquet files, row group by row group, on several threads: texts stay in their dictionaries or as views, so that a
//! clause looks at each distinct text once and nothing is copied.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, Int32Array, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use meshwork_core::contract::Table;
use meshwork_core::{Error, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Encoding;
use parquet::file::metadata::ParquetMetaData;

use crate::source::file::SourceFile;
use crate::source::{ORIGIN, ROW, Reading};
use crate::write::Pass;

const BATCH: usize = 32 << 10;

/// What every thread does.
#[derive(Clone)]
pub struct Job {
    /// Columns to read, by their place in the file, in the order of the table's fields.
    pub roots: Vec<usize>,
    pub table: Table,
    pub unique: Vec<Vec<String>>,
    pub reading: Reading,
    pub schema: SchemaRef,
    pub memory_bytes: u64,
}

/// A row group to read, and the number of its first row in its file.
struct Part {
    file: SourceFile,
    metadata: ArrowReaderMetadata,
    group: usize,
    first: i64,
    origin: i32,
}

impl Job {
    fn begin(&self) -> Pass {
        let places: Vec<usize> = (0..self.table.fields.len()).collect();
        Pass::new(&self.table, Arc::clone(&self.schema), places, true, &self.reading)
            .without_profiles()
            .with_keys(&self.unique, self.memory_bytes)
    }
}

pub async fn scan(files: Vec<SourceFile>, job: Job, cores: usize) -> Result<Pass> {
    let planning = job.clone();
    let parts = in_background(move || parts(&files, &planning)).await?;
    let threads = cores.clamp(1, parts.len().max(1));
    let (parts, next) = (Arc::new(parts), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..threads)
        .map(|_| {
            let (parts, next, job) = (Arc::clone(&parts), Arc::clone(&next), job.clone());
            tokio::spawn(in_background(move || {
                let mut pass = job.begin();
                while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    read(part, &job, &mut pass)?;
                }
                Ok(pass)
            }))
        })
        .collect();
    let mut pass = job.begin();
    for task in tasks {
        let stopped = |_| Error::environment("MW0502", "reading the data stopped unexpectedly");
        pass.absorb(task.await.map_err(stopped)??);
    }
    Ok(pass)
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let damaged = |_| {
        Error::environment("MW0502", "reading the data stopped unexpectedly")
            .hint("a damaged file can do this: check the files")
    };
    tokio::task::spawn_blocking(work).await.map_err(damaged)?
}

fn damaged(file: &SourceFile) -> Error {
    Error::environment("MW0509", format!("`{}` is not a whole Parquet file", file.name))
        .hint("it may have been cut off while it was copied or written: compare its size with the original, or write it again")
}

fn parts(files: &[SourceFile], job: &Job) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for file in files {
        let opened = file.open()?;
        let plain = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new()).map_err(|_| damaged(file))?;
        let schema = cheap(plain.schema(), plain.metadata(), job);
        let options = ArrowReaderOptions::new().with_schema(schema);
        // A file may refuse the cheaper types; its own are always right.
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options).unwrap_or(plain);
        let origin = job.reading.origins.add(&file.name);
        let mut first = 1;
        for group in 0..metadata.metadata().num_row_groups() {
            let rows = metadata.metadata().row_group(group).num_rows();
            parts.push(Part { file: file.clone(), metadata: metadata.clone(), group, first, origin });
            first += rows;
        }
    }
    Ok(parts)
}

/// The file's schema with texts as dictionaries, where the file has them so, and as views elsewhere.
fn cheap(schema: &Schema, metadata: &ParquetMetaData, job: &Job) -> SchemaRef {
    let field_of = |root: usize| job.roots.iter().position(|r| *r == root).and_then(|at| job.table.fields.get(at));
    // Keys are compared over all files: in one representation.
    let is_key = |root| field_of(root).is_some_and(|f| job.unique.iter().any(|columns| columns.contains(&f.name)));
    let fields = schema.fields().iter().enumerate().map(|(at, field)| {
        let text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let ty = match text && job.roots.contains(&at) {
            true if !is_key(at) && in_dictionary(metadata, field.name()) => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            }
            true => DataType::Utf8View,
            false => field.data_type().clone(),
        };
        Arc::new(Field::new(field.name(), ty, field.is_nullable()).with_metadata(field.metadata().clone()))
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// Whether all pages of a column are numbers into a dictionary that is much shorter than the column.
fn in_dictionary(metadata: &ParquetMetaData, column: &str) -> bool {
    let mut any = false;
    for group in metadata.row_groups() {
        for chunk in group.columns().iter().filter(|chunk| chunk.column_path().parts() == [column.to_owned()]) {
            let Some(dictionary) = chunk.dictionary_page_offset() else { return false };
            let length = chunk.data_page_offset() - dictionary;
            let indexed = chunk.encodings().any(|e| matches!(e, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY));
            // A writer gives a dictionary up when it grows too large: its pages after that are plain, and long.
            let short = length < 256 << 10 && chunk.uncompressed_size() < group.num_rows() * 4 + (512 << 10);
            if !indexed || !short {
                return false;
            }
            any = true;
        }
    }
    any
}

fn read(part: &Part, job: &Job, pass: &mut Pass) -> Result<()> {
    let group = part.metadata.metadata().row_group(part.group);
    let rows = group.num_rows();
    if job.roots.is_empty() {
        pass.rows += u64::try_from(rows).unwrap_or(0);
        return Ok(());
    }
    let schema = part.metadata.parquet_schema();
    let mask = ProjectionMask::roots(schema, job.roots.iter().copied());
    let opened = part.file.open()?;
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, part.metadata.clone())
        .with_row_groups(vec![part.group])
        .with_projection(mask)
        .with_batch_size(BATCH)
        .build()
        .map_err(|_| damaged(&part.file))?;
    // The reader yields columns in the file's order, each once.
    let mut order = job.roots.clone();
    order.sort_unstable();
    order.dedup();
    let bytes: i64 = group
        .columns()
        .iter()
        .filter(|chunk| {
            let root = chunk.column_path().parts().first();
            root.is_some_and(|root| order.iter().any(|at| schema.root_schema().get_fields()[*at].name() == root))
        })
        .map(|chunk| chunk.compressed_size())
        .sum();
    job.reading.meter.add(0, u64::try_from(bytes).unwrap_or(0));
    let mut row = part.first;
    for batch in reader {
        let batch = batch.map_err(|_| damaged(&part.file))?;
        let count = batch.num_rows();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(job.roots.len() + 2);
        for root in &job.roots {
            let at = order.binary_search(root).map_err(|_| damaged(&part.file))?;
            arrays.push(Arc::clone(batch.column(at)));
        }
        let len = i64::try_from(count).unwrap_or(i64::MAX);
        arrays.push(Arc::new(Int32Array::from(vec![part.origin; count])));
        arrays.push(Arc::new((row..row + len).collect::<Int64Array>()));
        row += len;
        let mut fields: Vec<Field> = arrays[..arrays.len() - 2]
            .iter()
            .zip(&job.table.fields)
            .map(|(array, field)| Field::new(&field.name, array.data_type().clone(), true))
            .collect();
        fields.push(Field::new(ORIGIN, DataType::Int32, true));
        fields.push(Field::new(ROW, DataType::Int64, true));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|_| damaged(&part.file))?;
        job.reading.meter.add(count as u64, 0);
        pass.look(&batch)?;
    }
    Ok(())
}
