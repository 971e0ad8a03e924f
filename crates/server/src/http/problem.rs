//! Errors on the wire: RFC 9457 problem details. The only place where a [`Kind`] becomes an HTTP status.

use axum::Json;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use meshwork_core::{Diagnostic, Error, Kind, Severity, codes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::request::RequestId;
use super::state::AppState;

pub const CONTENT_TYPE: &str = "application/problem+json";

/// What a handler fails with: an error of the platform on its way to the client.
#[derive(Debug)]
pub struct Failure {
    error: Box<Error>,
    /// Where it differs from what the kind says (405, 406, 415).
    status: StatusCode,
}

pub type Answer<T> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { status: status(&error), error: Box::new(error) }
    }
}

impl Failure {
    pub fn with_status(error: Error, status: StatusCode) -> Self {
        Self { error: Box::new(error), status }
    }
}

pub fn status(error: &Error) -> StatusCode {
    match error.kind {
        Kind::Check => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Usage => StatusCode::BAD_REQUEST,
        Kind::Environment => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Limit => match error.code.as_str() {
            // Too many failed sign-ins.
            "MW0904" => StatusCode::TOO_MANY_REQUESTS,
            // The request itself is too much: its body, the statement's length or depth, rows beyond a limit.
            "MW0801" | "MW0806" | "MW0812" | "MW0923" => StatusCode::PAYLOAD_TOO_LARGE,
            // Time, memory, space.
            _ => StatusCode::SERVICE_UNAVAILABLE,
        },
        // A partial success or an interruption has no status of its own; the stream that reports them says which.
        Kind::Partial | Kind::Interrupted | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The error travels in the response's extensions; [`render`] writes the body, as only it knows the request's id.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(Carried(self.error));
        response
    }
}

#[derive(Clone)]
struct Carried(Box<Error>);

/// Problem details (RFC 9457) with the platform's stable code and its hints.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "type": "/api/problems/MW0742", "title": "It does not exist, or is not yours to see", "status": 404,
    "detail": "there is no product `sales.ordres`, or it is not yours to see", "code": "MW0742",
    "request": "0193c0de-0000-7000-8000-000000000000", "hints": []
}))]
pub struct Problem {
    /// Resolves, relative to the server, to the long explanation of the code.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// Stable, such as `MW0742`; the same as the command line shows.
    pub code: String,
    /// The id of the request, also in the `x-request-id` header and in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<ProblemPlace>,
    /// What to do next, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// When one request found many things wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<ProblemDiagnostic>,
}

/// Where: a file of the mesh, or `body` for the request itself. 1-based; 0 where it is not known.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemPlace {
    pub path: String,
    pub line: u32,
    pub column: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemDiagnostic {
    pub code: String,
    /// `error`, `warning` or `info`.
    pub severity: String,
    pub message: String,
    pub place: ProblemPlace,
    /// Length of the marked text in characters.
    pub length: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Problem {
    pub fn new(error: &Error, status: StatusCode, request: Option<&str>) -> Self {
        let opaque = error.kind == Kind::Internal;
        Self {
            kind: format!("/api/problems/{}", error.code),
            title: title(&error.code, status),
            status: status.as_u16(),
            detail: if opaque { "the server failed; its log has the reason".to_owned() } else { error.message.clone() },
            code: error.code.clone(),
            request: request.map(str::to_owned),
            place: error.place.as_ref().filter(|_| !opaque).map(ProblemPlace::from),
            hints: match (opaque, request) {
                (true, Some(id)) => vec![format!("give the operator this request id: {id}")],
                (true, None) => Vec::new(),
                (false, _) => error.hints.clone(),
            },
            diagnostics: if opaque { Vec::new() } else { error.diagnostics.iter().map(Into::into).collect() },
        }
    }

    /// For a stream that has begun and cannot change its status any more.
    pub fn of(error: &Error, request: Option<&str>) -> Self {
        Self::new(error, status(error), request)
    }

    /// Back to the error, as the command line shows it.
    pub fn into_error(self) -> Error {
        let kind = match self.status {
            400 | 405 | 406 | 415 => Kind::Usage,
            401 => Kind::Unauthenticated,
            403 => Kind::Forbidden,
            404 => Kind::NotFound,
            409 | 412 => Kind::Conflict,
            413 | 429 => Kind::Limit,
            422 => Kind::Check,
            500 => Kind::Internal,
            _ => Kind::Environment,
        };
        let mut error = Error::new(kind, &self.code, self.detail);
        error.place = self.place.map(Into::into);
        error.hints = self.hints;
        error.diagnostics = self.diagnostics.into_iter().map(Into::into).collect();
        error
    }
}

fn title(code: &str, status: StatusCode) -> String {
    let known = codes::find(code).map(|info| info.title);
    known.or(status.canonical_reason()).unwrap_or("Error").to_owned()
}

impl From<&meshwork_core::Place> for ProblemPlace {
    fn from(place: &meshwork_core::Place) -> Self {
        Self { path: place.path.clone(), line: place.line, column: place.column }
    }
}

impl From<ProblemPlace> for meshwork_core::Place {
    fn from(place: ProblemPlace) -> Self {
        Self { path: place.path, line: place.line, column: place.column }
    }
}

impl From<&Diagnostic> for ProblemDiagnostic {
    fn from(d: &Diagnostic) -> Self {
        Self {
            code: d.code.clone(),
            severity: match d.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "info",
            }
            .to_owned(),
            message: d.message.clone(),
            place: (&d.place).into(),
            length: d.length,
            hints: d.hints.clone(),
        }
    }
}

