//! The query engine: what all statements share (caches, threads), and nothing of any one of them.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use meshwork_control::port::data::{CacheUse, PlanRequest, PlannedQuery, QueryEngine};
use meshwork_core::error::{Error, Result};
use tokio::runtime::{Builder, Handle, Runtime};

use super::footer::FooterCache;
use super::listing::ListingCache;
use super::planned;
use super::planners::Planners;
use super::snapshot::SnapshotCache;
use crate::storage::Stores;

#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where sorts and joins spill; each statement has a bounded share.
    pub spill_dir: PathBuf,
    /// Threads and partitions.
    pub cores: usize,
    /// For Parquet footers, kept between statements.
    pub metadata_cache_bytes: usize,
    /// Table versions kept open, and about how many bytes they may take.
    pub snapshots: usize,
    pub snapshot_bytes: usize,
    /// Where tables lie.
    pub stores: Arc<Stores>,
}

impl EngineConfig {
    pub fn new(spill_dir: impl Into<PathBuf>, cores: usize) -> Self {
        Self {
            spill_dir: spill_dir.into(),
            cores,
            metadata_cache_bytes: 64 << 20,
            snapshots: 256,
            snapshot_bytes: 64 << 20,
            stores: Arc::new(Stores::local()),
        }
    }
}

/// Planning and execution run on threads of its own: a heavy statement does not hold up those that serve connections, and
/// a deep one has room to recurse.
pub struct Engine {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    clock: Option<Runtime>,
}

pub struct Shared {
    pub config: EngineConfig,
    pub env: RuntimeEnv,
    pub snapshots: Arc<SnapshotCache>,
    pub footers: Arc<FooterCache>,
    pub listings: ListingCache,
    pub planners: Planners,
    pub handle: Handle,
    /// A thread of its own that only waits: the others may be too busy to look at the time.
    pub clock: Handle,
}

/// Virtual, so it costs nothing until a statement is deep.
const STACK: usize = 64 << 20;

impl Engine {
    pub fn new(config: EngineConfig) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::environment("MW0822", format!("the query engine cannot start: {error}"))
                .hint("check that the spill folder can be written")
        };
        let footers = Arc::new(FooterCache::new(config.metadata_cache_bytes));
        let cache = CacheManagerConfig::default()
            .with_file_metadata_cache(Some(footers.clone()))
            .with_metadata_cache_limit(config.metadata_cache_bytes);
        let env = RuntimeEnvBuilder::new().with_cache_manager(cache).build().map_err(|error| failed(&error))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.cores.max(1))
            .thread_name("query")
            .thread_stack_size(STACK)
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let clock = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("deadline")
            .enable_time()
            .build()
            .map_err(|error| failed(&error))?;
        let shared = Shared {
            clock: clock.handle().clone(),
            snapshots: Arc::new(SnapshotCache::new(config.snapshots, config.snapshot_bytes, config.stores.clone())),
            footers,
            listings: ListingCache::default(),
            planners: Planners::new(runtime.handle().clone(), 4 * config.cores.max(1)),
            handle: runtime.handle().clone(),
            config,
            env,
        };
        Ok(Self { shared: Arc::new(shared), runtime: Some(runtime), clock: Some(clock) })
    }

    #[cfg(test)]
    pub fn env(&self) -> &RuntimeEnv {
        &self.shared.env
    }

    pub fn snapshots(&self) -> &Arc<SnapshotCache> {
        &self.shared.snapshots
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for runtime in [self.runtime.take(), self.clock.take()].into_iter().flatten() {
            // Not waiting: a drop may come from inside another runtime.
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    /// Runs a step on the engine's threads; stops it when the caller goes away.
    pub async fn spawn<T: Send + 'static>(&self, step: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        struct Stop(tokio::task::AbortHandle);
        impl Drop for Stop {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let task = self.handle.spawn(step);
        let _stop = Stop(task.abort_handle());
        match task.await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a step of a statement did not finish");
                Err(Error::internal("MW0816", "the query engine could not run this statement")
                    .hint("write it another way; the server's log has the reason"))
            }
        }
    }
}

#[async_trait]
impl QueryEngine for Engine {
    async fn plan(&self, request: PlanRequest) -> Result<Arc<dyn PlannedQuery>> {
        let shared = Arc::clone(&self.shared);
        let (time, user) = (request.limits.time, request.catalog.user());
        let planned = self.shared.planners.plan(&user, planned::plan(shared, request));
        match tokio::time::timeout(time, planned).await {
            Ok(planned) => Ok(Arc::new(planned?)),
            Err(_) => Err(Error::limit("MW0810", "planning the statement took longer than it may")
                .hint("write it more simply: nested calls are planned slowest")),
        }
    }

    fn caches(&self) -> Vec<CacheUse> {
        let footers = &self.shared.footers;
        let (hits, misses) = footers.counts();
        let limit = self.shared.config.metadata_cache_bytes as u64;
        let footers = CacheUse { cache: "footers", hits, misses, bytes: footers.bytes(), limit };
        std::iter::once(footers).chain(self.shared.snapshots.uses()).collect()
    }
}
