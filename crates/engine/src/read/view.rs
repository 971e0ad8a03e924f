//! A view: a query over tables as its product may read them, answered anew by every read.
//!
//! What stands here is below the barrier of whoever reads the view. Its tables stand behind barriers of their own, as in a
//! run of the product, and its plan is attested like any other.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, Session, TableProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result as DfResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Volatility, cast};
use datafusion::physical_plan::ExecutionPlan;
use meshwork_control::port::data::{GovernedTable, GovernedView, TableUse};
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};

use super::attest::{Allowed, attest};
use super::planned;
use super::secured::{self, SecuredTable};
use super::session::{self, Limits, Planning};
use super::snapshot::SnapshotCache;
use crate::native::read_type;

#[derive(Debug)]
pub struct View {
    schema: SchemaRef,
    ids: HashMap<String, usize>,
    /// Yields the columns of `schema`.
    plan: LogicalPlan,
    now: Timestamp,
    allowed: Allowed,
    /// What it reads, for the record.
    pub uses: Vec<TableUse>,
}

impl View {
    pub async fn open(table: &GovernedTable, view: &GovernedView, snapshots: &SnapshotCache) -> Result<Self> {
        let broken = |error: DataFusionError| {
            tracing::error!(view = %format!("{}.{}", table.domain, table.output), %error, "a view cannot be planned");
            Error::environment("MW0855", format!("the view `{}.{}` cannot be answered", table.domain, table.output))
                .hint("its owner runs it again, which says why")
        };
        let mut inputs: Vec<Arc<SecuredTable>> = Vec::with_capacity(view.inputs.len());
        let context = context(view.now).map_err(broken)?;
        let schema = MemorySchemaProvider::new();
        for (name, input) in &view.inputs {
            let provider = Box::pin(secured::provider(input, snapshots)).await?;
            schema.register_table(name.clone(), Arc::clone(&provider) as Arc<dyn TableProvider>).map_err(broken)?;
            inputs.push(provider);
        }
        let catalog = session::catalog(&context).map_err(broken)?;
        catalog.register_schema("public", Arc::new(schema)).map_err(broken)?;
        let state = session::state(&context);
        let plan = state.create_logical_plan(&view.sql).await.map_err(broken)?;
        let plan = yielding(plan, view).map_err(broken)?;
        let uses = state.optimize(&plan).map_err(broken).and_then(|plan| planned::uses(&plan))?;
        let fields = view.columns.iter().map(|column| Field::new(&column.name, read_type(&column.native), true));
        let ids = view.columns.iter().enumerate();
        Ok(Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            ids: ids.filter_map(|(at, column)| Some((column.id.as_ref()?.to_string(), at))).collect(),
            plan,
            now: view.now,
            allowed: Allowed::of(&inputs),
            uses,
        })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// By identity; by name where the contract had given none.
    pub fn column(&self, id: &str, name: &str) -> Option<usize> {
        if self.ids.is_empty() { self.schema.index_of(name).ok() } else { self.ids.get(id).copied() }
    }

    /// Answers it for some of its columns (indices in [`Self::schema`]) and the rows for which `filter` holds, at its own
    /// moment, within the reader's session.
    pub async fn scan(
        &self,
        session: &dyn Session,
        columns: &[usize],
        filter: Option<Expr>,
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut plan = LogicalPlanBuilder::from(self.plan.clone());
        if let Some(filter) = filter {
            plan = plan.filter(filter)?;
        }
        let wanted = columns.iter().map(|at| Expr::Column(Column::new_unqualified(self.schema.field(*at).name())));
        plan = plan.project(wanted.collect::<Vec<_>>())?;
        if limit.is_some() {
            plan = plan.limit(0, limit)?;
        }
        let state = session.as_any().downcast_ref::<SessionState>();
        let state = state.ok_or_else(|| DataFusionError::Internal("a view needs a session of ours".to_owned()))?;
        let mut state = state.clone();
        state.execution_props_mut().query_execution_start_time = Some(self.now);
        let plan = state.create_physical_plan(&plan.build()?).await?;
        attest(&plan, &self.allowed).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(plan)
    }
}

/// A session to plan in, at the moment that `now()` is in the view.
fn context(now: Timestamp) -> DfResult<datafusion::prelude::SessionContext> {
    let limits = Limits { memory_bytes: 64 << 20, spill_bytes: 0, spill_dir: std::env::temp_dir(), cores: 1 };
    session::context(&limits, None, Some(now), &Planning::default(), None)
}

/// The columns of the contract, of the types that readers ask for.
fn yielding(plan: LogicalPlan, view: &GovernedView) -> DfResult<LogicalPlan> {
    let columns = view.columns.iter().map(|column| {
        let at = plan.schema().fields().iter().position(|field| *field.name() == column.name);
        let at = at.ok_or_else(|| DataFusionError::Plan(format!("it does not yield `{}`", column.name)))?;
        let (qualifier, field) = plan.schema().qualified_field(at);
        let found = Expr::Column(Column::from((qualifier, field)));
        let wanted = read_type(&column.native);
        let value = if *field.data_type() == wanted { found } else { cast(found, wanted) };
        // Without a qualifier, so that two inputs with the same column do not matter any more.
        Ok(value.alias(&column.name))
    });
    let columns = columns.collect::<DfResult<Vec<_>>>()?;
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// The functions of a plan whose value changes from call to call, such as `random()`: what was checked would not be what
/// is read. (`now()` is the moment of the run.)
pub fn volatile(plan: &LogicalPlan) -> DfResult<Vec<String>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            expression.apply(|part| {
                if let Expr::ScalarFunction(call) = part
                    && call.func.signature().volatility == Volatility::Volatile
                {
                    found.push(call.func.name().to_owned());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    found.sort();
    found.dedup();
    Ok(found)
}
