//! Agreements: who may read what, for which purpose, until when. Granting is the approval; it holds at once.

use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use meshwork_control::access::GrantRequest;
use meshwork_core::agreement::Agreement;
use meshwork_core::effect::Timestamp;
use meshwork_core::filter::{Predicate, RowFilter};
use meshwork_core::id::AgreementId;
use meshwork_core::name::{Name, TeamName};
use meshwork_core::permission::ApiAction;
use meshwork_core::principal::{Grantee, Principal};
use meshwork_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::http::AppState;
use crate::http::auth::{self, Caller};
use crate::http::body::JsonBody;
use crate::http::page::{self, Page, PageParams};
use crate::http::params::Params;
use crate::http::problem::Answer;
use crate::http::table::Routes;

pub fn routes() -> Routes {
    Routes::new()
        .needs(ApiAction::ListAgreements, routes!(list))
        .needs(ApiAction::Grant, routes!(grant))
        .needs(ApiAction::ReadAgreement, routes!(read))
        .needs(ApiAction::Revoke, routes!(revoke))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AgreementInfo {
    pub id: String,
    /// `user:ana`, `team:marketing-team` or `product:analytics.customer_360`.
    #[schema(example = "team:finance_team")]
    pub grantee: String,
    #[schema(example = "marketing.leads")]
    pub table: String,
    /// The contract major that it pins.
    pub major: u32,
    #[schema(example = "marketing-analytics")]
    pub purpose: String,
    /// Absent: every column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Classifications that are read in the clear.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clear: Vec<String>,
    /// Only rows for which all of these hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<Predicate>,
    pub granted_by: String,
    pub granted_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Neither revoked nor expired.
    pub live: bool,
}

fn info(agreement: Agreement, now: Timestamp) -> AgreementInfo {
    AgreementInfo {
        live: agreement.is_live(now),
        id: agreement.id.to_string(),
        grantee: agreement.grantee.to_string(),
        table: agreement.table,
        major: agreement.major,
        purpose: agreement.purpose,
        columns: agreement.columns,
        clear: agreement.clear.iter().map(ToString::to_string).collect(),
        rows: agreement.rows.0,
        granted_by: agreement.granted_by.to_string(),
        granted_at: agreement.granted_at,
        expires_at: agreement.expires_at,
        revoked_at: agreement.revoked_at,
        reason: agreement.reason,
    }
}

/// An agreement to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "grantee": "team:finance_team", "table": "marketing.leads", "purpose": "marketing-analytics", "expires_at": "2027-01-01T00:00:00Z" }))]
pub struct Grant {
    /// `user:ana`, `team:marketing-team` or `product:analytics.customer_360`; a bare word is a user.
    pub grantee: String,
    /// `domain.output`
    pub table: String,
    /// The contract major to pin; the newest unless given.
    #[serde(default)]
    pub major: Option<u32>,
    pub purpose: String,
    /// Absent: every column.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// Classifications to read in the clear.
    #[serde(default)]
    pub clear: Vec<String>,
    /// Only rows for which all of these hold, such as `{"column": "region", "op": "eq", "values": ["EU"]}`.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<Predicate>,
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub reason: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those of this table.
    #[param(example = "marketing.leads")]
    table: Option<String>,
    /// Only those that are neither revoked nor expired.
    #[serde(default)]
    live: bool,
    /// How many at most, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// From the `next` link of the page before.
    cursor: Option<String>,
}

/// Agreements that you gave, got, or administer.
#[utoipa::path(get, path = "/agreements", tag = "access", params(ListParams),
    responses((status = 200, body = Page<AgreementInfo>)))]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Params(asked): Params<ListParams>,
) -> Answer<Page<AgreementInfo>> {
    let page = PageParams { limit: asked.limit, cursor: asked.cursor }.read(&uri)?;
    let now = app.clock.now();
    let mut shown: Vec<AgreementInfo> = app
        .access
        .list(caller.asked_by_the_use_case())
        .await?
        .into_iter()
        .filter(|agreement| asked.table.as_ref().is_none_or(|table| agreement.table == *table))
        .filter(|agreement| !asked.live || agreement.is_live(now))
        .map(|agreement| info(agreement, now))
        .collect();
    shown.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(page::of_sorted(shown, &page, &uri, |agreement| agreement.id.clone()))
}

/// One agreement.
#[utoipa::path(get, path = "/agreements/{id}", tag = "access", params(("id" = String, Path, description = "Its id")),
    responses((status = 200, body = AgreementInfo)))]
async fn read(State(app): State<AppState>, caller: Caller, Path(id): Path<String>) -> Answer<Json<AgreementInfo>> {
    let agreement = app.access.get(caller.asked_by_the_use_case(), &AgreementId::new(id)).await?;
    Ok(Json(info(agreement, app.clock.now())))
}

/// Grants access to an output of a domain that you own. It holds on every port within a second.
#[utoipa::path(post, path = "/agreements", tag = "access", request_body = Grant,
    responses((status = 201, body = AgreementInfo)))]
async fn grant(State(app): State<AppState>, caller: Caller, JsonBody(asked): JsonBody<Grant>) -> Answer<Response> {
    let request = GrantRequest {
        grantee: grantee(&asked.grantee)?,
        table: asked.table,
        major: asked.major,
        purpose: asked.purpose,
        columns: asked.columns,
        clear: asked.clear.into_iter().map(classification).collect::<Result<_>>()?,
        rows: RowFilter(asked.rows),
        expires_at: asked.expires_at,
        reason: asked.reason,
    };
    let agreement = app.access.grant(&caller.session.actor, caller.asked_by_the_use_case(), request).await?;
    Ok((StatusCode::CREATED, Json(info(agreement, app.clock.now()))).into_response())
}

fn grantee(text: &str) -> Result<Grantee> {
    if let Some(team) = text.strip_prefix("team:") {
        return TeamName::new(team).map(Grantee::Team).map_err(|problem| malformed("grantee", &problem));
    }
    Ok(match auth::principal(text)? {
        Principal::User(name) => Grantee::User(name),
        Principal::Product { domain, product } => Grantee::Product { domain, product },
    })
}

fn classification(text: String) -> Result<Name> {
    Name::new(text).map_err(|problem| malformed("clear", &problem))
}

fn malformed(member: &str, problem: &dyn std::fmt::Display) -> Error {
    Error::usage("MW0944", format!("in `{member}`, {problem}"))
}

/// Revokes an agreement. What reads under it stops within a second, on every port.
#[utoipa::path(delete, path = "/agreements/{id}", tag = "access", params(("id" = String, Path, description = "Its id")),
    responses((status = 200, body = AgreementInfo)))]
async fn revoke(State(app): State<AppState>, caller: Caller, Path(id): Path<String>) -> Answer<Json<AgreementInfo>> {
    let (actor, id) = (&caller.session.actor, AgreementId::new(id));
    let revoked = app.access.revoke(actor, caller.asked_by_the_use_case(), &id).await?;
    Ok(Json(info(revoked, app.clock.now())))
}
