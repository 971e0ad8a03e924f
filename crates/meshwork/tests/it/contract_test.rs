//! `contract test`: data held against a contract without a mesh.

use crate::mesh::{Mesh, good_rows};

const CONTRACT: &str = "domains/shop/orders/orders.contract.yaml";

fn path(mesh: &Mesh, file: &str) -> String {
    mesh.path().join(file).to_string_lossy().into_owned()
}

/// Outcomes by clause.
fn outcomes(mesh: &Mesh, args: &[&str]) -> (Option<i32>, serde_json::Value) {
    let said = mesh.meshwork(&[args, &["-o", "json"]].concat());
    (said.code, serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {} {}", said.out, said.err)))
}

fn failing(report: &serde_json::Value) -> Vec<String> {
    let clauses = report["clauses"].as_array().expect("clauses");
    clauses
        .iter()
        .filter(|clause| clause["outcome"]["outcome"] != "pass")
        .map(|clause| format!("{} {}", clause["clause"].as_str().unwrap_or_default(), clause["failing_rows"]))
        .collect()
}

#[test]
fn files_that_hold_and_files_that_do_not() {
    let mesh = Mesh::shop();
    let contract = path(&mesh, CONTRACT);
    let good = path(&mesh, "domains/shop/files/orders.csv");
    let (code, report) = outcomes(&mesh, &["contract", "test", &contract, "--data", &good]);
    assert_eq!((code, &report["ok"], &report["rows"]), (Some(0), &true.into(), &3.into()), "{report}");
    assert!(failing(&report).is_empty(), "{report}");

    mesh.write("bad.csv", good_rows(20) + "21,x,-4.00,open\n21,x,many,paid\n23,,5.00,lost\n");
    let bad = path(&mesh, "bad.csv");
    let (junit, sarif) = (path(&mesh, "junit.xml"), path(&mesh, "report.sarif"));
    let (code, report) =
        outcomes(&mesh, &["contract", "test", &contract, "--data", &bad, "--junit", &junit, "--sarif", &sarif]);
    assert_eq!(code, Some(1));
    let failing = failing(&report);
    for clause in ["amount.type 1", "customer.required 1", "status.enum 1", "range(amount) 1", "unique(order_id) 2"] {
        assert!(failing.iter().any(|found| found.ends_with(clause)), "{clause} is not in {failing:?}");
    }
    // Every clause is answered.
    let said = std::fs::read_to_string(&junit).expect("written");
    let clauses = report["clauses"].as_array().expect("clauses").len();
    let counts = format!("tests=\"{clauses}\" failures=\"{}\" errors=\"0\" skipped=\"0\"", failing.len());
    assert!(said.contains(&counts), "{counts} is not in {said}");
    let sarif: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&sarif).expect("written")).expect("JSON");
    let found = sarif["runs"][0]["results"].as_array().expect("results");
    assert_eq!(found.len(), failing.len(), "{sarif}");
    assert!(
        found.iter().any(|r| r["locations"][0]["physicalLocation"]["region"]["startLine"].as_u64() > Some(4)),
        "{sarif}"
    );
}

#[test]
fn parquet_and_a_product_give_the_same_answers_as_text() {
    let mesh = Mesh::shop();
    mesh.orders(5000);
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "shop.orders"]);
    let contract = path(&mesh, CONTRACT);
    let (code, report) = outcomes(&mesh, &["contract", "test", &contract, "--product", "shop.orders"]);
    assert_eq!((code, &report["rows"]), (Some(0), &5000.into()), "{report}");
    // The same rows with faults, as Parquet.
    let sql = "SELECT CASE WHEN order_id = 7 THEN 8 ELSE order_id END AS order_id,
                      CASE WHEN order_id % 100 = 0 THEN NULL ELSE customer END AS customer,
                      CASE WHEN order_id = 9 THEN -1.0 ELSE amount END AS amount,
                      CASE WHEN order_id IN (10, 4999) THEN 'lost' ELSE status END AS status, 1 AS more
               FROM shop.orders";
    let bytes = mesh.command(&["sql", "-o", "parquet", "-c", sql]).output().expect("runs");
    assert!(bytes.status.success(), "{}", String::from_utf8_lossy(&bytes.stderr));
    mesh.write("rows.parquet", bytes.stdout);
    let (code, report) = outcomes(&mesh, &["contract", "test", &contract, "--data", &path(&mesh, "rows.parquet")]);
    assert_eq!(code, Some(1));
    let failing = failing(&report);
    for clause in ["customer.required 50", "status.enum 2", "range(amount) 1", "unique(order_id) 2"] {
        assert!(failing.iter().any(|found| found.ends_with(clause)), "{clause} is not in {failing:?}");
    }
    assert_eq!(failing.len(), 4, "{failing:?}");
    assert_eq!(report["undeclared_columns"], serde_json::json!(["more"]));
}

#[test]
fn a_contracts_own_servers_and_what_is_not_clear() {
    let mesh = Mesh::shop();
    mesh.write(
        "orders.odcs.yaml",
        "apiVersion: v3.1.0\nkind: DataContract\nid: orders\nversion: 1.0.0\nstatus: active\nservers:\n  - server: files\n    type: local\n    \
         path: domains/shop/files/*.csv\n    format: csv\n  - server: lake\n    type: snowflake\n    database: x\nschema:\n  - name: orders\n    \
         properties:\n      - name: order_id\n        logicalType: integer\n        required: true\n      - name: gone\n        logicalType: string\n",
    );
    let contract = path(&mesh, "orders.odcs.yaml");
    let (code, report) = outcomes(&mesh, &["contract", "test", &contract, "--of-server", "files"]);
    assert_eq!(code, Some(1), "{report}");
    assert!(failing(&report).iter().any(|clause| clause.starts_with("gone.type")), "{report}");
    assert_eq!(mesh.fails(2, &["contract", "test", &contract]).error_code(), Some("MW1111"));
    assert_eq!(mesh.fails(2, &["contract", "test", &contract, "--of-server", "lake"]).error_code(), Some("MW1111"));
    assert_eq!(mesh.fails(5, &["contract", "test", "nothing.yaml", "--data", "x.csv"]).error_code(), Some("MW1110"));
}
