//! Parquet files of others. A footer or page that does not hold is an error that names the file.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef};
use datafusion::physical_plan::streaming::PartitionStream;
use meshwork_core::{Error, Result};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{PARQUET_FIELD_ID_META_KEY, ProjectionMask};

use super::file::SourceFile;
use super::stream::{Assembly, FilePartition, Sink};
use super::text::{TextColumn, TextType};
use super::{BATCH_ROWS, Reading, Source, Typing};

#[derive(Debug)]
struct ParquetSource {
    /// The columns of the files, then those that their folders name.
    schema: SchemaRef,
    types: Vec<TextType>,
    files: Vec<SourceFile>,
    reading: Reading,
}

pub fn open(files: Vec<SourceFile>, typing: &Typing, reading: Reading) -> Result<Arc<dyn Source>> {
    let keys = |file: &SourceFile| file.partitions.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    let mut known: Option<(SchemaRef, &SourceFile)> = None;
    for file in &files {
        let schema = columns(&builder(file)?);
        match &known {
            None => known = Some((schema, file)),
            Some((expected, first)) if *expected != schema => return Err(differs(first, expected, file, &schema)),
            Some(_) => {}
        }
    }
    let schema = known.map_or_else(|| Arc::new(Schema::empty()), |(schema, _)| schema);
    let folders: Vec<String> = files.first().map(&keys).unwrap_or_default();
    if let Some(other) = files.iter().find(|file| keys(file) != folders) {
        let (first, names) = (&files[0].name, folders.join(", "));
        return Err(Error::check(
            "MW0507",
            format!("`{}` lies in folders of other names than `{first}` ({names})", other.name),
        )
        .hint("all files of one source lie in folders of the same names, such as `year=…/month=…`"));
    }
    // A column that the file itself has counts; its folder only repeats it.
    let folders: Vec<String> = folders.into_iter().filter(|key| schema.index_of(key).is_err()).collect();
    let types: Vec<TextType> = folders.iter().map(|key| typing.or_text(key)).collect();
    let own = schema.fields().iter().cloned();
    let named = folders.iter().zip(&types).map(|(key, ty)| Arc::new(ArrowField::new(key, ty.arrow(), true)));
    let schema = Arc::new(Schema::new(own.chain(named).collect::<Vec<_>>()));
    Ok(Arc::new(ParquetSource { schema, types, files, reading }))
}

impl ParquetSource {
    /// One row of what the folders of a file say. A text that does not fit its type is a failing row, told once.
    fn constants(&self, file: &SourceFile) -> Vec<ArrayRef> {
        let own = self.schema.fields().len() - self.types.len();
        let value = |(ty, field): (&TextType, &Arc<ArrowField>)| {
            let mut column = TextColumn::new(ty);
            let text =
                file.partitions.iter().find(|(key, _)| key == field.name()).and_then(|(_, value)| value.as_deref());
            match text {
                None => column.append_null(),
                Some(text) => {
                    if !column.append(text) {
                        self.reading.unfit.record(field.name(), &file.name, 0, None, Vec::new);
                    }
                }
            }
            column.finish()
        };
        self.types.iter().zip(&self.schema.fields()[own..]).map(value).collect()
    }
}

impl Source for ParquetSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn has_origin(&self) -> bool {
        true
    }

    fn partitions(&self, columns: &[usize]) -> Vec<Arc<dyn PartitionStream>> {
        self.files
            .iter()
            .map(|file| {
                let origin = self.reading.origins.add(&file.name);
                let assembly = Assembly::new(&self.schema, columns, origin).with_constants(self.constants(file));
                let (reading, schema) = (self.reading.clone(), Arc::clone(&self.schema));
                FilePartition::of(file, assembly, move |file, assembly, sink| {
                    read(file, &schema, assembly, &reading, sink)
                })
            })
            .collect()
    }
}

fn builder(file: &SourceFile) -> Result<ParquetRecordBatchReaderBuilder<std::fs::File>> {
    let opened = file.open()?;
    // A damaged footer can make the reader panic instead of fail.
    std::panic::catch_unwind(|| ParquetRecordBatchReaderBuilder::try_new(opened))
        .map_err(|_| damaged(&file.name))?
        .map_err(|_| damaged(&file.name))
}

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Footer {
    columns: Vec<FooterColumn>,
    pub rows: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct FooterColumn {
    name: String,
    ty: DataType,
    int96: bool,
    /// The number that its writer gave it.
    id: Option<i64>,
}

impl Footer {
    /// `None` for a file that says to have fewer rows than none.
    pub fn of(metadata: &ArrowReaderMetadata) -> Option<Self> {
        let int96 = |name: &str| {
            let columns = metadata.parquet_schema().columns();
            columns.iter().any(|c| c.path().parts() == [name] && c.physical_type() == parquet::basic::Type::INT96)
        };
        let columns = metadata.schema().fields().iter().map(|field| FooterColumn {
            name: field.name().clone(),
            ty: plain(field.data_type()),
            int96: int96(field.name()),
            id: field.metadata().get(PARQUET_FIELD_ID_META_KEY).and_then(|id| id.parse().ok()),
        });
        // What `count(*)` is answered with.
        let rows: i64 = metadata.metadata().row_groups().iter().map(|group| group.num_rows()).sum();
        Some(Self { columns: columns.collect(), rows: u64::try_from(rows).ok()? })
    }

    pub fn column(&self, name: &str) -> Option<&DataType> {
        self.columns.iter().find(|column| column.name == name).map(|column| &column.ty)
    }

    /// Whether the column holds the old timestamps of 96 bits.
    pub fn is_int96(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name == name && column.int96)
    }

    /// Whether the column of this number has this name, should the file have it.
    pub fn knows(&self, name: &str, id: i64) -> bool {
        self.columns.iter().all(|column| (column.name == name) == (column.id == Some(id)))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }
}

