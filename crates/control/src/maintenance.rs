//! Housekeeping: compaction of small files, and vacuum of what nobody can read any more. In the background of a server,
//! and when somebody asks for it.
//!
//! One table at a time. A compaction is a run of its own kind: it takes the product's lease and publishes the same rows in
//! fewer files, and makes way at once for a run that is asked for. A vacuum first says that old publications are no longer
//! served, then removes their files, but never those that somebody is reading.

mod job;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use meshwork_core::audit::{Entry, Event};
use meshwork_core::effect::{Clock, Timestamp};
use meshwork_core::error::{Error, Result};
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::name::Name;
use meshwork_core::permission::{ApiAction, Resource, may};
use meshwork_core::principal::Subject;
use meshwork_core::product::Product;
use meshwork_core::retention;
use serde::{Deserialize, Serialize};

pub use job::{Job, JobState, Jobs};

use crate::port::audit::AuditSink;
use crate::run::{Compaction, RunService, VacuumedTable, matching};

/// What can be done to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Small files become few larger ones.
    Compact,
    /// What no kept publication needs is removed: data files, leftovers, old entries of the log.
    Vacuum,
}

impl Task {
    pub const ALL: [Self; 2] = [Self::Compact, Self::Vacuum];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Vacuum => "vacuum",
        }
    }
}

/// What somebody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceRequest {
    /// `domain.product`, `domain` or `all`.
    pub products: Vec<String>,
    /// All of them unless some are named.
    #[serde(default)]
    pub tasks: Vec<Task>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// In seconds, instead of what the manifests say.
    #[serde(default)]
    pub retention: Option<u64>,
    /// A retention below the least one that manifests may ask for.
    #[serde(default)]
    pub force: bool,
}

/// What was done to one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Maintained {
    /// `domain.product`.
    pub product: String,
    /// `domain.output_v1`.
    pub table: String,
    pub task: Task,
    /// Data files that were removed, or written together.
    pub files: u64,
    pub bytes: u64,
    /// Entries of the log that were removed.
    pub log_files: u64,
    pub log_bytes: u64,
    /// Publications that time travel no longer reaches, and from when on it works.
    pub expired: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// Versions beyond the retention that are kept because somebody reads them.
    pub held: u64,
    /// Where it lies, of a table that its product has no longer, or no longer there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<String>,
    /// Why nothing was done where something might have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

impl Maintained {
    fn of(product: &str, table: String, task: Task) -> Self {
        Self {
            product: product.to_owned(),
            table,
            task,
            files: 0,
            bytes: 0,
            log_files: 0,
            log_bytes: 0,
            expired: 0,
            oldest: None,
            held: 0,
            former: None,
            skipped: None,
            error: None,
        }
    }

    fn removed(&mut self, found: VacuumedTable) {
        self.files = found.removed.files.len() as u64;
        self.bytes = found.removed.files.iter().map(|file| file.bytes).sum();
        self.log_files = found.removed.log.len() as u64;
        self.log_bytes = found.removed.log.iter().map(|file| file.bytes).sum();
        (self.expired, self.oldest, self.held) = (found.expired, found.oldest, found.held);
    }

    /// Whether anything was done, or would be.
    pub fn is_something(&self) -> bool {
        self.files + self.log_files + self.expired > 0 || self.error.is_some()
    }
}

#[derive(Clone)]
pub struct MaintenanceService {
    pub runs: RunService,
    pub audit: Arc<dyn AuditSink>,
    pub clock: Arc<dyn Clock>,
    pub jobs: Arc<Jobs>,
}

