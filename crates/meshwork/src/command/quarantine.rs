//! `meshwork quarantine list | show | release`

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use meshwork_core::error::{Error, Kind, Result};
use serde_json::{Value, json};

use super::sql::answer;
use super::{Context, complete, run};
use crate::client::{Call, NDJSON, encoded};
use crate::exit;
use crate::output::{Format, column};

/// What the server takes; more is refused here, before it travels.
const FILE_LIMIT: u64 = 60 << 20;

#[derive(Debug, Args)]
pub struct Quarantine {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Rows that runs have set aside, by run
    List(List),
    /// The rows, each with its number, why it is there, and where it was read
    Show(Show),
    /// Check rows again and publish those that pass
    Release(Release),
}

#[derive(Debug, Args)]
struct List {
    /// Only of this product (`domain.product`)
    #[arg(add = ArgValueCandidates::new(complete::products))]
    product: Option<String>,
    /// Also what was released, and what a later run has judged again
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
struct Which {
    /// Which output, where rows of several were set aside
    #[arg(long)]
    of: Option<String>,
    /// Which major of it
    #[arg(long)]
    major: Option<u32>,
}

#[derive(Debug, Args)]
struct Show {
    /// A run's id, or a product (`domain.product`) for all its rows
    #[arg(add = ArgValueCandidates::new(complete::products))]
    what: String,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Release {
    /// The run that set them aside, or a product where only one run has rows there
    run: String,
    /// The rows as repaired: a CSV or JSON lines file that began as `quarantine show -o csv`; `-` for standard input (CSV)
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
}

impl Quarantine {
    /// Whether it prints rows, which may be Parquet.
    pub fn prints_rows(&self) -> bool {
        matches!(self.what, What::Show(_))
    }

    pub async fn run(self, context: &Context) -> Result<u8> {
        match self.what {
            What::List(list) => list.run(context).await,
            What::Show(show) => show.run(context).await,
            What::Release(release) => release.run(context).await,
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client().await?;
        let product = self.product.map(|product| format!("&product={}", encoded(&product))).unwrap_or_default();
        let path = format!("quarantine?all={}{product}", self.all);
        let mut items = client.all(&path).await?;
        if context.printer.is_for_people() {
            for item in &mut items {
                item["why"] = json!(clauses(item));
            }
        }
        let columns = [
            column("run", "run"),
            column("product", "product"),
            column("output", "output"),
            column("at", "at"),
            column("state", "state"),
            column("rows", "rows"),
            column("open", "open_rows"),
            column("of", "batch_rows"),
            column("why", "why"),
            column("until", "expires_at"),
        ];
        context.printer.list(&items, &columns);
        Ok(exit::OK)
    }
}

/// `score.range 2, quality[1] 1`
fn clauses(item: &Value) -> String {
    let clauses = item.get("clauses").and_then(Value::as_object);
    let each = clauses.into_iter().flatten().map(|(clause, rows)| format!("{clause} {rows}"));
    each.collect::<Vec<_>>().join(", ")
}

impl Show {
    async fn run(self, context: &Context) -> Result<u8> {
        if context.printer.format == Format::Parquet && std::io::stdout().is_terminal() {
            return Err(Error::usage("MW1003", "Parquet on a terminal shows nothing")
                .hint("redirect it: `> quarantine.parquet`"));
        }
        let client = context.client().await?;
        let output = self.which.of.map(|output| format!("output={}", encoded(&output)));
        let major = self.which.major.map(|major| format!("major={major}"));
        let query: Vec<String> = output.into_iter().chain(major).collect();
        let call = Call::get(format!("quarantine/{}/rows?{}", encoded(&self.what), query.join("&")));
        answer::show(&client, call, &context.printer, None).await?;
        Ok(exit::OK)
    }
}

impl Release {
    async fn run(self, context: &Context) -> Result<u8> {
        let (format, rows) = match &self.with {
            Some(path) => {
                let (format, text) = read(path)?;
                (Some(format), Some(text))
            }
            None => (None, None),
        };
        let asked = json!({"output": self.which.of, "major": self.which.major, "format": format, "rows": rows});
        let client = context.client().await?;
        let call = Call::post(format!("quarantine/{}/release", encoded(&self.run)), asked).accept(NDJSON);
        let ended = run::follow(context, &client, call).await?;
        let stayed = ended.stayed;
        ended.into_result()?;
        if stayed > 0 {
            return Ok(exit::code(Kind::Check));
        }
        Ok(exit::OK)
    }
}

fn read(path: &Path) -> Result<(&'static str, String)> {
    let unreadable =
        |why: &dyn std::fmt::Display| Error::environment("MW1065", format!("{} cannot be read: {why}", path.display()));
    let name = path.to_string_lossy();
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => "csv",
        Some("jsonl" | "ndjson") => "jsonl",
        None if name == "-" => "csv",
        _ => {
            return Err(Error::usage("MW1065", format!("{} is neither CSV nor JSON lines", path.display()))
                .hint("name it `….csv` or `….jsonl`"));
        }
    };
    let mut text = String::new();
    let read = if name == "-" {
        std::io::stdin().lock().take(FILE_LIMIT + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_LIMIT + 1).read_to_string(&mut text))
    };
    read.map_err(|error| unreadable(&error))?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(unreadable(&"it is larger than 60 MB").hint("release the rows in several parts"));
    }
    Ok((format, text))
}
