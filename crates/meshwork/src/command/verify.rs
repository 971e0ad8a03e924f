//! `meshwork contract test`

mod report;
mod subject;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use meshwork_control::port::data::RunLimits;
use meshwork_core::contract::{self, Contract, Table};
use meshwork_core::diagnostic::render;
use meshwork_core::effect::Clock;
use meshwork_core::error::{Error, Kind, Result, Severity};
use meshwork_core::quality::Outcome;
use meshwork_core::yaml;
use meshwork_engine::verify::{Subject, Verified, holds, verify};
use serde_json::json;

use super::Context;
use super::run::clause_lines;
use crate::effect::SystemClock;
use crate::exit;
use crate::output::{Format, count};

#[derive(Debug, Args)]
pub struct Test {
    /// The contract's file; `file.yaml#table` where it describes several tables
    contract: String,
    /// The data: a file or glob, a folder that is one table, `database.sqlite#table`, `s3://bucket/key`,
    /// `https://host/file`, or `postgres://user@host/database?table=schema.table` (also `mysql://`)
    #[arg(long, value_name = "DATA", conflicts_with_all = ["server_name", "product"])]
    data: Option<String>,
    /// One of the contract's own `servers`
    #[arg(long = "of-server", value_name = "NAME", conflicts_with = "product")]
    server_name: Option<String>,
    /// A published table of the mesh, as you may read it: `domain.output`
    #[arg(long, value_name = "TABLE")]
    product: Option<String>,
    /// Data that references look into
    #[arg(long = "reference", value_name = "TABLE=DATA")]
    references: Vec<String>,
    /// Also write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Also write a SARIF report
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Memory that the check may take, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(64..))]
    memory: u64,
}

impl Test {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let (contract, table) = read(&self.contract)?;
        let scratch = tempfile::tempdir()
            .map_err(|error| Error::environment("MW1004", format!("there is no temporary folder: {error}")))?;
        let (name, spec, mut secrets) = subject::of(&self, context, &contract, &table, scratch.path()).await?;
        let mut others = std::collections::BTreeMap::new();
        for reference in &self.references {
            let (to, data) = reference
                .split_once('=')
                .ok_or_else(|| Error::usage("MW1111", format!("`{}` is not TABLE=DATA", reference.escape_debug())))?;
            let (_, spec, of_reference) = subject::data(data, to, scratch.path()).await?;
            secrets.variables.extend(of_reference.variables);
            others.insert(to.to_owned(), spec);
        }
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let limits = RunLimits {
            memory_bytes: self.memory << 20,
            spill_bytes: 32 << 30,
            time: Duration::from_secs(24 * 3600),
            rows: None,
            cores,
        };
        let subject = Subject {
            name: name.clone(),
            spec,
            secrets,
            domain: subject::DOMAIN.to_owned(),
            others,
            limits,
            scratch: scratch.path().to_owned(),
            now: SystemClock.now(),
        };
        let verified = verify(&table, &subject).await?;
        let passed = holds(&verified.clauses);
        let tested = report::Tested { contract: &contract, table: &table, data: &name, verified: &verified };
        for (path, text) in [(&self.junit, tested.junit()), (&self.sarif, tested.sarif())] {
            let Some(path) = path else { continue };
            std::fs::write(path, text)
                .map_err(|error| Error::environment("MW1026", format!("{}: {error}", path.display())))?;
        }
        self.show(context, &table, &name, &verified, passed);
        Ok(if passed { exit::OK } else { exit::code(Kind::Check) })
    }

    fn show(&self, context: &Context, table: &Table, name: &str, verified: &Verified, passed: bool) {
        let printer = &context.printer;
        if !printer.is_for_people() {
            match printer.format {
                Format::Jsonl | Format::Csv => {
                    let items: Vec<_> = verified.clauses.iter().map(|clause| json!(clause)).collect();
                    let columns = [
                        crate::output::column("clause", "clause"),
                        crate::output::column("severity", "severity"),
                        crate::output::column("outcome", "outcome.outcome"),
                        crate::output::column("message", "message"),
                    ];
                    printer.list(&items, &columns);
                }
                _ => printer.item(&json!({
                    "ok": passed, "contract": self.contract, "table": table.name, "data": name,
                    "rows": verified.rows, "clauses": verified.clauses, "undeclared_columns": verified.undeclared,
                })),
            }
            return;
        }
        for clause in verified.clauses.iter().filter(|clause| clause.outcome != Outcome::Pass) {
            printer.raw(&clause_lines(&table.name, clause, printer));
        }
        let held = verified.clauses.iter().filter(|clause| clause.outcome == Outcome::Pass).count();
        let mark = if passed { printer.good("holds") } else { printer.bad("does not hold") };
        printer.line(&format!(
            "{mark}: {held} of {} clauses pass on {} of {name}",
            verified.clauses.len(),
            count(verified.rows, "row")
        ));
        if !verified.undeclared.is_empty() {
            printer.note(&format!("columns that the contract does not declare: {}", verified.undeclared.join(", ")));
        }
    }
}

/// The contract in a file, and the table that is meant.
fn read(text: &str) -> Result<(Contract, Table)> {
    let (path, object) = match text.rsplit_once('#') {
        Some((path, object)) => (path, Some(object)),
        None => (text, None),
    };
    let content = std::fs::read_to_string(path)
        .map_err(|error| Error::not_found("MW1110", format!("the contract {path} cannot be read: {error}")))?;
    let broken = |diagnostics: &[meshwork_core::Diagnostic]| {
        let shown: Vec<String> = diagnostics.iter().map(|d| render(d, Some(&content), false)).collect();
        Error::check("MW1110", format!("the contract has errors:\n{}", shown.join("\n").trim_end()))
    };
    let node = yaml::parse(path, &content).map_err(|found| broken(&found))?;
    let (contract, found) = contract::parse(path, &content, &node);
    let errors: Vec<_> = found.into_iter().filter(|d| d.severity == Severity::Error).collect();
    let contract = contract.filter(|_| errors.is_empty()).ok_or_else(|| broken(&errors))?;
    let names = || contract.tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ");
    let table = match (object, contract.tables.as_slice()) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(object), tables) => tables.iter().find(|table| table.name == object),
    };
    let table = table.cloned().ok_or_else(|| {
        Error::usage("MW1110", format!("{path} describes the tables {}", names()))
            .hint(format!("name one: `{path}#TABLE`"))
    })?;
    Ok((contract, table))
}
