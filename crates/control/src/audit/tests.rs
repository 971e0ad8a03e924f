use std::sync::Arc;

use async_trait::async_trait;
use meshwork_core::audit::checkpoint::Tree;
use meshwork_core::audit::merkle::{self, Edge, Hash, Place};
use meshwork_core::audit::{Entry, Event, Kind};
use meshwork_core::error::{Error, Result};
use meshwork_core::principal::Principal;
use meshwork_testkit::{SeededEntropy, moment};

use super::*;
use crate::port::state::{AuditBatch, AuditRecord};

/// A log in memory that anybody may tamper with, and that refuses to write when told.
#[derive(Default)]
struct Log {
    records: std::sync::Mutex<Vec<AuditRecord>>,
    nodes: std::sync::Mutex<BTreeMap<Place, Hash>>,
    checkpoint: std::sync::Mutex<Option<String>>,
    keys: std::sync::Mutex<BTreeMap<String, [u8; 32]>>,
    batches: std::sync::Mutex<Vec<usize>>,
    full: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl AuditState for Log {
    async fn append(&self, batch: &AuditBatch) -> Result<()> {
        // Lets others queue up, as a durable commit would.
        tokio::task::yield_now().await;
        if self.full.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(Error::environment("MW0404", "the disk is full").hint("free some space"));
        }
        self.batches.lock().expect("free").push(batch.records.len());
        self.records.lock().expect("free").extend_from_slice(&batch.records);
        self.nodes.lock().expect("free").extend(batch.nodes.iter().copied());
        *self.checkpoint.lock().expect("free") = Some(batch.checkpoint.clone());
        Ok(())
    }
    async fn last(&self) -> Result<u64> {
        Ok(self.records.lock().expect("free").last().map_or(0, |record| record.sequence))
    }
    async fn nodes(&self, places: &[Place]) -> Result<Vec<Option<Hash>>> {
        let nodes = self.nodes.lock().expect("free");
        Ok(places.iter().map(|place| nodes.get(place).copied()).collect())
    }
    async fn checkpoint(&self) -> Result<Option<String>> {
        Ok(self.checkpoint.lock().expect("free").clone())
    }
    async fn read(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>> {
        let records = self.records.lock().expect("free");
        Ok(records.iter().filter(|r| r.sequence > after).take(limit as usize).cloned().collect())
    }
    async fn subject_key(&self, subject: &str) -> Result<Option<[u8; 32]>> {
        Ok(self.keys.lock().expect("free").get(subject).copied())
    }
    async fn put_subject_key(&self, subject: &str, key: [u8; 32]) -> Result<()> {
        self.keys.lock().expect("free").entry(subject.to_owned()).or_insert(key);
        Ok(())
    }
    async fn subject_keys(&self) -> Result<Vec<(String, [u8; 32])>> {
        Ok(self.keys.lock().expect("free").clone().into_iter().collect())
    }
    async fn erase_subject(&self, subject: &str) -> Result<()> {
        self.keys.lock().expect("free").remove(subject);
        Ok(())
    }
}

fn signer() -> Signer {
    Signer::new("meshwork/m1", &[1; 32])
}

async fn started() -> (Arc<Log>, AuditService) {
    let log = Arc::new(Log::default());
    let service = AuditService::start(log.clone(), Arc::new(SeededEntropy::new(1)), signer()).await;
    (log, service)
}

fn user(name: &str) -> Principal {
    Principal::User(name.to_owned())
}

fn applied(by: &str, revision: u64) -> Entry {
    Entry::new(moment(revision as i64), user(by), Event::Apply { revision, changes: 1 })
        .with_statement(format!("apply {revision} by {by}"))
}

fn revisions(found: &[Opened]) -> Vec<u64> {
    found.iter().map(|one| if let Event::Apply { revision, .. } = one.event { revision } else { 0 }).collect()
}

#[tokio::test]
async fn what_is_recorded_is_there_in_order() {
    let (_, service) = started().await;
    for revision in 1..=5 {
        assert_eq!(AuditService::record(&service, applied("ana", revision)).await, Ok(revision));
    }
    let found = service.query(&AuditQuery { limit: 3, ..AuditQuery::default() }).await.expect("read");
    assert_eq!(revisions(&found), [5, 4, 3]);
    assert_eq!(found[0].actor.as_deref(), Some("user:ana"));
    assert_eq!(found[0].statement.as_deref(), Some("apply 5 by ana"));
    let page = service.query(&AuditQuery { before: Some(3), ..AuditQuery::default() }).await.expect("read");
    assert_eq!(revisions(&page), [2, 1]);
}

#[tokio::test]
async fn many_at_once_share_commits_and_lose_nothing() {
    let (log, service) = started().await;
    let tasks: Vec<_> = (1..=500)
        .map(|n| {
            let service = service.clone();
            tokio::spawn(async move { AuditService::record(&service, applied("ana", n)).await })
        })
        .collect();
    let mut sequences = Vec::new();
    for task in tasks {
        sequences.push(task.await.expect("no panic").expect("recorded"));
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=500).collect::<Vec<_>>());
    assert!(log.batches.lock().expect("free").len() < 250, "commits are shared");
    let verified = service.verify(None).await.expect("read");
    assert_eq!((verified.records, verified.broken), (500, None));
}

