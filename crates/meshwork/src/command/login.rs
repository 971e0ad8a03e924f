//! `meshwork login|logout`

use std::io::IsTerminal;

use clap::Args;
use meshwork_core::error::{Error, Kind, Result};
use serde_json::{Value, json};

use super::{Context, access, secret};
use crate::client::{Call, Client, encoded};
use crate::contexts::{Contexts, Server};
use crate::exit;

/// One-time tokens begin with this.
const ONE_TIME: &str = "mw_once_";

#[derive(Debug, Args)]
pub struct Login {
    /// The name of the context that keeps server and token [default: the one that has this server, or the address]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Log in with this user's password instead of a token
    #[arg(long)]
    user: Option<String>,
    /// Tells the new token from your others
    #[arg(long, default_value = "meshwork login")]
    label: String,
    /// When the new token ends: RFC 3339, or a duration such as `30d` [default: in 90 days]
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
}

impl Login {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let config = &context.config;
        let server = config.server.clone().ok_or_else(|| {
            Error::usage("MW1065", "which server to log in to is not said")
                .hint("write `meshwork login --server http://host:port`")
        })?;
        let server = server.trim_end_matches('/').to_owned();
        let mut contexts = Contexts::read()?;
        let named = self.name.clone().or_else(|| config.context.clone());
        let name = named.unwrap_or_else(|| contexts.name_for(&server));
        Contexts::check_name(&name)?;
        let token = self.token(context, &server).await?;
        let ca_cert = config.absolute_authority()?;
        let client = Client::remote(&server, Some(token.clone()), None, ca_cert.as_deref())?;
        let who = client.json(Call::get("whoami")).await?;
        contexts.contexts.insert(name.clone(), Server { server, token: Some(token), token_command: None, ca_cert });
        contexts.current = Some(name.clone());
        contexts.write()?;
        let whose = who.get("principal").and_then(Value::as_str).unwrap_or_default();
        let until = who.get("expires_at").and_then(Value::as_str).map(|at| format!(" until {at}")).unwrap_or_default();
        context.printer.note(&format!("logged in as {whose}{until}; commands go to the context `{name}` from now on"));
        Ok(exit::OK)
    }

    /// The token to keep: for a password or a one-time token the server makes one; another one is kept as it is.
    async fn token(&self, context: &Context, server: &str) -> Result<String> {
        let ask = |question: &str| match (std::io::stdin().is_terminal(), context.config.no_input) {
            (true, true) => Err(Error::usage("MW1066", "a token is needed")
                .hint("give it with `--token-file FILE`, or on standard input")),
            (true, false) => secret::asked(question),
            (false, _) => secret::first_line(std::io::stdin().lock()),
        };
        let mut body = match (&self.user, &context.config.token_given) {
            (Some(user), _) => json!({ "user": user, "password": ask(&format!("Password for {user}: "))? }),
            (None, given) => {
                let given = given.clone().map_or_else(|| ask(&format!("Token for {server}: ")), Ok)?;
                let given = given.trim().to_owned();
                if !given.starts_with(ONE_TIME) {
                    return Ok(given);
                }
                json!({ "one_time_token": given })
            }
        };
        if let Some(fields) = body.as_object_mut() {
            fields.insert("label".to_owned(), self.label.clone().into());
            let expires = self.expires.as_deref().map(access::moment).transpose()?;
            fields.insert("expires_at".to_owned(), json!(expires));
        }
        let client = Client::remote(server, None, None, context.config.authority.as_deref())?;
        let made = client.json(Call::post("login", body)).await?;
        made.get("token")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| Error::environment("MW1009", "the server's answer is not understood: it holds no token"))
    }
}

#[derive(Debug, Args)]
pub struct Logout {
    /// Forget the token here although the server cannot be asked to revoke it
    #[arg(long)]
    local: bool,
}

impl Logout {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let mut contexts = Contexts::read()?;
        let known = match &context.config.context {
            Some(name) => Some(name.clone()),
            None => context.config.server.as_deref().and_then(|server| contexts.known_as(server)),
        };
        let name = known.ok_or_else(|| {
            Error::not_found("MW1067", "there is no login to end: no context is in use")
                .hint("name one with `--context NAME`; `meshwork context list` shows them")
        })?;
        let server = contexts.named(&name)?.clone();
        let Some(token) = server.token.clone() else {
            let message = format!("the context `{name}` keeps no token");
            return Err(Error::not_found("MW1067", message).hint("there is nothing to revoke"));
        };
        if !self.local {
            revoke(&server, token).await.map_err(|error| match error.kind {
                Kind::Environment => error.hint("`meshwork logout --local` forgets the token without revoking it"),
                _ => error,
            })?;
        }
        if let Some(context) = contexts.contexts.get_mut(&name) {
            context.token = None;
        }
        contexts.write()?;
        context.printer.note(&format!("logged out of `{name}`"));
        Ok(exit::OK)
    }
}

/// A token that does not count any more needs no revoking.
async fn revoke(server: &Server, token: String) -> Result<()> {
    let client = Client::remote(&server.server, Some(token), None, server.ca_cert.as_deref())?;
    let who = match client.json(Call::get("whoami")).await {
        Err(error) if error.kind == Kind::Unauthenticated => return Ok(()),
        who => who?,
    };
    match who.get("token").and_then(Value::as_str) {
        Some(id) => client.json(Call::delete(format!("tokens/{}", encoded(id)))).await.map(drop),
        None => Ok(()),
    }
}
