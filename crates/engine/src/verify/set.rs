//! Clauses that one scan does not answer: duplicates and their samples, references, SQL. The data is asked again, as a
//! table with the contract's names and types; groupings and joins spill.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::record_batch::RecordBatch;
use datafusion::common::TableReference;
use datafusion::prelude::{Expr, SessionContext, ident, try_cast};
use meshwork_core::contract::{Field, Table};
use meshwork_core::quality::{Clause, ClauseResult, Metric, Outcome, RowSample, Rule};
use meshwork_core::{Error, Result};

use super::{Subject, open};
use crate::native::arrow_type;
use crate::source::{Face, Reading, Samples, Source, SourceTable};
use crate::write::session::{self, Origin, Way};
use crate::write::{counted, describe_metric, measure, result, texts, threshold, unchecked};

const TABLE: &str = "__mw_data";
const KEPT: usize = 20;

pub async fn answers(
    clauses: &[&Clause],
    table: &Table,
    subject: &Subject,
    opened: &Arc<dyn Source>,
    places: &[Result<usize, String>],
    rows: u64,
) -> Result<BTreeMap<String, ClauseResult>> {
    let mut answers = BTreeMap::new();
    for clause in clauses {
        let check = Check { table, subject, opened, places, rows };
        let answer = match check.clause(clause, Way::Fast).await {
            Err(failed) => match session::another_way(&failed) {
                Some(way) => check.clause(clause, way).await,
                None => Err(failed),
            },
            done => done,
        };
        let answer = answer.unwrap_or_else(|failed| unchecked(clause, failed.message));
        answers.insert(clause.id.clone(), answer);
    }
    Ok(answers)
}

struct Check<'a> {
    table: &'a Table,
    subject: &'a Subject,
    opened: &'a Arc<dyn Source>,
    places: &'a [Result<usize, String>],
    rows: u64,
}

impl Check<'_> {
    async fn clause(&self, clause: &Clause, way: Way) -> Result<ClauseResult> {
        let context = session::session(&self.subject.limits, &self.subject.scratch, self.subject.now, way)?;
        register(&context, TABLE, self.opened, &self.table.fields, self.places)?;
        match &clause.rule {
            Rule::Unique { columns } => self.unique(&context, clause, columns).await,
            Rule::Metric { metric: metric @ Metric::DuplicateValues { columns }, unit, must } => {
                let (rows, groups) = self.duplicates(&context, columns).await?;
                let measured = measure(rows - groups, self.rows, *unit);
                Ok(threshold(clause, measured, must, describe_metric(metric, measured, *unit), self.rows))
            }
            Rule::References { columns, to, to_columns } => {
                self.references(&context, clause, columns, to, to_columns).await
            }
            Rule::Sql { query, must } => {
                let query = query.trim().trim_end_matches(';');
                let sql = query.replace("{table}", TABLE).replace("{batch}", TABLE);
                match must {
                    Some(must) => {
                        let measured = number(&context, &sql, &clause.id).await?;
                        Ok(threshold(clause, measured, must, "the query's number".to_owned(), self.rows))
                    }
                    None => {
                        let count = format!("SELECT count(*) FROM ({sql}) AS failing");
                        let failing = number(&context, &count, &clause.id).await? as u64;
                        Ok(counted(clause, failing, self.rows, "are returned by the query", Samples::default()))
                    }
                }
            }
            _ => Ok(unchecked(clause, "this kind of clause has no check".to_owned())),
        }
    }

    async fn duplicates(&self, context: &SessionContext, columns: &[String]) -> Result<(u64, u64)> {
        let groups = groups(columns);
        let sql = format!("SELECT coalesce(sum(n), 0)::double, count(*)::double FROM ({groups}) AS doubled");
        let batches = collect(context, &sql, "uniqueness").await?;
        let at = |column: usize| {
            let batch = batches.iter().find(|batch| batch.num_rows() > 0);
            batch.map_or(0.0, |batch| batch.column(column).as_primitive::<Float64Type>().value(0)) as u64
        };
        Ok((at(0), at(1)))
    }

    async fn unique(&self, context: &SessionContext, clause: &Clause, columns: &[String]) -> Result<ClauseResult> {
        let (failing, _) = self.duplicates(context, columns).await?;
        let samples = if failing == 0 {
            Samples::default()
        } else {
            let on: Vec<String> = columns.iter().map(|c| format!("t.{0} = d.{0}", quoted(c))).collect();
            let order = columns.iter().map(|c| format!("t.{}", quoted(c))).collect::<Vec<_>>().join(", ");
            let sql = format!(
                "SELECT t.* FROM {TABLE} AS t JOIN ({} ORDER BY {} LIMIT {KEPT}) AS d ON {} ORDER BY {order} LIMIT {KEPT}",
                groups(columns),
                list(columns),
                on.join(" AND ")
            );
            samples(&collect(context, &sql, "samples").await?)
        };
        let what = format!("share their {} with another row", columns.join(", "));
        Ok(counted(clause, failing, self.rows, &what, samples))
    }

    async fn references(
        &self,
        context: &SessionContext,
        clause: &Clause,
        columns: &[String],
        to: &str,
        to_columns: &[String],
    ) -> Result<ClauseResult> {
        let own = to.rsplit('.').next().unwrap_or(to);
        let target = if own == self.table.name {
            TABLE.to_owned()
        } else {
            let given = self.subject.others.get(to).or_else(|| self.subject.others.get(own));
            let Some(spec) = given else {
                let because = format!("it looks into `{to}`, whose data was not given: `--reference {own}=DATA`");
                return Ok(result(clause, Outcome::NotEvaluated { because: because.clone() }, because));
            };
            // The columns that are referred to have the types of those that refer.
            let field = |(column, theirs): (&String, &String)| {
                let mut field = self.table.field(column)?.clone();
                field.name.clone_from(theirs);
                field.physical_name = None;
                Some(field)
            };
            let fields: Vec<Field> = columns.iter().zip(to_columns).filter_map(field).collect();
            let opened = open(to, spec, &fields, &Reading::default(), self.subject).await?;
            let schema = opened.schema();
            let place = |field: &Field| {
                schema.index_of(&field.name).map_err(|_| format!("`{to}` has no column `{}`", field.name))
            };
            let places: Vec<Result<usize, String>> = fields.iter().map(place).collect();
            if let Some(Err(because)) = places.iter().find(|place| place.is_err()) {
                return Ok(unchecked(clause, because.clone()));
            }
            register(context, "__mw_other", &opened, &fields, &places)?;
            "__mw_other".to_owned()
        };
        let on: Vec<String> =
            columns.iter().zip(to_columns).map(|(c, t)| format!("t.{} = r.{}", quoted(c), quoted(t))).collect();
        let present: Vec<String> = columns.iter().map(|c| format!("t.{} IS NOT NULL", quoted(c))).collect();
        let from = format!(
            "FROM {TABLE} AS t LEFT ANTI JOIN {target} AS r ON {} WHERE {}",
            on.join(" AND "),
            present.join(" AND ")
        );
        let failing = number(context, &format!("SELECT count(*) {from}"), &clause.id).await? as u64;
        let samples = if failing == 0 {
            Samples::default()
        } else {
            let order = columns.iter().map(|c| format!("t.{}", quoted(c))).collect::<Vec<_>>().join(", ");
            samples(&collect(context, &format!("SELECT t.* {from} ORDER BY {order} LIMIT {KEPT}"), "samples").await?)
        };
        Ok(counted(clause, failing, self.rows, &format!("refer to rows that {to} does not have"), samples))
    }
}

