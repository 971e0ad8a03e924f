//! A DataFusion session within a run's limits, and DataFusion's errors in our words.
//!
//! Errors of execution never quote a value of the data (D20): arrow's do, so only their kind is told.

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::common::{SchemaError, TableReference};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SQLOptions, SessionContext};
use meshwork_control::port::data::RunLimits;
use meshwork_core::effect::Timestamp;
use meshwork_core::{Error, Place, Result};

use crate::exhausted::{Exhausted, exhausted};
use crate::read::error::REPLAYED;
use crate::read::session::{self as governed, Limits, Planning};
use crate::storage::fault::storage_error;

/// Longer texts are refused before they meet the parser.
const MAX_SQL: usize = 1 << 20;

/// How to plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Fast,
    /// Joins that spill, which hash joins do not, and small batches.
    Spilling,
    /// One partition: fewer optimizer rules that could leave an invalid plan.
    Single,
}

/// The session of one output: the functions, settings and bounds of every governed session, its inputs as bare tables.
pub fn session(limits: &RunLimits, scratch: &Path, now: Timestamp, way: Way) -> Result<SessionContext> {
    let failed = |error: DataFusionError| storage_error("preparing the run's temporary folder", &error);
    let limits = Limits {
        // What the writers buffer lies outside the pool.
        memory_bytes: (limits.memory_bytes / 10 * 6).max(32 << 20),
        spill_bytes: limits.spill_bytes,
        spill_dir: scratch.to_owned(),
        // With one partition the planner takes a hash join whatever it prefers.
        cores: if way == Way::Spilling { limits.cores.max(2) } else { limits.cores },
    };
    let planning = match way {
        Way::Fast => Planning::default(),
        Way::Spilling => Planning { prefer_hash_join: false, ..Planning::default() },
        Way::Single => Planning { single_partition: true, ..Planning::default() },
    };
    let context = governed::context(&limits, None, Some(now), &planning, None).map_err(failed)?;
    if way == Way::Spilling {
        // Merging what was spilled holds one batch of every spill file: small batches let that fit.
        let state = context.state_ref();
        let mut state = state.write();
        let options = state.config_mut().options_mut();
        options.set("datafusion.execution.batch_size", "512").map_err(failed)?;
        options.set("datafusion.execution.sort_spill_reservation_bytes", "2097152").map_err(failed)?;
    }
    let catalog = governed::catalog(&context).map_err(failed)?;
    catalog.register_schema("public", Arc::new(MemorySchemaProvider::new())).map_err(failed)?;
    Ok(context)
}

/// A planned query, ready to run at the session's own moment.
pub fn frame(context: &SessionContext, plan: LogicalPlan) -> DataFrame {
    DataFrame::new(governed::state(context), plan)
}

/// Puts a table into the session, in the place of one of that name.
pub fn register(context: &SessionContext, name: &str, table: Arc<dyn TableProvider>, what: &str) -> Result<()> {
    let failed = |error| execution_error(&error, what);
    context.deregister_table(TableReference::bare(name)).map_err(failed)?;
    context.register_table(TableReference::bare(name), table).map_err(failed)?;
    Ok(())
}

/// All rows of a query of ours.
pub async fn collect(context: &SessionContext, sql: &str, what: &str) -> Result<Vec<RecordBatch>> {
    let plan = plan(context, sql, Origin { what, path: "" }).await?;
    frame(context, plan).collect().await.map_err(|error| execution_error(&error, what))
}

/// Where a statement comes from, for its errors.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Such as "output `leads`" or "clause `quality[0]`".
    pub what: &'a str,
    /// Its file, if it has one of its own.
    pub path: &'a str,
}

/// Plans one query. Statements that are not queries are refused.
pub async fn plan(context: &SessionContext, sql: &str, origin: Origin<'_>) -> Result<LogicalPlan> {
    if sql.len() > MAX_SQL {
        return Err(Error::limit("MW0601", format!("the SQL of {} is longer than 1 MiB", origin.what))
            .hint("split it over several outputs, or keep long lists in a table"));
    }
    let plan =
        governed::state(context).create_logical_plan(sql).await.map_err(|error| planning_error(&error, origin))?;
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let query = !matches!(
        plan,
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_) | LogicalPlan::Copy(_)
    );
    if !query || options.verify_plan(&plan).is_err() {
        return Err(at(Error::check("MW0606", format!("the SQL of {} is not a query", origin.what)), origin)
            .hint("write one SELECT; what it yields is what the output holds"));
    }
    Ok(plan)
}

fn at(error: Error, origin: Origin<'_>) -> Error {
    if origin.path.is_empty() { error } else { error.at(Place { path: origin.path.to_owned(), line: 0, column: 0 }) }
}

