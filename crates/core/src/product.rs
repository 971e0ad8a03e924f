//! Data products: inputs, outputs, lifecycle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contract::{Contract, Table};
use crate::error::Place;
use crate::filter::Predicate;
use crate::id::{OutputId, ProductId};
use crate::limits::Limits;
use crate::name::{Name, TeamName};
use crate::quarantine::QuarantineLimit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ProductId>,
    pub name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<Name>,
    pub version: semver::Version,
    pub status: Status,
    pub archetype: Archetype,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How long its old publications stay readable, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<u64>,
    /// Of its runs.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    #[serde(default)]
    pub inputs: BTreeMap<Name, Input>,
    #[serde(default)]
    pub outputs: BTreeMap<Name, Output>,
    /// Folder relative to the mesh folder, such as `domains/marketing/leads`.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// Lifecycle states; each has effect (promise 9). Readable by its own domain from `proposed` to `deprecated`, by others from
/// `active` on; `retired` is gone from every port. A `proposed` product warns on each use: its contract was inferred or
/// suggested, and nobody vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Proposed,
    Draft,
    Active,
    Deprecated,
    Retired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Archetype {
    SourceAligned,
    Aggregate,
    ConsumerAligned,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    Source(Source),
    Product(ProductInput),
}

/// A registered dependency on another product's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductInput {
    pub domain: Name,
    pub product: Name,
    pub output: Name,
    /// Contract major.
    pub version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incremental: Option<Incremental>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    #[serde(flatten)]
    pub kind: SourceKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incremental: Option<Incremental>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// How an input tells what is new since the last run (D7). Outputs of mode `full` read everything all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Incremental {
    /// Files that were not there, or were not the same.
    Files,
    /// What the other product has published.
    Publication,
    /// Rows whose value in this column is greater than every one seen.
    Cursor(String),
}

impl std::fmt::Display for Incremental {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Files => f.write_str("files"),
            Self::Publication => f.write_str("publication"),
            Self::Cursor(column) => write!(f, "cursor({column})"),
        }
    }
}

/// What a source is; files may be globs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SourceKind {
    Csv {
        #[serde(flatten)]
        files: Files,
        #[serde(default)]
        options: CsvOptions,
    },
    Json {
        #[serde(flatten)]
        files: Files,
        #[serde(default)]
        options: JsonOptions,
    },
    Parquet {
        #[serde(flatten)]
        files: Files,
    },
    Avro {
        #[serde(flatten)]
        files: Files,
    },
    /// One SQLite file.
    Sqlite {
        #[serde(flatten)]
        files: Files,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        table: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<String>,
    },
    /// The folder of one Delta table, at its newest version or at a pinned one.
    Delta {
        #[serde(flatten)]
        files: Files,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
    },
    Mysql {
        connection: Name,
        /// `table` or `database.table`, or absent with `query`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        table: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<String>,
    },
    Postgres {
        connection: Name,
        /// `schema.table`, or absent with `query`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        table: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<String>,
    },
}

impl SourceKind {
    /// As `type` of a source.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Csv { .. } => "csv",
            Self::Json { .. } => "json",
            Self::Parquet { .. } => "parquet",
            Self::Avro { .. } => "avro",
            Self::Sqlite { .. } => "sqlite",
            Self::Delta { .. } => "delta",
            Self::Mysql { .. } => "mysql",
            Self::Postgres { .. } => "postgres",
        }
    }

    pub fn files(&self) -> Option<&Files> {
        match self {
            Self::Csv { files, .. }
            | Self::Json { files, .. }
            | Self::Parquet { files }
            | Self::Avro { files }
            | Self::Sqlite { files, .. }
            | Self::Delta { files, .. } => Some(files),
            Self::Mysql { .. } | Self::Postgres { .. } => None,
        }
    }
}

/// Where files lie: a path or glob relative to the domain's folder (D27), `s3://bucket/key` with a connection, or
/// `https://host/path`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Name>,
}

impl Files {
    pub fn at(path: impl Into<String>) -> Self {
        Self { path: path.into(), connection: None }
    }

