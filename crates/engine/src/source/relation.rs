//! Rows of a database whose driver hands over values one by one: each becomes a text or bytes and meets its column's
//! type there, as the values of a text file do, so that nothing is rounded or taken for null on the way.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use meshwork_core::types::ColumnType;
use meshwork_core::{Error, Result};
use tokio::sync::mpsc::Sender;

use super::stream::Assembly;
use super::text::{TextColumn, TextType};
use super::{BATCH_BYTES, BATCH_ROWS, Range, Reading, Source, Typing};

/// One value as it came.
pub enum Cell<'v> {
    Null,
    Text(Cow<'v, str>),
    Bytes(&'v [u8]),
    /// Neither a null nor a value of any type here, such as the date `0000-00-00`.
    Impossible,
}

/// The columns of a table or query.
#[derive(Clone, Debug)]
pub struct Relation {
    pub input: String,
    names: Vec<String>,
    types: Vec<TextType>,
    /// Whether the contract has a column of this name, which then answers for values that do not fit.
    promised: Vec<bool>,
    schema: SchemaRef,
    reading: Reading,
}

impl Relation {
    /// `columns`: with the type that each has where the contract gives none.
    pub fn new(input: &str, columns: Vec<(String, ColumnType)>, typing: &Typing, reading: Reading) -> Self {
        let promised = columns.iter().map(|(name, _)| typing.get(name).is_some()).collect();
        let json = |ty| TextType { json: true, ..TextType::plain(ty) };
        let (names, types): (Vec<_>, Vec<_>) = columns
            .into_iter()
            .map(|(name, ty)| {
                let ty = typing.get(&name).cloned().unwrap_or_else(|| json(ty));
                (name, ty)
            })
            .unzip();
        let field = |(name, ty): (&String, &TextType)| ArrowField::new(name, ty.arrow(), true);
        let schema = Arc::new(Schema::new(names.iter().zip(&types).map(field).collect::<Vec<_>>()));
        Self { input: input.to_owned(), names, types, promised, schema, reading }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A column's place, and the type that its values get.
    pub fn column(&self, name: &str) -> Option<(usize, &TextType)> {
        let at = self.names.iter().position(|own| own == name)?;
        Some((at, &self.types[at]))
    }

    fn misfit(&self, column: usize, row: u64) -> Error {
        let (name, ty) = (&self.names[column], &self.types[column].native);
        let message = format!("input `{}`: row {row} has a value in `{name}` that does not fit {ty}", self.input);
        Error::check("MW0523", message).hint("use `query:` and cast it there, or declare the column in the contract")
    }
}

/// A database that can be read.
#[async_trait]
pub trait Reader: std::fmt::Debug + Send + Sync + 'static {
    fn relation(&self) -> &Relation;
    /// One that is asked for the rows of a range only, where it can be.
    fn within(&self, range: &Range) -> Option<Self>
    where
        Self: Sized;
    /// Reads the wanted columns of all rows into `rows`, until it says that nobody wants more.
    async fn read(&self, rows: &mut Rows<'_>) -> Result<()>;
}

/// Rows on their way into batches.
pub struct Rows<'r> {
    relation: &'r Relation,
    assembly: &'r Assembly,
    wanted: Vec<usize>,
    columns: Vec<TextColumn>,
    sender: Sender<datafusion::error::Result<RecordBatch>>,
    total: u64,
    count: usize,
    bytes: u64,
}

impl Rows<'_> {
    /// The columns to read, in the order in which `add` wants their cells.
    pub fn wanted(&self) -> &[usize] {
        &self.wanted
    }

    /// Adds one row; `false` when nobody wants more.
    pub async fn add(&mut self, cells: &[Cell<'_>]) -> Result<bool> {
        self.total += 1;
        for ((column, at), cell) in self.columns.iter_mut().zip(&self.wanted).zip(cells) {
            let fits = match cell {
                Cell::Null => {
                    column.append_null();
                    true
                }
                Cell::Text(text) => {
                    self.bytes += text.len() as u64;
                    column.append(text)
                }
                Cell::Bytes(bytes) => {
                    self.bytes += bytes.len() as u64;
                    column.append_bytes(bytes)
                }
                Cell::Impossible => {
                    column.append_null();
                    false
                }
            };
            if !fits {
                if !self.relation.promised[*at] {
                    return Err(self.relation.misfit(*at, self.total));
                }
                let place = format!("input {}", self.relation.input);
                self.relation.reading.unfit.record(&self.relation.names[*at], &place, self.total, None, Vec::new);
            }
        }
        self.count += 1;
        if self.count < BATCH_ROWS && self.bytes < BATCH_BYTES { Ok(true) } else { self.flush().await }
    }

    async fn flush(&mut self) -> Result<bool> {
        let count = std::mem::take(&mut self.count);
        self.relation.reading.meter.add(count as u64, std::mem::take(&mut self.bytes));
        if count == 0 {
            return Ok(true);
        }
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(TextColumn::finish).collect();
        let batch = self.assembly.batch(&arrays, vec![0; count])?;
        Ok(self.sender.send(Ok(batch)).await.is_ok())
    }
}

/// A reader as a source.
#[derive(Debug)]
pub struct RelationSource<R>(pub Arc<R>);

impl<R: Reader> Source for RelationSource<R> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.relation().schema)
    }

    /// Rows of a table have no place that somebody could look up.
    fn has_origin(&self) -> bool {
        false
    }

    fn within(&self, range: &Range) -> Option<Arc<dyn Source>> {
        Some(Arc::new(Self(Arc::new(self.0.within(range)?))))
    }

    fn partitions(&self, columns: &[usize]) -> Vec<Arc<dyn PartitionStream>> {
        let assembly = Assembly::new(&self.0.relation().schema, columns, 0);
        let schema = Arc::clone(assembly.schema());
        vec![Arc::new(Partition { reader: Arc::clone(&self.0), assembly: Arc::new(assembly), schema })]
    }
}

#[derive(Debug)]
struct Partition<R> {
    reader: Arc<R>,
    assembly: Arc<Assembly>,
    schema: SchemaRef,
}

impl<R: Reader> PartitionStream for Partition<R> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), 2);
        let sender = builder.tx();
        let (reader, assembly) = (Arc::clone(&self.reader), Arc::clone(&self.assembly));
        builder.spawn(async move {
            let relation = reader.relation();
            let wanted = assembly.data_columns();
            let columns = wanted.iter().map(|at| TextColumn::new(&relation.types[*at])).collect();
            let (assembly, total, count, bytes) = (assembly.as_ref(), 0, 0, 0);
            let mut rows = Rows { relation, assembly, wanted, columns, sender, total, count, bytes };
            let done = reader.read(&mut rows).await;
            let done = match done {
                Ok(()) => rows.flush().await.map(|_| ()),
                failed => failed,
            };
            done.map_err(|error| DataFusionError::External(Box::new(error)))
        });
        builder.build()
    }
}
