//! Staging: the transformation as one streaming plan, every batch checked and written, nothing committed.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use deltalake_core::datafile::writer::{DeltaWriter, WriterConfig as DeltaWriterConfig};
use deltalake_core::kernel::Add;
use futures::StreamExt;
use meshwork_control::port::data::{InputSpec, OutputSpec, Phase, RunEvent, RunObserver, RunSpec};
use meshwork_core::contract::Table;
use meshwork_core::effect::Timestamp;
use meshwork_core::lineage::{ColumnLineage, Inherited};
use meshwork_core::product::{Mode, OnViolation};
use meshwork_core::quality::{Rule, gate};
use meshwork_core::run::{OutputReport, RunReport};
use meshwork_core::{Error, Result, Severity};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::actions::{Author, Staged, replace, table_id};
use super::check::Pass;
use super::commit::foreign_error;
use super::convert::convertible;
use super::session::{self, Origin, Way};
use super::{WriterConfig, origin, set};
use crate::failpoint;
use crate::native::arrow_field;
use crate::source::{self, Reading, Source};
use crate::storage::fault::storage_error;
use crate::storage::log::TableLog;

/// Builds and checks every output. What was written is removed again unless all of them pass.
pub async fn stage(config: Arc<WriterConfig>, spec: RunSpec, observer: Arc<dyn RunObserver>) -> Result<RunReport> {
    failpoint::pass(config.fail_point.as_ref(), "stage-start").await?;
    for output in &spec.outputs {
        available(output)?;
    }
    let time = spec.limits.time;
    let files: Arc<std::sync::Mutex<Vec<PathBuf>>> = Arc::default();
    let run = Run { config: Arc::clone(&config), spec: Arc::new(spec), observer, files: Arc::clone(&files) };
    // A task of its own: a panic in it becomes an error of this run. Dropping this future must stop it.
    let mut task = AbortOnDrop(tokio::spawn(run.outputs()));
    let staged = match tokio::time::timeout(limit(time), &mut task.0).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(Error::internal("MW0613", "building the product stopped unexpectedly")
            .hint("this is a bug: please report it with the run's log")),
        Err(_) => {
            task.0.abort();
            let _ = (&mut task.0).await;
            Err(Error::limit("MW0612", format!("the run took longer than {} seconds", time.as_secs()))
                .hint("raise the time limit of runs, or reduce what the product reads"))
        }
    };
    let passed = staged.as_ref().is_ok_and(|report| report.outputs.iter().all(|output| gate(&output.clauses)));
    if !passed {
        discard(&files);
    }
    let mut report = staged?;
    if !passed {
        for output in &mut report.outputs {
            output.staged = None;
        }
    }
    failpoint::pass(config.fail_point.as_ref(), "after-stage").await?;
    Ok(report)
}

