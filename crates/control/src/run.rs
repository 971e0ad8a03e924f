//! Runs: build, check and publish products (D4, D11).
//!
//! A run holds its product's lease, works in a child process that commits nothing until told, and becomes visible by one
//! publication. Whatever stops it, the previous publication stays served.

mod attempt;
mod collection;
mod compaction;
mod former;
mod lease;
mod recovery;
mod release;
mod selection;
mod spec;
mod update;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use meshwork_core::effect::{Clock, Entropy, Faults};
use meshwork_core::error::{Error, Result};
use meshwork_core::id::{Ids, ProductId, PublicationId, RunId};
use meshwork_core::limits::Limits;
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::name::Name;
use meshwork_core::principal::Subject;
use meshwork_core::product::{Input, Product, ProductInput};
use meshwork_core::publication::PublishedOutput;
use meshwork_core::run::{Run, RunReport, RunTask};
use tokio::sync::{Semaphore, mpsc, watch};

pub use attempt::version_key;
pub(crate) use collection::VacuumedTable;
pub use compaction::Compaction;
pub use recovery::Recovered;
pub use release::ReleaseRequest;
pub(crate) use selection::matching;
pub use selection::{Selection, Step, runnable, select};
pub use spec::storage_root;
pub use update::{RunRequest, RunStream, RunUpdate};

use crate::port::data::{GovernedTable, RunEngine, RunLimits, Sample};
use crate::port::process::RunProcess;
use crate::port::state::{MeshState, PublicationState, QuarantineState, RunLedger, TableState};
use crate::readers::Readers;
use attempt::{Attempt, Outcome};
use compaction::Compactions;
use update::Updates;

/// A table as a product may read it, and what made it visible.
#[derive(Clone, Debug)]
pub struct ProductRead {
    pub table: GovernedTable,
    pub publication: PublicationId,
    pub published: PublishedOutput,
}

/// The governed read path as runs need it. Implemented by `QueryService`.
#[async_trait]
pub trait GovernedReads: Send + Sync {
    /// An input of `domain.product`, as that product may read it: through its agreements (promise 3).
    async fn input(&self, run: &RunId, domain: &Name, product: &Name, input: &ProductInput) -> Result<ProductRead>;
    /// The table that a `references` clause points at (`domain.output`), read as that product.
    async fn reference(&self, run: &RunId, domain: &Name, product: &Name, to: &str) -> Result<GovernedTable>;
    /// A run's report as this reader may see it (D20).
    async fn shown(&self, subject: &Subject, run: &Run, report: RunReport) -> Result<RunReport>;
}

/// What runs need of the world.
#[derive(Clone)]
pub struct RunPorts {
    pub mesh: Arc<dyn MeshState>,
    pub runs: Arc<dyn RunLedger>,
    pub publications: Arc<dyn PublicationState>,
    pub tables: Arc<dyn TableState>,
    pub quarantine: Arc<dyn QuarantineState>,
    /// To finish commits, and to collect; building is the child's.
    pub engine: Arc<dyn RunEngine>,
    pub process: Arc<dyn RunProcess>,
    pub reads: Arc<dyn GovernedReads>,
    /// What is being read, by statements and by runs.
    pub readers: Readers,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub faults: Arc<dyn Faults>,
}

#[derive(Clone, Debug)]
pub struct RunSettings {
    /// The checkout that `apply` was made from: sources lie under its domain folders.
    pub folder: PathBuf,
    /// Process and host, for messages about leases.
    pub holder: String,
    /// Where neither the operator, the mesh nor the product says otherwise.
    pub limits: RunLimits,
    /// What whoever serves has set; the mesh's and the product's own may only be lower.
    pub operator: Limits,
    /// For development: how much of each source is read.
    pub sample: Option<Sample>,
    /// Products at a time.
    pub parallel: usize,
    pub lease: Duration,
    pub heartbeat: Duration,
}

#[derive(Clone)]
pub struct RunService {
    ports: RunPorts,
    settings: Arc<RunSettings>,
    /// One at a time may touch a product's folders from this process; collection does so without a lease of its own.
    guards: Arc<Mutex<HashMap<ProductId, Arc<tokio::sync::Mutex<()>>>>>,
    compactions: Compactions,
    /// Runs under way, to wait for at shutdown.
    active: watch::Sender<usize>,
}

