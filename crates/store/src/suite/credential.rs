use meshwork_control::port::state::{Token, User};
use meshwork_core::id::{TokenId, UserId};
use meshwork_testkit::{moment, team};

use super::{Backend, code};

fn user(called: &str) -> User {
    User {
        id: UserId::new(format!("id of {called}")),
        name: called.to_owned(),
        teams: vec![team("finance")],
        admin: false,
        password_hash: None,
        credential_version: 1,
        disabled: false,
        service: false,
    }
}

fn token(id: &str, user: &str) -> Token {
    Token {
        id: TokenId::new(id),
        user: user.to_owned(),
        label: "ci".to_owned(),
        hash: format!("hash of {id}"),
        created_at: moment(0),
        expires_at: Some(moment(60)),
        purpose: None,
        one_time: false,
        spent_at: None,
        scope: None,
        last_used_at: None,
    }
}

pub(crate) async fn every_change_raises_the_epoch(state: &impl Backend) {
    let start = state.policy_epoch().await.expect("read");
    state.put_user(&user("ana")).await.expect("put");
    state.put_token(&token("t1", "ana")).await.expect("put");
    state.remove_token(&TokenId::new("t1")).await.expect("removed");
    state.remove_user("ana").await.expect("removed");
    assert_eq!(state.policy_epoch().await.expect("read"), start + 4);
}

pub(crate) async fn changing_a_user_keeps_its_tokens(state: &impl Backend) {
    state.put_user(&user("ana")).await.expect("put");
    state.put_token(&token("t1", "ana")).await.expect("put");
    state.put_user(&User { disabled: true, ..user("ana") }).await.expect("put again");
    assert!(state.user("ana").await.expect("read").expect("there").disabled);
    assert_eq!(state.token_by_hash("hash of t1").await.expect("read").map(|t| t.user), Some("ana".to_owned()));
}

pub(crate) async fn removing_a_user_removes_its_tokens(state: &impl Backend) {
    for name in ["ana", "bob"] {
        state.put_user(&user(name)).await.expect("put");
        state.put_token(&token(&format!("token of {name}"), name)).await.expect("put");
    }
    state.remove_user("ana").await.expect("removed");
    assert!(state.token_by_hash("hash of token of ana").await.expect("read").is_none());
    let left: Vec<_> = state.tokens(None).await.expect("read").into_iter().map(|t| t.user).collect();
    assert_eq!(left, ["bob"]);
    assert_eq!(state.tokens(Some("ana")).await.expect("read").len(), 0);
}

pub(crate) async fn unknown_ones_are_not_found(state: &impl Backend) {
    assert!(state.user("eve").await.expect("read").is_none());
    assert_eq!(code(state.remove_user("eve").await), "MW0416");
    assert_eq!(code(state.remove_token(&TokenId::new("t9")).await), "MW0416");
    assert_eq!(code(state.put_token(&token("t1", "eve")).await), "MW0416");
}

pub(crate) async fn a_one_time_token_is_exchanged_once(state: &impl Backend) {
    state.put_user(&user("ana")).await.expect("put");
    state.put_token(&Token { one_time: true, ..token("once", "ana") }).await.expect("put");
    let spent = TokenId::new("once");
    // As many at once as there may be: one of them wins, and only its token is stored.
    let attempts = (0..8).map(|n| {
        let (state, spent, new) = (state.clone(), spent.clone(), token(&format!("new {n}"), "ana"));
        tokio::spawn(async move { state.exchange_token(&spent, moment(5), &new).await.expect("an answer") })
    });
    let mut won = Vec::new();
    for (n, attempt) in attempts.collect::<Vec<_>>().into_iter().enumerate() {
        if attempt.await.expect("ended") {
            won.push(format!("new {n}"));
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    let stored = state.tokens(Some("ana")).await.expect("read");
    let (spent_ones, others): (Vec<_>, Vec<_>) = stored.into_iter().partition(|token| token.one_time);
    assert_eq!(spent_ones.iter().map(|token| token.spent_at).collect::<Vec<_>>(), [Some(moment(5))]);
    assert_eq!(others.iter().map(|token| token.id.to_string()).collect::<Vec<_>>(), won);
    let late = state.exchange_token(&spent, moment(6), &token("late", "ana")).await.expect("an answer");
    let ordinary = TokenId::new(won.remove(0));
    let not_one_time = state.exchange_token(&ordinary, moment(6), &token("late", "ana")).await.expect("an answer");
    assert!(!late && !not_one_time);
}

pub(crate) async fn using_a_token_is_noted_and_changes_nobodys_rights(state: &impl Backend) {
    state.put_user(&user("ana")).await.expect("put");
    let scope = Some(["sales".parse().expect("a part"), "hr.people".parse().expect("a part")].into());
    state.put_token(&Token { scope, ..token("t1", "ana") }).await.expect("put");
    let epoch = state.policy_epoch().await.expect("read");
    state.use_token(&TokenId::new("t1"), moment(7)).await.expect("noted");
    let mut found = state.tokens(Some("ana")).await.expect("read").pop().expect("there");
    assert_eq!((found.last_used_at.take(), state.policy_epoch().await), (Some(moment(7)), Ok(epoch)));
    let scope: Vec<String> = found.scope.into_iter().flatten().map(|part| part.to_string()).collect();
    assert_eq!(scope, ["sales", "hr.people"]);
}
