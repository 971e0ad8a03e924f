//! A statement from text to attested plan to batches.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, ParamValues, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as DfStatement;
use futures::{FutureExt, Stream, StreamExt};
use meshwork_control::port::data::{BatchStream, GovernedTable, PlanRequest, PlannedQuery, TableUse};
use meshwork_core::error::{Error, Result};
use tokio::sync::{mpsc, oneshot};

use super::attest::{Allowed, attest};
use super::engine::Shared;
use super::error::{self, Scope};
use super::explain;
use super::output::{plain_batch, plain_schema};
use super::parameter;
use super::secured::{self, SecuredTable};
use super::session::{self, Limits, Planning};
use super::statement::{Explain, Statement, TableName, parse};
use super::stop::{Stop, stoppable};

/// Rules that have been seen to leave an invalid plan, in the order to try without them.
const SUSPECT_RULES: [&str; 8] = [
    "ProjectionPushdown",
    "PushdownSort",
    "LimitPushdown",
    "OptimizeAggregateOrder",
    "WindowTopN",
    "TopKRepartition",
    "HashJoinBuffering",
    "join_selection",
];

pub struct Planned(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    request: PlanRequest,
    explain: Option<Explain>,
    tables: Vec<Arc<SecuredTable>>,
    logical: LogicalPlan,
    parameters: Vec<Option<DataType>>,
    schema: SchemaRef,
    uses: Vec<TableUse>,
    allowed: Allowed,
    /// Made while planning, for the first execution of a statement without parameters.
    ready: Mutex<Option<Physical>>,
}

struct Physical {
    context: SessionContext,
    plan: Arc<dyn ExecutionPlan>,
}

pub async fn plan(shared: Arc<Shared>, request: PlanRequest) -> Result<Planned> {
    let statement = parse(&request.sql, request.limits.sql_bytes)?;
    let tables = resolve(&shared, &request, &statement).await?;
    let providers: BTreeMap<TableName, Arc<dyn TableProvider>> =
        tables.iter().map(|(name, table)| (name.clone(), Arc::clone(table) as Arc<dyn TableProvider>)).collect();

    let limits = limits(&shared, &request);
    let as_of = session::as_of(&providers);
    let context = session::context(&limits, Some(&shared.env), Some(request.now), &Planning::default(), Some(as_of))
        .map_err(|error| error::internal(&error))?;
    session::register(&context, &providers).map_err(|error| error::internal(&error))?;
    if statement.emulated {
        let listed = request.catalog.list().await?;
        shared.listings.register(&context, listed, &request.catalog.user()).map_err(|error| error::internal(&error))?;
    }

    let withheld: Vec<(String, Vec<String>)> =
        tables.values().map(|table| (table.name(), table.governed().withheld.clone())).collect();
    let scope = Scope { withheld: &withheld };
    let logical = session::state(&context)
        .statement_to_plan(DfStatement::Statement(Box::new(statement.ast.clone())))
        .await
        .map_err(|error| error::planning(&error, &scope))?;
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(&logical).map_err(|error| {
        Error::usage("MW0805", error::redacted(&error.to_string())).hint("only queries and EXPLAIN are allowed")
    })?;

    let tables: Vec<Arc<SecuredTable>> = tables.into_values().collect();
    let allowed = Allowed { emulated: statement.emulated, ..Allowed::of(&tables) };
    let logical = parameter::typed(logical, &request.parameter_types)?;
    let parameters = parameter::parameters(&logical)?;
    let optimized = session::state(&context).optimize(&logical);
    let uses = match (&optimized, parameters.is_empty()) {
        (Ok(optimized), _) => uses(optimized)?,
        // A parameter without a type may keep the optimizer from finishing; the unoptimised plan reads at least as much.
        (Err(_), false) => uses(&logical)?,
        (Err(error), true) => return Err(error::planning(error, &scope)),
    };
    let schema = match statement.explain {
        Some(_) => explain::schema(),
        None => plain_schema(logical.schema().as_arrow()),
    };
    let explain = statement.explain;
    let ready = Mutex::new(None);
    let inner = Inner { shared, request, explain, tables, logical, parameters, schema, uses, allowed, ready };
    if inner.parameters.is_empty() {
        let physical = inner.physical(&inner.logical, &Planning::default()).await?;
        *inner.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(physical);
    }
    Ok(Planned(Arc::new(inner)))
}

