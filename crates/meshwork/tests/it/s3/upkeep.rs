//! Compaction and vacuum of tables in a bucket: what a reader needs stays, what nobody needs goes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{Lake, walk};
use crate::mesh::{Mesh, PRODUCT};
use crate::modes::{put, to_grow};
use crate::redteam::ports::{connect, simple};

impl Lake {
    /// A table that nine runs have appended to, each a file, and when the first of them was published.
    fn grown() -> (Self, String) {
        let lake = Self::of(to_grow("append"));
        let mesh = &lake.mesh;
        mesh.ok(&["apply"]);
        mesh.ok(&["run", PRODUCT]);
        let first = mesh.json(&["publications", "list"])[0]["at"].as_str().expect("a time").to_owned();
        for file in 1..9 {
            put(mesh, file, &[file + 10]);
            mesh.ok(&["run", PRODUCT]);
        }
        (lake, first)
    }

    fn data_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.server.bucket("lake"), &mut |file| {
            let in_log = file.parent().is_some_and(|folder| folder.ends_with("_delta_log"));
            if !in_log && file.extension().is_some_and(|extension| extension == "parquet") {
                found.push(file.to_owned());
            }
        });
        found
    }

    /// Data files beside those of the table that no log names, as a killed run leaves them.
    fn strew(&self) {
        let file = self.data_files().remove(0);
        for name in ["part-stray-1.parquet", "part-stray-2.parquet"] {
            std::fs::copy(&file, file.with_file_name(name)).expect("copied");
        }
    }
}

fn rows_as_of(mesh: &Mesh, moment: &str) -> Option<usize> {
    let sql = "SELECT count(*) AS n FROM shop.orders";
    let said = mesh.meshwork(&["sql", "--as-of", moment, "-c", sql, "-o", "csv"]);
    if said.code == Some(0) {
        return said.out.lines().nth(1).and_then(|n| n.trim().parse().ok());
    }
    assert!(said.err.contains("MW0698"), "{}", said.err);
    None
}

#[test]
fn small_files_in_a_bucket_are_written_together_whatever_stops_it() {
    let (lake, first) = Lake::grown();
    let mesh = &lake.mesh;
    assert_eq!(lake.data_files().len(), 9);
    for (variable, step) in [
        ("MESHWORK_RUN_FAULT", "before-commit"),
        ("MESHWORK_RUN_FAULT", "after-commit"),
        ("MESHWORK_FAULT", "run.verdict_stored"),
    ] {
        mesh.with_env(&[(variable, step)], &["maintain", "--only", "compact"]);
        assert_eq!(mesh.served(), 10, "{step}");
        mesh.ok(&["maintain", "--only", "vacuum"]);
        assert_eq!((mesh.served(), lake.orphans()), (10, BTreeSet::new()), "{step}");
    }
    mesh.ok(&["maintain", "--only", "compact"]);
    let newest = &mesh.json(&["publications", "list"])[0];
    let run = mesh.json(&["runs", newest["run"].as_str().expect("a run")]);
    assert_eq!((run["task"].as_str(), run["state"].as_str()), (Some("compact"), Some("published")), "{run}");
    assert_eq!((mesh.served(), rows_as_of(mesh, &first)), (10, Some(2)), "within the retention all is readable");
    // Without it, one file is left, and runs go on.
    mesh.ok(&["maintain", "--retention", "0s", "--force"]);
    assert_eq!((lake.data_files().len(), mesh.served(), rows_as_of(mesh, &first)), (1, 10, None));
    put(mesh, 9, &[99]);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!((lake.data_files().len(), mesh.served()), (2, 11));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vacuum_of_a_bucket_leaves_what_somebody_reads() {
    let (lake, first) = Lake::grown();
    let mesh = &lake.mesh;
    lake.strew();
    // Within the retention only what no version names goes.
    let dry = mesh.json(&["maintain", "--only", "vacuum", "--dry-run"]);
    assert_eq!((dry[0]["files"].as_u64(), lake.orphans().len()), (Some(2), 2), "{dry}");
    assert_eq!(mesh.json(&["maintain", "--only", "vacuum"]), dry);
    assert_eq!((lake.orphans(), lake.data_files().len()), (BTreeSet::new(), 9));
    assert_eq!((mesh.served(), rows_as_of(mesh, &first)), (10, Some(2)));

    // A table that is replaced has old files that only old publications need.
    mesh.ok(&["run", PRODUCT, "--full-refresh"]);
    mesh.user("ana");
    let server = mesh.serve();
    let client = connect(&server, "ana", "").await.expect("connected");
    let rows = async |sql: &str| simple(&client, sql).await.map(|rows| rows.as_array().map_or(0, Vec::len));
    let old = format!("SELECT order_id FROM shop.orders FOR SYSTEM_TIME AS OF '{first}'");
    rows(&format!("BEGIN; DECLARE c CURSOR FOR {old}")).await.expect("declared");
    assert_eq!(rows("FETCH 1 FROM c").await, Ok(1));
    lake.strew();
    let asked = ["maintain", "--retention", "0s", "--force", "--only", "vacuum"];
    let done = mesh.json(&asked);
    assert_eq!((done[0]["held"].as_u64(), lake.data_files().len()), (Some(1), 2), "{done}");
    assert_eq!(rows("FETCH 10 FROM c").await, Ok(1), "what it had begun to read");
    rows("COMMIT").await.expect("over");
    let done = mesh.json(&asked);
    assert_eq!((done[0]["held"].as_u64(), lake.data_files().len()), (Some(0), 1), "{done}");
    assert_eq!((mesh.served(), lake.orphans()), (10, BTreeSet::new()));
}
