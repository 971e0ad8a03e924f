//! What runs need of the world, in memory.

use super::*;

/// State, engine and processes in memory. Children say what the script tells them to.
#[derive(Default)]
pub struct World {
    pub mesh: Mutex<Option<Mesh>>,
    pub runs: Mutex<BTreeMap<RunId, (Run, Option<RunReport>)>>,
    pub leases: Mutex<BTreeMap<ProductId, Lease>>,
    pub publications: Mutex<Vec<Publication>>,
    pub log: Mutex<Vec<String>>,
    /// What the next children say; `None` stands for saying nothing more without ending.
    pub script: Mutex<VecDeque<Vec<Option<RunEvent>>>>,
    /// What the next children say after `commit`.
    pub commits: Mutex<VecDeque<Vec<RunEvent>>>,
    /// Versions in the Delta log, by the run that made them.
    pub committed: Mutex<BTreeMap<RunId, u64>>,
    pub killed: Mutex<u32>,
    pub heartbeat_fails: Mutex<bool>,
    pub quarantine: Mutex<Vec<QuarantineEntry>>,
    pub removed: Mutex<Vec<RunId>>,
    /// What children were started with.
    pub started: Mutex<Vec<RunSpec>>,
}

pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
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
    pub fn state_of(&self, id: &RunId) -> RunState {
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
    async fn kept_views(&self) -> Result<Vec<Publication>> {
        Ok(Vec::new())
    }
    async fn expire(&self, _: &OutputId, _: u32, _: &PublicationId) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl TableState for World {
    async fn tables(&self, _: Option<&ProductId>) -> Result<Vec<KnownTable>> {
        Ok(Vec::new())
    }
    async fn set_given_up(&self, _: &TablePlace, _: Option<Timestamp>) -> Result<()> {
        Ok(())
    }
    async fn withdraw(&self, _: &TablePlace) -> Result<()> {
        Ok(())
    }
    async fn forget_table(&self, _: &TablePlace) -> Result<()> {
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
    async fn remove_table(&self, _: &TableLocation, _: bool) -> Result<Vacuumed> {
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

pub struct Processes(pub Arc<World>);

#[async_trait]
impl RunProcess for Processes {
    async fn start(&self, spec: &RunSpec) -> Result<Box<dyn RunChild>> {
        lock(&self.0.started).push(spec.clone());
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
