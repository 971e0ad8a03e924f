//! Clauses over the whole table as it will be after the commit: uniqueness, references, SQL. They read the files that stay
//! and the staged ones, with joins and groupings that spill.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{JoinType, SessionContext, col, ident, try_cast};
use futures::StreamExt;
use meshwork_control::port::data::{OutputSpec, RunSpec};
use meshwork_core::lineage::ColumnLineage;
use meshwork_core::name::split_major;
use meshwork_core::quality::{Clause, ClauseResult, Metric, Outcome, RowSample, Rule, Scope};
use meshwork_core::{Error, Result, Severity};

use super::check::{Pass, counted, describe_metric, error, measure, result, threshold};
use super::convert::texts;
use super::files::DataFiles;
use super::session::{self, Origin, Way};
use super::{WriterConfig, origin};
use crate::source::{ORIGIN, ROW, Reading, Samples};

const TABLE: &str = "__mw_table";
const BATCH: &str = "__mw_batch";
const KEPT: usize = 20;

/// The rows that were written, and the table that they make.
pub struct Batch {
    pub output: String,
    pub major: u32,
    pub schema: SchemaRef,
    pub written: DataFiles,
    pub table: DataFiles,
    /// Only the written rows can break a clause that must hold: the others were published under the same contract.
    pub trusted: bool,
    /// Why the table cannot be looked at.
    pub unsettled: Option<String>,
    /// The plan that made them, with the origin of each row, if it has one: to find where failing rows came from.
    pub again: Option<LogicalPlan>,
    /// Where each column stands in that plan.
    pub places: Vec<usize>,
}

/// The answers to every clause of the table, in their order, and those that conversion failures imply.
pub async fn answers(
    config: &WriterConfig,
    spec: &RunSpec,
    output: &OutputSpec,
    pass: &mut Pass,
    batch: &Batch,
    siblings: &[&Batch],
    reading: &Reading,
) -> Result<Vec<ClauseResult>> {
    let mut known = pass.answers();
    // Before any second look at the sources: that meets the same faults again.
    let implied = pass.implied();
    let mut answers = Vec::with_capacity(output.table.clauses.len());
    let context = context(config, spec, batch, Way::Fast).await?;
    let check = Check { config, spec, output, batch, siblings, reading };
    for (at, clause) in output.table.clauses.iter().enumerate() {
        let answer = match known.remove(&at) {
            Some(answer) => answer,
            None if batch.unsettled.is_some() => error(clause, batch.unsettled.clone().unwrap_or_default()),
            None => match check.clause(&context, clause).await {
                Ok(answer) => Ok(answer),
                Err(failed) => match session::another_way(&failed) {
                    Some(way) => check.clause(&self::context(config, spec, batch, way).await?, clause).await,
                    None => Err(failed),
                },
            }
            .unwrap_or_else(|failed| error(clause, failed.message)),
        };
        answers.push(answer);
    }
    answers.extend(implied);
    Ok(answers)
}

async fn context(config: &WriterConfig, spec: &RunSpec, batch: &Batch, way: Way) -> Result<SessionContext> {
    let context = session::session(&spec.limits, &config.scratch, spec.now, way)?;
    register(&context, TABLE, Arc::new(batch.table.clone()))?;
    register(&context, BATCH, Arc::new(batch.written.clone()))?;
    Ok(context)
}

fn register(context: &SessionContext, name: &str, provider: Arc<dyn TableProvider>) -> Result<()> {
    let reference = TableReference::bare(name);
    let failed = |error| session::execution_error(&error, "the check of the written rows");
    context.deregister_table(reference.clone()).map_err(failed)?;
    context.register_table(reference, provider).map_err(failed)?;
    Ok(())
}

/// Parquet files as a table.
pub fn files_table(files: &[PathBuf], schema: &SchemaRef) -> Result<Arc<dyn TableProvider>> {
    let failed = |error| session::execution_error(&error, "the check of the written rows");
    if files.is_empty() {
        return Ok(Arc::new(MemTable::try_new(Arc::clone(schema), vec![vec![]]).map_err(failed)?));
    }
    let paths = files
        .iter()
        .map(|file| {
            let url = url::Url::from_file_path(file)
                .map_err(|()| Error::internal("MW0621", "a data file has no absolute path"))?;
            ListingTableUrl::try_new(url, None).map_err(failed)
        })
        .collect::<Result<Vec<_>>>()?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("parquet");
    let listing =
        ListingTableConfig::new_with_multi_paths(paths).with_listing_options(options).with_schema(Arc::clone(schema));
    Ok(Arc::new(ListingTable::try_new(listing).map_err(failed)?))
}

