//! Merging (D9): the new rows become files of their own; of the files that are there, only those are written anew that
//! hold a row with one of their keys, and those without it. Everything is a stream or a plan that spills.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{Field as ArrowField, Int32Type, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{Expr, SessionContext, col, lit};
use meshwork_control::port::data::{OutputSpec, RunLimits};
use meshwork_core::contract::Table;
use meshwork_core::effect::Timestamp;
use meshwork_core::name::quoted;
use meshwork_core::quality::{Clause, ClauseResult, RowSample, Rule, Scope};
use meshwork_core::quarantine::KEY_CLAUSE;
use meshwork_core::run::Changes;
use meshwork_core::{Error, Result, Severity};
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use super::check::counted;
use super::convert::{convert, texts};
use super::files::{DataFiles, FILE};
use super::session::{self, Origin, Way};
use super::set::files_table;
use super::sink::Sink;
use crate::set::{list, pairs};
use crate::source::Samples;
use crate::source::text::TextType;

/// The hidden column that says of a new row whether it deletes.
pub const DELETES: &str = "__mw_deletes";
const RANK: &str = "__mw_rank";
const NEW: &str = "__mw_new";
const GONE: &str = "__mw_gone";
const OLD: &str = "__mw_old";
const KEYS: &str = "__mw_keys";
const KEPT: usize = 20;

/// The plan with `order_by` applied, and with [`DELETES`] behind its columns where `delete_when` is given.
pub fn prepare(
    context: &SessionContext,
    plan: LogicalPlan,
    output: &OutputSpec,
    origin: Origin<'_>,
) -> Result<LogicalPlan> {
    let mut plan = plan;
    let failed = |error| session::planning_error(&error, origin);
    if !output.merge.order_by.is_empty() {
        let order: Vec<String> =
            output.merge.order_by.iter().map(|column| format!("{} DESC NULLS LAST", quoted(column))).collect();
        let rank = format!("rank() OVER (PARTITION BY {} ORDER BY {})", list(&output.key), order.join(", "));
        let rank = expression(context, &rank, &plan, "order_by", output)?.alias(RANK);
        let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        plan = LogicalPlanBuilder::from(plan)
            .window(vec![rank])
            .and_then(|plan| plan.filter(col(RANK).eq(lit(1u64))))
            .and_then(|plan| plan.project(columns))
            .and_then(LogicalPlanBuilder::build)
            .map_err(failed)?;
    }
    if let Some(predicate) = &output.merge.delete_when {
        let deletes = expression(context, predicate, &plan, "delete_when", output)?.is_true().alias(DELETES);
        let columns = plan.schema().columns().into_iter().map(Expr::Column).chain([deletes]).collect::<Vec<_>>();
        plan = LogicalPlanBuilder::from(plan).project(columns).and_then(LogicalPlanBuilder::build).map_err(failed)?;
    }
    Ok(plan)
}

fn expression(context: &SessionContext, sql: &str, plan: &LogicalPlan, key: &str, output: &OutputSpec) -> Result<Expr> {
    crate::read::session::state(context).create_logical_expr(sql, plan.schema()).map_err(|error| {
        let text = error.strip_backtrace();
        let text = text.lines().next().unwrap_or_default();
        Error::check("MW0678", format!("output `{}`: `{key}` does not plan: {text}", output.name))
            .hint("it speaks of the columns that the SQL yields; names with capitals need double quotes")
    })
}

/// The keys of rows that delete, written aside.
pub struct Gone {
    path: PathBuf,
    schema: SchemaRef,
    places: Vec<usize>,
    types: Vec<TextType>,
    writer: Option<ArrowWriter<File>>,
    rows: u64,
    deletes: usize,
}

impl Gone {
    /// `None` where the plan has no [`DELETES`].
    pub fn of(plan: &LogicalPlan, output: &OutputSpec, path: PathBuf) -> Option<Self> {
        let names = plan.schema().fields();
        let deletes = names.iter().position(|field| field.name() == DELETES)?;
        let fields: Vec<_> = output.key.iter().filter_map(|key| output.table.field(key)).collect();
        let places = fields.iter().filter_map(|key| names.iter().position(|f| *f.name() == key.name)).collect();
        Some(Self {
            path,
            schema: keys_schema(&output.table, &output.key),
            places,
            types: fields.iter().map(|field| TextType::of(field)).collect(),
            writer: None,
            rows: 0,
            deletes,
        })
    }

