//! What is used every day beside the main path: `fmt`, `context`, `doctor`.

use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::mesh::{Mesh, PRODUCT};

const MANIFEST: &str = "domains/shop/orders/product.yaml";

#[test]
fn manifests_are_formatted_without_changing_what_they_mean() {
    let mesh = Mesh::shop();
    let untidy = "version:   1.0.0\nproduct: orders # the name\nstatus: active\ndescription: Orders of the shop, one row per order.\n\n\n\noutputs:\n    orders:\n        sql: orders.sql\n        contract: orders.contract.yaml\ninputs: {raw: {source: {type: csv, path: files/orders.csv}}}\n";
    mesh.ok(&["apply"]);
    mesh.write(MANIFEST, untidy);
    let said = mesh.meshwork(&["fmt", "--check"]);
    assert_eq!((said.code, said.out.trim()), (Some(1), MANIFEST), "{}", said.err);
    assert_eq!(std::fs::read_to_string(mesh.path().join(MANIFEST)).expect("there"), untidy, "--check writes nothing");
    mesh.ok(&["fmt"]);
    let text = std::fs::read_to_string(mesh.path().join(MANIFEST)).expect("there");
    assert!(text.starts_with("product: orders # the name\nversion: 1.0.0\n"), "{text}");
    assert!(text.contains("\n  orders:\n    contract: orders.contract.yaml\n    sql: orders.sql\n"), "{text}");
    mesh.ok(&["fmt", "--check"]);
    assert_eq!(mesh.meshwork(&["plan", "--detailed-exitcode"]).code, Some(0), "it means the same");
    mesh.write(MANIFEST, "product: [\n");
    assert_eq!(mesh.fails(1, &["fmt", MANIFEST]).error_code(), Some("MW0100"));
}

