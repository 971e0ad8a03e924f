//! `meshwork test [PRODUCT]`

mod junit;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use meshwork_control::check::check;
use meshwork_control::checkout::{self, Limits};
use meshwork_control::trial::{Bench, CaseReport};
use meshwork_core::error::{Error, Kind, Result};
use meshwork_core::manifest::test::{self, TestManifest};
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::product::Product;
use meshwork_core::reader::Findings;
use meshwork_core::{effect::Clock, yaml};
use meshwork_engine::read::check::Checker;
use serde_json::json;

use super::{Context, complete};
use crate::effect::SystemClock;
use crate::output::progress::Waiting;
use crate::{compose, exit};

#[derive(Debug, Args)]
pub struct Test {
    /// `domain.product`, `domain` or `all`
    #[arg(value_name = "SELECTOR", default_value = "all", add = ArgValueCandidates::new(complete::products))]
    products: Vec<String>,
    /// Only tests whose name holds this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Also write a report in JUnit's form
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl Test {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let folder = compose::mesh_folder(&context.config)?;
        let mesh = declared(context)?;
        let (files, _) = checkout::read(&folder, Limits::DEFAULT);
        let scratch = tempfile::Builder::new()
            .prefix("meshwork-test-")
            .tempdir()
            .map_err(|error| Error::environment("MW1026", format!("a temporary folder cannot be made: {error}")))?;
        let bench = bench(context, scratch.path().to_path_buf(), folder.clone())?;
        let mut reports = Vec::new();
        for (domain, product) in mesh.products().filter(|(domain, product)| self.asked(domain, product)) {
            for file in tests_of(&files, product) {
                for case in
                    file.tests.iter().filter(|case| self.only.as_ref().is_none_or(|only| case.name.contains(only)))
                {
                    let waiting = Waiting::new(&context.printer, &format!("testing {}: {}", product.name, case.name));
                    let report = bench.run(&mesh, domain, product, case).await;
                    drop(waiting);
                    show(context, &report);
                    reports.push(report);
                }
            }
        }
        self.conclude(context, &reports)
    }

    fn asked(&self, domain: &Domain, product: &Product) -> bool {
        let name = format!("{}.{}", domain.name, product.name);
        self.products.iter().any(|asked| asked == "all" || *asked == name || domain.name == *asked.as_str())
    }

    fn conclude(&self, context: &Context, reports: &[CaseReport]) -> Result<u8> {
        let printer = &context.printer;
        if reports.is_empty() {
            let error = Error::not_found("MW1063", "there are no tests for what was asked");
            return Err(error
                .hint("write them in a file such as `orders.test.yaml` beside product.yaml")
                .hint("`meshwork schema print test` shows its shape"));
        }
        let failed = reports.iter().filter(|report| !report.passed()).count();
        if let Some(path) = &self.junit {
            std::fs::write(path, junit::render(reports)).map_err(|error| {
                Error::environment("MW1026", format!("{} cannot be written: {error}", path.display()))
            })?;
        }
        if printer.is_for_people() {
            let passed = reports.len() - failed;
            let word = if failed == 0 { printer.good("ok:") } else { printer.bad("failed:") };
            printer.note(&format!("{word} {passed} of {} tests pass", reports.len()));
        } else {
            let cases: Vec<_> = reports.iter().map(|report| json!(report)).collect();
            printer.item(&json!({"ok": failed == 0, "tests": reports.len(), "failed": failed, "cases": cases}));
        }
        Ok(if failed == 0 { exit::OK } else { exit::code(Kind::Check) })
    }
}

fn declared(context: &Context) -> Result<Mesh> {
    let folder = compose::mesh_folder(&context.config)?;
    if let Some(mesh) = check(&folder, Some(&Checker)).mesh {
        return Ok(mesh);
    }
    super::check::declared(context)
}

fn tests_of(files: &meshwork_core::check::Files, product: &Product) -> Vec<TestManifest> {
    let folder = format!("{}/", product.path);
    let own = files
        .iter()
        .filter(|(path, _)| path.starts_with(&folder) && (path.ends_with(".test.yaml") || path.ends_with(".test.yml")));
    let read = |(path, text): (&String, &String)| {
        let node = yaml::parse(path, text).ok()?;
        let findings = Findings::new(path);
        test::read(&findings, &node)
    };
    own.filter_map(read).collect()
}

fn bench(context: &Context, scratch: PathBuf, mesh_folder: PathBuf) -> Result<Bench> {
    let engines = compose::engines_without_state(&context.config, &scratch)?;
    Ok(Bench {
        run: Arc::new(engines.writer),
        query: Arc::new(engines.reader),
        scratch,
        mesh_folder,
        run_limits: engines.run_limits,
        query_limits: engines.query_limits,
        now: SystemClock.now(),
    })
}

fn show(context: &Context, report: &CaseReport) {
    let printer = &context.printer;
    if !printer.is_for_people() {
        return;
    }
    let mark = if report.passed() { printer.good("✓") } else { printer.bad("✗") };
    printer.line(&format!("{mark} {}: {}", report.product, report.name));
    for failure in &report.failures {
        printer.line(&format!("    {}: {} ({})", printer.bold(&failure.output), failure.message, failure.place));
        for line in &failure.lines {
            let line = meshwork_core::diagnostic::visible(line);
            let painted = match line.as_bytes().first() {
                Some(b'-') => printer.bad(&line),
                Some(b'+') => printer.good(&line),
                _ => printer.dim(&line),
            };
            printer.line(&format!("      {painted}"));
        }
    }
    if let Some(error) = &report.error {
        printer.error(error);
    }
}
