//! `meshwork diff TABLE`: what a publication changed, row by row.
//!
//! Two moments of one table are joined in SQL, on the governed path like any other statement: masks and row filters apply,
//! it is recorded, and it spills where it is large.

mod statement;

use clap::Args;
use meshwork_core::error::{Error, Result};
use serde_json::{Map, Value, json};

use self::statement::Sides;
use super::Context;
use crate::client::{Call, Client, encoded};
use crate::exit;
use crate::output::Printer;
use crate::output::progress::Waiting;

#[derive(Debug, Args)]
pub struct Diff {
    /// `domain.output`
    table: String,
    /// The older side: a publication, its run, its Delta version, or a moment [default: the publication before the newest]
    #[arg(long, value_name = "WHICH")]
    from: Option<String>,
    /// The newer side [default: the newest publication]
    #[arg(long, value_name = "WHICH")]
    to: Option<String>,
    /// Columns that tell rows apart [default: those that the contract says are unique]
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    key: Vec<String>,
    /// How many differing rows to show
    #[arg(long, default_value_t = 10)]
    limit: u32,
    /// Exit with 1 where there is a difference
    #[arg(long)]
    detailed_exitcode: bool,
    /// Which of your granted purposes this is for
    #[arg(long)]
    purpose: Option<String>,
}

