//! Which data a contract is held against: files, a database, one of its own servers, or a product.

use std::path::Path;

use meshwork_control::port::data::{DatabaseSpec, FilesSpec, SourceSpec};
use meshwork_core::contract::{Contract, Table};
use meshwork_core::error::{Error, Result};
use meshwork_core::mesh::DatabaseConnection;
use meshwork_core::name::Name;
use meshwork_core::yaml::{self, Node};
use meshwork_engine::infer::{Located, describe};
use meshwork_engine::source::{Access, Secrets};
use serde_json::json;

use super::super::Context;
use super::super::from::database::Database;
use super::super::from::files::Found;
use super::super::from::remote::Remote;
use super::Test;
use crate::client::Call;
use crate::config;

/// Whose secrets open the data: `MW_SECRET_CONTRACT_…`.
pub const DOMAIN: &str = "contract";

/// How the data is called, where it is, and what opens it.
pub async fn of(
    test: &Test,
    context: &Context,
    contract: &Contract,
    table: &Table,
    scratch: &Path,
) -> Result<(String, SourceSpec, Secrets)> {
    if let Some(product) = &test.product {
        return product_rows(context, product, scratch).await;
    }
    if let Some(text) = &test.data {
        return data(text, table.physical_name.as_deref().unwrap_or(&table.name), scratch).await;
    }
    let node = yaml::parse(&contract.path, &contract.text).ok();
    let servers = node.as_ref().and_then(|node| node.get("servers")).and_then(Node::as_list).unwrap_or_default();
    let called = |server: &Node| server.get("server").and_then(Node::as_text).unwrap_or_default().to_owned();
    let chosen = match (&test.server_name, servers) {
        (Some(name), servers) => servers.iter().find(|server| called(server) == *name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let Some(server) = chosen else {
        let names: Vec<String> = servers.iter().map(called).collect();
        let error = Error::usage("MW1111", "it is not clear which data to hold against the contract")
            .hint("name it: `--data FILE`, `--data postgres://user@host/database`, or `--product domain.output`");
        return Err(if names.is_empty() {
            error
        } else {
            error.hint(format!("or `--of-server`: {}", names.join(", ")))
        });
    };
    of_server(server, contract, table, scratch).await
}

/// A file, a glob, a folder that is one table, a file or bucket on another machine, or a database.
pub async fn data(text: &str, table: &str, scratch: &Path) -> Result<(String, SourceSpec, Secrets)> {
    if text.contains("://") && !Remote::is_meant(text) {
        let database = Database::parse(text)?;
        let (table, spec, secrets) = database.source(&domain(), table);
        return Ok((format!("{table} of {}", database.title()), spec, secrets));
    }
    // Of a database in a file, one table.
    let (place, table) = text.rsplit_once('#').unwrap_or((text, table));
    if Remote::is_meant(place) {
        let remote = Remote::parse(place)?;
        // What is fetched for a look stays apart from what the check fetches.
        let access = remote.access(&domain(), &scratch.join("look"));
        let located = remote.one(&domain(), table, &access).await?;
        let described = describe(&located, Some(table), &access).await?;
        return Ok((remote.title(), described.spec, access.secrets));
    }
    let described = describe(&local(place, table)?, Some(table), &Access::here(DOMAIN, Secrets::default())).await?;
    Ok((text.to_owned(), described.spec, Secrets::default()))
}

fn local(text: &str, table: &str) -> Result<Located> {
    let path = std::path::absolute(text)
        .map_err(|error| Error::usage("MW1111", format!("{}: {error}", text.escape_debug())))?;
    if path.is_dir() {
        return Found::at(&path)?.one(table);
    }
    // A folder above the first part that is a pattern: what is read lies below it.
    let mut folder = path.clone();
    let mut below = Vec::new();
    while let (Some(name), Some(parent)) =
        (folder.file_name().map(|n| n.to_string_lossy().into_owned()), folder.parent())
    {
        let parent = parent.to_path_buf();
        below.insert(0, name);
        folder = parent;
        if !folder.to_string_lossy().contains(['*', '?']) {
            break;
        }
    }
    let path = below.join("/");
    let files = FilesSpec::Folder { folder, path: path.clone() };
    Ok(Located { name: table.to_owned(), files, shown: path, delta: false })
}

fn domain() -> Name {
    Name::new(DOMAIN).expect("a fixed name")
}

/// ODCS `servers`: local files, S3, PostgreSQL and MySQL.
async fn of_server(
    server: &Node,
    contract: &Contract,
    table: &Table,
    scratch: &Path,
) -> Result<(String, SourceSpec, Secrets)> {
    let text = |key: &str| server.get(key).and_then(Node::as_text).map(str::to_owned);
    let need = |key: &str| text(key).ok_or_else(|| Error::usage("MW1111", format!("the server names no `{key}`")));
    let physical = table.physical_name.as_deref().unwrap_or(&table.name);
    let kind = text("type").unwrap_or_default();
    match kind.as_str() {
        "local" => {
            let path = need("path")?.replace("{model}", physical);
            let beside = Path::new(&contract.path).parent().unwrap_or(Path::new(""));
            data(&beside.join(path).to_string_lossy(), physical, scratch).await
        }
        "s3" => {
            let mut location = need("location")?.replace("{model}", physical);
            if let Some(endpoint) = text("endpointUrl") {
                let endpoint: String = url::form_urlencoded::byte_serialize(endpoint.as_bytes()).collect();
                location = format!("{location}?endpoint={endpoint}");
            }
            data(&location, physical, scratch).await
        }
        "postgres" | "postgresql" | "mysql" => {
            let secrets = Secrets {
                variables: config::secrets_of(DOMAIN)
                    .into_iter()
                    .filter_map(|(name, value)| {
                        Some((name.into_string().ok()?.to_ascii_uppercase(), value.into_string().ok()?))
                    })
                    .collect(),
                folder: None,
            };
            let known = secrets.variables.contains_key("MW_SECRET_CONTRACT_PASSWORD");
            let default = if kind == "mysql" { "root" } else { "postgres" };
            let user = secrets.variables.get("MW_SECRET_CONTRACT_USER").cloned().unwrap_or_else(|| default.to_owned());
            let table = match text("schema") {
                Some(schema) if !physical.contains('.') => format!("{schema}.{physical}"),
                _ => physical.to_owned(),
            };
            let connection = DatabaseConnection {
                host: need("host")?,
                port: server.get("port").and_then(Node::as_i64).and_then(|p| u16::try_from(p).ok()),
                database: need("database")?,
                user,
                password: known.then(|| "${secret:password}".to_owned()),
                ..DatabaseConnection::default()
            };
            let spec = DatabaseSpec { connection, table: Some(table.clone()), ..DatabaseSpec::default() };
            let spec = if kind == "mysql" { SourceSpec::Mysql(spec) } else { SourceSpec::Postgres(spec) };
            Ok((table, spec, secrets))
        }
        other => Err(Error::usage("MW1111", format!("servers of type `{}` are not read here", other.escape_debug()))
            .hint("local, s3, postgres and mysql are; name the data by `--data` otherwise")),
    }
}

/// The rows of a published table as the caller may read them, through the API: masks and filters hold.
async fn product_rows(context: &Context, product: &str, scratch: &Path) -> Result<(String, SourceSpec, Secrets)> {
    let name = |part: &str| Name::new(part).map_err(|problem| Error::usage("MW1012", problem.to_string()));
    let (of, output) = product
        .split_once('.')
        .ok_or_else(|| Error::usage("MW1012", format!("`{}` is not `domain.output`", product.escape_debug())))?;
    let sql = format!("SELECT * FROM \"{}\".\"{}\"", name(of)?, name(output)?);
    let call = Call::post("query", json!({"sql": sql})).accept("application/vnd.apache.parquet");
    let client = context.client().await?;
    let mut answer = client.call(call).await?;
    let io = |error: std::io::Error| Error::environment("MW1026", format!("the rows cannot be kept: {error}"));
    let mut file = tokio::fs::File::create(scratch.join("rows.parquet")).await.map_err(io)?;
    use futures::StreamExt;
    use tokio::io::AsyncWriteExt;
    while let Some(bytes) = answer.body.next().await {
        file.write_all(&bytes?).await.map_err(io)?;
    }
    file.flush().await.map_err(io)?;
    let files = FilesSpec::Folder { folder: scratch.to_owned(), path: "rows.parquet".to_owned() };
    Ok((format!("{product}, as you may read it"), SourceSpec::Parquet { files }, Secrets::default()))
}
