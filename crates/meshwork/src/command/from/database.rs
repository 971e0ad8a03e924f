//! A database URL: what is connected to.

use std::path::Path;

use meshwork_control::port::data::{DatabaseSpec, SourceSpec};
use meshwork_core::check::Named;
use meshwork_core::egress::Egress;
use meshwork_core::error::{Error, Result};
use meshwork_core::infer::{Connected, table_name};
use meshwork_core::mesh::DatabaseConnection;
use meshwork_core::name::Name;
use meshwork_engine::infer::{Bounds, Examined, Wanted, mysql, postgres};
use meshwork_engine::source::{Access, Secrets};

use super::credential::{Credentials, decode};
use crate::output::Printer;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Postgres,
    Mysql,
}

pub struct Database {
    kind: Kind,
    host: String,
    port: Option<u16>,
    pub database: String,
    user: String,
    credentials: Credentials,
    tls: Option<&'static str>,
    schema: Option<String>,
    /// For commands that read one.
    table: Option<String>,
}

const SHAPE: &str = "write `postgres://user:password@host:port/database` or `mysql://user:password@host:port/database`";

impl Database {
    /// An error never repeats the URL: it may hold a password.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::usage("MW1102", format!("the database URL {what}")).hint(SHAPE);
        let url = url::Url::parse(text).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
        let kind =
            kind(url.scheme()).ok_or_else(|| wrong(&format!("is of kind `{}`, which is not read", url.scheme())))?;
        let decoded = |text: &str| decode(text).ok_or_else(|| wrong("has a broken percent-encoding"));
        let database = decoded(url.path().trim_start_matches('/'))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if database.is_empty() || host.is_empty() || url.username().is_empty() {
            return Err(wrong("names no user, host or database"));
        }
        let (mut tls, mut schema, mut table) = (None, None, None);
        for (key, value) in url.query_pairs() {
            match &*key {
                "sslmode" | "ssl-mode" => {
                    tls = Some(mode(&value).ok_or_else(|| wrong("has an `sslmode` that is not known"))?);
                }
                "schema" if kind == Kind::Postgres => schema = Some(value.into_owned()),
                "table" => table = Some(value.into_owned()),
                other => {
                    return Err(wrong(&format!("has the parameter `{}`, which is not known", other.escape_debug())));
                }
            }
        }
        let password = url.password().map(decoded).transpose()?;
        let mut found = Self {
            kind,
            host,
            port: url.port(),
            database,
            user: decoded(url.username())?,
            credentials: Credentials::default(),
            tls,
            schema,
            table,
        };
        found.credentials.add(found.secret(), password);
        Ok(found)
    }

    pub fn title(&self) -> String {
        let kind = match self.kind {
            Kind::Postgres => "PostgreSQL",
            Kind::Mysql => "MySQL",
        };
        format!("the {kind} database {} at {}", self.database, self.host)
    }

    fn name(&self) -> Name {
        table_name(&self.database, "source", Named::Input, &Default::default())
    }

    fn secret(&self) -> String {
        format!("{}_password", self.name())
    }

    pub fn connection(&self, domain: &Name) -> Connected {
        let kind = match self.kind {
            Kind::Postgres => "postgres",
            Kind::Mysql => "mysql",
        };
        let mut lines = vec![("type", kind.to_owned()), ("host", self.host.clone())];
        lines.extend(self.port.map(|port| ("port", port.to_string())));
        lines.push(("database", self.database.clone()));
        lines.push(("user", self.user.clone()));
        lines.extend(self.credentials.reference(domain, &self.secret()).map(|password| ("password", password)));
        lines.extend(self.tls.map(|tls| ("tls", tls.to_owned())));
        Connected { name: self.name(), lines }
    }

    fn spec(&self, domain: &Name, egress: &Egress) -> DatabaseSpec {
        let connection = DatabaseConnection {
            host: self.host.clone(),
            port: self.port,
            database: self.database.clone(),
            user: self.user.clone(),
            password: self.credentials.reference(domain, &self.secret()),
            tls: self.tls.map(str::to_owned),
            ca: None,
        };
        DatabaseSpec { connection, egress: egress.clone(), ..DatabaseSpec::default() }
    }

    /// One of its tables by its name, as a source, with the secrets that open it.
    pub fn source(&self, domain: &Name, table: &str) -> (String, SourceSpec, Secrets) {
        let table = self.table.as_deref().unwrap_or(table);
        let table = match (&self.schema, table.contains('.')) {
            (Some(schema), false) => format!("{schema}.{table}"),
            _ => table.to_owned(),
        };
        let spec = DatabaseSpec { table: Some(table.clone()), ..self.spec(domain, &Egress::default()) };
        let spec = match self.kind {
            Kind::Postgres => SourceSpec::Postgres(spec),
            Kind::Mysql => SourceSpec::Mysql(spec),
        };
        (table, spec, self.credentials.secrets(domain))
    }

    pub async fn examine(
        &self,
        domain: &Name,
        tables: &[String],
        egress: &Egress,
        bounds: Bounds,
        heard: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Vec<Examined>> {
        let spec = self.spec(domain, egress);
        let wanted = Wanted { schema: self.schema.clone(), tables: tables.to_vec() };
        let access = Access::here(domain, self.credentials.secrets(domain));
        match self.kind {
            Kind::Postgres => postgres(&spec, &wanted, &access, bounds, heard).await,
            Kind::Mysql => mysql(&spec, &wanted, &access, bounds, heard).await,
        }
    }

    pub fn keep_password(&self, state: &Path, domain: &Name, printer: &Printer) -> Result<()> {
        self.credentials.keep(state, domain, printer)
    }
}

