//! The main path: declare, check, apply, run, query.

use crate::mesh::{Mesh, PRODUCT, good_rows};

#[test]
fn from_a_folder_to_a_table() {
    let mesh = Mesh::shop();
    let checked = mesh.json(&["check"]);
    assert_eq!(checked["ok"], true, "{checked}");
    mesh.ok(&["apply"]);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 3);
    let rows = mesh.ok(&["sql", "-c", "SELECT order_id, status FROM shop.orders ORDER BY order_id", "-o", "csv"]);
    assert_eq!(rows, "order_id,status\n1,paid\n2,shipped\n3,open\n");
    mesh.orders(5);
    mesh.ok(&["run", "all"]);
    assert_eq!(mesh.served(), 5);
    assert_eq!(mesh.json(&["publications", "list"]).as_array().expect("a list").len(), 2);
    assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let mesh = Mesh::shop();
    assert_eq!(mesh.meshwork(&["plan", "--detailed-exitcode"]).code, Some(1));
    mesh.ok(&["apply"]);
    assert_eq!(mesh.meshwork(&["plan", "--detailed-exitcode"]).code, Some(0));
    mesh.ok(&["apply"]);
    assert_eq!(mesh.meshwork(&["drift", "--detailed-exitcode"]).code, Some(0));
}

#[test]
fn a_blocked_run_says_which_clause_and_which_rows() {
    let mesh = Mesh::published();
    mesh.source(&(good_rows(20) + "21,x,-4.00,open\n22,x,12000.00,paid\n22,y,5.00,lost\n"));
    let said = mesh.fails(1, &["run", PRODUCT]);
    assert!(said.err.contains("MW0659"), "{}", said.err);
    // The header is line 1.
    for place in ["orders.csv:22", "orders.csv:23", "orders.csv:24"] {
        assert!(said.err.contains(place), "{place} is not in {}", said.err);
    }
    for clause in ["range", "unique", "enum"] {
        assert!(said.err.contains(clause), "{clause} is not in {}", said.err);
    }
    assert_eq!(mesh.served(), 3, "the previous publication is served");
    let log = mesh.ok(&["logs", PRODUCT]);
    assert!(log.contains("orders.csv:22"), "{log}");
    mesh.orders(6);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 6);
    assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
}

#[test]
fn lifecycle_states_have_effect_on_runs() {
    let mesh = Mesh::shop();
    let manifest = std::fs::read_to_string(mesh.path().join("domains/shop/orders/product.yaml")).expect("there");
    mesh.write("domains/shop/orders/product.yaml", manifest.replace("status: active", "status: proposed"));
    mesh.ok(&["apply"]);
    mesh.ok(&["run", PRODUCT]);
    let said = mesh.meshwork(&["sql", "-c", "SELECT count(*) AS n FROM shop.orders", "-o", "csv"]);
    assert_eq!(said.out, "n\n3\n", "{}", said.err);
    mesh.write("domains/shop/orders/product.yaml", manifest.replace("status: active", "status: retired"));
    mesh.ok(&["apply"]);
    let said = mesh.fails(2, &["run", PRODUCT]);
    assert_eq!(said.error_code(), Some("MW0653"));
}

#[test]
fn selectors_that_mean_nothing_say_so() {
    let mesh = Mesh::shop();
    assert_eq!(mesh.fails(5, &["run", "all"]).error_code(), Some("MW0654"));
    mesh.ok(&["apply"]);
    assert_eq!(mesh.fails(5, &["run", "shop.nothing"]).code, Some(5));
}
