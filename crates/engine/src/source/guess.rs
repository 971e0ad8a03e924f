//! What a file probably is: its format, how a CSV file is written, and which types its columns have, each with the
//! evidence. For `init`, which writes the answer into manifests where people see and change it: **a run never guesses**,
//! it reads by what is declared.
//!
//! - [`format`] tells what kind of file it is.
//! - [`csv`] proposes [`CsvOptions`] and a type for each column.
//! - [`column`] proposes a type for texts from anywhere.

mod dialect;
mod encoding;
mod value;

use meshwork_core::product::CsvOptions;
use meshwork_core::{Error, Result};

use super::content;
use super::csv::{Dialect, Records};
use super::file::SourceFile;
use super::text::TextType;

pub use value::Column;

/// Of one file; a larger one is judged by its start, and the guess says so.
const READ: usize = 64 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    /// One object a line, or an array of objects at the top.
    Json,
    /// One document; the paths are of arrays of objects inside it, the longest first.
    JsonDocument {
        records: Vec<String>,
    },
    Parquet,
    Avro,
    Sqlite,
}

/// One thing that was decided, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The option: `delimiter`, `quote`, `escape`, `comment`, `skip`, `header`, `encoding`, `null`.
    pub about: &'static str,
    pub because: String,
}

/// How a CSV file is probably written.
#[derive(Clone, Debug)]
pub struct CsvGuess {
    pub options: CsvOptions,
    pub reasons: Vec<Reason>,
    pub columns: Vec<ColumnGuess>,
    /// Records that were looked at.
    pub rows: u64,
    /// Whether these are all of the file.
    pub complete: bool,
}

#[derive(Clone, Debug)]
pub struct ColumnGuess {
    /// As in the header, or `column_1` and so on.
    pub name: String,
    /// With the pattern of its dates, where they are not ISO 8601.
    pub ty: TextType,
    pub rows: u64,
    pub nulls: u64,
    /// Why this type, for people; it quotes no value.
    pub because: String,
}

/// The type that fits every one of `texts` (`None` is null), as [`Column`] finds it.
pub fn column<'t>(name: &str, texts: impl IntoIterator<Item = Option<&'t str>>) -> ColumnGuess {
    let mut column = Column::default();
    for text in texts {
        column.add(text);
    }
    column.guess(name)
}

/// By content; the name decides only between texts.
pub fn format(file: &SourceFile) -> Result<Format> {
    let (start, whole) = content::start(file, 1 << 20)?;
    let text = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&start);
    let first = text.iter().find(|b| !b.is_ascii_whitespace());
    let lower = file.name.to_ascii_lowercase();
    let named = |part: &str| lower.ends_with(part) || lower.contains(&format!("{part}."));
    Ok(match (start.as_slice(), first) {
        (bytes, _) if bytes.starts_with(b"PAR1") => Format::Parquet,
        (bytes, _) if bytes.starts_with(b"Obj\x01") => Format::Avro,
        (bytes, _) if bytes.starts_with(b"SQLite format 3\0") => Format::Sqlite,
        (_, Some(b'[')) if !named(".csv") => Format::Json,
        (_, Some(b'{')) if !named(".csv") => {
            let line = text.split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
            let one_a_line = serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
            let lines = text.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()).take(2).count();
            if one_a_line && lines > 1 || named(".jsonl") || named(".ndjson") {
                Format::Json
            } else {
                document(file, text, whole)?
            }
        }
        _ => Format::Csv,
    })
}

/// Arrays of objects in one JSON document.
fn document(file: &SourceFile, start: &[u8], whole: bool) -> Result<Format> {
    let bytes = if whole { start.to_vec() } else { content::start(file, READ)?.0 };
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes.trim_ascii()) else {
        return if whole {
            Err(Error::check("MW0508", format!("`{}` is not valid JSON", file.name))
                .hint("check that the file is whole; JSON lines hold one object a line"))
        } else {
            Ok(Format::JsonDocument { records: vec!["$".to_owned()] })
        };
    };
    let mut found = Vec::new();
    arrays("$", &value, 0, &mut found);
    found.sort_by_key(|(_, len)| std::cmp::Reverse(*len));
    if found.is_empty() {
        found.push(("$".to_owned(), 1));
    }
    Ok(Format::JsonDocument { records: found.into_iter().map(|(path, _)| path).collect() })
}

