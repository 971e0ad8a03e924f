use meshwork_control::port::state::AuditRecord;
use meshwork_core::audit::chain;

use super::{Backend, code};

fn records(count: u64) -> Vec<AuditRecord> {
    let mut previous = chain::GENESIS;
    (1..=count)
        .map(|sequence| {
            let leaf = format!("leaf {sequence}").into_bytes();
            let leaf_hash = chain::leaf_hash(&leaf);
            previous = chain::link(&previous, &leaf_hash);
            AuditRecord { sequence, leaf, leaf_hash, chain_hash: previous }
        })
        .collect()
}

pub(crate) async fn appends_in_order(state: &impl Backend) {
    let all = records(5);
    state.append(&all[..2]).await.expect("appended");
    state.append(&all[2..]).await.expect("appended");
    assert_eq!(state.last().await.expect("read").as_ref(), all.last());
    assert_eq!(state.read(0, 10).await.expect("read"), all);
    assert_eq!(state.read(1, 2).await.expect("read"), all[1..3]);
}

pub(crate) async fn refuses_gaps_and_forks(state: &impl Backend) {
    let all = records(4);
    state.append(&all[..2]).await.expect("appended");
    assert_eq!(code(state.append(&all[3..]).await), "MW0453", "a gap");
    assert_eq!(code(state.append(&all[1..3]).await), "MW0453", "a repetition");
    let mut fork = all[2].clone();
    fork.chain_hash = [7; 32];
    assert_eq!(code(state.append(&[all[2].clone(), fork]).await), "MW0453", "a fork");
    assert_eq!(state.read(0, 10).await.expect("read"), all[..2], "nothing of a refused batch stays");
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
