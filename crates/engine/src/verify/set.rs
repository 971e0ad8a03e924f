//! Set clauses over data where it lies, as a table with the contract's names and types.

use std::sync::Arc;

use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, try_cast};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::prelude::SessionContext;
use meshwork_core::contract::{Field, Table};
use meshwork_core::infer::column_names;
use meshwork_core::{Error, Result};

use super::Subject;
use crate::native::arrow_type;
use crate::set::{BATCH, Data, Reference, Referred, TABLE};
use crate::source::{self, Access, Face, Origins, Reading, Source, SourceTable};
use crate::write::session::{self, Way};

const OTHER: &str = "__mw_other";

/// Data that is asked again. All of it is new.
pub struct Again<'a> {
    pub table: &'a Table,
    pub subject: &'a Subject,
    pub access: &'a Access,
    pub opened: &'a Arc<dyn Source>,
    /// By field of the contract: the place in the source, or why it cannot be looked at.
    pub places: &'a [Result<usize, String>],
    pub reading: &'a Reading,
}

#[async_trait]
impl Data for Again<'_> {
    async fn session(&self, way: Way) -> Result<SessionContext> {
        let context = session::session(&self.subject.limits, &self.subject.scratch, self.subject.now, way)?;
        for name in [TABLE, BATCH] {
            register(&context, name, Declared::of(self.opened, &self.table.fields, self.places))?;
        }
        Ok(context)
    }

    async fn referred(&self, context: &SessionContext, reference: &Reference<'_>) -> Result<Referred> {
        let to = reference.to;
        let own = to.rsplit('.').next().unwrap_or(to);
        if own == self.table.name {
            return Ok(Referred::Table(TABLE.to_owned()));
        }
        let Some(spec) = self.subject.others.get(to).or_else(|| self.subject.others.get(own)) else {
            let because = format!("it looks into `{to}`, whose data was not given: `--reference {own}=DATA`");
            return Ok(Referred::NotGiven { because });
        };
        // The columns that are referred to have the types of those that refer.
        let field = |(column, theirs): (&String, &String)| {
            let mut field = self.table.field(column)?.clone();
            field.name.clone_from(theirs);
            field.physical_name = None;
            Some(field)
        };
        let fields: Vec<Field> = reference.columns.iter().zip(reference.to_columns).filter_map(field).collect();
        let opened = source::open(to, spec, &fields, &Reading::default(), self.access).await?;
        let schema = opened.schema();
        // Its own contract, which would say what the source calls them, is not here: perhaps `CustomerId`.
        let called = column_names(schema.fields().iter().map(|field| field.name().as_str()));
        let place = |name: &String| {
            let place = schema.index_of(name).ok().or_else(|| called.iter().position(|called| called == name));
            place.ok_or_else(|| Error::check("MW0610", format!("`{to}` has no column `{name}`")))
        };
        let places =
            fields.iter().map(|field| place(&field.name).map(Ok)).collect::<Result<Vec<Result<usize, String>>>>()?;
        register(context, OTHER, Declared::of(&opened, &fields, &places))?;
        Ok(Referred::Table(OTHER.to_owned()))
    }

    fn origins(&self) -> &Origins {
        &self.reading.origins
    }
}

fn register(context: &SessionContext, name: &str, table: Declared) -> Result<()> {
    session::register(context, name, Arc::new(table), "the data")
}

/// A source under the contract's names and types. What does not fit its type is null here: the clause of the type has told
/// of it. Columns that are not there are left out.
#[derive(Debug)]
struct Declared {
    source: SourceTable,
    /// Where each column stands in the source.
    places: Vec<usize>,
    schema: SchemaRef,
}

impl Declared {
    fn of(source: &Arc<dyn Source>, fields: &[Field], places: &[Result<usize, String>]) -> Self {
        let found = fields.iter().zip(places).filter_map(|(field, place)| Some((field, *place.as_ref().ok()?)));
        let (fields, places): (Vec<ArrowField>, Vec<usize>) =
            found.map(|(field, at)| (ArrowField::new(&field.name, arrow_type(&field.native), true), at)).unzip();
        let source = SourceTable::new(Arc::clone(source), Face::Plain);
        Self { source, places, schema: Arc::new(Schema::new(fields)) }
    }
}

#[async_trait]
impl TableProvider for Declared {
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
        let columns = projection.cloned().unwrap_or_else(|| (0..self.places.len()).collect());
        // Two columns of the contract may be one of the source.
        let mut wanted: Vec<usize> = columns.iter().map(|at| self.places[*at]).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let scan = self.source.scan(session, Some(&wanted), &[], limit).await?;
        let source = scan.schema();
        let column = |at: &usize| -> DfResult<(Arc<dyn PhysicalExpr>, String)> {
            let field = self.schema.field(*at);
            let place = wanted.binary_search(&self.places[*at]).unwrap_or_default();
            let column = Arc::new(Column::new(source.field(place).name(), place));
            Ok((try_cast(column, &source, field.data_type().clone())?, field.name().clone()))
        };
        let columns = columns.iter().map(column).collect::<DfResult<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(columns, scan)?))
    }
}
