//! The one task that writes the audit log. Entries that arrive while one commit is under way share the next, so that the
//! cost of a durable write is split among concurrent queries.

use std::collections::HashMap;
use std::sync::Arc;

use meshwork_core::audit::Entry;
use meshwork_core::audit::checkpoint::{Signer, Tree};
use meshwork_core::audit::leaf::{Leaf, Seal, SubjectKey, key_name};
use meshwork_core::audit::merkle::{self, Edge};
use meshwork_core::effect::Entropy;
use meshwork_core::error::{Error, Result};
use meshwork_core::principal::Principal;
use tokio::sync::{mpsc, oneshot};

use crate::port::state::{AuditBatch, AuditRecord, AuditState};

/// Entries in one transaction.
const BATCH: usize = 256;
/// Keys kept in memory; beyond that they are read again.
const KEYS: usize = 10_000;

pub(super) enum Request {
    Record { entry: Box<Entry>, reply: oneshot::Sender<Result<u64>> },
    Erase { name: String, reply: oneshot::Sender<Result<()>> },
}

pub(super) struct Sequencer {
    state: Arc<dyn AuditState>,
    entropy: Arc<dyn Entropy>,
    signer: Signer,
    keys: HashMap<String, SubjectKey>,
    /// Of the tree over all records; unknown at first, and again after an error, when the state may or may not have kept
    /// the batch.
    edge: Option<Edge>,
}

type Waiting = (Box<Entry>, oneshot::Sender<Result<u64>>);

impl Sequencer {
    pub(super) fn new(state: Arc<dyn AuditState>, entropy: Arc<dyn Entropy>, signer: Signer) -> Self {
        Self { state, entropy, signer, keys: HashMap::new(), edge: None }
    }

    /// A log from before there were checkpoints gets its first.
    pub(super) async fn begin(&mut self) {
        let signed = async {
            if self.state.last().await? > 0 && self.state.checkpoint().await?.is_none() {
                self.append(&[]).await?;
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = signed.await {
            // Whoever wants to record something is told; reading and verifying go on.
            tracing::error!(%error, "the audit log has no checkpoint");
        }
    }

    pub(super) async fn serve(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut requests = Vec::with_capacity(BATCH);
        while inbox.recv_many(&mut requests, BATCH).await > 0 {
            let mut batch: Vec<Waiting> = Vec::with_capacity(requests.len());
            for request in requests.drain(..) {
                match request {
                    Request::Record { entry, reply } => batch.push((entry, reply)),
                    Request::Erase { name, reply } => {
                        // What was asked for before the erasure is written before it.
                        self.commit(std::mem::take(&mut batch)).await;
                        let erased = self.erase(&name).await;
                        let _ = reply.send(erased);
                    }
                }
            }
            self.commit(batch).await;
        }
    }

    async fn commit(&mut self, batch: Vec<Waiting>) {
        if batch.is_empty() {
            return;
        }
        let result = self.append(&batch).await;
        if result.is_err() {
            self.edge = None;
        }
        for (at, (_, reply)) in batch.into_iter().enumerate() {
            // Who no longer waits does not need the answer.
            let _ = reply.send(result.as_ref().map(|first| first + at as u64).map_err(refused));
        }
    }

    /// Returns the sequence number of the first.
    async fn append(&mut self, batch: &[Waiting]) -> Result<u64> {
        let mut edge = match &self.edge {
            Some(edge) => edge.clone(),
            None => self.stored().await?,
        };
        let first = edge.size() + 1;
        let mut appended = AuditBatch::default();
        for (sequence, (entry, _)) in (first..).zip(batch) {
            let leaf = self.seal(sequence, entry).await?.to_bytes()?;
            appended.nodes.extend(edge.push(merkle::leaf(&leaf)));
            appended.records.push(AuditRecord { sequence, leaf });
        }
        appended.checkpoint = self.signer.sign(&Tree { size: edge.size(), root: edge.root() });
        self.state.append(&appended).await?;
        self.edge = Some(edge);
        Ok(first)
    }

    async fn stored(&self) -> Result<Edge> {
        let size = self.state.last().await?;
        let nodes = self.state.nodes(&Edge::places(size)).await?.into_iter().collect::<Option<Vec<_>>>();
        nodes.and_then(|nodes| Edge::new(size, nodes)).ok_or_else(|| {
            Error::environment("MW0451", "the audit log is broken: a part of its tree is missing")
                .hint("`meshwork audit verify` names the first record that does not hold; restore a backup")
        })
    }

    async fn seal(&mut self, sequence: u64, entry: &Entry) -> Result<Leaf> {
        let actor = self.key(&entry.actor).await?;
        let subject = self.key(&entry.subject).await?;
        let mut nonces = [[0; 12]; 2];
        nonces.iter_mut().for_each(|nonce| self.entropy.fill(nonce));
        Leaf::seal(sequence, entry, &Seal { actor: &actor, subject: &subject, nonces })
    }

    async fn key(&mut self, principal: &Principal) -> Result<SubjectKey> {
        let name = key_name(principal);
        if let Some(key) = self.keys.get(&name) {
            return Ok(key.clone());
        }
        let stored = match self.state.subject_key(&name).await? {
            Some(key) => key,
            None => {
                let mut key = [0; 32];
                self.entropy.fill(&mut key);
                self.state.put_subject_key(&name, key).await?;
                key
            }
        };
        if self.keys.len() >= KEYS {
            self.keys.clear();
        }
        let key = SubjectKey::new(stored);
        self.keys.insert(name, key.clone());
        Ok(key)
    }

    async fn erase(&mut self, name: &str) -> Result<()> {
        self.keys.remove(name);
        self.state.erase_subject(name).await
    }
}

fn refused(error: &Error) -> Error {
    let mut refused = Error::environment("MW0450", format!("the audit log cannot be written: {}", error.message));
    refused.hints.clone_from(&error.hints);
    refused
}
