//! Set clauses over the table as it will be after the commit: the files that stay and the staged ones.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::{JoinType, SessionContext, col, ident, try_cast};
use meshwork_control::port::data::{OutputSpec, RunSpec};
use meshwork_core::name::split_major;
use meshwork_core::quality::{Clause, ClauseResult};
use meshwork_core::{Error, Result};

use super::check::{Pass, error};
use super::files::DataFiles;
use super::sample::{self, Likeness};
use super::session::{self, Way};
use super::{WriterConfig, origin};
use crate::keys::unique_columns;
use crate::set::{BATCH, Data, KEPT, Reference, Referred, Sets, TABLE};
use crate::source::{ORIGIN, Origins, ROW, Reading};

/// The rows that were written, and the table that they make.
pub struct Batch {
    pub output: String,
    pub major: u32,
    pub schema: SchemaRef,
    pub written: DataFiles,
    pub table: DataFiles,
    /// Only the written rows can break a clause that must hold: the others were published under the same contract.
    pub trusted: bool,
    /// Why the table cannot be looked at.
    pub unsettled: Option<String>,
    /// The plan that made them, with the origin of each row, if it has one: to find where failing rows came from.
    pub again: Option<LogicalPlan>,
    /// Where each column stands in that plan.
    pub places: Vec<usize>,
    pub likeness: Likeness,
}

impl Batch {
    /// A table that stays as it is.
    pub fn at_rest(output: &OutputSpec, schema: SchemaRef, table: DataFiles) -> Self {
        let (written, places) = (DataFiles::default(), Vec::new());
        Self { written, trusted: true, ..Self::looked_at(output, schema, table, places, Likeness::Whole) }
    }

    /// Rows that this run only looks at, all of the table's.
    pub fn looked_at(
        output: &OutputSpec,
        schema: SchemaRef,
        table: DataFiles,
        places: Vec<usize>,
        likeness: Likeness,
    ) -> Self {
        Self {
            output: output.name.to_string(),
            major: output.major,
            schema,
            written: table.clone(),
            table,
            trusted: false,
            unsettled: None,
            again: None,
            places,
            likeness,
        }
    }
}

/// The answers to every clause of the table, in their order, and those that conversion failures imply.
pub async fn answers(
    config: &WriterConfig,
    spec: &RunSpec,
    output: &OutputSpec,
    pass: &mut Pass,
    batch: &Batch,
    siblings: &[&Batch],
    reading: &Reading,
) -> Result<Vec<ClauseResult>> {
    let mut known = pass.answers();
    // Before any second look at the sources: that meets the same faults again.
    let implied = pass.implied();
    let clauses = &output.table.clauses;
    // Where all rows of the table went through the pass.
    if batch.unsettled.is_none() && batch.table.rows == batch.written.rows {
        for (at, clause) in clauses.iter().enumerate().filter(|(_, clause)| unique_columns(&clause.rule).is_some()) {
            known.extend(pass.certified(clause, batch.table.rows).map(|answer| (at, answer)));
        }
    }
    let open: Vec<&Clause> =
        clauses.iter().enumerate().filter(|(at, _)| !known.contains_key(at)).map(|(_, clause)| clause).collect();
    let made = Made { config, spec, output, batch, siblings, reading };
    let later = match &batch.unsettled {
        Some(because) => open.into_iter().map(|clause| error(clause, because.clone())).collect(),
        None => {
            let (rows, batch_rows) = (batch.table.rows, batch.written.rows);
            Sets { data: &made, table: &output.table, rows, batch_rows, trusted: batch.trusted }.answers(&open).await?
        }
    };
    let mut later = later.into_iter();
    let mut answers: Vec<ClauseResult> =
        (0..clauses.len()).filter_map(|at| known.remove(&at).or_else(|| later.next())).collect();
    answers.extend(implied);
    if spec.sample.is_some() {
        let is_whole = |to: &str| made.sibling(to).is_some_and(|batch| batch.likeness == Likeness::Whole);
        sample::judged(&mut answers, &output.table, batch.likeness, is_whole);
    }
    Ok(answers)
}

fn register(context: &SessionContext, name: &str, provider: Arc<dyn TableProvider>) -> Result<()> {
    session::register(context, name, provider, "the check of the written rows")
}

