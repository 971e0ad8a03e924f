//! Sources on other machines, through the whole path: what goes wrong with them never reaches who reads the product.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use meshwork_testkit::{Web, WebAnswer};

use crate::mesh::{Mesh, PRODUCT, good_rows};

fn reading_from(mesh: &Mesh, address: &str) {
    let product = mesh.path().join("domains/shop/orders/product.yaml");
    let text = std::fs::read_to_string(&product).expect("there");
    let path = format!("type: csv, path: {address:?}");
    std::fs::write(&product, text.replace("type: csv, path: files/orders.csv", &path)).expect("written");
}

#[test]
fn a_web_source_that_fails_leaves_the_old_publication() {
    const FINE: u8 = 0;
    const REFUSING: u8 = 1;
    const BREAKING_OFF: u8 = 2;
    let state = Arc::new(AtomicU8::new(FINE));
    let seen = Arc::clone(&state);
    let web = Web::start(move |_, _| match seen.load(Ordering::SeqCst) {
        FINE => WebAnswer::ok(good_rows(7)),
        REFUSING => WebAnswer::status("503 Service Unavailable"),
        _ => WebAnswer { cut_at: Some(60), ..WebAnswer::ok(good_rows(9)) },
    });
    let web = web.expect("a server");
    let mesh = Mesh::shop();
    reading_from(&mesh, &web.url("/orders.csv"));

    // This machine itself is reached only when the mesh's owners list it.
    mesh.ok(&["apply"]);
    let said = mesh.fails(4, &["run", PRODUCT]);
    assert!(said.err.contains("MW0540"), "{}", said.err);
    assert!(web.requests().is_empty());
    mesh.write("mesh.yaml", "name: shop_mesh\nstorage: data\negress: [db.example.com]\n");
    let said = mesh.meshwork(&["check"]);
    assert!(said.code == Some(1) && said.out.contains("MW0165"), "{said:?}");

    mesh.write("mesh.yaml", format!("name: shop_mesh\nstorage: data\negress: [\"127.0.0.1:{}\"]\n", web.port()));
    mesh.ok(&["apply"]);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 7);
    for (fault, code) in [(REFUSING, "MW0542"), (BREAKING_OFF, "MW0543")] {
        state.store(fault, Ordering::SeqCst);
        let said = mesh.fails(3, &["run", PRODUCT]);
        assert!(said.err.contains(code) && said.err.contains("orders.csv"), "{}", said.err);
        assert_eq!(mesh.served(), 7, "the old publication is served");
    }
    state.store(FINE, Ordering::SeqCst);
    mesh.ok(&["run", PRODUCT]);
    assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
}

#[test]
fn an_address_with_a_password_is_refused() {
    let mesh = Mesh::shop();
    reading_from(&mesh, "https://user:hunter2@example.com/orders.csv");
    let said = mesh.meshwork(&["check"]);
    assert!(said.code == Some(1) && said.out.contains("MW0122"), "{said:?}");
}
