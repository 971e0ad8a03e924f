//! What of a product's tables is still needed, and removing what is not: leftovers of runs that were stopped at once,
//! versions beyond the retention when housekeeping says so.

use std::time::Duration;

use meshwork_core::effect::Timestamp;
use meshwork_core::error::Result;
use meshwork_core::id::RunId;
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::product::{Mode, Output, Product};
use meshwork_core::publication::{Publication, PublishedOutput, TableLocation};
use meshwork_core::run::RunState;

use super::RunService;
use super::attempt::product_id;
use super::spec::{has_moved, output_id};
use crate::port::data::Vacuumed;

/// One table of a product.
#[derive(Clone, Debug)]
pub(crate) struct Stored<'a> {
    pub output: &'a Output,
    pub major: u32,
    pub location: TableLocation,
}

/// What a vacuum did to one table.
#[derive(Clone, Debug)]
pub(crate) struct VacuumedTable {
    pub removed: Vacuumed,
    /// Publications that time travel no longer reaches.
    pub expired: u64,
    /// When the oldest one that it does reach was made.
    pub oldest: Option<Timestamp>,
    /// Versions that are kept only because somebody reads them.
    pub held: u64,
}

impl Stored<'_> {
    /// `domain.output_v1`.
    pub fn name(&self, domain: &Domain) -> String {
        format!("{}.{}_v{}", domain.name, self.output.name, self.major)
    }
}

impl RunService {
    /// The tables that a product keeps in storage of its own.
    pub(crate) fn stored<'a>(&self, mesh: &Mesh, domain: &Domain, product: &'a Product) -> Result<Vec<Stored<'a>>> {
        let mut tables = Vec::new();
        let own = |output: &&Output| matches!(output.mode, Mode::Full | Mode::Append | Mode::Merge);
        for output in product.outputs.values().filter(own) {
            for major in output.versions.keys() {
                let location = self.location(mesh, domain, output, *major)?;
                tables.push(Stored { output, major: *major, location });
            }
        }
        Ok(tables)
    }

    /// Whether every run of a product is over. One that is not may still have to be rolled forward.
    pub(crate) async fn is_settled(&self, product: &Product) -> Result<bool> {
        let newest = self.ports.runs.runs(Some(product_id(product)?), None, 1).await?;
        Ok(newest.first().is_none_or(|run| run.state.is_over()))
    }

    /// Removes what runs that were stopped have left. The caller holds the product's lease, or its guard in the only
    /// process that runs it.
    pub(super) async fn collect_product(&self, mesh: &Mesh, domain: &Domain, product: &Product) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for table in self.stored(mesh, domain, product)? {
            let mut keep: Vec<u64> = self.kept(&table).await?.iter().map(|(_, version)| *version).collect();
            keep.extend(self.pinned(mesh, &table).await?);
            keep.extend(self.ports.readers.held(&table.location.url()));
            removed.extend(self.ports.engine.collect(&table.location, &keep).await?);
            removed.extend(self.collect_quarantine(product, &table).await?);
        }
        Ok(removed)
    }

    /// Versions of a table that views are served over: theirs to give up, when they are run again.
    async fn pinned(&self, mesh: &Mesh, table: &Stored<'_>) -> Result<Vec<u64>> {
        let url = table.location.url();
        let outputs = mesh.products().flat_map(|(_, product)| product.outputs.values());
        let mut versions = Vec::new();
        for view in outputs.filter(|output| output.mode == Mode::View) {
            for major in view.versions.keys() {
                for publication in self.ports.publications.kept(output_id(view)?, *major).await? {
                    let over = publication.outputs.iter().flat_map(PublishedOutput::pinned);
                    let of_table = over.filter(|pinned| pinned.location.url() == url);
                    versions.extend(of_table.map(|pinned| pinned.delta_version));
                }
            }
        }
        Ok(versions)
    }

    /// Removes what runs have set aside that were never published, or that nobody keeps any more. The caller holds the
    /// product's guard.
    pub(crate) async fn collect_quarantine(&self, product: &Product, table: &Stored<'_>) -> Result<Vec<String>> {
        let kept = self.quarantined_runs(product, table).await?;
        self.ports.engine.collect_quarantine(&table.location, &kept).await
    }

    /// Runs whose quarantine of this output is kept: those that show, and one that may still be published.
    async fn quarantined_runs(&self, product: &Product, table: &Stored<'_>) -> Result<Vec<RunId>> {
        let output = output_id(table.output)?;
        let entries = self.ports.quarantine.quarantine(Some(product_id(product)?), None).await?;
        let of_output = entries.into_iter().filter(|entry| entry.output == *output && entry.major == table.major);
        let newest = self.ports.runs.runs(Some(product_id(product)?), None, 2).await?;
        let committing = newest.into_iter().filter(|run| run.state == RunState::Committing);
        Ok(of_output.map(|entry| entry.run).chain(committing.map(|run| run.id)).collect())
    }

    /// Publications of a table that are still to be read, newest first, with the version that each serves.
    async fn kept(&self, table: &Stored<'_>) -> Result<Vec<(Publication, u64)>> {
        let id = output_id(table.output)?;
        let kept = self.ports.publications.kept(id, table.major).await?;
        let version = |publication: &Publication| {
            let mut outputs = publication.outputs.iter();
            let of_table = |o: &&PublishedOutput| {
                o.output == *id && o.major == table.major && !has_moved(&o.location, &table.location)
            };
            outputs.find(of_table).map(|o| o.delta_version)
        };
        Ok(kept.into_iter().filter_map(|p| version(&p).map(|version| (p, version))).collect())
    }

    /// Gives up publications that are older than `retention` and removes what only they needed, with leftovers and the
    /// part of the log that nobody needs. The caller holds the product's guard.
    pub(crate) async fn vacuum_table(
        &self,
        mesh: &Mesh,
        table: &Stored<'_>,
        retention: Duration,
        dry_run: bool,
    ) -> Result<VacuumedTable> {
        let mut kept = self.kept(table).await?;
        let now = self.ports.clock.now();
        let cutoff =
            chrono::TimeDelta::from_std(retention).ok().and_then(|retention| now.checked_sub_signed(retention));
        // The newest one at that time is what a reader as of that time sees.
        let needed = match cutoff {
            Some(cutoff) => kept.iter().position(|(p, _)| p.at <= cutoff).map_or(kept.len(), |at| at + 1),
            None => kept.len(),
        };
        let expired = kept.split_off(needed);
        let oldest = kept.last().map(|(publication, _)| publication.at);
        let mut keep: Vec<u64> = kept.iter().map(|(_, version)| *version).collect();
        keep.extend(self.pinned(mesh, table).await?);
        let url = table.location.url();
        let held = if dry_run {
            self.ports.readers.held(&url).into_iter().filter(|version| !keep.contains(version)).collect()
        } else {
            // First nobody new may ask for them, then those who have asked are waited for by keeping what they read.
            if let (Some((oldest, _)), false) = (kept.last(), expired.is_empty()) {
                self.ports.publications.expire(output_id(table.output)?, table.major, &oldest.id).await?;
            }
            self.ports.readers.give_up(&url, &keep)
        };
        keep.extend(&held);
        let removed = self.ports.engine.vacuum(&table.location, &keep, dry_run).await?;
        Ok(VacuumedTable { removed, expired: expired.len() as u64, oldest, held: held.len() as u64 })
    }
}
