//! Views: what stands below one is decided for its product, not for whoever reads the view.
//!
//! A view is served over exactly the versions that it was checked over, and only while its product sees of them what it
//! saw then. Otherwise its verdict would speak of other rows, and its lineage of masks that are no longer there.

use std::collections::BTreeMap;

use meshwork_core::error::{Error, Kind, Result};
use meshwork_core::id::OutputId;
use meshwork_core::name::Name;
use meshwork_core::principal::Subject;
use meshwork_core::product::Output;
use meshwork_core::publication::{Body, PublishedOutput, VIEW_DEPTH, ViewBody, ViewInput};
use meshwork_core::storage::StorageRoot;

use super::catalog::{Named, Published, StatementCatalog};
use crate::port::data::{GovernedBody, GovernedTable, GovernedView, StorageSpec};

impl StatementCatalog {
    /// What the rows of a published version come from, for this moment's readers. `depth`: how many views it stands below.
    pub(super) fn body(&self, named: &Named, served: &PublishedOutput, depth: usize) -> Result<GovernedBody> {
        Ok(match &served.body {
            Body::Stored => GovernedBody::Stored,
            Body::External(external) => GovernedBody::External(external.store.clone().map(|storage| {
                let root = StorageRoot { namespace: named.domain.clone(), storage: *storage };
                // Where it was then; whether that may be connected to is for the mesh of today to say.
                let egress = self.epoch.mesh.as_ref().map(|mesh| mesh.egress.clone()).unwrap_or_default();
                Box::new(StorageSpec { root, egress })
            })),
            Body::View(view) => GovernedBody::View(Box::new(GovernedView {
                sql: view.sql.clone(),
                now: view.now,
                columns: view.columns.clone(),
                inputs: self.below(named, view, depth)?,
            })),
        })
    }

    fn below(&self, named: &Named, view: &ViewBody, depth: usize) -> Result<BTreeMap<String, GovernedTable>> {
        let unavailable = |why: &str| unavailable(named, why);
        if depth >= VIEW_DEPTH {
            return Err(unavailable("too many views stand one over another"));
        }
        let (_, product, _) = self.find(&named.domain, &named.output).ok_or_else(|| unavailable("it is gone"))?;
        let domain = self.epoch.mesh.as_ref().and_then(|mesh| mesh.domain(&named.domain));
        let domain = domain.ok_or_else(|| unavailable("its domain is gone"))?;
        let each = view.inputs.iter().map(|(name, input)| {
            let table =
                self.input((&domain.name, &product.name), input, depth + 1).map_err(|error| match error.kind {
                    // That nothing could be decided is another matter than a decision.
                    Kind::Environment | Kind::Internal => error,
                    _ => {
                        tracing::info!(view = %format!("{}.{}", named.domain, named.output), input = name, %error,
                        "a view cannot be read");
                        unavailable("what its product may read of its inputs is no longer what it was checked over")
                    }
                })?;
            Ok((name.clone(), table))
        });
        each.collect()
    }

    /// One table below a view, as the product of the view may read it now.
    fn input(&self, (domain, product): (&Name, &Name), input: &ViewInput, depth: usize) -> Result<GovernedTable> {
        let refused = |why: &str| Error::forbidden("MW0749", format!("{}.{}: {why}", input.domain, input.output));
        let reader = Subject::product(domain.clone(), product.clone());
        let catalog = Self::new(self.inner.clone(), self.epoch.clone(), reader, input.purpose.clone());
        let (of, output) = self.output_by_id(&input.table.output).ok_or_else(|| refused("it is gone"))?;
        let named = Named { domain: of.to_string(), output: output.name.to_string(), major: Some(input.table.major) };
        let published = Published::of(&input.publication, input.table.clone());
        let decision = catalog.decide_named(&named, &published)?;
        if let Some(error) = &decision.refusal {
            return Err(error.clone());
        }
        let table = catalog.governed(&named, output, &decision, &input.table, depth)?;
        if table.effect() != input.effect {
            return Err(refused("the product sees other columns, masks or rows of it than when the view was checked"));
        }
        Ok(table)
    }

    /// By its id: names may have changed since.
    fn output_by_id(&self, id: &OutputId) -> Option<(&Name, &Output)> {
        let products = self.epoch.mesh.iter().flat_map(|mesh| mesh.products());
        let mut outputs =
            products.flat_map(|(domain, product)| product.outputs.values().map(move |o| (&domain.name, o)));
        outputs.find(|(_, output)| output.id.as_ref() == Some(id))
    }
}

fn unavailable(named: &Named, why: &str) -> Error {
    let message = format!("the view `{}.{}` cannot be read: {why}", named.domain, named.output);
    Error::forbidden("MW0749", message)
        .hint("its owner runs it again with `meshwork run`, which checks it over what its product may read now")
}
