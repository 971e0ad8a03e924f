//! CSV files, read record by record within bounds, so that a fault is named with its file and line.

use std::io::{BufRead, BufReader};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use csv_core::ReadRecordResult;
use datafusion::physical_plan::streaming::PartitionStream;
use meshwork_core::product::CsvOptions;
use meshwork_core::{Error, Result};

use super::file::SourceFile;
use super::stream::{Assembly, FilePartition, Sink};
use super::text::{TextColumn, TextType};
use super::{BATCH_BYTES, BATCH_ROWS, Reading, Source, Typing};

/// A record longer than this is taken for a quote that was never closed.
const MAX_RECORD: usize = 16 << 20;
const MAX_COLUMNS: usize = 10_000;

#[derive(Debug)]
struct CsvSource {
    shared: Arc<Shared>,
    files: Vec<SourceFile>,
}

#[derive(Debug)]
struct Shared {
    names: Vec<String>,
    /// What the contract calls each column, if it does.
    fields: Vec<Option<String>>,
    types: Vec<TextType>,
    schema: SchemaRef,
    dialect: Dialect,
    reading: Reading,
}

#[derive(Clone, Debug)]
struct Dialect {
    delimiter: u8,
    quote: u8,
    header: bool,
    null: Vec<String>,
}

pub fn open(
    input: &str,
    files: Vec<SourceFile>,
    options: &CsvOptions,
    typing: &Typing,
    reading: Reading,
) -> Result<Arc<dyn Source>> {
    let dialect = Dialect {
        delimiter: ascii(input, "delimiter", options.delimiter)?,
        quote: ascii(input, "quote", options.quote)?,
        header: options.header,
        null: options.null.clone(),
    };
    let mut names: Option<(Vec<String>, &SourceFile)> = None;
    for file in &files {
        let found = header(file, &dialect)?;
        match &names {
            None => names = Some((found, file)),
            Some((expected, first)) if *expected != found => return Err(differs(first, expected, file, &found)),
            Some(_) => {}
        }
    }
    let names = names.map(|(names, _)| names).unwrap_or_default();
    let types: Vec<TextType> = names.iter().map(|name| typing.or_text(name)).collect();
    let fields = names.iter().map(|name| typing.field_of(name)).collect();
    let schema = Arc::new(Schema::new(
        names.iter().zip(&types).map(|(name, ty)| ArrowField::new(name, ty.arrow(), true)).collect::<Vec<_>>(),
    ));
    Ok(Arc::new(CsvSource { shared: Arc::new(Shared { names, fields, types, schema, dialect, reading }), files }))
}

impl Source for CsvSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shared.schema)
    }

    fn has_origin(&self) -> bool {
        true
    }

    fn partitions(&self, columns: &[usize]) -> Vec<Arc<dyn PartitionStream>> {
        self.files
            .iter()
            .map(|file| {
                let origin = self.shared.reading.origins.add(&file.name);
                let assembly = Assembly::new(&self.shared.schema, columns, origin);
                let schema = Arc::clone(assembly.schema());
                let (shared, file) = (Arc::clone(&self.shared), file.clone());
                let name = file.name.clone();
                Arc::new(FilePartition::new(&name, schema, move |sink| read(&shared, &file, &assembly, sink))) as _
            })
            .collect()
    }

    fn hint(&self) -> Option<String> {
        let [only] = self.shared.names.as_slice() else { return None };
        let other = [';', ',', '\t', '|'].into_iter().find(|c| only.contains(*c))?;
        Some(format!(
            "the header has one column, with {other:?} inside: if that is the delimiter, set `options: {{ delimiter: {other:?} }}`"
        ))
    }
}

fn ascii(input: &str, what: &str, c: char) -> Result<u8> {
    u8::try_from(c).ok().filter(|b| b.is_ascii() && !matches!(b, b'\n' | b'\r' | 0)).ok_or_else(|| {
        Error::check("MW0506", format!("input `{input}`: the {what} {c:?} is not one ASCII character"))
            .hint("use `,`, `;`, `|` or a tab")
    })
}

