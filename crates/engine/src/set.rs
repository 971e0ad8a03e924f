//! Clauses over a whole table: uniqueness, references, SQL. One implementation for the table that a run makes
//! (`write::set`) and for data that a contract is held against (`verify::set`); groupings and joins spill.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use meshwork_core::contract::Table;
use meshwork_core::lineage::ColumnLineage;
use meshwork_core::name::quoted;
use meshwork_core::quality::{Clause, ClauseResult, Metric, Outcome, RowSample, Rule, Scope};
use meshwork_core::{Error, Result, Severity};

use crate::source::{Origins, Samples};
use crate::write::session::{self, Origin, Way};
use crate::write::{counted, describe_metric, is_carried, measure, result, texts, threshold, unchecked};

/// The rows that clauses speak of.
pub const TABLE: &str = "__mw_table";
/// Those that are new, which may be all of them.
pub const BATCH: &str = "__mw_batch";
/// How many failing rows are shown.
pub const KEPT: usize = 20;

/// What clauses are asked of.
#[async_trait]
pub trait Data: Sync {
    /// A session in which [`TABLE`] and [`BATCH`] stand.
    async fn session(&self, way: Way) -> Result<SessionContext>;

    /// The table that a clause refers to, which may be put into the session for it.
    async fn referred(&self, context: &SessionContext, reference: &Reference<'_>) -> Result<Referred>;

    /// Rows whose `columns` have values that the query `keys` yields, with where they came from, as far as that can be told.
    async fn traced(&self, _: &SessionContext, _columns: &[String], _keys: &str) -> Option<Vec<RecordBatch>> {
        None
    }

    /// Names for the origins of rows that carry one.
    fn origins(&self) -> &Origins;
}

pub struct Reference<'a> {
    pub columns: &'a [String],
    pub to: &'a str,
    pub to_columns: &'a [String],
}

/// What is looked into for a reference.
pub enum Referred {
    /// A table of the session.
    Table(String),
    /// Nobody gave it, so that the clause stays unanswered.
    NotGiven { because: String },
}

/// Set clauses over one table.
pub struct Sets<'a> {
    pub data: &'a dyn Data,
    pub table: &'a Table,
    /// Rows of [`TABLE`] and of [`BATCH`].
    pub rows: u64,
    pub batch_rows: u64,
    /// Only the new rows can break a clause that must hold: the others were published under the same contract.
    pub trusted: bool,
}

