//! Tests of products: given rows go through the product's SQL and contract as in a run, in a folder that nobody else sees.
//!
//! What a test builds is committed there and read back on the governed path; nothing of a mesh's state or storage is touched.

mod compare;
mod rows;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use meshwork_core::contract::Table;
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Place, Result, Severity};
use meshwork_core::id::RunId;
use meshwork_core::manifest::test::{Rows, TestCase};
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::name::Name;
use meshwork_core::product::{Incremental, Input, Merge, Mode, Output, OutputVersion, Product, SourceKind};
use meshwork_core::quality::{Outcome, Rule};
use meshwork_core::run::{OutputReport, RunTask};
use serde::{Deserialize, Serialize};

use self::table::{One, bare, files_of, governed};
use crate::port::data::{
    GovernedTable, InputSpec, OutputSpec, PlanRequest, QueryEngine, QueryLimits, RunEngine, RunEvent, RunLimits,
    RunObserver, RunSpec, SourceSpec,
};

/// What tests run with.
pub struct Bench {
    pub run: Arc<dyn RunEngine>,
    pub query: Arc<dyn QueryEngine>,
    /// For what tests build; the caller removes it.
    pub scratch: PathBuf,
    pub mesh_folder: PathBuf,
    pub run_limits: RunLimits,
    pub query_limits: QueryLimits,
    pub now: Timestamp,
}

/// How one test ended. It passed when nothing is listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseReport {
    /// `domain.product`
    pub product: String,
    pub name: String,
    pub place: Place,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// It could not be run at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

impl CaseReport {
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.error.is_none()
    }
}

/// What was not as expected in one output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub output: String,
    pub message: String,
    pub place: Place,
    /// `- expected`, `+ found`, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// The product under test.
#[derive(Clone, Copy)]
struct Subject<'a> {
    mesh: &'a Mesh,
    domain: &'a Domain,
    product: &'a Product,
}

impl Bench {
    pub async fn run(&self, mesh: &Mesh, domain: &Domain, product: &Product, case: &TestCase) -> CaseReport {
        let mut report = CaseReport {
            product: format!("{}.{}", domain.name, product.name),
            name: case.name.clone(),
            place: case.place.clone(),
            failures: Vec::new(),
            error: None,
        };
        match self.failures(Subject { mesh, domain, product }, case).await {
            Ok(failures) => report.failures = failures,
            Err(error) => report.error = Some(error),
        }
        report
    }

    async fn failures(&self, subject: Subject<'_>, case: &TestCase) -> Result<Vec<Failure>> {
        let folder = self.scratch.join(format!("case-{}", unique(&case.name)));
        std::fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
        let done = self.in_folder(subject, case, &folder).await;
        let _ = std::fs::remove_dir_all(&folder);
        done
    }

