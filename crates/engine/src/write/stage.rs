//! Staging: the transformation as one streaming plan, every batch checked and written, nothing committed.

mod after;
mod built;
mod external;
mod release;
mod rows;
mod view;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use futures::FutureExt;
use meshwork_control::port::data::{OutputSpec, Phase, RunEvent, RunObserver, RunSpec};
use meshwork_core::effect::Timestamp;
use meshwork_core::product::{Mode, OnViolation};
use meshwork_core::quality::gate;
use meshwork_core::run::{OutputReport, RunReport};
use meshwork_core::{Error, Result};

use super::check::Pass;
use super::ground::Ground;
use super::input::{Inputs, Opening, of_no_rows};
use super::merge;
use super::quarantine::Quarantine;
use super::sample::likeness;
use super::schema::{file_schema, sampled_schema, still_fits, stored_schema};
use super::session::{self, Origin, Way};
use super::sink::{Sink, Written};
use super::yields::{lineage_of, places, used_columns};
use super::{WriterConfig, origin, set};
use crate::failpoint;
use crate::keys::unique_sets;
use crate::source::{Access, Reading, Unfit};
use crate::storage::log::TableLog;
use after::{Made, Rows};
use built::Built;
use rows::Writing;

/// Builds and checks every output. What was written is removed again unless all of them pass.
pub async fn stage(config: Arc<WriterConfig>, spec: RunSpec, observer: Arc<dyn RunObserver>) -> Result<RunReport> {
    failpoint::pass(config.fail_point.as_ref(), "stage-start").await?;
    let time = spec.limits.time;
    let written = Written::default();
    let domain = spec.product.split('.').next().unwrap_or_default();
    let access = Access::new(domain, config.secrets.clone(), &config.scratch, spec.limits.spill_bytes);
    let run = Run { config: Arc::clone(&config), spec: Arc::new(spec), access, observer, written: written.clone() };
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
        written.discard().await;
    }
    let mut report = staged?;
    if !passed {
        for output in &mut report.outputs {
            output.staged = None;
            if let Some(set_aside) = &mut output.quarantine {
                set_aside.files.clear();
            }
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

struct Run {
    config: Arc<WriterConfig>,
    spec: Arc<RunSpec>,
    access: Access,
    observer: Arc<dyn RunObserver>,
    written: Written,
}

impl Run {
    /// All outputs are written before the first set clause is answered: they may refer to each other.
    async fn outputs(self) -> Result<RunReport> {
        let mut report = RunReport::default();
        let mut built = Vec::new();
        for (at, output) in self.spec.outputs.iter().enumerate() {
            let before = self.config.clock.now();
            let reading = reading(output);
            let first = self.attempt(at, &reading, Way::Fast).await;
            let done = match first.as_ref().err().and_then(|error| Some((error, session::another_way(error)?))) {
                Some((error, way)) => {
                    self.log("warn", format!("{}; trying again with another plan", error.message));
                    let again = Reading { meter: Arc::clone(&reading.meter), ..self::reading(output) };
                    self.attempt(at, &again, way).await?
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
            report.outputs.push(self.check(output, built_output, pass, &built).await?);
            report.timings.push((format!("{}: check", output.name), self.millis_since(before)));
        }
        report.unchanged = !built.is_empty() && built.iter().all(|built| built.staged.is_unchanged());
        Ok(report)
    }

    fn millis_since(&self, before: Timestamp) -> u64 {
        u64::try_from((self.config.clock.now() - before).num_milliseconds()).unwrap_or(0)
    }

    fn log(&self, level: &str, line: String) {
        self.observer.event(RunEvent::Log { level: level.to_owned(), line });
    }

    /// As [`Self::made`], with a panic of the engine as an error.
    async fn attempt(&self, at: usize, reading: &Reading, way: Way) -> Result<Built> {
        let built = std::panic::AssertUnwindSafe(self.made(at, reading, way)).catch_unwind().await;
        built.unwrap_or_else(|payload| Err(session::panicked(&*payload, &self.spec.outputs[at].name)))
    }

    /// An output as its inputs make it, or as a release leaves it.
    async fn made(&self, at: usize, reading: &Reading, way: Way) -> Result<Built> {
        let output = &self.spec.outputs[at];
        match &self.spec.release {
            None => self.build(at, reading, way).await,
            Some(release) if release.output == output.output && release.major == output.major => {
                self.release(at, release, reading, way).await
            }
            Some(_) => self.at_rest(output, reading).await,
        }
    }

    async fn build(&self, at: usize, reading: &Reading, way: Way) -> Result<Built> {
        let output = &self.spec.outputs[at];
        match output.mode {
            Mode::View => return self.view(at, reading, way).await,
            Mode::External => return self.external(at, reading, way).await,
            Mode::Full | Mode::Append | Mode::Merge => {}
        }
        let context = session::session(&self.spec.limits, &self.config.scratch, self.spec.now, way)?;
        let stored = self.stored_schema(output);
        let log = TableLog::open(&self.config.stores, &output.location, self.config.durable).await?;
        let ground = Ground::survey(&log, output, self.spec.full_refresh).await?;
        if let Some(served) = &ground.served {
            still_fits(&output.name, served.state.metadata.as_ref(), &stored)?;
        }
        let opening = Opening {
            config: &self.config,
            spec: &self.spec,
            access: &self.access,
            output,
            reading,
            before: ground.position(),
        };
        let inputs = opening.register(&context).await?;
        let what = format!("output `{}`", output.name);
        let sql = Origin { what: &what, path: &output.sql_path };
        let plan = session::plan(&context, &output.sql, sql).await.map_err(|error| self.with_hints(error, &inputs))?;
        let plan = if output.mode == Mode::Merge { merge::prepare(&context, plan, output, sql)? } else { plan };
        let places = places(&plan, &output.table, &output.merge, sql)?;
        self.name_unused(&inputs, &plan);
        let lineage = lineage_of(&plan, &inputs, &output.table);
        let sink = Sink {
            config: Arc::clone(&self.config),
            log,
            schema: file_schema(&stored),
            written: self.written.clone(),
            what: what.clone(),
        };
        let made = Made { output, sink: &sink, ground: &ground, inputs: &inputs, stored: &stored };
        if inputs.nothing_new()
            && let Some(served) = &ground.served
            && ground.is_checked_under(&output.contract_digest)
        {
            self.log("info", format!("{what}: nothing is new"));
            return made.unchanged(served, lineage, reading);
        }
        let plan = if inputs.nothing_new() { of_no_rows(plan)? } else { plan };
        let carried = origin::carry(&plan);
        let mut pass = Pass::new(&output.table, Arc::clone(&sink.schema), places.clone(), carried.is_some(), reading)
            .with_keys(&unique_sets(&output.table.clauses, &output.table), self.spec.limits.memory_bytes);
        let mut quarantine = self.quarantine(at).await?;
        if quarantine.is_some() {
            pass = pass.setting_aside(output);
        }
        let executed = carried.clone().unwrap_or(plan);
        let made_by = executed.clone();
        let scratch = self.config.scratch.join(format!("deletes-{at}.parquet"));
        let mut gone = merge::Gone::of(&executed, output, scratch);
        let failed = |error| session::execution_error(&error, &what);
        let mut rows = session::frame(&context, executed).execute_stream().await.map_err(failed)?;
        let mut writing = Writing { sink: &sink, pass: &mut pass, gone: &mut gone, quarantine: &mut quarantine };
        let new = self.write(output, &mut rows, &mut writing, reading).await?;
        drop(rows);
        if at == 0 {
            failpoint::pass(self.config.fail_point.as_ref(), "after-first-file").await?;
        }
        opening.verify(&inputs).await?;
        let gone = gone.map(merge::Gone::finish).transpose()?;
        let likeness = likeness(&made_by, &inputs.cut).map_err(failed)?;
        let rows = Rows { new, gone, pass, quarantine, lineage, again: carried, places, likeness };
        self.finish(&made, rows, reading, way).await
    }

    fn stored_schema(&self, output: &OutputSpec) -> SchemaRef {
        let stored = stored_schema(&output.table);
        if self.spec.sample.is_some() { sampled_schema(&stored) } else { stored }
    }

    async fn quarantine(&self, at: usize) -> Result<Option<Quarantine<'_>>> {
        let scratch = self.config.scratch.join(format!("keys-{at}.parquet"));
        Quarantine::of(&self.config, &self.spec, &self.spec.outputs[at], &self.written, scratch).await
    }

    async fn check(
        &self,
        output: &OutputSpec,
        built: &Built,
        pass: Option<Pass>,
        all: &[Built],
    ) -> Result<OutputReport> {
        let siblings: Vec<&set::Batch> = all.iter().map(|b| &b.batch).collect();
        let (mut clauses, mut profile) = (Vec::new(), Vec::new());
        if let Some(mut pass) = pass {
            clauses =
                set::answers(&self.config, &self.spec, output, &mut pass, &built.batch, &siblings, &built.reading)
                    .await?;
            clauses.extend(built.implied.iter().cloned());
            if let Some((answers, limit)) = &built.refusal {
                let mut answers = answers.clone();
                for clause in &mut clauses {
                    if let Some(answer) = answers.remove(&clause.clause) {
                        *clause = answer;
                    }
                }
                clauses.extend(answers.into_values());
                clauses.push(limit.clone());
            }
            profile = pass.profile();
        }
        self.progress(output, Phase::Staged, built.batch.written.rows, &built.reading);
        // What a release leaves as it is keeps the contract that it was checked under.
        let resting = output.resting.as_ref().filter(|_| self.spec.release.is_some() && built.staged.is_unchanged());
        let (contract_version, contract_digest) = match resting {
            Some(served) => (&served.contract_version, &served.contract_digest),
            None => (&output.contract_version, &output.contract_digest),
        };
        Ok(OutputReport {
            output: output.output.clone(),
            name: output.name.to_string(),
            major: output.major,
            contract_version: contract_version.clone(),
            contract_digest: contract_digest.clone(),
            location: output.location.clone(),
            rows: built.batch.table.rows,
            bytes: built.batch.table.bytes,
            changes: built.changes,
            rebuilt: built.rebuilt,
            quarantine: built.set_aside.clone(),
            release: built.release.clone(),
            clauses,
            profile,
            lineage: built.lineage.clone(),
            body: built.body.clone(),
            staged: Some(built.staged.to_value(&output.name)?),
        })
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
}

/// What sources note while an output is built.
fn reading(output: &OutputSpec) -> Reading {
    match output.on_violation {
        OnViolation::Block => Reading::default(),
        OnViolation::Quarantine => Reading { unfit: Arc::new(Unfit::of_all()), ..Reading::default() },
    }
}
