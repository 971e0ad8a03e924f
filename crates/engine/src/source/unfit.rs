//! Values that do not fit the type that the contract gives their column: counted, a few kept as samples.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use meshwork_core::quality::RowSample;

/// How many failing rows a clause keeps.
const KEPT: usize = 20;

/// The first failing rows by place, whatever order they are met in, so that a report does not depend on threads.
#[derive(Clone, Debug, Default)]
pub struct Samples(BTreeMap<(Option<String>, Option<u64>, u64), RowSample>);

impl Samples {
    /// Whether a row at this place would be kept: asked before the sample is made, as making it is not free.
    pub fn wants(&self, source: Option<&str>, row: Option<u64>) -> bool {
        if self.0.len() < KEPT {
            return true;
        }
        let last = self.0.last_key_value().map(|(key, _)| key);
        last.is_some_and(|(s, r, _)| (source, row) < (s.as_deref(), *r))
    }

    pub fn add(&mut self, sample: RowSample) {
        // Rows without a place are told apart by the order in which they came.
        let order = if sample.row.is_none() { self.0.len() as u64 } else { 0 };
        self.0.insert((sample.source.clone(), sample.row, order), sample);
        if self.0.len() > KEPT {
            self.0.pop_last();
        }
    }

    pub fn merge(&mut self, other: Self) {
        for (_, sample) in other.0 {
            if self.wants(sample.source.as_deref(), sample.row) {
                self.add(sample);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_rows(self) -> Vec<RowSample> {
        self.0.into_values().collect()
    }
}

/// By source column.
#[derive(Debug, Default)]
pub struct Unfit(Mutex<BTreeMap<String, (u64, Samples)>>);

impl Unfit {
    pub fn record(&self, column: &str, source: &str, row: u64, values: impl FnOnce() -> Vec<(String, Option<String>)>) {
        let mut columns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, samples) = columns.entry(column.to_owned()).or_default();
        *count += 1;
        if samples.wants(Some(source), Some(row)) {
            samples.add(RowSample { source: Some(source.to_owned()), row: Some(row), values: values() });
        }
    }

    pub fn of(&self, column: &str) -> (u64, Samples) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(column).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_twenty_by_place_are_kept() {
        let unfit = Unfit::default();
        for row in (1..=100).rev() {
            unfit.record("score", "a.csv", row, Vec::new);
        }
        let (count, samples) = unfit.of("score");
        assert_eq!(count, 100);
        assert_eq!(
            samples.into_rows().iter().map(|s| s.row.unwrap_or(0)).collect::<Vec<_>>(),
            (1..=20).collect::<Vec<_>>()
        );
        assert_eq!(unfit.of("other").0, 0);
    }
}
