//! What of a product's tables is still needed, and removing what is not: leftovers of runs that were stopped at once,
//! versions beyond the retention when housekeeping says so.

use std::time::Duration;

use meshwork_core::effect::Timestamp;
use meshwork_core::error::Result;
use meshwork_core::id::RunId;
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::product::{Mode, Output, Product, Status};
use meshwork_core::publication::{Publication, PublishedOutput, TableLocation, TablePlace};
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

    pub fn place(&self) -> Result<TablePlace> {
        let (major, location) = (self.major, self.location.clone());
        Ok(TablePlace { output: output_id(self.output)?.clone(), major, location })
    }
}

impl RunService {
    /// The tables of a product whose rows are its own to store.
    pub(crate) fn stored<'a>(&self, mesh: &Mesh, domain: &Domain, product: &'a Product) -> Result<Vec<Stored<'a>>> {
        let mut tables = self.tables(mesh, domain, product)?;
        tables.retain(|table| matches!(table.output.mode, Mode::Full | Mode::Append | Mode::Merge));
        Ok(tables)
    }

    /// Every table that a product serves; none once it is retired.
    pub(crate) fn tables<'a>(&self, mesh: &Mesh, domain: &Domain, product: &'a Product) -> Result<Vec<Stored<'a>>> {
        let mut tables = Vec::new();
        for output in product.outputs.values().filter(|_| product.status != Status::Retired) {
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
            let place = table.place()?;
            let mut keep = versions_at(&place, &self.kept(&place).await?);
            keep.extend(self.pinned(&table.location).await?);
            keep.extend(self.ports.readers.held(&table.location.url()));
            removed.extend(self.ports.engine.collect(&table.location, &keep).await?);
            removed.extend(self.collect_quarantine(product, &place).await?);
        }
        Ok(removed)
    }

    /// Versions of a table that views are served over: theirs to give up, when they are run again.
    pub(super) async fn pinned(&self, location: &TableLocation) -> Result<Vec<u64>> {
        let views = self.ports.publications.kept_views().await?;
        let over = views.iter().flat_map(|publication| &publication.outputs).flat_map(PublishedOutput::pinned);
        Ok(over.filter(|pinned| pinned.location == *location).map(|pinned| pinned.delta_version).collect())
    }

    /// Removes what runs have set aside that were never published, or that nobody keeps any more. The caller holds the
    /// product's guard.
    pub(crate) async fn collect_quarantine(&self, product: &Product, table: &TablePlace) -> Result<Vec<String>> {
        let kept = self.quarantined_runs(product, table).await?;
        self.ports.engine.collect_quarantine(&table.location, &kept).await
    }

    /// Runs whose quarantine of this output is kept: those that show, and one that may still be published.
    async fn quarantined_runs(&self, product: &Product, table: &TablePlace) -> Result<Vec<RunId>> {
        let entries = self.ports.quarantine.quarantine(Some(product_id(product)?), None).await?;
        let of_output = entries.into_iter().filter(|entry| entry.output == table.output && entry.major == table.major);
        let newest = self.ports.runs.runs(Some(product_id(product)?), None, 2).await?;
        let committing = newest.into_iter().filter(|run| run.state == RunState::Committing);
        Ok(of_output.map(|entry| entry.run).chain(committing.map(|run| run.id)).collect())
    }

    /// Publications of a table that are still to be read, newest first, wherever it lay then.
    pub(super) async fn kept(&self, table: &TablePlace) -> Result<Vec<Publication>> {
        self.ports.publications.kept(&table.output, table.major).await
    }

    /// Gives up publications that are older than `retention` and removes what only they needed, with leftovers and the
    /// part of the log that nobody needs. The caller holds the product's guard.
    pub(crate) async fn vacuum_table(
        &self,
        table: &TablePlace,
        retention: Duration,
        dry_run: bool,
    ) -> Result<VacuumedTable> {
        let mut kept = self.kept(table).await?;
        let expired = kept.split_off(needed(&kept, self.cutoff(retention)));
        let oldest = kept.last().map(|publication| publication.at);
        let mut keep = versions_at(table, &kept);
        keep.extend(self.pinned(&table.location).await?);
        let url = table.location.url();
        let held = if dry_run {
            self.ports.readers.held(&url).into_iter().filter(|version| !keep.contains(version)).collect()
        } else {
            // First nobody new may ask for them, then those who have asked are waited for by keeping what they read.
            if let (Some(oldest), false) = (kept.last(), expired.is_empty()) {
                self.ports.publications.expire(&table.output, table.major, &oldest.id).await?;
            }
            self.ports.readers.give_up(&url, &keep)
        };
        keep.extend(&held);
        let removed = self.ports.engine.vacuum(&table.location, &keep, dry_run).await?;
        Ok(VacuumedTable { removed, expired: expired.len() as u64, oldest, held: held.len() as u64 })
    }

    /// What was served then and since is kept. `None`: everything is.
    pub(super) fn cutoff(&self, retention: Duration) -> Option<Timestamp> {
        let retention = chrono::TimeDelta::from_std(retention).ok()?;
        self.ports.clock.now().checked_sub_signed(retention)
    }
}

/// How many of these publications, newest first, are needed: the newest one at the cutoff is what a reader as of then sees.
pub(super) fn needed(publications: &[Publication], cutoff: Option<Timestamp>) -> usize {
    let at = cutoff.and_then(|cutoff| publications.iter().position(|publication| publication.at <= cutoff));
    at.map_or(publications.len(), |at| at + 1)
}

/// The versions of a table, where it lies now, that these publications serve.
pub(super) fn versions_at(table: &TablePlace, publications: &[Publication]) -> Vec<u64> {
    let outputs = publications.iter().flat_map(|publication| &publication.outputs);
    let of_table = outputs
        .filter(|o| o.output == table.output && o.major == table.major && !has_moved(&o.location, &table.location));
    of_table.map(|o| o.delta_version).collect()
}
