//! The mesh as a whole.

use axum::Json;
use axum::extract::State;
use meshwork_core::limits::Limits;
use meshwork_core::permission::{ApiAction, Resource};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::visible::Visible;
use crate::http::AppState;
use crate::http::auth::Caller;
use crate::http::problem::Answer;
use crate::http::table::Routes;

pub fn routes() -> Routes {
    Routes::new().needs(ApiAction::ReadMesh, routes!(read))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MeshInfo {
    pub id: String,
    /// Absent before the first apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Rises by one with every apply that changes something; the `base` of the next one.
    #[schema(example = 7)]
    pub revision: u64,
    pub domains: usize,
    /// Products that you may know of.
    pub products: usize,
    pub classifications: Vec<ClassificationInfo>,
    /// What each statement may use.
    pub query_limits: LimitsInfo,
    /// What each run may use; products may have lower limits of their own.
    pub run_limits: LimitsInfo,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LimitsInfo {
    #[schema(example = 1073741824)]
    pub memory_bytes: u64,
    /// Temporary files.
    pub spill_bytes: u64,
    #[schema(example = 300000)]
    pub time_ms: u64,
    /// Of an answer, or of what a run writes to one output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

impl From<Limits> for LimitsInfo {
    fn from(limits: Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes.unwrap_or_default(),
            spill_bytes: limits.spill_bytes.unwrap_or_default(),
            time_ms: limits.time_ms.unwrap_or_default(),
            rows: limits.rows,
        }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ClassificationInfo {
    #[schema(example = "pii")]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The mask that its columns bear for whoever may not see them in the clear.
    #[schema(example = "hmac-sha-256")]
    pub mask: String,
}

/// The mesh: its name, its revision, its classifications.
#[utoipa::path(get, path = "/mesh", tag = "catalog", responses((status = 200, body = MeshInfo)))]
async fn read(State(app): State<AppState>, caller: Caller) -> Answer<Json<MeshInfo>> {
    caller.may(Resource::Mesh)?;
    let visible = Visible::to(&caller, &app).await?;
    let mesh = visible.mesh();
    let classifications = mesh.into_iter().flat_map(|mesh| &mesh.classifications).map(|c| ClassificationInfo {
        name: c.name.to_string(),
        description: c.description.clone(),
        mask: serde_json::to_value(c.mask).ok().and_then(|m| m.as_str().map(str::to_owned)).unwrap_or_default(),
    });
    Ok(Json(MeshInfo {
        id: app.mesh.applied().await?.mesh_id.to_string(),
        name: mesh.map(|mesh| mesh.name.to_string()),
        description: mesh.and_then(|mesh| mesh.description.clone()),
        revision: visible.revision(),
        domains: mesh.map_or(0, |mesh| mesh.domains.len()),
        products: visible.products().count(),
        classifications: classifications.collect(),
        query_limits: app.query.limits(mesh).shown().into(),
        run_limits: app.runs.limits(mesh).shown().into(),
    }))
}
