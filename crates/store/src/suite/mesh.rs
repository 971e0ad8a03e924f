use meshwork_core::principal::Principal;
use meshwork_testkit::{domain, mesh, moment};
use serde_json::json;

use super::{Backend, code};

fn ana() -> Principal {
    Principal::User("ana".to_owned())
}

pub(crate) async fn a_new_state_has_an_id_and_no_mesh(state: &impl Backend) {
    let applied = state.applied().await.expect("read");
    assert_eq!((applied.revision, applied.mesh), (0, None));
    assert!(!applied.mesh_id.as_str().is_empty());
}

pub(crate) async fn apply_replaces_and_counts(state: &impl Backend) {
    let first = mesh([domain("sales", [])]);
    let second = mesh([domain("sales", []), domain("finance", [])]);
    assert_eq!(state.apply(0, &first, &json!([]), &ana(), moment(1)).await, Ok(1));
    assert_eq!(state.apply(1, &second, &json!([]), &ana(), moment(2)).await, Ok(2));
    let applied = state.applied().await.expect("read");
    assert_eq!((applied.revision, applied.mesh), (2, Some(second)));
}

pub(crate) async fn apply_on_an_old_base_is_refused_and_changes_nothing(state: &impl Backend) {
    let first = mesh([domain("sales", [])]);
    state.apply(0, &first, &json!([]), &ana(), moment(1)).await.expect("applied");
    let epoch = state.policy_epoch().await.expect("read");
    assert_eq!(code(state.apply(0, &mesh([]), &json!([]), &ana(), moment(2)).await), "MW0410");
    assert_eq!(state.applied().await.expect("read").mesh, Some(first));
    assert_eq!(state.policy_epoch().await.expect("read"), epoch);
}

pub(crate) async fn of_applies_at_once_on_one_base_one_wins(state: &impl Backend) {
    let tries: Vec<_> = (0..8)
        .map(|n| {
            let state = state.clone();
            tokio::spawn(async move {
                let declared = mesh([domain(&format!("d{n}"), [])]);
                state.apply(0, &declared, &json!([]), &ana(), moment(n)).await
            })
        })
        .collect();
    let mut won = 0;
    for one in tries {
        match one.await.expect("no panic") {
            Ok(revision) => {
                assert_eq!(revision, 1);
                won += 1;
            }
            Err(error) => assert_eq!(error.code, "MW0410"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(state.applied().await.expect("read").mesh.expect("applied").domains.len(), 1);
}
