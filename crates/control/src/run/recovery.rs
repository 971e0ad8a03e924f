//! What dead processes left: rolled forward when a passing verdict has commits, dropped otherwise (D4).

use meshwork_core::error::{Error, Kind, Result};
use meshwork_core::id::{ProductId, RunId};
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::product::Product;
use meshwork_core::run::{Lease, Run, RunReport, RunState};

use super::RunService;
use super::lease::after;

/// What became of a stranded run.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    pub run: RunId,
    pub product: String,
    /// Whether it was published after all.
    pub published: bool,
    /// Why it could not be settled now: its storage does not answer. It is tried again; other products go on.
    pub failed: Option<Error>,
}

impl RunService {
    /// Settles every run whose lease has expired.
    pub async fn recover(&self) -> Result<Vec<Recovered>> {
        self.recover_as_of(self.ports.clock.now()).await
    }

    /// Settles every run that is not over. Only for a process that has just taken the exclusive lock of the state: then no
    /// other process can hold a live lease, however fresh it looks.
    pub async fn recover_all(&self) -> Result<Vec<Recovered>> {
        self.recover_as_of(after(self.ports.clock.now(), self.settings.lease * 2)).await
    }

    async fn recover_as_of(&self, moment: meshwork_core::effect::Timestamp) -> Result<Vec<Recovered>> {
        let mut settled = Vec::new();
        for (run, lease, report) in self.ports.runs.stranded(moment).await? {
            // From now, not from `moment`: should this recovery die too, the next one finds the run stranded again.
            let until = after(self.ports.clock.now(), self.settings.lease);
            let lease = match self.ports.runs.take_over(&lease, &self.settings.holder, moment, until).await {
                Ok(lease) => lease,
                // Somebody else was quicker.
                Err(error) if error.kind == Kind::Conflict => continue,
                Err(error) => return Err(error),
            };
            self.ports.faults.reach("recovery.leased");
            let (published, failed) = match self.settle(&run, &lease, report).await {
                Ok(published) => (published, None),
                Err(error) if error.kind == Kind::Environment => (false, Some(error)),
                Err(error) => return Err(error),
            };
            match &failed {
                None => tracing::info!(run = %run.id, product = run.name, published, "settled a stranded run"),
                Some(error) => tracing::warn!(run = %run.id, product = run.name, %error, "a stranded run stays"),
            }
            settled.push(Recovered { run: run.id, product: run.name, published, failed });
        }
        Ok(settled)
    }

    async fn settle(&self, run: &Run, lease: &Lease, report: Option<RunReport>) -> Result<bool> {
        if let Some(report) = report.filter(|_| run.state == RunState::Committing)
            && self.roll_forward(run, lease, &report).await?
        {
            return Ok(true);
        }
        self.drop_run(run, lease).await?;
        Ok(false)
    }

    /// Finishes a run that had begun to commit. False when it had not.
    async fn roll_forward(&self, run: &Run, lease: &Lease, report: &RunReport) -> Result<bool> {
        let committed = self.ports.engine.committed(&run.id, &report.outputs).await?;
        if committed.iter().all(Option::is_none) {
            return Ok(false);
        }
        let versions = self.ports.engine.commit(&run.id, &report.outputs).await?;
        self.ports.faults.reach("recovery.committed");
        let publication = self.publication(run, report, &versions)?;
        self.ports.runs.publish(lease, &publication).await?;
        Ok(true)
    }

    async fn drop_run(&self, run: &Run, lease: &Lease) -> Result<()> {
        if let Some((mesh, at)) = self.place_of(&run.product).await? {
            let (domain, product) = at;
            let guard = self.guard(&run.product);
            let _exclusive = guard.lock().await;
            self.collect_product(&mesh, &mesh.domains[&domain], &mesh.domains[&domain].products[&product]).await?;
        }
        let error =
            Error::environment("MW0663", "its process ended before it published; what it had staged was removed")
                .hint("run it again; the previous publication is still served");
        let over = Run {
            state: RunState::Failed,
            finished_at: Some(self.ports.clock.now()),
            error: Some(error),
            ..run.clone()
        };
        self.ports.runs.finish_run(lease, &over, None).await
    }

    /// Where an applied product stands now; `None` when it is gone.
    async fn place_of(
        &self,
        id: &ProductId,
    ) -> Result<Option<(Mesh, (meshwork_core::name::Name, meshwork_core::name::Name))>> {
        let Some(mesh) = self.ports.mesh.applied().await?.mesh else { return Ok(None) };
        let same = |(_, product): &(&Domain, &Product)| product.id.as_ref() == Some(id);
        let found = mesh.products().find(same).map(|(domain, product)| (domain.name.clone(), product.name.clone()));
        Ok(found.map(|at| (mesh, at)))
    }
}