fn limits(shared: &Shared, request: &PlanRequest) -> Limits {
    Limits {
        memory_bytes: request.limits.memory_bytes,
        spill_bytes: request.limits.spill_bytes,
        spill_dir: shared.config.spill_dir.clone(),
        cores: shared.config.cores,
    }
}

async fn resolve(
    shared: &Shared,
    request: &PlanRequest,
    statement: &Statement,
) -> Result<BTreeMap<TableName, Arc<SecuredTable>>> {
    let mut tables = BTreeMap::new();
    for name in &statement.tables {
        if matches!(name.schema.as_str(), "pg_catalog" | "information_schema") {
            continue;
        }
        let as_of = name.as_of.or(request.as_of);
        // `None` is left out, so that the planner says what it says of any unknown table.
        if let Some(governed) = request.catalog.resolve(&name.schema, &name.table, as_of).await? {
            let table: GovernedTable = governed;
            tables.insert(name.clone(), secured::provider(&table, &shared.snapshots).await?);
        }
    }
    Ok(tables)
}

/// The governed tables in a plan with the columns that it takes from each.
pub fn uses(plan: &LogicalPlan) -> Result<Vec<TableUse>> {
    let mut found: Vec<TableUse> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(table) = provider.as_ref().downcast_ref::<SecuredTable>()
        {
            let mut columns: BTreeSet<String> =
                scan.projected_schema.fields().iter().map(|field| field.name().clone()).collect();
            for filter in &scan.filters {
                columns.extend(filter.column_refs().iter().map(|column| column.name.clone()));
            }
            add(&mut found, table, columns);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(|error| error::internal(&error))?;
    Ok(found)
}

fn add(found: &mut Vec<TableUse>, table: &SecuredTable, columns: BTreeSet<String>) {
    let below = table.below().to_vec();
    let table = table.governed();
    let known = found.iter_mut().find(|known| {
        known.output_id == table.output_id && known.major == table.major && known.delta_version == table.delta_version
    });
    let columns = match &known {
        Some(known) => columns.into_iter().chain(known.columns.iter().cloned()).collect(),
        None => columns,
    };
    // In table order.
    let read = || table.columns.iter().filter(|column| columns.contains(&column.name));
    let entry = TableUse {
        domain: table.domain.clone(),
        output: table.output.clone(),
        output_id: table.output_id.clone(),
        major: table.major,
        delta_version: table.delta_version,
        columns: read().map(|column| column.name.clone()).collect(),
        masked: read().filter(|column| column.mask.is_some()).map(|column| column.name.clone()).collect(),
        filtered: !table.rows.is_empty(),
        decision_digest: table.decision_digest.clone(),
        valid_until: table.valid_until,
        below,
    };
    match known {
        Some(known) => *known = entry,
        None => found.push(entry),
    }
}

impl Inner {
    async fn physical(&self, logical: &LogicalPlan, planning: &Planning) -> Result<Physical> {
        let first = match self.try_physical(logical, planning).await {
            Err(error) if insane(&error) => error,
            other => return self.attested(other),
        };
        tracing::warn!(error = %first, "planning again without the rule that broke the plan");
        for rule in SUSPECT_RULES {
            let without = Planning { without: vec![rule], ..planning.clone() };
            match self.try_physical(logical, &without).await {
                Err(error) if insane(&error) => {}
                other => return self.attested(other),
            }
        }
        let last = Planning { single_partition: true, ..planning.clone() };
        self.attested(self.try_physical(logical, &last).await)
    }

    async fn try_physical(&self, logical: &LogicalPlan, planning: &Planning) -> Result<Physical, DataFusionError> {
        let limits = limits(&self.shared, &self.request);
        let context = session::context(&limits, Some(&self.shared.env), Some(self.request.now), planning, None)?;
        let plan = session::state(&context).create_physical_plan(logical).await?;
        Ok(Physical { context, plan })
    }

    fn attested(&self, made: Result<Physical, DataFusionError>) -> Result<Physical> {
        let withheld = [];
        let physical = made.map_err(|error| error::planning(&error, &Scope { withheld: &withheld }))?;
        attest(&physical.plan, &self.allowed)?;
        Ok(physical)
    }

    fn bound(&self, values: Vec<ArrayRef>) -> Result<LogicalPlan> {
        if values.len() != self.parameters.len() {
            let message = format!("{} parameters are needed, {} were given", self.parameters.len(), values.len());
            return Err(Error::usage("MW0817", message));
        }
        if values.is_empty() {
            return Ok(self.logical.clone());
        }
        let mismatch = |at: usize| Error::usage("MW0817", format!("the value of ${} does not fit its type", at + 1));
        let scalars = values.iter().zip(&self.parameters).enumerate().map(|(at, (value, ty))| {
            if value.len() != 1 {
                return Err(mismatch(at));
            }
            let scalar = ScalarValue::try_from_array(value, 0).map_err(|_| mismatch(at))?;
            let scalar = match ty {
                Some(ty) => scalar.cast_to(ty).map_err(|_| mismatch(at))?,
                None => scalar,
            };
            Ok(ScalarAndMetadata::new(scalar, None))
        });
        let values = ParamValues::List(scalars.collect::<Result<_>>()?);
        let plan = self.logical.clone().replace_params_with_values(&values);
        plan.map_err(|error| error::planning(&error, &Scope { withheld: &[] }))
    }

    /// The table without obligations that a file belongs to.
    fn open_table(&self, file: &object_store::path::Path) -> Option<String> {
        let is_it = |table: &&Arc<SecuredTable>| table.open_folder().is_some_and(|folder| file.prefix_matches(folder));
        let table = self.tables.iter().find(is_it)?;
        Some(table.name())
    }

    async fn run(
        &self,
        logical: LogicalPlan,
        physical: Physical,
        stop: &Stop,
        out: &mpsc::Sender<Result<RecordBatch>>,
    ) -> Result<()> {
        if let Some(explained) = self.explain {
            return self.explained(explained, physical, stop, out).await;
        }
        let mut sent = 0u64;
        match self.pump(&physical, stop, &mut sent, out).await {
            Err(error) if sent == 0 && error.code == "MW0811" && !stop.is_set() => {
                let Some(planning) = spilling(&physical.plan) else { return Err(error) };
                drop(physical);
                tracing::info!(?planning, "out of memory in a join: once more with joins that spill");
                let physical = self.physical(&logical, &planning).await?;
                self.pump(&physical, stop, &mut sent, out).await
            }
            other => other,
        }
    }

    async fn pump(
        &self,
        physical: &Physical,
        stop: &Stop,
        sent: &mut u64,
        out: &mpsc::Sender<Result<RecordBatch>>,
    ) -> Result<()> {
        let pumped = AssertUnwindSafe(self.pump_unguarded(physical, stop, sent, out)).catch_unwind();
        pumped.await.unwrap_or_else(|payload| Err(panicked(&*payload)))
    }

    async fn pump_unguarded(
        &self,
        physical: &Physical,
        stop: &Stop,
        sent: &mut u64,
        out: &mpsc::Sender<Result<RecordBatch>>,
    ) -> Result<()> {
        let task = physical.context.task_ctx();
        let plan = stoppable(Arc::clone(&physical.plan), stop).map_err(|error| error::execution(&error))?;
        let mut batches = execute_stream(plan, task).map_err(|error| error::execution(&error))?;
        let mut rows = 0u64;
        while let Some(batch) = batches.next().await {
            let batch = batch.and_then(|batch| plain_batch(&batch, &self.schema)).map_err(|e| error::execution(&e))?;
            rows += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
            if let Some(limit) = self.request.limits.rows
                && rows > limit
            {
                return Err(Error::limit("MW0812", format!("the answer has more than {limit} rows"))
                    .hint("add a LIMIT, or aggregate"));
            }
            *sent += 1;
            if out.send(Ok(batch)).await.is_err() {
                // Nobody listens any more.
                return Ok(());
            }
        }
        Ok(())
    }

    async fn explained(
        &self,
        explained: Explain,
        mut physical: Physical,
        stop: &Stop,
        out: &mpsc::Sender<Result<RecordBatch>>,
    ) -> Result<()> {
        if explained.analyze {
            let task = physical.context.task_ctx();
            // What is shown is what ran, with its figures.
            physical.plan = stoppable(physical.plan, stop).map_err(|error| error::execution(&error))?;
            let plan = Arc::clone(&physical.plan);
            let mut batches = execute_stream(plan, task).map_err(|error| error::execution(&error))?;
            while let Some(batch) = batches.next().await {
                batch.map_err(|error| error::execution(&error))?;
            }
        }
        let text = explain::render(&physical.plan, explained.analyze, &|file| self.open_table(file));
        let batch = explain::batch(&text).map_err(|error| error::execution(&error));
        let _ = out.send(batch).await;
        Ok(())
    }
}

fn insane(error: &DataFusionError) -> bool {
    error.to_string().contains("SanityCheckPlan")
}

/// How to plan a statement again whose joins ran out of memory. Hash joins do not spill, sort-merge joins do; nested-loop
/// joins do where their inputs can be started twice, which is where rows are not exchanged between partitions.
fn spilling(plan: &Arc<dyn ExecutionPlan>) -> Option<Planning> {
    let has = |name| holds(plan, name);
    match (has("HashJoinExec"), has("NestedLoopJoinExec")) {
        (true, _) => Some(Planning::spilling()),
        (false, true) if has("RepartitionExec") => Some(Planning { single_partition: true, ..Planning::spilling() }),
        _ => None,
    }
}

fn holds(plan: &Arc<dyn ExecutionPlan>, name: &str) -> bool {
    plan.name() == name || plan.children().into_iter().any(|input| holds(input, name))
}

#[async_trait]
impl PlannedQuery for Planned {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.schema)
    }

    fn parameters(&self) -> Vec<Option<DataType>> {
        self.0.parameters.clone()
    }

    fn tables(&self) -> &[TableUse] {
        &self.0.uses
    }

    async fn execute(&self, values: Vec<ArrayRef>) -> Result<BatchStream> {
        let inner = Arc::clone(&self.0);
        let time = inner.request.limits.time;
        let started = self.0.shared.spawn(async move {
            let logical = inner.bound(values)?;
            let ready = inner.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
            let physical = match ready {
                Some(physical) => physical,
                None => inner.physical(&logical, &Planning::default()).await?,
            };
            Ok((logical, physical))
        });
        let (logical, physical) = tokio::time::timeout(time, started).await.map_err(|_| too_long())??;
        // Small: a slow client holds back the scan, and a dropped one costs two batches.
        let (sender, receiver) = mpsc::channel(2);
        let inner = Arc::clone(&self.0);
        let stop = Stop::default();
        let stopped = stop.clone();
        let task = self.0.shared.handle.spawn(async move {
            let run = AssertUnwindSafe(inner.run(logical, physical, &stopped, &sender)).catch_unwind();
            if let Err(error) = run.await.unwrap_or_else(|payload| Err(panicked(&*payload))) {
                let error = if stopped.is_set() { too_long() } else { error };
                let _ = sender.send(Err(error)).await;
            }
        });
        // Whoever reads learns of the end of the statement's time at once, however long the task takes to notice.
        let (ring, bell) = oneshot::channel();
        let late = self.0.shared.clock.spawn({
            let (stop, task) = (stop.clone(), task.abort_handle());
            async move {
                tokio::time::sleep(time).await;
                stop.set();
                let _ = ring.send(());
                task.abort();
            }
        });
        Ok(Box::pin(Answer { receiver, bell: Some(bell), task: task.abort_handle(), late: late.abort_handle(), stop }))
    }
}

