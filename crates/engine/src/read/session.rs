//! The session of one statement: fresh, bounded, in UTC, with the functions that are allowed and nothing to reach files.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::common::Result as DfResult;
use datafusion::datasource::provider_as_source;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use meshwork_core::effect::Timestamp;

use super::functions;
use super::relation::AsOf;
use super::statement::{CATALOG, TableName};

/// What one session may use.
#[derive(Clone, Debug)]
pub struct Limits {
    pub memory_bytes: u64,
    pub spill_bytes: u64,
    pub spill_dir: PathBuf,
    pub cores: usize,
}

/// A session with our settings, functions and limits and an empty catalog `meshwork`. For runs and for queries; `shared`
/// lends its metadata cache and object stores.
pub fn base_context(limits: &Limits, shared: Option<&RuntimeEnv>, now: Option<Timestamp>) -> DfResult<SessionContext> {
    context(limits, shared, now, &Planning::default(), None)
}

/// How to plan, where the first way failed.
#[derive(Clone, Debug)]
pub struct Planning {
    /// Physical optimizer rules to leave out.
    pub without: Vec<&'static str>,
    pub prefer_hash_join: bool,
    pub single_partition: bool,
    /// Merging what was spilled holds one batch of every spill file: small ones let that fit.
    pub small_batches: bool,
}

impl Default for Planning {
    fn default() -> Self {
        Self { without: Vec::new(), prefer_hash_join: true, single_partition: false, small_batches: false }
    }
}

impl Planning {
    /// For a statement that ran out of memory: joins that spill, which hash joins do not.
    pub fn spilling() -> Self {
        Self { prefer_hash_join: false, small_batches: true, ..Self::default() }
    }
}

/// As [`base_context`], planning in a given way and with tables of given moments.
pub fn context(
    limits: &Limits,
    shared: Option<&RuntimeEnv>,
    now: Option<Timestamp>,
    planning: &Planning,
    as_of: Option<AsOf>,
) -> DfResult<SessionContext> {
    let runtime = Arc::new(runtime(limits, shared)?);
    let mut builder = SessionStateBuilder::new()
        .with_config(config(limits, planning))
        .with_runtime_env(runtime)
        .with_expr_planners(datafusion::execution::SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(functions::scalar())
        .with_higher_order_functions(datafusion::execution::SessionStateDefaults::default_higher_order_functions())
        .with_aggregate_functions(functions::aggregate())
        .with_window_functions(functions::window())
        .with_table_function_list(functions::table());
    if let Some(as_of) = as_of {
        builder = builder.with_relation_planners(vec![Arc::new(as_of)]);
    }
    if !planning.without.is_empty() {
        use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
        let rules = PhysicalOptimizer::new().rules;
        let kept = rules.into_iter().filter(|rule| !planning.without.contains(&rule.name())).collect();
        builder = builder.with_physical_optimizer_rules(kept);
    }
    let mut state = builder.build();
    let options = Arc::clone(state.config_options());
    let props = state.execution_props_mut();
    props.config_options = Some(options);
    props.query_execution_start_time = now;
    let context = SessionContext::new_with_state(state);
    context.register_catalog(CATALOG, Arc::new(MemoryCatalogProvider::new()));
    Ok(context)
}

fn config(limits: &Limits, planning: &Planning) -> SessionConfig {
    // `public` never exists: an unqualified name finds no domain.
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, "public")
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_target_partitions(match planning {
            Planning { single_partition: true, .. } => 1,
            // With one partition the planner takes a hash join whatever it prefers.
            Planning { prefer_hash_join: false, .. } => limits.cores.max(2),
            _ => limits.cores.max(1),
        });
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.parquet.schema_force_view_types = true;
    options.sql_parser.collect_spans = true;
    options.sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
    options.optimizer.prefer_hash_join = planning.prefer_hash_join;
    if planning.small_batches {
        options.execution.sort_spill_reservation_bytes = 2 << 20;
        config = config.with_batch_size(512);
    }
    config
}

fn runtime(limits: &Limits, shared: Option<&RuntimeEnv>) -> DfResult<RuntimeEnv> {
    let bytes = usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX);
    let consumers = std::num::NonZeroUsize::new(5).unwrap_or(std::num::NonZeroUsize::MIN);
    let pool = Arc::new(TrackConsumersPool::new(FairSpillPool::new(bytes), consumers));
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![limits.spill_dir.clone()]))
        .with_max_temp_directory_size(limits.spill_bytes);
    let own = RuntimeEnvBuilder::new().with_memory_pool(pool).with_disk_manager_builder(disk).build()?;
    Ok(match shared {
        None => own,
        Some(shared) => RuntimeEnv {
            cache_manager: Arc::clone(&shared.cache_manager),
            object_store_registry: Arc::clone(&shared.object_store_registry),
            ..own
        },
    })
}

/// The session's state as it was made: `SessionContext::state` would set its clock anew.
pub fn state(context: &SessionContext) -> SessionState {
    context.state_ref().read().clone()
}

/// Puts the statement's tables into the session's catalog: those of now by schema, those of a moment into [`AsOf`].
pub fn register(context: &SessionContext, tables: &BTreeMap<TableName, Arc<dyn TableProvider>>) -> DfResult<()> {
    let mut schemas: HashMap<&str, Arc<MemorySchemaProvider>> = HashMap::new();
    for (name, table) in tables.iter().filter(|(name, _)| name.as_of.is_none()) {
        let schema = schemas.entry(name.schema.as_str()).or_default();
        schema.register_table(name.table.clone(), Arc::clone(table))?;
    }
    let catalog = catalog(context)?;
    for (name, schema) in schemas {
        catalog.register_schema(name, schema)?;
    }
    Ok(())
}

pub fn catalog(context: &SessionContext) -> DfResult<Arc<dyn CatalogProvider>> {
    context
        .catalog(CATALOG)
        .ok_or_else(|| datafusion::common::DataFusionError::Internal("the session has no catalog".to_owned()))
}

/// The tables of a moment, for the relation planner.
pub fn as_of(tables: &BTreeMap<TableName, Arc<dyn TableProvider>>) -> AsOf {
    let tables = tables.iter().filter(|(name, _)| name.as_of.is_some());
    AsOf { tables: tables.map(|(name, table)| (name.clone(), provider_as_source(Arc::clone(table)))).collect() }
}
