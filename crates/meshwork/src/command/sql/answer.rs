//! A query's answer, printed in the chosen format as it arrives.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{ContentArrangement, Table, presets};
use futures::StreamExt;
use meshwork_core::error::{Error, Result};

use crate::client::{Call, Client, JSON, NDJSON};
use crate::output::progress::Waiting;
use crate::output::{Format, Printer};

const ARROW: &str = "application/vnd.apache.arrow.stream";
const CSV: &str = "text/csv";
const PARQUET: &str = "application/vnd.apache.parquet";

/// How many rows a table on a screen may have; other formats print all of them.
pub type Most = Option<usize>;

pub async fn show(client: &Client, call: Call, printer: &Printer, most: Most) -> Result<()> {
    match printer.format {
        Format::Table => table(client, call.accept(ARROW), printer, most).await,
        Format::Json => stream(client, call.accept(JSON), printer).await,
        Format::Jsonl => stream(client, call.accept(NDJSON), printer).await,
        Format::Csv => stream(client, call.accept(CSV), printer).await,
        Format::Parquet => stream(client, call.accept(PARQUET), printer).await,
        Format::Yaml => {
            printer.item(&client.json(call).await?["rows"]);
            Ok(())
        }
    }
}

async fn stream(client: &Client, call: Call, printer: &Printer) -> Result<()> {
    let waiting = Waiting::new(printer, "querying");
    let mut answer = client.call(call).await?;
    let mut last = None;
    let mut received = 0;
    while let Some(bytes) = answer.body.next().await {
        let bytes = bytes?;
        received += bytes.len();
        waiting.moved(None, received);
        waiting.apart(|| printer.bytes(&bytes));
        last = bytes.last().copied().or(last);
    }
    if printer.format == Format::Json && last != Some(b'\n') {
        printer.raw("\n");
    }
    Ok(())
}

async fn table(client: &Client, call: Call, printer: &Printer, most: Most) -> Result<()> {
    let waiting = Waiting::new(printer, "querying");
    let rows = rows(client, call, &waiting, most).await?;
    drop(waiting);
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(rows.names.iter().map(|name| printer.bold(&clean(name))));
    let options = FormatOptions::new().with_null("").with_display_error(true);
    for batch in &rows.batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|error| odd(&error))?;
        for row in 0..batch.num_rows() {
            table.add_row(columns.iter().map(|column| clean(&column.value(row).to_string())));
        }
    }
    let text: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    printer.line(&text.join("\n"));
    let shown: usize = rows.batches.iter().map(RecordBatch::num_rows).sum();
    printer.note(&match (shown, rows.more) {
        (1, false) => "1 row".to_owned(),
        (n, false) => format!("{n} rows"),
        (n, true) => format!("the first {n} rows; there are more (`.rows N` shows more of them)"),
    });
    Ok(())
}

/// Rows that were received.
pub struct Rows {
    pub names: Vec<String>,
    pub batches: Vec<RecordBatch>,
    /// There are more than were asked for.
    pub more: bool,
}

/// Reads an answer in Arrow's stream format. What is beyond `most` is not waited for: the query is cancelled.
async fn rows(client: &Client, call: Call, waiting: &Waiting, most: Most) -> Result<Rows> {
    let mut answer = client.call(call).await?;
    let mut decoder = StreamDecoder::new();
    let mut rows = Rows { names: Vec::new(), batches: Vec::new(), more: false };
    let (mut count, mut received) = (0, 0);
    while let Some(bytes) = answer.body.next().await {
        let bytes = bytes?;
        received += bytes.len();
        let mut buffer = Buffer::from(bytes);
        while !buffer.is_empty() {
            let Some(batch) = decoder.decode(&mut buffer).map_err(|error| odd(&error))? else { continue };
            let room = most.map_or(usize::MAX, |most| most - count);
            rows.more = batch.num_rows() > room;
            let kept = batch.slice(0, batch.num_rows().min(room));
            count += kept.num_rows();
            rows.batches.push(kept);
            if rows.more {
                break;
            }
        }
        waiting.moved(Some(count), received);
        if rows.more {
            break;
        }
    }
    if !rows.more {
        decoder.finish().map_err(|error| odd(&error))?;
    }
    let schema = decoder.schema().ok_or_else(|| odd("it holds no columns"))?;
    rows.names = schema.fields().iter().map(|field| field.name().clone()).collect();
    Ok(rows)
}

fn odd(error: &(impl std::fmt::Display + ?Sized)) -> Error {
    Error::environment("MW1009", format!("the server's answer is not understood: {error}"))
}

/// Data does not move the cursor or colour the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