#[test]
fn contexts_name_servers_and_keep_their_credentials_private() {
    let mesh = Mesh::published();
    let server = mesh.serve();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let elsewhere = elsewhere.path().to_str().expect("text");
    mesh.ok(&["--token", &server.token, "context", "add", "here", &server.http]);
    let file = mesh.path().join(".config/meshwork/contexts.json");
    assert_eq!(std::fs::metadata(&file).expect("written").permissions().mode() & 0o777, 0o600);
    let listed = mesh.ok(&["context", "list", "-o", "json"]);
    assert!(listed.contains("\"stored\"") && !listed.contains(&server.token), "{listed}");
    let count = ["sql", "-c", "SELECT count(*) AS n FROM shop.orders", "-o", "csv"];
    // From a folder that is no mesh: the context says where.
    let from = |context: &[&str]| mesh.meshwork(&[&["-C", elsewhere][..], context, &count].concat());
    assert_eq!(from(&["--context", "here"]).out, "n\n3\n");
    assert_eq!(from(&[]).code, Some(2));
    mesh.ok(&["context", "use", "here"]);
    assert_eq!(from(&[]).out, "n\n3\n");
    let secret = mesh.path().join("token");
    std::fs::write(&secret, &server.token).expect("written");
    let command = format!("cat '{}'", secret.display());
    mesh.ok(&["context", "add", "here", &server.http, "--token-command", &command]);
    assert!(!std::fs::read_to_string(&file).expect("there").contains(&server.token));
    assert_eq!(from(&[]).out, "n\n3\n");
    mesh.ok(&["context", "add", "here", &server.http, "--token-command", "false"]);
    assert_eq!(from(&[]).error_code(), Some("MW1056"));
    mesh.ok(&["context", "remove", "here"]);
    assert_eq!(mesh.fails(5, &["--context", "here", "whoami"]).error_code(), Some("MW1055"));
    assert_eq!(server.stop(Signal::TERM), Some(0));
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let mesh = Mesh::published();
    let findings = mesh.json(&["doctor"]);
    let state = |findings: &serde_json::Value, what: &str| {
        let found = findings.as_array().expect("a list").iter().filter(|f| f["what"] == what);
        found.map(|f| f["state"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    for what in ["mesh folder", "state", "applied", "foreign", "storage", "secrets"] {
        assert_eq!(state(&findings, what), ["ok"], "{what} in {findings}");
    }
    // A secret that nobody set, a stray writer, a manifest with an error.
    mesh.write(
        "domains/shop/domain.yaml",
        "domain: shop\nowner: shop_team\nmembers: [ana]\nconnections:\n  crm: { type: postgres, host: localhost, database: crm, user: u, password: \"${secret:crm}\" }\n",
    );
    let log = glob_log(&mesh);
    std::fs::write(log.join("00000000000000000001.json"), "{\"commitInfo\":{\"operation\":\"WRITE\"}}\n")
        .expect("written");
    let said = mesh.meshwork(&["doctor", "-o", "json"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let findings: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(state(&findings, "secrets"), ["fail"], "{findings}");
    assert_eq!(state(&findings, "foreign"), ["fail"], "{findings}");
    assert!(findings.to_string().contains("MW_SECRET_SHOP_CRM"), "what to do: {findings}");
    mesh.write(MANIFEST, "product: orders\n");
    let said = mesh.meshwork(&["doctor"]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("fail  mesh folder"), "{}", said.out);
    // A server that runs is no problem.
    let mesh = Mesh::published();
    let server = mesh.serve();
    assert_eq!(state(&mesh.json(&["doctor"]), "server"), ["ok"]);
    assert_eq!(server.stop(Signal::TERM), Some(0));
    mesh.ok(&["run", PRODUCT]);
}

const TESTS: &str = "\
tests:
  - name: every order comes through
    inputs:
      raw:
        - { order_id: 1, customer: ana, amount: 10, status: paid }
        - { order_id: 2, customer: bo, amount: 2.50, status: open }
    expect:
      orders:
        - { order_id: 2, amount: 2.5 }
        - { order_id: 1, customer: ana }
  - name: nothing comes of nothing
    expect: { orders: [] }
  - name: bad orders are found
    inputs:
      raw:
        - { order_id: 1, customer: ana, amount: -1, status: paid }
        - { order_id: 1, customer: ana, amount: 20000, status: lost }
    expect:
      orders:
        match: subset
        rows: [{ order_id: 1, status: lost }]
        violations: [VIOLATIONS]
";

#[test]
fn tests_of_a_product_run_without_its_mesh() {
    let mesh = Mesh::shop();
    let file = "domains/shop/orders/orders.test.yaml";
    // The ids of clauses are told by the failure of a first try.
    mesh.write(file, TESTS.replace("VIOLATIONS", "nonsense"));
    assert_eq!(mesh.json(&["check"])["diagnostics"], serde_json::json!([]), "check reads test files");
    let said = mesh.meshwork(&["test", "-o", "json"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let report: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&report["tests"], &report["failed"]), (&3.into(), &1.into()), "{report:#}");
    let failures = report["cases"][2]["failures"].as_array().expect("failures").clone();
    let ids: Vec<String> = failures
        .iter()
        .filter_map(|failure| failure["message"].as_str()?.strip_prefix("clause `")?.split_once('`'))
        .map(|(id, _)| id.to_owned())
        .collect();
    assert_eq!(ids.len(), 3, "unique, range and enum: {report:#}");
    mesh.write(
        file,
        TESTS.replace("VIOLATIONS", &ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ")),
    );
    let junit = mesh.path().join("report.xml");
    let said = mesh.meshwork(&["test", "shop.orders", "--junit", junit.to_str().expect("text")]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(std::fs::read_to_string(junit).expect("written").contains("tests=\"3\" failures=\"0\""));
    // A transformation that goes wrong is shown row by row.
    mesh.write("domains/shop/orders/orders.sql", "SELECT order_id, customer, amount * 2 AS amount, status FROM raw\n");
    let said = mesh.meshwork(&["test", "--only", "comes through"]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("amount: 2.5 → 5"), "{}", said.out);
    assert!(!mesh.path().join(".meshwork").exists() && !mesh.path().join("data").exists(), "nothing of the mesh");
    mesh.write(file, TESTS.replace("raw:", "rwa:"));
    let said = mesh.meshwork(&["check"]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("MW1060"), "{}", said.out);
    std::fs::remove_file(mesh.path().join(file)).expect("there");
    assert_eq!(mesh.fails(5, &["test"]).error_code(), Some("MW1063"));
}

#[test]
fn a_difference_between_publications_by_key_and_column() {
    let mesh = Mesh::published();
    mesh.source("order_id,customer,amount,status\n1,customer 1,1.50,shipped\n3,customer 3,9,open\n4,new,4,paid\n");
    assert_eq!(mesh.fails(5, &["diff", "shop.orders"]).error_code(), Some("MW0845"));
    mesh.ok(&["run", PRODUCT]);
    let found = mesh.json(&["diff", "shop.orders"]);
    assert_eq!(found["key"], serde_json::json!(["order_id"]), "{found:#}");
    let counts = ["added", "removed", "changed", "unchanged"].map(|what| found[what].as_u64().unwrap_or(99));
    assert_eq!(counts, [1, 1, 2, 0], "{found:#}");
    assert_eq!(found["columns"], serde_json::json!({"amount": 1, "status": 1}), "{found:#}");
    let changed = found["sample"].as_array().expect("rows").iter().find(|row| row["key"]["order_id"] == 3);
    let changed = changed.expect("order 3 is in the sample");
    assert_eq!((&changed["from"]["amount"], &changed["to"]["amount"]), (&3.5.into(), &9.0.into()), "{found:#}");
    let text = mesh.ok(&["diff", "shop.orders"]);
    assert!(text.contains("amount: 3.5 → 9"), "{text}");
    assert_eq!(mesh.meshwork(&["diff", "shop.orders", "--detailed-exitcode"]).code, Some(1));
    // The same two sides, named in other ways.
    let from = found["from"]["run"].as_str().expect("a run");
    let again = mesh.json(&["diff", "shop.orders", "--from", from, "--to", "1", "--key", "customer"]);
    assert_eq!(again["added"], 1, "{again:#}");
    let same = mesh.json(&["diff", "shop.orders", "--from", "1"]);
    assert_eq!((&same["changed"], &same["unchanged"]), (&0.into(), &3.into()), "{same:#}");
    assert_eq!(mesh.fails(5, &["diff", "shop.orders", "--from", "nothing"]).error_code(), Some("MW0845"));
    assert_eq!(mesh.fails(2, &["diff", "shop.orders", "--key", "nothing"]).error_code(), Some("MW0844"));
}

#[test]
fn masked_columns_are_compared_as_masked() {
    let mesh = Mesh::shop();
    let governance = "secret:\n  description: Known to few.\n  mask: replace-with-null\npii:\n  mask: hmac-sha-256\n";
    mesh.write("governance/classifications.yaml", governance);
    let contract = "domains/shop/orders/orders.contract.yaml";
    let text = std::fs::read_to_string(mesh.path().join(contract)).expect("there");
    let classified = text
        .replace("  - name: customer\n", "  - name: customer\n    classification: pii\n")
        .replace("  - name: amount\n", "  - name: amount\n    classification: secret\n");
    mesh.write(contract, classified);
    mesh.ok(&["apply"]);
    mesh.source("order_id,customer,amount,status\n1,Anna,1.50,open\n2,Bert,2,open\n3,Cleo,3,open\n");
    mesh.ok(&["run", PRODUCT]);
    mesh.source("order_id,customer,amount,status\n1,Dora,1.50,open\n2,Bert,9876.5,open\n3,Cleo,3,paid\n");
    mesh.ok(&["run", PRODUCT]);
    let found = mesh.json(&["diff", "shop.orders"]);
    // That the amount of an order changed is hidden with the amount.
    assert_eq!(found["columns"], serde_json::json!({"customer": 1, "status": 1}), "{found:#}");
    let counts = ["added", "removed", "changed", "unchanged"].map(|what| found[what].as_u64().unwrap_or(99));
    assert_eq!(counts, [0, 0, 2, 1], "{found:#}");
    for clear in ["Anna", "Dora", "9876"] {
        assert!(!found.to_string().contains(clear), "{clear} is in {found:#}");
    }
    // By a masked key the rows pair all the same.
    let by_customer = mesh.json(&["diff", "shop.orders", "--key", "customer"]);
    assert_eq!((&by_customer["added"], &by_customer["removed"]), (&1.into(), &1.into()), "{by_customer:#}");
    assert_eq!(mesh.meshwork(&["diff", "shop.orders", "--limit", "2000"]).code, Some(2));
}

/// The folder of the only table's log.
fn glob_log(mesh: &Mesh) -> std::path::PathBuf {
    let outputs = std::fs::read_dir(mesh.path().join("data")).expect("there").flatten();
    let table = outputs.map(|entry| entry.path().join("v1/_delta_log")).find(|log| log.is_dir());
    table.expect("a table")
}
