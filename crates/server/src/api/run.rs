//! Runs: what was built, how it went, and starting one.

use std::collections::HashMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt};
use meshwork_control::run::{RunRequest, RunStream, RunUpdate};
use meshwork_core::id::RunId;
use meshwork_core::permission::{ApiAction, Resource};
use meshwork_core::publication::TableLocation;
use meshwork_core::run::{Run, RunReport};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::visible::{ProductListParams, Visible, of_products, unknown};
use super::word;
use crate::http::auth::Caller;
use crate::http::body::JsonBody;
use crate::http::page::{self, Page};
use crate::http::params::Params;
use crate::http::problem::{Answer, Problem};
use crate::http::table::Routes;
use crate::http::{AppState, DATA_CACHE};

pub fn routes() -> Routes {
    Routes::new()
        .needs(ApiAction::ListRuns, routes!(list))
        .needs(ApiAction::StartRun, routes!(start))
        .needs(ApiAction::ReadRun, routes!(read))
        .needs(ApiAction::ReadRunLog, routes!(log))
        .needs(ApiAction::ReadRunQuality, routes!(quality))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RunInfo {
    pub id: String,
    #[schema(example = "marketing.leads")]
    pub product: String,
    /// `build`, or `compact`: the same rows in fewer files.
    #[schema(example = "build")]
    pub task: String,
    /// `running`, `committing`, `published`, `unchanged`, `blocked`, `failed` or `cancelled`.
    #[schema(example = "published")]
    pub state: String,
    /// Who started it.
    #[schema(example = "user:ana")]
    pub actor: String,
    pub started_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<String>,
    /// Why it was blocked or failed. Others than the owners see the code only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

fn info(run: &Run, owned: bool) -> RunInfo {
    RunInfo {
        id: run.id.to_string(),
        product: run.name.clone(),
        task: word(&run.task),
        state: word(&run.state),
        actor: run.actor.to_string(),
        started_at: run.started_at,
        finished_at: run.finished_at,
        publication: run.publication.as_ref().map(ToString::to_string),
        error: run.error.as_ref().map(|error| match (owned, Problem::of(error, None)) {
            (true, problem) => problem,
            (false, problem) => Problem {
                detail: problem.title.clone(),
                place: None,
                hints: Vec::new(),
                diagnostics: Vec::new(),
                ..problem
            },
        }),
    }
}

/// Runs, newest first.
#[utoipa::path(get, path = "/runs", tag = "publications and runs", params(ProductListParams),
    responses((status = 200, body = Page<RunInfo>)))]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Params(asked): Params<ProductListParams>,
) -> Answer<Page<RunInfo>> {
    caller.may(Resource::Mesh)?;
    let visible = Visible::to(&caller, &app).await?;
    let product = asked.product.as_deref().map(|name| visible.product_id(name)).transpose()?;
    let (ledger, product) = (&app.ledger, product.as_ref());
    let fetch =
        |before: Option<RunId>| async move { ledger.runs(product, before.as_ref(), page::MAX_LIMIT).await }.boxed();
    let shown = |run: &Run| visible.listed(&run.product).is_some();
    let page = of_products(&asked, &uri, fetch, |run| run.id.clone(), shown).await?;
    let owned = |run: &Run| visible.listed(&run.product).is_some_and(|(domain, _)| visible.owns(domain));
    Ok(Page { items: page.items.iter().map(|run| info(run, owned(run))).collect(), next: page.next })
}

fn called(id: &str) -> String {
    format!("run `{}`", id.escape_debug())
}

/// One run.
#[utoipa::path(get, path = "/runs/{id}", tag = "publications and runs",
    params(("id" = String, Path, description = "Its id")), responses((status = 200, body = RunInfo)))]
async fn read(State(app): State<AppState>, caller: Caller, Path(id): Path<String>) -> Answer<Json<RunInfo>> {
    let visible = Visible::to(&caller, &app).await?;
    let called = called(&id);
    let (run, _) = app.ledger.run(&RunId::new(id)).await?.ok_or_else(|| unknown(&called))?;
    let (domain, _) = visible.product_of(&run.product, &called)?;
    Ok(Json(info(&run, visible.owns(domain))))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    pub at: DateTime<Utc>,
    #[schema(example = "info")]
    pub level: String,
    pub line: String,
}

/// What a run's process wrote. It may quote data, so only members of the owner team see it.
#[utoipa::path(get, path = "/runs/{id}/log", tag = "publications and runs",
    params(("id" = String, Path, description = "The run's id")), responses((status = 200, body = Vec<LogLine>)))]
