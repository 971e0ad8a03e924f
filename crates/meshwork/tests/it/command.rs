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
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(mesh.ok(&["completions", shell]).contains("COMPLETE"), "{shell}");
    }
    // As the script for bash asks: what can stand there?
    let complete = |words: &[&str]| {
        let at = words.len().to_string();
        let env = [("COMPLETE", "bash"), ("_CLAP_COMPLETE_INDEX", at.as_str()), ("_CLAP_IFS", "\n")];
        let folder = mesh.path().to_str().expect("text");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_meshwork"));
        command.args(["--", "meshwork"]).args(words).envs(env).env("MESHWORK_DIR", folder);
        String::from_utf8(command.output().expect("starts").stdout).expect("text")
    };
    assert!(complete(&["publ"]).starts_with("publication"));
    assert_eq!(complete(&["run", "sho"]), "shop\nshop.orders");
}

#[test]
fn every_command_has_a_page() {
    let mesh = Mesh::shop();
    assert!(mesh.ok(&["man"]).contains(".TH meshwork"));
    let pages = mesh.path().join("pages");
    mesh.ok(&["man", "--dir", pages.to_str().expect("text")]);
    for page in ["meshwork.1", "meshwork-sql.1", "meshwork-context-add.1"] {
        assert!(pages.join(page).is_file(), "{page}");
    }
}

#[test]
fn versions_of_what_it_is_built_on() {
    let mesh = Mesh::shop();
    assert_eq!(mesh.ok(&["--version"]).lines().count(), 1);
    for args in [&["--version", "-v"][..], &["version", "-v"]] {
        let text = mesh.ok(args);
        assert!(text.contains("datafusion") && text.contains("libsqlite3-sys"), "{text}");
    }
    assert!(mesh.json(&["version", "-v"])["engines"]["arrow"].is_string());
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
