//! S3-compatible stores.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use meshwork_core::egress::{Egress, Port};
use meshwork_core::mesh::S3Connection;
use meshwork_core::{Error, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{BackoffConfig, RetryConfig};
use reqwest::{Method, StatusCode};
use tokio::time::Instant;

use super::Patience;
use super::egress::{Resolver, addresses};
use super::pause;
use super::tls::{self, Trust};
use crate::source::Secrets;

/// A bucket, through a connection of a domain.
pub async fn open(
    bucket: &str,
    connection: &S3Connection,
    domain: &str,
    secrets: &Secrets,
    egress: &Egress,
    patience: Patience,
) -> Result<AmazonS3> {
    let mut builder = Address::find(bucket, connection, domain, secrets, egress, patience).await?.builder;
    // Without credentials of the domain's own the store is asked as anybody: never with those of this machine.
    builder = match (&connection.access_key_id, &connection.secret_access_key) {
        (Some(id), Some(key)) => builder
            .with_access_key_id(secrets.resolve(domain, id)?)
            .with_secret_access_key(secrets.resolve(domain, key)?),
        _ => builder.with_skip_signature(true),
    };
    if let Some(token) = &connection.session_token {
        builder = builder.with_token(secrets.resolve(domain, token)?);
    }
    builder.build().map_err(|error| fault(&format!("the bucket `{bucket}`"), &error))
}

/// A bucket that may be connected to, before anybody has said with which credentials.
pub struct Address {
    pub builder: AmazonS3Builder,
    pub http: reqwest::Client,
    pub region: String,
    /// Of the bucket itself, with `/` at its end.
    pub url: url::Url,
}

impl Address {
    pub async fn find(
        bucket: &str,
        connection: &S3Connection,
        domain: &str,
        secrets: &Secrets,
        egress: &Egress,
        patience: Patience,
    ) -> Result<Self> {
        let region = connection.region.clone().unwrap_or_else(|| "us-east-1".to_owned());
        let given = match &connection.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://s3.{region}.amazonaws.com"),
        };
        let in_path = connection.path_style.unwrap_or(connection.endpoint.is_some());
        let endpoint = match given.split_once("://") {
            Some((scheme, host)) if !in_path => format!("{scheme}://{bucket}.{host}"),
            _ => given,
        };
        let of_bucket = if in_path { format!("{endpoint}/{bucket}/") } else { format!("{endpoint}/") };
        let url = url::Url::parse(&of_bucket).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        let Some((url, host)) = url.and_then(|url| Some((url.clone(), url.host_str()?.to_owned()))) else {
            return Err(Error::check("MW0546", format!("`{endpoint}` is not the address of an S3 store"))
                .hint("write `endpoint: https://host:port` in the connection"));
        };
        let port = url.port_or_known_default().unwrap_or(443);
        // Also where the host is an address, which clients do not resolve.
        let found = tokio::time::timeout(patience.connecting, addresses(Port::Web, &host, port, egress)).await;
        found.map_err(|_| {
            Error::environment("MW0541", format!("the host `{host}` is not found in time"))
                .hint("check this machine's name service")
        })??;
        let ca = connection.ca.as_ref().map(|ca| secrets.resolve(domain, ca)).transpose()?;
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls::config(Trust::Verified, ca.as_deref())?)
            .dns_resolver(Arc::new(Resolver { port, egress: egress.clone() }))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(patience.connecting)
            .read_timeout(patience.waiting)
            .build()
            .map_err(|error| Error::internal("MW0546", format!("no HTTP client: {error}")))?;
        let builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&region)
            .with_allow_http(url.scheme() == "http")
            .with_virtual_hosted_style_request(!in_path)
            .with_endpoint(&endpoint)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_http_connector(Connector(http.clone()))
            .with_retry(RetryConfig {
                backoff: BackoffConfig { init_backoff: patience.pause, max_backoff: patience.pause * 8, base: 2.0 },
                max_retries: patience.attempts.saturating_sub(1) as usize,
                retry_timeout: patience.waiting * 2,
            });
        Ok(Self { builder, http, region, url })
    }
}

#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Heeding { client: self.0.clone(), until: Mutex::default() }))
    }
}

