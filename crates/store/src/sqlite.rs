//! The database: one connection that writes, a pool that reads.

use std::path::Path;
use std::sync::Arc;
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
#[derive(Clone)]
pub struct SqliteState {
    writer: SqlitePool,
    readers: SqlitePool,
    on_step: Option<OnStep>,
}

/// Called with the name of each step that [`SqliteState::STEPS`] lists; tests end the process in it.
pub type OnStep = Arc<dyn Fn(&'static str) + Send + Sync>;

impl SqliteState {
    /// The steps at which a crash is worth a test: before a transaction's first statement, after its last, and after its
    /// commit.
    pub const STEPS: [&'static str; 9] = [
        "apply-begun",
        "apply-written",
        "apply-committed",
        "verdict-begun",
        "verdict-written",
        "verdict-committed",
        "publish-begun",
        "publish-written",
        "publish-committed",
    ];

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
        Ok(Self { writer, readers, on_step: None })
    }

    /// Hears of every step from now on.
    #[must_use]
    pub fn with_steps(mut self, on_step: OnStep) -> Self {
        self.on_step = Some(on_step);
        self
    }

    pub(crate) fn step(&self, name: &'static str) {
        if let Some(on_step) = &self.on_step {
            on_step(name);
        }
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

impl std::fmt::Debug for SqliteState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteState")
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