#[tokio::test]
async fn a_log_that_cannot_be_written_refuses_and_then_goes_on() {
    let (log, service) = started().await;
    AuditService::record(&service, applied("ana", 1)).await.expect("recorded");
    log.full.store(true, std::sync::atomic::Ordering::SeqCst);
    let error = AuditService::record(&service, applied("ana", 2)).await.expect_err("full");
    assert_eq!((error.code.as_str(), error.kind), ("MW0450", meshwork_core::Kind::Environment));
    assert!(error.message.contains("the disk is full"), "{error}");
    log.full.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(AuditService::record(&service, applied("ana", 3)).await, Ok(2));
    assert_eq!(service.verify(None).await.expect("read").broken, None);
}

#[tokio::test]
async fn a_restart_continues_the_log() {
    let (log, service) = started().await;
    AuditService::record(&service, applied("ana", 1)).await.expect("recorded");
    let again = AuditService::start(log, Arc::new(SeededEntropy::new(2)), signer()).await;
    assert_eq!(AuditService::record(&again, applied("ana", 2)).await, Ok(2));
    assert_eq!(again.verify(None).await.expect("read").records, 2);
}

#[tokio::test]
async fn filters() {
    let (_, service) = started().await;
    for (by, revision) in [("ana", 1), ("bob", 2), ("ana", 3)] {
        AuditService::record(&service, applied(by, revision)).await.expect("recorded");
    }
    let on_behalf = applied("eve", 4).on_behalf_of(user("bob"));
    AuditService::record(&service, on_behalf).await.expect("recorded");
    let find = |query: AuditQuery| {
        let service = service.clone();
        async move { revisions(&service.query(&query).await.expect("read")) }
    };
    assert_eq!(find(AuditQuery { principal: Some(user("ana")), ..AuditQuery::default() }).await, [3, 1]);
    assert_eq!(find(AuditQuery { principal: Some(user("bob")), ..AuditQuery::default() }).await, [4, 2]);
    assert_eq!(find(AuditQuery { principal: Some(user("nobody")), ..AuditQuery::default() }).await, [0; 0]);
    let between = AuditQuery { since: Some(moment(2)), until: Some(moment(3)), ..AuditQuery::default() };
    assert_eq!(find(between).await, [3, 2]);
    assert_eq!(find(AuditQuery { kind: Some(Kind::Run), ..AuditQuery::default() }).await, [0; 0]);
}

async fn five() -> (Arc<Log>, AuditService) {
    let (log, service) = started().await;
    for revision in 1..=5 {
        AuditService::record(&service, applied("ana", revision)).await.expect("recorded");
    }
    (log, service)
}

