//! CSV files, read record by record within bounds, so that a fault is named with its file and line.

use std::io::BufRead;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use csv_core::ReadRecordResult;
use datafusion::physical_plan::streaming::PartitionStream;
use encoding_rs::Encoding;
use meshwork_core::product::CsvOptions;
use meshwork_core::{Error, Result};

use super::content::{self, Text};
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

/// The options, validated.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    comment: Option<u8>,
    skip: u32,
    header: bool,
    encoding: &'static Encoding,
    null: Vec<String>,
}

impl Dialect {
    pub fn of(input: &str, options: &CsvOptions) -> Result<Self> {
        let optional = |what, c: Option<char>| c.map(|c| ascii(input, what, c)).transpose();
        Ok(Self {
            delimiter: ascii(input, "delimiter", options.delimiter)?,
            quote: optional("quote", options.quote)?,
            escape: optional("escape character", options.escape)?,
            comment: optional("comment character", options.comment)?,
            skip: options.skip,
            header: options.header,
            encoding: content::encoding(&options.encoding).ok_or_else(|| {
                Error::check("MW0506", format!("input `{input}`: `{}` is not a text encoding", options.encoding))
                    .hint("use a label such as `utf-8`, `utf-16`, `windows-1252` or `iso-8859-15`")
            })?,
            null: options.null.clone(),
        })
    }

    fn is_null(&self, text: &str) -> bool {
        text.is_empty() || self.null.iter().any(|null| null == text)
    }
}

pub fn open(
    input: &str,
    files: Vec<SourceFile>,
    options: &CsvOptions,
    typing: &Typing,
    reading: Reading,
) -> Result<Arc<dyn Source>> {
    let dialect = Dialect::of(input, options)?;
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
        let (schema, origins, shared) = (&self.shared.schema, &self.shared.reading.origins, Arc::clone(&self.shared));
        let read = move |file: &SourceFile, assembly: &Assembly, sink: Sink<'_>| read(&shared, file, assembly, sink);
        FilePartition::of_each(&self.files, schema, columns, origins, read)
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
        .hint("set `options: { encoding: … }` to the encoding that the file was written in, such as `windows-1252`")
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
            if shared.dialect.is_null(text) {
                column.append_null();
            } else if !column.append(text) {
                shared.reading.unfit.record(&shared.names[*at], &file.name, record.line, Some(text), || {
                    values(&shared.fields, &record)
                });
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
pub(super) struct Record<'a> {
    /// Where it starts; the first line of a file is 1.
    pub line: u64,
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn text(&self, at: usize) -> Result<&'a str, ()> {
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        std::str::from_utf8(&self.bytes[from..self.ends[at]]).map_err(|_| ())
    }
}

pub(super) struct Records<'f> {
    file: &'f SourceFile,
    input: Text,
    parser: csv_core::Reader,
    comment: Option<u8>,
    output: Vec<u8>,
    ends: Vec<usize>,
    pub consumed: u64,
}

impl<'f> Records<'f> {
    pub fn open(file: &'f SourceFile, dialect: &Dialect) -> Result<Self> {
        Self::of(file, content::text(file, dialect.encoding)?, dialect)
    }

    pub fn of(file: &'f SourceFile, input: Text, dialect: &Dialect) -> Result<Self> {
        let parser = csv_core::ReaderBuilder::new()
            .delimiter(dialect.delimiter)
            .quote(dialect.quote.unwrap_or(b'"'))
            .quoting(dialect.quote.is_some())
            .escape(dialect.escape)
            .build();
        let (output, ends) = (vec![0; 4 << 10], vec![0; 64]);
        let mut records = Self { file, input, parser, comment: dialect.comment, output, ends, consumed: 0 };
        for _ in 0..dialect.skip {
            records.skip_line()?;
        }
        Ok(records)
    }

    pub fn next(&mut self) -> Result<Option<Record<'_>>> {
        // csv-core counts a line when it consumes the break, and skips empty lines before a record: so the record's
        // line is the counter once its first byte that is not a line break comes.
        self.skip_to_record()?;
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

    /// Consumes line breaks and comments between records, counting the lines.
    fn skip_to_record(&mut self) -> Result<()> {
        loop {
            let input = self.input.fill_buf().map_err(|error| self.file.unreadable(&error))?;
            if self.comment.is_some_and(|comment| input.first() == Some(&comment)) {
                self.skip_line()?;
                continue;
            }
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

    fn skip_line(&mut self) -> Result<()> {
        loop {
            let input = self.input.fill_buf().map_err(|error| self.file.unreadable(&error))?;
            let end = input.iter().position(|b| *b == b'\n');
            let taken = end.map_or(input.len(), |at| at + 1);
            self.input.consume(taken);
            self.consumed += taken as u64;
            if end.is_some() {
                self.parser.set_line(self.parser.line() + 1);
            }
            if end.is_some() || taken == 0 {
                return Ok(());
            }
        }
    }
}

fn too_long(file: &SourceFile, line: u64) -> Error {
    Error::limit("MW0512", format!("`{}`: the record that starts on line {line} is longer than 16 MiB", file.name))
        .hint("a quote that opens there is probably never closed")
}

#[cfg(test)]
mod tests;
