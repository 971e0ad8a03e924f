//! Housekeeping of a table: what is compacted, vacuumed and checkpointed, and what every reader sees before and after.

use meshwork_core::run::RunTask;

use super::*;
use crate::storage::{Stores, TableLog, checkpoint};

fn numbers() -> Table {
    table(vec![typed("id", ColumnType::Int64), field("what")], vec![Rule::Required { column: "id".into() }])
}

/// A table that was appended to so many times, each a version that was published.
async fn grown(mesh: &Mesh, times: u64) -> RunSpec {
    let mut spec = mesh.spec("run-0", None, numbers(), "SELECT id, what FROM raw");
    spec.outputs[0].mode = Mode::Append;
    spec.incremental = BTreeMap::from([("raw".to_owned(), meshwork_core::product::Incremental::Files)]);
    let mut config = WriterConfig::new(mesh.folder.path().join("scratch"), Arc::new(TestClock::new()));
    (config.durable, config.small_files) = (false, 1000);
    let writer = Writer::new(config);
    for n in 0..times {
        mesh.file(&format!("f{n:04}.csv"), format!("id,what\n{n},row {n}\n"));
        (spec.run, spec.fencing_token) = (RunId::new(format!("run-{n}")), n + 1);
        let report = writer.stage(&spec, Arc::new(Observer(Mutex::default()))).await.expect("stages");
        let versions = writer.commit(&spec.run, &report.outputs).await.expect("commits");
        spec.outputs[0].base = Some(versions[0]);
    }
    spec
}

async fn compacted(mesh: &Mesh, spec: &RunSpec, point: Option<&str>) -> Result<RunReport> {
    let spec = RunSpec {
        run: RunId::new("compaction"),
        task: RunTask::Compact,
        fencing_token: 1000,
        inputs: BTreeMap::new(),
        incremental: BTreeMap::new(),
        ..spec.clone()
    };
    mesh.writer_with(point).stage(&spec, Arc::new(Observer(Mutex::default()))).await
}

