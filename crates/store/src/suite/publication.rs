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

pub(crate) async fn what_was_given_up_stays_given_up(state: &impl Backend) {
    for (n, id) in ["p1", "p2", "p3"].into_iter().enumerate() {
        publish(state, id, "orders", 10 * (n as i64 + 1), n as u64).await;
    }
    publish(state, "q1", "leads", 5, 0).await;
    let orders = OutputId::new("orders");
    let kept = async |output: &OutputId| -> Vec<String> {
        let kept = state.kept(output, 1).await.expect("read");
        kept.into_iter().map(|publication| publication.id.to_string()).collect()
    };
    assert_eq!(
        (kept(&orders).await, state.horizon(&orders, 1).await.expect("read")),
        (vec!["p3".into(), "p2".into(), "p1".into()], None)
    );
    let p2 = state.publications(None, None, 10).await.expect("read").remove(2).id;
    assert_eq!(p2.as_str(), "p2");
    state.expire(&orders, 1, &p2).await.expect("given up");
    assert_eq!(kept(&orders).await, ["p3", "p2"]);
    assert_eq!(state.horizon(&orders, 1).await.expect("read"), Some(moment(20)));
    assert_eq!(state.horizon(&orders, 2).await.expect("read"), None);
    assert_eq!(kept(&OutputId::new("leads")).await, ["q1"]);
    // It only moves on.
    state.expire(&orders, 1, &meshwork_core::id::PublicationId::new("p1")).await.expect("nothing");
    assert_eq!(kept(&orders).await, ["p3", "p2"]);
    // The record of them stays.
    assert_eq!(state.publications(None, None, 10).await.expect("read").len(), 4);
}
