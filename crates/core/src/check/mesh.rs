//! The mesh out of what was declared, when nothing is wrong with it.

use std::collections::BTreeMap;

use super::classifications::Classifications;
use super::contracts::referenced;
use super::declared::{self, Declared, MESH};
use super::index::Index;
use super::inputs::{Inputs, Reads};
use super::modes;
use super::outputs::{self, Output};
use crate::contract::Contract;
use crate::egress::Egress;
use crate::filter::Predicate;
use crate::limits::MeshLimits;
use crate::manifest::mesh::DEFAULT_STORAGE;
use crate::manifest::product::{InputManifest, ProductManifest};
use crate::manifest::row_filter::RowFilterManifest;
use crate::mesh::{Domain, Mesh};
use crate::name::Name;
use crate::product::{
    self, Archetype, Input, OutputFilter, OutputVersion, Product, ProductInput, Source, SqlFile, Status,
};
use crate::quality::Rule;
use crate::reader::Spanned;

/// `None` when a part that must be there is not; a finding has then been noted.
pub(super) fn assemble(
    declared: &Declared,
    classifications: Classifications,
    index: &Index<'_>,
    outputs: &[Output<'_>],
    inputs: &Inputs<'_>,
) -> Option<Mesh> {
    let manifest = declared.mesh.as_ref()?;
    let mut domains = BTreeMap::new();
    for found in index.domains.values() {
        let domain = domain(found, declared.default_status(), outputs, inputs)?;
        domains.insert(domain.name.clone(), domain);
    }
    Some(Mesh {
        id: None,
        name: manifest.name.value.clone(),
        description: manifest.description.clone(),
        storage: value(manifest.storage.as_ref()).unwrap_or_else(|| DEFAULT_STORAGE.into()),
        storage_place: manifest.storage.as_ref().map(|storage| storage.span.place(MESH)),
        former_storage: Vec::new(),
        egress: Egress(manifest.egress.clone()),
        retention: value(manifest.retention.as_ref()),
        limits: MeshLimits { query: manifest.limits.query.limits(), run: manifest.limits.run.limits() },
        classifications: classifications.all,
        policies: declared.policies.clone(),
        domains,
    })
}

/// What is known of the mesh when its domains do not check.
pub(super) fn without_domains(declared: &Declared) -> Mesh {
    let name = declared.mesh.as_ref().map(|mesh| mesh.name.value.clone());
    Mesh {
        id: None,
        name: name.or_else(|| Name::new("mesh").ok()).expect("`mesh` is a name"),
        description: None,
        storage: DEFAULT_STORAGE.into(),
        storage_place: None,
        former_storage: Vec::new(),
        egress: Egress::default(),
        retention: None,
        limits: MeshLimits::default(),
        classifications: Vec::new(),
        policies: declared.policies.clone(),
        domains: BTreeMap::new(),
    }
}

fn domain(
    found: &declared::Domain,
    default_status: Status,
    outputs: &[Output<'_>],
    inputs: &Inputs<'_>,
) -> Option<Domain> {
    let manifest = found.manifest.as_ref()?;
    let mut products = BTreeMap::new();
    for declared in &found.products {
        let product = product(declared, default_status, outputs, inputs)?;
        products.insert(product.name.clone(), product);
    }
    Some(Domain {
        id: None,
        name: manifest.domain.value.clone(),
        renamed_from: value(manifest.renamed_from.as_ref()),
        description: manifest.description.clone(),
        owner: manifest.owner.value.clone(),
        members: manifest.members.clone(),
        storage: value(manifest.storage.as_ref()),
        storage_place: manifest.storage.as_ref().map(|storage| storage.span.place(&found.path)),
        retention: value(manifest.retention.as_ref()),
        connections: manifest
            .connections
            .iter()
            .map(|(name, connection)| (name.value.clone(), connection.clone()))
            .collect(),
        products,
        path: found.folder.clone(),
        place: Some(manifest.domain.span.place(&found.path)),
    })
}

fn value<T: Clone>(spanned: Option<&Spanned<T>>) -> Option<T> {
    spanned.map(|spanned| spanned.value.clone())
}

fn product(
    declared: &declared::Product,
    default_status: Status,
    outputs: &[Output<'_>],
    inputs: &Inputs<'_>,
) -> Option<Product> {
    let manifest = declared.manifest.as_ref()?;
    let own = outputs.iter().filter(|output| std::ptr::eq(output.at.product, declared));
    let mut resolved = BTreeMap::new();
    for found in own {
        let output = output(found, outputs)?;
        resolved.insert(output.name.clone(), output);
    }
    let mut reads = BTreeMap::new();
    for (name, input) in &manifest.inputs {
        reads.insert(name.value.clone(), resolved_input(declared, name, input, inputs)?);
    }
    Some(Product {
        id: None,
        name: manifest.product.value.clone(),
        renamed_from: value(manifest.renamed_from.as_ref()),
        version: value(manifest.version.as_ref())?,
        status: value(manifest.status.as_ref()).unwrap_or(default_status),
        archetype: value(manifest.archetype.as_ref()).unwrap_or_else(|| archetype(manifest)),
        description: manifest.description.clone(),
        retention: value(manifest.retention.as_ref()),
        limits: manifest.limits.limits(),
        inputs: reads,
        outputs: resolved,
        path: declared.folder.clone(),
        place: Some(manifest.product.span.place(&declared.path)),
    })
}

fn archetype(manifest: &ProductManifest) -> Archetype {
    let all_sources = manifest.inputs.iter().all(|(_, input)| matches!(input, InputManifest::Source(_)));
    if all_sources { Archetype::SourceAligned } else { Archetype::Aggregate }
}

fn resolved_input(
    product: &declared::Product,
    name: &Spanned<Name>,
    input: &InputManifest,
    inputs: &Inputs<'_>,
) -> Option<Input> {
    let place = Some(name.span.place(&product.path));
    match (input, inputs.of(product, &name.value)?) {
        (InputManifest::Source(source), _) => Some(Input::Source(Source {
            kind: source.source.value.clone(),
            incremental: value(source.incremental.as_ref()),
            place,
        })),
        (InputManifest::Product(input), Reads::Output { output, major, .. }) => {
            let (domain, product) = input.product.value.clone();
            let output = (*output).clone();
            let purpose = input.purpose.clone();
            let incremental = value(input.incremental.as_ref());
            Some(Input::Product(ProductInput { domain, product, output, version: *major, purpose, incremental, place }))
        }
        (InputManifest::Product(_), Reads::Source) => None,
    }
}

fn output(found: &Output<'_>, all: &[Output<'_>]) -> Option<product::Output> {
    let manifest = found.at.manifest;
    let mut versions = BTreeMap::new();
    for version in &found.versions {
        let sql = match (&version.sql_path, &version.sql) {
            (Some(path), Some(text)) => SqlFile { path: path.clone(), text: text.clone() },
            (Some(_), None) => return None,
            (None, _) => SqlFile { path: String::new(), text: outputs::default_sql(found.at, version.table) },
        };
        let resolved = OutputVersion {
            contract: with_full_references(version.contract, found.domain, all),
            table: version.table.name.clone(),
            sql,
            sunset: version.sunset,
        };
        versions.insert(version.major, resolved);
    }
    Some(product::Output {
        id: None,
        name: found.at.name.value.clone(),
        renamed_from: value(manifest.renamed_from.as_ref()),
        versions,
        mode: value(manifest.mode.as_ref()).unwrap_or_default(),
        key: manifest.key.iter().map(|key| key.value.clone()).collect(),
        merge: modes::merge(manifest),
        on_violation: value(manifest.on_violation.as_ref()).unwrap_or_default(),
        quarantine_limit: value(manifest.quarantine_limit.as_ref()).unwrap_or_default(),
        row_filters: manifest.row_filters.iter().map(row_filter).collect(),
        place: Some(found.at.name.span.place(found.path())),
    })
}

/// References as `domain.output`, however they were written.
fn with_full_references(contract: &Contract, domain: &str, outputs: &[Output<'_>]) -> Contract {
    let mut contract = contract.clone();
    let written = contract.clone();
    for clause in contract.tables.iter_mut().flat_map(|table| &mut table.clauses) {
        if let Rule::References { to, .. } = &mut clause.rule
            && let Some(output) = referenced(to, domain, &written, outputs)
        {
            *to = format!("{}.{}", output.domain, output.at.name.value);
        }
    }
    contract
}

fn row_filter(manifest: &RowFilterManifest) -> OutputFilter {
    let predicates = manifest.predicates.iter().map(|predicate| Predicate {
        column: predicate.column.value.clone(),
        op: predicate.op.value,
        values: predicate.literals().map(|literal| literal.value.clone()).collect(),
    });
    OutputFilter {
        name: manifest.name.value.clone(),
        predicates: predicates.collect(),
        except: manifest.except.iter().map(|team| team.value.clone()).collect(),
    }
}