/// The footer of a file, with what the file system says of the file that it was read from.
pub(crate) fn footer(file: &SourceFile) -> Result<(Footer, std::fs::Metadata)> {
    let opened = file.open()?;
    let meta = opened.metadata().map_err(|error| file.unreadable(&error))?;
    let metadata = std::panic::catch_unwind(|| ArrowReaderMetadata::load(&opened, ArrowReaderOptions::default()))
        .map_err(|_| damaged(&file.name))?
        .map_err(|_| damaged(&file.name))?;
    let footer = Footer::of(&metadata).ok_or_else(|| damaged(&file.name))?;
    Ok((footer, meta))
}

pub(crate) fn damaged(file: &str) -> Error {
    Error::environment("MW0509", format!("`{file}` is not a whole Parquet file"))
        .hint("it may have been cut off while it was copied or written: compare its size with the original, or write it again")
}

/// The file's columns, without metadata, all nullable; types that no reader of ours knows are an error only when used.
fn columns(builder: &ParquetRecordBatchReaderBuilder<std::fs::File>) -> SchemaRef {
    let fields = builder.schema().fields().iter();
    Arc::new(Schema::new(fields.map(|f| ArrowField::new(f.name(), plain(f.data_type()), true)).collect::<Vec<_>>()))
}

fn plain(ty: &DataType) -> DataType {
    match ty {
        DataType::Dictionary(_, value) => plain(value),
        other => other.clone(),
    }
}

pub(super) fn differs(first: &SourceFile, expected: &Schema, file: &SourceFile, found: &Schema) -> Error {
    let describe = |f: &ArrowField| format!("`{}` ({})", f.name(), f.data_type());
    let missing = expected.fields().iter().filter(|f| !found.fields().iter().any(|g| g == *f)).map(|f| describe(f));
    let extra = found.fields().iter().filter(|f| !expected.fields().iter().any(|g| g == *f)).map(|f| describe(f));
    let (missing, extra): (Vec<_>, Vec<_>) = (missing.collect(), extra.collect());
    let what = match (missing.is_empty(), extra.is_empty()) {
        (true, true) => "has the columns in another order".to_owned(),
        (false, true) => format!("lacks {}", missing.join(", ")),
        (true, false) => format!("adds {}", extra.join(", ")),
        (false, false) => format!("has {} instead of {}", extra.join(", "), missing.join(", ")),
    };
    Error::check("MW0507", format!("`{}` {what} compared with `{}`", file.name, first.name))
        .hint("all files of one source have the same columns; read files of another shape as an input of their own")
}

fn read(file: &SourceFile, schema: &Schema, assembly: &Assembly, reading: &Reading, sink: Sink<'_>) -> Result<()> {
    let builder = builder(file)?;
    let found = columns(&builder);
    // The file may have changed since its columns were read.
    if schema.fields().get(..found.fields().len()) != Some(&found.fields()[..]) {
        return Err(differs(file, schema, file, &found));
    }
    let wanted = assembly.data_columns();
    let bytes: i64 = builder
        .metadata()
        .row_groups()
        .iter()
        .flat_map(|group| group.columns())
        .filter(|column| {
            let root = column.column_path().parts().first();
            root.is_some_and(|root| wanted.iter().any(|at| schema.field(*at).name() == root))
        })
        .map(|column| column.compressed_size())
        .sum();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.iter().copied());
    let reader = builder.with_batch_size(BATCH_ROWS).with_projection(mask).build().map_err(|_| damaged(&file.name))?;
    reading.meter.add(0, u64::try_from(bytes).unwrap_or(0));
    let batches = reader.map(|batch| {
        let batch = batch.map_err(|_| damaged(&file.name))?;
        reading.meter.add(batch.num_rows() as u64, 0);
        Ok(batch)
    });
    assembly.hand_on(batches, schema, || damaged(&file.name), sink).map(|_| ())
}

#[cfg(test)]
mod tests;