async fn broken_at(tamper: impl FnOnce(&Log)) -> Option<(u64, String)> {
    let (log, service) = five().await;
    tamper(&log);
    service.verify(None).await.expect("read").broken.map(|at| (at.sequence, at.because))
}

/// As somebody would who may write everything but has no key.
fn grown(log: &Log) -> Edge {
    let mut edge = Edge::default();
    let mut nodes = BTreeMap::new();
    for record in log.records.lock().expect("free").iter() {
        nodes.extend(edge.push(merkle::leaf(&record.leaf)));
    }
    *log.nodes.lock().expect("free") = nodes;
    edge
}

/// Still a leaf.
fn change(log: &Log, at: usize) {
    let record = &mut log.records.lock().expect("free")[at];
    let text = String::from_utf8(record.leaf.clone()).expect("text").replace("\"changes\":1", "\"changes\":2");
    record.leaf = text.into_bytes();
}

#[tokio::test]
async fn tampering_is_found_where_it_happened() {
    assert_eq!(broken_at(|_| {}).await, None);
    let recorded = "its bytes are not those that were recorded".to_owned();
    assert_eq!(broken_at(|log| change(log, 2)).await, Some((3, recorded)));
    // With the tree made to fit, the signature tells.
    let found = broken_at(|log| {
        change(log, 2);
        grown(log);
    });
    assert!(found.await.expect("found").1.contains("the checkpoint is of another"));
    let found = broken_at(|log| {
        change(log, 2);
        let edge = grown(log);
        let tree = Tree { size: edge.size(), root: edge.root() };
        *log.checkpoint.lock().expect("free") = Some(Signer::new("meshwork/m1", &[2; 32]).sign(&tree));
    });
    assert!(found.await.expect("found").1.contains("not signed with its key"));
    let found = broken_at(|log| drop(log.records.lock().expect("free").remove(1))).await;
    assert_eq!(found, Some((2, "record 2 is missing; the next one is 3".to_owned())));
    assert_eq!(broken_at(|log| log.records.lock().expect("free").swap(1, 2)).await.map(|found| found.0), Some(2));
    let found = broken_at(|log| log.records.lock().expect("free").truncate(3)).await;
    assert_eq!(found, Some((4, "records up to 5 were there".to_owned())));
    let found = broken_at(|log| {
        log.nodes.lock().expect("free").remove(&Place { level: 1, index: 1 });
    });
    assert_eq!(found.await.map(|found| found.0), Some(4));
    let unsigned = broken_at(|log| *log.checkpoint.lock().expect("free") = None).await;
    assert_eq!(unsigned, Some((1, "no checkpoint was signed for the log".to_owned())));
}

/// Who puts back an older state, checkpoint and all, is found by one that was kept elsewhere.
#[tokio::test]
async fn a_checkpoint_that_was_kept_tells_of_what_was_cut_off_or_rewritten() {
    let (log, service) = five().await;
    let older = service.checkpoint().await.expect("signed");
    AuditService::record(&service, applied("ana", 6)).await.expect("recorded");
    let kept = service.checkpoint().await.expect("signed");
    assert_eq!(service.verify(Some(&older)).await.expect("read").broken, None);
    assert_eq!(service.verify(Some(&kept)).await.expect("read").broken, None);
    log.records.lock().expect("free").truncate(5);
    grown(&log);
    *log.checkpoint.lock().expect("free") = Some(older.clone());
    assert_eq!(service.verify(None).await.expect("read").broken, None, "nothing else tells");
    let cut = service.verify(Some(&kept)).await.expect("read").broken.expect("found");
    assert_eq!((cut.sequence, cut.because.as_str()), (6, "records up to 6 were there, as the checkpoint shows"));
    change(&log, 0);
    let edge = grown(&log);
    *log.checkpoint.lock().expect("free") = Some(signer().sign(&Tree { size: 5, root: edge.root() }));
    let rewritten = service.verify(Some(&older)).await.expect("read").broken.expect("found");
    assert!(rewritten.because.contains("others than the checkpoint"), "{rewritten:?}");
    let foreign = Signer::new("meshwork/m2", &[1; 32]).sign(&Tree { size: 5, root: edge.root() });
    assert_eq!(service.verify(Some(&foreign)).await.expect_err("refused").code, "MW0454");
}

