//! `meshwork sql [-c SQL | -f FILE]`: one statement, or the shell.

pub(super) mod answer;
mod shell;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use meshwork_core::error::{Error, Result};
use serde_json::json;

use super::Context;
use crate::client::Call;
use crate::exit;
use crate::output::Format;

/// What the server takes as one statement; more is refused here, before it travels.
const STATEMENT_LIMIT: u64 = 64 << 20;

#[derive(Debug, Args)]
pub struct Sql {
    /// The statement. Without one, on a terminal, a shell opens
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

/// What statements are sent with.
#[derive(Clone, Debug, Default)]
struct Settings {
    purpose: Option<String>,
    as_of: Option<String>,
}

impl Settings {
    fn call(&self, sql: &str) -> Call {
        Call::post("query", json!({"sql": sql, "purpose": self.purpose, "as_of": self.as_of}))
    }
}

impl Sql {
    /// Nothing to run is given, and somebody can type it.
    pub fn is_shell(&self, context: &Context) -> bool {
        self.statement.is_none()
            && self.file.is_none()
            && !context.config.no_input
            && std::io::stdin().is_terminal()
            && std::io::stdout().is_terminal()
    }

    pub fn shell(self, context: &Context, runtime: &tokio::runtime::Runtime) -> Result<u8> {
        refuse_parquet(context)?;
        shell::run(context, runtime, Settings { purpose: self.purpose, as_of: self.as_of })
    }

    pub async fn run(self, context: &Context) -> Result<u8> {
        let sql = self.text()?;
        refuse_parquet(context)?;
        let client = context.client().await?;
        let settings = Settings { purpose: self.purpose, as_of: self.as_of };
        match answer::show(&client, settings.call(&sql), &context.printer, None).await {
            Ok(()) => Ok(exit::OK),
            Err(error) => {
                let code = exit::code(error.kind);
                context.printer.error_in(&error, &sql);
                Ok(code)
            }
        }
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

fn refuse_parquet(context: &Context) -> Result<()> {
    if context.printer.format == Format::Parquet && std::io::stdout().is_terminal() {
        let error = Error::usage("MW1003", "Parquet on a terminal shows nothing");
        return Err(error.hint("redirect it: `> result.parquet`"));
    }
    Ok(())
}
