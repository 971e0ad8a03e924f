use meshwork_core::id::{OutputId, ProductId, RunId};
use meshwork_core::quarantine::{QuarantineEntry, QuarantineLimit, Quarantined, Released, Rows};
use meshwork_core::run::RunReport;
use meshwork_testkit::{moment, publication, report, run};

use super::{Backend, code};

fn setting_aside(rows: u64) -> RunReport {
    let mut report = report("orders");
    report.outputs[0].quarantine = Some(Quarantined {
        rows,
        batch_rows: 100,
        limit: QuarantineLimit::default(),
        clauses: [("id.required".to_owned(), rows)].into(),
        kept_rows: 0,
        files: vec![serde_json::json!({ "path": "r/part-0.parquet" })],
    });
    report
}

fn releasing(of: &str, rows: &[u64]) -> RunReport {
    let mut report = report("orders");
    let released = Released {
        of: RunId::new(of),
        tried: rows.len() as u64,
        rows: Rows::of(rows.iter().copied()),
        clauses: Default::default(),
    };
    report.outputs[0].release = Some(released);
    report
}

/// A run that publishes at a moment.
async fn published(state: &impl Backend, id: &str, at: i64, report: &RunReport) -> meshwork_core::Result<()> {
    let run = run(id, "orders");
    let lease = state.start_run(&run, "pid 1", moment(at - 2), moment(at + 30)).await.expect("started");
    state.store_verdict(&lease, report, moment(at - 1)).await.expect("stored");
    let result = state.publish(&lease, &publication(&format!("p-{id}"), &run, at, 1)).await;
    if result.is_err() {
        let over = meshwork_core::run::Run { state: meshwork_core::run::RunState::Failed, ..run };
        state.finish_run(&lease, &over, None).await.expect("finished");
    }
    result
}

async fn entry(state: &impl Backend, of: &str) -> QuarantineEntry {
    state.quarantine(None, Some(&RunId::new(of))).await.expect("read").pop().expect("there")
}

pub(crate) async fn a_publication_brings_it_and_a_run_that_dies_does_not(state: &impl Backend) {
    let first = run("r1", "orders");
    let lease = state.start_run(&first, "pid 1", moment(0), moment(30)).await.expect("started");
    state.store_verdict(&lease, &setting_aside(3), moment(1)).await.expect("stored");
    assert_eq!(state.quarantine(None, None).await.expect("read"), [], "not before it is published");
    state.publish(&lease, &publication("p1", &first, 2, 1)).await.expect("published");
    let entry = entry(state, "r1").await;
    assert_eq!((entry.open_rows(), entry.at, entry.major, entry.name.as_str()), (3, moment(2), 1, "orders"));
    assert_eq!(entry.location.path, "orders/quarantine/v1");
    assert_eq!(state.quarantine(Some(&ProductId::new("orders")), None).await.expect("read"), [entry]);
    assert_eq!(state.quarantine(Some(&ProductId::new("leads")), None).await.expect("read"), []);
    published(state, "r2", 10, &setting_aside(0)).await.expect("published");
    assert_eq!(state.quarantine(None, None).await.expect("read").len(), 1, "nothing set aside is no entry");
}

pub(crate) async fn a_release_shrinks_it_once(state: &impl Backend) {
    published(state, "r1", 10, &setting_aside(4)).await.expect("published");
    published(state, "r2", 20, &releasing("r1", &[1, 3])).await.expect("published");
    let now = entry(state, "r1").await;
    assert_eq!((now.released.iter().collect::<Vec<_>>(), now.open_rows()), (vec![1, 3], 2));
    // No row is released twice, and a refused release publishes nothing.
    assert_eq!(code(published(state, "r3", 30, &releasing("r1", &[2, 3])).await), "MW0419");
    assert_eq!(code(published(state, "r4", 40, &releasing("unknown", &[1])).await), "MW0419");
    assert_eq!(entry(state, "r1").await, now);
    assert_eq!(state.publications(None, None, 10).await.expect("read").len(), 2);
    published(state, "r5", 50, &releasing("r1", &[2, 4])).await.expect("published");
    assert_eq!(entry(state, "r1").await.open_rows(), 0);
}

pub(crate) async fn a_table_that_is_built_anew_supersedes_it(state: &impl Backend) {
    published(state, "r1", 10, &setting_aside(4)).await.expect("published");
    published(state, "r2", 20, &setting_aside(2)).await.expect("published");
    assert_eq!(entry(state, "r1").await.open_rows(), 4, "one that only grows does not");
    let mut anew = setting_aside(1);
    anew.outputs[0].rebuilt = true;
    published(state, "r3", 30, &anew).await.expect("published");
    for (of, expected) in [("r1", Some("r3")), ("r2", Some("r3")), ("r3", None)] {
        let entry = entry(state, of).await;
        assert_eq!(entry.superseded_by, expected.map(RunId::new), "{of}");
    }
    assert_eq!(code(published(state, "r4", 40, &releasing("r1", &[1])).await), "MW0419");
}

pub(crate) async fn it_is_found_by_age_and_forgotten(state: &impl Backend) {
    published(state, "r1", 10, &setting_aside(4)).await.expect("published");
    published(state, "r2", 20, &setting_aside(2)).await.expect("published");
    let old = state.quarantined_before(moment(20)).await.expect("read");
    assert_eq!(old.iter().map(|entry| entry.run.as_str()).collect::<Vec<_>>(), ["r1"]);
    state.forget_quarantine(&RunId::new("r1"), &OutputId::new("orders"), 1).await.expect("forgotten");
    state.forget_quarantine(&RunId::new("r1"), &OutputId::new("orders"), 1).await.expect("again");
    let left = state.quarantine(None, None).await.expect("read");
    assert_eq!(left.iter().map(|entry| entry.run.as_str()).collect::<Vec<_>>(), ["r2"]);
}
