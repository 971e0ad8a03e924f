//! Compaction: many small files become few larger ones. No row changes, so a reader of the table sees the same.
//!
//! A run that grows a table does it in its own commit; a task of its own does it for tables that are not run.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::Schema;
use deltalake_core::kernel::StructType;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow;
use meshwork_control::port::data::{OutputSpec, Phase, RunEvent, RunLimits, RunObserver, RunSpec, TableLayout};
use meshwork_core::effect::Timestamp;
use meshwork_core::publication::{Body, TableLocation};
use meshwork_core::run::{OutputReport, RunReport};
use meshwork_core::{Error, Result};
use serde_json::Value;

use super::WriterConfig;
use super::actions::{Author, Content, Declared, Operation, Staged, commit, table_id};
use super::files::{DataFiles, rows_of};
use super::ground::newest;
use super::position;
use super::schema::file_schema;
use super::session::{self, Way};
use super::sink::{Sink, Written};
use crate::failpoint;
use crate::storage::log::{State, TableLog};

/// Rows that have moved.
pub struct Compacted {
    /// `add` actions of the files that hold them now.
    pub adds: Vec<Value>,
    /// Paths of those that held them.
    pub moved: BTreeSet<String>,
}

/// Writes the small ones of these files together and takes them out of the list, if there are as many as `least`.
pub async fn small_files(
    sink: &Sink,
    limits: &RunLimits,
    now: Timestamp,
    way: Way,
    files: &mut Vec<Value>,
    least: usize,
) -> Result<Option<Compacted>> {
    let is_small = |add: &Value| is_small(&sink.config, size(add));
    if files.iter().filter(|add| is_small(add)).count() < least.max(2) {
        return Ok(None);
    }
    let (small, large): (Vec<Value>, Vec<Value>) = std::mem::take(files).into_iter().partition(is_small);
    *files = large;
    // Not more streams than files that shall come of it.
    let bytes: u64 = small.iter().map(size).sum();
    let streams = usize::try_from(bytes / sink.config.file_bytes.max(1) + 1).unwrap_or(usize::MAX);
    let limits = RunLimits { cores: limits.cores.min(streams), ..*limits };
    let context = session::session(&limits, &sink.config.scratch, now, way)?;
    let failed = |error| session::execution_error(&error, &sink.what);
    let table = DataFiles::of(&sink.log, &sink.schema, &small)?;
    let rows = context.read_table(Arc::new(table)).map_err(failed)?;
    let streams = rows.execute_stream_partitioned().await.map_err(failed)?;
    let adds = sink.write_all(streams).await?;
    let moved = small.iter().filter_map(|add| Some(add.get("path")?.as_str()?.to_owned())).collect();
    Ok(Some(Compacted { adds, moved }))
}

/// How a version lies in its files.
pub async fn layout(config: &WriterConfig, location: &TableLocation, version: u64) -> Result<TableLayout> {
    let log = TableLog::open(&config.stores, location, config.durable).await?;
    let state = config.logs.state(&log, version).await?;
    let mut layout = TableLayout::default();
    for bytes in state.adds().map(size) {
        (layout.files, layout.bytes) = (layout.files + 1, layout.bytes + bytes);
        if is_small(config, bytes) {
            (layout.small_files, layout.small_bytes) = (layout.small_files + 1, layout.small_bytes + bytes);
        }
    }
    layout.compact = layout.small_files >= config.compact_from.max(2) as u64;
    Ok(layout)
}

fn is_small(config: &WriterConfig, bytes: u64) -> bool {
    bytes < config.file_bytes / 8
}

fn size(add: &Value) -> u64 {
    add.get("size").and_then(Value::as_u64).unwrap_or(0)
}

