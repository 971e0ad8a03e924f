//! The audit log.

use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use meshwork_control::audit::{AuditQuery, Verification};
use meshwork_core::audit::Kind;
use meshwork_core::permission::{ApiAction, Resource};
use meshwork_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::http::AppState;
use crate::http::auth::{self, Caller};
use crate::http::page::{self, Page, PageParams};
use crate::http::params::Params;
use crate::http::problem::Answer;
use crate::http::table::Routes;

pub fn routes() -> Routes {
    Routes::new()
        .needs(ApiAction::ReadAudit, routes!(list))
        .needs(ApiAction::VerifyAudit, routes!(verify))
        .needs(ApiAction::EraseAudit, routes!(erase))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only entries of this kind: `query_intent`, `query_outcome`, `query_refused`, `access`, `apply`, `run`,
    /// `sign_in_failed`.
    #[param(example = "query_intent")]
    kind: Option<String>,
    /// Only entries in which this principal is actor or subject; your own unless you are an administrator.
    #[param(example = "user:ana")]
    principal: Option<String>,
    /// Only entries about this table.
    #[param(example = "marketing.leads")]
    table: Option<String>,
    /// Not before this moment.
    since: Option<DateTime<Utc>>,
    /// Not after this moment.
    until: Option<DateTime<Utc>>,
    /// How many at most, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// From the `next` link of the page before.
    cursor: Option<String>,
}

/// One record, as far as it can still be read: what is personal is gone once its person was erased.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    pub sequence: u64,
    pub at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Stands for the actor also after its erasure.
    pub actor_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub subject_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// `event` names its kind; the other members depend on it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub event: meshwork_core::audit::Event,
}

/// Entries of the audit log, newest first. Everybody may read what is about themselves.
#[utoipa::path(get, path = "/audit", tag = "operations", params(ListParams),
    responses((status = 200, body = Page<AuditEntry>)))]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Params(asked): Params<ListParams>,
) -> Answer<Page<AuditEntry>> {
    let page = PageParams { limit: asked.limit, cursor: asked.cursor }.read(&uri)?;
    let principal = match &asked.principal {
        Some(text) => Some(auth::principal(text)?),
        None if caller.could(ApiAction::ReadAudit, Resource::Mesh) => None,
        None => Some(caller.subject().principal.clone()),
    };
    match &principal {
        Some(principal) => caller.may(Resource::AuditOf { principal })?,
        None => caller.may(Resource::Mesh)?,
    }
    let query = AuditQuery {
        kind: asked.kind.as_deref().map(kind).transpose()?,
        principal,
        table: asked.table,
        since: asked.since,
        until: asked.until,
        before: page.after.as_deref().map(sequence).transpose()?,
        // One more tells whether there is a next page; the log itself gives a thousand at most.
        limit: page.limit + 1,
    };
    let entries = app.audit.query(&query).await?.into_iter().map(|opened| AuditEntry {
        sequence: opened.sequence,
        at: opened.at,
        actor: opened.actor,
        actor_id: opened.actor_id,
        subject: opened.subject,
        subject_id: opened.subject_id,
        address: opened.address,
        statement: opened.statement,
        event: opened.event,
    });
    let limit = page.limit.min(page::MAX_LIMIT - 1);
    Ok(page::of_fetched(entries.collect(), limit, &uri, |entry| entry.sequence.to_string()))
}

fn kind(text: &str) -> Result<Kind> {
    serde_json::from_value(text.into()).map_err(|_| {
        Error::usage("MW0929", format!("there is no kind of event `{}`", text.escape_debug()))
            .hint("the kinds are query_intent, query_outcome, query_refused, access, apply, run, sign_in_failed")
    })
}

fn sequence(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::usage("MW0931", "this cursor is not one of this list"))
}

/// What walking the whole chain found.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VerificationInfo {
    /// Whether every record holds.
    pub intact: bool,
    /// Records that hold, from the first on.
    pub records: u64,
    /// The chain hash after them, in hex. Kept elsewhere, it also proves later that none were cut off the end.
    pub head: String,
    /// The first record that does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<BreakInfo>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BreakInfo {
    pub sequence: u64,
    pub because: String,
}

impl From<Verification> for VerificationInfo {
    fn from(found: Verification) -> Self {
        let broken = found.broken.map(|at| BreakInfo { sequence: at.sequence, because: at.because });
        Self { intact: broken.is_none(), records: found.records, head: found.head, broken }
    }
}

/// Walks the hash chain of the audit log. A broken chain is an answer, in `broken`.
#[utoipa::path(get, path = "/audit/verify", tag = "operations", responses((status = 200, body = VerificationInfo)))]
async fn verify(State(app): State<AppState>, caller: Caller) -> Answer<Json<VerificationInfo>> {
    caller.may(Resource::Mesh)?;
    Ok(Json(app.audit.verify().await?.into()))
}

/// Forgets a person: destroys the key that its name, addresses and statements are encrypted with. The records stay and
/// still verify; nobody can tell any more whose they are. What the same name does later gets a new key.
#[utoipa::path(delete, path = "/audit/principals/{principal}", tag = "operations",
    params(("principal" = String, Path, description = "Who", example = "user:ana")),
    responses((status = 204, description = "Erased")))]
async fn erase(State(app): State<AppState>, caller: Caller, Path(principal): Path<String>) -> Answer<StatusCode> {
    let principal = auth::principal(&principal)?;
    caller.may(Resource::AuditOf { principal: &principal })?;
    app.audit.forget(&caller.session.actor.principal, &principal, app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
