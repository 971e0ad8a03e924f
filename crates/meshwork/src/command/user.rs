//! `meshwork user add|list|remove|password`

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use meshwork_core::error::{Error, Result};
use serde_json::{Value, json};

use super::{Context, secret};
use crate::client::{Call, Client, encoded};
use crate::exit;
use crate::output::column;

#[derive(Debug, Args)]
pub struct User {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Create or replace a user
    Add {
        name: String,
        /// A team; repeat for several
        #[arg(long = "team")]
        teams: Vec<String>,
        #[arg(long)]
        admin: bool,
        /// A program: it signs in with tokens only (`meshwork token create --user NAME LABEL`)
        #[arg(long, conflicts_with = "password_file")]
        service: bool,
        /// Read the password from this file, `-` for standard input; without it the user has none
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    List,
    Remove {
        name: String,
    },
    /// Set a password, asked for on the terminal or read from standard input
    Password {
        name: String,
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

impl User {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client().await?;
        match self.what {
            What::Add { name, teams, admin, service, password_file } => {
                let password = password_file.map(|file| password_in(&file)).transpose()?;
                let body =
                    json!({"name": name, "teams": teams, "admin": admin, "service": service, "password": password});
                client.json(Call::post("users", body)).await?;
                context.printer.note(&format!("user `{name}` is there"));
            }
            What::List => {
                let columns = [
                    column("name", "name"),
                    column("teams", "teams"),
                    column("admin", "admin"),
                    column("password", "password"),
                    column("service", "service"),
                    column("disabled", "disabled"),
                ];
                context.printer.list(&client.all("users").await?, &columns);
            }
            What::Remove { name } => {
                client.json(Call::delete(format!("users/{}", encoded(&name)))).await?;
                context.printer.note(&format!("user `{name}` is gone"));
            }
            What::Password { name, password_file } => {
                let password = match password_file {
                    Some(file) => password_in(&file)?,
                    None if !std::io::stdin().is_terminal() => secret::first_line(std::io::stdin().lock())?,
                    None if context.config.no_input => {
                        return Err(Error::usage("MW1014", "a password is needed")
                            .hint("give it with `--password-file FILE`, or on standard input"));
                    }
                    None => secret::asked(&format!("Password for {name}: "))?,
                };
                set_password(&client, &name, &password).await?;
                context.printer.note("the password is set");
            }
        }
        Ok(exit::OK)
    }
}

/// Users are replaced as a whole, so the rest of this one is kept.
async fn set_password(client: &Client, name: &str, password: &str) -> Result<()> {
    let users = client.all("users").await?;
    let found = users.into_iter().find(|user| user.get("name").and_then(Value::as_str) == Some(name));
    let user = found.ok_or_else(|| {
        Error::not_found("MW1013", format!("there is no user `{}`", name.escape_debug()))
            .hint("`meshwork user add` makes one")
    })?;
    let body = json!({
        "name": name, "teams": user.get("teams"), "admin": user.get("admin"), "disabled": user.get("disabled"),
        "service": user.get("service"),
        "password": password,
    });
    client.json(Call::post("users", body)).await.map(drop)
}

fn password_in(file: &std::path::Path) -> Result<String> {
    if file.as_os_str() == "-" {
        return secret::first_line(std::io::stdin().lock());
    }
    let text = std::fs::File::open(file).map_err(|error| {
        Error::environment("MW1014", format!("the password file {} cannot be read: {error}", file.display()))
    })?;
    secret::first_line(std::io::BufReader::new(text))
}
