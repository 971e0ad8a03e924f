//! Tables of other domains, read from the mesh itself as their reader may see them, and kept as samples.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use meshwork_core::contract::Table as Shape;
use meshwork_core::error::{Error, Kind, Result};
use meshwork_core::sample::{self, Sample};
use serde_json::{Value, json};

use super::scope::{Reader, Table};
use crate::client::{Call, Client};
use crate::command::Context;
use crate::compose::{self, Reach};
use crate::config::Config;

const PARQUET: &str = "application/vnd.apache.parquet";
const SETTLING: Duration = Duration::from_secs(5);

/// The mesh that upstream tables come from: a server, or the folder's own state, which is held no longer than need be.
pub struct Upstream(Reach);

/// What was read of a table.
pub struct Sampled {
    pub columns: Vec<String>,
    /// As whom it was read.
    pub reader: String,
    pub note: Option<String>,
}

impl Upstream {
    pub async fn open(context: &Context) -> Result<Self> {
        compose::reach(&context.config).await.map(Self)
    }

    pub async fn close(self) {
        if let Reach::Embedded(platform) = self.0 {
            platform.close(SETTLING).await;
        }
    }

    /// As the product that reads it, or where that may not be done or may not read it yet, as whoever develops it.
    pub async fn read(
        &self,
        config: &Config,
        (domain, output, major): &Table,
        shape: &Shape,
        reader: &Reader,
        sample: Option<Sample>,
        into: &Path,
    ) -> Result<Sampled> {
        let table = format!("{domain}.{output}_v{major}");
        let mut product = config.clone();
        product.act_as = Some(reader.principal());
        let as_product = compose::client(&product, &self.0).await?;
        let asked = Asked { table: &table, shape, sample, into };
        let refused = match asked.read(&as_product, reader.purpose.as_deref()).await {
            Ok(columns) => return Ok(Sampled { columns, reader: reader.principal(), note: None }),
            Err(error) if matches!(error.kind, Kind::Forbidden | Kind::NotFound) => error,
            Err(error) => return Err(error),
        };
        let own = compose::client(config, &self.0).await?;
        let columns = asked
            .read(&own, None)
            .await
            .map_err(|error| error.hint(format!("`{}` was refused too: {}", reader.principal(), refused.message)))?;
        let who = own.json(Call::get("whoami")).await?;
        let who = who.get("principal").and_then(Value::as_str).unwrap_or("you").to_owned();
        let note = format!("{table} is read as {who}, since {}: {}", reader.principal(), refused.message);
        Ok(Sampled { columns, reader: who, note: Some(note) })
    }
}

struct Asked<'a> {
    table: &'a str,
    shape: &'a Shape,
    sample: Option<Sample>,
    into: &'a Path,
}

impl Asked<'_> {
    async fn read(&self, client: &Client, purpose: Option<&str>) -> Result<Vec<String>> {
        let table = self.table;
        let body = |sql: String| json!({ "sql": sql, "purpose": purpose });
        let empty = client.json(Call::post("query", body(format!("SELECT * FROM {table} LIMIT 0")))).await?;
        let columns: Vec<String> = empty["columns"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|column| column["name"].as_str().map(str::to_owned))
            .collect();
        let names: Vec<&str> = columns.iter().map(String::as_str).collect();
        let sql = match self.sample {
            None => format!("SELECT * FROM {table}"),
            // The lowest hashes: of two tables with the same key, the rows that belong together as far as possible.
            Some(Sample::Rows(rows)) => {
                format!("SELECT * FROM {table} ORDER BY {} LIMIT {rows}", sample::order(self.shape, &names))
            }
            Some(Sample::Share(share)) => {
                let hash = sample::hash(&sample::key(self.shape, &names));
                format!("SELECT * FROM {table} WHERE {hash} < '{}'", sample::threshold(share))
            }
        };
        let mut answer = client.call(Call::post("query", body(sql)).accept(PARQUET)).await?;
        let unwritable = |error: std::io::Error| {
            Error::environment("MW1071", format!("the sample {} cannot be written: {error}", self.into.display()))
        };
        if let Some(folder) = self.into.parent() {
            std::fs::create_dir_all(folder).map_err(unwritable)?;
        }
        let draft = self.into.with_extension("new");
        let mut file = std::fs::File::create(&draft).map_err(unwritable)?;
        while let Some(bytes) = answer.body.next().await {
            file.write_all(&bytes?).map_err(unwritable)?;
        }
        std::fs::rename(&draft, self.into).map_err(unwritable)?;
        Ok(columns)
    }
}
