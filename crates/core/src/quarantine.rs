//! Quarantine: rows that break the contract, set aside so that the rest can be published (D8).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contract::Table;
use crate::effect::Timestamp;
use crate::error::Severity;
use crate::id::{OutputId, ProductId, RunId};
use crate::product::{Merge, MissingRows, Mode};
use crate::publication::TableLocation;
use crate::quality::{Clause, Rule};

/// Columns of a quarantine beside those of its table begin with this.
pub const PREFIX: &str = "_quarantine_";
pub const RUN: &str = "_quarantine_run";
/// Counted from 1 within a run; with the run, the identity of a row.
pub const ROW: &str = "_quarantine_row";
pub const AT: &str = "_quarantine_at";
/// The ids of the clauses that the row breaks.
pub const CLAUSES: &str = "_quarantine_clauses";
/// The same in words, without values.
pub const REASON: &str = "_quarantine_reason";
/// The file that the row was read from, and its line or row there, where known.
pub const FILE: &str = "_quarantine_file";
pub const LINE: &str = "_quarantine_line";
/// JSON: what stood in columns whose value does not fit their type.
pub const RAW: &str = "_quarantine_raw";

/// The column of a quarantine's files that holds what stood in `column` where it did not fit.
pub fn raw_name(column: &str) -> String {
    format!("{RAW}_{column}")
}

/// The identity of that column, given the identity of the other: it follows a renaming, and its mask.
pub fn raw_id(column: &str) -> String {
    format!("{RAW}:{column}")
}

/// How long rows are kept.
pub const KEPT_DAYS: i64 = 30;

/// How much of a batch may be set aside; a run above it is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineLimit {
    /// Millionths of the batch's rows.
    Share(u32),
    Rows(u64),
}

/// One percent.
impl Default for QuarantineLimit {
    fn default() -> Self {
        Self::Share(10_000)
    }
}

impl QuarantineLimit {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `1%`, `0.5 %`, `0.01` (a share, below 1) or `500` (rows).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(percent) = text.strip_suffix('%') {
            let share = Self::scaled(percent.trim_end(), 4)?;
            return (share <= 1_000_000).then_some(Self::Share(share));
        }
        if text.contains('.') {
            let share = Self::scaled(text, 6)?;
            return (share < 1_000_000).then_some(Self::Share(share));
        }
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok().map(Self::Rows)).flatten()
    }

    /// A plain decimal with at most `digits` behind the point, without the point.
    fn scaled(text: &str, digits: usize) -> Option<u32> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(fraction) || fraction.len() > digits {
            return None;
        }
        format!("{whole}{fraction:0<digits$}").parse().ok()
    }

    pub fn allows(self, rows: u64, batch: u64) -> bool {
        match self {
            Self::Share(millionths) => u128::from(rows) * 1_000_000 <= u128::from(batch) * u128::from(millionths),
            Self::Rows(most) => rows <= most,
        }
    }
}

impl fmt::Display for QuarantineLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(millionths) => {
                let percent = format!("{}.{:04}", millionths / 10_000, millionths % 10_000);
                write!(f, "{} %", percent.trim_end_matches('0').trim_end_matches('.'))
            }
            Self::Rows(1) => f.write_str("1 row"),
            Self::Rows(rows) => write!(f, "{rows} rows"),
        }
    }
}

/// Numbers of rows, as ranges with both ends, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows(Vec<(u64, u64)>);

impl Rows {
    pub fn of(rows: impl IntoIterator<Item = u64>) -> Self {
        let mut rows: Vec<u64> = rows.into_iter().collect();
        rows.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for row in rows {
            match ranges.last_mut() {
                Some((_, last)) if row <= *last => {}
                Some((_, last)) if row == *last + 1 => *last = row,
                _ => ranges.push((row, row)),
            }
        }
        Self(ranges)
    }

