//! Bearer tokens.

use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use meshwork_control::credential::NewToken;
use meshwork_control::port::state::Token;
use meshwork_core::Result;
use meshwork_core::id::TokenId;
use meshwork_core::permission::{self, ApiAction, Resource};
use meshwork_core::principal::{Principal, TokenScope};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::http::AppState;
use crate::http::auth::Caller;
use crate::http::body::JsonBody;
use crate::http::page::{self, Page, PageParams};
use crate::http::params::Params;
use crate::http::problem::Answer;
use crate::http::table::Routes;

pub fn routes() -> Routes {
    Routes::new()
        .needs(ApiAction::ListTokens, routes!(list))
        .needs(ApiAction::CreateToken, routes!(create))
        .needs(ApiAction::RemoveToken, routes!(remove))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenInfo {
    pub id: String,
    pub user: String,
    pub label: String,
    pub created_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// The one purpose that it may be used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// Good for one login, and for nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_time: bool,
    /// When that login was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent_at: Option<DateTime<Utc>>,
    /// Domains and products that it is confined to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<DateTime<Utc>>,
}

impl From<Token> for TokenInfo {
    fn from(token: Token) -> Self {
        Self {
            id: token.id.to_string(),
            user: token.user,
            label: token.label,
            created_at: token.created_at,
            expires_at: token.expires_at,
            purpose: token.purpose,
            one_time: token.one_time,
            spent_at: token.spent_at,
            scope: token.scope.map(|scope| scope.iter().map(ToString::to_string).collect()),
            last_used_at: token.last_used_at,
        }
    }
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "label": "dashboard", "purpose": "marketing-analytics" }))]
pub struct CreateToken {
    /// Whose; your own unless given.
    #[serde(default)]
    pub user: Option<String>,
    /// What it is used for, so that it can be told from the others.
    pub label: String,
    /// In 90 days at most, and unless given.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub purpose: Option<String>,
    /// Good for one login, within a day.
    #[serde(default)]
    pub one_time: bool,
    /// Domains (`sales`), for what their owners may do there, and products (`sales.orders`), to read. It has no rights
    /// beyond these; absent: it has all of its user's.
    #[serde(default)]
    pub scope: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// The token itself. It is shown this once; only its hash is kept.
    pub token: String,
    #[serde(flatten)]
    pub info: TokenInfo,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Whose; your own unless given. Administrators may name others, and `*` for all.
    user: Option<String>,
    /// How many at most, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// From the `next` link of the page before.
    cursor: Option<String>,
}

/// The tokens of a user, without the secrets.
#[utoipa::path(get, path = "/tokens", tag = "access", params(ListParams), responses((status = 200, body = Page<TokenInfo>)))]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Params(asked): Params<ListParams>,
) -> Answer<Page<TokenInfo>> {
    let user = asked.user.or_else(|| own_name(&caller)).unwrap_or_default();
    let whose = if user == "*" { None } else { Some(user.as_str()) };
    caller.may(whose.map_or(Resource::Mesh, |name| Resource::User { name }))?;
    let page = PageParams { limit: asked.limit, cursor: asked.cursor }.read(&uri)?;
    let mut tokens: Vec<TokenInfo> = app.credentials.tokens(whose).await?.into_iter().map(TokenInfo::from).collect();
    tokens.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(page::of_sorted(tokens, &page, &uri, |token| token.id.clone()))
}

fn own_name(caller: &Caller) -> Option<String> {
    match &caller.subject().principal {
        Principal::User(name) => Some(name.clone()),
        Principal::Product { .. } => None,
    }
}

/// Makes a token. It has its user's rights, for one purpose if it names one, and within a scope if it has one.
#[utoipa::path(post, path = "/tokens", tag = "access", request_body = CreateToken, responses((status = 201, body = CreatedToken)))]
async fn create(
    State(app): State<AppState>,
    caller: Caller,
    JsonBody(asked): JsonBody<CreateToken>,
) -> Answer<Response> {
    let user = asked.user.or_else(|| own_name(&caller)).unwrap_or_default();
    caller.may(Resource::User { name: &user })?;
    let CreateToken { label, expires_at, purpose, one_time, scope, .. } = asked;
    let parts = |scope: Vec<String>| scope.iter().map(|part| part.parse()).collect::<Result<TokenScope>>();
    let scope = scope.map(parts).transpose()?;
    let wanted = NewToken { user, label, expires_at, purpose, one_time, scope };
    let (token, secret) = app.credentials.create_token(&caller.session.actor, wanted).await?;
    Ok((StatusCode::CREATED, Json(CreatedToken { token: secret, info: token.into() })).into_response())
}

/// Removes a token, at once and on every port.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "access",
    params(("id" = String, Path, description = "The token's id, not the token")),
    responses((status = 204, description = "Removed")))]
async fn remove(State(app): State<AppState>, caller: Caller, Path(id): Path<String>) -> Answer<StatusCode> {
    let called = format!("token `{}`", id.escape_debug());
    let id = TokenId::new(id);
    let found = app.credentials.tokens(None).await?.into_iter().find(|token| token.id == id);
    let found = found.filter(|token| caller.may(Resource::User { name: &token.user }).is_ok());
    let token = found.ok_or_else(|| permission::unknown(&called))?;
    app.credentials.remove_token(&caller.session.actor, &token.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
