//! `meshwork context list|add|use|remove`

use clap::{Args, Subcommand};
use meshwork_core::error::Result;
use serde_json::{Value, json};

use super::Context;
use crate::client::Client;
use crate::contexts::{Contexts, Server};
use crate::exit;
use crate::output::column;

#[derive(Debug, Args)]
pub struct Contextual {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The servers that you work with
    List,
    /// Add a server, or change one. The credential is what `--token` or `--token-file` gives
    Add {
        name: String,
        url: String,
        /// A command that prints the credential, instead of storing it
        #[arg(long, value_name = "COMMAND")]
        token_command: Option<String>,
    },
    /// Work with this server from now on
    Use {
        #[arg(required_unless_present = "none")]
        name: Option<String>,
        /// With none: commands work on the mesh folder again
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
    /// Forget a server and its credential
    Remove { name: String },
}

impl Contextual {
    pub fn run(self, context: &Context) -> Result<u8> {
        let mut contexts = Contexts::read()?;
        match self.what {
            What::List => {
                let items: Vec<Value> =
                    contexts.contexts.iter().map(|(name, server)| shown(&contexts, name, server)).collect();
                let columns = [
                    column("current", "current"),
                    column("name", "name"),
                    column("server", "server"),
                    column("credential", "credential"),
                ];
                context.printer.list(&items, &columns);
                return Ok(exit::OK);
            }
            What::Add { name, url, token_command } => {
                Contexts::check_name(&name)?;
                let ca_cert = context.config.absolute_authority()?;
                // Refuses what cannot be an address.
                Client::remote(&url, None, None, ca_cert.as_deref())?;
                let token = context.config.token.clone().filter(|_| token_command.is_none());
                contexts.contexts.insert(name, Server { server: url, token, token_command, ca_cert });
            }
            What::Use { name, .. } => {
                if let Some(name) = &name {
                    contexts.named(name)?;
                }
                contexts.current = name;
            }
            What::Remove { name } => {
                contexts.named(&name)?;
                contexts.contexts.remove(&name);
                contexts.current = contexts.current.take().filter(|current| *current != name);
            }
        }
        contexts.write()?;
        Ok(exit::OK)
    }
}

/// Never the credential itself.
fn shown(contexts: &Contexts, name: &str, server: &Server) -> Value {
    let credential = match (&server.token, &server.token_command) {
        (_, Some(_)) => "from a command",
        (Some(_), None) => "stored",
        (None, None) => "none",
    };
    let current = if contexts.current.as_deref() == Some(name) { "*" } else { "" };
    json!({"name": name, "server": server.server, "credential": credential, "current": current})
}
