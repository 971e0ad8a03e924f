use std::collections::BTreeSet;
use std::fmt::Write;

use super::*;
use crate::error::Kind;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn user(user: &str, domain: Option<&str>, admin: bool) -> Subject {
    let mut subject = Subject::user(user, [], admin, None);
    subject.domains = domain.map(name).into_iter().collect::<BTreeSet<_>>();
    subject
}

/// One line an action and resource, one column a role: `yes`, or the HTTP status of the refusal.
fn table() -> String {
    let (sales, grantee) = (name("sales"), Grantee::User("ana".to_owned()));
    let stranger = Grantee::User("x".to_owned());
    let own = Principal::User("ana".to_owned());
    let other = Principal::User("eva".to_owned());
    let product = |discoverable| Resource::Product { domain: &sales, called: "product sales.p", discoverable };
    let agreement = |grantee| Resource::Agreement { domain: &sales, grantee, called: "agreement 1" };
    let resources = [
        ("mesh", Resource::Mesh),
        ("domain sales", Resource::Domain { domain: &sales }),
        ("product sales.p", product(true)),
        ("hidden sales.p", product(false)),
        ("agreement of ana", agreement(&grantee)),
        ("agreement of x", agreement(&stranger)),
        ("user ana", Resource::User { name: "ana" }),
        ("user eva", Resource::User { name: "eva" }),
        ("audit of ana", Resource::AuditOf { principal: &own }),
        ("audit of eva", Resource::AuditOf { principal: &other }),
    ];
    let roles = [
        ("anonymous", None),
        ("member", Some(user("ana", None, false))),
        ("owner", Some(user("olga", Some("sales"), false))),
        ("other owner", Some(user("otto", Some("finance"), false))),
        ("admin", Some(user("adam", None, true))),
    ];
    let mut text = format!("{:<22}{:<18}", "action", "resource");
    for (role, _) in &roles {
        write!(text, "{role:<13}").unwrap();
    }
    text = text.trim_end().to_owned() + "\n";
    for action in ApiAction::ALL {
        for (label, resource) in &resources {
            let mut line = format!("{:<22}{label:<18}", action.name());
            for (_, subject) in &roles {
                let answer = match may(subject.as_ref(), action, *resource).map_err(|e| e.kind) {
                    Ok(()) => "yes",
                    Err(Kind::Unauthenticated) => "401",
                    Err(Kind::Forbidden) => "403",
                    Err(Kind::NotFound) => "404",
                    Err(_) => "?",
                };
                write!(line, "{answer:<13}").unwrap();
            }
            text += line.trim_end();
            text.push('\n');
        }
    }
    text
}

#[test]
fn golden() {
    let actual = table();
    if actual != include_str!("golden.txt") {
        panic!("role × action × resource changed; if it was meant, this is the new golden.txt:\n{actual}");
    }
}

#[test]
fn the_list_of_actions_is_complete() {
    let all: BTreeSet<ApiAction> = ApiAction::ALL.into_iter().collect();
    assert_eq!(all.len(), ApiAction::ALL.len(), "an action is listed twice");
    assert_eq!(*all.last().unwrap() as usize + 1, all.len(), "an action is missing from ALL");
}

#[test]
fn what_is_hidden_reads_like_what_is_unknown() {
    let sales = name("sales");
    let hidden = Resource::Product { domain: &sales, called: "product sales.plan", discoverable: false };
    for action in [ApiAction::ReadProduct, ApiAction::StartRun, ApiAction::ReadRunLog] {
        let error = may(Some(&user("ana", None, false)), action, hidden).unwrap_err();
        assert_eq!(error, unknown("product sales.plan"));
    }
}

#[test]
fn a_product_owns_nothing() {
    let product = Subject::product(name("sales"), name("orders"));
    let sales = name("sales");
    assert!(may(Some(&product), ApiAction::Grant, Resource::Domain { domain: &sales }).is_err());
}
