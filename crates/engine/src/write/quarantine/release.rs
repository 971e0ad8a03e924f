//! Rows that leave the quarantine: as they were set aside, or as somebody has repaired them.
//!
//! They come back as batches of the table's columns, each with the row's number as its origin. What did not fit its
//! column's type comes as the text that it was, to be judged by the contract of today.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, StringArray, UInt64Array, new_null_array};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{DataType, Field as ArrowField, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use meshwork_control::port::data::{FilesSpec, OutputSpec, ReleaseSpec, Repaired, RepairedFormat, SourceSpec};
use meshwork_core::contract::{Field, Table};
use meshwork_core::product::{Absent, CsvOptions, JsonOptions};
use meshwork_core::quarantine::{self, PREFIX, RAW, ROW as NUMBER, RUN, raw_name};
use meshwork_core::types::{ColumnType, LogicalType};
use meshwork_core::{Error, Result};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use serde_json::Value;

use super::file::rows as rows_of;
use crate::native::COLUMN_ID;
use crate::source::text::{TextType, parse_column};
use crate::source::{self, Access, ORIGIN, ROW, Reading};
use crate::storage::fault::storage_error;
use crate::storage::log::TableLog;
use crate::storage::stores::Stores;
use crate::write::convert::convertible;
use crate::write::session;

/// The rows of a release, batch by batch.
pub struct Released {
    table: Table,
    log: TableLog,
    files: Vec<String>,
    open: Option<ParquetRecordBatchReader>,
    released: quarantine::Rows,
    repaired: Option<Repairs>,
    origin: i32,
    what: String,
    ready: Vec<RecordBatch>,
    /// Rows that cannot be tried again, with the clause that says why.
    pub stuck: Vec<(u64, String)>,
}

impl Released {
    pub async fn open(
        output: &OutputSpec,
        release: &ReleaseSpec,
        reading: &Reading,
        context: &SessionContext,
        (access, stores): (&Access, &Stores),
        scratch: &Path,
    ) -> Result<Self> {
        let log = TableLog::open(stores, &quarantine::location(&output.location), false).await?;
        let path = |add: &Value| add.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
        let files = release.files.iter().rev().map(path).collect();
        let repaired = match &release.repaired {
            Some(repaired) => Some(Repairs::read(repaired, output, release, context, access, scratch).await?),
            None => None,
        };
        Ok(Self {
            table: output.table.clone(),
            log,
            files,
            open: None,
            released: release.released.clone(),
            repaired,
            origin: reading.origins.add(&format!("quarantine of run {}", release.of)),
            what: format!("the quarantine of output `{}`", output.name),
            ready: Vec::new(),
            stuck: Vec::new(),
        })
    }

    fn fault(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        storage_error(&format!("reading {}", self.what), error)
    }

    /// On a thread that may block.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop() {
                return Ok(Some(batch));
            }
            let Some(reader) = &mut self.open else {
                let Some(path) = self.files.pop() else {
                    return self.repaired.as_ref().map_or(Ok(()), Repairs::finish).map(|()| None);
                };
                let opened = tokio::runtime::Handle::current().block_on(rows_of(&self.log, &path))?;
                self.open = Some(opened);
                continue;
            };
            match reader.next() {
                None => self.open = None,
                Some(Err(error)) => return Err(self.fault(&error)),
                Some(Ok(batch)) => self.ready = self.batches(&batch)?,
            }
        }
    }

    /// The rows of a batch of a file that are to be tried, as batches of which each column is of one kind.
    fn batches(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let numbers = number_column(batch).ok_or_else(|| self.fault(&Missing))?;
        let wanted = |number: u64| {
            !self.released.contains(number) && self.repaired.as_ref().is_none_or(|repaired| repaired.has(number))
        };
        let mut rows: Vec<usize> = (0..batch.num_rows()).filter(|row| wanted(numbers[*row])).collect();
        if let Some(repaired) = &mut self.repaired {
            rows.iter().for_each(|row| repaired.met(numbers[*row]));
        }
        let stored: Vec<Option<usize>> = self.table.fields.iter().map(|field| place_of(batch, field)).collect();
        if stored.iter().all(Option::is_none) {
            return Err(Error::check("MW0682", format!("{} has none of the columns of today's contract", self.what))
                .hint("run the product: it judges its input again"));
        }
        let columns: Vec<Column<'_>> = self
            .table
            .fields
            .iter()
            .zip(&stored)
            .map(|(field, at)| Column::of(batch, field, *at, self.repaired.as_ref()))
            .collect::<Result<_>>()?;
        for (field, column) in self.table.fields.iter().zip(&columns) {
            // A value that was no text stays none, however often it is tried.
            rows.retain(|row| {
                let sticks = column.sticks(field, *row, numbers[*row]);
                if sticks {
                    self.stuck.push((numbers[*row], format!("{}.type", field.name)));
                }
                !sticks
            });
        }
        let mut kinds: BTreeMap<Vec<bool>, Vec<usize>> = BTreeMap::new();
        for row in rows {
            kinds.entry(columns.iter().map(|column| column.is_raw(row)).collect()).or_default().push(row);
        }
        let made = kinds.into_iter().map(|(raw, rows)| {
            let indices = UInt64Array::from_iter_values(rows.iter().map(|row| *row as u64));
            let mut fields = Vec::new();
            let mut arrays: Vec<ArrayRef> = Vec::new();
            for ((field, column), raw) in self.table.fields.iter().zip(&columns).zip(raw) {
                let array = column.array(raw, &rows, &numbers, &indices, &self.what)?;
                fields.push(ArrowField::new(&field.name, array.data_type().clone(), true));
                arrays.push(array);
            }
            fields.push(ArrowField::new(ORIGIN, DataType::Int32, true));
            fields.push(ArrowField::new(ROW, DataType::Int64, true));
            arrays.push(Arc::new(Int32Array::from(vec![self.origin; rows.len()])));
            let number = |row: &usize| i64::try_from(numbers[*row]).unwrap_or(i64::MAX);
            arrays.push(Arc::new(rows.iter().map(number).collect::<Int64Array>()));
            RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|error| self.fault(&error))
        });
        made.collect()
    }
}