/// The column names of one file.
fn header(file: &SourceFile, dialect: &Dialect) -> Result<Vec<String>> {
    let mut records = Records::open(file, dialect)?;
    let Some(record) = records.next()? else {
        return Err(Error::check("MW0506", format!("`{}` is empty", file.name)).hint(if dialect.header {
            "a CSV file starts with a row of column names; a file without rows below it is fine"
        } else {
            "remove the file if there is nothing to read"
        }));
    };
    if !dialect.header {
        return Ok((1..=record.len()).map(|n| format!("column_{n}")).collect());
    }
    let mut names = Vec::with_capacity(record.len());
    for at in 0..record.len() {
        let name = record.text(at).map_err(|()| invalid_utf8(file, record.line, None))?;
        let problem = if name.is_empty() {
            Some(format!("column {} has no name", at + 1))
        } else if names.iter().any(|known| known == name) {
            Some(format!("column `{name}` stands there twice"))
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(Error::check("MW0506", format!("`{}`: the header is not usable: {problem}", file.name))
                .hint("the first row must name each column once; for a file without such a row set `options: { header: false }`"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn differs(first: &SourceFile, expected: &[String], file: &SourceFile, found: &[String]) -> Error {
    let missing: Vec<&str> = expected.iter().filter(|n| !found.contains(n)).map(String::as_str).collect();
    let extra: Vec<&str> = found.iter().filter(|n| !expected.contains(n)).map(String::as_str).collect();
    let mut parts = Vec::new();
    if !missing.is_empty() {
        parts.push(format!("lacks {}", missing.join(", ")));
    }
    if !extra.is_empty() {
        parts.push(format!("adds {}", extra.join(", ")));
    }
    if parts.is_empty() {
        parts.push("has the columns in another order".to_owned());
    }
    Error::check("MW0507", format!("`{}` {} compared with `{}`", file.name, parts.join(" and "), first.name))
        .hint("all files of one source have the same columns; read files of another shape as an input of their own")
}

fn invalid_utf8(file: &SourceFile, line: u64, column: Option<&str>) -> Error {
    let column = column.map(|c| format!(", column `{c}`")).unwrap_or_default();
    Error::check("MW0504", format!("`{}`, line {line}{column}: not valid UTF-8", file.name))
        .hint("convert the file to UTF-8 first, for example with `iconv -f WINDOWS-1252 -t UTF-8`")
}

fn read(shared: &Shared, file: &SourceFile, assembly: &Assembly, sink: Sink<'_>) -> Result<()> {
    let wanted = assembly.data_columns();
    let mut records = Records::open(file, &shared.dialect)?;
    if shared.dialect.header {
        // The file may have changed since its header was read.
        let names = match records.next()? {
            Some(record) => (0..record.len()).map(|at| record.text(at).unwrap_or("").to_owned()).collect(),
            None => Vec::new(),
        };
        if names != shared.names {
            return Err(differs(file, &shared.names, file, &names));
        }
    }
    let mut columns: Vec<TextColumn> = wanted.iter().map(|at| TextColumn::new(&shared.types[*at])).collect();
    let mut rows: Vec<i64> = Vec::with_capacity(BATCH_ROWS);
    let mut bytes = 0;
    loop {
        let before = records.consumed;
        let Some(record) = records.next()? else { break };
        if record.len() != shared.names.len() {
            return Err(wrong_width(file, &record, shared));
        }
        for (column, at) in columns.iter_mut().zip(&wanted) {
            let text = record.text(*at).map_err(|()| invalid_utf8(file, record.line, Some(&shared.names[*at])))?;
            if text.is_empty() || shared.dialect.null.iter().any(|null| null == text) {
                column.append_null();
            } else if !column.append(text) {
                shared
                    .reading
                    .unfit
                    .record(&shared.names[*at], &file.name, record.line, || values(&shared.fields, &record));
            }
        }
        rows.push(i64::try_from(record.line).unwrap_or(i64::MAX));
        bytes += records.consumed - before;
        if rows.len() == BATCH_ROWS || bytes >= BATCH_BYTES {
            shared.reading.meter.add(rows.len() as u64, std::mem::take(&mut bytes));
            if !flush(&mut columns, &mut rows, assembly, sink)? {
                return Ok(());
            }
        }
    }
    shared.reading.meter.add(rows.len() as u64, bytes);
    if !rows.is_empty() {
        flush(&mut columns, &mut rows, assembly, sink)?;
    }
    Ok(())
}

fn flush(columns: &mut [TextColumn], rows: &mut Vec<i64>, assembly: &Assembly, sink: Sink<'_>) -> Result<bool> {
    let arrays: Vec<ArrayRef> = columns.iter_mut().map(TextColumn::finish).collect();
    let batch = assembly.batch(&arrays, std::mem::replace(rows, Vec::with_capacity(BATCH_ROWS)))?;
    Ok(sink(batch))
}

fn values(fields: &[Option<String>], record: &Record<'_>) -> Vec<(String, Option<String>)> {
    let text = |at| record.text(at).ok().filter(|text| !text.is_empty()).map(str::to_owned);
    fields.iter().enumerate().filter_map(|(at, field)| Some((field.clone()?, text(at)))).collect()
}

fn wrong_width(file: &SourceFile, record: &Record<'_>, shared: &Shared) -> Error {
    let (found, expected) = (record.len(), shared.names.len());
    let error = Error::check(
        "MW0505",
        format!("`{}`, line {}: {found} fields, but there are {expected} columns", file.name, record.line),
    );
    if found > expected {
        error.hint("a value that contains the delimiter must stand in quotes")
    } else if record.bytes.contains(&b'\n') {
        error.hint("a quote that opens on this line may never be closed")
    } else {
        error.hint("the line may have been cut off, or the delimiter may be another one")
    }
}

/// One record. Fields are valid only until the next one is read.
struct Record<'a> {
    /// Where it starts; the first line of a file is 1.
    line: u64,
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn text(&self, at: usize) -> Result<&'a str, ()> {
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        std::str::from_utf8(&self.bytes[from..self.ends[at]]).map_err(|_| ())
    }
}

struct Records<'f> {
    file: &'f SourceFile,
    input: BufReader<std::fs::File>,
    parser: csv_core::Reader,
    output: Vec<u8>,
    ends: Vec<usize>,
    consumed: u64,
}

impl<'f> Records<'f> {
    fn open(file: &'f SourceFile, dialect: &Dialect) -> Result<Self> {
        let mut input = BufReader::with_capacity(256 << 10, file.open()?);
        let start = input.fill_buf().map_err(|error| file.unreadable(&error))?;
        if start.starts_with(&[0xFF, 0xFE]) || start.starts_with(&[0xFE, 0xFF]) {
            return Err(Error::check("MW0504", format!("`{}` is UTF-16, not UTF-8", file.name))
                .hint("convert the file to UTF-8 first, for example with `iconv -f UTF-16 -t UTF-8`"));
        }
        Ok(Self {
            file,
            input,
            parser: csv_core::ReaderBuilder::new().delimiter(dialect.delimiter).quote(dialect.quote).build(),
            output: vec![0; 4 << 10],
            ends: vec![0; 64],
            consumed: 0,
        })
    }

    fn next(&mut self) -> Result<Option<Record<'_>>> {
        // csv-core counts a line when it consumes the break, and skips empty lines before a record: so the record's
        // line is the counter once its first byte that is not a line break comes.
        self.skip_breaks()?;
        let line = self.parser.line();
        let (mut out, mut ended) = (0, 0);
        loop {
            let input = self.input.fill_buf().map_err(|error| self.file.unreadable(&error))?;
            let (result, read, written, ends) =
                self.parser.read_record(input, &mut self.output[out..], &mut self.ends[ended..]);
            self.input.consume(read);
            self.consumed += read as u64;
            out += written;
            ended += ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    if self.output.len() >= MAX_RECORD {
                        return Err(too_long(self.file, line));
                    }
                    self.output.resize(self.output.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    if self.ends.len() >= MAX_COLUMNS {
                        return Err(Error::limit(
                            "MW0512",
                            format!("`{}`, line {line}: more than {MAX_COLUMNS} fields", self.file.name),
                        )
                        .hint("check the delimiter"));
                    }
                    self.ends.resize(self.ends.len() * 4, 0);
                }
                ReadRecordResult::Record => {
                    return Ok(Some(Record { line, bytes: &self.output[..out], ends: &self.ends[..ended] }));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// Consumes line breaks between records, counting the lines.
    fn skip_breaks(&mut self) -> Result<()> {
        loop {
            let input = self.input.fill_buf().map_err(|error| self.file.unreadable(&error))?;
            let breaks = input.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
            if breaks == 0 {
                return Ok(());
            }
            let lines = input[..breaks].iter().filter(|b| **b == b'\n').count() as u64;
            self.parser.set_line(self.parser.line() + lines);
            self.input.consume(breaks);
            self.consumed += breaks as u64;
        }
    }
}

fn too_long(file: &SourceFile, line: u64) -> Error {
    Error::limit("MW0512", format!("`{}`: the record that starts on line {line} is longer than 16 MiB", file.name))
        .hint("a quote that opens there is probably never closed")
}

#[cfg(test)]
mod tests;
