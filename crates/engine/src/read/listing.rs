//! `pg_catalog` and `information_schema` over what a principal may query: only the statements that ask have them.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use datafusion_pg_catalog::pg_catalog::context::{PgCatalogContextProvider, Role};
use datafusion_pg_catalog::pg_catalog::{
    self as pg, PG_CATALOG_TABLES, PgCatalogSchemaProvider, PgCatalogStaticTables,
};
use meshwork_control::port::data::ListedTable;
use meshwork_core::types::ColumnType;

use super::compatible::VACANT;
use super::postgres;
use super::session::catalog;
use super::statement::CATALOG;
use crate::native::arrow_type;

/// Object ids must stay the same from one statement to the next (psql's `\d` asks in several), so the emulated catalog of
/// a listing is kept.
#[derive(Default)]
pub struct ListingCache {
    statics: OnceLock<Arc<PgCatalogStaticTables>>,
    recent: Mutex<VecDeque<(u64, Emulated)>>,
}

#[derive(Clone)]
struct Emulated {
    pg: Arc<dyn SchemaProvider>,
    information: Arc<dyn SchemaProvider>,
}

const KEPT: usize = 64;

impl ListingCache {
    /// Puts both schemas, and the functions that go with them, into the session of a statement.
    pub fn register(&self, context: &SessionContext, listed: Vec<ListedTable>, user: &str) -> Result<()> {
        let emulated = self.emulated(listed, user)?;
        let catalog = catalog(context)?;
        catalog.register_schema("pg_catalog", emulated.pg)?;
        catalog.register_schema("information_schema", emulated.information)?;
        for function in [
            pg::create_current_schemas_udf(),
            pg::create_pg_table_is_visible(),
            pg::format_type::create_format_type_udf(),
            pg::pg_get_expr_udf::create_pg_get_expr_udf(),
            pg::create_pg_get_partkeydef_udf(),
            pg::create_pg_relation_is_publishable_udf(),
            pg::create_pg_get_statisticsobjdef_columns_udf(),
            pg::create_pg_encoding_to_char_udf(),
            pg::create_pg_relation_size_udf(),
            pg::create_pg_total_relation_size_udf(),
            pg::create_pg_stat_get_numscans(),
            pg::create_pg_get_constraintdef(),
            pg::create_pg_get_partition_ancestors_udf(),
            pg::quote_ident_udf::create_quote_ident_udf(),
            pg::quote_ident_udf::create_parse_ident_udf(),
            pg::array_bounds_udf::create_array_upper_udf(),
            pg::array_bounds_udf::create_array_lower_udf(),
        ] {
            context.register_udf(function);
        }
        for name in
            ["has_table_privilege", "has_schema_privilege", "has_database_privilege", "has_any_column_privilege"]
        {
            context.register_udf(pg::has_privilege_udf::create_has_privilege_udf(name));
        }
        for function in postgres::of_user(user) {
            context.register_udf(function.as_ref().clone());
        }
        pg::generate_series_arg_coercion::CoerceIntArgsToBigInt::widen(context);
        // Casts to `regclass` and its kin.
        let state = context.state_ref();
        let existing = state.read().clone();
        let planner = Arc::new(pg::oid_type_planner::PgOidTypePlanner);
        *state.write() = SessionStateBuilder::new_from_existing(existing).with_type_planner(planner).build();
        Ok(())
    }

