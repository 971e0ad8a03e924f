//! `meshwork token create|list|revoke`

use clap::{Args, Subcommand};
use meshwork_core::error::Result;
use serde_json::{Value, json};

use super::{Context, access};
use crate::client::{Call, encoded};
use crate::exit;
use crate::output::column;

#[derive(Debug, Args)]
pub struct Token {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make one. It is shown once and never again
    Create {
        /// What it is for
        label: String,
        /// For this user; yourself unless given
        #[arg(long)]
        user: Option<String>,
        /// RFC 3339, or a duration such as `30d` [default, and the longest: 90d]
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        /// Pins the purpose of all its queries
        #[arg(long)]
        purpose: Option<String>,
        /// Good for one `meshwork login` within a day, and for nothing else
        #[arg(long)]
        one_time: bool,
        /// Confine it: to a domain (`sales`), with what its owners may do there, or to a product (`sales.orders`), to read.
        /// Repeat for several
        #[arg(long, value_name = "PART")]
        scope: Vec<String>,
    },
    List {
        #[arg(long)]
        user: Option<String>,
    },
    Revoke {
        id: String,
    },
}

impl Token {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client().await?;
        match self.what {
            What::Create { label, user, expires, purpose, one_time, scope } => {
                let body = json!({
                    "label": label, "user": user, "purpose": purpose, "one_time": one_time,
                    "scope": (!scope.is_empty()).then_some(scope),
                    "expires_at": expires.as_deref().map(access::moment).transpose()?,
                });
                let created = client.json(Call::post("tokens", body)).await?;
                if context.printer.is_for_people() {
                    context.printer.note("keep it: it is not shown again");
                    context.printer.line(created.get("token").and_then(Value::as_str).unwrap_or_default());
                } else {
                    context.printer.item(&created);
                }
            }
            What::List { user } => {
                let query = user.map(|user| format!("?user={}", encoded(&user))).unwrap_or_default();
                let columns = [
                    column("id", "id"),
                    column("user", "user"),
                    column("label", "label"),
                    column("created", "created_at"),
                    column("expires", "expires_at"),
                    column("used", "last_used_at"),
                    column("spent", "spent_at"),
                    column("purpose", "purpose"),
                    column("scope", "scope"),
                ];
                context.printer.list(&client.all(&format!("tokens{query}")).await?, &columns);
            }
            What::Revoke { id } => {
                client.json(Call::delete(format!("tokens/{}", encoded(&id)))).await?;
                context.printer.note("revoked");
            }
        }
        Ok(exit::OK)
    }
}
