//! The Arrow IPC streaming format.

use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use meshwork_core::Result;

use super::{Encoder, broken};

pub struct ArrowStream {
    writer: StreamWriter<Vec<u8>>,
}

impl ArrowStream {
    pub fn new(schema: &SchemaRef) -> Result<Self> {
        let writer = StreamWriter::try_new(Vec::new(), schema).map_err(broken)?;
        Ok(Self { writer })
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.get_mut())
    }
}

impl Encoder for ArrowStream {
    fn begin(&mut self) -> Result<Vec<u8>> {
        Ok(self.take())
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        self.writer.write(batch).map_err(broken)?;
        Ok(self.take())
    }

    fn end(&mut self) -> Result<Vec<u8>> {
        self.writer.finish().map_err(broken)?;
        Ok(self.take())
    }
}
