mod bounds;
mod concurrent;
mod external;
mod kinds;
mod modes;
mod quarantine;
mod readers;
mod s3;
mod sample;
mod upkeep;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use deltalake_core::DeltaTableBuilder;
use meshwork_control::port::data::{
    ColumnMask, FilesSpec, GovernedBody, GovernedColumn, GovernedTable, InputSpec, OutputSpec, RunEvent, RunLimits,
    SourceSpec,
};
use meshwork_core::contract::{Field, Table};
use meshwork_core::filter::{Comparison, Predicate, RowFilter};
use meshwork_core::id::{ColumnId, OutputId};
use meshwork_core::lineage::Inherited;
use meshwork_core::mask::Mask;
use meshwork_core::product::{CsvOptions, JsonOptions, Mode, OnViolation};
use meshwork_core::quality::{Clause, ClauseResult, Metric, Outcome, Rule, Scope, Threshold, Unit, gate};
use meshwork_core::types::{ColumnType, Literal, LogicalType};
use meshwork_core::{Error, Severity};
use meshwork_testkit::{TestClock, field, moment, name};

use super::*;

const OUTPUT: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

struct Observer(Mutex<Vec<RunEvent>>);

impl RunObserver for Observer {
    fn event(&self, event: RunEvent) {
        self.0.lock().expect("not poisoned").push(event);
    }
}

/// A domain folder and a storage root.
struct Mesh {
    folder: tempfile::TempDir,
}

impl Mesh {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temp");
        for name in ["domain", "storage", "scratch"] {
            fs::create_dir(folder.path().join(name)).expect("creates");
        }
        Self { folder }
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join("domain").join(name);
        fs::write(&path, bytes).expect("writes");
        path
    }

    fn writer(&self) -> Writer {
        self.writer_with(None)
    }

    fn writer_with(&self, point: Option<&str>) -> Writer {
        let mut config = WriterConfig::new(self.folder.path().join("scratch"), Arc::new(TestClock::new()));
        config.fail_point = point.map(|text| FailPoint::parse(text).expect("valid"));
        Writer::new(config)
    }

    fn location(&self) -> TableLocation {
        let root = url::Url::from_directory_path(self.folder.path().join("storage")).expect("absolute");
        TableLocation::of(root.as_str(), &OutputId::new(OUTPUT), 1)
    }

    fn table(&self) -> PathBuf {
        self.folder.path().join("storage").join(OUTPUT).join("v1")
    }

    fn csv(&self) -> InputSpec {
        InputSpec::Source(SourceSpec::Csv {
            files: FilesSpec::Folder { folder: self.folder.path().join("domain"), path: "*.csv".into() },
            options: CsvOptions::default(),
        })
    }

    /// A run of one output over one CSV input `raw`.
    fn spec(&self, run: &str, base: Option<u64>, table: Table, sql: &str) -> RunSpec {
        RunSpec {
            run: RunId::new(run),
            product: "marketing.leads".into(),
            task: RunTask::Build,
            fencing_token: 1,
            inputs: BTreeMap::from([("raw".to_owned(), self.csv())]),
            pins: BTreeMap::new(),
            incremental: BTreeMap::new(),
            storage: Vec::new(),
            full_refresh: false,
            release: None,
            outputs: vec![OutputSpec {
                output: OutputId::new(OUTPUT),
                name: name("leads"),
                major: 1,
                location: self.location(),
                table,
                contract_version: "1.0.0".parse().expect("a version"),
                contract_digest: "digest".into(),
                sql: sql.to_owned(),
                sql_path: "leads.sql".into(),
                mode: Mode::Full,
                key: Vec::new(),
                merge: meshwork_core::product::Merge::default(),
                on_violation: OnViolation::Block,
                quarantine_limit: Default::default(),
                base,
                served: None,
                resting: None,
                references: BTreeMap::new(),
            }],
            sample: None,
            limits: RunLimits {
                memory_bytes: 1 << 30,
                spill_bytes: 1 << 30,
                time: Duration::from_secs(60),
                rows: None,
                cores: 2,
            },
            now: moment(0),
        }
    }

    async fn stage(&self, spec: &RunSpec) -> Result<RunReport> {
        self.writer().stage(spec, Arc::new(Observer(Mutex::default()))).await
    }

    /// Values of a column at the newest version, through delta-rs: what any Delta reader sees.
    async fn read(&self, column: &str) -> Vec<String> {
        let url = url::Url::from_directory_path(self.table()).expect("absolute");
        let table = DeltaTableBuilder::from_url(url).expect("a url").load().await.expect("a Delta table");
        let mut values = Vec::new();
        for file in table.get_file_uris().expect("files") {
            let file = fs::File::open(file.trim_start_matches("file://")).expect("opens");
            let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("parquet");
            for batch in reader.build().expect("reads") {
                let batch = batch.expect("batch");
                let array = batch.column_by_name(column).expect("column");
                values.extend(
                    (0..array.len())
                        .map(|row| arrow::util::display::array_value_to_string(array, row).expect("displays")),
                );
            }
        }
        values
    }

    fn data_files(&self) -> usize {
        fs::read_dir(self.table()).map_or(0, |entries| {
            entries.flatten().filter(|e| e.file_name().to_string_lossy().ends_with(".parquet")).count()
        })
    }
}