struct Check<'a> {
    config: &'a WriterConfig,
    spec: &'a RunSpec,
    output: &'a OutputSpec,
    batch: &'a Batch,
    /// Every output of this run, this one included.
    siblings: &'a [&'a Batch],
    reading: &'a Reading,
}

impl Check<'_> {
    async fn clause(&self, context: &SessionContext, clause: &Clause) -> Result<ClauseResult> {
        match &clause.rule {
            Rule::Unique { columns } => self.unique(context, clause, columns).await,
            Rule::Metric { metric: metric @ Metric::DuplicateValues { columns }, unit, must } => {
                let (rows, groups) = self.duplicates(context, columns, false).await?;
                let measured = measure(rows - groups, self.rows(), *unit);
                let what = describe_metric(metric, measured, *unit);
                Ok(threshold(clause, measured, must, what, self.rows()))
            }
            Rule::References { columns, to, to_columns } => {
                self.references(context, clause, columns, to, to_columns).await
            }
            Rule::Sql { query, must } => {
                let table = if clause.scope == Scope::Batch { BATCH } else { TABLE };
                let rows = if clause.scope == Scope::Batch { self.batch.written.rows } else { self.rows() };
                let sql = query.replace("{table}", &quoted(table)).replace("{batch}", &quoted(BATCH));
                match must {
                    Some(must) => {
                        let measured = self.number(context, &sql, &clause.id).await?;
                        // The number may be a value of the data: it is in `measured`, not in the message.
                        Ok(threshold(clause, measured, must, "the query's number".to_owned(), rows))
                    }
                    None => {
                        let (failing, samples) = self.failing_rows(context, &sql, &clause.id).await?;
                        Ok(counted(clause, failing, rows, "are returned by the query", samples))
                    }
                }
            }
            _ => Ok(result(
                clause,
                Outcome::Error { because: "this kind of clause has no check".to_owned() },
                "could not be checked: this kind of clause has no check".to_owned(),
            )),
        }
    }

    async fn unique(&self, context: &SessionContext, clause: &Clause, columns: &[String]) -> Result<ClauseResult> {
        // A warning may have failed before, so other rows than the new ones may be double.
        let trusted = self.batch.trusted && clause.severity == Severity::Error;
        let (failing, _) = self.duplicates(context, columns, trusted).await?;
        let samples = if failing == 0 { Samples::default() } else { self.duplicate_samples(context, columns).await };
        let what = format!("share their {} with another row", columns.join(", "));
        Ok(counted(clause, failing, self.rows(), &what, samples))
    }

    /// How many rows are not alone with their values, and how many groups they form.
    async fn duplicates(&self, context: &SessionContext, columns: &[String], trusted: bool) -> Result<(u64, u64)> {
        self.known(columns)?;
        // Where only new rows can be double, the table is searched for their values alone: files and row groups that
        // cannot have them are passed over.
        let searched = format!(
            "(SELECT t.* FROM {} AS b RIGHT SEMI JOIN {} AS t ON {})",
            quoted(BATCH),
            quoted(TABLE),
            columns.iter().map(|c| format!("b.{0} = t.{0}", quoted(c))).collect::<Vec<_>>().join(" AND ")
        );
        let from = if trusted { searched } else { quoted(TABLE) };
        let groups = duplicate_groups(&from, columns, "count(*) AS n");
        let sql = format!("SELECT coalesce(sum(n), 0), count(*) FROM ({groups}) AS d");
        let batches = self.collect(context, &sql, "uniqueness").await?;
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
        for column in columns {
            if self.output.table.field(column).is_none() {
                return Err(Error::check("MW0610", format!("the table has no column `{column}`")));
            }
        }
        Ok(())
    }

    /// Duplicate rows with where they came from: the plan runs once more for it, joined with the keys that are double.
    async fn duplicate_samples(&self, context: &SessionContext, columns: &[String]) -> Samples {
        let keys = format!("{} ORDER BY {} LIMIT {KEPT}", duplicate_groups(&quoted(TABLE), columns, ""), list(columns));
        let found = match &self.batch.again {
            Some(plan) => self.rows_again(context, plan, columns, &keys).await,
            None => None,
        };
        match found {
            // What the run reads may hold one of the two rows only.
            Some(samples) if !samples.is_empty() => samples,
            _ => {
                let on: Vec<String> = columns.iter().map(|c| format!("t.{0} = d.{0}", quoted(c))).collect();
                let sql = format!(
                    "SELECT t.* FROM {} AS t JOIN ({keys}) AS d ON {} ORDER BY {} LIMIT {KEPT}",
                    quoted(TABLE),
                    on.join(" AND "),
                    columns.iter().map(|c| format!("t.{}", quoted(c))).collect::<Vec<_>>().join(", ")
                );
                self.samples(self.collect(context, &sql, "samples").await.unwrap_or_default())
            }
        }
    }

    async fn rows_again(
        &self,
        context: &SessionContext,
        plan: &LogicalPlan,
        columns: &[String],
        keys: &str,
    ) -> Option<Samples> {
        let frame = session::frame(context, plan.clone());
        if !origin::is_carried(frame.schema().as_arrow()) {
            return None;
        }
        let names: Vec<datafusion::common::Column> = frame.schema().columns();
        let mut exprs = Vec::new();
        for (at, field) in self.batch.places.iter().zip(self.batch.schema.fields()) {
            let column = names.get(*at)?.clone();
            exprs.push(
                try_cast(datafusion::prelude::Expr::Column(column), field.data_type().clone()).alias(field.name()),
            );
        }
        for column in &names[names.len() - 2..] {
            exprs.push(datafusion::prelude::Expr::Column(column.clone()).alias(column.name()));
        }
        let rows = frame.select(exprs).ok()?;
        let doubled = context.sql(keys).await.ok()?;
        let renamed: Vec<String> = (0..columns.len()).map(|at| format!("__mw_key_{at}")).collect();
        let doubled = doubled
            .select(columns.iter().zip(&renamed).map(|(c, r)| ident(c.as_str()).alias(r)).collect::<Vec<_>>())
            .ok()?;
        let on: Vec<_> = columns.iter().zip(&renamed).map(|(c, r)| ident(c.as_str()).eq(col(r.as_str()))).collect();
        let joined = rows.join_on(doubled, JoinType::LeftSemi, on).ok()?;
        let sorted = joined
            .sort(vec![col(ORIGIN).sort(true, false), col(ROW).sort(true, false)])
            .ok()?
            .limit(0, Some(KEPT))
            .ok()?;
        let batches = sorted.collect().await.ok()?;
        Some(self.samples(batches))
    }

    /// Rows as samples. The columns of the table come first; an origin behind them is used.
    fn samples(&self, batches: Vec<RecordBatch>) -> Samples {
        let mut samples = Samples::default();
        for batch in batches {
            let carried = origin::is_carried(&batch.schema());
            let width = batch.num_columns() - if carried { 2 } else { 0 };
            for row in 0..batch.num_rows() {
                let (source, number) = if carried && batch.column(width).is_valid(row) {
                    let origin = batch.column(width).as_primitive::<Int32Type>().value(row);
                    let number = batch.column(width + 1).as_primitive::<Int64Type>().value(row);
                    (self.reading.origins.name(origin), u64::try_from(number).ok())
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

    async fn references(
        &self,
        context: &SessionContext,
        clause: &Clause,
        columns: &[String],
        to: &str,
        to_columns: &[String],
    ) -> Result<ClauseResult> {
        self.known(columns)?;
        let name = format!("__mw_ref_{to}");
        if let Some(sibling) = self.sibling(to) {
            // A table of this run is looked into as it will be.
            register(context, &name, Arc::new(sibling.table.clone()))?;
        } else {
            let Some(table) = self.output.references.get(to) else {
                return Ok(error(clause, format!("`{to}` has no publication that this product may read")));
            };
            for column in to_columns {
                match table.columns.iter().find(|c| c.name == *column) {
                    None => return Ok(error(clause, format!("`{to}` shows this product no column `{column}`"))),
                    Some(found) if found.mask.is_some() => {
                        return Ok(error(clause, format!("column `{column}` of `{to}` is masked for this product")));
                    }
                    Some(_) => {}
                }
            }
            register(context, &name, super::governed(table, self.config).await?)?;
        }
        let target = quoted(&name);
        let on: Vec<String> =
            columns.iter().zip(to_columns).map(|(c, t)| format!("t.{} = r.{}", quoted(c), quoted(t))).collect();
        let present: Vec<String> = columns.iter().map(|c| format!("t.{} IS NOT NULL", quoted(c))).collect();
        let from = format!(
            "FROM {} AS t LEFT ANTI JOIN {target} AS r ON {} WHERE {}",
            quoted(TABLE),
            on.join(" AND "),
            present.join(" AND ")
        );
        let what = format!("refer to rows that {to} does not have");
        let failing = self.number(context, &format!("SELECT count(*) {from}"), &what).await?;
        let failing = failing as u64;
        let samples = if failing == 0 {
            Samples::default()
        } else {
            let sql = format!("SELECT t.* {from} ORDER BY {} LIMIT {KEPT}", list_of("t", columns));
            self.samples(self.collect(context, &sql, "samples").await.unwrap_or_default())
        };
        Ok(counted(clause, failing, self.rows(), &what, samples))
    }

    /// Rows of the table as it will be.
    fn rows(&self) -> u64 {
        self.batch.table.rows
    }

    /// The output of this run that `domain.output` or `domain.output_vN` means; without a major, this one's own or the
    /// newest.
    fn sibling(&self, to: &str) -> Option<&Batch> {
        let (domain, table) = to.split_once('.')?;
        if self.spec.product.split('.').next() != Some(domain) {
            return None;
        }
        let called = |name: &str, major: Option<u32>| {
            let of_name = self.siblings.iter().filter(|b| b.output == name);
            of_name.filter(|b| major.is_none_or(|m| b.major == m)).max_by_key(|b| b.major).copied()
        };
        if table == self.batch.output {
            return Some(self.batch);
        }
        called(table, None).or_else(|| split_major(table).and_then(|(name, major)| called(name, Some(major))))
    }

    async fn collect(&self, context: &SessionContext, sql: &str, what: &str) -> Result<Vec<RecordBatch>> {
        let plan = session::plan(context, sql, Origin { what, path: "" }).await?;
        let failed = |error| session::execution_error(&error, what);
        session::frame(context, plan).collect().await.map_err(failed)
    }

    /// A query of one number.
    async fn number(&self, context: &SessionContext, sql: &str, id: &str) -> Result<f64> {
        let what = format!("clause `{id}`");
        let batches = self.collect(context, sql, &what).await?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let shape =
            || Error::check("MW0610", format!("the query of {what} must yield one number; it yields {rows} rows"));
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

    /// Which columns of a query are columns of the table under their own name: only these are shown, because only these
    /// have a classification that says to whom (D20).
    fn plain_columns(&self, plan: &LogicalPlan) -> Vec<bool> {
        let columns: Vec<_> = self.output.table.fields.iter().map(|f| (f.name.clone(), Vec::new())).collect();
        let lineage = crate::lineage::lineage(
            plan,
            &BTreeMap::from([(TABLE.to_owned(), columns.clone()), (BATCH.to_owned(), columns)]),
        );
        let plain = |column: &ColumnLineage| {
            let mut flows = column.from.iter().filter(|source| source.flows).peekable();
            flows.peek().is_some()
                && flows.all(|source| [TABLE, BATCH].contains(&source.input.as_str()) && source.column == column.column)
        };
        lineage.iter().map(plain).collect()
    }

    /// A query of failing rows: how many, and the first of them.
    async fn failing_rows(&self, context: &SessionContext, sql: &str, id: &str) -> Result<(u64, Samples)> {
        let what = format!("clause `{id}`");
        let plan = session::plan(context, sql, Origin { what: &what, path: "" }).await?;
        let names = self.plain_columns(&plan);
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
        let shown: Vec<usize> = (0..names.len()).filter(|at| names[*at]).collect();
        let first = first.iter().map(|batch| batch.project(&shown)).collect::<Result<_, _>>().unwrap_or_default();
        Ok((count, self.samples(first)))
    }
}

fn duplicate_groups(from: &str, columns: &[String], more: &str) -> String {
    let list = list(columns);
    let present: Vec<String> = columns.iter().map(|c| format!("{} IS NOT NULL", quoted(c))).collect();
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    format!("SELECT {list}{more} FROM {from} AS t WHERE {} GROUP BY {list} HAVING count(*) > 1", present.join(" AND "))
}

pub fn list(columns: &[String]) -> String {
    columns.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", ")
}

fn list_of(table: &str, columns: &[String]) -> String {
    columns.iter().map(|c| format!("{table}.{}", quoted(c))).collect::<Vec<_>>().join(", ")
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
