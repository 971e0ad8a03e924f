//! A source as a table of DataFusion. There are two faces of it: what SQL sees, and the same with the hidden origin of
//! every row, which replaces the first one below row-preserving plans (`write::origin`).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::StreamingTableExec;

use super::Source;

/// Number of the file in `Origins`.
pub const ORIGIN: &str = "__mw_origin";
/// The row's place in its file: the line where it starts for text files, its number for others; from 1.
pub const ROW: &str = "__mw_row";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    Plain,
    WithOrigin,
}

#[derive(Debug)]
pub struct SourceTable {
    source: Arc<dyn Source>,
    schema: SchemaRef,
}

impl SourceTable {
    pub fn new(source: Arc<dyn Source>, face: Face) -> Self {
        let schema = match face {
            Face::Plain => source.schema(),
            Face::WithOrigin => with_origin(&source.schema()),
        };
        Self { source, schema }
    }

    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }
}

pub fn with_origin(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(ORIGIN, DataType::Int32, true)));
    fields.push(Arc::new(Field::new(ROW, DataType::Int64, true)));
    Arc::new(Schema::new(fields))
}

/// The schema of `Source::partitions(columns)`.
pub fn projected(schema: &Schema, columns: &[usize]) -> SchemaRef {
    let full = with_origin(schema);
    Arc::new(Schema::new(columns.iter().map(|at| Arc::clone(&full.fields()[*at])).collect::<Vec<_>>()))
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Vec<usize> = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let partitions = self.source.partitions(&columns);
        let schema = projected(&self.source.schema(), &columns);
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, Vec::new(), false, limit)?))
    }
}