fn typed(name: &str, native: ColumnType) -> Field {
    Field { native, ..field(name) }
}

fn table(fields: Vec<Field>, rules: Vec<Rule>) -> Table {
    let types = fields.iter().map(|f| Rule::Type { column: f.name.clone() });
    let clauses = types.chain(rules).enumerate().map(|(at, rule)| clause(&format!("c{at}"), rule)).collect();
    Table { name: "leads".into(), physical_name: None, description: None, fields, clauses }
}

fn clause(id: &str, rule: Rule) -> Clause {
    Clause {
        id: id.to_owned(),
        severity: Severity::Error,
        scope: Scope::Table,
        rule,
        description: None,
        dimension: None,
        place: None,
    }
}

/// `marketing_leads` of the design.
fn leads() -> Table {
    let c = |column: &str| column.to_owned();
    let text = |t: &str| Literal::Text(t.to_owned());
    table(
        vec![field("lead_id"), field("source"), typed("score", ColumnType::Int64)],
        vec![
            Rule::Required { column: c("lead_id") },
            Rule::Enum { column: c("source"), values: vec![text("organic"), text("paid")] },
            Rule::Range {
                column: c("score"),
                min: Some(Literal::Integer(0)),
                max: Some(Literal::Integer(100)),
                exclusive_min: false,
                exclusive_max: false,
            },
            Rule::Unique { columns: vec![c("lead_id")] },
        ],
    )
}

const ALL: &str = "SELECT lead_id, source, score FROM raw";
const GOOD: &str = "lead_id,source,score\nL1,organic,10\nL2,paid,\nL3,organic,100\n";

fn outcome<'a>(report: &'a RunReport, rule: &str) -> &'a ClauseResult {
    report.outputs[0].clauses.iter().find(|c| c.clause == rule).expect("answered")
}

/// File, line and one value of each sample.
fn places(answer: &ClauseResult, column: usize) -> Vec<(String, u64, String)> {
    let of = |s: &meshwork_core::quality::RowSample| {
        (s.source.clone().unwrap_or_default(), s.row.unwrap_or(0), s.values[column].1.clone().unwrap_or_default())
    };
    answer.samples.iter().map(of).collect()
}

#[tokio::test]
async fn a_good_file_is_published_and_read_by_any_delta_reader() {
    let mesh = Mesh::new();
    mesh.file("a.csv", GOOD);
    let spec = mesh.spec("run-1", None, leads(), ALL);
    let report = mesh.stage(&spec).await.expect("stages");
    assert!(gate(&report.outputs[0].clauses), "{:#?}", report.outputs[0].clauses);
    assert!(report.outputs[0].clauses.iter().all(|c| c.outcome == Outcome::Pass));
    assert_eq!((report.outputs[0].rows, report.rows_read), (3, 3));
    let lineage: Vec<_> =
        report.outputs[0].lineage.iter().map(|l| (l.column.as_str(), l.from[0].column.as_str())).collect();
    assert_eq!(lineage, [("lead_id", "lead_id"), ("source", "source"), ("score", "score")]);
    let score = &report.outputs[0].profile[2];
    assert_eq!(
        (score.nulls, score.min.as_deref(), score.max.as_deref(), score.mean),
        (1, Some("10"), Some("100"), Some(55.0))
    );
    assert!(!mesh.table().join("_delta_log").exists(), "staging commits nothing");

    let run = RunId::new("run-1");
    let writer = mesh.writer();
    assert_eq!(writer.committed(&run, &report.outputs).await, Ok(vec![None]));
    assert_eq!(writer.commit(&run, &report.outputs).await, Ok(vec![0]));
    assert_eq!(writer.commit(&run, &report.outputs).await, Ok(vec![0]), "committing again changes nothing");
    assert_eq!(writer.committed(&run, &report.outputs).await, Ok(vec![Some(0)]));
    assert_eq!(mesh.read("lead_id").await, ["L1", "L2", "L3"]);

    // The next run replaces everything.
    mesh.file("a.csv", "lead_id,source,score\nL9,paid,1\n");
    let spec = mesh.spec("run-2", Some(0), leads(), ALL);
    let report = mesh.stage(&spec).await.expect("stages");
    assert_eq!(writer.commit(&RunId::new("run-2"), &report.outputs).await, Ok(vec![1]));
    assert_eq!(mesh.read("lead_id").await, ["L9"]);
    assert_eq!(writer.foreign_commits(&mesh.location(), &[0, 1]).await, Ok(vec![]));
}

#[tokio::test]
async fn bad_rows_block_and_are_named() {
    let mesh = Mesh::new();
    let rows = "lead_id,source,score\nL1,organic,10\n,paid,20\nL3,email,101\nL4,paid,abc\nL1,paid,5\n";
    mesh.file("a.csv", rows);
    let report = mesh.stage(&mesh.spec("run-1", None, leads(), ALL)).await.expect("stages");
    let output = &report.outputs[0];
    assert!(!gate(&output.clauses));
    assert_eq!(output.staged, None);
    assert_eq!(mesh.data_files(), 0, "nothing is left of what was written");

    let messages: Vec<&str> = output.clauses.iter().map(|c| c.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "5 rows checked",
            "5 rows checked",
            "1 of 5 rows do not fit bigint in score",
            "1 of 5 rows are null in lead_id",
            "1 of 5 rows have another value than the listed ones in source",
            "1 of 5 rows are out of range in score",
            "2 of 5 rows share their lead_id with another row",
        ]
    );
    let at = |row: u64, value: &str| ("a.csv".to_owned(), row, value.to_owned());
    assert_eq!(places(outcome(&report, "c2"), 2), [at(5, "abc")]);
    assert_eq!(places(outcome(&report, "c3"), 1), [at(3, "paid")]);
    assert_eq!(places(outcome(&report, "c4"), 1), [at(4, "email")]);
    assert_eq!(places(outcome(&report, "c5"), 2), [at(4, "101")]);
    assert_eq!(places(outcome(&report, "c6"), 0), [at(2, "L1"), at(6, "L1")]);
}

