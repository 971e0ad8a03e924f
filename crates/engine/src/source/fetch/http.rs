//! Files over HTTP(S). A transfer that breaks off goes on where it stopped, as long as the file is still the same one.

use std::time::Duration;

use meshwork_core::egress::{Egress, Port};
use meshwork_core::mesh::HttpConnection;
use meshwork_core::{Error, Result};
use reqwest::header::{self, HeaderMap};
use reqwest::{Client, Method, Response, StatusCode};
use url::Url;

use super::{Access, Fetched, Meter, Spooled};
use crate::remote::egress::addresses;
use crate::remote::pause;
use crate::remote::tls::{self, Trust};
use crate::source::Identity;
use crate::source::file::SourceFile;

const MAX_REDIRECTS: usize = 5;

pub(super) async fn fetch(
    access: &Access,
    url: &str,
    connection: Option<&HttpConnection>,
    egress: &Egress,
    fetched: &mut Fetched,
    meter: &Meter,
) -> Result<SourceFile> {
    let start = parsed(url)?;
    let name = shown(&start);
    if let Some(file) = fetched.files.get(url) {
        return Ok(file.clone());
    }
    let transfer = Transfer { access, connection, egress, name: &name, start: &start };
    let mut file = access.spool.create().await?;
    let mut version = Version::default();
    let mut attempts = Attempts::of(access);
    loop {
        match transfer.attempt(&mut file, &mut version, meter).await {
            Ok(()) => break,
            Err(failure) => attempts.again(failure).await?,
        }
    }
    let file = file.finish(&name).await?;
    fetched.files.insert(url.to_owned(), file.clone());
    Ok(file)
}

/// What the server says of the file. One that does not know HEAD, or names no version, says nothing to tell it by.
pub(super) async fn identity(
    access: &Access,
    url: &str,
    connection: Option<&HttpConnection>,
    egress: &Egress,
) -> Result<Identity> {
    let start = parsed(url)?;
    let name = shown(&start);
    let transfer = Transfer { access, connection, egress, name: &name, start: &start };
    let mut attempts = Attempts::of(access);
    loop {
        match transfer.look().await {
            Ok((size, etag)) => return Ok(Identity { name, size, modified: None, digest: None, etag }),
            Err(failure) => attempts.again(failure).await?,
        }
    }
}

/// How often it is tried, and how long it is waited between.
struct Attempts {
    left: u32,
    pause: Duration,
}

impl Attempts {
    fn of(access: &Access) -> Self {
        Self { left: access.patience.attempts, pause: access.patience.pause }
    }

    /// Waits for the next attempt, or gives up.
    async fn again(&mut self, failure: Failure) -> Result<()> {
        let (error, wait) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing { error, wait } => (error, wait.unwrap_or(self.pause)),
        };
        self.left = self.left.saturating_sub(1);
        if self.left == 0 || wait > pause::LONGEST {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        self.pause *= 2;
        Ok(())
    }
}

/// Which version of the file has come so far.
#[derive(Default)]
struct Version {
    /// A strong ETag, else the time of the last change: what `If-Range` takes.
    validator: Option<String>,
    /// Of the whole file, where the server says it.
    size: Option<u64>,
}

