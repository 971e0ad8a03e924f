//! SQL over HTTP, through the one governed read path.

mod values;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use meshwork_control::query::QuerySession;
use meshwork_core::effect::Timestamp;
use meshwork_core::permission::{ApiAction, Resource};
use meshwork_core::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

pub use values::{bind_json, bind_text};

use crate::http::auth::Caller;
use crate::http::body::JsonBody;
use crate::http::format::{self, Format, Options};
use crate::http::params::Params;
use crate::http::problem::Answer;
use crate::http::table::Routes;
use crate::http::{AppState, DATA_CACHE};

pub fn routes() -> Routes {
    Routes::new().needs(ApiAction::Query, routes!(query)).needs(ApiAction::Query, routes!(query_by_url))
}

/// One statement.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "sql": "select source, count(*) as n from marketing.leads where score >= $1 group by source", "params": [50] }))]
pub struct QueryRequest {
    /// One `SELECT` (or `EXPLAIN`). Tables are `domain.output`, or `domain.output_v1` for a major.
    pub sql: String,
    /// Values of `$1`, `$2`, … in order.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub params: Vec<serde_json::Value>,
    /// Selects among the purposes that you have agreements for. The header `Meshwork-Purpose` says the same.
    #[serde(default)]
    pub purpose: Option<String>,
    /// Reads every table as it was published at this moment.
    #[serde(default)]
    pub as_of: Option<String>,
}

/// A result as `application/json`.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueryResult {
    /// Also in the header `meshwork-query-id`, and in the audit log.
    pub query_id: String,
    pub columns: Vec<ResultColumn>,
    /// Such as that a table is deprecated. Also in the header `meshwork-warning`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// One object a row; a later column of the same name is numbered (`id_2`). Decimals and 64-bit integers are numbers
    /// with all their digits.
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<serde_json::Value>,
    pub row_count: u64,
    /// Of a domain endpoint that was asked with `limit`: the path of the next page.
    pub next: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ResultColumn {
    pub name: String,
    /// `text`, `int64`, `float64`, `decimal(p,s)`, `boolean`, `date`, `timestamp`, `local_timestamp`, `binary`, `list<…>`, …
    #[serde(rename = "type")]
    #[schema(rename = "type", example = "int64")]
    pub kind: String,
    pub nullable: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct QueryParams {
    /// The statement.
    #[param(example = "select * from marketing.leads limit 10")]
    sql: String,
    /// Selects among the purposes that you have agreements for.
    purpose: Option<String>,
    /// Reads every table as it was published at this moment (RFC 3339).
    #[param(example = "2026-01-31T00:00:00Z")]
    as_of: Option<String>,
    /// CSV only: leave text as it is that a spreadsheet would run as a formula.
    #[serde(default)]
    csv_raw: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct FormParams {
    /// CSV only: leave text as it is that a spreadsheet would run as a formula.
    #[serde(default)]
    csv_raw: bool,
}

/// Runs one SQL statement. The form of the result is negotiated by `Accept` and streamed.
///
/// A result that fails midway breaks off: the connection ends before the message does. NDJSON ends in a line
/// `{"$problem": {…}}` instead.
#[utoipa::path(post, path = "/query", tag = "data", params(FormParams), request_body = QueryRequest,
    responses((status = 200, content(
        (QueryResult = "application/json"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.parquet"), (String = "application/x-ndjson")))))]
async fn query(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Params(form): Params<FormParams>,
    JsonBody(asked): JsonBody<QueryRequest>,
) -> Answer<Response> {
    let format = Format::negotiate(&headers)?;
    caller.may(Resource::Mesh)?;
    let session = session(&caller, "http", asked.purpose, asked.as_of.as_deref())?;
    let prepared = counted(&app, app.query.prepare(&session, &asked.sql).await)?;
    let values = bind_json(&prepared.parameters(), &asked.params)?;
    let answer = answered(&app, app.query.execute(&prepared, values).await)?;
    let options = Options {
        query_id: answer.query_id.to_string(),
        csv_raw: form.csv_raw,
        next: None,
        request_id: caller.request_id(),
        warnings: answer.warnings,
    };
    Ok(format::respond(format, answer.schema, answer.stream, options, app.metrics.clone()).await?)
}

/// The same with the statement in the URL, for tools that can only GET.
#[utoipa::path(get, path = "/query", tag = "data", params(QueryParams),
    responses((status = 200, content(
        (QueryResult = "application/json"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.parquet"), (String = "application/x-ndjson")))))]
async fn query_by_url(
    State(app): State<AppState>,
    caller: Caller,
    method: Method,
    headers: HeaderMap,
    Params(asked): Params<QueryParams>,
) -> Answer<Response> {
    let format = Format::negotiate(&headers)?;
    caller.may(Resource::Mesh)?;
    let session = session(&caller, "http", asked.purpose, asked.as_of.as_deref())?;
    let prepared = counted(&app, app.query.prepare(&session, &asked.sql).await)?;
    let values = bind_json(&prepared.parameters(), &[])?;
    if method == Method::HEAD {
        return Ok(head(format));
    }
    let answer = answered(&app, app.query.execute(&prepared, values).await)?;
    let options = Options {
        query_id: answer.query_id.to_string(),
        csv_raw: asked.csv_raw,
        next: None,
        request_id: caller.request_id(),
        warnings: answer.warnings,
    };
    Ok(format::respond(format, answer.schema, answer.stream, options, app.metrics.clone()).await?)
}

/// The answer to HEAD: the statement is decided and planned, nothing is read.
pub fn head(format: Format) -> Response {
    let mut response = Body::empty().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(DATA_CACHE));
    response
}

pub fn session(
    caller: &Caller,
    port: &'static str,
    purpose: Option<String>,
    as_of: Option<&str>,
) -> Result<QuerySession> {
    Ok(QuerySession {
        actor: caller.session.actor.clone(),
        subject: caller.session.subject.clone(),
        purpose: caller.purpose(purpose)?,
        as_of: as_of.map(moment).transpose()?,
        port: caller.port(port),
        address: caller.address(),
    })
}

pub(super) fn moment(text: &str) -> Result<Timestamp> {
    if let Ok(day) = text.trim().parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    // In a query string `+01:00` arrives as ` 01:00`.
    let parsed = DateTime::parse_from_rfc3339(&text.trim().replace(' ', "+"));
    parsed.map(|at| at.with_timezone(&Utc)).map_err(|_| {
        Error::usage("MW0935", format!("as_of=`{}` is not a moment", text.escape_debug())).hint(
            "write it as RFC 3339, such as 2026-01-31T00:00:00Z, or as a date, which means its first moment in UTC",
        )
    })
}

/// The same for what is executed: only that is an answer.
pub fn answered<T>(app: &AppState, result: Result<T>) -> Result<T> {
    let answer = counted(app, result)?;
    app.metrics.query("http", "ok");
    Ok(answer)
}

/// Counts a refusal or a failure.
pub fn counted<T>(app: &AppState, result: Result<T>) -> Result<T> {
    if let Err(error) = &result {
        let refused = matches!(error.kind, Kind::Forbidden | Kind::NotFound | Kind::Unauthenticated);
        app.metrics.query("http", if refused { "refused" } else { "failed" });
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_a_zone() {
        assert_eq!(moment("2026-01-31T01:00:00 01:00").unwrap().to_rfc3339(), "2026-01-31T00:00:00+00:00");
        assert_eq!(moment("2026-01-31").unwrap().to_rfc3339(), "2026-01-31T00:00:00+00:00");
        assert_eq!(moment("2026-01-31T00:00:00").unwrap_err().code, "MW0935");
    }
}
