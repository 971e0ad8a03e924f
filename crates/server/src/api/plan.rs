//! Plan, apply, drift: bringing the applied mesh to what a checkout declares.

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use meshwork_control::mesh::{Drift, Outcome, Planned};
use meshwork_core::mesh::Mesh;
use meshwork_core::permission::ApiAction;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::UtoipaMethodRouterExt;
use utoipa_axum::routes;

use crate::http::AppState;
use crate::http::auth::Caller;
use crate::http::body::JsonBody;
use crate::http::problem::Answer;
use crate::http::table::{MESH_BODY_LIMIT, Routes};

pub fn routes() -> Routes {
    let large = DefaultBodyLimit::max(MESH_BODY_LIMIT);
    Routes::new()
        .needs(ApiAction::Plan, routes!(plan).layer(large))
        .needs(ApiAction::Apply, routes!(apply).layer(large))
        .needs(ApiAction::Drift, routes!(drift).layer(large))
}

/// A mesh as a checkout declares it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// As `meshwork check -o json` prints it. It may hold some domains only.
    #[schema(value_type = Object)]
    pub mesh: Mesh,
    /// Retire products that the checkout's domains no longer hold.
    #[serde(default)]
    pub prune: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    #[schema(value_type = Object)]
    pub mesh: Mesh,
    /// The revision that was planned against; another one is a conflict.
    pub base: u64,
    #[serde(default)]
    pub prune: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DriftRequest {
    #[schema(value_type = Object)]
    pub mesh: Mesh,
}

/// What applying this would change, and what stands against it. Changes nothing.
#[utoipa::path(post, path = "/plan", tag = "declaration", request_body = PlanRequest, responses((status = 200, body = Object)))]
async fn plan(
    State(app): State<AppState>,
    caller: Caller,
    JsonBody(asked): JsonBody<PlanRequest>,
) -> Answer<Json<Planned>> {
    Ok(Json(app.mesh.plan(caller.asked_by_the_use_case(), &asked.mesh, asked.prune).await?))
}

/// Applies a mesh in one transaction, if the state is still at `base`. Applying the same again changes nothing.
#[utoipa::path(post, path = "/apply", tag = "declaration", request_body = ApplyRequest, responses((status = 200, body = Object)))]
async fn apply(
    State(app): State<AppState>,
    caller: Caller,
    JsonBody(asked): JsonBody<ApplyRequest>,
) -> Answer<Json<Outcome>> {
    let (actor, subject) = (&caller.session.actor, caller.asked_by_the_use_case());
    Ok(Json(app.mesh.apply(actor, subject, &asked.mesh, asked.base, asked.prune).await?))
}

/// How the applied mesh and what is stored differ from what is declared.
#[utoipa::path(post, path = "/drift", tag = "declaration", request_body = DriftRequest, responses((status = 200, body = Object)))]
async fn drift(
    State(app): State<AppState>,
    caller: Caller,
    JsonBody(asked): JsonBody<DriftRequest>,
) -> Answer<Json<Drift>> {
    Ok(Json(app.mesh.drift(caller.asked_by_the_use_case(), &asked.mesh).await?))
}
