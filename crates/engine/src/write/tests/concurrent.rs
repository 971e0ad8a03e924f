//! Several writers of one table: none fails, nothing is lost, nothing is twice.

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::{DataType, Field as ArrowField, Schema};
use arrow::record_batch::RecordBatch;

use super::*;
use crate::storage::{Stores, TableLog};

/// `events(id, who)`; with `unique`, no id may come twice.
fn events(unique: bool) -> Table {
    let rules = unique.then(|| Rule::Unique { columns: vec!["id".into()] });
    table(
        vec![typed("id", ColumnType::Int64), field("who")],
        [Rule::Required { column: "id".into() }].into_iter().chain(rules).collect(),
    )
}

fn batch(ids: &[i64], who: &str) -> RecordBatch {
    let schema =
        Schema::new(vec![ArrowField::new("id", DataType::Int64, true), ArrowField::new("who", DataType::Utf8, true)]);
    let who = StringArray::from(vec![who; ids.len()]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(who)]).expect("fits")
}

impl Mesh {
    fn append(&self, run: &str, unique: bool, batch: RecordBatch) -> Append {
        let mut spec = self.spec(run, None, events(unique), "");
        spec.outputs[0].mode = Mode::Append;
        Append { spec, batches: vec![batch] }
    }

    async fn ids(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.read("id").await.iter().map(|id| id.parse().expect("a number")).collect();
        ids.sort_unstable();
        ids
    }
}

/// Each with its own caches, as processes of their own would have.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_append_side_by_side() {
    const WRITERS: i64 = 8;
    const EACH: i64 = 25;
    let mesh = Arc::new(Mesh::new());
    let mut writers = tokio::task::JoinSet::new();
    for who in 0..WRITERS {
        let mesh = Arc::clone(&mesh);
        writers.spawn(async move {
            let mut config = WriterConfig::new(mesh.folder.path().join("scratch"), Arc::new(TestClock::new()));
            config.durable = false;
            let writer = Writer::new(config);
            let mut attempts = 0;
            for n in 0..EACH {
                let append = mesh.append(&format!("run-{who}-{n}"), false, batch(&[who * EACH + n], "w"));
                let done = writer.append(&append).await.expect("committed");
                assert!(done.version.is_some(), "{done:?}");
                attempts += done.attempts;
            }
            attempts
        });
    }
    let mut attempts = 0;
    while let Some(done) = writers.join_next().await {
        attempts += done.expect("did not panic");
    }
    assert_eq!(mesh.ids().await, (0..WRITERS * EACH).collect::<Vec<_>>(), "{attempts} attempts");
    let log = TableLog::open(&Stores::local(), &mesh.location(), false).await.expect("opens");
    assert_eq!(log.versions().await.expect("lists").len() as i64, WRITERS * EACH);
    // Small files were written together on the way, and a reader sees few.
    let state = log.replay((WRITERS * EACH - 1) as u64).await.expect("replays");
    assert!(state.files.len() < 64, "{}", state.files.len());
    let orphans = mesh.writer().collect(&mesh.location(), &[]).await.expect("collects");
    assert!(!orphans.is_empty());
    assert_eq!(mesh.ids().await.len() as i64, WRITERS * EACH);
}