/// The data as a table with the contract's names and types. Columns that are not there are left out.
fn register(
    context: &SessionContext,
    name: &str,
    opened: &Arc<dyn Source>,
    fields: &[Field],
    places: &[Result<usize, String>],
) -> Result<()> {
    let failed = |error| session::execution_error(&error, "the data");
    let schema = opened.schema();
    let table = SourceTable::new(Arc::clone(opened), Face::Plain);
    let frame = context.read_table(Arc::new(table)).map_err(failed)?;
    let columns: Vec<Expr> = fields
        .iter()
        .zip(places)
        .filter_map(|(field, place)| {
            let at = *place.as_ref().ok()?;
            let column = ident(schema.field(at).name().as_str());
            Some(try_cast(column, arrow_type(&field.native)).alias(&field.name))
        })
        .collect();
    let view = frame.select(columns).map_err(failed)?.into_view();
    context.register_table(TableReference::bare(name), view).map_err(failed)?;
    Ok(())
}

async fn collect(context: &SessionContext, sql: &str, what: &str) -> Result<Vec<RecordBatch>> {
    let plan = session::plan(context, sql, Origin { what, path: "" }).await?;
    session::frame(context, plan).collect().await.map_err(|error| session::execution_error(&error, what))
}

/// A query of one number.
async fn number(context: &SessionContext, sql: &str, id: &str) -> Result<f64> {
    let what = format!("clause `{id}`");
    let wrong = || Error::check("MW0610", format!("the query of {what} must yield one number"));
    let batches = collect(context, sql, &what).await?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).ok_or_else(wrong)?;
    if rows != 1 || batch.num_columns() != 1 || batch.column(0).is_null(0) {
        return Err(wrong());
    }
    let number = cast(batch.column(0), &DataType::Float64).map_err(|_| wrong())?;
    Ok(number.as_primitive::<Float64Type>().value(0))
}

fn samples(batches: &[RecordBatch]) -> Samples {
    let mut samples = Samples::default();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let value = |at: usize| {
                let name = batch.schema().field(at).name().clone();
                (name, texts(batch.column(at), &[row]).pop().flatten())
            };
            samples.add(RowSample { source: None, row: None, values: (0..batch.num_columns()).map(value).collect() });
        }
    }
    samples
}

fn groups(columns: &[String]) -> String {
    let list = list(columns);
    let present: Vec<String> = columns.iter().map(|c| format!("{} IS NOT NULL", quoted(c))).collect();
    format!(
        "SELECT {list}, count(*) AS n FROM {TABLE} WHERE {} GROUP BY {list} HAVING count(*) > 1",
        present.join(" AND ")
    )
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
