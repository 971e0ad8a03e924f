//! One JSON document: the columns, then the rows as objects, then how many there were.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use meshwork_core::Result;
use serde_json::json;

use super::{Encoder, Options, broken, ndjson, plain};

pub struct Json {
    schema: SchemaRef,
    query_id: String,
    warnings: Vec<String>,
    next: Option<(u64, String)>,
    rows: u64,
}

impl Json {
    pub fn new(schema: &SchemaRef, options: &Options) -> Self {
        Self {
            schema: plain::text_schema(schema),
            query_id: options.query_id.clone(),
            warnings: options.warnings.clone(),
            next: options.next.clone(),
            rows: 0,
        }
    }
}

impl Encoder for Json {
    fn begin(&mut self) -> Result<Vec<u8>> {
        let column = |field: &arrow::datatypes::FieldRef| json!({ "name": field.name(), "type": plain::type_name(field.data_type()), "nullable": field.is_nullable() });
        let columns: Vec<_> = self.schema.fields().iter().map(column).collect();
        let mut head = json!({ "query_id": self.query_id, "columns": columns });
        if !self.warnings.is_empty() {
            head["warnings"] = json!(self.warnings);
        }
        let mut text = serde_json::to_vec(&head).map_err(broken)?;
        text.pop();
        text.extend_from_slice(b",\"rows\":[");
        Ok(text)
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let lines = ndjson::lines(batch, &self.schema)?;
        let mut text = Vec::with_capacity(lines.len() + 2);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            text.extend_from_slice(if self.rows == 0 { b"\n" } else { b",\n" });
            text.extend_from_slice(line);
            self.rows += 1;
        }
        Ok(text)
    }

    fn end(&mut self) -> Result<Vec<u8>> {
        let mut tail = json!({ "row_count": self.rows });
        if let Some((_, link)) = self.next.take().filter(|(limit, _)| self.rows >= *limit) {
            tail["next"] = link.into();
        }
        let tail = serde_json::to_string(&tail).map_err(broken)?;
        Ok(format!("\n],{}\n", tail.trim_start_matches('{')).into_bytes())
    }
}
