//! Small appends: a batch that is there already becomes a commit, beside any number of others who append to the table at
//! the same time, in this process or another.
//!
//! Unlike a run, an append builds on the newest version, whoever of ours made it. Row-local clauses are answered once,
//! for the batch. Who comes second commits again over the newer version; clauses that speak of the whole table are
//! answered anew for it, the others are not. What is visible to readers is still decided by publications.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use meshwork_control::port::data::RunSpec;
use meshwork_core::quality::{ClauseResult, Rule, gate};
use meshwork_core::{Error, Result};
use serde_json::Value;

use super::actions::{Author, Content, Declared, Operation, Staged, commit, table_id};
use super::check::Pass;
use super::commit::{crowded, foreign_error, in_time};
use super::compact::small_files;
use super::files::DataFiles;
use super::position::{self, Mark};
use super::sample::Likeness;
use super::schema::{file_schema, still_fits, stored_schema};
use super::session::{self, Way};
use super::sink::{Sink, Written};
use super::{WriterConfig, set};
use crate::source::Reading;
use crate::storage::checkpoint;
use crate::storage::log::{Put, State, TableLog};

/// A batch for the only output of a spec, whose inputs and SQL are not looked at. Each append has a run id of its own.
#[derive(Clone, Debug)]
pub struct Append {
    pub spec: RunSpec,
    /// With the columns of the contract, in their order.
    pub batches: Vec<RecordBatch>,
}

#[derive(Clone, Debug)]
pub struct Appended {
    /// `None`: a clause that must hold does not, so nothing was committed.
    pub version: Option<u64>,
    pub clauses: Vec<ClauseResult>,
    /// How often it was tried.
    pub attempts: u32,
}

pub async fn append(config: &Arc<WriterConfig>, append: &Append) -> Result<Appended> {
    let [output] = append.spec.outputs.as_slice() else {
        return Err(Error::internal("MW0695", "an append is for one output"));
    };
    let stored = stored_schema(&output.table);
    let work = Work {
        append,
        sink: Sink {
            config: Arc::clone(config),
            log: TableLog::open(&config.stores, &output.location, config.durable).await?,
            schema: file_schema(&stored),
            written: Written::default(),
            what: format!("output `{}`", output.name),
        },
        stored: &stored,
    };
    let done = work.run().await;
    if !matches!(&done, Ok(Appended { version: Some(_), .. })) {
        work.sink.written.discard().await;
    }
    done
}

struct Work<'a> {
    append: &'a Append,
    sink: Sink,
    stored: &'a arrow::datatypes::Schema,
}

/// The version that an attempt builds on.
struct Newest {
    version: u64,
    state: Arc<State>,
    mark: Mark,
}