impl From<ProblemDiagnostic> for Diagnostic {
    fn from(d: ProblemDiagnostic) -> Self {
        Self {
            code: d.code,
            severity: match d.severity.as_str() {
                "warning" => Severity::Warning,
                "info" => Severity::Info,
                _ => Severity::Error,
            },
            message: d.message,
            place: d.place.into(),
            length: d.length,
            hints: d.hints,
        }
    }
}

/// Writes the body of every failing response: those that carry an [`Error`], and those that axum and the layers made.
pub async fn render(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let asked = format!("{} {}", request.method(), request.uri().path());
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let error = match response.extensions().get::<Carried>() {
        Some(Carried(error)) => error.as_ref().clone(),
        None if is_problem(&response) => return response,
        None => plain(status, &asked),
    };
    let id = id.as_ref().map(RequestId::as_str);
    match error.kind {
        Kind::Internal => tracing::error!(request = id, asked, code = error.code, "{}", error.message),
        _ => tracing::debug!(request = id, asked, code = error.code, "{}", error.message),
    }
    app.metrics.problem(&error.code);
    let (mut parts, body) = response.into_parts();
    debug_assert!(body.size_hint().upper().is_some_and(|bytes| bytes < 4096), "a failing response carries no data");
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    let mut answer = (status, Json(Problem::new(&error, status, id))).into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in &parts.headers {
        answer.headers_mut().entry(name).or_insert(value.clone());
    }
    if status == StatusCode::UNAUTHORIZED {
        let challenges = answer.headers_mut();
        challenges.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"meshwork\""));
        challenges
            .append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"meshwork\", charset=\"UTF-8\""));
    }
    answer
}

fn is_problem(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == CONTENT_TYPE)
}

/// What axum and the layers answer without an error of ours.
fn plain(status: StatusCode, asked: &str) -> Error {
    match status {
        StatusCode::NOT_FOUND => Error::not_found("MW0921", format!("there is nothing at `{asked}`"))
            .hint("the API is listed at /api/docs and described in /api/openapi.json"),
        StatusCode::METHOD_NOT_ALLOWED => Error::usage("MW0922", format!("`{asked}` is not something one can do"))
            .hint("the `allow` header of this answer names the methods that work"),
        StatusCode::PAYLOAD_TOO_LARGE => Error::limit("MW0923", "the request's body is larger than this route takes"),
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE => {
            Error::environment("MW0924", format!("`{asked}` took longer than the server allows"))
                .hint("try again; a query that needs longer can be narrowed with a filter or a limit")
        }
        status if status.is_client_error() => {
            Error::usage("MW0925", format!("`{asked}` was refused: {}", status.canonical_reason().unwrap_or("?")))
        }
        _ => Error::internal("MW0999", format!("`{asked}` failed with {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshwork_core::Place;

    #[test]
    fn an_internal_error_is_opaque() {
        let error = Error::internal("MW0999", "disk /secret/path is odd").hint("look at /secret/path");
        let problem = Problem::of(&error, Some("r-1"));
        let text = serde_json::to_string(&problem).unwrap();
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(problem.hints, ["give the operator this request id: r-1"]);
        assert_eq!(problem.status, 500);
    }

    #[test]
    fn an_error_survives_the_wire() {
        let error = Error::check("MW0101", "two things are wrong")
            .at(Place { path: "mesh.yaml".into(), line: 3, column: 1 })
            .hint("fix them")
            .with_diagnostics(vec![Diagnostic {
                code: "MW0102".into(),
                severity: Severity::Warning,
                message: "odd".into(),
                place: Place { path: "a.yaml".into(), line: 1, column: 2 },
                length: 4,
                hints: vec!["did you mean `b`?".into()],
            }]);
        let text = serde_json::to_string(&Problem::of(&error, None)).unwrap();
        let back: Problem = serde_json::from_str(&text).unwrap();
        assert_eq!(back.into_error(), error);
    }
}
