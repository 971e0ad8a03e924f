//! Compaction as a run: lease, child process, verdict, commit and publication, like any other; the same rows in fewer files.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use meshwork_core::error::Result;
use meshwork_core::id::{OutputId, ProductId};
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::principal::Subject;
use meshwork_core::product::Product;
use meshwork_core::publication::PublishedOutput;
use meshwork_core::run::{Lease, Run, RunReport, RunTask};
use tokio::sync::{mpsc, watch};

use super::RunService;
use super::attempt::{Attempt, Outcome, product_id};
use super::collection::Stored;
use super::spec::{output_id, storage_for};
use super::update::{RunUpdate, Updates};
use crate::port::data::{OutputSpec, RunSpec, TableLayout};

/// How a compaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compaction {
    Done,
    Skipped(String),
}

/// Compactions under way in this process, so that runs that were asked for need not wait for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Compactions(Arc<Mutex<HashMap<ProductId, UnderWay>>>);

#[derive(Clone, Debug)]
struct UnderWay {
    stop: watch::Sender<bool>,
    /// Its sender goes when the compaction is over.
    over: watch::Receiver<()>,
}

/// Takes its compaction off the list.
struct Entry<'a> {
    all: &'a Compactions,
    product: ProductId,
    _over: watch::Sender<()>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.product);
    }
}

impl Compactions {
    fn enter(&self, product: &ProductId) -> (Entry<'_>, watch::Receiver<bool>) {
        let ((stop, stopped), (sender, over)) = (watch::channel(false), watch::channel(()));
        let under_way = UnderWay { stop, over };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(product.clone(), under_way);
        (Entry { all: self, product: product.clone(), _over: sender }, stopped)
    }

    /// Stops the compaction of a product, if there is one, and waits for its end.
    pub async fn make_way(&self, product: &ProductId) {
        let under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(product).cloned();
        if let Some(UnderWay { stop, mut over }) = under_way {
            stop.send_replace(true);
            // Never changed, only closed.
            let _ = over.changed().await;
        }
    }
}

impl RunService {
    /// How the newest publication of a table lies in its files; `None` for one that has none of its own.
    pub(crate) async fn layout(&self, table: &Stored<'_>) -> Result<Option<TableLayout>> {
        let Some(published) = self.compactable(table).await? else { return Ok(None) };
        self.ports.engine.layout(&table.location, published.delta_version).await.map(Some)
    }

    /// What a table serves now, if its files are the product's own to write.
    async fn compactable(&self, table: &Stored<'_>) -> Result<Option<PublishedOutput>> {
        let published = self.served(output_id(table.output)?, table.major).await?;
        // After the storage has moved the next run writes at the new place.
        Ok(published.filter(|published| published.location == table.location && published.body.is_stored()))
    }

    async fn served(&self, output: &OutputId, major: u32) -> Result<Option<PublishedOutput>> {
        let current = self.ports.publications.resolve(output, major, None).await?;
        Ok(current.and_then(|p| p.outputs.into_iter().find(|o| o.output == *output && o.major == major)))
    }

    /// Compacts the tables of a product, unless it is being run.
    pub(crate) async fn compact(
        &self,
        mesh: &Arc<Mesh>,
        domain: &Domain,
        product: &Product,
        actor: &Subject,
    ) -> Result<Compaction> {
        if self.exclusive(product)?.is_none() {
            return Ok(Compaction::Skipped("it is being run".to_owned()));
        }
        let (_entry, stopped) = self.compactions.enter(product_id(product)?);
        let (sender, mut updates) = mpsc::unbounded_channel();
        let updates_of = Updates(sender);
        let attempt = Attempt {
            service: self,
            mesh,
            domain,
            product,
            actor,
            task: RunTask::Compact,
            full_refresh: false,
            release: None,
            updates: &updates_of,
            stopped,
        };
        self.active.send_modify(|active| *active += 1);
        let outcome = attempt.run().await;
        self.active.send_modify(|active| *active -= 1);
        drop(updates_of);
        Ok(match outcome {
            Outcome::Published => Compaction::Done,
            Outcome::Unchanged => Compaction::Skipped("there was nothing to compact".to_owned()),
            Outcome::Blocked | Outcome::Failed => {
                let mut why = None;
                while let Ok(update) = updates.try_recv() {
                    if let RunUpdate::Failed { error, .. } | RunUpdate::Blocked { error, .. } = update {
                        why = Some(error);
                    }
                }
                match why {
                    // It made way for a run, or a run was quicker.
                    Some(error) if matches!(error.code.as_str(), "MW0658" | "MW0411" | "MW0412") => {
                        Compaction::Skipped(error.message)
                    }
                    Some(error) => return Err(error),
                    None => Compaction::Skipped("it did not finish".to_owned()),
                }
            }
        })
    }

    pub(super) async fn compaction_spec(
        &self,
        mesh: &Mesh,
        domain: &Domain,
        product: &Product,
        run: &Run,
        lease: &Lease,
    ) -> Result<RunSpec> {
        let mut outputs = Vec::new();
        for table in self.stored(mesh, domain, product)? {
            let Some(published) = self.compactable(&table).await? else { continue };
            let version = &table.output.versions[&table.major];
            outputs.push(OutputSpec {
                output: published.output,
                name: table.output.name.clone(),
                major: table.major,
                location: table.location,
                table: version.schema().clone(),
                // Those that its rows were checked under.
                contract_version: published.contract_version,
                contract_digest: published.contract_digest,
                sql: String::new(),
                sql_path: String::new(),
                mode: table.output.mode,
                key: Vec::new(),
                merge: table.output.merge.clone(),
                on_violation: table.output.on_violation,
                quarantine_limit: table.output.quarantine_limit,
                base: Some(published.delta_version),
                served: None,
                resting: None,
                references: BTreeMap::new(),
            });
        }
        Ok(RunSpec {
            run: run.id.clone(),
            product: run.name.clone(),
            task: run.task,
            fencing_token: lease.fencing_token,
            storage: storage_for(mesh, &BTreeMap::new(), &outputs),
            inputs: BTreeMap::new(),
            pins: BTreeMap::new(),
            incremental: BTreeMap::new(),
            outputs,
            full_refresh: false,
            sample: None,
            release: None,
            limits: self.limits_of(mesh, product),
            now: run.started_at,
        })
    }

    /// The rows are those that were checked before: what was found then holds.
    pub(super) async fn carry_over(&self, report: &mut RunReport) -> Result<()> {
        for output in &mut report.outputs {
            let Some(current) = self.ports.publications.resolve(&output.output, output.major, None).await? else {
                continue;
            };
            let is_it = |o: &&PublishedOutput| o.output == output.output && o.major == output.major;
            output.lineage = current.outputs.iter().find(is_it).map(|o| o.lineage.clone()).unwrap_or_default();
            let Some((_, Some(before))) = self.ports.runs.run(&current.run).await? else { continue };
            let found = before.outputs.into_iter().find(|o| o.output == output.output && o.major == output.major);
            if let Some(found) = found {
                (output.clauses, output.profile) = (found.clauses, found.profile);
            }
        }
        Ok(())
    }
}
