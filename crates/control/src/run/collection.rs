//! Removing files that no publication refers to: leftovers of runs that were stopped.

use meshwork_core::error::Result;
use meshwork_core::id::OutputId;
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::product::Product;
use serde::{Deserialize, Serialize};

use super::RunService;
use super::attempt::product_id;
use super::spec::output_id;

/// What collection removed of one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    pub product: String,
    pub files: Vec<String>,
}

impl RunService {
    /// Collects every product that no run of this process is working on.
    pub async fn collect(&self) -> Result<Vec<Collected>> {
        self.recover().await?;
        let mesh = self.mesh().await?;
        let mut collected = Vec::new();
        for (domain, product) in mesh.products() {
            let guard = self.guard(product_id(product)?);
            let Ok(_exclusive) = guard.try_lock() else { continue };
            let files = self.collect_product(&mesh, domain, product).await?;
            if !files.is_empty() {
                collected.push(Collected { product: format!("{}.{}", domain.name, product.name), files });
            }
        }
        Ok(collected)
    }

    /// The caller holds the product's lease, or its guard in the only process that runs it.
    pub(super) async fn collect_product(&self, mesh: &Mesh, domain: &Domain, product: &Product) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for output in product.outputs.values() {
            for major in output.versions.keys() {
                let location = self.location(mesh, domain, output, *major)?;
                let keep = self.published_versions(product, output_id(output)?, *major).await?;
                removed.extend(self.ports.engine.collect(&location, &keep).await?);
            }
        }
        Ok(removed)
    }

    /// Delta versions of every publication of this output: all of them stay readable (D28).
    async fn published_versions(&self, product: &Product, output: &OutputId, major: u32) -> Result<Vec<u64>> {
        const PAGE: u32 = 500;
        let id = product_id(product)?;
        let mut versions = Vec::new();
        let mut before = None;
        loop {
            let page = self.ports.publications.publications(Some(id), before.as_ref(), PAGE).await?;
            let of_output = |o: &&meshwork_core::publication::PublishedOutput| o.output == *output && o.major == major;
            versions.extend(page.iter().flat_map(|p| &p.outputs).filter(of_output).map(|o| o.delta_version));
            match page.last() {
                Some(last) if page.len() == PAGE as usize => before = Some(last.id.clone()),
                _ => return Ok(versions),
            }
        }
    }
}