#[derive(Debug)]
struct Missing;

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it does not number its rows")
    }
}

impl std::error::Error for Missing {}

fn number_column(batch: &RecordBatch) -> Option<Vec<u64>> {
    let numbers = batch.column_by_name(NUMBER)?.as_primitive_opt::<Int64Type>()?.clone();
    numbers.iter().map(|number| u64::try_from(number?).ok()).collect()
}

/// By identity, then by name.
fn place_of(batch: &RecordBatch, field: &Field) -> Option<usize> {
    let schema = batch.schema();
    let by_id = field.id.as_ref().and_then(|id| {
        schema.fields().iter().position(|f| f.metadata().get(COLUMN_ID).is_some_and(|known| *known == id.to_string()))
    });
    by_id.or_else(|| schema.index_of(&field.name).ok())
}

/// One column of the table, as it is to be tried.
enum Column<'a> {
    /// From the repaired file, by row number.
    Repaired {
        texts: &'a HashMap<u64, Option<String>>,
        cleared: &'a HashSet<u64>,
        stored: Option<ArrayRef>,
        raw: Option<StringArray>,
        format: Option<TextType>,
    },
    Stored {
        array: ArrayRef,
        raw: Option<StringArray>,
    },
    /// The contract has it only since.
    Absent(DataType),
}

impl<'a> Column<'a> {
    fn of(batch: &RecordBatch, field: &Field, at: Option<usize>, repaired: Option<&'a Repairs>) -> Result<Self> {
        let stored = at.map(|at| Arc::clone(batch.column(at)));
        let raw = at.and_then(|at| batch.column_by_name(&raw_name(batch.schema().field(at).name())));
        let raw = raw.and_then(|raw| raw.as_string_opt::<i32>()).cloned();
        if let Some((texts, repairs)) = repaired.and_then(|all| Some((all.columns.get(&field.name)?, all))) {
            let ty = TextType::of(field);
            let format = ty.format.is_some().then_some(ty);
            return Ok(Self::Repaired { texts, cleared: &repairs.cleared, stored, raw, format });
        }
        let Some(array) = stored else {
            return Ok(Self::Absent(crate::native::arrow_type(&field.native)));
        };
        if !convertible(array.data_type(), &field.native) {
            let message =
                format!("the column `{}` was set aside as another type than the contract has now", field.name);
            return Err(Error::check("MW0682", message).hint("run the product: it judges its input again"));
        }
        Ok(Self::Stored { array, raw })
    }

    fn is_raw(&self, row: usize) -> bool {
        matches!(self, Self::Stored { raw: Some(raw), .. } if raw.is_valid(row))
    }