    pub fn scheme(&self) -> Scheme {
        match self.path.split_once("://") {
            Some(("s3", _)) => Scheme::S3,
            Some(("http" | "https", _)) => Scheme::Http,
            _ => Scheme::Folder,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Folder,
    S3,
    Http,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvOptions {
    /// One ASCII character.
    pub delimiter: char,
    /// One ASCII character; an empty text for files whose fields never stand in quotes.
    #[serde(with = "optional_character")]
    #[schemars(with = "String")]
    pub quote: Option<char>,
    /// The character before a quote inside a quoted field, where quotes are not doubled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escape: Option<char>,
    /// Lines that start with this character are no records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<char>,
    /// Lines before the header (or before the first record).
    #[serde(skip_serializing_if = "is_zero")]
    pub skip: u32,
    pub header: bool,
    /// The WHATWG label of the text's encoding, such as `utf-8`, `utf-16`, `windows-1252`, `iso-8859-15`.
    pub encoding: String,
    /// Texts that mean null, beside the empty field.
    pub null: Vec<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: ',',
            quote: Some('"'),
            escape: None,
            comment: None,
            skip: 0,
            header: true,
            encoding: "utf-8".to_owned(),
            null: Vec::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// No character is an empty text.
mod optional_character {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "the form that serde calls")]
    pub fn serialize<S: Serializer>(character: &Option<char>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&character.map(String::from).unwrap_or_default())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<char>, D::Error> {
        Ok(String::deserialize(deserializer)?.chars().next())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonOptions {
    /// Where the records are when the file is one document: `$` for an array or object at the top, `$.features` for an
    /// array inside. Without it, a file holds one object a line, or is an array of objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<String>,
    /// A column of the contract whose key stands in no record of a file.
    pub absent: Absent,
}

/// The keys of a path to records: `$.a.b` or `/a/b`; none for `$`.
pub fn record_path(text: &str) -> Option<Vec<String>> {
    if text == "$" {
        return Some(Vec::new());
    }
    let keys: Vec<String> = if let Some(path) = text.strip_prefix("$.") {
        path.split('.').map(str::to_owned).collect()
    } else {
        // In a JSON pointer (RFC 6901) `~1` stands for `/`, `~0` for `~`.
        text.strip_prefix('/')?.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect()
    };
    (!keys.iter().any(|key| key.is_empty() || key.contains(['[', '*']))).then_some(keys)
}

/// What it means that no record of a file has the key of a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Absent {
    /// The source has changed: an error.
    #[default]
    Error,
    /// Every value is null.
    Null,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<OutputId>,
    pub name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<Name>,
    /// By contract major; each is its own Delta table (D2).
    pub versions: BTreeMap<u32, OutputVersion>,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    #[serde(default)]
    pub merge: Merge,
    #[serde(default)]
    pub on_violation: OnViolation,
    /// For `on_violation: quarantine`.
    #[serde(default, skip_serializing_if = "QuarantineLimit::is_default")]
    pub quarantine_limit: QuarantineLimit,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub row_filters: Vec<OutputFilter>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl Output {
    pub fn newest(&self) -> Option<(u32, &OutputVersion)> {
        self.versions.last_key_value().map(|(major, version)| (*major, version))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputVersion {
    pub contract: Contract,
    /// Which table of the contract, where it has several (`file.yaml#object`).
    pub table: String,
    pub sql: SqlFile,
    /// RFC 3339 date after which an unmoved pin is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunset: Option<chrono::NaiveDate>,
}

impl OutputVersion {
    /// The shape of this output. Resolution at `check` guarantees that it is there.
    pub fn schema(&self) -> &Table {
        self.contract.tables.iter().find(|table| table.name == self.table).expect("check resolved the contract's table")
    }
}

/// The transformation: inputs are tables by their input name. Without a file, `SELECT` of the contract's columns from
/// the only input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlFile {
    pub path: String,
    pub text: String,
}

/// Rows that everyone sees only under a condition, save the named teams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputFilter {
    pub name: Name,
    #[serde(rename = "where")]
    pub predicates: Vec<Predicate>,
    /// Teams that see all rows. The owner team is not exempt unless it is named.
    #[serde(default)]
    pub except: Vec<TeamName>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Full,
    Append,
    Merge,
    /// A query over other products' outputs. Nothing is stored: a run checks it, and every read answers it anew.
    View,
    /// A Delta table or Parquet files of others, where they lie. A run checks and pins them.
    External,
}

impl Mode {
    pub const ALL: [(&'static str, Self); 5] = [
        ("full", Self::Full),
        ("append", Self::Append),
        ("merge", Self::Merge),
        ("view", Self::View),
        ("external", Self::External),
    ];

    /// As in the manifest.
    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, mode)| *mode == self).map_or("", |(word, _)| word)
    }

    /// Whether the table takes up only what is new since the last run.
    pub fn grows(self) -> bool {
        matches!(self, Self::Append | Self::Merge)
    }

    /// Whether runs write data files of its own.
    pub fn is_stored(self) -> bool {
        !matches!(self, Self::View | Self::External)
    }
}

/// What a merge does beside adding and replacing rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// A predicate over what the SQL yields: rows for which it holds delete the row of their key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_when: Option<String>,
    #[serde(default)]
    pub missing_rows: MissingRows,
    /// Of several rows with one key, the one with the greatest of these is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_by: Vec<String>,
}

impl Merge {
    /// Whether a column that the SQL yields serves the merge and need not be one of the contract.
    pub fn uses(&self, column: &str) -> bool {
        self.order_by.iter().any(|c| c == column)
            || self.delete_when.as_deref().is_some_and(|predicate| {
                predicate.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == column)
                    || predicate.contains(&format!("\"{column}\""))
            })
    }
}

/// What becomes of rows of the table that the source no longer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MissingRows {
    #[default]
    Keep,
    /// The incremental input is read whole whenever it has changed, and what it does not have is deleted.
    Delete,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnViolation {
    #[default]
    Block,
    Quarantine,
}
