//! `meshwork diff TABLE`: what a publication changed, row by row.

use clap::Args;
use meshwork_core::error::{Error, Result};
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::Context;
use crate::client::{Call, encoded};
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
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(..=1000))]
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
        let mut asked = Serializer::new(String::new());
        asked.append_pair("limit", &self.limit.to_string());
        for (name, value) in [("from", &self.from), ("to", &self.to), ("purpose", &self.purpose)] {
            asked.extend_pairs(value.iter().map(|value| (name, value)));
        }
        if !self.key.is_empty() {
            let quoted: Vec<String> = self.key.iter().map(|name| meshwork_core::name::quoted(name)).collect();
            asked.append_pair("key", &quoted.join(","));
        }
        let path = format!("data/{}/{}/diff?{}", encoded(domain), encoded(output), asked.finish());
        let client = context.client().await?;
        let waiting = Waiting::new(&context.printer, "comparing");
        let found = client.json(Call::get(path)).await?;
        drop(waiting);
        let printer = &context.printer;
        if printer.is_for_people() {
            show(printer, &found);
        } else {
            printer.item(&found);
        }
        let differs = ["added", "removed", "changed"].iter().any(|what| found[*what].as_u64() != Some(0));
        Ok(if self.detailed_exitcode && differs { exit::CHANGES } else { exit::OK })
    }
}

fn show(printer: &Printer, found: &Value) {
    let paired = found["key"].as_array().is_some_and(|key| !key.is_empty());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    printer.line(&format!("{}: {} → {}", text(&found["table"]), text(&found["from"]["at"]), text(&found["to"]["at"])));
    let counts = ["added", "removed", "changed", "unchanged"]
        .iter()
        .filter(|what| found[**what].is_u64() && (paired || !what.ends_with("changed")))
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
    if !paired {
        printer.note("no key is known, so whole rows are compared; `--key COLUMNS` pairs them");
    }
}
