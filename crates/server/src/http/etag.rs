//! Entity tags. Weak, as compression changes bytes but not meaning.

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// A tag over several parts; no two lists of parts run together, as each is preceded by its length.
pub fn over<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> HeaderValue {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let tag = format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&digest.finalize()[..18]));
    HeaderValue::from_str(&tag).expect("base64 is a header value")
}

/// Whether the client has this already (`If-None-Match`, weak comparison).
pub fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    let ours = opaque(tag.to_str().unwrap_or(""));
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|theirs| theirs.trim() == "*" || opaque(theirs) == ours)
}

/// 304 with what a client needs to go on using its copy.
pub fn not_modified(tag: HeaderValue, cache: &'static str) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// What is larger is streamed and never tagged here.
const MAX_TAGGED: u64 = 8 << 20;

/// Tags whole JSON answers to GET by their bytes, and answers 304 where the client has them.
pub async fn tag_metadata(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let conditions = request.headers().clone();
    let response = next.run(request).await;
    let whole = response.body().size_hint().exact().is_some_and(|bytes| bytes <= MAX_TAGGED);
    let taggable = response.status() == StatusCode::OK && !response.headers().contains_key(header::ETAG);
    if !(reads && whole && taggable) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_TAGGED as usize).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let kind = parts.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let tag = over([kind, bytes.as_ref()]);
    if is_known(&conditions, &tag) {
        return not_modified(tag, "private, no-cache");
    }
    parts.headers.insert(header::ETAG, tag);
    Response::from_parts(parts, Body::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(over([&b"ab"[..], b"c"]), over([&b"a"[..], b"bc"]));
        assert_eq!(over([&b"ab"[..]]), over([&b"ab"[..]]));
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let tag = HeaderValue::from_static("W/\"x\"");
        assert!(is_known(&asked("\"y\", \"x\""), &tag));
        assert!(is_known(&asked("*"), &tag));
        assert!(!is_known(&asked("\"xy\""), &tag));
        assert!(!is_known(&HeaderMap::new(), &tag));
    }
}
