//! One run of one product, from lease to publication.

use std::collections::BTreeMap;

use meshwork_core::error::{Error, Kind, Result, Severity};
use meshwork_core::id::{ProductId, PublicationId, RunId};
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::principal::Subject;
use meshwork_core::product::Product;
use meshwork_core::publication::{Publication, PublishedOutput};
use meshwork_core::quality::Outcome as Answer;
use meshwork_core::run::{Lease, OutputReport, Run, RunReport, RunState, RunTask};
use tokio::sync::watch;

use super::RunService;
use super::lease::{Heartbeat, after};
use super::release::ReleaseRequest;
use super::update::{RunUpdate, Updates};
use crate::port::data::{InputSpec, RunEvent, RunSpec};
use crate::port::process::RunChild;
use crate::readers::{self, TableVersion};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Published,
    Unchanged,
    Blocked,
    Failed,
}

pub struct Attempt<'a> {
    pub service: &'a RunService,
    pub mesh: &'a Mesh,
    pub domain: &'a Domain,
    pub product: &'a Product,
    pub actor: &'a Subject,
    pub task: RunTask,
    pub full_refresh: bool,
    pub release: Option<&'a ReleaseRequest>,
    pub updates: &'a Updates,
    pub stopped: watch::Receiver<bool>,
}

/// How far a run came.
enum End {
    Published(Publication),
    Unchanged(Box<RunReport>),
    Blocked(Box<RunReport>, Error),
}