fn arrays(path: &str, value: &serde_json::Value, depth: usize, found: &mut Vec<(String, usize)>) {
    match value {
        serde_json::Value::Array(items) if !items.is_empty() && items.iter().all(serde_json::Value::is_object) => {
            found.push((path.to_owned(), items.len()));
        }
        serde_json::Value::Object(members) if depth < 8 => {
            for (key, value) in members {
                // A key that the path cannot say is left out.
                if !key.is_empty() && !key.contains(['.', '[', '*']) {
                    arrays(&format!("{path}.{key}"), value, depth + 1, found);
                }
            }
        }
        _ => {}
    }
}

/// How the file is written. Blocking; reads at most 64 MiB of its content.
pub fn csv(file: &SourceFile) -> Result<CsvGuess> {
    let (bytes, complete) = content::start(file, READ)?;
    let mut reasons = Vec::new();
    let encoding = encoding::guess(&bytes, complete, &mut reasons);
    let text = encoding::decode(&bytes, encoding, complete);
    drop(bytes);
    let mut options = dialect::guess(&text, complete, &mut reasons);
    encoding.name().to_ascii_lowercase().clone_into(&mut options.encoding);
    if options.encoding.starts_with("utf-16") {
        // The byte order mark says which order it is.
        "utf-16".clone_into(&mut options.encoding);
    }
    let (columns, rows) = columns(file, text, complete, &mut options, &mut reasons)?;
    Ok(CsvGuess { options, reasons, columns, rows, complete })
}

/// Looks at every record: types, and the texts that stand for null.
fn columns(
    file: &SourceFile,
    text: String,
    complete: bool,
    options: &mut CsvOptions,
    reasons: &mut Vec<Reason>,
) -> Result<(Vec<ColumnGuess>, u64)> {
    // The text is UTF-8 by now, whatever the file is.
    let decoded = CsvOptions { encoding: "utf-8".to_owned(), ..options.clone() };
    let dialect = Dialect::of(&file.name, &decoded)?;
    let bytes: content::Bytes = Box::new(std::io::Cursor::new(text.into_bytes()));
    let mut records = Records::of(file, std::io::BufReader::with_capacity(256 << 10, bytes), &dialect)?;
    let (mut names, mut columns, mut rows) = (Vec::<String>::new(), Vec::<Column>::new(), 0u64);
    let mut first = true;
    loop {
        let record = match records.next() {
            Ok(Some(record)) => record,
            Ok(None) => break,
            // Cut off in the middle of a record.
            Err(_) if !complete => break,
            Err(error) => return Err(error),
        };
        let texts: Vec<&str> = (0..record.len()).map(|at| record.text(at).unwrap_or_default()).collect();
        if first {
            first = false;
            columns = texts.iter().map(|_| Column::default()).collect();
            names = if options.header {
                texts.iter().map(|text| (*text).to_owned()).collect()
            } else {
                (1..=texts.len()).map(|n| format!("column_{n}")).collect()
            };
            if options.header {
                continue;
            }
        }
        // Of another width: a run will name the line; here it says nothing about the columns.
        if texts.len() != columns.len() {
            continue;
        }
        rows += 1;
        for (column, text) in columns.iter_mut().zip(texts) {
            column.add(Some(text).filter(|text| !text.is_empty()));
        }
    }
    options.null = value::nulls(&columns, &names, reasons);
    let guessed = columns.iter_mut().zip(&names).map(|(column, name)| {
        column.without(&options.null);
        column.guess(name)
    });
    Ok((guessed.collect(), rows))
}

#[cfg(test)]
mod tests;
