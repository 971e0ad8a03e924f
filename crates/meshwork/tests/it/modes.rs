//! Tables that grow: `append` and `merge`, from the manifest to what readers see, whatever stops a run.

use crate::mesh::{HEADER, Mesh, PRODUCT};

/// The shop with a folder of files, its output in this mode; published with orders 1 and 2.
fn growing(mode: &str) -> Mesh {
    let mesh = to_grow(mode);
    mesh.ok(&["apply"]);
    mesh.ok(&["run", PRODUCT]);
    mesh
}

/// The same before anything is applied.
pub fn to_grow(mode: &str) -> Mesh {
    let mesh = Mesh::shop();
    mesh.over_files("files/orders*.csv", mode, "    key: [order_id]\n");
    mesh.source(HEADER);
    put(&mesh, 0, &[1, 2]);
    mesh
}

pub fn put(mesh: &Mesh, file: usize, orders: &[usize]) {
    let rows: String = orders.iter().map(|order| format!("{order},customer {order},{file}.50,paid\n")).collect();
    mesh.write(&format!("domains/shop/files/orders-{file:03}.csv"), format!("{HEADER}{rows}"));
}

/// Each order with the file that it came from last.
pub fn orders(mesh: &Mesh) -> Vec<(usize, usize)> {
    let sql = "SELECT order_id, CAST(floor(amount) AS BIGINT) AS file FROM shop.orders ORDER BY order_id";
    let out = mesh.ok(&["sql", "-c", sql, "-o", "csv"]);
    let row = |line: &str| {
        let (order, file) = line.trim().split_once(',').expect("two columns");
        (order.parse().expect("a number"), file.parse().expect("a number"))
    };
    out.lines().skip(1).map(row).collect()
}

#[test]
fn nothing_new_is_done_and_said() {
    let mesh = growing("append");
    let publications = || mesh.json(&["publications", "list"]).as_array().map(Vec::len);
    assert_eq!(publications(), Some(1));
    let said = mesh.meshwork(&["run", PRODUCT]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(format!("{}{}", said.out, said.err).contains("nothing is new"), "{}\n{}", said.out, said.err);
    assert_eq!((publications(), mesh.json(&["runs"])[0]["state"].as_str()), (Some(1), Some("unchanged")));
    put(&mesh, 1, &[3]);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(orders(&mesh), [(1, 0), (2, 0), (3, 1)]);
    // What was appended is never changed, unless everything is read anew.
    put(&mesh, 0, &[1, 2, 4]);
    let said = mesh.fails(1, &["run", PRODUCT]);
    assert!(said.err.contains("MW0671"), "{}", said.err);
    assert_eq!(orders(&mesh).len(), 3);
    mesh.ok(&["run", PRODUCT, "--full-refresh"]);
    assert_eq!(orders(&mesh), [(1, 0), (2, 0), (3, 1), (4, 0)]);
}

#[test]
fn killed_at_every_step_of_a_run_that_grows() {
    let own = ["run.verdict_stored", "run.commit_ended", "run.committed", "run.published"];
    let child = ["after-first-file", "after-merge", "after-stage", "before-commit", "after-commit"];
    for mode in ["append", "merge"] {
        let mesh = growing(mode);
        let own = own.iter().map(|step| ("MESHWORK_FAULT", *step));
        let steps = own.chain(child.iter().map(|step| ("MESHWORK_RUN_FAULT", *step)));
        let mut old = orders(&mesh);
        for (at, (variable, step)) in steps.enumerate() {
            if mode == "append" && step == "after-merge" {
                continue;
            }
            let (file, order) = (at + 1, at + 10);
            // A merge also replaces an order of the first file.
            let mut new = old.clone();
            if mode == "merge" {
                new[0] = (1, file);
                put(&mesh, file, &[1, order]);
            } else {
                put(&mesh, file, &[order]);
            }
            new.push((order, file));
            mesh.with_env(&[(variable, step)], &["run", PRODUCT]);
            let served = orders(&mesh);
            assert!(served == old || served == new, "{mode}, {step}: {served:?} is served");
            mesh.ok(&["run", PRODUCT]);
            assert_eq!(orders(&mesh), new, "{mode}, {step}");
            mesh.ok(&["collect"]);
            assert!(mesh.orphans().is_empty(), "{mode}, {step} left {:?}", mesh.orphans());
            old = new;
        }
    }
}

const GROWING_TESTS: &str = "\
tests:
  - name: a merge replaces by key, adds, and keeps the rest
    existing:
      orders:
        - { order_id: 1, customer: ana, amount: 1, status: open }
        - { order_id: 2, customer: bo, amount: 2, status: open }
    inputs:
      raw:
        - { order_id: 2, customer: bo, amount: 2.5, status: paid }
        - { order_id: 3, customer: cy, amount: 3, status: open }
    expect:
      orders:
        - { order_id: 1, customer: ana, amount: 1, status: open }
        - { order_id: 2, amount: 2.5, status: paid }
        - { order_id: 3, customer: cy }
  - name: nothing new changes nothing
    existing: { orders: { file: before.csv } }
    expect: { orders: [{ order_id: 7, amount: 7 }] }
  - name: the first run has nothing before it
    inputs: { raw: [{ order_id: 1, customer: ana, amount: 1, status: paid }] }
    expect: { orders: [{ order_id: 1 }] }
";

#[test]
fn products_that_grow_are_tested_with_the_rows_that_they_have() {
    let mesh = growing("merge");
    let file = "domains/shop/orders/orders.test.yaml";
    mesh.write(file, GROWING_TESTS);
    mesh.write("domains/shop/orders/before.csv", format!("{HEADER}7,gus,7,paid\n"));
    let said = mesh.meshwork(&["test"]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);

    // Appended, the second order stands twice: that breaks the contract, and the test says so.
    let product = "domains/shop/orders/product.yaml";
    let text = std::fs::read_to_string(mesh.path().join(product)).expect("there");
    mesh.write(product, text.replace("mode: merge\n    key: [order_id]", "mode: append"));
    let said = mesh.meshwork(&["test", "--only", "replaces"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.out.contains("unique") && said.out.contains("order_id: 2") | said.out.contains("order_id=2"),
        "{}",
        said.out
    );
    let said = mesh.meshwork(&["test", "--only", "nothing"]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);

    // Replaced with every run, it has nothing before.
    mesh.write(product, text.replace("    mode: merge\n    key: [order_id]\n", ""));
    let said = mesh.meshwork(&["check"]);
    assert!(said.out.contains("MW1060") && said.out.contains("each run replaces them"), "{said:?}");
}
