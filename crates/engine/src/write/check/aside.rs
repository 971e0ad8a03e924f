//! Rows that break a clause about single rows, told apart from the others before these are written (D8).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray, UInt64Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{filter_record_batch, take};
use arrow::record_batch::RecordBatch;
use meshwork_control::port::data::OutputSpec;
use meshwork_core::quality::{Clause, ClauseResult, Rule};
use meshwork_core::quarantine::obstacle;
use meshwork_core::{Error, Result, Severity};

use super::{Misfits, Pass, Sampler, counted, describe_failure, failing};
use crate::source::Samples;
use crate::write::convert::texts;
use crate::write::rule::Test;

/// What makes a row be set aside.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The clause's id.
    pub clause: String,
    /// What is wrong with the row, without its values.
    pub reason: String,
    what: String,
    rows: u64,
    samples: Samples,
}

#[derive(Debug, Default)]
pub struct Aside {
    broken: Vec<Broken>,
    /// By check of the pass, the place in `broken`.
    checks: Vec<Option<usize>>,
    /// By column, the same of its type.
    types: Vec<Option<usize>>,
    rows: u64,
}

impl Aside {
    pub fn asks(&self, check: usize) -> bool {
        self.checks.get(check).is_some_and(Option::is_some)
    }
}

/// Rows of one batch that are set aside.
pub struct SetAside {
    /// In the table's types; a value that does not fit is null.
    pub columns: Vec<ArrayRef>,
    /// By column of the table: what stood there instead.
    pub raw: BTreeMap<usize, StringArray>,
    /// For each row, the places in [`Pass::broken`] of what it breaks.
    pub broken: Vec<Vec<usize>>,
    pub places: Vec<(Option<String>, Option<u64>)>,
    rest: BooleanArray,
}

impl SetAside {
    /// The other rows of the batch.
    pub fn rest(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        filter_record_batch(batch, &self.rest).map_err(|_| inseparable())
    }
}

fn inseparable() -> Error {
    Error::internal("MW0605", "the rows of a batch cannot be told apart")
}

impl Pass {
    /// From now on, rows that break a clause of severity error about single rows are set aside.
    #[must_use]
    pub fn setting_aside(mut self, output: &OutputSpec) -> Self {
        let mut aside = Aside::default();
        let sets_aside = |clause: &Clause| {
            clause.severity == Severity::Error && obstacle(clause, output.mode, &output.key, &output.merge).is_none()
        };
        let mut broken = |clause: &str, reason: String, what: String| {
            let entry = Broken { clause: clause.to_owned(), reason, what, rows: 0, samples: Samples::default() };
            aside.broken.push(entry);
            Some(aside.broken.len() - 1)
        };
        let checks: Vec<Option<usize>> = self
            .checks
            .iter()
            .map(|check| {
                let clause = &self.table.clauses[check.clause];
                let what = describe_failure(&clause.rule);
                let asks = check.test.is_ok() && clause.rule.is_row_local() && sets_aside(clause);
                if asks { broken(&clause.id, describe_row(&clause.rule), what) } else { None }
            })
            .collect();
        let types = self.table.fields.iter().zip(&self.types).map(|(field, ty)| {
            let of_type = |clause: &&Clause| matches!(&clause.rule, Rule::Type { column } if *column == field.name);
            let declared = self.table.clauses.iter().find(of_type);
            let what = format!("do not fit {} in {}", ty.native, field.name);
            let reason = format!("the value does not fit {} in {}", ty.native, field.name);
            match declared {
                Some(clause) if sets_aside(clause) => broken(&clause.id, reason, what),
                Some(_) => None,
                None => {
                    let implied = super::implied_type(&field.name);
                    if sets_aside(&implied) { broken(&implied.id, reason, what) } else { None }
                }
            }
        });
        let types: Vec<Option<usize>> = types.collect();
        (aside.checks, aside.types) = (checks, types);
        // Keys of rows that go would be remembered too: uniqueness is looked up in what remains.
        self.keys.clear();
        self.aside = Some(aside);
        self
    }