enum Failure {
    /// Another attempt would meet the same.
    Final(Error),
    Passing {
        error: Error,
        wait: Option<Duration>,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

struct Transfer<'t> {
    access: &'t Access,
    connection: Option<&'t HttpConnection>,
    egress: &'t Egress,
    name: &'t str,
    start: &'t Url,
}

impl Transfer<'_> {
    async fn attempt(&self, file: &mut Spooled<'_>, version: &mut Version, meter: &Meter) -> Result<(), Failure> {
        // Without a validator the rest could be that of another file.
        let from = if version.validator.is_some() { file.len } else { 0 };
        let mut response = self.follow(Method::GET, from, version.validator.as_deref()).await?;
        let headers = response.headers().clone();
        match response.status() {
            StatusCode::PARTIAL_CONTENT if from > 0 && starts_at(&headers, from) => {}
            StatusCode::PARTIAL_CONTENT => {
                return Err(self.refused("answered with a part that was not asked for").into());
            }
            // The whole of it, because it has changed, or because the server does not do ranges.
            status if status.is_success() => {
                file.restart().await?;
                *version = Version { validator: validator(&headers), size: response.content_length() };
            }
            status => return Err(self.status(status, &headers)),
        }
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) => file.write(self.name, &bytes, meter).await?,
                Ok(None) => break,
                Err(error) => return Err(self.broken(&error)),
            }
        }
        match version.size {
            Some(size) if size != file.len => Err(self.passing("MW0543", "the server went away in the middle")),
            _ => Ok(()),
        }
    }

    /// Size and version of the file.
    async fn look(&self) -> Result<(u64, Option<String>), Failure> {
        let response = self.follow(Method::HEAD, 0, None).await?;
        let headers = response.headers();
        match response.status() {
            status if status.is_success() => {
                let size = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
                Ok((size.unwrap_or(0), validator(headers)))
            }
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok((0, None)),
            status => Err(self.status(status, headers)),
        }
    }

    /// The answer behind all redirects.
    async fn follow(&self, method: Method, from: u64, validator: Option<&str>) -> Result<Response, Failure> {
        let mut url = self.start.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&method, &url, from, validator).await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let target = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let Some(next) = target.and_then(|target| url.join(target).ok()) else {
                return Err(self.refused("redirects to nowhere").into());
            };
            self.may_redirect(&url, &next)?;
            url = next;
        }
        Err(self.refused(&format!("redirects more than {MAX_REDIRECTS} times")).into())
    }

    fn may_redirect(&self, from: &Url, to: &Url) -> Result<()> {
        let host = to.host_str().unwrap_or_default();
        let same = from.host_str() == to.host_str() && from.port_or_known_default() == to.port_or_known_default();
        let downgraded = from.scheme() == "https" && to.scheme() != "https";
        let listed = self.egress.names(host, to.port_or_known_default().unwrap_or(443));
        if downgraded || !matches!(to.scheme(), "http" | "https") || !(same || listed) {
            let message = format!("`{}` redirects to `{}`, which it may not", self.name, shown(to));
            return Err(Error::forbidden("MW0547", message)
                .hint("a redirect leads to the same host or to one that `egress` of mesh.yaml lists, never from https to http"));
        }
        Ok(())
    }

    async fn send(&self, method: &Method, url: &Url, from: u64, validator: Option<&str>) -> Result<Response, Failure> {
        let client = self.client(url).await?;
        // Compressed on the way, ranges would count other bytes than the file's.
        let mut request = client.request(method.clone(), url.clone()).header(header::ACCEPT_ENCODING, "identity");
        if let (true, Some(validator)) = (from > 0, validator) {
            request = request.header(header::RANGE, format!("bytes={from}-")).header(header::IF_RANGE, validator);
        }
        if let Some(connection) = self.connection.filter(|c| is_for(c, url)) {
            if let Some(token) = &connection.token {
                request = request.bearer_auth(self.access.secret(token)?);
            } else if let Some(user) = &connection.user {
                let password = connection.password.as_ref().map(|p| self.access.secret(p)).transpose()?;
                request = request.basic_auth(user, password);
            }
        }
        // Bounds the time to the first byte of the answer as well.
        match tokio::time::timeout(self.access.patience.waiting, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(self.passing("MW0541", "the server does not answer in time")),
        }
    }

    /// A client that connects to nothing but the addresses that were allowed for this host.
    async fn client(&self, url: &Url) -> Result<Client, Failure> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(443);
        let looked_up = addresses(Port::Web, host, port, self.egress);
        let found = match tokio::time::timeout(self.access.patience.connecting, looked_up).await {
            Ok(found) => found?,
            Err(_) => return Err(self.passing("MW0541", "its host is not found in time")),
        };
        let ca = self
            .connection
            .and_then(|connection| connection.ca.as_ref())
            .map(|ca| self.access.secret(ca))
            .transpose()?;
        let client = Client::builder()
            .use_preconfigured_tls(tls::config(Trust::Verified, ca.as_deref())?)
            .resolve_to_addrs(host, &found)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(self.access.patience.connecting)
            .read_timeout(self.access.patience.waiting)
            .build();
        Ok(client.map_err(|error| Error::internal("MW0541", format!("no HTTP client: {error}")))?)
    }

    fn status(&self, status: StatusCode, headers: &HeaderMap) -> Failure {
        let code = status.as_u16();
        let error = |code: &str, what: String, hint: &str| Error::environment(code, what).hint(hint);
        match code {
            429 | 500 | 502 | 503 | 504 => Failure::Passing {
                error: error(
                    "MW0542",
                    format!("`{}`: the server cannot answer now (status {code})", self.name),
                    "run again later; the publication before is still served",
                ),
                wait: pause::asked(headers),
            },
            401 | 403 => Failure::Final(error(
                "MW0542",
                format!("`{}`: the server refuses access (status {code})", self.name),
                "check the credentials of the source's connection",
            )),
            404 | 410 => Failure::Final(error(
                "MW0501",
                format!("`{}`: there is no such file (status {code})", self.name),
                "check the path of the source",
            )),
            _ => Failure::Final(self.refused(&format!("answers with status {code}"))),
        }
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() {
            self.passing("MW0541", "the server does not answer in time")
        } else if error.is_connect() {
            self.passing("MW0541", "the server cannot be reached")
        } else {
            self.passing("MW0543", "the server went away in the middle")
        }
    }

    fn passing(&self, code: &str, what: &str) -> Failure {
        let error = Error::environment(code, format!("`{}`: {what}", self.name))
            .hint("run again; the publication before is still served");
        Failure::Passing { error, wait: None }
    }

    fn refused(&self, what: &str) -> Error {
        Error::environment("MW0542", format!("`{}`: the server {what}", self.name)).hint("check the path of the source")
    }
}

fn parsed(url: &str) -> Result<Url> {
    Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some()).ok_or_else(
        || Error::check("MW0542", "the path of a source is not a web address").hint("write `https://host/path`"),
    )
}

/// Without a query, which may hold a signature, or a user.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// Credentials go to the host that they are for, whatever redirects say, and never unencrypted to another machine.
fn is_for(connection: &HttpConnection, url: &Url) -> bool {
    let local = url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "[::1]" | "localhost"));
    url.host_str().is_some_and(|host| host.eq_ignore_ascii_case(&connection.host)) && (url.scheme() == "https" || local)
}

fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // A weak ETag does not promise the same bytes.
    text(header::ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(header::LAST_MODIFIED)).map(str::to_owned)
}

fn starts_at(headers: &HeaderMap, from: u64) -> bool {
    let range = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()) == Some(from)
}