impl MaintenanceService {
    /// Does what is asked, table after table; the answers come as they are done.
    pub async fn maintain(
        &self,
        actor: &Subject,
        subject: &Subject,
        address: Option<String>,
        request: MaintenanceRequest,
    ) -> Result<BoxStream<'static, Maintained>> {
        let mesh = self.runs.mesh().await?;
        let mut chosen: Vec<(Name, Name)> = Vec::new();
        for selector in &request.products {
            for (domain, product) in matching(&mesh, selector, subject)? {
                may(Some(subject), ApiAction::Maintain, Resource::Domain { domain: &domain.name })?;
                chosen.push((domain.name.clone(), product.name.clone()));
            }
        }
        chosen.sort();
        chosen.dedup();
        if request.retention.is_some_and(|seconds| seconds < retention::FLOOR) && !request.force {
            return Err(too_short());
        }
        if !request.dry_run {
            self.record(actor, subject, address, &request, &chosen).await?;
            self.runs.recover().await?;
        }
        let service = self.clone();
        let tasks = if request.tasks.is_empty() { Task::ALL.to_vec() } else { request.tasks.clone() };
        let steps: Vec<((Name, Name), Task)> = chosen
            .into_iter()
            .flat_map(|product| tasks.clone().into_iter().map(move |task| (product.clone(), task)))
            .collect();
        let stream = futures::stream::iter(steps).then(move |((domain, product), task)| {
            let (service, mesh, request) = (service.clone(), mesh.clone(), request.clone());
            async move {
                let Some((domain, product)) = find(&mesh, &domain, &product) else { return Vec::new() };
                let own = request.retention.map(Duration::from_secs);
                service.one(&mesh, (domain, product), task, own, request.dry_run).await
            }
        });
        Ok(stream.flat_map(futures::stream::iter).boxed())
    }

    /// Does what is due by now, in the background of a server. Returns what it did.
    pub async fn work(&self) -> Result<Vec<Maintained>> {
        let mesh = match self.runs.mesh().await {
            Ok(mesh) => mesh,
            // Nothing is applied yet.
            Err(error) if error.code == "MW0654" => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let products: Vec<(Name, Name)> =
            mesh.products().map(|(domain, product)| (domain.name.clone(), product.name.clone())).collect();
        self.jobs.plan(&products, self.clock.now());
        let mut done = Vec::new();
        while let Some(((domain, product), task)) = self.jobs.begin(self.clock.now()) {
            let name = format!("{domain}.{product}");
            let report = match find(&mesh, &domain, &product) {
                Some(found) => self.one(&mesh, found, task, None, false).await,
                None => Vec::new(),
            };
            self.jobs.end(&name, task, &report, self.clock.now());
            done.extend(report);
        }
        Ok(done)
    }

    async fn record(
        &self,
        actor: &Subject,
        subject: &Subject,
        address: Option<String>,
        request: &MaintenanceRequest,
        chosen: &[(Name, Name)],
    ) -> Result<()> {
        let products: Vec<String> = chosen.iter().map(|(domain, product)| format!("{domain}.{product}")).collect();
        let kept = request.retention.map_or_else(String::new, |seconds| format!(", keeping {seconds} s"));
        let event = Event::Access {
            action: "maintain".to_owned(),
            object: format!("{}{kept}", products.join(" ")),
            table: None,
            purpose: None,
        };
        let entry = Entry::new(self.clock.now(), actor.principal.clone(), event)
            .on_behalf_of(subject.principal.clone())
            .from_address(address);
        self.audit.record(entry).await
    }

    /// One task on every table of a product.
    async fn one(
        &self,
        mesh: &Arc<Mesh>,
        (domain, product): (&Domain, &Product),
        task: Task,
        asked: Option<Duration>,
        dry_run: bool,
    ) -> Vec<Maintained> {
        let done = match task {
            Task::Compact => self.compact(mesh, domain, product, dry_run).await,
            Task::Vacuum => self.vacuum(mesh, domain, product, asked, dry_run).await,
        };
        let name = format!("{}.{}", domain.name, product.name);
        done.unwrap_or_else(|error| {
            tracing::warn!(product = name, task = task.as_str(), %error, "housekeeping did not finish");
            vec![Maintained { error: Some(error), ..Maintained::of(&name, name.clone(), task) }]
        })
    }

    async fn vacuum(
        &self,
        mesh: &Mesh,
        domain: &Domain,
        product: &Product,
        asked: Option<Duration>,
        dry_run: bool,
    ) -> Result<Vec<Maintained>> {
        let retention = asked.unwrap_or_else(|| retention::of(mesh, domain, product));
        let name = format!("{}.{}", domain.name, product.name);
        let mut done = Vec::new();
        let skipped = |because: &str| {
            let report = Maintained::of(&name, name.clone(), Task::Vacuum);
            Ok(vec![Maintained { skipped: Some(because.to_owned()), ..report }])
        };
        if !dry_run {
            self.runs.expire_quarantine().await?;
        }
        let Some(_exclusive) = self.runs.exclusive(product)? else { return skipped("it is being run") };
        if !self.runs.is_settled(product).await? {
            return skipped("a run of it has not been settled yet");
        }
        let paused = || self.runs.readers().is_paused() && !dry_run;
        for table in self.runs.tables(mesh, domain, product)? {
            let mut report = Maintained::of(&name, table.name(domain), Task::Vacuum);
            if paused() {
                report.skipped = Some(PAUSED.to_owned());
                done.push(report);
                continue;
            }
            let place = table.place()?;
            report.removed(self.runs.vacuum_table(&place, retention, dry_run).await?);
            if !dry_run {
                report.files += self.runs.collect_quarantine(product, &place).await?.len() as u64;
            }
            done.push(report);
        }
        for former in self.runs.former(product, !dry_run).await? {
            let mut report = Maintained::of(&name, former.name.clone(), Task::Vacuum);
            report.former = Some(former.place.location.url());
            if paused() {
                report.skipped = Some(PAUSED.to_owned());
            } else {
                match self.runs.vacuum_former(&former, retention, dry_run).await {
                    Ok(Some(found)) => report.removed(found),
                    Ok(None) => continue,
                    // The other tables need not wait for a store that may be gone for good.
                    Err(error) => report.error = Some(error),
                }
            }
            done.push(report);
        }
        Ok(done)
    }

    async fn compact(
        &self,
        mesh: &Arc<Mesh>,
        domain: &Domain,
        product: &Product,
        dry_run: bool,
    ) -> Result<Vec<Maintained>> {
        let name = format!("{}.{}", domain.name, product.name);
        let mut due = Vec::new();
        for table in self.runs.stored(mesh, domain, product)? {
            let Some(layout) = self.runs.layout(&table).await?.filter(|layout| layout.compact) else { continue };
            let mut report = Maintained::of(&name, table.name(domain), Task::Compact);
            (report.files, report.bytes) = (layout.small_files, layout.small_bytes);
            due.push(report);
        }
        if dry_run || due.is_empty() {
            return Ok(due);
        }
        let because = match self.runs.compact(mesh, domain, product, &system()).await? {
            Compaction::Done => return Ok(due),
            Compaction::Skipped(because) => because,
        };
        for report in &mut due {
            (report.files, report.bytes, report.skipped) = (0, 0, Some(because.clone()));
        }
        Ok(due)
    }
}

const PAUSED: &str = "a backup is being made";

/// Who runs what nobody asked for.
fn system() -> Subject {
    Subject::user("system", [], true, None)
}

fn find<'a>(mesh: &'a Mesh, domain: &Name, product: &Name) -> Option<(&'a Domain, &'a Product)> {
    let domain = mesh.domains.get(domain)?;
    domain.products.get(product).map(|product| (domain, product))
}

fn too_short() -> Error {
    let floor = retention::FLOOR / 3600;
    Error::usage("MW0696", format!("a retention below {floor} hour takes time travel away at once"))
        .hint("add `--force` (`force: true`) where that is meant, as when somebody's data must go")
}

#[cfg(test)]
mod tests;
