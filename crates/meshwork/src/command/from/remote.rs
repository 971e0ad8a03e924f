//! Files on other machines: `s3://bucket/key`, `https://host/file`.

use std::path::Path;

use meshwork_control::port::data::FilesSpec;
use meshwork_core::check::Named;
use meshwork_core::egress::{Destination, Egress};
use meshwork_core::error::{Error, Result};
use meshwork_core::infer::{Connected, table_name};
use meshwork_core::mesh::{HttpConnection, S3Connection};
use meshwork_core::name::Name;
use meshwork_engine::infer::{Bounds, Examined, Located, Pattern, located, tables};
use meshwork_engine::source::{Access, is_delta, listed};

use super::credential::{Credentials, decode};
use super::files::only;
use crate::config;
use crate::output::Printer;

/// More than so much is not fetched for a look.
const FETCHED: u64 = 64 << 30;

pub struct Remote {
    /// Without what opens it.
    url: String,
    store: Store,
    credentials: Credentials,
}

enum Store {
    S3 { endpoint: Option<String>, region: Option<String> },
    Http { host: String, user: Option<String> },
}

const SHAPE: &str = "write `s3://bucket/key`, if need be with `?endpoint=https://host:port&region=NAME` behind it, or `https://host/file`";

impl Remote {
    pub fn is_meant(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| matches!(scheme, "s3" | "http" | "https"))
    }

    /// An error never repeats the address: it may hold a password.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::usage("MW1125", format!("the address {what}")).hint(SHAPE);
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, authority) = match authority.rsplit_once('@') {
            Some((login, authority)) => (Some(login), authority),
            None => (None, authority),
        };
        let login = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            Some((user, password)) => {
                let decoded = |text| decode(text).ok_or_else(|| wrong("has a broken percent-encoding"));
                Some((decoded(user)?, decoded(password)?))
            }
            None => None,
        };
        if authority.is_empty() {
            return Err(wrong("names no host or bucket"));
        }
        if scheme == "s3" { Self::s3(authority, key, login) } else { Self::http(scheme, authority, key, login, wrong) }
    }

    fn s3(bucket: &str, key: &str, login: Option<(String, String)>) -> Result<Self> {
        // `?` is also a part of globs.
        let options = key.rsplit_once('?').filter(|(_, o)| o.starts_with("endpoint=") || o.starts_with("region="));
        let (key, options) = options.map_or((key, ""), |(key, options)| (key, options));
        let [mut endpoint, mut region] = [config::aws("ENDPOINT_URL_S3"), config::aws("REGION")];
        endpoint = endpoint.or_else(|| config::aws("ENDPOINT_URL"));
        region = region.or_else(|| config::aws("DEFAULT_REGION"));
        for (name, value) in url::form_urlencoded::parse(options.as_bytes()) {
            match &*name {
                "endpoint" => endpoint = Some(value.into_owned()),
                "region" => region = Some(value.into_owned()),
                other => {
                    let message =
                        format!("the address has the parameter `{}`, which is not known", other.escape_debug());
                    return Err(Error::usage("MW1125", message).hint(SHAPE));
                }
            }
        }
        let mut found = Self {
            url: format!("s3://{bucket}/{key}"),
            store: Store::S3 { endpoint, region },
            credentials: Credentials::default(),
        };
        let from_here = || Some((config::aws("ACCESS_KEY_ID")?, config::aws("SECRET_ACCESS_KEY")?));
        let token = if login.is_none() { config::aws("SESSION_TOKEN") } else { None };
        let (id, secret) = login.or_else(from_here).unzip();
        let token = token.filter(|_| id.is_some());
        for (part, value) in [("access_key_id", id), ("secret_access_key", secret), ("session_token", token)] {
            found.credentials.add(found.secret(part), value);
        }
        Ok(found)
    }

    fn http(
        scheme: &str,
        authority: &str,
        key: &str,
        login: Option<(String, String)>,
        wrong: impl Fn(&str) -> Error,
    ) -> Result<Self> {
        if key.is_empty() || key.ends_with('/') {
            return Err(wrong("names no file"));
        }
        if login.is_some() && scheme == "http" {
            return Err(wrong("would send a password without encryption: only https may hold one"));
        }
        let url = format!("{scheme}://{authority}/{key}");
        let parsed = url::Url::parse(&url).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
        let host = parsed.host_str().unwrap_or_default().to_owned();
        let (user, password) = login.unzip();
        let mut found = Self { url, store: Store::Http { host, user }, credentials: Credentials::default() };
        found.credentials.add(found.secret("password"), password);
        Ok(found)
    }

    pub fn title(&self) -> String {
        self.url.clone()
    }

    /// The last part of the path that says something.
    pub fn stem(&self) -> String {
        let (_, rest) = self.url.split_once("://").unwrap_or_default();
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let telling = |part: &&str| {
            !part.is_empty() && !part.contains('=') && *part != "**" && part.contains(char::is_alphabetic)
        };
        let last = path.split('/').rfind(|part| telling(part) && !part.starts_with("*.")).unwrap_or_default();
        last.split('.').next().unwrap_or(last).trim_matches(['*', '-', '_', ' ']).to_owned()
    }

    /// What the connection is called.
    fn name(&self) -> Name {
        let authority = self.url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        let name = table_name(authority, "store", Named::Input, &Default::default());
        Name::new(name.chars().take(40).collect::<String>()).unwrap_or(name)
    }

    fn secret(&self, part: &str) -> String {
        format!("{}_{part}", self.name())
    }

    fn s3_connection(&self, domain: &Name) -> S3Connection {
        let Store::S3 { endpoint, region } = &self.store else { return S3Connection::default() };
        let reference = |part: &str| self.credentials.reference(domain, &self.secret(part));
        S3Connection {
            endpoint: endpoint.clone(),
            region: region.clone(),
            access_key_id: reference("access_key_id"),
            secret_access_key: reference("secret_access_key"),
            session_token: reference("session_token"),
            ..S3Connection::default()
        }
    }

    fn http_connection(&self, domain: &Name) -> Option<HttpConnection> {
        let Store::Http { host, user: Some(user) } = &self.store else { return None };
        Some(HttpConnection {
            host: host.clone(),
            user: Some(user.clone()),
            password: self.credentials.reference(domain, &self.secret("password")),
            ..HttpConnection::default()
        })
    }

    /// For domain.yaml; a web server without a login needs none.
    pub fn connection(&self, domain: &Name) -> Option<Connected> {
        let lines = match &self.store {
            Store::S3 { .. } => {
                let S3Connection { endpoint, region, access_key_id, secret_access_key, session_token, .. } =
                    self.s3_connection(domain);
                let given = [
                    ("endpoint", endpoint),
                    ("region", region),
                    ("access_key_id", access_key_id),
                    ("secret_access_key", secret_access_key),
                    ("session_token", session_token),
                ];
                let given = given.into_iter().filter_map(|(key, value)| Some((key, value?)));
                std::iter::once(("type", "s3".to_owned())).chain(given).collect()
            }
            Store::Http { .. } => {
                let HttpConnection { host, user, password, .. } = self.http_connection(domain)?;
                let given = [("user", user), ("password", password)];
                let given = given.into_iter().filter_map(|(key, value)| Some((key, value?)));
                [("type", "http".to_owned()), ("host", host)].into_iter().chain(given).collect()
            }
        };
        Some(Connected { name: self.name(), lines })
    }

    fn files(&self, url: String, domain: &Name, egress: &Egress) -> FilesSpec {
        let egress = egress.clone();
        match &self.store {
            Store::S3 { .. } => FilesSpec::S3 { url, connection: self.s3_connection(domain), egress },
            Store::Http { .. } => FilesSpec::Http { url, connection: self.http_connection(domain), egress },
        }
    }

    /// Host and port on this machine itself, which a mesh must name to be connected to.
    pub fn here(&self) -> Option<Destination> {
        let address = match &self.store {
            Store::S3 { endpoint, .. } => endpoint.as_deref()?,
            Store::Http { .. } => &self.url,
        };
        let url = url::Url::parse(address).ok()?;
        let local = match url.host()? {
            url::Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            url::Host::Ipv4(address) => address.is_loopback(),
            url::Host::Ipv6(address) => address.is_loopback(),
        };
        let text = format!("{}:{}", url.host_str()?, url.port_or_known_default()?);
        Destination::parse(&text).filter(|_| local)
    }

    /// What it takes to look at it.
    pub fn access(&self, domain: &Name, scratch: &Path) -> Access {
        Access::new(domain, self.credentials.secrets(domain), scratch, FETCHED)
    }

    /// The one table that it is, for a command that this machine's user runs.
    pub async fn one(&self, domain: &Name, name: &str, access: &Access) -> Result<Located> {
        let egress = Egress(self.here().map(|here| vec![here]));
        let patterns = self.patterns(domain, &egress, access).await?;
        Ok(Located { name: name.to_owned(), ..self.located(only(&patterns, &self.url)?, domain, &egress) })
    }

    fn located(&self, pattern: &Pattern, domain: &Name, egress: &Egress) -> Located {
        let url = format!("{}{}", self.url, pattern.path);
        // A folder is called the same with and without a stroke at its end.
        let url = if pattern.delta { url.trim_end_matches('/').to_owned() } else { url };
        let name = if pattern.name.is_empty() { self.stem() } else { pattern.name.clone() };
        Located { name, files: self.files(url.clone(), domain, egress), shown: url, delta: pattern.delta }
    }

    pub async fn examine(
        &self,
        domain: &Name,
        egress: &Egress,
        scratch: &Path,
        bounds: Bounds,
        heard: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Vec<Examined>> {
        let access = self.access(domain, scratch);
        let mut examined = Vec::new();
        for pattern in self.patterns(domain, egress, &access).await? {
            examined.extend(located(&self.located(&pattern, domain, egress), &access, bounds, heard).await?);
        }
        Ok(examined)
    }

    /// What is to be read: a Delta table; below an address that ends in `/`, what lies there.
    async fn patterns(&self, domain: &Name, egress: &Egress, access: &Access) -> Result<Vec<Pattern>> {
        let itself = |delta| vec![Pattern { path: String::new(), name: String::new(), delta }];
        let connection = self.s3_connection(domain);
        let folder = matches!(self.store, Store::S3 { .. }) && !self.url.contains(['*', '?']);
        if folder && is_delta(access, &self.url, &connection, egress).await? {
            return Ok(itself(true));
        }
        if !self.url.ends_with('/') {
            return Ok(itself(false));
        }
        let names = listed(access, &self.url, &connection, egress).await?;
        let (found, _) = tables(&names);
        if found.is_empty() {
            return Err(Error::not_found("MW1100", format!("below {} lies no file of data", self.url)));
        }
        Ok(found)
    }

    pub fn keep_secrets(&self, state: &Path, domain: &Name, printer: &Printer) -> Result<()> {
        self.credentials.keep(state, domain, printer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let domain = Name::new("sales").unwrap();
        let lake =
            Remote::parse("s3://KEY:se%2Fcret@lake-eu/raw/orders-?.csv?endpoint=http://127.0.0.1:9000&region=eu")
                .unwrap();
        assert_eq!(lake.url, "s3://lake-eu/raw/orders-?.csv");
        assert_eq!(lake.here().map(|here| here.to_string()).as_deref(), Some("127.0.0.1:9000"));
        let yaml = lake.connection(&domain).unwrap().yaml();
        for line in [
            "lake_eu:",
            "endpoint: \"http://127.0.0.1:9000\"",
            "region: eu",
            "access_key_id: ${secret:lake_eu_access_key_id}",
        ] {
            assert!(yaml.contains(line), "{line} is not in {yaml}");
        }
        assert!(!yaml.contains("KEY") && !yaml.contains("se/cret"), "{yaml}");
        let secrets = lake.credentials.secrets(&domain).variables;
        assert_eq!(secrets.get("MW_SECRET_SALES_LAKE_EU_SECRET_ACCESS_KEY").map(String::as_str), Some("se/cret"));

        let file = Remote::parse("https://ana:x%40y@data.example.org/2024/rates.csv.gz?download=1").unwrap();
        assert_eq!(
            (file.url.as_str(), file.stem().as_str()),
            ("https://data.example.org/2024/rates.csv.gz?download=1", "rates")
        );
        assert!(file.here().is_none() && file.connection(&domain).is_some());
        assert!(Remote::parse("https://data.example.org/rates.csv").unwrap().connection(&domain).is_none());
        assert_eq!(Remote::parse("s3://b/lake/clicks/**/*.parquet").unwrap().stem(), "clicks");
        assert_eq!(Remote::parse("s3://b/lake/orders-*.csv").unwrap().stem(), "orders");
        for wrong in [
            "http://ana:hunter2@h/x.csv",
            "https://h/",
            "s3:///x",
            "s3://k:hunter2@b/x?region=a&x=1",
            "https://u:hunter2%zz@h/x",
        ] {
            let error = Remote::parse(wrong).err().unwrap();
            assert_eq!(error.code, "MW1125", "{wrong}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
