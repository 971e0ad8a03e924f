//! `meshwork collect`

use clap::Args;
use meshwork_core::error::{Error, Result};
use serde_json::json;

use super::Context;
use crate::compose::Reach;
use crate::exit;

#[derive(Debug, Args)]
pub struct Collect {}

impl Collect {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let Reach::Embedded(platform) = context.reach().await? else {
            return Err(Error::conflict("MW1011", "the server collects by itself while it runs")
                .hint("stop the server to collect by hand"));
        };
        let collected = platform.app.runs.collect().await?;
        for part in &collected {
            context.printer.note(&format!("{}: {} files removed", part.product, part.files.len()));
        }
        if !context.printer.is_for_people() {
            context.printer.item(&json!({"collected": collected}));
        } else if collected.is_empty() {
            context.printer.note("nothing to collect");
        }
        Ok(exit::OK)
    }
}
