//! The control-plane state. Every method is one transaction. All errors carry `MW04..` codes.

use async_trait::async_trait;
use meshwork_core::agreement::Agreement;
use meshwork_core::audit::merkle::{Hash, Place};
use meshwork_core::effect::Timestamp;
use meshwork_core::error::Result;
use meshwork_core::id::{AgreementId, MeshId, OutputId, ProductId, PublicationId, RunId, TokenId, UserId};
use meshwork_core::mesh::Mesh;
use meshwork_core::name::TeamName;
use meshwork_core::principal::{Principal, TokenScope};
use meshwork_core::publication::{Publication, TablePlace};
use meshwork_core::quarantine::QuarantineEntry;
use meshwork_core::run::{Lease, Run, RunReport};
use serde::{Deserialize, Serialize};

/// The applied mesh with the revision that it has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Applied {
    /// Rises by one with every apply that changes something; 0 before the first.
    pub revision: u64,
    pub mesh_id: MeshId,
    /// Every id is given. `None` before the first apply.
    pub mesh: Option<Mesh>,
}

#[async_trait]
pub trait MeshState: Send + Sync {
    async fn applied(&self) -> Result<Applied>;
    /// Replaces the applied mesh in one transaction, if the state is still at `base`; else `Kind::Conflict`.
    /// `changes` is what the plan said, kept as history. Returns the new revision.
    async fn apply(
        &self,
        base: u64,
        mesh: &Mesh,
        changes: &serde_json::Value,
        actor: &Principal,
        at: Timestamp,
    ) -> Result<u64>;
    /// Rises with everything that a decision depends on: applies, agreements, users, tokens. Read once per execution (D17).
    async fn policy_epoch(&self) -> Result<u64>;
}

#[async_trait]
pub trait RunLedger: Send + Sync {
    /// Takes the product's lease and records the run as `Running`. `Kind::Conflict` names the holder of a live lease
    /// (MW0411). A predecessor whose lease has expired is cancelled if it was still `Running`; one in `Committing` must
    /// be recovered first (MW0412).
    async fn start_run(&self, run: &Run, holder: &str, now: Timestamp, expires_at: Timestamp) -> Result<Lease>;
    /// Extends the lease; `Kind::Conflict` when it is no longer the newest.
    async fn heartbeat(&self, lease: &Lease, expires_at: Timestamp) -> Result<()>;
    /// Stores the report with a passing verdict and moves the run to `Committing`, if the lease is still the newest and unexpired.
    async fn store_verdict(&self, lease: &Lease, report: &RunReport, now: Timestamp) -> Result<()>;
    /// One transaction: the publication, the run's result, what the run set aside or released, the lease's end, outbox events. `Kind::Conflict` for a stale token.
    async fn publish(&self, lease: &Lease, publication: &Publication) -> Result<()>;
    /// Ends a run that published nothing.
    async fn finish_run(&self, lease: &Lease, run: &Run, report: Option<&RunReport>) -> Result<()>;
    async fn run(&self, id: &RunId) -> Result<Option<(Run, Option<RunReport>)>>;
    /// Newest first; `before` pages.
    async fn runs(&self, product: Option<&ProductId>, before: Option<&RunId>, limit: u32) -> Result<Vec<Run>>;
    /// Runs in `Running` or `Committing` whose lease has expired, with their lease: work for recovery.
    async fn stranded(&self, now: Timestamp) -> Result<Vec<(Run, Lease, Option<RunReport>)>>;
    /// Takes over a stranded run's lease with a new fencing token, so that the old holder can no longer publish.
    async fn take_over(&self, lease: &Lease, holder: &str, now: Timestamp, expires_at: Timestamp) -> Result<Lease>;
    async fn append_log(&self, run: &RunId, at: Timestamp, level: &str, line: &str) -> Result<()>;
    async fn log(&self, run: &RunId) -> Result<Vec<(Timestamp, String, String)>>;
}

#[async_trait]
pub trait PublicationState: Send + Sync {
    /// The newest publication of this output and major at or before `as_of` (or now).
    async fn resolve(&self, output: &OutputId, major: u32, as_of: Option<Timestamp>) -> Result<Option<Publication>>;
    async fn publication(&self, id: &PublicationId) -> Result<Option<Publication>>;
    /// Newest first; `before` pages.
    async fn publications(
        &self,
        product: Option<&ProductId>,
        before: Option<&PublicationId>,
        limit: u32,
    ) -> Result<Vec<Publication>>;
    /// The newest publication of every output and major.
    async fn current(&self) -> Result<Vec<Publication>>;
    /// Those of one output and major that are still to be read, newest first.
    async fn kept(&self, output: &OutputId, major: u32) -> Result<Vec<Publication>>;
    /// The time of the oldest one of these, once older ones have been given up.
    async fn horizon(&self, output: &OutputId, major: u32) -> Result<Option<Timestamp>>;
    /// Those of any output that are still to be read and over which a view is served.
    async fn kept_views(&self) -> Result<Vec<Publication>>;
    /// Gives up every publication of an output and major before this one. It is never taken back.
    async fn expire(&self, output: &OutputId, major: u32, oldest: &PublicationId) -> Result<()>;
}

/// A table that a publication has named, until its files are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTable {
    pub place: TablePlace,
    /// Since when its product is known to have it no longer.
    pub given_up: Option<Timestamp>,
}

