//! Immutable ids (D1): carried over by name or `renamed_from`, generated for what is new.

use std::collections::BTreeMap;

use crate::contract::Contract;
use crate::id::{ColumnId, ContractId, DomainId, Ids, MeshId, OutputId, ProductId};
use crate::mesh::Mesh;
use crate::name::Name;
use crate::product::{Output, OutputVersion, Product};

use super::resulting::{former_domain, resulting};

/// `declared` as it will be applied: the resulting mesh with every id given. New ids come from `ids`; the mesh's own id,
/// which the state gave, is kept if `applied` has one.
pub fn assign_ids(applied: Option<&Mesh>, declared: &Mesh, prune: bool, ids: Ids<'_>) -> Mesh {
    let mut next = resulting(applied, declared, prune);
    carry(applied, &mut next);
    next.id.get_or_insert_with(|| MeshId::generate(ids));
    for domain in next.domains.values_mut() {
        domain.id.get_or_insert_with(|| DomainId::generate(ids));
        for product in domain.products.values_mut() {
            product.id.get_or_insert_with(|| ProductId::generate(ids));
            product.outputs.values_mut().for_each(|output| fill_output(output, ids));
        }
    }
    next
}

fn fill_output(output: &mut Output, ids: Ids<'_>) {
    output.id.get_or_insert_with(|| OutputId::generate(ids));
    // One major after the other, so that a new major continues the ids that the one before it has just been given.
    let majors: Vec<u32> = output.versions.keys().copied().collect();
    for major in majors {
        let before = output.versions.range(..major).next_back().map(|(_, version)| version.contract.clone());
        let Some(version) = output.versions.get_mut(&major) else { continue };
        if let Some(before) = &before {
            carry_contract(before, &mut version.contract);
        }
        let contract = &mut version.contract;
        contract.id.get_or_insert_with(|| ContractId::generate(ids));
        for field in contract.tables.iter_mut().flat_map(|table| &mut table.fields) {
            field.id.get_or_insert_with(|| ColumnId::generate(ids));
        }
    }
}

/// Gives everything in `next` the id that its predecessor has.
pub(super) fn carry(applied: Option<&Mesh>, next: &mut Mesh) {
    let Some(applied) = applied else { return };
    next.id.clone_from(&applied.id);
    let names = next.clone();
    for domain in next.domains.values_mut() {
        let Some(old) = former_domain(applied, &names, domain) else { continue };
        domain.id.clone_from(&old.id);
        let declared = domain.products.clone();
        for product in domain.products.values_mut() {
            let from = product.renamed_from.as_ref();
            if let Some(former) = predecessor(&old.products, &declared, &product.name, from) {
                carry_product(former, product);
            }
        }
    }
}

fn carry_product(old: &Product, new: &mut Product) {
    new.id.clone_from(&old.id);
    let declared = new.outputs.clone();
    for output in new.outputs.values_mut() {
        let from = output.renamed_from.as_ref();
        let Some(former) = predecessor(&old.outputs, &declared, &output.name, from) else { continue };
        output.id.clone_from(&former.id);
        for (major, version) in &mut output.versions {
            if let Some(contract) = former_contract(former, *major) {
                carry_contract(contract, &mut version.contract);
            }
        }
    }
}

/// Of the same major, else of the newest before it.
fn former_contract(output: &Output, major: u32) -> Option<&Contract> {
    output.versions.range(..=major).next_back().map(|(_, version): (_, &OutputVersion)| &version.contract)
}

fn carry_contract(old: &Contract, new: &mut Contract) {
    if new.id.is_none() {
        new.id.clone_from(&old.id);
    }
    for table in &mut new.tables {
        // A contract of one table may rename it.
        let former = match (old.tables.as_slice(), old.tables.iter().find(|t| t.name == table.name)) {
            (_, Some(former)) | ([former], None) => former,
            _ => continue,
        };
        let names: Vec<String> = table.fields.iter().map(|field| field.name.clone()).collect();
        for field in table.fields.iter_mut().filter(|field| field.id.is_none()) {
            let renamed = field.renamed_from.as_deref().filter(|from| !names.iter().any(|name| name == from));
            let was = former.field(&field.name).or_else(|| renamed.and_then(|from| former.field(from)));
            field.id = was.and_then(|was| was.id.clone());
        }
    }
}

/// What an object was: the one of its own name, else the one it was renamed from, unless that name is declared too.
pub(super) fn predecessor<'a, T>(
    old: &'a BTreeMap<Name, T>,
    declared: &BTreeMap<Name, T>,
    name: &Name,
    renamed_from: Option<&Name>,
) -> Option<&'a T> {
    old.get(name).or_else(|| renamed_from.filter(|from| !declared.contains_key(*from)).and_then(|from| old.get(from)))
}
