//! The suite on SQLite, and what is SQLite's own: files, versions, faults.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use meshwork_control::port::state::{AuditState as _, MeshState as _, RunLedger as _, TableState as _};
use meshwork_core::audit::merkle::{self, Edge};
use meshwork_core::error::Kind;
use meshwork_core::id::Ids;
use meshwork_core::principal::Principal;
use meshwork_testkit::{SeededEntropy, TestClock, domain, mesh, moment};
use serde_json::json;

use super::{agreement, audit, code, credential, mesh as meshes, publication, quarantine, run, table};
use crate::SqliteState;

struct Fresh {
    state: SqliteState,
    dir: tempfile::TempDir,
}

async fn open(path: &Path) -> meshwork_core::Result<SqliteState> {
    SqliteState::open(path, Ids { clock: &TestClock::new(), entropy: &SeededEntropy::new(1) }).await
}

async fn fresh() -> Fresh {
    let dir = tempfile::tempdir().expect("a folder");
    let state = open(&dir.path().join("state.db")).await.expect("opened");
    Fresh { state, dir }
}

macro_rules! suite {
    ($($module:ident: $($test:ident)*;)*) => {$($(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let fresh = fresh().await;
            $module::$test(&fresh.state).await;
        }
    )*)*};
}

suite! {
    meshes: a_new_state_has_an_id_and_no_mesh apply_replaces_and_counts
        apply_on_an_old_base_is_refused_and_changes_nothing of_applies_at_once_on_one_base_one_wins;
    run: one_run_holds_a_product of_takers_at_once_one_wins verdict_then_publication a_late_verdict_is_refused
        an_expired_run_makes_way a_stranded_commit_is_recovered_before_the_next_run of_recoverers_at_once_one_wins
        a_blocked_run_keeps_its_report_and_frees_the_product runs_page_newest_first a_log_keeps_its_order;
    publication: resolves_as_of_publication_time a_clock_set_back_does_not_hide_the_newest
        current_is_the_newest_of_each_output publications_page_newest_first what_was_given_up_stays_given_up;
    table: a_table_is_known_at_every_place_until_it_is_forgotten a_publication_takes_a_table_up_again
        views_that_are_still_to_be_read_are_found;
    quarantine: a_publication_brings_it_and_a_run_that_dies_does_not a_release_shrinks_it_once
        a_table_that_is_built_anew_supersedes_it it_is_found_by_age_and_forgotten;
    agreement: grant_and_revoke_raise_the_epoch a_revoked_agreement_is_kept_but_not_listed_for_its_output
        unknown_and_taken_ids_are_told_apart;
    credential: using_a_token_is_noted_and_changes_nobodys_rights every_change_raises_the_epoch changing_a_user_keeps_its_tokens removing_a_user_removes_its_tokens
        unknown_ones_are_not_found a_one_time_token_is_exchanged_once;
    audit: appends_in_order refuses_gaps_and_forks the_first_key_of_a_subject_stays_until_erased;
}

fn ana() -> Principal {
    Principal::User("ana".to_owned())
}

#[tokio::test]
async fn the_settings_that_durability_rests_on() {
    let fresh = fresh().await;
    let mut tx = fresh.state.write().await.expect("a transaction");
    for (pragma, expected) in
        [("PRAGMA synchronous", "2"), ("PRAGMA foreign_keys", "1"), ("PRAGMA journal_mode", "wal")]
    {
        let query = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(format!(
            "SELECT CAST(v AS TEXT) FROM (SELECT {} AS v FROM pragma_{})",
            &pragma[7..],
            &pragma[7..]
        )));
        assert_eq!(query.fetch_one(&mut *tx).await.expect("answered"), expected, "{pragma}");
    }
}

#[tokio::test]
async fn what_is_applied_survives_a_restart() {
    let fresh = fresh().await;
    let declared = mesh([domain("sales", [])]);
    fresh.state.apply(0, &declared, &json!([]), &ana(), moment(1)).await.expect("applied");
    let id = fresh.state.applied().await.expect("read").mesh_id;
    fresh.state.close().await;
    let again = open(&fresh.dir.path().join("state.db")).await.expect("opened");
    let applied = again.applied().await.expect("read");
    assert_eq!((applied.revision, applied.mesh, applied.mesh_id), (1, Some(declared), id));
}

#[tokio::test]
async fn an_aborted_apply_leaves_nothing() {
    let fresh = fresh().await;
    // The history refuses the row: the transaction dies after the mesh was already replaced in it.
    let mut tx = fresh.state.write().await.expect("a transaction");
    sqlx::raw_sql("CREATE TRIGGER crash BEFORE INSERT ON apply_history BEGIN SELECT RAISE(ABORT, 'power loss'); END")
        .execute(&mut *tx)
        .await
        .expect("created");
    tx.commit().await.expect("committed");
    let declared = mesh([domain("sales", [])]);
    fresh.state.apply(0, &declared, &json!([]), &ana(), moment(1)).await.expect_err("aborted");
    let applied = fresh.state.applied().await.expect("read");
    assert_eq!((applied.revision, applied.mesh), (0, None));
    assert_eq!(fresh.state.policy_epoch().await.expect("read"), 0);
}

#[tokio::test]
async fn an_abandoned_transaction_leaves_nothing() {
    let fresh = fresh().await;
    let mut tx = fresh.state.write().await.expect("a transaction");
    sqlx::query("UPDATE mesh SET revision = 9").execute(&mut *tx).await.expect("updated");
    drop(tx);
    assert_eq!(fresh.state.applied().await.expect("read").revision, 0);
}

