//! `meshwork audit query|verify|checkpoint|prove|erase`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use meshwork_control::audit::Proof;
use meshwork_core::audit::checkpoint::Verifier;
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
    Verify {
        /// A checkpoint from before, kept elsewhere: the log must still begin with what it says
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// Check this proof of one record instead; needs neither the log nor a server
        #[arg(long, value_name = "FILE", conflicts_with = "checkpoint", requires = "key")]
        proof: Option<PathBuf>,
        /// What checkpoints of the log are verified with: `name+id+key`
        #[arg(long, value_name = "KEY", requires = "proof")]
        key: Option<Verifier>,
    },
    /// The log as it is now in a few signed lines, to keep where nobody can change them
    Checkpoint,
    /// The proof that a record is in the log, which can be checked without the log
    Prove { sequence: u64 },
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
        if let What::Verify { proof: Some(proof), key: Some(key), .. } = &self.what {
            let tree = read_proof(proof)?.check(key)?;
            context.printer.note(&format!("the proof holds: the record is in the log, which had {} then", tree.size));
            return Ok(exit::OK);
        }
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
            What::Checkpoint => {
                let found = client.json(Call::get("audit/checkpoint")).await?;
                let text = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or_default();
                match context.printer.is_for_people() {
                    true => {
                        context.printer.line(text("checkpoint").trim_end());
                        context.printer.note(&format!("its key: {}", text("verifier")));
                    }
                    false => context.printer.item(&found),
                }
                Ok(exit::OK)
            }
            What::Prove { sequence } => {
                let proof = client.json(Call::get(format!("audit/records/{sequence}/proof"))).await?;
                context.printer.line(&format!("{proof:#}"));
                Ok(exit::OK)
            }
            What::Verify { checkpoint, .. } => {
                let path = match &checkpoint {
                    Some(file) => format!("audit/verify?checkpoint={}", encoded(&read(file)?)),
                    None => "audit/verify".to_owned(),
                };
                let found = client.json(Call::get(path)).await?;
                context.printer.item(&found);
                match found.get("intact").and_then(Value::as_bool) {
                    Some(true) => Ok(exit::OK),
                    _ => Err(Error::check("MW1017", "the audit trail does not verify")),
                }
            }
        }
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::environment("MW1004", format!("{}: {error}", path.display())))
}

fn read_proof(path: &Path) -> Result<Proof> {
    serde_json::from_str(&read(path)?).map_err(|error| {
        Error::check("MW0456", format!("{} is no proof: {error}", path.display()))
            .hint("`meshwork audit prove N` prints one")
    })
}
