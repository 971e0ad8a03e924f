//! The command line is a client of the HTTP API (D24): of a server elsewhere, or of the same router in this process.

use std::path::Path;
use std::pin::Pin;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use meshwork_core::error::{Error, Result};
use meshwork_server::http::Session;
use meshwork_server::http::problem::Problem;
use serde_json::Value;
use tower::ServiceExt;

pub const JSON: &str = "application/json";
pub const NDJSON: &str = "application/x-ndjson";

pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

pub struct Client {
    via: Via,
    act_as: Option<String>,
}

enum Via {
    /// The router itself. The session is the folder owner's: whoever may write the state's folder is its root.
    Process {
        router: axum::Router,
        session: Box<Session>,
    },
    Network {
        http: reqwest::Client,
        base: String,
        token: Option<String>,
    },
}

/// A successful answer whose body has not been read yet.
pub struct Answer {
    pub body: ByteStream,
}

/// The certificates of a PEM file.
fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>> {
    let unusable = |why: &dyn std::fmt::Display| {
        Error::environment("MW1011", format!("{}: {why}", path.display()))
            .hint("`--ca-cert` takes the PEM file of the authority that the server's certificate comes from")
    };
    let pem = std::fs::read(path).map_err(|error| unusable(&error))?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(&error))?;
    if found.is_empty() { Err(unusable(&"it holds no certificate")) } else { Ok(found) }
}

/// One call. Paths are below `/api/v1`, unless they start with `/`.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    body: Option<Value>,
    accept: &'static str,
}

impl Call {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, accept: JSON }
    }
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, path) }
    }
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }
    #[must_use]
    pub fn accept(mut self, media_type: &'static str) -> Self {
        self.accept = media_type;
        self
    }

    fn target(&self) -> String {
        if self.path.starts_with('/') { self.path.clone() } else { format!("/api/v1/{}", self.path) }
    }
}

impl Client {
    pub fn in_process(router: axum::Router, session: Session, act_as: Option<String>) -> Self {
        Self { via: Via::Process { router, session: Box::new(session) }, act_as }
    }

    /// A server at `https://host:port` or `http://host:port`. Its certificate must lead to an authority that the machine
    /// trusts, or to one of the file `authority`.
    pub fn remote(
        server: &str,
        token: Option<String>,
        act_as: Option<String>,
        authority: Option<&Path>,
    ) -> Result<Self> {
        let base = server.trim_end_matches('/').to_owned();
        if !["http://", "https://"].iter().any(|scheme| base.starts_with(scheme)) {
            return Err(Error::usage("MW1006", format!("`{base}` is not an address that the command line can call"))
                .hint("write `https://host:port`, or `http://host:port` on this machine"));
        }
        let mut http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(std::time::Duration::from_secs(10));
        for certificate in authority.map(authorities).transpose()?.unwrap_or_default() {
            http = http.add_root_certificate(certificate);
        }
        let http = http.build().map_err(|error| Error::environment("MW1007", format!("no HTTP client: {error}")))?;
        Ok(Self { via: Via::Network { http, base, token }, act_as })
    }

