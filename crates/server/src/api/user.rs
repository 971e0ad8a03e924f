//! Local users.

use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use meshwork_control::credential::NewUser;
use meshwork_control::port::state::User;
use meshwork_core::name::TeamName;
use meshwork_core::permission::{ApiAction, Resource};
use meshwork_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
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
        .needs(ApiAction::ListUsers, routes!(list))
        .needs(ApiAction::PutUser, routes!(put))
        .needs(ApiAction::RemoveUser, routes!(remove))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UserInfo {
    #[schema(example = "ana")]
    pub name: String,
    /// Beside those of the domains that list the user as a member.
    pub teams: Vec<String>,
    pub admin: bool,
    pub disabled: bool,
    /// Whether a password is set; without one only tokens work.
    pub password: bool,
    /// A program, which signs in with tokens only.
    pub service: bool,
}

impl From<User> for UserInfo {
    fn from(user: User) -> Self {
        Self {
            name: user.name,
            teams: user.teams.iter().map(ToString::to_string).collect(),
            admin: user.admin,
            disabled: user.disabled,
            password: user.password_hash.is_some(),
            service: user.service,
        }
    }
}

/// A user to create, or to replace.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "ana", "teams": ["marketing-team"], "password": "a long one" }))]
pub struct PutUser {
    pub name: String,
    #[serde(default)]
    pub teams: Vec<String>,
    #[serde(default)]
    pub admin: bool,
    /// Absent: the password stays; a new user gets none.
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub disabled: bool,
    /// A program, which signs in with tokens only.
    #[serde(default)]
    pub service: bool,
}

/// The users, by name.
#[utoipa::path(get, path = "/users", tag = "access", params(PageParams), responses((status = 200, body = Page<UserInfo>)))]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Params(page): Params<PageParams>,
) -> Answer<Page<UserInfo>> {
    caller.may(Resource::Mesh)?;
    let mut users: Vec<UserInfo> = app.credentials.users().await?.into_iter().map(UserInfo::from).collect();
    users.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(page::of_sorted(users, &page.read(&uri)?, &uri, |user| user.name.clone()))
}

/// Creates a user, or replaces one.
#[utoipa::path(post, path = "/users", tag = "access", request_body = PutUser, responses((status = 200, body = UserInfo)))]
async fn put(
    State(app): State<AppState>,
    caller: Caller,
    JsonBody(asked): JsonBody<PutUser>,
) -> Answer<Json<UserInfo>> {
    caller.may(Resource::User { name: &asked.name })?;
    let teams = asked.teams.into_iter().map(team).collect::<Result<Vec<TeamName>>>()?;
    let PutUser { name, admin, password, disabled, service, .. } = asked;
    let user = NewUser { name, teams, admin, password, disabled, service };
    Ok(Json(app.credentials.put_user(&caller.session.actor, user).await?.into()))
}

fn team(text: String) -> Result<TeamName> {
    TeamName::new(text).map_err(|problem| Error::usage("MW0944", format!("a team's name: {problem}")))
}

/// Removes a user with all its tokens, at once and on every port.
#[utoipa::path(delete, path = "/users/{name}", tag = "access",
    params(("name" = String, Path, description = "The user's name")), responses((status = 204, description = "Removed")))]
async fn remove(State(app): State<AppState>, caller: Caller, Path(name): Path<String>) -> Answer<StatusCode> {
    caller.may(Resource::User { name: &name })?;
    app.credentials.remove_user(&caller.session.actor, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
