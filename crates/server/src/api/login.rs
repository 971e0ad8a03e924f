//! From a password or a one-time token to a token of one's own.

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{Extensions, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use meshwork_control::credential::{Credential, NewLogin, Origin};
use meshwork_core::Error;
use meshwork_core::permission::ApiAction;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::token::CreatedToken;
use crate::http::body::JsonBody;
use crate::http::problem::Answer;
use crate::http::table::{Access, Routes};
use crate::http::{AppState, Peer};

pub fn routes() -> Routes {
    Routes::new().on(Access::Public(ApiAction::Login), routes!(login))
}

/// Who logs in: a one-time token, or a user and a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "one_time_token": "mw_once_…", "label": "laptop" }))]
pub struct Login {
    #[serde(default)]
    pub one_time_token: Option<String>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub password: Option<String>,
    /// Tells the new token from your others.
    #[serde(default)]
    pub label: Option<String>,
    /// When the new token ends; in 90 days unless given.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Exchanges a one-time token or a password for a token of your own, which is shown this once. A one-time token is dead
/// from then on.
#[utoipa::path(post, path = "/login", tag = "access", request_body = Login, responses((status = 201, body = CreatedToken)))]
async fn login(
    State(app): State<AppState>,
    extensions: Extensions,
    JsonBody(asked): JsonBody<Login>,
) -> Answer<Response> {
    let credential = match (asked.one_time_token, asked.user, asked.password) {
        (Some(token), None, None) => Credential::Bearer(token),
        (None, Some(user), Some(password)) => Credential::Basic { user, password },
        _ => {
            let message = "a login takes either a one-time token, or a user and a password";
            return Err(Error::usage("MW0952", message).hint("send `one_time_token`, or `user` and `password`").into());
        }
    };
    let address = extensions.get::<ConnectInfo<Peer>>().map(|ConnectInfo(Peer(peer))| peer.to_string());
    let origin = Origin { port: Some("http".to_owned()), address };
    let label = asked.label.unwrap_or_else(|| "login".to_owned());
    let made = app.credentials.login(credential, &origin, NewLogin { label, expires_at: asked.expires_at }).await?;
    let answer = CreatedToken { token: made.secret, info: made.token.into() };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}
