//! Which data a contract is held against: files, a database, one of its own servers, or a product.

use std::path::Path;

use meshwork_control::port::data::{DatabaseSpec, FilesSpec, SourceSpec};
use meshwork_core::contract::{Contract, Table};
use meshwork_core::error::{Error, Result};
use meshwork_core::mesh::DatabaseConnection;
use meshwork_core::name::Name;
use meshwork_core::yaml::{self, Node};
use meshwork_engine::infer::{Pattern, describe};
use meshwork_engine::source::Secrets;
use serde_json::json;

use super::super::Context;
use super::super::from::database::Database;
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
        return data(text, table.physical_name.as_deref().unwrap_or(&table.name)).await;
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
    of_server(server, contract, table).await
}

/// A file, a glob or a database URL.
pub async fn data(text: &str, table: &str) -> Result<(String, SourceSpec, Secrets)> {
    if text.contains("://") {
        let database = Database::parse(text)?;
        let (spec, secrets) = database.source(&domain(), Some(table));
        return Ok((format!("{} of {}", table, database.title()), SourceSpec::Postgres(spec), secrets));
    }
    let path = std::path::absolute(text)
        .map_err(|error| Error::usage("MW1111", format!("{}: {error}", text.escape_debug())))?;
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
    let pattern = Pattern { path: below.join("/"), name: table.to_owned() };
    let described = describe(&folder, &pattern, &pattern.path).await?;
    Ok((text.to_owned(), described.spec, Secrets::default()))
}

fn domain() -> Name {
    Name::new(DOMAIN).expect("a fixed name")
}

/// ODCS `servers`: local files and PostgreSQL.
async fn of_server(server: &Node, contract: &Contract, table: &Table) -> Result<(String, SourceSpec, Secrets)> {
    let text = |key: &str| server.get(key).and_then(Node::as_text).map(str::to_owned);
    let physical = table.physical_name.as_deref().unwrap_or(&table.name);
    match text("type").as_deref() {
        Some("local") => {
            let path = text("path").ok_or_else(|| Error::usage("MW1111", "the server names no `path`"))?;
            let path = path.replace("{model}", physical);
            let beside = Path::new(&contract.path).parent().unwrap_or(Path::new(""));
            data(&beside.join(path).to_string_lossy(), physical).await
        }
        Some("postgres" | "postgresql") => {
            let need =
                |key: &str| text(key).ok_or_else(|| Error::usage("MW1111", format!("the server names no `{key}`")));
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
            let user =
                secrets.variables.get("MW_SECRET_CONTRACT_USER").cloned().unwrap_or_else(|| "postgres".to_owned());
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
            Ok((table, SourceSpec::Postgres(spec), secrets))
        }
        other => Err(Error::usage(
            "MW1111",
            format!("servers of type `{}` are not read here", other.unwrap_or_default().escape_debug()),
        )
        .hint("local and postgres are; name the data by `--data` otherwise")),
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