impl Sets<'_> {
    /// The answers, in the order of the clauses.
    pub async fn answers(&self, clauses: &[&Clause]) -> Result<Vec<ClauseResult>> {
        let mut answers = Vec::with_capacity(clauses.len());
        if clauses.is_empty() {
            return Ok(answers);
        }
        let context = self.data.session(Way::Fast).await?;
        for clause in clauses {
            let answer = match self.clause(&context, clause).await {
                Err(failed) => match session::another_way(&failed) {
                    Some(way) => self.clause(&self.data.session(way).await?, clause).await,
                    None => Err(failed),
                },
                answered => answered,
            };
            answers.push(answer.unwrap_or_else(|failed| unchecked(clause, failed.message)));
        }
        Ok(answers)
    }

    async fn clause(&self, context: &SessionContext, clause: &Clause) -> Result<ClauseResult> {
        match &clause.rule {
            Rule::Unique { columns } => self.unique(context, clause, columns).await,
            Rule::Metric { metric: metric @ Metric::DuplicateValues { columns }, unit, must } => {
                let (rows, groups) = self.duplicates(context, columns, false).await?;
                let measured = measure(rows - groups, self.rows, *unit);
                Ok(threshold(clause, measured, must, describe_metric(metric, measured, *unit), self.rows))
            }
            Rule::References { columns, to, to_columns } => {
                self.references(context, clause, &Reference { columns, to, to_columns }).await
            }
            Rule::Sql { query, must } => {
                let (table, rows) =
                    if clause.scope == Scope::Batch { (BATCH, self.batch_rows) } else { (TABLE, self.rows) };
                let sql = query.replace("{table}", &quoted(table)).replace("{batch}", &quoted(BATCH));
                match must {
                    Some(must) => {
                        let measured = number(context, &sql, &clause.id).await?;
                        // The number may be a value of the data: it is in `measured`, not in the message.
                        Ok(threshold(clause, measured, must, "the query's number".to_owned(), rows))
                    }
                    None => {
                        let (failing, samples) = self.failing_rows(context, &sql, &clause.id).await?;
                        Ok(counted(clause, failing, rows, "are returned by the query", samples))
                    }
                }
            }
            _ => Ok(unchecked(clause, "this kind of clause has no check".to_owned())),
        }
    }

    async fn unique(&self, context: &SessionContext, clause: &Clause, columns: &[String]) -> Result<ClauseResult> {
        // A warning may have failed before, so other rows than the new ones may be double.
        let trusted = self.trusted && clause.severity == Severity::Error;
        let (failing, _) = self.duplicates(context, columns, trusted).await?;
        let samples = if failing == 0 { Samples::default() } else { self.duplicate_samples(context, columns).await };
        let what = format!("share their {} with another row", columns.join(", "));
        Ok(counted(clause, failing, self.rows, &what, samples))
    }

    /// How many rows are not alone with their values, and how many groups they form.
    async fn duplicates(&self, context: &SessionContext, columns: &[String], trusted: bool) -> Result<(u64, u64)> {
        self.known(columns)?;
        // Where only new rows can be double, the table is searched for their values alone: files and row groups that
        // cannot have them are passed over.
        let from = if trusted {
            let same = pairs("b", "t", columns, columns);
            format!("(SELECT t.* FROM {} AS b RIGHT SEMI JOIN {} AS t ON {same})", quoted(BATCH), quoted(TABLE))
        } else {
            quoted(TABLE)
        };
        let groups = duplicate_groups(&from, columns, "count(*) AS n");
        let sql = format!("SELECT coalesce(sum(n), 0), count(*) FROM ({groups}) AS d");
        let batches = session::collect(context, &sql, "uniqueness").await?;
        let number = |column: usize| {
            batches
                .iter()
                .find(|b| b.num_rows() > 0)
                .and_then(|b| cast(b.column(column), &DataType::Int64).ok())
                .map(|array| u64::try_from(array.as_primitive::<Int64Type>().value(0)).unwrap_or(0))
                .unwrap_or(0)
        };
        Ok((number(0), number(1)))
    }

    fn known(&self, columns: &[String]) -> Result<()> {
        match columns.iter().find(|column| self.table.field(column).is_none()) {
            None => Ok(()),
            Some(column) => Err(Error::check("MW0610", format!("the table has no column `{column}`"))),
        }
    }

    async fn duplicate_samples(&self, context: &SessionContext, columns: &[String]) -> Samples {
        let keys = format!("{} ORDER BY {} LIMIT {KEPT}", duplicate_groups(&quoted(TABLE), columns, ""), list(columns));
        match self.data.traced(context, columns, &keys).await {
            // What the run reads may hold one of the two rows only.
            Some(rows) if rows.iter().any(|batch| batch.num_rows() > 0) => self.samples(rows),
            _ => {
                let sql = format!(
                    "SELECT t.* FROM {} AS t JOIN ({keys}) AS d ON {} ORDER BY {} LIMIT {KEPT}",
                    quoted(TABLE),
                    pairs("t", "d", columns, columns),
                    list_of("t", columns)
                );
                self.samples(session::collect(context, &sql, "samples").await.unwrap_or_default())
            }
        }
    }

    async fn references(
        &self,
        context: &SessionContext,
        clause: &Clause,
        reference: &Reference<'_>,
    ) -> Result<ClauseResult> {
        self.known(reference.columns)?;
        let target = match self.data.referred(context, reference).await? {
            Referred::Table(name) => quoted(&name),
            Referred::NotGiven { because } => {
                return Ok(result(clause, Outcome::NotEvaluated { because: because.clone() }, because));
            }
        };
        let from = format!(
            "FROM {} AS t LEFT ANTI JOIN {target} AS r ON {} WHERE {}",
            quoted(TABLE),
            pairs("t", "r", reference.columns, reference.to_columns),
            present("t.", reference.columns)
        );
        let what = format!("refer to rows that {} does not have", reference.to);
        let failing = number(context, &format!("SELECT count(*) {from}"), &clause.id).await? as u64;
        let samples = if failing == 0 {
            Samples::default()
        } else {
            let sql = format!("SELECT t.* {from} ORDER BY {} LIMIT {KEPT}", list_of("t", reference.columns));
            self.samples(session::collect(context, &sql, "samples").await.unwrap_or_default())
        };
        Ok(counted(clause, failing, self.rows, &what, samples))
    }

    /// A query of failing rows: how many, and the first of them.
    async fn failing_rows(&self, context: &SessionContext, sql: &str, id: &str) -> Result<(u64, Samples)> {
        let what = format!("clause `{id}`");
        let plan = session::plan(context, sql, Origin { what: &what, path: "" }).await?;
        let shown = self.plain_columns(&plan);
        let failed = |error| session::execution_error(&error, &what);
        let mut stream = session::frame(context, plan).execute_stream().await.map_err(failed)?;
        let (mut count, mut first) = (0u64, Vec::new());
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(failed)?;
            let kept = KEPT.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX)).min(batch.num_rows());
            if kept > 0 {
                first.push(batch.slice(0, kept));
            }
            count += batch.num_rows() as u64;
        }
        let first = first.iter().map(|batch| batch.project(&shown)).collect::<Result<_, _>>().unwrap_or_default();
        Ok((count, self.samples(first)))
    }

    /// Which columns of a query are columns of the table under their own name: only these are shown, because only these
    /// have a classification that says to whom (D20).
    fn plain_columns(&self, plan: &LogicalPlan) -> Vec<usize> {
        let columns: Vec<_> = self.table.fields.iter().map(|f| (f.name.clone(), Vec::new())).collect();
        let inputs = BTreeMap::from([(TABLE.to_owned(), columns.clone()), (BATCH.to_owned(), columns)]);
        let plain = |column: &ColumnLineage| {
            let mut flows = column.from.iter().filter(|source| source.flows).peekable();
            flows.peek().is_some()
                && flows.all(|source| [TABLE, BATCH].contains(&source.input.as_str()) && source.column == column.column)
        };
        let lineage = crate::lineage::lineage(plan, &inputs);
        lineage.iter().enumerate().filter(|(_, column)| plain(column)).map(|(at, _)| at).collect()
    }

    /// Rows as samples. The columns of the table come first; an origin behind them is used.
    fn samples(&self, batches: Vec<RecordBatch>) -> Samples {
        let mut samples = Samples::default();
        for batch in batches {
            let carried = is_carried(&batch.schema());
            let width = batch.num_columns() - if carried { 2 } else { 0 };
            for row in 0..batch.num_rows() {
                let (source, number) = if carried && batch.column(width).is_valid(row) {
                    let origin = batch.column(width).as_primitive::<Int32Type>().value(row);
                    let number = batch.column(width + 1).as_primitive::<Int64Type>().value(row);
                    (self.data.origins().name(origin), u64::try_from(number).ok())
                } else {
                    (None, None)
                };
                let values = (0..width).map(|at| {
                    let name = batch.schema().field(at).name().clone();
                    (name, texts(batch.column(at), &[row]).pop().flatten())
                });
                samples.add(RowSample { source, row: number, values: values.collect() });
            }
        }
        samples
    }
}

