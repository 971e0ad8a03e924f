//! Parquet, a row group at a time: what is held is at most one row group.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use meshwork_core::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::{Encoder, broken, plain};

/// Encoded bytes after which a row group is closed and sent.
const ROW_GROUP_BYTES: usize = 8 << 20;

pub struct Parquet {
    schema: SchemaRef,
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl Parquet {
    pub fn new(schema: &SchemaRef) -> Result<Self> {
        let names = plain::distinct_names(schema);
        let named = schema.fields().iter().zip(names).map(|(field, name)| field.as_ref().clone().with_name(name));
        let schema = Arc::new(Schema::new(named.collect::<Vec<Field>>()));
        let properties = WriterProperties::builder()
            .set_created_by("meshwork".to_owned())
            .set_compression(Compression::SNAPPY)
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).map_err(|error| {
            Error::usage("MW0933", format!("Parquet has no form for these columns: {error}"))
                .hint("leave out or cast the column, or accept JSON or Arrow")
        })?;
        Ok(Self { schema, writer: Some(writer) })
    }

    fn open(&mut self) -> Result<&mut ArrowWriter<Vec<u8>>> {
        self.writer.as_mut().ok_or_else(|| broken("the file is already closed"))
    }
}

impl Encoder for Parquet {
    fn begin(&mut self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let batch = plain::batch(batch, &self.schema)?;
        let writer = self.open()?;
        writer.write(&batch).map_err(broken)?;
        if writer.in_progress_size() >= ROW_GROUP_BYTES {
            writer.flush().map_err(broken)?;
        }
        // The writer counts positions by itself, so what it has handed over may leave.
        Ok(std::mem::take(writer.inner_mut()))
    }

    fn end(&mut self) -> Result<Vec<u8>> {
        let writer = self.writer.take().ok_or_else(|| broken("the file is already closed"))?;
        writer.into_inner().map_err(broken)
    }
}
