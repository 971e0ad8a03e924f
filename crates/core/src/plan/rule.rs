//! What stands against a plan.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::contract::compare::{Bump, check_bump, compare, required_bump};
use crate::error::{Diagnostic, Place, Severity};
use crate::mesh::{Domain, Mesh};
use crate::name::Name;
use crate::policy;
use crate::product::{Input, Output, OutputVersion, Product, Status};

use super::identity::predecessor;
use super::resulting::{absent_products, former_domain};
use super::{Circumstances, Plan, consumer, port};

pub(super) fn judge(
    plan: &mut Plan,
    applied: Option<&Mesh>,
    declared: &Mesh,
    next: &Mesh,
    circumstances: Circumstances<'_>,
) {
    renames(plan, applied, declared);
    inputs(plan, next);
    same_names(plan, next);
    policies(plan, next);
    let Some(applied) = applied else { return };
    kept(plan, applied, declared, circumstances);
    for domain in next.domains.values() {
        let Some(old) = former_domain(applied, next, domain) else { continue };
        for product in domain.products.values() {
            let from = product.renamed_from.as_ref();
            if let Some(former) = predecessor(&old.products, &domain.products, &product.name, from) {
                let (old_domain, old, new) = (old, former, product);
                let judged = Judged { applied, next, circumstances, old_domain, domain, old, new };
                judged.status(plan);
                judged.version(plan);
                judged.outputs(plan);
            }
        }
    }
}

/// One product as it was and as it would be.
struct Judged<'a> {
    applied: &'a Mesh,
    next: &'a Mesh,
    circumstances: Circumstances<'a>,
    old_domain: &'a Domain,
    domain: &'a Domain,
    old: &'a Product,
    new: &'a Product,
}

