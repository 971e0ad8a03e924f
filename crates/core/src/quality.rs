//! Quality clauses and their answers. Every declared clause is answered: pass, fail, error, or not evaluated because….

use serde::{Deserialize, Serialize};

use crate::error::{Place, Severity};
use crate::types::Literal;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clause {
    /// Stable within its table, such as `lead_id.required` or `quality[2].range(score)`.
    pub id: String,
    #[serde(default = "severity_error")]
    pub severity: Severity,
    #[serde(default)]
    pub scope: Scope,
    #[serde(flatten)]
    pub rule: Rule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// ODCS dimension (`completeness`, `validity`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

fn severity_error() -> Severity {
    Severity::Error
}

/// What a set clause sees (D6): the table as it would be after the commit, or only the rows being written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    #[default]
    Table,
    Batch,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Rule {
    // Row-local. Nulls pass all but `Required`.
    /// The source value fits the column's native type.
    Type {
        column: String,
    },
    Required {
        column: String,
    },
    Enum {
        column: String,
        values: Vec<Literal>,
    },
    /// Inclusive unless said otherwise; at least one bound. NaN never passes.
    Range {
        column: String,
        #[serde(default)]
        min: Option<Literal>,
        #[serde(default)]
        max: Option<Literal>,
        #[serde(default)]
        exclusive_min: bool,
        #[serde(default)]
        exclusive_max: bool,
    },
    /// Rust `regex` syntax; matches anywhere unless anchored, as JSON Schema's `pattern` does.
    Pattern {
        column: String,
        pattern: String,
    },
    /// In characters for text, in items for lists.
    Length {
        column: String,
        #[serde(default)]
        min: Option<u64>,
        #[serde(default)]
        max: Option<u64>,
    },
    MultipleOf {
        column: String,
        factor: Literal,
    },
    /// `email`, `uuid`, `uri`, `hostname`, `ipv4`, `ipv6`, `byte`.
    Format {
        column: String,
        format: String,
    },
    // Set clauses.
    /// No two rows share these values; rows with a null in any of them do not count, unless it is a primary key
    /// (whose columns are required anyway).
    Unique {
        columns: Vec<String>,
    },
    /// Each non-null value stands in `to_columns` of the published `domain.output`.
    References {
        columns: Vec<String>,
        to: String,
        to_columns: Vec<String>,
    },
    Metric {
        metric: Metric,
        unit: Unit,
        must: Threshold,
    },
    /// A query of one number, or of the failing rows when `must` is absent (then none may come). `{table}`, `{batch}`.
    Sql {
        query: String,
        #[serde(default)]
        must: Option<Threshold>,
    },
    /// Declared but not executable here (ODCS `text` and `custom`): decided at `check`, listed there (D5).
    NotEvaluated {
        because: String,
    },
}

impl Rule {
    pub fn is_row_local(&self) -> bool {
        matches!(
            self,
            Self::Type { .. }
                | Self::Required { .. }
                | Self::Enum { .. }
                | Self::Range { .. }
                | Self::Pattern { .. }
                | Self::Length { .. }
                | Self::MultipleOf { .. }
                | Self::Format { .. }
        )
    }

    /// The columns of its own table that it reads, as far as they are declared.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::Type { column }
            | Self::Required { column }
            | Self::Enum { column, .. }
            | Self::Range { column, .. }
            | Self::Pattern { column, .. }
            | Self::Length { column, .. }
            | Self::MultipleOf { column, .. }
            | Self::Format { column, .. } => vec![column],
            Self::Unique { columns } | Self::References { columns, .. } => columns.iter().map(String::as_str).collect(),
            Self::Metric { metric, .. } => metric.columns(),
            Self::Sql { .. } | Self::NotEvaluated { .. } => Vec::new(),
        }
    }
}

/// ODCS library metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "metric", rename_all = "snake_case")]
pub enum Metric {
    RowCount,
    NullValues {
        column: String,
    },
    /// Values that equal one of these; an absent value is written as null in ODCS and counts as `None`.
    MissingValues {
        column: String,
        missing: Vec<Option<Literal>>,
    },
    /// Non-null values outside `valid` or not matching `pattern`.
    InvalidValues {
        column: String,
        #[serde(default)]
        valid: Vec<Literal>,
        #[serde(default)]
        pattern: Option<String>,
    },
    /// Rows beyond the first of each group of equal non-null values.
    DuplicateValues {
        columns: Vec<String>,
    },
}

impl Metric {
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::RowCount => Vec::new(),
            Self::NullValues { column } | Self::MissingValues { column, .. } | Self::InvalidValues { column, .. } => {
                vec![column]
            }
            Self::DuplicateValues { columns } => columns.iter().map(String::as_str).collect(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    #[default]
    Rows,
    /// 0 to 100, of all rows.
    Percent,
}

/// ODCS operators. Compared as decimals, not as binary floats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Threshold {
    MustBe(f64),
    MustNotBe(f64),
    MustBeGreaterThan(f64),
    MustBeGreaterOrEqualTo(f64),
    MustBeLessThan(f64),
    MustBeLessOrEqualTo(f64),
    /// Both ends included.
    MustBeBetween(f64, f64),
    MustNotBeBetween(f64, f64),
}

impl Threshold {
    pub fn holds(&self, value: f64) -> bool {
        match *self {
            Self::MustBe(x) => value == x,
            Self::MustNotBe(x) => value != x,
            Self::MustBeGreaterThan(x) => value > x,
            Self::MustBeGreaterOrEqualTo(x) => value >= x,
            Self::MustBeLessThan(x) => value < x,
            Self::MustBeLessOrEqualTo(x) => value <= x,
            Self::MustBeBetween(a, b) => (a..=b).contains(&value),
            Self::MustNotBeBetween(a, b) => value.is_finite() && !(a..=b).contains(&value),
        }
    }
}

/// The answer to one clause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClauseResult {
    pub clause: String,
    pub severity: Severity,
    pub outcome: Outcome,
    /// One sentence, without values of the data (D20): `3 of 120 rows are null in lead_id`.
    pub message: String,
    /// The measured number of a metric or SQL clause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_rows: Option<u64>,
    /// Up to 20 failing rows, by where they came from and with their values: governed as data (D20).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<RowSample>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Pass,
    Fail,
    /// The check could not run; blocks like a failure (D5).
    Error {
        because: String,
    },
    NotEvaluated {
        because: String,
    },
}

/// One failing row: where it was read (file and 1-based row, where the source has such) and its column values as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowSample {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    pub values: Vec<(String, Option<String>)>,
}

/// Whether these answers let a publication through (D5).
pub fn gate(results: &[ClauseResult]) -> bool {
    results.iter().all(|r| r.severity != Severity::Error || r.outcome == Outcome::Pass || excused(r))
}

/// `NotEvaluated` was decided and listed at check or plan; one that arises in a run is reported as `Error` instead.
fn excused(result: &ClauseResult) -> bool {
    matches!(result.outcome, Outcome::NotEvaluated { .. })
}