impl Work<'_> {
    async fn run(&self) -> Result<Appended> {
        let config = &self.sink.config;
        let (mut pass, new) = self.write().await?;
        let whole = self.speaks_of_the_table();
        let mut clauses: Vec<ClauseResult> =
            if whole { Vec::new() } else { pass.answers().into_values().chain(pass.implied()).collect() };
        let began = config.clock.now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let newest = self.newest().await?;
            let files = newest.iter().flat_map(|newest| newest.state.adds());
            let mut kept: Vec<Value> = files.cloned().collect();
            if whole {
                clauses = self.check(&kept, &new).await?;
            }
            if !gate(&clauses) {
                return Ok(Appended { version: None, clauses, attempts });
            }
            let (limits, now) = (&self.append.spec.limits, self.append.spec.now);
            // What an attempt writes together is of no use to the next one.
            let sink = Sink { written: Written::default(), ..self.sink.clone() };
            let compacted = small_files(&sink, limits, now, Way::Fast, &mut kept, config.small_files).await?;
            let compacted = compacted.map_or_else(Default::default, |compacted| (compacted.adds, compacted.moved));
            let staged = self.staged(newest.as_ref(), kept, compacted, new.clone()).await?;
            let log = &self.sink.log;
            match log.put(staged.version, staged.bytes().into()).await? {
                Put::Written => {
                    let mut state = newest.map(|newest| newest.state).unwrap_or_default();
                    staged.apply_to(Arc::make_mut(&mut state));
                    config.logs.put(log.url(), staged.version, &state);
                    checkpoint::write_if_due(log, staged.version).await;
                    return Ok(Appended { version: Some(staged.version), clauses, attempts });
                }
                Put::Taken if in_time(config, began) => sink.written.discard().await,
                Put::Taken => return Err(crowded(&self.append.spec.outputs[0].name)),
            }
        }
    }

    /// Checks the batch by itself and writes it.
    async fn write(&self) -> Result<(Pass, Vec<Value>)> {
        let mut pass = self.pass();
        let mut writer = self.sink.open()?;
        for batch in &self.append.batches {
            let stored = match pass.batch(batch).map(|(stored, _)| stored.rows) {
                Ok(stored) => writer.write(&stored).await.map_err(|error| self.sink.fault(&error)),
                Err(error) => Err(error),
            };
            if let Err(error) = stored {
                let _ = writer.abort().await;
                return Err(error);
            }
        }
        Ok((pass, self.sink.close(writer).await?))
    }

    fn pass(&self) -> Pass {
        let table = &self.append.spec.outputs[0].table;
        let places = (0..table.fields.len()).collect();
        Pass::new(table, Arc::clone(&self.sink.schema), places, false, &Reading::default())
    }

    /// Whether a clause depends on more than the batch.
    fn speaks_of_the_table(&self) -> bool {
        let clauses = &self.append.spec.outputs[0].table.clauses;
        let of_table = |rule: &Rule| {
            matches!(rule, Rule::Unique { .. } | Rule::References { .. } | Rule::Sql { .. } | Rule::Metric { .. })
        };
        clauses.iter().any(|clause| of_table(&clause.rule))
    }

    /// Answers every clause for the table as it will be.
    async fn check(&self, kept: &[Value], new: &[Value]) -> Result<Vec<ClauseResult>> {
        let (spec, config) = (&self.append.spec, &self.sink.config);
        let output = &spec.outputs[0];
        let mut pass = self.pass();
        for batch in &self.append.batches {
            pass.look(batch)?;
        }
        let of = |adds: Vec<&Value>| DataFiles::of(&self.sink.log, &self.sink.schema, adds);
        let others = of(kept.iter().collect())?;
        let columns = pass.with_others(others.rows, false);
        if !columns.is_empty() {
            let context = session::session(&spec.limits, &config.scratch, spec.now, Way::Fast)?;
            others.show(&context, &mut pass, &columns, &self.sink.what).await?;
        }
        let table = of(kept.iter().chain(new).collect())?;
        let places = (0..output.table.fields.len()).collect();
        let batch = set::Batch {
            written: of(new.iter().collect())?,
            trusted: true,
            ..set::Batch::looked_at(output, Arc::clone(&self.sink.schema), table, places, Likeness::Whole)
        };
        set::answers(config, spec, output, &mut pass, &batch, &[&batch], &Reading::default()).await
    }

    /// The newest version, which must be one of ours and under the same contract.
    async fn newest(&self) -> Result<Option<Newest>> {
        let (log, logs) = (&self.sink.log, &self.sink.config.logs);
        let output = &self.append.spec.outputs[0];
        let known = match logs.known(log.url()) {
            Some((version, _)) => version,
            None => match log.versions().await?.last() {
                Some(version) => *version,
                None => return Ok(None),
            },
        };
        let mut newest = log.present(known).await?;
        while let Some(found) = log.commit(newest.version + 1).await? {
            newest = found;
        }
        if newest.run().is_none() {
            return Err(foreign_error(&output.name, &output.location, &newest));
        }
        let mark = Mark::of(&newest).unwrap_or_default();
        if mark.contract.as_ref() != Some(&output.contract_digest) {
            return Err(Error::conflict(
                "MW0695",
                format!("output `{}`: its rows were checked under another contract", output.name),
            )
            .hint("run the product: a run checks every row under the contract that is in force"));
        }
        let state = logs.state(log, newest.version).await?;
        still_fits(&output.name, state.metadata.as_ref(), self.stored)?;
        Ok(Some(Newest { version: newest.version, state, mark }))
    }

    async fn staged(
        &self,
        newest: Option<&Newest>,
        kept: Vec<Value>,
        (compacted, moved): (Vec<Value>, std::collections::BTreeSet<String>),
        added: Vec<Value>,
    ) -> Result<Staged> {
        let spec = &self.append.spec;
        let output = &spec.outputs[0];
        // How far the table's incremental input has been taken up is not touched.
        let position = match newest {
            Some(newest) if newest.mark.position.is_some() => {
                let (_, stored) = position::read(&self.sink.log, newest.version).await?;
                stored.as_ref().map(|stored| stored.position.to_store(Some(stored)))
            }
            _ => None,
        };
        let content = Content {
            operation: if newest.is_some() { Operation::Append } else { Operation::Overwrite },
            kept,
            added,
            compacted,
            moved,
            contract: Some(output.contract_digest.clone()),
            base: newest.map(|newest| newest.version),
            position,
            same_since: None,
            external: None,
        };
        let author =
            Author { run: spec.run.as_str(), product: &spec.product, fencing_token: spec.fencing_token, at: spec.now };
        let id = table_id(output.output.as_str(), output.major);
        let version = newest.map_or(0, |newest| newest.version + 1);
        let state = newest.map(|newest| newest.state.as_ref());
        Ok(commit(version, state, &id, Declared::Schema(self.stored), content, author))
    }
}
