//! Outputs with their contracts, tables and transformations.

use std::collections::BTreeMap;

use super::declared::Declared;
use super::index::{Index, IndexedOutput};
use super::inputs::{Inputs, Reads};
use super::modes;
use super::report::Report;
use super::{Files, Transformation};
use crate::contract::{Contract, Table};
use crate::error::Place;
use crate::manifest::product::{ContractReference, InputManifest};
use crate::reader::{Spanned, shown};
use crate::yaml::Span;

#[derive(Debug)]
pub(super) struct Output<'d> {
    pub domain: &'d str,
    pub at: IndexedOutput<'d>,
    /// Those that could be resolved.
    pub versions: Vec<Version<'d>>,
    /// Whether all declared versions could be: else a major or column missing here may only be unreadable.
    pub complete: bool,
}

/// One major with everything that it names.
#[derive(Debug)]
pub(super) struct Version<'d> {
    pub major: u32,
    pub contract: &'d Contract,
    pub contract_path: String,
    pub table: &'d Table,
    /// `None`: the default query.
    pub sql_path: Option<String>,
    pub sql: Option<String>,
    pub sunset: Option<chrono::NaiveDate>,
}

impl<'d> Output<'d> {
    pub fn newest(&self) -> Option<&Version<'d>> {
        self.versions.iter().max_by_key(|version| version.major)
    }

    pub fn path(&self) -> &'d str {
        &self.at.product.path
    }
}

pub(super) fn resolve<'d>(
    declared: &'d Declared,
    index: &Index<'d>,
    files: &Files,
    report: &mut Report,
) -> Vec<Output<'d>> {
    let resolver = Resolver { declared, files };
    index.outputs.iter().map(|((domain, _), at)| resolver.output(domain, *at, report)).collect()
}

struct Resolver<'d, 'f> {
    declared: &'d Declared,
    files: &'f Files,
}

impl<'d> Resolver<'d, '_> {
    fn output(&self, domain: &'d str, at: IndexedOutput<'d>, report: &mut Report) -> Output<'d> {
        let manifest = at.manifest;
        let mut versions: Vec<Version<'d>> = Vec::new();
        let mut wanted = 0;
        if let Some(reference) = &manifest.contract {
            wanted += 1;
            versions.extend(self.version(at, reference, manifest.sql.as_ref(), None, report));
        }
        for (major, version) in &manifest.versions {
            wanted += 1;
            let Some(reference) = &version.contract else { continue };
            let Some(mut found) = self.version(at, reference, version.sql.as_ref(), Some(major.value), report) else {
                continue;
            };
            found.sunset = version.sunset.as_ref().map(|sunset| sunset.value);
            if found.major != major.value {
                let message = format!(
                    "version {} names a contract of major {}: `{}` has version {}",
                    major.value, found.major, found.contract_path, found.contract.version
                );
                let hint = format!("Name a contract of version {}.x.y, or write `{}:` here.", major.value, found.major);
                report.error("MW0145", &at.product.path, major.span, message).hint(hint);
                found.major = major.value;
            }
            versions.push(found);
        }
        let complete = wanted > 0 && versions.len() == wanted;
        self.check_version_label(at, &versions, report);
        Output { domain, at, versions, complete }
    }

    fn version(
        &self,
        at: IndexedOutput<'d>,
        reference: &Spanned<ContractReference>,
        sql: Option<&Spanned<String>>,
        declared_major: Option<u32>,
        report: &mut Report,
    ) -> Option<Version<'d>> {
        let path = at.product.path.as_str();
        let sql_path = sql.map(|sql| format!("{}/{}", at.product.folder, sql.value));
        let text = match (&sql_path, sql) {
            (Some(file), Some(sql)) => self.sql(path, file, sql, report),
            _ => {
                default_sql_possible(at, report);
                None
            }
        };
        let contract_path = format!("{}/{}", at.product.folder, reference.value.path);
        let Some(contract) = self.declared.contracts.get(&contract_path) else {
            self.missing(path, reference.span, &contract_path, "contract", report);
            return None;
        };
        let contract = contract.as_ref()?;
        let table = table(path, at, reference, contract, report)?;
        let major = u32::try_from(contract.version.major).unwrap_or(u32::MAX);
        let major = if contract.version.major > u64::from(u32::MAX) { declared_major.unwrap_or(major) } else { major };
        Some(Version { major, contract, contract_path, table, sql_path, sql: text, sunset: None })
    }

    fn sql(&self, path: &str, file: &str, sql: &Spanned<String>, report: &mut Report) -> Option<String> {
        let Some(text) = self.files.get(file) else {
            self.missing(path, sql.span, file, "SQL file", report);
            return None;
        };
        if text.trim().is_empty() {
            let noted = report.error("MW0124", path, sql.span, format!("`{}` is empty", shown(&sql.value)));
            noted.hint("Write the query that makes the output's rows, or remove `sql:` to take the input as it is.");
            return None;
        }
        Some(text.clone())
    }

    fn missing(&self, path: &str, span: Span, file: &str, what: &str, report: &mut Report) {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
        let beside = self.files.keys().filter_map(|known| {
            let name = known.strip_prefix(folder)?.strip_prefix('/')?;
            (!name.contains('/') && name.ends_with(extension) && name != "product.yaml").then_some(name)
        });
        let name = file.rsplit('/').next().unwrap_or(file);
        report
            .error("MW0124", path, span, format!("there is no {what} `{}`", shown(file)))
            .meant(name, beside.collect::<Vec<_>>());
    }

    /// A label should not claim less change than the contracts went through.
    fn check_version_label(&self, at: IndexedOutput<'d>, versions: &[Version<'d>], report: &mut Report) {
        let Some(label) = &at.product_manifest.version else { return };
        let Some(newest) = versions.iter().map(|version| version.contract.version.major).max() else { return };
        if label.value.major < newest {
            let message = format!(
                "the product's version {} is below major {newest} of the contract of its output `{}`",
                label.value, at.name.value
            );
            let hint = format!("A product's version rises with its outputs: `version: {newest}.0.0` or more.");
            report.warning("MW0146", &at.product.path, label.span, message).hint(hint);
        }
    }
}

