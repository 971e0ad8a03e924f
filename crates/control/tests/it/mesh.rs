use meshwork_control::audit::AuditQuery;
use meshwork_control::port::state::{MeshState as _, RunLedger as _};
use meshwork_core::Place;
use meshwork_core::audit::Kind;
use meshwork_core::mesh::{Mesh, PolicyFile, S3Connection};
use meshwork_core::principal::Subject;
use meshwork_core::publication::TableLocation;
use meshwork_core::storage::{S3Storage, Storage};
use meshwork_testkit::{contract, domain, field, mesh, moment, name, output, product, publication, report, run};

use crate::platform::platform;

fn declared() -> Mesh {
    let orders = product("orders", [output("orders", contract("orders", "1.0.0", [field("id")]))]);
    mesh([domain("sales", [orders])])
}

fn admin() -> Subject {
    Subject::owner(None)
}

/// In `sales_team`.
fn seller(mesh: &Mesh) -> Subject {
    Subject::user("ana", [name("sales_team").into()], false, Some(mesh))
}

#[tokio::test]
async fn applying_twice_is_applying_once() {
    let platform = platform().await;
    let planned = platform.mesh.plan(&admin(), &declared(), false).await.expect("planned");
    assert_eq!((planned.base, planned.plan.is_empty()), (0, false));
    let first = platform.mesh.apply(&admin(), &admin(), &declared(), 0, false).await.expect("applied");
    assert_eq!(first.revision, 1);
    let epoch = platform.state.policy_epoch().await.expect("read");
    // Also on the base it had before: whoever did not hear the answer asks again.
    for base in [0, 1] {
        let again = platform.mesh.apply(&admin(), &admin(), &declared(), base, false).await.expect("nothing to do");
        assert_eq!((again.revision, again.plan.is_empty()), (1, true));
    }
    assert_eq!(platform.state.policy_epoch().await.expect("read"), epoch);
    let applied = platform.mesh.applied().await.expect("read");
    assert_eq!(applied.mesh.as_ref().and_then(|mesh| mesh.id.as_ref()), Some(&applied.mesh_id));
}

#[tokio::test]
async fn a_plan_that_was_overtaken_is_refused() {
    let platform = platform().await;
    platform.mesh.apply(&admin(), &admin(), &declared(), 0, false).await.expect("applied");
    let other = mesh([domain("sales", []), domain("hr", [])]);
    let error = platform.mesh.apply(&admin(), &admin(), &other, 0, false).await.expect_err("overtaken");
    assert_eq!((error.code.as_str(), error.kind), ("MW0410", meshwork_core::Kind::Conflict));
}

#[tokio::test]
async fn problems_stop_the_whole_apply() {
    let platform = platform().await;
    platform.mesh.apply(&admin(), &admin(), &declared(), 0, false).await.expect("applied");
    let mut bad = declared();
    bad.domains.insert(name("hr"), domain("hr", []));
    let sales = bad.domains.get_mut("sales").expect("there");
    sales.products.get_mut("orders").expect("there").version = semver::Version::new(0, 9, 0);
    let error = platform.mesh.apply(&admin(), &admin(), &bad, 1, false).await.expect_err("a problem");
    assert_eq!((error.code.as_str(), error.diagnostics[0].code.as_str()), ("MW0320", "MW0304"));
    let applied = platform.mesh.applied().await.expect("read");
    assert_eq!(applied.revision, 1);
    assert!(applied.mesh.as_ref().expect("applied").domain("hr").is_none(), "not even the good part");
}

#[tokio::test]
async fn members_apply_their_domain_and_nothing_else() {
    let platform = platform().await;
    let both = mesh([declared().domains["sales"].clone(), domain("hr", [])]);
    platform.mesh.apply(&admin(), &admin(), &both, 0, false).await.expect("applied");
    let ana = seller(&both);
    let refused = async |declared: &Mesh| {
        let error = platform.mesh.apply(&ana, &ana, declared, 1, false).await.expect_err("refused");
        assert_eq!(error.kind, meshwork_core::Kind::Forbidden, "{error}");
        error.code
    };
    let mut hr = both.clone();
    hr.domains.remove("sales");
    assert_eq!(refused(&hr).await, "MW0741", "another domain");
    assert_eq!(refused(&mesh([domain("nowhere", [])])).await, "MW0741", "one that is not there");
    let mut moved = declared();
    moved.domains.get_mut("sales").expect("there").storage = Some("elsewhere".into());
    assert_eq!(refused(&moved).await, "MW0741", "where it stores");
    let mut renamed = declared();
    renamed.storage = "other".into();
    assert_eq!(refused(&renamed).await, "MW0741", "the mesh itself");
    let mut meddling = declared();
    meddling.policies.push(PolicyFile {
        path: "domains/hr/access/closed.cedar".to_owned(),
        text: "forbid (principal, action, resource in Domain::\"hr\");".to_owned(),
        domain: Some(name("hr")),
    });
    assert_eq!(refused(&meddling).await, "MW0741", "a policy that binds another domain");

    // A checkout of the whole mesh is fine: the part that is not hers is left as it is.
    let mut own = both.clone();
    own.domains.get_mut("hr").expect("there").members.push("eve".to_owned());
    own.domains.get_mut("sales").expect("there").members.push("bob".to_owned());
    let outcome = platform.mesh.apply(&ana, &ana, &own, 1, false).await.expect("her own domain");
    assert_eq!(outcome.revision, 2);
    assert_eq!(outcome.plan.changes.len(), 1, "{:?}", outcome.plan.changes);
    assert_eq!(outcome.plan.notes, ["domain hr of this checkout is not yours: it is left out"]);
    let applied = platform.mesh.applied().await.expect("read");
    let applied = applied.mesh.as_ref().expect("applied");
    assert_eq!(applied.domain("hr"), Some(&with_ids(&both, applied, "hr")));
    assert_eq!(applied.domain("sales").expect("there").members, ["bob"]);
}

