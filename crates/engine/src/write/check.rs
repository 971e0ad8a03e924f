//! The clauses of one table over the batches that are written: one pass, every column read once.

mod answer;
mod aside;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use meshwork_core::contract::Table;
use meshwork_core::quality::{Clause, ClauseResult, Metric, Outcome, RowSample, Rule, Scope};
use meshwork_core::run::ColumnProfile;
use meshwork_core::types::ColumnType;
use meshwork_core::{Error, Result, Severity};

use super::convert::{convert, texts};
use super::profile::Profile;
use super::rule::{Test, compile};
use crate::keys::{self, Keys};
use crate::source::text::TextType;
use crate::source::{Reading, Samples};
use answer::describe_failure;
pub use answer::{counted, describe_metric, error, measure, result, threshold};
use aside::Aside;
pub use aside::SetAside;

/// What one pass knows at its end.
pub struct Pass {
    table: Table,
    schema: SchemaRef,
    types: Vec<TextType>,
    /// For each column of the table, its place in the plan's batches.
    places: Vec<usize>,
    /// Whether the batches end with the two origin columns.
    origin: bool,
    checks: Vec<Check>,
    /// Values that did not survive conversion, by column.
    unfit: Vec<(u64, Samples)>,
    profiles: Vec<Profile>,
    /// Of the columns whose values must be different.
    keys: Vec<Keys>,
    reading: Reading,
    /// Which rows are set aside instead of failing; `None` where all fail.
    aside: Option<Aside>,
    /// Rows that go through the checks: those that are written.
    pub rows: u64,
    /// Rows of the table that this run does not write.
    others: u64,
    /// Whether these were checked as well.
    whole: bool,
}

struct Check {
    clause: usize,
    column: usize,
    test: Result<Test, String>,
    failing: u64,
    samples: Samples,
}

impl Pass {
    pub fn new(table: &Table, schema: SchemaRef, places: Vec<usize>, origin: bool, reading: &Reading) -> Self {
        let mut checks = Vec::new();
        for (at, clause) in table.clauses.iter().enumerate() {
            let Some(compiled) = compile(&clause.rule, &table.fields) else { continue };
            let (column, test) = match compiled {
                Ok((column, test)) => (table.fields.iter().position(|f| f.name == column).unwrap_or(0), Ok(test)),
                Err(because) => (0, Err(because)),
            };
            checks.push(Check { clause: at, column, test, failing: 0, samples: Samples::default() });
        }
        let width = table.fields.len();
        Self {
            types: table.fields.iter().map(TextType::of).collect(),
            table: table.clone(),
            schema,
            places,
            origin,
            checks,
            unfit: vec![(0, Samples::default()); width],
            profiles: (0..width).map(|_| Profile::default()).collect(),
            keys: Vec::new(),
            reading: reading.clone(),
            aside: None,
            rows: 0,
            others: 0,
            whole: false,
        }
    }

