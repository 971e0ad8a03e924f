//! What a plan says about a change of the mesh.

use meshwork_core::agreement::Agreement;
use meshwork_core::contract::Contract;
use meshwork_core::id::Ids;
use meshwork_core::mesh::{Mesh, PolicyFile};
use meshwork_core::plan::{Action, Circumstances, Plan, assign_ids, plan};
use meshwork_core::principal::Grantee;
use meshwork_core::product::{Input, Output, Product, ProductInput, Status};
use meshwork_core::types::{ColumnType, LogicalType};
use meshwork_testkit::{
    SeededEntropy, TestClock, agreement, contract, domain, field, mesh, moment, name, output, product, team,
};

const NOBODY: Circumstances<'static> = Circumstances { prune: false, agreements: &[], now: moment_zero() };

const fn moment_zero() -> meshwork_core::effect::Timestamp {
    meshwork_core::effect::Timestamp::UNIX_EPOCH
}

fn orders(version: &str) -> Contract {
    contract("orders", version, [field("id"), field("email")])
}

/// `sales.orders` with one output of the contract.
fn sales(contract: Contract) -> Product {
    product("orders", [output("orders", contract)])
}

fn one(product: Product) -> Mesh {
    mesh([domain("sales", [product])])
}

/// As the state would hold it after an apply.
fn applied(mesh: &Mesh) -> Mesh {
    then(None, mesh)
}

fn then(before: Option<&Mesh>, mesh: &Mesh) -> Mesh {
    assign_ids(before, mesh, false, Ids { clock: &TestClock::new(), entropy: &SeededEntropy::new(7) })
}

fn codes(plan: &Plan) -> Vec<&str> {
    plan.problems.iter().map(|problem| problem.code.as_str()).collect()
}

fn compared(old: &Mesh, new: &Mesh) -> Plan {
    plan(Some(&applied(old)), new, NOBODY)
}

fn at_version(mut product: Product, version: &str) -> Product {
    product.version = version.parse().expect("a version");
    product
}

fn with_status(mut product: Product, status: Status) -> Product {
    product.status = status;
    product
}

/// `analytics.report`, which reads a major of `sales.orders`.
fn report(major: u32) -> Product {
    let mut report = product("report", [output("report", contract("report", "1.0.0", [field("email")]))]);
    let reads = ProductInput {
        domain: name("sales"),
        product: name("orders"),
        output: name("orders"),
        version: major,
        purpose: None,
        incremental: None,
        place: None,
    };
    report.inputs = [(name("o"), Input::Product(reads))].into();
    for version in report.outputs.values_mut().flat_map(|output| output.versions.values_mut()) {
        version.sql.text = "SELECT lower(email) AS email FROM o".to_owned();
    }
    report
}

#[test]
fn a_first_plan_creates_everything() {
    let plan = plan(None, &one(sales(orders("1.0.0"))), NOBODY);
    assert_eq!(codes(&plan), [""; 0]);
    assert_eq!(
        plan.to_text(),
        "+ mesh acme\n\
         + domain sales\n\
         +   product sales.orders\n\
         +     output sales.orders\n\
         +     version sales.orders v1\n\
         \n\
         Plan: 5 to create, 0 to change, 0 to retire.\n"
    );
}

#[test]
fn planning_what_is_applied_is_empty() {
    let declared = one(sales(orders("1.0.0")));
    let plan = compared(&declared, &declared);
    assert!(plan.is_empty(), "{}", plan.to_text());
    assert_eq!(plan.to_text(), "No changes: what is declared is what is applied.\n");
}

