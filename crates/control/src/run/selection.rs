//! Which products a request means, and in which order they run. Pure.

use std::collections::{BTreeMap, BTreeSet};

use meshwork_core::error::{Error, Result};
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::name::Name;
use meshwork_core::principal::Subject;
use meshwork_core::product::{Input, Product, Status};

use super::update::RunRequest;

/// One product to run, after those at `after` (indices into the selection).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub domain: Name,
    pub product: Name,
    pub after: Vec<usize>,
}

impl Step {
    pub fn name(&self) -> String {
        format!("{}.{}", self.domain, self.product)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    pub steps: Vec<Step>,
    /// Meant by a broad selector, but not to be run.
    pub skipped: Vec<(String, Error)>,
}

type Key = (Name, Name);

pub fn select(mesh: &Mesh, request: &RunRequest, subject: &Subject) -> Result<Selection> {
    let mut chosen = BTreeSet::new();
    let mut skipped = BTreeMap::new();
    for selector in &request.products {
        let matched = matching(mesh, selector, subject)?;
        let exact = selector.contains('.');
        for (domain, product) in matched {
            match runnable(domain, product) {
                Ok(()) => {
                    chosen.insert((domain.name.clone(), product.name.clone()));
                }
                Err(error) if exact => return Err(error),
                Err(error) => {
                    skipped.insert(format!("{}.{}", domain.name, product.name), error);
                }
            }
        }
    }
    if chosen.is_empty() && skipped.is_empty() {
        return Err(Error::usage("MW0651", "no product was named").hint("name `domain.product`, `domain` or `all`"));
    }
    if request.upstream {
        add_upstream(mesh, subject, &mut chosen);
    }
    let steps = order(mesh, &chosen)?;
    Ok(Selection { steps, skipped: skipped.into_iter().collect() })
}

/// Members of the owner team run a domain's products; administrators run any.
fn owns(subject: &Subject, domain: &Domain) -> bool {
    subject.admin || subject.is_home(&domain.name)
}

/// The applied products that a selector means, as far as the subject may do something to them.
pub(crate) fn matching<'a>(
    mesh: &'a Mesh,
    selector: &str,
    subject: &Subject,
) -> Result<Vec<(&'a Domain, &'a Product)>> {
    if selector == "all" {
        return Ok(mesh.products().filter(|(domain, _)| owns(subject, domain)).collect());
    }
    let (domain_name, product_name) = match selector.split_once('.') {
        Some((domain, product)) => (domain, Some(product)),
        None => (selector, None),
    };
    let found = mesh.domain(domain_name).map(|domain| {
        let products = domain.products.values().filter(|p| product_name.is_none_or(|name| p.name == *name));
        (domain, products.map(|p| (domain, p)).collect::<Vec<_>>())
    });
    match found {
        Some((domain, _)) if !owns(subject, domain) => Err(not_yours(domain, selector)),
        Some((_, products)) if !products.is_empty() => Ok(products),
        _ => Err(unknown(mesh, selector, subject)),
    }
}

fn not_yours(domain: &Domain, selector: &str) -> Error {
    Error::forbidden("MW0652", format!("`{selector}` is run by domain `{}` only", domain.name))
        .hint(format!("ask a member of team `{}` to run it", domain.owner))
}

fn unknown(mesh: &Mesh, selector: &str, subject: &Subject) -> Error {
    let yours: Vec<String> = mesh
        .products()
        .filter(|(domain, _)| owns(subject, domain))
        .map(|(domain, product)| format!("{}.{}", domain.name, product.name))
        .collect();
    let error = Error::not_found("MW0651", format!("no applied product is called `{selector}`"));
    if yours.is_empty() {
        return error.hint("no product is applied yet: run `meshwork apply`");
    }
    error.hint(format!("applied products: {}", yours.join(", "))).hint("apply new products with `meshwork apply`")
}

/// Whether the product's lifecycle state lets it run.
pub fn runnable(domain: &Domain, product: &Product) -> Result<()> {
    let name = format!("{}.{}", domain.name, product.name);
    match product.status {
        Status::Proposed | Status::Draft | Status::Active | Status::Deprecated => Ok(()),
        Status::Retired => Err(Error::usage("MW0653", format!("`{name}` is retired; retired products do not run"))),
    }
}

/// The products that this one reads from.
fn inputs(product: &Product) -> impl Iterator<Item = Key> + '_ {
    product.inputs.values().filter_map(|input| match input {
        Input::Product(input) => Some((input.domain.clone(), input.product.clone())),
        Input::Source(_) => None,
    })
}

fn product<'a>(mesh: &'a Mesh, key: &Key) -> Option<(&'a Domain, &'a Product)> {
    let domain = mesh.domains.get(&key.0)?;
    domain.products.get(&key.1).map(|product| (domain, product))
}

fn add_upstream(mesh: &Mesh, subject: &Subject, chosen: &mut BTreeSet<Key>) {
    let mut queue: Vec<Key> = chosen.iter().cloned().collect();
    while let Some(key) = queue.pop() {
        let Some((_, reader)) = product(mesh, &key) else { continue };
        for upstream in inputs(reader) {
            let Some((domain, found)) = product(mesh, &upstream) else { continue };
            if owns(subject, domain) && runnable(domain, found).is_ok() && chosen.insert(upstream.clone()) {
                queue.push(upstream);
            }
        }
    }
}

/// Products after those they read from; ties by name, so that the order is always the same.
fn order(mesh: &Mesh, chosen: &BTreeSet<Key>) -> Result<Vec<Step>> {
    let mut waiting: BTreeMap<Key, BTreeSet<Key>> = chosen
        .iter()
        .filter_map(|key| {
            product(mesh, key).map(|(_, p)| (key.clone(), inputs(p).filter(|i| chosen.contains(i)).collect()))
        })
        .collect();
    let mut steps: Vec<Step> = Vec::new();
    let mut position: BTreeMap<Key, usize> = BTreeMap::new();
    while !waiting.is_empty() {
        let ready = waiting.iter().find(|(_, after)| after.iter().all(|key| position.contains_key(key)));
        let Some((key, after)) = ready.map(|(key, after)| (key.clone(), after.clone())) else {
            let names: Vec<String> = waiting.keys().map(|(domain, product)| format!("{domain}.{product}")).collect();
            return Err(Error::check("MW0662", format!("these products read from each other: {}", names.join(", "))));
        };
        waiting.remove(&key);
        position.insert(key.clone(), steps.len());
        let after = after.iter().map(|key| position[key]).collect();
        steps.push(Step { domain: key.0, product: key.1, after });
    }
    Ok(steps)
}

#[cfg(test)]
mod tests;