    /// Says that the table keeps rows beside those that are written. With `whole` they are checked too, because they were
    /// checked under another contract; else only metrics, which speak of the whole table, must see them. Returns the
    /// columns to read of them, in the order of the table.
    pub fn with_others(&mut self, rows: u64, whole: bool) -> Vec<usize> {
        (self.others, self.whole) = (rows, whole);
        if rows == 0 {
            return Vec::new();
        }
        if whole {
            return (0..self.table.fields.len()).collect();
        }
        let mut columns: Vec<usize> =
            self.checks.iter().filter(|check| self.is_metric(check)).map(|check| check.column).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    fn is_metric(&self, check: &Check) -> bool {
        matches!(self.table.clauses[check.clause].rule, Rule::Metric { .. })
    }

    /// Checks rows that are not written: `columns` of the table, as stored.
    pub fn other(&mut self, batch: &RecordBatch, columns: &[usize]) {
        let sampler = self.whole.then(|| Sampler { table: &self.table, columns: batch.columns(), place: None });
        for check in &mut self.checks {
            let metric = matches!(self.table.clauses[check.clause].rule, Rule::Metric { .. });
            let (true, Ok(test)) = (self.whole || metric, &check.test) else { continue };
            let Some(at) = columns.iter().position(|column| *column == check.column) else { continue };
            match test.failing(batch.column(at)) {
                Ok(failing) => {
                    check.failing += failing.count_set_bits() as u64;
                    if let Some(sampler) = &sampler {
                        sampler.add(&mut check.samples, set_rows(&failing), None);
                    }
                }
                Err(because) => check.test = Err(because),
            }
        }
    }

    /// Rows of the table as it will be.
    fn total(&self) -> u64 {
        self.rows + self.others
    }

    /// Rows that row-local clauses have seen.
    fn checked(&self) -> u64 {
        if self.whole { self.total() } else { self.rows }
    }

    /// Checks a batch of the plan and returns it as it is to be stored, without the rows that are set aside.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<(Stored, Option<SetAside>)> {
        let (mut columns, unfit) = self.convert(batch, false)?;
        let set_aside = self.set_aside(batch, &columns, &unfit)?;
        let mut origin = self.origin_of(batch);
        match &set_aside {
            None => {
                let asked = self.aside.is_some();
                self.judge(batch, &columns, unfit, asked);
            }
            Some(set_aside) => {
                let rest = set_aside.rest(batch)?;
                let (converted, unfit) = self.convert(&rest, false)?;
                columns = converted;
                origin = self.origin_of(&rest);
                self.judge(&rest, &columns, unfit, false);
            }
        }
        for (profile, column) in self.profiles.iter_mut().zip(&columns) {
            profile.add(column);
        }
        self.keys.iter_mut().for_each(|keys| keys.add(&columns));
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|_| Error::internal("MW0605", "a converted batch does not have the contract's types"))?;
        Ok((Stored { rows, origin }, set_aside))
    }

    /// Checks a batch that is not stored: texts may stay in the representation that they came in.
    pub fn look(&mut self, batch: &RecordBatch) -> Result<()> {
        let (columns, unfit) = self.convert(batch, true)?;
        self.judge(batch, &columns, unfit, false);
        self.keys.iter_mut().for_each(|keys| keys.add(&columns));
        Ok(())
    }

    /// The table's columns, and by column the rows whose value did not fit.
    fn convert(&self, batch: &RecordBatch, only_look: bool) -> Result<(Vec<ArrayRef>, Vec<Misfits>)> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.places.len());
        let mut unfit: Vec<Misfits> = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            if only_look && is_same_text(batch.column(*place).data_type(), &self.types[at]) {
                columns.push(Arc::clone(batch.column(*place)));
                continue;
            }
            let converted = convert(batch.column(*place), &self.types[at]).map_err(|_| {
                Error::check(
                    "MW0605",
                    format!("column `{}` cannot be stored as {}", self.table.fields[at].name, self.types[at].native),
                )
                .hint("cast it in the SQL to the type that the contract declares")
            })?;
            if !converted.unfit.is_empty() {
                unfit.push((at, converted.unfit));
            }
            columns.push(converted.array);
        }
        Ok((columns, unfit))
    }

    /// Tests rows and notes those that fail. With `asked` the clauses that set rows aside have been asked already, and no
    /// row breaks one.
    fn judge(&mut self, batch: &RecordBatch, columns: &[ArrayRef], unfit: Vec<Misfits>, asked: bool) {
        let place = self.places_of_rows(batch);
        let sampler = Sampler { table: &self.table, columns, place };
        for (at, rows) in unfit {
            let (count, samples) = &mut self.unfit[at];
            *count += rows.len() as u64;
            // The stored value is null by now: show the one that did not fit.
            let original = batch.column(self.places[at]);
            sampler.add(samples, rows.into_iter(), Some((at, original)));
        }
        for (at, check) in self.checks.iter_mut().enumerate() {
            let Ok(test) = &check.test else { continue };
            if asked && self.aside.as_ref().is_some_and(|aside| aside.asks(at)) {
                continue;
            }
            match failing(test, batch.column(self.places[check.column]), &columns[check.column]) {
                Ok(failing) => {
                    let count = failing.count_set_bits();
                    if count > 0 {
                        check.failing += count as u64;
                        sampler.add(&mut check.samples, set_rows(&failing), None);
                    }
                }
                Err(because) => check.test = Err(because),
            }
        }
        self.rows += batch.num_rows() as u64;
    }

    /// For checks alone: what the columns look like is not asked.
    #[must_use]
    pub fn without_profiles(mut self) -> Self {
        self.profiles.clear();
        self
    }

    /// Remembers what may certify that values are different, within a share of the memory.
    #[must_use]
    pub fn with_keys(mut self, unique: &[Vec<String>], memory_bytes: u64) -> Self {
        self.keys = keys::remember(unique, &self.table, memory_bytes);
        self
    }

    /// The answer to a clause that wants different values, where those that went through are certainly different.
    pub fn certified(&self, clause: &Clause, rows: u64) -> Option<ClauseResult> {
        keys::certified(clause, &self.keys, rows)
    }

    /// Takes over what a pass over another part of the same rows has found.
    pub fn absorb(&mut self, other: Self) {
        self.rows += other.rows;
        for (check, more) in self.checks.iter_mut().zip(other.checks) {
            check.failing += more.failing;
            check.samples.merge(more.samples);
            if let (Ok(_), Err(because)) = (&check.test, more.test) {
                check.test = Err(because);
            }
        }
        for (keys, more) in self.keys.iter_mut().zip(other.keys) {
            keys.absorb(more);
        }
        for ((count, samples), (more, of_more)) in self.unfit.iter_mut().zip(other.unfit) {
            *count += more;
            samples.merge(of_more);
        }
    }

    fn origin_of(&self, batch: &RecordBatch) -> Option<(ArrayRef, ArrayRef)> {
        let n = batch.num_columns();
        self.origin.then(|| (Arc::clone(batch.column(n - 2)), Arc::clone(batch.column(n - 1))))
    }

    fn places_of_rows(&self, batch: &RecordBatch) -> Option<Places> {
        let (origin, row) = self.origin_of(batch)?;
        Some(Places { origin, row, reading: self.reading.clone() })
    }

    pub fn profile(&mut self) -> Vec<ColumnProfile> {
        let profiles = std::mem::take(&mut self.profiles);
        let fields = self.schema.fields().iter();
        profiles
            .into_iter()
            .zip(fields)
            .map(|(profile, field)| profile.finish(field.name(), field.data_type()))
            .collect()
    }

    /// The answers that this pass can give, by the clause's place in the table. Set clauses are not among them.
    pub fn answers(&mut self) -> BTreeMap<usize, ClauseResult> {
        let mut answers = BTreeMap::new();
        for check in std::mem::take(&mut self.checks) {
            let clause = &self.table.clauses[check.clause];
            let answer = match check.test {
                Err(because) => error(clause, because),
                Ok(_) => match &clause.rule {
                    Rule::Metric { metric, unit, must } => {
                        let measured = measure(check.failing, self.total(), *unit);
                        let what = describe_metric(metric, measured, *unit);
                        let mut answer = threshold(clause, measured, must, what, self.total());
                        if answer.outcome != Outcome::Pass {
                            answer.failing_rows = Some(check.failing);
                            answer.samples = check.samples.into_rows();
                        }
                        answer
                    }
                    rule => counted(clause, check.failing, self.checked(), &describe_failure(rule), check.samples),
                },
            };
            answers.insert(check.clause, answer);
        }
        for (at, clause) in self.table.clauses.iter().enumerate() {
            match &clause.rule {
                Rule::Type { column } => {
                    let answer = match self.table.fields.iter().position(|f| f.name == *column) {
                        Some(column) => {
                            let (failing, samples) = self.type_failures(column);
                            let native = &self.types[column].native;
                            let what = format!("do not fit {native} in {}", self.table.fields[column].name);
                            counted(clause, failing, self.checked(), &what, samples)
                        }
                        None => error(clause, format!("the table has no column `{column}`")),
                    };
                    answers.insert(at, answer);
                }
                Rule::Metric { metric: Metric::RowCount, unit, must } => {
                    let rows = if clause.scope == Scope::Batch { self.rows } else { self.total() };
                    let measured = measure(rows, rows, *unit);
                    let what = describe_metric(&Metric::RowCount, measured, *unit);
                    answers.insert(at, threshold(clause, measured, must, what, rows));
                }
                Rule::NotEvaluated { because } => {
                    answers.insert(
                        at,
                        result(clause, Outcome::NotEvaluated { because: because.clone() }, because.clone()),
                    );
                }
                _ => {}
            }
        }
        answers
    }

    /// Answers for columns whose values did not all fit although no clause of theirs asks: they must not become
    /// nulls that nobody hears of.
    pub fn implied(&mut self) -> Vec<ClauseResult> {
        let mut implied = Vec::new();
        for column in 0..self.types.len() {
            let name = self.table.fields[column].name.clone();
            let declared =
                self.table.clauses.iter().any(|c| matches!(&c.rule, Rule::Type { column } if *column == name));
            if declared {
                continue;
            }
            let (failing, samples) = self.type_failures(column);
            if failing > 0 {
                let clause = implied_type(&name);
                let what = format!("do not fit {} in {name}", self.types[column].native);
                implied.push(counted(&clause, failing, self.rows, &what, samples));
            }
        }
        implied
    }

    fn type_failures(&self, column: usize) -> (u64, Samples) {
        let (mut failing, mut samples) = self.unfit[column].clone();
        let field = &self.table.fields[column];
        let source = field.physical_name.as_deref().unwrap_or(&field.name);
        let mut names = vec![source];
        if source != field.name {
            names.push(&field.name);
        }
        for name in names {
            let (count, more) = self.reading.unfit.of(name);
            failing += count;
            samples.merge(more);
        }
        (failing, samples)
    }
}

