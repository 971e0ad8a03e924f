//! What is developed, what it reads from other domains, and the mesh that both make up for themselves. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use meshwork_core::error::{Error, Result};
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::name::Name;
use meshwork_core::product::{Files, Input, Mode, Output, Product, ProductInput, Source, SourceKind, SqlFile, Status};
use meshwork_core::quality::Rule;
use meshwork_core::storage::Storage;

/// `domain`, `product`.
pub type Key = (Name, Name);

/// A table of a domain that is not developed here: `domain`, `output`, major.
pub type Table = (Name, Name, u32);

/// Who reads it first, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    pub domain: Name,
    pub product: Name,
    pub purpose: Option<String>,
}

impl Reader {
    pub fn principal(&self) -> String {
        format!("product:{}.{}", self.domain, self.product)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Built here.
    pub own: BTreeSet<Key>,
    /// Read from the mesh, with the product that it belongs to there.
    pub upstream: BTreeMap<Table, (Name, Vec<Reader>)>,
}

impl Scope {
    /// The products that the selectors name, with what they read in the same domains.
    pub fn of(mesh: &Mesh, selectors: &[String]) -> Result<Self> {
        let mut own: BTreeSet<Key> = BTreeSet::new();
        for selector in selectors {
            let named = |domain: &Domain, product: &Product| {
                *selector == "all"
                    || *selector == *domain.name
                    || *selector == format!("{}.{}", domain.name, product.name)
            };
            let matched = mesh.products().filter(|(domain, product)| named(domain, product));
            let before = own.len();
            let alive = matched.filter(|(_, product)| product.status != Status::Retired);
            own.extend(alive.map(|(domain, product)| (domain.name.clone(), product.name.clone())));
            if own.len() == before && selector != "all" {
                return Err(Error::not_found("MW1069", format!("`{}` names no product here", selector.escape_debug()))
                    .hint(
                        "name `domain.product`, `domain` or `all`; `meshwork check` counts what the folder declares",
                    ));
            }
        }
        let mut scope = Self { own, upstream: BTreeMap::new() };
        while scope.grow(mesh) {}
        scope.find_upstream(mesh);
        Ok(scope)
    }

    /// Adds what own products read in domains that are developed here.
    fn grow(&mut self, mesh: &Mesh) -> bool {
        let domains: BTreeSet<&Name> = self.own.iter().map(|(domain, _)| domain).collect();
        let read = self.inputs(mesh).map(|(_, input)| (input.domain.clone(), input.product.clone()));
        let missing: Vec<Key> = read.filter(|key| domains.contains(&key.0) && !self.own.contains(key)).collect();
        self.own.extend(missing.iter().cloned());
        !missing.is_empty()
    }

    fn find_upstream(&mut self, mesh: &Mesh) {
        let mut found: BTreeMap<Table, (Name, Vec<Reader>)> = BTreeMap::new();
        for ((domain, product), input) in self.inputs(mesh) {
            if !self.own.contains(&(input.domain.clone(), input.product.clone())) {
                let table = (input.domain.clone(), input.output.clone(), input.version);
                let reader = Reader { domain, product, purpose: input.purpose.clone() };
                found.entry(table).or_insert_with(|| (input.product.clone(), Vec::new())).1.push(reader);
            }
        }
        self.upstream = found;
    }

    fn inputs<'m>(&self, mesh: &'m Mesh) -> impl Iterator<Item = (Key, &'m ProductInput)> {
        let own = self.own.clone();
        let products = mesh.products().map(|(domain, product)| ((domain.name.clone(), product.name.clone()), product));
        let own = products.filter(move |(key, _)| own.contains(key));
        own.flat_map(|(key, product)| {
            let inputs = product.inputs.values().filter_map(|input| match input {
                Input::Product(input) => Some(input),
                Input::Source(_) => None,
            });
            inputs.map(move |input| (key.clone(), input))
        })
    }

