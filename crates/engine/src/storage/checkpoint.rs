//! Checkpoints of a table's log: every so many versions the state is written down whole, so that opening a table reads that
//! and the few commits after it. A checkpoint only saves time: a table without one is read from its first commit on.

use bytes::Bytes;
use deltalake_core::DeltaTableBuilder;
use deltalake_core::checkpoints::create_checkpoint;
use meshwork_core::Result;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::log::{Commit, State, TableLog};

/// Versions from one checkpoint to the next.
pub const EVERY: u64 = 50;

/// Writes the checkpoint of a version that is due for one. What goes wrong is logged: the commit stands without it.
pub async fn write_if_due(log: &TableLog, version: u64) {
    if version == 0 || !version.is_multiple_of(EVERY) {
        return;
    }
    if let Err(error) = write(log, version).await {
        tracing::warn!(url = log.url(), version, %error, "a checkpoint could not be written");
    }
}

async fn write(log: &TableLog, version: u64) -> Result<(), String> {
    let shown = |error: &dyn std::fmt::Display| error.to_string();
    let url = url::Url::parse(&format!("{}/", log.url())).map_err(|error| shown(&error))?;
    let table = DeltaTableBuilder::from_url(url)
        .map(|builder| builder.with_version(version))
        .map_err(|error| shown(&error))?
        .load()
        .await
        .map_err(|error| shown(&error))?;
    create_checkpoint(&table, None).await.map_err(|error| shown(&error))?;
    let hint = log.table().clone().join("_delta_log").join("_last_checkpoint");
    for file in [name(log, version), hint] {
        log.settle(&file).await.map_err(|error| shown(&error))?;
    }
    Ok(())
}

fn name(log: &TableLog, version: u64) -> Path {
    log.table().clone().join("_delta_log").join(format!("{version:020}.checkpoint.parquet"))
}

/// The newest checkpoint of ours at or before a version: its version and state. One that cannot be read is passed over.
pub async fn before(log: &TableLog, version: u64) -> Option<(u64, State)> {
    let mut at = version - version % EVERY;
    // Some may be missing, because a process died before it wrote them.
    for _ in 0..4 {
        if at == 0 {
            return None;
        }
        if let Ok(found) = log.store().get(&name(log, at)).await
            && let Ok(bytes) = found.bytes().await
            && let Ok(actions) = tokio::task::spawn_blocking(move || actions(bytes)).await
            && let Some(actions) = actions
        {
            let mut state = State::default();
            state.apply(Commit { version: at, actions });
            return Some((at, state));
        }
        at = at.saturating_sub(EVERY);
    }
    None
}

/// The rows of a checkpoint as the actions that commits have.
fn actions(bytes: Bytes) -> Option<Vec<Value>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?.build().ok()?;
    let mut lines = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut lines);
    for batch in reader {
        writer.write(&batch.ok()?).ok()?;
    }
    writer.finish().ok()?;
    drop(writer);
    let actions: Vec<Value> =
        serde_json::Deserializer::from_slice(&lines).into_iter().collect::<Result<_, _>>().ok()?;
    // Torn or foreign: nothing that a table could be opened with.
    actions.iter().any(|action| action.get("metaData").is_some()).then_some(actions)
}