/// As libpq and the clients of MySQL write it.
fn mode(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => "disable",
        "allow" | "prefer" | "preferred" => "prefer",
        "require" | "required" | "verify-ca" => "require",
        "verify-full" | "verify-identity" => "verify-full",
        _ => return None,
    })
}

fn kind(scheme: &str) -> Option<Kind> {
    match scheme {
        "postgres" | "postgresql" => Some(Kind::Postgres),
        "mysql" | "mariadb" => Some(Kind::Mysql),
        _ => None,
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

#[cfg(test)]
mod tests {
    use super::super::credential::variable;
    use super::*;

    #[test]
    fn urls() {
        let url = Database::parse("postgresql://ana:p%40ss%2Fw@db.example:5433/My%20Shop?schema=sales&sslmode=disable")
            .unwrap();
        assert_eq!((url.host.as_str(), url.port, url.database.as_str()), ("db.example", Some(5433), "My Shop"));
        assert_eq!(url.name().as_str(), "my_shop");
        let domain = Name::new("sales").unwrap();
        let secrets = url.credentials.secrets(&domain).variables;
        assert_eq!(secrets.get("MW_SECRET_SALES_MY_SHOP_PASSWORD").map(String::as_str), Some("p@ss/w"));
        assert_eq!(variable(&domain, &url.secret()), "MW_SECRET_SALES_MY_SHOP_PASSWORD");
        let yaml = url.connection(&domain).yaml();
        assert!(yaml.contains("password: ${secret:my_shop_password}") && !yaml.contains("p@ss"), "{yaml}");
        let url = Database::parse("mariadb://ana@db.example/shop?ssl-mode=VERIFY_IDENTITY").unwrap();
        let yaml = url.connection(&domain).yaml();
        assert!(yaml.contains("type: mysql") && yaml.contains("tls: verify-full"), "{yaml}");
        assert!(!yaml.contains("password"), "{yaml}");
        for wrong in [
            "oracle://hunter2@h/d",
            "postgres://h/d",
            "mysql://u:hunter2@h",
            "postgres://u:hunter2@h/d?x=1",
            "mysql://u:hunter2@h/d?schema=x",
        ] {
            let error = Database::parse(wrong).err().unwrap();
            assert_eq!(error.code, "MW1102");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