#[test]
fn ids_stay_through_renames_and_new_ones_are_given() {
    let before = applied(&one(sales(orders("1.0.0"))));
    let mut renamed = sales(contract("orders", "2.0.0", [field("id"), field("mail")]));
    renamed.name = name("bookings");
    renamed.renamed_from = Some(name("orders"));
    let mut port = renamed.outputs.remove("orders").expect("there");
    port.name = name("bookings");
    port.renamed_from = Some(name("orders"));
    let version = port.versions.get_mut(&2).expect("there");
    version.contract.tables[0].fields[1].renamed_from = Some("email".to_owned());
    renamed.outputs.insert(port.name.clone(), port);
    let mut selling = domain("selling", [renamed]);
    selling.renamed_from = Some(name("sales"));
    let after = then(Some(&before), &mesh([selling]));

    assert_eq!(after.domains.len(), 1, "the old names are gone");
    let (old, new) = (before.domain("sales").expect("was"), after.domain("selling").expect("is"));
    assert_eq!(old.id, new.id);
    let (old, new) = (&old.products["orders"], &new.products["bookings"]);
    assert_eq!(old.id, new.id);
    let (old, new) = (&old.outputs["orders"], &new.outputs["bookings"]);
    assert_eq!(old.id, new.id);
    let (old, new) = (&old.versions[&1].contract, &new.versions[&2].contract);
    assert_eq!(old.id, new.id, "a new major continues the contract");
    let ids = |contract: &Contract| contract.tables[0].fields.iter().map(|f| f.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(old), ids(new), "a renamed column stays the same column");
    assert!(ids(new).iter().all(Option::is_some));

    // Applying the same again, `renamed_from` and all, changes nothing.
    let again = plan(Some(&after), &after, NOBODY);
    assert!(again.is_empty(), "{}", again.to_text());
}

#[test]
fn a_compatible_change_needs_a_minor_version_of_contract_and_product() {
    let old = one(sales(orders("1.0.0")));
    let wider = |version: &str| sales(contract("orders", version, [field("id"), field("email"), field("phone")]));
    assert_eq!(codes(&compared(&old, &one(wider("1.0.0")))), ["MW0301"]);
    assert_eq!(codes(&compared(&old, &one(wider("1.0.1")))), ["MW0304", "MW0301"]);
    let plan = compared(&old, &one(wider("1.1.0")));
    assert_eq!(codes(&plan), ["MW0304"]);
    assert_eq!(plan.problems[0].hints, ["set `version: 1.1.0` in domains/d/orders"]);
    assert_eq!(codes(&compared(&old, &one(at_version(wider("1.1.0"), "1.1.0")))), [""; 0]);
    assert_eq!(codes(&compared(&old, &one(at_version(wider("1.1.0"), "2.0.0")))), [""; 0]);
}

#[test]
fn a_breaking_change_needs_a_new_major_beside_the_old() {
    let old = one(sales(orders("1.0.0")));
    let narrower = |version: &str| contract("orders", version, [field("id")]);
    let plan = compared(&old, &one(at_version(sales(narrower("1.9.0")), "2.0.0")));
    assert_eq!(codes(&plan), ["MW0303"]);
    assert!(plan.problems[0].message.contains("email"), "{}", plan.problems[0].message);

    let mut both = at_version(sales(orders("1.0.0")), "2.0.0");
    let second = output("orders", narrower("2.0.0")).versions.remove(&2).expect("there");
    both.outputs.get_mut("orders").expect("there").versions.insert(2, second);
    let plan = compared(&old, &one(both));
    assert_eq!(codes(&plan), [""; 0]);
    assert!(plan.to_text().contains("+     version sales.orders v2"), "{}", plan.to_text());
    assert!(plan.notes.iter().any(|note| note.contains("v2 differs from v1")), "{:?}", plan.notes);
}

#[test]
fn a_changed_type_names_the_readers_of_the_column() {
    let old = mesh([domain("sales", [sales(orders("1.0.0"))]), domain("analytics", [report(1)])]);
    let mut number = field("email");
    number.native = ColumnType::Int64;
    number.logical_type = LogicalType::Integer;
    let changed = sales(contract("orders", "1.1.0", [field("id"), number]));
    let new = mesh([domain("sales", [at_version(changed, "1.1.0")]), domain("analytics", [report(1)])]);
    let plan = compared(&old, &new);
    assert_eq!(codes(&plan), ["MW0303"]);
    let change = plan.changes.iter().find(|change| change.name == "sales.orders v1").expect("changed");
    assert!(change.details.iter().any(|detail| detail.breaking));
    let [affected] = change.affects.as_slice() else { panic!("one reader: {:?}", change.affects) };
    assert_eq!(affected.consumer, "product:analytics.report");
    assert_eq!(affected.through, "input o");
    assert_eq!(affected.columns, ["email"]);
}

