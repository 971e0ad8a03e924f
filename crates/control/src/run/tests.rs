use std::collections::{BTreeMap, VecDeque};

use futures::StreamExt;
use meshwork_core::effect::{NoFaults, Timestamp};
use meshwork_core::error::{Kind, Severity};
use meshwork_core::id::{MeshId, OutputId, PublicationId};
use meshwork_core::principal::Principal;
use meshwork_core::publication::{Publication, TableLocation};
use meshwork_core::quality::{ClauseResult, Outcome as Answer};
use meshwork_core::quarantine::QuarantineEntry;
use meshwork_core::run::{Lease, OutputReport, RunState};
use meshwork_testkit::{
    SeededEntropy, TestClock, contract, domain, field, mesh, moment, name, output, product, report,
};

use super::*;
use crate::port::data::{RunEvent, RunObserver, RunSpec, TableLayout, Vacuumed};
use crate::port::process::RunChild;
use crate::port::state::Applied;

/// State, engine and processes in memory. Children say what the script tells them to.
#[derive(Default)]
struct World {
    mesh: Mutex<Option<Mesh>>,
    runs: Mutex<BTreeMap<RunId, (Run, Option<RunReport>)>>,
    leases: Mutex<BTreeMap<ProductId, Lease>>,
    publications: Mutex<Vec<Publication>>,
    log: Mutex<Vec<String>>,
    /// What the next children say; `None` stands for saying nothing more without ending.
    script: Mutex<VecDeque<Vec<Option<RunEvent>>>>,
    /// What the next children say after `commit`.
    commits: Mutex<VecDeque<Vec<RunEvent>>>,
    /// Versions in the Delta log, by the run that made them.
    committed: Mutex<BTreeMap<RunId, u64>>,
    killed: Mutex<u32>,
    heartbeat_fails: Mutex<bool>,
    quarantine: Mutex<Vec<QuarantineEntry>>,
    removed: Mutex<Vec<RunId>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

#[async_trait]
impl MeshState for World {
    async fn applied(&self) -> Result<Applied> {
        Ok(Applied { revision: 1, mesh_id: MeshId::new("m"), mesh: lock(&self.mesh).clone() })
    }
    async fn apply(&self, base: u64, _: &Mesh, _: &serde_json::Value, _: &Principal, _: Timestamp) -> Result<u64> {
        Ok(base)
    }
    async fn policy_epoch(&self) -> Result<u64> {
        Ok(1)
    }
}

impl World {
    fn check(&self, lease: &Lease) -> Result<()> {
        let newest = lock(&self.leases).get(&lease.product).map(|l| l.fencing_token);
        if newest == Some(lease.fencing_token) { Ok(()) } else { Err(Error::conflict("MW0411", "stale")) }
    }
    fn end(&self, lease: &Lease) {
        // The token stays, so that the next one is higher.
        if let Some(held) = lock(&self.leases).get_mut(&lease.product) {
            held.expires_at = moment(0);
        }
    }
    fn state_of(&self, id: &RunId) -> RunState {
        lock(&self.runs)[id].0.state
    }
}

#[async_trait]
impl RunLedger for World {
    async fn start_run(&self, run: &Run, holder: &str, now: Timestamp, expires_at: Timestamp) -> Result<Lease> {
        let mut leases = lock(&self.leases);
        let held = leases.get(&run.product);
        if held.is_some_and(|lease| lease.expires_at > now) {
            return Err(Error::conflict("MW0410", "held by another"));
        }
        let fencing_token = held.map_or(0, |lease| lease.fencing_token) + 1;
        let lease = Lease {
            product: run.product.clone(),
            run: run.id.clone(),
            fencing_token,
            holder: holder.into(),
            expires_at,
        };
        leases.insert(run.product.clone(), lease.clone());
        lock(&self.runs).insert(run.id.clone(), (run.clone(), None));
        Ok(lease)
    }
    async fn heartbeat(&self, lease: &Lease, _: Timestamp) -> Result<()> {
        if *lock(&self.heartbeat_fails) {
            return Err(Error::conflict("MW0411", "stale"));
        }
        self.check(lease)
    }
    async fn store_verdict(&self, lease: &Lease, report: &RunReport, _: Timestamp) -> Result<()> {
        self.check(lease)?;
        let mut runs = lock(&self.runs);
        let run = runs.get_mut(&lease.run).unwrap();
        run.0.state = RunState::Committing;
        run.1 = Some(report.clone());
        Ok(())
    }
    async fn publish(&self, lease: &Lease, publication: &Publication) -> Result<()> {
        self.check(lease)?;
        lock(&self.runs).get_mut(&lease.run).unwrap().0.state = RunState::Published;
        lock(&self.publications).push(publication.clone());
        self.end(lease);
        Ok(())
    }
    async fn finish_run(&self, lease: &Lease, run: &Run, report: Option<&RunReport>) -> Result<()> {
        self.check(lease)?;
        lock(&self.runs).insert(run.id.clone(), (run.clone(), report.cloned()));
        self.end(lease);
        Ok(())
    }
    async fn run(&self, id: &RunId) -> Result<Option<(Run, Option<RunReport>)>> {
        Ok(lock(&self.runs).get(id).cloned())
    }
    async fn runs(&self, _: Option<&ProductId>, _: Option<&RunId>, _: u32) -> Result<Vec<Run>> {
        Ok(lock(&self.runs).values().map(|(run, _)| run.clone()).collect())
    }
    async fn stranded(&self, now: Timestamp) -> Result<Vec<(Run, Lease, Option<RunReport>)>> {
        let leases = lock(&self.leases);
        let runs = lock(&self.runs);
        let stranded = runs.values().filter(|(run, _)| !run.state.is_over()).filter_map(|(run, report)| {
            let lease = leases.get(&run.product).filter(|lease| lease.run == run.id && lease.expires_at <= now)?;
            Some((run.clone(), lease.clone(), report.clone()))
        });
        Ok(stranded.collect())
    }
    async fn take_over(&self, lease: &Lease, holder: &str, _: Timestamp, expires_at: Timestamp) -> Result<Lease> {
        self.check(lease)?;
        let fencing_token = lease.fencing_token + 1;
        let taken = Lease { fencing_token, holder: holder.into(), expires_at, ..lease.clone() };
        lock(&self.leases).insert(lease.product.clone(), taken.clone());
        Ok(taken)
    }
    async fn append_log(&self, _: &RunId, _: Timestamp, level: &str, line: &str) -> Result<()> {
        lock(&self.log).push(format!("{level} {line}"));
        Ok(())
    }
    async fn log(&self, _: &RunId) -> Result<Vec<(Timestamp, String, String)>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl PublicationState for World {
    async fn resolve(&self, _: &OutputId, _: u32, _: Option<Timestamp>) -> Result<Option<Publication>> {
        Ok(lock(&self.publications).last().cloned())
    }
    async fn publication(&self, _: &PublicationId) -> Result<Option<Publication>> {
        Ok(None)
    }
    async fn publications(&self, _: Option<&ProductId>, _: Option<&PublicationId>, _: u32) -> Result<Vec<Publication>> {
        Ok(lock(&self.publications).clone())
    }
    async fn current(&self) -> Result<Vec<Publication>> {
        Ok(lock(&self.publications).clone())
    }
    async fn kept(&self, _: &OutputId, _: u32) -> Result<Vec<Publication>> {
        Ok(lock(&self.publications).iter().rev().cloned().collect())
    }
    async fn horizon(&self, _: &OutputId, _: u32) -> Result<Option<Timestamp>> {
        Ok(None)
    }
    async fn expire(&self, _: &OutputId, _: u32, _: &PublicationId) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl QuarantineState for World {
    async fn quarantine(&self, _: Option<&ProductId>, run: Option<&RunId>) -> Result<Vec<QuarantineEntry>> {
        let entries = lock(&self.quarantine).clone();
        Ok(entries.into_iter().filter(|entry| run.is_none_or(|run| entry.run == *run)).collect())
    }
    async fn quarantined_before(&self, moment: Timestamp) -> Result<Vec<QuarantineEntry>> {
        Ok(lock(&self.quarantine).iter().filter(|entry| entry.at < moment).cloned().collect())
    }
    async fn forget_quarantine(&self, run: &RunId, _: &OutputId, _: u32) -> Result<()> {
        lock(&self.quarantine).retain(|entry| entry.run != *run);
        Ok(())
    }
}

#[async_trait]
impl RunEngine for World {
    async fn stage(&self, _: &RunSpec, _: Arc<dyn RunObserver>) -> Result<RunReport> {
        Err(Error::internal("MW0665", "only children stage"))
    }
    async fn commit(&self, run: &RunId, outputs: &[OutputReport]) -> Result<Vec<u64>> {
        let mut committed = lock(&self.committed);
        let next = committed.len() as u64;
        let version = *committed.entry(run.clone()).or_insert(next);
        Ok(vec![version; outputs.len()])
    }
    async fn committed(&self, run: &RunId, outputs: &[OutputReport]) -> Result<Vec<Option<u64>>> {
        Ok(vec![lock(&self.committed).get(run).copied(); outputs.len()])
    }
    async fn collect(&self, _: &TableLocation, _: &[u64]) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    async fn layout(&self, _: &TableLocation, _: u64) -> Result<TableLayout> {
        Ok(TableLayout::default())
    }
    async fn vacuum(&self, _: &TableLocation, _: &[u64], _: bool) -> Result<Vacuumed> {
        Ok(Vacuumed::default())
    }
    async fn collect_quarantine(&self, _: &TableLocation, _: &[RunId]) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    async fn remove_quarantine(&self, _: &TableLocation, run: &RunId) -> Result<()> {
        lock(&self.removed).push(run.clone());
        Ok(())
    }
    async fn foreign_commits(&self, _: &TableLocation, _: &[u64]) -> Result<Vec<u64>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl GovernedReads for World {
    async fn input(&self, _: &RunId, _: &Name, _: &Name, _: &ProductInput) -> Result<ProductRead> {
        Err(Error::forbidden("MW0702", "no agreement"))
    }
    async fn reference(&self, _: &RunId, _: &Name, _: &Name, _: &str) -> Result<GovernedTable> {
        Err(Error::forbidden("MW0702", "no agreement"))
    }
    async fn shown(&self, _: &Subject, _: &Run, report: RunReport) -> Result<RunReport> {
        Ok(report)
    }
}

struct Processes(Arc<World>);

#[async_trait]
impl RunProcess for Processes {
    async fn start(&self, _: &RunSpec) -> Result<Box<dyn RunChild>> {
        let says = lock(&self.0.script).pop_front().unwrap_or_default();
        let commits = lock(&self.0.commits).pop_front().unwrap_or_default();
        Ok(Box::new(Child { world: self.0.clone(), says: says.into(), commits }))
    }
}

struct Child {
    world: Arc<World>,
    says: VecDeque<Option<RunEvent>>,
    commits: Vec<RunEvent>,
}

#[async_trait]
impl RunChild for Child {
    async fn next(&mut self) -> Result<Option<RunEvent>> {
        match self.says.pop_front() {
            Some(Some(event)) => Ok(Some(event)),
            Some(None) => std::future::pending().await,
            None => Ok(None),
        }
    }
    async fn commit(&mut self) -> Result<()> {
        self.says.extend(std::mem::take(&mut self.commits).into_iter().map(Some));
        Ok(())
    }
    async fn kill(&mut self) {
        *lock(&self.world.killed) += 1;
    }
    async fn ended(&mut self) -> String {
        "signal: 9".to_owned()
    }
}

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
