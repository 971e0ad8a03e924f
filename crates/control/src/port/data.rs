//! The data plane: planning and answering governed queries, building and committing runs. Implemented by `engine`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::Stream;
use meshwork_core::contract::Table;
use meshwork_core::effect::Timestamp;
use meshwork_core::egress::Egress;
use meshwork_core::error::{Diagnostic, Place, Result};
use meshwork_core::filter::RowFilter;
use meshwork_core::id::{ColumnId, MeshId, OutputId, RunId};
use meshwork_core::limits::Limits;
use meshwork_core::lineage::{ColumnLineage, Inherited};
use meshwork_core::mask::Mask;
use meshwork_core::mesh::{DatabaseConnection, HttpConnection, S3Connection};
use meshwork_core::name::Name;
use meshwork_core::product::{CsvOptions, Incremental, JsonOptions, Merge, Mode, OnViolation};
use meshwork_core::publication::{PublishedOutput, TableLocation, ViewColumn, ViewInput};
use meshwork_core::quarantine::{QuarantineLimit, Rows};
use meshwork_core::run::{OutputReport, RunReport, RunTask};
pub use meshwork_core::sample::Sample;
use meshwork_core::storage::StorageRoot;
use meshwork_core::types::ColumnType;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

// ---------------------------------------------------------------------------------------------------------------- read

/// One table as one principal may read it now: the pinned version and what stands between it and the reader.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GovernedTable {
    pub domain: Name,
    pub output: Name,
    pub output_id: OutputId,
    pub major: u32,
    pub location: TableLocation,
    pub delta_version: u64,
    /// In table order. A column outside the grant is not listed here but in `withheld`.
    pub columns: Vec<GovernedColumn>,
    /// Columns that exist but are not granted: naming one is 42501, not "unknown column" (D15).
    pub withheld: Vec<String>,
    /// On raw values of any column of the table, listed or withheld.
    pub rows: RowFilter,
    /// Over everything that decided this: same digest, same obligations (D17).
    pub decision_digest: String,
    pub valid_until: Option<Timestamp>,
    #[serde(default)]
    pub body: GovernedBody,
}

/// What the rows of a table come from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GovernedBody {
    /// The data files of its version.
    #[default]
    Stored,
    /// Files of others, which the log of its version lists, and the bucket that they lie in.
    External(Option<Box<StorageSpec>>),
    View(Box<GovernedView>),
    /// Not the published rows but files, by their actions, that hold rows which runs have set aside: only ever for
    /// `quarantine show`.
    SetAside(Vec<serde_json::Value>),
}

/// A view with the tables that it reads, as its product may read them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GovernedView {
    pub sql: String,
    /// What `now()` is in it.
    pub now: Timestamp,
    /// What it was checked to yield, beside columns that nobody asked for.
    pub columns: Vec<ViewColumn>,
    /// By the name of the input.
    pub inputs: BTreeMap<String, GovernedTable>,
}

impl GovernedTable {
    /// Over what a reader gets to see of the table, and not over who granted it or until when: readers to whom this is the
    /// same see the same rows of a version.
    pub fn effect(&self) -> String {
        let columns =
            self.columns.iter().map(|c| (&c.id, &c.name, &c.native, c.mask.as_ref().map(|m| m.mask), &c.bears));
        let facts = serde_json::json!([1, columns.collect::<Vec<_>>(), self.withheld, self.rows]);
        Sha256::digest(facts.to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The tables that reading it reads, beside itself.
    pub fn below(&self) -> Vec<&Self> {
        let GovernedBody::View(view) = &self.body else { return Vec::new() };
        view.inputs.values().flat_map(|table| std::iter::once(table).chain(table.below())).collect()
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GovernedColumn {
    pub id: ColumnId,
    pub name: String,
    pub native: ColumnType,
    /// As stored; a masked column is always declared nullable.
    pub nullable: bool,
    #[serde(default)]
    pub mask: Option<ColumnMask>,
    /// Classifications with the masks that values bear when they leave the barrier: input to lineage (D19).
    #[serde(default)]
    pub bears: Vec<Inherited>,
}

/// A mask with its key material. `key` is HMAC key or query-local salt; empty for unkeyed masks. Never logged or shown.
#[derive(Clone, Serialize, Deserialize)]
pub struct ColumnMask {
    pub mask: Mask,
    pub key: Vec<u8>,
}

impl std::fmt::Debug for ColumnMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ColumnMask({:?})", self.mask)
    }
}

/// What a principal sees in listings (`information_schema`, `pg_catalog`): only what is queryable (D15).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedTable {
    pub domain: Name,
    /// `orders` or `orders_v1`.
    pub table: String,
    pub description: Option<String>,
    /// Name, type, nullable (true when masked), description.
    pub columns: Vec<ListedColumn>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedColumn {
    pub name: String,
    pub native: ColumnType,
    pub nullable: bool,
    pub description: Option<String>,
}

/// The tables of one principal for one statement. Implemented by `control::query`; asked by the engine while it plans.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// `table` as written in SQL: `orders` or `orders_v1`. `Ok(None)`: not discoverable or unknown, which is the same
    /// to the caller (42P01). `Err(Kind::Forbidden)`: discoverable but not granted (42501 with the request command).
    async fn resolve(&self, domain: &str, table: &str, as_of: Option<Timestamp>) -> Result<Option<GovernedTable>>;
    async fn list(&self) -> Result<Vec<ListedTable>>;
    /// Shown by `current_user`.
    fn user(&self) -> String;
}

#[derive(Clone)]
pub struct PlanRequest {
    pub sql: String,
    pub catalog: Arc<dyn Catalog>,
    /// Default moment for every table of the statement (`SET meshwork.as_of`, `--as-of`); `FOR SYSTEM_TIME` overrides it.
    pub as_of: Option<Timestamp>,
    /// Of `$1`, `$2`, … as the client says; used where the statement itself does not tell.
    pub parameter_types: Vec<Option<DataType>>,
    pub limits: QueryLimits,
    /// Now, for `now()` and `current_date`.
    pub now: Timestamp,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct QueryLimits {
    pub memory_bytes: u64,
    pub spill_bytes: u64,
    pub time: Duration,
    /// Rows returned; `None` for no limit.
    pub rows: Option<u64>,
    pub sql_bytes: usize,
}

impl QueryLimits {
    /// These, but for what `set` says.
    #[must_use]
    pub fn under(self, set: Limits) -> Self {
        Self {
            memory_bytes: set.memory_bytes.unwrap_or(self.memory_bytes),
            spill_bytes: set.spill_bytes.unwrap_or(self.spill_bytes),
            time: set.time_ms.map_or(self.time, Duration::from_millis),
            rows: set.rows.or(self.rows),
            sql_bytes: self.sql_bytes,
        }
    }

