//! The audit log as somebody would meet it who does not trust its keeper.

use std::process::Command;

use crate::mesh::Mesh;

fn read_only(mesh: &Mesh, script: &str) -> String {
    let output =
        Command::new("python3").arg("-c").arg(script).current_dir(mesh.path()).output().expect("python3 is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The script of docs/audit.md.
fn script() -> String {
    let docs = include_str!("../../../../docs/audit.md");
    let (_, after) = docs.split_once("```python\n").expect("a script");
    after.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn what_was_done_to_the_log_is_found() {
    let mesh = Mesh::published();
    mesh.ok(&["audit", "verify"]);
    read_only(&mesh, &script());
    let said = mesh.json(&["audit", "checkpoint"]);
    let (note, key) = (said["checkpoint"].as_str().expect("a note"), said["verifier"].as_str().expect("a key"));
    mesh.write("kept.checkpoint", note);

    // One record, for whoever has nothing but the key.
    let proof = mesh.ok(&["audit", "prove", "1"]);
    mesh.write("proof.json", &proof);
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = |file: &str| {
        let mut command = mesh.command(&["audit", "verify", "--proof", file, "--key", key]);
        let done = command.current_dir(folder.path()).output().expect("runs");
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    std::fs::write(folder.path().join("proof.json"), &proof).expect("written");
    assert_eq!(elsewhere("proof.json").0, Some(0));
    let forged = proof.replacen("\\\"v\\\":1", "\\\"v\\\": 1", 1);
    assert_ne!(forged, proof);
    std::fs::write(folder.path().join("forged.json"), forged).expect("written");
    let (code, error) = elsewhere("forged.json");
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("MW0456"), "{error}");

    // The log goes on, and still begins with what was kept.
    mesh.ok(&["sql", "-c", "SELECT 1"]);
    let kept = mesh.path().join("kept.checkpoint");
    mesh.ok(&["audit", "verify", "--checkpoint", kept.to_str().expect("UTF-8")]);

    // The last records cut off, by somebody who can write the database.
    let cut = "import sqlite3; c = sqlite3.connect('.meshwork/state.db'); \
               n, = c.execute('select max(sequence) from audit').fetchone(); \
               c.execute('delete from audit where sequence = ?', (n,)); c.commit(); print(n)";
    let last = read_only(&mesh, cut);
    let said = mesh.fails(1, &["audit", "verify", "-o", "json"]);
    assert_eq!(said.error_code(), Some("MW1017"));
    assert!(said.out.contains(&format!("records up to {last} were there")), "{said:?}");
}

#[test]
fn a_log_with_a_hole_takes_no_more_records() {
    let mesh = Mesh::published();
    let hole = "import sqlite3; c = sqlite3.connect('.meshwork/state.db'); \
                c.execute('delete from audit_nodes where level = (select max(level) from audit_nodes)'); c.commit()";
    read_only(&mesh, hole);
    let refused = mesh.fails(3, &["sql", "-c", "SELECT count(*) FROM shop.orders"]);
    assert_eq!(refused.error_code(), Some("MW0450"), "{refused:?}");
    assert_eq!(mesh.fails(1, &["audit", "verify"]).error_code(), Some("MW1017"));
}
