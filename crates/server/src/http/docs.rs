//! The docs page: our own page, script and style, which read `/api/openapi.json`. Nothing is loaded from elsewhere, so it
//! works offline, and nothing is inline, so its policy can forbid that.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use utoipa_axum::router::UtoipaMethodRouter;

use super::etag;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &[u8] = include_bytes!("../../assets/docs.html");
const SCRIPT: &[u8] = include_bytes!("../../assets/docs.js");
const STYLE: &[u8] = include_bytes!("../../assets/docs.css");

fn embedded(headers: &HeaderMap, kind: &'static str, bytes: &'static [u8]) -> Response {
    let tag = etag::over([bytes]);
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
