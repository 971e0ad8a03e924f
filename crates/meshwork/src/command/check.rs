//! `meshwork check`

use std::path::PathBuf;

use clap::Args;
use meshwork_control::check::{CheckReport, check};
use meshwork_core::check::tally;
use meshwork_core::error::{Diagnostic, Error, Result};
use meshwork_core::mesh::Mesh;
use meshwork_engine::read::check::Checker;
use serde_json::json;

use super::Context;
use crate::output::{Format, Printer, count};
use crate::{compose, exit};

#[derive(Debug, Args)]
pub struct Check {
    /// Show only findings in these files or folders; the whole mesh is checked all the same
    paths: Vec<PathBuf>,
    /// Warnings fail the check too
    #[arg(long)]
    strict: bool,
}

impl Check {
    pub fn run(&self, context: &Context) -> Result<u8> {
        let folder = compose::mesh_folder(&context.config)?;
        let checked = check(&folder, Some(&Checker));
        let shown: Vec<Diagnostic> =
            checked.diagnostics.iter().filter(|finding| self.asked(context, finding)).cloned().collect();
        let (errors, warnings, _) = tally(&shown);
        let failed = errors > 0 || (self.strict && warnings > 0);
        let printer = &context.printer;
        if printer.is_for_people() {
            show(context, &checked, &shown);
            printer.note(&summary(&checked, errors, warnings, printer));
        } else {
            let findings: Vec<_> = shown.iter().map(|finding| json!(finding)).collect();
            match printer.format {
                Format::Jsonl | Format::Csv => printer.list(&findings, &columns()),
                _ => printer.item(&json!({
                    "ok": !failed, "diagnostics": findings, "counts": checked.counts, "mesh": checked.mesh,
                })),
            }
        }
        Ok(if failed { exit::code(meshwork_core::Kind::Check) } else { exit::OK })
    }

    fn asked(&self, context: &Context, finding: &Diagnostic) -> bool {
        let file = context.config.folder.join(&finding.place.path);
        let in_path = |path: &PathBuf| {
            let absolute: PathBuf = std::path::absolute(path).map(|p| p.components().collect()).unwrap_or_default();
            file.starts_with(&absolute) || file.starts_with(context.config.folder.join(path))
        };
        self.paths.is_empty() || self.paths.iter().any(in_path)
    }
}

fn columns() -> [crate::output::Column; 6] {
    use crate::output::column;
    [
        column("severity", "severity"),
        column("code", "code"),
        column("path", "place.path"),
        column("line", "place.line"),
        column("column", "place.column"),
        column("message", "message"),
    ]
}

fn show(context: &Context, checked: &CheckReport, findings: &[Diagnostic]) {
    for finding in findings {
        context.printer.line(checked.render(finding, context.printer.color).trim_end());
        context.printer.line("");
    }
}

fn summary(checked: &CheckReport, errors: usize, warnings: usize, printer: &Printer) -> String {
    let counts = &checked.counts;
    let what = format!(
        "{}, {}, {}, {}",
        count(counts.domains, "domain"),
        count(counts.products, "product"),
        count(counts.outputs, "output"),
        count(counts.contracts, "contract")
    );
    let warned = if warnings > 0 { format!(", {}", count(warnings, "warning")) } else { String::new() };
    match errors {
        0 => format!("{} {what}{warned}", printer.good("ok:")),
        n => format!("{} in {what}{warned}", printer.bad(&count(n, "error"))),
    }
}

/// The mesh that the folder declares, for commands that go on with it; all findings when it does not check.
pub fn declared(context: &Context) -> Result<Mesh> {
    let folder = compose::mesh_folder(&context.config)?;
    let mut checked = check(&folder, Some(&Checker));
    match checked.mesh.take() {
        Some(mesh) => Ok(mesh),
        None => {
            show(context, &checked, &checked.diagnostics);
            let (errors, ..) = tally(&checked.diagnostics);
            Err(Error::check("MW1027", format!("the mesh folder does not check: {}", count(errors, "error")))
                .hint("`meshwork check` shows them all"))
        }
    }
}
