//! Whether all values of some columns are different, from 64 bits of each: values with different bits are different, so a
//! set of bits without doubles certifies. Doubles certify nothing (two texts may share their bits): then the values
//! themselves are compared, elsewhere.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::hash_utils::{HLL_RANDOM_STATE, create_hashes};
use meshwork_core::contract::Table;
use meshwork_core::quality::{Clause, ClauseResult, Metric, Rule};

use crate::source::Samples;
use crate::write::{counted, describe_metric, threshold};

pub struct Keys {
    columns: Vec<String>,
    places: Vec<usize>,
    bits: Vec<u64>,
    /// How many are remembered at most; beyond, nothing is certified.
    budget: usize,
    overflow: bool,
    hashes: Vec<u64>,
    /// Of the first batch. The same value must have the same bits, which holds within one representation only.
    types: Option<Vec<DataType>>,
}

/// Keys of one part, so that looking one up stays within the processor's cache.
const PART: usize = 1 << 14;

/// The columns whose values a rule wants to be different together.
pub fn unique_columns(rule: &Rule) -> Option<&[String]> {
    match rule {
        Rule::Unique { columns } | Rule::Metric { metric: Metric::DuplicateValues { columns }, .. } => Some(columns),
        _ => None,
    }
}

/// The sets of columns that clauses want to be different together, each once, as far as `seen` has the columns.
pub fn unique_sets(clauses: &[Clause], seen: &Table) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for columns in clauses.iter().filter_map(|clause| unique_columns(&clause.rule)) {
        if !found.iter().any(|known| known == columns) && columns.iter().all(|column| seen.field(column).is_some()) {
            found.push(columns.to_vec());
        }
    }
    found
}

/// Keys to remember, with a share each of what there is room for. `bytes` is the memory of the whole work.
pub fn remember(unique: &[Vec<String>], seen: &Table, bytes: u64) -> Vec<Keys> {
    // A quarter of the memory, for each key its bits and, when they are compared, these again.
    let budget = usize::try_from(bytes / 4 / 16).unwrap_or(usize::MAX) / unique.len().max(1);
    unique.iter().filter_map(|columns| Keys::of(columns, seen, budget)).collect()
}

/// The answer to a clause that wants different values, where the keys are certainly different.
pub fn certified(clause: &Clause, keys: &[Keys], rows: u64) -> Option<ClauseResult> {
    let columns = unique_columns(&clause.rule)?;
    keys.iter().find(|keys| keys.columns == columns).filter(|keys| keys.all_different() == Some(true))?;
    Some(match &clause.rule {
        Rule::Metric { metric, unit, must } => threshold(clause, 0.0, must, describe_metric(metric, 0.0, *unit), rows),
        _ => counted(clause, 0, rows, "", Samples::default()),
    })
}

impl Keys {
    fn of(columns: &[String], table: &Table, budget: usize) -> Option<Self> {
        let place = |column: &String| table.fields.iter().position(|field| field.name == *column);
        Some(Self {
            columns: columns.to_vec(),
            places: columns.iter().map(place).collect::<Option<_>>()?,
            bits: Vec::new(),
            budget,
            overflow: false,
            hashes: Vec::new(),
            types: None,
        })
    }

    /// Rows of the table, by column.
    pub fn add(&mut self, columns: &[ArrayRef]) {
        if self.overflow {
            return;
        }
        let arrays: Vec<ArrayRef> = self.places.iter().map(|at| columns[*at].clone()).collect();
        let types: Vec<DataType> = arrays.iter().map(|array| array.data_type().clone()).collect();
        // Floats that are equal (0 and -0) differ in their bits; nested values are not hashed alike everywhere.
        let comparable = types.iter().all(|ty| !ty.is_floating() && !ty.is_nested());
        if !comparable || self.types.get_or_insert_with(|| types.clone()) != &types {
            self.overflow = true;
            self.bits = Vec::new();
            return;
        }
        let whole = match arrays.as_slice() {
            [one] => self.whole_numbers(one),
            _ => false,
        };
        if !whole {
            self.hashed(&arrays);
        }
        if self.bits.len() > self.budget {
            self.overflow = true;
            self.bits = Vec::new();
        }
    }

