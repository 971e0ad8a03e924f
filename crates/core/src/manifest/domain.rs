//! `domain.yaml`

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::text::{self, secret_name};
use crate::mesh::{Connection, ConnectionKind};
use crate::name::Name;
use crate::reader::{Fields, Findings, Spanned, shown};
use crate::yaml::Node;

/// A domain: who owns it, and what its products may connect to.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DomainManifest {
    /// The name of the domain; in SQL it is the schema.
    pub domain: Spanned<Name>,
    /// The name that it had before; its products and data stay the same.
    pub renamed_from: Option<Spanned<Name>>,
    /// What the domain is responsible for.
    pub description: Option<String>,
    /// The team that owns it.
    pub owner: Spanned<Name>,
    /// User names of the owner team's members.
    #[schemars(default)]
    pub members: Vec<String>,
    /// A storage root of its own, as `storage` in mesh.yaml.
    pub storage: Option<Spanned<String>>,
    /// Databases that its sources name.
    #[schemars(with = "BTreeMap<Name, ConnectionManifest>", default)]
    pub connections: Vec<(Spanned<Name>, Connection)>,
}

/// A database.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "the declared shape of `Connection`, for the JSON Schema")]
struct ConnectionManifest {
    /// What kind of database.
    #[schemars(rename = "type")]
    kind: ConnectionKind,
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
    /// Whether the connection is encrypted. Default: `prefer`.
    tls: Option<Tls>,
}

#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code, reason = "for the JSON Schema")]
enum Tls {
    Disable,
    Prefer,
    Require,
}

/// Reads it; `None` only when the file is not a map. `folder` names the domain when it does not name itself.
pub fn read<'n>(findings: &'n Findings<'n>, node: &'n Node, folder: &str) -> Option<DomainManifest> {
    let fields = Fields::of(findings, node, "the domain")?;
    let manifest = DomainManifest {
        domain: super::product::or_fallback(fields.required_name("domain"), folder, fields.at()),
        renamed_from: fields.name("renamed_from"),
        description: fields.string("description"),
        owner: super::product::or_fallback(fields.required_name("owner"), "owner", fields.at()),
        members: members(&fields),
        storage: fields.text("storage").and_then(|text| text::storage_root(findings, text)),
        connections: fields
            .named("connections")
            .into_iter()
            .filter_map(|(name, node)| Some((name.clone(), connection(findings, &name, node)?)))
            .collect(),
    };
    fields.finish();
    Some(manifest)
}

fn members(fields: &Fields<'_>) -> Vec<String> {
    let mut members: Vec<String> = Vec::new();
    for member in fields.texts("members") {
        if !is_user_name(member.value) {
            let message = format!("`{}` is not a user name", shown(member.value));
            let hint = "Letters, digits and `._-@+`, up to 128 characters, without a prefix such as `user:`.";
            fields.findings().error_hinting("MW0123", member.span, message, hint);
        } else if members.iter().any(|known| known == member.value) {
            let message = format!("`{}` stands twice in `members`", shown(member.value));
            fields.findings().warning("MW0123", member.span, message, "Remove one of the two.");
        } else {
            members.push(member.value.to_owned());
        }
    }
    members
}

fn is_user_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b'+'))
}

fn connection<'n>(findings: &'n Findings<'n>, name: &Spanned<Name>, node: &'n Node) -> Option<Connection> {
    let fields = Fields::under(findings, node, format!("the connection `{}`", name.value), name.span)?;
    let plain = |key: &'static str| {
        let text = fields.required_text(key)?;
        (!text::refuse_template(findings, text)).then(|| text.value.to_owned())
    };
    fields.required_node("type");
    let connection = Connection {
        kind: fields
            .choice("type", &[("postgres", ConnectionKind::Postgres)])
            .map_or(ConnectionKind::Postgres, |kind| kind.value),
        host: plain("host").unwrap_or_default(),
        port: port(&fields),
        database: plain("database").unwrap_or_default(),
        user: plain("user").unwrap_or_default(),
        password: password(&fields),
        tls: fields
            .choice("tls", &[("disable", "disable"), ("prefer", "prefer"), ("require", "require")])
            .map(|tls| tls.value.to_owned()),
    };
    if connection.host.contains(['@', '/', ':']) && !connection.host.starts_with('/') {
        let hint = "Write host, port, database and user each under its own key, and the password as `${secret:name}`.";
        findings.error_hinting(
            "MW0123",
            fields.span_of("host"),
            "`host` must be a host name or an address alone",
            hint,
        );
    }
    fields.finish();
    Some(connection)
}

fn port(fields: &Fields<'_>) -> Option<u16> {
    let port = fields.u64("port")?;
    let value = u16::try_from(port.value).ok().filter(|port| *port > 0);
    if value.is_none() {
        fields.findings().error("MW0117", port.span, "`port` must be between 1 and 65535");
    }
    value
}

/// The message never repeats what was written: it may be the password.
fn password(fields: &Fields<'_>) -> Option<String> {
    let node = fields.node("password")?;
    if let Some(text) = node.as_text().filter(|text| secret_name(text).is_some()) {
        return Some(text.to_owned());
    }
    let hint = "Write `password: ${secret:NAME}`, put the value into the secrets folder or the variable \
                MW_SECRET_<DOMAIN>_<NAME>, and change this password: it has been in a file.";
    fields.findings().error_hinting("MW0130", node.span, "a password stands in the manifest", hint);
    None
}