impl RunService {
    pub fn new(ports: RunPorts, settings: RunSettings) -> Self {
        let (active, _) = watch::channel(0);
        Self {
            ports,
            settings: Arc::new(settings),
            guards: Arc::default(),
            compactions: Compactions::default(),
            active,
        }
    }

    /// What every run may use under this mesh; products may have lower limits.
    pub fn limits(&self, mesh: Option<&Mesh>) -> RunLimits {
        let declared = mesh.map(|mesh| mesh.limits.run).unwrap_or_default();
        self.settings.limits.under(self.settings.operator.and(declared))
    }

    /// What runs of a product may use, its compactions among them.
    fn limits_of(&self, mesh: &Mesh, product: &Product) -> RunLimits {
        self.settings.limits.under(self.settings.operator.and(mesh.limits.run).and(product.limits))
    }

    /// Starts the runs that `request` means. They go on while the stream is held, and stop when it is dropped.
    pub async fn run(&self, actor: &Subject, request: &RunRequest) -> Result<RunStream> {
        let mesh = self.mesh().await?;
        let selection = select(&mesh, request, actor)?;
        self.settled(&selection).await?;
        Ok(self.begin(actor, mesh, selection, request.full_refresh, None))
    }

    /// Settles what dead processes left; an error where that cannot be done for a product that is to run.
    async fn settled(&self, selection: &Selection) -> Result<()> {
        for stranded in self.recover().await? {
            if let Some(error) = stranded.failed
                && selection.steps.iter().any(|step| step.name() == stranded.product)
            {
                return Err(error);
            }
        }
        Ok(())
    }

    fn begin(
        &self,
        actor: &Subject,
        mesh: Arc<Mesh>,
        selection: Selection,
        full_refresh: bool,
        release: Option<ReleaseRequest>,
    ) -> RunStream {
        let (sender, updates) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let service = self.clone();
        let actor = actor.clone();
        self.active.send_modify(|active| *active += 1);
        tokio::spawn(async move {
            let drive = Drive { actor: &actor, mesh: &mesh, full_refresh, release: release.as_ref() };
            service.drive(drive, selection, Updates(sender), stopped).await;
            service.active.send_modify(|active| *active -= 1);
        });
        RunStream { updates, stop }
    }

    /// Returns when no run of this process is under way: call after streams were dropped, before the process ends.
    pub async fn idle(&self) {
        let mut active = self.active.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = active.wait_for(|active| *active == 0).await;
    }

    pub(crate) async fn mesh(&self) -> Result<Arc<Mesh>> {
        let applied = self.ports.mesh.applied().await?;
        let mesh = applied.mesh.ok_or_else(|| {
            Error::not_found("MW0654", "nothing is applied to this mesh yet").hint("run `meshwork apply` first")
        })?;
        Ok(Arc::new(mesh))
    }

    async fn drive(&self, drive: Drive<'_>, selection: Selection, updates: Updates, stopped: watch::Receiver<bool>) {
        let Selection { steps, skipped } = selection;
        updates.send(RunUpdate::Planned { products: steps.iter().map(Step::name).collect() });
        let mut tally = Tally { skipped: u32::try_from(skipped.len()).unwrap_or(u32::MAX), ..Tally::default() };
        for (product, because) in skipped {
            updates.send(RunUpdate::Skipped { product, because });
        }
        // Each step tells those after it whether it published.
        let results: Vec<watch::Sender<Option<bool>>> = steps.iter().map(|_| watch::channel(None).0).collect();
        let places = Semaphore::new(self.settings.parallel.max(1));
        let running: FuturesUnordered<_> = steps
            .iter()
            .enumerate()
            .map(|(at, step)| {
                let (results, steps, places, updates) = (&results, &steps, &places, &updates);
                let stopped = stopped.clone();
                async move {
                    let outcome = match self.ready(drive.mesh, steps, results, step, updates).await {
                        Err(because) => {
                            updates.send(RunUpdate::Skipped { product: step.name(), because });
                            None
                        }
                        Ok(()) => {
                            let _place = places.acquire().await;
                            Some(self.step(drive, step, updates, stopped).await)
                        }
                    };
                    results[at].send_replace(Some(matches!(outcome, Some(Outcome::Published | Outcome::Unchanged))));
                    outcome
                }
            })
            .collect();
        let outcomes: Vec<Option<Outcome>> = running.collect().await;
        for outcome in &outcomes {
            tally.add(outcome.as_ref());
        }
        let Tally { published, unchanged, blocked, failed, skipped } = tally;
        updates.send(RunUpdate::Finished { published, unchanged, blocked, failed, skipped });
    }

