//! A database URL: what is connected to, and where its password goes, which is never a manifest.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use meshwork_control::port::data::DatabaseSpec;
use meshwork_core::check::Named;
use meshwork_core::error::{Error, Result};
use meshwork_core::infer::{Connected, table_name};
use meshwork_core::mesh::DatabaseConnection;
use meshwork_core::name::Name;
use meshwork_engine::infer::{Bounds, Examined, Wanted, postgres};
use meshwork_engine::source::{Access, Secrets};

use crate::config;
use crate::output::Printer;

pub struct Database {
    host: String,
    port: Option<u16>,
    pub database: String,
    user: String,
    password: Option<String>,
    tls: Option<&'static str>,
    schema: Option<String>,
    /// For commands that read one.
    table: Option<String>,
}

const SHAPE: &str = "write `postgres://user:password@host:port/database`";

impl Database {
    /// An error never repeats the URL: it may hold a password.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::usage("MW1102", format!("the database URL {what}")).hint(SHAPE);
        let url = url::Url::parse(text).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong(&format!("is of kind `{}`; only `postgres://` can be read", url.scheme())));
        }
        let decoded = |text: &str| decode(text).ok_or_else(|| wrong("has a broken percent-encoding"));
        let database = decoded(url.path().trim_start_matches('/'))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if database.is_empty() || host.is_empty() || url.username().is_empty() {
            return Err(wrong("names no user, host or database"));
        }
        let (mut tls, mut schema, mut table) = (None, None, None);
        for (key, value) in url.query_pairs() {
            match (&*key, &*value) {
                ("sslmode", "disable") => tls = Some("disable"),
                ("sslmode", "allow" | "prefer") => tls = Some("prefer"),
                ("sslmode", "require" | "verify-ca" | "verify-full") => tls = Some("require"),
                ("schema", name) => schema = Some(name.to_owned()),
                ("table", name) => table = Some(name.to_owned()),
                (other, _) => {
                    return Err(wrong(&format!("has the parameter `{}`, which is not known", other.escape_debug())));
                }
            }
        }
        Ok(Self {
            host,
            port: url.port(),
            database,
            user: decoded(url.username())?,
            password: url.password().map(decoded).transpose()?,
            tls,
            schema,
            table,
        })
    }

    pub fn title(&self) -> String {
        format!("the PostgreSQL database {} at {}", self.database, self.host)
    }

    fn name(&self) -> Name {
        table_name(&self.database, "source", Named::Input, &Default::default())
    }

    fn secret(&self) -> String {
        format!("{}_password", self.name())
    }

    fn reference(&self) -> String {
        format!("${{secret:{}}}", self.secret())
    }

    /// The variable that a run takes the password from.
    fn variable(&self, domain: &Name) -> String {
        format!("MW_SECRET_{domain}_{}", self.secret()).to_ascii_uppercase()
    }

    fn known_password(&self, domain: &Name) -> Option<String> {
        let variable = self.variable(domain);
        let set = config::secrets_of(domain).into_iter().find(|(name, _)| name.to_string_lossy() == variable);
        self.password.clone().or_else(|| set.and_then(|(_, value)| value.into_string().ok()))
    }

    pub fn connection(&self, domain: &Name) -> Connected {
        let mut lines = vec![("type", "postgres".to_owned()), ("host", self.host.clone())];
        lines.extend(self.port.map(|port| ("port", port.to_string())));
        lines.push(("database", self.database.clone()));
        lines.push(("user", self.user.clone()));
        if self.known_password(domain).is_some() {
            lines.push(("password", self.reference()));
        }
        lines.extend(self.tls.map(|tls| ("tls", tls.to_owned())));
        Connected { name: self.name(), lines }
    }

    /// One of its tables as a source, with the secrets that open it.
    pub fn source(&self, domain: &Name, table: Option<&str>) -> (DatabaseSpec, Secrets) {
        let password = self.known_password(domain);
        let qualified = |table: &str| match (&self.schema, table.contains('.')) {
            (Some(schema), false) => format!("{schema}.{table}"),
            _ => table.to_owned(),
        };
        let connection = DatabaseConnection {
            host: self.host.clone(),
            port: self.port,
            database: self.database.clone(),
            user: self.user.clone(),
            password: password.is_some().then(|| self.reference()),
            tls: self.tls.map(str::to_owned),
            ca: None,
        };
        let table = self.table.as_deref().or(table).map(qualified);
        let spec = DatabaseSpec { connection, table, ..DatabaseSpec::default() };
        let variables = BTreeMap::from_iter(password.map(|password| (self.variable(domain), password)));
        (spec, Secrets { variables, folder: None })
    }

    pub async fn examine(
        &self,
        domain: &Name,
        tables: &[String],
        bounds: Bounds,
        heard: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Vec<Examined>> {
        let (spec, secrets) = self.source(domain, None);
        let wanted = Wanted { schema: self.schema.clone(), tables: tables.to_vec() };
        postgres(&spec, &wanted, &Access::here(domain, secrets), bounds, heard).await
    }

    /// Puts the password where runs on this machine find it, readable by its owner only and not in git.
    pub fn keep_password(&self, state: &Path, domain: &Name, printer: &Printer) -> Result<()> {
        let Some(password) = &self.password else { return Ok(()) };
        let folder = state.join("secrets").join(domain.as_str());
        let file = folder.join(self.secret());
        let io = |error: std::io::Error| {
            Error::environment("MW1026", format!("the password cannot be kept in {}: {error}", file.display()))
                .hint(format!("set the environment variable {} for runs instead", self.variable(domain)))
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io)?;
        let _ = std::fs::remove_file(&file);
        let mut new = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&file).map_err(io)?;
        new.write_all(password.as_bytes()).map_err(io)?;
        printer.note(&format!(
            "the password is in {} for runs on this machine; elsewhere set {}",
            file.display(),
            self.variable(domain)
        ));
        Ok(())
    }
}

/// A connection that nobody has described yet.
pub fn unknown(domain: &Name) -> Connected {
    let lines = vec![
        ("type", "postgres".to_owned()),
        ("host", "localhost".to_owned()),
        ("database", domain.to_string()),
        ("user", "reader".to_owned()),
        ("password", "${secret:source_password}".to_owned()),
    ];
    Connected { name: table_name("source", "source", Named::Input, &Default::default()), lines }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = Database::parse("postgresql://ana:p%40ss%2Fw@db.example:5433/My%20Shop?schema=sales&sslmode=disable")
            .unwrap();
        assert_eq!((url.host.as_str(), url.port, url.database.as_str()), ("db.example", Some(5433), "My Shop"));
        assert_eq!(url.password.as_deref(), Some("p@ss/w"));
        assert_eq!(url.name().as_str(), "my_shop");
        let domain = Name::new("sales").unwrap();
        assert_eq!(url.variable(&domain), "MW_SECRET_SALES_MY_SHOP_PASSWORD");
        let yaml = url.connection(&domain).yaml();
        assert!(yaml.contains("password: ${secret:my_shop_password}") && !yaml.contains("p@ss"), "{yaml}");
        for wrong in ["mysql://hunter2@h/d", "postgres://h/d", "postgres://u:hunter2@h", "postgres://u:hunter2@h/d?x=1"]
        {
            let error = Database::parse(wrong).err().unwrap();
            assert_eq!(error.code, "MW1102");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
