use meshwork_core::id::{ProductId, RunId};
use meshwork_core::run::{Lease, Run, RunState};
use meshwork_testkit::{moment, publication, report, run};

use super::{Backend, code};

async fn started(state: &impl Backend, run: &Run) -> Lease {
    state.start_run(run, "pid 1", moment(0), moment(30)).await.expect("started")
}

async fn state_of(state: &impl Backend, id: &str) -> RunState {
    state.run(&RunId::new(id)).await.expect("read").expect("there").0.state
}

pub(crate) async fn one_run_holds_a_product(state: &impl Backend) {
    started(state, &run("r1", "orders")).await;
    let error = state.start_run(&run("r2", "orders"), "pid 2", moment(1), moment(31)).await.expect_err("held");
    assert_eq!(error.code, "MW0411");
    assert!(error.message.contains("pid 1"), "{error}");
    assert_eq!(state.run(&RunId::new("r2")).await.expect("read"), None);
    started(state, &run("r3", "leads")).await;
}

pub(crate) async fn of_takers_at_once_one_wins(state: &impl Backend) {
    let tries: Vec<_> = (0..8)
        .map(|n| {
            let state = state.clone();
            let holder = format!("pid {n}");
            tokio::spawn(async move {
                state.start_run(&run(&format!("r{n}"), "orders"), &holder, moment(0), moment(30)).await
            })
        })
        .collect();
    let mut leases = Vec::new();
    for one in tries {
        match one.await.expect("no panic") {
            Ok(lease) => leases.push(lease),
            Err(error) => assert_eq!(error.code, "MW0411"),
        }
    }
    assert_eq!(leases.len(), 1);
    assert_eq!(state.runs(None, None, 10).await.expect("read").len(), 1);
}

pub(crate) async fn verdict_then_publication(state: &impl Backend) {
    let first = run("r1", "orders");
    let lease = started(state, &first).await;
    let publication = publication("p1", &first, 20, 4);
    assert_eq!(code(state.publish(&lease, &publication).await), "MW0413", "no verdict is stored");
    state.store_verdict(&lease, &report("orders"), moment(10)).await.expect("stored");
    assert_eq!(state_of(state, "r1").await, RunState::Committing);
    state.publish(&lease, &publication).await.expect("published");
    let (ended, kept) = state.run(&first.id).await.expect("read").expect("there");
    assert_eq!((ended.state, ended.finished_at), (RunState::Published, Some(moment(20))));
    assert_eq!(ended.publication, Some(publication.id.clone()));
    assert_eq!(kept, Some(report("orders")));
    // The answer may get lost on its way: saying it again is no error and publishes nothing twice.
    state.publish(&lease, &publication).await.expect("the same again");
    assert_eq!(state.publications(None, None, 10).await.expect("read"), vec![publication]);
    started(state, &run("r2", "orders")).await;
}

pub(crate) async fn a_late_verdict_is_refused(state: &impl Backend) {
    let lease = started(state, &run("r1", "orders")).await;
    assert_eq!(code(state.store_verdict(&lease, &report("orders"), moment(30)).await), "MW0413");
    state.heartbeat(&lease, moment(60)).await.expect("nobody took it");
    state.store_verdict(&lease, &report("orders"), moment(31)).await.expect("in time again");
}

pub(crate) async fn an_expired_run_makes_way(state: &impl Backend) {
    let old = started(state, &run("r1", "orders")).await;
    let new = state.start_run(&run("r2", "orders"), "pid 2", moment(31), moment(61)).await.expect("expired");
    assert!(new.fencing_token > old.fencing_token);
    assert_eq!(state_of(state, "r1").await, RunState::Cancelled);
    assert_eq!(code(state.heartbeat(&old, moment(99)).await), "MW0413");
    assert_eq!(code(state.store_verdict(&old, &report("orders"), moment(32)).await), "MW0413");
    assert_eq!(code(state.publish(&old, &publication("p1", &run("r1", "orders"), 33, 1)).await), "MW0413");
    assert_eq!(code(state.finish_run(&old, &run("r1", "orders"), None).await), "MW0413");
    state.heartbeat(&new, moment(99)).await.expect("the new holder is not disturbed");
}

