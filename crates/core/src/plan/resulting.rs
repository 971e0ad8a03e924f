//! What the mesh would be after an apply (D26): a checkout speaks only for the domains that it holds.

use crate::mesh::{Domain, Mesh};
use crate::name::Name;
use crate::product::Status;
use crate::storage::StorageRoot;

use super::identity::predecessor;

/// Absent domains stay as they are. In a domain that is there, absent products stay too (that is drift), unless they are
/// pruned. A checkout without classifications or without mesh-wide policies leaves the applied ones in force.
pub fn resulting(applied: Option<&Mesh>, declared: &Mesh, prune: bool) -> Mesh {
    let mut next = declared.clone();
    next.former_storage.clear();
    let Some(applied) = applied else { return next };
    next.id.clone_from(&applied.id);
    for domain in next.domains.values_mut() {
        let Some(old) = former_domain(applied, declared, domain) else { continue };
        for name in absent(old, domain) {
            let mut kept = old.products[&name].clone();
            if prune {
                kept.status = Status::Retired;
            }
            domain.products.insert(name, kept);
        }
    }
    for (name, domain) in &applied.domains {
        if !is_declared(applied, declared, name) {
            next.domains.insert(name.clone(), domain.clone());
        }
    }
    if declared.classifications.is_empty() {
        next.classifications.clone_from(&applied.classifications);
    }
    let mesh_wide = declared.policies.iter().any(|policy| policy.domain.is_none());
    let stays = applied.policies.iter().filter(|policy| match &policy.domain {
        None => !mesh_wide,
        Some(domain) => !is_declared(applied, declared, domain),
    });
    next.policies.extend(stays.cloned());
    next.former_storage = former_storage(applied, &next);
    next
}

/// Every root that was one and is none any more.
fn former_storage(applied: &Mesh, next: &Mesh) -> Vec<StorageRoot> {
    let now: Vec<String> = next.s3_roots().map(|root| root.storage.url).collect();
    let mut former: Vec<StorageRoot> = Vec::new();
    // One that is in use is known better than one of before.
    for root in applied.s3_roots().chain(applied.former_storage.iter().cloned()) {
        if !now.contains(&root.storage.url) && former.iter().all(|known| known.storage.url != root.storage.url) {
            former.push(root);
        }
    }
    former
}

/// Products that are applied and not retired, in domains that the checkout holds, but that it does not hold.
pub fn absent_products(applied: &Mesh, declared: &Mesh) -> Vec<(Name, Name)> {
    let mut found = Vec::new();
    for domain in declared.domains.values() {
        if let Some(old) = former_domain(applied, declared, domain) {
            let lives = |name: &Name| old.products[name].status != Status::Retired;
            found.extend(absent(old, domain).into_iter().filter(lives).map(|name| (domain.name.clone(), name)));
        }
    }
    found
}

fn absent(old: &Domain, new: &Domain) -> Vec<Name> {
    let renamed = |name: &Name| {
        let became = |p: &&crate::product::Product| p.renamed_from.as_ref() == Some(name);
        new.products.values().filter(became).any(|p| !old.products.contains_key(&p.name))
    };
    old.products.keys().filter(|name| !new.products.contains_key(*name) && !renamed(name)).cloned().collect()
}

pub(super) fn former_domain<'a>(applied: &'a Mesh, declared: &Mesh, domain: &Domain) -> Option<&'a Domain> {
    predecessor(&applied.domains, &declared.domains, &domain.name, domain.renamed_from.as_ref())
}

/// Under its own name, or a new one.
fn is_declared(applied: &Mesh, declared: &Mesh, name: &Name) -> bool {
    declared.domains.contains_key(name)
        || declared
            .domains
            .values()
            .any(|domain| former_domain(applied, declared, domain).is_some_and(|former| former.name == *name))
}