    /// Takes the rows that delete out of a batch of the plan.
    pub fn split(&mut self, batch: &RecordBatch, output: &str) -> Result<RecordBatch> {
        let deletes: &BooleanArray = batch.column(self.deletes).as_boolean();
        if deletes.true_count() == 0 {
            return Ok(batch.clone());
        }
        let failed = |_| Error::internal("MW0678", "rows that delete cannot be told apart");
        let gone = filter_record_batch(batch, deletes).map_err(failed)?;
        let mut keys = Vec::with_capacity(self.places.len());
        for (at, ty) in self.places.iter().zip(&self.types) {
            let converted = convert(gone.column(*at), ty).map_err(failed)?;
            if converted.array.null_count() > 0 {
                return Err(Error::check(
                    "MW0678",
                    format!("output `{output}`: rows for which `delete_when` holds have no key"),
                )
                .hint("such a row must say by its key which row it deletes"));
            }
            keys.push(converted.array);
        }
        let keys = RecordBatch::try_new(Arc::clone(&self.schema), keys).map_err(failed)?;
        let io = |error: &(dyn std::error::Error + 'static)| {
            crate::storage::fault::storage_error("writing the run's temporary folder", error)
        };
        if self.writer.is_none() {
            let file = File::create(&self.path).map_err(|error| io(&error))?;
            self.writer = Some(ArrowWriter::try_new(file, Arc::clone(&self.schema), None).map_err(|error| io(&error))?);
        }
        if let Some(writer) = &mut self.writer {
            writer.write(&keys).map_err(|error| io(&error))?;
        }
        self.rows += keys.num_rows() as u64;
        filter_record_batch(batch, &not(deletes).map_err(failed)?).map_err(failed)
    }

    pub fn finish(self) -> Result<Tombs> {
        if let Some(writer) = self.writer {
            writer
                .close()
                .map_err(|error| crate::storage::fault::storage_error("writing the run's temporary folder", &error))?;
        }
        Ok(Tombs { path: self.path, schema: self.schema, rows: self.rows })
    }
}

/// The same, written.
pub struct Tombs {
    path: PathBuf,
    schema: SchemaRef,
    rows: u64,
}

impl Tombs {
    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn table(&self) -> Result<Arc<dyn TableProvider>> {
        let files = if self.rows > 0 { vec![self.path.clone()] } else { Vec::new() };
        files_table(&files, &self.schema)
    }
}

