//! The audit log (D23): recording before things happen, reading, verifying, erasing.

mod proof;
mod sequencer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use meshwork_core::audit::checkpoint::{Signer, Verifier};
use meshwork_core::audit::leaf::{Leaf, Opened, SubjectKey, key_name};
use meshwork_core::audit::{Entry, Event, Kind, TableRead};
use meshwork_core::effect::{Entropy, Timestamp};
use meshwork_core::error::{Error, Result};
use meshwork_core::principal::Principal;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

pub use self::proof::{Break, Proof, Verification};
use self::sequencer::{Request, Sequencer};
use crate::port::audit::AuditSink;
use crate::port::data::TableUse;
use crate::port::state::AuditState;

/// Requests that wait for the sequencer; beyond that, `record` waits for room.
const QUEUE: usize = 1024;
/// Records read from the state at once.
const CHUNK: u32 = 1000;
/// The most that one query answers.
const MOST: u32 = 1000;

/// Cheap to clone; all clones write through one sequencer.
#[derive(Clone)]
pub struct AuditService {
    state: Arc<dyn AuditState>,
    requests: mpsc::Sender<Request>,
    verifier: Verifier,
}

/// Which entries: all conditions hold. The newest come first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditQuery {
    #[serde(default)]
    pub kind: Option<Kind>,
    /// As actor or as subject.
    #[serde(default)]
    pub principal: Option<Principal>,
    /// `domain.output`
    #[serde(default)]
    pub table: Option<String>,
    #[serde(default)]
    pub since: Option<Timestamp>,
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// Only entries before this sequence number: the last one of the page before.
    #[serde(default)]
    pub before: Option<u64>,
    /// At most 1000; 0 means as many.
    #[serde(default)]
    pub limit: u32,
}

impl AuditService {
    /// Starts the sequencer on the current tokio runtime; it ends when the last clone is dropped.
    pub async fn start(state: Arc<dyn AuditState>, entropy: Arc<dyn Entropy>, signer: Signer) -> Self {
        let (requests, inbox) = mpsc::channel(QUEUE);
        let verifier = signer.verifier().clone();
        let mut sequencer = Sequencer::new(state.clone(), entropy, signer);
        sequencer.begin().await;
        tokio::spawn(sequencer.serve(inbox));
        Self { state, requests, verifier }
    }

    /// Appends the entry and returns its sequence number once it is durable. On an error (MW0450), whatever was to be
    /// recorded must not happen.
    pub async fn record(&self, entry: Entry) -> Result<u64> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Record { entry: Box::new(entry), reply }).await?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Entries with what can still be decrypted.
    pub async fn query(&self, query: &AuditQuery) -> Result<Vec<Opened>> {
        let keys = self.keys().await?;
        let who = match &query.principal {
            None => None,
            Some(principal) => match keys.get(&key_name(principal)) {
                Some(key) => Some(key.pseudonym().to_owned()),
                // Nothing that it did can be told apart any more, or it never did anything.
                None => return Ok(Vec::new()),
            },
        };
        let keys: BTreeMap<String, SubjectKey> =
            keys.into_values().map(|key| (key.pseudonym().to_owned(), key)).collect();
        let limit = if query.limit == 0 { MOST } else { query.limit.min(MOST) } as usize;
        let last = self.state.last().await?;
        let mut end = query.before.map_or(last, |before| last.min(before.saturating_sub(1)));
        let mut found = Vec::new();
        while end > 0 && found.len() < limit {
            let start = end.saturating_sub(u64::from(CHUNK));
            let records = self.state.read(start, CHUNK).await?;
            for record in records.iter().filter(|record| record.sequence <= end).rev() {
                let leaf = Leaf::parse(&record.leaf)?;
                if who.as_ref().is_some_and(|id| leaf.actor.id != *id && leaf.subject.id != *id) {
                    continue;
                }
                let opened = leaf.open(&keys)?;
                if query.since.is_some_and(|since| opened.at < since) {
                    continue;
                }
                if query.matches(&opened) && found.len() < limit {
                    found.push(opened);
                }
            }
            end = start;
        }
        Ok(found)
    }

    /// Forgets a person: its key is destroyed, so that everything personal about it is unreadable; the log still verifies.
    pub async fn erase(&self, principal: &Principal) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Erase { name: key_name(principal), reply }).await?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// The same because `actor` asked for it: that is recorded first, naming the pseudonym alone. MW0743 when nothing is
    /// recorded of the principal, or nothing any more.
    pub async fn forget(&self, actor: &Principal, principal: &Principal, at: Timestamp) -> Result<()> {
        let key = self.state.subject_key(&key_name(principal)).await?;
        let key = key.map(SubjectKey::new).ok_or_else(|| {
            let message = format!("the audit log holds nothing of {principal} that could be read");
            Error::not_found("MW0743", message).hint("it never did anything, or it was erased before")
        })?;
        let object = key.pseudonym().to_owned();
        let event = Event::Access { action: "audit.erase".to_owned(), object, table: None, purpose: None };
        Self::record(self, Entry::new(at, actor.clone(), event)).await?;
        self.erase(principal).await
    }

    async fn send(&self, request: Request) -> Result<()> {
        self.requests.send(request).await.map_err(|_| stopped())
    }

    /// By the name of the principal.
    async fn keys(&self) -> Result<BTreeMap<String, SubjectKey>> {
        let keys = self.state.subject_keys().await?;
        Ok(keys.into_iter().map(|(name, key)| (name, SubjectKey::new(key))).collect())
    }
}

#[async_trait]
impl AuditSink for AuditService {
    async fn record(&self, entry: Entry) -> Result<()> {
        Self::record(self, entry).await.map(drop)
    }
}

impl AuditQuery {
    fn matches(&self, opened: &Opened) -> bool {
        self.kind.is_none_or(|kind| kind == opened.event.kind())
            && self.until.is_none_or(|until| opened.at <= until)
            && self.table.as_ref().is_none_or(|table| opened.event.tables().contains(table))
    }
}

impl From<&TableUse> for TableRead {
    fn from(table: &TableUse) -> Self {
        Self {
            domain: table.domain.clone(),
            output: table.output.clone(),
            output_id: table.output_id.clone(),
            major: table.major,
            delta_version: table.delta_version,
            columns: table.columns.clone(),
            masked: table.masked.clone(),
            filtered: table.filtered,
            decision_digest: table.decision_digest.clone(),
        }
    }
}

fn stopped() -> Error {
    Error::environment("MW0450", "the audit log is closed: nothing can be recorded any more")
}