/// A query of one number.
async fn number(context: &SessionContext, sql: &str, id: &str) -> Result<f64> {
    let what = format!("clause `{id}`");
    let batches = session::collect(context, sql, &what).await?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let shape = || Error::check("MW0610", format!("the query of {what} must yield one number; it yields {rows} rows"));
    let batch = batches.iter().find(|b| b.num_rows() > 0).ok_or_else(shape)?;
    if rows != 1 || batch.num_columns() != 1 {
        return Err(shape());
    }
    let column = batch.column(0);
    let not_a_number = || Error::check("MW0610", format!("the query of {what} must yield one number"));
    if column.is_null(0) || !(column.data_type().is_numeric() || *column.data_type() == DataType::Boolean) {
        return Err(not_a_number());
    }
    let number = cast(column, &DataType::Float64).map_err(|_| not_a_number())?;
    Ok(number.as_primitive::<Float64Type>().value(0))
}

fn duplicate_groups(from: &str, columns: &[String], more: &str) -> String {
    let (list, present) = (list(columns), present("", columns));
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    format!("SELECT {list}{more} FROM {from} AS t WHERE {present} GROUP BY {list} HAVING count(*) > 1")
}

fn present(of: &str, columns: &[String]) -> String {
    columns.iter().map(|c| format!("{of}{} IS NOT NULL", quoted(c))).collect::<Vec<_>>().join(" AND ")
}

/// The condition that columns of two tables are equal.
pub fn pairs(left: &str, right: &str, columns: &[String], others: &[String]) -> String {
    let pair = |(a, b): (&String, &String)| format!("{left}.{} = {right}.{}", quoted(a), quoted(b));
    columns.iter().zip(others).map(pair).collect::<Vec<_>>().join(" AND ")
}

pub fn list(columns: &[String]) -> String {
    columns.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", ")
}

fn list_of(table: &str, columns: &[String]) -> String {
    columns.iter().map(|c| format!("{table}.{}", quoted(c))).collect::<Vec<_>>().join(", ")
}
