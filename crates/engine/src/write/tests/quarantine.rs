//! Rows that are set aside, in each mode, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use meshwork_control::port::data::{ReleaseSpec, Repaired, RepairedFormat, ServedAs};
use meshwork_core::product::{Incremental, MissingRows};
use meshwork_core::quarantine::{QuarantineLimit, Quarantined, Released, Rows};
use proptest::prelude::*;

use super::*;

/// A table `items(id, v, w)` under one mode, run after run, whose bad rows are set aside.
struct Items {
    mesh: Mesh,
    spec: RunSpec,
    runs: u32,
    set_aside: BTreeMap<String, Quarantined>,
}

fn at_least(column: &str, min: i64) -> Rule {
    let min = Some(Literal::Integer(min));
    Rule::Range { column: column.to_owned(), min, max: None, exclusive_min: false, exclusive_max: false }
}

fn unique(columns: &[&str]) -> Rule {
    Rule::Unique { columns: columns.iter().map(|column| (*column).to_owned()).collect() }
}

/// Clauses c0 to c2: types; c3: id is required; c4: v ≥ 0; c5: id is unique.
fn items() -> Table {
    table(
        vec![typed("id", ColumnType::Int64), typed("v", ColumnType::Int64), field("w")],
        vec![Rule::Required { column: "id".to_owned() }, at_least("v", 0), unique(&["id"])],
    )
}

impl Items {
    fn new(mode: Mode) -> Self {
        let mesh = Mesh::new();
        let mut spec = mesh.spec("", None, items(), "SELECT id, v, w FROM raw");
        let output = &mut spec.outputs[0];
        output.mode = mode;
        output.on_violation = OnViolation::Quarantine;
        output.quarantine_limit = QuarantineLimit::Share(500_000);
        if mode == Mode::Merge {
            output.key = vec!["id".to_owned()];
        }
        if mode != Mode::Full {
            spec.incremental = BTreeMap::from([("raw".to_owned(), Incremental::Files)]);
        }
        Self { mesh, spec, runs: 0, set_aside: BTreeMap::new() }
    }

    fn with(mode: Mode, change: impl FnOnce(&mut RunSpec)) -> Self {
        let mut items = Self::new(mode);
        change(&mut items.spec);
        items
    }

    fn put(&self, file: &str, rows: &str) {
        self.mesh.file(file, format!("id,v,w\n{}\n", rows.replace(' ', "\n")));
    }

    async fn stage(&mut self) -> Result<RunReport> {
        self.runs += 1;
        self.spec.run = RunId::new(format!("run-{}", self.runs));
        self.spec.fencing_token = u64::from(self.runs);
        self.mesh.stage(&self.spec).await
    }

    async fn run(&mut self) -> RunReport {
        let report = self.stage().await.expect("stages");
        assert!(gate(&report.outputs[0].clauses), "{:#?}", report.outputs[0].clauses);
        if !report.unchanged {
            let versions = self.mesh.writer().commit(&self.spec.run, &report.outputs).await.expect("commits");
            let output = &mut self.spec.outputs[0];
            output.base = Some(versions[0]);
            output.resting = Some(ServedAs {
                contract_version: output.contract_version.clone(),
                contract_digest: output.contract_digest.clone(),
                lineage: report.outputs[0].lineage.clone(),
            });
        }
        if let Some(set_aside) = &report.outputs[0].quarantine {
            self.set_aside.insert(self.spec.run.to_string(), set_aside.clone());
        }
        report
    }

    /// A run that blocks.
    async fn blocked(&mut self) -> RunReport {
        let report = self.stage().await.expect("stages");
        assert!(!gate(&report.outputs[0].clauses));
        assert_eq!(report.outputs[0].staged, None);
        assert_eq!(self.aside(self.spec.run.as_str()), Vec::<String>::new(), "nothing is left of it");
        report
    }

    async fn rows(&self) -> Vec<String> {
        let columns = [self.mesh.read("id").await, self.mesh.read("v").await, self.mesh.read("w").await];
        let row = |at: usize| format!("{},{},{}", columns[0][at], columns[1][at], columns[2][at]);
        let mut rows: Vec<String> = (0..columns[0].len()).map(row).collect();
        rows.sort();
        rows
    }

