//! Staging: the transformation as one streaming plan, every batch checked and written, nothing committed.

mod external;
mod release;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use futures::{FutureExt, StreamExt};
use meshwork_control::port::data::{OutputSpec, Phase, RunEvent, RunObserver, RunSpec};
use meshwork_core::effect::Timestamp;
use meshwork_core::lineage::ColumnLineage;
use meshwork_core::product::{MissingRows, Mode, OnViolation};
use meshwork_core::publication::Body;
use meshwork_core::quality::{ClauseResult, gate};
use meshwork_core::quarantine::{Quarantined, Released};
use meshwork_core::run::{Changes, OutputReport, RunReport};
use meshwork_core::{Error, Result};
use serde_json::Value;

use super::actions::{Author, Content, Declared, Operation, Staged, commit, table_id};
use super::check::Pass;
use super::compact::small_files;
use super::files::{DataFiles, rows_of};
use super::ground::{Ground, Served};
use super::input::{Inputs, Opening, of_no_rows};
use super::merge::{self, Merge};
use super::quarantine::{self, Quarantine};
use super::schema::{file_schema, still_fits, stored_schema};
use super::session::{self, Origin, Way};
use super::sink::{Sink, Written};
use super::yields::{lineage_of, places, used_columns};
use super::{WriterConfig, origin, sample, set};
use crate::failpoint;
use crate::keys::unique_sets;
use crate::read::external::Registered;
use crate::source::{Access, Reading, Unfit};
use crate::storage::log::TableLog;

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

