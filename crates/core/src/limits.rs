//! What a query and a run may use: as mesh.yaml and product.yaml declare it, and as whoever serves sets it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contract::duration;
use crate::decimal::Decimal;

/// Limits of one statement or one run. What is absent is left to the layer above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Temporary files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spill_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
    /// Of an answer, or of what a run writes to one output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// Those of queries, and those of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshLimits {
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub query: Limits,
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub run: Limits,
}

/// Below this neither a query nor a run gets anywhere.
pub const LEAST_MEMORY: u64 = 32 << 20;

impl MeshLimits {
    pub fn is_empty(&self) -> bool {
        self.query.is_empty() && self.run.is_empty()
    }
}

impl Limits {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The lower of both, limit by limit.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let lower = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Self {
            memory_bytes: lower(self.memory_bytes, other.memory_bytes),
            spill_bytes: lower(self.spill_bytes, other.spill_bytes),
            time_ms: lower(self.time_ms, other.time_ms),
            rows: lower(self.rows, other.rows),
        }
    }

    /// These, and `other` for what they leave open.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.or(other.memory_bytes),
            spill_bytes: self.spill_bytes.or(other.spill_bytes),
            time_ms: self.time_ms.or(other.time_ms),
            rows: self.rows.or(other.rows),
        }
    }

    /// What is above `ceiling`: (key, here, there).
    pub fn above(&self, ceiling: &Self) -> Vec<(Key, u64, u64)> {
        let found = Key::ALL.into_iter().filter_map(|key| Some((key, self.get(key)?, ceiling.get(key)?)));
        found.filter(|(_, here, there)| here > there).collect()
    }

    pub fn get(&self, key: Key) -> Option<u64> {
        match key {
            Key::Memory => self.memory_bytes,
            Key::Spill => self.spill_bytes,
            Key::Time => self.time_ms,
            Key::Rows => self.rows,
        }
    }

    pub fn set(&mut self, key: Key, value: u64) {
        let place = match key {
            Key::Memory => &mut self.memory_bytes,
            Key::Spill => &mut self.spill_bytes,
            Key::Time => &mut self.time_ms,
            Key::Rows => &mut self.rows,
        };
        *place = Some(value);
    }
}

/// `memory 1 GiB, spill 8 GiB, time 5 min`.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let set = Key::ALL.into_iter().filter_map(|key| Some(format!("{key} {}", key.shown(self.get(key)?))));
        f.write_str(&set.collect::<Vec<_>>().join(", "))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Memory,
    Spill,
    Time,
    Rows,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Key {
    pub const ALL: [Self; 4] = [Self::Memory, Self::Spill, Self::Time, Self::Rows];

    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Spill => "spill",
            Self::Time => "time",
            Self::Rows => "rows",
        }
    }

    /// Reads `4 GiB`, `30 s`, `1000000`; else says what is written instead.
    pub fn read(self, text: &str) -> Result<u64, &'static str> {
        match self {
            Self::Memory => match bytes(text) {
                Some(bytes) if bytes >= LEAST_MEMORY => Ok(bytes),
                Some(_) => Err("at least `32 MiB`"),
                None => Err("a size such as `4 GiB` or `500 MB`"),
            },
            Self::Spill => bytes(text).ok_or("a size such as `20 GiB` or `500 MB`"),
            Self::Time => millis(text).filter(|ms| *ms > 0).ok_or("a duration such as `30 s` or `2 h`"),
            Self::Rows => whole(text).filter(|rows| *rows > 0).ok_or("a number of rows such as `1000000`"),
        }
    }

    pub fn shown(self, value: u64) -> String {
        match self {
            Self::Memory | Self::Spill => shown_bytes(value),
            Self::Time => shown_millis(value),
            Self::Rows => value.to_string(),
        }
    }
}

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Bytes of `4 GiB`, `1.5GB`, `500 mb`, or of a bare number.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim();
    let size = match unit {
        "" => 1,
        unit => UNITS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    let number: f64 = Decimal::parse(number).filter(|number| !number.is_negative())?.to_string().parse().ok()?;
    let bytes = number * size as f64;
    // Beyond that floats are not exact, and no machine is so large.
    (bytes < 9e15).then_some(bytes as u64)
}