    pub fn len(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, row: u64) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= row);
        after > 0 && row <= self.0[after - 1].1
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self::of(self.iter().chain(other.iter()))
    }

    pub fn meets(&self, other: &Self) -> bool {
        other.0.iter().any(|(first, last)| self.0.iter().any(|(f, l)| f <= last && first <= l))
    }
}

/// What a run set aside of one output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    pub rows: u64,
    /// Rows that the run had for the output, these included.
    pub batch_rows: u64,
    pub limit: QuarantineLimit,
    /// By clause, how many of the rows break it; a row may break several.
    pub clauses: BTreeMap<String, u64>,
    /// In mode `merge`: rows of the table that stay as they were because what was to replace them was set aside.
    #[serde(default)]
    pub kept_rows: u64,
    /// The files that hold the rows: opaque outside the engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<serde_json::Value>,
}

/// What a run that released quarantined rows made of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Released {
    /// The run that had set them aside.
    pub of: RunId,
    pub tried: u64,
    /// Those that passed, by their number there.
    pub rows: Rows,
    /// By clause, how many of those that stay break it.
    pub clauses: BTreeMap<String, u64>,
}

/// One run's quarantine of one output, as the state keeps it from the run's publication on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuarantineEntry {
    pub run: RunId,
    pub product: ProductId,
    pub output: OutputId,
    pub name: String,
    pub major: u32,
    pub at: Timestamp,
    pub location: TableLocation,
    pub quarantined: Quarantined,
    pub released: Rows,
    /// A later run that built the table anew from its inputs, and judged these rows again.
    pub superseded_by: Option<RunId>,
}

impl QuarantineEntry {
    /// Rows that were neither released nor judged again since.
    pub fn open_rows(&self) -> u64 {
        if self.superseded_by.is_some() { 0 } else { self.quarantined.rows.saturating_sub(self.released.len()) }
    }

    pub fn expires_at(&self) -> Timestamp {
        self.at + chrono::Duration::days(KEPT_DAYS)
    }
}

/// The folder of what is set aside of a table: beside the table's own, where no reader looks.
pub fn location(table: &TableLocation) -> TableLocation {
    let path = match table.path.rsplit_once('/') {
        Some((output, major)) => format!("{output}/quarantine/{major}"),
        None => format!("{}/quarantine", table.path),
    };
    TableLocation { root: table.root.clone(), path }
}

/// The clause that blocks because too many rows would be set aside.
pub const LIMIT_CLAUSE: &str = "quarantine_limit";

/// The clause that a merge's key stands for.
pub const KEY_CLAUSE: &str = "key";

/// Why breaking a clause blocks the run although rows are quarantined; `None` where rows that break it are set aside.
/// Only for clauses of severity error: others never block.
pub fn obstacle(clause: &Clause, mode: Mode, key: &[String], merge: &Merge) -> Option<&'static str> {
    let loses_key =
        |column: &String| mode == Mode::Merge && merge.missing_rows == MissingRows::Delete && key.contains(column);
    match &clause.rule {
        Rule::Required { column } | Rule::Type { column } if loses_key(column) => {
            Some("without its key a row cannot be told from one that is missing, which `missing_rows: delete` deletes")
        }
        rule if rule.is_row_local() => None,
        Rule::Unique { .. } => None,
        Rule::References { .. } => Some("it looks at other tables, not at the row"),
        Rule::Metric { .. } => Some("it is about the table as a whole"),
        Rule::Sql { .. } => Some("which rows are to blame is not for a query to say"),
        _ => Some("it is not evaluated"),
    }
}

/// Clauses of severity error that block all the same, with the reason.
pub fn obstacles<'t>(
    table: &'t Table,
    mode: Mode,
    key: &'t [String],
    merge: &'t Merge,
) -> impl Iterator<Item = (&'t Clause, &'static str)> {
    let gating = table
        .clauses
        .iter()
        .filter(|clause| clause.severity == Severity::Error && !matches!(clause.rule, Rule::NotEvaluated { .. }));
    gating.filter_map(move |clause| Some((clause, obstacle(clause, mode, key, merge)?)))
}