/// Where tables lie and have lain. A publication makes its tables known.
#[async_trait]
pub trait TableState: Send + Sync {
    async fn tables(&self, product: Option<&ProductId>) -> Result<Vec<KnownTable>>;
    async fn set_given_up(&self, table: &TablePlace, since: Option<Timestamp>) -> Result<()>;
    /// No publication leads to it any more; the record of them stays.
    async fn withdraw(&self, table: &TablePlace) -> Result<()>;
    /// Its files are gone.
    async fn forget_table(&self, table: &TablePlace) -> Result<()>;
}

/// What runs have set aside. Entries come into being, shrink and are superseded in [`RunLedger::publish`].
#[async_trait]
pub trait QuarantineState: Send + Sync {
    /// Newest first.
    async fn quarantine(&self, product: Option<&ProductId>, run: Option<&RunId>) -> Result<Vec<QuarantineEntry>>;
    async fn quarantined_before(&self, moment: Timestamp) -> Result<Vec<QuarantineEntry>>;
    async fn forget_quarantine(&self, run: &RunId, output: &OutputId, major: u32) -> Result<()>;
}

#[async_trait]
pub trait AgreementState: Send + Sync {
    async fn grant(&self, agreement: &Agreement) -> Result<()>;
    /// `Kind::NotFound` for an unknown id; idempotent for a revoked one.
    async fn revoke(&self, id: &AgreementId, at: Timestamp, by: &Principal) -> Result<Agreement>;
    async fn agreement(&self, id: &AgreementId) -> Result<Option<Agreement>>;
    /// Live and past, newest first.
    async fn agreements(&self) -> Result<Vec<Agreement>>;
    /// Those of one output that are not revoked (expiry is the caller's to judge).
    async fn agreements_of(&self, output: &OutputId) -> Result<Vec<Agreement>>;
}

/// A local user. The password is an argon2 PHC string; tokens are SHA-256 hashes of 256 random bits (D14).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub teams: Vec<TeamName>,
    pub admin: bool,
    #[serde(default)]
    pub password_hash: Option<String>,
    /// Rises with every change of the credential; caches key on it.
    pub credential_version: u64,
    pub disabled: bool,
    /// A program: it has tokens and no password.
    #[serde(default)]
    pub service: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Token {
    pub id: TokenId,
    pub user: String,
    pub label: String,
    /// Hex SHA-256.
    pub hash: String,
    pub created_at: Timestamp,
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    #[serde(default)]
    pub purpose: Option<String>,
    /// Good for one exchange against a token of the user's own, and for nothing else.
    #[serde(default)]
    pub one_time: bool,
    /// When that exchange was.
    #[serde(default)]
    pub spent_at: Option<Timestamp>,
    /// What it is confined to.
    #[serde(default)]
    pub scope: Option<TokenScope>,
    /// When it was last taken for a credential, to the minute.
    #[serde(default)]
    pub last_used_at: Option<Timestamp>,
}

#[async_trait]
pub trait CredentialState: Send + Sync {
    async fn user(&self, name: &str) -> Result<Option<User>>;
    async fn users(&self) -> Result<Vec<User>>;
    /// Creates or replaces.
    async fn put_user(&self, user: &User) -> Result<()>;
    async fn remove_user(&self, name: &str) -> Result<()>;
    async fn put_token(&self, token: &Token) -> Result<()>;
    async fn token_by_hash(&self, hash: &str) -> Result<Option<Token>>;
    async fn tokens(&self, user: Option<&str>) -> Result<Vec<Token>>;
    async fn remove_token(&self, id: &TokenId) -> Result<()>;
    /// Notes when a token was used. Nobody's rights change by it.
    async fn use_token(&self, id: &TokenId, at: Timestamp) -> Result<()>;
    /// Marks a one-time token as spent and stores the token that it was spent on, both or neither. False, and nothing is
    /// stored, where it is gone or was spent before.
    async fn exchange_token(&self, spent: &TokenId, at: Timestamp, new: &Token) -> Result<bool>;
}

/// An audit leaf as stored: its sequence number, and its bytes (RFC 8785 JSON, final).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    pub sequence: u64,
    pub leaf: Vec<u8>,
}

/// Audit leaves to be stored, with what they add to the tree over all of them.
#[derive(Clone, Debug, Default)]
pub struct AuditBatch {
    pub records: Vec<AuditRecord>,
    /// The subtrees that the records complete.
    pub nodes: Vec<(Place, Hash)>,
    /// Of the tree with the records, signed.
    pub checkpoint: String,
}

#[async_trait]
pub trait AuditState: Send + Sync {
    /// Appends in order, in one transaction, durable when it returns. The checkpoint replaces the one before.
    async fn append(&self, batch: &AuditBatch) -> Result<()>;
    /// The sequence number of the last record; 0 before the first.
    async fn last(&self) -> Result<u64>;
    /// Of every place its subtree's hash, where there is one.
    async fn nodes(&self, places: &[Place]) -> Result<Vec<Option<Hash>>>;
    async fn checkpoint(&self) -> Result<Option<String>>;
    /// Ascending from `after` (exclusive).
    async fn read(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>>;
    /// The AES key of a data subject (a principal as text); `None` after erasure.
    async fn subject_key(&self, subject: &str) -> Result<Option<[u8; 32]>>;
    /// Keeps the key that is already there, if any.
    async fn put_subject_key(&self, subject: &str, key: [u8; 32]) -> Result<()>;
    async fn subject_keys(&self) -> Result<Vec<(String, [u8; 32])>>;
    /// Makes everything personal about the subject in the audit log unreadable; the log still verifies.
    async fn erase_subject(&self, subject: &str) -> Result<()>;
}
