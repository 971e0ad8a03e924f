//! Data products: inputs, outputs, lifecycle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contract::{Contract, Table};
use crate::error::Place;
use crate::filter::Predicate;
use crate::id::{OutputId, ProductId};
use crate::name::Name;

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
    #[serde(default)]
    pub inputs: BTreeMap<Name, Input>,
    #[serde(default)]
    pub outputs: BTreeMap<Name, Output>,
    /// Folder relative to the mesh folder, such as `domains/marketing/leads`.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// Lifecycle states; each has effect (promise 9). Readable by its own domain from `draft` to `deprecated`, by others from
/// `active` on; `retired` is gone from every port; `proposed` has never run.
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
    pub place: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    #[serde(flatten)]
    pub kind: SourceKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// Paths are relative to the domain's folder (D27) and may be globs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SourceKind {
    Csv {
        path: String,
        #[serde(default)]
        options: CsvOptions,
    },
    /// One JSON object a line.
    Json {
        path: String,
    },
    Parquet {
        path: String,
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvOptions {
    /// One ASCII character.
    pub delimiter: char,
    pub quote: char,
    pub header: bool,
    /// Texts that mean null, beside the empty field.
    pub null: Vec<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: ',', quote: '"', header: true, null: Vec::new() }
    }
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
    pub on_violation: OnViolation,
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
    pub except: Vec<Name>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Full,
    Append,
    Merge,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnViolation {
    #[default]
    Block,
    Quarantine,
}
