//! A principal's catalog for tests, the table of the red team, and its oracle: the same table, masked and filtered by
//! hand before any engine sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::{DFSchema, Result as DfResult};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement as DfStatement;
use deltalake_core::kernel::{DataType as DeltaType, MetadataValue, PrimitiveType, StructField};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter};
use futures::StreamExt;
use meshwork_control::port::data::{
    Catalog, ColumnMask, GovernedBody, GovernedColumn, GovernedTable, ListedColumn, ListedTable, PlanRequest,
    PlannedQuery, QueryEngine, QueryLimits,
};
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use meshwork_core::filter::{Comparison, Predicate, RowFilter};
use meshwork_core::id::{ColumnId, OutputId};
use meshwork_core::mask::Mask;
use meshwork_core::name::Name;
use meshwork_core::publication::TableLocation;
use meshwork_core::types::{ColumnType, Literal};
use sha2::{Digest, Sha256};

use crate::read::barrier::{BarrierExec, Disclosure};
use crate::read::error::{self, Scope};
use crate::read::filter;
use crate::read::output::{plain_batch, plain_schema};
use crate::read::session::{self, Limits, Planning};
use crate::read::statement::{TableName, parse};
use crate::read::{Engine, EngineConfig};

pub type Row =
    (i64, Option<&'static str>, Option<&'static str>, Option<&'static str>, Option<i64>, Option<&'static str>);

/// id, name, email, ssn, salary, region. Hidden rows have values on which careless plans fail.
pub const ROWS: [Row; 12] = [
    (1, Some("Ada"), Some("ada@x.eu"), Some("123-45-6789"), Some(100), Some("EU")),
    (2, Some("Bob"), Some("bob@x.com"), Some("987-65-4321"), Some(200), Some("US")),
    (3, Some("17"), Some("c@x.eu"), Some("111-11-1111"), Some(0), Some("EU")),
    (4, Some("Dee"), None, Some("222-22-2222"), Some(-5), Some("US")),
    (5, Some("42"), Some("e@x.eu"), None, None, Some("EU")),
    (6, None, Some("f@x.eu"), Some("ab"), Some(7), Some("EU")),
    (7, Some("Gus"), Some("g@x.com"), Some("333-33-3333"), Some(9_000_000), Some("APAC")),
    (8, Some("Hal"), Some("h@x.com"), Some("444-44-4444"), Some(1), None),
    (9, Some("17"), Some("ada@x.eu"), Some("123-45-6789"), Some(100), Some("EU")),
    (10, Some("9"), Some("j@x.eu"), Some("999-99-9999"), Some(i64::MAX), Some("EU")),
    (11, Some("zero"), Some("k@x.us"), Some("000-00-0000"), Some(0), Some("US")),
    (12, Some(""), Some(""), Some(""), Some(12), Some("EU")),
];

/// id, customer, amount, note: without obligations.
pub const ORDERS: [(i64, i64, i64, &str); 6] = [
    (1, 1, 10, "first"),
    (2, 1, 20, "17"),
    (3, 2, 30, "us"),
    (4, 3, 0, "9"),
    (5, 10, 50, "123-45-6789"),
    (6, 99, 5, "none"),
];

pub struct Fixture {
    pub engine: Engine,
    pub catalog: Arc<FakeCatalog>,
    pub folder: tempfile::TempDir,
    /// One oracle for each way to cut the rows into batches, with and without evaluating plain comparisons of open columns
    /// first: which rows an expression that may fail is evaluated on depends on that, with or without a policy. All hold
    /// nothing but what the reader may see, so an answer that one of them gives tells no more.
    pub oracles: Vec<BTreeMap<TableName, Arc<dyn TableProvider>>>,
}

#[derive(Clone)]
pub struct FakeCatalog {
    pub tables: BTreeMap<(String, String), GovernedTable>,
    /// The table as it was before this moment.
    pub earlier: Option<(Timestamp, GovernedTable)>,
}

