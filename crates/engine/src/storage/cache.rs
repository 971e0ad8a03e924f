//! States of tables' logs, kept between looks at them: the next version costs the commits that came since.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::TryStreamExt;
use meshwork_core::Result;

use super::log::{State, TableLog};

/// The newest state that was seen of each table, the least recently used leave first.
#[derive(Debug)]
pub struct LogCache {
    limit: usize,
    entries: Mutex<VecDeque<Entry>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    url: String,
    version: u64,
    state: Arc<State>,
}

impl LogCache {
    /// `limit`: about how many bytes the states may take.
    pub fn new(limit: usize) -> Self {
        Self { limit, entries: Mutex::default(), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// The table at a version.
    pub async fn state(&self, log: &TableLog, version: u64) -> Result<Arc<State>> {
        let near = |known: u64| known <= version && version - known <= super::checkpoint::EVERY;
        let Some((known, mut state)) = self.known(log.url()).filter(|(known, _)| near(*known)) else {
            self.misses.fetch_add(1, Ordering::Relaxed);
            let state = Arc::new(log.replay(version).await?);
            self.put(log.url(), version, &state);
            return Ok(state);
        };
        self.hits.fetch_add(1, Ordering::Relaxed);
        let mut commits = log.commits(known + 1..=version);
        while let Some(commit) = commits.try_next().await? {
            Arc::make_mut(&mut state).apply(commit);
        }
        self.put(log.url(), version, &state);
        Ok(state)
    }

    /// The newest version that was seen of a table.
    pub fn known(&self, url: &str) -> Option<(u64, Arc<State>)> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().find(|entry| entry.url == url).map(|entry| (entry.version, Arc::clone(&entry.state)))
    }

    pub fn put(&self, url: &str, version: u64, state: &Arc<State>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = entries.iter().position(|entry| entry.url == url) {
            if entries[at].version > version {
                return;
            }
            entries.remove(at);
        }
        entries.push_back(Entry { url: url.to_owned(), version, state: Arc::clone(state) });
        let mut bytes: usize = entries.iter().map(|entry| entry.state.bytes()).sum();
        while bytes > self.limit
            && let Some(entry) = entries.pop_front()
        {
            bytes -= entry.state.bytes();
        }
    }

    /// Of a table that is gone.
    pub fn forget(&self, url: &str) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).retain(|entry| entry.url != url);
    }

    pub fn bytes(&self) -> u64 {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|entry| entry.state.bytes() as u64).sum()
    }

    pub fn limit(&self) -> u64 {
        self.limit as u64
    }

    /// How often a state was there, and how often not.
    pub fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}
