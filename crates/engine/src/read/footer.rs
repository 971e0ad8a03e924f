//! The cache of Parquet footers, with a count of how often it helped. Data files are never rewritten under their name, so
//! nothing in it grows stale.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datafusion::common::TableReference;
use datafusion::execution::cache::cache_manager::CachedFileMetadataEntry;
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::execution::cache::{Cache, CacheEntryInfo};
use object_store::path::Path;

type Footers = DefaultCache<Path, CachedFileMetadataEntry>;

pub struct FooterCache {
    inner: Footers,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl FooterCache {
    pub fn new(bytes: usize) -> Self {
        Self { inner: Footers::new(bytes), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// How often a footer was there, and how often not.
    pub fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    pub fn bytes(&self) -> u64 {
        self.inner.list_entries().values().map(|entry| entry.size_bytes as u64).sum()
    }
}

impl Cache<Path, CachedFileMetadataEntry> for FooterCache {
    fn get(&self, key: &Path) -> Option<CachedFileMetadataEntry> {
        let found = self.inner.get(key);
        let count = if found.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn put(&self, key: &Path, value: CachedFileMetadataEntry) -> Option<CachedFileMetadataEntry> {
        self.inner.put(key, value)
    }

    fn remove(&self, key: &Path) -> Option<CachedFileMetadataEntry> {
        self.inner.remove(key)
    }

    fn contains_key(&self, key: &Path) -> bool {
        self.inner.contains_key(key)
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn clear(&self) {
        self.inner.clear();
    }

    fn name(&self) -> String {
        "footers".to_owned()
    }

    fn cache_limit(&self) -> usize {
        self.inner.cache_limit()
    }

    fn update_cache_limit(&self, limit: usize) {
        self.inner.update_cache_limit(limit);
    }

    fn cache_ttl(&self) -> Option<Duration> {
        self.inner.cache_ttl()
    }

    fn update_cache_ttl(&self, ttl: Option<Duration>) {
        self.inner.update_cache_ttl(ttl);
    }

    fn drop_table_entries(&self, table: &TableReference) -> datafusion::common::Result<()> {
        self.inner.drop_table_entries(table)
    }

    fn list_entries(&self) -> datafusion::common::HashMap<Path, CacheEntryInfo<CachedFileMetadataEntry>> {
        self.inner.list_entries()
    }
}
