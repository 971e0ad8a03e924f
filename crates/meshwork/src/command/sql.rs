//! `meshwork sql -c|-f`

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use futures::StreamExt;
use meshwork_core::error::{Error, Result};
use serde_json::json;

use super::Context;
use crate::client::{Call, Client, JSON, NDJSON};
use crate::exit;
use crate::output::{Format, Printer};

const ARROW: &str = "application/vnd.apache.arrow.stream";
const CSV: &str = "text/csv";
const PARQUET: &str = "application/vnd.apache.parquet";

/// What the server takes as one statement; more is refused here, before it travels.
const STATEMENT_LIMIT: u64 = 64 << 20;

#[derive(Debug, Args)]
pub struct Sql {
    /// The statement
    #[arg(short = 'c', long = "command", value_name = "SQL", conflicts_with = "file")]
    statement: Option<String>,
    /// Read the statement from a file, `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Which of your granted purposes this is for
    #[arg(long)]
    purpose: Option<String>,
    /// The mesh as it was: RFC 3339, or a date
    #[arg(long, value_name = "WHEN")]
    as_of: Option<String>,
}

impl Sql {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let sql = self.text()?;
        let printer = &context.printer;
        if printer.format == Format::Parquet && std::io::stdout().is_terminal() {
            return Err(
                Error::usage("MW1003", "Parquet on a terminal shows nothing").hint("redirect it: `> result.parquet`")
            );
        }
        let client = context.client().await?;
        let body = json!({"sql": sql, "purpose": self.purpose, "as_of": self.as_of});
        let call = Call::post("query", body);
        match printer.format {
            Format::Table => table(&client, call.accept(ARROW), printer).await?,
            Format::Json => stream(&client, call.accept(JSON), printer).await?,
            Format::Jsonl => stream(&client, call.accept(NDJSON), printer).await?,
            Format::Csv => stream(&client, call.accept(CSV), printer).await?,
            Format::Parquet => stream(&client, call.accept(PARQUET), printer).await?,
            Format::Yaml => printer.item(&client.json(call).await?["rows"]),
        }
        Ok(exit::OK)
    }

    fn text(&self) -> Result<String> {
        let read = |from: &mut dyn Read, name: &str| {
            let mut text = String::new();
            let mut limited = from.take(STATEMENT_LIMIT);
            limited
                .read_to_string(&mut text)
                .map_err(|error| Error::environment("MW1018", format!("{name} cannot be read: {error}")))?;
            Ok(text)
        };
        match (&self.statement, &self.file) {
            (Some(sql), _) => Ok(sql.clone()),
            (None, Some(path)) if path.as_os_str() == "-" => read(&mut std::io::stdin().lock(), "standard input"),
            (None, Some(path)) => {
                let mut file = std::fs::File::open(path).map_err(|error| {
                    Error::environment("MW1018", format!("{} cannot be read: {error}", path.display()))
                })?;
                read(&mut file, &path.display().to_string())
            }
            (None, None) if !std::io::stdin().is_terminal() => read(&mut std::io::stdin().lock(), "standard input"),
            (None, None) => Err(Error::usage("MW1018", "no statement").hint("give it with `-c SQL` or `-f FILE`")),
        }
    }
}

async fn stream(client: &Client, call: Call, printer: &Printer) -> Result<()> {
    let mut answer = client.call(call).await?;
    let mut last = None;
    while let Some(bytes) = answer.body.next().await {
        let bytes = bytes?;
        printer.bytes(&bytes);
        last = bytes.last().copied().or(last);
    }
    if printer.format == Format::Json && last != Some(b'\n') {
        printer.raw("\n");
    }
    Ok(())
}

async fn table(client: &Client, call: Call, printer: &Printer) -> Result<()> {
    let bytes = client.bytes(call).await?;
    let odd = |error: arrow::error::ArrowError| {
        Error::environment("MW1009", format!("the server's answer is not understood: {error}"))
    };
    let reader = StreamReader::try_new(std::io::Cursor::new(bytes), None).map_err(odd)?;
    let names: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    let batches = reader.collect::<std::result::Result<Vec<_>, _>>().map_err(odd)?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(names.iter().map(|name| printer.bold(&clean(name))));
    let options = FormatOptions::new().with_null("").with_display_error(true);
    for batch in &batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(odd)?;
        for row in 0..batch.num_rows() {
            table.add_row(columns.iter().map(|column| clean(&column.value(row).to_string())));
        }
    }
    let text: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    printer.line(&text.join("\n"));
    printer.note(&format!("{rows} {}", if rows == 1 { "row" } else { "rows" }));
    Ok(())
}

/// Data does not move the cursor or colour the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
