//! What is new in an incremental input since the position that the table's last commit recorded (D7).

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use chrono::Duration;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::prelude::{SessionContext, cast as cast_expr, ident, lit};
use meshwork_control::port::data::{GovernedTable, SourceSpec};
use meshwork_core::effect::Timestamp;
use meshwork_core::name::quoted;
use meshwork_core::product::{Incremental, MissingRows, Mode};
use meshwork_core::{Error, Result};
use serde_json::Value;

use super::position::{self, Position, Stored};
use super::session::{self, Origin};
use crate::source::{self, Access, Identity, Range};
use crate::storage::Stores;
use crate::storage::log::{State, TableLog};

/// How an output takes up its incremental input.
#[derive(Clone, Copy, Debug)]
pub struct Taking<'a> {
    pub output: &'a str,
    pub input: &'a str,
    pub mode: Mode,
    pub missing: MissingRows,
    /// Where the last commit stopped; `None` for a table that is built anew.
    pub before: Option<&'a Stored>,
    pub stores: &'a Stores,
    pub access: &'a Access,
}

/// What there is to take up, and where that leads.
#[derive(Clone, Debug)]
pub struct Fresh {
    pub part: Part,
    pub position: Position,
}

#[derive(Clone, Debug)]
pub enum Part {
    Nothing,
    /// No file is new. This one shows the columns: there is no need to fetch all for that.
    NoFiles {
        face: String,
    },
    Everything,
    /// These files of the source, as they are now.
    Files(Vec<Identity>),
    /// These data files of another product's table, by their `add` actions.
    Added(Vec<Value>),
    /// Rows for which it holds.
    Rows(Box<Expr>),
}