#[test]
fn a_read_major_goes_only_after_its_sunset() {
    let mut two = at_version(sales(orders("1.0.0")), "2.0.0");
    let second = output("orders", orders("2.0.0")).versions.remove(&2).expect("there");
    two.outputs.get_mut("orders").expect("there").versions.insert(2, second);
    let only_second = |sunset: Option<chrono::NaiveDate>| {
        let mut two = two.clone();
        two.outputs.get_mut("orders").expect("there").versions.get_mut(&1).expect("there").sunset = sunset;
        let old = applied(&one(two.clone()));
        let mut new = at_version(two, "3.0.0");
        new.outputs.get_mut("orders").expect("there").versions.remove(&1);
        (old, one(new))
    };
    let agreed = |old: &Mesh| -> Vec<Agreement> {
        let (_, output) = old.output("sales", "orders").expect("there");
        vec![agreement("a1", Grantee::Team(team("finance")), output.id.as_ref().expect("given").as_str())]
    };
    let judge = |sunset: Option<chrono::NaiveDate>, granted: bool| {
        let (old, new) = only_second(sunset);
        let agreements = if granted { agreed(&old) } else { Vec::new() };
        let circumstances = Circumstances { prune: false, agreements: &agreements, now: moment(0) };
        let plan = plan(Some(&old), &new, circumstances);
        (codes(&plan).join(" "), plan.notes.join(" "))
    };
    let day = |text: &str| Some(text.parse().expect("a day"));
    assert_eq!(judge(None, false).0, "");
    assert_eq!(judge(None, true).0, "MW0307");
    assert_eq!(judge(day("2026-06-30"), true).0, "MW0307");
    let (codes, notes) = judge(day("2025-12-31"), true);
    assert_eq!(codes, "");
    assert!(notes.contains("team:finance"), "{notes}");
}

#[test]
fn status_goes_forward() {
    use Status as S;
    for (from, to, expected) in [
        (S::Draft, S::Active, ""),
        (S::Draft, S::Retired, ""),
        (S::Active, S::Deprecated, ""),
        (S::Deprecated, S::Active, ""),
        (S::Active, S::Draft, "MW0305"),
        (S::Retired, S::Active, "MW0305"),
        (S::Retired, S::Draft, "MW0305"),
    ] {
        let old = one(with_status(sales(orders("1.0.0")), from));
        let new = one(with_status(sales(orders("1.0.0")), to));
        assert_eq!(codes(&compared(&old, &new)).join(" "), expected, "{from:?} → {to:?}");
    }
}

#[test]
fn an_absent_product_stays_until_it_is_pruned() {
    let old = applied(&mesh([domain("sales", [sales(orders("1.0.0"))]), domain("hr", [])]));
    let without = mesh([domain("sales", [])]);
    let kept = plan(Some(&old), &without, NOBODY);
    assert!(kept.is_empty(), "{}", kept.to_text());
    assert!(kept.notes[0].contains("sales.orders"), "{:?}", kept.notes);
    let pruned = plan(Some(&old), &without, Circumstances { prune: true, ..NOBODY });
    let [change] = pruned.changes.as_slice() else { panic!("{}", pruned.to_text()) };
    assert_eq!((change.action, change.name.as_str()), (Action::Retire, "sales.orders"));
    let next =
        assign_ids(Some(&old), &without, true, Ids { clock: &TestClock::new(), entropy: &SeededEntropy::new(1) });
    assert_eq!(next.domain("sales").expect("there").products["orders"].status, Status::Retired);
    assert!(next.domain("hr").is_some(), "a domain that is not in the checkout is not touched");
}