#[tokio::test]
async fn rows_keep_their_place_through_row_preserving_sql_and_lose_it_in_aggregates() {
    let mesh = Mesh::new();
    mesh.file("a.csv", "lead_id,source,score\nL1,organic,10\nL2,paid,500\nL3,organic,20\n");
    for (sql, place) in [
        ("SELECT upper(lead_id) AS lead_id, source, score + 1 AS score FROM raw WHERE source <> 'x'", ("a.csv", 3)),
        (
            "WITH r AS (SELECT * FROM raw) SELECT lead_id, source, score FROM r AS q ORDER BY score LIMIT 9",
            ("a.csv", 3),
        ),
        ("SELECT a.lead_id, a.source, a.score FROM raw a JOIN raw b ON a.lead_id = b.lead_id", ("a.csv", 3)),
        ("SELECT lead_id, max(source) AS source, sum(score) AS score FROM raw GROUP BY lead_id", ("", 0)),
        ("SELECT DISTINCT lead_id, source, score FROM raw", ("", 0)),
    ] {
        let report = mesh.stage(&mesh.spec("run-1", None, leads(), sql)).await.expect(sql);
        let answer = outcome(&report, "c5");
        assert_eq!(answer.failing_rows, Some(1), "{sql}");
        assert_eq!(
            (answer.samples[0].source.as_deref().unwrap_or(""), answer.samples[0].row.unwrap_or(0)),
            place,
            "{sql}"
        );
    }
}

#[tokio::test]
async fn metrics_units_and_sql_clauses() {
    let mesh = Mesh::new();
    let mut rows = String::from("id,v\n");
    for n in 0..1000 {
        rows.push_str(&format!(
            "{n},{}\n",
            if n < 3 {
                ""
            } else if n < 5 {
                "N/A"
            } else {
                "x"
            }
        ));
    }
    mesh.file("a.csv", rows);
    let column = || "v".to_owned();
    let nulls = |unit, must| Rule::Metric { metric: Metric::NullValues { column: column() }, unit, must };
    let duplicates =
        |unit, must| Rule::Metric { metric: Metric::DuplicateValues { columns: vec![column()] }, unit, must };
    let rows = |must| Rule::Metric { metric: Metric::RowCount, unit: Unit::Rows, must };
    let missing = Metric::MissingValues { column: column(), missing: vec![None, Some(Literal::Text("N/A".into()))] };
    let sql = |query: &str, must| Rule::Sql { query: query.into(), must };
    use Threshold as T;
    let cases = [
        (nulls(Unit::Rows, T::MustBe(3.0)), Some(3.0), true),
        (nulls(Unit::Rows, T::MustBeLessThan(3.0)), Some(3.0), false),
        (nulls(Unit::Percent, T::MustBe(0.3)), Some(0.3), true),
        (nulls(Unit::Percent, T::MustBeLessOrEqualTo(0.29)), Some(0.3), false),
        (Rule::Metric { metric: missing, unit: Unit::Rows, must: T::MustBeBetween(5.0, 6.0) }, Some(5.0), true),
        // 995 equal texts and 2 others: all but the first of each are duplicates.
        (duplicates(Unit::Rows, T::MustBe(995.0)), Some(995.0), true),
        (duplicates(Unit::Percent, T::MustNotBeBetween(99.0, 100.0)), Some(99.5), false),
        (rows(T::MustBeGreaterThan(999.0)), Some(1000.0), true),
        (rows(T::MustNotBe(1000.0)), Some(1000.0), false),
        (rows(T::MustBeGreaterOrEqualTo(1001.0)), Some(1000.0), false),
        (sql("SELECT count(*) FROM {table} WHERE v = 'x'", Some(T::MustBe(995.0))), Some(995.0), true),
        (sql("SELECT sum(id) / 1000.0 FROM {batch}", Some(T::MustBe(499.5))), Some(499.5), true),
        (sql("SELECT * FROM {table} WHERE id > 997", None), None, false),
        (sql("SELECT * FROM {table} WHERE id > 9999", None), None, true),
        (sql("SELECT v AS id, upper(v) AS v, id + 0 AS n FROM {table} WHERE id > 998", None), None, false),
    ];
    let fields = || vec![typed("id", ColumnType::Int32), field("v")];
    let rules: Vec<Rule> = cases.iter().map(|(rule, ..)| rule.clone()).collect();
    let report =
        mesh.stage(&mesh.spec("run-1", None, table(fields(), rules), "SELECT * FROM raw")).await.expect("stages");
    for (answer, (rule, measured, passes)) in report.outputs[0].clauses[2..].iter().zip(&cases) {
        assert_eq!(
            (answer.outcome == Outcome::Pass, answer.measured),
            (*passes, *measured),
            "{rule:?}: {}",
            answer.message
        );
    }
    let failing = &report.outputs[0].clauses[14];
    assert_eq!((failing.failing_rows, failing.samples.len()), (Some(2), 2));
    let number = &report.outputs[0].clauses[12];
    assert_eq!(number.message, "the query's number: it must be 995", "no value in the message");

    // What is not a column of the table under its own name has no classification, so it is not shown.
    let disguised = &report.outputs[0].clauses[16].samples[0].values;
    assert_eq!(disguised.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["v"], "{disguised:?}");

    // A check that cannot run blocks as one that fails, and says why.
    for (query, part) in [
        ("SELECT nothing FROM {table}", "nothing"),
        ("DROP TABLE {table}", "not a query"),
        ("SELECT id, v FROM {table}", "one number"),
        ("SELECT max(v) FROM {table}", "one number"),
        ("SELECT 1 / (id - id) FROM {table}", "division by zero"),
        ("SELECT count(*) FROM '/etc/passwd'", "does not plan"),
    ] {
        let one = table(fields(), vec![sql(query, Some(T::MustBe(0.0)))]);
        let report = mesh.stage(&mesh.spec("run-1", None, one, "SELECT * FROM raw")).await.expect("stages");
        let answer = &report.outputs[0].clauses[2];
        assert!(matches!(&answer.outcome, Outcome::Error { because } if because.contains(part)), "{query}: {answer:?}");
        assert!(!gate(&report.outputs[0].clauses));
    }
}

