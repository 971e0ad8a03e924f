//! Checkpoints of a table's log: every so many versions the state is written down whole, so that opening a table reads that
//! and the few commits after it. A checkpoint only saves time: a table without one is read from its first commit on.

use arrow::compute::{filter_record_batch, is_not_null, or};
use bytes::Bytes;
use deltalake_core::checkpoints::create_checkpoint;
use meshwork_core::Result;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
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

/// Writes the newest checkpoint that is due by a version, if it could not be written when it was.
pub async fn write_if_missing(log: &TableLog, version: u64) {
    let at = version - version % EVERY;
    if at > 0 && log.store().head(&name(log, at)).await.is_err() {
        write_if_due(log, at).await;
    }
}

async fn write(log: &TableLog, version: u64) -> Result<(), String> {
    let shown = |error: &dyn std::fmt::Display| error.to_string();
    let table = log.delta_table(version).await.map_err(|error| shown(&error))?;
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
        if let Some(state) = read(log, at).await {
            return Some((at, state));
        }
        at = at.saturating_sub(EVERY);
    }
    // Rare enough to look at the whole folder for: only where many in a row could not be written.
    for at in versions(log).await.ok()?.into_iter().rev().filter(|at| *at <= version) {
        if let Some(state) = read(log, at).await {
            return Some((at, state));
        }
    }
    None
}

async fn read(log: &TableLog, version: u64) -> Option<State> {
    let bytes = log.store().get(&name(log, version)).await.ok()?.bytes().await.ok()?;
    let actions = tokio::task::spawn_blocking(move || actions(bytes)).await.ok()??;
    let mut state = State::default();
    state.apply(Commit { version, actions });
    Some(state)
}

/// The versions that have a checkpoint, ascending.
pub async fn versions(log: &TableLog) -> Result<Vec<u64>> {
    let names = log.names().await?;
    let of = |name: &String| -> Option<u64> { name.strip_suffix(".checkpoint.parquet")?.parse().ok() };
    Ok(names.iter().filter_map(of).collect())
}

/// The rows of a checkpoint as the actions that commits have.
fn actions(bytes: Bytes) -> Option<Vec<Value>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?;
    // Not what was removed: there may be more of that than of anything else.
    let wanted = ["add", "metaData", "protocol"];
    let roots = builder.schema().fields().iter().enumerate();
    let roots = roots.filter(|(_, field)| wanted.contains(&field.name().as_str())).map(|(at, _)| at);
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let reader = builder.with_projection(mask).build().ok()?;
    let mut lines = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut lines);
    for batch in reader {
        let batch = batch.ok()?;
        let filled = batch.columns().iter().map(|column| is_not_null(column)).collect::<Result<Vec<_>, _>>().ok()?;
        let filled = filled.into_iter().reduce(|all, one| or(&all, &one).unwrap_or(all))?;
        writer.write(&filter_record_batch(&batch, &filled).ok()?).ok()?;
    }
    writer.finish().ok()?;
    drop(writer);
    let actions: Vec<Value> =
        serde_json::Deserializer::from_slice(&lines).into_iter().collect::<Result<_, _>>().ok()?;
    // Torn or foreign: nothing that a table could be opened with.
    actions.iter().any(|action| action.get("metaData").is_some()).then_some(actions)
}
