//! `meshwork run SELECTOR`, `meshwork runs`

mod quarantine;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use futures::StreamExt;
use meshwork_control::run::RunUpdate;
use meshwork_core::error::{Error, Kind, Result, Severity};
use meshwork_core::quality::{ClauseResult, Outcome, RowSample};
use meshwork_core::run::RunReport;
use serde_json::{Value, json};

use super::{Context, complete};
use crate::client::{ByteStream, Call, Client, NDJSON, encoded};
use crate::exit;
use crate::output::progress::Progress;
use crate::output::{Printer, column, count};

#[derive(Debug, Args)]
pub struct Run {
    /// `domain.product`, `domain` or `all`
    #[arg(required = true, value_name = "SELECTOR", add = ArgValueCandidates::new(complete::products))]
    products: Vec<String>,
    /// Also what these read from, as far as you own it
    #[arg(long)]
    upstream: bool,
    /// Builds outputs of mode `append` and `merge` anew from everything there is
    #[arg(long)]
    full_refresh: bool,
}

impl Run {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client().await?;
        let ended = run(context, &client, &self.products, self.upstream, self.full_refresh).await?;
        ended.into_result().map(|()| exit::OK)
    }
}

/// What became of the products of one call.
#[derive(Debug, Default)]
pub struct Ended {
    /// With those for which nothing was new.
    pub published: Vec<String>,
    pub failures: Vec<Error>,
    /// Rows that a release left in quarantine.
    pub stayed: u64,
}

impl Ended {
    pub fn into_result(mut self) -> Result<()> {
        match (self.published.len(), self.failures.len()) {
            (_, 0) => Ok(()),
            (0, 1) => Err(self.failures.remove(0)),
            (0, n) => {
                let worst = self.failures.iter().map(|error| error.kind).find(|kind| *kind != Kind::Check);
                Err(Error::new(worst.unwrap_or(Kind::Check), "MW1019", format!("none of {n} products was published")))
            }
            (m, n) => Err(Error::new(Kind::Partial, "MW1019", format!("{m} published, {n} not"))),
        }
    }
}

/// Runs products and shows how it goes.
pub async fn run(
    context: &Context,
    client: &Client,
    products: &[String],
    upstream: bool,
    full_refresh: bool,
) -> Result<Ended> {
    let asked = json!({"products": products, "upstream": upstream, "full_refresh": full_refresh});
    follow(context, client, Call::post("runs", asked).accept(NDJSON)).await
}

/// Shows how runs go that a call has started.
pub async fn follow(context: &Context, client: &Client, call: Call) -> Result<Ended> {
    let mut lines = Lines::of(client.call(call).await?.body);
    let printer = &context.printer;
    let mut progress = Progress::new(printer, &[]);
    let mut ended = Ended::default();
    let mut complete = false;
    while let Some(line) = lines.next().await? {
        if !printer.is_for_people() {
            printer.line(&String::from_utf8_lossy(&line));
        }
        let update: RunUpdate = serde_json::from_slice(&line)
            .map_err(|error| Error::environment("MW1009", format!("an update is not understood: {error}")))?;
        complete |= matches!(update, RunUpdate::Finished { .. });
        show_update(context, &mut progress, &mut ended, update);
    }
    if !complete {
        return Err(Error::environment("MW1008", "the server went away before the runs were over")
            .hint("`meshwork runs` shows what became of them"));
    }
    Ok(ended)
}

