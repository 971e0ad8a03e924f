//! The keys of all rows of a batch, written aside: rows that share one are found when the last row has come.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, new_null_array};
use arrow::datatypes::{DataType, Field as ArrowField, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use meshwork_control::port::data::OutputSpec;
use meshwork_core::{Error, Result};
use parquet::arrow::ArrowWriter;

use super::UniqueRule;
use crate::source::{ORIGIN, ROW};
use crate::storage::fault::storage_error;
use crate::write::check::{SetAside, Stored};
use crate::write::set::files_table;

/// The place of a row among those that were written; -1 for one that is set aside already.
pub const PLACE: &str = "__mw_place";

pub struct Keys {
    path: PathBuf,
    schema: SchemaRef,
    /// Columns of the table that stand in some key.
    columns: Vec<usize>,
    writer: Option<ArrowWriter<File>>,
    next: i64,
    rows: u64,
}

impl Keys {
    pub fn new(path: PathBuf, output: &OutputSpec, rules: &[UniqueRule]) -> Self {
        let fields = output.table.fields.iter().enumerate();
        let columns: Vec<usize> = fields
            .filter(|(_, field)| rules.iter().any(|rule| rule.columns.contains(&field.name)))
            .map(|(at, _)| at)
            .collect();
        let mut schema = vec![
            ArrowField::new(PLACE, DataType::Int64, false),
            ArrowField::new(ORIGIN, DataType::Int32, true),
            ArrowField::new(ROW, DataType::Int64, true),
        ];
        schema.extend(columns.iter().map(|at| {
            let field = &output.table.fields[*at];
            ArrowField::new(&field.name, crate::native::arrow_type(&field.native), true)
        }));
        Self { path, schema: Arc::new(Schema::new(schema)), columns, writer: None, next: 0, rows: 0 }
    }

    /// Rows that are written, in the order in which they are.
    pub fn good(&mut self, stored: &Stored) -> Result<()> {
        let n = i64::try_from(stored.rows.num_rows()).unwrap_or(i64::MAX);
        let places = Int64Array::from_iter_values(self.next..self.next + n);
        self.next += n;
        self.add(places, stored.origin.clone(), stored.rows.columns())
    }

    pub fn bad(&mut self, set_aside: &SetAside) -> Result<()> {
        let places = Int64Array::from(vec![-1; set_aside.broken.len()]);
        self.add(places, None, &set_aside.columns)
    }

    fn add(&mut self, places: Int64Array, origin: Option<(ArrayRef, ArrayRef)>, columns: &[ArrayRef]) -> Result<()> {
        let n = places.len();
        if self.columns.is_empty() || n == 0 {
            return Ok(());
        }
        let (file, row) =
            origin.unwrap_or_else(|| (new_null_array(&DataType::Int32, n), new_null_array(&DataType::Int64, n)));
        let mut all: Vec<ArrayRef> = vec![Arc::new(places), file, row];
        all.extend(self.columns.iter().map(|at| Arc::clone(&columns[*at])));
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), all)
            .map_err(|_| Error::internal("MW0605", "the keys of a batch do not have the contract's types"))?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let file = File::create(&self.path).map_err(|error| fault(&error))?;
                none.insert(ArrowWriter::try_new(file, Arc::clone(&self.schema), None).map_err(|error| fault(&error))?)
            }
        };
        writer.write(&batch).map_err(|error| fault(&error))?;
        self.rows += n as u64;
        Ok(())
    }

    /// Ends the file.
    pub fn close(&mut self) -> Result<Written> {
        if let Some(writer) = self.writer.take() {
            writer.close().map_err(|error| fault(&error))?;
        }
        Ok(Written { path: self.path.clone(), schema: Arc::clone(&self.schema), rows: self.rows })
    }
}

/// The same, written.
pub struct Written {
    path: PathBuf,
    schema: SchemaRef,
    rows: u64,
}

impl Written {
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub fn table(&self) -> Result<Arc<dyn TableProvider>> {
        let files = if self.is_empty() { Vec::new() } else { vec![self.path.clone()] };
        files_table(&files, &self.schema)
    }
}

fn fault(error: &(dyn std::error::Error + 'static)) -> Error {
    storage_error("writing the run's temporary folder", error)
}

/// A column of numbers, as found.
pub fn numbers(batches: &[RecordBatch], column: usize) -> impl Iterator<Item = Option<i64>> + '_ {
    batches.iter().flat_map(move |batch| {
        let array = batch.column(column).as_primitive::<Int64Type>();
        (0..array.len()).map(move |row| array.is_valid(row).then(|| array.value(row)))
    })
}