/// What every column promises where its contract does not say it.
fn implied_type(column: &str) -> Clause {
    Clause {
        id: format!("{column}.type"),
        severity: Severity::Error,
        scope: Scope::Batch,
        rule: Rule::Type { column: column.to_owned() },
        description: None,
        dimension: None,
        place: None,
    }
}

/// Text that needs no conversion to be looked at.
fn is_same_text(from: &DataType, to: &TextType) -> bool {
    let text = match from {
        DataType::Utf8View => true,
        DataType::Dictionary(key, value) => **key == DataType::Int32 && **value == DataType::Utf8,
        _ => false,
    };
    text && to.native == ColumnType::Text && !to.time_of_day
}

/// By column of the table: rows of a batch whose value does not fit.
type Misfits = (usize, Vec<usize>);

/// Rows as they are stored, with the number of the file and the place in it that each came from, where known.
pub struct Stored {
    pub rows: RecordBatch,
    pub origin: Option<(ArrayRef, ArrayRef)>,
}

/// Numbers are judged before a narrowing conversion could have changed them.
fn failing(test: &Test, original: &ArrayRef, stored: &ArrayRef) -> Result<BooleanBuffer, String> {
    let judged = if original.data_type().is_numeric() && stored.data_type().is_numeric() { original } else { stored };
    test.failing(judged).or_else(|_| test.failing(stored))
}

