use meshwork_core::id::{AgreementId, OutputId};
use meshwork_core::principal::{Grantee, Principal};
use meshwork_testkit::{agreement, moment, team};

use super::{Backend, code};

fn bob() -> Principal {
    Principal::User("bob".to_owned())
}

pub(crate) async fn grant_and_revoke_raise_the_epoch(state: &impl Backend) {
    let granted = agreement("a1", Grantee::Team(team("finance")), "orders");
    let start = state.policy_epoch().await.expect("read");
    state.grant(&granted).await.expect("granted");
    assert_eq!(state.policy_epoch().await.expect("read"), start + 1);
    let revoked = state.revoke(&granted.id, moment(5), &bob()).await.expect("revoked");
    assert_eq!(revoked.revoked_at, Some(moment(5)));
    assert_eq!(state.policy_epoch().await.expect("read"), start + 2);
    let again = state.revoke(&granted.id, moment(9), &bob()).await.expect("idempotent");
    assert_eq!(again, revoked);
    assert_eq!(state.policy_epoch().await.expect("read"), start + 2);
}

pub(crate) async fn a_revoked_agreement_is_kept_but_not_listed_for_its_output(state: &impl Backend) {
    for id in ["a1", "a2"] {
        state.grant(&agreement(id, Grantee::User("eve".to_owned()), "orders")).await.expect("granted");
    }
    state.grant(&agreement("a3", Grantee::User("eve".to_owned()), "leads")).await.expect("granted");
    state.revoke(&AgreementId::new("a1"), moment(5), &bob()).await.expect("revoked");
    let of = state.agreements_of(&OutputId::new("orders")).await.expect("read");
    assert_eq!(of.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["a2"]);
    let all = state.agreements().await.expect("read");
    assert_eq!(all.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["a3", "a2", "a1"]);
    assert!(state.agreement(&AgreementId::new("a1")).await.expect("read").expect("kept").revoked_at.is_some());
}

pub(crate) async fn unknown_and_taken_ids_are_told_apart(state: &impl Backend) {
    assert_eq!(code(state.revoke(&AgreementId::new("a9"), moment(5), &bob()).await), "MW0415");
    let granted = agreement("a1", Grantee::User("eve".to_owned()), "orders");
    state.grant(&granted).await.expect("granted");
    assert_eq!(code(state.grant(&granted).await), "MW0417");
}