#[test]
fn a_checkout_of_one_domain_keeps_the_policies_of_the_mesh_and_of_others() {
    let policy = |path: &str, domain: Option<&str>| PolicyFile {
        path: path.to_owned(),
        text: String::new(),
        domain: domain.map(name),
    };
    let mut all = mesh([domain("sales", []), domain("hr", [])]);
    all.policies = vec![policy("global", None), policy("hr", Some("hr")), policy("sales", Some("sales"))];
    let old = applied(&all);
    let next = then(Some(&old), &mesh([domain("sales", [])]));
    let paths: Vec<_> = next.policies.iter().map(|policy| policy.path.as_str()).collect();
    assert_eq!(paths, ["global", "hr"], "only its own, which it no longer holds, is gone");
}

#[test]
fn inputs_must_be_served() {
    let missing = plan(None, &mesh([domain("analytics", [report(1)])]), NOBODY);
    assert_eq!(codes(&missing), ["MW0310"]);
    let other = mesh([domain("sales", [sales(orders("1.0.0"))]), domain("analytics", [report(2)])]);
    assert_eq!(codes(&plan(None, &other, NOBODY)), ["MW0310"]);
    let retired = with_status(sales(orders("1.0.0")), Status::Retired);
    let gone = mesh([domain("sales", [retired]), domain("analytics", [report(1)])]);
    assert_eq!(codes(&plan(None, &gone, NOBODY)), ["MW0310"]);
    let old = with_status(sales(orders("1.0.0")), Status::Deprecated);
    let warned = plan(None, &mesh([domain("sales", [old]), domain("analytics", [report(1)])]), NOBODY);
    assert_eq!(codes(&warned), [""; 0]);
    assert_eq!(warned.notes, ["analytics.report reads sales.orders v1, whose product is deprecated"]);
}

#[test]
fn retiring_what_is_read_is_refused() {
    let old = mesh([domain("sales", [sales(orders("1.0.0"))]), domain("analytics", [report(1)])]);
    let retired = with_status(sales(orders("1.0.0")), Status::Retired);
    let new = mesh([domain("sales", [retired]), domain("analytics", [report(1)])]);
    let plan = compared(&old, &new);
    assert_eq!(codes(&plan), ["MW0310", "MW0307"]);
    assert!(plan.problems[1].message.contains("product:analytics.report (input o)"), "{}", plan.problems[1].message);
}

#[test]
fn a_rename_from_what_is_still_declared_is_a_problem() {
    let mut second = product("bookings", []);
    second.renamed_from = Some(name("orders"));
    let both = mesh([domain("sales", [sales(orders("1.0.0")), second])]);
    assert_eq!(codes(&compared(&one(sales(orders("1.0.0"))), &both)), ["MW0309"]);
}

#[test]
fn an_output_name_is_taken_even_by_an_absent_product() {
    let old = applied(&one(sales(orders("1.0.0"))));
    let other = product("bookings", [output("orders", orders("1.0.0"))]);
    assert_eq!(codes(&plan(Some(&old), &one(other), NOBODY)), ["MW0312"]);
}

#[test]
fn a_moved_line_is_no_change() {
    let declared = |line: u32| {
        let mut product = report(1);
        if let Some(Input::Product(input)) = product.inputs.get_mut("o") {
            input.place = Some(meshwork_core::Place { path: "product.yaml".to_owned(), line, column: 3 });
        }
        mesh([domain("sales", [sales(orders("1.0.0"))]), domain("analytics", [product])])
    };
    let plan = compared(&declared(4), &declared(9));
    assert!(plan.is_empty(), "{}", plan.to_text());
}

