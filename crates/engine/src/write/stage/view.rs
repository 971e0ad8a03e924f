//! An output of mode `view`: its rows are made, checked and thrown away. What is published is the verdict, with the query
//! and exactly the versions that it was checked over.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use meshwork_control::port::data::{OutputSpec, Phase};
use meshwork_core::contract::Table;
use meshwork_core::publication::{Body, PublishedOutput, TableLocation, VIEW_TABLES, ViewBody, ViewColumn, ViewInput};
use meshwork_core::quality::Rule;
use meshwork_core::{Error, Result};
use url::Url;

use super::super::files::DataFiles;
use super::super::ground::Ground;
use super::super::input::{Inputs, Opening};
use super::super::sample::likeness;
use super::super::schema::file_schema;
use super::super::session::{self, Origin, Way};
use super::super::sink::{Sink, Written};
use super::super::yields::{lineage_of, places};
use super::super::{Pass, set};
use super::after::After;
use super::{Built, Made, Run, Writing};
use crate::failpoint;
use crate::read::view::volatile;
use crate::source::Reading;
use crate::storage::log::TableLog;

/// The rows of a view while they are checked. They go with it.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // The run's folder goes as a whole at its end; this only makes room earlier.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Run {
    pub(super) async fn view(&self, at: usize, reading: &Reading, way: Way) -> Result<Built> {
        let output = &self.spec.outputs[at];
        let context = session::session(&self.spec.limits, &self.config.scratch, self.spec.now, way)?;
        let stored = self.stored_schema(output);
        let log = TableLog::open(&self.config.stores, &output.location, self.config.durable).await?;
        let ground = Ground::survey(&log, output, true).await?;
        let (config, spec, access) = (&self.config, &self.spec, &self.access);
        let inputs = Opening { config, spec, access, output, reading, before: None }.register(&context).await?;
        let what = format!("output `{}`", output.name);
        let sql = Origin { what: &what, path: &output.sql_path };
        let plan = session::plan(&context, &output.sql, sql).await.map_err(|error| self.with_hints(error, &inputs))?;
        let places = places(&plan, &output.table, &output.merge, sql)?;
        exact(&plan, &output.table, &places, sql)?;
        constant(&plan, sql)?;
        let lineage = lineage_of(&plan, &inputs, &output.table);
        let view = self.body(output, &inputs, sql)?;
        if let Some(served) = &output.served
            && unchanged(served, &view)
            && !moves(&plan).map_err(|error| session::planning_error(&error, sql))?
            && !self.is_referred_to(output)
        {
            self.log("info", format!("{what}: nothing is new"));
            return Ok(as_served(output, served, Arc::clone(&file_schema(&stored)), reading));
        }
        let folder = self.config.scratch.join(format!("view-{at}"));
        let sink = Sink {
            config: Arc::clone(&self.config),
            log: TableLog::open(&self.config.stores, &scratch(&folder)?, false).await?,
            schema: file_schema(&stored),
            // Those of a run that does not pass go with the folder.
            written: Written::default(),
            what,
        };
        let scratch = Scratch(folder);
        let mut pass = Pass::new(&output.table, Arc::clone(&sink.schema), places.clone(), false, reading);
        let failed = |error| session::execution_error(&error, &sink.what);
        let likeness = likeness(&plan, &inputs.cut).map_err(failed)?;
        let mut rows = session::frame(&context, plan).execute_stream().await.map_err(failed)?;
        let (mut gone, mut quarantine) = (None, None);
        let mut writing = Writing { sink: &sink, pass: &mut pass, gone: &mut gone, quarantine: &mut quarantine };
        let new = self.write(output, &mut rows, &mut writing, reading).await?;
        drop(rows);
        if at == 0 {
            failpoint::pass(self.config.fail_point.as_ref(), "after-first-file").await?;
        }
        self.progress(output, Phase::Checking, pass.rows, reading);
        let mut table = DataFiles::of(&sink.log, &sink.schema, &new)?;
        table.bytes = 0;
        let made = Made { output, sink: &sink, ground: &ground, inputs: &inputs, stored: &stored };
        let staged = self.staged(&made, &After::default(), None)?;
        let batch = set::Batch::looked_at(output, Arc::clone(&sink.schema), table, places, likeness);
        let built = Built::of(batch, staged, lineage, Body::View(Box::new(view)), reading);
        Ok(Built { pass: Some(pass), scratch: Some(scratch), ..built })
    }

    fn body(&self, output: &OutputSpec, inputs: &Inputs, sql: Origin<'_>) -> Result<ViewBody> {
        let mut pins: BTreeMap<String, ViewInput> = BTreeMap::new();
        for name in inputs.bears.keys() {
            let pin = self.spec.pins.get(name).ok_or_else(|| {
                Error::check("MW0688", format!("the view of {} reads the source `{name}`", sql.what))
                    .hint("a view reads other products' outputs; take the source in with `mode: full`")
            })?;
            pins.insert(name.clone(), pin.clone());
        }
        let tables: usize = pins.values().map(|pin| 1 + pin.table.pinned().len()).sum();
        if tables > VIEW_TABLES {
            let message = format!("the view of {} stands over {tables} tables; {VIEW_TABLES} are allowed", sql.what);
            return Err(Error::limit("MW0689", message).hint("make one of the views below it `mode: full`"));
        }
        let column = |field: &meshwork_core::contract::Field| ViewColumn {
            id: field.id.clone(),
            name: field.name.clone(),
            native: field.native.clone(),
        };
        Ok(ViewBody {
            sql: output.sql.clone(),
            now: self.spec.now,
            columns: output.table.fields.iter().map(column).collect(),
            inputs: pins,
        })
    }

    /// Whether a clause of this run looks into the output: then its rows are needed.
    pub(super) fn is_referred_to(&self, output: &OutputSpec) -> bool {
        let clauses = self.spec.outputs.iter().flat_map(|output| &output.table.clauses);
        let mut names = clauses.filter_map(|clause| match &clause.rule {
            Rule::References { to, .. } => Some(to.rsplit_once('.').map_or(to.as_str(), |(_, name)| name)),
            _ => None,
        });
        let name = output.name.as_str();
        names.any(|to| to == name || to.strip_prefix(name).is_some_and(|rest| rest.starts_with("_v")))
    }
}

