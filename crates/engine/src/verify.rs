//! A contract held against data where it lies: the checks of a run, without writing, without a mesh.
//!
//! One fused scan of the columns that clauses look at answers everything row-local, counts, and certifies uniqueness;
//! only what that leaves open is asked of the data a second time. Every clause is answered.

mod parquet;
mod set;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef};
use datafusion::execution::TaskContext;
use futures::StreamExt;
use meshwork_control::port::data::{RunLimits, SourceSpec};
use meshwork_core::Result;
use meshwork_core::contract::{Field, Table};
use meshwork_core::effect::Timestamp;
use meshwork_core::quality::{Clause, ClauseResult, Metric, Outcome, Rule};

use crate::keys::unique_sets;
use crate::native::arrow_type;
use crate::set::Sets;
use crate::source::file::SourceFile;
use crate::source::text::TextType;
use crate::source::{self, Access, Reading, Secrets, Source};
use crate::write::session::execution_error;
use crate::write::{Pass, convertible, counted, result, unchecked};

/// What is checked, and within which bounds.
#[derive(Clone, Debug)]
pub struct Subject {
    /// How it is called in messages.
    pub name: String,
    pub spec: SourceSpec,
    pub secrets: Secrets,
    /// Whose secrets these are.
    pub domain: String,
    /// Data of other tables that references look into, by `output` or `domain.output`.
    pub others: BTreeMap<String, SourceSpec>,
    pub limits: RunLimits,
    pub scratch: PathBuf,
    pub now: Timestamp,
}

/// The answers.
#[derive(Clone, Debug)]
pub struct Verified {
    pub rows: u64,
    pub bytes: u64,
    /// In the order of the contract; then what conversion failures imply.
    pub clauses: Vec<ClauseResult>,
    /// Columns of the data that the contract does not know.
    pub undeclared: Vec<String>,
}

/// Where the columns of the contract stand in the data.
struct Columns {
    /// By field of the contract: the place in the source, or why it cannot be looked at.
    places: Vec<Result<usize, String>>,
    /// Fields that must be read, ascending.
    read: Vec<usize>,
}

pub async fn verify(table: &Table, subject: &Subject) -> Result<Verified> {
    let reading = Reading::default();
    let access = Access::new(&subject.domain, subject.secrets.clone(), &subject.scratch, subject.limits.spill_bytes);
    let opened = source::open(&subject.name, &subject.spec, &table.fields, &reading, &access).await?;
    let schema = opened.schema();
    // Columnar data comes with types: what they promise needs no look.
    let typed = matches!(subject.spec, SourceSpec::Parquet { .. } | SourceSpec::Avro { .. } | SourceSpec::Delta { .. });
    let columns = columns(table, &schema, typed);
    let seen = reduced(table, &columns);
    let scan = Scan {
        table,
        subject,
        access: &access,
        opened: &opened,
        schema: &schema,
        columns: &columns,
        reading: &reading,
    };
    let mut pass = scan.run(&seen).await?;
    // Before any second look at the data: that meets the same faults again.
    let (implied, bytes) = (pass.implied(), reading.meter.bytes());
    let mut known: BTreeMap<String, ClauseResult> =
        pass.answers().into_values().map(|a| (a.clause.clone(), a)).collect();
    let rows = pass.rows;
    for clause in &table.clauses {
        if known.contains_key(&clause.id) {
            continue;
        }
        if let Some(answer) = by_shape(clause, table, &columns, &pass) {
            known.insert(clause.id.clone(), answer);
        }
    }
    let open_clauses: Vec<&Clause> = table.clauses.iter().filter(|c| !known.contains_key(&c.id)).collect();
    let places = &columns.places;
    let again = set::Again { table, subject, access: &access, opened: &opened, places, reading: &reading };
    let sets = Sets { data: &again, table, rows, batch_rows: rows, trusted: false };
    let later = sets.answers(&open_clauses).await?;
    known.extend(later.into_iter().map(|answer| (answer.clause.clone(), answer)));
    let mut clauses = Vec::with_capacity(table.clauses.len());
    for clause in &table.clauses {
        let answer = known.remove(&clause.id);
        clauses.push(answer.unwrap_or_else(|| unchecked(clause, "it was left out".to_owned())));
    }
    clauses.extend(implied);
    let declared = source::Typing::source_names(&table.fields);
    let undeclared = schema
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .filter(|name| !declared.contains(name) && table.field(name).is_none())
        // The object around a nested value is declared with it.
        .filter(|name| {
            !declared.iter().any(|path| path.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.')))
        })
        .collect();
    Ok(Verified { rows, bytes, clauses, undeclared })
}

fn columns(table: &Table, schema: &Schema, typed: bool) -> Columns {
    let place = |field: &Field| {
        let physical = field.physical_name.as_deref().and_then(|name| schema.index_of(name).ok());
        let at = physical.or_else(|| schema.index_of(&field.name).ok());
        let at = at.ok_or_else(|| format!("the data has no column `{}`", shown(field)))?;
        let from = schema.field(at).data_type();
        if convertible(from, &field.native) {
            Ok(at)
        } else {
            Err(format!("column `{}` is {from}, which cannot be {}", shown(field), field.native))
        }
    };
    let places: Vec<Result<usize, String>> = table.fields.iter().map(place).collect();
    let looked = |field: &Field, place: &Result<usize, String>| {
        let Ok(at) = place else { return false };
        let asked = table.clauses.iter().any(|clause| {
            !matches!(clause.rule, Rule::Type { .. } | Rule::References { .. })
                && clause.rule.columns().contains(&field.name.as_str())
        });
        asked || !(typed && lossless(schema.field(*at).data_type(), field))
    };
    let read = (0..table.fields.len()).filter(|at| looked(&table.fields[*at], &places[*at])).collect();
    Columns { places, read }
}

fn shown(field: &Field) -> &str {
    field.physical_name.as_deref().unwrap_or(&field.name)
}

/// Whether every value of the type is one of the field's.
fn lossless(from: &DataType, field: &Field) -> bool {
    let to = arrow_type(&field.native);
    let narrower = |from: &DataType, to: &DataType| match (from.primitive_width(), to.primitive_width()) {
        (Some(a), Some(b)) => a <= b,
        _ => false,
    };
    *from == to && !TextType::of(field).time_of_day
        || from.is_signed_integer() && to.is_signed_integer() && narrower(from, &to)
        || matches!((from, &to), (DataType::Timestamp(a, x), DataType::Timestamp(b, y)) if a == b && x.is_some() == y.is_some())
}

/// The contract of the columns that are read, with the clauses that a scan of them answers.
fn reduced(table: &Table, columns: &Columns) -> Table {
    let read = |name: &str| columns.read.iter().any(|at| table.fields[*at].name == name);
    let scanned = |clause: &&Clause| {
        let kind = match &clause.rule {
            Rule::Metric { metric: Metric::DuplicateValues { .. }, .. } => false,
            Rule::Metric { .. } => true,
            rule => rule.is_row_local(),
        };
        kind && clause.rule.columns().iter().all(|column| read(column))
    };
    Table {
        fields: columns.read.iter().map(|at| table.fields[*at].clone()).collect(),
        clauses: table.clauses.iter().filter(scanned).cloned().collect(),
        ..table.clone()
    }
}

/// Clauses that are answered without another look at the data.
fn by_shape(clause: &Clause, table: &Table, columns: &Columns, pass: &Pass) -> Option<ClauseResult> {
    let rows = pass.rows;
    if let Rule::NotEvaluated { because } = &clause.rule {
        return Some(result(clause, Outcome::NotEvaluated { because: because.clone() }, because.clone()));
    }
    for column in clause.rule.columns() {
        let Some(at) = table.fields.iter().position(|f| f.name == column) else {
            return Some(unchecked(clause, format!("the contract has no column `{column}`")));
        };
        if let Err(because) = &columns.places[at] {
            return Some(match clause.rule {
                // That the column is there as declared is what this clause says.
                Rule::Type { .. } => {
                    let mut answer = counted(clause, rows.max(1), rows, "cannot fit", Default::default());
                    because.clone_into(&mut answer.message);
                    answer
                }
                _ => unchecked(clause, because.clone()),
            });
        }
    }
    match &clause.rule {
        Rule::Type { .. } => {
            let mut answer = counted(clause, 0, rows, "", Default::default());
            "the type of the data's column holds nothing else".clone_into(&mut answer.message);
            Some(answer)
        }
        _ => pass.certified(clause, rows),
    }
}

struct Scan<'a> {
    table: &'a Table,
    subject: &'a Subject,
    access: &'a Access,
    opened: &'a Arc<dyn Source>,
    schema: &'a SchemaRef,
    columns: &'a Columns,
    reading: &'a Reading,
}

