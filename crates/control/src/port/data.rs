//! The data plane: planning and answering governed queries, building and committing runs. Implemented by `engine`.

mod run;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::Stream;
use meshwork_core::contract::Table;
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Diagnostic, Place, Result};
use meshwork_core::filter::RowFilter;
use meshwork_core::id::{ColumnId, OutputId};
use meshwork_core::limits::Limits;
use meshwork_core::lineage::Inherited;
use meshwork_core::mask::Mask;
use meshwork_core::name::Name;
use meshwork_core::product::{Merge, Mode};
use meshwork_core::publication::{TableLocation, ViewColumn};
pub use meshwork_core::sample::Sample;
use meshwork_core::types::ColumnType;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::run::{
    DatabaseSpec, FilesSpec, InputSpec, OutputSpec, Phase, ReleaseSpec, Repaired, RepairedFormat, RunEngine, RunEvent,
    RunLimits, RunObserver, RunSpec, ServedAs, SourceSpec, StorageDirectory, StorageProbe, StorageSpec, StoredFile,
    TableLayout, Vacuumed,
};

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
