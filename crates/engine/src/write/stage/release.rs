//! A run that releases quarantined rows: their output takes them up as a batch, the others stay as they are.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use meshwork_control::port::data::{OutputSpec, ReleaseSpec};
use meshwork_core::product::Mode;
use meshwork_core::{Error, Result};

use super::{Built, Made, Rows, Run, Writing};
use crate::source::Reading;
use crate::storage::log::TableLog;
use crate::write::check::Pass;
use crate::write::files::DataFiles;
use crate::write::ground::Ground;
use crate::write::input::Inputs;
use crate::write::quarantine::ReleasedRows;
use crate::write::sample::Likeness;
use crate::write::schema::{file_schema, still_fits, stored_schema};
use crate::write::session::{self, Way};
use crate::write::set;
use crate::write::sink::Sink;

impl Run {
    pub(super) async fn release(&self, at: usize, release: &ReleaseSpec, reading: &Reading, way: Way) -> Result<Built> {
        let output = &self.spec.outputs[at];
        if output.mode == Mode::Full {
            return Err(rebuilt_anyway(output));
        }
        let context = session::session(&self.spec.limits, &self.config.scratch, self.spec.now, way)?;
        let stored = stored_schema(&output.table);
        let log = TableLog::open(&self.config.stores, &output.location, self.config.durable).await?;
        let ground = Ground::survey(&log, output, false).await?;
        let Some(served) = &ground.served else { return Err(not_continued(output)) };
        still_fits(&output.name, served.state.metadata.as_ref(), &stored)?;
        let sink = Sink {
            config: Arc::clone(&self.config),
            log,
            schema: file_schema(&stored),
            written: self.written.clone(),
            what: format!("output `{}`", output.name),
        };
        let inputs = Inputs::default();
        let made = Made { output, sink: &sink, ground: &ground, inputs: &inputs, stored: &stored };
        let width = output.table.fields.len();
        let places: Vec<usize> = (0..width).collect();
        let mut pass =
            Pass::new(&output.table, Arc::clone(&sink.schema), places.clone(), true, reading).setting_aside(output);
        let mut quarantine = self.quarantine(at).await?;
        let with = (&self.access, self.config.stores.as_ref());
        let mut rows = ReleasedRows::open(output, release, reading, &context, with, &self.config.scratch).await?;
        let mut gone = None;
        let mut new = Vec::new();
        let stuck = {
            // Each batch has the kinds that its values have: the stream's own schema says nothing.
            let (sender, receiver) = tokio::sync::mpsc::channel(2);
            let read = tokio::task::spawn_blocking(move || {
                loop {
                    let next = rows.next_batch().transpose();
                    let Some(next) = next else { return rows.stuck };
                    let failed = next.is_err();
                    let next = next.map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)));
                    if sender.blocking_send(next).is_err() || failed {
                        return rows.stuck;
                    }
                }
            });
            let stream = futures::stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.map(|batch| (batch, receiver))
            });
            let mut stream: datafusion::execution::SendableRecordBatchStream =
                Box::pin(RecordBatchStreamAdapter::new(Arc::new(Schema::empty()), stream));
            let mut writing = Writing { sink: &sink, pass: &mut pass, gone: &mut gone, quarantine: &mut quarantine };
            new.extend(self.write(output, &mut stream, &mut writing, reading).await?);
            read.await.map_err(|_| Error::internal("MW0613", "reading the quarantine stopped unexpectedly"))?
        };
        if let Some(quarantine) = &mut quarantine {
            quarantine.leave(stuck);
        }
        let lineage = output.resting.as_ref().map(|served| served.lineage.clone()).unwrap_or_default();
        let rows = Rows { new, gone: None, pass, quarantine, lineage, again: None, places, likeness: Likeness::Whole };
        self.finish(&made, rows, reading, way).await
    }

    /// An output of which no row is released: it is only there for the others to refer to.
    pub(super) async fn at_rest(&self, output: &OutputSpec, reading: &Reading) -> Result<Built> {
        let Some(base) = output.base else { return Err(not_continued(output)) };
        let log = TableLog::open(&self.config.stores, &output.location, self.config.durable).await?;
        let state = log.replay(base).await?;
        let schema = file_schema(&stored_schema(&output.table));
        let table = DataFiles::of(&log, &schema, state.adds())?;
        let lineage = output.resting.as_ref().map(|served| served.lineage.clone()).unwrap_or_default();
        Ok(Built::at_rest(set::Batch::at_rest(output, schema, table), base, lineage, reading))
    }
}

fn rebuilt_anyway(output: &OutputSpec) -> Error {
    let message = format!("output `{}` has `mode: full`: the next run would drop released rows again", output.name);
    Error::check("MW0679", message).hint("correct the source, the SQL or the contract, and run the product")
}

fn not_continued(output: &OutputSpec) -> Error {
    let message =
        format!("output `{}` is to be built anew by the next run, and judges its rows again then", output.name);
    Error::check("MW0681", message).hint("run the product first; its quarantine then holds what still does not pass")
}
