//! Tables that grow: `append` and `merge`, against what they must amount to.

use std::collections::BTreeMap;

use meshwork_core::product::{Incremental, Merge, MissingRows};
use meshwork_core::run::Changes;
use proptest::prelude::*;

use super::*;

/// A table `items(id, v)` under one mode, run after run.
struct Grown {
    mesh: Mesh,
    spec: RunSpec,
    runs: u32,
}

fn items() -> Table {
    let c = |column: &str| column.to_owned();
    table(
        vec![typed("id", ColumnType::Int64), typed("v", ColumnType::Int64)],
        vec![
            Rule::Required { column: c("id") },
            Rule::Range {
                column: c("v"),
                min: Some(Literal::Integer(0)),
                max: None,
                exclusive_min: false,
                exclusive_max: false,
            },
            Rule::Unique { columns: vec![c("id")] },
        ],
    )
}

impl Grown {
    fn new(mode: Mode) -> Self {
        let mesh = Mesh::new();
        let mut spec = mesh.spec("", None, items(), "SELECT id, v FROM raw");
        spec.outputs[0].mode = mode;
        if mode == Mode::Merge {
            spec.outputs[0].key = vec!["id".to_owned()];
        }
        spec.incremental = BTreeMap::from([("raw".to_owned(), Incremental::Files)]);
        Self { mesh, spec, runs: 0 }
    }

    fn with(mode: Mode, change: impl FnOnce(&mut RunSpec)) -> Self {
        let mut grown = Self::new(mode);
        change(&mut grown.spec);
        grown
    }

    fn put(&self, file: &str, rows: &str) {
        let header = if rows.starts_with("id,") { "" } else { "id,v\n" };
        self.mesh.file(file, format!("{header}{}\n", rows.replace(' ', "\n")));
    }

    async fn stage(&mut self) -> Result<RunReport> {
        self.runs += 1;
        self.spec.run = RunId::new(format!("run-{}", self.runs));
        self.spec.fencing_token = u64::from(self.runs);
        self.mesh.stage(&self.spec).await
    }

    /// A whole run; what was published becomes what the next one builds on.
    async fn run(&mut self) -> Result<RunReport> {
        let report = self.stage().await?;
        if report.outputs.iter().all(|output| gate(&output.clauses)) && !report.unchanged {
            let versions = self.mesh.writer().commit(&self.spec.run, &report.outputs).await?;
            self.spec.outputs[0].base = Some(versions[0]);
        }
        Ok(report)
    }

    async fn changes(&mut self) -> (u64, u64, u64) {
        let report = self.run().await.expect("runs");
        assert!(gate(&report.outputs[0].clauses), "{:#?}", report.outputs[0].clauses);
        let Changes { added, updated, deleted, .. } = report.outputs[0].changes.expect("changes");
        (added, updated, deleted)
    }

    async fn rows(&self) -> Vec<(i64, i64)> {
        let (ids, values) = (self.mesh.read("id").await, self.mesh.read("v").await);
        let number = |text: &String| text.parse().expect("a number");
        let mut rows: Vec<(i64, i64)> = ids.iter().map(number).zip(values.iter().map(number)).collect();
        rows.sort_unstable();
        rows
    }
}

fn failing(report: &RunReport) -> Vec<&str> {
    let clauses = report.outputs[0].clauses.iter();
    clauses.filter(|c| c.outcome != Outcome::Pass).map(|c| c.message.as_str()).collect()
}

#[tokio::test]
async fn append_takes_up_new_files_once() {
    let mut grown = Grown::new(Mode::Append);
    grown.put("a.csv", "1,10 2,20");
    assert_eq!(grown.changes().await, (2, 0, 0));
    let again = grown.run().await.expect("runs");
    assert!(again.unchanged && again.outputs[0].clauses.is_empty());
    assert_eq!((again.outputs[0].rows, grown.spec.outputs[0].base), (2, Some(0)));
    grown.put("b.csv", "3,30");
    let report = grown.run().await.expect("runs");
    assert_eq!((report.outputs[0].rows, report.rows_read), (3, 1), "only the new file is read");
    assert_eq!(grown.rows().await, [(1, 10), (2, 20), (3, 30)]);
    // The same bytes at another time, and a file that went, are nothing new.
    grown.put("a.csv", "1,10 2,20");
    fs::remove_file(grown.mesh.folder.path().join("domain/b.csv")).expect("removes");
    assert!(grown.run().await.expect("runs").unchanged);
    // A file that changed is not appended again.
    grown.put("a.csv", "1,11 2,20");
    assert_eq!(grown.run().await.expect_err("refused").code, "MW0671");
    grown.spec.full_refresh = true;
    assert_eq!(grown.changes().await, (2, 0, 0));
    assert_eq!(grown.rows().await, [(1, 11), (2, 20)]);
}

