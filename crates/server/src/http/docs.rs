//! The docs page: our own page, script and style, which read `/api/openapi.json`. Nothing is loaded from elsewhere, so it
//! works offline, and nothing is inline, so its policy can forbid that.

use axum::Extension;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use meshwork_core::permission::ApiAction;
use utoipa_axum::routes;

use super::etag;
use super::table::{Access, Routes};

pub fn routes() -> Routes {
    let public = Access::Public(ApiAction::ReadApiDescription);
    Routes::new()
        .on(public, routes!(page))
        .on(public, routes!(script))
        .on(public, routes!(style))
        .on(public, routes!(description))
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &[u8] = include_bytes!("../../assets/docs.html");
const SCRIPT: &[u8] = include_bytes!("../../assets/docs.js");
const STYLE: &[u8] = include_bytes!("../../assets/docs.css");

/// The OpenAPI document as JSON, made once.
#[derive(Clone)]
pub struct Description(pub Bytes);

/// This API as a page to read and to try.
#[utoipa::path(get, path = "/api/docs", tag = "operations", responses((status = 200, body = String, content_type = "text/html")))]
async fn page(headers: HeaderMap) -> Response {
    embedded(&headers, "text/html; charset=utf-8", Bytes::from_static(PAGE))
}

/// The script of the docs page.
#[utoipa::path(get, path = "/api/docs/docs.js", tag = "operations", responses((status = 200, body = String, content_type = "text/javascript")))]
async fn script(headers: HeaderMap) -> Response {
    embedded(&headers, "text/javascript; charset=utf-8", Bytes::from_static(SCRIPT))
}

/// The style of the docs page.
#[utoipa::path(get, path = "/api/docs/docs.css", tag = "operations", responses((status = 200, body = String, content_type = "text/css")))]
async fn style(headers: HeaderMap) -> Response {
    embedded(&headers, "text/css; charset=utf-8", Bytes::from_static(STYLE))
}

/// This API as an OpenAPI 3.1 document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "operations", responses((status = 200, body = Object, content_type = "application/json")))]
async fn description(Extension(Description(document)): Extension<Description>, headers: HeaderMap) -> Response {
    embedded(&headers, "application/json", document)
}

fn embedded(headers: &HeaderMap, kind: &'static str, bytes: Bytes) -> Response {
    let tag = etag::over([bytes.as_ref()]);
    if etag::is_known(headers, &tag) {
        return etag::not_modified(tag, "no-cache");
    }
    let mut response = bytes.into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    out.insert(header::ETAG, tag);
    response
}