fn millis(text: &str) -> Option<u64> {
    let seconds = duration::seconds(text, None).filter(|seconds| *seconds < 1e9)?;
    Some((seconds * 1000.0).round() as u64)
}

fn whole(text: &str) -> Option<u64> {
    text.trim().replace('_', "").parse().ok()
}

fn shown_bytes(bytes: u64) -> String {
    let exact = UNITS.into_iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    match exact {
        Some((unit, size)) => format!("{} {unit}", bytes / size),
        None => format!("{bytes} B"),
    }
}

fn shown_millis(ms: u64) -> String {
    let exact = [("h", 3_600_000), ("min", 60_000), ("s", 1000)].into_iter().find(|(_, size)| ms.is_multiple_of(*size));
    match exact {
        Some((unit, size)) => format!("{} {unit}", ms / size),
        None => format!("{ms} ms"),
    }
}

/// `query.memory=4 GiB` and the like, several with commas between; as whoever serves writes them.
pub fn settings(text: &str) -> Result<MeshLimits, String> {
    let mut limits = MeshLimits::default();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let form = "write `query.` or `run.` and one of memory, spill, time and rows, as in `query.memory=4GiB`";
        let (name, value) = part.split_once('=').ok_or_else(|| format!("`{part}` sets nothing: {form}"))?;
        let (of, key) = name.trim().split_once('.').ok_or_else(|| format!("`{name}` is not a limit: {form}"))?;
        let key = Key::ALL.into_iter().find(|known| known.name() == key);
        let place = match of {
            "query" => &mut limits.query,
            "run" => &mut limits.run,
            _ => return Err(format!("`{name}` is not a limit: {form}")),
        };
        let key = key.ok_or_else(|| format!("`{name}` is not a limit: {form}"))?;
        let value = key.read(value).map_err(|what| format!("`{part}`: write {what}"))?;
        place.set(key, value);
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_as_people_write_them() {
        for (text, expected) in [
            ("4 GiB", Some(4 << 30)),
            ("1.5GB", Some(1_500_000_000)),
            ("500 mb", Some(500_000_000)),
            ("1024", Some(1024)),
            ("0.5KiB", Some(512)),
            ("4 Gb/s", None),
            ("-1 GiB", None),
            ("GiB", None),
            ("", None),
            ("99999999 TiB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
        assert_eq!(Key::Time.read("1.5 h"), Ok(5_400_000));
        assert_eq!(Key::Time.read("250 ms"), Ok(250));
        assert!(Key::Time.read("0 s").is_err() && Key::Time.read("soon").is_err());
        assert_eq!(Key::Rows.read("1_000_000"), Ok(1_000_000));
        assert!(Key::Memory.read("1 MiB").is_err() && Key::Rows.read("0").is_err());
    }

    #[test]
    fn they_are_shown_as_they_may_be_written() {
        let limits = settings("query.memory=4GiB, query.time=90 s, run.rows=10,run.spill=1500 B").expect("read");
        assert_eq!(limits.query.to_string(), "memory 4 GiB, time 90 s");
        assert_eq!(limits.run.to_string(), "spill 1500 B, rows 10");
        for wrong in ["query.memory", "memory=4GiB", "query.cores=4", "sort.time=1s", "run.time=-1 s"] {
            assert!(settings(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_lower_layer_only_tightens() {
        let above = Limits { memory_bytes: Some(100), rows: Some(10), ..Limits::default() };
        let below = Limits { memory_bytes: Some(200), time_ms: Some(5), ..Limits::default() };
        assert_eq!(
            above.and(below),
            Limits { memory_bytes: Some(100), time_ms: Some(5), rows: Some(10), spill_bytes: None }
        );
        assert_eq!(below.above(&above), [(Key::Memory, 200, 100)]);
        assert_eq!(above.or(below).memory_bytes, Some(100));
    }
}
