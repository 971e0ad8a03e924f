//! Given rows as files, and expected rows from files.

use std::path::{Component, Path};

use meshwork_core::error::{Error, Place, Result};
use meshwork_core::manifest::test::Row;
use meshwork_core::name::Name;
use meshwork_core::product::{CsvOptions, JsonOptions};
use meshwork_core::yaml::{Node, NodeKind, Span};

use crate::port::data::{FilesSpec, SourceSpec};

/// As a CSV file with the columns that the rows name, or these.
pub fn csv(folder: &Path, name: &Name, rows: &[Row], columns: &[String]) -> Result<SourceSpec> {
    let mut columns = columns.to_vec();
    for (column, _) in rows.iter().flat_map(|row| &row.cells) {
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let mut text = line(columns.iter().map(|column| quoted(column)).collect());
    for row in rows {
        let cell = |column: &String| {
            let found = row.cells.iter().find(|(name, _)| name == column);
            found.and_then(|(_, value)| plain(value)).map(|text| quoted(&text)).unwrap_or_default()
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        // A line with nothing in it would be no record.
        text += &if cells.len() == 1 && cells[0].is_empty() { "\"\"\n".to_owned() } else { line(cells) };
    }
    let path = written(folder, &format!("{name}.csv"), &text)?;
    Ok(SourceSpec::Csv { files: files(folder, path), options: CsvOptions::default() })
}

/// As a file of JSON objects.
pub fn json(folder: &Path, name: &Name, rows: &[Row]) -> Result<SourceSpec> {
    let object = |row: &Row| {
        let cells = row.cells.iter().map(|(column, value)| (column.clone(), value.to_json()));
        serde_json::Value::Object(cells.collect()).to_string() + "\n"
    };
    let path = written(folder, &format!("{name}.jsonl"), &rows.iter().map(object).collect::<String>())?;
    Ok(SourceSpec::Json { files: files(folder, path), options: JsonOptions::default() })
}

/// A file beside the test, read as its ending says.
pub fn fixture(mesh: &Path, domain: &str, product: &str, file: &str) -> Result<SourceSpec> {
    let below = product.strip_prefix(domain).map(|rest| rest.trim_start_matches('/')).unwrap_or(product);
    let path = if below.is_empty() { file.to_owned() } else { format!("{below}/{file}") };
    let files = files(&mesh.join(domain), confined(&path)?);
    let ending = file.rsplit('.').next().unwrap_or_default();
    Ok(match ending {
        "json" | "jsonl" | "ndjson" => SourceSpec::Json { files, options: JsonOptions::default() },
        "parquet" => SourceSpec::Parquet { files },
        _ => SourceSpec::Csv { files, options: CsvOptions::default() },
    })
}

/// Rows of a CSV file with a header; every value is text, an empty one is null.
pub fn expected_file(mesh: &Path, _: &str, product: &str, file: &str) -> Result<Vec<Row>> {
    let path = confined(&format!("{product}/{file}"))?;
    let full = mesh.join(&path);
    let bytes = std::fs::read(&full)
        .map_err(|error| Error::environment("MW1061", format!("{path} cannot be read: {error}")))?;
    let format = arrow::csv::reader::Format::default().with_header(true);
    let broken = |error: arrow::error::ArrowError| Error::check("MW1061", format!("{path} is not CSV: {error}"));
    let (header, _) = format.infer_schema(std::io::Cursor::new(&bytes), Some(0)).map_err(broken)?;
    let texts = header
        .fields()
        .iter()
        .map(|field| arrow::datatypes::Field::new(field.name(), arrow::datatypes::DataType::Utf8, true));
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(texts.collect::<Vec<_>>()));
    let reader = arrow::csv::ReaderBuilder::new(schema.clone())
        .with_header(true)
        .build(std::io::Cursor::new(&bytes))
        .map_err(broken)?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(broken)?;
        for number in 0..batch.num_rows() {
            let line = u32::try_from(rows.len() + 2).unwrap_or(u32::MAX);
            let cell = |(column, field): (&arrow::array::ArrayRef, &std::sync::Arc<arrow::datatypes::Field>)| {
                use arrow::array::{Array, AsArray};
                let text = column.as_string::<i32>();
                let kind = match text.is_null(number) || text.value(number).is_empty() {
                    true => NodeKind::Null,
                    false => NodeKind::Text(text.value(number).to_owned()),
                };
                (field.name().clone(), Node { span: Span { line, column: 1, length: 0 }, kind })
            };
            let cells = batch.columns().iter().zip(schema.fields()).map(cell).collect();
            rows.push(Row { cells, place: Place { path: path.clone(), line, column: 1 } });
        }
    }
    Ok(rows)
}

/// Inside of the mesh folder, by its text.
fn confined(path: &str) -> Result<String> {
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if inside {
        return Ok(path.to_owned());
    }
    Err(Error::check("MW1061", format!("`{}` leads out of the product's folder", path.escape_debug())))
}

fn files(folder: &Path, path: String) -> FilesSpec {
    FilesSpec::Folder { folder: folder.to_path_buf(), path }
}

fn written(folder: &Path, name: &str, text: &str) -> Result<String> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|error| super::unwritable(&path, &error))?;
    Ok(name.to_owned())
}

/// The text of a value; `None` for null. Lists and maps as JSON.
pub fn plain(value: &Node) -> Option<String> {
    match &value.kind {
        NodeKind::Null => None,
        NodeKind::Bool(value) => Some(value.to_string()),
        NodeKind::Number(text) | NodeKind::Text(text) => Some(text.clone()),
        NodeKind::List(_) | NodeKind::Map(_) => Some(value.to_json().to_string()),
    }
}

fn quoted(text: &str) -> String {
    let needs = text.is_empty() || text.contains([',', '"', '\n', '\r']) || text.trim() != text;
    if needs { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