impl Judged<'_> {
    fn name(&self) -> String {
        format!("{}.{}", self.domain.name, self.new.name)
    }

    fn problem(&self, code: &str, message: String) -> Diagnostic {
        problem(code, message, place_of(self.new))
    }

    /// proposed → draft → active → deprecated → retired. Steps may be skipped. What others may read does not become a draft
    /// again, and what is retired stays so.
    fn status(&self, plan: &mut Plan) {
        use Status as S;
        let (from, to) = (self.old.status, self.new.status);
        let legal = match from {
            S::Retired => to == S::Retired,
            S::Active | S::Deprecated => matches!(to, S::Active | S::Deprecated | S::Retired),
            S::Proposed | S::Draft => true,
        };
        if !legal {
            let (from, to) = (word(from), word(to));
            let message = format!("product {} is {from} and cannot become {to}", self.name());
            let hint = match self.old.status {
                S::Retired => "give the product another name: a retired one does not come back",
                _ => "from `active` a product can go to `deprecated` and `retired`",
            };
            plan.problems.push(with_hint(self.problem("MW0305", message), hint));
        }
    }

    fn version(&self, plan: &mut Plan) {
        if self.new.status == Status::Retired {
            return;
        }
        let (from, to) = (&self.old.version, &self.new.version);
        if to < from {
            let message = format!("the version of {} went back from {from} to {to}", self.name());
            plan.problems.push(self.problem("MW0304", message));
            return;
        }
        let (needed, because) = port::largest_rise(self.old, self.new);
        if port::rise(from, to) < needed {
            let least = least(from, needed);
            let message = format!(
                "the version of {} rises from {from} to {to}, but a port of it rises by a {needed} version ({because})",
                self.name()
            );
            let hint = format!("set `version: {least}` in {}", self.new.path);
            plan.problems.push(with_hint(self.problem("MW0304", message), &hint));
        }
    }

    fn outputs(&self, plan: &mut Plan) {
        if self.new.status == Status::Retired {
            if self.old.status != Status::Retired {
                for output in self.old.outputs.values() {
                    self.retirement(plan, output, None);
                }
            }
            return;
        }
        let mut continued = Vec::new();
        for output in self.new.outputs.values() {
            let from = output.renamed_from.as_ref();
            let Some(former) = predecessor(&self.old.outputs, &self.new.outputs, &output.name, from) else { continue };
            continued.push(&former.name);
            for (major, version) in &output.versions {
                match former.versions.get(major) {
                    Some(before) => {
                        self.contract(plan, output, *major, before, version);
                        self.sunset(plan, output, *major, before, version);
                    }
                    None => self.new_major(plan, former, output, *major, version),
                }
            }
            for (major, version) in former.versions.iter().filter(|(major, _)| !output.versions.contains_key(major)) {
                self.retirement(plan, former, Some((*major, version)));
            }
        }
        for output in self.old.outputs.values().filter(|output| !continued.contains(&&output.name)) {
            self.retirement(plan, output, None);
        }
    }

    /// Within one major nothing may break, and the version must say what changed.
    fn contract(&self, plan: &mut Plan, output: &Output, major: u32, old: &OutputVersion, new: &OutputVersion) {
        let changes = compare(&old.contract, &new.contract);
        let Some(why) = check_bump(&old.contract.version, &new.contract.version, &changes) else { return };
        let table = format!("{}.{} v{major}", self.domain.name, output.name);
        let place = Place { path: new.contract.path.clone(), line: 0, column: 0 };
        let diagnostic = if required_bump(&changes) == Bump::Major {
            let message = format!("the contract of {table} breaks its readers: {why}");
            let hint = format!("serve both: keep version {major} as it is and add version {} beside it", major + 1);
            with_hint(problem("MW0303", message, place), &hint)
        } else {
            problem("MW0301", format!("the contract of {table}: {why}"), place)
        };
        plan.problems.push(diagnostic);
    }

    /// A sunset is announced ahead: else it would take back the promise that a served major makes (promise 5).
    fn sunset(&self, plan: &mut Plan, output: &Output, major: u32, old: &OutputVersion, new: &OutputVersion) {
        let past = |day: &NaiveDate| *day <= self.circumstances.now.date_naive();
        let Some(sunset) = new.sunset.filter(|day| new.sunset != old.sunset && past(day)) else { return };
        let table = format!("{}.{}", self.domain.name, output.name);
        if let Some(who) = self.readers(self.next, &table, major) {
            let message =
                format!("the sunset of {table} v{major} would be {sunset}, which is not ahead; it is read by {who}");
            plan.problems.push(with_hint(self.problem("MW0308", message), "give its readers a day in the future"));
        }
    }

    /// Who reads a major that others may read; `None` when nobody does. `known` knows the table by its name.
    fn readers(&self, known: &Mesh, table: &str, major: u32) -> Option<String> {
        if self.old.status < Status::Active {
            return None;
        }
        let mut readers = consumer::readers(self.next, table, Some(major), &[]);
        readers.extend(consumer::grantees(known, table, Some(major), self.circumstances));
        let who: Vec<String> = readers.iter().map(|r| format!("{} ({})", r.consumer, r.through)).collect();
        (!who.is_empty()).then(|| who.join(", "))
    }

    fn new_major(&self, plan: &mut Plan, former: &Output, output: &Output, major: u32, new: &OutputVersion) {
        let table = format!("{}.{}", self.domain.name, output.name);
        let Some((newest, before)) = former.newest() else { return };
        if major < newest {
            let message = format!("{table} v{major} is older than v{newest}, which is applied already");
            plan.problems.push(with_hint(self.problem("MW0306", message), "a new major has the next number"));
            return;
        }
        let breaking = compare(&before.contract, &new.contract).into_iter();
        let breaking: Vec<String> = breaking
            .filter(|change| change.level == crate::contract::compare::Level::Breaking)
            .map(|change| format!("{}: {}", change.path, change.what))
            .collect();
        if !breaking.is_empty() {
            plan.notes.push(format!("{table} v{major} differs from v{newest}: {}", breaking.join("; ")));
        }
    }

    /// A served major goes when nobody reads it any more, or its announced sunset has passed (promise 5). `version` is
    /// absent when the whole output goes.
    fn retirement(&self, plan: &mut Plan, output: &Output, version: Option<(u32, &OutputVersion)>) {
        let today = self.circumstances.now.date_naive();
        let going: BTreeMap<u32, &OutputVersion> = match version {
            Some((major, version)) => [(major, version)].into(),
            None => output.versions.iter().map(|(major, version)| (*major, version)).collect(),
        };
        let table = format!("{}.{}", self.old_domain.name, output.name);
        for (major, version) in going {
            let Some(who) = self.readers(self.applied, &table, major) else { continue };
            match version.sunset {
                Some(sunset) if sunset <= today => {
                    plan.notes
                        .push(format!("{table} v{major} goes, as announced for {sunset}; it is still read by {who}"));
                }
                _ => {
                    let message = format!("{table} v{major} cannot go yet: it is read by {who}");
                    let hint = "announce a `sunset` date for it and let it pass, or have the readers move first";
                    plan.problems.push(with_hint(self.problem("MW0307", message), hint));
                }
            }
        }
    }
}

/// `renamed_from` must not name what is declared as well, nor what never was.
fn renames(plan: &mut Plan, applied: Option<&Mesh>, declared: &Mesh) {
    let mut clash = |what: &str, name: &str, from: &Name, place: Place| {
        let message = format!("{what} `{name}` is renamed from `{from}`, which is declared too");
        let hint = "remove `renamed_from`, or the other one";
        plan.problems.push(with_hint(problem("MW0309", message, place), hint));
    };
    for domain in declared.domains.values() {
        let known = applied.is_some_and(|applied| applied.domains.contains_key(&domain.name));
        let taken = domain.renamed_from.as_ref().filter(|from| !known && declared.domains.contains_key(*from));
        if let Some(from) = taken {
            clash("domain", &domain.name, from, domain.place.clone().unwrap_or_else(|| at(&domain.path)));
        }
        let old = applied.and_then(|applied| former_domain(applied, declared, domain));
        for product in domain.products.values() {
            let known = old.is_some_and(|old| old.products.contains_key(&product.name));
            let taken = product.renamed_from.as_ref().filter(|from| !known && domain.products.contains_key(*from));
            if let Some(from) = taken {
                clash("product", &format!("{}.{}", domain.name, product.name), from, place_of(product));
            }
            let former = old.and_then(|old| {
                predecessor(&old.products, &domain.products, &product.name, product.renamed_from.as_ref())
            });
            for output in product.outputs.values() {
                let known = former.is_some_and(|former| former.outputs.contains_key(&output.name));
                let taken = output.renamed_from.as_ref().filter(|from| !known && product.outputs.contains_key(*from));
                if let Some(from) = taken {
                    clash("output", &format!("{}.{}", domain.name, output.name), from, place_of(product));
                }
            }
        }
    }
}

