//! The node that separates what a policy guards from what a reader wrote.
//!
//! A filter or a projection is no barrier to an optimizer: filters merge, cheap predicates move first, projections are
//! rewritten and forwarded. This node refuses all of it. It is unary with a visible child, so that an engine that splits
//! plans into tasks still sees the partitions; its properties, statistics and errors are its own.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};
use futures::{Stream, StreamExt};

use crate::exhausted::{Exhausted, exhausted};

/// What the barrier may say of the rows behind it (D21).
#[derive(Clone, Debug)]
pub struct Disclosure {
    /// Row count and open columns' statistics are public: there is no row filter.
    pub statistics: bool,
    /// By output column: masked.
    pub masked: Vec<bool>,
}

#[derive(Clone, Debug)]
pub struct BarrierExec {
    /// `domain.output`, for explanations.
    table: Arc<str>,
    /// The decision that it enforces (D17): [`attest`](super::attest) knows those of the statement.
    digest: Arc<str>,
    disclosure: Disclosure,
    schema: SchemaRef,
    child: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl BarrierExec {
    /// `schema` names the child's columns, of the same types and possibly more nullable.
    pub fn new(
        table: Arc<str>,
        digest: Arc<str>,
        disclosure: Disclosure,
        schema: SchemaRef,
        child: Arc<dyn ExecutionPlan>,
    ) -> Self {
        // Built anew: a constant or an ordering of the child would tell of the filter's literals and the hidden rows.
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(child.properties().partitioning.partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            table,
            digest,
            disclosure,
            schema,
            child,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    pub fn table(&self) -> &str {
        &self.table
    }

    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let columns: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "GovernedScan: {} columns=[{}]", self.table, columns.join(", "))
    }
}

impl ExecutionPlan for BarrierExec {
    fn name(&self) -> &'static str {
        "BarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.child]
    }

    // No sort, repartitioning, projection, limit, filter or ordering travels through: each default that could is named.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }
    fn supports_limit_pushdown(&self) -> bool {
        false
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([child]) = <[_; 1]>::try_from(children) else {
            return internal_err!("a barrier has one child");
        };
        Ok(Arc::new(Self::new(
            Arc::clone(&self.table),
            Arc::clone(&self.digest),
            self.disclosure.clone(),
            Arc::clone(&self.schema),
            child,
        )))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        // Where a node lies in memory is as good as random to a reader.
        let salt = Arc::as_ptr(&self.child).cast::<()>().addr();
        let input = self.child.execute(partition, context).map_err(|error| sealed(&self.table, salt, &error))?;
        Ok(Box::pin(Sealed {
            table: Arc::clone(&self.table),
            salt,
            schema: Arc::clone(&self.schema),
            input,
            metrics: BaselineMetrics::new(&self.metrics, partition),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        if self.disclosure.statistics { vec![ChildStats::At(partition)] } else { vec![ChildStats::Skip] }
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let unknown = Statistics::new_unknown(&self.schema);
        let (true, Some(input)) = (self.disclosure.statistics, inputs.first()) else {
            return Ok(Arc::new(unknown));
        };
        if input.column_statistics.len() != self.disclosure.masked.len() {
            return Ok(Arc::new(unknown));
        }
        let columns = input.column_statistics.iter().zip(&self.disclosure.masked);
        Ok(Arc::new(Statistics {
            num_rows: input.num_rows,
            total_byte_size: Precision::Absent,
            column_statistics: columns
                .map(|(column, masked)| if *masked { ColumnStatistics::new_unknown() } else { column.clone() })
                .collect(),
        }))
    }
}

/// An error from inside as the reader sees it: an id that the log knows. Arrow's own quote values.
#[derive(Debug)]
pub struct SealedError {
    pub id: uuid::Uuid,
}

impl fmt::Display for SealedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a governed table could not be read (incident {})", self.id)
    }
}
impl std::error::Error for SealedError {}

fn sealed(table: &str, salt: usize, error: &DataFusionError) -> DataFusionError {
    // Limits of the statement are the reader's own and say nothing of the rows.
    if let Some(bound) = exhausted(error) {
        let what = match bound {
            Exhausted::Memory => "memory",
            Exhausted::Spill => "spill",
        };
        return DataFusionError::ResourcesExhausted(format!("the statement's {what} limit was reached while reading"));
    }
    // Neither does a file that is not what was checked.
    if let Some(error) = super::external::changed(error) {
        return DataFusionError::External(Box::new(error));
    }
    let id = incident(table, salt, &error.to_string());
    tracing::error!(%id, table, %error, "reading behind a barrier failed");
    DataFusionError::External(Box::new(SealedError { id }))
}

/// Only a label to find the log line by. `salt` differs between statements, so that an id does not tell whether two of
/// them met the same hidden value, nor confirm a guess of it.
fn incident(table: &str, salt: usize, error: &str) -> uuid::Uuid {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new()
        .chain_update(std::process::id().to_be_bytes())
        .chain_update(salt.to_be_bytes())
        .chain_update(table)
        .chain_update(error)
        .finalize();
    uuid::Uuid::from_slice(&digest[..16]).unwrap_or_default()
}

struct Sealed {
    table: Arc<str>,
    salt: usize,
    schema: SchemaRef,
    input: SendableRecordBatchStream,
    metrics: BaselineMetrics,
}

impl Stream for Sealed {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = match self.input.poll_next_unpin(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(next)) => next,
        };
        let batch = next.and_then(|batch| {
            use datafusion::arrow::record_batch::RecordBatchOptions;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
        });
        Poll::Ready(Some(match batch {
            Ok(batch) => Ok(batch.record_output(&self.metrics)),
            Err(error) => Err(sealed(&self.table, self.salt, &error)),
        }))
    }
}

impl RecordBatchStream for Sealed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