    async fn in_folder(&self, subject: Subject<'_>, case: &TestCase, folder: &Path) -> Result<Vec<Failure>> {
        let Subject { domain, product, .. } = subject;
        let mut inputs = BTreeMap::new();
        let mut tables = BTreeMap::new();
        // What tables that grow take up: whatever tells it in a mesh, here all that is given is new.
        let mut grows = Vec::new();
        for (name, input) in &product.inputs {
            let rows = case.inputs.get(name.as_str());
            let spec = match input {
                Input::Source(source) => {
                    grows.extend(source.incremental.as_ref().map(|_| name.to_string()));
                    InputSpec::Source(self.source(subject, name, &source.kind, rows, folder)?)
                }
                Input::Product(input) => {
                    let version = subject
                        .mesh
                        .output(&input.domain, &input.output)
                        .and_then(|(_, output)| output.versions.get(&input.version));
                    let version = version.ok_or_else(|| {
                        let message = format!(
                            "input `{name}`: `{}.{}` is not declared in this folder",
                            input.domain, input.output
                        );
                        Error::check("MW1060", message)
                    })?;
                    let built = self.upstream(subject, name, version.schema(), rows, folder, case).await?;
                    tables.insert(format!("{}.{}", input.domain, input.output), built.clone());
                    match input.incremental {
                        Some(_) => {
                            grows.push(name.to_string());
                            InputSpec::Source(files_of(&built))
                        }
                        None => InputSpec::Governed(built),
                    }
                }
            };
            inputs.insert(name.to_string(), spec);
        }
        let mut outputs = Vec::new();
        let mut severities = BTreeMap::new();
        for output in product.outputs.values() {
            let Some((major, version)) = output.newest() else { continue };
            let mut spec = self.output(subject, output, major, version, &tables, folder, &mut severities);
            if let (Some(rows), Some(input)) = (case.existing.get(output.name.as_str()), grows.first()) {
                spec.base = Some(self.existing(subject, &spec, input, rows, folder, case).await?);
            }
            outputs.push(spec);
        }
        let mut spec = self.spec(&format!("{}.{}", domain.name, product.name), inputs, outputs, case);
        spec.incremental = grows.into_iter().map(|input| (input, Incremental::Files)).collect();
        let (reports, built) = self.build(&spec).await?;
        let mut failures = Vec::new();
        for (name, expected) in &case.expect {
            let Some(report) = reports.iter().find(|report| report.name == *name) else { continue };
            failures.extend(violations(name, expected, report, &severities));
            let Some(rows) = &expected.rows else { continue };
            let Some(table) = built.get(name) else { continue };
            let found = self.read(table).await?;
            let rows = self.expected_rows(subject, rows)?;
            failures.extend(compare::rows(name, expected, &rows, &found)?);
        }
        Ok(failures)
    }

    /// The given rows as a source of the kind that the product reads, as far as that is a file.
    fn source(
        &self,
        Subject { mesh: _, domain, product }: Subject<'_>,
        name: &Name,
        kind: &SourceKind,
        rows: Option<&Rows>,
        folder: &Path,
    ) -> Result<SourceSpec> {
        match rows {
            Some(Rows::File(file)) => rows::fixture(&self.mesh_folder, &domain.path, &product.path, &file.value),
            Some(Rows::Inline(given)) if !given.is_empty() => match kind {
                SourceKind::Csv { .. } => rows::csv(folder, name, given, &[]),
                _ => rows::json(folder, name, given),
            },
            // Nothing came: the columns that the contracts know are there, without rows.
            _ => {
                let versions = product.outputs.values().filter_map(Output::newest);
                let fields = versions.flat_map(|(_, version)| &version.schema().fields);
                let columns: Vec<String> =
                    fields.map(|field| field.physical_name.clone().unwrap_or_else(|| field.name.clone())).collect();
                rows::csv(folder, name, &[], &columns)
            }
        }
    }

    /// Another product's output with the given rows: a table of its contract's types, read on the governed path.
    async fn upstream(
        &self,
        subject: Subject<'_>,
        name: &Name,
        table: &Table,
        rows: Option<&Rows>,
        folder: &Path,
        case: &TestCase,
    ) -> Result<GovernedTable> {
        let columns: Vec<String> = table.fields.iter().map(|field| field.name.clone()).collect();
        let source = match rows {
            Some(Rows::File(file)) => {
                rows::fixture(&self.mesh_folder, &subject.domain.path, &subject.product.path, &file.value)?
            }
            Some(Rows::Inline(given)) => rows::csv(folder, name, given, &columns)?,
            None => rows::csv(folder, name, &[], &columns)?,
        };
        // The rows are given: whether they keep their contract is not what is tested.
        let mut plain = table.clone();
        plain.clauses.clear();
        let output = OutputSpec {
            sql: format!("SELECT {} FROM given", quoted(&columns)),
            sql_path: String::new(),
            ..bare(name, plain, folder, &format!("input-{name}"))
        };
        let inputs = BTreeMap::from([("given".to_owned(), InputSpec::Source(source))]);
        let spec = self.spec(&format!("{}.{name}", subject.domain.name), inputs, vec![output], case);
        let (_, mut built) = self.build(&spec).await?;
        built.remove(name.as_str()).ok_or_else(|| Error::internal("MW0613", format!("input `{name}` was not built")))
    }

