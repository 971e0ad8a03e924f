//! A statement that nobody waits for any more, or that ran too long, stops. Aborting its task does that only where the task
//! gives control back, and joins of everything with everything may compute for hours before they do.
//!
//! So sources and operators with several inputs give control back with their batches and look at a flag before each, and
//! the filter of a join, which is asked again and again before such a join has a batch, looks at it too.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use datafusion::arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, SortMergeJoinExec,
};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary,
};
use futures::{Stream, StreamExt};

use super::barrier::BarrierExec;

/// Shared by whoever may stop a statement and what computes it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The same plan, able to stop. Nothing below a barrier is touched: what a policy put there stays as it was attested.
pub fn stoppable(plan: Arc<dyn ExecutionPlan>, stop: &Stop) -> Result<Arc<dyn ExecutionPlan>> {
    let inputs = if plan.is::<BarrierExec>() { Vec::new() } else { plan.children() };
    let count = inputs.len();
    let inputs = inputs.into_iter().map(|input| stoppable(Arc::clone(input), stop)).collect::<Result<Vec<_>>>()?;
    let plan = if count == 0 { plan } else { replace_children_if_necessary(plan, inputs)? };
    if count == 1 {
        return Ok(plan);
    }
    Ok(Arc::new(CheckedExec { inner: asking(plan, stop)?, stop: stop.clone() }))
}

/// A join whose filter looks at the flag.
fn asking(plan: Arc<dyn ExecutionPlan>, stop: &Stop) -> Result<Arc<dyn ExecutionPlan>> {
    let with = |filter: &JoinFilter| {
        let expression = Arc::new(Asking { inner: Arc::clone(filter.expression()), stop: stop.clone() });
        Some(JoinFilter::new(expression, filter.column_indices().to_vec(), Arc::clone(filter.schema())))
    };
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let again =
            NestedLoopJoinExecBuilder::new(Arc::clone(join.left()), Arc::clone(join.right()), *join.join_type())
                .with_filter(with(filter))
                .with_projection_ref(join.projection().clone())
                .build()?;
        return Ok(Arc::new(again));
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        return join.builder().with_filter(with(filter)).build_exec();
    }
    if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>()
        && let Some(filter) = join.filter()
    {
        return Ok(Arc::new(SortMergeJoinExec::try_new(
            Arc::clone(join.left()),
            Arc::clone(join.right()),
            join.on().to_vec(),
            with(filter),
            join.join_type(),
            join.sort_options().to_vec(),
            join.null_equality(),
        )?));
    }
    Ok(plan)
}

fn stopped<T>() -> Result<T> {
    Err(DataFusionError::Execution("the statement was stopped".to_owned()))
}

/// What it wraps, giving control back with its batches and looking at the flag before each. To the operators above it is
/// what it wraps: the properties are the same.
#[derive(Debug)]
pub struct CheckedExec {
    inner: Arc<dyn ExecutionPlan>,
    stop: Stop,
}

impl DisplayAs for CheckedExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.inner.fmt_as(kind, f)
    }
}

impl ExecutionPlan for CheckedExec {
    fn name(&self) -> &'static str {
        "CheckedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.inner]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
        let Ok([inner]) = <[_; 1]>::try_from(children) else {
            return internal_err!("a check has one input");
        };
        Ok(Arc::new(Self { inner, stop: self.stop.clone() }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = make_cooperative(self.inner.execute(partition, context)?);
        Ok(Box::pin(Checked { input, stop: self.stop.clone() }))
    }
}

struct Checked {
    input: SendableRecordBatchStream,
    stop: Stop,
}

impl Stream for Checked {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.stop.is_set() {
            true => Poll::Ready(Some(stopped())),
            false => self.input.poll_next_unpin(cx),
        }
    }
}

impl RecordBatchStream for Checked {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

/// An expression that fails once its statement is to stop.
#[derive(Debug)]
struct Asking {
    inner: Arc<dyn PhysicalExpr>,
    stop: Stop,
}

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PartialEq for Asking {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}
impl Eq for Asking {}
impl Hash for Asking {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl PhysicalExpr for Asking {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.stop.is_set() {
            return stopped();
        }
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self { inner, stop: self.stop.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