    pub fn broken(&self) -> &[Broken] {
        self.aside.as_ref().map_or(&[], |aside| &aside.broken)
    }

    /// Rows that were set aside.
    pub fn aside_rows(&self) -> u64 {
        self.aside.as_ref().map_or(0, |aside| aside.rows)
    }

    /// By clause, how many rows break it.
    pub fn aside_clauses(&self) -> BTreeMap<String, u64> {
        self.broken().iter().filter(|broken| broken.rows > 0).map(|b| (b.clause.clone(), b.rows)).collect()
    }

    /// Answers where rows may not be set aside after all: as if they had failed.
    pub fn aside_answers(&self) -> BTreeMap<String, ClauseResult> {
        let clause = |broken: &Broken| {
            let known = self.table.clauses.iter().find(|clause| clause.id == broken.clause).cloned();
            known.unwrap_or_else(|| Clause { id: broken.clause.clone(), ..super::implied_type("") })
        };
        let rows = self.checked() + self.aside_rows();
        let failed = self.broken().iter().filter(|broken| broken.rows > 0);
        failed
            .map(|broken| {
                let answer = counted(&clause(broken), broken.rows, rows, &broken.what, broken.samples.clone());
                (broken.clause.clone(), answer)
            })
            .collect()
    }

    /// Starts over with rows as they are stored: some that were counted have been taken out since.
    pub fn start_over(&mut self) {
        self.places = (0..self.table.fields.len()).collect();
        self.origin = false;
        self.rows = 0;
        for check in &mut self.checks {
            check.failing = 0;
            check.samples = Samples::default();
        }
        self.profiles = self.profiles.iter().map(|_| super::Profile::default()).collect();
    }

    pub(super) fn set_aside(
        &mut self,
        batch: &RecordBatch,
        columns: &[ArrayRef],
        unfit: &[Misfits],
    ) -> Result<Option<SetAside>> {
        let Some(mut aside) = self.aside.take() else { return Ok(None) };
        let found = self.broken_rows(&aside, batch, columns, unfit);
        let result =
            if found.is_empty() { Ok(None) } else { self.separate(&mut aside, batch, columns, found).map(Some) };
        self.aside = Some(aside);
        result
    }

    fn broken_rows(&mut self, aside: &Aside, batch: &RecordBatch, columns: &[ArrayRef], unfit: &[Misfits]) -> Found {
        let mut found = Found::default();
        for (column, rows) in unfit {
            let Some(broken) = aside.types[*column] else { continue };
            let original = texts(batch.column(self.places[*column]), rows);
            for (row, raw) in rows.iter().zip(original) {
                found.add(*row, broken);
                found.raw.entry(*column).or_default().insert(*row, raw);
            }
        }
        self.unread(aside, batch, &mut found);
        for (at, check) in self.checks.iter_mut().enumerate() {
            let (Some(broken), Ok(test)) = (aside.checks[at], &check.test) else { continue };
            match failing(test, batch.column(self.places[check.column]), &columns[check.column]) {
                Ok(failing) => {
                    // What does not fit is null by now, but it was not missing.
                    let unfit = matches!(test, Test::NotNull).then(|| found.raw.get(&check.column)).flatten();
                    let unfit: Vec<usize> = unfit.into_iter().flat_map(|rows| rows.keys().copied()).collect();
                    failing.set_indices().filter(|row| !unfit.contains(row)).for_each(|row| found.add(row, broken));
                }
                Err(because) => check.test = Err(because),
            }
        }
        found
    }

