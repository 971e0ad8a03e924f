//! Where reality differs from what is declared: in the control plane, and in storage (D4, D26).

use std::collections::{BTreeMap, BTreeSet};

use meshwork_core::error::{Error, Result};
use meshwork_core::mesh::Mesh;
use meshwork_core::plan::{self, Plan};
use meshwork_core::principal::Subject;
use meshwork_core::product::Product;
use meshwork_core::publication::TableLocation;
use serde::{Deserialize, Serialize};

use super::{MeshService, Share};

/// Publications read from the state at once.
const PAGE: u32 = 500;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The applied revision.
    pub revision: u64,
    /// What an apply would change.
    pub plan: Plan,
    /// `domain.product`: applied, but not in the checkout.
    pub absent: Vec<String>,
    /// Commits in storage that no publication of ours made. They are never served.
    pub foreign: Vec<ForeignCommits>,
    /// Tables that could not be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<Error>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignCommits {
    /// `domain.output v1`
    pub table: String,
    pub location: String,
    pub versions: Vec<u64>,
}

impl Drift {
    pub fn is_empty(&self) -> bool {
        self.plan.is_empty() && self.absent.is_empty() && self.foreign.is_empty() && self.unreadable.is_empty()
    }
}

impl MeshService {
    /// How what is applied and what is stored differ from what is declared.
    pub async fn drift(&self, subject: &Subject, declared: &Mesh) -> Result<Drift> {
        let share = Share::of(subject, declared)?;
        let applied = self.applied().await?;
        let plan = self.compare(&applied, &share, false).await?;
        let mut drift = Drift { revision: applied.revision, plan, ..Drift::default() };
        let Some(mesh) = &applied.mesh else { return Ok(drift) };
        let absent = plan::absent_products(mesh, &share.mesh).into_iter();
        drift.absent = absent.map(|(domain, product)| format!("{domain}.{product}")).collect();
        for (domain, product) in mesh.products() {
            if subject.admin || subject.is_home(&domain.name) {
                self.foreign(&domain.name, product, &mut drift).await?;
            }
        }
        Ok(drift)
    }

    async fn foreign(&self, domain: &str, product: &Product, drift: &mut Drift) -> Result<()> {
        let Some(id) = &product.id else { return Ok(()) };
        // A run may have committed what it has not published yet.
        let newest = self.ports.runs.runs(Some(id), None, 1).await?;
        if newest.first().is_some_and(|run| !run.state.is_over()) {
            return Ok(());
        }
        let mut tables: BTreeMap<String, (TableLocation, String, BTreeSet<u64>)> = BTreeMap::new();
        let mut before = None;
        loop {
            let page = self.ports.publications.publications(Some(id), before.as_ref(), PAGE).await?;
            for output in page.iter().flat_map(|publication| &publication.outputs) {
                let named = product.outputs.values().find(|known| known.id.as_ref() == Some(&output.output));
                let name = named.map_or(output.output.as_str(), |known| known.name.as_str());
                let table = || (output.location.clone(), format!("{domain}.{name} v{}", output.major), BTreeSet::new());
                tables.entry(output.location.url()).or_insert_with(table).2.insert(output.delta_version);
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => before = Some(last.id.clone()),
                _ => break,
            }
        }
        for (url, (location, table, known)) in tables {
            let known: Vec<u64> = known.into_iter().collect();
            match self.ports.run.foreign_commits(&location, &known).await {
                Ok(versions) if versions.is_empty() => {}
                Ok(versions) => drift.foreign.push(ForeignCommits { table, location: url, versions }),
                Err(error) => drift.unreadable.push(error),
            }
        }
        Ok(())
    }
}