impl Attempt<'_> {
    fn name(&self) -> String {
        format!("{}.{}", self.domain.name, self.product.name)
    }

    pub async fn run(mut self) -> Outcome {
        if *self.stopped.borrow() {
            return self.failed(None, interrupted());
        }
        let (run, lease) = match self.begin().await {
            Ok(begun) => begun,
            Err(error) => return self.failed(None, error),
        };
        self.updates.send(RunUpdate::Started { product: self.name(), run: run.id.clone() });
        self.service.ports.faults.reach("run.leased");
        let settings = &self.service.settings;
        let ports = &self.service.ports;
        let heartbeat = Heartbeat::start(
            ports.runs.clone(),
            ports.clock.clone(),
            lease.clone(),
            settings.heartbeat,
            settings.lease,
        );
        let guard = self.service.guard(&run.product);
        let _exclusive = guard.lock().await;
        let end = self.build(&run, &lease, heartbeat.lost.clone()).await;
        let outcome = self.end(&run, &lease, end).await;
        drop(heartbeat);
        outcome
    }

    async fn begin(&self) -> Result<(Run, Lease)> {
        let ports = &self.service.ports;
        if self.task == RunTask::Build {
            self.service.compactions.make_way(product_id(self.product)?).await;
        }
        let now = ports.clock.now();
        let run = Run {
            id: RunId::generate(self.service.ids()),
            product: product_id(self.product)?.clone(),
            name: self.name(),
            task: self.task,
            state: RunState::Running,
            actor: self.actor.principal.clone(),
            started_at: now,
            finished_at: None,
            publication: None,
            error: None,
        };
        let settings = &self.service.settings;
        let lease = ports.runs.start_run(&run, &settings.holder, now, after(now, settings.lease)).await?;
        Ok((run, lease))
    }

    /// Runs the child to its verdict and, if that passes, through commit and publication.
    async fn build(&mut self, run: &Run, lease: &Lease, mut lost: watch::Receiver<bool>) -> Result<End> {
        if !self.ended_well_before(run).await? {
            self.service.collect_product(self.mesh, self.domain, self.product).await?;
        }
        let spec = match self.task {
            RunTask::Build => {
                let how = (self.full_refresh, self.release);
                self.service.spec(self.mesh, self.domain, self.product, run, lease, how).await?
            }
            RunTask::Compact => self.service.compaction_spec(self.mesh, self.domain, self.product, run, lease).await?,
        };
        let _reading = self.service.ports.readers.hold(read_by(&spec))?;
        let mut child = self.service.ports.process.start(&spec).await?;
        self.service.ports.faults.reach("run.started");
        let deadline = tokio::time::sleep(spec.limits.time);
        let mut stopped = self.stopped.clone();
        let verdict = tokio::select! {
            verdict = self.verdict(run, &mut *child) => verdict,
            () = turned(&mut stopped) => Err(interrupted()),
            () = turned(&mut lost) => Err(lease_lost()),
            () = deadline => Err(out_of_time(spec.limits.time)),
        };
        let (passed, mut report) = match verdict {
            Ok(verdict) => verdict,
            Err(error) => {
                child.kill().await;
                return Err(error);
            }
        };
        if self.task == RunTask::Compact {
            self.service.carry_over(&mut report).await?;
        }
        self.tell(run, passed, &report).await;
        if !passed {
            child.kill().await;
            return Ok(End::Blocked(report.clone(), blocked(&report)));
        }
        if report.unchanged {
            child.kill().await;
            return Ok(End::Unchanged(report));
        }
        self.publish(run, lease, &report, &mut *child, &mut lost).await.map(End::Published)
    }

    /// A run that ended well has left nothing behind; to look for it anyway would take longer with every commit.
    async fn ended_well_before(&self, run: &Run) -> Result<bool> {
        let before = self.service.ports.runs.runs(Some(&run.product), Some(&run.id), 1).await?;
        Ok(before.first().is_some_and(|run| matches!(run.state, RunState::Published | RunState::Unchanged)))
    }

    /// The caller hears of the checks what it may see.
    async fn tell(&self, run: &Run, passed: bool, report: &RunReport) {
        match self.service.ports.reads.shown(self.actor, run, report.clone()).await {
            Ok(report) => self.updates.send(RunUpdate::Checked {
                product: self.name(),
                run: run.id.clone(),
                passed,
                report: Box::new(report),
            }),
            Err(problem) => tracing::warn!(product = self.name(), %problem, "the report could not be shown"),
        }
    }

    /// The child's verdict; passes on its progress and logs.
    async fn verdict(&self, run: &Run, child: &mut dyn RunChild) -> Result<(bool, Box<RunReport>)> {
        loop {
            match child.next().await? {
                Some(RunEvent::Verdict { passed, report }) => return Ok((passed, report)),
                Some(RunEvent::Failed { error }) => return Err(*error),
                Some(RunEvent::Committed { .. }) => return Err(protocol("committed before it was told to")),
                Some(event) => self.pass_on(run, event).await,
                None => return Err(died(&child.ended().await)),
            }
        }
    }

    async fn pass_on(&self, run: &Run, event: RunEvent) {
        match event {
            RunEvent::Progress { output, phase, rows, bytes } => {
                self.updates.send(RunUpdate::Progress {
                    product: self.name(),
                    run: run.id.clone(),
                    output,
                    phase,
                    rows,
                    bytes,
                });
            }
            RunEvent::Log { level, line } => self.log(run, &level, line).await,
            RunEvent::Verdict { .. } | RunEvent::Committed { .. } | RunEvent::Failed { .. } => {}
        }
    }

    async fn log(&self, run: &Run, level: &str, line: String) {
        let ports = &self.service.ports;
        // A log line that cannot be kept is no reason to stop the run.
        let _ = ports.runs.append_log(&run.id, ports.clock.now(), level, &line).await;
        self.updates.send(RunUpdate::Log { product: self.name(), run: run.id.clone(), level: level.to_owned(), line });
    }

    /// Verdict stored → Delta commits → one transaction with the publication (D4). Past the stored verdict nobody's wish
    /// to stop is heard: the rest is short, and recovery would roll it forward anyway.
    async fn publish(
        &self,
        run: &Run,
        lease: &Lease,
        report: &RunReport,
        child: &mut dyn RunChild,
        lost: &mut watch::Receiver<bool>,
    ) -> Result<Publication> {
        let ports = &self.service.ports;
        if let Err(error) = ports.runs.store_verdict(lease, report, ports.clock.now()).await {
            child.kill().await;
            return Err(if error.kind == Kind::Conflict { lease_lost() } else { error });
        }
        self.service.ports.faults.reach("run.verdict_stored");
        let versions = tokio::select! {
            versions = self.commit(run, report, child) => versions,
            () = turned(lost) => Err(lease_lost()),
        };
        child.kill().await;
        let versions = versions?;
        self.service.ports.faults.reach("run.committed");
        let publication = self.service.publication(run, report, &versions)?;
        ports.runs.publish(lease, &publication).await?;
        self.service.ports.faults.reach("run.published");
        Ok(publication)
    }

    /// The version of each output, in the report's order.
    async fn commit(&self, run: &Run, report: &RunReport, child: &mut dyn RunChild) -> Result<Vec<u64>> {
        let by_child = self.commit_in_child(run, report, child).await;
        self.service.ports.faults.reach("run.commit_ended");
        match by_child {
            Ok(versions) => Ok(versions),
            // It may have died between two commits: those that it made keep their version, the others are made here.
            Err(error) => {
                child.kill().await;
                self.log(run, "warn", format!("the commit is finished by the server: {error}")).await;
                self.service.ports.engine.commit(&run.id, &report.outputs).await
            }
        }
    }

    async fn commit_in_child(&self, run: &Run, report: &RunReport, child: &mut dyn RunChild) -> Result<Vec<u64>> {
        child.commit().await?;
        loop {
            match child.next().await? {
                Some(RunEvent::Committed { versions }) => return in_order(report, &versions),
                Some(RunEvent::Failed { error }) => return Err(*error),
                Some(event) => self.pass_on(run, event).await,
                None => return Err(died(&child.ended().await)),
            }
        }
    }

    async fn end(&self, run: &Run, lease: &Lease, end: Result<End>) -> Outcome {
        match end {
            Ok(End::Published(publication)) => {
                self.updates.send(RunUpdate::Published {
                    product: self.name(),
                    run: run.id.clone(),
                    publication: publication.id,
                    outputs: publication.outputs,
                });
                Outcome::Published
            }
            Ok(End::Unchanged(report)) => {
                let over = Run {
                    state: RunState::Unchanged,
                    finished_at: Some(self.service.ports.clock.now()),
                    ..run.clone()
                };
                match self.service.ports.runs.finish_run(lease, &over, Some(&report)).await {
                    Ok(()) => {
                        self.updates.send(RunUpdate::Unchanged { product: self.name(), run: run.id.clone() });
                        Outcome::Unchanged
                    }
                    Err(error) => self.failed(Some(run.id.clone()), error),
                }
            }
            Ok(End::Blocked(mut report, error)) => {
                for output in &mut report.outputs {
                    output.staged = None;
                }
                self.finish(run, lease, RunState::Blocked, error.clone(), Some(&report)).await;
                self.updates.send(RunUpdate::Blocked { product: self.name(), run: run.id.clone(), error });
                Outcome::Blocked
            }
            Err(error) => {
                let state = if error.kind == Kind::Interrupted { RunState::Cancelled } else { RunState::Failed };
                self.finish(run, lease, state, error.clone(), None).await;
                self.failed(Some(run.id.clone()), error)
            }
        }
    }

    /// Records a run that published nothing, after what it left has been collected. If that fails too, recovery does it.
    async fn finish(&self, run: &Run, lease: &Lease, state: RunState, error: Error, report: Option<&RunReport>) {
        let ports = &self.service.ports;
        // Whoever took the lease over owns the folder now.
        if error.code != "MW0657"
            && let Err(problem) = self.service.collect_product(self.mesh, self.domain, self.product).await
        {
            tracing::warn!(product = self.name(), %problem, "what the run left could not be collected");
        }
        let over = Run { state, finished_at: Some(ports.clock.now()), error: Some(error), ..run.clone() };
        if let Err(problem) = ports.runs.finish_run(lease, &over, report).await {
            tracing::warn!(product = self.name(), %problem, "the end of the run could not be recorded");
        }
    }

    fn failed(&self, run: Option<RunId>, error: Error) -> Outcome {
        self.updates.send(RunUpdate::Failed { product: self.name(), run, error });
        Outcome::Failed
    }
}

