//! What contracts say about things outside of them, and which of their clauses nothing here can evaluate.

use std::collections::BTreeMap;

use super::ClauseQuery;
use super::declared::Declared;
use super::index::Index;
use super::literal::name;
use super::outputs::Output;
use super::report::{Report, START};
use crate::classification::LogicalFamily;
use crate::contract::{Contract, Table};
use crate::error::{Diagnostic, Place, Severity};
use crate::quality::{Clause, Rule};
use crate::reader::shown;
use crate::types::ColumnType;

pub(super) fn check(declared: &Declared, index: &Index<'_>, outputs: &[Output<'_>], report: &mut Report) {
    for contract in declared.contracts.values().flatten() {
        let clauses = contract.tables.iter().flat_map(|table| table.clauses.iter().map(move |clause| (table, clause)));
        for (table, clause) in clauses {
            match &clause.rule {
                Rule::NotEvaluated { because } => not_evaluated(contract, clause, because, report),
                Rule::References { columns, to, to_columns } => {
                    let domain = domain_of(&contract.path, declared);
                    let site = Reference { place: place(contract, clause), table, columns, to, to_columns };
                    site.check(domain, index, outputs, contract, report);
                }
                _ => {}
            }
        }
    }
    ids(declared, report);
}

fn place(contract: &Contract, clause: &Clause) -> Place {
    clause.place.clone().unwrap_or_else(|| START.place(&contract.path))
}

/// The name of the domain in whose folder the file lies.
fn domain_of<'d>(path: &str, declared: &'d Declared) -> Option<&'d str> {
    let domain = declared
        .domains
        .iter()
        .find(|domain| path.strip_prefix(domain.folder.as_str()).is_some_and(|rest| rest.starts_with('/')))?;
    domain.manifest.as_ref().map(|manifest| manifest.domain.value.as_str())
}

/// Decided and listed here, so that it is no surprise in a run (D5).
fn not_evaluated(contract: &Contract, clause: &Clause, because: &str, report: &mut Report) {
    // Reading the contract has already listed those that somebody wrote as such.
    if report.has("MW0238", &place(contract, clause)) {
        return;
    }
    let message = format!("the clause `{}` is not evaluated: {}", shown(&clause.id), shown(because));
    report
        .note(Diagnostic::new(Severity::Info, "MW0150", place(contract, clause), 0, message))
        .hint("It is shown with every run as not evaluated; it neither holds nor breaks the contract.");
}

/// The output that a reference means: `domain.output`, `output` of the own domain, or a table of the same contract.
pub(super) fn referenced<'o, 'd>(
    to: &str,
    own_domain: &str,
    contract: &Contract,
    outputs: &'o [Output<'d>],
) -> Option<&'o Output<'d>> {
    let (domain, called) = to.split_once('.').unwrap_or((own_domain, to));
    let output = outputs.iter().find(|output| output.domain == domain && output.at.name.value == *called);
    output.or_else(|| {
        let offers = |output: &&Output<'_>| {
            output.versions.iter().any(|v| v.contract.path == contract.path && v.table.name == called)
        };
        outputs.iter().find(offers).filter(|_| !to.contains('.'))
    })
}

struct Reference<'c> {
    place: Place,
    /// Whose columns reference.
    table: &'c Table,
    columns: &'c [String],
    to: &'c str,
    to_columns: &'c [String],
}

impl Reference<'_> {
    fn check(
        &self,
        own_domain: Option<&str>,
        index: &Index<'_>,
        outputs: &[Output<'_>],
        contract: &Contract,
        report: &mut Report,
    ) {
        let Some(own_domain) = own_domain else { return };
        if let Some(output) = referenced(self.to, own_domain, contract, outputs) {
            if let Some(newest) = output.newest().filter(|_| output.complete) {
                self.columns(newest.table, report);
            }
            return;
        }
        let (domain, output) = self.to.split_once('.').unwrap_or((own_domain, self.to));
        match index.domains.get(domain) {
            None => {
                let message = format!("this references `{}`: there is no domain `{}`", shown(self.to), shown(domain));
                let known = index.domains.keys().copied();
                report.error_at("MW0151", self.place.clone(), message).meant(domain, known);
            }
            Some(found) if found.is_complete() => {
                let message = format!("this references `{}`: there is no such output", shown(self.to));
                let known =
                    outputs.iter().filter(|output| output.domain == domain).map(|output| output.at.name.value.as_str());
                report.error_at("MW0151", self.place.clone(), message).meant(output, known);
            }
            Some(_) => {}
        }
    }

    fn columns(&self, target: &Table, report: &mut Report) {
        for (own, column) in self.columns.iter().zip(self.to_columns) {
            let Some(field) = target.field(column) else {
                let message = format!("this references `{}`: it has no field `{}`", shown(self.to), shown(column));
                let known = target.fields.iter().map(|field| field.name.as_str());
                report.error_at("MW0151", self.place.clone(), message).meant(column, known);
                continue;
            };
            if let Some(own) = self.table.field(own).filter(|own| !comparable(&own.native, &field.native)) {
                let message = format!(
                    "`{}` is of type {} and references `{}.{}` of type {}",
                    shown(&own.name),
                    name(&own.native),
                    shown(self.to),
                    shown(column),
                    name(&field.native)
                );
                let hint = "Give both the same type, else no value would ever be found.";
                report.error_at("MW0151", self.place.clone(), message).hint(hint);
            }
        }
    }
}

/// Whether a value of the one type can equal a value of the other.
fn comparable(a: &ColumnType, b: &ColumnType) -> bool {
    use LogicalFamily as F;
    let number = |family| matches!(family, F::Integer | F::Number);
    let (a, b) = (LogicalFamily::of(a), LogicalFamily::of(b));
    a == b || (number(a) && number(b))
}

/// An id means one contract. Its versions may lie side by side, two contracts of the same version may not.
fn ids(declared: &Declared, report: &mut Report) {
    let mut first: BTreeMap<(&str, &semver::Version), &Contract> = BTreeMap::new();
    for contract in declared.contracts.values().flatten() {
        let Some(id) = &contract.id else { continue };
        if let Some(other) = first.insert((id.as_str(), &contract.version), contract) {
            let message = format!("the id `{}` is also that of {}", shown(id.as_str()), shown(&other.path));
            report
                .error("MW0137", &contract.path, START, message)
                .hint("Give the newer of the two an id of its own; copies keep the id by mistake.");
        }
    }
}

/// Clauses that are queries, for a SQL planner to check.
pub(super) fn queries(outputs: &[Output<'_>]) -> Vec<ClauseQuery> {
    let mut all = Vec::new();
    for output in outputs {
        for version in &output.versions {
            for clause in &version.table.clauses {
                if let Rule::Sql { query, .. } = &clause.rule {
                    let place = place(version.contract, clause);
                    all.push(ClauseQuery { query: query.clone(), place, table: version.table.clone() });
                }
            }
        }
    }
    all
}
