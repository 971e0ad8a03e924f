//! Values that do not fit the type that the contract gives their column: counted, a few kept as samples.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
pub struct Unfit {
    columns: Mutex<BTreeMap<String, (u64, Samples)>>,
    /// Where rows are quarantined: all of them, by their place.
    all: Option<Mutex<All>>,
}

/// Every row with a value that does not fit, so that the row can be found again in what is made of it.
#[derive(Debug, Default)]
struct All {
    rows: HashMap<String, HashMap<u64, Row>>,
    values: usize,
    /// By column, how many values stand in rows that were found again.
    found: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Row {
    /// Column and what stood there, where that is known.
    raw: Vec<(String, Option<String>)>,
    found: bool,
    /// Several rows have this place.
    ambiguous: bool,
}

/// More are counted, and not found again: they block.
const MOST: usize = 1 << 20;

impl Unfit {
    /// One that keeps every row.
    pub fn of_all() -> Self {
        Self { all: Some(Mutex::default()), ..Self::default() }
    }

    fn all(&self) -> Option<MutexGuard<'_, All>> {
        self.all.as_ref().map(|all| all.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `raw`: what stood there; `values`: the columns of the row that the contract names.
    pub fn record(
        &self,
        column: &str,
        source: &str,
        row: u64,
        raw: Option<&str>,
        values: impl FnOnce() -> Vec<(String, Option<String>)>,
    ) {
        if let Some(mut all) = self.all()
            && all.values < MOST
        {
            all.values += 1;
            let entry = all.rows.entry(source.to_owned()).or_default().entry(row).or_default();
            entry.raw.push((column.to_owned(), raw.map(str::to_owned)));
            // A second scan of the same source.
            if entry.found {
                *all.found.entry(column.to_owned()).or_default() += 1;
            }
        }
        let mut columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, samples) = columns.entry(column.to_owned()).or_default();
        *count += 1;
        if samples.wants(Some(source), Some(row)) {
            samples.add(RowSample { source: Some(source.to_owned()), row: Some(row), values: values() });
        }
    }

    /// Says that another row has the place of the one before it.
    pub fn ambiguous(&self, source: &str, row: u64) {
        if let Some(mut all) = self.all() {
            all.rows.entry(source.to_owned()).or_default().entry(row).or_default().ambiguous = true;
        }
    }

    /// Whether there is any row to find.
    pub fn any(&self) -> bool {
        self.all().is_some_and(|all| all.values > 0)
    }

    /// The columns of the row at this place whose values did not fit, if there is one.
    pub fn at(&self, source: &str, row: u64) -> Option<Vec<(String, Option<String>)>> {
        let all = self.all()?;
        let row = all.rows.get(source)?.get(&row)?;
        (!row.ambiguous && !row.raw.is_empty()).then(|| row.raw.clone())
    }

    /// Says that the row at this place was found, so that its values need no other answer.
    pub fn found(&self, source: &str, row: u64) {
        let Some(mut all) = self.all() else { return };
        let Some(row) = all.rows.get_mut(source).and_then(|rows| rows.get_mut(&row)) else { return };
        if std::mem::replace(&mut row.found, true) {
            return;
        }
        let columns: Vec<String> = row.raw.iter().map(|(column, _)| column.clone()).collect();
        for column in columns {
            *all.found.entry(column).or_default() += 1;
        }
    }

    /// Those that were not found again.
    pub fn of(&self, column: &str) -> (u64, Samples) {
        let columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut count, mut samples) = columns.get(column).cloned().unwrap_or_default();
        drop(columns);
        if let Some(all) = self.all() {
            count = count.saturating_sub(all.found.get(column).copied().unwrap_or(0));
            samples.0.retain(|(source, row, _), _| {
                let place = source.as_deref().zip(*row).and_then(|(source, row)| all.rows.get(source)?.get(&row));
                !place.is_some_and(|row| row.found)
            });
        }
        (count, samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_twenty_by_place_are_kept() {
        let unfit = Unfit::default();
        for row in (1..=100).rev() {
            unfit.record("score", "a.csv", row, None, Vec::new);
        }
        let (count, samples) = unfit.of("score");
        assert_eq!(count, 100);
        assert_eq!(
            samples.into_rows().iter().map(|s| s.row.unwrap_or(0)).collect::<Vec<_>>(),
            (1..=20).collect::<Vec<_>>()
        );
        assert_eq!(unfit.of("other").0, 0);
    }

    #[test]
    fn rows_are_found_by_their_place() {
        let unfit = Unfit::of_all();
        for (row, raw) in [(3, "x"), (5, "y"), (7, "z"), (7, "zz")] {
            unfit.record("score", "a.csv", row, Some(raw), Vec::new);
        }
        unfit.ambiguous("a.csv", 7);
        assert_eq!(unfit.at("a.csv", 3), Some(vec![("score".to_owned(), Some("x".to_owned()))]));
        assert_eq!((unfit.at("a.csv", 4), unfit.at("b.csv", 3), unfit.at("a.csv", 7)), (None, None, None));
        unfit.found("a.csv", 3);
        unfit.found("a.csv", 3);
        // Another scan meets the same row again.
        unfit.record("score", "a.csv", 3, Some("x"), Vec::new);
        let (left, samples) = unfit.of("score");
        assert_eq!((left, samples.into_rows().len()), (3, 2));
    }
}
