//! The audit log.

use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use meshwork_control::audit::{AuditQuery, Proof, Verification};
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
        .needs(ApiAction::VerifyAudit, routes!(checkpoint))
        .needs(ApiAction::VerifyAudit, routes!(prove))
        .needs(ApiAction::VerifyAudit, routes!(continues))
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

/// What walking the whole log found.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VerificationInfo {
    /// Whether every record holds, and none is missing.
    pub intact: bool,
    /// Records that certainly hold, from the first on.
    pub records: u64,
    /// Of the tree over all of them, in hex, where they hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
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
        Self { intact: broken.is_none(), records: found.records, root: found.root, broken }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct VerifyParams {
    /// A checkpoint from before, kept where nobody could change it: the log must still begin with what it says.
    checkpoint: Option<String>,
}

/// Walks the whole audit log. A broken log is an answer, in `broken`.
#[utoipa::path(get, path = "/audit/verify", tag = "operations", params(VerifyParams),
    responses((status = 200, body = VerificationInfo)))]
async fn verify(
    State(app): State<AppState>,
    caller: Caller,
    Params(asked): Params<VerifyParams>,
) -> Answer<Json<VerificationInfo>> {
    caller.may(Resource::Mesh)?;
    Ok(Json(app.audit.verify(asked.checkpoint.as_deref()).await?.into()))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CheckpointInfo {
    /// Size and root of the log, signed: a signed note (c2sp.org/tlog-checkpoint).
    pub checkpoint: String,
    /// What it is verified with: `name+id+key`.
    pub verifier: String,
}

/// The audit log as it is now, in a few signed lines. Kept elsewhere, they prove later that nothing was changed or cut off.
#[utoipa::path(get, path = "/audit/checkpoint", tag = "operations", responses((status = 200, body = CheckpointInfo)))]
async fn checkpoint(State(app): State<AppState>, caller: Caller) -> Answer<Json<CheckpointInfo>> {
    caller.may(Resource::Mesh)?;
    let checkpoint = app.audit.checkpoint().await?;
    Ok(Json(CheckpointInfo { checkpoint, verifier: app.audit.verifier().to_string() }))
}

/// That one record is in the log: it can be verified without the log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ProofInfo {
    pub sequence: u64,
    /// The record's final bytes.
    pub leaf: String,
    /// Hashes from the leaf to the root, in hex, the nearest first (RFC 6962, section 2.1.1).
    pub path: Vec<String>,
    pub checkpoint: String,
    pub verifier: String,
}

/// The proof that a record is in the audit log as it is now.
#[utoipa::path(get, path = "/audit/records/{sequence}/proof", tag = "operations",
    params(("sequence" = u64, Path, description = "Which record", example = 1)),
    responses((status = 200, body = ProofInfo)))]
async fn prove(State(app): State<AppState>, caller: Caller, Path(sequence): Path<u64>) -> Answer<Json<ProofInfo>> {
    caller.may(Resource::Mesh)?;
    let Proof { sequence, leaf, path, checkpoint, verifier } = app.audit.prove(sequence).await?;
    Ok(Json(ProofInfo { sequence, leaf, path, checkpoint, verifier }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ContinuesParams {
    /// How many records the log had.
    #[param(example = 1)]
    from: u64,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConsistencyInfo {
    /// Hashes in hex (RFC 6962, section 2.1.2).
    pub path: Vec<String>,
    pub checkpoint: String,
    pub verifier: String,
}

/// The proof that the audit log as it is now begins with what it was when it had `from` records.
#[utoipa::path(get, path = "/audit/consistency", tag = "operations", params(ContinuesParams),
    responses((status = 200, body = ConsistencyInfo)))]
async fn continues(
    State(app): State<AppState>,
    caller: Caller,
    Params(asked): Params<ContinuesParams>,
) -> Answer<Json<ConsistencyInfo>> {
    caller.may(Resource::Mesh)?;
    let (checkpoint, path) = app.audit.continues(asked.from).await?;
    Ok(Json(ConsistencyInfo { path, checkpoint, verifier: app.audit.verifier().to_string() }))
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