#[test]
fn what_changes_says_whose_it_is() {
    let old = mesh([domain("sales", [sales(orders("1.0.0"))]), domain("hr", [])]);
    let mut new = old.clone();
    new.domains.get_mut("hr").expect("there").members.push("ana".to_owned());
    let plan = compared(&old, &new);
    assert_eq!(plan.domains().into_iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["hr"]);
    assert!(!plan.touches_mesh());
    assert_eq!(plan.changes[0].details[0].text, "member `ana` added");
    let json = serde_json::to_value(&plan).expect("JSON");
    assert_eq!(json["changes"][0]["action"], "change");
    assert_eq!(json["changes"][0]["object"], "domain");
}

#[test]
fn an_output_that_goes_is_a_major_version_of_its_product() {
    let two = |outputs: Vec<Output>, version: &str| one(at_version(product("orders", outputs), version));
    let extra = || output("returns", contract("returns", "1.0.0", [field("id")]));
    let old = two(vec![output("orders", orders("1.0.0")), extra()], "1.0.0");
    let gone = |version: &str| two(vec![output("orders", orders("1.0.0"))], version);
    assert_eq!(codes(&compared(&old, &gone("1.1.0"))), ["MW0304"]);
    let plan = compared(&old, &gone("2.0.0"));
    assert_eq!(codes(&plan), [""; 0]);
    assert!(plan.to_text().contains("-     output sales.returns"), "{}", plan.to_text());
    assert_eq!(
        codes(&compared(&gone("1.0.0"), &two(vec![output("orders", orders("1.0.0")), extra()], "1.1.0"))),
        [""; 0]
    );
}

#[test]
fn a_forbid_does_not_lose_its_object_by_a_rename() {
    let mut old = one(sales(orders("1.0.0")));
    old.policies = vec![PolicyFile {
        path: "governance/access/orders.cedar".to_owned(),
        text: r#"forbid (principal, action == Action::"Query", resource in Product::"sales.orders");"#.to_owned(),
        domain: None,
    }];
    assert_eq!(codes(&plan(None, &old, NOBODY)), [""; 0]);
    let mut renamed = sales(orders("1.0.0"));
    renamed.name = name("bookings");
    renamed.renamed_from = Some(name("orders"));
    let mut new = one(renamed);
    new.policies.clone_from(&old.policies);
    let plan = compared(&old, &new);
    assert_eq!(codes(&plan), ["MW0734"], "{}", plan.to_text());
}

#[test]
fn a_sunset_is_announced_ahead_of_its_day() {
    let old = mesh([domain("sales", [sales(orders("1.0.0"))]), domain("analytics", [report(1)])]);
    let judge = |day: &str| {
        let mut new = old.clone();
        let product = new.domains.get_mut("sales").expect("there").products.get_mut("orders").expect("there");
        let version = product.outputs.get_mut("orders").expect("there").versions.get_mut(&1).expect("there");
        version.sunset = Some(day.parse().expect("a day"));
        let circumstances = Circumstances { prune: false, agreements: &[], now: moment(0) };
        codes(&plan(Some(&applied(&old)), &new, circumstances)).join(" ")
    };
    assert_eq!(judge("2026-01-01"), "MW0308", "today is too late");
    assert_eq!(judge("2026-01-02"), "");
}

#[test]
fn a_renamed_output_is_told_to_those_who_were_granted_it() {
    let old = applied(&one(sales(orders("1.0.0"))));
    let id = old.output("sales", "orders").and_then(|(_, output)| output.id.clone()).expect("given");
    let mut renamed = at_version(sales(orders("1.0.0")), "2.0.0");
    let mut port = renamed.outputs.remove("orders").expect("there");
    port.name = name("bookings");
    port.renamed_from = Some(name("orders"));
    renamed.outputs.insert(port.name.clone(), port);
    let agreements = [agreement("a1", Grantee::User("ana".to_owned()), id.as_str())];
    let plan = plan(Some(&old), &one(renamed), Circumstances { agreements: &agreements, ..NOBODY });
    assert_eq!(codes(&plan), [""; 0], "{}", plan.to_text());
    let change = plan.changes.iter().find(|change| change.name == "sales.bookings").expect("changed");
    assert!(change.details[0].breaking);
    assert_eq!(change.affects[0].consumer, "user:ana");
}
