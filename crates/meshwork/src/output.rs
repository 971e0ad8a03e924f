//! One printer for all commands: data to standard output in the chosen format, everything else to standard error.

mod failure;
pub mod progress;
mod table;
mod yaml;

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use meshwork_core::error::Error;
use serde_json::Value;

pub use table::{Column, column};

use crate::config::Config;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Jsonl,
    Yaml,
    Csv,
    /// Only for `sql`
    Parquet,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// `1 row`, `2 rows`; `what` is in the singular.
pub fn count(n: impl TryInto<u64>, what: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[derive(Clone, Debug)]
pub struct Printer {
    pub format: Format,
    pub color: bool,
    quiet: bool,
}

impl Printer {
    pub fn new(config: &Config) -> Self {
        Self { format: config.format.unwrap_or(Format::Table), color: config.color, quiet: config.quiet }
    }

    /// A list, one line an item.
    pub fn list(&self, items: &[Value], columns: &[Column]) {
        match self.format {
            Format::Table if items.is_empty() => self.note("nothing to show"),
            Format::Table => self.raw(&table::render(items, columns, self.color)),
            Format::Csv => self.raw(&table::csv(items, columns)),
            Format::Jsonl => items.iter().for_each(|item| self.line(&item.to_string())),
            Format::Json | Format::Yaml | Format::Parquet => self.document(&Value::Array(items.to_vec())),
        }
    }

    /// One thing with its parts. As a table it is shown as YAML, which reads well.
    pub fn item(&self, item: &Value) {
        match self.format {
            Format::Jsonl => self.line(&item.to_string()),
            Format::Csv => self.raw(&table::csv(std::slice::from_ref(item), &table::columns_of(item))),
            Format::Table => self.raw(&yaml::render(item)),
            Format::Json | Format::Yaml | Format::Parquet => self.document(item),
        }
    }

    fn document(&self, value: &Value) {
        match self.format {
            Format::Yaml => self.raw(&yaml::render(value)),
            _ => self.line(&serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())),
        }
    }

    /// Whether a person reads: words are then better than documents.
    pub fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// What a command did, in words: not with `-q`.
    pub fn told(&self, text: &str) {
        if !self.quiet {
            self.raw(text);
        }
    }

    /// Data for a person; other formats print documents instead.
    pub fn line(&self, text: &str) {
        self.raw(text);
        self.raw("\n");
    }

    pub fn raw(&self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// To standard output. A reader that has gone away (`| head`) ends the process quietly.
    pub fn bytes(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
            let quiet = error.kind() == std::io::ErrorKind::BrokenPipe;
            if !quiet {
                self.complain(&format!("standard output: {error}"));
            }
            std::process::exit(if quiet { 0 } else { 3 });
        }
    }

    /// What is good to know, for people: to standard error, not with `-q`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.complain(text);
        }
    }

    pub fn error(&self, error: &Error) {
        self.complain(failure::render(error, self.color).trim_end());
    }

    /// With the place in the statement that it is about.
    pub fn error_in(&self, error: &Error, statement: &str) {
        self.complain(failure::render_in(error, statement, self.color).trim_end());
    }

    /// To standard error, also with `-q`.
    pub fn complain(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _ = writeln!(err, "{text}");
    }

    /// Whether progress may be drawn over and over on one line.
    pub fn draws(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    pub fn bold(&self, text: &str) -> String {
        self.styled(anstyle::Style::new().bold(), text)
    }

    pub fn good(&self, text: &str) -> String {
        self.styled(anstyle::AnsiColor::Green.on_default().bold(), text)
    }

    pub fn bad(&self, text: &str) -> String {
        self.styled(anstyle::AnsiColor::Red.on_default().bold(), text)
    }

    pub fn warn(&self, text: &str) -> String {
        self.styled(anstyle::AnsiColor::Yellow.on_default().bold(), text)
    }

    pub fn dim(&self, text: &str) -> String {
        self.styled(anstyle::Style::new().dimmed(), text)
    }

    fn styled(&self, style: anstyle::Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}
