//! Avro object container files, with the codecs that Avro knows. The schema is the file's own.

mod blocks;

use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use arrow_avro::reader::{Reader, ReaderBuilder};
use datafusion::physical_plan::streaming::PartitionStream;
use meshwork_core::{Error, Result};

use super::content;
use super::file::SourceFile;
use super::parquet::differs;
use super::stream::{Assembly, FilePartition, Sink};
use super::{BATCH_ROWS, Reading, Source};

#[derive(Debug)]
struct AvroSource {
    schema: SchemaRef,
    files: Vec<SourceFile>,
    reading: Reading,
}

pub fn open(files: Vec<SourceFile>, reading: Reading) -> Result<Arc<dyn Source>> {
    let mut known: Option<(SchemaRef, &SourceFile)> = None;
    for file in &files {
        let schema = columns(&reader(file)?);
        match &known {
            None => known = Some((schema, file)),
            Some((expected, first)) if *expected != schema => return Err(differs(first, expected, file, &schema)),
            Some(_) => {}
        }
    }
    let schema = known.map_or_else(|| Arc::new(Schema::empty()), |(schema, _)| schema);
    Ok(Arc::new(AvroSource { schema, files, reading }))
}

impl Source for AvroSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn has_origin(&self) -> bool {
        true
    }

    fn partitions(&self, columns: &[usize]) -> Vec<Arc<dyn PartitionStream>> {
        let (reading, schema) = (self.reading.clone(), Arc::clone(&self.schema));
        let read =
            move |file: &SourceFile, assembly: &Assembly, sink: Sink<'_>| read(file, &schema, assembly, &reading, sink);
        FilePartition::of_each(&self.files, &self.schema, columns, &self.reading.origins, read)
    }
}

fn reader(file: &SourceFile) -> Result<Reader<BufReader<content::Bytes>>> {
    let input = BufReader::with_capacity(256 << 10, content::bytes(file)?);
    // A damaged header can make a reader panic instead of fail.
    catch_unwind(AssertUnwindSafe(|| ReaderBuilder::new().with_batch_size(BATCH_ROWS).build(input)))
        .map_err(|_| damaged(file))?
        .map_err(|_| damaged(file))
}

fn damaged(file: &SourceFile) -> Error {
    Error::environment(
        "MW0536",
        format!("`{}` is not a whole Avro file, or has a schema that cannot be read", file.name),
    )
    .hint("it may have been cut off while it was copied or written: compare its size with the original")
}

fn columns(reader: &Reader<BufReader<content::Bytes>>) -> SchemaRef {
    let schema = reader.schema();
    let fields = schema.fields().iter();
    Arc::new(Schema::new(fields.map(|f| ArrowField::new(f.name(), plain(f.data_type()), true)).collect::<Vec<_>>()))
}

/// Enums as their words, moments in UTC, times of day as text.
fn plain(ty: &DataType) -> DataType {
    match ty {
        DataType::Dictionary(_, value) => plain(value),
        DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => {
            DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
        }
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Timestamp(TimeUnit::Millisecond, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Utf8,
        other => other.clone(),
    }
}

fn read(file: &SourceFile, schema: &Schema, assembly: &Assembly, reading: &Reading, sink: Sink<'_>) -> Result<()> {
    let reader = reader(file)?;
    let found = columns(&reader);
    if found.fields() != schema.fields() {
        return Err(differs(file, schema, file, &found));
    }
    // The reader takes a last block that was cut off for the end of the file.
    let expected = blocks::records(file)?;
    let wanted = assembly.data_columns();
    let batches = reader.map(|batch| {
        let batch = batch.map_err(|_| damaged(file))?;
        reading.meter.add(batch.num_rows() as u64, batch.get_array_memory_size() as u64);
        batch.project(&wanted).map_err(|_| damaged(file))
    });
    match assembly.hand_on(batches, schema, || damaged(file), sink)? {
        Some(rows) if rows != expected => Err(damaged(file)),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
