//! A file, read by a blocking thread, as a stream of batches.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use meshwork_core::{Error, Result};

use super::Origins;
use super::file::SourceFile;
use super::table::projected;

/// Takes a batch; `false` when nobody wants more.
pub type Sink<'a> = &'a mut dyn FnMut(RecordBatch) -> bool;

type Read = dyn Fn(Sink<'_>) -> Result<()> + Send + Sync;

pub struct FilePartition {
    name: String,
    schema: SchemaRef,
    read: Arc<Read>,
}

impl FilePartition {
    /// Of what `assembly` puts together from one file.
    pub fn of(
        file: &SourceFile,
        assembly: Assembly,
        read: impl Fn(&SourceFile, &Assembly, Sink<'_>) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<dyn PartitionStream> {
        let (name, schema, file) = (file.name.clone(), Arc::clone(&assembly.schema), file.clone());
        Arc::new(Self { name, schema, read: Arc::new(move |sink| read(&file, &assembly, sink)) })
    }

    /// One for each file, with its origin.
    pub fn of_each(
        files: &[SourceFile],
        schema: &Schema,
        columns: &[usize],
        origins: &Origins,
        read: impl Fn(&SourceFile, &Assembly, Sink<'_>) -> Result<()> + Clone + Send + Sync + 'static,
    ) -> Vec<Arc<dyn PartitionStream>> {
        let partition = |file: &SourceFile| {
            let origin = origins.add(&file.name);
            Self::of(file, Assembly::new(schema, columns, origin), read.clone())
        };
        files.iter().map(partition).collect()
    }
}

impl fmt::Debug for FilePartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilePartition({})", self.name)
    }
}

impl PartitionStream for FilePartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), 2);
        let sender = builder.tx();
        let read = Arc::clone(&self.read);
        let name = self.name.clone();
        builder.spawn_blocking(move || {
            let mut sink = |batch| sender.blocking_send(Ok(batch)).is_ok();
            // A reader that panics on a damaged file must not take the process with it.
            let done = catch_unwind(AssertUnwindSafe(|| read(&mut sink))).unwrap_or_else(|_| {
                Err(Error::environment("MW0502", format!("reading `{name}` stopped unexpectedly"))
                    .hint("the file may be damaged: write it again"))
            });
            done.map_err(|error| DataFusionError::External(Box::new(error)))
        });
        builder.build()
    }
}

/// Puts a batch together from the wanted data columns, adding the origin where it is asked for.
#[derive(Debug)]
pub struct Assembly {
    schema: SchemaRef,
    /// Indices as in `Source::partitions`.
    columns: Vec<usize>,
    width: usize,
    origin: i32,
    /// The last data columns, which have one value throughout: arrays of one row.
    constants: Vec<ArrayRef>,
}

impl Assembly {
    pub fn new(source: &Schema, columns: &[usize], origin: i32) -> Self {
        Self {
            schema: projected(source, columns),
            columns: columns.to_vec(),
            width: source.fields().len(),
            origin,
            constants: Vec::new(),
        }
    }

    /// Where the last columns of the source are the same for every row of a file.
    #[must_use]
    pub fn with_constants(self, constants: Vec<ArrayRef>) -> Self {
        Self { constants, ..self }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns that are wanted of the file itself, each once, ascending.
    pub fn data_columns(&self) -> Vec<usize> {
        let own = self.width - self.constants.len();
        let mut data: Vec<usize> = self.columns.iter().copied().filter(|at| *at < own).collect();
        data.sort_unstable();
        data.dedup();
        data
    }

    /// Hands on batches of `data_columns()` with the types that the source declares. The number of rows; `None` when nobody
    /// wants more.
    pub fn hand_on(
        &self,
        batches: impl Iterator<Item = Result<RecordBatch>>,
        source: &Schema,
        damaged: impl Fn() -> Error,
        sink: Sink<'_>,
    ) -> Result<Option<i64>> {
        let wanted = self.data_columns();
        let mut rows: i64 = 0;
        for batch in batches {
            let batch = batch?;
            let typed = batch
                .columns()
                .iter()
                .zip(&wanted)
                .map(|(array, at)| cast(array, source.field(*at).data_type()).map_err(|_| damaged()));
            let typed = typed.collect::<Result<Vec<_>>>()?;
            let before = rows;
            rows += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
            if !sink(self.batch(&typed, (before + 1..=rows).collect())?) {
                return Ok(None);
            }
        }
        Ok(Some(rows))
    }

    /// `data` holds the arrays of `data_columns()`; `rows` the place of each row.
    pub fn batch(&self, data: &[ArrayRef], rows: Vec<i64>) -> Result<RecordBatch> {
        let wanted = self.data_columns();
        let len = rows.len();
        let own = self.width - self.constants.len();
        let repeated = |array: &ArrayRef| {
            let indices = arrow::array::UInt32Array::from(vec![0; len]);
            arrow::compute::take(array, &indices, None).ok()
        };
        let rows = Int64Array::from(rows);
        let arrays = self
            .columns
            .iter()
            .map(|at| match at.checked_sub(self.width) {
                None if *at >= own => self.constants.get(*at - own).and_then(repeated),
                None => wanted.binary_search(at).ok().and_then(|i| data.get(i)).cloned(),
                Some(0) => Some(Arc::new(Int32Array::from(vec![self.origin; len])) as ArrayRef),
                Some(_) => Some(Arc::new(rows.clone()) as ArrayRef),
            })
            .collect::<Option<Vec<_>>>()
            .unwrap_or_default();
        RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            arrays,
            &RecordBatchOptions::new().with_row_count(Some(len)),
        )
        .map_err(|_| Error::internal("MW0502", "a source handed over columns of another type than it declared"))
    }
}
