//! Files as tables, by their content.

use meshwork_control::port::data::{FilesSpec, SourceSpec};
use meshwork_core::contract::Field;
use meshwork_core::infer::{ProfiledType, ProposedSource};
use meshwork_core::product::{Absent, JsonOptions};
use meshwork_core::types::{ColumnType, LogicalType};
use meshwork_core::{Error, Result};

use super::{Bounds, Examined, combination, table};
use crate::source::guess::{self, Format};
use crate::source::json::paths::{Leaf, paths};
use crate::source::{self, Access, Meter, Reading};

/// Files, a SQLite database or a Delta table: where it lies, and how a manifest names it.
#[derive(Clone, Debug)]
pub struct Located {
    /// What the table is called.
    pub name: String,
    pub files: FilesSpec,
    pub shown: String,
    /// The path is the folder of a Delta table.
    pub delta: bool,
}

/// How a table is read, by its content.
#[derive(Clone, Debug)]
pub struct Described {
    pub spec: SourceSpec,
    pub source: ProposedSource,
    /// It gives types itself.
    pub typed: bool,
}

/// What lies there; files of one source are judged by the first. `table` is asked of a database that holds several.
pub async fn describe(located: &Located, table: Option<&str>, access: &Access) -> Result<Described> {
    let (files, path) = (located.files.clone(), located.shown.clone());
    if located.delta {
        let (spec, source) =
            (SourceSpec::Delta { files, version: None }, ProposedSource::File { kind: "delta", path, table: None });
        return Ok(Described { spec, source, typed: true });
    }
    let found = access.files(&located.name, &files, &None, &Meter::default()).await?;
    let first = found.first().cloned().ok_or_else(|| nothing(&located.shown))?;
    let (format, csv) = in_background(move || {
        let format = guess::format(&first)?;
        let csv = if format == Format::Csv { Some(guess::csv(&first)?) } else { None };
        Ok((format, csv))
    })
    .await?;
    let file = |kind, table| ProposedSource::File { kind, path: path.clone(), table };
    let json = |options: JsonOptions| Described {
        spec: SourceSpec::Json { files: files.clone(), options: options.clone() },
        source: ProposedSource::Json { path: path.clone(), options },
        typed: false,
    };
    let table = table.map(str::to_owned);
    Ok(match (format, csv) {
        (Format::Json, _) => json(JsonOptions::default()),
        (Format::JsonDocument { records }, _) => {
            json(JsonOptions { records: records.into_iter().next(), ..JsonOptions::default() })
        }
        (Format::Parquet, _) => {
            Described { source: file("parquet", None), spec: SourceSpec::Parquet { files }, typed: true }
        }
        (Format::Avro, _) => Described { source: file("avro", None), spec: SourceSpec::Avro { files }, typed: true },
        (Format::Sqlite, _) => Described {
            source: file("sqlite", table.clone()),
            spec: SourceSpec::Sqlite { files, table, query: None },
            typed: false,
        },
        (Format::Csv, csv) => {
            let options = csv.map(|csv| csv.options).unwrap_or_default();
            Described {
                source: ProposedSource::Csv { path, options: options.clone() },
                spec: SourceSpec::Csv { files, options },
                typed: false,
            }
        }
    })
}

/// The table that lies there; of a SQLite database all.
pub async fn located(
    located: &Located,
    access: &Access,
    bounds: Bounds,
    heard: &(dyn Fn(&str) + Send + Sync),
) -> Result<Vec<Examined>> {
    let Described { spec, mut source, typed } = describe(located, None, access).await?;
    if let SourceSpec::Sqlite { files, .. } = &spec {
        return super::sqlite::tables(located, files, access, bounds, heard).await;
    }
    heard(&located.shown);
    let reading = Reading::default();
    let mut leaves = Vec::new();
    let mut reads = spec.clone();
    if let (SourceSpec::Json { files, options }, ProposedSource::Json { options: proposed, .. }) = (&spec, &mut source)
    {
        let found = access.files(&located.name, files, &None, &Meter::default()).await?;
        if found.len() > 1 {
            // What one of the files lacks is no fault of the source.
            proposed.absent = Absent::Null;
        }
        let of = options.clone();
        leaves = in_background(move || paths(&found, &of, bounds.rows)).await?;
        reads =
            SourceSpec::Json { files: files.clone(), options: JsonOptions { absent: Absent::Null, ..options.clone() } };
    }
    let fields: Vec<Field> = leaves.iter().map(|(path, leaf)| json_field(path, *leaf)).collect();
    let opened = source::open(&located.name, &reads, &fields, &reading, access).await?;
    // The paths come first; the keys that they begin with stand behind them.
    let wanted = if leaves.is_empty() { table::all(&opened) } else { (0..leaves.len()).collect() };
    let mut examined = table::examine(&located.name, source, &opened, &wanted, typed, bounds).await?;
    for (column, (_, leaf)) in examined.profile.columns.iter_mut().zip(&leaves) {
        match leaf {
            Leaf::Plain => {}
            Leaf::Json => {
                column.ty = ProfiledType {
                    physical: Some("json"),
                    declared: true,
                    because: "objects or lists, kept as JSON".to_owned(),
                    ..ProfiledType::default()
                };
                column.seen.values = None;
            }
            Leaf::Numbers | Leaf::Texts => "lists".clone_into(&mut column.ty.because),
        }
    }
    if !examined.profile.columns.iter().any(|column| column.seen.unique && column.seen.nulls == 0) {
        examined.profile.combinations = combination::unique(&examined.profile, &opened, &wanted).await?;
    }
    Ok(vec![examined])
}

/// A column as a contract would declare it before its type is known.
pub fn text_field(name: &str) -> Field {
    json_field(name, Leaf::Plain)
}

fn json_field(path: &str, leaf: Leaf) -> Field {
    let native = match leaf {
        Leaf::Plain | Leaf::Json => ColumnType::Text,
        Leaf::Numbers => ColumnType::List(Box::new(ColumnType::Float64)),
        Leaf::Texts => ColumnType::List(Box::new(ColumnType::Text)),
    };
    let logical_type = if matches!(native, ColumnType::List(_)) { LogicalType::Array } else { LogicalType::String };
    Field {
        id: None,
        name: path.to_owned(),
        physical_name: None,
        renamed_from: None,
        logical_type,
        physical_type: (leaf == Leaf::Json).then(|| "json".to_owned()),
        native,
        required: false,
        unique: false,
        primary_key: None,
        classifications: Vec::new(),
        description: None,
        tags: Vec::new(),
        examples: Vec::new(),
        default_timezone: None,
        format: None,
        place: None,
    }
}

fn nothing(path: &str) -> Error {
    Error::not_found("MW1100", format!("there is no file `{path}`"))
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let broken = |_| Error::environment("MW1101", "reading the file stopped unexpectedly").hint("it may be damaged");
    tokio::task::spawn_blocking(work).await.map_err(broken)?
}