impl RunService {
    pub(super) fn publication(&self, run: &Run, report: &RunReport, versions: &[u64]) -> Result<Publication> {
        if versions.len() != report.outputs.len() {
            return Err(protocol("committed another number of outputs than it staged"));
        }
        let outputs =
            report.outputs.iter().zip(versions).map(|(output, version)| published(output, *version)).collect();
        Ok(Publication {
            id: PublicationId::generate(self.ids()),
            product: run.product.clone(),
            run: run.id.clone(),
            at: self.ports.clock.now(),
            outputs,
        })
    }
}

/// The versions of tables that a run reads: of other products, and of its own.
fn read_by(spec: &RunSpec) -> Vec<TableVersion> {
    let inputs = spec.inputs.values().filter_map(|input| match input {
        InputSpec::Governed(table) => Some(table),
        InputSpec::Source(_) => None,
    });
    let references = spec.outputs.iter().flat_map(|output| output.references.values());
    let others = inputs.chain(references).flat_map(readers::versions);
    let own = spec.outputs.iter().filter_map(|output| Some((output.location.url(), output.base?)));
    others.chain(own).collect()
}

fn published(output: &OutputReport, delta_version: u64) -> PublishedOutput {
    PublishedOutput {
        output: output.output.clone(),
        major: output.major,
        contract_version: output.contract_version.clone(),
        contract_digest: output.contract_digest.clone(),
        location: output.location.clone(),
        delta_version,
        rows: output.rows,
        bytes: output.bytes,
        lineage: output.lineage.clone(),
        body: output.body.clone(),
    }
}

