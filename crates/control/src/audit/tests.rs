use std::sync::Arc;

use async_trait::async_trait;
use meshwork_core::audit::{Entry, Event, Kind, chain};
use meshwork_core::error::{Error, Result};
use meshwork_core::principal::Principal;
use meshwork_testkit::{SeededEntropy, moment};

use super::*;

/// A log in memory that anybody may tamper with, and that refuses to write when told.
#[derive(Default)]
struct Log {
    records: std::sync::Mutex<Vec<AuditRecord>>,
    keys: std::sync::Mutex<BTreeMap<String, [u8; 32]>>,
    batches: std::sync::Mutex<Vec<usize>>,
    full: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl AuditState for Log {
    async fn append(&self, records: &[AuditRecord]) -> Result<()> {
        // Lets others queue up, as a durable commit would.
        tokio::task::yield_now().await;
        if self.full.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(Error::environment("MW0404", "the disk is full").hint("free some space"));
        }
        self.batches.lock().expect("free").push(records.len());
        self.records.lock().expect("free").extend_from_slice(records);
        Ok(())
    }
    async fn last(&self) -> Result<Option<AuditRecord>> {
        Ok(self.records.lock().expect("free").last().cloned())
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

fn started() -> (Arc<Log>, AuditService) {
    let log = Arc::new(Log::default());
    let service = AuditService::start(log.clone(), Arc::new(SeededEntropy::new(1)));
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
    let (_, service) = started();
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
    let (log, service) = started();
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
    let verified = service.verify().await.expect("read");
    assert_eq!((verified.records, verified.broken), (500, None));
}

#[tokio::test]
async fn a_log_that_cannot_be_written_refuses_and_then_goes_on() {
    let (log, service) = started();
    AuditService::record(&service, applied("ana", 1)).await.expect("recorded");
    log.full.store(true, std::sync::atomic::Ordering::SeqCst);
    let error = AuditService::record(&service, applied("ana", 2)).await.expect_err("full");
    assert_eq!((error.code.as_str(), error.kind), ("MW0450", meshwork_core::Kind::Environment));
    assert!(error.message.contains("the disk is full"), "{error}");
    log.full.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(AuditService::record(&service, applied("ana", 3)).await, Ok(2));
    assert_eq!(service.verify().await.expect("read").broken, None);
}

#[tokio::test]
async fn a_restart_continues_the_chain() {
    let (log, service) = started();
    AuditService::record(&service, applied("ana", 1)).await.expect("recorded");
    let again = AuditService::start(log, Arc::new(SeededEntropy::new(2)));
    assert_eq!(AuditService::record(&again, applied("ana", 2)).await, Ok(2));
    assert_eq!(again.verify().await.expect("read").records, 2);
}

#[tokio::test]
async fn filters() {
    let (_, service) = started();
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

async fn broken_at(tamper: impl FnOnce(&mut Vec<AuditRecord>)) -> Option<(u64, String)> {
    let (log, service) = started();
    for revision in 1..=5 {
        AuditService::record(&service, applied("ana", revision)).await.expect("recorded");
    }
    tamper(&mut log.records.lock().expect("free"));
    service.verify().await.expect("read").broken.map(|at| (at.sequence, at.because))
}

#[tokio::test]
async fn tampering_is_found_where_it_happened() {
    assert_eq!(broken_at(|_| {}).await, None);
    let found = broken_at(|records| records[2].leaf[20] ^= 1).await;
    assert_eq!(found, Some((3, "its bytes do not match its hash".to_owned())));
    // A forger who also fixes the leaf's hash breaks the chain.
    let found = broken_at(|records| {
        records[2].leaf[20] ^= 1;
        records[2].leaf_hash = chain::leaf_hash(&records[2].leaf);
    })
    .await;
    assert_eq!(found, Some((3, "it does not continue the chain".to_owned())));
    let found = broken_at(|records| drop(records.remove(1))).await;
    assert_eq!(found, Some((2, "record 2 is missing; the next one is 3".to_owned())));
    assert_eq!(broken_at(|records| records.swap(1, 2)).await.map(|(sequence, _)| sequence), Some(2));
}

#[tokio::test]
async fn an_erasure_is_recorded_without_the_name() {
    let (_, service) = started();
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
    let (_, service) = started();
    AuditService::record(&service, applied("ana", 1)).await.expect("recorded");
    AuditService::record(&service, applied("bob", 2)).await.expect("recorded");
    service.erase(&user("ana")).await.expect("erased");
    let found = service.query(&AuditQuery::default()).await.expect("read");
    let names: Vec<_> = found.iter().map(|one| one.actor.as_deref()).collect();
    assert_eq!(names, [Some("user:bob"), None]);
    assert_eq!(found[1].statement, None);
    assert_eq!(service.verify().await.expect("read").broken, None);
    // Later entries of the same name get a new key and another pseudonym.
    AuditService::record(&service, applied("ana", 3)).await.expect("recorded");
    let found = service.query(&AuditQuery::default()).await.expect("read");
    assert_eq!(found[0].actor.as_deref(), Some("user:ana"));
    assert_ne!(found[0].actor_id, found[2].actor_id);
}