#[tokio::test]
async fn set_clauses_see_the_table_and_row_clauses_the_new_rows() {
    let mut grown = Grown::new(Mode::Append);
    grown.put("a.csv", "1,10 2,20");
    grown.run().await.expect("runs");
    grown.put("b.csv", "3,30 1,40");
    let report = grown.run().await.expect("runs");
    assert_eq!(failing(&report), ["2 of 4 rows share their id with another row"]);
    assert_eq!(places(outcome(&report, "c4"), 0), [("b.csv".to_owned(), 3, "1".to_owned())]);
    assert_eq!(outcome(&report, "c3").checked_rows, Some(2));
    assert_eq!(grown.rows().await, [(1, 10), (2, 20)], "nothing was published");
    grown.put("b.csv", "3,30");
    let count = |scope, must| Clause {
        scope,
        ..clause(&format!("{scope:?}"), Rule::Metric { metric: Metric::RowCount, unit: Unit::Rows, must })
    };
    let sql = |query: &str, must| Rule::Sql { query: query.into(), must: Some(Threshold::MustBe(must)) };
    let low = Rule::Metric {
        metric: Metric::InvalidValues { column: "v".into(), valid: vec![Literal::Integer(30)], pattern: None },
        unit: Unit::Rows,
        must: Threshold::MustBe(2.0),
    };
    let clauses = &mut grown.spec.outputs[0].table.clauses;
    clauses.push(count(Scope::Table, Threshold::MustBe(3.0)));
    clauses.push(count(Scope::Batch, Threshold::MustBe(1.0)));
    clauses.push(clause("sum", sql("SELECT sum(v) FROM {table}", 60.0)));
    clauses.push(clause("batch", sql("SELECT sum(v) FROM {batch}", 30.0)));
    clauses.push(Clause { scope: Scope::Batch, ..clause("scoped", sql("SELECT sum(v) FROM {table}", 30.0)) });
    clauses.push(clause("metric", low));
    let report = grown.run().await.expect("runs");
    assert_eq!(failing(&report), Vec::<&str>::new());
    assert_eq!(grown.rows().await.len(), 3);
}

#[tokio::test]
async fn another_contract_is_checked_against_every_row() {
    let mut grown = Grown::new(Mode::Append);
    grown.put("a.csv", "1,10 2,20");
    grown.run().await.expect("runs");
    let Rule::Range { min, .. } = &mut grown.spec.outputs[0].table.clauses[3].rule else { panic!("a range") };
    *min = Some(Literal::Integer(15));
    grown.spec.outputs[0].contract_digest = "another".into();
    // Also when nothing is new.
    let report = grown.run().await.expect("runs");
    assert!(!report.unchanged);
    assert_eq!(failing(&report), ["1 of 2 rows are out of range in v"]);
    let Rule::Range { min, .. } = &mut grown.spec.outputs[0].table.clauses[3].rule else { panic!("a range") };
    *min = Some(Literal::Integer(5));
    let report = grown.run().await.expect("runs");
    assert_eq!((failing(&report), report.outputs[0].rows), (vec![], 2));
    assert!(grown.run().await.expect("runs").unchanged);
    // A column more is null in the rows that are there; a retyped one needs a refresh.
    grown.spec.outputs[0].table.fields.push(field("note"));
    grown.spec.outputs[0].contract_digest = "third".into();
    grown.spec.outputs[0].sql = "SELECT id, v, 'x' AS note FROM raw".into();
    grown.put("b.csv", "3,30");
    grown.run().await.expect("runs");
    grown.spec.outputs[0].table.fields[1].native = ColumnType::Int32;
    assert_eq!(grown.run().await.expect_err("refused").code, "MW0676");
}

