//! The audit log.

use axum::Json;
use axum::extract::{OriginalUri, State};
use meshwork_core::permission::{ApiAction, Resource};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::http::AppState;
use crate::http::auth::Caller;
use crate::http::page::{Page, PageParams};
use crate::http::params::Params;
use crate::http::problem::Answer;
use crate::http::table::Routes;

pub fn routes() -> Routes {
    Routes::new().needs(ApiAction::ReadAudit, routes!(list)).needs(ApiAction::VerifyAudit, routes!(verify))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// How many at most, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// From the `next` link of the page before.
    cursor: Option<String>,
}

/// Entries of the audit log.
#[utoipa::path(get, path = "/audit", tag = "operations", params(ListParams), responses((status = 200, body = Page<Object>)))]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Params(asked): Params<ListParams>,
) -> Answer<Page<serde_json::Value>> {
    let page = PageParams { limit: asked.limit, cursor: asked.cursor }.read(&uri)?;
    caller.may(Resource::Mesh)?;
    let items = app.audit.query(0, page.limit).await?;
    Ok(Page { items, next: None })
}

/// Walks the hash chain and says whether it holds.
#[utoipa::path(get, path = "/audit/verify", tag = "operations", responses((status = 200, body = Object)))]
async fn verify(State(app): State<AppState>, caller: Caller) -> Answer<Json<serde_json::Value>> {
    caller.may(Resource::Mesh)?;
    Ok(Json(app.audit.verify().await?))
}