    fn emulated(&self, mut listed: Vec<ListedTable>, user: &str) -> Result<Emulated> {
        listed.sort_by(|a, b| (&a.domain, &a.table).cmp(&(&b.domain, &b.table)));
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        serde_json::to_string(&listed).map_err(|e| DataFusionError::External(Box::new(e)))?.hash(&mut hasher);
        let key = hasher.finish();
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = recent().iter().find(|(known, _)| *known == key) {
            return Ok(found.clone());
        }
        let statics = match self.statics.get() {
            Some(statics) => Arc::clone(statics),
            None => {
                let made = Arc::new(PgCatalogStaticTables::try_new()?);
                Arc::clone(self.statics.get_or_init(|| made))
            }
        };
        let information = information_schema(&listed)?;
        let listing = Listing { tables: Arc::new(listed) };
        let roles = Roles { user: user.to_owned() };
        let pg = PgCatalogSchemaProvider::try_new(listing, statics, roles)?;
        let emulated = Emulated { pg: Arc::new(Overlaid { pg }), information };
        let mut recent = recent();
        recent.push_back((key, emulated.clone()));
        if recent.len() > KEPT {
            recent.pop_front();
        }
        Ok(emulated)
    }
}

/// `pg_catalog` without what does not hold here: the tables of keys and indexes are about PostgreSQL's own.
#[derive(Debug)]
struct Overlaid {
    pg: PgCatalogSchemaProvider<Listing, Roles>,
}

#[async_trait]
impl SchemaProvider for Overlaid {
    fn table_names(&self) -> Vec<String> {
        self.pg.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if name == "pg_settings" {
            return Ok(Some(Arc::new(settings()?)));
        }
        match self.pg.table(name).await? {
            Some(table) if VACANT.contains(&name) => {
                Ok(Some(Arc::new(MemTable::try_new(table.schema(), vec![Vec::new()])?)))
            }
            table => Ok(table),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.pg.table_exist(name)
    }
}

/// What `SHOW` says too.
fn settings() -> Result<MemTable> {
    let mut view = View::new(&["name", "setting", "unit", "category", "short_desc", "context", "vartype", "source"]);
    for (name, value) in postgres::SETTINGS {
        let (name, value) = (Some(*name), Some(*value));
        view.row([name, value, None, None, None, Some("internal"), Some("string"), Some("default")]);
    }
    view.table()
}

#[derive(Clone)]
struct Listing {
    tables: Arc<Vec<ListedTable>>,
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listing({} tables)", self.tables.len())
    }
}

impl Listing {
    fn find(&self, schema: &str, table: &str) -> Option<&ListedTable> {
        self.tables.iter().find(|listed| listed.domain == *schema && listed.table == table)
    }
}

#[async_trait]
impl CatalogInfo for Listing {
    async fn catalog_names(&self) -> Result<Vec<String>> {
        Ok(vec![CATALOG.to_owned()])
    }

    async fn schema_names(&self, catalog: &str) -> Result<Option<Vec<String>>> {
        if catalog != CATALOG {
            return Ok(None);
        }
        let mut names: Vec<String> = self.tables.iter().map(|table| table.domain.to_string()).collect();
        names.dedup();
        names.extend(["information_schema".to_owned(), "pg_catalog".to_owned()]);
        Ok(Some(names))
    }

    async fn table_names(&self, catalog: &str, schema: &str) -> Result<Option<Vec<String>>> {
        Ok(match (catalog, schema) {
            (CATALOG, "pg_catalog") => Some(PG_CATALOG_TABLES.iter().map(ToString::to_string).collect()),
            (CATALOG, _) => {
                let tables = self.tables.iter().filter(|table| table.domain == *schema);
                Some(tables.map(|table| table.table.clone()).collect())
            }
            _ => None,
        })
    }

    async fn table_schema(&self, _: &str, schema: &str, table: &str) -> Result<Option<SchemaRef>> {
        if schema == "pg_catalog" {
            return Ok(Some(Arc::new(Schema::empty())));
        }
        Ok(self.find(schema, table).map(|listed| {
            let fields = listed.columns.iter();
            Arc::new(Schema::new(
                fields
                    .map(|column| Field::new(&column.name, arrow_type(&column.native), column.nullable))
                    .collect::<Vec<_>>(),
            ))
        }))
    }

