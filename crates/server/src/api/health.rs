//! Whether the server lives, whether it can work, and what it has counted. Outside of the versioned API.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use meshwork_core::permission::{ApiAction, Resource};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::http::AppState;
use crate::http::auth::Caller;
use crate::http::metrics::Now;
use crate::http::problem::Answer;
use crate::http::table::{Access, Routes};

pub fn routes() -> Routes {
    Routes::new()
        .on(Access::Public(ApiAction::ReadHealth), routes!(healthz))
        .on(Access::Public(ApiAction::ReadHealth), routes!(readyz))
        .on(Access::Operator(ApiAction::ReadMetrics), routes!(metrics))
}

#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `ok`
    status: &'static str,
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The state can be read, so requests can be answered.
#[utoipa::path(get, path = "/readyz", tag = "operations", responses((status = 200, body = Health)))]
async fn readyz(State(app): State<AppState>) -> Answer<Json<Health>> {
    app.mesh.applied().await?;
    Ok(Json(Health { status: "ok" }))
}

/// Counters in Prometheus' text format. Needs an administrator's credential, unless the peer is this machine.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4")))]
async fn metrics(State(app): State<AppState>, caller: Option<axum::Extension<Caller>>) -> Answer<impl IntoResponse> {
    if let Some(axum::Extension(caller)) = caller {
        caller.may(Resource::Mesh)?;
    }
    let now = Now { caches: app.query.caches(), held: app.query.readers().count() };
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render(&now)))
}