/// Every product that another one reads is served.
fn inputs(plan: &mut Plan, next: &Mesh) {
    for (domain, product) in next.products().filter(|(_, product)| product.status != Status::Retired) {
        for (name, input) in &product.inputs {
            let Input::Product(input) = input else { continue };
            let reader = format!("{}.{}", domain.name, product.name);
            let reads = format!("{}.{} v{}", input.domain, input.output, input.version);
            let source = next.domain(&input.domain).and_then(|domain| domain.products.get(&input.product));
            let place = input.place.clone().unwrap_or_else(|| place_of(product));
            let Some(source) = source else {
                let message = format!(
                    "input `{name}` of {reader} reads {}.{}, which does not exist",
                    input.domain, input.product
                );
                let hint = "apply that product first, or in the same apply";
                plan.problems.push(with_hint(problem("MW0310", message, place), hint));
                continue;
            };
            let served = source.outputs.get(&input.output).is_some_and(|o| o.versions.contains_key(&input.version));
            if source.status == Status::Retired {
                let message = format!("input `{name}` of {reader} reads {reads}, whose product is retired");
                plan.problems.push(problem("MW0310", message, place));
            } else if !served {
                let message = format!("input `{name}` of {reader} reads {reads}, which is not served");
                plan.problems.push(problem("MW0310", message, place));
            } else if source.status == Status::Deprecated {
                plan.notes.push(format!("{reader} reads {reads}, whose product is deprecated"));
            }
        }
    }
}

/// Output names are unique in their domain (D1), also beside products that the checkout does not hold.
fn same_names(plan: &mut Plan, next: &Mesh) {
    for domain in next.domains.values() {
        let mut seen: BTreeMap<&Name, &Product> = BTreeMap::new();
        for product in domain.products.values().filter(|product| product.status != Status::Retired) {
            for output in product.outputs.keys() {
                if let Some(other) = seen.insert(output, product) {
                    let message = format!(
                        "products `{}` and `{}` of domain `{}` both have an output `{output}`",
                        other.name, product.name, domain.name
                    );
                    plan.problems.push(problem("MW0312", message, place_of(product)));
                }
            }
        }
    }
}

/// Access policies load, and name what will be there: a `forbid` must not lose its object by a rename or a retirement.
fn policies(plan: &mut Plan, next: &Mesh) {
    for finding in policy::validate(&next.policies, next) {
        match finding.severity {
            Severity::Error => plan.problems.push(finding),
            Severity::Warning | Severity::Info => plan.notes.push(finding.message),
        }
    }
}

/// What stays although the checkout does not hold it.
fn kept(plan: &mut Plan, applied: &Mesh, declared: &Mesh, circumstances: Circumstances<'_>) {
    if !circumstances.prune {
        for (domain, product) in absent_products(applied, declared) {
            plan.notes.push(format!(
                "product {domain}.{product} is applied but not in this checkout: it stays (set `status: retired`, or prune)"
            ));
        }
    }
    if declared.classifications.is_empty() && !applied.classifications.is_empty() {
        plan.notes.push("this checkout holds no classifications: the applied ones stay".to_owned());
    }
    let mesh_wide = |mesh: &Mesh| mesh.policies.iter().any(|policy| policy.domain.is_none());
    if mesh_wide(applied) && !mesh_wide(declared) {
        plan.notes.push("this checkout holds no access policies of the mesh: the applied ones stay".to_owned());
    }
}

fn least(from: &semver::Version, bump: Bump) -> semver::Version {
    match bump {
        Bump::Major => semver::Version::new(from.major + 1, 0, 0),
        Bump::Minor => semver::Version::new(from.major, from.minor + 1, 0),
        Bump::Patch => semver::Version::new(from.major, from.minor, from.patch + 1),
        Bump::None => from.clone(),
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Proposed => "proposed",
        Status::Draft => "draft",
        Status::Active => "active",
        Status::Deprecated => "deprecated",
        Status::Retired => "retired",
    }
}

fn place_of(product: &Product) -> Place {
    product.place.clone().unwrap_or_else(|| at(&product.path))
}

fn at(path: &str) -> Place {
    Place { path: path.to_owned(), line: 0, column: 0 }
}

fn problem(code: &str, message: String, place: Place) -> Diagnostic {
    Diagnostic { code: code.to_owned(), severity: Severity::Error, message, place, length: 0, hints: Vec::new() }
}

fn with_hint(mut diagnostic: Diagnostic, hint: &str) -> Diagnostic {
    diagnostic.hints.push(hint.to_owned());
    diagnostic
}