    /// Commits the rows that a table has before, as if an earlier run had taken them up. Returns the version.
    async fn existing(
        &self,
        subject: Subject<'_>,
        output: &OutputSpec,
        input: &str,
        rows: &Rows,
        folder: &Path,
        case: &TestCase,
    ) -> Result<u64> {
        let columns: Vec<String> = output.table.fields.iter().map(|field| field.name.clone()).collect();
        let folder = folder.join(format!("existing-{}", output.name));
        std::fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
        let before = Name::new("existing").map_err(|_| Error::internal("MW0613", "a name is not one"))?;
        let source = match rows {
            Rows::File(file) => {
                rows::fixture(&self.mesh_folder, &subject.domain.path, &subject.product.path, &file.value)?
            }
            Rows::Inline(given) => rows::csv(&folder, &before, given, &columns)?,
        };
        let mut table = output.table.clone();
        table.clauses.clear();
        let earlier = OutputSpec {
            sql: format!("SELECT {} FROM \"{input}\"", quoted(&columns)),
            sql_path: String::new(),
            table,
            mode: Mode::Append,
            merge: Merge::default(),
            references: BTreeMap::new(),
            ..output.clone()
        };
        let inputs = BTreeMap::from([(input.to_owned(), InputSpec::Source(source))]);
        let mut spec = self.spec(&format!("{}.{}", subject.domain.name, output.name), inputs, vec![earlier], case);
        spec.run = RunId::new("earlier");
        spec.incremental = BTreeMap::from([(input.to_owned(), Incremental::Files)]);
        let (_, built) = self.build(&spec).await?;
        let table = built.get(output.name.as_str());
        table
            .map(|table| table.delta_version)
            .ok_or_else(|| Error::internal("MW0613", format!("the existing rows of `{}` were not built", output.name)))
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `in_folder`, split off for its length")]
    fn output(
        &self,
        Subject { domain, .. }: Subject<'_>,
        output: &Output,
        major: u32,
        version: &OutputVersion,
        tables: &BTreeMap<String, GovernedTable>,
        folder: &Path,
        severities: &mut BTreeMap<(String, String), Severity>,
    ) -> OutputSpec {
        let mut table = version.schema().clone();
        let own = |to: &str| to.split_once('.').is_some_and(|(d, _)| domain.name == *d) && !tables.contains_key(to);
        // What refers to tables that the test does not give cannot be answered.
        table.clauses.retain(|clause| match &clause.rule {
            Rule::References { to, .. } => tables.contains_key(to) || own(to),
            _ => true,
        });
        for clause in &mut table.clauses {
            severities.insert((output.name.to_string(), clause.id.clone()), clause.severity);
            // So that rows come out whatever fails; the test says what must.
            clause.severity = Severity::Warning;
        }
        OutputSpec {
            major,
            contract_version: version.contract.version.clone(),
            contract_digest: version.contract.digest.clone(),
            sql: version.sql.text.clone(),
            sql_path: version.sql.path.clone(),
            mode: output.mode,
            key: output.key.clone(),
            merge: output.merge.clone(),
            references: tables.clone(),
            ..bare(&output.name, table, folder, &format!("output-{}", output.name))
        }
    }

    fn spec(
        &self,
        product: &str,
        inputs: BTreeMap<String, InputSpec>,
        outputs: Vec<OutputSpec>,
        case: &TestCase,
    ) -> RunSpec {
        RunSpec {
            run: RunId::new("test"),
            product: product.to_owned(),
            task: RunTask::Build,
            fencing_token: 1,
            inputs,
            pins: BTreeMap::new(),
            incremental: BTreeMap::new(),
            outputs,
            full_refresh: false,
            storage: Vec::new(),
            sample: None,
            release: None,
            limits: self.run_limits,
            now: case.now.unwrap_or(self.now),
        }
    }

    /// Builds, checks and commits in the folder; the tables that came out, by output.
    async fn build(&self, spec: &RunSpec) -> Result<(Vec<OutputReport>, BTreeMap<String, GovernedTable>)> {
        let report = self.run.stage(spec, Arc::new(Quiet)).await?;
        let staged: Vec<OutputReport> = report.outputs.iter().filter(|o| o.staged.is_some()).cloned().collect();
        let versions = self.run.commit(&spec.run, &staged).await?;
        let mut tables = BTreeMap::new();
        for (report, version) in staged.iter().zip(versions) {
            let Some(output) = spec.outputs.iter().find(|output| output.output == report.output) else { continue };
            tables.insert(report.name.clone(), governed(output, version)?);
        }
        Ok((report.outputs, tables))
    }

    async fn read(&self, table: &GovernedTable) -> Result<Vec<RecordBatch>> {
        let request = PlanRequest {
            parameter_types: Vec::new(),
            sql: "SELECT * FROM test.found".to_owned(),
            catalog: Arc::new(One(table.clone())),
            as_of: None,
            limits: self.query_limits,
            now: self.now,
        };
        let planned = self.query.plan(request).await?;
        planned.execute(Vec::new()).await?.try_collect().await
    }

    fn expected_rows(&self, subject: Subject<'_>, rows: &Rows) -> Result<Vec<meshwork_core::manifest::test::Row>> {
        match rows {
            Rows::Inline(rows) => Ok(rows.clone()),
            Rows::File(file) => {
                rows::expected_file(&self.mesh_folder, &subject.domain.path, &subject.product.path, &file.value)
            }
        }
    }
}

fn quoted(columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| format!("\"{}\"", column.replace('"', "\"\""))).collect();
    columns.join(", ")
}

