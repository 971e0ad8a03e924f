use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::agreement::Agreement;
use crate::classification::{Classification, LogicalFamily};
use crate::contract::{Contract, Dialect, Field, Table};
use crate::effect::Timestamp;
use crate::filter::{Comparison, Predicate, RowFilter};
use crate::id::{AgreementId, ColumnId, OutputId};
use crate::lineage::{ColumnLineage, ColumnSource, Inherited};
use crate::mask::Mask;
use crate::mesh::{Domain, Mesh, PolicyFile};
use crate::name::{Name, TeamName};
use crate::principal::{Grantee, Principal, Subject};
use crate::product::{Archetype, Mode, OnViolation, Output, OutputFilter, OutputVersion, Product, SqlFile, Status};
use crate::publication::{Body, PublishedOutput, TableLocation};
use crate::quality::{ClauseResult, Outcome, RowSample};
use crate::run::{ColumnProfile, OutputReport, RunReport};
use crate::types::{ColumnType, Literal, LogicalType};

fn team(text: &str) -> TeamName {
    TeamName::new(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

fn field(called: &str, native: ColumnType, classifications: &[&str]) -> Field {
    Field {
        id: Some(ColumnId::new(format!("column-{called}"))),
        name: called.to_owned(),
        physical_name: None,
        renamed_from: None,
        logical_type: LogicalType::String,
        physical_type: None,
        native,
        required: true,
        unique: false,
        primary_key: None,
        classifications: classifications.iter().map(|c| name(c)).collect(),
        description: None,
        tags: Vec::new(),
        examples: Vec::new(),
        default_timezone: None,
        format: None,
        place: None,
    }
}

fn version(major: u64) -> OutputVersion {
    let fields = vec![
        field("id", ColumnType::Int64, &[]),
        field("region", ColumnType::Text, &[]),
        field("email", ColumnType::Text, &["pii"]),
        field("born", ColumnType::Date, &["pii"]),
        field("diagnosis", ColumnType::Text, &["health", "pii"]),
    ];
    let table =
        Table { name: "orders".to_owned(), physical_name: None, description: None, fields, clauses: Vec::new() };
    OutputVersion {
        contract: Contract {
            id: None,
            name: "orders".to_owned(),
            version: semver::Version::new(major, 0, 0),
            dialect: Dialect::Short,
            owner: None,
            description: None,
            tables: vec![table],
            sla: Vec::new(),
            digest: "digest".to_owned(),
            path: "orders.contract.yaml".to_owned(),
            text: String::new(),
        },
        table: "orders".to_owned(),
        sql: SqlFile { path: "orders.sql".to_owned(), text: "SELECT * FROM raw".to_owned() },
        sunset: None,
    }
}

/// `sales.orders`, active, majors 1 and 2, both published, owned by `sales_team`.
struct World {
    mesh: Mesh,
    agreements: Vec<Agreement>,
    published: BTreeMap<u32, PublishedOutput>,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let output = Output {
            id: Some(OutputId::new("orders-id")),
            name: name("orders"),
            renamed_from: None,
            versions: BTreeMap::from([(1, version(1)), (2, version(2))]),
            mode: Mode::Full,
            key: Vec::new(),
            merge: crate::product::Merge::default(),
            on_violation: OnViolation::Block,
            quarantine_limit: Default::default(),
            row_filters: Vec::new(),
            place: None,
        };
        let product = Product {
            id: None,
            name: name("shop"),
            renamed_from: None,
            version: semver::Version::new(1, 0, 0),
            status: Status::Active,
            archetype: Archetype::SourceAligned,
            description: None,
            retention: None,
            limits: Default::default(),
            inputs: BTreeMap::new(),
            outputs: BTreeMap::from([(name("orders"), output)]),
            path: "domains/sales/shop".to_owned(),
            place: None,
        };
        let domain = Domain {
            id: None,
            name: name("sales"),
            renamed_from: None,
            description: None,
            owner: team("sales_team"),
            members: vec!["olga".to_owned()],
            storage: None,
            storage_place: None,
            retention: None,
            connections: BTreeMap::new(),
            products: BTreeMap::from([(name("shop"), product)]),
            path: "domains/sales".to_owned(),
            place: None,
        };
        let class = |of: &str, parent: Option<&str>, mask| Classification {
            name: name(of),
            description: None,
            parent: parent.map(name),
            mask,
            by_type: vec![(LogicalFamily::Date, Mask::TruncateToYear)],
        };
        let mesh = Mesh {
            id: None,
            name: name("acme"),
            description: None,
            storage: "storage".into(),
            storage_place: None,
            former_storage: Vec::new(),
            egress: crate::egress::Egress::default(),
            retention: None,
            limits: Default::default(),
            classifications: vec![
                class("pii", None, Mask::HmacSha256),
                class("health", Some("pii"), Mask::ReplaceWithNull),
            ],
            policies: Vec::new(),
            domains: BTreeMap::from([(name("sales"), domain)]),
        };
        let served = |major: u32| PublishedOutput {
            output: OutputId::new("orders-id"),
            major,
            contract_version: semver::Version::new(u64::from(major), 0, 0),
            contract_digest: "digest".to_owned(),
            location: TableLocation::of("file:///storage/", &OutputId::new("orders-id"), major),
            delta_version: 0,
            rows: 1,
            bytes: 1,
            lineage: Vec::new(),
            body: Body::Stored,
        };
        let published = BTreeMap::from([(1, served(1)), (2, served(2))]);
        Self { mesh, agreements: Vec::new(), published, now: at(0) }
    }

    fn product(&mut self) -> &mut Product {
        self.mesh.domains.get_mut("sales").unwrap().products.get_mut("shop").unwrap()
    }

    fn output(&mut self) -> &mut Output {
        self.product().outputs.get_mut("orders").unwrap()
    }

    fn policy(mut self, text: &str) -> Self {
        self.mesh.policies.push(PolicyFile {
            path: "governance/access/x.cedar".into(),
            text: text.into(),
            domain: None,
        });
        self
    }

    fn with(mut self, agreement: Agreement) -> Self {
        self.agreements.push(agreement);
        self
    }

    fn status(mut self, status: Status) -> Self {
        self.product().status = status;
        self
    }

    fn filter(mut self, except: &[&str]) -> Self {
        let predicates = vec![eu()];
        let except = except.iter().map(|called| team(called)).collect();
        self.output().row_filters.push(OutputFilter { name: name("europe"), predicates, except });
        self
    }

    fn decide(&self, subject: &Subject) -> Decision {
        self.decide_as(subject, None, None)
    }

    fn decide_as(&self, subject: &Subject, purpose: Option<&str>, major: Option<u32>) -> Decision {
        let (product, output) = self.mesh.output("sales", "orders").unwrap();
        Policies::load(&self.mesh).unwrap().decide(&Request {
            subject,
            purpose,
            domain: &name("sales"),
            product,
            output,
            major,
            agreements: &self.agreements,
            classifications: &self.mesh.classifications,
            published: &self.published,
            now: self.now,
        })
    }
}

fn eu() -> Predicate {
    Predicate { column: "region".to_owned(), op: Comparison::Eq, values: vec![Literal::Text("EU".to_owned())] }
}

fn agreement(id: &str, grantee: Grantee) -> Agreement {
    Agreement {
        id: AgreementId::new(id),
        grantee,
        output: OutputId::new("orders-id"),
        table: "sales.orders".to_owned(),
        major: 1,
        purpose: "reporting".to_owned(),
        columns: None,
        clear: Vec::new(),
        rows: RowFilter::default(),
        granted_by: Principal::User("olga".to_owned()),
        granted_at: at(0),
        expires_at: None,
        revoked_at: None,
        reason: None,
    }
}

fn ana() -> Subject {
    Subject::user("ana", [team("analysts")], false, None)
}

fn to_ana() -> Agreement {
    agreement("a1", Grantee::User("ana".to_owned()))
}

fn olga(world: &World) -> Subject {
    Subject::user("olga", [], false, Some(&world.mesh))
}

fn access(decision: &Decision, column: &str) -> ColumnAccess {
    decision.column(column).unwrap_or_else(|| panic!("{column}: {:?}", decision.refusal)).access
}

fn code(decision: &Decision) -> &str {
    decision.refusal.as_ref().map_or("allowed", |error| error.code.as_str())
}

#[test]
fn status_decides_who_knows_and_who_reads() {
    let world = World::new();
    let member = ana();
    let owner = olga(&world);
    let admin = Subject::user("adam", [], true, None);
    let seen = |status, subject: &Subject, granted: bool| {
        let mut world = World::new().status(status);
        if granted {
            world = world.with(to_ana());
        }
        code(&world.decide(subject)).to_owned()
    };
    use Status::*;
    // Unknown (MW0701) is all that others learn of a product before it is active and after it is retired.
    assert_eq!(
        [Proposed, Draft, Active, Deprecated, Retired].map(|s| seen(s, &member, false)),
        ["MW0701", "MW0701", "MW0702", "MW0702", "MW0701"]
    );
    assert_eq!(
        [Proposed, Draft, Active, Deprecated, Retired].map(|s| seen(s, &member, true)),
        ["MW0701", "MW0701", "allowed", "allowed", "MW0701"]
    );
    assert_eq!(
        [Proposed, Draft, Active, Deprecated, Retired].map(|s| seen(s, &owner, false)),
        ["allowed", "allowed", "allowed", "allowed", "MW0701"]
    );
    // Administrators know of everything that is not retired and read like anyone else.
    assert_eq!(
        [Proposed, Draft, Active, Deprecated, Retired].map(|s| seen(s, &admin, false)),
        ["MW0706", "MW0706", "MW0702", "MW0702", "MW0701"]
    );
}

#[test]
fn a_proposed_product_warns_on_each_use() {
    let world = World::new().status(Status::Proposed);
    let decision = world.decide(&olga(&world));
    assert_eq!(decision.warnings, ["sales.orders is proposed: nobody vouches for its contract yet"]);
}

#[test]
fn a_deprecated_product_warns_on_each_use() {
    let decision = World::new().status(Status::Deprecated).with(to_ana()).decide(&ana());
    assert_eq!(decision.warnings, ["sales.orders is deprecated: it may be retired"]);
}

#[test]
fn a_refusal_names_the_command_that_would_grant() {
    let refusal = World::new().decide(&ana()).refusal.unwrap();
    assert_eq!(refusal.message, "user:ana may not query sales.orders: there is no agreement");
    assert_eq!(refusal.hints, ["ask its owner to run: meshwork access grant user:ana sales.orders --purpose PURPOSE"]);
}

#[test]
fn classified_columns_are_masked_even_at_home_until_granted() {
    let world = World::new();
    let at_home = world.decide(&olga(&world));
    assert_eq!(access(&at_home, "id"), ColumnAccess::Clear);
    assert_eq!(access(&at_home, "email"), ColumnAccess::Masked(Mask::HmacSha256));
    assert_eq!(access(&at_home, "born"), ColumnAccess::Masked(Mask::TruncateToYear));
    assert_eq!(access(&at_home, "diagnosis"), ColumnAccess::Masked(Mask::ReplaceWithNull));

    let granted = World::new().with(Agreement { clear: vec![name("pii")], ..to_ana() }).decide(&ana());
    assert_eq!(access(&granted, "email"), ColumnAccess::Clear);
    // One of its two classifications is not granted.
    assert_eq!(access(&granted, "diagnosis"), ColumnAccess::Masked(Mask::ReplaceWithNull));
    let both = Agreement { clear: vec![name("pii"), name("health")], ..to_ana() };
    assert_eq!(access(&World::new().with(both).decide(&ana()), "diagnosis"), ColumnAccess::Clear);
}

#[test]
fn revocation_and_expiry_end_access_and_the_decision_knows_when() {
    let expiring = Agreement { expires_at: Some(at(60)), ..to_ana() };
    let mut world = World::new().with(expiring);
    let decision = world.decide(&ana());
    assert_eq!((code(&decision), decision.valid_until), ("allowed", Some(at(60))));
    world.now = at(60);
    assert_eq!(code(&world.decide(&ana())), "MW0702");

    let revoked = Agreement { revoked_at: Some(at(0)), ..to_ana() };
    assert_eq!(code(&World::new().with(revoked).decide(&ana())), "MW0702");

    let mut with_token = ana();
    with_token.valid_until = Some(at(10));
    assert_eq!(World::new().with(to_ana()).decide(&with_token).valid_until, Some(at(10)));
}

#[test]
fn a_team_and_a_product_can_be_grantees() {
    let team = World::new().with(agreement("a1", Grantee::Team(team("analysts"))));
    assert!(team.decide(&ana()).allowed);
    let grantee = Grantee::Product { domain: name("finance"), product: name("ledger") };
    let product = World::new().with(agreement("a1", grantee));
    assert!(product.decide(&Subject::product(name("finance"), name("ledger"))).allowed);
    assert_eq!(code(&product.decide(&Subject::product(name("finance"), name("other")))), "MW0702");
    // Of its own domain: no agreement needed, and masked like its people.
    let sibling = World::new().decide(&Subject::product(name("sales"), name("forecast")));
    assert_eq!(access(&sibling, "email"), ColumnAccess::Masked(Mask::HmacSha256));
}

#[test]
fn one_purpose_is_in_force() {
    let research = Agreement { purpose: "research".to_owned(), clear: vec![name("pii")], major: 2, ..to_ana() };
    let world = World::new().with(to_ana()).with(Agreement { id: AgreementId::new("a2"), ..research });
    let ambiguous = world.decide(&ana());
    assert_eq!(code(&ambiguous), "MW0704");
    assert_eq!(ambiguous.refusal.unwrap().hints[0], "the purposes are: `reporting`, `research`");
    let reporting = world.decide_as(&ana(), Some("reporting"), None);
    assert_eq!((reporting.major, access(&reporting, "email")), (1, ColumnAccess::Masked(Mask::HmacSha256)));
    let research = world.decide_as(&ana(), Some("research"), None);
    assert_eq!((research.major, access(&research, "email")), (2, ColumnAccess::Clear));
    assert_eq!(research.purpose.as_deref(), Some("research"));
    assert_eq!(code(&world.decide_as(&ana(), Some("marketing"), None)), "MW0703");
    // At home a purpose that nobody granted changes nothing.
    assert!(world.decide_as(&olga(&world), Some("marketing"), None).allowed);
}

#[test]
fn agreements_for_one_purpose_are_not_added_together() {
    let narrow = Agreement { columns: Some(vec!["id".to_owned()]), ..to_ana() };
    let wide = Agreement { id: AgreementId::new("a2"), clear: vec![name("pii")], granted_at: at(-5), ..to_ana() };
    let decision = World::new().with(wide).with(narrow).decide(&ana());
    assert_eq!(decision.agreements, [AgreementId::new("a1")], "the newer one");
    assert_eq!(access(&decision, "email"), ColumnAccess::Withheld);
    assert_eq!(decision.visible().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["id"]);
}

#[test]
fn majors() {
    let mut world = World::new().with(to_ana());
    assert_eq!(world.decide(&ana()).major, 1, "what the agreement pins");
    assert_eq!(world.decide(&olga(&world)).major, 2, "the newest at home");
    assert_eq!(world.decide_as(&ana(), None, Some(2)).major, 2, "named outright");
    world.published.remove(&2);
    assert_eq!(world.decide(&olga(&world)).major, 1, "the newest that is published");
    world.output().versions.get_mut(&1).unwrap().sunset = Some(at(0).date_naive());
    let before = world.decide(&ana());
    assert_eq!(before.valid_until, Some(at(86_400)), "the sunset is still served");
    assert_eq!(before.warnings, ["version 1 of sales.orders is served until 2026-01-01: move to sales.orders_v2"]);
    world.now = at(86_400);
    let after = world.decide(&ana());
    assert_eq!(code(&after), "MW0708");
    assert!(after.refusal.unwrap().hints[0].contains("sales.orders_v2"));
}

#[test]
fn row_filters_hold_for_all_but_the_excepted() {
    let german = Predicate { values: vec![Literal::Text("DE".to_owned())], ..eu() };
    let own = Agreement { rows: RowFilter(vec![german.clone()]), ..to_ana() };
    let world = World::new().filter(&["auditors"]).with(own);
    assert_eq!(world.decide(&ana()).rows, RowFilter(vec![german.clone(), eu()]));
    assert_eq!(world.decide(&olga(&world)).rows, RowFilter(vec![eu()]), "owners are not exempt");
    let auditor = Subject::user("ana", [team("auditors")], false, None);
    assert_eq!(world.decide(&auditor).rows, RowFilter(vec![german]), "what the agreement says remains");
}

#[test]
fn a_filter_that_cannot_be_applied_refuses() {
    let lost = Predicate { column: "gone".to_owned(), ..eu() };
    let world = World::new().with(Agreement { rows: RowFilter(vec![lost]), ..to_ana() });
    assert_eq!(code(&world.decide(&ana())), "MW0707");
}

#[test]
fn products_get_no_query_local_hash() {
    let mut world = World::new();
    world.mesh.classifications[0].mask = Mask::Sha256QueryLocal;
    assert_eq!(access(&world.decide(&olga(&world)), "email"), ColumnAccess::Masked(Mask::Sha256QueryLocal));
    let product = Subject::product(name("sales"), name("forecast"));
    assert_eq!(access(&world.decide(&product), "email"), ColumnAccess::Withheld);
}

fn pii(masked_by: Option<Mask>) -> Inherited {
    Inherited { classification: name("pii"), masked_by }
}

/// Lineage of all columns, with this for `region`, which its contract does not classify.
fn derived(world: &mut World, column: &str, inherited: Inherited) {
    let columns = ["id", "region", "email", "born", "diagnosis"];
    let lineage = columns.map(|c| {
        let bears: Vec<Inherited> = if c == column { vec![inherited.clone()] } else { Vec::new() };
        let from = ColumnSource { input: "up".into(), column: c.into(), flows: true, bears: bears.clone() };
        ColumnLineage { column: c.to_owned(), from: vec![from], inherited: bears }
    });
    for published in world.published.values_mut() {
        published.lineage = lineage.to_vec();
    }
}

#[test]
fn inherited_classifications_bind_though_the_contract_is_silent() {
    let mut world = World::new();
    derived(&mut world, "region", pii(None));
    let decision = world.decide(&olga(&world));
    assert_eq!(access(&decision, "region"), ColumnAccess::Masked(Mask::HmacSha256));
    assert_eq!(decision.column("region").unwrap().bears, [pii(Some(Mask::HmacSha256))]);
}

#[test]
fn what_arrived_masked_is_not_masked_again_unless_more_strictly() {
    let mut world = World::new();
    derived(&mut world, "email", pii(Some(Mask::HmacSha256)));
    let decision = world.decide(&olga(&world));
    assert_eq!(access(&decision, "email"), ColumnAccess::Clear, "declared pii, but it arrived as a hash");
    assert_eq!(decision.column("email").unwrap().bears, [pii(Some(Mask::HmacSha256))]);

    derived(&mut world, "email", pii(Some(Mask::ShowLast4)));
    assert_eq!(access(&world.decide(&olga(&world)), "email"), ColumnAccess::Masked(Mask::HmacSha256));

    // Another column flows in whose values nobody masked.
    for published in world.published.values_mut() {
        let email = published.lineage.iter_mut().find(|l| l.column == "email").unwrap();
        email.from.push(ColumnSource { input: "raw".into(), column: "mail".into(), flows: true, bears: Vec::new() });
        email.from[0].bears = vec![pii(Some(Mask::HmacSha256))];
        email.inherited = vec![pii(Some(Mask::HmacSha256))];
    }
    assert_eq!(access(&world.decide(&olga(&world)), "email"), ColumnAccess::Masked(Mask::HmacSha256));
}

#[test]
fn a_column_that_was_not_published_is_not_shown() {
    let mut world = World::new();
    derived(&mut world, "email", pii(None));
    for published in world.published.values_mut() {
        published.lineage.retain(|l| l.column != "born");
    }
    assert!(world.decide(&olga(&world)).column("born").is_none());
}

#[test]
fn a_forbid_wins_and_is_named() {
    let world = World::new().with(to_ana()).policy(
        "@id(\"no-orders\") forbid (principal, action == Action::\"Query\", resource == Output::\"sales.orders\");",
    );
    let decision = world.decide(&ana());
    assert_eq!(code(&decision), "MW0705");
    assert_eq!(decision.because, ["governance/access/x.cedar: no-orders"]);
}

#[test]
fn a_policy_scoped_to_something_else_is_not_even_asked() {
    let world = World::new().with(to_ana()).policy(
        "forbid (principal, action, resource in Domain::\"finance\");\n\
         forbid (principal, action, resource == Output::\"sales.other\");",
    );
    assert!(world.decide(&ana()).allowed);
}

/// An integer overflow is valid by every schema and fails when evaluated.
#[test]
fn a_policy_that_fails_refuses() {
    let world = World::new().with(to_ana()).policy(
        "@id(\"broken\") forbid (principal, action == Action::\"Query\", resource) \
         when { 9223372036854775807 + 1 == 0 && resource.name == \"never\" };",
    );
    let decision = world.decide(&ana());
    assert_eq!(code(&decision), "MW0705");
    assert_eq!(decision.because, ["governance/access/x.cedar: broken could not be evaluated"]);
    // Also when only the clear values are asked for: masked, not shown.
    let world = World::new()
        .with(Agreement { clear: vec![name("pii")], ..to_ana() })
        .policy("forbid (principal, action == Action::\"ReadClear\", resource) when { 9223372036854775807 + 1 == 0 };");
    assert_eq!(access(&world.decide(&ana()), "email"), ColumnAccess::Masked(Mask::HmacSha256));
    assert_eq!(access(&world.decide(&ana()), "id"), ColumnAccess::Masked(Mask::ReplaceWithNull));
}

fn findings(text: &str, domain: Option<&str>) -> Vec<String> {
    let file = PolicyFile { path: "p.cedar".to_owned(), text: text.to_owned(), domain: domain.map(name) };
    let found = validate(&[file], &World::new().mesh);
    found.iter().map(|d| format!("{} {}", d.code, d.place)).collect()
}

#[test]
fn policy_files_are_checked_with_places() {
    let none: [&str; 0] = [];
    assert_eq!(findings("permit (principal in Team::\"x\", action == Action::\"Query\", resource);", None), none);
    assert_eq!(findings("// one\n\npermit (principal, action, ;", None), ["MW0730 p.cedar:3:28"]);
    assert_eq!(findings("permit (principal, action == Action::\"Delete\", resource);", None).len(), 1);
    // `purpose` is optional: untested, it may be absent.
    let unguarded = "\nforbid (principal, action == Action::\"Query\", resource)\nwhen { context.purpose == \"x\" };";
    assert!(findings(unguarded, None)[0].starts_with("MW0731 p.cedar:3"), "{:?}", findings(unguarded, None));
    assert_eq!(findings("forbid (principal == ?principal, action, resource);", None), ["MW0730 p.cedar:1:1"]);
    assert_eq!(
        findings("forbid (principal, action, resource == Output::\"sales.odrers\");", None),
        ["MW0734 p.cedar:1:1"]
    );
}

#[test]
fn a_domain_may_only_forbid_and_only_at_home() {
    let none: [&str; 0] = [];
    let sales = Some("sales");
    assert_eq!(findings("forbid (principal, action, resource in Domain::\"sales\");", sales), none);
    assert_eq!(findings("forbid (principal, action, resource in Product::\"sales.shop\");", sales), none);
    assert_eq!(findings("forbid (principal, action, resource == Output::\"sales.orders\");", sales), none);
    assert_eq!(findings("forbid (principal, action, resource is Output in Domain::\"sales\");", sales), none);
    let permits = "\n  permit (principal, action, resource in Domain::\"sales\");";
    assert_eq!(findings(permits, sales), ["MW0732 p.cedar:2:3"]);
    for elsewhere in [
        "forbid (principal, action, resource);",
        "forbid (principal, action, resource is Output);",
        "forbid (principal, action, resource in Domain::\"finance\");",
        "forbid (principal, action, resource in Product::\"sales_x.shop\");",
        "forbid (principal, action, resource) when { resource in Domain::\"sales\" };",
    ] {
        assert_eq!(findings(elsewhere, sales), ["MW0733 p.cedar:1:1"], "{elsewhere}");
    }
}

#[test]
fn a_mesh_whose_policies_do_not_load_allows_nothing() {
    let world = World::new().policy("permit (");
    let error = Policies::load(&world.mesh).unwrap_err();
    assert_eq!((error.code.as_str(), error.diagnostics.len()), ("MW0709", 1));
}

#[test]
fn the_digest_is_over_obligations() {
    let world = World::new().with(to_ana());
    let before = world.decide(&ana()).digest;
    assert_eq!(before, world.decide(&ana()).digest);
    assert_ne!(before, World::new().with(to_ana()).filter(&[]).decide(&ana()).digest);
    let clear = World::new().with(Agreement { clear: vec![name("pii")], ..to_ana() });
    assert_ne!(before, clear.decide(&ana()).digest);
    assert_ne!(before, World::new().decide(&ana()).digest);
}

#[test]
fn reports_show_what_their_reader_may_see() {
    let clause = ClauseResult {
        clause: "email.pattern".to_owned(),
        severity: crate::error::Severity::Error,
        outcome: Outcome::Fail,
        message: "1 of 3 rows".to_owned(),
        measured: None,
        failing_rows: Some(1),
        checked_rows: Some(3),
        samples: vec![RowSample {
            source: None,
            row: Some(2),
            values: vec![("id".to_owned(), Some("7".to_owned())), ("email".to_owned(), Some("a@b.c".to_owned()))],
        }],
    };
    let profile = |column: &str| ColumnProfile {
        column: column.to_owned(),
        nulls: 1,
        min: Some("min".to_owned()),
        ..ColumnProfile::default()
    };
    let output = OutputReport {
        output: OutputId::new("orders-id"),
        name: "orders".to_owned(),
        major: 1,
        contract_version: semver::Version::new(1, 0, 0),
        contract_digest: "digest".to_owned(),
        location: TableLocation::of("file:///storage/", &OutputId::new("orders-id"), 1),
        rows: 3,
        bytes: 100,
        changes: None,
        rebuilt: false,
        quarantine: None,
        release: None,
        clauses: vec![clause],
        profile: vec![profile("id"), profile("email")],
        lineage: Vec::new(),
        body: Body::Stored,
        staged: Some(serde_json::json!({})),
    };
    let report = RunReport { outputs: vec![output], rows_read: 3, bytes_read: 100, ..RunReport::default() };
    let seen = |world: &World, subject: &Subject, owner| {
        let decisions = BTreeMap::from([(OutputId::new("orders-id"), world.decide(subject))]);
        report::shown(report.clone(), owner, &decisions, &|_, _| false).outputs.remove(0)
    };

    let world = World::new();
    let owner = seen(&world, &olga(&world), true);
    let values = &owner.clauses[0].samples[0].values;
    assert_eq!(
        values[..],
        [("id".to_owned(), Some("7".to_owned())), ("email".to_owned(), Some(report::HIDDEN.to_owned()))]
    );
    assert_eq!(
        (owner.profile[0].min.is_some(), owner.profile[1].min.is_some(), owner.profile[1].nulls),
        (true, false, 1)
    );
    assert_eq!(owner.staged, None);

    let granted = World::new().with(to_ana());
    let reader = seen(&granted, &ana(), false);
    assert_eq!(
        (reader.clauses[0].failing_rows, reader.clauses[0].samples.len(), reader.profile.len()),
        (Some(1), 0, 0)
    );

    let filtered = World::new().filter(&[]);
    for output in [seen(&filtered, &olga(&filtered), true), seen(&World::new(), &ana(), false)] {
        assert_eq!((output.rows, output.profile.len()), (0, 0));
        let clause = &output.clauses[0];
        assert_eq!((clause.message.as_str(), clause.failing_rows, clause.samples.len()), ("failed", None, 0));
    }
}

/// How much a decision shows: every step of this order shows no more than the one before.
fn shows_at_most(tight: &Decision, loose: &Decision) -> bool {
    let rank = |access: ColumnAccess| match access {
        ColumnAccess::Clear => None,
        ColumnAccess::Masked(mask) => Some(mask as u32),
        ColumnAccess::Withheld => Some(u32::MAX),
    };
    let columns = tight.columns.iter().all(|c| loose.column(&c.name).is_some_and(|l| rank(c.access) >= rank(l.access)));
    let rows: BTreeSet<_> = tight.rows.0.iter().collect();
    !tight.allowed || (loose.allowed && columns && loose.rows.0.iter().all(|p| rows.contains(p)))
}

prop_compose! {
    fn any_agreement()(
        columns in prop::option::of(prop::sample::subsequence(vec!["id", "region", "email", "born", "diagnosis"], 1..5)),
        clear in prop::sample::subsequence(vec!["pii", "health"], 0..=2),
        rows in any::<bool>(),
        major in 1u32..=2,
    ) -> Agreement {
        Agreement {
            columns: columns.map(|columns| columns.into_iter().map(str::to_owned).collect()),
            clear: clear.into_iter().map(name).collect(),
            rows: RowFilter(if rows { vec![eu()] } else { Vec::new() }),
            major,
            ..to_ana()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever forbids, filters, classifications or narrower agreements are added, nobody sees more.
    #[test]
    fn additions_only_tighten(agreement in any_agreement(), what in 0u8..6, home in any::<bool>()) {
        let base = || World::new().with(agreement.clone());
        let subject = if home { olga(&base()) } else { ana() };
        let loose = base().decide(&subject);
        let mut narrower = agreement.clone();
        let tight = match what {
            0 => base().filter(&[]),
            1 => base().policy("forbid (principal, action == Action::\"ReadClear\", resource);"),
            2 => base().policy("forbid (principal, action, resource in Domain::\"sales\") unless { principal is Product };"),
            3 => { narrower.clear.clear(); World::new().with(narrower) }
            4 => { narrower.columns = Some(vec!["id".to_owned()]); World::new().with(narrower) }
            _ => {
                let mut world = base();
                for version in world.output().versions.values_mut() {
                    version.contract.tables[0].fields[1].classifications = vec![name("health")];
                }
                world
            }
        };
        // A narrower list of columns must itself be a subset.
        prop_assume!(what != 4 || agreement.columns.as_ref().is_none_or(|c| c.contains(&"id".to_owned())));
        let tight = tight.decide(&subject);
        prop_assert!(shows_at_most(&tight, &loose), "{tight:#?}\n{loose:#?}");
    }

    /// An agreement with somebody else changes nothing for this reader.
    #[test]
    fn agreements_of_others_do_not_count(agreement in any_agreement()) {
        let others = Agreement { grantee: Grantee::User("eva".to_owned()), ..agreement };
        prop_assert_eq!(World::new().with(others).decide(&ana()), World::new().decide(&ana()));
    }

    /// A dead agreement is no agreement.
    #[test]
    fn dead_agreements_do_not_count(agreement in any_agreement(), expired in any::<bool>()) {
        let dead = Agreement {
            expires_at: expired.then(|| at(-1)),
            revoked_at: (!expired).then(|| at(-1)),
            ..agreement
        };
        prop_assert_eq!(World::new().with(dead).decide(&ana()), World::new().decide(&ana()));
    }
}
