//! JSON lines: one object a line. Values are kept as written until they meet their type, so that no digit is lost.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use datafusion::physical_plan::streaming::PartitionStream;
use meshwork_core::types::ColumnType;
use meshwork_core::{Error, Result};

use super::file::SourceFile;
use super::stream::{Assembly, FilePartition, Sink};
use super::text::{TextColumn, TextType};
use super::{BATCH_BYTES, BATCH_ROWS, Reading, Source, Typing};

const MAX_LINE: usize = 16 << 20;
/// Keys that the contract does not name are looked for in this many lines of each file.
const SAMPLED_LINES: usize = 1000;

#[derive(Debug)]
struct JsonSource {
    shared: Arc<Shared>,
    files: Vec<SourceFile>,
}

#[derive(Debug)]
struct Shared {
    names: Vec<String>,
    types: Vec<TextType>,
    typing: Typing,
    schema: SchemaRef,
    reading: Reading,
}

/// The columns are those of the contract (by physical name) and the keys of the first lines, which are text.
pub fn open(files: Vec<SourceFile>, contract: &[String], typing: &Typing, reading: Reading) -> Result<Arc<dyn Source>> {
    let mut seen = BTreeSet::new();
    for file in &files {
        let mut lines = Lines::open(file)?;
        for _ in 0..SAMPLED_LINES {
            let Some((number, line)) = lines.next()? else { break };
            seen.extend(members(file, number, line)?.into_iter().map(|(key, _)| key));
        }
    }
    let mut names: Vec<String> = contract.to_vec();
    names.extend(seen.into_iter().filter(|key| !contract.contains(key)));
    let types: Vec<TextType> = names.iter().map(|name| typing.or_text(name)).collect();
    let schema = Arc::new(Schema::new(
        names.iter().zip(&types).map(|(name, ty)| ArrowField::new(name, ty.arrow(), true)).collect::<Vec<_>>(),
    ));
    Ok(Arc::new(JsonSource {
        shared: Arc::new(Shared { names, types, typing: typing.clone(), schema, reading }),
        files,
    }))
}

impl Source for JsonSource {
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
}

