//! Data contracts, in the one shape that everything after parsing works on. ODCS 3.x and the short form both end here.

mod clause;
pub mod compare;
mod digest;
mod draft;
pub mod duration;
mod export;
mod key;
mod look;
mod native;
mod normalise;
mod odcs;
mod operator;
mod pattern;
mod reference;
mod severity;
mod shape;
mod short;
mod value;

#[cfg(test)]
mod tests;

pub use compare::{Bump, Change, Level, check_bump, compare, required_bump};
pub(crate) use export::scalar;
pub use export::{export, to_odcs};
pub(crate) use native::physical_type;

use serde::{Deserialize, Serialize};

use crate::error::{Diagnostic, Place};
use crate::id::{ColumnId, ContractId};
use crate::name::Name;
use crate::quality::{Clause, Rule};
use crate::reader::Findings;
use crate::types::{ColumnType, Literal, LogicalType};
use crate::yaml::Node;

/// Reads a contract, in whichever form it is written. `path` is relative to the mesh folder; `text` is what `node` was
/// parsed from. Everything that is wrong comes at once. There is a contract whenever something can be read as one, also
/// beside errors, so that what depends on it can be checked too; with errors it must not be applied.
pub fn parse(path: &str, text: &str, node: &Node) -> (Option<Contract>, Vec<Diagnostic>) {
    let findings = Findings::new(path);
    let draft = if node.as_map().is_none() {
        let message = format!("a contract is a map of keys and values, not {}", node.kind_name());
        findings.error("MW0200", node.span, message);
        None
    } else if node.get("apiVersion").is_some() || node.get("kind").is_some() {
        Some(odcs::read(&findings, node))
    } else if node.get("fields").is_some() || node.get("schema").is_some_and(|schema| schema.as_text().is_some()) {
        Some(short::read(&findings, node))
    } else {
        findings.error_hinting(
            "MW0200",
            node.span,
            "this is neither an ODCS contract nor one in the short form",
            "An ODCS contract starts with `apiVersion: v3.1.0` and `kind: DataContract`; the short form with `schema: name`.",
        );
        None
    };
    let contract = draft.map(|draft| normalise::normalise(&findings, text, draft, node.span));
    (contract, findings.into_diagnostics())
}

/// The JSON Schema of a contract file, in either form. It is printed from the table that [`parse`] reads by.
pub fn schema() -> serde_json::Value {
    let mut definitions = shape::Definitions { form: "short", found: serde_json::Map::new() };
    let short = shape::Shape::Object(&short::CONTRACT).schema(&mut definitions);
    definitions.form = "odcs";
    let odcs = shape::Shape::Object(&odcs::CONTRACT).schema(&mut definitions);
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Data contract",
        "description": "In the Open Data Contract Standard 3.0 to 3.2, or in the short form.",
        "oneOf": [short, odcs],
        "$defs": definitions.found,
    })
}

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

impl Contract {
    /// With references inside its own domain written out, as `domain.output`.
    #[must_use]
    pub fn in_domain(mut self, domain: &Name) -> Self {
        for clause in self.tables.iter_mut().flat_map(|table| &mut table.clauses) {
            if let Rule::References { to, .. } = &mut clause.rule
                && !to.contains('.')
            {
                *to = format!("{domain}.{to}");
            }
        }
        self
    }
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

impl SlaProperty {
    /// By its ODCS name or its two letters in the periodic table of SLAs.
    fn of(name: &str) -> Self {
        match name.to_lowercase().as_str() {
            "freshness" | "fr" => Self::Freshness,
            "latency" | "ly" => Self::Latency,
            "retention" | "re" => Self::Retention,
            "frequency" | "fy" => Self::Frequency,
            "availability" | "av" => Self::Availability,
            _ => Self::Other(name.to_owned()),
        }
    }
}