#[async_trait]
impl Catalog for FakeCatalog {
    async fn resolve(&self, domain: &str, table: &str, as_of: Option<Timestamp>) -> Result<Option<GovernedTable>> {
        if (domain, table) == ("crm", "closed") {
            return Err(Error::forbidden("MW0700", "`crm.closed` is not granted to you"));
        }
        if let (Some(at), Some((moment, earlier))) = (as_of, &self.earlier)
            && at < *moment
            && earlier.output.as_str() == table
        {
            return Ok(Some(earlier.clone()));
        }
        Ok(self.tables.get(&(domain.to_owned(), table.to_owned())).cloned())
    }

    async fn list(&self) -> Result<Vec<ListedTable>> {
        let tables = self.tables.iter();
        Ok(tables
            .map(|((_, name), table)| ListedTable {
                domain: table.domain.clone(),
                table: name.clone(),
                description: None,
                columns: table
                    .columns
                    .iter()
                    .map(|column| ListedColumn {
                        name: column.name.clone(),
                        native: column.native.clone(),
                        nullable: column.nullable || column.mask.is_some(),
                        description: None,
                    })
                    .collect(),
            })
            .collect())
    }

    fn user(&self) -> String {
        "ann".to_owned()
    }
}

pub fn moment(text: &str) -> Timestamp {
    crate::read::statement::parse_moment(text).unwrap()
}

pub async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let customers = write_customers(&folder).await;
    let orders = write_orders(&folder).await;
    let c = governed("c", &customers, 2);
    let mut earlier = c.clone();
    earlier.delta_version = 1;
    let o = open(&orders);
    let mut tables = BTreeMap::new();
    for (name, table) in [("c", &c), ("c_v1", &c), ("o", &o)] {
        tables.insert(("crm".to_owned(), name.to_owned()), table.clone());
    }
    let catalog = FakeCatalog { tables, earlier: Some((moment("2026-02-01"), earlier)) };
    let layouts = [Layout::Files, Layout::One, Layout::Rows];
    let oracles = layouts.into_iter().flat_map(|layout| [oracle(layout, false), oracle(layout, true)]).collect();
    let engine = Engine::new(EngineConfig::new(folder.path().join("spill"), 2)).unwrap();
    Fixture { engine, catalog: Arc::new(catalog), folder, oracles }
}

fn location(folder: &tempfile::TempDir, output: &str) -> TableLocation {
    let root = url::Url::from_directory_path(folder.path().canonicalize().unwrap()).unwrap();
    TableLocation::of(root.as_str(), &OutputId::new(output), 1)
}

fn path(location: &TableLocation) -> String {
    let url = url::Url::parse(&location.url()).unwrap();
    let path = url.to_file_path().unwrap();
    std::fs::create_dir_all(&path).unwrap();
    url.to_string()
}

/// Two commits: six rows, then the rest, so that files and versions differ.
async fn write_customers(folder: &tempfile::TempDir) -> TableLocation {
    let location = location(folder, "out-c");
    let text = || DeltaType::Primitive(PrimitiveType::String);
    let long = || DeltaType::Primitive(PrimitiveType::Long);
    let mut table = CreateBuilder::new()
        .with_location(path(&location))
        .with_column("id", long(), false, None)
        .with_column("name", text(), true, None)
        .with_column("email", text(), true, None)
        .with_column("ssn", text(), true, None)
        .with_column("salary", long(), true, None)
        .with_column("region", text(), true, None)
        .await
        .unwrap();
    for rows in [&ROWS[..6], &ROWS[6..]] {
        let mut writer = RecordBatchWriter::for_table(&table).unwrap();
        writer.write(stored(rows)).await.unwrap();
        writer.flush_and_commit(&mut table).await.unwrap();
    }
    location
}