    /// What a run has set aside: `row id,v,w clauses file:line raw`.
    fn aside(&self, run: &str) -> Vec<String> {
        let folder = self.mesh.folder.path().join("storage").join(OUTPUT).join("quarantine/v1").join(run);
        let mut rows = Vec::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = fs::File::open(entry.path()).expect("opens");
            let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("parquet");
            for batch in reader.build().expect("reads") {
                let batch = batch.expect("a batch");
                let text = |name: &str, row: usize| {
                    let column = batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
                    arrow::util::display::array_value_to_string(column, row).expect("displays")
                };
                for row in 0..batch.num_rows() {
                    let t = |name: &str| text(name, row);
                    assert_eq!(t("_quarantine_run"), run);
                    let line = format!(
                        "{} {},{},{} {} {}:{} {}{}",
                        t("_quarantine_row"),
                        t("id"),
                        t("v"),
                        t("w"),
                        t("_quarantine_clauses"),
                        t("_quarantine_file"),
                        t("_quarantine_line"),
                        t("_quarantine_raw_id"),
                        t("_quarantine_raw_v"),
                    );
                    rows.push(line.trim_end().to_owned());
                }
            }
        }
        rows
    }

    /// Releases from a run, as it is or repaired.
    async fn release(&mut self, of: &str, released: &[u64], csv: Option<&str>) -> Result<(RunReport, Released)> {
        let repaired = csv.map(|text| Repaired { format: RepairedFormat::Csv, text: text.to_owned(), unseen: vec![] });
        self.release_with(of, released, repaired).await
    }

    async fn release_with(
        &mut self,
        of: &str,
        released: &[u64],
        repaired: Option<Repaired>,
    ) -> Result<(RunReport, Released)> {
        self.spec.release = Some(ReleaseSpec {
            of: RunId::new(of),
            output: OutputId::new(OUTPUT),
            major: 1,
            files: self.set_aside[of].files.clone(),
            released: Rows::of(released.iter().copied()),
            repaired,
        });
        let inputs = std::mem::take(&mut self.spec.inputs);
        let staged = self.stage().await;
        let report = match staged {
            Ok(report) => {
                if gate(&report.outputs[0].clauses) && !report.unchanged {
                    let versions = self.mesh.writer().commit(&self.spec.run, &report.outputs).await?;
                    self.spec.outputs[0].base = Some(versions[0]);
                }
                Ok(report)
            }
            Err(error) => Err(error),
        };
        (self.spec.inputs, self.spec.release) = (inputs, None);
        let report = report?;
        let released = report.outputs[0].release.clone().expect("a release");
        Ok((report, released))
    }
}

fn counts(report: &RunReport) -> (u64, u64, Vec<(&str, u64)>) {
    let Some(set_aside) = &report.outputs[0].quarantine else { return (0, 0, Vec::new()) };
    let clauses = set_aside.clauses.iter().map(|(clause, rows)| (clause.as_str(), *rows));
    (set_aside.rows, set_aside.batch_rows, clauses.collect())
}

#[tokio::test]
async fn bad_rows_are_set_aside_with_what_is_wrong_and_where_they_stood() {
    let mut items = Items::new(Mode::Full);
    items.put("a.csv", "1,1,a 2,-1,b 3,x,c ,4,d 5,5,e y,-6,f 7,7,g 8,8,h");
    let report = items.run().await;
    assert_eq!(counts(&report), (4, 8, vec![("c0", 1), ("c1", 1), ("c3", 1), ("c4", 2)]));
    assert_eq!(items.rows().await, ["1,1,a", "5,5,e", "7,7,g", "8,8,h"]);
    assert_eq!(
        items.aside("run-1"),
        ["1 2,-1,b c4 a.csv:3", "2 3,,c c1 a.csv:4 x", "3 ,4,d c3 a.csv:5", "4 ,-6,f c0; c4 a.csv:7 y",]
    );
    // Every clause is answered for what remains.
    assert!(report.outputs[0].clauses.iter().all(|answer| answer.message == "4 rows checked"));
    assert_eq!((report.outputs[0].rows, report.outputs[0].profile[1].min.as_deref()), (4, Some("1")));
    assert!(report.outputs[0].rebuilt);
    // A good batch sets nothing aside, and leaves no file.
    items.put("a.csv", "1,1,a");
    assert_eq!(counts(&items.run().await), (0, 0, vec![]));
    assert_eq!(items.aside("run-2"), Vec::<String>::new());
}