#[tokio::test]
async fn severities_and_declared_gaps() {
    let mesh = Mesh::new();
    mesh.file("a.csv", "lead_id,source,score\nL1,organic,\n");
    let mut table = leads();
    let mut warn = clause("warn", Rule::Required { column: "score".into() });
    warn.severity = Severity::Warning;
    table.clauses.push(warn);
    table.clauses.push(clause("prose", Rule::NotEvaluated { because: "written for people".into() }));
    let report = mesh.stage(&mesh.spec("run-1", None, table, ALL)).await.expect("stages");
    assert_eq!(outcome(&report, "warn").outcome, Outcome::Fail);
    assert!(matches!(outcome(&report, "prose").outcome, Outcome::NotEvaluated { .. }));
    assert!(gate(&report.outputs[0].clauses));
}

#[tokio::test]
async fn sql_faults_are_clear() {
    let mesh = Mesh::new();
    mesh.file("a.csv", GOOD);
    for (sql, code, part) in [
        ("SELEC 1", "MW0601", "does not plan"),
        ("SELECT lead_id, source, points AS score FROM raw", "MW0510", "`points`"),
        ("SELECT * FROM other", "MW0601", "other"),
        ("SELECT lead_id, source FROM raw", "MW0602", "does not yield score"),
        ("SELECT *, 1 AS extra FROM raw", "MW0603", "extra"),
        ("SELECT lead_id, source, true AS score FROM raw", "MW0605", "score"),
        ("CREATE TABLE x AS SELECT 1", "MW0606", "not a query"),
        ("COPY raw TO '/tmp/x.csv'", "MW0601", "does not plan"),
        ("EXPLAIN SELECT 1", "MW0606", "not a query"),
        ("SELECT lead_id, source, 1 / (score - score) AS score FROM raw", "MW0610", "division by zero"),
        ("SELECT lead_id, source, CAST(source AS INT) AS score FROM raw", "MW0610", "converted"),
    ] {
        let error = mesh.stage(&mesh.spec("run-1", None, leads(), sql)).await.expect_err(sql);
        assert_eq!(error.code, code, "{sql}: {error}");
        assert!(error.message.contains(part), "{sql}: {error}");
        assert!(!error.message.contains("organic"), "no value of the data: {error}");
    }
    assert_eq!(mesh.data_files(), 0);
    mesh.file("a.csv", "lead_id;source;score\nL1;organic;10\n");
    let error = mesh.stage(&mesh.spec("run-1", None, leads(), ALL)).await.expect_err("wrong delimiter");
    assert_eq!(error.code, "MW0510");
    assert!(error.hints.iter().any(|h| h.contains("delimiter: ';'")), "{error:?}");
    let mut append = mesh.spec("run-1", None, leads(), ALL);
    append.outputs[0].mode = Mode::Append;
    assert_eq!(mesh.stage(&append).await.expect_err("append").code, "MW0670");
}