#[tokio::test]
async fn a_newer_state_is_refused_and_left_alone() {
    let fresh = fresh().await;
    let path = fresh.dir.path().join("state.db");
    let mut tx = fresh.state.write().await.expect("a transaction");
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut *tx).await.expect("set");
    tx.commit().await.expect("committed");
    fresh.state.close().await;
    let before = std::fs::read(&path).expect("there");
    let error = open(&path).await.expect_err("too new");
    assert_eq!((error.code.as_str(), error.kind), ("MW0402", Kind::Environment));
    assert!(error.message.contains("99"), "{error}");
    assert_eq!(std::fs::read(&path).expect("there"), before);
}

/// States as earlier versions wrote them; one is added with each migration and never changed.
#[tokio::test]
async fn old_states_still_open() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/states");
    let mut opened = 0;
    for entry in std::fs::read_dir(&fixtures).expect("there") {
        let fixture = entry.expect("readable").path();
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("state.db");
        std::fs::copy(&fixture, &path).expect("copied");
        let state = open(&path).await.unwrap_or_else(|error| panic!("{}: {error}", fixture.display()));
        let applied = state.applied().await.expect("read");
        assert_eq!(applied.revision, 1, "{}", fixture.display());
        assert!(applied.mesh.expect("applied").domain("sales").is_some());
        assert_eq!(state.runs(None, None, 10).await.expect("read").len(), 1);
        opened += 1;
    }
    assert!(opened >= 1, "no fixture in {}", fixtures.display());
}

/// From before the audit log had a tree.
#[tokio::test]
async fn an_older_audit_log_gets_its_tree() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("state.db");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/states/v3.db");
    std::fs::copy(fixture, &path).expect("copied");
    let state = open(&path).await.expect("opened");
    let records = state.read(0, 10).await.expect("read");
    assert_eq!(records.len(), 5);
    let mut edge = Edge::default();
    let completed: Vec<_> = records.iter().flat_map(|record| edge.push(merkle::leaf(&record.leaf))).collect();
    let places: Vec<_> = completed.iter().map(|(place, _)| *place).collect();
    let hashes: Vec<_> = completed.into_iter().map(|(_, hash)| Some(hash)).collect();
    assert_eq!(state.nodes(&places).await.expect("read"), hashes);
}

/// What was published before tables were listed is on the list.
#[tokio::test]
async fn tables_of_an_older_state_are_known() {
    let fresh = fresh().await;
    for (at, root) in ["s3://a/", "s3://a/", "s3://b/"].into_iter().enumerate() {
        table::publish(&fresh.state, &format!("p{at}"), root, 10 * at as i64).await;
    }
    let known = fresh.state.tables(None).await.expect("read");
    assert_eq!(known.len(), 2);
    let mut tx = fresh.state.write().await.expect("a transaction");
    sqlx::raw_sql("DROP TABLE tables; DROP INDEX publications_of_views; PRAGMA user_version = 4")
        .execute(&mut *tx)
        .await
        .expect("as it was");
    tx.commit().await.expect("committed");
    fresh.state.close().await;
    let again = open(&fresh.dir.path().join("state.db")).await.expect("opened");
    assert_eq!(again.tables(None).await.expect("read"), known);
}

/// Writes the fixture of the current schema when asked to: `MESHWORK_WRITE_FIXTURE=path cargo test`.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "a switch for whoever adds a migration")]
async fn a_state_for_the_fixtures_can_be_written() {
    let fresh = fresh().await;
    fresh.state.apply(0, &mesh([domain("sales", [])]), &json!([]), &ana(), moment(1)).await.expect("applied");
    let run = meshwork_testkit::run("r1", "orders");
    fresh.state.start_run(&run, "pid 1", moment(0), moment(30)).await.expect("started");
    fresh.state.close().await;
    if let Some(target) = std::env::var_os("MESHWORK_WRITE_FIXTURE") {
        std::fs::copy(fresh.dir.path().join("state.db"), PathBuf::from(target)).expect("copied");
    }
}

#[tokio::test]
async fn other_files_are_not_taken_for_a_state() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = dir.path().join("notes.txt");
    std::fs::write(&text, "not a database, but long enough to look at: ".repeat(50)).expect("written");
    assert_eq!(code(open(&text).await.map(drop)), "MW0403");

    let foreign = dir.path().join("foreign.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&foreign).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("created");
    sqlx::raw_sql("CREATE TABLE theirs (x)").execute(&pool).await.expect("created");
    pool.close().await;
    assert_eq!(code(open(&foreign).await.map(drop)), "MW0403");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_environment_error() {
    let error = open(Path::new("/nowhere/at/all/state.db")).await.expect_err("no folder");
    assert_eq!((error.code.as_str(), error.kind), ("MW0401", Kind::Environment));
    assert!(error.message.contains("/nowhere/at/all/state.db"), "{error}");
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_says_so() {
    let fresh = fresh().await;
    let mut tx = fresh.state.write().await.expect("a transaction");
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *tx).await.expect("answered");
    let limit = format!("PRAGMA max_page_count = {pages}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(limit)).execute(&mut *tx).await.expect("set");
    tx.commit().await.expect("committed");
    let large: Vec<_> = (0..200).map(|n| domain(&format!("domain_{n}"), [])).collect();
    let error = fresh.state.apply(0, &mesh(large), &json!([]), &ana(), moment(1)).await.expect_err("full");
    assert_eq!((error.code.as_str(), error.kind), ("MW0404", Kind::Environment));
    assert_eq!(fresh.state.applied().await.expect("read").revision, 0);
}

#[tokio::test]
async fn only_the_owner_may_read_the_state() {
    let fresh = fresh().await;
    for entry in std::fs::read_dir(fresh.dir.path()).expect("there") {
        let entry = entry.expect("readable");
        let mode = entry.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}
