//! Runs over part of their sources, for development: which rows are read, and what their answers are worth.

mod likeness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, future};
use meshwork_core::Result;
use meshwork_core::contract::Table;
use meshwork_core::quality::{ClauseResult, Outcome, Rule, Threshold, Unit};
use meshwork_core::sample;

use super::session;
use crate::source::{Source, projected};
pub use likeness::{Likeness, likeness};

/// What there is less of than in a run over everything, by the name of the input.
#[derive(Debug, Default)]
pub struct Cut {
    sources: BTreeMap<String, Mark>,
    /// Tables that were built from samples themselves, in whatever way.
    tables: BTreeSet<String>,
}

/// Noted while rows are read.
#[derive(Clone, Debug, Default)]
pub struct Mark(Arc<AtomicBool>);

impl Mark {
    pub fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Cut {
    pub fn source(&mut self, input: &str) -> Mark {
        self.sources.entry(input.to_owned()).or_default().clone()
    }

    pub fn table(&mut self, input: &str) {
        self.tables.insert(input.to_owned());
    }

    fn has(&self, input: &str) -> bool {
        self.is_table(input) || self.sources.get(input).is_some_and(|mark| mark.0.load(Ordering::Relaxed))
    }

    fn is_table(&self, input: &str) -> bool {
        self.tables.contains(input)
    }
}

/// The first rows of a source: file by file in the order of their names, each from its beginning, so that they are the
/// same ones each time.
#[derive(Debug)]
pub struct First {
    source: Arc<dyn Source>,
    rows: u64,
    cut: Mark,
}

impl First {
    pub fn of(source: Arc<dyn Source>, rows: u64, cut: Mark) -> Arc<dyn Source> {
        let source = source.in_order().unwrap_or(source);
        Arc::new(Self { source, rows, cut })
    }
}

impl Source for First {
    fn schema(&self) -> SchemaRef {
        self.source.schema()
    }

    fn has_origin(&self) -> bool {
        self.source.has_origin()
    }

    fn partitions(&self, columns: &[usize]) -> Vec<Arc<dyn PartitionStream>> {
        vec![Arc::new(FirstRows {
            schema: projected(&self.source.schema(), columns),
            parts: self.source.partitions(columns),
            rows: self.rows,
            cut: self.cut.clone(),
        })]
    }

    fn hint(&self) -> Option<String> {
        self.source.hint()
    }
}

#[derive(Debug)]
struct FirstRows {
    schema: SchemaRef,
    parts: Vec<Arc<dyn PartitionStream>>,
    rows: u64,
    cut: Mark,
}

impl PartitionStream for FirstRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let cut = self.cut.clone();
        // One after the other: the next is opened when the one before has ended.
        let all = futures::stream::iter(self.parts.clone()).flat_map(move |part| part.execute(Arc::clone(&context)));
        let first = all.scan(self.rows, move |left, batch| {
            let next = match batch {
                Ok(batch) if (batch.num_rows() as u64) <= *left => {
                    *left -= batch.num_rows() as u64;
                    Some(Ok(batch))
                }
                // There is more, whether it can be read or not.
                _ if *left == 0 => {
                    cut.note();
                    None
                }
                Ok(batch) => {
                    cut.note();
                    Some(Ok(batch.slice(0, usize::try_from(std::mem::take(left)).unwrap_or(usize::MAX))))
                }
                Err(error) => Some(Err(error)),
            };
            future::ready(next)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), first))
    }
}

/// The rows of an input whose key falls into the share.
pub async fn share(
    context: &SessionContext,
    name: &str,
    input: Arc<dyn TableProvider>,
    share: f64,
    table: &Table,
) -> Result<Arc<dyn TableProvider>> {
    let failed = |error| session::execution_error(&error, &format!("input `{name}`"));
    let schema = input.schema();
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let hash = sample::hash(&sample::key(table, &columns));
    session::register(context, name, input, &format!("input `{name}`"))?;
    let quoted = meshwork_core::name::quoted(name);
    let sql = format!("SELECT * FROM {quoted} WHERE {hash} < '{}'", sample::threshold(share));
    let plan = crate::read::session::state(context).create_logical_plan(&sql).await.map_err(failed)?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// What fails of a sample counts only where it is certain that all rows would fail too; else it was not evaluated. `is_whole`
/// says of a table that rows refer to whether all of its rows are there.
pub fn judged(results: &mut [ClauseResult], table: &Table, likeness: Likeness, is_whole: impl Fn(&str) -> bool) {
    for result in results.iter_mut().filter(|result| result.outcome == Outcome::Fail) {
        // What no contract declares is about single rows.
        let rule = table.clauses.iter().find(|clause| clause.id == result.clause).map(|clause| &clause.rule);
        let certain = match (rule, likeness) {
            (_, Likeness::Other) => false,
            (Some(Rule::References { to, .. }), _) => is_whole(to),
            (_, Likeness::Whole) => true,
            (Some(Rule::Sql { .. }), Likeness::Part) => false,
            (Some(Rule::Metric { unit, must, .. }), Likeness::Part) => {
                result.measured.is_some_and(|measured| is_beyond(measured, *unit, must))
            }
            (_, Likeness::Part) => true,
        };
        if !certain {
            let because = format!("sampled: {}", result.message);
            result.outcome = Outcome::NotEvaluated { because };
        }
    }
}

/// Whether more rows cannot bring a count back within its bound: a number of rows only grows, a share of them stays above
/// nothing.
fn is_beyond(measured: f64, unit: Unit, must: &Threshold) -> bool {
    let most = match *must {
        Threshold::MustBe(most) | Threshold::MustBeLessOrEqualTo(most) | Threshold::MustBeBetween(_, most) => most,
        // A number that fails it reaches its bound.
        Threshold::MustBeLessThan(bound) => return unit == Unit::Rows && measured >= bound,
        _ => return false,
    };
    measured > most && (unit == Unit::Rows || most == 0.0)
}
