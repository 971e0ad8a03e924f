use std::sync::Arc;

use meshwork_core::id::OutputId;
use meshwork_core::product::Status;
use meshwork_core::types::Literal;
use meshwork_testkit::{SeededEntropy, moment, name};

use super::*;
use crate::query::fakes::{State, acme};

struct Platform {
    state: Arc<State>,
    service: AccessService,
}

impl Platform {
    fn new() -> Self {
        let state = Arc::new(State::new(acme()));
        let service = AccessService {
            agreements: state.clone(),
            clock: state.clock.clone(),
            entropy: Arc::new(SeededEntropy::new(3)),
            governance: Arc::new(Governance::new(state.clone(), state.clone())),
            audit: state.clone(),
        };
        Self { state, service }
    }

    async fn grant(&self, by: &str, request: GrantRequest) -> Result<Agreement> {
        let subject = self.state.subject(by);
        self.service.grant(&subject, &subject, request).await
    }

    async fn listed(&self, by: &str) -> usize {
        self.service.list(&self.state.subject(by)).await.unwrap().len()
    }
}

fn to_ana() -> GrantRequest {
    GrantRequest {
        grantee: Grantee::User("ana".to_owned()),
        table: "sales.orders".to_owned(),
        purpose: "reporting".to_owned(),
        expires_at: None,
        columns: None,
        clear: Vec::new(),
        rows: RowFilter::default(),
        major: None,
        reason: None,
    }
}

fn condition(column: &str, op: Comparison, values: &[Literal]) -> RowFilter {
    RowFilter(vec![Predicate { column: column.to_owned(), op, values: values.to_vec() }])
}

#[tokio::test]
async fn owners_and_administrators_grant() {
    let platform = Platform::new();
    let granted = platform.grant("olga", to_ana()).await.unwrap();
    assert_eq!((granted.output, granted.major, granted.table.as_str()), (OutputId::new("orders"), 1, "sales.orders"));
    let versioned = GrantRequest { table: "sales.orders_v1".to_owned(), ..to_ana() };
    assert_eq!(platform.grant("olga", versioned).await.unwrap().table, "sales.orders");
    assert!(platform.grant("adam", GrantRequest { purpose: "audit".to_owned(), ..to_ana() }).await.is_ok());
    for other in ["ana", "fred"] {
        assert_eq!(platform.grant(other, to_ana()).await.unwrap_err().code, "MW0741");
    }
    let events = platform.state.events();
    assert!(matches!(&events[0], Event::Access { action, .. } if action == "grant"), "{events:?}");
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn granting_the_same_again_changes_nothing() {
    let platform = Platform::new();
    let first = platform.grant("olga", to_ana()).await.unwrap();
    assert_eq!(platform.grant("olga", to_ana()).await.unwrap(), first);
    assert_eq!(platform.listed("olga").await, 1);
}

#[tokio::test]
async fn an_unrecorded_grant_is_no_grant() {
    let platform = Platform::new();
    platform.state.break_audit();
    assert_eq!(platform.grant("olga", to_ana()).await.unwrap_err().code, "MW0714");
    assert_eq!(platform.listed("olga").await, 0);
}

#[tokio::test]
async fn what_is_not_there_is_named_with_what_may_have_been_meant() {
    let platform = Platform::new();
    let refused = |request: GrantRequest| async {
        let error = platform.grant("olga", request).await.unwrap_err();
        format!("{} {} {}", error.code, error.message, error.hints.last().cloned().unwrap_or_default())
    };
    let table = refused(GrantRequest { table: "sales.order".to_owned(), ..to_ana() }).await;
    assert!(table.starts_with("MW0701") && table.ends_with("Did you mean `sales.orders`?"), "{table}");
    let columns = Some(vec!["id".to_owned(), "emial".to_owned()]);
    assert_eq!(
        refused(GrantRequest { columns, ..to_ana() }).await,
        "MW0720 sales.orders has no column `emial` Did you mean `email`?"
    );
    assert_eq!(
        refused(GrantRequest { clear: vec![name("pi")], ..to_ana() }).await,
        "MW0720 the mesh has no classification `pi` Did you mean `pii`?"
    );
    let grantee = Grantee::Product { domain: name("finance"), product: name("cost") };
    assert!(refused(GrantRequest { grantee, ..to_ana() }).await.ends_with("Did you mean `costs`?"));
    let past = GrantRequest { expires_at: Some(moment(0)), ..to_ana() };
    assert!(refused(past).await.starts_with("MW0721"));
    assert!(refused(GrantRequest { purpose: " ".to_owned(), ..to_ana() }).await.starts_with("MW0721"));
    assert!(refused(GrantRequest { major: Some(9), ..to_ana() }).await.starts_with("MW0721"));
}

#[tokio::test]
async fn row_conditions_must_fit() {
    let platform = Platform::new();
    let text = Literal::Text("x".to_owned());
    let cases = [
        (condition("email", Comparison::Eq, std::slice::from_ref(&text)), "none"),
        (condition("email", Comparison::IsNull, &[]), "none"),
        (condition("email", Comparison::Eq, &[]), "MW0723"),
        (condition("email", Comparison::In, &[]), "MW0723"),
        (condition("email", Comparison::Eq, &[Literal::Integer(1)]), "MW0723"),
        (condition("mail", Comparison::Eq, &[text]), "MW0720"),
    ];
    for (rows, expected) in cases {
        let result = platform.grant("olga", GrantRequest { rows: rows.clone(), ..to_ana() }).await;
        assert_eq!(result.err().map_or("none".to_owned(), |e| e.code), expected, "{rows:?}");
    }
}

#[tokio::test]
async fn what_may_not_be_known_is_unknown() {
    let platform = Platform::new();
    platform.state.set_status(Status::Draft);
    let hidden = platform.grant("ana", to_ana()).await.unwrap_err();
    let unknown =
        platform.grant("ana", GrantRequest { table: "sales.zzzzzz".to_owned(), ..to_ana() }).await.unwrap_err();
    assert_eq!((hidden.code, hidden.hints), (unknown.code, unknown.hints));
    assert!(platform.grant("olga", to_ana()).await.is_ok(), "its owner prepares access to a draft");
}

#[tokio::test]
async fn revoking_is_for_the_owner_and_idempotent() {
    let platform = Platform::new();
    let id = platform.grant("olga", to_ana()).await.unwrap().id;
    let revoke = |by: &'static str| {
        let (subject, id) = (platform.state.subject(by), id.clone());
        let service = platform.service.clone();
        async move { service.revoke(&subject, &subject, &id).await }
    };
    assert_eq!(revoke("eva").await.unwrap_err().code, "MW0742", "not hers to see");
    assert_eq!(revoke("ana").await.unwrap_err().code, "MW0741", "hers to see, not to end");
    let revoked = revoke("olga").await.unwrap();
    assert!(revoked.revoked_at.is_some());
    assert_eq!(revoke("olga").await.unwrap(), revoked);
}

#[tokio::test]
async fn lists_show_ones_own() {
    let platform = Platform::new();
    platform.grant("olga", to_ana()).await.unwrap();
    let mut listed = Vec::new();
    for user in ["ana", "eva", "olga", "fred", "adam"] {
        listed.push((user, platform.listed(user).await));
    }
    assert_eq!(listed, [("ana", 1), ("eva", 0), ("olga", 1), ("fred", 0), ("adam", 1)]);
}