    /// A JSON answer; `null` for an empty one.
    pub async fn json(&self, call: Call) -> Result<Value> {
        let bytes = self.bytes(call).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| odd_answer(&error.to_string()))
    }

    pub async fn bytes(&self, call: Call) -> Result<Vec<u8>> {
        let mut answer = self.call(call).await?;
        let mut all = Vec::new();
        while let Some(bytes) = answer.body.next().await {
            all.extend_from_slice(&bytes?);
        }
        Ok(all)
    }

    /// Every item of a list, over all its pages.
    pub async fn all(&self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let page = self.json(Call::get(path)).await?;
            match page {
                Value::Array(all) => return Ok(all),
                Value::Object(mut page) => {
                    if let Some(Value::Array(more)) = page.remove("items") {
                        items.extend(more);
                    }
                    next = page.get("next").and_then(Value::as_str).map(str::to_owned);
                }
                _ => return Err(odd_answer("a list was expected")),
            }
        }
        Ok(items)
    }

    /// Up to `limit` items of a list, from as many pages as that takes, and whether there are more. `path` has a query,
    /// which may be empty.
    pub async fn first(&self, path: &str, limit: u32) -> Result<(Vec<Value>, bool)> {
        const PAGE: u32 = 1000;
        let limit = limit.max(1) as usize;
        let separator = if path.ends_with('?') { "" } else { "&" };
        let size = u32::try_from(limit).map_or(PAGE, |limit| limit.min(PAGE));
        let mut next = Some(format!("{path}{separator}limit={size}"));
        let mut items = Vec::new();
        while items.len() < limit
            && let Some(path) = next
        {
            let page = self.json(Call::get(path)).await?;
            items.extend(page.get("items").and_then(Value::as_array).cloned().unwrap_or_default());
            next = page.get("next").and_then(Value::as_str).map(str::to_owned);
        }
        let more = next.is_some() || items.len() > limit;
        items.truncate(limit);
        Ok((items, more))
    }

    /// A successful answer whose body has not been read yet; problems become errors.
    pub async fn call(&self, call: Call) -> Result<Answer> {
        let (status, mut body) = match &self.via {
            Via::Process { router, session } => self.call_router(router, session, &call).await?,
            Via::Network { http, base, token } => self.call_server(http, base, token.as_deref(), &call).await?,
        };
        if status.is_success() {
            return Ok(Answer { body });
        }
        let mut bytes = Vec::new();
        while let Some(Ok(part)) = body.next().await {
            bytes.extend_from_slice(&part);
            if bytes.len() > 4 << 20 {
                break;
            }
        }
        Err(match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => problem.into_error(),
            Err(_) => odd_answer(&format!("status {status}")),
        })
    }

    fn headers(&self, call: &Call) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(call.accept));
        let mut put = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).map_err(|_| {
                Error::usage("MW1003", format!("`{}` cannot be sent as a header", value.escape_debug()))
            })?;
            headers.insert(name, value);
            Ok::<_, Error>(())
        };
        if let Some(principal) = &self.act_as {
            put("meshwork-as", principal)?;
        }
        if call.body.is_some() {
            put("content-type", JSON)?;
        }
        Ok(headers)
    }

    async fn call_router(
        &self,
        router: &axum::Router,
        session: &Session,
        call: &Call,
    ) -> Result<(StatusCode, ByteStream)> {
        let body = call.body.as_ref().map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = Request::builder()
            .method(&call.method)
            .uri(call.target())
            .body(body)
            .map_err(|error| Error::usage("MW1003", format!("`{}` is not a request: {error}", call.path)))?;
        *request.headers_mut() = self.headers(call)?;
        request.extensions_mut().insert(session.clone());
        let Ok(response) = router.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        let body = body.into_data_stream().map_err(|error| broken(&error));
        Ok((parts.status, Box::pin(body)))
    }

    async fn call_server(
        &self,
        http: &reqwest::Client,
        base: &str,
        token: Option<&str>,
        call: &Call,
    ) -> Result<(StatusCode, ByteStream)> {
        let mut request = http.request(call.method.clone(), format!("{base}{}", call.target()));
        request = request.headers(self.headers(call)?);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &call.body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.map_err(|error| unreachable(base, &error))?;
        let status = response.status();
        let body = response.bytes_stream().map_err(|error| broken(&error));
        Ok((status, Box::pin(body)))
    }
}

fn unreachable(base: &str, error: &reqwest::Error) -> Error {
    Error::environment("MW1007", format!("no answer from {base}: {}", root_cause(error)))
        .hint("is the server running? `meshwork serve` starts one")
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Error {
    // An error of ours that was met while the answer streamed keeps its code.
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = at {
        if let Some(ours) = cause.downcast_ref::<Error>() {
            return ours.clone();
        }
        at = cause.source();
    }
    Error::environment("MW1008", format!("the answer broke off: {}", root_cause(error)))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(cause) = at.source() {
        at = cause;
    }
    at.to_string()
}

fn odd_answer(what: &str) -> Error {
    Error::environment("MW1009", format!("the server's answer is not understood: {what}"))
        .hint("is this a Meshwork server of the same version? `meshwork version` shows this one's")
}

/// Percent-encodes one part of a path or a query's value.
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
