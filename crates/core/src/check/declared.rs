//! Every file of the mesh read on its own.

use std::collections::{BTreeMap, BTreeSet};

use super::Files;
use super::report::{Report, START};
use crate::contract::{self, Contract};
use crate::manifest::classifications::{self, ClassificationsManifest};
use crate::manifest::domain::{self, DomainManifest};
use crate::manifest::mesh::{self, MeshManifest};
use crate::manifest::product::{self, ProductManifest};
use crate::manifest::test::{self, TestManifest};
use crate::mesh::PolicyFile;
use crate::product::{Mode, Status};
use crate::reader::Findings;
use crate::suggestion;
use crate::yaml::{self, Node, Span};

pub(super) const MESH: &str = "mesh.yaml";
pub(super) const CLASSIFICATIONS: &str = "governance/classifications.yaml";

#[derive(Debug, Default)]
pub(super) struct Declared {
    pub mesh: Option<MeshManifest>,
    pub classifications: ClassificationsManifest,
    pub domains: Vec<Domain>,
    /// By path; `None` for one that could not be read.
    pub contracts: BTreeMap<String, Option<Contract>>,
    pub policies: Vec<PolicyFile>,
}

#[derive(Debug)]
pub(super) struct Domain {
    /// `domains/marketing`
    pub folder: String,
    /// `domains/marketing/domain.yaml`
    pub path: String,
    pub manifest: Option<DomainManifest>,
    pub products: Vec<Product>,
}

#[derive(Debug)]
pub(super) struct Product {
    pub folder: String,
    pub path: String,
    pub manifest: Option<ProductManifest>,
    pub tests: Vec<TestManifest>,
}

pub(super) fn read(files: &Files, report: &mut Report) -> Declared {
    let mut declared = Declared::default();
    match files.get(MESH) {
        None => {
            report
                .error("MW0120", MESH, START, "there is no mesh.yaml: this folder is not a mesh")
                .hint("Run `meshwork init` to make one here, or name the mesh's folder by `-C DIR`.");
        }
        Some(text) => declared.mesh = document(MESH, text, report, mesh::read).flatten(),
    }
    if let Some(text) = files.get(CLASSIFICATIONS) {
        declared.classifications = document(CLASSIFICATIONS, text, report, classifications::read).unwrap_or_default();
    }
    for (path, text) in files {
        match parts(path).as_slice() {
            ["governance", "access", file] if file.ends_with(".cedar") => {
                declared.policies.push(PolicyFile { path: path.clone(), text: text.clone(), domain: None });
            }
            ["domains", folder, "domain.yaml"] => {
                let manifest = document(path, text, report, |f, n| domain::read(f, n, folder)).flatten();
                declared.domain(folder).manifest = manifest;
            }
            ["domains", folder, product, "product.yaml"] => {
                let manifest = document(path, text, report, |f, n| product::read(f, n, product)).flatten();
                let folder_of = format!("domains/{folder}/{product}");
                let tests = tests(&folder_of, files, report);
                let product = Product { folder: folder_of, path: path.clone(), manifest, tests };
                declared.domain(folder).products.push(product);
            }
            _ => {}
        }
    }
    declared.policies_of_domains(files);
    declared.missing_domain_files(files, report);
    declared.read_contracts(files, report);
    declared
}

/// The test files of a product, each held against what the product declares.
fn tests(folder: &str, files: &Files, report: &mut Report) -> Vec<TestManifest> {
    let folder = format!("{folder}/");
    let own = files.iter().filter(|(path, _)| path.starts_with(&folder) && is_test(path));
    own.filter_map(|(path, text)| document(path, text, report, test::read).flatten()).collect()
}

pub(super) fn is_test(path: &str) -> bool {
    path.ends_with(".test.yaml") || path.ends_with(".test.yml")
}

pub(super) fn parts(path: &str) -> Vec<&str> {
    path.split('/').collect()
}