fn show_update(context: &Context, progress: &mut Progress, ended: &mut Ended, update: RunUpdate) {
    let printer = &context.printer;
    match update {
        RunUpdate::Planned { products } => *progress = Progress::new(printer, &products),
        RunUpdate::Skipped { product, because } => {
            progress.ended(&product, &format!("{} {product}: {}", printer.warn("skipped"), because.message));
            if because.code == "MW0661" {
                ended.failures.push(because);
            }
        }
        RunUpdate::Stale { product, upstream } => {
            let what = "reads the last publication of";
            progress.say(&format!("{} {product}: {what} {upstream}, which did not publish now", printer.warn("note")));
        }
        RunUpdate::Started { product, .. } => progress.started(&product),
        RunUpdate::Progress { product, output, phase, rows, bytes, .. } => {
            progress.moved(&product, &output, phase, rows, bytes);
        }
        RunUpdate::Log { product, level, line, .. } => {
            if context.config.verbose > 0 {
                progress.say(&printer.dim(&format!("{product} {level}: {line}")));
            }
        }
        RunUpdate::Checked { passed, report, .. } => {
            let mut shown = if passed { warnings(&report, printer) } else { render_report(&report, printer) };
            if passed {
                shown += &quarantine::lines(&report, printer);
            }
            ended.stayed += quarantine::stayed(&report);
            if !shown.is_empty() {
                progress.say(shown.trim_end());
            }
        }
        RunUpdate::Published { product, outputs, .. } => {
            let rows: u64 = outputs.iter().map(|output| output.rows).sum();
            progress.ended(&product, &format!("{} {product}: {}", printer.good("published"), count(rows, "row")));
            ended.published.push(product);
        }
        RunUpdate::Unchanged { product, .. } => {
            let why = if ended.stayed > 0 { "no row passes" } else { "nothing is new" };
            progress.ended(&product, &format!("{} {product}: {why}", printer.good("unchanged")));
            ended.published.push(product);
        }
        RunUpdate::Blocked { product, run, error } => {
            let line = format!("{} {product}: {} (run {run})", printer.bad("blocked"), error.message);
            progress.ended(&product, &line);
            ended.failures.push(error);
        }
        RunUpdate::Failed { product, error, .. } => {
            progress.ended(&product, &format!("{} {product}: {error}", printer.bad("failed")));
            ended.failures.push(error);
        }
        RunUpdate::Finished { .. } => {}
    }
}

/// Lines of a stream of bytes.
pub struct Lines {
    body: ByteStream,
    rest: Vec<u8>,
}

impl Lines {
    pub fn of(body: ByteStream) -> Self {
        Self { body, rest: Vec::new() }
    }

    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.rest.drain(..=end).collect();
                line.pop();
                return Ok(Some(line));
            }
            match self.body.next().await {
                Some(bytes) => self.rest.extend_from_slice(&bytes?),
                None => return Ok(None),
            }
        }
    }
}

fn warnings(report: &RunReport, printer: &Printer) -> String {
    let clauses = report.outputs.iter().flat_map(|o| o.clauses.iter().map(move |c| (o.name.as_str(), c)));
    let failing = clauses.filter(|(_, clause)| clause.outcome != Outcome::Pass);
    failing.map(|(output, clause)| clause_lines(output, clause, printer)).collect()
}

/// Every clause that did not pass with where its failing rows stand, then how many passed.
pub fn render_report(report: &RunReport, printer: &Printer) -> String {
    let mut text = warnings(report, printer);
    for output in &report.outputs {
        let passed = output.clauses.iter().filter(|clause| clause.outcome == Outcome::Pass).count();
        text +=
            &format!("  {} {passed} of {} clauses of {} pass\n", printer.good("✓"), output.clauses.len(), output.name);
    }
    text + &quarantine::lines(report, printer)
}