fn keys_schema(table: &Table, keys: &[String]) -> SchemaRef {
    let fields = keys.iter().filter_map(|key| table.field(key));
    let fields = fields.map(|field| ArrowField::new(&field.name, crate::native::arrow_type(&field.native), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// What a merge makes of the files that are there.
pub struct Merged {
    /// `add` actions of files that stay as they are.
    pub kept: Vec<Value>,
    pub rewritten: Vec<Value>,
    pub changes: Changes,
}

/// What a merge needs of its run.
pub struct Merge<'a> {
    pub sink: &'a Sink,
    pub output: &'a OutputSpec,
    pub limits: &'a RunLimits,
    pub now: Timestamp,
    pub way: Way,
    /// The new rows.
    pub new: &'a DataFiles,
    pub gone: Option<Tombs>,
}

impl Merge<'_> {
    /// Rows of the batch that share their key with another one of it: a failing answer, or `None`.
    pub async fn ambiguous(&self) -> Result<Option<ClauseResult>> {
        let context = self.context().await?;
        let keys = list(&self.output.key);
        let groups = format!("SELECT {keys}, count(*) AS n FROM {KEYS} GROUP BY {keys} HAVING count(*) > 1");
        let failing = self.number(&context, &format!("SELECT coalesce(sum(n), 0) FROM ({groups}) AS d")).await?;
        if failing == 0 {
            return Ok(None);
        }
        let on = pairs("t", "d", &self.output.key, &self.output.key);
        let sql = format!(
            "SELECT t.* FROM {NEW} AS t JOIN ({groups} ORDER BY {keys} LIMIT {KEPT}) AS d ON {on} LIMIT {KEPT}"
        );
        let mut samples = Samples::default();
        let width = self.output.table.fields.len();
        for batch in self.collect(&context, &sql).await? {
            for row in 0..batch.num_rows() {
                let of = |at: usize| {
                    (batch.schema().field(at).name().clone(), texts(batch.column(at), &[row]).pop().flatten())
                };
                samples.add(RowSample { source: None, row: None, values: (0..width).map(of).collect() });
            }
        }
        let clause = key_clause(self.output);
        let rows = self.new.rows + self.gone.as_ref().map_or(0, |gone| gone.rows);
        let what = format!("share their {} with another new row", self.output.key.join(", "));
        Ok(Some(counted(&clause, failing, rows, &what, samples)))
    }

    /// How many rows of the table have one of the new keys.
    pub async fn found(&self, served: &[Value]) -> Result<u64> {
        let context = self.context().await?;
        register(&context, OLD, Arc::new(DataFiles::of(&self.sink.log, &self.sink.schema, served)?))?;
        let on = pairs("k", "t", &self.output.key, &self.output.key);
        self.number(&context, &format!("SELECT count(*) FROM {NEW} AS k RIGHT SEMI JOIN {OLD} AS t ON {on}")).await
    }

    /// Finds the files that the keys touch and writes them anew without these.
    pub async fn run(self, served: Vec<Value>) -> Result<Merged> {
        let context = self.context().await?;
        let on = pairs("k", "t", &self.output.key, &self.output.key);
        let gone = self.gone.as_ref().map_or(0, |gone| gone.rows);
        let numbered = DataFiles::numbered(&self.sink.log, &self.sink.schema, &served)?;
        register(&context, OLD, Arc::new(numbered))?;
        let sql =
            format!("SELECT t.{FILE}, count(*) FROM {KEYS} AS k RIGHT SEMI JOIN {OLD} AS t ON {on} GROUP BY t.{FILE}");
        let (mut touched, mut matched) = (vec![false; served.len()], 0);
        for batch in self.collect(&context, &sql).await? {
            let (files, counts) =
                (batch.column(0).as_primitive::<Int32Type>(), batch.column(1).as_primitive::<Int64Type>());
            for row in 0..batch.num_rows() {
                if let Some(file) = usize::try_from(files.value(row)).ok().and_then(|at| touched.get_mut(at)) {
                    *file = true;
                }
                matched += u64::try_from(counts.value(row)).unwrap_or(0);
            }
        }
        let deleted = if gone == 0 || matched == 0 {
            0
        } else {
            let sql = format!("SELECT count(*) FROM {GONE} AS k RIGHT SEMI JOIN {OLD} AS t ON {on}");
            self.number(&context, &sql).await?
        };
        let split = |wanted: bool| -> Vec<Value> {
            served.iter().zip(&touched).filter(|(_, touched)| **touched == wanted).map(|(add, _)| add.clone()).collect()
        };
        let (kept, old) = (split(false), split(true));
        let files_rewritten = old.len() as u64;
        let rewritten = if old.is_empty() { Vec::new() } else { self.rewrite(&context, &old, &on).await? };
        let updated = matched - deleted;
        let changes = Changes { added: self.new.rows.saturating_sub(updated), updated, deleted, files_rewritten };
        Ok(Merged { kept, rewritten, changes })
    }

    async fn rewrite(&self, context: &SessionContext, old: &[Value], on: &str) -> Result<Vec<Value>> {
        register(context, OLD, Arc::new(DataFiles::of(&self.sink.log, &self.sink.schema, old)?))?;
        let columns: Vec<String> =
            self.output.table.fields.iter().map(|field| format!("t.{}", quoted(&field.name))).collect();
        let sql = format!("SELECT {} FROM {KEYS} AS k RIGHT ANTI JOIN {OLD} AS t ON {on}", columns.join(", "));
        let what = format!("the merge of {}", self.sink.what);
        let plan = session::plan(context, &sql, Origin { what: &what, path: "" }).await?;
        let failed = |error| session::execution_error(&error, &what);
        let streams = session::frame(context, plan).execute_stream_partitioned().await.map_err(failed)?;
        self.sink.write_all(streams).await
    }

    /// New rows, keys that go, and all keys, as tables.
    async fn context(&self) -> Result<SessionContext> {
        let context = session::session(self.limits, &self.sink.config.scratch, self.now, self.way)?;
        register(&context, NEW, Arc::new(self.new.clone()))?;
        let gone = match &self.gone {
            Some(gone) => gone.table()?,
            None => {
                let schema = keys_schema(&self.output.table, &self.output.key);
                let empty = MemTable::try_new(schema, vec![vec![]]);
                Arc::new(empty.map_err(|error| session::execution_error(&error, &self.sink.what))?)
            }
        };
        register(&context, GONE, gone)?;
        let keys = list(&self.output.key);
        let all = match &self.gone {
            Some(_) => format!("SELECT {keys} FROM {NEW} UNION ALL SELECT {keys} FROM {GONE}"),
            None => format!("SELECT {keys} FROM {NEW}"),
        };
        let plan = session::plan(&context, &all, Origin { what: "the keys", path: "" }).await?;
        register(&context, KEYS, Arc::new(datafusion::datasource::ViewTable::new(plan, None)))?;
        Ok(context)
    }

    async fn collect(&self, context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
        session::collect(context, sql, &format!("the merge of {}", self.sink.what)).await
    }

    async fn number(&self, context: &SessionContext, sql: &str) -> Result<u64> {
        let batches = self.collect(context, sql).await?;
        let found = batches.iter().find(|batch| batch.num_rows() > 0);
        let value =
            found.and_then(|batch| arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Int64).ok());
        Ok(value.map_or(0, |array| u64::try_from(array.as_primitive::<Int64Type>().value(0)).unwrap_or(0)))
    }
}

/// What a merge promises of every batch.
fn key_clause(output: &OutputSpec) -> Clause {
    Clause {
        id: KEY_CLAUSE.to_owned(),
        severity: Severity::Error,
        scope: Scope::Batch,
        rule: Rule::Unique { columns: output.key.clone() },
        description: None,
        dimension: None,
        place: None,
    }
}

/// The answer where a row is set aside whose key another row deletes.
pub fn deleted_too(output: &OutputSpec) -> ClauseResult {
    let what = format!("is set aside and has the {} of a row that deletes", output.key.join(", "));
    counted(&key_clause(output), 1, 1, &what, Samples::default())
}

fn register(context: &SessionContext, name: &str, provider: Arc<dyn TableProvider>) -> Result<()> {
    session::register(context, name, provider, "the merge")
}
