mod world;

use std::collections::{BTreeMap, VecDeque};

use futures::StreamExt;
use meshwork_core::effect::{NoFaults, Timestamp};
use meshwork_core::error::{Kind, Severity};
use meshwork_core::id::{MeshId, OutputId, PublicationId};
use meshwork_core::principal::Principal;
use meshwork_core::publication::{Publication, TableLocation, TablePlace};
use meshwork_core::quality::{ClauseResult, Outcome as Answer};
use meshwork_core::quarantine::QuarantineEntry;
use meshwork_core::run::{Lease, OutputReport, RunState};
use meshwork_testkit::{
    SeededEntropy, TestClock, contract, domain, field, mesh, moment, name, output, product, report,
};

use super::*;
use crate::port::data::{RunEvent, RunObserver, RunSpec, TableLayout, Vacuumed};
use crate::port::process::RunChild;
use crate::port::state::{Applied, KnownTable};
use world::{Processes, World, lock};

fn acme(products: &[&str]) -> Mesh {
    let products = products.iter().map(|called| {
        let mut output = output(called, contract(called, "1.0.0", [field("a")]));
        output.id = Some(OutputId::new(*called));
        Product { id: Some(ProductId::new(*called)), ..product(called, [output]) }
    });
    mesh([domain("d", products)])
}

fn service(world: &Arc<World>) -> RunService {
    let ports = RunPorts {
        mesh: world.clone(),
        runs: world.clone(),
        publications: world.clone(),
        tables: world.clone(),
        quarantine: world.clone(),
        engine: world.clone(),
        process: Arc::new(Processes(world.clone())),
        reads: world.clone(),
        readers: Readers::default(),
        clock: Arc::new(TestClock::new()),
        entropy: Arc::new(SeededEntropy::new(1)),
        faults: Arc::new(NoFaults),
    };
    let settings = RunSettings {
        folder: "/mesh".into(),
        holder: "test".into(),
        limits: RunLimits { memory_bytes: 1, spill_bytes: 1, time: Duration::from_millis(300), rows: None, cores: 1 },
        operator: Default::default(),
        sample: None,
        parallel: 2,
        lease: Duration::from_secs(15),
        heartbeat: Duration::from_millis(5),
    };
    RunService::new(ports, settings)
}

fn world(products: &[&str], script: Vec<Vec<Option<RunEvent>>>, commits: Vec<Vec<RunEvent>>) -> Arc<World> {
    let world = World::default();
    *lock(&world.mesh) = Some(acme(products));
    *lock(&world.script) = script.into();
    *lock(&world.commits) = commits.into();
    Arc::new(world)
}

fn ana() -> Subject {
    Subject::user("ana", [], true, None)
}

fn verdict(output: &str, passed: bool) -> Option<RunEvent> {
    let mut report = report(output);
    if !passed {
        report.outputs[0].clauses.push(ClauseResult {
            clause: "a.required".into(),
            severity: Severity::Error,
            outcome: Answer::Fail,
            message: "1 of 3 rows is null".into(),
            measured: None,
            failing_rows: Some(1),
            checked_rows: Some(3),
            samples: vec![],
        });
    }
    Some(RunEvent::Verdict { passed, report: Box::new(report) })
}

fn committed(output: &str, version: u64) -> RunEvent {
    RunEvent::Committed { versions: BTreeMap::from([(format!("{output}_v1"), version)]) }
}

async fn run_all(service: &RunService, products: &[&str]) -> Vec<RunUpdate> {
    let products = products.iter().map(|p| (*p).to_owned()).collect();
    service.run(&ana(), &RunRequest { products, upstream: false, full_refresh: false }).await.unwrap().collect().await
}

fn error_of(updates: &[RunUpdate]) -> Error {
    let error = updates.iter().find_map(|update| match update {
        RunUpdate::Failed { error, .. } | RunUpdate::Blocked { error, .. } => Some(error.clone()),
        _ => None,
    });
    error.unwrap_or_else(|| panic!("no failure in {updates:?}"))
}

