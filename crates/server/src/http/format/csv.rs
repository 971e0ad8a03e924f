//! CSV with a header line; null and the empty text look the same there. Text that a spreadsheet would run as a formula
//! (`=`, `+`, `-`, `@`, tab or carriage return in front) gets an apostrophe before it, unless the client asks for the
//! raw text. Numbers are no text: `-5` stays.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericStringArray, OffsetSizeTrait};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use meshwork_core::{Error, Result};

use super::{Encoder, broken, plain};

pub struct Csv {
    schema: SchemaRef,
    raw: bool,
}

impl Csv {
    pub fn new(schema: &SchemaRef, raw: bool) -> Result<Self> {
        if let Some(nested) = schema.fields().iter().find(|field| field.data_type().is_nested()) {
            let message = format!(
                "CSV has no form for column `{}`, which is a {}",
                nested.name(),
                plain::type_name(nested.data_type())
            );
            return Err(Error::usage("MW0933", message).hint("leave the column out, or accept JSON, Arrow or Parquet"));
        }
        let schema = plain::text_schema(schema);
        let named = |field: &Arc<Field>| match raw {
            true => field.as_ref().clone(),
            false => field.as_ref().clone().with_name(defused(field.name()).unwrap_or_else(|| field.name().clone())),
        };
        let fields: Vec<Field> = schema.fields().iter().map(named).collect();
        Ok(Self { schema: Arc::new(Schema::new(fields)), raw })
    }

    fn write(&self, batch: &RecordBatch, header: bool) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut writer = WriterBuilder::new().with_header(header).build(&mut text);
        writer.write(batch).map_err(broken)?;
        drop(writer);
        Ok(text)
    }
}

impl Encoder for Csv {
    fn begin(&mut self) -> Result<Vec<u8>> {
        self.write(&RecordBatch::new_empty(self.schema.clone()), true)
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let batch = plain::batch(batch, &self.schema)?;
        if self.raw {
            return self.write(&batch, false);
        }
        let columns = batch.columns().iter().map(defuse_column).collect();
        self.write(&RecordBatch::try_new(self.schema.clone(), columns).map_err(broken)?, false)
    }

    fn end(&mut self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

fn defuse_column(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8 => defuse_text(column.as_string::<i32>()),
        DataType::LargeUtf8 => defuse_text(column.as_string::<i64>()),
        _ => column.clone(),
    }
}

fn defuse_text<O: OffsetSizeTrait>(column: &GenericStringArray<O>) -> ArrayRef {
    if !column.iter().flatten().any(is_formula) {
        return Arc::new(column.clone());
    }
    let cells = column.iter().map(|cell| cell.map(|text| defused(text).unwrap_or_else(|| text.to_owned())));
    Arc::new(cells.collect::<GenericStringArray<O>>())
}

fn defused(text: &str) -> Option<String> {
    is_formula(text).then(|| format!("'{text}"))
}

fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}