fn too_long() -> Error {
    Error::limit("MW0810", "the statement ran longer than it may")
        .hint("select fewer rows, or let a product compute it")
}

/// An operator that panicked, in words. One panic is known: a nested-loop join that runs out of memory starts its input
/// once more, to spill it, and an exchange of rows cannot be started twice.
fn panicked(payload: &(dyn std::any::Any + Send)) -> Error {
    let told = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    match told {
        Some(told) if told.contains(error::REPLAYED) => error::out_of_memory(),
        _ => Error::internal("MW0816", "the query engine could not run this statement")
            .hint("write it another way; the server's log has the reason"),
    }
}

/// The batches of a running statement. Dropping it stops the statement.
struct Answer {
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    /// Rings at the end of the statement's time.
    bell: Option<oneshot::Receiver<()>>,
    task: tokio::task::AbortHandle,
    /// Waits for the end of the statement's time.
    late: tokio::task::AbortHandle,
    stop: Stop,
}

impl Stream for Answer {
    type Item = Result<RecordBatch>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let rung = self.bell.as_mut().map(|bell| Pin::new(bell).poll(cx));
        if let Some(Poll::Ready(rung)) = rung {
            self.bell = None;
            if rung.is_ok() {
                self.receiver.close();
                while self.receiver.try_recv().is_ok() {}
                return Poll::Ready(Some(Err(too_long())));
            }
        }
        self.receiver.poll_recv(cx)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.stop.set();
        self.late.abort();
        self.task.abort();
    }
}
