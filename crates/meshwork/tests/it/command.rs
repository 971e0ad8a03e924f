//! The command line itself.

use std::process::Stdio;

use crate::mesh::Mesh;

#[test]
fn what_is_not_a_command_is_misuse() {
    let mesh = Mesh::shop();
    assert_eq!(mesh.meshwork(&["nonsense"]).code, Some(2));
    assert_eq!(mesh.meshwork(&["run"]).code, Some(2));
    assert_eq!(mesh.meshwork(&["check", "-o", "parquet"]).code, Some(2));
    assert_eq!(mesh.meshwork(&["--help"]).code, Some(0));
    assert_eq!(mesh.meshwork(&["--version"]).code, Some(0));
}

#[test]
fn codes_explain_themselves() {
    let mesh = Mesh::shop();
    let text = mesh.ok(&["explain", "mw0659"]);
    assert!(text.starts_with("MW0659: Blocked by the contract\n"), "{text}");
    assert_eq!(mesh.fails(5, &["explain", "MW9999"]).error_code(), Some("MW1001"));
    assert_eq!(mesh.json(&["explain", "MW0659"])["title"], "Blocked by the contract");
}

#[test]
fn outside_of_a_mesh_there_is_a_hint() {
    let folder = tempfile::tempdir().expect("a folder");
    let mesh = Mesh::shop();
    let said = mesh.fails(2, &["-C", folder.path().to_str().expect("text"), "plan"]);
    assert_eq!(said.error_code(), Some("MW1021"));
    assert!(!folder.path().join(".meshwork").exists());
}

#[test]
fn a_new_mesh_checks() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("my mesh");
    let path = path.to_str().expect("text");
    let mesh = Mesh::shop();
    mesh.ok(&["init", path]);
    mesh.ok(&["-C", path, "new", "domain", "sales"]);
    mesh.ok(&["-C", path, "new", "product", "sales.orders"]);
    mesh.ok(&["-C", path, "new", "contract", "sales.orders.returns"]);
    mesh.ok(&["-C", path, "check"]);
    assert_eq!(mesh.fails(5, &["init", path]).error_code(), Some("MW1023"));
    assert_eq!(mesh.fails(5, &["-C", path, "new", "product", "nowhere.x"]).error_code(), Some("MW1025"));
}

#[test]
fn findings_have_a_place() {
    let mesh = Mesh::shop();
    mesh.write("domains/shop/orders/product.yaml", "product: orders\nversion: one\nstatus: actve\n");
    let said = mesh.meshwork(&["check"]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("domains/shop/orders/product.yaml:2:10"), "{}", said.out);
    assert!(said.out.contains("active"), "did you mean: {}", said.out);
    let said = mesh.meshwork(&["check", "-o", "json"]);
    assert_eq!(said.code, Some(1));
    let found: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(found["ok"], false);
    assert!(found["diagnostics"].as_array().is_some_and(|list| list.len() >= 2), "{found}");
}

#[test]
fn a_closed_pipe_is_quiet() {
    let mesh = Mesh::shop();
    let mut child = mesh.command(&["man"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn shells_get_completions() {
    let mesh = Mesh::shop();
    for shell in ["bash", "zsh", "fish"] {
        assert!(mesh.ok(&["completions", shell]).contains("publications"), "{shell}");
    }
    assert!(mesh.ok(&["man"]).contains(".TH meshwork"));
}

#[test]
fn output_has_the_format_that_was_asked_for() {
    let mesh = Mesh::published();
    let sql = ["sql", "-c", "SELECT order_id, amount FROM shop.orders WHERE order_id = 1"];
    let out = |format| mesh.ok(&[&sql[..], &["-o", format]].concat());
    assert_eq!(out("csv"), "order_id,amount\n1,1.5\n");
    assert_eq!(out("jsonl").trim(), r#"{"order_id":1,"amount":1.5}"#);
    assert!(out("table").contains("order_id"), "{}", out("table"));
    let parquet = mesh.command(&[&sql[..], &["-o", "parquet"]].concat()).output().expect("starts").stdout;
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let json: serde_json::Value = serde_json::from_str(&out("json")).expect("JSON");
    assert_eq!(json["row_count"], 1, "{json}");
}