#[tokio::test]
async fn a_passing_run_is_published() {
    let world = world(&["leads"], vec![vec![verdict("leads", true)]], vec![vec![committed("leads", 7)]]);
    let updates = run_all(&service(&world), &["d.leads"]).await;
    assert!(matches!(
        updates.last(),
        Some(RunUpdate::Finished { published: 1, unchanged: 0, blocked: 0, failed: 0, skipped: 0 })
    ));
    let publications = lock(&world.publications).clone();
    assert_eq!(publications.len(), 1);
    assert_eq!(publications[0].outputs[0].delta_version, 7);
}

#[tokio::test]
async fn a_failing_clause_blocks_and_nothing_is_committed() {
    let world = world(&["leads"], vec![vec![verdict("leads", false)]], vec![vec![committed("leads", 7)]]);
    let updates = run_all(&service(&world), &["all"]).await;
    let error = error_of(&updates);
    assert_eq!(error.message, "blocked by its contract: leads: a.required");
    assert!(lock(&world.publications).is_empty());
    let runs = lock(&world.runs).clone();
    let (run, report) = runs.values().next().unwrap();
    assert_eq!(run.state, RunState::Blocked);
    assert_eq!(report.as_ref().unwrap().outputs[0].staged, None);
}

#[tokio::test]
async fn a_child_that_dies_is_a_failure() {
    let world = world(&["leads"], vec![vec![]], vec![]);
    let error = error_of(&run_all(&service(&world), &["all"]).await);
    assert_eq!((error.code.as_str(), error.kind), ("MW0655", Kind::Environment));
    assert!(error.message.contains("signal: 9"));
}

#[tokio::test]
async fn a_child_that_dies_while_committing_is_finished_by_the_parent() {
    let world = world(&["leads"], vec![vec![verdict("leads", true)]], vec![]);
    let updates = run_all(&service(&world), &["all"]).await;
    assert!(matches!(updates.last(), Some(RunUpdate::Finished { published: 1, .. })), "{updates:?}");
    assert_eq!(lock(&world.committed).len(), 1);
}