fn too_many_rows(output: &OutputSpec, limit: u64) -> Error {
    Error::limit("MW0641", format!("output `{}` would get more than {limit} rows from this run", output.name))
        .hint("raise `rows` of the run's limits (mesh.yaml, product.yaml, `--limits`), or read less at once")
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
        let stored = stored_schema(&output.table);
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
        let rows = Rows { new, gone, pass, quarantine, lineage, again: carried, places };
        self.finish(&made, rows, reading, way).await
    }

    async fn quarantine(&self, at: usize) -> Result<Option<Quarantine<'_>>> {
        let scratch = self.config.scratch.join(format!("keys-{at}.parquet"));
        Quarantine::of(&self.config, &self.spec, &self.spec.outputs[at], &self.written, scratch).await
    }

    /// From rows that are written to a table that is staged.
    async fn finish(&self, made: &Made<'_>, rows: Rows<'_>, reading: &Reading, way: Way) -> Result<Built> {
        let Made { output, sink, ground, .. } = *made;
        let Rows { new, gone, mut pass, mut quarantine, lineage, again, places } = rows;
        self.progress(output, Phase::Checking, pass.rows, reading);
        let mut after = After { new, ..After::default() };
        if let Some(quarantine) = &mut quarantine {
            self.settle(made, quarantine, &mut pass, &mut after, gone.as_ref(), reading, way).await?;
        }
        after.written = DataFiles::of(&sink.log, &sink.schema, &after.new)?;
        // Of a release that no row passes, nothing is left to do.
        let release = quarantine.as_ref().and_then(|quarantine| quarantine.released(&pass));
        let nothing = release.as_ref().is_some_and(|release| release.rows.is_empty());
        if nothing {
            after.kept = ground.served.iter().flat_map(|served| served.state.adds().cloned()).collect();
        } else {
            self.combine(made, &mut after, gone, way).await?;
            self.compact(made, &mut after, way).await?;
        }
        self.look_at_others(made, &after, &mut pass, way).await?;
        let (mut set_aside, mut refusal) = (None, None);
        if let Some(quarantine) = &mut quarantine {
            set_aside = quarantine.finish(&pass).await?;
            refusal = quarantine.refusal(&pass);
            failpoint::pass(self.config.fail_point.as_ref(), "after-quarantine").await?;
        }
        let staged = match (&ground.served, nothing) {
            (Some(served), true) => Staged::unchanged(served.version),
            _ => self.staged(made, &after, None)?,
        };
        let table = DataFiles::of(&sink.log, &sink.schema, after.files())?;
        let batch = set::Batch {
            output: output.name.to_string(),
            major: output.major,
            schema: Arc::clone(&sink.schema),
            trusted: ground.is_checked_under(&output.contract_digest),
            unsettled: after.ambiguous.as_ref().map(|_| "two new rows have the same key".to_owned()),
            written: after.written,
            table,
            again,
            places,
        };
        Ok(Built {
            pass: Some(pass),
            batch,
            rebuilt: ground.served.is_none(),
            staged,
            lineage,
            reading: reading.clone(),
            changes: after.changes,
            implied: after.ambiguous.into_iter().collect(),
            sampled: made.inputs.cut.is_noted(),
            body: Body::Stored,
            scratch: None,
            set_aside,
            release,
            refusal,
        })
    }

    /// Sets rows aside that share a key, before they meet the table.
    #[expect(clippy::too_many_arguments, reason = "one step of `finish`, split off for its length")]
    async fn settle(
        &self,
        made: &Made<'_>,
        quarantine: &mut Quarantine<'_>,
        pass: &mut Pass,
        after: &mut After,
        gone: Option<&merge::Tombs>,
        reading: &Reading,
        way: Way,
    ) -> Result<()> {
        let served: Vec<Value> = made.ground.served.iter().flat_map(|served| served.state.adds().cloned()).collect();
        let new = std::mem::take(&mut after.new);
        let meeting = quarantine::Ground {
            output: made.output,
            sink: made.sink,
            limits: &self.spec.limits,
            now: self.spec.now,
            way,
            reading,
            served: &served,
            gone,
            whole: self.is_whole(made.output),
            written: &new,
        };
        let rest = quarantine.settle(&meeting, pass).await?;
        if quarantine.deleted_too(&meeting).await? > 0 {
            after.ambiguous = Some(merge::deleted_too(made.output));
        } else if meeting.whole {
            after.rewritten = quarantine.write_kept_rows(&meeting).await?;
        }
        after.kept_rows = quarantine.kept_rows();
        after.new = rest.unwrap_or(new);
        Ok(())
    }

    /// Rows of the table that are not in the batch go.
    fn is_whole(&self, output: &OutputSpec) -> bool {
        output.mode == Mode::Merge && output.merge.missing_rows == MissingRows::Delete && self.spec.release.is_none()
    }

    /// The new rows and those that are there.
    async fn combine(&self, made: &Made<'_>, after: &mut After, gone: Option<merge::Tombs>, way: Way) -> Result<()> {
        let output = made.output;
        if after.ambiguous.is_some() {
            return Ok(());
        }
        let served: Vec<Value> = made.ground.served.iter().flat_map(|served| served.state.adds().cloned()).collect();
        match output.mode {
            Mode::Full | Mode::View | Mode::External => {}
            Mode::Append => {
                after.changes = Some(Changes { added: after.written.rows, ..Changes::default() });
                after.kept = served;
            }
            Mode::Merge => {
                let merge = Merge {
                    sink: made.sink,
                    output,
                    limits: &self.spec.limits,
                    now: self.spec.now,
                    way,
                    new: &after.written,
                    gone,
                };
                after.ambiguous = merge.ambiguous().await?;
                if after.ambiguous.is_some() {
                    return Ok(());
                }
                if self.is_whole(output) {
                    // The batch is all there is to be, beside what stays for a row that is set aside.
                    let before: u64 = served.iter().map(rows_of).sum();
                    let found = merge.found(&served).await?;
                    after.changes = Some(Changes {
                        added: after.written.rows.saturating_sub(found),
                        updated: found,
                        deleted: before.saturating_sub(found + after.kept_rows),
                        files_rewritten: served.len() as u64,
                    });
                    return Ok(());
                }
                let merged = merge.run(served).await?;
                after.kept = merged.kept;
                after.rewritten = merged.rewritten;
                after.changes = Some(merged.changes);
                failpoint::pass(self.config.fail_point.as_ref(), "after-merge").await?;
            }
        }
        Ok(())
    }

    /// Many small files that stay become few larger ones, in the same commit.
    async fn compact(&self, made: &Made<'_>, after: &mut After, way: Way) -> Result<()> {
        if after.ambiguous.is_some() {
            return Ok(());
        }
        let (limits, now) = (&self.spec.limits, self.spec.now);
        let least = self.config.small_files;
        let Some(compacted) = small_files(made.sink, limits, now, way, &mut after.kept, least).await? else {
            return Ok(());
        };
        (after.compacted, after.moved) = (compacted.adds, compacted.moved);
        failpoint::pass(self.config.fail_point.as_ref(), "after-compaction").await
    }

    /// Rows that are there: checked where the contract is another one, and counted by metrics.
    async fn look_at_others(&self, made: &Made<'_>, after: &After, pass: &mut Pass, way: Way) -> Result<()> {
        let others: Vec<&Value> = after.others().collect();
        let others = DataFiles::of(&made.sink.log, &made.sink.schema, others)?;
        let columns = pass.with_others(others.rows, !made.ground.is_checked_under(&made.output.contract_digest));
        if columns.is_empty() {
            return Ok(());
        }
        let context = session::session(&self.spec.limits, &self.config.scratch, self.spec.now, way)?;
        others.show(&context, pass, &columns, &made.sink.what).await
    }

    fn staged(&self, made: &Made<'_>, after: &After, external: Option<Registered>) -> Result<Staged> {
        let output = made.output;
        let author = Author {
            run: self.spec.run.as_str(),
            product: &self.spec.product,
            fencing_token: self.spec.fencing_token,
            at: self.spec.now,
        };
        let served = made.ground.served.as_ref();
        let before = made.ground.position();
        let position = match (&self.spec.release, before) {
            // It takes nothing of the inputs.
            (Some(_), Some(before)) => Some(before.position.to_store(Some(before))),
            _ => made.inputs.fresh.as_ref().map(|(_, fresh)| fresh.position.to_store(before)),
        };
        let content = Content {
            operation: match (output.mode, served) {
                (Mode::Append, Some(_)) => Operation::Append,
                (Mode::Merge, Some(_)) => Operation::Merge,
                _ => Operation::Overwrite,
            },
            kept: after.kept.clone(),
            compacted: after.compacted.clone(),
            moved: after.moved.clone(),
            added: after.rewritten.iter().chain(&after.new).cloned().collect(),
            contract: Some(output.contract_digest.clone()),
            base: served.map(|served| served.version),
            position,
            same_since: None,
            external,
        };
        let id = table_id(output.output.as_str(), output.major);
        let newest = made.ground.newest.as_ref().map(|(_, state)| state);
        Ok(commit(made.ground.next(), newest, &id, Declared::Schema(made.stored), content, author))
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
            if built.sampled {
                sample::judged(&mut clauses, &output.table);
            }
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

    async fn write(
        &self,
        output: &OutputSpec,
        batches: &mut SendableRecordBatchStream,
        writing: &mut Writing<'_, '_>,
        reading: &Reading,
    ) -> Result<Vec<Value>> {
        let Writing { sink, pass, gone, quarantine } = writing;
        let failed = |error| session::execution_error(&error, &sink.what);
        let mut writer = sink.open()?;
        let mut shown = self.config.clock.now();
        let written: Result<()> = async {
            while let Some(batch) = batches.next().await {
                let mut batch = batch.map_err(failed)?;
                if let Some(gone) = gone {
                    batch = gone.split(&batch, &output.name)?;
                }
                if batch.num_rows() > 0 {
                    let (stored, set_aside) = pass.batch(&batch)?;
                    if let Some(limit) = self.spec.limits.rows.filter(|limit| pass.rows + pass.aside_rows() > *limit) {
                        return Err(too_many_rows(output, limit));
                    }
                    if let Some(quarantine) = quarantine {
                        quarantine.batch(&stored, set_aside.as_ref(), pass).await?;
                    }
                    if stored.rows.num_rows() > 0 {
                        writer.write(&stored.rows).await.map_err(|error| sink.fault(&error))?;
                    }
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
        sink.close(writer).await
    }
}

/// What batches go through.
struct Writing<'w, 'q> {
    sink: &'w Sink,
    pass: &'w mut Pass,
    gone: &'w mut Option<merge::Gone>,
    quarantine: &'w mut Option<Quarantine<'q>>,
}

/// All rows of an output, written.
struct Rows<'q> {
    new: Vec<Value>,
    gone: Option<merge::Tombs>,
    pass: Pass,
    quarantine: Option<Quarantine<'q>>,
    lineage: Vec<ColumnLineage>,
    again: Option<LogicalPlan>,
    places: Vec<usize>,
}

/// What sources note while an output is built.
fn reading(output: &OutputSpec) -> Reading {
    match output.on_violation {
        OnViolation::Block => Reading::default(),
        OnViolation::Quarantine => Reading { unfit: Arc::new(Unfit::of_all()), ..Reading::default() },
    }
}

/// One output on its way.
#[derive(Clone, Copy)]
struct Made<'a> {
    output: &'a OutputSpec,
    sink: &'a Sink,
    ground: &'a Ground,
    inputs: &'a Inputs,
    stored: &'a Schema,
}

impl Made<'_> {
    fn unchanged(&self, served: &Served, lineage: Vec<ColumnLineage>, reading: &Reading) -> Result<Built> {
        let files = |adds: Vec<&Value>| DataFiles::of(&self.sink.log, &self.sink.schema, adds);
        let batch = set::Batch {
            output: self.output.name.to_string(),
            major: self.output.major,
            schema: Arc::clone(&self.sink.schema),
            written: files(Vec::new())?,
            table: files(served.state.adds().collect())?,
            trusted: true,
            unsettled: None,
            again: None,
            places: Vec::new(),
        };
        Ok(Built {
            pass: None,
            batch,
            rebuilt: false,
            staged: Staged::unchanged(served.version),
            lineage,
            reading: reading.clone(),
            changes: Some(Changes::default()),
            implied: Vec::new(),
            sampled: false,
            body: Body::Stored,
            scratch: None,
            set_aside: None,
            release: None,
            refusal: None,
        })
    }
}