impl Taking<'_> {
    fn refused(&self, code: &str, message: &str) -> Error {
        Error::check(code, format!("output `{}`, input `{}`: {message}", self.output, self.input))
    }

    /// The position of the last commit, if it is one of this input and kind.
    fn previous<T>(&self, of_kind: impl FnOnce(&Position) -> Option<T>) -> Result<Option<T>> {
        let Some(before) = self.before else { return Ok(None) };
        if before.position.input() == self.input
            && let Some(found) = of_kind(&before.position)
        {
            return Ok(Some(found));
        }
        Err(self
            .refused("MW0677", "the last run took up another input, or told in another way what was new")
            .hint("run it once with `--full-refresh`, which builds the table from everything there is"))
    }

    /// Files that were not there or are not the same.
    pub async fn files(&self, spec: &SourceSpec, now: Timestamp) -> Result<Fresh> {
        let Some(found) = source::files(self.input, spec, self.access).await? else {
            return Err(self.refused("MW0670", "it is not made of files").hint("use `incremental: cursor(column)`"));
        };
        let previous = self.previous(|position| match position {
            Position::Files { files, .. } => Some(files.clone()),
            _ => None,
        })?;
        let first = previous.is_none();
        let known: BTreeMap<String, Identity> =
            previous.into_iter().flatten().map(|file| (file.name.clone(), file)).collect();
        let unsure: Vec<&Identity> =
            found.iter().filter(|file| !known.get(&file.name).is_some_and(|k| k.is_same(file))).collect();
        let names = unsure.iter().map(|file| file.name.clone()).collect();
        let digests = source::digests(self.input, spec, names, self.access).await?;
        let mut all = known.clone();
        let (mut fresh, mut changed) = (Vec::new(), Vec::new());
        for (file, digest) in unsure.into_iter().zip(digests) {
            let before = known.get(&file.name);
            let same = before.is_some_and(|before| before.digest.as_ref() == Some(&digest));
            let now_known = Identity { digest: Some(digest), modified: settled(file.modified, now), ..file.clone() };
            all.insert(file.name.clone(), now_known);
            if same {
                continue;
            }
            if before.is_some() {
                changed.push(file.name.clone());
            }
            fresh.push(file.clone());
        }
        if self.mode == Mode::Append && !changed.is_empty() {
            return Err(self
                .refused("MW0671", &format!("{} changed after its rows were appended", shown(&changed)))
                .hint("append never changes rows: put new rows into new files, use `mode: merge` with a `key`,")
                .hint("or run it once with `--full-refresh`, which builds the table from the files as they are now"));
        }
        let position = |files: BTreeMap<String, Identity>| Position::Files {
            input: self.input.to_owned(),
            files: files.into_values().collect(),
            behind: 0,
        };
        if first {
            return Ok(Fresh { part: Part::Files(found), position: position(all) });
        }
        if self.missing == MissingRows::Delete {
            let present: BTreeSet<&String> = found.iter().map(|file| &file.name).collect();
            let gone = known.keys().any(|name| !present.contains(name));
            let part = if fresh.is_empty() && !gone { nothing(spec, &found) } else { Part::Files(found.clone()) };
            all.retain(|name, _| present.contains(name));
            return Ok(Fresh { part, position: position(all) });
        }
        let part = if fresh.is_empty() { nothing(spec, &found) } else { Part::Files(fresh) };
        Ok(Fresh { part, position: position(all) })
    }

    /// Data files that another product's table has gained.
    pub async fn publication(&self, table: &GovernedTable) -> Result<Fresh> {
        let url = table.location.url();
        let position =
            Position::Publication { input: self.input.to_owned(), table: url.clone(), version: table.delta_version };
        let previous = self.previous(|position| match position {
            Position::Publication { table, version, .. } => Some((table.clone(), *version)),
            _ => None,
        })?;
        let Some((before, version)) = previous else { return Ok(Fresh { part: Part::Everything, position }) };
        if before != url || version > table.delta_version {
            return Err(self
                .refused("MW0672", "it is another table now than the one that the last run took up")
                .hint("run it once with `--full-refresh`"));
        }
        if version == table.delta_version {
            return Ok(Fresh { part: Part::Nothing, position });
        }
        // Read only: nothing of the other product's folder is written.
        let log = TableLog::open(self.stores, &table.location, false).await?;
        // Compacted since, and nothing else.
        if position::mark(&log, table.delta_version).await?.same_since.is_some_and(|since| since <= version) {
            return Ok(Fresh { part: Part::Nothing, position });
        }
        let part = match self.mode {
            Mode::Append => Part::Added(self.appended(&log, version, table.delta_version).await?),
            _ if self.missing == MissingRows::Delete => Part::Everything,
            _ => {
                let old = self.taken_up(&log, version).await?;
                let new = log.replay(table.delta_version).await?;
                // A file that was rewritten also holds rows that did not change: merging these again changes nothing.
                Part::Added(
                    new.files.values().filter(|f| !old.files.contains_key(&f.path)).map(|f| f.add.clone()).collect(),
                )
            }
        };
        let part = match part {
            Part::Added(adds) if adds.is_empty() => Part::Nothing,
            part => part,
        };
        Ok(Fresh { part, position })
    }

    /// The version that was taken up last, which may be older than what is kept of that product.
    async fn taken_up(&self, log: &TableLog, version: u64) -> Result<State> {
        if log.commit(version).await?.is_none() {
            return Err(self.gone());
        }
        log.replay(version).await
    }

    fn gone(&self) -> Error {
        self.refused("MW0673", "what this output had not taken up yet has been compacted and removed")
            .hint("run it once with `--full-refresh`; run it more often than the retention of that product")
    }

    /// The files of the rows that were appended between two versions; refused when rows went or changed.
    async fn appended(&self, log: &TableLog, from: u64, to: u64) -> Result<Vec<Value>> {
        let old = self.taken_up(log, from).await?;
        let new = log.replay(to).await?;
        if old.files.keys().all(|path| new.files.contains_key(path)) {
            return Ok(new
                .files
                .values()
                .filter(|f| !old.files.contains_key(&f.path))
                .map(|f| f.add.clone())
                .collect());
        }
        // Files went. If they were only compacted, the rows that came since stand in files that have gone too.
        let rows_changed = || {
            self.refused("MW0672", "rows of it were changed or deleted since the last run")
                .hint("append never changes rows: use `mode: merge` with a `key`, or run it once with `--full-refresh`")
        };
        let mut added: BTreeMap<String, Value> = BTreeMap::new();
        for version in from + 1..=to {
            let Some(commit) = log.commit(version).await? else { return Err(rows_changed()) };
            for action in &commit.actions {
                let changes = |body: &Value| body.get("dataChange").and_then(Value::as_bool) != Some(false);
                let path = |body: &Value| body.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
                if let Some(add) = action.get("add").filter(|add| changes(add)) {
                    added.insert(path(add), add.clone());
                }
                if let Some(remove) = action.get("remove").filter(|remove| changes(remove))
                    && added.remove(&path(remove)).is_none()
                {
                    return Err(rows_changed());
                }
            }
        }
        for path in added.keys() {
            if log.size_of(path).await?.is_none() {
                return Err(self.gone());
            }
        }
        Ok(added.into_values().collect())
    }

    /// What the last run ended with, as a range that begins there; for a source that is asked for nothing before it.
    pub fn since(&self, column: &str) -> Result<Option<Range>> {
        let previous = self.cursor(column)?.filter(|text| !text.is_empty());
        let range =
            |value| Range { column: column.to_owned(), from: Some((value, self.again())), until: None, nulls: true };
        Ok(previous.map(range))
    }

    /// Whether rows with the greatest value come again: merging a row again does no harm, and some may have come late.
    fn again(&self) -> bool {
        self.mode == Mode::Merge
    }

    fn cursor(&self, column: &str) -> Result<Option<String>> {
        self.previous(|position| match position {
            Position::Cursor { column: before, value, .. } if before == column => Some(value.clone()),
            _ => None,
        })
    }

    /// Rows beyond the greatest value seen. The input is registered in `context` under its name, perhaps without rows that
    /// lie before it.
    pub async fn rows(&self, context: &SessionContext, column: &str) -> Result<Fresh> {
        let previous = self.cursor(column)?;
        let what = format!("input `{}`", self.input);
        let (table, name) = (quoted(self.input), quoted(column));
        let probe = format!("SELECT max({name}), count(*) FILTER (WHERE {name} IS NULL) FROM {table}");
        let plan = session::plan(context, &probe, Origin { what: &what, path: "" }).await?;
        let ty = plan.schema().field(0).data_type().clone();
        if !(ty.is_integer()
            || matches!(ty, DataType::Decimal128(..) | DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)))
        {
            return Err(self
                .refused("MW0675", &format!("its column `{column}` is {ty}, by which new rows cannot be told for sure"))
                .hint("a cursor is a whole number, a decimal, a date or a timestamp that only rises"));
        }
        let failed = |error| session::execution_error(&error, &what);
        let batches = session::frame(context, plan).collect().await.map_err(failed)?;
        let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
            return Err(Error::internal("MW0675", "counting yielded no row"));
        };
        if batch.column(1).as_primitive::<Int64Type>().value(0) > 0 {
            return Err(self
                .refused(
                    "MW0675",
                    &format!("rows of it have no value in `{column}`, so nobody can tell whether they are new"),
                )
                .hint("give every row a value there, or leave such rows out in the source's `query:`"));
        }
        let greatest = batch.column(0);
        let position =
            |value: String| Position::Cursor { input: self.input.to_owned(), column: column.to_owned(), value };
        if greatest.is_null(0) {
            // What comes from now on is for the next run, which begins where this one does.
            return Ok(Fresh { part: Part::Nothing, position: position(previous.unwrap_or_default()) });
        }
        let text = cast(greatest, &DataType::Utf8).map_err(|_| Error::internal("MW0675", "a cursor has no text"))?;
        let upto = text.as_string::<i32>().value(0).to_owned();
        let value = |text: &str| cast_expr(lit(ScalarValue::Utf8(Some(text.to_owned()))), ty.clone());
        let until = ident(column).lt_eq(value(&upto));
        let Some(after) = previous.filter(|text| !text.is_empty()) else {
            return Ok(Fresh { part: Part::Rows(Box::new(until)), position: position(upto) });
        };
        if !self.rises(context, &ty, &after, greatest).await? {
            return Ok(Fresh { part: Part::Nothing, position: position(after) });
        }
        let from = match self.again() {
            true => ident(column).gt_eq(value(&after)),
            false => ident(column).gt(value(&after)),
        };
        Ok(Fresh { part: Part::Rows(Box::new(from.and(until))), position: position(upto) })
    }

    async fn rises(
        &self,
        context: &SessionContext,
        ty: &DataType,
        after: &str,
        greatest: &arrow::array::ArrayRef,
    ) -> Result<bool> {
        let failed = |error| session::execution_error(&error, &format!("input `{}`", self.input));
        let now = ScalarValue::try_from_array(greatest, 0).map_err(failed)?;
        let before = cast_expr(lit(ScalarValue::Utf8(Some(after.to_owned()))), ty.clone());
        let plan = LogicalPlanBuilder::empty(true)
            .project(vec![lit(now).gt(before).alias("rises")])
            .and_then(LogicalPlanBuilder::build)
            .map_err(failed)?;
        let batches = session::frame(context, plan).collect().await.map_err(failed)?;
        Ok(batches.iter().any(|batch| batch.num_rows() > 0 && batch.column(0).as_boolean().value(0)))
    }

    /// After reading: the files are still those that were looked at.
    pub async fn verify(&self, spec: &SourceSpec, read: &[Identity]) -> Result<()> {
        let now = source::files(self.input, spec, self.access).await?.unwrap_or_default();
        let changed: Vec<String> =
            read.iter().filter(|file| !now.contains(file)).map(|file| file.name.clone()).collect();
        if changed.is_empty() {
            return Ok(());
        }
        Err(Error::environment(
            "MW0674",
            format!("output `{}`, input `{}`: {} changed while it was read", self.output, self.input, shown(&changed)),
        )
        .hint("run again when nothing writes there; give files their final name only when they are complete"))
    }
}