    pub fn shown(&self) -> Limits {
        shown(self.memory_bytes, self.spill_bytes, self.time, self.rows)
    }
}

fn shown(memory: u64, spill: u64, time: Duration, rows: Option<u64>) -> Limits {
    let time_ms = u64::try_from(time.as_millis()).ok();
    Limits { memory_bytes: Some(memory), spill_bytes: Some(spill), time_ms, rows }
}

/// A table that the plan reads, from the plan's providers, not from names in the SQL (D23).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableUse {
    pub domain: Name,
    pub output: Name,
    pub output_id: OutputId,
    pub major: u32,
    pub delta_version: u64,
    pub columns: Vec<String>,
    pub masked: Vec<String>,
    pub filtered: bool,
    pub decision_digest: String,
    pub valid_until: Option<Timestamp>,
    /// Of a view: what its product reads for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub below: Vec<TableUse>,
}

impl TableUse {
    /// With all tables below it.
    pub fn whole(&self) -> Vec<&Self> {
        std::iter::once(self).chain(self.below.iter().flat_map(Self::whole)).collect()
    }
}

/// A planned, attested statement. Nothing has been read yet.
#[async_trait]
pub trait PlannedQuery: Send + Sync {
    fn schema(&self) -> SchemaRef;
    /// `$1`, `$2`, … in order; `None` where the planner could not infer a type (text is then assumed).
    fn parameters(&self) -> Vec<Option<arrow::datatypes::DataType>>;
    fn tables(&self) -> &[TableUse];
    /// Runs it. Dropping the stream cancels it. Values bind to `$n`, each a one-row array.
    async fn execute(&self, values: Vec<arrow::array::ArrayRef>) -> Result<BatchStream>;
}

#[async_trait]
pub trait QueryEngine: Send + Sync {
    /// Parses (exactly one statement; only queries, EXPLAIN and what the catalog emulation needs), guards length and
    /// depth, plans in a fresh session whose catalog holds only governed tables, attests the physical plan.
    async fn plan(&self, request: PlanRequest) -> Result<Arc<dyn PlannedQuery>>;
    /// How its caches are used.
    fn caches(&self) -> Vec<CacheUse> {
        Vec::new()
    }
}

/// A cache since the process began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheUse {
    pub cache: &'static str,
    pub hits: u64,
    pub misses: u64,
    /// What it holds now, about, and may hold.
    pub bytes: u64,
    pub limit: u64,
}

// --------------------------------------------------------------------------------------------------------------- check

/// What `check` can learn about a transformation without data: whether it plans, and which columns it produces.
#[derive(Clone, Debug)]
pub struct SqlCheck {
    pub sql: String,
    /// Where the SQL stands, so that errors point into it.
    pub place: Place,
    /// Input name → columns, where known; an input with `None` (a source without a contract) accepts any column.
    pub inputs: BTreeMap<String, Option<Vec<(String, ColumnType)>>>,
    pub produces: Table,
    pub mode: Mode,
    /// Columns that only serve the merge may be yielded beside those of the contract.
    pub merge: Merge,
}

pub trait SqlChecker: Send + Sync {
    /// Errors with line and column inside the SQL file: does not parse, unknown input or column (did you mean), a
    /// contract column that is not produced, a type that cannot be stored as declared, a statement that is not a query.
    fn check_sql(&self, check: &SqlCheck) -> Vec<Diagnostic>;
    /// A quality clause's query over `{table}` and `{batch}`.
    fn check_clause_sql(&self, query: &str, place: &Place, table: &Table) -> Vec<Diagnostic>;
}

// ----------------------------------------------------------------------------------------------------------------- run

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
    /// Removes what runs have set aside of this table, all but that of these runs. The caller holds the product's lease.
    async fn collect_quarantine(&self, location: &TableLocation, keep: &[RunId]) -> Result<Vec<String>>;
    /// Removes what one run has set aside; `location` is that of the quarantine.
    async fn remove_quarantine(&self, location: &TableLocation, run: &RunId) -> Result<()>;
    /// Commits in the folder that are not publications of ours (D4), for `doctor` and `drift`.
    async fn foreign_commits(&self, location: &TableLocation, known: &[u64]) -> Result<Vec<u64>>;
}