pub fn planning_error(error: &DataFusionError, origin: Origin<'_>) -> Error {
    if let Some(own) = own(error) {
        return own;
    }
    if let DataFusionError::SchemaError(schema, _) = error.find_root()
        && let SchemaError::FieldNotFound { field, valid_fields } = schema.as_ref()
    {
        let known: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
        return at(unknown_column(&field.name, &known, origin.what), origin);
    }
    // Planning has seen no data, so the planner's own words quote only the SQL.
    let text = error.strip_backtrace();
    let text = text.lines().next().unwrap_or_default().trim();
    at(Error::check("MW0601", format!("the SQL of {} does not plan: {text}", origin.what)), origin)
        .hint("inputs are tables by their input name; names with capitals need double quotes")
}

pub fn unknown_column(name: &str, known: &[&str], what: &str) -> Error {
    let mut found: Vec<&str> = known.to_vec();
    found.truncate(40);
    let error =
        Error::check("MW0510", format!("{what} uses a column `{name}` that is not there; found: {}", found.join(", ")));
    let near = known
        .iter()
        .map(|k| (strsim::jaro_winkler(&k.to_lowercase(), &name.to_lowercase()), *k))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, near)) if near.eq_ignore_ascii_case(name) => {
            error.hint(format!("write \"{near}\" with double quotes"))
        }
        Some((_, near)) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("the source may have changed: compare its columns with the SQL and the contract"),
    }
}

/// The error of ours that lies somewhere inside.
pub fn own(error: &(dyn StdError + 'static)) -> Option<Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own.clone());
        }
        next = error.source();
    }
    None
}

/// What executing a plan met.
pub fn execution_error(error: &DataFusionError, what: &str) -> Error {
    if let Some(own) = own(error) {
        return own;
    }
    if let Some(bound) = exhausted(error) {
        let (what_of, limit) = match bound {
            Exhausted::Memory => ("memory", "memory"),
            Exhausted::Spill => ("temporary space", "spill"),
        };
        return Error::limit("MW0611", format!("{what} needs more {what_of} than the run may use")).hint(format!(
            "raise `{limit}` of the run's `limits`, or reduce what the query sorts, joins or groups at once"
        ));
    }
    let failed = |why: &str| Error::check("MW0610", format!("the SQL of {what} failed: {why}"));
    match error.find_root() {
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ArrowError::DivideByZero => failed("division by zero").hint("guard the divisor, as in `a / nullif(b, 0)`"),
            ArrowError::ArithmeticOverflow(_) => {
                failed("a number grew beyond its type").hint("cast to a wider type first")
            }
            ArrowError::CastError(_) | ArrowError::ParseError(_) => failed("a value could not be converted")
                .hint("use `try_cast`, which yields null, and let the contract's clauses judge it"),
            ArrowError::IoError(..) => storage_error(&format!("building {what}"), error),
            _ => failed("a value could not be computed"),
        },
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) | DataFusionError::ParquetError(_) => {
            storage_error(&format!("building {what}"), error)
        }
        DataFusionError::Execution(text) if text.contains("Cast error") || text.contains("cast") => {
            failed("a value could not be converted")
                .hint("use `try_cast`, which yields null, and let the contract's clauses judge it")
        }
        DataFusionError::Internal(_) | DataFusionError::Plan(_) => {
            // The engine's own words name columns and types, not values; they are for whoever mends the engine.
            tracing::error!(%error, what, "no valid plan");
            Error::internal("MW0614", format!("no valid plan was found for {what}")).hint(
                "this is a limit of the query engine: write the SQL another way, for example with a CTE for each step",
            )
        }
        DataFusionError::NotImplemented(_) => failed("it uses something that the engine does not have"),
        DataFusionError::ExecutionJoin(join) if !join.to_string().contains(REPLAYED) => {
            Error::internal("MW0613", format!("building {what} stopped unexpectedly"))
                .hint("this is a bug: please report it with the SQL")
        }
        root if root.to_string().contains(REPLAYED) => replayed(what),
        _ => failed("a value could not be computed"),
    }
}

/// An operator that panicked, in words. A nested-loop join that runs out of memory does where rows were exchanged between
/// partitions before it: with one partition it spills.
pub fn panicked(payload: &(dyn std::any::Any + Send), output: &str) -> Error {
    let told = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    if told.is_some_and(|told| told.contains(REPLAYED)) {
        return replayed(&format!("output `{output}`"));
    }
    Error::internal("MW0613", format!("building output `{output}` stopped unexpectedly"))
        .hint("this is a bug: please report it with the SQL")
}

fn replayed(what: &str) -> Error {
    Error::limit("MW0642", format!("a join of {what} needs more memory than the run may use"))
        .hint("raise `memory` of the run's `limits`, or join on equal keys")
}

/// The way that may succeed where the fast one failed.
pub fn another_way(error: &Error) -> Option<Way> {
    match error.code.as_str() {
        "MW0611" => Some(Way::Spilling),
        "MW0614" | "MW0642" => Some(Way::Single),
        _ => None,
    }
}