fn nothing(spec: &SourceSpec, found: &[Identity]) -> Part {
    match found.iter().min_by_key(|file| file.size) {
        Some(smallest) if source::is_elsewhere(spec) => Part::NoFiles { face: smallest.name.clone() },
        _ => Part::Nothing,
    }
}

/// The ways that an output's inputs have; exactly one for one that grows.
pub fn only_one<'a>(
    output: &str,
    found: impl Iterator<Item = (&'a String, &'a Incremental)>,
) -> Result<(&'a str, &'a Incremental)> {
    let found: Vec<_> = found.collect();
    match found.as_slice() {
        [(name, way)] => Ok((name.as_str(), way)),
        several => Err(Error::check(
            "MW0670",
            format!(
                "output `{output}`: its SQL reads {} inputs with `incremental`; it must be exactly one",
                several.len()
            ),
        )
        .hint("what is new comes from one input; the others are read whole")),
    }
}

/// A time that is too close to now says nothing: another write could bear the same.
fn settled(modified: Option<i64>, now: Timestamp) -> Option<i64> {
    let until = (now - Duration::seconds(2)).timestamp_nanos_opt()?;
    modified.filter(|at| *at < until)
}

fn shown(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
    match names.len() {
        n if n > 3 => format!("{} and {} more", first.join(", "), n - 3),
        _ => first.join(", "),
    }
}
