use meshwork_control::port::state::KnownTable;
use meshwork_core::id::{OutputId, ProductId};
use meshwork_core::publication::{Publication, TablePlace};
use meshwork_testkit::{moment, publication, report, run};

use super::Backend;

/// Publishes `orders` from a storage root.
pub(super) async fn publish(state: &impl Backend, id: &str, root: &str, seconds: i64) {
    let run = run(&format!("run of {id}"), "orders");
    let lease = state.start_run(&run, "pid 1", moment(seconds), moment(seconds + 30)).await.expect("started");
    state.store_verdict(&lease, &report("orders"), moment(seconds)).await.expect("stored");
    let mut publication = publication(id, &run, seconds, 0);
    publication.outputs[0].location.root = root.to_owned();
    state.publish(&lease, &publication).await.expect("published");
}

async fn known(state: &impl Backend) -> Vec<KnownTable> {
    state.tables(Some(&ProductId::new("orders"))).await.expect("read")
}

fn roots(known: &[KnownTable]) -> Vec<&str> {
    known.iter().map(|table| table.place.location.root.as_str()).collect()
}

fn ids(publications: Vec<Publication>) -> Vec<String> {
    publications.into_iter().map(|publication| publication.id.to_string()).collect()
}

pub(crate) async fn a_table_is_known_at_every_place_until_it_is_forgotten(state: &impl Backend) {
    publish(state, "p1", "s3://a/", 10).await;
    publish(state, "p2", "s3://a/", 20).await;
    publish(state, "p3", "s3://b/", 30).await;
    assert_eq!(roots(&known(state).await), ["s3://a/", "s3://b/"]);
    assert_eq!(state.tables(None).await.expect("read"), known(state).await);
    assert_eq!(state.tables(Some(&ProductId::new("leads"))).await.expect("read"), []);
    let orders = OutputId::new("orders");
    let a: TablePlace = known(state).await.remove(0).place;
    state.withdraw(&a).await.expect("withdrawn");
    assert_eq!(ids(state.kept(&orders, 1).await.expect("read")), ["p3"], "no other place is touched");
    assert_eq!(state.resolve(&orders, 1, Some(moment(20))).await.expect("read"), None);
    assert_eq!(state.publications(None, None, 9).await.expect("read").len(), 3, "the record stays");
    assert_eq!(known(state).await.len(), 2, "its files are still there");
    state.forget_table(&a).await.expect("forgotten");
    assert_eq!(roots(&known(state).await), ["s3://b/"]);
    // It comes back.
    publish(state, "p4", "s3://a/", 40).await;
    assert_eq!(roots(&known(state).await), ["s3://a/", "s3://b/"]);
    assert_eq!(ids(state.kept(&orders, 1).await.expect("read")), ["p4", "p3"]);
}

pub(crate) async fn a_publication_takes_a_table_up_again(state: &impl Backend) {
    publish(state, "p1", "s3://a/", 10).await;
    let place = known(state).await.remove(0).place;
    state.set_given_up(&place, Some(moment(11))).await.expect("remembered");
    assert_eq!(known(state).await[0].given_up, Some(moment(11)));
    publish(state, "p2", "s3://a/", 20).await;
    assert_eq!(known(state).await[0].given_up, None);
}

pub(crate) async fn views_that_are_still_to_be_read_are_found(state: &impl Backend) {
    use meshwork_core::publication::{Body, ViewBody};
    for (at, id) in ["p1", "p2", "p3"].into_iter().enumerate() {
        let seconds = 10 * (at as i64 + 1);
        let run = run(&format!("run of {id}"), "orders");
        let lease = state.start_run(&run, "pid 1", moment(seconds), moment(seconds + 30)).await.expect("started");
        state.store_verdict(&lease, &report("orders"), moment(seconds)).await.expect("stored");
        let mut publication = publication(id, &run, seconds, at as u64);
        // The last one stores its rows.
        if id != "p3" {
            let (columns, inputs) = (Vec::new(), Default::default());
            let body = ViewBody { sql: "SELECT 1".to_owned(), now: moment(seconds), columns, inputs };
            publication.outputs[0].body = Body::View(Box::new(body));
        }
        state.publish(&lease, &publication).await.expect("published");
    }
    assert_eq!(ids(state.kept_views().await.expect("read")), ["p2", "p1"]);
    let orders = OutputId::new("orders");
    let p2 = state.kept(&orders, 1).await.expect("read").remove(1).id;
    state.expire(&orders, 1, &p2).await.expect("given up");
    assert_eq!(ids(state.kept_views().await.expect("read")), ["p2"]);
}
