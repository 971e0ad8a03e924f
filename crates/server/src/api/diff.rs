//! What a publication changed in a table, row by row.
//!
//! Two moments of one table are joined in SQL, on the governed path like any other statement: masked columns are compared
//! as masked, rows behind a filter are not seen, both statements are recorded, and what is large spills.

mod statement;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use meshwork_control::port::data::TableUse;
use meshwork_control::query::QuerySession;
use meshwork_core::effect::Timestamp;
use meshwork_core::name::quoted;
use meshwork_core::permission::{ApiAction, Resource};
use meshwork_core::publication::{Publication, PublishedOutput};
use meshwork_core::quality::Rule;
use meshwork_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use self::statement::Sides;
use super::data::filter::parse_select;
use super::data::unplaced;
use super::query::{answered, counted, session};
use super::visible::Visible;
use crate::http::auth::Caller;
use crate::http::page::MAX_LIMIT;
use crate::http::params::Params;
use crate::http::problem::Answer;
use crate::http::table::Routes;
use crate::http::{AppState, DATA_CACHE, format};

pub fn routes() -> Routes {
    Routes::new().needs(ApiAction::ReadData, routes!(diff))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DiffParams {
    /// The older side: a publication, its run, its Delta version, or a moment (RFC 3339). The publication before the
    /// newest unless given.
    #[param(example = "2026-01-31T00:00:00Z")]
    from: Option<String>,
    /// The newer side. The newest publication unless given.
    to: Option<String>,
    /// Columns that tell rows apart, separated by commas; those that the contract says are unique unless given. Without
    /// any, whole rows are compared.
    #[param(example = "lead_id")]
    key: Option<String>,
    /// Differing rows to show, at most 1000; 10 unless given.
    #[param(maximum = 1000)]
    limit: Option<u32>,
    /// Selects among the purposes that you have agreements for.
    purpose: Option<String>,
}

/// How two publications of a table differ.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DiffInfo {
    #[schema(example = "marketing.leads")]
    pub table: String,
    pub from: DiffSide,
    pub to: DiffSide,
    /// The columns by which rows were paired; empty where whole rows were compared.
    pub key: Vec<String>,
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<u64>,
    /// Rows with the same key are paired with each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_is_unique: Option<bool>,
    /// How many rows changed in each column that changed at all.
    pub columns: BTreeMap<String, u64>,
    /// Differing rows: `change` (`added`, `removed`, `changed`), `key`, and the values `from` and `to`; of a changed row
    /// only those that changed.
    #[schema(value_type = Vec<Object>)]
    pub sample: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One of the two.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DiffSide {
    /// Absent where a moment was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    pub at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta_version: Option<u64>,
}

/// What changed in a table between two publications, under your agreement: the same masks and filters as on every port.
#[utoipa::path(get, path = "/data/{domain}/{output}/diff", tag = "data",
    params(
        ("domain" = String, Path, description = "The domain's name", example = "marketing"),
        ("output" = String, Path, description = "The output's name, or `output_v1` for a major", example = "leads"),
        DiffParams
    ),
    responses((status = 200, body = DiffInfo)))]
async fn diff(
    State(app): State<AppState>,
    caller: Caller,
    Path((domain, output)): Path<(String, String)>,
    Params(asked): Params<DiffParams>,
) -> Answer<Response> {
    let limit = asked.limit.unwrap_or(10);
    if limit > MAX_LIMIT {
        return Err(Error::usage("MW0930", format!("`limit` is at most {MAX_LIMIT}")).into());
    }
    let session = session(&caller, "data", asked.purpose.clone(), None)?;
    caller.may(Resource::Mesh)?;
    // Whoever may not read it hears so here, as from any other statement.
    let sql = format!("SELECT * FROM {}.{}", quoted(&domain), quoted(&output));
    let prepared = counted(&app, app.query.prepare(&session, &sql).await).map_err(unplaced)?;
    let columns: Vec<String> = prepared.schema().fields().iter().map(|field| field.name().clone()).collect();
    let table = prepared.tables().first().cloned();
    let table = table.ok_or_else(|| Error::internal("MW0999", "a table was planned that nobody reads"))?;
    let shown = format!("{domain}.{output}");
    let published = Published { app: &app, table: &table, shown: &shown };
    let from = published.side(asked.from.as_deref(), 1).await?;
    let to = published.side(asked.to.as_deref(), 0).await?;
    let key = match &asked.key {
        Some(text) => parse_select(text)?,
        None => contract_key(&Visible::to(&caller, &app).await?, &table, &columns),
    };
    if let Some(unknown) = key.iter().find(|column| !columns.contains(column)) {
        let message = format!("`{shown}` has no column `{}` that you may read", unknown.escape_debug());
        return Err(Error::usage("MW0844", message).hint(format!("there are: {}", columns.join(", "))).into());
    }
    let at = |side: &DiffSide| side.at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let sides = Sides {
        domain,
        table: major(&output, table.major),
        from: at(&from),
        to: at(&to),
        values: columns.into_iter().filter(|column| !key.contains(column)).collect(),
        key,
    };
    let (mut counts, mut warnings) = rows(&app, &session, &sides.counts()).await?;
    let (sample, _) = rows(&app, &session, &sides.sample(limit)).await?;
    warnings.dedup();
    let counts = counts.pop().unwrap_or_default();
    let count = |name: &str| counts[name].as_u64().unwrap_or_default();
    let changed = sides.values.iter().enumerate().map(|(at, column)| (column.clone(), count(&format!("c{at}"))));
    let paired = !sides.key.is_empty();
    let found = DiffInfo {
        table: shown,
        from,
        to,
        added: count("added"),
        removed: count("removed"),
        changed: count("changed"),
        unchanged: paired.then(|| count("unchanged")),
        key_is_unique: paired.then(|| count("repeated") == 0),
        columns: changed.filter(|(_, n)| *n > 0).collect(),
        sample: sample.iter().map(|row| sides.sampled(row)).collect(),
        warnings,
        key: sides.key,
    };
    let mut response = Json(found).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(DATA_CACHE));
    Ok(response)
}

