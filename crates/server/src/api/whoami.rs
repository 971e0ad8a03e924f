//! Who the server takes the caller for.

use axum::Json;
use meshwork_core::permission::{ApiAction, Resource};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::problem::Answer;
use crate::http::table::Routes;

pub fn routes() -> Routes {
    Routes::new().needs(ApiAction::WhoAmI, routes!(read))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// Whose rights are used.
    #[schema(example = "user:ana")]
    pub principal: String,
    /// Whose credential it is; another one when impersonating.
    #[schema(example = "user:ana")]
    pub actor: String,
    pub teams: Vec<String>,
    /// Domains that these teams own.
    pub domains: Vec<String>,
    pub admin: bool,
    /// What the token or the session is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The id of the token that was shown, and when it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<chrono::DateTime<chrono::Utc>>,
    /// Domains and products that the token is confined to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
}

/// Who you are to the server, and in which teams and domains.
#[utoipa::path(get, path = "/whoami", tag = "access", responses((status = 200, body = WhoAmI)))]
async fn read(caller: Caller) -> Answer<Json<WhoAmI>> {
    caller.may(Resource::Mesh)?;
    let subject = caller.subject();
    Ok(Json(WhoAmI {
        principal: subject.principal.to_string(),
        actor: caller.session.actor.principal.to_string(),
        teams: subject.teams.iter().map(ToString::to_string).collect(),
        domains: subject.domains.iter().map(ToString::to_string).collect(),
        admin: subject.admin,
        purpose: caller.session.purpose.clone(),
        token: caller.session.actor.token.as_ref().map(ToString::to_string),
        expires_at: caller.session.actor.valid_until,
        scope: subject.scope.as_ref().map(|scope| scope.iter().map(ToString::to_string).collect()),
    }))
}
