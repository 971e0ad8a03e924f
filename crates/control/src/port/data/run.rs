//! Building and committing runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meshwork_core::contract::Table;
use meshwork_core::effect::Timestamp;
use meshwork_core::egress::Egress;
use meshwork_core::error::Result;
use meshwork_core::id::{MeshId, OutputId, RunId};
use meshwork_core::limits::Limits;
use meshwork_core::lineage::ColumnLineage;
use meshwork_core::mesh::{DatabaseConnection, HttpConnection, S3Connection};
use meshwork_core::name::Name;
use meshwork_core::product::{CsvOptions, Incremental, JsonOptions, Merge, Mode, OnViolation};
use meshwork_core::publication::{PublishedOutput, TableLocation, ViewInput};
use meshwork_core::quarantine::{QuarantineLimit, Rows};
use meshwork_core::run::{OutputReport, RunReport, RunTask};
use meshwork_core::storage::StorageRoot;
use serde::{Deserialize, Serialize};

use super::{GovernedTable, Sample, shown};

/// Everything a run's child process is told, over its stdin (D11). It has no handle to the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunSpec {
    pub run: RunId,
    /// `domain.product`.
    pub product: String,
    /// A compaction reads the outputs of the spec only.
    #[serde(default)]
    pub task: RunTask,
    pub fencing_token: u64,
    pub inputs: BTreeMap<String, InputSpec>,
    /// For outputs of mode `view`: the published version of each product input.
    #[serde(default)]
    pub pins: BTreeMap<String, ViewInput>,
    /// How the inputs that have it tell what is new in them.
    #[serde(default)]
    pub incremental: BTreeMap<String, Incremental>,
    pub outputs: Vec<OutputSpec>,
    /// Outputs of mode `append` and `merge` are built anew from everything there is.
    #[serde(default)]
    pub full_refresh: bool,
    /// The roots on S3 that tables of its inputs and outputs lie in, and no others.
    #[serde(default)]
    pub storage: Vec<StorageSpec>,
    /// How much of each source is read; all unless given.
    #[serde(default)]
    pub sample: Option<Sample>,
    /// Takes rows out of quarantine instead of reading the inputs.
    #[serde(default)]
    pub release: Option<ReleaseSpec>,
    pub limits: RunLimits,
    pub now: Timestamp,
}

/// How a root on S3 is reached. Its secrets are references, resolved where they are used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageSpec {
    #[serde(flatten)]
    pub root: StorageRoot,
    pub egress: Egress,
}

/// Knows the roots on S3.
#[async_trait]
pub trait StorageDirectory: Send + Sync {
    /// By the URL that tables name; `None` for one that this mesh never had.
    async fn storage(&self, url: &str) -> Result<Option<StorageSpec>>;
}

/// Asks the store behind a root on S3 for what every commit rests on.
#[async_trait]
pub trait StorageProbe: Send + Sync {
    /// That it answers these credentials, takes writes, creates an object only once, and is no other mesh's root.
    async fn probe(&self, storage: &StorageSpec, mesh: &MeshId) -> Result<()>;
}

/// Rows of one output that are to leave the quarantine of an earlier run. The other outputs stay as they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleaseSpec {
    pub of: RunId,
    pub output: OutputId,
    pub major: u32,
    /// Their files, as the run described them.
    pub files: Vec<serde_json::Value>,
    /// Rows that were released before.
    pub released: Rows,
    #[serde(default)]
    pub repaired: Option<Repaired>,
}

/// Rows as somebody has repaired them. Each names the row that it stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Repaired {
    pub format: RepairedFormat,
    pub text: String,
    /// Columns that whoever repaired them does not see as they are: the quarantined values are kept.
    pub unseen: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepairedFormat {
    Csv,
    Jsonl,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RunLimits {
    pub memory_bytes: u64,
    pub spill_bytes: u64,
    pub time: Duration,
    /// That a run may write to one output.
    #[serde(default)]
    pub rows: Option<u64>,
    pub cores: usize,
}

impl RunLimits {
    /// These, but for what `set` says.
    #[must_use]
    pub fn under(self, set: Limits) -> Self {
        Self {
            memory_bytes: set.memory_bytes.unwrap_or(self.memory_bytes),
            spill_bytes: set.spill_bytes.unwrap_or(self.spill_bytes),
            time: set.time_ms.map_or(self.time, Duration::from_millis),
            rows: set.rows.or(self.rows),
            cores: self.cores,
        }
    }

    pub fn shown(&self) -> Limits {
        shown(self.memory_bytes, self.spill_bytes, self.time, self.rows)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputSpec {
    Source(SourceSpec),
    /// Another product's output, as this product may read it.
    Governed(GovernedTable),
}

/// A source with its paths made absolute and confined (D27).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceSpec {
    Csv { files: FilesSpec, options: CsvOptions },
    Json { files: FilesSpec, options: JsonOptions },
    Parquet { files: FilesSpec },
    Avro { files: FilesSpec },
    Sqlite { files: FilesSpec, table: Option<String>, query: Option<String> },
    Delta { files: FilesSpec, version: Option<u64> },
    Mysql(DatabaseSpec),
    Postgres(DatabaseSpec),
}

/// A table or query of a database.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DatabaseSpec {
    /// Its password is a reference (`${secret:name}`), resolved in the child from `MW_SECRET_<DOMAIN>_<NAME>` or the
    /// secrets folder.
    #[serde(flatten)]
    pub connection: DatabaseConnection,
    pub table: Option<String>,
    pub query: Option<String>,
    pub egress: Egress,
}

/// Where the files of a source lie.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilesSpec {
    /// A path or glob below a folder.
    Folder { folder: PathBuf, path: String },
    /// `s3://bucket/key`, where the key may be a glob.
    S3 { url: String, connection: S3Connection, egress: Egress },
    /// One file.
    Http { url: String, connection: Option<HttpConnection>, egress: Egress },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutputSpec {
    pub output: OutputId,
    pub name: Name,
    pub major: u32,
    pub location: TableLocation,
    pub table: Table,
    pub contract_version: semver::Version,
    pub contract_digest: String,
    pub sql: String,
    /// For errors in the SQL: its file.
    pub sql_path: String,
    pub mode: Mode,
    pub key: Vec<String>,
    #[serde(default)]
    pub merge: Merge,
    pub on_violation: OnViolation,
    #[serde(default)]
    pub quarantine_limit: QuarantineLimit,
    /// The version that the current publication serves; the commit must build on it.
    pub base: Option<u64>,
    /// What the current publication serves, where that has no data files and was checked under this contract.
    #[serde(default)]
    pub served: Option<PublishedOutput>,
    /// What the publication of `base` says of it: an output that a run leaves as it is keeps it.
    #[serde(default)]
    pub resting: Option<ServedAs>,
    /// `domain.output` of every references clause, as this product may read it.
    pub references: BTreeMap<String, GovernedTable>,
}

/// Under which contract an output is served, and where its columns come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServedAs {
    pub contract_version: semver::Version,
    pub contract_digest: String,
    pub lineage: Vec<ColumnLineage>,
}

