//! Sign-in: clear-text password or token, checked by the one credential check (D14). No SCRAM: it needs recoverable
//! salted passwords, and ours are argon2 hashes.

use std::collections::HashMap;
use std::fmt::Debug;

use async_trait::async_trait;
use futures::{Sink, SinkExt};
use meshwork_control::credential::Credential;
use pgwire::api::auth::{ServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation};
use pgwire::api::{ClientInfo, PgWireConnectionState, PidSecretKeyGenerator, RandomPidSecretKeyGenerator};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::startup::Authentication;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use super::connection::Connection;
use super::error::fatal;
use super::setting::SERVER_VERSION;

#[async_trait]
impl StartupHandler for Connection {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(ref startup) => {
                if !self.has_place {
                    return Err(fatal("53300", "sorry, too many clients already"));
                }
                if !client.is_secure() && !self.is_local() {
                    return Err(fatal("28000", "connections from other machines need TLS: set sslmode=require"));
                }
                protocol_negotiation(client, startup).await.map_err(|error| fatal("08P01", error.to_string()))?;
                let user = startup.parameters.get("user").filter(|user| !user.is_empty());
                let Some(user) = user else {
                    return Err(fatal("28000", "no user name was given"));
                };
                self.sign_in_as(user, &startup.parameters).map_err(|why| fatal("22023", why))?;
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                client.send(PgWireBackendMessage::Authentication(Authentication::CleartextPassword)).await?;
            }
            PgWireFrontendMessage::PasswordMessageFamily(password) => {
                let password = password.into_password().map_err(|error| fatal("08P01", error.to_string()))?;
                let user = self.user();
                // A token may stand where the password goes, for tools that know only user and password; it signs its own
                // user in and no other.
                let credential = if password.password.starts_with("mw_") {
                    Credential::Bearer(password.password.clone())
                } else {
                    Credential::Basic { user: user.clone(), password: password.password.clone() }
                };
                let refused =
                    || fatal("28P01", format!("password authentication failed for user \"{}\"", user.escape_debug()));
                let subject = match self.services.credentials.authenticate_from(credential, &self.origin()).await {
                    Ok(subject) => subject,
                    Err(error) if error.kind == meshwork_core::Kind::Unauthenticated => return Err(refused()),
                    Err(error) => return Err(fatal("28000", error.to_string())),
                };
                if subject.principal != meshwork_core::principal::Principal::User(user.clone()) {
                    return Err(refused());
                }
                let (_, key) = RandomPidSecretKeyGenerator::default().generate(client);
                let pid = self.registry.next_pid();
                client.set_pid_and_secret_key(pid, key.clone());
                self.begin(subject, pid, &key);
                finish_authentication(client, &Parameters { user: self.user() }).await?;
            }
            _ => return Err(fatal("08P01", "unexpected message before sign-in")),
        }
        Ok(())
    }
}

/// What drivers are told at sign-in.
struct Parameters {
    user: String,
}

impl ServerParameterProvider for Parameters {
    fn server_parameters<C: ClientInfo>(&self, _client: &C) -> Option<HashMap<String, String>> {
        let fixed = [
            ("server_version", SERVER_VERSION),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("IntervalStyle", "postgres"),
            ("TimeZone", "UTC"),
            ("integer_datetimes", "on"),
            ("standard_conforming_strings", "on"),
            ("is_superuser", "off"),
            ("in_hot_standby", "off"),
            ("default_transaction_read_only", "on"),
            ("application_name", ""),
            ("session_authorization", self.user.as_str()),
        ];
        Some(fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}
