//! Who reads what changes: products by their inputs, others by their agreements.

use crate::agreement::Agreement;
use crate::mesh::Mesh;
use crate::product::{Input, Product, Status};

use super::{Action, Affected, Change, Circumstances, Object};

/// Fills `affects` of every change to something that was readable before.
pub(super) fn mark(changes: &mut [Change], applied: Option<&Mesh>, next: &Mesh, circumstances: Circumstances<'_>) {
    let Some(applied) = applied else { return };
    for change in changes.iter_mut().filter(|change| change.action != Action::Create) {
        let ports = ports(change, applied);
        let columns: Vec<&str> = change.details.iter().filter_map(|detail| detail.column.as_deref()).collect();
        for (table, major) in ports {
            let affected = readers(next, &table, major, &columns);
            change.affects.extend(affected);
            // A renamed output stands under its new name in the one, a retired one only in the other.
            let mesh = if table_in(next, &table) { next } else { applied };
            change.affects.extend(grantees(mesh, &table, major, circumstances));
        }
    }
}

/// `domain.output` and the major (all for `None`) whose readers a change concerns.
fn ports(change: &Change, applied: &Mesh) -> Vec<(String, Option<u32>)> {
    match (change.object, change.action) {
        (Object::Version, _) => {
            let Some((table, major)) = change.name.rsplit_once(" v") else { return Vec::new() };
            vec![(table.to_owned(), major.parse().ok())]
        }
        (Object::Output, _) => vec![(change.name.clone(), None)],
        (Object::Product, Action::Retire) => {
            let Some((domain, product)) = change.name.split_once('.') else { return Vec::new() };
            let product = applied.domain(domain).and_then(|domain| domain.products.get(product));
            let outputs = product.into_iter().flat_map(|product| product.outputs.keys());
            outputs.map(|output| (format!("{domain}.{output}"), None)).collect()
        }
        _ => Vec::new(),
    }
}

fn table_in(mesh: &Mesh, table: &str) -> bool {
    table.split_once('.').is_some_and(|(domain, output)| mesh.output(domain, output).is_some())
}

/// Products that have the table as an input, in the mesh as it would be.
pub(super) fn readers(mesh: &Mesh, table: &str, major: Option<u32>, columns: &[&str]) -> Vec<Affected> {
    let mut found = Vec::new();
    for (domain, product) in mesh.products().filter(|(_, product)| product.status != Status::Retired) {
        for (name, input) in &product.inputs {
            let Input::Product(input) = input else { continue };
            let reads = format!("{}.{}", input.domain, input.output) == table;
            if reads && major.is_none_or(|major| major == input.version) {
                found.push(Affected {
                    consumer: format!("product:{}.{}", domain.name, product.name),
                    through: format!("input {name}"),
                    columns: columns.iter().filter(|c| names(product, c)).map(|c| (*c).to_owned()).collect(),
                });
            }
        }
    }
    found
}

pub(super) fn grantees(
    mesh: &Mesh,
    table: &str,
    major: Option<u32>,
    circumstances: Circumstances<'_>,
) -> Vec<Affected> {
    pins(mesh, table, major, circumstances)
        .map(|agreement| Affected {
            consumer: agreement.grantee.to_string(),
            through: format!("agreement {} for {}", agreement.id, agreement.purpose),
            columns: Vec::new(),
        })
        .collect()
}

/// Live agreements on the table that pin the major.
pub(super) fn pins<'a>(
    mesh: &Mesh,
    table: &str,
    major: Option<u32>,
    circumstances: Circumstances<'a>,
) -> impl Iterator<Item = &'a Agreement> {
    let output = table.split_once('.').and_then(|(domain, output)| mesh.output(domain, output));
    let id = output.and_then(|(_, output)| output.id.clone());
    circumstances.agreements.iter().filter(move |agreement| {
        Some(&agreement.output) == id.as_ref()
            && agreement.is_live(circumstances.now)
            && major.is_none_or(|major| major == agreement.major)
    })
}

/// Whether one of the product's transformations names the column. Words, not meaning: it may name too many, never too few
/// (save for `SELECT *`).
fn names(product: &Product, column: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut texts =
        product.outputs.values().flat_map(|output| output.versions.values()).map(|version| &version.sql.text);
    texts.any(|text| text.split(|c| !word(c)).any(|part| part.eq_ignore_ascii_case(column)))
}
