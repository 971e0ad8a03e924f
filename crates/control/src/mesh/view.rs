//! Views at `plan` and `apply`: their SQL must hold over the columns that their product may read (D18), which only the
//! agreements and policies tell.

use std::collections::BTreeMap;

use meshwork_core::agreement::Agreement;
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Diagnostic, Place, Severity};
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::name::Name;
use meshwork_core::policy::{Decision, Policies, Request};
use meshwork_core::principal::Subject;
use meshwork_core::product::{Input, Mode, OutputVersion, Product, ProductInput};

use crate::port::data::{SqlCheck, SqlChecker};

/// What was found of the views of some domains.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub problems: Vec<Diagnostic>,
    pub notes: Vec<String>,
}

/// What decisions about `mesh` are made from; its outputs have ids.
pub(super) struct Grounds<'a> {
    pub mesh: &'a Mesh,
    pub agreements: &'a [Agreement],
    pub sql: &'a dyn SqlChecker,
    pub now: Timestamp,
}

impl Grounds<'_> {
    /// Holds every view of these domains against what its product may read.
    pub fn check<'n>(&self, domains: impl Iterator<Item = &'n Name>) -> Found {
        let mut found = Found::default();
        let Ok(policies) = Policies::load(self.mesh) else { return found };
        for domain in domains.filter_map(|name| self.mesh.domain(name)) {
            for product in domain.products.values() {
                if product.outputs.values().any(|output| output.mode == Mode::View) {
                    self.product(&policies, domain, product, &mut found);
                }
            }
        }
        found
    }

    fn product(&self, policies: &Policies, domain: &Domain, product: &Product, found: &mut Found) {
        let reader = Subject::product(domain.name.clone(), product.name.clone());
        let (mut inputs, mut withheld) = (BTreeMap::new(), Vec::new());
        for (name, input) in &product.inputs {
            let Input::Product(input) = input else {
                inputs.insert(name.to_string(), None);
                continue;
            };
            let Some(decision) = self.decide(policies, &reader, input) else { return };
            if let Some(refusal) = &decision.refusal {
                let (domain, product) = (&domain.name, &product.name);
                found.notes.push(format!("`{domain}.{product}` cannot run yet: {}", refusal.message));
                return;
            }
            let columns = decision.visible().map(|column| (column.name.clone(), column.native.clone()));
            inputs.insert(name.to_string(), Some(columns.collect()));
            withheld.extend(decision.withheld().map(|column| format!("`{}` of `{name}`", column.name)));
        }
        if withheld.is_empty() {
            // The columns are those of the contracts, which `check` has planned over.
            return;
        }
        for output in product.outputs.values().filter(|output| output.mode == Mode::View) {
            for version in output.versions.values() {
                let check = SqlCheck {
                    sql: version.sql.text.clone(),
                    place: place(product, version),
                    inputs: inputs.clone(),
                    produces: version.schema().clone(),
                    mode: output.mode,
                    merge: output.merge.clone(),
                };
                let errors = self.sql.check_sql(&check).into_iter().filter(|d| d.severity == Severity::Error);
                found.problems.extend(errors.map(|mut error| {
                    error.hints.push(format!("the product's agreements leave out {}", withheld.join(", ")));
                    error
                }));
            }
        }
    }

    /// What the product may read of an input; `None` when this mesh does not have it.
    fn decide(&self, policies: &Policies, reader: &Subject, input: &ProductInput) -> Option<Decision> {
        let domain = self.mesh.domain(&input.domain)?;
        let product = domain.products.get(&input.product)?;
        let output = product.outputs.get(&input.output)?;
        let about = |agreement: &&Agreement| Some(&agreement.output) == output.id.as_ref();
        let agreements: Vec<Agreement> = self.agreements.iter().filter(about).cloned().collect();
        Some(policies.decide(&Request {
            subject: reader,
            purpose: input.purpose.as_deref(),
            domain: &domain.name,
            product,
            output,
            major: Some(input.version),
            agreements: &agreements,
            classifications: &self.mesh.classifications,
            published: &BTreeMap::new(),
            now: self.now,
        }))
    }
}

fn place(product: &Product, version: &OutputVersion) -> Place {
    let written = || Place { path: version.sql.path.clone(), line: 1, column: 1 };
    let stated = || product.place.clone().unwrap_or_default();
    if version.sql.path.is_empty() { stated() } else { written() }
}
