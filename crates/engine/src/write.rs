//! Runs: build, check, stage, commit, recover, collect (D4 to D6, D9, D10).
//!
//! Invariant: nothing here makes data visible. Staging writes files that no log refers to; a commit adds a version that
//! no reader resolves until the control plane has recorded its publication.

mod actions;
mod append;
mod check;
mod collect;
mod commit;
mod compact;
mod convert;
mod files;
pub mod format;
mod fresh;
mod ground;
mod input;
mod merge;
mod origin;
mod position;
mod profile;
mod quarantine;
mod rule;
mod sample;
mod schema;
pub(crate) mod session;
mod set;
mod sink;
mod stage;
mod vacuum;
mod yields;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use meshwork_control::port::data::{GovernedTable, RunEngine, RunObserver, RunSpec, TableLayout, Vacuumed};
use meshwork_core::Result;
use meshwork_core::effect::Clock;
use meshwork_core::id::RunId;
use meshwork_core::publication::TableLocation;
use meshwork_core::run::{OutputReport, RunReport, RunTask};

pub use append::{Append, Appended};
pub(crate) use check::{Pass, counted, describe_metric, error as unchecked, measure, result, threshold};
pub(crate) use convert::{convertible, texts};
pub(crate) use origin::is_carried;

use crate::failpoint::FailPoint;
use crate::read::secured;
use crate::read::snapshot::SnapshotCache;
use crate::source::Secrets;
use crate::storage::{LogCache, Stores};

/// How the writer works. Made by the binary; the engine itself reads no environment.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// Flush files and folders to the disk (D10). Off only for benchmarks.
    pub durable: bool,
    /// The run's own folder for what does not fit in memory.
    pub scratch: PathBuf,
    pub secrets: Secrets,
    pub fail_point: Option<FailPoint>,
    /// Size at which a data file is closed and the next one begun.
    pub file_bytes: u64,
    pub row_group_rows: usize,
    /// From this many small files on, a run that grows a table writes them together.
    pub small_files: usize,
    /// From this many on, a task of its own does.
    pub compact_from: usize,
    /// How long a commit goes on after others came before it.
    pub commit_time: Duration,
    pub clock: Arc<dyn Clock>,
    /// Opened versions of other products' tables.
    pub snapshots: Arc<SnapshotCache>,
    /// Logs of tables that are appended to.
    pub logs: Arc<LogCache>,
    /// Where tables lie.
    pub stores: Arc<Stores>,
}

impl WriterConfig {
    pub fn new(scratch: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self::over(Arc::new(Stores::local()), scratch, clock)
    }

    pub fn over(stores: Arc<Stores>, scratch: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self {
            durable: true,
            scratch,
            secrets: Secrets::default(),
            fail_point: None,
            file_bytes: 256 << 20,
            row_group_rows: 512 << 10,
            small_files: 32,
            compact_from: 8,
            commit_time: Duration::from_secs(30),
            clock,
            snapshots: Arc::new(SnapshotCache::new(64, 16 << 20, Arc::clone(&stores))),
            logs: Arc::new(LogCache::new(16 << 20)),
            stores,
        }
    }
}

/// The data plane's writing half.
#[derive(Clone, Debug)]
pub struct Writer {
    config: Arc<WriterConfig>,
}

impl Writer {
    pub fn new(config: WriterConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// Appends a batch to a table and commits it, beside any number of others who do the same.
    pub async fn append(&self, append: &Append) -> Result<Appended> {
        append::append(&self.config, append).await
    }
}

/// Another product's output, as this product may read it: through the one governed read path.
async fn governed(table: &GovernedTable, config: &WriterConfig) -> Result<Arc<dyn TableProvider>> {
    Ok(secured::provider(table, &config.snapshots).await?)
}

#[async_trait]
impl RunEngine for Writer {
    async fn stage(&self, spec: &RunSpec, observer: Arc<dyn RunObserver>) -> Result<RunReport> {
        let (config, spec) = (Arc::clone(&self.config), spec.clone());
        match spec.task {
            RunTask::Build => stage::stage(config, spec, observer).await,
            RunTask::Compact => compact::stage(config, spec, observer).await,
        }
    }

    async fn commit(&self, run: &RunId, outputs: &[OutputReport]) -> Result<Vec<u64>> {
        commit::commit(&self.config, run, outputs).await
    }

    async fn committed(&self, run: &RunId, outputs: &[OutputReport]) -> Result<Vec<Option<u64>>> {
        commit::committed(&self.config, run, outputs).await
    }

    async fn collect(&self, location: &TableLocation, keep_versions: &[u64]) -> Result<Vec<String>> {
        collect::collect(&self.config, location, keep_versions).await
    }

    async fn layout(&self, location: &TableLocation, version: u64) -> Result<TableLayout> {
        compact::layout(&self.config, location, version).await
    }

    async fn vacuum(&self, location: &TableLocation, keep_versions: &[u64], dry_run: bool) -> Result<Vacuumed> {
        vacuum::vacuum(&self.config, location, keep_versions, dry_run).await
    }

    async fn remove_table(&self, location: &TableLocation, dry_run: bool) -> Result<Vacuumed> {
        vacuum::remove_table(&self.config, location, dry_run).await
    }

    async fn collect_quarantine(&self, location: &TableLocation, keep: &[RunId]) -> Result<Vec<String>> {
        quarantine::collect(&self.config, location, keep).await
    }

    async fn remove_quarantine(&self, location: &TableLocation, run: &RunId) -> Result<()> {
        quarantine::remove(&self.config, location, run).await
    }

    async fn foreign_commits(&self, location: &TableLocation, known: &[u64]) -> Result<Vec<u64>> {
        commit::foreign(&self.config, location, known).await
    }
}

/// An error of ours that DataFusion carried.
#[cfg(test)]
pub(crate) fn own_error(error: &datafusion::error::DataFusionError) -> Option<meshwork_core::Error> {
    session::own(error)
}

#[cfg(test)]
mod tests;