fn default_sql_possible(at: IndexedOutput<'_>, report: &mut Report) {
    let inputs = at.product_manifest.inputs.len();
    if inputs == 1 || !at.product_manifest.inputs_complete {
        return;
    }
    let message = match inputs {
        0 => format!("the output `{}` has no `sql`, and the product has no input to take it from", at.name.value),
        n => format!("the output `{}` has no `sql`, and the product has {n} inputs", at.name.value),
    };
    let hint = format!("Add `sql: {}.sql` with the query that makes its rows.", at.name.value);
    report.error("MW0157", &at.product.path, at.name.span, message).hint(hint);
}

/// The table of the contract: the one named, the only one, or the one called like the output.
fn table<'d>(
    path: &str,
    at: IndexedOutput<'_>,
    reference: &Spanned<ContractReference>,
    contract: &'d Contract,
    report: &mut Report,
) -> Option<&'d Table> {
    let names = || contract.tables.iter().map(|table| table.name.as_str());
    if let Some(object) = &reference.value.object {
        let found = contract.tables.iter().find(|table| table.name == *object);
        if found.is_none() {
            let message = format!("`{}` has no table `{}`", shown(&contract.path), shown(object));
            report.error("MW0144", path, reference.span, message).meant(object, names());
        }
        return found;
    }
    match contract.tables.as_slice() {
        [] => {
            let message = format!("`{}` describes no table", shown(&contract.path));
            report.error("MW0144", path, reference.span, message);
            None
        }
        [only] => Some(only),
        several => {
            let found = several.iter().find(|table| at.name.value == *table.name.as_str());
            if found.is_none() {
                let message = format!("`{}` describes {} tables", shown(&contract.path), several.len());
                let hint = format!("Name one: `contract: {}#{}`.", reference.value.path, several[0].name);
                report.error("MW0144", path, reference.span, message).hint(hint).meant(&at.name.value, names());
            }
            found
        }
    }
}

/// `SELECT` of the contract's columns from the only input. A source's columns are called by their physical names.
pub(super) fn default_sql(at: IndexedOutput<'_>, table: &Table) -> String {
    let Some((input, manifest)) = at.product_manifest.inputs.first() else { return String::new() };
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let is_source = matches!(manifest, InputManifest::Source(_));
    let columns = table.fields.iter().map(|field| match &field.physical_name {
        Some(physical) if is_source && *physical != field.name => {
            format!("{} AS {}", quoted(physical), quoted(&field.name))
        }
        _ => quoted(&field.name),
    });
    let columns: Vec<String> = columns.collect();
    format!("SELECT {} FROM {}", columns.join(", "), quoted(&input.value))
}

/// What is left for a SQL planner to check.
pub(super) fn transformations(outputs: &[Output<'_>], inputs: &Inputs<'_>) -> Vec<Transformation> {
    let mut all = Vec::new();
    for output in outputs {
        let product = output.at.product_manifest;
        if !product.inputs_complete {
            continue;
        }
        let offered: BTreeMap<String, Option<Vec<_>>> = product
            .inputs
            .iter()
            .map(|(name, _)| {
                let columns = match inputs.of(output.at.product, &name.value) {
                    Some(Reads::Output { table: Some(table), .. }) => {
                        Some(table.fields.iter().map(|field| (field.name.clone(), field.native.clone())).collect())
                    }
                    _ => None,
                };
                (name.value.to_string(), columns)
            })
            .collect();
        for version in &output.versions {
            let (sql, place) = match (&version.sql_path, &version.sql) {
                (Some(path), Some(sql)) => (sql.clone(), Place { path: path.clone(), line: 1, column: 1 }),
                (Some(_), None) => continue,
                (None, _) if product.inputs.len() != 1 => continue,
                (None, _) => (default_sql(output.at, version.table), output.at.name.span.place(output.path())),
            };
            let (mode, merge) = (modes::mode(output.at.manifest), modes::merge(output.at.manifest));
            let (inputs, produces) = (offered.clone(), version.table.clone());
            all.push(Transformation { sql, place, inputs, produces, mode, merge });
        }
    }
    all
}
