//! JSON request bodies: what is wrong with one is said with its line and column.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use futures::{Stream, StreamExt};
use meshwork_core::{Error, Place};
use serde::de::DeserializeOwned;

use super::problem::Failure;
use super::suggest;

/// A JSON body of `T`. `T` denies unknown fields, so that a typing error is not silently a default.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !kind.is_some_and(is_json) {
            let found = kind.map_or("none".to_owned(), |kind| format!("`{}`", kind.escape_debug()));
            let error = Error::usage("MW0926", format!("the body must be JSON, but its content type is {found}"))
                .hint("send the header `content-type: application/json`");
            return Err(Failure::with_status(error, StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => Error::usage("MW0927", "the request's body did not arrive whole").into(),
        })?;
        parse(&bytes).map(Self).map_err(Failure::from)
    }
}

/// What a refused request still sends, at most: a client that is cut off while it sends does not see why.
const DRAINED: usize = 64 << 20;

/// Before handlers that take a body: what they leave of it is read to its end, within bounds, so that the answer arrives.
pub async fn drain(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = Draining { rest: Some(body.into_data_stream()) };
    next.run(Request::from_parts(parts, Body::from_stream(body))).await
}

struct Draining {
    /// `None` once it ended.
    rest: Option<BodyDataStream>,
}

impl Stream for Draining {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = Pin::new(rest).poll_next(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.rest = None;
        }
        polled
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        let (Some(mut rest), Ok(runtime)) = (self.rest.take(), tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(tokio::time::timeout(Duration::from_secs(30), async move {
            let mut bytes = 0;
            while let Some(Ok(more)) = rest.next().await
                && bytes < DRAINED
            {
                bytes += more.len();
            }
        }));
    }
}

fn too_large() -> Failure {
    Error::limit("MW0923", "the request's body is larger than this route takes").into()
}

fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let what = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
        let place = Place {
            path: "body".to_owned(),
            line: u32::try_from(line).unwrap_or(0),
            column: u32::try_from(column).unwrap_or(0),
        };
        let error = Error::usage("MW0927", format!("the request's body cannot be read: {what}")).at(place);
        match suggest::from_serde(what) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Asked {
        sql: String,
        #[serde(default)]
        purpose: Option<String>,
    }

    #[test]
    fn a_broken_body_is_placed() {
        let error = parse::<Asked>(b"{\"sql\": \"select 1\",\n  oops}").unwrap_err();
        assert_eq!(error.place.unwrap(), Place { path: "body".into(), line: 2, column: 3 });
        assert_eq!(error.code, "MW0927");
    }

    #[test]
    fn an_unknown_field_gets_a_suggestion() {
        let error = parse::<Asked>(br#"{"sql": "select 1", "purpos": "x"}"#).unwrap_err();
        assert_eq!(error.hints, ["Did you mean `purpose`?"]);
    }
}