struct Places {
    origin: ArrayRef,
    row: ArrayRef,
    reading: Reading,
}

impl Places {
    fn of(&self, row: usize) -> (Option<String>, Option<u64>) {
        if self.origin.is_null(row) || self.row.is_null(row) {
            return (None, None);
        }
        let source = self.reading.origins.name(self.origin.as_primitive::<Int32Type>().value(row));
        (source, u64::try_from(self.row.as_primitive::<Int64Type>().value(row)).ok())
    }
}

struct Sampler<'a> {
    table: &'a Table,
    columns: &'a [ArrayRef],
    place: Option<Places>,
}

impl Sampler<'_> {
    fn add(&self, samples: &mut Samples, rows: impl Iterator<Item = usize>, instead: Option<(usize, &ArrayRef)>) {
        for row in rows {
            let (source, number) = match &self.place {
                Some(place) => place.of(row),
                None => (None, None),
            };
            if !samples.wants(source.as_deref(), number) {
                // Rows of a batch ascend in their file; without a place, the first ones are enough.
                if number.is_none() {
                    break;
                }
                continue;
            }
            let values = self.columns.iter().enumerate().map(|(at, column)| {
                let shown = match instead {
                    Some((column, original)) if column == at => original,
                    _ => column,
                };
                (self.table.fields[at].name.clone(), texts(shown, &[row]).pop().flatten())
            });
            samples.add(RowSample { source, row: number, values: values.collect() });
        }
    }
}

fn set_rows(rows: &BooleanBuffer) -> impl Iterator<Item = usize> + '_ {
    rows.set_indices()
}
