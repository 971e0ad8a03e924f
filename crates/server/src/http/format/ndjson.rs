//! One JSON object a row, one row a line. A result that breaks off ends in a line `{"$problem": …}`.

use arrow::datatypes::SchemaRef;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::record_batch::RecordBatch;
use meshwork_core::Result;

use super::{Encoder, Problem, broken, plain};

pub struct NdJson {
    schema: SchemaRef,
}

impl NdJson {
    pub fn new(schema: &SchemaRef) -> Self {
        Self { schema: plain::text_schema(schema) }
    }
}

/// Every member is there, also a null one.
pub fn lines(batch: &RecordBatch, schema: &SchemaRef) -> Result<Vec<u8>> {
    let batch = plain::batch(batch, schema)?;
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(&batch).map_err(broken)?;
    writer.finish().map_err(broken)?;
    Ok(writer.into_inner())
}

impl Encoder for NdJson {
    fn begin(&mut self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        lines(batch, &self.schema)
    }

    fn end(&mut self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn fail(&mut self, problem: &Problem) -> Option<Vec<u8>> {
        let mut line = serde_json::to_vec(&serde_json::json!({ "$problem": problem })).ok()?;
        line.push(b'\n');
        Some(line)
    }
}
