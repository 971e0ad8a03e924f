//! What must hold across the files of a mesh, decided offline and all at once: names, references, keys, filters, masks,
//! cycles. Gives the mesh when nothing is wrong, and what is left to check with a SQL planner.
//!
//! Pure: the files come in as texts. `control` reads them and calls the planner.

mod classifications;
mod columns;
mod contracts;
mod cycles;
mod declared;
mod index;
mod inputs;
mod limits;
mod literal;
mod mesh;
mod modes;
mod outputs;
mod quarantine;
mod report;
mod storage;
#[cfg(test)]
mod tests;
mod unstored;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::contract::Table;
use crate::error::{Diagnostic, Place, Severity};
use crate::mesh::Mesh;
use crate::policy;
use crate::product::{Merge, Mode};
use crate::types::ColumnType;

pub use index::{Named, reserved};

/// Texts by path relative to the mesh folder, `/` between folders.
pub type Files = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub struct Checked {
    /// Only when there is no finding of severity error.
    pub mesh: Option<Mesh>,
    /// By place.
    pub diagnostics: Vec<Diagnostic>,
    /// Every transformation whose contract could be read.
    pub transformations: Vec<Transformation>,
    /// Every quality clause that is a query.
    pub clauses: Vec<ClauseQuery>,
    pub counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub domains: usize,
    pub products: usize,
    pub outputs: usize,
    pub contracts: usize,
}

/// A transformation to plan against what its inputs offer and its contract promises.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformation {
    pub sql: String,
    pub place: Place,
    /// Input name → columns; `None` for a source, whose columns only its data tells.
    pub inputs: BTreeMap<String, Option<Vec<(String, ColumnType)>>>,
    pub produces: Table,
    pub mode: Mode,
    /// Columns that only serve the merge may be yielded beside those of the contract.
    pub merge: Merge,
}

/// A query of a quality clause over `{table}` and `{batch}`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClauseQuery {
    pub query: String,
    pub place: Place,
    pub table: Table,
}

/// Checks a whole mesh.
pub fn check(files: &Files) -> Checked {
    let mut report = report::Report::default();
    let declared = declared::read(files, &mut report);
    let classifications = classifications::resolve(&declared, &mut report);
    let index = index::Index::build(&declared, &mut report);
    storage::check(&declared, &mut report);
    limits::check(&declared, &mut report);
    let outputs = outputs::resolve(&declared, &index, files, &mut report);
    let inputs = inputs::resolve(&declared, &index, &outputs, &mut report);
    cycles::find(&index, &inputs, &mut report);
    modes::check(&outputs, &inputs, &index, &mut report);
    unstored::check(&outputs, &inputs, &index, &mut report);
    columns::check(&outputs, &classifications, &mut report);
    contracts::check(&declared, &index, &outputs, &mut report);
    declared.check_tests(&mut report);
    declared.report_unread(files, &mut report);
    let transformations = outputs::transformations(&outputs, &inputs);
    let clauses = contracts::queries(&outputs);
    let counts = Counts {
        domains: index.domains.len(),
        products: index.products.len(),
        outputs: outputs.len(),
        contracts: declared.contracts.len(),
    };
    let mesh = (!report.has_errors()).then(|| mesh::assemble(&declared, classifications, &index, &outputs, &inputs));
    let mut mesh = mesh.flatten();
    if !declared.policies.is_empty() {
        // Against an incomplete mesh only what each policy says by itself is checked.
        report.extend(match &mesh {
            Some(mesh) => policy::validate(&mesh.policies, mesh),
            None => policy::validate(&declared.policies, &mesh::without_domains(&declared)),
        });
        mesh = mesh.filter(|_| !report.has_errors());
    }
    Checked { mesh, diagnostics: report.into_sorted(), transformations, clauses, counts }
}

/// By file, then line and column; of two at one place the graver first. Equal findings once.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by_cached_key(|d| (d.place.clone(), d.severity, d.code.clone(), d.message.clone()));
    diagnostics.dedup();
}

/// How many findings there are of each severity: errors, warnings, notes.
pub fn tally(diagnostics: &[Diagnostic]) -> (usize, usize, usize) {
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    (count(Severity::Error), count(Severity::Warning), count(Severity::Info))
}