#[tokio::test]
async fn commits_of_others_are_never_built_on() {
    let mesh = Mesh::new();
    mesh.file("a.csv", GOOD);
    let writer = mesh.writer();
    let first = mesh.stage(&mesh.spec("run-1", None, leads(), ALL)).await.expect("stages");
    writer.commit(&RunId::new("run-1"), &first.outputs).await.expect("commits");
    // Two runs build on the same version: one wins.
    let second = mesh.stage(&mesh.spec("run-2", Some(0), leads(), ALL)).await.expect("stages");
    let third = mesh.stage(&mesh.spec("run-3", Some(0), leads(), ALL)).await.expect("stages");
    assert_eq!(writer.commit(&RunId::new("run-3"), &third.outputs).await, Ok(vec![1]));
    let lost = writer.commit(&RunId::new("run-2"), &second.outputs).await.expect_err("conflict");
    assert_eq!(lost.code, "MW0631");
    assert_eq!(writer.committed(&RunId::new("run-2"), &second.outputs).await, Ok(vec![None]));
    // Run 3 died before its publication: the next run builds over its version.
    let fourth = mesh.stage(&mesh.spec("run-4", Some(0), leads(), ALL)).await.expect("stages");
    assert_eq!(writer.commit(&RunId::new("run-4"), &fourth.outputs).await, Ok(vec![2]));
    assert_eq!(mesh.read("lead_id").await.len(), 3);

    // A stray writer.
    let fifth = mesh.stage(&mesh.spec("run-5", Some(2), leads(), ALL)).await.expect("stages");
    let entry = mesh.table().join("_delta_log/00000000000000000003.json");
    fs::write(&entry, r#"{"commitInfo":{"operation":"OPTIMIZE","engineInfo":"spark"}}"#).expect("writes");
    let conflict = |error: Error| (error.code, error.message.contains("OPTIMIZE by spark"));
    let late = writer.commit(&RunId::new("run-5"), &fifth.outputs).await.expect_err("conflict");
    assert_eq!(conflict(late), ("MW0630".to_owned(), true));
    let early = mesh.stage(&mesh.spec("run-6", Some(2), leads(), ALL)).await.expect_err("conflict");
    assert_eq!(conflict(early), ("MW0630".to_owned(), true));
    assert_eq!(writer.foreign_commits(&mesh.location(), &[0, 2]).await, Ok(vec![3]));
    // The hint's way out works.
    fs::remove_file(&entry).expect("removes");
    let sixth = mesh.stage(&mesh.spec("run-6", Some(2), leads(), ALL)).await.expect("stages");
    assert_eq!(writer.commit(&RunId::new("run-6"), &sixth.outputs).await, Ok(vec![3]));
    // A published version that the log does not have.
    let lost = mesh.stage(&mesh.spec("run-7", Some(9), leads(), ALL)).await.expect_err("lost");
    assert_eq!(lost.code, "MW0623");
}

#[tokio::test]
async fn staged_files_must_still_be_there() {
    let mesh = Mesh::new();
    mesh.file("a.csv", GOOD);
    let report = mesh.stage(&mesh.spec("run-1", None, leads(), ALL)).await.expect("stages");
    let removed = mesh.writer().collect(&mesh.location(), &[]).await.expect("collects");
    assert_eq!(removed.len(), 1);
    let error = mesh.writer().commit(&RunId::new("run-1"), &report.outputs).await.expect_err("gone");
    assert_eq!(error.code, "MW0632");
}

#[tokio::test]
async fn collection_keeps_what_kept_versions_need() {
    let mesh = Mesh::new();
    let writer = mesh.writer();
    for version in 0..4u64 {
        mesh.file("a.csv", GOOD);
        let run = format!("run-{version}");
        let report = mesh.stage(&mesh.spec(&run, version.checked_sub(1), leads(), ALL)).await.expect("stages");
        assert_eq!(writer.commit(&RunId::new(run), &report.outputs).await, Ok(vec![version]));
    }
    // A run that died while staging, and one that died while writing.
    mesh.stage(&mesh.spec("run-x", Some(3), leads(), ALL)).await.expect("stages");
    fs::write(mesh.table().join("part-1.parquet#1"), "half").expect("writes");
    fs::write(mesh.table().join("_delta_log/00000000000000000004.json#2"), "half").expect("writes");
    assert_eq!(mesh.data_files(), 5);
    let removed = writer.collect(&mesh.location(), &[1]).await.expect("collects");
    // Versions 0 and 2, the dead run's file, and the two leftovers; version 3 is the newest.
    assert_eq!(removed.len(), 5, "{removed:?}");
    assert_eq!(mesh.data_files(), 2);
    assert_eq!(mesh.read("lead_id").await.len(), 3);
    assert_eq!(writer.collect(&mesh.location(), &[1]).await, Ok(vec![]));
}

#[tokio::test]
async fn fail_points_leave_the_old_version_or_the_new_one() {
    let mesh = Mesh::new();
    mesh.file("a.csv", GOOD);
    let spec = mesh.spec("run-1", None, leads(), ALL);
    for step in ["stage-start", "after-first-file", "after-stage"] {
        let writer = mesh.writer_with(Some(&format!("{step}:error")));
        let error = writer.stage(&spec, Arc::new(Observer(Mutex::default()))).await.expect_err(step);
        assert_eq!(error.code, "MW0640");
    }
    let run = RunId::new("run-1");
    let report = mesh.stage(&spec).await.expect("stages");
    let before = mesh.writer_with(Some("before-commit:error")).commit(&run, &report.outputs).await;
    assert_eq!(before.expect_err("stops").code, "MW0640");
    assert_eq!(mesh.writer().committed(&run, &report.outputs).await, Ok(vec![None]));
    let after = mesh.writer_with(Some("after-commit-of-output-1:error")).commit(&run, &report.outputs).await;
    assert_eq!(after.expect_err("stops").code, "MW0640");
    assert_eq!(mesh.writer().committed(&run, &report.outputs).await, Ok(vec![Some(0)]));
    assert_eq!(mesh.writer().commit(&run, &report.outputs).await, Ok(vec![0]));
}

#[tokio::test]
async fn json_lines_and_parquet() {
    let mesh = Mesh::new();
    let fields = || {
        vec![
            typed("id", ColumnType::Int64),
            typed("amount", ColumnType::Decimal { precision: 20, scale: 10 }),
            typed("tags", ColumnType::List(Box::new(ColumnType::Text))),
            Field { logical_type: LogicalType::Timestamp, ..typed("at", ColumnType::Timestamp) },
        ]
    };
    let input = |kind: &str, mesh: &Mesh| {
        let files = FilesSpec::Folder { folder: mesh.folder.path().join("domain"), path: format!("*.{kind}") };
        InputSpec::Source(match kind {
            "json" => SourceSpec::Json { files, options: JsonOptions::default() },
            _ => SourceSpec::Parquet { files },
        })
    };
    mesh.file(
        "a.json",
        "{\"id\":1,\"amount\":1234567890.0123456789,\"tags\":[\"a\",\"b\"],\"at\":\"2024-01-01T00:00:00Z\",\"more\":{\"x\":1}}\n\n\
         {\"amount\":null,\"id\":2}\n{\"id\":\"x\",\"amount\":\"1.5\",\"at\":\"yesterday\"}\n",
    );
    let mut spec = mesh.spec("run-1", None, table(fields(), vec![]), "SELECT id, amount, tags, at FROM raw");
    spec.inputs.insert("raw".into(), input("json", &mesh));
    let report = mesh.stage(&spec).await.expect("stages");
    assert_eq!(report.outputs[0].rows, 3);
    assert_eq!(report.outputs[0].profile[1].max.as_deref(), Some("1234567890.0123456789"));
    let messages: Vec<&str> = report.outputs[0].clauses.iter().map(|c| c.message.as_str()).collect();
    assert_eq!(messages[0], "1 of 3 rows do not fit bigint in id");
    assert_eq!(messages[3], "1 of 3 rows do not fit timestamp with time zone in at");
    assert_eq!(report.outputs[0].clauses[0].samples[0].row, Some(4));
    for (text, code) in [("[1]\n", "MW0508"), ("{\"id\":1\n", "MW0508"), ("{} {}\n", "MW0508"), ("\u{1}", "MW0508")] {
        mesh.file("b.json", text);
        assert_eq!(mesh.stage(&spec).await.expect_err(text).code, code, "{text}");
    }

    // Parquet: first a good one (which a run of ours wrote), then the same cut in half.
    fs::remove_file(mesh.folder.path().join("domain/b.json")).expect("removes");
    mesh.file("a.json", "{\"id\":1,\"amount\":1.5,\"tags\":[],\"at\":\"2024-01-01T00:00:00Z\"}\n");
    let report = mesh.stage(&spec).await.expect("stages");
    mesh.writer().commit(&RunId::new("run-1"), &report.outputs).await.expect("commits");
    let written = fs::read_dir(mesh.table())
        .expect("reads")
        .flatten()
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "parquet"))
        .expect("a data file");
    let bytes = fs::read(written).expect("reads");
    mesh.file("a.parquet", &bytes);
    spec.inputs.insert("raw".into(), input("parquet", &mesh));
    spec.run = RunId::new("run-2");
    spec.outputs[0].base = Some(0);
    let narrow = vec![typed("id", ColumnType::Int8), typed("amount", ColumnType::Decimal { precision: 3, scale: 0 })];
    let good = mesh.stage(&spec).await.expect("stages");
    assert!(gate(&good.outputs[0].clauses));
    spec.outputs[0].table = table(narrow, vec![]);
    spec.outputs[0].sql = "SELECT id, amount FROM raw".into();
    let lossy = mesh.stage(&spec).await.expect("stages");
    assert_eq!(lossy.outputs[0].clauses[0].outcome, Outcome::Pass);
    assert_eq!(lossy.outputs[0].clauses[1].message, "1 of 1 rows do not fit decimal(3,0) in amount");
    assert_eq!(places(&lossy.outputs[0].clauses[1], 1), [("a.parquet".to_owned(), 1, "1.5000000000".to_owned())]);
    for damaged in [&bytes[..bytes.len() / 2], &bytes[..8], &[]] {
        mesh.file("a.parquet", damaged);
        assert_eq!(mesh.stage(&spec).await.expect_err("damaged").code, "MW0509");
    }
    let mut torn = bytes.clone();
    let middle = torn.len() / 3;
    torn[4..middle].fill(0xAB);
    mesh.file("a.parquet", torn);
    assert_eq!(mesh.stage(&spec).await.expect_err("torn pages").code, "MW0509");
}