#[tokio::test]
async fn one_record_is_proved_without_the_others() {
    let (_, service) = five().await;
    assert_eq!(service.prove(0).await.expect_err("none").code, "MW0457");
    assert_eq!(service.prove(6).await.expect_err("none").code, "MW0457");
    for sequence in 1..=5 {
        let proof = service.prove(sequence).await.expect("there");
        assert_eq!(proof.check(service.verifier()).expect("holds").size, 5);
        let code = |proof: Proof| proof.check(service.verifier()).expect_err("refused").code;
        let leaf = proof.leaf.replace("\"changes\":1", "\"changes\":2");
        assert_eq!(code(Proof { leaf, ..proof.clone() }), "MW0456");
        assert_eq!(code(Proof { sequence: sequence % 5 + 1, ..proof.clone() }), "MW0456");
        assert_eq!(code(Proof { path: proof.path[1..].to_vec(), ..proof.clone() }), "MW0456");
        let other = Signer::new("meshwork/m1", &[2; 32]);
        assert_eq!(proof.check(other.verifier()).expect_err("refused").code, "MW0454");
    }
    let (checkpoint, path) = service.continues(3).await.expect("there");
    assert!(!path.is_empty() && service.verifier().open(&checkpoint).is_ok());
    assert_eq!(service.continues(6).await.expect_err("not so many").code, "MW0457");
}

/// A log of a version before there were checkpoints.
#[tokio::test]
async fn an_older_log_gets_its_first_checkpoint() {
    let (log, _service) = five().await;
    *log.checkpoint.lock().expect("free") = None;
    let again = AuditService::start(log, Arc::new(SeededEntropy::new(2)), signer()).await;
    assert_eq!(again.verify(None).await.expect("read").broken, None);
}

#[tokio::test]
async fn an_erasure_is_recorded_without_the_name() {
    let (_, service) = started().await;
    AuditService::record(&service, applied("ana", 1)).await.expect("recorded");
    let pseudonym = service.query(&AuditQuery::default()).await.expect("read")[0].actor_id.clone();
    service.forget(&user("adam"), &user("ana"), moment(9)).await.expect("erased");
    let found = service.query(&AuditQuery::default()).await.expect("read");
    assert_eq!(found[0].actor.as_deref(), Some("user:adam"));
    let Event::Access { action, object, .. } = &found[0].event else { panic!("{:?}", found[0].event) };
    assert_eq!((action.as_str(), object), ("audit.erase", &pseudonym));
    assert_eq!((found[1].actor.as_deref(), &found[1].actor_id), (None, &pseudonym));
    let again = service.forget(&user("adam"), &user("ana"), moment(10)).await.expect_err("nothing is left");
    assert_eq!(again.code, "MW0743");
}

#[tokio::test]
async fn erasing_a_person_leaves_a_log_that_verifies() {
    let (_, service) = started().await;
    AuditService::record(&service, applied("ana", 1)).await.expect("recorded");
    AuditService::record(&service, applied("bob", 2)).await.expect("recorded");
    service.erase(&user("ana")).await.expect("erased");
    let found = service.query(&AuditQuery::default()).await.expect("read");
    let names: Vec<_> = found.iter().map(|one| one.actor.as_deref()).collect();
    assert_eq!(names, [Some("user:bob"), None]);
    assert_eq!(found[1].statement, None);
    assert_eq!(service.verify(None).await.expect("read").broken, None);
    // Later entries of the same name get a new key and another pseudonym.
    AuditService::record(&service, applied("ana", 3)).await.expect("recorded");
    let found = service.query(&AuditQuery::default()).await.expect("read");
    assert_eq!(found[0].actor.as_deref(), Some("user:ana"));
    assert_ne!(found[0].actor_id, found[2].actor_id);
}