impl Scan<'_> {
    async fn run(&self, seen: &Table) -> Result<Pass> {
        let mut wanted: Vec<usize> =
            self.columns.read.iter().filter_map(|at| self.columns.places[*at].as_ref().ok().copied()).collect();
        if let Some(files) = self.columnar().await? {
            let job = parquet::Job {
                roots: wanted,
                table: seen.clone(),
                unique: unique_sets(&self.table.clauses, seen),
                reading: self.reading.clone(),
                schema: self.stored(seen),
                memory_bytes: self.subject.limits.memory_bytes,
            };
            return parquet::scan(files, job, self.subject.limits.cores).await;
        }
        let origin = self.opened.has_origin();
        if origin {
            wanted.extend([self.schema.fields().len(), self.schema.fields().len() + 1]);
        }
        let places: Vec<usize> = (0..seen.fields.len()).collect();
        let unique = unique_sets(&self.table.clauses, seen);
        let mut pass = Pass::new(seen, self.stored(seen), places, origin, self.reading)
            .without_profiles()
            .with_keys(&unique, self.subject.limits.memory_bytes);
        for partition in self.opened.partitions(&wanted) {
            let mut stream = partition.execute(Arc::new(TaskContext::default()));
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(|error| execution_error(&error, &format!("`{}`", self.subject.name)))?;
                pass.look(&batch)?;
            }
        }
        Ok(pass)
    }

    /// Parquet files that hold all of their columns themselves, instead of leaving some to the names of their folders.
    async fn columnar(&self) -> Result<Option<Vec<SourceFile>>> {
        let SourceSpec::Parquet { files } = &self.subject.spec else { return Ok(None) };
        let files = self.access.files(&self.subject.name, files, &None, &self.reading.meter).await?;
        Ok(Some(files).filter(|files| files.iter().all(|file| file.partitions.is_empty())))
    }

    fn stored(&self, seen: &Table) -> SchemaRef {
        let fields = seen.fields.iter().map(|f| ArrowField::new(&f.name, arrow_type(&f.native), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// Whether the answers let the data pass (D5): a clause of severity error must hold.
pub fn holds(clauses: &[ClauseResult]) -> bool {
    meshwork_core::quality::gate(clauses)
}
