//! `meshwork logs RUN`

use clap::Args;
use meshwork_core::error::Result;
use serde_json::Value;

use super::{Context, run};
use crate::client::{Call, encoded};
use crate::exit;
use crate::output::column;

#[derive(Debug, Args)]
pub struct Logs {
    /// A run's id, or a product for its newest run
    run: String,
    /// Only the log lines, without the report
    #[arg(long)]
    plain: bool,
}

impl Logs {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client().await?;
        let id = run::id_of(&client, &self.run).await?;
        let lines = client.json(Call::get(format!("runs/{}/log", encoded(&id)))).await?;
        let lines = lines.as_array().cloned().unwrap_or_default();
        let printer = &context.printer;
        if !printer.is_for_people() {
            printer.list(&lines, &[column("at", "at"), column("level", "level"), column("line", "line")]);
            return Ok(exit::OK);
        }
        for line in &lines {
            let text = |key| line.get(key).and_then(Value::as_str).unwrap_or_default();
            printer.line(&format!("{} {:<6} {}", printer.dim(text("at")), text("level"), text("line")));
        }
        if !self.plain {
            run::show(context, &client, &id).await?;
        }
        Ok(exit::OK)
    }
}