#[tokio::test]
async fn merge_adds_replaces_and_deletes_by_key() {
    let mut grown = Grown::with(Mode::Merge, |spec| {
        spec.outputs[0].sql = "SELECT id, v, op, seq FROM raw".into();
        spec.outputs[0].merge =
            Merge { delete_when: Some("op = 'D'".into()), order_by: vec!["seq".into()], ..Merge::default() };
    });
    grown.put("a.csv", "id,v,op,seq 1,10,I,1 2,20,I,2 3,30,I,3 2,21,U,4");
    assert_eq!(grown.changes().await, (3, 0, 0));
    assert_eq!(grown.rows().await, [(1, 10), (2, 21), (3, 30)]);
    grown.put("b.csv", "id,v,op,seq 1,11,U,5 3,,D,6 4,40,I,7 9,,D,8 4,,D,9");
    assert_eq!(grown.changes().await, (0, 1, 1));
    assert_eq!(grown.rows().await, [(1, 11), (2, 21)]);
    // Two rows of one key and no order between them.
    grown.put("c.csv", "id,v,op,seq 7,1,I,1 7,2,I,1");
    let report = grown.run().await.expect("runs");
    assert_eq!(failing(&report)[0], "could not be checked: two new rows have the same key");
    assert_eq!(failing(&report)[1], "2 of 2 rows share their id with another new row");
    assert_eq!(grown.rows().await, [(1, 11), (2, 21)]);
    // A file that is changed in place is merged again.
    grown.put("c.csv", "id,v,op,seq 7,1,I,1");
    grown.put("a.csv", "id,v,op,seq 2,22,U,11");
    assert_eq!(grown.changes().await, (1, 1, 0));
    assert_eq!(grown.rows().await, [(1, 11), (2, 22), (7, 1)]);
}

#[tokio::test]
async fn merge_leaves_files_that_it_does_not_touch() {
    let mut grown = Grown::new(Mode::Merge);
    for (file, rows) in [("a.csv", "1,1 2,2"), ("b.csv", "3,3 4,4"), ("c.csv", "5,5 6,6")] {
        grown.put(file, rows);
        grown.run().await.expect("runs");
    }
    grown.put("d.csv", "4,40 7,70");
    let report = grown.run().await.expect("runs");
    let changes = report.outputs[0].changes.expect("changes");
    assert_eq!(changes, Changes { added: 1, updated: 1, deleted: 0, files_rewritten: 1 });
    let staged = report.outputs[0].staged.clone().expect("staged");
    let count = |kind: &str| {
        staged["actions"].as_array().expect("actions").iter().filter(|action| action.get(kind).is_some()).count()
    };
    assert_eq!((count("remove"), count("add")), (1, 2));
    assert_eq!(grown.rows().await, [(1, 1), (2, 2), (3, 3), (4, 40), (5, 5), (6, 6), (7, 70)]);
}

#[tokio::test]
async fn missing_rows_are_deleted_when_asked_for() {
    let mut grown = Grown::with(Mode::Merge, |spec| spec.outputs[0].merge.missing_rows = MissingRows::Delete);
    grown.put("a.csv", "1,1 2,2");
    grown.put("b.csv", "3,3");
    assert_eq!(grown.changes().await, (3, 0, 0));
    grown.put("a.csv", "2,20 4,4");
    assert_eq!(grown.changes().await, (1, 2, 1));
    assert_eq!(grown.rows().await, [(2, 20), (3, 3), (4, 4)]);
    fs::remove_file(grown.mesh.folder.path().join("domain/b.csv")).expect("removes");
    assert_eq!(grown.changes().await, (0, 2, 1));
    assert_eq!(grown.rows().await, [(2, 20), (4, 4)]);
    assert!(grown.run().await.expect("runs").unchanged);
}

#[tokio::test]
async fn a_cursor_takes_up_rows_beyond_the_greatest() {
    for mode in [Mode::Append, Mode::Merge] {
        let mut grown = Grown::new(mode);
        grown.spec.incremental = BTreeMap::from([("raw".to_owned(), Incremental::Cursor("id".to_owned()))]);
        grown.put("a.csv", "1,10 2,20");
        assert_eq!(grown.changes().await.0, 2);
        assert!(grown.run().await.expect("runs").unchanged);
        grown.put("a.csv", "1,11 2,20 3,30");
        grown.run().await.expect("runs");
        assert_eq!(
            grown.rows().await,
            [(1, 10), (2, 20), (3, 30)],
            "{mode:?}: rows before the cursor are not read again"
        );
        grown.put("a.csv", "1,11 ,5");
        assert_eq!(grown.run().await.expect_err("refused").code, "MW0675");
        grown.spec.incremental = BTreeMap::from([("raw".to_owned(), Incremental::Files)]);
        assert_eq!(grown.run().await.expect_err("refused").code, "MW0677");
    }
}

