//! `connections:` of `domain.yaml`

use schemars::JsonSchema;

use super::text::{self, secret_name};
use crate::mesh::{Connection, ConnectionKind, DatabaseConnection, HttpConnection, S3Connection};
use crate::name::Name;
use crate::reader::{Fields, Findings, Spanned};
use crate::yaml::Node;

#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
#[allow(dead_code, reason = "the declared shape of `Connection`, for the JSON Schema")]
pub(super) enum ConnectionManifest {
    /// A PostgreSQL database.
    Postgres {
        /// Host name or address.
        host: String,
        /// Default: 5432.
        port: Option<u16>,
        /// Name of the database.
        database: String,
        /// User to connect as; it needs to read only.
        user: String,
        /// A reference to a secret; never the password itself.
        #[schemars(regex(pattern = r"^\$\{secret:[a-z][a-z0-9_]{0,62}\}$"))]
        password: Option<String>,
        /// Whether the connection is encrypted, and to whom. Default: `prefer`.
        tls: Option<Tls>,
        /// A reference to a secret with the certificates that `verify-full` believes.
        ca: Option<String>,
    },
    /// A MySQL or MariaDB database.
    Mysql {
        /// Host name or address.
        host: String,
        /// Default: 3306.
        port: Option<u16>,
        /// Name of the database.
        database: String,
        /// User to connect as; it needs to read only.
        user: String,
        /// A reference to a secret; never the password itself.
        #[schemars(regex(pattern = r"^\$\{secret:[a-z][a-z0-9_]{0,62}\}$"))]
        password: Option<String>,
        /// Whether the connection is encrypted, and to whom. Default: `prefer`.
        tls: Option<Tls>,
        /// A reference to a secret with the certificates that `verify-full` believes.
        ca: Option<String>,
    },
    /// An S3-compatible store. Without credentials it is asked as anybody.
    S3 {
        /// `https://host:port`. Default: AWS.
        endpoint: Option<String>,
        /// Default: `us-east-1`.
        region: Option<String>,
        /// Whether the bucket stands in the path and not in the host's name. Default: true where there is an `endpoint`.
        path_style: Option<bool>,
        /// A reference to a secret.
        access_key_id: Option<String>,
        /// A reference to a secret.
        secret_access_key: Option<String>,
        /// A reference to a secret.
        session_token: Option<String>,
        /// A reference to a secret with the certificates to believe instead of the machine's own.
        ca: Option<String>,
    },
    /// Credentials for the files of one web server.
    Http {
        /// The host that they are sent to, and no other.
        host: String,
        /// With `password`, for basic authentication.
        user: Option<String>,
        /// A reference to a secret.
        password: Option<String>,
        /// A reference to a secret, sent as a bearer token.
        token: Option<String>,
        /// A reference to a secret with the certificates to believe instead of the machine's own.
        ca: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[allow(dead_code, reason = "for the JSON Schema")]
pub(super) enum Tls {
    Disable,
    Prefer,
    Require,
    VerifyFull,
}

const TLS: [(&str, &str); 4] =
    [("disable", "disable"), ("prefer", "prefer"), ("require", "require"), ("verify-full", "verify-full")];

pub(super) fn read<'n>(findings: &'n Findings<'n>, name: &Spanned<Name>, node: &'n Node) -> Option<Connection> {
    let fields = Fields::under(findings, node, format!("the connection `{}`", name.value), name.span)?;
    fields.required_node("type");
    let kind = fields.choice("type", &ConnectionKind::ALL).map_or(ConnectionKind::Postgres, |kind| kind.value);
    let connection = match kind {
        ConnectionKind::Postgres => Connection::Postgres(database(&fields)),
        ConnectionKind::Mysql => Connection::Mysql(database(&fields)),
        ConnectionKind::S3 => Connection::S3(s3(&fields)),
        ConnectionKind::Http => Connection::Http(http(&fields)),
    };
    fields.finish();
    Some(connection)
}

fn plain(fields: &Fields<'_>, key: &'static str) -> String {
    let text = fields.required_text(key).filter(|text| !text::refuse_template(fields.findings(), *text));
    text.map(|text| text.value.to_owned()).unwrap_or_default()
}

fn optional(fields: &Fields<'_>, key: &'static str) -> Option<String> {
    let text = fields.text(key).filter(|text| !text::refuse_template(fields.findings(), *text));
    text.map(|text| text.value.to_owned())
}

fn host(fields: &Fields<'_>) -> String {
    let host = plain(fields, "host");
    if host.contains(['@', '/', ':']) && !host.starts_with('/') {
        let hint = "Write host, port, database and user each under its own key, and the password as `${secret:name}`.";
        let message = "`host` must be a host name or an address alone";
        fields.findings().error_hinting("MW0123", fields.span_of("host"), message, hint);
    }
    host
}

fn database(fields: &Fields<'_>) -> DatabaseConnection {
    DatabaseConnection {
        host: host(fields),
        port: port(fields),
        database: plain(fields, "database"),
        user: plain(fields, "user"),
        password: secret(fields, "password"),
        tls: fields.choice("tls", &TLS).map(|tls| tls.value.to_owned()),
        ca: secret(fields, "ca"),
    }
}

pub(super) fn s3(fields: &Fields<'_>) -> S3Connection {
    let connection = S3Connection {
        endpoint: endpoint(fields),
        region: optional(fields, "region"),
        path_style: fields.bool("path_style"),
        access_key_id: secret(fields, "access_key_id"),
        secret_access_key: secret(fields, "secret_access_key"),
        session_token: secret(fields, "session_token"),
        ca: secret(fields, "ca"),
    };
    if connection.access_key_id.is_some() != connection.secret_access_key.is_some() {
        let hint = "Give both, or neither for a store that anybody may read.";
        let message = "`access_key_id` and `secret_access_key` belong together";
        fields.findings().error_hinting("MW0112", fields.at(), message, hint);
    }
    connection
}

fn endpoint(fields: &Fields<'_>) -> Option<String> {
    let text = fields.text("endpoint")?;
    if text::refuse_template(fields.findings(), text) {
        return None;
    }
    let rest = text.value.strip_prefix("https://").or_else(|| text.value.strip_prefix("http://"));
    let authority = rest.map(|rest| rest.trim_end_matches('/'));
    if authority.is_none_or(|authority| authority.is_empty() || authority.contains(['/', '@', '?', '#'])) {
        let hint = "Write it as `https://host` or `https://host:port`; the bucket stands in the path of the source.";
        fields.findings().error_hinting("MW0123", text.span, "`endpoint` must be the address of a server", hint);
        return None;
    }
    Some(text.value.trim_end_matches('/').to_owned())
}

fn http(fields: &Fields<'_>) -> HttpConnection {
    let connection = HttpConnection {
        host: host(fields),
        user: optional(fields, "user"),
        password: secret(fields, "password"),
        token: secret(fields, "token"),
        ca: secret(fields, "ca"),
    };
    if connection.token.is_some() && connection.user.is_some() {
        fields.findings().error("MW0112", fields.at(), "a web server's connection has either a `token` or a `user`");
    }
    connection
}

fn port(fields: &Fields<'_>) -> Option<u16> {
    let port = fields.u64("port")?;
    let value = u16::try_from(port.value).ok().filter(|port| *port > 0);
    if value.is_none() {
        fields.findings().error("MW0117", port.span, "`port` must be between 1 and 65535");
    }
    value
}

/// The message never repeats what was written: it may be the secret.
fn secret(fields: &Fields<'_>, key: &'static str) -> Option<String> {
    let node = fields.node(key)?;
    if let Some(text) = node.as_text().filter(|text| secret_name(text).is_some()) {
        return Some(text.to_owned());
    }
    let hint = format!(
        "Write `{key}: ${{secret:NAME}}`, put the value into the secrets folder or the variable \
         MW_SECRET_<DOMAIN>_<NAME>, and change this {key}: it has been in a file."
    );
    let message = match key {
        "password" => "a password stands in the manifest".to_owned(),
        _ => format!("the value of `{key}` stands in the manifest"),
    };
    fields.findings().error_hinting("MW0130", node.span, message, hint);
    None
}