fn read(shared: &Shared, file: &SourceFile, assembly: &Assembly, sink: Sink<'_>) -> Result<()> {
    let wanted = assembly.data_columns();
    let mut columns: Vec<TextColumn> = wanted.iter().map(|at| TextColumn::new(&shared.types[*at])).collect();
    let mut rows = Vec::with_capacity(BATCH_ROWS);
    let mut bytes = 0;
    let mut lines = Lines::open(file)?;
    while let Some((number, line)) = lines.next()? {
        bytes += line.len() as u64 + 1;
        let object = members(file, number, line)?;
        for (column, at) in columns.iter_mut().zip(&wanted) {
            let name = &shared.names[*at];
            // Of a key that comes twice, the last counts, as in most readers.
            let raw = object.iter().rev().find(|(key, _)| key == name).map_or("null", |(_, raw)| *raw);
            if raw == "null" {
                column.append_null();
                continue;
            }
            let nested = matches!(shared.types[*at].native, ColumnType::List(_) | ColumnType::Struct(_));
            let fits = if raw.starts_with('"') && !nested {
                match serde_json::from_str::<String>(raw) {
                    Ok(text) => column.append(&text),
                    Err(_) => column.append(raw),
                }
            } else {
                column.append(raw)
            };
            if !fits {
                shared.reading.unfit.record(name, &file.name, number, || {
                    let value =
                        |(key, raw): &(String, &str)| Some((shared.typing.field_of(key)?, Some((*raw).to_owned())));
                    object.iter().filter_map(value).collect()
                });
            }
        }
        rows.push(i64::try_from(number).unwrap_or(i64::MAX));
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

/// Keys with their values as written.
fn members<'l>(file: &SourceFile, number: u64, line: &'l str) -> Result<Vec<(String, &'l str)>> {
    let fault = |what: &str| {
        Error::check("MW0508", format!("`{}`, line {number}: {what}", file.name))
            .hint("each line holds one JSON object; a JSON array of objects can be converted with `jq -c '.[]'`")
    };
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(line) {
        return Err(fault(&format!("not valid JSON at column {}", error.column())));
    }
    if !line.trim_start().starts_with('{') {
        return Err(fault("not a JSON object"));
    }
    split_object(line).ok_or_else(|| fault("not a JSON object"))
}

/// Splits the text of an object, which is known to be valid JSON, into its members.
fn split_object(text: &str) -> Option<Vec<(String, &str)>> {
    let bytes = text.as_bytes();
    let skip = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let mut members = Vec::new();
    let mut at = skip(skip(0) + 1);
    while *bytes.get(at)? != b'}' {
        let end = end_of_value(bytes, at)?;
        let key: String = serde_json::from_str(text.get(at..end)?).ok()?;
        let value = skip(skip(end) + 1);
        let end = end_of_value(bytes, value)?;
        members.push((key, text.get(value..end)?));
        at = skip(end);
        if *bytes.get(at)? == b',' {
            at = skip(at + 1);
        }
    }
    Some(members)
}

/// Where the value that starts at `at` ends.
fn end_of_value(bytes: &[u8], mut at: usize) -> Option<usize> {
    let (mut depth, mut quoted) = (0u32, false);
    loop {
        let byte = *bytes.get(at)?;
        if quoted {
            match byte {
                b'\\' => at += 1,
                b'"' => quoted = false,
                _ => {}
            }
            at += 1;
            if !quoted && depth == 0 {
                return Some(at);
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

struct Lines<'f> {
    file: &'f SourceFile,
    input: BufReader<std::fs::File>,
    buffer: Vec<u8>,
    number: u64,
}

impl<'f> Lines<'f> {
    fn open(file: &'f SourceFile) -> Result<Self> {
        let mut input = BufReader::with_capacity(256 << 10, file.open()?);
        let start = input.fill_buf().map_err(|error| file.unreadable(&error))?;
        if start.starts_with(&[0xEF, 0xBB, 0xBF]) {
            input.consume(3);
        }
        Ok(Self { file, input, buffer: Vec::new(), number: 0 })
    }

    /// The next line that is not blank, with its number.
    fn next(&mut self) -> Result<Option<(u64, &str)>> {
        loop {
            self.buffer.clear();
            loop {
                let chunk = self.input.fill_buf().map_err(|error| self.file.unreadable(&error))?;
                let (taken, done) = match chunk.iter().position(|b| *b == b'\n') {
                    Some(at) => (at + 1, true),
                    None => (chunk.len(), chunk.is_empty()),
                };
                self.buffer.extend_from_slice(&chunk[..taken]);
                self.input.consume(taken);
                if self.buffer.len() > MAX_LINE {
                    return Err(Error::limit(
                        "MW0512",
                        format!("`{}`: line {} is longer than 16 MiB", self.file.name, self.number + 1),
                    )
                    .hint(
                        "each line holds one JSON object; a JSON array of objects can be converted with `jq -c '.[]'`",
                    ));
                }
                if done {
                    break;
                }
            }
            if self.buffer.is_empty() {
                return Ok(None);
            }
            self.number += 1;
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        let line = std::str::from_utf8(&self.buffer).map_err(|_| {
            Error::check("MW0504", format!("`{}`, line {}: not valid UTF-8", self.file.name, self.number))
                .hint("JSON is always UTF-8: write the file again")
        })?;
        Ok(Some((self.number, line.trim_end())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_text() {
        let text = r#" { "a" : 0.10 , "b\"c":"x,}\\", "n":null,"o":{"k":[1,{"z":"]"}]},"t":true }"#;
        let found = split_object(text).expect("an object");
        let expected =
            [("a", "0.10"), ("b\"c", r#""x,}\\""#), ("n", "null"), ("o", r#"{"k":[1,{"z":"]"}]}"#), ("t", "true")];
        assert_eq!(found.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>(), expected);
        assert_eq!(split_object("{}"), Some(Vec::new()));
    }
}