async fn log(State(app): State<AppState>, caller: Caller, Path(id): Path<String>) -> Answer<Json<Vec<LogLine>>> {
    let visible = Visible::to(&caller, &app).await?;
    let called = called(&id);
    let id = RunId::new(id);
    let (run, _) = app.ledger.run(&id).await?.ok_or_else(|| unknown(&called))?;
    visible.product_of(&run.product, &called)?;
    let lines = app.ledger.log(&id).await?;
    Ok(Json(lines.into_iter().map(|(at, level, line)| LogLine { at, level, line }).collect()))
}

/// What a run's checks found, as far as you may see it: counts, samples and statistics are data.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct QualityInfo {
    pub run: String,
    #[schema(example = "marketing.leads")]
    pub product: String,
    pub state: String,
    /// Absent while it runs, and when it ended before its checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub report: Option<RunReport>,
}

/// The answers to every clause of a run, with what you may see of numbers, failing rows and column statistics.
#[utoipa::path(get, path = "/runs/{id}/quality", tag = "publications and runs",
    params(("id" = String, Path, description = "The run's id")), responses((status = 200, body = QualityInfo)))]
async fn quality(State(app): State<AppState>, caller: Caller, Path(id): Path<String>) -> Answer<Json<QualityInfo>> {
    let visible = Visible::to(&caller, &app).await?;
    let called = called(&id);
    let (run, report) = app.ledger.run(&RunId::new(id)).await?.ok_or_else(|| unknown(&called))?;
    let (domain, _) = visible.product_of(&run.product, &called)?;
    let mut report = match report {
        Some(report) => Some(app.query.shown_report(caller.subject(), &run, report).await?),
        None => None,
    };
    if !visible.owns(domain) {
        // Where the files lie is the owners' to know.
        for output in report.iter_mut().flat_map(|report| &mut report.outputs) {
            output.location = TableLocation { root: String::new(), path: String::new() };
        }
    }
    Ok(Json(QualityInfo { run: run.id.to_string(), product: run.name.clone(), state: word(&run.state), report }))
}

/// Which products to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "products": ["marketing.leads"] }))]
pub struct StartRuns {
    /// `domain.product`, `domain`, or `all` that you own.
    pub products: Vec<String>,
    /// Also what these read from, as far as you own it.
    #[serde(default)]
    pub upstream: bool,
    /// Builds outputs of mode `append` and `merge` anew from everything there is.
    #[serde(default)]
    pub full_refresh: bool,
}

/// Builds, checks and publishes products, and tells how it goes: one JSON object a line, each with `update`: `planned`,
/// `started`, `progress`, `log`, `checked`, `published`, `unchanged`, `blocked`, `failed`, `skipped`; the last is `finished`.
///
/// Hanging up stops the runs; nothing half-made is published.
#[utoipa::path(post, path = "/runs", tag = "publications and runs", request_body = StartRuns,
    responses((status = 200, description = "Updates as they happen", content_type = "application/x-ndjson", body = Object)))]
async fn start(State(app): State<AppState>, caller: Caller, JsonBody(asked): JsonBody<StartRuns>) -> Answer<Response> {
    let visible = Visible::to(&caller, &app).await?;
    for selector in &asked.products {
        match selector.split_once('.') {
            Some((domain, product)) => drop(visible.product(domain, product)?),
            // What is not the caller's is left out.
            None if selector == "all" => drop(caller.asked_by_the_use_case()),
            None => drop(visible.domain(selector)?),
        }
    }
    let request = RunRequest { products: asked.products, upstream: asked.upstream, full_refresh: asked.full_refresh };
    Ok(told(&app, app.runs.run(caller.subject(), &request).await?))
}

/// How many rows a run sets aside and releases.
fn moved(report: &RunReport) -> (u64, u64) {
    let set_aside = report.outputs.iter().filter_map(|output| output.quarantine.as_ref());
    let released = report.outputs.iter().filter_map(|output| output.release.as_ref());
    (set_aside.map(|q| q.rows).sum(), released.map(|released| released.rows.len()).sum())
}

/// Updates as they happen, one a line.
pub fn told(app: &AppState, updates: RunStream) -> Response {
    let metrics = app.metrics.clone();
    let mut checked = HashMap::new();
    let lines = updates.map(move |update| {
        match &update {
            RunUpdate::Published { run, .. } => {
                metrics.run("published");
                let (set_aside, released) = checked.remove(run).unwrap_or_default();
                metrics.quarantine(set_aside, released);
            }
            RunUpdate::Unchanged { .. } => metrics.run("unchanged"),
            RunUpdate::Blocked { .. } => metrics.run("blocked"),
            RunUpdate::Failed { .. } => metrics.run("failed"),
            RunUpdate::Checked { run, report, .. } => drop(checked.insert(run.clone(), moved(report))),
            _ => {}
        }
        let mut line = serde_json::to_vec(&update)?;
        line.push(b'\n');
        Ok::<_, serde_json::Error>(Bytes::from(line))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(DATA_CACHE));
    response
}