/// Parses one file and hands it to `read`; notes what either finds.
fn document<T>(
    path: &str,
    text: &str,
    report: &mut Report,
    read: impl for<'n> FnOnce(&'n Findings<'n>, &'n Node) -> T,
) -> Option<T> {
    match yaml::parse(path, text) {
        Err(found) => {
            report.extend(found);
            None
        }
        Ok(node) => {
            let findings = Findings::new(path);
            let value = read(&findings, &node);
            report.extend(findings.into_diagnostics());
            Some(value)
        }
    }
}

impl Declared {
    fn domain(&mut self, folder: &str) -> &mut Domain {
        let path = format!("domains/{folder}");
        let at = self.domains.iter().position(|domain| domain.folder == path).unwrap_or_else(|| {
            let file = format!("{path}/domain.yaml");
            self.domains.push(Domain { folder: path, path: file, manifest: None, products: Vec::new() });
            self.domains.len() - 1
        });
        &mut self.domains[at]
    }

    /// The status of products that do not say theirs.
    pub fn default_status(&self) -> Status {
        let declared = self.mesh.as_ref().and_then(|mesh| mesh.defaults.status.as_ref());
        declared.map_or(Status::Draft, |status| status.value)
    }

    fn has_product(&self, domain: &str, product: &str) -> bool {
        let folder = format!("domains/{domain}/{product}");
        self.products().any(|product| product.folder == folder)
    }

    /// Inputs and outputs that tests name must be the product's.
    pub fn check_tests(&self, report: &mut Report) {
        for product in self.products() {
            let Some(manifest) = &product.manifest else { continue };
            let inputs: Vec<&str> = manifest.inputs.iter().map(|(name, _)| name.value.as_str()).collect();
            let known: Vec<&str> = manifest.outputs.iter().map(|(name, _)| name.value.as_str()).collect();
            for (file, case) in product.tests.iter().flat_map(|file| file.tests.iter().map(move |case| (file, case))) {
                let inputs = case.inputs.keys().filter(|name| !inputs.contains(&name.as_str())).map(|n| ("input", n));
                let grows = |name: &str| {
                    let output = manifest.outputs.iter().find(|(output, _)| output.value == *name);
                    output.is_some_and(|(_, output)| output.mode.as_ref().is_some_and(|mode| mode.value != Mode::Full))
                };
                for name in case.existing.keys().filter(|name| known.contains(&name.as_str()) && !grows(name)) {
                    let at = Span { line: case.place.line, column: case.place.column, length: 0 };
                    let message = format!(
                        "the test `{}` gives rows that `{name}` has before, but each run replaces them",
                        case.name
                    );
                    let hint = "Leave `existing` out, or give the output `mode: append` or `mode: merge`.";
                    report.error("MW1060", &file.path, at, message).hint(hint);
                }
                let outputs = case.expect.keys().chain(case.existing.keys());
                let outputs = outputs.filter(|name| !known.contains(&name.as_str())).map(|n| ("output", n));
                for (what, name) in inputs.chain(outputs) {
                    let at = Span { line: case.place.line, column: case.place.column, length: 0 };
                    let message =
                        format!("the test `{}` names an {what} `{name}` that the product does not have", case.name);
                    report.error("MW1060", &file.path, at, message).hint("product.yaml declares them.");
                }
            }
        }
    }

    fn products(&self) -> impl Iterator<Item = &Product> {
        self.domains.iter().flat_map(|domain| &domain.products)
    }

    fn policies_of_domains(&mut self, files: &Files) {
        for domain in &self.domains {
            let Some(manifest) = &domain.manifest else { continue };
            let folder = format!("{}/access/", domain.folder);
            let own = files.iter().filter(|(path, _)| {
                path.strip_prefix(&folder).is_some_and(|file| file.ends_with(".cedar") && !file.contains('/'))
            });
            self.policies.extend(own.map(|(path, text)| PolicyFile {
                path: path.clone(),
                text: text.clone(),
                domain: Some(manifest.domain.value.clone()),
            }));
        }
    }

    fn missing_domain_files(&self, files: &Files, report: &mut Report) {
        for domain in self.domains.iter().filter(|domain| !files.contains_key(&domain.path)) {
            report
                .error("MW0127", &domain.path, START, format!("`{}` has products but no domain.yaml", domain.folder))
                .hint("Add a domain.yaml with `domain:` and `owner:`.");
        }
    }