/// One row in which `name` is stored as `ssn`, `ssn` as `name` and `region` as `old_region`, with the columns' ids; no
/// salary yet.
pub async fn write_renamed(folder: &tempfile::TempDir) -> TableLocation {
    let location = location(folder, "out-renamed");
    let mut create = CreateBuilder::new().with_location(path(&location));
    let columns = [("id", "id"), ("ssn", "name"), ("name", "ssn"), ("old_region", "region"), ("email", "email")];
    for (stored, column) in columns {
        let ty = if column == "id" { PrimitiveType::Long } else { PrimitiveType::String };
        let field = StructField::nullable(stored, DeltaType::Primitive(ty));
        let id = MetadataValue::String(format!("col-{column}"));
        create = create.with_columns([field.with_metadata([(crate::native::COLUMN_ID, id)])]);
    }
    let mut table = create.await.unwrap();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef, true),
        ("ssn", text("Ada"), true),
        ("name", text("123-45-6789"), true),
        ("old_region", text("EU"), true),
        ("email", text("ada@x.eu"), true),
    ]);
    let mut writer = RecordBatchWriter::for_table(&table).unwrap();
    let schema = writer.arrow_schema();
    let batch = batch.unwrap().with_schema(schema).unwrap();
    writer.write(batch).await.unwrap();
    writer.flush_and_commit(&mut table).await.unwrap();
    location
}

async fn write_orders(folder: &tempfile::TempDir) -> TableLocation {
    let location = location(folder, "out-o");
    let long = || DeltaType::Primitive(PrimitiveType::Long);
    let mut table = CreateBuilder::new()
        .with_location(path(&location))
        .with_column("oid", long(), true, None)
        .with_column("customer", long(), true, None)
        .with_column("amount", long(), true, None)
        .with_column("note", DeltaType::Primitive(PrimitiveType::String), true, None)
        .await
        .unwrap();
    let mut writer = RecordBatchWriter::for_table(&table).unwrap();
    writer.write(orders(false)).await.unwrap();
    writer.flush_and_commit(&mut table).await.unwrap();
    location
}