    /// Own products that have to be built again when these change: they themselves and what reads them.
    pub fn dependents(&self, mesh: &Mesh, changed: BTreeSet<Key>) -> BTreeSet<Key> {
        let mut stale = changed;
        loop {
            let reading =
                self.inputs(mesh).filter(|(_, input)| stale.contains(&(input.domain.clone(), input.product.clone())));
            let more: Vec<Key> = reading.map(|(key, _)| key).filter(|key| !stale.contains(key)).collect();
            if more.is_empty() {
                return stale;
            }
            stale.extend(more);
        }
    }

    /// Agreements that reading between domains needs: (reader, table, what for, whether all of it in the clear).
    pub fn agreements(&self, mesh: &Mesh) -> BTreeSet<(String, String, String, bool)> {
        let crossing = self.inputs(mesh).filter(|((domain, _), input)| *domain != input.domain);
        crossing
            .map(|((domain, product), input)| {
                let table = (input.domain.clone(), input.output.clone(), input.version);
                let purpose = input.purpose.clone().unwrap_or_else(|| "development".to_owned());
                let named = format!("{}.{}", input.domain, input.output);
                // What was read from the mesh bears its masks already.
                (format!("product:{domain}.{product}"), named, purpose, self.upstream.contains_key(&table))
            })
            .collect()
    }
}

/// What shapes the mesh of a development session.
pub struct Shaping<'a> {
    /// Where its tables go.
    pub storage: &'a Path,
    /// Where samples of upstream tables lie, relative to the mesh folder: one folder a domain.
    pub samples: &'a str,
    /// The columns that could be read of each upstream table.
    pub columns: &'a BTreeMap<Table, Vec<String>>,
    /// How often each product was built with another declaration: versions rise with it by themselves.
    pub builds: &'a BTreeMap<Key, u64>,
}

/// The mesh of the session: own products as declared, upstream tables as sources of their samples.
pub fn shape(mesh: &Mesh, scope: &Scope, shaping: &Shaping<'_>) -> (Mesh, Vec<String>) {
    let mut shaped = mesh.clone();
    let mut notes = Vec::new();
    shaped.storage = Storage::Folder(shaping.storage.display().to_string());
    shaped.domains.clear();
    for domain in mesh.domains.values() {
        let own = |product: &&Product| scope.own.contains(&(domain.name.clone(), product.name.clone()));
        let products: BTreeMap<Name, Product> =
            domain.products.values().filter(own).map(|p| (p.name.clone(), p.clone())).collect();
        let foreign = products.is_empty();
        let products = if foreign { samples(domain, scope, shaping) } else { products };
        if products.is_empty() {
            continue;
        }
        let path = if foreign { format!("{}/{}", shaping.samples, domain.name) } else { domain.path.clone() };
        let connections = if foreign { BTreeMap::new() } else { domain.connections.clone() };
        let kept = Domain { products, path, connections, storage: None, ..domain.clone() };
        shaped.domains.insert(domain.name.clone(), kept);
    }
    shaped.policies.retain(|policy| policy.domain.as_ref().is_none_or(|domain| shaped.domains.contains_key(domain)));
    let there: BTreeSet<String> = shaped
        .products()
        .flat_map(|(domain, product)| product.outputs.keys().map(|output| format!("{}.{output}", domain.name)))
        .collect();
    for domain in shaped.domains.values_mut() {
        for product in domain.products.values_mut() {
            let builds = shaping.builds.get(&(domain.name.clone(), product.name.clone())).copied().unwrap_or_default();
            product.version.minor = builds;
            for (name, output) in &mut product.outputs {
                for version in output.versions.values_mut() {
                    let number = &mut version.contract.version;
                    (number.minor, number.patch) = (builds, 0);
                    for table in &mut version.contract.tables {
                        let before = table.clauses.len();
                        table.clauses.retain(|clause| match &clause.rule {
                            Rule::References { to, .. } => there.contains(&qualified(to, &domain.name)),
                            _ => true,
                        });
                        if table.clauses.len() < before {
                            let left_out = before - table.clauses.len();
                            notes.push(format!(
                                "{}.{name}: {left_out} references to tables that are not built here are left out",
                                domain.name
                            ));
                        }
                    }
                }
            }
        }
    }
    (shaped, notes)
}

