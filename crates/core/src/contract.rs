//! Data contracts, in the one shape that everything after parsing works on. ODCS 3.x and the short form both end here.

use serde::{Deserialize, Serialize};

use crate::error::Place;
use crate::id::{ColumnId, ContractId};
use crate::name::Name;
use crate::quality::Clause;
use crate::types::{ColumnType, Literal, LogicalType};

/// A contract as declared, normalised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    /// ODCS `id` where given, else given at first apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ContractId>,
    pub name: String,
    pub version: semver::Version,
    pub dialect: Dialect,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default)]
    pub tables: Vec<Table>,
    #[serde(default)]
    pub sla: Vec<Sla>,
    /// SHA-256 (hex) over the canonical JSON of everything above: what "the contract changed" means (D6).
    pub digest: String,
    /// The file it was read from, relative to the mesh folder.
    pub path: String,
    /// That file as it was written, comments and unmeasured properties included: the source of truth for export.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    Short,
    /// `apiVersion`, such as `v3.1.0`.
    Odcs(String),
}

/// One ODCS schema object: the shape of one output (D2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub fields: Vec<Field>,
    /// Every clause: those of the table, of its fields, and those that the fields' types, options, keys and references
    /// imply (`required` → a clause). Each is answered by every run.
    #[serde(default)]
    pub clauses: Vec<Clause>,
}

impl Table {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Columns of the primary key in key order; empty without one.
    pub fn primary_key(&self) -> Vec<&str> {
        let mut key: Vec<(u32, &str)> =
            self.fields.iter().filter_map(|f| f.primary_key.map(|at| (at, f.name.as_str()))).collect();
        key.sort_unstable();
        key.into_iter().map(|(_, name)| name).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Given at first apply; a rename keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ColumnId>,
    /// The SQL column, exact.
    pub name: String,
    /// The column of the source, where it has another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    pub logical_type: LogicalType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_type: Option<String>,
    /// What it is stored as; follows from the logical type and its options (D12).
    pub native: ColumnType,
    #[serde(default)]
    pub required: bool,
    #[serde(default)]
    pub unique: bool,
    /// 1-based position in the primary key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_key: Option<u32>,
    /// Names from `classifications.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classifications: Vec<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Literal>,
    /// Zone for source text without an offset (ODCS `defaultTimezone`); only `UTC` and fixed offsets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_timezone: Option<String>,
    /// A date/time/number pattern of the source text (ODCS `format`), strftime style after normalisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A service-level promise. Watched, never a gate (D5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sla {
    pub property: SlaProperty,
    /// `domain.field` free text of ODCS, reduced to a field name of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// Seconds for durations, a fraction 0..=1 for availability, the number as it stands (or 0) for any other property.
    pub value: f64,
    /// What was written, for properties that are shown and not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlaProperty {
    Freshness,
    Latency,
    Retention,
    Frequency,
    Availability,
    /// Any other ODCS property, kept by name and shown, not measured.
    Other(String),
}