#[tokio::test]
async fn several_inputs_unused_ones_and_an_empty_result() {
    let mesh = Mesh::new();
    mesh.file("a.csv", GOOD);
    let mut spec = mesh.spec("run-1", None, leads(), "SELECT a.lead_id, a.source, a.score FROM raw a WHERE false");
    let absent = SourceSpec::Csv {
        files: FilesSpec::Folder { folder: mesh.folder.path().join("domain"), path: "absent.csv".into() },
        options: CsvOptions::default(),
    };
    // An input that the SQL does not name is not opened.
    spec.inputs.insert("unused".into(), InputSpec::Source(absent));
    let report = mesh.stage(&spec).await.expect("stages");
    assert!(gate(&report.outputs[0].clauses), "{:#?}", report.outputs[0].clauses);
    assert_eq!(mesh.writer().commit(&RunId::new("run-1"), &report.outputs).await, Ok(vec![0]));
    assert_eq!(mesh.read("lead_id").await.len(), 0);
}

#[tokio::test]
async fn values_that_do_not_fit_block_even_without_a_type_clause() {
    let mesh = Mesh::new();
    mesh.file("a.csv", "lead_id,source,score\nL1,organic,abc\n");
    let mut table = leads();
    table.clauses.clear();
    let report = mesh.stage(&mesh.spec("run-1", None, table, ALL)).await.expect("stages");
    assert_eq!(report.outputs[0].clauses[0].clause, "score.type");
    assert!(!gate(&report.outputs[0].clauses));
}

