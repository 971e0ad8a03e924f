//! Files as tables: by their content, like files together.

use std::collections::BTreeMap;
use std::path::Path;

use meshwork_control::port::data::{FilesSpec, SourceSpec};
use meshwork_core::contract::Field;
use meshwork_core::infer::{ProfiledType, ProposedSource};
use meshwork_core::product::{Absent, JsonOptions};
use meshwork_core::types::{ColumnType, LogicalType};
use meshwork_core::{Error, Result};

use super::{Bounds, Examined, combination, table};
use crate::source::file::find;
use crate::source::guess::{self, Format};
use crate::source::json::paths::{Leaf, paths};
use crate::source::{self, Access, Reading, Secrets};

/// Files that are read as one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// A path or glob below the folder.
    pub path: String,
    /// What the table is called.
    pub name: String,
}

/// The sources among files of one folder: `leads-2024-01.csv` and `leads-2024-02.csv` are one, `leads-*.csv`.
pub fn patterns(names: &[String]) -> Vec<Pattern> {
    let mut groups: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for name in names {
        groups.entry(starred(name)).or_default().push(name);
    }
    let mut found = Vec::new();
    for (starred, members) in groups {
        match members.as_slice() {
            [one] => found.push(Pattern { path: (*one).clone(), name: stem(one) }),
            several if starred.matches('*').count() == 1 && stem(&starred).chars().any(char::is_alphabetic) => {
                // The glob must not take in files of another group.
                let (before, after) = starred.split_once('*').unwrap_or((&starred, ""));
                let taken = names.iter().filter(|n| n.starts_with(before) && n.ends_with(after)).count();
                if taken == several.len() {
                    found.push(Pattern { path: starred.clone(), name: stem(&starred) });
                } else {
                    found.extend(several.iter().map(|n| Pattern { path: (*n).clone(), name: stem(n) }));
                }
            }
            several => found.extend(several.iter().map(|n| Pattern { path: (*n).clone(), name: stem(n) })),
        }
    }
    found
}

/// The name with its dates and numbers as one `*`: from the first digit of the stem to the last.
fn starred(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    let folder = &name[..name.len() - file.len()];
    let end = file.find('.').unwrap_or(file.len());
    let (stem, endings) = file.split_at(end);
    let digits = |c: char| c.is_ascii_digit();
    match (stem.find(digits), stem.rfind(digits)) {
        (Some(first), Some(last)) if stem[first..=last].chars().all(|c| c.is_ascii_digit() || "-_".contains(c)) => {
            format!("{folder}{}*{}{endings}", &stem[..first], &stem[last + 1..])
        }
        _ => name.to_owned(),
    }
}

fn stem(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.split('.').next().unwrap_or(file);
    stem.trim_matches(['*', '-', '_', ' ']).to_owned()
}

/// How files are read, by their content.
#[derive(Clone, Debug)]
pub struct Described {
    pub spec: SourceSpec,
    pub source: ProposedSource,
    /// They give types themselves.
    pub typed: bool,
}

/// The files that match below `folder`, judged by the first. `shown` is how their source names them.
pub async fn describe(folder: &Path, pattern: &Pattern, shown: &str) -> Result<Described> {
    let found = find(&pattern.name, folder, &pattern.path)?;
    let first = found.first().cloned().ok_or_else(|| nothing(&pattern.path))?;
    let probe = first.clone();
    let (format, csv) = in_background(move || {
        let format = guess::format(&probe)?;
        let csv = if format == Format::Csv { Some(guess::csv(&probe)?) } else { None };
        Ok((format, csv))
    })
    .await?;
    let files = FilesSpec::Folder { folder: folder.to_owned(), path: pattern.path.clone() };
    let path = shown.to_owned();
    let json = |options: JsonOptions| Described {
        spec: SourceSpec::Json { files: files.clone(), options: options.clone() },
        source: ProposedSource::Json { path: path.clone(), options },
        typed: false,
    };
    Ok(match (format, csv) {
        (Format::Csv, Some(csv)) => Described {
            source: ProposedSource::Csv { path, options: csv.options.clone() },
            spec: SourceSpec::Csv { files, options: csv.options },
            typed: false,
        },
        (Format::Json, _) => json(JsonOptions::default()),
        (Format::JsonDocument { records }, _) => {
            json(JsonOptions { records: records.into_iter().next(), ..JsonOptions::default() })
        }
        (Format::Parquet, _) => Described {
            spec: SourceSpec::Parquet { files },
            source: ProposedSource::File { kind: "parquet", path },
            typed: true,
        },
        (other, _) => {
            return Err(Error::usage(
                "MW1101",
                format!("`{}` is a file of kind {other:?}, which is not read here", first.name),
            )
            .hint("convert it to CSV, JSON or Parquet"));
        }
    })
}

/// The table in the files that match below `folder`.
pub async fn file(folder: &Path, pattern: &Pattern, shown: &str, bounds: Bounds) -> Result<Examined> {
    let Described { spec, mut source, typed } = describe(folder, pattern, shown).await?;
    let reading = Reading::default();
    let mut leaves = Vec::new();
    let mut reads = spec.clone();
    if let (SourceSpec::Json { files, options }, ProposedSource::Json { options: proposed, .. }) = (&spec, &mut source)
    {
        let found = source::find(&pattern.name, files)?;
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
    let opened =
        source::open(&pattern.name, &reads, &fields, &reading, &Access::here("init", Secrets::default())).await?;
    // The paths come first; the keys that they begin with stand behind them.
    let wanted = if leaves.is_empty() { table::all(&opened) } else { (0..leaves.len()).collect() };
    let mut examined = table::examine(&pattern.name, source, &opened, &wanted, typed, bounds).await?;
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
    Ok(examined)
}

/// A column at a path, as a contract would declare it before its type is known.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_files_are_one_source() {
        let names = ["leads-2024-01.csv", "leads-2024-02.csv", "leads.csv", "x1.csv", "2023.csv", "2024.csv"];
        let found = patterns(&names.map(str::to_owned));
        let shown: Vec<String> = found.iter().map(|p| format!("{} {}", p.path, p.name)).collect();
        assert_eq!(shown, ["2023.csv 2023", "2024.csv 2024", "leads-*.csv leads", "leads.csv leads", "x1.csv x1"]);
    }
}
