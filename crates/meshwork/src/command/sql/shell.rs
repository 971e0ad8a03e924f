//! The interactive shell: reads statements and directives, shows answers, until it is told to stop.
//!
//! The state is opened for each statement and let go of again, so that a shell that waits for its user keeps nobody else
//! from running or applying.

mod directive;
mod history;
mod input;
mod key;
mod line;
mod statement;
mod words;

use std::future::Future;
use std::time::{Duration, Instant};

use meshwork_core::error::{Error, Result};
use serde_json::Value;
use tokio::runtime::Runtime;

use self::directive::{DIRECTIVES, Directive};
use self::input::{Input, Typed};
use self::words::Words;
use super::{Settings, answer};
use crate::client::Client;
use crate::command::Context;
use crate::exit;
use crate::output::{Format, Printer};

/// Every column that the principal may query: what `.tables`, `.schema` and completion know.
const COLUMNS: &str = "SELECT table_schema, table_name, column_name, data_type, is_nullable \
    FROM information_schema.columns \
    WHERE table_schema NOT IN ('information_schema', 'pg_catalog') \
    ORDER BY table_schema, table_name, ordinal_position";

/// Rows of a table that are shown, unless `.rows` says another number.
const ROWS: usize = 1000;

struct Shell<'a> {
    context: &'a Context,
    runtime: &'a Runtime,
    settings: Settings,
    printer: Printer,
    timer: bool,
    most: Option<usize>,
}

pub fn run(context: &Context, runtime: &Runtime, settings: Settings) -> Result<u8> {
    let printer = context.printer.clone();
    let mut shell = Shell { context, runtime, settings, printer, timer: false, most: Some(ROWS) };
    // Also finds out whether anybody answers, before the first prompt.
    let words = shell.words()?;
    let mut input = Input::new(context.config.history.as_deref(), words);
    shell.printer.note("`.help` for help, `.quit` or ctrl-d to leave; statements end with `;`");
    loop {
        match input.read()? {
            Typed::Text(text) => {
                for part in statement::split(&text) {
                    if !shell.part(&part, &mut input) {
                        return Ok(exit::OK);
                    }
                }
            }
            Typed::Nothing => {}
            Typed::Leave => return Ok(exit::OK),
        }
    }
}

impl Shell<'_> {
    /// False: leave.
    fn part(&mut self, text: &str, input: &mut Input) -> bool {
        let done = if directive::is_one(text) {
            match Directive::parse(text) {
                Ok(Directive::Quit) => return false,
                Ok(directive) => self.directive(&directive, input),
                Err(error) => Err(error),
            }
        } else {
            self.timed(|shell| shell.answer(text))
        };
        if let Err(error) = done {
            self.printer.error_in(&error, text);
        }
        true
    }

    fn directive(&mut self, directive: &Directive, input: &mut Input) -> Result<()> {
        match directive {
            Directive::Help => {
                let width = DIRECTIVES.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
                for (name, what) in DIRECTIVES {
                    self.printer.line(&format!("{name:<width$}  {what}"));
                }
            }
            Directive::Tables => {
                let words = self.words()?;
                words.tables().for_each(|(table, _)| self.printer.line(table));
                if words.is_empty() {
                    self.printer.note("there is no table that you may query");
                }
                input.know(words);
            }
            Directive::Schema(table) => {
                let words = self.words()?;
                let columns = words.columns(table).ok_or_else(|| {
                    Error::not_found(
                        "MW1051",
                        format!("there is no table `{}` that you may query", table.escape_debug()),
                    )
                    .hint("`.tables` lists them")
                })?;
                let width = columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
                for column in columns {
                    let required = if column.nullable { "" } else { "  not null" };
                    self.printer.line(&format!("{:<width$}  {}{required}", column.name, column.kind));
                }
                input.know(words);
            }
            Directive::Timer(on) => self.timer = *on,
            Directive::Mode(format) => self.printer.format = *format,
            Directive::Rows(most) => self.most = *most,
            Directive::Purpose(purpose) => self.settings.purpose.clone_from(purpose),
            Directive::AsOf(moment) => self.settings.as_of.clone_from(moment),
            Directive::Quit => {}
        }
        Ok(())
    }

    #[allow(clippy::disallowed_methods, reason = "only shown, never decided on")]
    fn timed(&mut self, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let began = Instant::now();
        let done = work(self);
        if self.timer {
            self.printer.note(&format!("{:.3} s", began.elapsed().as_secs_f64()));
        }
        done
    }

    fn answer(&self, sql: &str) -> Result<()> {
        let (call, most) = (self.settings.call(sql), self.most);
        self.call(async |client| answer::show(&client, call, &self.printer, most).await)
    }

    fn words(&self) -> Result<Words> {
        let call = Settings::default().call(COLUMNS);
        let found = self.call(async |client| client.json(call).await)?;
        Ok(Words::of(found["rows"].as_array().map_or(&[], |rows: &Vec<Value>| rows)))
    }

    /// Works with the API until it is done or ctrl-c is pressed. What was under way is then dropped, and with it the
    /// execution of the statement, here or on the server.
    fn call<T>(&self, work: impl AsyncFnOnce(Client) -> Result<T>) -> Result<T> {
        let context = Context::new(self.context.config.clone());
        self.runtime.block_on(async {
            let done = until_interrupted(async { work(context.client().await?).await }).await;
            // Time to leave word in the audit log of what was cancelled.
            if done.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            context.close().await;
            done
        })
    }
}

async fn until_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => {
            Err(Error::new(meshwork_core::error::Kind::Interrupted, "MW1010", "cancelled"))
        }
    }
}