    /// Rows of which the source could not read a value, found by where they came from.
    fn unread(&self, aside: &Aside, batch: &RecordBatch, found: &mut Found) {
        let unfit = &self.reading.unfit;
        let Some(places) = self.places_of_rows(batch).filter(|_| unfit.any()) else { return };
        for row in 0..batch.num_rows() {
            let (Some(source), Some(line)) = places.of(row) else { continue };
            let Some(values) = unfit.at(&source, line) else { continue };
            let mut known = false;
            for (name, raw) in values {
                for (column, field) in self.table.fields.iter().enumerate() {
                    let is_it = field.name == name || field.physical_name.as_ref() == Some(&name);
                    let (true, Some(broken)) = (is_it, aside.types[column]) else { continue };
                    known = true;
                    found.add(row, broken);
                    found.raw.entry(column).or_default().insert(row, raw.clone());
                }
            }
            if known {
                unfit.found(&source, line);
            }
        }
    }

    fn separate(&self, aside: &mut Aside, batch: &RecordBatch, columns: &[ArrayRef], found: Found) -> Result<SetAside> {
        let n = batch.num_rows();
        let rows: Vec<usize> = found.rows.keys().copied().collect();
        let places = self.places_of_rows(batch);
        for (at, broken) in aside.broken.iter_mut().enumerate() {
            let those: Vec<usize> = rows.iter().copied().filter(|row| found.rows[row].contains(&at)).collect();
            if those.is_empty() {
                continue;
            }
            broken.rows += those.len() as u64;
            let column = aside.types.iter().position(|of| *of == Some(at));
            // The stored value is null: show the one that did not fit.
            let original: Option<(usize, ArrayRef)> = column.and_then(|column| {
                let raw = found.raw.get(&column)?;
                Some((
                    column,
                    Arc::new((0..n).map(|row| raw.get(&row).cloned().flatten()).collect::<StringArray>()) as _,
                ))
            });
            let sampler = Sampler { table: &self.table, columns, place: self.places_of_rows(batch) };
            let shown = original.as_ref().map(|(column, raw)| (*column, raw));
            sampler.add(&mut broken.samples, those.into_iter(), shown);
        }
        aside.rows += rows.len() as u64;
        let bad = BooleanBuffer::collect_bool(n, |row| found.rows.contains_key(&row));
        let indices = UInt64Array::from_iter_values(rows.iter().map(|row| *row as u64));
        let taken = |column: &ArrayRef| take(column, &indices, None).map_err(|_| inseparable());
        let raw = found.raw.iter().map(|(column, values)| {
            (*column, rows.iter().map(|row| values.get(row).cloned().flatten()).collect::<StringArray>())
        });
        Ok(SetAside {
            columns: columns.iter().map(taken).collect::<Result<_>>()?,
            raw: raw.collect(),
            broken: rows.iter().map(|row| found.rows[row].clone()).collect(),
            places: rows.iter().map(|row| places.as_ref().map_or((None, None), |places| places.of(*row))).collect(),
            rest: BooleanArray::new(!&bad, None),
        })
    }
}

/// Rows of a batch that break something.
#[derive(Default)]
struct Found {
    rows: BTreeMap<usize, Vec<usize>>,
    /// By column and row: what stood there, where that is known.
    raw: BTreeMap<usize, BTreeMap<usize, Option<String>>>,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn add(&mut self, row: usize, broken: usize) {
        let of_row = self.rows.entry(row).or_default();
        if !of_row.contains(&broken) {
            of_row.push(broken);
        }
    }
}

fn describe_row(rule: &Rule) -> String {
    match rule {
        Rule::Required { column } => format!("there is no value in {column}"),
        Rule::Enum { column, .. } => format!("the value is none of those listed in {column}"),
        Rule::Range { column, .. } => format!("the value is out of range in {column}"),
        Rule::Pattern { column, .. } => format!("the value does not match the pattern in {column}"),
        Rule::Length { column, .. } => format!("the length is out of bounds in {column}"),
        Rule::MultipleOf { column, factor } => format!("the value is not a multiple of {factor} in {column}"),
        Rule::Format { column, format } => format!("the value is not a valid {format} in {column}"),
        _ => "the row breaks the clause".to_owned(),
    }
}
