//! `meshwork explain CODE`

use clap::Args;
use meshwork_core::codes;
use meshwork_core::error::{Error, Result};
use serde_json::json;

use super::Context;
use crate::exit;

#[derive(Debug, Args)]
pub struct Explain {
    /// Such as MW0659; without one, every code with its title
    code: Option<String>,
}

impl Explain {
    pub fn run(&self, context: &Context) -> Result<u8> {
        let printer = &context.printer;
        let Some(code) = &self.code else {
            let codes: Vec<_> = codes::all().map(|info| json!({"code": info.code, "title": info.title})).collect();
            printer.list(&codes, &[crate::output::column("code", "code"), crate::output::column("title", "title")]);
            return Ok(exit::OK);
        };
        let info = codes::find(code).ok_or_else(|| {
            Error::not_found("MW1001", format!("there is no code `{}`", code.escape_debug()))
                .hint("codes look like MW0123; `meshwork explain` lists all")
        })?;
        if printer.is_for_people() {
            printer.line(&format!("{}: {}\n\n{}", printer.bold(info.code), info.title, info.help));
        } else {
            printer.item(&json!({"code": info.code, "title": info.title, "help": info.help}));
        }
        Ok(exit::OK)
    }
}