#[tokio::test]
async fn a_bucket_is_asked_before_tables_may_lie_in_it() {
    let platform = platform().await;
    let place = Place { path: "domains/sales/domain.yaml".to_owned(), line: 3, column: 10 };
    let stored = |url: &str, region: &str| {
        let connection = S3Connection { region: Some(region.to_owned()), ..S3Connection::default() };
        let mut mesh = declared();
        let sales = mesh.domains.get_mut("sales").expect("there");
        sales.storage = Some(Storage::S3(S3Storage { url: url.to_owned(), connection }));
        sales.storage_place = Some(place.clone());
        mesh
    };
    let asked = || std::mem::take(&mut *platform.storage.probed.lock().expect("free")).len();
    let apply = |mesh: Mesh, base: u64| {
        let platform = &platform;
        async move { platform.mesh.apply(&admin(), &admin(), &mesh, base, false).await.map(|outcome| outcome.revision) }
    };
    // To plan asks nobody, to apply asks the store: nothing is recorded where that is not fit.
    platform.mesh.plan(&admin(), &stored("s3://broken/", "a"), false).await.expect("planned");
    assert_eq!(asked(), 0);
    let error = apply(stored("s3://broken/", "a"), 0).await.expect_err("refused");
    assert_eq!((error.code.as_str(), error.place.as_ref()), ("MW0617", Some(&place)));
    assert_eq!((asked(), platform.mesh.applied().await.expect("read").revision), (1, 0));
    let query = AuditQuery { kind: Some(Kind::Apply), ..AuditQuery::default() };
    assert!(platform.audit.query(&query).await.expect("read").is_empty());

    assert_eq!((apply(stored("s3://lake/", "a"), 0).await, asked()), (Ok(1), 1));
    let mut more = stored("s3://lake/", "a");
    more.domains.insert(name("hr"), domain("hr", []));
    assert_eq!((apply(more.clone(), 1).await, asked()), (Ok(2), 0), "it is known");
    // Another way to the same root, and another root.
    assert_eq!((apply(stored("s3://lake/", "b"), 2).await, asked()), (Ok(3), 1));
    assert_eq!((apply(stored("s3://sea/", "b"), 3).await, asked()), (Ok(4), 1));
    assert_eq!(apply(stored("s3://broken/", "b"), 4).await.expect_err("refused").code, "MW0617");
    // Whoever may not say where a domain stores gets no store asked.
    asked();
    let mesh = stored("s3://broken/", "b");
    let ana = seller(&mesh);
    assert_eq!(platform.mesh.apply(&ana, &ana, &mesh, 4, false).await.expect_err("refused").code, "MW0741");
    assert_eq!(asked(), 0);
}

/// A domain as declared, with the id that it was given.
fn with_ids(declared: &Mesh, applied: &Mesh, domain: &str) -> meshwork_core::mesh::Domain {
    let mut domain = declared.domain(domain).expect("declared").clone();
    domain.id.clone_from(&applied.domain(&domain.name).expect("applied").id);
    domain
}

#[tokio::test]
async fn every_apply_leaves_a_record() {
    let platform = platform().await;
    platform.mesh.apply(&admin(), &admin(), &declared(), 0, false).await.expect("applied");
    let query = AuditQuery { kind: Some(Kind::Apply), ..AuditQuery::default() };
    let found = platform.audit.query(&query).await.expect("read");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].actor.as_deref(), Some("user:owner"));
}

#[tokio::test]
async fn drift_shows_what_is_absent_and_commits_that_are_not_ours() {
    let platform = platform().await;
    platform.mesh.apply(&admin(), &admin(), &declared(), 0, false).await.expect("applied");
    let applied = platform.mesh.applied().await.expect("read");
    let (product, output) = applied.mesh.as_ref().and_then(|mesh| mesh.output("sales", "orders")).expect("there");
    let (product, output) = (product.id.clone().expect("given"), output.id.clone().expect("given"));
    let mut run = run("r1", product.as_str());
    run.name = "sales.orders".to_owned();
    let lease = platform.state.start_run(&run, "pid 1", moment(0), moment(30)).await.expect("started");
    platform.state.store_verdict(&lease, &report("orders"), moment(1)).await.expect("stored");
    let mut published = publication("p1", &run, 2, 0);
    published.outputs[0].output = output.clone();
    published.outputs[0].location = TableLocation::of("file:///storage/", &output, 1);
    platform.storage.commits.lock().expect("free").push((published.outputs[0].location.clone(), vec![0, 1, 2]));

    let none = platform.mesh.drift(&admin(), &declared()).await.expect("looked");
    assert!(none.is_empty(), "a run may have committed what it has not published yet: {none:?}");
    platform.state.publish(&lease, &published).await.expect("published");
    let drift = platform.mesh.drift(&admin(), &mesh([domain("sales", [])])).await.expect("looked");
    assert_eq!(drift.absent, ["sales.orders"]);
    let [foreign] = drift.foreign.as_slice() else { panic!("{drift:?}") };
    assert_eq!((foreign.table.as_str(), foreign.versions.as_slice()), ("sales.orders v1", [1, 2].as_slice()));
    assert!(!drift.is_empty());
}