/// A text that can be part of a file's name, different for different texts.
fn unique(text: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::environment("MW1026", format!("{} cannot be written: {error}", path.display()))
}

struct Quiet;

impl RunObserver for Quiet {
    fn event(&self, _: RunEvent) {}
}

/// Clauses that did not do what the test expects of them.
fn violations(
    output: &str,
    expected: &meshwork_core::manifest::test::Expected,
    report: &OutputReport,
    severities: &BTreeMap<(String, String), Severity>,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut failure = |place: &Place, message: String, lines: Vec<String>| {
        failures.push(Failure { output: output.to_owned(), message, place: place.clone(), lines });
    };
    for clause in &report.clauses {
        let wanted = expected.violations.iter().any(|id| id.value == clause.clause);
        let graver = severities.get(&(output.to_owned(), clause.clause.clone())) == Some(&Severity::Error);
        match &clause.outcome {
            Outcome::Pass if wanted => {
                failure(&expected.place, format!("clause `{}` passed, but was to fail", clause.clause), Vec::new());
            }
            Outcome::Fail if !wanted && graver => {
                let lines = clause.samples.iter().map(|sample| {
                    let values = sample.values.iter().map(|(column, value)| {
                        format!("{column}={}", value.as_deref().unwrap_or("null").escape_debug())
                    });
                    format!("+ {}", values.collect::<Vec<_>>().join(" "))
                });
                let message = format!("clause `{}` failed: {}", clause.clause, clause.message);
                failure(&expected.place, message, lines.collect());
            }
            Outcome::Error { because } => {
                failure(
                    &expected.place,
                    format!("clause `{}` could not be checked: {because}", clause.clause),
                    Vec::new(),
                );
            }
            _ => {}
        }
    }
    for id in &expected.violations {
        if !report.clauses.iter().any(|clause| clause.clause == id.value) {
            let known: Vec<&str> = report.clauses.iter().map(|clause| clause.clause.as_str()).collect();
            let message = format!("there is no clause `{}`", id.value.escape_debug());
            failure(&expected.place, message, vec![format!("there are: {}", known.join(", "))]);
        }
    }
    failures
}