/// What held for the batch against the older version is asked again for the newer one.
#[tokio::test]
async fn set_clauses_are_asked_again_over_the_version_that_came_before() {
    let mesh = Mesh::new();
    let (one, other) = (mesh.writer(), mesh.writer());
    assert_eq!(one.append(&mesh.append("a", true, batch(&[1, 2], "one"))).await.expect("done").version, Some(0));
    // The other looks at version 0 now.
    assert_eq!(other.append(&mesh.append("b", true, batch(&[3], "other"))).await.expect("done").version, Some(1));
    assert_eq!(one.append(&mesh.append("c", true, batch(&[4], "one"))).await.expect("done").version, Some(2));
    let refused = other.append(&mesh.append("d", true, batch(&[4, 5], "other"))).await.expect("answers");
    assert_eq!(refused.version, None);
    let failing = refused.clauses.iter().find(|clause| clause.outcome != Outcome::Pass).expect("one");
    assert_eq!(failing.message, "2 of 6 rows share their id with another row");
    assert_eq!(mesh.ids().await, [1, 2, 3, 4]);
    assert_eq!(mesh.data_files(), 3, "what was not committed is gone");
    // Row-local clauses stop it before anything is committed.
    let null = RecordBatch::try_new(
        batch(&[1], "x").schema(),
        vec![Arc::new(Int64Array::from(vec![None])), Arc::new(StringArray::from(vec!["x"]))],
    );
    let refused = one.append(&mesh.append("e", false, null.expect("fits"))).await.expect("answers");
    assert_eq!(refused.version, None);
}

#[tokio::test]
async fn appends_refuse_what_they_must_not_build_on() {
    let mesh = Mesh::new();
    let writer = mesh.writer();
    writer.append(&mesh.append("a", false, batch(&[1], "x"))).await.expect("done");
    let mut other = mesh.append("b", false, batch(&[2], "x"));
    other.spec.outputs[0].contract_digest = "another".into();
    assert_eq!(writer.append(&other).await.expect_err("refused").code, "MW0695");
    let entry = mesh.table().join("_delta_log/00000000000000000001.json");
    fs::write(&entry, r#"{"commitInfo":{"operation":"WRITE","engineInfo":"spark"}}"#).expect("writes");
    let late = writer.append(&mesh.append("c", false, batch(&[3], "x"))).await.expect_err("refused");
    assert_eq!(late.code, "MW0630");
}

/// A run that lost its lease commits late: the run that has it goes on, over what was never published.
#[tokio::test]
async fn a_commit_that_will_never_be_published_is_undone_by_the_one_that_comes_second() {
    let mesh = Mesh::new();
    let writer = mesh.writer();
    mesh.file("a.csv", GOOD);
    let first = mesh.stage(&mesh.spec("run-1", None, leads(), ALL)).await.expect("stages");
    writer.commit(&RunId::new("run-1"), &first.outputs).await.expect("commits");
    let spec = |run: &str, token: u64| RunSpec { fencing_token: token, ..mesh.spec(run, Some(0), leads(), ALL) };
    mesh.file("a.csv", "lead_id,source,score\nZ1,paid,1\n");
    let zombie = mesh.stage(&spec("zombie", 2)).await.expect("stages");
    mesh.file("a.csv", "lead_id,source,score\nN1,paid,1\nN2,paid,2\n");
    let owner = mesh.stage(&spec("owner", 3)).await.expect("stages");
    let later = mesh.stage(&spec("later", 4)).await.expect("stages");
    assert_eq!(writer.commit(&RunId::new("zombie"), &zombie.outputs).await, Ok(vec![1]));
    assert_eq!(writer.commit(&RunId::new("owner"), &owner.outputs).await, Ok(vec![2]));
    let mut ids = mesh.read("lead_id").await;
    ids.sort();
    assert_eq!(ids, ["N1", "N2"]);
    // It is found again at its new place, by recovery and by another attempt.
    assert_eq!(writer.committed(&RunId::new("owner"), &owner.outputs).await, Ok(vec![Some(2)]));
    assert_eq!(writer.commit(&RunId::new("owner"), &owner.outputs).await, Ok(vec![2]));
    // One whose lease has gone to a newer run gives up.
    assert_eq!(writer.commit(&RunId::new("later"), &later.outputs).await, Ok(vec![3]));
    let lost = mesh.stage(&spec("lost", 1)).await.expect("stages");
    let moved = |report: RunReport| {
        let mut outputs = report.outputs;
        let staged = outputs[0].staged.as_mut().expect("staged");
        staged["version"] = serde_json::json!(1);
        outputs
    };
    assert_eq!(writer.commit(&RunId::new("lost"), &moved(lost)).await.expect_err("conflict").code, "MW0631");
}