/// Leaves an object alone for as long as its store asks, which object_store does not look at. The pause counts as a part of
/// the time that it has for all attempts.
#[derive(Debug)]
struct Heeding {
    client: reqwest::Client,
    /// By method and address.
    until: Mutex<HashMap<(Method, String), Instant>>,
}

#[async_trait]
impl HttpService for Heeding {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let asked = (request.method().clone(), request.uri().to_string());
        let until = self.until().remove(&asked);
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
        let response = self.client.call(request).await?;
        let status = response.status();
        let is_busy = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        match pause::asked(response.headers()).filter(|_| is_busy) {
            None => Ok(response),
            Some(pause) if pause > pause::LONGEST => {
                Err(HttpError::new(HttpErrorKind::Unknown, PutOff { status, pause }))
            }
            Some(pause) => {
                let now = Instant::now();
                let mut until = self.until();
                // Of requests that were given up.
                until.retain(|_, moment| *moment > now);
                until.insert(asked, now + pause);
                Ok(response)
            }
        }
    }
}

impl Heeding {
    fn until(&self) -> MutexGuard<'_, HashMap<(Method, String), Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a store answers that asks for more time than anybody here has. Of a kind that is not tried again.
#[derive(Debug)]
struct PutOff {
    status: StatusCode,
    pause: Duration,
}

impl fmt::Display for PutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status code: {}, not before {} s have passed", self.status, self.pause.as_secs())
    }
}

impl std::error::Error for PutOff {}

/// Whether the store has asked not to be asked again for longer than that would be of use.
pub fn puts_off(error: &object_store::Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(inner) = next {
        if inner.is::<PutOff>() {
            return true;
        }
        next = inner.source();
    }
    false
}

/// What a store answered, in our words: its own may hold keys and request ids, which help nobody.
pub fn fault(what: &str, error: &object_store::Error) -> Error {
    let text = chain(error);
    let has = |part: &str| text.contains(part);
    // Bare numbers may be those of a port.
    let answered = |status: u16| text.contains(&format!("status code: {status}"));
    match error {
        // The last is what versitygw says of a key that it does not know.
        _ if ["SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied", "UserNotFound"].into_iter().any(has) => {
            denied(what)
        }
        object_store::Error::NotFound { .. } if has("NoSuchBucket") => {
            Error::environment("MW0546", format!("{what}: there is no such bucket"))
                .hint("check the bucket's name and the connection's region")
        }
        object_store::Error::NotFound { .. } => {
            Error::environment("MW0501", format!("{what}: there is no such object")).hint("check the path")
        }
        object_store::Error::Precondition { .. } => {
            Error::environment("MW0545", format!("{what} changed while it was read")).hint("run again")
        }
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => denied(what),
        _ if answered(403) => denied(what),
        _ if has("MW0540") => Error::forbidden("MW0540", format!("{what} may not be connected to"))
            .hint("`egress` of mesh.yaml lists the hosts that sources may reach: the mesh's owners decide on it"),
        _ if has("SlowDown") || [500, 502, 503, 504].into_iter().any(answered) => {
            Error::environment("MW0542", format!("{what}: the store cannot answer now"))
                .hint("run again later; the publication before is still served")
        }
        _ if has("timed out") || has("operation timed out") || has("deadline") => {
            Error::environment("MW0541", format!("{what}: the store does not answer in time"))
                .hint("check that it is running; the publication before is still served")
        }
        _ if has("error decoding response body")
            || has("connection closed")
            || has("reset")
            || has("IncompleteMessage") =>
        {
            Error::environment("MW0543", format!("{what}: the store went away in the middle"))
                .hint("run again; the publication before is still served")
        }
        _ => Error::environment("MW0541", format!("{what}: the store cannot be reached"))
            .hint("check `endpoint` of the connection, and that the store is running"),
    }
}

fn denied(what: &str) -> Error {
    Error::environment("MW0546", format!("{what}: the store refuses these credentials")).hint(
        "check the secrets that `access_key_id` and `secret_access_key` of the connection name, and what they may do",
    )
}

/// The error and everything behind it, as text.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(inner) = next {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        next = inner.source();
    }
    text
}
