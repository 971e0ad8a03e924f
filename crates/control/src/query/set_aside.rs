//! Quarantined rows through the governed read path: the same decision, the same masks and row filters as for the rows of
//! the product itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use meshwork_core::audit::{Event, TableRead};
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::ColumnId;
use meshwork_core::policy::{ColumnAccess, unknown_table};
use meshwork_core::quarantine::{
    AT, CLAUSES, FILE, LINE, QuarantineEntry, RAW, REASON, ROW, RUN, Rows, raw_id, raw_name,
};
use meshwork_core::types::ColumnType;

use super::catalog::StatementCatalog;
use super::stream::Watch;
use super::{Answer, Plan, QueryService, QuerySession, digest, purposes, reasons};
use crate::port::data::{Catalog, GovernedBody, GovernedColumn, GovernedTable, ListedTable, PlanRequest, TableUse};

impl QueryService {
    /// Rows that runs have set aside of one major of an output and that are still open, as this reader may see them. The
    /// caller has made sure that the reader is a member of the domain.
    pub async fn set_aside(
        &self,
        session: &QuerySession,
        domain: &str,
        output: &str,
        entries: &[QuarantineEntry],
    ) -> Result<Answer> {
        let Some(first) = entries.first() else { return Err(unknown_table(domain, output)) };
        let table = format!("{output}_v{}", first.major);
        let inner = &self.inner;
        let catalog = inner.statement_catalog(session).await?;
        let governed = match catalog.resolve(domain, &table, None).await {
            Ok(Some(governed)) => governed,
            Ok(None) => return Err(unknown_table(domain, output)),
            Err(error) => {
                inner.refused(session, "quarantine", &error, catalog.refusals()).await?;
                return Err(error);
            }
        };
        let resolved = catalog.resolved();
        let governed = over_files(governed, first, entries);
        let sql = format!("SELECT * FROM \"{domain}\".\"{table}\" ORDER BY \"{RUN}\", \"{ROW}\"");
        let now = inner.now();
        let request = PlanRequest {
            sql,
            catalog: Arc::new(Only { table: governed, catalog: catalog.clone() }),
            as_of: None,
            parameter_types: Vec::new(),
            limits: inner.settings.limits,
            now,
        };
        let query = inner.ports.query.plan(request).await?;
        let valid_until = resolved.iter().filter_map(|table| table.decision.valid_until).min();
        let plan =
            Plan { digest: digest(&resolved), query, epoch: catalog.epoch(), at: now, valid_until, tables: resolved };
        let query_id = inner.new_id();
        let runs = entries.iter().map(|entry| format!("quarantine of run {}", entry.run));
        let event = Event::QueryIntent {
            query: query_id.clone(),
            port: session.port.to_owned(),
            purpose: purposes(&plan.tables).first().cloned(),
            tables: plan.query.tables().iter().map(TableRead::from).collect(),
            reasons: reasons(&plan.tables).into_iter().chain(runs).collect(),
            digest: plan.digest.clone(),
        };
        inner.record(inner.entry(session, Some("quarantine show"), event)).await?;
        // The files of a quarantine are kept for days; no version of the table is read.
        let reading = inner.readers.hold([])?;
        let mut watch = Watch::new(inner.clone(), session.clone(), plan.clone(), query_id.clone(), reading);
        let stream = match plan.query.execute(Vec::new()).await {
            Ok(stream) => stream,
            Err(error) => {
                watch.ended(Some(&error)).await;
                return Err(error);
            }
        };
        let shape = Shape::of(&plan.query.schema(), entries);
        let schema = shape.schema.clone();
        let tables: Vec<TableUse> = plan.query.tables().to_vec();
        Ok(Answer {
            query_id,
            schema,
            stream: Box::pin(watch.over(stream).map(move |batch| shape.shown(&batch?))),
            purpose: purposes(&plan.tables).first().cloned(),
            warnings: plan.tables.iter().flat_map(|table| table.decision.warnings.clone()).collect(),
            digest: plan.digest,
            tables,
        })
    }

    /// Columns of an output that this reader does not see as they are, or not at all. What it writes there means nothing.
    pub async fn unseen_columns(
        &self,
        session: &QuerySession,
        domain: &str,
        output: &str,
        major: u32,
    ) -> Result<Vec<String>> {
        let table = format!("{output}_v{major}");
        let catalog = self.inner.statement_catalog(session).await?;
        let Some((_, decision)) = catalog.decide(domain, &table, None).await? else {
            return Err(unknown_table(domain, output));
        };
        if let Some(error) = &decision.refusal {
            return Err(error.clone());
        }
        let unseen = decision.columns.iter().filter(|column| column.access != ColumnAccess::Clear);
        Ok(unseen.map(|column| column.name.clone()).collect())
    }
}