impl Diff {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let (domain, output) = self.table.split_once('.').ok_or_else(|| {
            Error::usage("MW0843", format!("`{}` is not a table", self.table.escape_debug()))
                .hint("write `domain.output`")
        })?;
        let client = context.client().await?;
        let waiting = Waiting::new(&context.printer, "comparing");
        let columns = self.columns(&client, domain, output).await?;
        let published = published(&client, &self.table).await?;
        let from = self.side(&published, self.from.as_deref(), 1)?;
        let to = self.side(&published, self.to.as_deref(), 0)?;
        let key = match self.key.is_empty() {
            true => contract_key(&client, domain, output, to.major, &columns).await,
            false => self.key.clone(),
        };
        if let Some(unknown) = key.iter().find(|column| !columns.contains(column)) {
            let message = format!("`{}` has no column `{}` that you may read", self.table, unknown.escape_debug());
            return Err(Error::usage("MW0844", message).hint(format!("there are: {}", columns.join(", "))));
        }
        let sides = Sides {
            domain: domain.to_owned(),
            table: output.to_owned(),
            from: from.at.clone(),
            to: to.at.clone(),
            values: columns.into_iter().filter(|column| !key.contains(column)).collect(),
            key,
        };
        let counts = self.rows(&client, &sides.counts()).await?.pop().unwrap_or_default();
        let sample = self.rows(&client, &sides.sample(self.limit)).await?;
        drop(waiting);
        let found = document(&self.table, &from, &to, &sides, &counts, &sample);
        let printer = &context.printer;
        if printer.is_for_people() {
            show(printer, &found, &sides);
        } else {
            printer.item(&found);
        }
        let differs = ["added", "removed", "changed"].iter().any(|what| found[*what].as_u64() != Some(0));
        Ok(if self.detailed_exitcode && differs { exit::CHANGES } else { exit::OK })
    }

    async fn rows(&self, client: &Client, sql: &str) -> Result<Vec<Value>> {
        let answer = client.json(Call::post("query", json!({"sql": sql, "purpose": self.purpose}))).await?;
        Ok(answer["rows"].as_array().cloned().unwrap_or_default())
    }

    /// Those that the reader may see, in order.
    async fn columns(&self, client: &Client, domain: &str, output: &str) -> Result<Vec<String>> {
        let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let sql = format!(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = {} AND table_name = {} \
             ORDER BY ordinal_position",
            text(domain),
            text(output)
        );
        let rows = self.rows(client, &sql).await?;
        let names: Vec<String> = rows.iter().filter_map(|row| row["column_name"].as_str()).map(str::to_owned).collect();
        if names.is_empty() {
            // A table that is not listed says itself why it cannot be read.
            self.rows(client, &format!("SELECT * FROM {} LIMIT 0", self.table)).await?;
        }
        Ok(names)
    }

    fn side(&self, published: &[Side], asked: Option<&str>, back: usize) -> Result<Side> {
        let Some(asked) = asked else {
            return published.get(back).cloned().ok_or_else(|| {
                let message = format!("`{}` has {} publications", self.table, published.len());
                Error::not_found("MW0845", message)
                    .hint("a difference needs two; `--from` and `--to` name moments, too")
            });
        };
        let named = published.iter().find(|side| {
            [&side.publication, &side.run].contains(&&asked.to_owned()) || side.version.to_string() == asked
        });
        if let Some(side) = named {
            return Ok(side.clone());
        }
        if asked.starts_with(|c: char| c.is_ascii_digit()) && asked.contains('-') && !is_id(asked) {
            // What was published at that moment, which the server finds.
            let major = published.first().map_or(1, |side| side.major);
            return Ok(Side { at: asked.to_owned(), major, ..Side::default() });
        }
        let message = format!("`{}` is no publication of `{}`", asked.escape_debug(), self.table);
        Err(Error::not_found("MW0845", message)
            .hint("`meshwork publications list` shows them with their runs and versions"))
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// One side of the comparison.
#[derive(Clone, Debug, Default)]
struct Side {
    publication: String,
    run: String,
    at: String,
    version: u64,
    major: u32,
}

impl Side {
    fn document(&self) -> Value {
        match self.publication.is_empty() {
            true => json!({"at": self.at}),
            false => {
                json!({"publication": self.publication, "run": self.run, "at": self.at, "delta_version": self.version})
            }
        }
    }
}

/// Publications that hold the table, newest first; of its newest major.
async fn published(client: &Client, table: &str) -> Result<Vec<Side>> {
    let mut sides = Vec::new();
    for publication in client.all("publications?limit=1000").await? {
        let text = |name: &str| publication[name].as_str().unwrap_or_default().to_owned();
        let outputs = publication["outputs"].as_array().cloned().unwrap_or_default();
        for output in outputs.iter().filter(|output| output["table"] == *table) {
            sides.push(Side {
                publication: text("id"),
                run: text("run"),
                at: text("at"),
                version: output["delta_version"].as_u64().unwrap_or_default(),
                major: output["major"].as_u64().and_then(|major| u32::try_from(major).ok()).unwrap_or(1),
            });
        }
    }
    let newest = sides.iter().map(|side| side.major).max();
    sides.retain(|side| Some(side.major) == newest);
    Ok(sides)
}

/// The columns of the shortest uniqueness clause whose columns the reader may all see; none where there is none.
async fn contract_key(client: &Client, domain: &str, output: &str, major: u32, columns: &[String]) -> Vec<String> {
    let path = format!("contracts/{}/{}/{major}", encoded(domain), encoded(output));
    let Ok(contract) = client.json(Call::get(path)).await else { return Vec::new() };
    let tables = contract["tables"].as_array().cloned().unwrap_or_default();
    let table = tables.iter().find(|table| table["name"] == contract["table"]).or(tables.first());
    let clauses = table.and_then(|table| table["clauses"].as_array()).cloned().unwrap_or_default();
    let keys = clauses.iter().filter(|clause| clause["rule"] == "unique").map(|clause| {
        let columns = clause["columns"].as_array().into_iter().flatten();
        columns.filter_map(|column| column.as_str().map(str::to_owned)).collect::<Vec<_>>()
    });
    let readable = keys.filter(|key| !key.is_empty() && key.iter().all(|column| columns.contains(column)));
    readable.min_by_key(Vec::len).unwrap_or_default()
}

fn document(table: &str, from: &Side, to: &Side, sides: &Sides, counts: &Value, sample: &[Value]) -> Value {
    let count = |name: &str| counts[name].as_u64().unwrap_or_default();
    let changed = sides.values.iter().enumerate().map(|(at, column)| (column.clone(), count(&format!("c{at}"))));
    let columns: Map<String, Value> = changed.filter(|(_, n)| *n > 0).map(|(column, n)| (column, n.into())).collect();
    let mut document = json!({
        "table": table,
        "from": from.document(),
        "to": to.document(),
        "key": sides.key,
        "added": count("added"),
        "removed": count("removed"),
        "changed": count("changed"),
        "columns": columns,
        "sample": sample.iter().map(|row| sides.sampled(row)).collect::<Vec<_>>(),
    });
    if !sides.key.is_empty() {
        document["unchanged"] = count("unchanged").into();
        document["key_is_unique"] = (count("repeated") == 0).into();
    }
    document
}

fn show(printer: &Printer, found: &Value, sides: &Sides) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    printer.line(&format!("{}: {} → {}", text(&found["table"]), text(&found["from"]["at"]), text(&found["to"]["at"])));
    let counts = ["added", "removed", "changed", "unchanged"]
        .iter()
        .filter(|what| found[**what].is_u64() && (!sides.key.is_empty() || !what.ends_with("changed")))
        .map(|what| format!("{what} {}", found[*what]));
    printer.line(&format!("  {}", counts.collect::<Vec<_>>().join(", ")));
    if let Some(columns) = found["columns"].as_object().filter(|columns| !columns.is_empty()) {
        let columns: Vec<String> = columns.iter().map(|(column, n)| format!("{column} {n}")).collect();
        printer.line(&format!("  in columns: {}", columns.join(", ")));
    }
    for row in found["sample"].as_array().into_iter().flatten() {
        let cells = |name: &str| {
            let cells = row[name].as_object().into_iter().flatten();
            cells
                .map(|(column, value)| format!("{column}={}", text(value).escape_debug()))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let line = match row["change"].as_str() {
            Some("added") => printer.good(&format!("+ {} {}", cells("key"), cells("to"))),
            Some("removed") => printer.bad(&format!("- {} {}", cells("key"), cells("from"))),
            _ => {
                let to = row["to"].as_object().cloned().unwrap_or_default();
                let changes = to.iter().map(|(column, new)| {
                    format!("{column}: {} → {}", text(&row["from"][column]).escape_debug(), text(new).escape_debug())
                });
                printer.warn(&format!("~ {}  {}", cells("key"), changes.collect::<Vec<_>>().join(", ")))
            }
        };
        printer.line(&format!("  {line}"));
    }
    if found["key_is_unique"] == false {
        printer.note("the key is not unique in what you may see: rows with the same key are paired with each other");
    }
    if sides.key.is_empty() {
        printer.note("no key is known, so whole rows are compared; `--key COLUMNS` pairs them");
    }
}
