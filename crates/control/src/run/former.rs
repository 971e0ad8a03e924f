//! Tables that a product has no longer: of outputs and majors that it gave up or that retired with it, and those that lie in
//! a root that its domain has left.

use std::time::Duration;

use meshwork_core::effect::Timestamp;
use meshwork_core::error::Result;
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::product::Product;
use meshwork_core::publication::{TableLocation, TablePlace};

use super::RunService;
use super::attempt::product_id;
use super::collection::{VacuumedTable, needed, versions_at};
use super::spec::{has_moved, storage_root};
use crate::port::data::Vacuumed;
use crate::port::state::KnownTable;

/// A table that no run writes any more.
#[derive(Clone, Debug)]
pub(crate) struct Former {
    /// `domain.output_v1`.
    pub name: String,
    /// Where its files lie now.
    pub place: TablePlace,
    /// As publications name it: a folder may have got another name since.
    named: Vec<TablePlace>,
    /// Whether its files are the mesh's to remove.
    is_ours: bool,
    why: Why,
}

#[derive(Clone, Copy, Debug)]
enum Why {
    /// The product has no such output or major any more. Since when that is known.
    GivenUp(Option<Timestamp>),
    /// It is written elsewhere now.
    Moved,
}

impl RunService {
    /// What the product has left behind, by the mesh as it is applied at this moment. With `remember`, since when an output
    /// is gone is counted from the first time that this is asked.
    pub(crate) async fn former(&self, product: &Product, remember: bool) -> Result<Vec<Former>> {
        let (mesh, id) = (self.mesh().await?, product_id(product)?);
        let Some((domain, product)) = mesh.products().find(|(_, product)| product.id.as_ref() == Some(id)) else {
            return Ok(Vec::new());
        };
        let current: Vec<TablePlace> =
            self.tables(&mesh, domain, product)?.iter().map(|table| table.place()).collect::<Result<_>>()?;
        let mut found: Vec<Former> = Vec::new();
        for KnownTable { place, given_up } in self.ports.tables.tables(Some(id)).await? {
            let is = |other: &&TablePlace| other.output == place.output && other.major == place.major;
            let why = match current.iter().find(is) {
                Some(now) if !has_moved(&place.location, &now.location) => {
                    if given_up.is_some() && remember {
                        self.ports.tables.set_given_up(&place, None).await?;
                    }
                    continue;
                }
                Some(_) => Why::Moved,
                None => Why::GivenUp(given_up),
            };
            if let (Why::GivenUp(None), true) = (why, remember) {
                self.ports.tables.set_given_up(&place, Some(self.ports.clock.now())).await?;
            }
            let location = self.lies(&mesh, domain, &place.location)?;
            let same = |other: &&mut Former| {
                (&other.place.output, other.place.major, &other.place.location)
                    == (&place.output, place.major, &location)
            };
            match found.iter_mut().find(same) {
                Some(other) => other.named.push(place),
                None => {
                    let name = self.former_name(domain, product, &place).await?;
                    let (named, is_ours) = (vec![place.clone()], self.is_ours(&mesh, &location.root)?);
                    found.push(Former { name, place: TablePlace { location, ..place }, named, is_ours, why });
                }
            }
        }
        Ok(found)
    }

    /// Where a table's files lie now: a mesh whose folder was renamed or copied names it otherwise than publications do.
    fn lies(&self, mesh: &Mesh, domain: &Domain, then: &TableLocation) -> Result<TableLocation> {
        let storage = domain.storage.as_ref().unwrap_or(&mesh.storage);
        let now = storage_root(&self.settings.folder, storage)?;
        let both = [&then.root, &now].iter().all(|root| root.starts_with("file:"));
        let root = if both { now } else { then.root.clone() };
        Ok(TableLocation { root, path: then.path.clone() })
    }

    async fn former_name(&self, domain: &Domain, product: &Product, table: &TablePlace) -> Result<String> {
        let known = product.outputs.values().find(|output| output.id.as_ref() == Some(&table.output));
        let output = match known {
            Some(output) => output.name.to_string(),
            None => self.last_name(table).await?.unwrap_or_else(|| table.output.to_string()),
        };
        Ok(format!("{}.{output}_v{}", domain.name, table.major))
    }

    /// What an output was called when it was last published.
    async fn last_name(&self, table: &TablePlace) -> Result<Option<String>> {
        let Some(last) = self.ports.publications.resolve(&table.output, table.major, None).await? else {
            return Ok(None);
        };
        let report = self.ports.runs.run(&last.run).await?.and_then(|(_, report)| report);
        let outputs = report.into_iter().flat_map(|report| report.outputs);
        Ok(outputs.into_iter().find(|output| output.output == table.output).map(|output| output.name))
    }

    /// A folder that is neither below the mesh's nor a root of it may be the one that this mesh is a copy of.
    fn is_ours(&self, mesh: &Mesh, root: &str) -> Result<bool> {
        let below = storage_root(&self.settings.folder, &".".into())?;
        if !root.starts_with("file:") || root.starts_with(&below) {
            return Ok(true);
        }
        let own = mesh.domains.values().filter_map(|domain| domain.storage.as_ref()).chain([&mesh.storage]);
        let own: Vec<String> = own.map(|own| storage_root(&self.settings.folder, own)).collect::<Result<_>>()?;
        Ok(own.iter().any(|own| own == root))
    }

    /// Removes what nobody needs any more of a table that its product has left behind: all of it, once the retention is over
    /// and nobody reads it. `None` while there is nothing to do. The caller holds the product's guard.
    pub(crate) async fn vacuum_former(
        &self,
        former: &Former,
        retention: Duration,
        dry_run: bool,
    ) -> Result<Option<VacuumedTable>> {
        if !former.is_ours {
            return Ok(None);
        }
        let (place, url) = (&former.place, former.place.location.url());
        // In this order: what is found now is beyond a retention of nothing.
        let (now, cutoff) = (self.ports.clock.now(), self.cutoff(retention));
        let mut keep = match former.why {
            Why::GivenUp(since) => {
                if cutoff.is_none_or(|cutoff| since.unwrap_or(now) > cutoff) {
                    return Ok(None);
                }
                Vec::new()
            }
            Why::Moved => {
                let mut kept = self.kept(place).await?;
                kept.truncate(needed(&kept, cutoff));
                versions_at(place, &kept)
            }
        };
        for named in &former.named {
            keep.extend(self.pinned(&named.location).await?);
        }
        let held = if dry_run {
            self.ports.readers.held(&url).into_iter().filter(|version| !keep.contains(version)).collect()
        } else {
            self.ports.readers.close(&url, &keep)
        };
        keep.extend(&held);
        let removed = match (keep.is_empty(), dry_run) {
            (false, _) => self.ports.engine.vacuum(&place.location, &keep, dry_run).await?,
            (true, true) => self.ports.engine.remove_table(&place.location, true).await?,
            (true, false) => self.remove_former(former).await?,
        };
        Ok(Some(VacuumedTable { removed, expired: 0, oldest: None, held: held.len() as u64 }))
    }

    /// First no publication leads to it, so that an output that comes back under its id begins anew; it stays known until
    /// its files are gone.
    async fn remove_former(&self, former: &Former) -> Result<Vacuumed> {
        for named in &former.named {
            self.ports.tables.withdraw(named).await?;
        }
        self.ports.faults.reach("vacuum.withdrawn");
        let removed = self.ports.engine.remove_table(&former.place.location, false).await?;
        for named in &former.named {
            self.ports.tables.forget_table(named).await?;
        }
        Ok(removed)
    }
}