/// The table's name with its major: both moments are of one table.
fn major(output: &str, major: u32) -> String {
    match meshwork_core::name::split_major(output) {
        Some(_) => output.to_owned(),
        None => format!("{output}_v{major}"),
    }
}

/// All rows of a statement that yields few, with warnings such as that the table is deprecated.
async fn rows(app: &AppState, session: &QuerySession, sql: &str) -> Result<(Vec<Value>, Vec<String>)> {
    let prepared = counted(app, app.query.prepare(session, sql).await).map_err(unplaced)?;
    let answer = answered(app, app.query.execute(&prepared, Vec::new()).await)?;
    Ok((format::rows(&answer.schema, answer.stream).await.map_err(unplaced)?, answer.warnings))
}

/// The publications of one major of a table.
struct Published<'a> {
    app: &'a AppState,
    table: &'a TableUse,
    shown: &'a str,
}

impl Published<'_> {
    /// What is asked for; else the one so many before the newest.
    async fn side(&self, asked: Option<&str>, back: usize) -> Result<DiffSide> {
        let of_publication = |publication: &Publication, part: &PublishedOutput| DiffSide {
            publication: Some(publication.id.to_string()),
            run: Some(publication.run.to_string()),
            at: publication.at,
            delta_version: Some(part.delta_version),
        };
        let Some(asked) = asked else {
            let mut seen = 0;
            let found = self.find(|_, _| {
                seen += 1;
                seen > back
            });
            return match found.await? {
                Some((publication, part)) => Ok(of_publication(&publication, &part)),
                None => {
                    let message = format!(
                        "`{}` has no {}",
                        self.shown,
                        if back == 0 { "publication" } else { "two publications" }
                    );
                    Err(Error::not_found("MW0845", message)
                        .hint("a difference needs two; `from` and `to` name moments, too"))
                }
            };
        };
        if let Some(at) = moment(asked) {
            return Ok(DiffSide { publication: None, run: None, at, delta_version: None });
        }
        let named = |publication: &Publication, part: &PublishedOutput| {
            [publication.id.to_string(), publication.run.to_string(), part.delta_version.to_string()]
                .iter()
                .any(|name| name == asked)
        };
        match self.find(named).await? {
            Some((publication, part)) => Ok(of_publication(&publication, &part)),
            None => {
                let message = format!("`{}` is no publication of `{}`", asked.escape_debug(), self.shown);
                Err(Error::not_found("MW0845", message)
                    .hint("`meshwork publications list` shows them with their runs and versions"))
            }
        }
    }

    /// The newest that fits. Those of other outputs alone are passed over.
    async fn find(
        &self,
        mut fits: impl FnMut(&Publication, &PublishedOutput) -> bool,
    ) -> Result<Option<(Publication, PublishedOutput)>> {
        let newest = self.app.publications.resolve(&self.table.output_id, self.table.major, None).await?;
        let Some(product) = newest.map(|newest| newest.product) else { return Ok(None) };
        let mut before = None;
        loop {
            let page = self.app.publications.publications(Some(&product), before.as_ref(), MAX_LIMIT).await?;
            let last = page.len() < MAX_LIMIT as usize;
            before = page.last().map(|publication| publication.id.clone());
            for publication in page {
                let part = publication
                    .outputs
                    .iter()
                    .find(|part| part.output == self.table.output_id && part.major == self.table.major);
                if let Some(part) = part.cloned().filter(|part| fits(&publication, part)) {
                    return Ok(Some((publication, part)));
                }
            }
            if last {
                return Ok(None);
            }
        }
    }
}

/// A date or RFC 3339; ids and versions are neither.
fn moment(text: &str) -> Option<Timestamp> {
    super::query::moment(text).ok()
}

/// The columns of the shortest uniqueness clause whose columns the reader may all see; none where there is none.
fn contract_key(visible: &Visible<'_>, table: &TableUse, columns: &[String]) -> Vec<String> {
    let output = visible.output_by_id(&table.output_id).map(|(_, _, output)| output);
    let version = output.and_then(|output| output.versions.get(&table.major));
    let clauses = version.into_iter().flat_map(|version| &version.schema().clauses);
    let keys = clauses.filter_map(|clause| match &clause.rule {
        Rule::Unique { columns } => Some(columns.clone()),
        _ => None,
    });
    let readable = keys.filter(|key| !key.is_empty() && key.iter().all(|column| columns.contains(column)));
    readable.min_by_key(Vec::len).unwrap_or_default()
}