/// The task of its own: every output of the spec that has been published, as it is.
pub async fn stage(config: Arc<WriterConfig>, spec: RunSpec, observer: Arc<dyn RunObserver>) -> Result<RunReport> {
    failpoint::pass(config.fail_point.as_ref(), "stage-start").await?;
    let mut report = RunReport::default();
    let written = Written::default();
    for output in &spec.outputs {
        let done = one(&config, &spec, output, &written).await;
        let (staged, state) = match done {
            Ok(Some(done)) => done,
            Ok(None) => continue,
            Err(error) => {
                written.discard().await;
                return Err(error);
            }
        };
        let rows = state.adds().map(rows_of).sum();
        let bytes = state.adds().map(size).sum();
        let name = output.name.to_string();
        observer.event(RunEvent::Progress { output: name.clone(), phase: Phase::Staged, rows, bytes });
        report.outputs.push(OutputReport {
            output: output.output.clone(),
            name,
            major: output.major,
            contract_version: output.contract_version.clone(),
            contract_digest: output.contract_digest.clone(),
            location: output.location.clone(),
            rows,
            bytes,
            changes: None,
            rebuilt: false,
            quarantine: None,
            release: None,
            clauses: Vec::new(),
            profile: Vec::new(),
            lineage: Vec::new(),
            body: Body::Stored,
            staged: Some(staged.to_value(&output.name)?),
        });
    }
    let unchanged = |output: &OutputReport| {
        output.staged.as_ref().and_then(|staged| Staged::read(staged).ok()).is_none_or(|staged| staged.is_unchanged())
    };
    report.unchanged = report.outputs.iter().all(unchanged);
    failpoint::pass(config.fail_point.as_ref(), "after-stage").await?;
    Ok(report)
}

/// What is to be committed, and the table as it will be. `None` for one that was never published.
async fn one(
    config: &Arc<WriterConfig>,
    spec: &RunSpec,
    output: &OutputSpec,
    written: &Written,
) -> Result<Option<(Staged, State)>> {
    let Some(base) = output.base else { return Ok(None) };
    let log = TableLog::open(&config.stores, &output.location, config.durable).await?;
    let newest = match newest(&log, output).await? {
        Some(version) => (version, log.replay(version).await?),
        None => return Ok(None),
    };
    let served = log.replay(base).await?;
    let (mark, stored) = position::read(&log, base).await?;
    let what = format!("output `{}`", output.name);
    let schema =
        declared(&served).ok_or_else(|| Error::environment("MW0623", format!("{what}: its log has no schema")))?;
    let sink = Sink { config: Arc::clone(config), log, schema: file_schema(&schema), written: written.clone(), what };
    let mut kept: Vec<Value> = served.adds().cloned().collect();
    let compacted = small_files(&sink, &spec.limits, spec.now, Way::Fast, &mut kept, config.compact_from).await?;
    let Some(Compacted { adds, moved }) = compacted else { return Ok(Some((Staged::unchanged(base), served))) };
    failpoint::pass(config.fail_point.as_ref(), "after-compaction").await?;
    let content = Content {
        operation: Operation::Optimize,
        kept,
        added: Vec::new(),
        compacted: adds,
        moved,
        contract: mark.contract.clone(),
        base: Some(base),
        position: stored.as_ref().map(|stored| stored.position.to_store(Some(stored))),
        same_since: Some(mark.same_since.unwrap_or(base)),
        external: None,
    };
    let author =
        Author { run: spec.run.as_str(), product: &spec.product, fencing_token: spec.fencing_token, at: spec.now };
    let id = table_id(output.output.as_str(), output.major);
    let staged = commit(newest.0 + 1, Some(&newest.1), &id, Declared::As(&served), content, author);
    let mut state = newest.1;
    staged.apply_to(&mut state);
    Ok(Some((staged, state)))
}

/// The schema that a table declares.
fn declared(state: &State) -> Option<Schema> {
    let text = state.metadata.as_ref()?.get("schemaString")?.as_str()?;
    let declared: StructType = serde_json::from_str(text).ok()?;
    (&declared).try_into_arrow().ok()
}
