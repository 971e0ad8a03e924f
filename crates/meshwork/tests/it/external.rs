//! External tables: files of others, served as they were checked and not otherwise.

use std::path::{Path, PathBuf};

use crate::mesh::Mesh;
use crate::redteam::people;
use crate::redteam::ports::Ports;

pub const CONTRACT: &str = "\
schema: events
version: 1.0.0
owner: lake-team
fields:
  - { name: event_id, type: integer, required: true, physical_name: order_id }
  - { name: customer, type: string, required: true }
  - { name: amount, type: number }
quality:
  - unique: [event_id]
  - range: { field: amount, min: 0, max: 10000 }
";

pub fn product(source: &str) -> String {
    format!(
        "product: events\nversion: 1.0.0\nstatus: active\ninputs:\n  files: {{ source: {source} }}\n\
         outputs:\n  events: {{ contract: events.contract.yaml, mode: external }}\n"
    )
}

/// The shop, published, and the product `lake.events` over a source.
fn lake(source: &str) -> Mesh {
    let mesh = Mesh::published();
    mesh.write("domains/lake/domain.yaml", "domain: lake\nowner: lake_team\n");
    mesh.write("domains/lake/events/product.yaml", product(source));
    mesh.write("domains/lake/events/events.contract.yaml", CONTRACT);
    mesh.ok(&["apply"]);
    mesh
}

const PARQUET: &str = "{ type: parquet, path: 'files/*.parquet' }";

/// A Parquet file with what a statement yields.
fn parquet(mesh: &Mesh, path: &str, sql: &str) {
    let said = mesh.command(&["sql", "-c", sql, "-o", "parquet"]).output().expect("the binary starts");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    mesh.write(path, said.stdout);
}

fn orders(mesh: &Mesh, file: &str, condition: &str) {
    let sql = format!("SELECT order_id, customer, amount FROM shop.orders WHERE {condition}");
    parquet(mesh, &format!("domains/lake/files/{file}"), &sql);
}

pub const IDS: &str = "SELECT event_id FROM lake.events ORDER BY event_id";

pub fn rows(mesh: &Mesh, sql: &str) -> String {
    mesh.ok(&["sql", "-c", sql, "-o", "csv"]).replace('\n', " ").trim().to_owned()
}