fn qualified(table: &str, domain: &Name) -> String {
    if table.contains('.') { table.to_owned() } else { format!("{domain}.{table}") }
}

/// The products of a domain that is only read: each table is what was read of it, promising nothing.
fn samples(domain: &Domain, scope: &Scope, shaping: &Shaping<'_>) -> BTreeMap<Name, Product> {
    let mut products: BTreeMap<Name, Product> = BTreeMap::new();
    for ((of, output, major), (product, _)) in &scope.upstream {
        let declared = domain.products.get(product).and_then(|product| Some((product, product.outputs.get(output)?)));
        let (true, Some((declared, declared_output))) = (*of == domain.name, declared) else { continue };
        let table = (of.clone(), output.clone(), *major);
        let (Some(version), Some(columns)) = (declared_output.versions.get(major), shaping.columns.get(&table)) else {
            continue;
        };
        let entry = products.entry(product.clone()).or_insert_with(|| Product {
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
            renamed_from: None,
            ..declared.clone()
        });
        let input = format!("{output}_v{major}");
        let Ok(name) = Name::new(input.clone()) else { continue };
        let kind = SourceKind::Parquet { files: Files::at(format!("{input}.parquet")) };
        entry.inputs.insert(name, Input::Source(Source { kind, incremental: None, place: None }));
        let mut version = version.clone();
        version.sunset = None;
        version.contract.sla.clear();
        version.contract.digest = format!("{}-sampled", version.contract.digest);
        for table in &mut version.contract.tables {
            table.clauses.clear();
            table.fields.retain(|field| columns.contains(&field.name));
            for field in &mut table.fields {
                (field.required, field.unique, field.primary_key) = (false, false, None);
            }
        }
        let quoted: Vec<String> = columns.iter().map(|column| format!("\"{}\"", column.replace('"', "\"\""))).collect();
        version.sql = SqlFile { path: String::new(), text: format!("SELECT {} FROM {input}", quoted.join(", ")) };
        let output = entry.outputs.entry(output.clone()).or_insert_with(|| Output {
            versions: BTreeMap::new(),
            mode: Mode::Full,
            key: Vec::new(),
            row_filters: Vec::new(),
            renamed_from: None,
            ..declared_output.clone()
        });
        output.versions.insert(*major, version);
    }
    products
}

/// A product as it is declared, without where that stands: moved lines are no change.
pub fn declaration(product: &Product) -> serde_json::Value {
    fn without_places(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => {
                map.remove("place");
                map.remove("text");
                map.values_mut().for_each(without_places);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(without_places),
            _ => {}
        }
    }
    let sql: Vec<&str> =
        product.outputs.values().flat_map(|output| output.versions.values().map(|v| v.sql.text.as_str())).collect();
    let mut value = serde_json::json!(product);
    // A contract's text holds its comments; what it means stands beside it.
    without_places(&mut value);
    serde_json::json!([value, sql])
}

/// Whether a file may be one that the product reads.
pub fn reads(domain: &Domain, product: &Product, folder: &Path, file: &Path) -> bool {
    let Ok(inside) = file.strip_prefix(folder.join(&domain.path)) else { return false };
    let inside = inside.to_string_lossy();
    let sources = product.inputs.values().filter_map(|input| match input {
        Input::Source(source) => source.kind.files(),
        Input::Product(_) => None,
    });
    sources.into_iter().any(|files| {
        let fixed = files.path.split(['*', '?', '[']).next().unwrap_or_default();
        inside.starts_with(fixed)
    })
}
