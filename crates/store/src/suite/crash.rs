//! kill -9 at every step of the transactions that matter: afterwards the old holds or the new, and work goes on.

#![allow(clippy::disallowed_methods, reason = "the test tells its child process what to do in its environment")]

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use meshwork_control::port::state::{MeshState as _, PublicationState as _, RunLedger as _};
use meshwork_core::id::{Ids, RunId};
use meshwork_core::principal::Principal;
use meshwork_core::run::RunState;
use meshwork_testkit::{SeededEntropy, TestClock, domain, mesh, moment, publication, report, run};
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;

use crate::SqliteState;

const STEP: &str = "MESHWORK_TEST_KILL_AT";
const STATE: &str = "MESHWORK_TEST_STATE";

async fn open(path: &Path) -> SqliteState {
    let ids = Ids { clock: &TestClock::new(), entropy: &SeededEntropy::new(1) };
    SqliteState::open(path, ids).await.expect("opened")
}

/// An apply and a run. In the child process, SIGKILL comes at the step that its environment names.
#[tokio::test]
async fn child() {
    let (Ok(step), Ok(path)) = (std::env::var(STEP), std::env::var(STATE)) else { return };
    let state = open(Path::new(&path)).await.with_steps(Arc::new(move |passed| {
        if passed == step {
            kill_process(getpid(), Signal::KILL).expect("allowed");
            // The signal is on its way; nothing after this step may still happen.
            loop {
                std::thread::park();
            }
        }
    }));
    let ana = Principal::User("ana".to_owned());
    state.apply(1, &mesh([domain("new", [])]), &json!([]), &ana, moment(1)).await.expect("applied");
    let run = run("r1", "orders");
    let lease = state.start_run(&run, "pid 1", moment(0), moment(30)).await.expect("started");
    state.store_verdict(&lease, &report("orders"), moment(1)).await.expect("stored");
    state.publish(&lease, &publication("p1", &run, 2, 0)).await.expect("published");
}

/// What holds after the child was killed at `step`: revision, state of the run, publications.
async fn after(step: &'static str) -> (u64, Option<RunState>, usize) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("state.db");
    let state = open(&path).await;
    let ana = Principal::User("ana".to_owned());
    state.apply(0, &mesh([domain("old", [])]), &json!([]), &ana, moment(0)).await.expect("applied");
    state.close().await;

    let output = Command::new(std::env::current_exe().expect("a path"))
        .args(["suite::crash::child", "--exact"])
        .env(STEP, step)
        .env(STATE, &path)
        .output()
        .expect("started");
    assert_eq!(output.status.signal(), Some(9), "{step}: {}", String::from_utf8_lossy(&output.stdout));

    let state = open(&path).await;
    let applied = state.applied().await.expect("read");
    let expected = if applied.revision == 1 { "old" } else { "new" };
    assert!(applied.mesh.expect("applied").domain(expected).is_some(), "{step}: revision and mesh belong together");
    assert_eq!(state.policy_epoch().await.expect("read"), applied.revision, "{step}");
    let run = state.run(&RunId::new("r1")).await.expect("read").map(|(run, _)| run.state);
    let published = state.publications(None, None, 9).await.expect("read").len();
    recover(&state, step).await;
    (applied.revision, run, published)
}

/// Whatever stands there, the next start can go on with it.
async fn recover(state: &SqliteState, step: &str) {
    for (stranded, lease, report) in state.stranded(moment(60)).await.expect("read") {
        let lease = state.take_over(&lease, "pid 2", moment(60), moment(90)).await.expect("expired");
        match stranded.state {
            RunState::Committing => {
                assert!(report.is_some(), "{step}: a run that commits has its verdict");
                state.publish(&lease, &publication("p2", &stranded, 61, 0)).await.expect("rolled forward");
            }
            _ => {
                let cancelled = meshwork_core::run::Run { state: RunState::Cancelled, ..stranded };
                state.finish_run(&lease, &cancelled, None).await.expect("dropped");
            }
        }
    }
    let next = run("r2", "orders");
    state.start_run(&next, "pid 3", moment(100), moment(130)).await.unwrap_or_else(|error| panic!("{step}: {error}"));
}

#[tokio::test]
async fn killed_at_any_step_the_old_holds_or_the_new() {
    use RunState::{Committing, Published, Running};
    for (step, expected) in SqliteState::STEPS.into_iter().zip([
        (1, None, 0),
        (1, None, 0),
        (2, None, 0),
        (2, Some(Running), 0),
        (2, Some(Running), 0),
        (2, Some(Committing), 0),
        (2, Some(Committing), 0),
        (2, Some(Committing), 0),
        (2, Some(Published), 1),
    ]) {
        assert_eq!(after(step).await, expected, "{step}");
    }
}
