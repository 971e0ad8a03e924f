//! Runs over part of their sources, for development: which rows are read, and what their answers are worth.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::prelude::SessionContext;
use meshwork_control::port::data::Sample;
use meshwork_core::Result;
use meshwork_core::contract::Table;
use meshwork_core::quality::{ClauseResult, Metric, Outcome, Rule};
use meshwork_core::sample;

use super::session;

/// Whether an input of the output was cut.
#[derive(Debug, Default)]
pub struct Cut(AtomicBool);

impl Cut {
    pub fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The part of a source that is read: its first rows, or those whose key falls into the share.
pub async fn part(
    context: &SessionContext,
    name: &str,
    source: Arc<dyn TableProvider>,
    sample: Sample,
    table: &Table,
    cut: &Cut,
) -> Result<Arc<dyn TableProvider>> {
    let failed = |error| session::execution_error(&error, &format!("input `{name}`"));
    let schema = source.schema();
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let quoted = meshwork_core::name::quoted(name);
    session::register(context, name, source, &format!("input `{name}`"))?;
    let rest = match sample {
        Sample::Rows(rows) => {
            let probe = format!("SELECT 1 FROM {quoted} LIMIT {}", rows.saturating_add(1));
            let probe = context.sql(&probe).await.map_err(failed)?;
            if probe.count().await.map_err(failed)? as u64 > rows {
                cut.note();
            }
            format!("LIMIT {rows}")
        }
        Sample::Share(share) => {
            cut.note();
            let key = sample::key(table, &columns);
            format!("WHERE {} < '{}'", sample::hash(&key), sample::threshold(share))
        }
    };
    let sql = format!("SELECT * FROM {quoted} {rest}");
    let plan = crate::read::session::state(context).create_logical_plan(&sql).await.map_err(failed)?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// What a sample cannot answer counts as not evaluated where it failed: rows that others refer to may be missing, and so
/// may those that a count expects. What fails on single rows, and a key that stands twice, fails on all rows too.
pub fn judged(results: &mut [ClauseResult], table: &Table) {
    for result in results.iter_mut().filter(|result| result.outcome == Outcome::Fail) {
        let Some(clause) = table.clauses.iter().find(|clause| clause.id == result.clause) else { continue };
        let open = match &clause.rule {
            Rule::References { .. } | Rule::Sql { .. } => true,
            Rule::Metric { metric, .. } => !matches!(metric, Metric::DuplicateValues { .. }),
            _ => false,
        };
        if open {
            let because = format!("sampled: {}", result.message);
            result.outcome = Outcome::NotEvaluated { because };
        }
    }
}