    /// Whether what stood there would be taken for a text only because it is shown as one.
    fn sticks(&self, field: &Field, row: usize, number: u64) -> bool {
        let ty = TextType::of(field);
        let plain = ty.native == ColumnType::Text && !ty.time_of_day && !ty.json;
        match self {
            Self::Stored { array, .. } => plain && *array.data_type() == DataType::Utf8 && self.is_raw(row),
            Self::Repaired { stored: Some(array), .. } => {
                plain && *array.data_type() == DataType::Utf8 && self.left(row, number).is_some()
            }
            _ => false,
        }
    }

    /// What did not fit and was left so: its field in the file is empty because it was shown empty. Whoever means no value
    /// empties `_quarantine_raw` as well.
    fn left(&self, row: usize, number: u64) -> Option<&str> {
        let Self::Repaired { texts, cleared, raw: Some(raw), .. } = self else { return None };
        let untouched = texts.get(&number).is_none_or(Option::is_none) && !cleared.contains(&number);
        (untouched && raw.is_valid(row)).then(|| raw.value(row))
    }

    fn array(&self, raw: bool, rows: &[usize], numbers: &[u64], indices: &UInt64Array, what: &str) -> Result<ArrayRef> {
        let failed = |_| Error::internal("MW0605", format!("rows of {what} cannot be read back"));
        match self {
            Self::Absent(ty) => Ok(new_null_array(ty, rows.len())),
            Self::Stored { raw: Some(texts), .. } if raw => take(texts, indices, None).map_err(failed),
            Self::Stored { array, .. } => take(array, indices, None).map_err(failed),
            Self::Repaired { texts, stored, format, .. } => {
                // The file's empty field is an empty text where there was one.
                let kept_empty = |row: usize| {
                    let text = stored.as_ref().and_then(|stored| stored.as_string_opt::<i32>());
                    text.is_some_and(|text| text.is_valid(row) && text.value(row).is_empty()).then(String::new)
                };
                let text = |row: &usize| {
                    let given = texts.get(&numbers[*row]).cloned().flatten();
                    let left = || self.left(*row, numbers[*row]).map(str::to_owned);
                    given.or_else(left).or_else(|| kept_empty(*row))
                };
                let column: StringArray = rows.iter().map(text).collect();
                // Moments are shown in ISO 8601, whatever form the source has.
                if let Some(ty) = format {
                    let plain = TextType { format: None, ..ty.clone() };
                    let (parsed, unfit) = parse_column(&column, &plain);
                    let (_, by_format) = parse_column(&column, ty);
                    if unfit.len() <= by_format.len() && unfit.is_empty() {
                        return Ok(parsed);
                    }
                }
                Ok(Arc::new(column))
            }
        }
    }
}

/// Rows as somebody has repaired them: texts by column and row number.
struct Repairs {
    columns: BTreeMap<String, HashMap<u64, Option<String>>>,
    numbers: HashSet<u64>,
    /// Rows of which somebody says that no value is meant where one did not fit.
    cleared: HashSet<u64>,
    left: HashSet<u64>,
}

impl Repairs {
    async fn read(
        repaired: &Repaired,
        output: &OutputSpec,
        release: &ReleaseSpec,
        context: &SessionContext,
        access: &Access,
        scratch: &Path,
    ) -> Result<Self> {
        let batch = rows(repaired, &output.table, context, access, scratch).await?;
        let schema = batch.schema();
        let unknown: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .filter(|name| output.table.field(name).is_none() && !name.starts_with(PREFIX))
            .collect();
        if !unknown.is_empty() {
            return Err(unusable(format!(
                "it has columns that output `{}` does not have: {}",
                output.name,
                unknown.join(", ")
            )));
        }
        let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let numbers = text(NUMBER).ok_or_else(|| unusable(format!("it has no column `{NUMBER}`")))?;
        if let Some(runs) = text(RUN)
            && let Some(other) = runs.iter().flatten().find(|run| *run != release.of.as_str())
        {
            return Err(unusable(format!("it has rows of run {other}, but those of run {} are released", release.of))
                .hint("release the rows of each run on their own"));
        }
        let mut order = Vec::with_capacity(batch.num_rows());
        let mut seen = HashSet::new();
        for (at, number) in numbers.iter().enumerate() {
            let number = number.and_then(|text| text.trim().parse::<u64>().ok());
            let number = number.ok_or_else(|| unusable(format!("its row {} has no number in `{NUMBER}`", at + 1)))?;
            if !seen.insert(number) {
                return Err(unusable(format!("it has row {number} twice")));
            }
            order.push(number);
        }
        let mut columns = BTreeMap::new();
        for field in output.table.fields.iter().filter(|field| !repaired.unseen.contains(&field.name)) {
            let Some(texts) = text(&field.name) else { continue };
            let values = order.iter().copied().zip(texts.iter().map(|text| text.map(str::to_owned)));
            columns.insert(field.name.clone(), values.collect());
        }
        let mut cleared = HashSet::new();
        if let Some(raw) = text(RAW) {
            cleared.extend(order.iter().zip(raw.iter()).filter(|(_, raw)| raw.is_none()).map(|(number, _)| *number));
        }
        Ok(Self { columns, left: seen.clone(), numbers: seen, cleared })
    }