/// Parquet files as a table.
pub fn files_table(files: &[PathBuf], schema: &SchemaRef) -> Result<Arc<dyn TableProvider>> {
    let failed = |error| session::execution_error(&error, "the check of the written rows");
    if files.is_empty() {
        return Ok(Arc::new(MemTable::try_new(Arc::clone(schema), vec![vec![]]).map_err(failed)?));
    }
    let paths = files
        .iter()
        .map(|file| {
            let url = url::Url::from_file_path(file)
                .map_err(|()| Error::internal("MW0621", "a data file has no absolute path"))?;
            ListingTableUrl::try_new(url, None).map_err(failed)
        })
        .collect::<Result<Vec<_>>>()?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("parquet");
    let listing =
        ListingTableConfig::new_with_multi_paths(paths).with_listing_options(options).with_schema(Arc::clone(schema));
    Ok(Arc::new(ListingTable::try_new(listing).map_err(failed)?))
}

/// A table that a run makes.
struct Made<'a> {
    config: &'a WriterConfig,
    spec: &'a RunSpec,
    output: &'a OutputSpec,
    batch: &'a Batch,
    /// Every output of this run, this one included.
    siblings: &'a [&'a Batch],
    reading: &'a Reading,
}

#[async_trait]
impl Data for Made<'_> {
    async fn session(&self, way: Way) -> Result<SessionContext> {
        let context = session::session(&self.spec.limits, &self.config.scratch, self.spec.now, way)?;
        register(&context, TABLE, Arc::new(self.batch.table.clone()))?;
        register(&context, BATCH, Arc::new(self.batch.written.clone()))?;
        Ok(context)
    }

    async fn referred(&self, context: &SessionContext, reference: &Reference<'_>) -> Result<Referred> {
        let to = reference.to;
        let name = format!("__mw_ref_{to}");
        if let Some(sibling) = self.sibling(to) {
            // A table of this run is looked into as it will be.
            register(context, &name, Arc::new(sibling.table.clone()))?;
            return Ok(Referred::Table(name));
        }
        let refused = |why: String| Error::check("MW0610", why);
        let table = self.output.references.get(to);
        let table = table.ok_or_else(|| refused(format!("`{to}` has no publication that this product may read")))?;
        for column in reference.to_columns {
            let found = table.columns.iter().find(|c| c.name == *column);
            let found = found.ok_or_else(|| refused(format!("`{to}` shows this product no column `{column}`")))?;
            if found.mask.is_some() {
                return Err(refused(format!("column `{column}` of `{to}` is masked for this product")));
            }
        }
        register(context, &name, super::governed(table, self.config).await?)?;
        Ok(Referred::Table(name))
    }

    /// The plan runs once more for it, joined with the keys.
    async fn traced(&self, context: &SessionContext, columns: &[String], keys: &str) -> Option<Vec<RecordBatch>> {
        let frame = session::frame(context, self.batch.again.clone()?);
        if !origin::is_carried(frame.schema().as_arrow()) {
            return None;
        }
        let names: Vec<datafusion::common::Column> = frame.schema().columns();
        let mut exprs = Vec::new();
        for (at, field) in self.batch.places.iter().zip(self.batch.schema.fields()) {
            let column = names.get(*at)?.clone();
            exprs.push(try_cast(Expr::Column(column), field.data_type().clone()).alias(field.name()));
        }
        for column in &names[names.len() - 2..] {
            exprs.push(Expr::Column(column.clone()).alias(column.name()));
        }
        let rows = frame.select(exprs).ok()?;
        let doubled = context.sql(keys).await.ok()?;
        let renamed: Vec<String> = (0..columns.len()).map(|at| format!("__mw_key_{at}")).collect();
        let doubled = doubled
            .select(columns.iter().zip(&renamed).map(|(c, r)| ident(c.as_str()).alias(r)).collect::<Vec<_>>())
            .ok()?;
        let on: Vec<_> = columns.iter().zip(&renamed).map(|(c, r)| ident(c.as_str()).eq(col(r.as_str()))).collect();
        let joined = rows.join_on(doubled, JoinType::LeftSemi, on).ok()?;
        let by_place = vec![col(ORIGIN).sort(true, false), col(ROW).sort(true, false)];
        joined.sort(by_place).ok()?.limit(0, Some(KEPT)).ok()?.collect().await.ok()
    }

    fn origins(&self) -> &Origins {
        &self.reading.origins
    }
}

impl Made<'_> {
    /// The output of this run that `domain.output` or `domain.output_vN` means; without a major, this one's own or the
    /// newest.
    fn sibling(&self, to: &str) -> Option<&Batch> {
        let (domain, table) = to.split_once('.')?;
        if self.spec.product.split('.').next() != Some(domain) {
            return None;
        }
        let called = |name: &str, major: Option<u32>| {
            let of_name = self.siblings.iter().filter(|b| b.output == name);
            of_name.filter(|b| major.is_none_or(|m| b.major == m)).max_by_key(|b| b.major).copied()
        };
        if table == self.batch.output {
            return Some(self.batch);
        }
        called(table, None).or_else(|| split_major(table).and_then(|(name, major)| called(name, Some(major))))
    }
}
