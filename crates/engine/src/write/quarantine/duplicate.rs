//! Rows of a batch that share a key with another row: all of them are set aside (D8).
//!
//! Every row counts as it came, also those that are set aside for another reason: which of two rows with one key is the
//! right one is not for their other columns to say. Rows that are published already never are: a new row that would share
//! a key with one is set aside.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Field as ArrowField, Int32Type, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::{MemTable, ViewTable};
use datafusion::prelude::SessionContext;
use meshwork_control::port::data::{OutputSpec, RunLimits};
use meshwork_core::Result;
use meshwork_core::effect::Timestamp;
use meshwork_core::name::quoted;
use meshwork_core::product::Mode;
use serde_json::Value;

use super::UniqueRule;
use super::key::{PLACE, Written as Keys, numbers};
use crate::set::{list, pairs};
use crate::source::{ORIGIN, ROW, Reading};
use crate::write::files::DataFiles;
use crate::write::merge::Tombs;
use crate::write::session::{self, Origin, Way};
use crate::write::sink::Sink;

const KEYS: &str = "__mw_keys";
const OLD: &str = "__mw_old";
const GONE: &str = "__mw_gone";
const OUT: &str = "__mw_out";
const STAYING: &str = "__mw_staying";

/// Taking a row out can bring the one back that it was to replace, which may share a key with yet another.
const ROUNDS: usize = 16;

/// What the rows of a batch meet.
pub struct Ground<'a> {
    pub output: &'a OutputSpec,
    pub sink: &'a Sink,
    pub limits: &'a RunLimits,
    pub now: Timestamp,
    pub way: Way,
    pub reading: &'a Reading,
    /// The published rows that the output builds on.
    pub served: &'a [Value],
    pub gone: Option<&'a Tombs>,
    /// The batch is all there is to be: published rows that are not in it go.
    pub whole: bool,
    /// What was written of the batch.
    pub written: &'a [Value],
}

/// Rows to take out: their place among the written ones, and which rules they break.
#[derive(Debug, Default)]
pub struct Removed(pub BTreeMap<u64, Vec<usize>>);

impl Removed {
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn counts(&self, rules: usize) -> Vec<u64> {
        let mut counts = vec![0; rules];
        self.0.values().flatten().for_each(|rule| counts[*rule] += 1);
        counts
    }

    fn add(&mut self, places: impl Iterator<Item = Option<i64>>, rule: usize) -> bool {
        let before = self.0.len();
        for place in places.flatten().filter_map(|place| u64::try_from(place).ok()) {
            let rules = self.0.entry(place).or_default();
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        self.0.len() > before
    }

    fn table(&self) -> Result<Arc<dyn TableProvider>> {
        let schema = Arc::new(Schema::new(vec![ArrowField::new(PLACE, DataType::Int64, false)]));
        let places = self.0.keys().map(|place| i64::try_from(*place).unwrap_or(i64::MAX));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from_iter_values(places))]);
        let failed = |error| session::execution_error(&error, "the rows that share a key");
        let batch = batch.map_err(|error| failed(error.into()))?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]]).map_err(failed)?))
    }
}

pub async fn find(rules: &[UniqueRule], keys: &Keys, ground: &Ground<'_>) -> Result<Removed> {
    let mut removed = Removed::default();
    if keys.is_empty() {
        return Ok(removed);
    }
    let search = Search::new(keys, ground).await?;
    for (at, rule) in rules.iter().enumerate() {
        let columns = list(&rule.columns);
        let groups = format!(
            "SELECT {columns} FROM {KEYS} WHERE {} GROUP BY {columns} HAVING count(*) > 1",
            present(&rule.columns)
        );
        let on = pairs("k", "d", &rule.columns, &rule.columns);
        let sql =
            format!("SELECT k.{PLACE} FROM {KEYS} AS k LEFT SEMI JOIN ({groups}) AS d ON {on} WHERE k.{PLACE} >= 0");
        removed.add(numbers(&search.collect(&sql).await?, 0), at);
    }
    let against_table: Vec<_> = rules.iter().enumerate().filter(|(_, rule)| !rule.is_merge_key).collect();
    if against_table.is_empty() || ground.served.is_empty() || ground.output.mode == Mode::Full {
        return Ok(removed);
    }
    for _ in 0..ROUNDS {
        search.staying(&removed).await?;
        let mut more = false;
        for (at, rule) in &against_table {
            let on = pairs("k", "s", &rule.columns, &rule.columns);
            let sql = format!(
                "SELECT k.{PLACE} FROM {KEYS} AS k LEFT SEMI JOIN {STAYING} AS s ON {on}
                 WHERE k.{PLACE} >= 0 AND k.{PLACE} NOT IN (SELECT {PLACE} FROM {OUT})"
            );
            let found = search.collect(&sql).await?;
            more |= removed.add(numbers(&found, 0), *at);
        }
        // Only a merge brings rows back.
        if !more || ground.output.mode == Mode::Append {
            break;
        }
    }
    Ok(removed)
}

/// Rows of the table that stay as they are because what was to replace them is set aside.
pub async fn kept_rows(keys: &Keys, ground: &Ground<'_>, removed: &Removed) -> Result<u64> {
    if keys.is_empty() || ground.output.mode != Mode::Merge || ground.served.is_empty() {
        return Ok(0);
    }
    let search = Search::new(keys, ground).await?;
    search.out(removed)?;
    search.number(&format!("SELECT count(*) {}", search.kept())).await
}