    /// A whole number is its own bits.
    fn whole_numbers(&mut self, array: &ArrayRef) -> bool {
        macro_rules! add {
            ($ty:ty) => {{
                let values = array.as_primitive::<$ty>();
                match values.nulls() {
                    None => self.bits.extend(values.values().iter().map(|v| spread(i64::from(*v) as u64))),
                    Some(_) => self.bits.extend(values.iter().flatten().map(|v| spread(i64::from(v) as u64))),
                }
            }};
        }
        match array.data_type() {
            DataType::Int8 => add!(Int8Type),
            DataType::Int16 => add!(Int16Type),
            DataType::Int32 => add!(Int32Type),
            DataType::Int64 => add!(Int64Type),
            _ => return false,
        }
        true
    }

    fn hashed(&mut self, arrays: &[ArrayRef]) {
        let rows = arrays.first().map_or(0, |array| array.len());
        self.hashes.clear();
        self.hashes.resize(rows, 0);
        if create_hashes(arrays, &HLL_RANDOM_STATE, &mut self.hashes).is_err() {
            self.overflow = true;
            return;
        }
        let present = |row: usize| arrays.iter().all(|array| array.is_valid(row));
        self.bits.extend(self.hashes.iter().enumerate().filter(|(row, _)| present(*row)).map(|(_, hash)| *hash));
    }

    /// The keys of another part of the data.
    pub fn absorb(&mut self, other: Self) {
        let alike = self.types.is_none() || other.types.is_none() || self.types == other.types;
        self.overflow |= other.overflow || !alike || self.bits.len() + other.bits.len() > self.budget;
        self.types = self.types.take().or(other.types);
        if self.overflow {
            self.bits = Vec::new();
        } else if self.bits.is_empty() {
            self.bits = other.bits;
        } else {
            self.bits.extend(other.bits);
        }
    }

    /// `Some(true)`: certainly. `Some(false)`: perhaps not. `None`: there were too many to remember.
    fn all_different(&self) -> Option<bool> {
        if self.overflow {
            return None;
        }
        Some(different(&self.bits))
    }
}

/// Reversible, so that different numbers stay different; their bits are spread, so that parts are even.
fn spread(value: u64) -> u64 {
    let mixed = (value ^ (value >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

fn different(bits: &[u64]) -> bool {
    if bits.len() < 2 {
        return true;
    }
    let parts = (bits.len() / PART + 1).next_power_of_two();
    let shift = 64 - parts.trailing_zeros();
    let part_of = |key: u64| if parts == 1 { 0 } else { (key >> shift) as usize };
    // Counted, then laid out part by part.
    let mut ends = vec![0usize; parts + 1];
    for key in bits {
        ends[part_of(*key) + 1] += 1;
    }
    for part in 0..parts {
        ends[part + 1] += ends[part];
    }
    let mut next = ends.clone();
    let mut sorted = vec![0u64; bits.len()];
    for key in bits {
        let part = part_of(*key);
        sorted[next[part]] = *key;
        next[part] += 1;
    }
    let most = (0..parts).map(|part| ends[part + 1] - ends[part]).max().unwrap_or(0);
    let size = (most * 2).next_power_of_two().max(2);
    let mut table = vec![0u64; size];
    for part in 0..parts {
        table.fill(0);
        // Zero marks an empty slot; the key zero itself is told apart.
        let mut zero = false;
        for key in &sorted[ends[part]..ends[part + 1]] {
            if *key == 0 {
                if std::mem::replace(&mut zero, true) {
                    return false;
                }
                continue;
            }
            // The high bits chose the part.
            let mut at = (*key as usize) & (size - 1);
            loop {
                match table[at] {
                    0 => break,
                    found if found == *key => return false,
                    _ => at = (at + 1) & (size - 1),
                }
            }
            table[at] = *key;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_found_wherever_they_stand() {
        for rows in [2usize, 3, 1000, PART, PART * 5 + 17] {
            let mut bits: Vec<u64> = (0..rows as u64).map(spread).collect();
            assert!(different(&bits), "{rows}");
            for at in [0, rows / 2, rows - 2].into_iter().filter(|at| at + 1 < rows) {
                let kept = bits[at];
                bits[at] = bits[rows - 1];
                assert!(!different(&bits), "{rows} {at}");
                bits[at] = kept;
            }
        }
        assert!(different(&[]) && different(&[0]) && different(&[0, 1]) && !different(&[0, 0]));
    }
}