    async fn table_type(&self, _: &str, schema: &str, table: &str) -> Result<Option<TableType>> {
        let known = schema == "pg_catalog" || self.find(schema, table).is_some();
        Ok(known.then_some(TableType::Base))
    }
}

#[derive(Clone, Debug)]
struct Roles {
    user: String,
}

#[async_trait]
impl PgCatalogContextProvider for Roles {
    async fn roles(&self) -> Vec<String> {
        vec![self.user.clone()]
    }
    async fn role(&self, name: &str) -> Option<Role> {
        (name == self.user).then(|| Role {
            name: self.user.clone(),
            is_superuser: false,
            can_login: true,
            can_create_db: false,
            can_create_role: false,
            can_create_user: false,
            can_replication: false,
            grants: Vec::new(),
            inherited_roles: Vec::new(),
        })
    }
}

/// The views that tools read, in the standard's shapes and PostgreSQL's type names.
fn information_schema(listed: &[ListedTable]) -> Result<Arc<dyn SchemaProvider>> {
    let schema = Arc::new(MemorySchemaProvider::new());
    let mut domains: Vec<&str> = listed.iter().map(|table| table.domain.as_str()).collect();
    domains.dedup();
    domains.extend(["information_schema", "pg_catalog"]);

    let mut schemata = View::new(&["catalog_name", "schema_name", "schema_owner"]);
    for domain in domains {
        schemata.row([Some(CATALOG), Some(domain), Some("meshwork")]);
    }
    let mut tables = View::new(&[
        "table_catalog",
        "table_schema",
        "table_name",
        "table_type",
        "is_insertable_into",
        "is_typed",
        "table_comment",
    ]);
    let mut columns = View::new(&[
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "column_default",
        "is_nullable",
        "data_type",
        "udt_catalog",
        "udt_schema",
        "udt_name",
        "is_identity",
        "is_generated",
        "generation_expression",
        "is_updatable",
        "character_set_name",
        "collation_name",
        "domain_name",
        "column_comment",
    ]);
    let (mut ordinals, mut lengths, mut precisions, mut scales, mut datetimes) =
        (vec![], vec![], vec![], vec![], vec![]);
    for table in listed {
        let (domain, name) = (Some(table.domain.as_str()), Some(table.table.as_str()));
        let kind = Some("BASE TABLE");
        tables.row([Some(CATALOG), domain, name, kind, Some("NO"), Some("NO"), table.description.as_deref()]);
        for (at, column) in table.columns.iter().enumerate() {
            let ty = sql_type(&column.native);
            columns.row([
                Some(CATALOG),
                domain,
                name,
                Some(column.name.as_str()),
                None,
                Some(if column.nullable { "YES" } else { "NO" }),
                Some(ty.name),
                Some(CATALOG),
                Some("pg_catalog"),
                Some(ty.udt),
                Some("NO"),
                Some("NEVER"),
                None,
                Some("NO"),
                None,
                None,
                None,
                column.description.as_deref(),
            ]);
            ordinals.push(i32::try_from(at + 1).ok());
            lengths.push(None);
            precisions.push(ty.precision);
            scales.push(ty.scale);
            datetimes.push(ty.datetime);
        }
    }
    columns.integers = vec![
        ("ordinal_position", ordinals),
        ("character_maximum_length", lengths),
        ("numeric_precision", precisions),
        ("numeric_scale", scales),
        ("datetime_precision", datetimes),
    ];
    for (name, view) in [("schemata", schemata), ("tables", tables), ("columns", columns)] {
        schema.register_table(name.to_owned(), Arc::new(view.table()?))?;
    }
    for (name, columns) in EMPTY_VIEWS {
        schema.register_table((*name).to_owned(), Arc::new(View::new(columns).table()?))?;
    }
    Ok(schema)
}

