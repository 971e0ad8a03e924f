//! The rows of an output on their way through the checks into files.

use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use meshwork_control::port::data::{OutputSpec, Phase};
use meshwork_core::{Error, Result};
use serde_json::Value;

use super::super::check::Pass;
use super::super::merge;
use super::super::quarantine::Quarantine;
use super::super::session;
use super::super::sink::Sink;
use super::Run;
use crate::source::Reading;

/// What batches go through.
pub(super) struct Writing<'w, 'q> {
    pub(super) sink: &'w Sink,
    pub(super) pass: &'w mut Pass,
    pub(super) gone: &'w mut Option<merge::Gone>,
    pub(super) quarantine: &'w mut Option<Quarantine<'q>>,
}

impl Run {
    pub(super) async fn write(
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

fn too_many_rows(output: &OutputSpec, limit: u64) -> Error {
    Error::limit("MW0641", format!("output `{}` would get more than {limit} rows from this run", output.name))
        .hint("raise `rows` of the run's limits (mesh.yaml, product.yaml, `--limits`), or read less at once")
}