/// The same rows, written anew: for a table of which all others go.
pub async fn write_kept_rows(keys: &Keys, ground: &Ground<'_>, removed: &Removed) -> Result<Vec<Value>> {
    let search = Search::new(keys, ground).await?;
    search.out(removed)?;
    let columns: Vec<String> = ground.output.table.fields.iter().map(|f| format!("t.{}", quoted(&f.name))).collect();
    let sql = format!("SELECT {} {}", columns.join(", "), search.kept());
    let plan = session::plan(&search.context, &sql, Origin { what: "the quarantine", path: "" }).await?;
    let failed = |error| session::execution_error(&error, &ground.sink.what);
    let streams = session::frame(&search.context, plan).execute_stream_partitioned().await.map_err(failed)?;
    ground.sink.write_all(streams).await
}

/// How many rows that are set aside have the key of a row that deletes: which of the two counts, nobody has said.
pub async fn deleted_too(keys: &Keys, ground: &Ground<'_>, removed: &Removed) -> Result<u64> {
    if keys.is_empty() || ground.gone.is_none_or(|gone| gone.rows() == 0) {
        return Ok(0);
    }
    let search = Search::new(keys, ground).await?;
    search.out(removed)?;
    let on = pairs("k", "g", &ground.output.key, &ground.output.key);
    search.number(&format!("SELECT count(*) FROM ({}) AS k LEFT SEMI JOIN {GONE} AS g ON {on}", search.aside())).await
}

/// Where rows to be taken out came from, by their place.
pub async fn origins(
    keys: &Keys,
    ground: &Ground<'_>,
    removed: &Removed,
) -> Result<BTreeMap<u64, (Option<String>, Option<u64>)>> {
    let search = Search::new(keys, ground).await?;
    search.out(removed)?;
    let sql = format!(
        "SELECT k.{PLACE}, k.{ORIGIN}, k.{ROW} FROM {KEYS} AS k LEFT SEMI JOIN {OUT} AS o ON k.{PLACE} = o.{PLACE}"
    );
    let found = search.collect(&sql).await?;
    let mut origins = BTreeMap::new();
    for batch in &found {
        let file = batch.column(1).as_primitive::<Int32Type>();
        let places = numbers(std::slice::from_ref(batch), 0).zip(numbers(std::slice::from_ref(batch), 2));
        for (at, (place, row)) in places.enumerate() {
            use arrow::array::Array;
            let Some(place) = place.and_then(|place| u64::try_from(place).ok()) else { continue };
            let source = file.is_valid(at).then(|| ground.reading.origins.name(file.value(at))).flatten();
            origins.insert(place, (source, row.and_then(|row| u64::try_from(row).ok())));
        }
    }
    Ok(origins)
}

struct Search<'a> {
    context: SessionContext,
    ground: &'a Ground<'a>,
}

impl<'a> Search<'a> {
    async fn new(keys: &Keys, ground: &'a Ground<'a>) -> Result<Self> {
        let context = session::session(ground.limits, &ground.sink.config.scratch, ground.now, ground.way)?;
        let search = Self { context, ground };
        search.register(KEYS, keys.table()?)?;
        search.register(OLD, Arc::new(DataFiles::of(&ground.sink.log, &ground.sink.schema, ground.served)?))?;
        if let Some(gone) = ground.gone {
            search.register(GONE, gone.table()?)?;
        }
        Ok(search)
    }

    fn register(&self, name: &str, provider: Arc<dyn TableProvider>) -> Result<()> {
        session::register(&self.context, name, provider, "the rows that share a key")
    }

    fn out(&self, removed: &Removed) -> Result<()> {
        self.register(OUT, removed.table()?)
    }

    /// Keys of the rows that are set aside.
    fn aside(&self) -> String {
        format!("SELECT * FROM {KEYS} WHERE {PLACE} < 0 OR {PLACE} IN (SELECT {PLACE} FROM {OUT})")
    }

    /// Published rows whose replacement is set aside.
    fn kept(&self) -> String {
        let on = pairs("k", "t", &self.ground.output.key, &self.ground.output.key);
        format!("FROM ({}) AS k RIGHT SEMI JOIN {OLD} AS t ON {on}", self.aside())
    }

    /// Makes [`STAYING`] the published rows that will be there beside the new ones.
    async fn staying(&self, removed: &Removed) -> Result<()> {
        self.out(removed)?;
        let key = list(&self.ground.output.key);
        let on = pairs("k", "t", &self.ground.output.key, &self.ground.output.key);
        let sql = match self.ground.output.mode {
            Mode::Merge if self.ground.whole => format!("SELECT t.* {}", self.kept()),
            Mode::Merge => {
                let new = format!(
                    "SELECT {key} FROM {KEYS} WHERE {PLACE} >= 0 AND {PLACE} NOT IN (SELECT {PLACE} FROM {OUT})"
                );
                let going = match self.ground.gone {
                    Some(_) => format!("{new} UNION ALL SELECT {key} FROM {GONE}"),
                    None => new,
                };
                format!("SELECT t.* FROM ({going}) AS k RIGHT ANTI JOIN {OLD} AS t ON {on}")
            }
            _ => format!("SELECT * FROM {OLD}"),
        };
        let plan = session::plan(&self.context, &sql, Origin { what: "the rows that stay", path: "" }).await?;
        self.register(STAYING, Arc::new(ViewTable::new(plan, None)))
    }

    async fn collect(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let what = "the rows that share a key";
        let plan = session::plan(&self.context, sql, Origin { what, path: "" }).await?;
        session::frame(&self.context, plan).collect().await.map_err(|error| session::execution_error(&error, what))
    }

    async fn number(&self, sql: &str) -> Result<u64> {
        let found = self.collect(sql).await?;
        Ok(numbers(&found, 0).flatten().next().and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
    }
}

fn present(columns: &[String]) -> String {
    columns.iter().map(|column| format!("{} IS NOT NULL", quoted(column))).collect::<Vec<_>>().join(" AND ")
}
