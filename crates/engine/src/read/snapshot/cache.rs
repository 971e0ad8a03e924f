//! Versions of tables that are kept open.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use meshwork_control::port::data::{CacheUse, StorageSpec};
use meshwork_core::error::Result;
use meshwork_core::publication::TableLocation;

use super::{Snapshot, load, unopened};
use crate::read::external::{self, Reach};
use crate::storage::bucket::Bucket;
use crate::storage::{LogCache, Stores, TableLog};

/// Snapshots by (url, version), the least recently used leave first.
#[derive(Debug)]
pub struct SnapshotCache {
    capacity: usize,
    limit: usize,
    stores: Arc<Stores>,
    entries: Mutex<VecDeque<(Key, Arc<Snapshot>)>>,
    logs: LogCache,
    hits: AtomicU64,
    misses: AtomicU64,
}

type Key = (String, u64);

impl SnapshotCache {
    /// At most so many, and at most about so many bytes of them; as many bytes again for the logs that they come from.
    pub fn new(capacity: usize, limit: usize, stores: Arc<Stores>) -> Self {
        Self {
            capacity: capacity.max(1),
            limit,
            stores,
            entries: Mutex::default(),
            logs: LogCache::new(limit),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub async fn open(&self, location: &TableLocation, version: u64) -> Result<Arc<Snapshot>> {
        let key = (location.url(), version);
        let bucket = self.bucket_of(location).await?;
        match self.cached(&key, |snapshot| snapshot.site.is_through(bucket.as_deref())) {
            Some(found) => Ok(found),
            None => Ok(self.keep(key, load(&self.stores, location, version, &self.logs).await?)),
        }
    }

    /// The files of others that a version registered, in the bucket that they lie in. The table's own store has only the
    /// list of them.
    pub async fn open_external(
        &self,
        location: &TableLocation,
        version: u64,
        source: Option<&StorageSpec>,
    ) -> Result<Arc<Snapshot>> {
        let reach = match source {
            None => Reach::Here,
            Some(source) => self.reach(source).await?,
        };
        let key = (location.url(), version);
        let same = |snapshot: &Snapshot| snapshot.external.as_ref().is_some_and(|pinned| pinned.reach().is(&reach));
        match self.cached(&key, same) {
            Some(found) => Ok(found),
            None => Ok(self.keep(key, external::load(&self.stores, location, version, reach).await?)),
        }
    }

    /// What is known of a table that is gone.
    pub fn forget(&self, url: &str) {
        self.lock().retain(|((known, _), _)| known != url);
        self.logs.forget(url);
    }

    async fn bucket_of(&self, location: &TableLocation) -> Result<Option<Arc<Bucket>>> {
        self.stores.bucket_of(location).await.map_err(|error| {
            tracing::error!(url = location.url(), %error, "a storage root cannot be opened");
            unopened()
        })
    }

    async fn reach(&self, source: &StorageSpec) -> Result<Reach> {
        let bucket = self.stores.source(source).await.map_err(|error| {
            tracing::error!(url = source.root.storage.url, %error, "the bucket of an external table cannot be opened");
            unopened()
        })?;
        Ok(Reach::Bucket(Arc::clone(&bucket.objects)))
    }

    fn cached(&self, key: &Key, holds: impl Fn(&Snapshot) -> bool) -> Option<Arc<Snapshot>> {
        let found = self.found(key, holds);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn keep(&self, key: Key, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        let mut entries = self.lock();
        entries.push_back((key, Arc::clone(&snapshot)));
        let mut bytes: usize = entries.iter().map(|(_, snapshot)| snapshot.bytes()).sum();
        while (entries.len() > self.capacity || bytes > self.limit)
            && let Some((_, oldest)) = entries.pop_front()
        {
            bytes -= oldest.bytes();
        }
        snapshot
    }

    /// Files that no log lists; not kept.
    pub async fn of_files(&self, location: &TableLocation, adds: &[serde_json::Value]) -> Result<Snapshot> {
        let log = TableLog::open(&self.stores, location, false).await?;
        Snapshot::of_files(&log, adds).await
    }

    fn found(&self, key: &Key, holds: impl Fn(&Snapshot) -> bool) -> Option<Arc<Snapshot>> {
        let mut entries = self.lock();
        let at = entries.iter().position(|(known, _)| known == key)?;
        let entry = entries.remove(at)?;
        if !holds(&entry.1) {
            return None;
        }
        let snapshot = Arc::clone(&entry.1);
        entries.push_back(entry);
        Some(snapshot)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Key, Arc<Snapshot>)>> {
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How the snapshots and the logs that they come from are used.
    pub fn uses(&self) -> [CacheUse; 2] {
        let bytes = self.lock().iter().map(|(_, snapshot)| snapshot.bytes() as u64).sum();
        let (hits, misses) = (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed));
        let snapshots = CacheUse { cache: "snapshots", hits, misses, bytes, limit: self.limit as u64 };
        let (hits, misses) = self.logs.counts();
        let logs = CacheUse { cache: "logs", hits, misses, bytes: self.logs.bytes(), limit: self.logs.limit() };
        [snapshots, logs]
    }
}