#[tokio::test]
async fn a_cursor_asks_a_database_for_what_is_new() {
    use sqlx::{ConnectOptions, Connection, Executor, sqlite::SqliteConnectOptions};
    for mode in [Mode::Append, Mode::Merge] {
        let mut grown = Grown::new(mode);
        let folder = grown.mesh.folder.path().join("domain");
        fs::create_dir_all(&folder).expect("a folder");
        let options = SqliteConnectOptions::new().filename(folder.join("shop.db")).create_if_missing(true);
        let mut database = options.connect().await.expect("opens");
        let files = FilesSpec::Folder { folder, path: "shop.db".to_owned() };
        let source = SourceSpec::Sqlite { files, table: Some("items".to_owned()), query: None };
        grown.spec.inputs = BTreeMap::from([("raw".to_owned(), InputSpec::Source(source))]);
        grown.spec.incremental = BTreeMap::from([("raw".to_owned(), Incremental::Cursor("id".to_owned()))]);
        let mut execute = async |sql: &'static str| database.execute(sqlx::raw_sql(sql)).await.map(|_| ()).expect(sql);
        execute("CREATE TABLE items (id INTEGER, v INTEGER)").await;
        // Of nothing there is nothing to take up, and the next run begins at the beginning.
        assert_eq!(grown.changes().await.0, 0);
        execute("INSERT INTO items SELECT value, value FROM json_each((SELECT json_group_array(n) FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500) SELECT n FROM c)))").await;
        let report = grown.run().await.expect("runs");
        assert_eq!(report.outputs[0].rows, 500);
        execute("INSERT INTO items VALUES (501, 1), (502, 2); UPDATE items SET v = 7 WHERE id = 500; UPDATE items SET v = 9 WHERE id = 3").await;
        let report = grown.run().await.expect("runs");
        // Once to find the greatest and once to take them up; merging looks at the boundary again.
        let new = if mode == Mode::Merge { 3 } else { 2 };
        assert_eq!((report.outputs[0].rows, report.rows_read), (502, 2 * new), "{mode:?}");
        let rows = grown.rows().await;
        let boundary = if mode == Mode::Merge { (500, 7) } else { (500, 500) };
        assert_eq!((rows[2], rows[499], rows[501]), ((3, 3), boundary, (502, 2)), "{mode:?}");
        assert!(grown.run().await.expect("runs").unchanged);
        execute("INSERT INTO items VALUES (NULL, 5)").await;
        assert_eq!(grown.run().await.expect_err("refused").code, "MW0675");
        database.close().await.expect("closes");
    }
}

#[tokio::test]
async fn another_products_publications_are_followed() {
    let mut above = Grown::new(Mode::Append);
    above.put("a.csv", "1,10 2,20");
    above.run().await.expect("runs");
    let follow = |above: &Grown, mode: Mode| {
        let mut spec = above.mesh.spec("down-0", None, items(), "SELECT id, v FROM up");
        spec.product = "sales.copies".into();
        spec.outputs[0].location.path = format!("{mode:?}/v1");
        spec.outputs[0].mode = mode;
        spec.outputs[0].key = vec!["id".to_owned()];
        spec.incremental = BTreeMap::from([("up".to_owned(), Incremental::Publication)]);
        spec
    };
    let columns = || vec![column("id", ColumnType::Int64, None), column("v", ColumnType::Int64, None)];
    let mut downs = [follow(&above, Mode::Append), follow(&above, Mode::Merge)];
    let mut step = 0;
    let steps: [(&str, &str, [Option<u64>; 2]); 3] =
        [("", "", [Some(2), Some(2)]), ("b.csv", "3,30", [Some(3), Some(3)]), ("", "", [Some(3), Some(3)])];
    for (file, rows, expected) in steps {
        if !file.is_empty() {
            above.put(file, rows);
            above.run().await.expect("runs");
        }
        for (spec, expected) in downs.iter_mut().zip(expected) {
            step += 1;
            let mut table = granted(&above.mesh, columns());
            table.delta_version = above.spec.outputs[0].base.expect("published");
            spec.inputs = BTreeMap::from([("up".to_owned(), InputSpec::Governed(table))]);
            spec.run = RunId::new(format!("down-{step}"));
            let report = above.mesh.stage(spec).await.expect("stages");
            assert_eq!(failing(&report), Vec::<&str>::new());
            if !report.unchanged {
                let versions = above.mesh.writer().commit(&spec.run, &report.outputs).await.expect("commits");
                spec.outputs[0].base = Some(versions[0]);
            }
            assert_eq!(Some(report.outputs[0].rows), expected);
            if step > 4 {
                assert!(report.unchanged, "nothing came since");
            }
        }
    }
    // Now rows change above: append refuses, merge follows.
    above.put("a.csv", "1,11 2,20");
    above.spec.full_refresh = true;
    above.run().await.expect("runs");
    for spec in &mut downs {
        let mut table = granted(&above.mesh, columns());
        table.delta_version = above.spec.outputs[0].base.expect("published");
        spec.inputs = BTreeMap::from([("up".to_owned(), InputSpec::Governed(table))]);
        spec.run = RunId::new("down-last");
        match spec.outputs[0].mode {
            Mode::Append => assert_eq!(above.mesh.stage(spec).await.expect_err("refused").code, "MW0672"),
            _ => {
                let report = above.mesh.stage(spec).await.expect("stages");
                assert_eq!(report.outputs[0].changes.map(|c| (c.added, c.updated)), Some((0, 3)));
            }
        }
    }
}