/// Files below a folder with their bytes.
fn state(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => found.push((path.clone(), std::fs::read(&path).expect("readable"))),
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_files_are_served_as_they_were_checked() {
    let mesh = lake(PARQUET);
    orders(&mesh, "a.parquet", "order_id < 3");
    orders(&mesh, "b.parquet", "order_id = 3");
    let before = state(&mesh.path().join("domains/lake/files"));
    mesh.ok(&["run", "lake.events"]);
    assert_eq!(rows(&mesh, IDS), "event_id 1 2 3");
    assert_eq!(rows(&mesh, "SELECT count(*) AS n FROM lake.events"), "n 3");
    assert_eq!(
        rows(&mesh, "SELECT customer FROM lake.events WHERE event_id = 2 AND amount > 0"),
        "customer customer 2"
    );
    assert_eq!(rows(&mesh, "SELECT max(event_id) AS m, min(amount) AS a FROM lake.events"), "m,a 3,1.5");
    let published = mesh.json(&["publications", "list", "lake.events"]);
    let output = &published[0]["outputs"][0];
    assert_eq!((output["kind"].as_str(), output["rows"].as_u64()), (Some("external"), Some(3)), "{published}");
    assert_eq!((&output["registered"]["format"], output["registered"]["files"].as_u64()), (&"parquet".into(), Some(2)));
    let said = mesh.meshwork(&["run", "lake.events"]);
    assert!(format!("{}{}", said.out, said.err).contains("nothing is new"), "{said:?}");

    mesh.user("eve");
    mesh.grant("eve", "lake.events", &["--rows", "event_id > 1"]);
    {
        let server = mesh.serve();
        let ports = Ports::of(&mesh, &server, "eve").await;
        for (port, answer) in ports.ask(IDS).await {
            assert_eq!(answer.map(|rows| rows.as_array().map(Vec::len)), Ok(Some(2)), "{port}");
        }
        for (port, answer) in ports.ask("EXPLAIN ANALYZE SELECT * FROM lake.events").await {
            let shown = format!("{answer:?}");
            assert!(!shown.contains("parquet") && !shown.contains("files"), "{port}: {shown}");
        }
        // A file that is not what was checked, while a server that has read it before runs.
        orders(&mesh, "b.parquet", "order_id = 2");
        for (port, answer) in ports.ask("SELECT * FROM lake.events").await {
            let error = answer.expect_err(port);
            // The wire has no codes of ours.
            assert!(error == "MW0856" || port.starts_with("postgres"), "{port}: {error}");
        }
    }
    let said = mesh.fails(3, &["sql", "-c", IDS]);
    let told = said.err.split("error[").nth(1).expect("an error");
    // The log, which is on the same stream here, says where it lies; the error does not.
    assert!(told.starts_with("MW0856") && !told.contains("files/"), "{}", said.err);
    // Doubles: the run says so, and nothing that was not checked is served.
    assert!(mesh.fails(1, &["run", "lake.events"]).err.contains("unique"));
    assert_eq!(mesh.fails(3, &["sql", "-c", IDS]).error_code(), Some("MW0856"));
    std::fs::remove_file(mesh.path().join("domains/lake/files/b.parquet")).expect("removed");
    assert!(mesh.fails(3, &["sql", "-c", IDS]).err.contains("has gone"));
    // A file that came after the check is not served before it is checked.
    mesh.ok(&["run", "lake.events"]);
    orders(&mesh, "c.parquet", "order_id = 3");
    assert_eq!(rows(&mesh, IDS), "event_id 1 2");
    mesh.ok(&["run", "lake.events"]);
    assert_eq!(rows(&mesh, IDS), "event_id 1 2 3");
    // Whatever is collected, the files of others stay.
    mesh.ok(&["collect"]);
    let after = state(&mesh.path().join("domains/lake/files"));
    assert_eq!(after[0], before[0]);
    assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
}

#[test]
fn what_cannot_be_registered_is_refused() {
    let mesh = lake(PARQUET);
    let home = mesh.path().join("domains/lake/files");
    let refused = |expected: &str| {
        let said = mesh.meshwork(&["run", "lake.events"]);
        assert_eq!((said.code != Some(0), said.error_code()), (true, Some(expected)), "{said:?}");
    };
    // Other types and columns than the contract's.
    parquet(
        &mesh,
        "domains/lake/files/a.parquet",
        "SELECT CAST(order_id AS VARCHAR) AS order_id, customer, amount FROM shop.orders",
    );
    refused("MW0684");
    parquet(&mesh, "domains/lake/files/a.parquet", "SELECT order_id, amount FROM shop.orders");
    refused("MW0684");
    // Not Parquet, and a link that leads out of the domain's folder.
    mesh.write("domains/lake/files/a.parquet", "not Parquet at all");
    refused("MW0509");
    orders(&mesh, "a.parquet", "true");
    std::os::unix::fs::symlink("/etc/passwd", home.join("z.parquet")).expect("linked");
    refused("MW0503");
    std::fs::remove_file(home.join("z.parquet")).expect("removed");
    mesh.ok(&["run", "lake.events"]);
    // The same file, but behind a link now.
    std::fs::rename(home.join("a.parquet"), mesh.path().join("elsewhere.parquet")).expect("moved");
    std::os::unix::fs::symlink(mesh.path().join("elsewhere.parquet"), home.join("a.parquet")).expect("linked");
    assert_eq!(mesh.fails(3, &["sql", "-c", IDS]).error_code(), Some("MW0856"));
    refused("MW0503");

    for (source, mode, expected) in [
        ("{ type: csv, path: x.csv }", "external", "MW0185"),
        (PARQUET, "external, key: [event_id]", "MW0184"),
        (PARQUET, "external, sql: events.sql", "MW0186"),
    ] {
        mesh.write("domains/lake/events/events.sql", "SELECT 1");
        mesh.write(
            "domains/lake/events/product.yaml",
            product(source).replace("mode: external", &format!("mode: {mode}")),
        );
        let said = mesh.meshwork(&["check"]);
        assert!(format!("{}{}", said.out, said.err).contains(expected), "{mode}: {said:?}");
    }
}

/// The Delta table of the shop, as somebody else's.
fn copied(mesh: &Mesh) {
    let data = mesh.path().join("data");
    let table = std::fs::read_dir(&data).expect("a folder").flatten().map(|entry| entry.path().join("v1"));
    let table = table.into_iter().find(|path| path.join("_delta_log").is_dir()).expect("a table");
    let to = mesh.path().join("domains/lake/events_table");
    let _ = std::fs::remove_dir_all(&to);
    for (file, bytes) in state(&table) {
        let to = to.join(file.strip_prefix(&table).expect("below"));
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("created");
        std::fs::write(to, bytes).expect("written");
    }
}

#[test]
fn a_delta_table_is_served_at_the_version_that_was_checked() {
    let mesh = lake("{ type: delta, path: events_table }");
    copied(&mesh);
    mesh.ok(&["run", "lake.events"]);
    assert_eq!(rows(&mesh, IDS), "event_id 1 2 3");
    let registered =
        |mesh: &Mesh| mesh.json(&["publications", "list", "lake.events"])[0]["outputs"][0]["registered"].clone();
    assert_eq!((registered(&mesh)["format"].as_str(), registered(&mesh)["version"].as_u64()), (Some("delta"), Some(0)));

    // A stray commit after that version: one more file, which breaks the contract. It is never served.
    let table = mesh.path().join("domains/lake/events_table");
    parquet(
        &mesh,
        "domains/lake/events_table/stray.parquet",
        "SELECT order_id, customer, amount, status FROM shop.orders LIMIT 1",
    );
    let size = std::fs::metadata(table.join("stray.parquet")).expect("there").len();
    let add = format!(
        r#"{{"add":{{"path":"stray.parquet","size":{size},"partitionValues":{{}},"modificationTime":0,"dataChange":true}}}}"#
    );
    std::fs::write(table.join("_delta_log/00000000000000000001.json"), add).expect("written");
    assert_eq!(rows(&mesh, IDS), "event_id 1 2 3");
    assert!(mesh.fails(1, &["run", "lake.events"]).err.contains("unique"));
    assert_eq!(rows(&mesh, IDS), "event_id 1 2 3");
    // A file of the version that was vacuumed.
    let (file, _) = state(&table)
        .into_iter()
        .find(|(path, _)| path.extension().is_some_and(|e| e == "parquet") && !path.ends_with("stray.parquet"))
        .expect("a data file");
    std::fs::remove_file(file).expect("removed");
    assert_eq!(mesh.fails(3, &["sql", "-c", IDS]).error_code(), Some("MW0856"));
}

#[test]
fn killed_at_every_step_of_a_run_of_an_external_table() {
    let mesh = lake(PARQUET);
    orders(&mesh, "0.parquet", "order_id = 1");
    mesh.ok(&["run", "lake.events"]);
    let own = ["run.started", "run.verdict_stored", "run.commit_ended", "run.committed", "run.published"];
    let child = ["stage-start", "after-first-file", "after-stage", "before-commit", "after-commit"];
    let own = own.iter().map(|step| ("MESHWORK_FAULT", *step));
    let steps = own.chain(child.iter().map(|step| ("MESHWORK_RUN_FAULT", *step)));
    let count = || rows(&mesh, "SELECT count(*) AS n FROM lake.events");
    let mut old = count();
    for (at, (variable, step)) in steps.enumerate() {
        let sql =
            format!("SELECT order_id + {} AS order_id, customer, amount FROM shop.orders WHERE order_id = 1", at + 1);
        parquet(&mesh, &format!("domains/lake/files/{}.parquet", at + 1), &sql);
        mesh.with_env(&[(variable, step)], &["run", "lake.events"]);
        let (new, served) = (format!("n {}", at + 2), count());
        assert!(served == old || served == new, "{step}: {served} is served");
        mesh.ok(&["run", "lake.events"]);
        assert_eq!(count(), new, "{step}");
        mesh.ok(&["collect"]);
        assert!(mesh.orphans().is_empty(), "{step} left {:?}", mesh.orphans());
        old = new;
    }
}

/// Masks and a row filter over files of others, and a view over these: as for a table of ours.
#[tokio::test(flavor = "multi_thread")]
async fn an_external_table_is_governed_like_any_other() {
    let mesh = people::mesh();
    people::write_rows(&mesh, "vault", true, 1);
    // The rows as they are, for the owner alone.
    mesh.write("domains/open/domain.yaml", "domain: open\nowner: open_team\n");
    mesh.write(
        "domains/open/people/product.yaml",
        "product: people\nversion: 1.0.0\nstatus: active\ninputs:\n  raw: { source: { type: csv, path: raw.csv } }\n\
         outputs:\n  raw: { contract: raw.contract.yaml }\n",
    );
    mesh.write(
        "domains/open/people/raw.contract.yaml",
        people::contract("open", "1.0.0", false).replace("schema: c", "schema: raw"),
    );
    people::write_rows(&mesh, "open", true, 1);
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "open"]);
    parquet(&mesh, "domains/vault/people.parquet", "SELECT * FROM open.raw");
    let manifest = std::fs::read_to_string(mesh.path().join("domains/vault/people/product.yaml")).expect("there");
    let manifest = manifest
        .replace("{ type: csv, path: raw.csv }", "{ type: parquet, path: people.parquet }")
        .replace("    contract: c.contract.yaml\n", "    contract: c.contract.yaml\n    mode: external\n");
    mesh.write("domains/vault/people/product.yaml", manifest);
    people::view(&mesh, "near", "d", ("vault", "people", "c"));
    people::derived(&mesh, "plain", "e", ("oracle", "people", "c"));
    mesh.ok(&["apply"]);
    mesh.grant("product:near.d", "vault.c", &[]);
    mesh.grant("product:plain.e", "oracle.c", &[]);
    for domain in ["vault", "oracle", "near", "plain"] {
        mesh.ok(&["run", domain]);
    }
    mesh.user("eve");
    for table in ["vault.c", "oracle.c", "near.d", "plain.e"] {
        mesh.grant("eve", table, &[]);
    }
    let server = mesh.serve();
    let ports = Ports::of(&mesh, &server, "eve").await;
    let mut different = Vec::new();
    for sql in crate::redteam::SAME.into_iter().step_by(2) {
        for (governed, oracle) in [("vault.c", "oracle.c"), ("near.d", "plain.e")] {
            let a = ports.ask_server(&sql.replace("{c}", governed)).await;
            let b = ports.ask_server(&sql.replace("{c}", oracle)).await;
            different.extend(crate::redteam::ports::differences(sql, (governed, oracle), &a, &b));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
