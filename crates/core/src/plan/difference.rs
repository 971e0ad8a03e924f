//! The differences between the applied mesh and the one that would result, object by object.

use std::collections::BTreeMap;

use crate::mesh::{Domain, Mesh};
use crate::name::Name;
use crate::product::{Merge, Output, OutputVersion, Product, Status};

use super::identity::predecessor;
use super::resulting::former_domain;
use super::{Action, Change, Detail, Object, port};

pub(super) fn changes(applied: Option<&Mesh>, next: &Mesh) -> Vec<Change> {
    let mut changes = Vec::new();
    mesh(applied, next, &mut changes);
    let none = BTreeMap::new();
    for domain in next.domains.values() {
        let old = applied.and_then(|applied| former_domain(applied, next, domain));
        push(&mut changes, Object::Domain, &domain.name, &domain.name, old.map(|old| of_domain(old, domain)));
        let before = old.map_or(&none, |old| &old.products);
        for product in domain.products.values() {
            let from = product.renamed_from.as_ref();
            let former = predecessor(before, &domain.products, &product.name, from);
            self::product(domain, former, product, &mut changes);
        }
    }
    changes
}

/// A change of something that is there when `details` is given and not empty; without `details` it is new.
fn push(changes: &mut Vec<Change>, object: Object, name: &str, domain: &Name, details: Option<Vec<Detail>>) {
    let action = match &details {
        None => Action::Create,
        Some(details) if details.is_empty() => return,
        Some(_) => Action::Change,
    };
    changes.push(Change {
        action,
        object,
        name: name.to_owned(),
        domain: Some(domain.clone()),
        details: details.unwrap_or_default(),
        affects: Vec::new(),
    });
}

fn mesh(applied: Option<&Mesh>, next: &Mesh, changes: &mut Vec<Change>) {
    let mut details = Vec::new();
    let action = match applied {
        None => Action::Create,
        Some(old) => {
            details.extend(moved("name", &old.name, &next.name));
            details.extend(moved("storage", &old.storage, &next.storage));
            details.extend(altered("description", &old.description, &next.description));
            details.extend(egress(old, next));
            details.extend(retention(old.retention, next.retention));
            details.extend(moved("limits of queries", &old.limits.query, &next.limits.query));
            details.extend(moved("limits of runs", &old.limits.run, &next.limits.run));
            let named = |mesh: &Mesh| mesh.classifications.iter().map(|c| (c.name.to_string(), c.clone())).collect();
            details.extend(entries("classification", &named(old), &named(next)));
            let files = |mesh: &Mesh| {
                let own = mesh.policies.iter().filter(|policy| policy.domain.is_none());
                own.map(|policy| (policy.path.clone(), policy.text.clone())).collect()
            };
            details.extend(entries("access policy", &files(old), &files(next)));
            Action::Change
        }
    };
    if action == Action::Create || !details.is_empty() {
        let name = next.name.to_string();
        changes.push(Change { action, object: Object::Mesh, name, domain: None, details, affects: Vec::new() });
    }
    domain_policies(applied, next, changes);
}

/// In hours: what is shorter is refused.
fn retention(old: Option<u64>, new: Option<u64>) -> Option<Detail> {
    let shown = |seconds: Option<u64>| match seconds {
        Some(seconds) => format!("{} h", seconds / 3600),
        None => "the default".to_owned(),
    };
    moved("retention", &shown(old), &shown(new))
}

/// Where sources may connect to: with a list, each host; an empty one is not the same as none.
fn egress(old: &Mesh, next: &Mesh) -> Vec<Detail> {
    let hosts = |mesh: &Mesh| mesh.egress.0.iter().flatten().map(|host| (host.to_string(), ())).collect();
    let mut details = entries("egress", &hosts(old), &hosts(next));
    let list = |mesh: &Mesh| mesh.egress.0.as_ref().map(|_| ());
    details.extend(altered("the list of egress", &list(old), &list(next)));
    details
}

