//! `meshwork maintain`, `meshwork jobs`

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;
use meshwork_core::contract::duration;
use meshwork_core::error::{Error, Kind, Result};
use serde_json::{Value, json};

use super::run::Lines;
use super::{Context, complete};
use crate::client::{Call, NDJSON};
use crate::exit;
use crate::output::{Printer, column};

#[derive(Debug, Args)]
pub struct Maintain {
    /// `domain.product`, `domain` or `all`
    #[arg(default_value = "all", value_name = "SELECTOR", add = ArgValueCandidates::new(complete::products))]
    products: Vec<String>,
    /// Only this; both unless one is named
    #[arg(long, value_enum, value_name = "TASK")]
    only: Vec<Task>,
    /// Only say what would be done, and how many bytes it would free
    #[arg(long)]
    dry_run: bool,
    /// Keep publications for so long, instead of what the manifests say: `7 days`, `0s`
    #[arg(long, value_name = "DURATION")]
    retention: Option<String>,
    /// Also for a retention below an hour: time travel is then gone at once
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Task {
    /// Small files become few larger ones
    Compact,
    /// What no kept publication needs is removed
    Vacuum,
}

impl Maintain {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let tasks: Vec<&str> = self.only.iter().map(|task| task.as_str()).collect();
        let retention = self.retention.as_deref().map(seconds).transpose()?;
        let client = context.client().await?;
        let asked = json!({
            "products": self.products, "tasks": tasks, "dry_run": self.dry_run, "retention": retention, "force": self.force,
        });
        let call = Call::post("maintenance", asked).accept(NDJSON);
        let mut lines = Lines::of(client.call(call).await?.body);
        let printer = &context.printer;
        let (mut something, mut failed) = (false, 0);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await? {
            let done: Value = serde_json::from_slice(&line)
                .map_err(|error| Error::environment("MW1009", format!("an answer is not understood: {error}")))?;
            failed += usize::from(!done["error"].is_null());
            if printer.is_for_people() {
                if let Some(told) = told(&done, self.dry_run, printer) {
                    something = true;
                    printer.line(&told);
                }
            } else {
                all.push(done);
            }
        }
        if !printer.is_for_people() {
            printer.item(&json!(all));
        } else if !something {
            printer.note("nothing to do");
        }
        match failed {
            0 => Ok(exit::OK),
            n => Err(Error::new(Kind::Partial, "MW1109", format!("{n} tables could not be looked after"))),
        }
    }
}

impl Task {
    fn as_str(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Vacuum => "vacuum",
        }
    }
}

fn seconds(text: &str) -> Result<u64> {
    let seconds = duration::seconds(text, None);
    seconds.map(|seconds| seconds as u64).ok_or_else(|| {
        Error::usage("MW1003", format!("--retention {}: it is not a length of time", text.escape_debug()))
            .hint("write a number and a unit: `7 days`, `12h`, `0s`")
    })
}

/// What was done to one table in words; `None` where it was nothing.
fn told(done: &Value, dry_run: bool, printer: &Printer) -> Option<String> {
    let number = |key: &str| done[key].as_u64().unwrap_or(0);
    let (table, task) = (done["table"].as_str().unwrap_or_default(), done["task"].as_str().unwrap_or_default());
    let former = done["former"].as_str().map(|place| format!(" in {place}")).unwrap_or_default();
    let table = format!("{table}{former}");
    if let Some(error) = done["error"]["detail"].as_str() {
        return Some(format!("{} {table}: {error}", printer.bad("failed")));
    }
    if let Some(because) = done["skipped"].as_str() {
        return Some(format!("{} {table}: {task}: {because}", printer.warn("skipped")));
    }
    let mut parts = Vec::new();
    if number("files") > 0 {
        let what = match (task, dry_run) {
            ("compact", false) => "small files written together",
            ("compact", true) => "small files would be written together",
            (_, false) => "files removed",
            (_, true) => "files would be removed",
        };
        parts.push(format!("{} {what} ({})", number("files"), bytes(number("bytes"))));
    }
    if number("log_files") > 0 {
        parts.push(format!("{} log entries ({})", number("log_files"), bytes(number("log_bytes"))));
    }
    if number("expired") > 0 {
        let since = done["oldest"].as_str().unwrap_or("now");
        parts.push(format!("{} publications expired, time travel reaches back to {since}", number("expired")));
    }
    if number("held") > 0 {
        parts.push(format!("{} old versions kept for their readers", number("held")));
    }
    (!parts.is_empty()).then(|| format!("{} {table}: {}", printer.good(task), parts.join(", ")))
}

fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[derive(Debug, Args)]
pub struct Jobs {}

impl Jobs {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client().await?;
        let columns = [
            column("product", "product"),
            column("task", "task"),
            column("state", "state"),
            column("next", "next"),
            column("finished", "finished_at"),
            column("files", "last.0.files"),
            column("error", "last.0.error.detail"),
        ];
        let jobs = client.all("jobs").await?;
        context.printer.list(&jobs, &columns);
        if jobs.is_empty() {
            context
                .printer
                .note("jobs run in the background of `meshwork serve`; `meshwork maintain` does their work now");
        }
        Ok(exit::OK)
    }
}
