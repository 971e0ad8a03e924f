//! Contracts and products from data that exists: what was seen of it (a profile) becomes a proposal, and the proposal text
//! with the evidence of each guess beside it.
//!
//! A guess that could block a publication (severity `error`) is made only of what held on every row, and only where every
//! row was read; what was seen in a part becomes a comment or a warning.

mod column;
pub mod dbt;
mod key;
mod name;
pub mod personal;
mod pick;
mod shape;
mod text;

#[cfg(test)]
mod tests;

use crate::name::{Name, TeamName};
use crate::product::{CsvOptions, JsonOptions};
use crate::types::ColumnType;

pub use name::{column_names, table_name};
pub use personal::Personal;
pub use shape::Shapes;
pub use text::{Connected, Proposal, propose};

/// One table, file or set of like files of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct TableProfile {
    /// As the source calls it: `public.artist`, `weather`.
    pub name: String,
    pub source: ProposedSource,
    pub description: Option<String>,
    /// Rows that were read.
    pub rows: u64,
    /// Whether these are all.
    pub complete: bool,
    pub columns: Vec<ColumnProfile>,
    pub catalog: Catalog,
    /// Columns whose values never come together twice, where no single column is a key.
    pub combinations: Vec<Vec<String>>,
}

/// How the product reads it.
#[derive(Clone, Debug, PartialEq)]
pub enum ProposedSource {
    /// Paths are relative to the domain's folder, or addresses of files on other machines.
    Csv {
        path: String,
        options: CsvOptions,
    },
    Json {
        path: String,
        options: JsonOptions,
    },
    File {
        kind: &'static str,
        path: String,
        /// Of a database in a file.
        table: Option<String>,
    },
    /// A table of the domain's connection.
    Database {
        kind: &'static str,
        table: String,
        query: Option<String>,
    },
}

/// What the source itself declares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    pub primary_key: Vec<String>,
    pub unique: Vec<Vec<String>>,
    pub foreign_keys: Vec<ForeignKey>,
    /// Who says so, for the evidence: `the catalog`, `dbt`.
    pub said_by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    pub columns: Vec<String>,
    /// A table's name in the source.
    pub table: String,
    pub to_columns: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnProfile {
    /// As the source calls it.
    pub name: String,
    pub description: Option<String>,
    pub ty: ProfiledType,
    /// The source forbids nulls.
    pub not_null: bool,
    /// The source allows these values only.
    pub accepted: Vec<String>,
    /// Classifications that the source's own notes name.
    pub tags: Vec<String>,
    pub seen: Values,
}

/// A type, and who says so.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfiledType {
    pub native: ColumnType,
    /// Texts that are times of day.
    pub time_of_day: bool,
    /// strftime pattern of its dates, where they are not ISO 8601.
    pub format: Option<String>,
    /// What the source calls the type, where the contract must say it.
    pub physical: Option<&'static str>,
    /// Longest text.
    pub max_length: Option<u64>,
    /// The source gives the type; otherwise all values fit it.
    pub declared: bool,
    /// `varchar(40)`, or what all values have in common.
    pub because: String,
}

impl Default for ProfiledType {
    fn default() -> Self {
        Self {
            native: ColumnType::Text,
            time_of_day: false,
            format: None,
            physical: None,
            max_length: None,
            declared: false,
            because: String::new(),
        }
    }
}

/// What the values of a column are like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    pub rows: u64,
    pub nulls: u64,
    /// `None`: more than were counted.
    pub distinct: Option<u64>,
    /// No value comes twice; known only where all were counted.
    pub unique: bool,
    /// All values with how often they come, where they are few; by value.
    pub values: Option<Vec<(String, u64)>>,
    /// Least and greatest, as decimal texts, where they are numbers.
    pub numbers: Option<(String, String)>,
    /// Their ends.
    pub ends: Ends,
    /// Most digits before and after the point.
    pub digits: (u32, u32),
    /// Shortest and longest text, in characters.
    pub lengths: (u64, u64),
    pub shapes: Shapes,
    /// How many values are of each kind of personal data.
    pub personal: Vec<(Personal, u64)>,
    /// How many values meet a text format of contracts.
    pub formats: Vec<(&'static str, u64)>,
}

/// The greatest and the least numbers of a column, from the outermost inwards: each once, with how often it comes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ends {
    pub greatest: Vec<(String, u64)>,
    pub least: Vec<(String, u64)>,
    pub median: Option<f64>,
}

impl Values {
    /// Values that are not null.
    pub fn present(&self) -> u64 {
        self.rows - self.nulls
    }
}

/// What a proposal is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub domain: Name,
    pub product: Name,
    /// The team that owns the domain.
    pub owner: TeamName,
    /// The domain's connection that database tables and files on other machines are read through.
    pub connection: Option<Name>,
    /// Whose tables these are, in words: `chinook (PostgreSQL)`.
    pub from: String,
}