#[tokio::test]
async fn above_the_limit_the_run_blocks_as_if_there_were_no_quarantine() {
    for (limit, blocks) in [
        (QuarantineLimit::Share(250_000), false),
        (QuarantineLimit::Share(249_999), true),
        (QuarantineLimit::Rows(2), false),
        (QuarantineLimit::Rows(1), true),
        (QuarantineLimit::Rows(0), true),
        (QuarantineLimit::default(), true),
    ] {
        let mut items = Items::with(Mode::Full, |spec| spec.outputs[0].quarantine_limit = limit);
        items.put("a.csv", "1,1,a 2,-1,b 3,x,c 4,4,d 5,5,e 6,6,f 7,7,g 8,8,h");
        if !blocks {
            assert_eq!(counts(&items.run().await).0, 2, "{limit}");
            continue;
        }
        let report = items.blocked().await;
        assert_eq!(report.outputs[0].quarantine, None, "{limit}");
        let answer = |id: &str| outcome(&report, id).clone();
        assert_eq!(answer("c4").message, "1 of 8 rows are out of range in v");
        assert_eq!(places(&answer("c4"), 1), [("a.csv".to_owned(), 3, "-1".to_owned())]);
        assert_eq!(answer("c1").message, "1 of 8 rows do not fit bigint in v");
        assert_eq!(places(&answer("c1"), 1), [("a.csv".to_owned(), 4, "x".to_owned())]);
        assert!(
            answer("quarantine_limit").message.starts_with("2 of 8 rows break"),
            "{:?}",
            answer("quarantine_limit")
        );
        assert_eq!(items.mesh.data_files(), 0);
    }
    // Duplicates count too; alone they are answered by their own clause.
    let mut items = Items::with(Mode::Full, |spec| spec.outputs[0].quarantine_limit = QuarantineLimit::Rows(1));
    items.put("a.csv", "1,1,a 1,2,b 3,3,c");
    let report = items.blocked().await;
    assert_eq!(outcome(&report, "c5").message, "2 of 3 rows share their id with another row");
    assert_eq!(outcome(&report, "quarantine_limit").outcome, Outcome::Fail);
}

#[tokio::test]
async fn all_rows_of_a_key_are_set_aside_and_nulls_are_no_key() {
    let mut items = Items::with(Mode::Full, |spec| {
        spec.outputs[0].quarantine_limit = QuarantineLimit::Share(1_000_000);
        spec.outputs[0].table.clauses[3].severity = Severity::Warning;
        spec.outputs[0].table.clauses.push(clause("both", unique(&["v", "w"])));
    });
    // 2 is there three times, once in a row that is bad anyway; two rows have no id; (5, e) is there twice under two ids.
    items.put("a.csv", "1,1,a 2,2,b 2,3,c 2,-4,d ,6,x ,7,y 3,5,e 4,5,e 8,8, 9,8,");
    let report = items.run().await;
    assert_eq!(counts(&report), (5, 10, vec![("both", 2), ("c4", 1), ("c5", 2)]));
    assert_eq!(items.rows().await, [",6,x", ",7,y", "1,1,a", "8,8,", "9,8,"]);
    assert_eq!(
        items.aside("run-1"),
        [
            "1 2,-4,d c4 a.csv:5",
            "2 2,2,b c5 a.csv:3",
            "3 2,3,c c5 a.csv:4",
            "4 3,5,e both a.csv:8",
            "5 4,5,e both a.csv:9",
        ]
    );
    // The warning was asked of what remains.
    assert_eq!(outcome(&report, "c3").message, "2 of 5 rows are null in id");
    assert_eq!(report.outputs[0].profile[0].nulls, 2);
    assert_eq!(items.mesh.data_files(), 1, "the files that held duplicates are gone");
}

