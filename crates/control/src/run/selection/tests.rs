use std::collections::BTreeMap;

use meshwork_core::principal::Principal;
use meshwork_core::product::{Archetype, ProductInput};

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Products as `domain.product[:status] < domain.product …`.
fn mesh(lines: &[&str]) -> Mesh {
    let mut mesh = Mesh {
        id: None,
        name: name("acme"),
        description: None,
        storage: "data".into(),
        storage_place: None,
        former_storage: Vec::new(),
        egress: meshwork_core::egress::Egress::default(),
        retention: None,
        limits: Default::default(),
        classifications: vec![],
        policies: vec![],
        domains: BTreeMap::new(),
    };
    for line in lines {
        let (left, inputs) = line.split_once('<').unwrap_or((line, ""));
        let (full, status) = left.trim().split_once(':').unwrap_or((left.trim(), "active"));
        let (domain, product) = full.split_once('.').unwrap();
        let entry = mesh.domains.entry(name(domain)).or_insert_with(|| Domain {
            id: None,
            name: name(domain),
            renamed_from: None,
            description: None,
            owner: name(domain).into(),
            members: vec![],
            storage: None,
            storage_place: None,
            retention: None,
            connections: BTreeMap::new(),
            products: BTreeMap::new(),
            path: format!("domains/{domain}"),
            place: None,
        });
        let inputs = inputs.split_whitespace().map(|input| {
            let (domain, product) = input.split_once('.').unwrap();
            let input = ProductInput {
                domain: name(domain),
                product: name(product),
                output: name(product),
                version: 1,
                purpose: None,
                incremental: None,
                place: None,
            };
            (name(product), Input::Product(input))
        });
        let product = Product {
            id: None,
            name: name(product),
            renamed_from: None,
            version: semver::Version::new(1, 0, 0),
            status: serde_json::from_value(serde_json::json!(status)).unwrap(),
            archetype: Archetype::Aggregate,
            description: None,
            retention: None,
            limits: Default::default(),
            inputs: inputs.collect(),
            outputs: BTreeMap::new(),
            path: format!("domains/{domain}/{product}"),
            place: None,
        };
        entry.products.insert(product.name.clone(), product);
    }
    mesh
}

fn member(domains: &[&str]) -> Subject {
    Subject {
        principal: Principal::User("ana".into()),
        teams: BTreeSet::new(),
        domains: domains.iter().map(|d| name(d)).collect(),
        admin: false,
        purpose: None,
        token: None,
        valid_until: None,
        scope: None,
    }
}

fn admin() -> Subject {
    Subject { admin: true, ..member(&[]) }
}

fn request(products: &[&str], upstream: bool) -> RunRequest {
    RunRequest { products: products.iter().map(|p| (*p).to_owned()).collect(), upstream, full_refresh: false }
}

fn names(selection: &Selection) -> Vec<String> {
    selection.steps.iter().map(Step::name).collect()
}

const ACME: &[&str] =
    &["sales.orders", "crm.people", "bi.view < sales.orders crm.people", "bi.top < bi.view", "bi.old:retired"];

#[test]
fn all_runs_upstream_first_and_says_what_it_leaves_out() {
    let selection = select(&mesh(ACME), &request(&["all"], false), &admin()).unwrap();
    assert_eq!(names(&selection), ["crm.people", "sales.orders", "bi.view", "bi.top"]);
    assert_eq!(selection.steps[2].after, [0, 1]);
    assert_eq!(selection.steps[3].after, [2]);
    assert_eq!(selection.skipped[0].0, "bi.old");
    assert_eq!(selection.skipped[0].1.code, "MW0653");
}

#[test]
fn all_means_what_the_caller_owns() {
    let selection = select(&mesh(ACME), &request(&["all"], true), &member(&["bi"])).unwrap();
    assert_eq!(names(&selection), ["bi.view", "bi.top"]);
}

#[test]
fn upstream_is_added_as_far_as_it_is_owned() {
    let selection = select(&mesh(ACME), &request(&["bi.top"], true), &member(&["bi", "crm"])).unwrap();
    assert_eq!(names(&selection), ["crm.people", "bi.view", "bi.top"]);
    let selection = select(&mesh(ACME), &request(&["bi.top"], false), &member(&["bi", "crm"])).unwrap();
    assert_eq!(names(&selection), ["bi.top"]);
}

#[test]
fn wrong_selectors_say_why() {
    let code = |selector: &str, subject: &Subject| {
        select(&mesh(ACME), &request(&[selector], false), subject).unwrap_err().code
    };
    assert_eq!(code("bi.nothing", &admin()), "MW0651");
    assert_eq!(code("nowhere", &admin()), "MW0651");
    assert_eq!(code("sales.orders", &member(&["bi"])), "MW0652");
    assert_eq!(code("bi.old", &admin()), "MW0653");
    let proposed = mesh(&["bi.idea:proposed"]);
    assert_eq!(names(&select(&proposed, &request(&["bi.idea"], false), &admin()).unwrap()), ["bi.idea"]);
}

#[test]
fn a_cycle_is_named() {
    let error = select(&mesh(&["a.x < b.y", "b.y < a.x"]), &request(&["all"], false), &admin()).unwrap_err();
    assert_eq!(error.message, "these products read from each other: a.x, b.y");
}