    /// Waits for the steps before this one. One that did not publish is read as it was last published (D26); an error when
    /// it never was.
    async fn ready(
        &self,
        mesh: &Mesh,
        steps: &[Step],
        results: &[watch::Sender<Option<bool>>],
        step: &Step,
        updates: &Updates,
    ) -> Result<()> {
        for &before in &step.after {
            let mut result = results[before].subscribe();
            let published = result.wait_for(Option::is_some).await.is_ok_and(|done| *done == Some(true));
            if published {
                continue;
            }
            let upstream = &steps[before];
            if !self.was_published(mesh, step, upstream).await? {
                return Err(unpublished(&step.name(), &upstream.name()));
            }
            updates.send(RunUpdate::Stale { product: step.name(), upstream: upstream.name() });
        }
        Ok(())
    }

    /// Whether everything that `step` reads of `upstream` has a publication.
    async fn was_published(&self, mesh: &Mesh, step: &Step, upstream: &Step) -> Result<bool> {
        let (Some((_, product)), Some((_, from))) = (find(mesh, step), find(mesh, upstream)) else { return Ok(false) };
        for input in product.inputs.values() {
            let Input::Product(input) = input else { continue };
            if input.domain != upstream.domain || input.product != upstream.product {
                continue;
            }
            let Some(id) = from.outputs.get(&input.output).and_then(|output| output.id.as_ref()) else {
                return Ok(false);
            };
            if self.ports.publications.resolve(id, input.version, None).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn step(&self, drive: Drive<'_>, step: &Step, updates: &Updates, stopped: watch::Receiver<bool>) -> Outcome {
        let Drive { actor, mesh, full_refresh, release } = drive;
        let Some((domain, product)) = find(mesh, step) else { return Outcome::Failed };
        let task = RunTask::Build;
        Attempt { service: self, mesh, domain, product, actor, task, full_refresh, release, updates, stopped }
            .run()
            .await
    }

    fn ids(&self) -> Ids<'_> {
        Ids { clock: &*self.ports.clock, entropy: &*self.ports.entropy }
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.ports.readers
    }

    /// The right to touch a product's folders from this process; `None` while a run has it.
    pub(crate) fn exclusive(&self, product: &Product) -> Result<Option<tokio::sync::OwnedMutexGuard<()>>> {
        Ok(self.guard(attempt::product_id(product)?).try_lock_owned().ok())
    }

    fn guard(&self, product: &ProductId) -> Arc<tokio::sync::Mutex<()>> {
        let mut guards = self.guards.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        guards.entry(product.clone()).or_default().clone()
    }
}

/// What all steps of one call share.
#[derive(Clone, Copy)]
struct Drive<'a> {
    actor: &'a Subject,
    mesh: &'a Mesh,
    full_refresh: bool,
    release: Option<&'a ReleaseRequest>,
}

fn find<'a>(mesh: &'a Mesh, step: &Step) -> Option<(&'a Domain, &'a Product)> {
    let domain = mesh.domains.get(&step.domain)?;
    domain.products.get(&step.product).map(|product| (domain, product))
}

fn unpublished(product: &str, upstream: &str) -> Error {
    let message = format!("`{product}` was not run: `{upstream}`, which it reads, did not publish, now or before");
    Error::check("MW0661", message)
        .hint(format!("mend `{upstream}` first; this one can be built once that is published"))
}

#[derive(Default)]
struct Tally {
    published: u32,
    unchanged: u32,
    blocked: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    fn add(&mut self, outcome: Option<&Outcome>) {
        match outcome {
            Some(Outcome::Published) => self.published += 1,
            Some(Outcome::Unchanged) => self.unchanged += 1,
            Some(Outcome::Blocked) => self.blocked += 1,
            Some(Outcome::Failed) => self.failed += 1,
            None => self.skipped += 1,
        }
    }
}

#[cfg(test)]
mod tests;