#[tokio::test]
async fn clauses_about_the_table_see_what_remains_and_still_block() {
    let rows = |at_least: f64| Rule::Metric {
        metric: Metric::RowCount,
        unit: Unit::Rows,
        must: Threshold::MustBeGreaterOrEqualTo(at_least),
    };
    let nulls = Rule::Metric {
        metric: Metric::NullValues { column: "w".to_owned() },
        unit: Unit::Rows,
        must: Threshold::MustBe(0.0),
    };
    let sum = Rule::Sql {
        query: "SELECT sum(v) FROM {table}".to_owned(),
        must: Some(Threshold::MustBeGreaterOrEqualTo(0.0)),
    };
    let with = |at_least: f64| {
        Items::with(Mode::Full, |spec| {
            let clauses = &mut spec.outputs[0].table.clauses;
            clauses.push(clause("rows", rows(at_least)));
            clauses.push(clause("nulls", nulls.clone()));
            clauses.push(clause("sum", sum.clone()));
        })
    };
    // The row that is set aside is the one without w, and the one that makes the sum negative; of the doubles one has none.
    let batch = "1,1,a 2,-100, 3,3,c 4,4,d 4,5,";
    let mut passing = with(2.0);
    passing.spec.outputs[0].quarantine_limit = QuarantineLimit::Share(600_000);
    passing.put("a.csv", batch);
    let report = passing.run().await;
    assert_eq!(counts(&report).0, 3);
    assert_eq!(outcome(&report, "nulls").measured, Some(0.0));
    assert_eq!(outcome(&report, "rows").measured, Some(2.0));
    assert_eq!(outcome(&report, "sum").measured, Some(4.0));
    let mut failing = with(3.0);
    failing.spec.outputs[0].quarantine_limit = QuarantineLimit::Share(600_000);
    failing.put("a.csv", batch);
    let report = failing.blocked().await;
    assert_eq!(outcome(&report, "rows").measured, Some(2.0));
    assert_eq!(counts(&report).0, 3, "the report says what would have been set aside");
}

#[tokio::test]
async fn append_sets_aside_what_shares_a_key_with_a_published_row() {
    let mut items = Items::new(Mode::Append);
    items.put("a.csv", "1,1,a 2,2,b 3,-3,c");
    items.run().await;
    items.put("b.csv", "2,20,new 4,4,d 5,5,e 6,-6,f");
    let report = items.run().await;
    assert_eq!(counts(&report), (2, 4, vec![("c4", 1), ("c5", 1)]));
    assert_eq!(items.rows().await, ["1,1,a", "2,2,b", "4,4,d", "5,5,e"]);
    assert_eq!(items.aside("run-2"), ["1 6,-6,f c4 b.csv:5", "2 2,20,new c5 b.csv:2"]);
    assert_eq!(report.outputs[0].changes.expect("changes").added, 2);
    assert!(!report.outputs[0].rebuilt);
    // What was set aside has been taken up: nothing is new.
    assert!(items.stage().await.expect("stages").unchanged);
}

#[tokio::test]
async fn in_a_merge_the_old_row_stays_and_the_report_says_so() {
    for missing in [MissingRows::Keep, MissingRows::Delete] {
        let mut items = Items::with(Mode::Merge, |spec| spec.outputs[0].merge.missing_rows = missing);
        items.put("a.csv", "1,1,a 2,2,b 3,3,c 4,4,d");
        items.run().await;
        // 1 turns bad, 2 comes twice, 3 is replaced, 4 is not mentioned, 5 is new and bad.
        items.put("a.csv", "1,-1,z 2,20,y 2,21,x 3,30,w 5,-5,v 6,6,u 7,7,t 8,8,s");
        let report = items.run().await;
        assert_eq!(
            counts(&report),
            (
                4,
                8,
                vec![("c4", 2), ("key", 2), ("c5", 2)]
                    .into_iter()
                    .collect::<BTreeMap<_, _>>()
                    .into_iter()
                    .collect::<Vec<_>>()
            )
        );
        let kept = report.outputs[0].quarantine.as_ref().expect("set aside").kept_rows;
        assert_eq!(kept, 2, "{missing:?}");
        let mut expected = vec!["1,1,a", "2,2,b", "3,30,w", "4,4,d", "6,6,u", "7,7,t", "8,8,s"];
        let changes = report.outputs[0].changes.expect("changes");
        if missing == MissingRows::Delete {
            expected.retain(|row| !row.starts_with('4'));
        }
        assert_eq!(items.rows().await, expected, "{missing:?}");
        let deleted = u64::from(missing == MissingRows::Delete);
        assert_eq!((changes.added, changes.updated, changes.deleted), (3, 1, deleted), "{missing:?}");
    }
}

