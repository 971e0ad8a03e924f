//! How runs go: bars on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use meshwork_control::port::data::Phase;

use super::Printer;

/// Progress of several products.
pub struct Progress {
    printer: Printer,
    bars: Option<MultiProgress>,
    products: BTreeMap<String, Product>,
    width: usize,
}

struct Product {
    bar: Option<ProgressBar>,
    began: Instant,
    outputs: BTreeMap<String, (Phase, u64, u64)>,
    /// Off a terminal: what was last said.
    said: Option<Phase>,
}

impl Progress {
    pub fn new(printer: &Printer, names: &[String]) -> Self {
        let bars = printer.draws().then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        let width = names.iter().map(String::len).max().unwrap_or(0);
        Self { printer: printer.clone(), bars, products: BTreeMap::new(), width }
    }

    #[allow(clippy::disallowed_methods, reason = "only shown, never decided on")]
    pub fn started(&mut self, product: &str) {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {prefix} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(format!("{product:<width$}", width = self.width));
            bar.set_message("starting");
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let began = Instant::now();
        self.products.insert(product.to_owned(), Product { bar, began, outputs: BTreeMap::new(), said: None });
    }

    pub fn moved(&mut self, product: &str, output: &str, phase: Phase, rows: u64, bytes: u64) {
        let Some(state) = self.products.get_mut(product) else { return };
        state.outputs.insert(output.to_owned(), (phase, rows, bytes));
        let (phase, rows, bytes) =
            state.outputs.values().fold((Phase::Committing, 0, 0), |(p, r, b), (phase, rows, bytes)| {
                (earlier(p, *phase), r + rows, b + bytes)
            });
        let seconds = state.began.elapsed().as_secs_f64().max(0.001);
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rate = (rows as f64 / seconds) as u64;
        let text = format!(
            "{:<10} {:>11} rows {:>10}  {:>9} rows/s",
            word(phase),
            HumanCount(rows).to_string(),
            HumanBytes(bytes).to_string(),
            HumanCount(rate).to_string()
        );
        match &state.bar {
            Some(bar) => bar.set_message(text),
            None if state.said != Some(phase) => {
                state.said = Some(phase);
                self.printer.note(&format!("{product}: {} ({rows} rows, {bytes} bytes)", word(phase)));
            }
            None => {}
        }
    }

    /// The last word on a product.
    pub fn ended(&mut self, product: &str, line: &str) {
        if let Some(Product { bar: Some(bar), .. }) = self.products.remove(product) {
            bar.finish_and_clear();
        }
        self.say(line);
    }

    /// A line above the bars.
    pub fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(line);
            }
            None => self.printer.note(line),
        }
    }
}

/// One wait of unknown length: a line with rows, bytes and rate, on a terminal and only after the first second.
pub struct Waiting {
    bar: ProgressBar,
    began: Instant,
    /// Shows the bar when the second is over.
    show: Option<tokio::task::AbortHandle>,
}

impl Waiting {
    #[allow(clippy::disallowed_methods, reason = "only shown, never decided on")]
    pub fn new(printer: &Printer, what: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {prefix} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_owned());
        let show = printer.draws().then(|| {
            let bar = bar.clone();
            let shown = async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
                bar.enable_steady_tick(Duration::from_millis(120));
            };
            tokio::spawn(shown).abort_handle()
        });
        Self { bar, began: Instant::now(), show }
    }

    /// What has arrived so far.
    pub fn moved(&self, rows: Option<usize>, bytes: usize) {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rate = |count: usize| (count as f64 / seconds) as u64;
        let bytes_shown = format!("{} {}/s", HumanBytes(bytes as u64), HumanBytes(rate(bytes)));
        self.bar.set_message(match rows {
            Some(rows) => format!("{} rows  {bytes_shown}  {} rows/s", HumanCount(rows as u64), HumanCount(rate(rows))),
            None => bytes_shown,
        });
    }

    /// Prints something while the line is away.
    pub fn apart(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(show) = &self.show {
            show.abort();
        }
        self.bar.finish_and_clear();
    }
}

fn earlier(a: Phase, b: Phase) -> Phase {
    let rank = |phase| match phase {
        Phase::Reading => 0,
        Phase::Checking => 1,
        Phase::Staged => 2,
        Phase::Committing => 3,
    };
    if rank(a) <= rank(b) { a } else { b }
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Reading => "reading",
        Phase::Checking => "checking",
        Phase::Staged => "staged",
        Phase::Committing => "committing",
    }
}

/// Bytes of something whose end is not known, with their rate; shown once it takes longer than a moment.
pub struct Counter(ProgressBar);

impl Counter {
    pub fn new(printer: &Printer, what: &str) -> Self {
        let target =
            if printer.draws() { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg} {bytes} ({bytes_per_sec})") {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Self(bar)
    }

    pub fn set(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    pub fn end(self) {
        self.0.finish_and_clear();
    }
}