#[tokio::test]
async fn progress_and_logs_are_told() {
    let mesh = Mesh::new();
    mesh.file("a.csv", "lead_id,source,score,notes\nL1,organic,1,x\n");
    let observer = Arc::new(Observer(Mutex::default()));
    let told: Arc<dyn RunObserver> = observer.clone();
    mesh.writer().stage(&mesh.spec("run-1", None, leads(), ALL), told).await.expect("stages");
    let events = observer.0.lock().expect("not poisoned");
    let logged =
        events.iter().any(|e| matches!(e, RunEvent::Log { line, .. } if line == "input raw: columns not used: notes"));
    assert!(logged, "{events:?}");
    assert!(matches!(events.last(), Some(RunEvent::Progress { rows: 1, .. })), "{events:?}");
}

#[tokio::test]
async fn unknown_storage_and_a_full_time_budget() {
    let mesh = Mesh::new();
    mesh.file("a.csv", GOOD);
    for (root, code) in [("gs://bucket/", "MW0620"), ("s3://unknown/", "MW0619")] {
        let mut spec = mesh.spec("run-1", None, leads(), ALL);
        spec.outputs[0].location.root = root.into();
        assert_eq!(mesh.stage(&spec).await.expect_err("remote").code, code);
    }
    let mut spec = mesh.spec("run-1", None, leads(), ALL);
    spec.limits.time = Duration::from_millis(1);
    spec.outputs[0].sql =
        "SELECT a.lead_id, a.source, a.score FROM raw a, generate_series(1, 100000) b, generate_series(1, 100000) c"
            .into();
    assert_eq!(mesh.stage(&spec).await.expect_err("slow").code, "MW0612");
}

#[tokio::test]
async fn outputs_refer_to_themselves_and_to_each_other() {
    let mesh = Mesh::new();
    mesh.file("a.csv", "id,boss,name\n1,,Ada\n2,1,Ben\n3,9,Cid\n");
    let people = || vec![typed("id", ColumnType::Int64), typed("boss", ColumnType::Int64)];
    let to = |column: &str, to: &str| Rule::References {
        columns: vec![column.into()],
        to: to.into(),
        to_columns: vec!["id".into()],
    };
    let rules = vec![to("boss", "marketing.leads"), to("id", "marketing.names_v1"), to("id", "other.table")];
    let mut spec = mesh.spec("run-1", None, table(people(), rules), "SELECT id, boss FROM raw");
    let mut names = spec.outputs[0].clone();
    names.output = OutputId::new("01890a5d-ac96-774b-bcce-b302099a8058");
    names.name = name("names");
    names.location = TableLocation { path: "names/v1".into(), ..mesh.location() };
    names.table = table(vec![typed("id", ColumnType::Int64), field("name")], vec![]);
    names.sql = "SELECT id, name FROM raw WHERE id < 3".into();
    spec.outputs.push(names);
    let report = mesh.stage(&spec).await.expect("stages");
    let answers = &report.outputs[0].clauses[2..];
    assert_eq!(answers[0].message, "1 of 3 rows refer to rows that marketing.leads does not have");
    assert_eq!(answers[0].samples[0].values[1], ("boss".to_owned(), Some("9".to_owned())));
    assert_eq!(answers[1].message, "1 of 3 rows refer to rows that marketing.names_v1 does not have");
    assert!(matches!(&answers[2].outcome, Outcome::Error { because } if because.contains("no publication")));
    assert_eq!(mesh.data_files(), 0, "the other output passed, but they are published together or not at all");
    assert!(report.outputs.iter().all(|o| o.staged.is_none()));
}

/// The table that `run-1` has published, as another product may read it.
fn granted(mesh: &Mesh, columns: Vec<GovernedColumn>) -> GovernedTable {
    GovernedTable {
        domain: name("marketing"),
        output: name("leads"),
        output_id: OutputId::new(OUTPUT),
        major: 1,
        location: mesh.location(),
        delta_version: 0,
        columns,
        withheld: Vec::new(),
        rows: RowFilter::default(),
        decision_digest: "decision".into(),
        valid_until: None,
        body: GovernedBody::Stored,
    }
}

fn column(called: &str, native: ColumnType, mask: Option<Mask>) -> GovernedColumn {
    let bears = mask.map(|mask| Inherited { classification: name("pii"), masked_by: Some(mask) });
    GovernedColumn {
        id: ColumnId::new(called),
        name: called.into(),
        native,
        nullable: true,
        mask: mask.map(|mask| ColumnMask { mask, key: b"key".to_vec() }),
        bears: bears.into_iter().collect(),
    }
}