#[tokio::test]
async fn a_row_that_comes_back_may_push_another_out() {
    let mut items = Items::with(Mode::Merge, |spec| {
        spec.outputs[0].table.clauses.push(clause("w", unique(&["w"])));
        spec.outputs[0].quarantine_limit = QuarantineLimit::Share(1_000_000);
    });
    items.put("a.csv", "1,1,a 2,2,b 3,3,c");
    items.run().await;
    // 1 gives `a` up and is bad: its old row stays with `a`, so 2 may not take it, so `b` stays taken, so 3 may not have it.
    items.put("a.csv", "1,-1,x 2,2,a 3,3,b 4,4,d");
    let report = items.run().await;
    assert_eq!(counts(&report), (3, 4, vec![("c4", 1), ("w", 2)]));
    assert_eq!(items.rows().await, ["1,1,a", "2,2,b", "3,3,c", "4,4,d"]);
    assert_eq!(report.outputs[0].quarantine.as_ref().expect("set aside").kept_rows, 3);
}

#[tokio::test]
async fn a_deletion_of_a_key_that_is_set_aside_blocks() {
    let mut items = Items::with(Mode::Merge, |spec| spec.outputs[0].merge.delete_when = Some("w = 'gone'".to_owned()));
    items.put("a.csv", "1,1,a 2,2,b 3,3,c");
    items.run().await;
    items.put("b.csv", "1,-1,z 1,0,gone 4,4,d 5,5,e");
    let report = items.blocked().await;
    assert!(outcome(&report, "key").message.contains("row that deletes"), "{:?}", outcome(&report, "key"));
    items.put("b.csv", "1,0,gone 4,-4,d 5,5,e");
    items.run().await;
    assert_eq!(items.rows().await, ["2,2,b", "3,3,c", "5,5,e"]);
}