fn stored(rows: &[Row]) -> RecordBatch {
    let text = |pick: fn(&Row) -> Option<&'static str>| -> ArrayRef {
        Arc::new(rows.iter().map(pick).collect::<StringArray>())
    };
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()), false),
        ("name", text(|row| row.1), true),
        ("email", text(|row| row.2), true),
        ("ssn", text(|row| row.3), true),
        ("salary", Arc::new(rows.iter().map(|row| row.4).collect::<Int64Array>()), true),
        ("region", text(|row| row.5), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn orders(views: bool) -> RecordBatch {
    let number = |pick: fn(&(i64, i64, i64, &'static str)) -> i64| -> ArrayRef {
        Arc::new(ORDERS.iter().map(pick).collect::<Int64Array>())
    };
    let notes = ORDERS.iter().map(|row| Some(row.3));
    let note: ArrayRef =
        if views { Arc::new(notes.collect::<StringViewArray>()) } else { Arc::new(notes.collect::<StringArray>()) };
    RecordBatch::try_from_iter_with_nullable([
        ("oid", number(|row| row.0), true),
        ("customer", number(|row| row.1), true),
        ("amount", number(|row| row.2), true),
        ("note", note, true),
    ])
    .unwrap()
}

fn column(name: &str, native: ColumnType, mask: Option<Mask>) -> GovernedColumn {
    GovernedColumn {
        id: ColumnId::new(format!("col-{name}")),
        name: name.to_owned(),
        native,
        nullable: name != "id",
        mask: mask.map(|mask| ColumnMask { mask, key: Vec::new() }),
        bears: Vec::new(),
    }
}

fn governed(output: &str, location: &TableLocation, version: u64) -> GovernedTable {
    GovernedTable {
        domain: Name::new("crm").unwrap(),
        output: Name::new(output).unwrap(),
        output_id: OutputId::new(format!("out-{output}")),
        major: 1,
        location: location.clone(),
        delta_version: version,
        columns: vec![
            column("id", ColumnType::Int64, None),
            column("name", ColumnType::Text, None),
            column("email", ColumnType::Text, Some(Mask::Sha256Global)),
            column("ssn", ColumnType::Text, Some(Mask::ShowLast4)),
            column("salary", ColumnType::Int64, Some(Mask::ReplaceWithNull)),
            column("region", ColumnType::Text, None),
        ],
        withheld: Vec::new(),
        rows: RowFilter(vec![Predicate {
            column: "region".to_owned(),
            op: Comparison::Eq,
            values: vec![Literal::Text("EU".to_owned())],
        }]),
        decision_digest: format!("digest-{output}"),
        valid_until: None,
        body: GovernedBody::Stored,
    }
}

fn open(location: &TableLocation) -> GovernedTable {
    let mut table = governed("o", location, 1);
    table.rows = RowFilter::default();
    table.columns = vec![
        column("oid", ColumnType::Int64, None),
        column("customer", ColumnType::Int64, None),
        column("amount", ColumnType::Int64, None),
        column("note", ColumnType::Text, None),
    ];
    table
}

#[derive(Clone, Copy, Debug)]
enum Layout {
    Files,
    One,
    Rows,
}

fn laid_out(batch: &RecordBatch, layout: Layout, pushing: bool) -> Arc<dyn TableProvider> {
    let rows = batch.num_rows();
    let partitions = match layout {
        Layout::One => vec![vec![batch.clone()]],
        Layout::Rows => vec![(0..rows).map(|at| batch.slice(at, 1)).collect()],
        Layout::Files => vec![vec![batch.slice(0, 4.min(rows))], vec![batch.slice(4.min(rows), rows - 4.min(rows))]],
    };
    let table = MemTable::try_new(batch.schema(), partitions).unwrap();
    if pushing { Arc::new(Pushing(table)) } else { Arc::new(table) }
}

/// Filters by what a barrier would take, before anything else.
#[derive(Debug)]
struct Pushing(MemTable);

impl Pushing {
    fn open(&self, name: &str) -> Option<DataType> {
        let field = self.0.schema().field_with_name(name).ok()?.clone();
        (!["email", "ssn", "salary"].contains(&name)).then(|| field.data_type().clone())
    }
}

#[async_trait]
impl TableProvider for Pushing {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let taken = |expr: &&Expr| filter::leak_proof(expr, &|name| self.open(name));
        Ok(filters
            .iter()
            .map(|expr| match taken(expr) {
                true => TableProviderFilterPushDown::Exact,
                false => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }
    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut plan = self.0.scan(session, None, &[], None).await?;
        if let Some(predicate) = filter::all(filters.iter().cloned()) {
            let schema = DFSchema::try_from(plan.schema().as_ref().clone())?;
            plan = Arc::new(FilterExec::try_new(session.create_physical_expr(predicate, &schema)?, plan)?);
        }
        let schema = plan.schema();
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let columns = projection.iter().map(|at| {
            let name = schema.field(*at).name();
            (Arc::new(Column::new(name, *at)) as Arc<dyn PhysicalExpr>, name.clone())
        });
        let plan: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), plan)?);
        // Or the optimizer would move the rest of the predicate down again.
        let disclosure = Disclosure { statistics: false, masked: vec![false; projection.len()] };
        let schema = plan.schema();
        Ok(Arc::new(BarrierExec::new("oracle".into(), "oracle".into(), disclosure, schema, plan)))
    }
}

fn oracle(layout: Layout, pushing: bool) -> BTreeMap<TableName, Arc<dyn TableProvider>> {
    let hex = |text: &str| Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let last4 = |text: &str| -> String {
        let length = text.chars().count();
        let chars = text.chars().enumerate();
        chars
            .map(|(at, c)| match c {
                _ if length <= 4 => 'x',
                _ if at + 4 >= length => c,
                '0'..='9' => 'n',
                _ if c.is_alphabetic() => 'x',
                _ => c,
            })
            .collect()
    };
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.5 == Some("EU")).collect();
    let text = |values: Vec<Option<String>>| -> ArrayRef { Arc::new(values.into_iter().collect::<StringViewArray>()) };
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8View, true),
        Field::new("email", DataType::Utf8View, true),
        Field::new("ssn", DataType::Utf8View, true),
        Field::new("salary", DataType::Int64, true),
        Field::new("region", DataType::Utf8View, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        text(rows.iter().map(|row| row.1.map(str::to_owned)).collect()),
        text(rows.iter().map(|row| row.2.map(hex)).collect()),
        text(rows.iter().map(|row| row.3.map(last4)).collect()),
        Arc::new(rows.iter().map(|_| None).collect::<Int64Array>()),
        text(rows.iter().map(|row| row.5.map(str::to_owned)).collect()),
    ];
    let c = laid_out(&RecordBatch::try_new(schema, columns).unwrap(), layout, pushing);
    let o = laid_out(&orders(true), Layout::One, pushing);
    let name = |table: &str| TableName { schema: "crm".to_owned(), table: table.to_owned(), as_of: None };
    BTreeMap::from([(name("c"), Arc::clone(&c)), (name("c_v1"), c), (name("o"), o)])
}