/// The same obligations over the files of a quarantine. What stood in a column is shown to whoever sees the column as it is.
fn over_files(table: GovernedTable, first: &QuarantineEntry, entries: &[QuarantineEntry]) -> GovernedTable {
    let extra = |id: &str, name: &str, native: ColumnType| GovernedColumn {
        id: ColumnId::new(id),
        name: name.to_owned(),
        native,
        nullable: true,
        mask: None,
        bears: Vec::new(),
    };
    let notes = [
        (RUN, ColumnType::Text),
        (ROW, ColumnType::Int64),
        (AT, ColumnType::Timestamp),
        (CLAUSES, ColumnType::Text),
        (REASON, ColumnType::Text),
        (FILE, ColumnType::Text),
        (LINE, ColumnType::Int64),
    ];
    let clear = table.columns.iter().filter(|column| column.mask.is_none());
    let raw = clear.map(|c| extra(&raw_id(c.id.as_str()), &raw_name(&c.name), ColumnType::Text));
    let raw: Vec<GovernedColumn> = raw.collect();
    let notes = notes.into_iter().map(|(name, native)| extra(name, name, native));
    // A null may stand where a value did not fit, or where none was although one is required.
    let own = table.columns.iter().map(|column| GovernedColumn { nullable: true, ..column.clone() });
    GovernedTable {
        columns: own.chain(notes).chain(raw).collect(),
        location: first.location.clone(),
        body: GovernedBody::SetAside(entries.iter().flat_map(|entry| entry.quarantined.files.clone()).collect()),
        ..table
    }
}

/// A catalog of one table, which no statement of a client is ever planned over.
struct Only {
    table: GovernedTable,
    catalog: Arc<StatementCatalog>,
}

#[async_trait]
impl Catalog for Only {
    async fn resolve(&self, _: &str, _: &str, _: Option<Timestamp>) -> Result<Option<GovernedTable>> {
        Ok(Some(self.table.clone()))
    }
    async fn list(&self) -> Result<Vec<ListedTable>> {
        Ok(Vec::new())
    }
    fn user(&self) -> String {
        self.catalog.user()
    }
}

/// From the files' columns to what is shown: without the rows that were released, the raw values in one column.
struct Shape {
    schema: SchemaRef,
    kept: Vec<usize>,
    /// Column of the table → its raw values.
    raw: Vec<(String, usize)>,
    run: usize,
    row: usize,
    released: HashMap<String, Rows>,
}

impl Shape {
    fn of(schema: &SchemaRef, entries: &[QuarantineEntry]) -> Self {
        let names = schema.fields().iter().enumerate();
        let prefix = format!("{RAW}_");
        let raw: Vec<(String, usize)> =
            names.clone().filter_map(|(at, f)| Some((f.name().strip_prefix(&prefix)?.to_owned(), at))).collect();
        let kept: Vec<usize> = names.map(|(at, _)| at).filter(|at| raw.iter().all(|(_, raw)| raw != at)).collect();
        let mut fields: Vec<Arc<Field>> = kept.iter().map(|at| Arc::clone(&schema.fields()[*at])).collect();
        fields.push(Arc::new(Field::new(RAW, DataType::Utf8, true)));
        let place = |name: &str| schema.index_of(name).unwrap_or_default();
        Self {
            kept,
            raw,
            run: place(RUN),
            row: place(ROW),
            released: entries.iter().map(|entry| (entry.run.to_string(), entry.released.clone())).collect(),
            schema: Arc::new(Schema::new(fields)),
        }
    }

    fn shown(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let odd = |_| Error::internal("MW0790", "quarantined rows do not have the columns that they should");
        let run = batch.column(self.run).as_string_opt::<i32>();
        let row = batch.column(self.row).as_primitive_opt::<Int64Type>();
        let (Some(run), Some(row)) = (run, row) else {
            return Err(odd(arrow::error::ArrowError::SchemaError(String::new())));
        };
        let open = |at: usize| {
            let released = self.released.get(run.value(at));
            !u64::try_from(row.value(at)).is_ok_and(|row| released.is_some_and(|released| released.contains(row)))
        };
        let open: BooleanArray = (0..batch.num_rows()).map(|at| Some(open(at))).collect();
        let batch = filter_record_batch(batch, &open).map_err(odd)?;
        let mut columns: Vec<ArrayRef> = self.kept.iter().map(|at| Arc::clone(batch.column(*at))).collect();
        let raw = |at: usize| {
            let values: BTreeMap<&str, &str> = self
                .raw
                .iter()
                .filter_map(|(column, place)| {
                    let texts = batch.column(*place).as_string_opt::<i32>()?;
                    texts.is_valid(at).then(|| (column.as_str(), texts.value(at)))
                })
                .collect();
            if values.is_empty() { None } else { serde_json::to_string(&values).ok() }
        };
        columns.push(Arc::new((0..batch.num_rows()).map(raw).collect::<StringArray>()));
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(odd)
    }
}