#[tokio::test]
async fn values_that_cannot_be_traced_to_a_row_block() {
    for sql in [
        "SELECT id, sum(v) AS v, max(w) AS w FROM raw GROUP BY id",
        "SELECT id, v, w FROM raw WHERE v > 0",
        "SELECT DISTINCT id, v, w FROM raw",
    ] {
        let mut items = Items::with(Mode::Full, |spec| spec.outputs[0].sql = sql.to_owned());
        items.put("a.csv", "1,1,a 2,x,b 3,3,c 4,4,d");
        let report = items.blocked().await;
        assert!(outcome(&report, "c1").message.contains("do not fit"), "{sql}");
    }
    // A value that the SQL makes can be traced, whatever made it.
    let sql = "SELECT id, w AS v, max(w) AS w FROM raw GROUP BY id, w";
    let mut items = Items::with(Mode::Full, |spec| spec.outputs[0].sql = sql.to_owned());
    items.put("a.csv", "1,1,1 2,2,x 3,3,3 4,4,4");
    assert_eq!(counts(&items.run().await), (1, 4, vec![("c1", 1)]));
    assert_eq!(items.aside("run-1"), ["1 2,,x c1 : x"]);
    // One line of JSON with many records says not which of them it was.
    let mut json = Items::new(Mode::Full);
    let source = InputSpec::Source(SourceSpec::Json {
        files: FilesSpec::Folder { folder: json.mesh.folder.path().join("domain"), path: "*.json".into() },
        options: JsonOptions::default(),
    });
    json.spec.inputs.insert("raw".to_owned(), source);
    json.mesh.file("a.json", r#"[{"id":1,"v":1,"w":"a"},{"id":2,"v":"x","w":"b"},{"id":3,"v":3,"w":"c"}]"#);
    json.blocked().await;
    json.mesh.file(
        "a.json",
        "{\"id\":1,\"v\":1,\"w\":\"a\"}\n{\"id\":2,\"v\":\"x\",\"w\":\"b\"}\n{\"id\":3,\"v\":3,\"w\":\"c\"}\n",
    );
    assert_eq!(counts(&json.run().await).0, 1);
    assert_eq!(json.aside(json.spec.run.as_str()), ["1 2,,b c1 a.json:2 x"]);
}

/// Each side of a UNION ALL has its own rows: those of two inputs, of one input twice, below other things.
#[tokio::test]
async fn rows_are_traced_through_union_all() {
    let union = |sql: &str| {
        let mut items = Items::with(Mode::Full, |spec| spec.outputs[0].sql = sql.to_owned());
        let folder = items.mesh.folder.path().join("domain");
        fs::create_dir(folder.join("more")).expect("creates");
        let more = FilesSpec::Folder { folder, path: "more/*.csv".into() };
        let more = InputSpec::Source(SourceSpec::Csv { files: more, options: CsvOptions::default() });
        items.spec.inputs.insert("more".to_owned(), more);
        items.put("a.csv", "1,1,a 2,x,b 3,3,c");
        items.put("more/b.csv", "4,4,d 5,-5,e");
        items
    };
    let both = "SELECT id, v, w FROM raw UNION ALL SELECT id, v, w FROM more";
    let unfit = "2,,b c1 a.csv:3 x";
    let negative = "5,-5,e c4 more/b.csv:3";
    for (sql, wanted) in [
        (both, [unfit, negative].as_slice()),
        ("SELECT id, v, w FROM raw WHERE w < 'c' UNION ALL SELECT id, v, w FROM raw WHERE w >= 'c'", &[unfit]),
        (
            &format!("WITH u AS ({both}) SELECT u.id, u.v, u.w FROM u LEFT JOIN more m ON m.id = u.id ORDER BY u.id"),
            &[unfit, negative],
        ),
    ] {
        let mut items = union(sql);
        items.run().await;
        let rows = items.aside("run-1");
        let mut found: Vec<&str> = rows.iter().filter_map(|row| Some(row.split_once(' ')?.1)).collect();
        found.sort_unstable();
        assert_eq!(found, wanted, "{sql}");
    }
    // A row of nowhere among them leaves none a place.
    let report = union(&format!("{both} UNION ALL SELECT 9, 9, 'z'")).blocked().await;
    assert!(outcome(&report, "c1").message.contains("do not fit"), "{report:?}");
}

#[tokio::test]
async fn repaired_rows_are_released_once() {
    for mode in [Mode::Append, Mode::Merge] {
        let mut items = Items::new(mode);
        items.put("a.csv", "1,1,a 2,-2,b 3,x,c 4,4,d 5,-5,e 6,6,f");
        items.run().await;
        assert_eq!(items.rows().await, ["1,1,a", "4,4,d", "6,6,f"]);
        // As they are, they break the same clauses: nothing is published.
        let (report, released) = items.release("run-1", &[], None).await.expect("stages");
        assert!(report.unchanged && gate(&report.outputs[0].clauses), "{mode:?}: {:#?}", report.outputs[0].clauses);
        assert_eq!((released.tried, released.rows.len()), (3, 0));
        assert_eq!(released.clauses, BTreeMap::from([("c1".to_owned(), 1), ("c4".to_owned(), 2)]));
        // Two of them repaired, one of those badly; columns that are left out keep their value.
        let csv = "_quarantine_row,v,_quarantine_reason\n2,33,whatever\n1,-9,\n";
        let (report, released) = items.release("run-1", &[], Some(csv)).await.expect("stages");
        assert_eq!((released.tried, released.rows.iter().collect::<Vec<_>>()), (2, vec![2]));
        assert_eq!(items.rows().await, ["1,1,a", "3,33,c", "4,4,d", "6,6,f"], "{mode:?}");
        assert_eq!(report.outputs[0].changes.expect("changes").added, 1);
        assert!(!report.outputs[0].lineage.is_empty(), "lineage is that of the publication before");
        // What was released is not there any more.
        let twice = items.release("run-1", &[2], Some(csv)).await.expect_err("twice");
        assert_eq!(twice.code, "MW0680");
        let (_, released) =
            items.release("run-1", &[2], Some("_quarantine_row,id,v\n1,2,2\n3,5,5\n")).await.expect("stages");
        assert_eq!(released.rows.iter().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(items.rows().await, ["1,1,a", "2,2,b", "3,33,c", "4,4,d", "5,5,e", "6,6,f"]);
        // The position has not moved: what the input gains is taken up, and nothing twice.
        items.put("b.csv", "7,7,g");
        items.run().await;
        assert_eq!(items.rows().await.len(), 7, "{mode:?}");
        assert!(items.stage().await.expect("stages").unchanged);
    }
}

#[tokio::test]
async fn a_release_meets_the_table_and_the_contract_of_today() {
    let mut items = Items::new(Mode::Append);
    items.put("a.csv", "1,1,a 2,-2,b 3,x,c 4,4,d 5,-5,e 6,6,f");
    items.run().await;
    // An id that is taken by now stays; so do two rows that take the same.
    let (_, released) =
        items.release("run-1", &[], Some("_quarantine_row,id,v\n1,1,1\n2,7,7\n3,7,8\n")).await.expect("stages");
    assert_eq!((released.rows.len(), released.clauses), (0, BTreeMap::from([("c5".to_owned(), 3)])));
    // The contract is loosened: negative values are fine, and the type is text.
    items.spec.outputs[0].contract_digest = "loosened".to_owned();
    items.spec.outputs[0].table.clauses[4].rule = at_least("v", -2);
    let (report, released) = items.release("run-1", &[], None).await.expect("stages");
    assert_eq!(released.rows.iter().collect::<Vec<_>>(), [1]);
    assert_eq!(items.rows().await, ["1,1,a", "2,-2,b", "4,4,d", "6,6,f"]);
    assert_eq!(report.outputs[0].contract_digest, "loosened");
    // A merge replaces what is there.
    let mut merged = Items::new(Mode::Merge);
    merged.put("a.csv", "1,1,a 2,2,b");
    merged.run().await;
    merged.put("a.csv", "1,-1,x 2,3,y");
    merged.run().await;
    let (_, released) = merged.release("run-2", &[], Some("_quarantine_row,v,w\n1,11,'=x\n")).await.expect("stages");
    assert_eq!(released.rows.len(), 1);
    assert_eq!(merged.rows().await, ["1,11,=x", "2,3,y"]);
}

#[tokio::test]
async fn repaired_files_are_read_with_care() {
    let mut items = Items::new(Mode::Append);
    items.put("a.csv", "1,1,a 2,-2,secret 3,-3,c 4,4,d 5,5,e 6,6,f");
    items.run().await;
    let error = |result: Result<(RunReport, Released)>| {
        let error = result.expect_err("refused");
        (error.code, error.message)
    };
    for (csv, part) in [
        ("id,v\n1,1\n", "no column `_quarantine_row`"),
        ("_quarantine_row,v\n9,1\n", "row 9 is not in this quarantine"),
        ("_quarantine_row,v\n1,1\n1,2\n", "row 1 twice"),
        ("_quarantine_row,v\n,1\n", "its row 1 has no number"),
        ("_quarantine_row,points\n1,1\n", "does not have: points"),
        ("_quarantine_row,_quarantine_run,v\n1,run-7,1\n", "rows of run run-7"),
    ] {
        let (code, message) = error(items.release("run-1", &[], Some(csv)).await);
        assert_eq!(code, "MW0680", "{csv}");
        assert!(message.contains(part), "{message}");
    }
    // An empty field where a value did not fit leaves it as it is; no value is meant when what stood there is emptied too.
    items.put("b.csv", "7,x,g 8,8,h");
    items.run().await;
    let (_, released) = items.release("run-8", &[], Some("_quarantine_row,v,w\n1,,g\n")).await.expect("stages");
    assert_eq!((released.rows.len(), released.clauses), (0, BTreeMap::from([("c1".to_owned(), 1)])));
    let cleared = "_quarantine_row,v,w,_quarantine_raw\n1,,g,\n";
    let (_, released) = items.release("run-8", &[], Some(cleared)).await.expect("stages");
    assert_eq!(released.rows.len(), 1);
    assert!(items.rows().await.contains(&"7,,g".to_owned()), "{:?}", items.rows().await);
    // A column that whoever repairs does not see keeps what it has, whatever the file says; JSON lines do as well.
    let masked = Repaired {
        format: RepairedFormat::Jsonl,
        text: "{\"_quarantine_row\":1,\"v\":2,\"w\":\"0f3a…\"}\n".to_owned(),
        unseen: vec!["w".to_owned()],
    };
    let (_, released) = items.release_with("run-1", &[], Some(masked)).await.expect("stages");
    assert_eq!(released.rows.len(), 1);
    assert!(items.rows().await.contains(&"2,2,secret".to_owned()), "{:?}", items.rows().await);
}

#[tokio::test]
async fn full_tables_are_not_released_into() {
    let mut items = Items::new(Mode::Full);
    items.put("a.csv", "1,1,a 2,-2,b 3,3,c");
    items.run().await;
    assert_eq!(items.release("run-1", &[], None).await.expect_err("refused").code, "MW0679");
    // A table whose mode has changed since would be built from nothing but the released rows.
    items.spec.outputs[0].mode = Mode::Append;
    assert_eq!(items.release("run-1", &[], None).await.expect_err("refused").code, "MW0681");
}

#[tokio::test]
async fn what_no_run_keeps_is_collected() {
    let mut items = Items::new(Mode::Full);
    items.put("a.csv", "1,1,a 2,-2,b 3,3,c");
    for _ in 0..3 {
        items.run().await;
    }
    let folder = items.mesh.folder.path().join("storage").join(OUTPUT).join("quarantine/v1");
    let folders = || {
        let mut names: Vec<String> =
            fs::read_dir(&folder).expect("there").flatten().map(|e| e.file_name().to_string_lossy().into()).collect();
        names.sort();
        names
    };
    let writer = items.mesh.writer();
    let location = items.mesh.location();
    let removed =
        writer.collect_quarantine(&location, &[RunId::new("run-2"), RunId::new("run-3")]).await.expect("collects");
    assert_eq!((removed.len(), folders()), (1, vec!["run-2".to_owned(), "run-3".to_owned()]));
    writer
        .remove_quarantine(&meshwork_core::quarantine::location(&location), &RunId::new("run-3"))
        .await
        .expect("removes");
    writer
        .remove_quarantine(&meshwork_core::quarantine::location(&location), &RunId::new("run-3"))
        .await
        .expect("again");
    assert_eq!(folders(), ["run-2"]);
    assert_eq!(items.rows().await, ["1,1,a", "3,3,c"], "the table is as it was");
    // The table's own collector leaves the quarantine alone.
    writer.collect(&location, &[]).await.expect("collects");
    assert_eq!(folders(), ["run-2"]);
    assert_eq!(writer.collect_quarantine(&location, &[]).await.expect("collects").len(), 1);
    assert_eq!(writer.collect_quarantine(&location, &[]).await.expect("nothing is left").len(), 0);
}

/// What must come of a batch: which of its rows stay.
fn oracle(batch: &[(Option<i64>, i64)], published: &BTreeSet<i64>, merge: bool) -> Vec<bool> {
    let double = |id: i64| batch.iter().filter(|(other, _)| *other == Some(id)).count() > 1;
    let row = |(id, v): &(Option<i64>, i64)| match id {
        None => false,
        Some(id) => *v >= 0 && !double(*id) && (merge || !published.contains(id)),
    };
    batch.iter().map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Published and set aside together are the batch, in every mode, whatever the data.
    #[test]
    fn every_row_is_either_published_or_set_aside(
        mode in prop_oneof![Just(Mode::Full), Just(Mode::Append), Just(Mode::Merge)],
        batches in prop::collection::vec(
            prop::collection::vec((prop::option::weighted(0.9, 0i64..12), -2i64..10), 1..12), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut items = Items::with(mode, |spec| {
                spec.outputs[0].quarantine_limit = QuarantineLimit::Share(1_000_000);
                spec.limits.cores = 1;
            });
            let mut table: BTreeMap<i64, String> = BTreeMap::new();
            for (at, batch) in batches.iter().enumerate() {
                if mode == Mode::Full {
                    table.clear();
                }
                let name = if mode == Mode::Full { "a.csv".to_owned() } else { format!("{at}.csv") };
                let cell = |id: &Option<i64>| id.map(|id| id.to_string()).unwrap_or_default();
                let rows: Vec<String> = batch.iter().map(|(id, v)| format!("{},{v},r{at}", cell(id))).collect();
                items.put(&name, &rows.join(" "));
                let stay = oracle(batch, &table.keys().copied().collect(), mode == Mode::Merge);
                let report = items.run().await;
                let mut aside = Vec::new();
                for ((row, (id, _)), stays) in rows.iter().zip(batch).zip(&stay) {
                    match (stays, id) {
                        (true, Some(id)) => drop(table.insert(*id, row.clone())),
                        _ => aside.push(row.clone()),
                    }
                }
                let mut expected: Vec<String> = table.values().cloned().collect();
                expected.sort();
                prop_assert_eq!(items.rows().await, expected);
                let run = items.spec.run.to_string();
                let mut found: Vec<String> = items.aside(&run).iter()
                    .map(|line| line.split(' ').nth(1).expect("a row").to_owned()).collect();
                found.sort();
                aside.sort();
                prop_assert_eq!(counts(&report).0, aside.len() as u64);
                prop_assert_eq!(found, aside);
            }
            Ok(())
        })?;
    }
}
