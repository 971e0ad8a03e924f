//! Housekeeping: asking for it, and the jobs that do it in the background.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use meshwork_control::maintenance::{Maintained, MaintenanceRequest, Task};
use meshwork_core::permission::{ApiAction, Resource};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::visible::Visible;
use super::word;
use crate::http::auth::Caller;
use crate::http::body::JsonBody;
use crate::http::problem::{Answer, Problem};
use crate::http::table::Routes;
use crate::http::{AppState, DATA_CACHE};

pub fn routes() -> Routes {
    Routes::new().needs(ApiAction::Maintain, routes!(maintain)).needs(ApiAction::ListJobs, routes!(jobs))
}

/// What to do to which tables.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "products": ["marketing.leads"], "dry_run": true }))]
pub struct Maintain {
    /// `domain.product`, `domain`, or `all` that you own.
    pub products: Vec<String>,
    /// `compact` and `vacuum` unless one is named.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub tasks: Vec<Task>,
    /// Only says what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// Keeps publications for so many seconds, instead of what the manifests say.
    #[serde(default)]
    pub retention: Option<u64>,
    /// For a retention below an hour.
    #[serde(default)]
    pub force: bool,
}

/// What was done to one table, or would be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MaintainedInfo {
    #[schema(example = "marketing.leads")]
    pub product: String,
    #[schema(example = "marketing.leads_v1")]
    pub table: String,
    /// `compact` or `vacuum`.
    #[schema(example = "vacuum")]
    pub task: String,
    /// Data files that were removed, or written together.
    pub files: u64,
    pub bytes: u64,
    /// Entries of the table's log that were removed.
    pub log_files: u64,
    pub log_bytes: u64,
    /// Publications that time travel no longer reaches.
    pub expired: u64,
    /// The earliest moment that time travel reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<DateTime<Utc>>,
    /// Older versions that are kept because somebody reads them now.
    pub held: u64,
    /// Where it lies, of a table that its product has no longer, or no longer there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<String>,
    /// Why nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

fn info(done: Maintained) -> MaintainedInfo {
    MaintainedInfo {
        product: done.product,
        table: done.table,
        task: done.task.as_str().to_owned(),
        files: done.files,
        bytes: done.bytes,
        log_files: done.log_files,
        log_bytes: done.log_bytes,
        expired: done.expired,
        oldest: done.oldest,
        held: done.held,
        former: done.former,
        skipped: done.skipped,
        error: done.error.as_ref().map(|error| Problem::of(error, None)),
    }
}

/// Compacts and vacuums tables now, and tells of each as it is done: one JSON object a line. What cannot be read any more
/// afterwards is gone for good; the newest publication always stays.
#[utoipa::path(post, path = "/maintenance", tag = "operations", request_body = Maintain,
    responses((status = 200, description = "What was done, table by table", content_type = "application/x-ndjson",
        body = MaintainedInfo)))]
async fn maintain(
    State(app): State<AppState>,
    caller: Caller,
    JsonBody(asked): JsonBody<Maintain>,
) -> Answer<Response> {
    let visible = Visible::to(&caller, &app).await?;
    for selector in &asked.products {
        match selector.split_once('.') {
            Some((domain, product)) => drop(visible.product(domain, product)?),
            // What is not the caller's is left out.
            None if selector == "all" => drop(caller.asked_by_the_use_case()),
            None => drop(visible.domain(selector)?),
        }
    }
    let Maintain { products, tasks, dry_run, retention, force } = asked;
    let request = MaintenanceRequest { products, tasks, dry_run, retention, force };
    let (actor, subject) = (&caller.session.actor, caller.asked_by_the_use_case());
    let done = app.maintenance.maintain(actor, subject, caller.address(), request).await?;
    let metrics = app.metrics.clone();
    let lines = done.map(move |done| {
        if !dry_run {
            metrics.maintained(&done);
        }
        let mut line = serde_json::to_vec(&info(done))?;
        line.push(b'\n');
        Ok::<_, serde_json::Error>(Bytes::from(line))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(DATA_CACHE));
    Ok(response)
}

/// A job of the background.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JobInfo {
    #[schema(example = "marketing.leads")]
    pub product: String,
    /// `compact` or `vacuum`.
    #[schema(example = "vacuum")]
    pub task: String,
    /// `waiting` or `running`.
    #[schema(example = "waiting")]
    pub state: String,
    /// When it is due.
    pub next: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// What it did the last time, table by table.
    pub last: Vec<MaintainedInfo>,
}

/// The jobs that look after tables in the background of this server: those of your products; all for administrators.
#[utoipa::path(get, path = "/jobs", tag = "operations", responses((status = 200, body = Vec<JobInfo>)))]
async fn jobs(State(app): State<AppState>, caller: Caller) -> Answer<Json<Vec<JobInfo>>> {
    caller.may(Resource::Mesh)?;
    let visible = Visible::to(&caller, &app).await?;
    let owned = |product: &str| {
        let domain = product.split_once('.').and_then(|(domain, _)| visible.mesh()?.domain(domain));
        domain.is_some_and(|domain| visible.owns(domain) || caller.subject().admin)
    };
    let jobs = app.maintenance.jobs.list().into_iter().filter(|job| owned(&job.product));
    let info = jobs.map(|job| JobInfo {
        product: job.product,
        task: job.task.as_str().to_owned(),
        state: word(&job.state),
        next: job.next,
        started_at: job.started_at,
        finished_at: job.finished_at,
        last: job.last.into_iter().map(info).collect(),
    });
    Ok(Json(info.collect()))
}