/// Events name an output version as `leads_v2`.
pub fn version_key(output: &OutputReport) -> String {
    format!("{}_v{}", output.name, output.major)
}

fn in_order(report: &RunReport, versions: &BTreeMap<String, u64>) -> Result<Vec<u64>> {
    let of = |output| versions.get(&version_key(output)).copied();
    report.outputs.iter().map(of).collect::<Option<_>>().ok_or_else(|| protocol("left an output out of its commits"))
}

pub(super) fn product_id(product: &Product) -> Result<&ProductId> {
    let missing = || Error::internal("MW0666", format!("product `{}` was applied without an id", product.name));
    product.id.as_ref().ok_or_else(missing)
}

/// Resolves when the flag turns true; never, if its sender is gone.
async fn turned(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|on| *on).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn blocked(report: &RunReport) -> Error {
    let failing: Vec<String> = report
        .outputs
        .iter()
        .flat_map(|output| output.clauses.iter().map(move |clause| (output, clause)))
        .filter(|(_, clause)| clause.severity == Severity::Error)
        .filter(|(_, clause)| matches!(clause.outcome, Answer::Fail | Answer::Error { .. }))
        .map(|(output, clause)| format!("{}: {}", output.name, clause.clause))
        .collect();
    Error::check("MW0659", format!("blocked by its contract: {}", failing.join(", ")))
        .hint("mend the source or the contract and run again; the previous publication is still served")
}

fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "MW0658", "stopped before it was published")
        .hint("the previous publication is still served")
}

fn lease_lost() -> Error {
    Error::conflict("MW0657", "another run has taken this product's lease; nothing was published by this one")
}

fn out_of_time(limit: std::time::Duration) -> Error {
    Error::limit("MW0656", format!("the run took longer than {} s and was stopped", limit.as_secs()))
}

fn died(how: &str) -> Error {
    Error::environment("MW0655", format!("the run's process ended before it was done: {how}"))
        .hint("`meshwork logs RUN` shows its last lines; an end by signal 9 or 6 often means that memory ran out")
}

fn protocol(what: &str) -> Error {
    Error::internal("MW0665", format!("the run's process {what}"))
}