#[tokio::test]
async fn a_lost_lease_stops_the_child_and_publishes_nothing() {
    let world = world(&["leads"], vec![vec![None]], vec![]);
    *lock(&world.heartbeat_fails) = true;
    let error = error_of(&run_all(&service(&world), &["all"]).await);
    assert_eq!(error.code, "MW0657");
    assert_eq!(*lock(&world.killed), 1);
    assert!(lock(&world.publications).is_empty());
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_stopped() {
    let world = world(&["leads"], vec![vec![None]], vec![]);
    let error = error_of(&run_all(&service(&world), &["all"]).await);
    assert_eq!((error.code.as_str(), error.kind), ("MW0656", Kind::Limit));
    assert_eq!(*lock(&world.killed), 1);
}

#[tokio::test]
async fn hanging_up_cancels() {
    let world = world(&["leads"], vec![vec![None]], vec![]);
    let service = service(&world);
    let request = RunRequest { products: vec!["all".into()], upstream: false, full_refresh: false };
    let mut stream = service.run(&ana(), &request).await.unwrap();
    while !matches!(stream.next().await, Some(RunUpdate::Started { .. })) {}
    drop(stream);
    service.idle().await;
    let runs = lock(&world.runs).clone();
    assert_eq!(runs.values().next().unwrap().0.state, RunState::Cancelled);
    assert_eq!(*lock(&world.killed), 1);
}

#[tokio::test]
async fn a_second_run_of_a_product_is_told_who_has_it() {
    let world = world(&["leads"], vec![vec![None]], vec![]);
    let service = service(&world);
    let request = RunRequest { products: vec!["all".into()], upstream: false, full_refresh: false };
    let mut first = service.run(&ana(), &request).await.unwrap();
    while !matches!(first.next().await, Some(RunUpdate::Started { .. })) {}
    let error = error_of(&run_all(&service, &["all"]).await);
    assert_eq!(error.kind, Kind::Conflict);
}

/// `view` reads `leads`.
fn reading(world: &World) {
    let mut mesh = lock(&world.mesh);
    let products = &mut mesh.as_mut().unwrap().domains.get_mut("d").unwrap().products;
    let input = ProductInput {
        domain: name("d"),
        product: name("leads"),
        output: name("leads"),
        version: 1,
        purpose: None,
        incremental: None,
        place: None,
    };
    let view = products.get_mut("view").unwrap();
    view.inputs = [(name("leads"), meshwork_core::product::Input::Product(input))].into();
}

#[tokio::test]
async fn what_reads_from_a_blocked_product_goes_on_to_its_last_publication() {
    let world = world(&["leads", "view"], vec![vec![verdict("leads", false)]], vec![]);
    reading(&world);
    lock(&world.publications).push(meshwork_testkit::publication("old", &meshwork_testkit::run("r", "leads"), 1, 3));
    let updates = run_all(&service(&world), &["all"]).await;
    let stale = updates.iter().find_map(|update| match update {
        RunUpdate::Stale { product, upstream } => Some((product.as_str(), upstream.as_str())),
        _ => None,
    });
    assert_eq!(stale, Some(("d.view", "d.leads")));
    let begun = |update: &RunUpdate| matches!(update, RunUpdate::Started { product, .. } if product == "d.view");
    assert!(updates.iter().any(begun), "{updates:?}");
    // In this world nobody has an agreement, so that reading is as far as it comes.
    assert!(
        matches!(updates.last(), Some(RunUpdate::Finished { blocked: 1, failed: 1, skipped: 0, .. })),
        "{updates:?}"
    );
}

#[tokio::test]
async fn what_reads_from_a_product_that_never_published_is_skipped() {
    let script = vec![vec![verdict("leads", false)]];
    let world = world(&["leads", "view"], script, vec![]);
    reading(&world);
    let updates = run_all(&service(&world), &["all"]).await;
    let skipped = updates.iter().find_map(|update| match update {
        RunUpdate::Skipped { product, because } => Some((product.as_str(), because.code.as_str())),
        _ => None,
    });
    assert_eq!(skipped, Some(("d.view", "MW0661")));
    assert!(matches!(updates.last(), Some(RunUpdate::Finished { blocked: 1, skipped: 1, .. })));
}

async fn strand(world: &Arc<World>, state: RunState, commit: bool) -> RunId {
    let run = meshwork_testkit::run("stranded", "leads");
    let lease = world.start_run(&run, "dead", moment(-60), moment(-30)).await.unwrap();
    if state == RunState::Committing {
        world.store_verdict(&lease, &report("leads"), moment(-40)).await.unwrap();
    }
    if commit {
        lock(&world.committed).insert(run.id.clone(), 4);
    }
    run.id
}

#[tokio::test]
async fn recovery_rolls_forward_what_was_committed() {
    let world = world(&["leads"], vec![], vec![]);
    let id = strand(&world, RunState::Committing, true).await;
    let settled = service(&world).recover().await.unwrap();
    assert!(settled[0].published);
    assert_eq!(world.state_of(&id), RunState::Published);
    assert_eq!(lock(&world.publications)[0].outputs[0].delta_version, 4);
}

#[tokio::test]
async fn recovery_drops_what_was_not_committed() {
    for state in [RunState::Running, RunState::Committing] {
        let world = world(&["leads"], vec![], vec![]);
        let id = strand(&world, state, false).await;
        let settled = service(&world).recover().await.unwrap();
        assert!(!settled[0].published);
        assert_eq!(world.state_of(&id), RunState::Failed);
        assert!(lock(&world.publications).is_empty());
    }
}

#[tokio::test]
async fn the_old_holder_cannot_publish_after_recovery() {
    let world = world(&["leads"], vec![], vec![]);
    strand(&world, RunState::Committing, false).await;
    let old = lock(&world.leases)[&ProductId::new("leads")].clone();
    service(&world).recover().await.unwrap();
    let run = meshwork_testkit::run("stranded", "leads");
    let publication = meshwork_testkit::publication("late", &run, 1, 9);
    assert_eq!(world.publish(&old, &publication).await.unwrap_err().kind, Kind::Conflict);
}

/// An entry of `run` that was set aside `age` days before the test's now.
fn set_aside(run: &str, age: i64) -> QuarantineEntry {
    let table = TableLocation::of("file:///storage/", &OutputId::new("orders"), 1);
    QuarantineEntry {
        run: RunId::new(run),
        product: ProductId::new("orders"),
        output: OutputId::new("orders"),
        name: "orders".to_owned(),
        major: 1,
        at: TestClock::new().now() - chrono::Duration::days(age),
        location: meshwork_core::quarantine::location(&table),
        quarantined: meshwork_core::quarantine::Quarantined {
            rows: 3,
            batch_rows: 300,
            limit: Default::default(),
            clauses: BTreeMap::new(),
            kept_rows: 0,
            files: Vec::new(),
        },
        released: Default::default(),
        superseded_by: None,
    }
}

#[tokio::test]
async fn quarantined_rows_are_kept_for_thirty_days() {
    let world = world(&["orders"], vec![], vec![]);
    *lock(&world.quarantine) = vec![set_aside("new", 1), set_aside("young", 29), set_aside("old", 31)];
    let gone = service(&world).expire_quarantine().await.unwrap();
    assert_eq!(gone.iter().map(|entry| entry.run.as_str()).collect::<Vec<_>>(), ["old"]);
    assert_eq!(*lock(&world.removed), [RunId::new("old")]);
    assert_eq!(lock(&world.quarantine).iter().map(|e| e.run.to_string()).collect::<Vec<_>>(), ["new", "young"]);
    assert!(service(&world).expire_quarantine().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_cannot_be_released_is_refused_before_a_run_is_recorded() {
    let world = world(&["orders"], vec![], vec![]);
    let superseded = QuarantineEntry { superseded_by: Some(RunId::new("later")), ..set_aside("r1", 1) };
    let released = QuarantineEntry { released: meshwork_core::quarantine::Rows::of(1..=3), ..set_aside("r2", 1) };
    *lock(&world.quarantine) = vec![superseded, released, set_aside("r3", 1)];
    for (run, code) in [("r1", "MW0681"), ("r2", "MW0681"), ("r3", "MW0679"), ("unknown", "MW0681")] {
        let request = ReleaseRequest { of: RunId::new(run), output: OutputId::new("orders"), major: 1, repaired: None };
        let refused = service(&world).release(&ana(), &name("d"), &name("orders"), request).await;
        assert_eq!(refused.err().map(|error| error.code), Some(code.to_owned()), "{run}");
    }
    assert!(lock(&world.runs).is_empty());
}

/// Of the mesh, the product and the operator, limit by limit the lowest.
#[tokio::test]
async fn a_compaction_may_use_what_a_run_may() {
    let world = world(&["leads"], vec![vec![verdict("leads", true)], vec![verdict("leads", true)]], vec![]);
    let mut mesh = acme(&["leads"]);
    (mesh.limits.run.spill_bytes, mesh.limits.run.time_ms) = (Some(40), Some(9000));
    let product = mesh.domains.values_mut().flat_map(|domain| domain.products.values_mut()).next().unwrap();
    (product.limits.memory_bytes, product.limits.time_ms) = (Some(70), Some(8000));
    *lock(&world.mesh) = Some(mesh);
    let service = service(&world);
    run_all(&service, &["all"]).await;
    let mesh = service.mesh().await.unwrap();
    let (domain, product) = mesh.products().next().unwrap();
    service.compact(&mesh, domain, product, &ana()).await.unwrap();
    let started = lock(&world.started);
    let tasks: Vec<RunTask> = started.iter().map(|spec| spec.task).collect();
    assert_eq!(tasks, [RunTask::Build, RunTask::Compact]);
    for RunSpec { limits, task, .. } in started.iter() {
        let of = (limits.memory_bytes, limits.spill_bytes, limits.time);
        assert_eq!(of, (70, 40, Duration::from_secs(8)), "{task:?}");
    }
}