#[tokio::test]
async fn another_product_is_read_with_its_masks_and_filters() {
    let mesh = Mesh::new();
    mesh.file("a.csv", GOOD);
    let first = mesh.stage(&mesh.spec("run-1", None, leads(), ALL)).await.expect("stages");
    mesh.writer().commit(&RunId::new("run-1"), &first.outputs).await.expect("commits");
    let mut input = granted(
        &mesh,
        vec![
            column("lead_id", ColumnType::Text, Some(Mask::ReplaceWithNull)),
            column("source", ColumnType::Text, None),
            column("score", ColumnType::Int64, None),
        ],
    );
    let organic =
        Predicate { column: "source".into(), op: Comparison::Eq, values: vec![Literal::Text("organic".into())] };
    input.rows = RowFilter(vec![organic]);

    let fields = vec![field("lead_id"), typed("score", ColumnType::Int32)];
    let mut spec = mesh.spec("run-2", None, table(fields, vec![]), "SELECT lead_id, score FROM leads");
    spec.product = "sales.scores".into();
    spec.inputs = BTreeMap::from([("leads".to_owned(), InputSpec::Governed(input))]);
    spec.outputs[0].location.path = "scores/v1".into();
    spec.outputs[0].name = name("scores");
    let report = mesh.stage(&spec).await.expect("stages");
    let output = &report.outputs[0];
    assert!(gate(&output.clauses), "{:#?}", output.clauses);
    assert_eq!((output.rows, output.profile[0].nulls), (2, 2));
    let inherited = Inherited { classification: name("pii"), masked_by: Some(Mask::ReplaceWithNull) };
    assert_eq!((&output.lineage[0].inherited, &output.lineage[1].inherited), (&vec![inherited], &vec![]));

    // References are checked against what may be read, and a masked column cannot be checked against.
    let to = || Rule::References {
        columns: vec!["lead_id".into()],
        to: "marketing.leads".into(),
        to_columns: vec!["lead_id".into()],
    };
    mesh.file("a.csv", "lead_id,score\nL1,1\nL7,2\n,3\n");
    for (mask, expected) in [
        (None, "1 of 3 rows refer to rows that marketing.leads does not have"),
        (
            Some(Mask::HmacSha256),
            "could not be checked: column `lead_id` of `marketing.leads` is masked for this product",
        ),
    ] {
        let mut spec = mesh.spec("run-3", None, table(vec![field("lead_id")], vec![to()]), "SELECT lead_id FROM raw");
        spec.product = "sales.scores".into();
        spec.outputs[0].location.path = "scores/v1".into();
        spec.outputs[0].references = BTreeMap::from([(
            "marketing.leads".to_owned(),
            granted(&mesh, vec![column("lead_id", ColumnType::Text, mask)]),
        )]);
        let report = mesh.stage(&spec).await.expect("stages");
        assert_eq!(report.outputs[0].clauses[1].message, expected);
    }
}

#[tokio::test]
async fn a_minor_version_may_add_a_column() {
    let mesh = Mesh::new();
    mesh.file("a.csv", GOOD);
    let first = mesh.stage(&mesh.spec("run-1", None, leads(), ALL)).await.expect("stages");
    mesh.writer().commit(&RunId::new("run-1"), &first.outputs).await.expect("commits");
    let mut more = leads();
    more.fields.push(Field { native: ColumnType::LocalTimestamp, ..field("seen") });
    let sql = "SELECT *, TIMESTAMP '2024-01-01 00:00:00' AS seen FROM raw";
    let second = mesh.stage(&mesh.spec("run-2", Some(0), more, sql)).await.expect("stages");
    assert_eq!(mesh.writer().commit(&RunId::new("run-2"), &second.outputs).await, Ok(vec![1]));
    assert_eq!(mesh.read("seen").await, ["2024-01-01T00:00:00"; 3]);
}

#[tokio::test]
async fn a_join_that_does_not_fit_in_memory_is_tried_with_one_that_spills() {
    let mesh = Mesh::new();
    let rows: String = (0..240_000).map(|n| format!("{n}-{},organic,1\n", "x".repeat(600))).collect();
    mesh.file("a.csv", format!("lead_id,source,score\n{rows}"));
    let sql = "SELECT a.lead_id, a.source, b.score FROM raw a JOIN raw b ON a.lead_id = b.lead_id";
    let mut spec = mesh.spec("run-1", None, leads(), sql);
    // Of this, 72 MiB are for the plan: too little for 140 MB of hash tables, enough for sorts that spill.
    spec.limits.memory_bytes = 120 << 20;
    let observer = Arc::new(Observer(Mutex::default()));
    let told: Arc<dyn RunObserver> = observer.clone();
    let report = mesh.writer().stage(&spec, told).await.expect("stages");
    assert_eq!((report.outputs[0].rows, gate(&report.outputs[0].clauses)), (240_000, true));
    let events = observer.0.lock().expect("not poisoned");
    let again = events.iter().any(|e| matches!(e, RunEvent::Log { line, .. } if line.contains("another plan")));
    assert!(again, "the first attempt fitted after all");
}