/// Timers do not take every duration.
fn limit(time: Duration) -> Duration {
    time.min(Duration::from_secs(365 * 24 * 3600))
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn available(output: &OutputSpec) -> Result<()> {
    let mode = match output.mode {
        Mode::Full => None,
        Mode::Append => Some("append"),
        Mode::Merge => Some("merge"),
    };
    if let Some(mode) = mode {
        return Err(Error::usage("MW0604", format!("output `{}`: mode `{mode}` is not available yet", output.name))
            .hint("use `mode: full`, which replaces the table by what the SQL yields"));
    }
    match output.on_violation {
        OnViolation::Block => Ok(()),
        OnViolation::Quarantine => Err(Error::usage(
            "MW0604",
            format!("output `{}`: `on_violation: quarantine` is not available yet", output.name),
        )
        .hint("use `on_violation: block`, or leave the bad rows out in the SQL")),
    }
}

fn discard(files: &std::sync::Mutex<Vec<PathBuf>>) {
    let files = std::mem::take(&mut *files.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    for file in files {
        // What cannot be removed now, the collector will find.
        let _ = std::fs::remove_file(file);
    }
}

struct Run {
    config: Arc<WriterConfig>,
    spec: Arc<RunSpec>,
    observer: Arc<dyn RunObserver>,
    /// Every data file written so far.
    files: Arc<std::sync::Mutex<Vec<PathBuf>>>,
}

impl Run {
    /// All outputs are written before the first set clause is answered: they may refer to each other.
    async fn outputs(self) -> Result<RunReport> {
        let mut report = RunReport::default();
        let mut built = Vec::new();
        for (at, output) in self.spec.outputs.iter().enumerate() {
            let before = self.config.clock.now();
            let reading = Reading::default();
            let first = self.build(at, &reading, Way::Fast).await;
            let done = match first.as_ref().err().and_then(|error| Some((error, session::another_way(error)?))) {
                Some((error, way)) => {
                    self.log("warn", format!("{}; trying again with another plan", error.message));
                    let again = Reading { meter: Arc::clone(&reading.meter), ..Reading::default() };
                    self.build(at, &again, way).await?
                }
                None => first?,
            };
            for line in done.reading.news.lines() {
                self.log("info", line);
            }
            report.rows_read += reading.meter.rows();
            report.bytes_read += reading.meter.bytes();
            report.timings.push((format!("{}: build", output.name), self.millis_since(before)));
            built.push(done);
        }
        let passes: Vec<_> = built.iter_mut().map(|b| b.pass.take()).collect();
        for ((output, built_output), pass) in self.spec.outputs.iter().zip(&built).zip(passes) {
            let before = self.config.clock.now();
            let Some(pass) = pass else { continue };
            report.outputs.push(self.check(output, built_output, pass, &built).await?);
            report.timings.push((format!("{}: check", output.name), self.millis_since(before)));
        }
        Ok(report)
    }

    fn millis_since(&self, before: Timestamp) -> u64 {
        u64::try_from((self.config.clock.now() - before).num_milliseconds()).unwrap_or(0)
    }

    fn log(&self, level: &str, line: String) {
        self.observer.event(RunEvent::Log { level: level.to_owned(), line });
    }

    async fn build(&self, at: usize, reading: &Reading, way: Way) -> Result<Built> {
        let output = &self.spec.outputs[at];
        let context = session::session(&self.spec.limits, &self.config.scratch, self.spec.now, way)?;
        let inputs = self.register_inputs(&context, output, reading).await?;
        let what = format!("output `{}`", output.name);
        let sql = Origin { what: &what, path: &output.sql_path };
        let plan = session::plan(&context, &output.sql, sql).await.map_err(|error| self.with_hints(error, &inputs))?;
        let places = places(&plan, &output.table, sql)?;
        self.name_unused(&inputs, &plan);
        let lineage = lineage_of(&plan, &inputs, &output.table);
        let carried = origin::carry(&plan);
        let stored = stored_schema(&output.table);
        let log = TableLog::open(&output.location, self.config.durable)?;
        let base = self.base(&log, output).await?;
        let mut pass = Pass::new(&output.table, file_schema(&stored), places.clone(), carried.is_some(), reading);
        let executed = carried.clone().unwrap_or(plan);
        let adds = self.write(&context, executed, output, &log, &mut pass, reading, at == 0).await?;
        self.progress(output, Phase::Checking, pass.rows, reading);
        let staged = self.actions(&log, output, base, &stored, &adds).await?;
        let batch = set::Batch {
            output: output.name.to_string(),
            major: output.major,
            files: adds.iter().map(|add| log.data_file(&add.path)).collect::<Result<_>>()?,
            schema: file_schema(&stored),
            rows: pass.rows,
            again: carried,
            places,
        };
        let bytes = adds.iter().map(|add| u64::try_from(add.size).unwrap_or(0)).sum();
        Ok(Built { pass: Some(pass), batch, staged, bytes, lineage, reading: reading.clone() })
    }

    async fn check(&self, output: &OutputSpec, built: &Built, mut pass: Pass, all: &[Built]) -> Result<OutputReport> {
        let siblings: Vec<&set::Batch> = all.iter().map(|b| &b.batch).collect();
        let clauses =
            set::answers(&self.config, &self.spec, output, &mut pass, &built.batch, &siblings, &built.reading).await?;
        self.progress(output, Phase::Staged, built.batch.rows, &built.reading);
        Ok(OutputReport {
            output: output.output.clone(),
            name: output.name.to_string(),
            major: output.major,
            contract_version: output.contract_version.clone(),
            contract_digest: output.contract_digest.clone(),
            location: output.location.clone(),
            rows: built.batch.rows,
            bytes: built.bytes,
            clauses,
            profile: pass.profile(),
            lineage: built.lineage.clone(),
            staged: Some(serde_json::to_value(&built.staged).map_err(|_| {
                Error::internal("MW0632", format!("the commit of output `{}` cannot be written down", output.name))
            })?),
        })
    }

    /// Opens the inputs that the SQL names and makes tables of them.
    async fn register_inputs(
        &self,
        context: &SessionContext,
        output: &OutputSpec,
        reading: &Reading,
    ) -> Result<Inputs> {
        let named = referred_tables(context, &output.sql);
        let domain = self.spec.product.split('.').next().unwrap_or_default();
        let mut inputs = Inputs::default();
        for (name, input) in &self.spec.inputs {
            if named.as_ref().is_some_and(|named| !named.contains(name)) {
                continue;
            }
            let provider: Arc<dyn TableProvider> = match input {
                InputSpec::Source(spec) => {
                    let fields = &output.table.fields;
                    let opened = source::open(name, spec, fields, reading, &self.config.secrets, domain).await?;
                    let columns = opened.schema().fields().iter().map(|f| (f.name().clone(), Vec::new())).collect();
                    inputs.bears.insert(name.clone(), columns);
                    inputs.sources.insert(name.clone(), Arc::clone(&opened));
                    origin::face(&opened)
                }
                InputSpec::Governed(table) => {
                    let columns = table.columns.iter().map(|c| (c.name.clone(), c.bears.clone())).collect();
                    inputs.bears.insert(name.clone(), columns);
                    super::governed(table, &self.config).await?
                }
            };
            context
                .register_table(TableReference::bare(name.as_str()), provider)
                .map_err(|error| session::execution_error(&error, &format!("input `{name}`")))?;
        }
        Ok(inputs)
    }

    /// A column that is not there often means that the source was read wrongly: let the sources say so.
    fn with_hints(&self, mut error: Error, inputs: &Inputs) -> Error {
        if error.code == "MW0510" {
            for source in inputs.sources.values() {
                error.hints.extend(source.hint());
            }
        }
        error
    }

    fn name_unused(&self, inputs: &Inputs, plan: &LogicalPlan) {
        let Ok(used) = used_columns(plan) else { return };
        for (name, source) in &inputs.sources {
            let unused: Vec<String> = source
                .schema()
                .fields()
                .iter()
                .map(|f| f.name().clone())
                .filter(|column| !used.contains(column.as_str()))
                .collect();
            if !unused.is_empty() {
                self.log("info", format!("input {name}: columns not used: {}", unused.join(", ")));
            }
        }
    }

    fn progress(&self, output: &OutputSpec, phase: Phase, rows: u64, reading: &Reading) {
        let bytes = reading.meter.bytes();
        self.observer.event(RunEvent::Progress { output: output.name.to_string(), phase, rows, bytes });
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `output`, split off for its length")]
    async fn write(
        &self,
        context: &SessionContext,
        plan: LogicalPlan,
        output: &OutputSpec,
        log: &TableLog,
        pass: &mut Pass,
        reading: &Reading,
        first: bool,
    ) -> Result<Vec<Add>> {
        let what = format!("output `{}`", output.name);
        let failed = |error| session::execution_error(&error, &what);
        let mut batches = session::frame(context, plan).execute_stream().await.map_err(failed)?;
        let mut writer = DeltaWriter::new(log.table_store(), self.writer_config(&output.table)?);
        let mut shown = self.config.clock.now();
        let written: Result<()> = async {
            while let Some(batch) = batches.next().await {
                let batch = batch.map_err(failed)?;
                if batch.num_rows() > 0 {
                    let stored = pass.batch(&batch)?;
                    writer.write(&stored).await.map_err(|error| storage_error(&format!("writing {what}"), &error))?;
                }
                let now = self.config.clock.now();
                // At most ten a second.
                if (now - shown).num_milliseconds() >= 100 {
                    shown = now;
                    self.progress(output, Phase::Reading, pass.rows, reading);
                }
            }
            Ok(())
        }
        .await;
        if let Err(error) = written {
            // Aborting removes open uploads; files that were closed already are found by the collector.
            let _ = writer.abort().await;
            return Err(error);
        }
        let adds = writer.close().await.map_err(|error| storage_error(&format!("writing {what}"), &error))?;
        let written = adds.iter().map(|add| log.data_file(&add.path)).collect::<Result<Vec<_>>>()?;
        self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(written);
        if first {
            failpoint::pass(self.config.fail_point.as_ref(), "after-first-file").await?;
        }
        Ok(adds)
    }

    fn writer_config(&self, table: &Table) -> Result<DeltaWriterConfig> {
        let level = ZstdLevel::try_new(1).unwrap_or_default();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(self.config.row_group_rows))
            .set_created_by(concat!("meshwork ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        // Minus one: statistics of every column, with which readers prune.
        let indexed = "-1".try_into().map_err(|_| Error::internal("MW0621", "the writer cannot be configured"))?;
        let schema = file_schema(&stored_schema(table));
        let size = NonZeroU64::new(self.config.file_bytes);
        Ok(DeltaWriterConfig::new(schema, Vec::new(), Some(properties), size, Some(8192), indexed, None))
    }

    /// What the commit builds on: the newest version, if nobody else made any since the published one.
    async fn base(&self, log: &TableLog, output: &OutputSpec) -> Result<Option<u64>> {
        let versions = log.versions().await?;
        let newest = versions.last().copied();
        if let Some(base) = output.base
            && newest.is_none_or(|newest| newest < base)
        {
            return Err(Error::environment(
                "MW0623",
                format!("output `{}`: version {base} is published, but the table's log does not have it", output.name),
            )
            .hint("the storage root was replaced or restored: restore the table's folder to where it was"));
        }
        for version in versions {
            if output.base.is_some_and(|base| version <= base) {
                continue;
            }
            if let Some(found) = log.commit(version).await?
                && found.run().is_none()
            {
                return Err(foreign_error(&output.name, &output.location, &found));
            }
        }
        Ok(newest)
    }

    async fn actions(
        &self,
        log: &TableLog,
        output: &OutputSpec,
        base: Option<u64>,
        stored: &Schema,
        adds: &[Add],
    ) -> Result<Staged> {
        let adds = adds
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Error::internal("MW0632", "a data file cannot be described"))?;
        let state = match base {
            Some(version) => Some(log.replay(version).await?),
            None => None,
        };
        let author = Author {
            run: self.spec.run.as_str(),
            product: &self.spec.product,
            fencing_token: self.spec.fencing_token,
            at: self.spec.now,
        };
        let version = base.map_or(0, |base| base + 1);
        let id = table_id(output.output.as_str(), output.major);
        Ok(replace(version, state.as_ref(), &id, stored, adds, author))
    }
}

/// An output that is written, before its set clauses are answered.
struct Built {
    /// Taken when they are.
    pass: Option<Pass>,
    batch: set::Batch,
    staged: Staged,
    bytes: u64,
    lineage: Vec<ColumnLineage>,
    reading: Reading,
}

/// Inputs of one output, opened.
#[derive(Default)]
struct Inputs {
    sources: BTreeMap<String, Arc<dyn Source>>,
    /// What the values of each column bear, for lineage. A source's values bear nothing: what they are is for the
    /// contract of the output to say.
    bears: BTreeMap<String, Vec<(String, Vec<Inherited>)>>,
}

/// The tables that a text names; `None` when it does not parse, which planning will say.
fn referred_tables(context: &SessionContext, sql: &str) -> Option<BTreeSet<String>> {
    let state = crate::read::session::state(context);
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect).ok()?;
    let tables = state.resolve_table_references(&statement).ok()?;
    Some(tables.into_iter().map(|table| table.table().to_owned()).collect())
}

/// Where each column of the contract stands in what the SQL yields.
fn places(plan: &LogicalPlan, table: &Table, origin: Origin<'_>) -> Result<Vec<usize>> {
    let schema = plan.schema();
    let yields: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut places = Vec::with_capacity(table.fields.len());
    let mut missing = Vec::new();
    for field in &table.fields {
        match yields.iter().position(|name| *name == field.name) {
            Some(at) => {
                let from = schema.field(at).data_type();
                if !convertible(from, &field.native) {
                    return Err(Error::check(
                        "MW0605",
                        format!(
                            "{}: column `{}` is {from}, which cannot be stored as {}",
                            origin.what, field.name, field.native
                        ),
                    )
                    .hint("cast it in the SQL to the type that the contract declares"));
                }
                places.push(at);
            }
            None => missing.push(field.name.as_str()),
        }
    }
    if !missing.is_empty() {
        let error = Error::check(
            "MW0602",
            format!(
                "the SQL of {} does not yield {}; it yields {}",
                origin.what,
                missing.join(", "),
                yields.join(", ")
            ),
        );
        let near = yields.iter().find(|name| name.eq_ignore_ascii_case(missing[0]));
        return Err(match near {
            Some(near) => error.hint(format!("names are exact: it yields `{near}`; use `AS \"{}\"`", missing[0])),
            None => error.hint("every field of the contract must be a column of the SELECT, by its exact name"),
        });
    }
    let extra: Vec<&str> = yields.into_iter().filter(|name| table.field(name).is_none()).collect();
    if !extra.is_empty() {
        return Err(Error::check(
            "MW0603",
            format!("the SQL of {} yields {}, which the contract does not declare", origin.what, extra.join(", ")),
        )
        .hint(
            "declare it as a field of the contract, or leave it out of the SELECT (name the columns instead of `*`)",
        ));
    }
    Ok(places)
}

/// Lineage in the order of the contract's fields.
fn lineage_of(plan: &LogicalPlan, inputs: &Inputs, table: &Table) -> Vec<ColumnLineage> {
    let mut columns = crate::lineage::lineage(plan, &inputs.bears);
    columns.sort_by_key(|column| table.fields.iter().position(|f| f.name == column.column));
    columns
}

/// Names of all columns that any expression of the plan reads.
fn used_columns(plan: &LogicalPlan) -> datafusion::error::Result<BTreeSet<String>> {
    use datafusion::common::tree_node::TreeNodeRecursion;
    let mut used = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            used.extend(expression.column_refs().into_iter().map(|c| c.name.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    used.extend(plan.schema().fields().iter().map(|f| f.name().clone()));
    Ok(used)
}

/// The table's schema as readers see it. A column is declared without nulls only where a clause that blocks has
/// checked it.
fn stored_schema(table: &Table) -> SchemaRef {
    let fields: Vec<ArrowField> = table
        .fields
        .iter()
        .map(|field| {
            let gated = table.clauses.iter().any(|clause| {
                clause.severity == Severity::Error
                    && matches!(&clause.rule, Rule::Required { column } if *column == field.name)
            });
            arrow_field(field).with_nullable(!(field.required && gated))
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// The schema of data files: everything may be null, because rows are written before their clauses have answered.
fn file_schema(stored: &Schema) -> SchemaRef {
    Arc::new(Schema::new(
        stored.fields().iter().map(|f| ArrowField::new(f.name(), f.data_type().clone(), true)).collect::<Vec<_>>(),
    ))
}