pub fn clause_lines(output: &str, clause: &ClauseResult, printer: &Printer) -> String {
    let (mark, because) = match &clause.outcome {
        Outcome::Pass => (printer.good("✓"), String::new()),
        Outcome::Fail if clause.severity == Severity::Error => (printer.bad("✗"), String::new()),
        Outcome::Fail => (printer.warn("!"), String::new()),
        Outcome::Error { because } => (printer.bad("✗"), format!(" could not be checked: {because}")),
        Outcome::NotEvaluated { because } if *because == clause.message => {
            (printer.warn("-"), " (not evaluated)".to_owned())
        }
        Outcome::NotEvaluated { because } => (printer.warn("-"), format!(" not evaluated: {because}")),
    };
    let severity = match clause.severity {
        Severity::Error => "",
        Severity::Warning => " (warning)",
        Severity::Info => " (info)",
    };
    let mut text =
        format!("  {mark} {output}: {}{severity}: {}{because}\n", printer.bold(&clause.clause), clause.message);
    for sample in &clause.samples {
        text += &format!("      {}\n", sample_line(sample, printer));
    }
    if let Some(more) = clause.failing_rows.and_then(|n| n.checked_sub(clause.samples.len() as u64))
        && more > 0
        && !clause.samples.is_empty()
    {
        text += &printer.dim(&format!("      and {more} more\n"));
    }
    text
}

/// `leads.csv:17  score=140 source=fax`
fn sample_line(sample: &RowSample, printer: &Printer) -> String {
    let place = match (&sample.source, sample.row) {
        (Some(source), Some(row)) => format!("{source}:{row}"),
        (Some(source), None) => source.clone(),
        (None, Some(row)) => format!("row {row}"),
        (None, None) => String::new(),
    };
    let values = sample.values.iter().map(|(column, value)| match value {
        Some(value) => format!("{column}={}", value.escape_debug()),
        None => format!("{column} is null"),
    });
    format!("{}  {}", printer.bold(&place), values.collect::<Vec<_>>().join(" ")).trim().to_owned()
}

#[derive(Debug, Args)]
pub struct Runs {
    /// A run's id to see it with its report
    run: Option<String>,
    /// Only of this product (`domain.product`)
    #[arg(long)]
    product: Option<String>,
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

impl Runs {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client().await?;
        if let Some(run) = &self.run {
            let id = id_of(&client, run).await?;
            show(context, &client, &id).await?;
            return Ok(exit::OK);
        }
        let product = self.product.map(|product| format!("&product={}", encoded(&product))).unwrap_or_default();
        let (runs, more) = client.first(&format!("runs?{}", product.trim_start_matches('&')), self.limit).await?;
        let columns = [
            column("id", "id"),
            column("product", "product"),
            column("state", "state"),
            column("started", "started_at"),
            column("by", "actor"),
            column("error", "error.detail"),
        ];
        context.printer.list(&runs, &columns);
        if more {
            context.printer.note(&format!("the newest {}; `--limit N` shows more", runs.len()));
        }
        Ok(exit::OK)
    }
}

/// A run by its id, or the newest of a product.
pub async fn id_of(client: &Client, text: &str) -> Result<String> {
    if !text.contains('.') {
        return Ok(text.to_owned());
    }
    let page = client.json(Call::get(format!("runs?limit=1&product={}", encoded(text)))).await?;
    page.pointer("/items/0/id")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| Error::not_found("MW1020", format!("`{}` has not run yet", text.escape_debug())))
}

/// One run with its report.
pub async fn show(context: &Context, client: &Client, id: &str) -> Result<()> {
    let printer = &context.printer;
    let mut run = client.json(Call::get(format!("runs/{}", encoded(id)))).await?;
    let quality = client.json(Call::get(format!("runs/{}/quality", encoded(id)))).await?;
    let report = quality.get("report").cloned().unwrap_or(Value::Null);
    if !printer.is_for_people() {
        run["report"] = report;
        printer.item(&run);
        return Ok(());
    }
    printer.item(&run);
    if let Ok(report) = serde_json::from_value::<RunReport>(report) {
        for output in &report.outputs {
            printer.line(&format!("\n{}: {} rows, {} bytes", printer.bold(&output.name), output.rows, output.bytes));
        }
        printer.raw(&render_report(&report, printer));
        for (phase, milliseconds) in &report.timings {
            printer.line(&printer.dim(&format!("  {phase}: {milliseconds} ms")));
        }
    }
    Ok(())
}