    /// Those that outputs name, and every other `*.contract.yaml`.
    fn read_contracts(&mut self, files: &Files, report: &mut Report) {
        let named = self.products().flat_map(|product| named(product).map(|(contract, _)| contract));
        let others = files.keys().filter(|path| path.starts_with("domains/") && is_contract(path));
        let paths: BTreeSet<String> = named.flatten().chain(others.cloned()).collect();
        for path in paths {
            let Some(text) = files.get(&path) else { continue };
            let contract = match yaml::parse(&path, text) {
                Err(found) => {
                    report.extend(found);
                    None
                }
                Ok(node) => {
                    let (contract, found) = contract::parse(&path, text, &node);
                    report.extend(found);
                    contract
                }
            };
            self.contracts.insert(path, contract);
        }
    }

    /// Files that have no effect where they lie, usually because of a slip in their name.
    pub fn report_unread(&self, files: &Files, report: &mut Report) {
        let used: BTreeSet<String> = self
            .products()
            .flat_map(|product| named(product).flat_map(|(contract, sql)| [contract, sql]))
            .flatten()
            .collect();
        for path in files.keys().map(String::as_str).filter(|path| !used.contains(*path)) {
            let name = path.rsplit('/').next().unwrap_or(path);
            match parts(path).as_slice() {
                ["mesh.yaml"] | ["governance", "classifications.yaml"] | ["domains", _, "domain.yaml"] => {}
                ["domains", _, _, "product.yaml"] => {}
                ["domains", domain, product, ..] if is_test(name) && self.has_product(domain, product) => {}
                ["governance", "access", _] | ["domains", _, "access", _] if name.ends_with(".cedar") => {}
                _ if name.ends_with(".cedar") => {
                    report
                        .error("MW0128", path, START, "this policy has no effect here")
                        .hint("Policies are read from `governance/access/` and from `domains/<domain>/access/`.");
                }
                ["governance", kind @ ("rules" | "glossary"), ..] => {
                    report
                        .warning(
                            "MW0121",
                            path,
                            START,
                            format!("`governance/{kind}/` is not available in this version"),
                        )
                        .hint("Nothing in this file has an effect yet.");
                }
                _ if is_contract(name) => {
                    report
                        .warning("MW0156", path, START, "no output uses this contract")
                        .hint("Name it by `contract:` of an output in the product.yaml beside it, or remove it.");
                }
                ["domains", ..] | ["governance", ..] => {
                    let noted = report.warning("MW0121", path, START, "nothing reads this file");
                    match suggestion::closest(name, EXPECTED) {
                        Some(meant) => noted.hint(format!("Should its name be `{meant}`?")),
                        None => noted.hint(
                            "Expected: `domains/<domain>/domain.yaml`, `domains/<domain>/<product>/product.yaml`, \
                             `*.contract.yaml`, and the SQL that outputs name.",
                        ),
                    };
                }
                _ => {}
            }
        }
    }
}

/// The contract and SQL files that the outputs of a product name.
fn named(product: &Product) -> impl Iterator<Item = (Option<String>, Option<String>)> {
    let outputs = product.manifest.iter().flat_map(|manifest| &manifest.outputs);
    let references = outputs.flat_map(|(_, output)| {
        let versions = output.versions.iter().map(|(_, version)| (version.contract.as_ref(), version.sql.as_ref()));
        [(output.contract.as_ref(), output.sql.as_ref())].into_iter().chain(versions)
    });
    references.map(|(contract, sql)| {
        let path = |file: &str| format!("{}/{file}", product.folder);
        (contract.map(|contract| path(&contract.value.path)), sql.map(|sql| path(&sql.value)))
    })
}

const EXPECTED: [&str; 3] = ["domain.yaml", "product.yaml", "classifications.yaml"];

fn is_contract(path: &str) -> bool {
    path.ends_with(".contract.yaml") || path.ends_with(".contract.yml")
}

impl Domain {
    /// Whether all that it declares is known, so that a name missing in it is really missing.
    pub fn is_complete(&self) -> bool {
        self.manifest.is_some() && self.products.iter().all(|product| product.manifest.is_some())
    }
}