/// What is served stays, and nothing was looked at.
pub(super) fn as_served(
    output: &OutputSpec,
    served: &PublishedOutput,
    schema: arrow::datatypes::SchemaRef,
    reading: &Reading,
) -> Built {
    let mut table = DataFiles::default();
    (table.rows, table.bytes) = (served.rows, served.bytes);
    Built::as_served(set::Batch::at_rest(output, schema, table), served, reading)
}

fn scratch(folder: &std::path::Path) -> Result<TableLocation> {
    let root = Url::from_directory_path(folder)
        .map_err(|()| Error::internal("MW0621", "the run's temporary folder has no absolute path"))?;
    Ok(TableLocation { root: root.to_string(), path: "rows".to_owned() })
}

/// The same query over the same rows, seen in the same way.
fn unchanged(served: &PublishedOutput, view: &ViewBody) -> bool {
    let Body::View(before) = &served.body else { return false };
    let same = |(name, input): (&String, &ViewInput)| {
        before.inputs.get(name).is_some_and(|old| {
            (&old.effect, &old.purpose) == (&input.effect, &input.purpose)
                && (&old.table.location, old.table.delta_version) == (&input.table.location, input.table.delta_version)
        })
    };
    before.sql == view.sql
        && before.columns == view.columns
        && before.inputs.len() == view.inputs.len()
        && view.inputs.iter().all(same)
}

/// A view converts nothing: what its query yields is what readers get, so it has the types of the contract.
fn exact(plan: &LogicalPlan, table: &Table, places: &[usize], sql: Origin<'_>) -> Result<()> {
    for (field, at) in table.fields.iter().zip(places) {
        let from = plan.schema().field(*at).data_type();
        if !crate::read::check::yields(from, &field.native) {
            let message = format!(
                "{}: the view yields column `{}` as {from}, which is not {}",
                sql.what, field.name, field.native
            );
            return Err(Error::check("MW0605", message)
                .hint("a view converts nothing: cast the column in the SQL to the type that the contract declares"));
        }
    }
    Ok(())
}

/// What was checked is what is read only if the query yields the same at any time.
fn constant(plan: &LogicalPlan, sql: Origin<'_>) -> Result<()> {
    let found = volatile(plan).map_err(|error| session::planning_error(&error, sql))?;
    if found.is_empty() {
        return Ok(());
    }
    let message = format!("the view of {} calls {}, whose value changes with each call", sql.what, found.join(", "));
    Err(Error::check("MW0688", message).hint("use `mode: full`, which keeps the values of the run"))
}

/// Whether it yields other rows at another moment.
fn moves(plan: &LogicalPlan) -> DfResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            expression.apply(|part| {
                if let Expr::ScalarFunction(call) = part {
                    found |= call.func.signature().volatility != Volatility::Immutable;
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
