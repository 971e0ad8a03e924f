//! The database: one connection that writes, a pool that reads.

use std::path::Path;
use std::time::Duration;

use meshwork_core::error::Result;
use meshwork_core::id::Ids;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Sqlite, SqlitePool, Transaction};

use crate::fault::{self, fault};
use crate::schema;

const READERS: u32 = 4;
const BUSY: Duration = Duration::from_secs(5);
const ACQUIRE: Duration = Duration::from_secs(10);

/// The control plane's state. Cheap to clone. Whoever opens it for writing holds the folder's `StateLock`.
#[derive(Clone, Debug)]
pub struct SqliteState {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteState {
    /// Opens the state file, creating or migrating it as needed; a new state gets its mesh id from `ids`.
    ///
    /// Errors: MW0401 (cannot be opened), MW0402 (written by a newer version), MW0403 (not a state).
    pub async fn open(path: &Path, ids: Ids<'_>) -> Result<Self> {
        create_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .disable_statement_logging();
        let opening = |error| fault::opening(path, &error);
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(ACQUIRE)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        // One connection, so that writers wait for each other here instead of meeting SQLITE_BUSY.
        let writer = pool().max_connections(1).connect_with(options.clone()).await.map_err(opening)?;
        schema::migrate(&writer, path, ids).await?;
        let reading = options.pragma("query_only", "ON");
        let readers = pool().max_connections(READERS).connect_with(reading).await.map_err(opening)?;
        Ok(Self { writer, readers })
    }

    /// Ends all connections and folds the write-ahead log into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// A transaction that holds the write lock from its start, so that what it reads stays true until it commits.
    /// Dropped without `commit`, it leaves nothing.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Sqlite>> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(fault)
    }
}

/// Only the owner may read the state: it holds hashes of credentials and keys. SQLite gives its side files the same mode.
fn create_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|error| fault::io("MW0401", path, &error))
}