async fn ids(mesh: &Mesh) -> Vec<u64> {
    let mut ids: Vec<u64> = mesh.read("id").await.iter().map(|id| id.parse().expect("a number")).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn a_compaction_moves_rows_and_changes_none() {
    let mesh = Mesh::new();
    let mut spec = grown(&mesh, 10).await;
    let writer = mesh.writer();
    let layout = writer.layout(&mesh.location(), 9).await.expect("told");
    assert_eq!((layout.files, layout.small_files, layout.compact), (10, 10, true));
    for step in ["stage-start", "after-compaction", "after-stage"] {
        let stopped = compacted(&mesh, &spec, Some(&format!("{step}:error"))).await;
        assert_eq!(stopped.expect_err(step).code, "MW0640");
    }
    let report = compacted(&mesh, &spec, None).await.expect("stages");
    assert_eq!((report.outputs[0].rows, report.unchanged), (10, false));
    let versions = writer.commit(&RunId::new("compaction"), &report.outputs).await.expect("commits");
    assert_eq!((versions.as_slice(), ids(&mesh).await), ([10].as_slice(), (0..10).collect()));
    assert_eq!(writer.layout(&mesh.location(), 10).await.expect("told").files, 1);
    let log = TableLog::open(&Stores::local(), &mesh.location(), false).await.expect("opens");
    let commit = log.commit(10).await.expect("reads").expect("there");
    let changes = |kind: &str| {
        let bodies = commit.actions.iter().filter_map(move |action| action.get(kind));
        bodies.map(|body| body["dataChange"].as_bool().expect("told")).collect::<Vec<_>>()
    };
    assert_eq!((changes("add"), changes("remove")), (vec![false], vec![false; 10]));
    // What the table has taken up is still known, and the next run goes on from there.
    spec.outputs[0].base = Some(10);
    (spec.run, spec.fencing_token) = (RunId::new("next"), 1001);
    assert!(mesh.stage(&spec).await.expect("stages").unchanged);
    mesh.file("later.csv", "id,what\n77,later\n");
    let report = mesh.stage(&spec).await.expect("stages");
    assert_eq!((report.rows_read, report.outputs[0].rows), (1, 11));
    writer.commit(&spec.run, &report.outputs).await.expect("commits");
    // And again there is nothing to do.
    assert!(compacted(&mesh, &spec, None).await.expect("stages").unchanged);
}

#[tokio::test]
async fn whoever_follows_a_table_takes_up_nothing_when_it_was_compacted() {
    let mesh = Mesh::new();
    let spec = grown(&mesh, 9).await;
    let columns = || vec![column("id", ColumnType::Int64, None), column("what", ColumnType::Text, None)];
    let up = |version| {
        let table = GovernedTable { delta_version: version, ..granted(&mesh, columns()) };
        BTreeMap::from([("up".to_owned(), InputSpec::Governed(table))])
    };
    let mut downs = Vec::new();
    for mode in [Mode::Append, Mode::Merge] {
        let mut down = mesh.spec("down-1", None, numbers(), "SELECT id, what FROM up");
        down.product = "sales.copies".into();
        down.outputs[0].location.path = format!("{mode:?}/v1");
        (down.outputs[0].mode, down.outputs[0].key) = (mode, vec!["id".to_owned()]);
        down.incremental = BTreeMap::from([("up".to_owned(), meshwork_core::product::Incremental::Publication)]);
        down.inputs = up(8);
        let report = mesh.stage(&down).await.expect("stages");
        down.outputs[0].base = Some(mesh.writer().commit(&down.run, &report.outputs).await.expect("commits")[0]);
        downs.push(down);
    }
    let report = compacted(&mesh, &spec, None).await.expect("stages");
    mesh.writer().commit(&RunId::new("compaction"), &report.outputs).await.expect("commits");
    // Nobody keeps the version that was followed.
    mesh.writer().vacuum(&mesh.location(), &[9], false).await.expect("vacuums");
    for mut down in downs {
        down.inputs = up(9);
        (down.run, down.fencing_token) = (RunId::new("down-2"), 2);
        assert!(mesh.stage(&down).await.expect("stages").unchanged, "{:?}", down.outputs[0].mode);
    }
}

#[tokio::test]
async fn a_vacuum_keeps_what_kept_versions_need_and_the_log_that_leads_there() {
    let mesh = Mesh::new();
    let mut spec = grown(&mesh, 120).await;
    let writer = mesh.writer();
    let location = mesh.location();
    let log = TableLog::open(&Stores::local(), &location, false).await.expect("opens");
    assert_eq!(checkpoint::versions(&log).await.expect("lists"), [50, 100]);
    let report = compacted(&mesh, &spec, None).await.expect("stages");
    writer.commit(&RunId::new("compaction"), &report.outputs).await.expect("commits");
    spec.outputs[0].base = Some(120);
    // An orphan, and what a write left that was killed.
    mesh.file("x.csv", "id,what\n1000,x\n");
    (spec.run, spec.fencing_token) = (RunId::new("dead"), 2000);
    mesh.stage(&spec).await.expect("stages");
    fs::write(mesh.table().join("part-9.parquet#1"), "half").expect("writes");
    let before = mesh.data_files();

    let keep = [110, 115, 120];
    let would = writer.vacuum(&location, &keep, true).await.expect("tells");
    assert_eq!(
        (mesh.data_files(), log.versions().await.expect("lists").len()),
        (before, 121),
        "a dry run does nothing"
    );
    let done = writer.vacuum(&location, &keep, false).await.expect("vacuums");
    assert_eq!(done, would);
    // Files of versions up to 115 are needed; those of 116 to 119 were compacted, the orphan and the leftover are gone.
    assert_eq!(done.files.len(), 4 + 2, "{:?}", done.files);
    assert!(done.files.iter().all(|file| file.bytes > 0));
    assert_eq!(log.versions().await.expect("lists").first(), Some(&100));
    assert_eq!(checkpoint::versions(&log).await.expect("lists"), [100]);
    assert_eq!(done.log.len(), 100 + 1, "commits before the last checkpoint, and the checkpoint before");
    for version in keep {
        let state = log.replay(version).await.expect("replays");
        let rows: u64 = state.adds().map(crate::write::files::rows_of).sum();
        assert_eq!(rows, if version == 120 { 120 } else { version + 1 });
        assert!(state.files.keys().all(|path| log.data_file(path).expect("a name").exists()), "{version}");
        let opened = SnapshotCache::new(4, 1 << 20, Arc::new(Stores::local())).open(&location, version).await;
        assert!(opened.is_ok(), "{version}: {opened:?}");
    }
    assert_eq!(ids(&mesh).await, (0..120).collect::<Vec<u64>>(), "as any reader sees it");
    assert_eq!(writer.vacuum(&location, &keep, false).await, Ok(Vacuumed::default()), "there is nothing left to do");
    // The next run finds its position, and what it builds on.
    (spec.run, spec.fencing_token) = (RunId::new("next"), 2001);
    let report = mesh.stage(&spec).await.expect("stages");
    assert_eq!((report.rows_read, report.outputs[0].rows), (1, 121));
    assert_eq!(writer.commit(&spec.run, &report.outputs).await, Ok(vec![121]));
    assert_eq!(writer.foreign_commits(&location, &[]).await, Ok(vec![]));
}

/// Opening a version reads the last checkpoint and what came after it, however long the log is.
#[tokio::test]
async fn opening_does_not_read_the_whole_log() {
    let mesh = Mesh::new();
    let writer = mesh.writer();
    let mut spec = grown(&mesh, 60).await;
    let log = TableLog::open(&Stores::local(), &mesh.location(), false).await.expect("opens");
    for version in 0..50 {
        fs::remove_file(mesh.table().join(format!("_delta_log/{version:020}.json"))).expect("removes");
    }
    assert_eq!(log.replay(59).await.expect("replays").files.len(), 60);
    let cache = SnapshotCache::new(4, 1 << 20, Arc::new(Stores::local()));
    let open =
        async |version| cache.open(&mesh.location(), version).await.map(|snapshot| snapshot.schema().fields().len());
    assert_eq!(open(59).await, Ok(2));
    // The next version is opened from the one before: of the log only the new commit is needed.
    mesh.file("y.csv", "id,what\n1000,y\n");
    (spec.run, spec.fencing_token) = (RunId::new("next"), 2001);
    let report = mesh.stage(&spec).await.expect("stages");
    assert_eq!(writer.commit(&spec.run, &report.outputs).await, Ok(vec![60]));
    for version in 50..59 {
        fs::remove_file(mesh.table().join(format!("_delta_log/{version:020}.json"))).expect("removes");
    }
    fs::remove_file(mesh.table().join("_delta_log/00000000000000000050.checkpoint.parquet")).expect("removes");
    assert_eq!(open(60).await, Ok(2));
    let [snapshots, logs] = cache.uses();
    assert_eq!((snapshots.hits, snapshots.misses, logs.hits, logs.misses), (0, 2, 1, 1));
    assert_eq!(open(60).await, Ok(2));
    assert_eq!(cache.uses()[0].hits, 1);
}

#[tokio::test]
async fn a_removed_table_leaves_nothing_and_can_be_built_anew() {
    let mesh = Mesh::new();
    let mut spec = grown(&mesh, 9).await;
    let (location, writer) = (mesh.location(), mesh.writer());
    assert_eq!(writer.layout(&location, 8).await.expect("told").files, 9);
    fs::write(mesh.table().join("part-9.parquet#1"), "half").expect("writes");
    let (files, entries) = (mesh.data_files(), 9);

    let would = writer.remove_table(&location, true).await.expect("tells");
    assert_eq!((would.files.len(), would.log.len()), (files + 1, entries), "{would:?}");
    assert!(would.log.iter().chain(&would.files).all(|file| file.bytes > 0), "{would:?}");
    assert_eq!((mesh.data_files(), ids(&mesh).await.len()), (files, 9), "a dry run does nothing");
    // What is cut off is found by the next one.
    let cut = mesh.writer_with(Some("after-log-removed:error")).remove_table(&location, false).await;
    assert_eq!(cut.expect_err("stopped").code, "MW0640");
    let rest = writer.remove_table(&location, false).await.expect("removes");
    assert_eq!((rest.files, rest.log), (would.files, Vec::new()));
    assert!(!mesh.table().parent().expect("the output's").exists());
    assert_eq!(writer.remove_table(&location, false).await, Ok(Vacuumed::default()));

    // Versions begin again, and nobody remembers the old ones.
    for n in 0..9 {
        fs::remove_file(mesh.folder.path().join(format!("domain/f{n:04}.csv"))).expect("removes");
    }
    for n in 0..2 {
        mesh.file(&format!("new{n}.csv"), format!("id,what\n{},new\n", 500 + n));
        (spec.run, spec.fencing_token) = (RunId::new(format!("again-{n}")), 3000 + n);
        spec.outputs[0].base = n.checked_sub(1);
        let report = mesh.stage(&spec).await.expect("stages");
        assert_eq!(writer.commit(&spec.run, &report.outputs).await, Ok(vec![n]));
    }
    assert_eq!(writer.layout(&location, 1).await.expect("told").files, 2);
    assert_eq!(ids(&mesh).await, [500, 501]);
}

#[tokio::test]
async fn a_table_that_others_have_written_to_is_not_removed() {
    let mesh = Mesh::new();
    grown(&mesh, 2).await;
    let entry = mesh.table().join("_delta_log/00000000000000000002.json");
    fs::write(&entry, r#"{"commitInfo":{"operation":"WRITE","engineInfo":"somebody"}}"#).expect("writes");
    for dry_run in [true, false] {
        let refused = mesh.writer().remove_table(&mesh.location(), dry_run).await.expect_err("refused");
        assert!(refused.code == "MW0630" && refused.message.contains("somebody"), "{refused:?}");
    }
    assert_eq!(mesh.data_files(), 2);
}

/// What is read of a table that is removed and built anew, by a cache that knew the old one.
#[tokio::test]
async fn a_cache_forgets_what_is_removed() {
    let mesh = Mesh::new();
    let mut spec = grown(&mesh, 3).await;
    let mut config = WriterConfig::new(mesh.folder.path().join("scratch"), Arc::new(TestClock::new()));
    config.snapshots = Arc::new(SnapshotCache::new(4, 1 << 20, Arc::new(Stores::local())));
    let (writer, cache, location) = (Writer::new(config.clone()), config.snapshots, mesh.location());
    let files = async |version| -> Vec<String> {
        let opened = cache.open(&location, version).await.expect("opens");
        opened.files().files.iter().map(|file| file.object_meta.location.to_string()).collect()
    };
    let before = files(2).await;
    writer.remove_table(&location, false).await.expect("removes");
    for n in 0..3 {
        (spec.run, spec.fencing_token) = (RunId::new(format!("again-{n}")), 3000 + n);
        (spec.outputs[0].base, spec.full_refresh) = (n.checked_sub(1), true);
        let report = mesh.stage(&spec).await.expect("stages");
        writer.commit(&spec.run, &report.outputs).await.expect("commits");
    }
    let after = files(2).await;
    assert!(after.iter().all(|path| !before.contains(path)), "{before:?} {after:?}");
}
