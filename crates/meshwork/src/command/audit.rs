//! `meshwork audit query|verify|erase`

use clap::{Args, Subcommand};
use meshwork_core::error::{Error, Result};
use serde_json::Value;

use super::{Context, access};
use crate::client::{Call, encoded};
use crate::exit;
use crate::output::column;

#[derive(Debug, Args)]
pub struct Audit {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Records, in order
    Query {
        /// Of this actor or subject: `user:ana`
        #[arg(long)]
        principal: Option<String>,
        /// Of which kind, such as `query_intent`
        #[arg(long)]
        kind: Option<String>,
        /// About this table (`domain.output`)
        #[arg(long)]
        table: Option<String>,
        /// From this moment on
        #[arg(long, value_name = "WHEN")]
        since: Option<String>,
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Check that no record was changed, removed or put in
    Verify,
    /// Forget a person, for good: its records stay, but nobody can tell any more whose they are
    Erase {
        /// `user:ana`
        principal: String,
        /// That this cannot be undone is known
        #[arg(long)]
        yes: bool,
    },
}

impl Audit {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client().await?;
        match self.what {
            What::Query { principal, kind, table, since, limit } => {
                let since = since.as_deref().map(access::moment).transpose()?.map(|at| at.to_rfc3339());
                let given = [("principal", principal), ("kind", kind), ("table", table), ("since", since)];
                let query: Vec<String> =
                    given.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", encoded(&value?)))).collect();
                let path = format!("audit?{}", query.join("&"));
                let records = match limit {
                    Some(limit) => client.first(&path, limit).await?.0,
                    None => client.all(&path).await?,
                };
                let columns = [
                    column("sequence", "sequence"),
                    column("at", "at"),
                    column("actor", "actor"),
                    column("subject", "subject"),
                    column("event", "event"),
                    column("query", "query"),
                    column("tables", "tables"),
                ];
                context.printer.list(&records, &columns);
                Ok(exit::OK)
            }
            What::Erase { principal, yes } => {
                if !yes {
                    let message = format!("{} would be erased from the audit log for good", principal.escape_debug());
                    return Err(Error::usage("MW1041", message).hint("say `--yes` to do it"));
                }
                client.json(Call::delete(format!("audit/principals/{}", encoded(&principal)))).await?;
                context.printer.note("erased; the log still verifies");
                Ok(exit::OK)
            }
            What::Verify => {
                let found = client.json(Call::get("audit/verify")).await?;
                context.printer.item(&found);
                let whole = ["ok", "valid", "intact"].iter().find_map(|key| found.get(key).and_then(Value::as_bool));
                match whole {
                    Some(false) => Err(Error::check("MW1017", "the audit trail does not verify")),
                    _ => Ok(exit::OK),
                }
            }
        }
    }
}
