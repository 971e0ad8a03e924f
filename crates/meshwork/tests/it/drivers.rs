//! The drivers that people use, against a server: connect, the driver's own metadata calls, parameters and types there and
//! back, masked values, cursors, cancelling, errors. What they check stands in `tests/drivers`, one script for each.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mesh::{Mesh, cache};
use crate::redteam::people::{self, PASSWORD};

const CONTRACT: &str = "\
schema: kinds
version: 1.0.0
owner: vault
fields:
  - { name: id, type: integer, required: true }
  - { name: flag, type: boolean }
  - { name: small, type: integer, format: i16 }
  - { name: ratio, type: number }
  - { name: price, type: \"decimal(12,3)\" }
  - { name: word, type: string }
  - { name: day, type: date }
  - { name: at, type: timestamp }
  - { name: local, type: timestamp, timezone: false }
  - { name: tags, type: array, items: { type: string } }
";

const ROWS: &str = r#"{"id":1,"flag":true,"small":7,"ratio":0.5,"price":"12.345","word":"naïve \"quoted\", 100%\nline","day":"2026-01-31","at":"2026-01-31T10:00:00.25Z","local":"2026-01-31T10:00:00","tags":["a","b, c"]}
{"id":2}
"#;

fn mesh() -> Mesh {
    let mesh = people::mesh();
    let home = "domains/vault/kinds";
    mesh.write(
        &format!("{home}/product.yaml"),
        "product: kinds\nversion: 1.0.0\nstatus: active\ninputs:\n  raw: { source: { type: json, path: kinds.jsonl } }\n\
         outputs:\n  kinds: { contract: kinds.contract.yaml }\n",
    );
    mesh.write(&format!("{home}/kinds.contract.yaml"), CONTRACT);
    mesh.write("domains/vault/kinds.jsonl", ROWS);
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "vault"]);
    mesh.ok(&["run", "oracle"]);
    mesh.user("eve");
    for table in ["vault.c", "vault.kinds"] {
        mesh.grant("eve", table, &[]);
    }
    mesh
}

/// Where `scripts/drivers` puts them.
fn installed() -> PathBuf {
    let drivers = cache().join("drivers");
    assert!(drivers.join("ready").exists(), "the drivers are not installed, and this test needs them: scripts/drivers");
    drivers
}

#[test]
fn drivers_find_what_they_expect() {
    let (drivers, scripts) = (installed(), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers"));
    let mesh = mesh();
    let server = mesh.serve();
    let (host, port) = server.pg.as_deref().and_then(|pg| pg.split_once(':')).expect("an address");
    let mut failed = Vec::new();
    for script in ["psycopg_client.py", "sqlalchemy_client.py", "asyncpg_client.py", "Jdbc.java"] {
        let mut command = if script.ends_with(".py") {
            let mut python = Command::new(drivers.join("venv/bin/python"));
            python.arg("-B");
            python
        } else {
            let mut java = Command::new("java");
            java.args(["-Dfile.encoding=UTF-8", "-Duser.timezone=Europe/Berlin", "-cp"])
                .arg(drivers.join("postgresql.jar"));
            java
        };
        // Whatever the locale here: the scripts are UTF-8.
        command.arg(scripts.join(script)).current_dir(&scripts).env("LC_ALL", "C.UTF-8");
        command.env("PGHOST", host).env("PGPORT", port).env("PGUSER", "eve").env("PGPASSWORD", PASSWORD);
        let output = command.output().expect(script);
        if !output.status.success() {
            failed.push(format!(
                "{script}: {}\n{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
