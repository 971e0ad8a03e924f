//! Data files of a table that is being written, as a table of DataFusion: committed ones, staged ones, or both.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use meshwork_core::Result;
use serde_json::Value;

use super::check::Pass;
use super::session;
use crate::read::external::PinnedFiles;
use crate::read::snapshot::{Files, Snapshot, described};
use crate::storage::log::TableLog;
use crate::storage::site::Site;

/// The number of the file that a row stands in, in the order in which the files were given.
pub const FILE: &str = "__mw_file";

#[derive(Clone, Debug)]
pub struct DataFiles {
    /// None of no files.
    site: Option<Site>,
    schema: SchemaRef,
    table: TableSchema,
    files: Vec<PartitionedFile>,
    /// Set for files of others.
    external: Option<Arc<PinnedFiles>>,
    pub rows: u64,
    pub bytes: u64,
}

impl Default for DataFiles {
    fn default() -> Self {
        let schema = Arc::new(Schema::empty());
        let table = TableSchema::builder(Arc::clone(&schema)).build();
        Self { site: None, schema, table, files: Vec::new(), external: None, rows: 0, bytes: 0 }
    }
}

impl DataFiles {
    /// Files by their `add` actions. `schema` is that of data files: a column that a file does not have is null in it.
    pub fn of<'a>(log: &TableLog, schema: &SchemaRef, adds: impl IntoIterator<Item = &'a Value>) -> Result<Self> {
        Self::new(log, schema, adds, false)
    }

    /// The same with the column [`FILE`] behind the others.
    pub fn numbered<'a>(log: &TableLog, schema: &SchemaRef, adds: impl IntoIterator<Item = &'a Value>) -> Result<Self> {
        Self::new(log, schema, adds, true)
    }

    fn new<'a>(
        log: &TableLog,
        schema: &SchemaRef,
        adds: impl IntoIterator<Item = &'a Value>,
        numbered: bool,
    ) -> Result<Self> {
        let site = log.site()?;
        let (mut files, mut rows, mut bytes) = (Vec::new(), 0, 0);
        for (at, add) in adds.into_iter().enumerate() {
            let number = ScalarValue::Int32(Some(i32::try_from(at).unwrap_or(i32::MAX)));
            let partition = if numbered { vec![number] } else { Vec::new() };
            files.push(described(add, &site.folder, schema, &partition)?);
            rows += rows_of(add);
            bytes += add.get("size").and_then(Value::as_u64).unwrap_or(0);
        }
        let number = Arc::new(Field::new(FILE, DataType::Int32, false));
        let behind = if numbered { vec![number] } else { Vec::new() };
        let all: Vec<_> = schema.fields().iter().cloned().chain(behind.iter().cloned()).collect();
        Ok(Self {
            site: Some(site),
            schema: Arc::new(Schema::new(all)),
            table: TableSchema::builder(Arc::clone(schema)).with_table_partition_cols(behind).build(),
            files,
            external: None,
            rows,
            bytes,
        })
    }

    /// Files of others, which hold so many rows.
    pub fn of_others(snapshot: &Snapshot, rows: u64, bytes: u64) -> Self {
        let Files { site, table, schema, files, external } = snapshot.files();
        let (schema, external) = (Arc::clone(schema), external.map(Arc::clone));
        Self { site: Some(site.clone()), schema, table: table.clone(), files: files.to_vec(), external, rows, bytes }
    }
}

impl DataFiles {
    /// Shows their rows to a pass that does not write them; `columns`: their places in the table.
    pub async fn show(self, context: &SessionContext, pass: &mut Pass, columns: &[usize], what: &str) -> Result<()> {
        let failed = |error| session::execution_error(&error, what);
        let schema = Arc::clone(&self.schema);
        let names: Vec<&str> = columns.iter().map(|at| schema.field(*at).name().as_str()).collect();
        let rows = context.read_table(Arc::new(self)).and_then(|frame| frame.select_columns(&names));
        let mut batches = rows.map_err(failed)?.execute_stream().await.map_err(failed)?;
        while let Some(batch) = batches.next().await {
            pass.other(&batch.map_err(failed)?, columns);
        }
        Ok(())
    }
}

/// Rows of a file of ours: we always write how many there are.
pub fn rows_of(add: &Value) -> u64 {
    let statistics = add.get("stats").and_then(Value::as_str).unwrap_or_default();
    let parsed: Value = serde_json::from_str(statistics).unwrap_or_default();
    parsed.get("numRecords").and_then(Value::as_u64).unwrap_or(0)
}

#[async_trait]
impl TableProvider for DataFiles {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let Some(site) = &self.site else { return Ok(Arc::new(EmptyExec::new(Arc::clone(&self.schema)))) };
        let external = self.external.as_ref();
        let files = Files { site, table: &self.table, schema: &self.schema, files: &self.files, external };
        files.scan(session, &columns, limit)
    }
}
