//! Column types: what a contract says (logical) and what the platform stores (native), and the way from one to the
//! other (D12).

use serde::{Deserialize, Serialize};

/// ODCS logical types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogicalType {
    String,
    Integer,
    Number,
    Boolean,
    Date,
    Timestamp,
    Time,
    Object,
    Array,
}

/// What a column is stored and served as. The kernel has neither time-of-day nor unsigned types.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Text,
    Binary,
    Date,
    /// Microseconds, UTC.
    Timestamp,
    /// Microseconds without zone.
    LocalTimestamp,
    List(Box<ColumnType>),
    Struct(Vec<(String, ColumnType)>),
}

/// A literal in a contract, a filter or an example, on native types: numbers keep their decimal text, so that
/// comparing with a decimal column loses nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Literal {
    Boolean(bool),
    Integer(i64),
    /// The decimal text as written: `0.10`, `-1e3`.
    Number(NumberText),
    Text(String),
}

/// A JSON/YAML number kept as text. Serialises as a tagged object to survive JSON unharmed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NumberText {
    pub number: String,
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => f.write_str(&value.number),
            Self::Text(value) => f.write_str(value),
        }
    }
}