pub(crate) async fn a_stranded_commit_is_recovered_before_the_next_run(state: &impl Backend) {
    let first = run("r1", "orders");
    let old = started(state, &first).await;
    state.store_verdict(&old, &report("orders"), moment(10)).await.expect("stored");
    assert_eq!(state.stranded(moment(29)).await.expect("read"), vec![], "its lease still lives");
    assert_eq!(code(state.take_over(&old, "pid 2", moment(29), moment(60)).await), "MW0411");
    assert_eq!(code(state.start_run(&run("r2", "orders"), "pid 2", moment(40), moment(70)).await), "MW0412");

    let stranded = state.stranded(moment(40)).await.expect("read");
    let [(found, lease, kept)] = stranded.as_slice() else { panic!("one is stranded: {stranded:?}") };
    assert_eq!((&found.id, found.state), (&first.id, RunState::Committing));
    assert_eq!(lease, &old);
    assert_eq!(kept, &Some(report("orders")));

    let new = state.take_over(lease, "pid 2", moment(40), moment(70)).await.expect("expired");
    assert_eq!(state.stranded(moment(41)).await.expect("read"), vec![], "it is being recovered");
    // The old holder was only slow. It must not publish, whatever it still believes.
    assert_eq!(code(state.publish(&old, &publication("p0", &first, 41, 1)).await), "MW0413");
    state.publish(&new, &publication("p1", &first, 42, 1)).await.expect("rolled forward");
    assert_eq!(state.publications(None, None, 10).await.expect("read").len(), 1);
}

pub(crate) async fn of_recoverers_at_once_one_wins(state: &impl Backend) {
    let old = started(state, &run("r1", "orders")).await;
    let tries: Vec<_> = (0..8)
        .map(|n| {
            let (state, old) = (state.clone(), old.clone());
            tokio::spawn(async move { state.take_over(&old, &format!("pid {n}"), moment(31), moment(61)).await })
        })
        .collect();
    let mut won = 0;
    for one in tries {
        match one.await.expect("no panic") {
            Ok(lease) => {
                assert_eq!(lease.fencing_token, old.fencing_token + 1);
                won += 1;
            }
            Err(error) => assert_eq!(error.code, "MW0413"),
        }
    }
    assert_eq!(won, 1);
}

pub(crate) async fn a_blocked_run_keeps_its_report_and_frees_the_product(state: &impl Backend) {
    let first = run("r1", "orders");
    let lease = started(state, &first).await;
    let blocked = Run { state: RunState::Blocked, finished_at: Some(moment(5)), ..first };
    state.finish_run(&lease, &blocked, Some(&report("orders"))).await.expect("finished");
    let kept = state.run(&blocked.id).await.expect("read");
    assert_eq!(kept, Some((blocked, Some(report("orders")))));
    assert_eq!(state.stranded(moment(99)).await.expect("read"), vec![]);
    started(state, &run("r2", "orders")).await;
}

pub(crate) async fn runs_page_newest_first(state: &impl Backend) {
    for (id, product) in [("r1", "a"), ("r2", "b"), ("r3", "c")] {
        started(state, &run(id, product)).await;
    }
    let ids = |runs: Vec<Run>| runs.into_iter().map(|run| run.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(state.runs(None, None, 2).await.expect("read")), ["r3", "r2"]);
    assert_eq!(ids(state.runs(None, Some(&RunId::new("r2")), 2).await.expect("read")), ["r1"]);
    assert_eq!(ids(state.runs(Some(&ProductId::new("b")), None, 9).await.expect("read")), ["r2"]);
}

pub(crate) async fn a_log_keeps_its_order(state: &impl Backend) {
    started(state, &run("r1", "orders")).await;
    let id = RunId::new("r1");
    for line in ["reading", "checking", "done"] {
        state.append_log(&id, moment(1), "info", line).await.expect("written");
    }
    let lines: Vec<_> = state.log(&id).await.expect("read").into_iter().map(|(_, _, line)| line).collect();
    assert_eq!(lines, ["reading", "checking", "done"]);
    assert_eq!(code(state.append_log(&RunId::new("r9"), moment(1), "info", "x").await), "MW0414");
}