/// A domain's own access policies count as its change.
fn domain_policies(applied: Option<&Mesh>, next: &Mesh, changes: &mut Vec<Change>) {
    for domain in next.domains.keys() {
        let files = |mesh: &Mesh| -> BTreeMap<String, String> {
            let own = mesh.policies.iter().filter(|policy| policy.domain.as_ref() == Some(domain));
            own.map(|policy| (policy.path.clone(), policy.text.clone())).collect()
        };
        let old = applied.map(files).unwrap_or_default();
        let details = entries("access policy", &old, &files(next));
        push(changes, Object::Domain, domain, domain, Some(details));
    }
}

fn of_domain(old: &Domain, new: &Domain) -> Vec<Detail> {
    // It is part of every table's name.
    let mut details: Vec<Detail> = moved("name", &old.name, &new.name).map(breaking).into_iter().collect();
    details.extend(altered("description", &old.description, &new.description));
    details.extend(moved("owner team", &old.owner, &new.owner));
    let members = |domain: &Domain| domain.members.iter().map(|name| (name.clone(), ())).collect();
    details.extend(entries("member", &members(old), &members(new)));
    details.extend(altered("storage", &old.storage, &new.storage));
    details.extend(retention(old.retention, new.retention));
    details.extend(entries("connection", &old.connections, &new.connections));
    details
}

fn product(domain: &Domain, old: Option<&Product>, new: &Product, changes: &mut Vec<Change>) {
    let name = format!("{}.{}", domain.name, new.name);
    let at = changes.len();
    push(changes, Object::Product, &name, &domain.name, old.map(|old| of_product(old, new)));
    let gone = |product: &Product| product.status == Status::Retired;
    if gone(new) && old.is_some_and(|old| !gone(old)) {
        if let Some(change) = changes.get_mut(at) {
            change.action = Action::Retire;
        }
        return;
    }
    let none = BTreeMap::new();
    let before = old.map_or(&none, |old| &old.outputs);
    let mut continued = Vec::new();
    for output in new.outputs.values() {
        let from = output.renamed_from.as_ref();
        let former = predecessor(before, &new.outputs, &output.name, from);
        continued.extend(former.map(|former| &former.name));
        self::output(domain, former, output, changes);
    }
    for output in before.values().filter(|output| !continued.contains(&&output.name)) {
        retire(changes, Object::Output, format!("{}.{}", domain.name, output.name), domain);
    }
}

fn of_product(old: &Product, new: &Product) -> Vec<Detail> {
    let mut details: Vec<Detail> = moved("name", &old.name, &new.name).into_iter().collect();
    details.extend(moved("version", &old.version, &new.version));
    details.extend(moved("status", &word(&old.status), &word(&new.status)));
    details.extend(moved("archetype", &word(&old.archetype), &word(&new.archetype)));
    details.extend(altered("description", &old.description, &new.description));
    details.extend(retention(old.retention, new.retention));
    details.extend(moved("limits", &old.limits, &new.limits));
    let inputs = |product: &Product| -> BTreeMap<String, serde_json::Value> {
        product.inputs.iter().map(|(name, input)| (name.to_string(), plain(input))).collect()
    };
    details.extend(entries("input", &inputs(old), &inputs(new)));
    details
}

fn output(domain: &Domain, old: Option<&Output>, new: &Output, changes: &mut Vec<Change>) {
    let name = format!("{}.{}", domain.name, new.name);
    push(changes, Object::Output, &name, &domain.name, old.map(|old| of_output(old, new)));
    for (major, version) in &new.versions {
        let name = format!("{name} v{major}");
        let before = old.and_then(|old| old.versions.get(major));
        push(changes, Object::Version, &name, &domain.name, before.map(|before| of_version(before, version)));
    }
    for major in old.into_iter().flat_map(|old| old.versions.keys()).filter(|m| !new.versions.contains_key(m)) {
        retire(changes, Object::Version, format!("{name} v{major}"), domain);
    }
}