/// The table as it will be, file by file: `add` actions.
#[derive(Default)]
struct After {
    kept: Vec<Value>,
    rewritten: Vec<Value>,
    compacted: Vec<Value>,
    /// Paths of the files whose rows `compacted` holds.
    moved: BTreeSet<String>,
    new: Vec<Value>,
    /// The rows of `new`.
    written: DataFiles,
    changes: Option<Changes>,
    /// Rows of the table that stay because their replacement is set aside.
    kept_rows: u64,
    /// New rows with one key, of which nobody said which one counts.
    ambiguous: Option<ClauseResult>,
}

impl After {
    fn others(&self) -> impl Iterator<Item = &Value> {
        self.kept.iter().chain(&self.rewritten).chain(&self.compacted)
    }

    fn files(&self) -> impl Iterator<Item = &Value> {
        self.others().chain(&self.new)
    }
}

/// An output that is written, before its set clauses are answered.
struct Built {
    /// Taken when they are; none where nothing was new.
    pass: Option<Pass>,
    batch: set::Batch,
    rebuilt: bool,
    staged: Staged,
    lineage: Vec<ColumnLineage>,
    reading: Reading,
    changes: Option<Changes>,
    implied: Vec<ClauseResult>,
    /// From part of an input only.
    sampled: bool,
    body: Body,
    /// Where the rows of a view lie while they are checked.
    #[expect(dead_code, reason = "dropping it removes them")]
    scratch: Option<view::Scratch>,
    set_aside: Option<Quarantined>,
    release: Option<Released>,
    refusal: Option<(BTreeMap<String, ClauseResult>, ClauseResult)>,
}