    fn has(&self, number: u64) -> bool {
        self.numbers.contains(&number)
    }

    fn met(&mut self, number: u64) {
        self.left.remove(&number);
    }

    fn finish(&self) -> Result<()> {
        let mut left: Vec<u64> = self.left.iter().copied().collect();
        left.sort_unstable();
        let Some(first) = left.first() else { return Ok(()) };
        let more = if left.len() > 1 { format!(" and {} more", left.len() - 1) } else { String::new() };
        Err(unusable(format!("row {first}{more} is not in this quarantine, or was released already")))
    }
}

fn unusable(why: String) -> Error {
    Error::check("MW0680", format!("the repaired rows cannot be used: {why}"))
        .hint("start from `meshwork quarantine show RUN -o csv` and keep its `_quarantine_` columns")
}

/// The file's rows, all columns as text.
async fn rows(
    repaired: &Repaired,
    table: &Table,
    context: &SessionContext,
    access: &Access,
    scratch: &Path,
) -> Result<RecordBatch> {
    let (name, text) = match repaired.format {
        RepairedFormat::Csv => ("repaired.csv", &repaired.text),
        RepairedFormat::Jsonl => ("repaired.jsonl", &repaired.text),
    };
    let path = scratch.join(name);
    std::fs::write(&path, text).map_err(|error| storage_error("writing the run's temporary folder", &error))?;
    let files = FilesSpec::Folder { folder: scratch.to_owned(), path: name.to_owned() };
    let spec = match repaired.format {
        RepairedFormat::Csv => SourceSpec::Csv { files, options: CsvOptions::default() },
        RepairedFormat::Jsonl => {
            SourceSpec::Json { files, options: JsonOptions { absent: Absent::Null, ..JsonOptions::default() } }
        }
    };
    // A form that the contract does not know, so that nothing is read as anything but text.
    let as_text = |name: &str, like: &Field| Field {
        id: None,
        name: name.to_owned(),
        physical_name: None,
        logical_type: LogicalType::Object,
        physical_type: None,
        native: ColumnType::Text,
        ..like.clone()
    };
    let fields: Vec<Field> = match (repaired.format, table.fields.first()) {
        (RepairedFormat::Jsonl, Some(any)) => {
            let named = |field: &&Field| text.contains(&format!("\"{}\"", field.name));
            let own = table.fields.iter().filter(named).map(|field| field.name.as_str());
            let notes = [NUMBER, RUN, RAW].into_iter().filter(|name| text.contains(&format!("\"{name}\"")));
            own.chain(notes).map(|name| as_text(name, any)).collect()
        }
        _ => Vec::new(),
    };
    let failed = |error: datafusion::error::DataFusionError| session::execution_error(&error, "the repaired rows");
    let reading = Reading::default();
    let opened = source::open("repaired", &spec, &fields, &reading, access).await?;
    let reference = TableReference::bare("__mw_repaired");
    context.register_table(reference.clone(), crate::write::origin::face(&opened)).map_err(failed)?;
    let frame = context.table(reference).await.map_err(failed)?;
    let schema = frame.schema().inner().clone();
    let batches = frame.collect().await.map_err(failed)?;
    let all = concat_batches(&schema, &batches).map_err(|error| failed(error.into()))?;
    let plain = repaired.format == RepairedFormat::Csv;
    let columns = all.columns().iter().map(|column| {
        let text = cast(column, &DataType::Utf8).map_err(|error| failed(error.into()))?;
        Ok(if plain { Arc::new(undefused(text.as_string::<i32>())) as ArrayRef } else { text })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let fields = all
        .schema()
        .fields()
        .iter()
        .map(|f| ArrowField::new(undefused_text(f.name()), DataType::Utf8, true))
        .collect::<Vec<_>>();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| failed(error.into()))
}

/// Our CSV puts an apostrophe before text that a spreadsheet would run as a formula.
fn undefused(texts: &StringArray) -> StringArray {
    texts.iter().map(|text| text.map(undefused_text)).collect()
}

fn undefused_text(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@', '\t', '\r']) => rest,
        _ => text,
    }
}
