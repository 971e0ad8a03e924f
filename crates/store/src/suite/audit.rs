use meshwork_control::port::state::{AuditBatch, AuditRecord};
use meshwork_core::audit::merkle::{self, Edge, Place};

use super::{Backend, code};

/// Of records `from..=to` in a log that has those before.
fn batch(from: u64, to: u64) -> AuditBatch {
    let mut edge = Edge::default();
    let mut batch = AuditBatch { checkpoint: format!("of {to}"), ..AuditBatch::default() };
    for sequence in 1..=to {
        let leaf = format!("leaf {sequence}").into_bytes();
        let completed = edge.push(merkle::leaf(&leaf));
        if sequence >= from {
            batch.nodes.extend(completed);
            batch.records.push(AuditRecord { sequence, leaf });
        }
    }
    batch
}

pub(crate) async fn appends_in_order(state: &impl Backend) {
    assert_eq!((state.last().await, state.checkpoint().await), (Ok(0), Ok(None)));
    state.append(&batch(1, 2)).await.expect("appended");
    state.append(&batch(3, 5)).await.expect("appended");
    let all = batch(1, 5);
    assert_eq!(state.last().await, Ok(5));
    assert_eq!(state.read(0, 10).await.expect("read"), all.records);
    assert_eq!(state.read(1, 2).await.expect("read"), all.records[1..3]);
    assert_eq!(state.checkpoint().await.expect("read").as_deref(), Some("of 5"));
    let places: Vec<Place> = all.nodes.iter().map(|(place, _)| *place).collect();
    let hashes: Vec<_> = all.nodes.iter().map(|(_, hash)| Some(*hash)).collect();
    assert_eq!(state.nodes(&places).await.expect("read"), hashes);
    assert_eq!(state.nodes(&[Place { level: 3, index: 0 }]).await.expect("read"), [None]);
}

pub(crate) async fn refuses_gaps_and_forks(state: &impl Backend) {
    state.append(&batch(1, 2)).await.expect("appended");
    assert_eq!(code(state.append(&batch(4, 4)).await), "MW0453", "a gap");
    assert_eq!(code(state.append(&batch(2, 3)).await), "MW0453", "a repetition");
    let mut twice = batch(3, 3);
    twice.records.extend(batch(3, 3).records);
    assert_eq!(code(state.append(&twice).await), "MW0453", "a fork");
    assert_eq!(state.read(0, 10).await.expect("read"), batch(1, 2).records, "nothing of a refused batch stays");
    assert_eq!(state.checkpoint().await.expect("read").as_deref(), Some("of 2"));
}

pub(crate) async fn the_first_key_of_a_subject_stays_until_erased(state: &impl Backend) {
    assert_eq!(state.subject_key("user:ana").await.expect("read"), None);
    state.put_subject_key("user:ana", [1; 32]).await.expect("put");
    state.put_subject_key("user:ana", [2; 32]).await.expect("put");
    assert_eq!(state.subject_key("user:ana").await.expect("read"), Some([1; 32]));
    assert_eq!(state.subject_keys().await.expect("read"), [("user:ana".to_owned(), [1; 32])]);
    state.erase_subject("user:ana").await.expect("erased");
    assert_eq!(state.subject_key("user:ana").await.expect("read"), None);
}
