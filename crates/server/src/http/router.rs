//! The whole API on one screen, and the layers around it.

use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Router, middleware};
use bytes::Bytes;
use meshwork_core::Error;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use tower_http::timeout::TimeoutLayer;
use utoipa::openapi::OpenApi;

use super::docs::{self, Description};
use super::problem::Failure;
use super::state::AppState;
use super::table::{Guard, Routes, Table, guard};
use super::{openapi, problem, request};
use crate::api;

/// Statements and grants are small.
const BODY_LIMIT: usize = 4 << 20;

/// Until an answer begins; what streams after that is bounded by the query's own limit.
const TIMEOUT: Duration = Duration::from_secs(120);

fn all() -> Routes {
    let metadata = Routes::new()
        .merge(api::mesh::routes()) //          GET  /mesh
        .merge(api::domain::routes()) //        GET  /domains  /domains/{d}
        .merge(api::product::routes()) //       GET  /products  /products/{d}/{p}
        .merge(api::contract::routes()) //      GET  /contracts  /contracts/{d}/{output}/{major}
        .merge(api::publication::routes()) //   GET  /publications  /publications/{id}
        .merge(api::agreement::routes()) //     GET  POST /agreements   GET DELETE /agreements/{id}
        .merge(api::user::routes()) //          GET  POST /users        DELETE /users/{name}
        .merge(api::token::routes()) //         GET  POST /tokens       DELETE /tokens/{id}
        .merge(api::login::routes()) //         POST /login
        .merge(api::whoami::routes()) //        GET  /whoami
        .merge(api::audit::routes()) //         GET  /audit  /audit/verify  …/checkpoint  …/records/{n}/proof  …/consistency  DELETE …/principals/{p}
        .tagged();
    let v1 = metadata
        .merge(api::backup::routes()) //        GET  /backup
        .merge(api::maintenance::routes()) //   POST /maintenance   GET /jobs
        .merge(api::run::routes()) //           GET  POST /runs         GET /runs/{id}  …/log  …/quality
        .merge(api::quarantine::routes()) //     GET  /quarantine  …/{of}/rows   POST /quarantine/{of}/release
        .merge(api::plan::routes()) //          POST /plan  /apply  /drift
        .merge(api::query::routes()) //         GET  POST /query
        .merge(api::data::routes()) //          GET  /data/{domain}/{output}
        .merge(api::diff::routes()); //         GET  /data/{domain}/{output}/diff
    Routes::new()
        .nest("/api/v1", v1)
        .merge(docs::routes()) //               GET  /api/docs  /api/docs/…  /api/openapi.json
        .merge(api::problem_code::routes()) //  GET  /api/problems/{code}
        .merge(api::health::routes()) //        GET  /healthz  /readyz  /metrics
}

/// Every route with the action that it needs, and the document that describes them.
pub fn describe() -> (OpenApi, Table) {
    let (_, document, table) = all().finish();
    (openapi::complete(document, &table), table)
}

/// The API. A request may carry a [`Session`](super::Session) as an extension: the command line's way to say who it is
/// in process. Serve it with `into_make_service_with_connect_info::<Peer>()`, so that peers are known.
pub fn router(app: AppState) -> Router {
    let (router, document, table) = all().finish();
    let document = serde_json::to_vec(&openapi::complete(document, &table)).unwrap_or_default();
    let checks = Guard { app: app.clone(), table };
    // Updates must not wait in a compressor, and Parquet is compressed already.
    let compressible = DefaultPredicate::new()
        .and(NotForContentType::const_new("application/x-ndjson"))
        .and(NotForContentType::const_new("application/vnd.apache.parquet"));
    // The last layer is the outermost: it sees the request first and the answer last.
    router
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(Extension(Description(Bytes::from(document))))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(checks, guard))
        .layer(middleware::from_fn(super::body::drain))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIMEOUT))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            Failure::from(Error::internal("MW0999", "a handler panicked; the panic's message is in the log"))
                .into_response()
                .map(axum::body::Body::new)
        }))
        .layer(middleware::from_fn_with_state(app.clone(), problem::render))
        .layer(CompressionLayer::new().gzip(true).compress_when(compressible))
        .layer(middleware::from_fn_with_state(app.clone(), request::observe))
        .with_state(app)
}