#[tokio::test]
async fn many_small_appends_are_written_together_and_opened_from_a_checkpoint() {
    let mut above = Grown::new(Mode::Append);
    above.put("f0.csv", "0,0");
    above.run().await.expect("runs");
    let columns = || vec![column("id", ColumnType::Int64, None), column("v", ColumnType::Int64, None)];
    let mut down = above.mesh.spec("down", None, items(), "SELECT id, v FROM up");
    down.outputs[0].location.path = "down/v1".into();
    down.outputs[0].mode = Mode::Append;
    down.incremental = BTreeMap::from([("up".to_owned(), Incremental::Publication)]);
    let mut seen = Vec::new();
    for n in 1..=53i64 {
        above.put(&format!("f{n}.csv"), &format!("{n},{n}"));
        above.run().await.expect("runs");
        // The one that follows looks now and then, so that files were written together meanwhile.
        if n % 20 == 0 || n == 53 {
            let mut table = granted(&above.mesh, columns());
            table.delta_version = above.spec.outputs[0].base.expect("published");
            down.inputs = BTreeMap::from([("up".to_owned(), InputSpec::Governed(table))]);
            down.run = RunId::new(format!("down-{n}"));
            let report = above.mesh.stage(&down).await.expect("stages");
            assert_eq!(failing(&report), Vec::<&str>::new());
            let versions = above.mesh.writer().commit(&down.run, &report.outputs).await.expect("commits");
            down.outputs[0].base = Some(versions[0]);
            seen.push((report.outputs[0].rows, report.outputs[0].changes.map(|c| c.added)));
        }
    }
    assert_eq!(seen, [(21, Some(21)), (41, Some(20)), (54, Some(13))], "each row once");
    let expected: Vec<(i64, i64)> = (0..=53).map(|n| (n, n)).collect();
    assert_eq!(above.rows().await, expected, "as delta-rs reads it");
    let log = crate::storage::TableLog::open(&crate::storage::Stores::local(), &above.mesh.location(), false)
        .await
        .expect("opens");
    let state = log.replay(53).await.expect("replays");
    assert!(state.files.len() < 40, "{} files", state.files.len());
    // The same without the checkpoint.
    let checkpoint = above.mesh.table().join("_delta_log/00000000000000000050.checkpoint.parquet");
    assert_eq!(crate::storage::checkpoint::before(&log, 53).await.map(|(version, _)| version), Some(50));
    fs::remove_file(&checkpoint).expect("there is one");
    let whole = log.replay(53).await.expect("replays");
    let paths = |state: &crate::storage::log::State| state.files.keys().cloned().collect::<Vec<_>>();
    assert_eq!((paths(&state), &state.protocol), (paths(&whole), &whole.protocol));
    assert_eq!(
        state.metadata.as_ref().map(|m| &m["schemaString"]),
        whole.metadata.as_ref().map(|m| &m["schemaString"])
    );
}

#[tokio::test]
async fn what_was_committed_and_never_published_is_undone() {
    for mode in [Mode::Append, Mode::Merge] {
        let mut grown = Grown::new(mode);
        grown.put("a.csv", "1,1 2,2");
        grown.run().await.expect("runs");
        grown.put("b.csv", "2,20 3,3");
        if mode == Mode::Append {
            grown.put("b.csv", "3,3");
        }
        // It commits, and its publication is lost.
        let base = grown.spec.outputs[0].base;
        let report = grown.stage().await.expect("stages");
        let run = grown.spec.run.clone();
        grown.mesh.writer().commit(&run, &report.outputs).await.expect("commits");
        assert_eq!(grown.spec.outputs[0].base, base);
        grown.put("b.csv", "4,4");
        grown.run().await.expect("runs");
        assert_eq!(grown.rows().await, [(1, 1), (2, 2), (4, 4)], "{mode:?}");
    }
}

