//! `meshwork check`: everything that can be known offline about a mesh folder, its SQL included.

use std::path::Path;

use meshwork_core::check::{self as rules, Checked, Counts, Files};
use meshwork_core::error::{Diagnostic, Severity};
use meshwork_core::mesh::Mesh;
use serde::Serialize;

use crate::checkout;
use crate::port::data::{SqlCheck, SqlChecker};

#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// By file, line and column.
    pub diagnostics: Vec<Diagnostic>,
    pub counts: Counts,
    /// Only when nothing is wrong.
    #[serde(skip)]
    pub mesh: Option<Mesh>,
    /// The files that were read, to show the lines that findings point at.
    #[serde(skip)]
    pub files: Files,
}

impl CheckReport {
    pub fn passed(&self) -> bool {
        self.mesh.is_some()
    }

    /// Errors, warnings, notes.
    pub fn tally(&self) -> (usize, usize, usize) {
        rules::tally(&self.diagnostics)
    }

    /// One finding as it is shown to people.
    pub fn render(&self, diagnostic: &Diagnostic, color: bool) -> String {
        let source = self.files.get(&diagnostic.place.path).map(String::as_str);
        meshwork_core::diagnostic::render(diagnostic, source, color)
    }
}

/// Checks a folder. Without a SQL checker the SQL is taken as it is.
pub fn check(dir: &Path, sql: Option<&dyn SqlChecker>) -> CheckReport {
    let (files, checked) = checkout::load_checked(dir);
    complete(files, checked, sql)
}

/// Checks files that are in memory already.
pub fn check_files(files: Files, sql: Option<&dyn SqlChecker>) -> CheckReport {
    let checked = rules::check(&files);
    complete(files, checked, sql)
}

fn complete(files: Files, checked: Checked, sql: Option<&dyn SqlChecker>) -> CheckReport {
    let Checked { mut mesh, mut diagnostics, transformations, clauses, counts } = checked;
    if let Some(checker) = sql {
        for transformation in transformations {
            let rules::Transformation { sql, place, inputs, produces, mode, merge } = transformation;
            diagnostics.extend(checker.check_sql(&SqlCheck { sql, place, inputs, produces, mode, merge }));
        }
        for clause in clauses {
            diagnostics.extend(checker.check_clause_sql(&clause.query, &clause.place, &clause.table));
        }
        rules::sort(&mut diagnostics);
    }
    if diagnostics.iter().any(|d| d.severity == Severity::Error) {
        mesh = None;
    }
    CheckReport { diagnostics, counts, mesh, files }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use meshwork_core::contract::Table;
    use meshwork_core::error::Place;
    use meshwork_core::name::Name;
    use meshwork_core::scaffold;

    use super::*;

    /// Refuses every SQL that says so.
    struct Refusing;

    impl SqlChecker for Refusing {
        fn check_sql(&self, check: &SqlCheck) -> Vec<Diagnostic> {
            let bad = check.sql.contains("refuse me");
            bad.then(|| Diagnostic::error("MW0899", check.place.clone(), 0, "refused")).into_iter().collect()
        }
        fn check_clause_sql(&self, _: &str, _: &Place, _: &Table) -> Vec<Diagnostic> {
            Vec::new()
        }
    }

    fn files(products: usize) -> Files {
        let name = |text: &str| Name::new(text).unwrap();
        let mut files: Files = scaffold::mesh(&name("acme")).into_iter().collect();
        files.extend(scaffold::domain(&name("m"), &name("m_team").into()));
        for n in 0..products {
            files.extend(scaffold::product(&name("m"), &name(&format!("leads{n}"))));
        }
        files.retain(|path, _| !path.ends_with(".csv") && !path.starts_with('.'));
        files
    }

    #[test]
    fn sql_findings_stand_among_the_others_and_keep_the_mesh_from_passing() {
        let mut files = files(2);
        assert!(check_files(files.clone(), Some(&Refusing)).passed());
        files.insert(
            "domains/m/leads1/leads1.sql".into(),
            "SELECT id, name, amount -- refuse me\nFROM leads1_source".into(),
        );
        let report = check_files(files, Some(&Refusing));
        assert!(!report.passed());
        assert_eq!(report.tally(), (1, 0, 0));
        assert!(report.render(&report.diagnostics[0], false).contains("1 | SELECT id, name, amount -- refuse me"));
        assert_eq!((report.counts.domains, report.counts.products, report.counts.outputs), (1, 2, 2));
    }

    #[test]
    fn the_example_passes() {
        let report = check(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/acme")), None);
        let shown: String = report.diagnostics.iter().map(|found| report.render(found, false)).collect();
        assert!(report.passed(), "{shown}");
        assert_eq!((report.counts.domains, report.counts.products), (5, 6));
    }

    #[test]
    fn a_folder_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files(10) {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let before = Instant::now();
        let report = check(dir.path(), None);
        let took = before.elapsed();
        assert!(report.passed(), "{:#?}", report.diagnostics);
        // A few milliseconds when optimised; the bound leaves room for an unoptimised build on a busy machine.
        assert!(took.as_millis() < 1000, "{took:?}");
    }
}
