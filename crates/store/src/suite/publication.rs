use meshwork_core::id::OutputId;
use meshwork_testkit::{moment, publication, report, run};

use super::Backend;

/// Publishes `product` through a whole run.
async fn publish(state: &impl Backend, id: &str, product: &str, seconds: i64, version: u64) {
    let run = run(&format!("run of {id}"), product);
    let lease = state.start_run(&run, "pid 1", moment(seconds), moment(seconds + 30)).await.expect("started");
    state.store_verdict(&lease, &report(product), moment(seconds)).await.expect("stored");
    state.publish(&lease, &publication(id, &run, seconds, version)).await.expect("published");
}

async fn version(state: &impl Backend, seconds: Option<i64>) -> Option<u64> {
    let found = state.resolve(&OutputId::new("orders"), 1, seconds.map(moment)).await.expect("read");
    found.map(|publication| publication.outputs[0].delta_version)
}

pub(crate) async fn resolves_as_of_publication_time(state: &impl Backend) {
    assert_eq!(version(state, None).await, None);
    publish(state, "p1", "orders", 10, 0).await;
    publish(state, "p2", "orders", 20, 1).await;
    assert_eq!(version(state, None).await, Some(1));
    assert_eq!(version(state, Some(9)).await, None);
    assert_eq!(version(state, Some(10)).await, Some(0));
    assert_eq!(version(state, Some(19)).await, Some(0));
    assert_eq!(version(state, Some(20)).await, Some(1));
    let other_major = state.resolve(&OutputId::new("orders"), 2, None).await.expect("read");
    assert_eq!(other_major, None);
}

pub(crate) async fn a_clock_set_back_does_not_hide_the_newest(state: &impl Backend) {
    publish(state, "p1", "orders", 100, 0).await;
    publish(state, "p2", "orders", 50, 1).await;
    assert_eq!(version(state, None).await, Some(1));
}

pub(crate) async fn current_is_the_newest_of_each_output(state: &impl Backend) {
    publish(state, "p1", "orders", 10, 0).await;
    publish(state, "p2", "leads", 20, 0).await;
    publish(state, "p3", "orders", 30, 1).await;
    let ids: Vec<_> = state.current().await.expect("read").into_iter().map(|p| p.id.to_string()).collect();
    assert_eq!(ids, ["p3", "p2"]);
}

pub(crate) async fn publications_page_newest_first(state: &impl Backend) {
    for (n, id) in ["p1", "p2", "p3"].into_iter().enumerate() {
        publish(state, id, "orders", 10 * (n as i64 + 1), n as u64).await;
    }
    let page = state.publications(None, None, 2).await.expect("read");
    assert_eq!(page.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["p3", "p2"]);
    let rest = state.publications(None, Some(&page[1].id), 2).await.expect("read");
    assert_eq!(rest.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["p1"]);
    assert_eq!(state.publication(&page[0].id).await.expect("read").as_ref(), Some(&page[0]));
}
