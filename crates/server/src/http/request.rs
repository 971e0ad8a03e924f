//! What every request gets: an id, security headers on its answer, and a place in the metrics.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use meshwork_core::id::Ids;

use super::state::AppState;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Ours, or the caller's where it is harmless in a log line.
#[derive(Clone, Debug)]
pub struct RequestId(String);

impl RequestId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(request: &Request, app: &AppState) -> Self {
        let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let harmless = |id: &&str| {
            (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let fresh = || Ids { clock: app.clock.as_ref(), entropy: app.entropy.as_ref() }.uuid().to_string();
        Self(given.filter(harmless).map_or_else(fresh, str::to_owned))
    }
}

/// The outermost layer.
pub async fn observe(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request, &app);
    let method = request.method().clone();
    request.extensions_mut().insert(id.clone());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let begun = app.clock.now();
    let in_flight = app.metrics.begin();
    let mut response = next.run(request).await;
    drop(in_flight);
    let took = (app.clock.now() - begun).to_std().unwrap_or_default();
    app.metrics.request(&method, route.as_deref().unwrap_or("unknown"), response.status(), took);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, value);
    }
    for (name, value) in SECURITY {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// An API answer is never a page: nothing in it may run, be framed, or be taken for another type. Other origins get
/// nothing, as there are no CORS headers. A handler that serves a page sets its own policy.
const SECURITY: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cache-control", "private, no-cache"),
];