pub const LIMITS: QueryLimits = QueryLimits {
    memory_bytes: 256 << 20,
    spill_bytes: 64 << 20,
    time: Duration::from_secs(20),
    rows: None,
    sql_bytes: 1 << 20,
};

impl Fixture {
    pub fn request(&self, sql: &str) -> PlanRequest {
        PlanRequest {
            parameter_types: Vec::new(),
            sql: sql.to_owned(),
            catalog: Arc::clone(&self.catalog) as Arc<dyn Catalog>,
            as_of: None,
            limits: LIMITS,
            now: moment("2026-03-01"),
        }
    }

    pub async fn planned(&self, sql: &str) -> Result<Arc<dyn PlannedQuery>> {
        self.engine.plan(self.request(sql)).await
    }

    /// Rows as text, in the order they came.
    pub async fn query(&self, sql: &str) -> Result<Vec<String>> {
        run(self.planned(sql).await?.as_ref(), Vec::new()).await
    }

    /// The same statement over the table that was masked and filtered beforehand.
    async fn expected(&self, sql: &str, oracle: &BTreeMap<TableName, Arc<dyn TableProvider>>) -> Result<Vec<String>> {
        let statement = parse(sql, LIMITS.sql_bytes)?;
        let limits = Limits {
            memory_bytes: LIMITS.memory_bytes,
            spill_bytes: LIMITS.spill_bytes,
            spill_dir: self.folder.path().join("spill"),
            cores: 2,
        };
        let context = session::context(&limits, None, Some(moment("2026-03-01")), &Planning::default(), None).unwrap();
        session::register(&context, oracle).unwrap();
        let scope = Scope { withheld: &[] };
        let state = session::state(&context);
        let logical = state
            .statement_to_plan(DfStatement::Statement(Box::new(statement.ast)))
            .await
            .map_err(|error| error::planning(&error, &scope))?;
        let plan = state.create_physical_plan(&logical).await.map_err(|error| error::planning(&error, &scope))?;
        let schema = plain_schema(&plan.schema());
        let mut batches = execute_stream(plan, context.task_ctx()).map_err(|error| error::execution(&error))?;
        let mut rows = Vec::new();
        while let Some(batch) = batches.next().await {
            let batch = batch.and_then(|batch| plain_batch(&batch, &schema)).map_err(|e| error::execution(&e))?;
            rows.extend(texts(&batch));
        }
        Ok(rows)
    }

    /// Same rows (in order where `ORDER BY` stands outermost), or the same error.
    pub async fn assert_as_oracle(&self, sql: &str) {
        let ordered = |rows: Result<Vec<String>>| {
            rows.map(|mut rows| {
                if !sql.to_uppercase().contains("ORDER BY") {
                    rows.sort();
                }
                rows
            })
            .map_err(|error| (error.code, error.message))
        };
        let found = ordered(self.query(sql).await);
        let mut expected = Vec::new();
        for oracle in &self.oracles {
            expected.push(ordered(self.expected(sql, oracle).await));
            if expected.last() == Some(&found) {
                return;
            }
        }
        panic!("{sql}\n   found {found:?}\nexpected {expected:?}");
    }
}

pub async fn run(planned: &dyn PlannedQuery, values: Vec<ArrayRef>) -> Result<Vec<String>> {
    let mut batches = planned.execute(values).await?;
    let mut rows = Vec::new();
    while let Some(batch) = batches.next().await {
        rows.extend(texts(&batch?));
    }
    Ok(rows)
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    let text = |at: usize| {
        let columns = batch.columns().iter();
        let values = columns.map(|column| {
            if column.is_null(at) { "NULL".to_owned() } else { array_value_to_string(column, at).unwrap() }
        });
        values.collect::<Vec<_>>().join("|")
    };
    (0..batch.num_rows()).map(text).collect()
}