/// From the child, one JSON object a line on its stdout.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    Progress {
        output: String,
        phase: Phase,
        rows: u64,
        bytes: u64,
    },
    Log {
        level: String,
        line: String,
    },
    /// All outputs are staged and checked. The child now waits for `commit` or end of input on its stdin.
    Verdict {
        passed: bool,
        report: Box<RunReport>,
    },
    /// All Delta commits are durable: output → version.
    Committed {
        versions: BTreeMap<String, u64>,
    },
    Failed {
        error: Box<meshwork_core::Error>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Reading,
    Checking,
    Staged,
    Committing,
}

/// To hear of progress inside the run's process.
pub trait RunObserver: Send + Sync {
    fn event(&self, event: RunEvent);
}

/// How a version of a table lies in its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableLayout {
    pub files: u64,
    pub bytes: u64,
    pub small_files: u64,
    pub small_bytes: u64,
    /// Whether so many are small that a compaction would do something.
    pub compact: bool,
}

/// What a vacuum of a table removed, or would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vacuumed {
    /// Data files and leftovers of interrupted writes.
    pub files: Vec<StoredFile>,
    /// Entries of the log and old checkpoints.
    pub log: Vec<StoredFile>,
}

/// A file in a table's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    pub path: String,
    pub bytes: u64,
}

#[async_trait]
pub trait RunEngine: Send + Sync {
    /// Builds, writes unreferenced files and answers every clause. Commits nothing.
    async fn stage(&self, spec: &RunSpec, observer: Arc<dyn RunObserver>) -> Result<RunReport>;
    /// Commits staged outputs; idempotent: an output that this run has already committed keeps its version.
    /// Returns the Delta version of each output, in order.
    async fn commit(&self, run: &RunId, outputs: &[OutputReport]) -> Result<Vec<u64>>;
    /// The versions that this run has committed, if any: for recovery.
    async fn committed(&self, run: &RunId, outputs: &[OutputReport]) -> Result<Vec<Option<u64>>>;
    /// Removes files in a table's folder that no version within retention refers to, and staging leftovers. The caller
    /// holds the product's lease. Returns what was removed.
    async fn collect(&self, location: &TableLocation, keep_versions: &[u64]) -> Result<Vec<String>>;
    /// How a version lies in its files, from the log.
    async fn layout(&self, location: &TableLocation, version: u64) -> Result<TableLayout>;
    /// As `collect`, and the part of the table's log that no kept version needs, after a checkpoint. With `dry_run` it only
    /// says what would go.
    async fn vacuum(&self, location: &TableLocation, keep_versions: &[u64], dry_run: bool) -> Result<Vacuumed>;
    /// Removes a table that nobody needs any more: its log, then its files. With `dry_run` it only says what would go.
    /// Errors: MW0630 for one that others have written to.
    async fn remove_table(&self, location: &TableLocation, dry_run: bool) -> Result<Vacuumed>;
    /// Removes what runs have set aside of this table, all but that of these runs. The caller holds the product's lease.
    async fn collect_quarantine(&self, location: &TableLocation, keep: &[RunId]) -> Result<Vec<String>>;
    /// Removes what one run has set aside; `location` is that of the quarantine.
    async fn remove_quarantine(&self, location: &TableLocation, run: &RunId) -> Result<()>;
    /// Commits in the folder that are not publications of ours (D4), for `doctor` and `drift`.
    async fn foreign_commits(&self, location: &TableLocation, known: &[u64]) -> Result<Vec<u64>>;
}