/// Views that tools join with and that have no rows here.
const EMPTY_VIEWS: &[(&str, &[&str])] = &[
    ("views", &["table_catalog", "table_schema", "table_name", "view_definition", "check_option", "is_updatable"]),
    (
        "table_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "constraint_type",
            "is_deferrable",
            "initially_deferred",
        ],
    ),
    (
        "key_column_usage",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
            "position_in_unique_constraint",
        ],
    ),
    (
        "referential_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "unique_constraint_catalog",
            "unique_constraint_schema",
            "unique_constraint_name",
            "match_option",
            "update_rule",
            "delete_rule",
        ],
    ),
    (
        "constraint_column_usage",
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
        ],
    ),
    ("check_constraints", &["constraint_catalog", "constraint_schema", "constraint_name", "check_clause"]),
    (
        "routines",
        &["specific_catalog", "specific_schema", "specific_name", "routine_schema", "routine_name", "routine_type"],
    ),
    ("parameters", &["specific_catalog", "specific_schema", "specific_name", "parameter_name", "data_type"]),
    ("sequences", &["sequence_catalog", "sequence_schema", "sequence_name", "data_type"]),
    ("triggers", &["trigger_catalog", "trigger_schema", "trigger_name", "event_object_schema", "event_object_table"]),
];

/// Rows of text, then columns of integers of the same length.
struct View {
    names: Vec<&'static str>,
    columns: Vec<Vec<Option<String>>>,
    integers: Vec<(&'static str, Vec<Option<i32>>)>,
}

impl View {
    fn new(names: &[&'static str]) -> Self {
        Self { names: names.to_vec(), columns: vec![Vec::new(); names.len()], integers: Vec::new() }
    }

    fn row<const N: usize>(&mut self, values: [Option<&str>; N]) {
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value.map(ToOwned::to_owned));
        }
    }

    fn table(self) -> Result<MemTable> {
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (name, values) in self.names.into_iter().zip(self.columns) {
            fields.push(Field::new(name, DataType::Utf8, true));
            arrays.push(Arc::new(StringArray::from(values)));
        }
        for (name, values) in self.integers {
            fields.push(Field::new(name, DataType::Int32, true));
            arrays.push(Arc::new(Int32Array::from(values)));
        }
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
        MemTable::try_new(schema, vec![vec![batch]])
    }
}

struct SqlType {
    name: &'static str,
    udt: &'static str,
    precision: Option<i32>,
    scale: Option<i32>,
    datetime: Option<i32>,
}

fn sql_type(ty: &ColumnType) -> SqlType {
    let plain = |name, udt| SqlType { name, udt, precision: None, scale: None, datetime: None };
    let integer = |name, udt, bits| SqlType { precision: Some(bits), scale: Some(0), ..plain(name, udt) };
    let moment = |name, udt| SqlType { datetime: Some(6), ..plain(name, udt) };
    match ty {
        ColumnType::Boolean => plain("boolean", "bool"),
        ColumnType::Int8 | ColumnType::Int16 => integer("smallint", "int2", 16),
        ColumnType::Int32 => integer("integer", "int4", 32),
        ColumnType::Int64 => integer("bigint", "int8", 64),
        ColumnType::Float32 => SqlType { precision: Some(24), ..plain("real", "float4") },
        ColumnType::Float64 => SqlType { precision: Some(53), ..plain("double precision", "float8") },
        ColumnType::Decimal { precision, scale } => SqlType {
            precision: Some(i32::from(*precision)),
            scale: Some(i32::from(*scale)),
            ..plain("numeric", "numeric")
        },
        ColumnType::Text => plain("text", "text"),
        ColumnType::Binary => plain("bytea", "bytea"),
        ColumnType::Date => plain("date", "date"),
        ColumnType::Timestamp => moment("timestamp with time zone", "timestamptz"),
        ColumnType::LocalTimestamp => moment("timestamp without time zone", "timestamp"),
        ColumnType::List(_) => plain("ARRAY", "_text"),
        ColumnType::Struct(_) => plain("record", "record"),
    }
}
