//! Backups of the whole mesh.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use meshwork_core::permission::ApiAction;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::problem::Answer;
use crate::http::table::Routes;
use crate::http::{AppState, DATA_CACHE};

const ZSTD: &str = "application/zstd";

pub fn routes() -> Routes {
    Routes::new().needs(ApiAction::Backup, routes!(create))
}

/// The whole mesh as one archive (tar, zstd): state, keys, secrets, the mesh folder, published tables in local storage.
/// `meshwork restore` unpacks it. An answer that breaks off is not a backup.
#[utoipa::path(get, path = "/backup", tag = "operations",
    responses((status = 200, description = "the archive", content_type = "application/zstd")))]
async fn create(State(app): State<AppState>, caller: Caller) -> Answer<Response> {
    let subject = caller.asked_by_the_use_case();
    let archive = app.backup.create(&caller.session.actor, subject, caller.address()).await?;
    let mut response = Response::new(Body::from_stream(archive));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(ZSTD));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(DATA_CACHE));
    Ok(response)
}