/// What happens between two runs, or to one.
#[derive(Clone, Debug)]
enum Step {
    /// A file with rows of these keys appears, or is replaced (merge only).
    File(u8, Vec<u8>),
    Run,
    /// A run that dies at a step: nothing of it is published unless it had committed.
    Dies(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let dies =
        prop::sample::select(vec!["stage-start", "after-first-file", "after-stage", "before-commit", "after-commit"]);
    prop_oneof![
        3 => (0..6u8, prop::collection::btree_set(0..12u8, 1..6))
            .prop_map(|(file, keys)| Step::File(file, keys.into_iter().collect())),
        2 => Just(Step::Run),
        1 => dies.prop_map(Step::Dies),
    ]
}

impl Grown {
    async fn dies(&mut self, at: &str) {
        self.runs += 1;
        self.spec.run = RunId::new(format!("run-{}", self.runs));
        let writer = self.mesh.writer_with(Some(&format!("{at}:error")));
        let Ok(report) = writer.stage(&self.spec, Arc::new(Observer(Mutex::default()))).await else { return };
        if report.unchanged {
            return;
        }
        let _ = writer.commit(&self.spec.run, &report.outputs).await;
        // Recovery: rolled forward if it had begun to commit.
        let whole = self.mesh.writer();
        if whole.committed(&self.spec.run, &report.outputs).await.expect("is told").iter().any(Option::is_some) {
            let versions = whole.commit(&self.spec.run, &report.outputs).await.expect("commits");
            self.spec.outputs[0].base = Some(versions[0]);
        }
    }
}

/// Runs the steps and compares with what the files amount to.
async fn amounts_to_a_full_run(mode: Mode, steps: Vec<Step>) {
    let mut grown = Grown::new(mode);
    if mode == Mode::Append {
        // Keys repeat between files: no uniqueness.
        grown.spec.outputs[0].table.clauses.retain(|c| !matches!(c.rule, Rule::Unique { .. }));
    } else {
        grown.spec.outputs[0].merge.order_by = vec!["v".into()];
    }
    let mut files: BTreeMap<u8, Vec<(i64, i64)>> = BTreeMap::new();
    let mut clock = 0;
    for step in steps.into_iter().chain([Step::File(99, vec![200]), Step::Run]) {
        match step {
            Step::File(name, keys) => {
                if mode == Mode::Append && files.contains_key(&name) {
                    continue;
                }
                // A file that is replaced keeps the keys that it had.
                let before = files.get(&name).cloned().unwrap_or_default();
                let all: std::collections::BTreeSet<i64> =
                    before.iter().map(|row| row.0).chain(keys.iter().map(|key| i64::from(*key))).collect();
                let rows: Vec<(i64, i64)> = all
                    .into_iter()
                    .map(|key| {
                        clock += 1;
                        (key, clock)
                    })
                    .collect();
                let text: Vec<String> = rows.iter().map(|(id, v)| format!("{id},{v}")).collect();
                grown.put(&format!("f{name}.csv"), &text.join(" "));
                files.insert(name, rows);
            }
            _ if files.is_empty() => {}
            Step::Run => drop(grown.run().await.expect("runs")),
            Step::Dies(at) => grown.dies(at).await,
        }
    }
    let all = files.into_values().flatten();
    let expected: Vec<(i64, i64)> = match mode {
        Mode::Append => {
            let mut rows: Vec<_> = all.collect();
            rows.sort_unstable();
            rows
        }
        _ => {
            let mut newest = BTreeMap::new();
            for (key, v) in all {
                let kept = newest.entry(key).or_insert(v);
                *kept = v.max(*kept);
            }
            newest.into_iter().collect()
        }
    };
    assert_eq!(grown.rows().await, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_appends_amounts_to_a_full_run(steps in prop::collection::vec(step(), 1..10)) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(amounts_to_a_full_run(Mode::Append, steps));
    }

    #[test]
    fn any_sequence_of_merges_amounts_to_a_full_run(steps in prop::collection::vec(step(), 1..10)) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(amounts_to_a_full_run(Mode::Merge, steps));
    }
}