fn of_output(old: &Output, new: &Output) -> Vec<Detail> {
    let mut details: Vec<Detail> = moved("name", &old.name, &new.name).map(breaking).into_iter().collect();
    details.extend(moved("mode", &word(&old.mode), &word(&new.mode)));
    details.extend(moved("key", &old.key.join(", "), &new.key.join(", ")));
    let merge = |output: &Output| {
        let Merge { delete_when, missing_rows, order_by } = &output.merge;
        (delete_when.clone().unwrap_or_default(), word(missing_rows), order_by.join(", "))
    };
    let (before, after) = (merge(old), merge(new));
    details.extend(moved("delete_when", &before.0, &after.0));
    details.extend(moved("missing_rows", &before.1, &after.1));
    details.extend(moved("order_by", &before.2, &after.2));
    details.extend(moved("on_violation", &word(&old.on_violation), &word(&new.on_violation)));
    let limit = |output: &Output| output.quarantine_limit.to_string();
    details.extend(moved("quarantine_limit", &limit(old), &limit(new)));
    let filters = |output: &Output| output.row_filters.iter().map(|f| (f.name.to_string(), f.clone())).collect();
    details.extend(entries("row filter", &filters(old), &filters(new)));
    details
}

fn of_version(old: &OutputVersion, new: &OutputVersion) -> Vec<Detail> {
    let mut details: Vec<Detail> =
        moved("contract version", &old.contract.version, &new.contract.version).into_iter().collect();
    details.extend(port::changes(old, new));
    if old.sql.text != new.sql.text {
        details.push(detail("the transformation is changed".to_owned()));
    }
    let day = |version: &OutputVersion| version.sunset.map_or_else(|| "none".to_owned(), |day| day.to_string());
    details.extend(moved("sunset", &day(old), &day(new)));
    details
}

fn retire(changes: &mut Vec<Change>, object: Object, name: String, domain: &Domain) {
    let domain = Some(domain.name.clone());
    changes.push(Change { action: Action::Retire, object, name, domain, details: Vec::new(), affects: Vec::new() });
}

fn detail(text: String) -> Detail {
    Detail { text, column: None, breaking: false }
}

fn breaking(detail: Detail) -> Detail {
    Detail { breaking: true, ..detail }
}

/// Short values, shown.
fn moved<T: PartialEq + std::fmt::Display>(what: &str, old: &T, new: &T) -> Option<Detail> {
    (old != new).then(|| detail(format!("{what} `{old}` → `{new}`")))
}

/// Long values, not shown.
fn altered<T: PartialEq>(what: &str, old: &Option<T>, new: &Option<T>) -> Option<Detail> {
    (old != new).then(|| {
        let verb = match (old, new) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        detail(format!("{what} {verb}"))
    })
}

fn entries<K, V>(what: &str, old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> Vec<Detail>
where
    K: Ord + std::fmt::Display,
    V: PartialEq,
{
    let mut details = Vec::new();
    for (name, value) in new {
        match old.get(name) {
            None => details.push(detail(format!("{what} `{name}` added"))),
            Some(before) if before != value => details.push(detail(format!("{what} `{name}` changed"))),
            Some(_) => {}
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(name));
    details.extend(gone.map(|name| detail(format!("{what} `{name}` removed"))));
    details
}

/// As it stands in manifests.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Without places: a line that moved in its file is no change.
fn plain<T: serde::Serialize>(value: &T) -> serde_json::Value {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    strip_places(&mut value);
    value
}

fn strip_places(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            let is_place = |v: &serde_json::Value| v.get("line").is_some() && v.get("column").is_some();
            members.retain(|key, member| !(key == "place" && is_place(member)));
            members.values_mut().for_each(strip_places);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip_places),
        _ => {}
    }
}
