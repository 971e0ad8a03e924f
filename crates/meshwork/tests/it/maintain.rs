//! Housekeeping, as the owner of a mesh asks for it and as a server does it.

use std::path::PathBuf;

use crate::mesh::{HEADER, Mesh, PRODUCT};
use crate::redteam::ports::{connect, simple};

/// Published with 3, 4 and 5 rows; the moments at which it was.
fn thrice() -> (Mesh, Vec<String>) {
    let mesh = Mesh::published();
    for rows in [4, 5] {
        mesh.orders(rows);
        mesh.ok(&["run", PRODUCT]);
    }
    let publications = mesh.json(&["publications", "list"]);
    let mut moments: Vec<String> =
        publications.as_array().expect("a list").iter().map(|p| p["at"].as_str().expect("a time").to_owned()).collect();
    moments.reverse();
    (mesh, moments)
}

impl Mesh {
    fn data_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for output in std::fs::read_dir(self.path().join("data")).expect("there").flatten() {
            let table = output.path().join("v1");
            let files = std::fs::read_dir(table).into_iter().flatten().flatten().map(|entry| entry.path());
            found.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")));
        }
        found
    }

    fn served_as_of(&self, moment: &str) -> Option<usize> {
        let sql = "SELECT count(*) AS n FROM shop.orders";
        let said = self.meshwork(&["sql", "--as-of", moment, "-c", sql, "-o", "csv"]);
        match said.code {
            Some(0) => said.out.lines().nth(1).and_then(|n| n.trim().parse().ok()),
            _ => {
                assert!(said.err.contains("MW0698"), "{}", said.err);
                None
            }
        }
    }
}

#[test]
fn old_publications_go_after_their_retention_and_time_travel_says_so() {
    let (mesh, moments) = thrice();
    let as_of = |at: usize| mesh.served_as_of(&moments[at]);
    // Within the retention nothing goes.
    mesh.ok(&["maintain"]);
    assert_eq!((as_of(0), as_of(1), as_of(2)), (Some(3), Some(4), Some(5)));
    assert_eq!(mesh.data_files().len(), 3);
    let said = mesh.fails(2, &["maintain", "--retention", "0s"]);
    assert!(said.err.contains("MW0696"), "{}", said.err);

    let dry = mesh.json(&["maintain", "--retention", "0s", "--force", "--dry-run", "--only", "vacuum"]);
    assert_eq!((dry[0]["files"].as_u64(), dry[0]["expired"].as_u64()), (Some(2), Some(2)), "{dry}");
    assert!(dry[0]["bytes"].as_u64().is_some_and(|bytes| bytes > 1000), "{dry}");
    assert_eq!((mesh.data_files().len(), as_of(0)), (3, Some(3)), "a dry run does nothing");
    let done = mesh.json(&["maintain", "--retention", "0s", "--force", "--only", "vacuum"]);
    assert_eq!(done, dry);
    assert_eq!(mesh.data_files().len(), 1);
    assert_eq!((as_of(0), as_of(1), as_of(2), mesh.served()), (None, None, Some(5), 5));
    let said = mesh.meshwork(&["sql", "--as-of", &moments[0], "-c", "SELECT 1 FROM shop.orders"]);
    let since = moments[2].trim_end_matches('Z');
    assert!(said.err.contains(&since[..19]), "the earliest moment is named: {}", said.err);
    // What was is still on record, and runs go on.
    assert_eq!(mesh.json(&["publications", "list"]).as_array().map(Vec::len), Some(3));
    mesh.orders(6);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!((mesh.served(), as_of(2)), (6, Some(5)));
    mesh.ok(&["audit", "verify"]);
    assert!(mesh.ok(&["audit", "query", "-o", "json"]).contains("maintain"));
}

#[test]
fn how_long_is_declared_where_people_look_for_it() {
    let mesh = Mesh::published();
    let product = "domains/shop/orders/product.yaml";
    let text = std::fs::read_to_string(mesh.path().join(product)).expect("there");
    for (written, fine) in [("30 minutes", false), ("soon", false), ("12 hours", true), ("P7D", true)] {
        mesh.write(product, format!("{text}retention: {written}\n"));
        let said = mesh.meshwork(&["check"]);
        assert_eq!(said.code == Some(0), fine, "{written}: {said:?}");
        assert_eq!(said.out.contains("MW0193") && said.out.contains("product.yaml:"), !fine, "{written}: {said:?}");
    }
    let plan = mesh.meshwork(&["plan"]);
    assert!(plan.out.contains("retention") && plan.out.contains("168 h"), "{plan:?}");
    mesh.ok(&["apply"]);
    mesh.write("mesh.yaml", "name: shop_mesh\nstorage: data\nretention: 2 days\n");
    mesh.write("domains/shop/domain.yaml", "domain: shop\nowner: shop_team\nmembers: [ana]\nretention: 3 days\n");
    let plan = mesh.meshwork(&["plan"]);
    assert!(plan.out.contains("48 h") && plan.out.contains("72 h"), "{plan:?}");
}

#[test]
fn small_files_are_written_together_as_a_publication_of_the_same_rows() {
    let mesh = Mesh::shop();
    mesh.over_files("files/part*.csv", "append", "");
    let put = |n: usize| {
        mesh.write(&format!("domains/shop/files/part{n}.csv"), format!("{HEADER}{n},c,1,paid\n"));
    };
    put(0);
    mesh.ok(&["apply"]);
    for n in 1..9 {
        mesh.ok(&["run", PRODUCT]);
        put(n);
    }
    mesh.ok(&["run", PRODUCT]);
    let moment = mesh.json(&["publications", "list"])[0]["at"].as_str().expect("a time").to_owned();
    let quality = mesh.json(&["runs", &run_of(&mesh)])["report"]["outputs"][0]["clauses"].clone();
    let done = mesh.json(&["maintain", "--only", "compact"]);
    assert_eq!((done[0]["files"].as_u64(), &done[0]["skipped"]), (Some(9), &serde_json::Value::Null), "{done}");
    assert_eq!((mesh.served(), mesh.served_as_of(&moment)), (9, Some(9)));
    let run = mesh.json(&["runs", &run_of(&mesh)]);
    assert_eq!((run["task"].as_str(), run["state"].as_str()), (Some("compact"), Some("published")), "{run}");
    assert_eq!(run["report"]["outputs"][0]["clauses"], quality, "what was checked then holds now");
    // The files that it replaced go with the publications that need them.
    mesh.ok(&["maintain", "--retention", "0s", "--force"]);
    assert_eq!((mesh.data_files().len(), mesh.served()), (1, 9));
    put(9);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!((mesh.served(), mesh.data_files().len()), (10, 2));
    assert_eq!(mesh.json(&["maintain", "--only", "compact"]), serde_json::json!([]));
}

fn run_of(mesh: &Mesh) -> String {
    mesh.json(&["publications", "list"])[0]["run"].as_str().expect("a run").to_owned()
}

/// Through a server: by request, with what it shows of itself; and what somebody reads stays until they have read it.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_keeps_what_it_reads() {
    let (mesh, moments) = thrice();
    mesh.user("ana");
    let server = mesh.serve();
    let client = connect(&server, "ana", "").await.expect("connected");
    let rows = async |sql: &str| simple(&client, sql).await.map(|rows| rows.as_array().map_or(0, Vec::len));
    let old = format!("SELECT order_id FROM shop.orders FOR SYSTEM_TIME AS OF '{}'", &moments[0]);
    assert_eq!(rows(&old).await, Ok(3));
    rows(&format!("BEGIN; DECLARE c CURSOR FOR {old}")).await.expect("declared");
    assert_eq!(rows("FETCH 1 FROM c").await, Ok(1));

    let asked = ["maintain", "--retention", "0s", "--force", "--only", "vacuum"];
    let done = mesh.json(&asked);
    assert_eq!((done[0]["held"].as_u64(), done[0]["files"].as_u64()), (Some(1), Some(1)), "{done}");
    assert_eq!(mesh.data_files().len(), 2);
    assert_eq!(rows("FETCH 10 FROM c").await, Ok(2), "what it had begun to read");
    rows("COMMIT").await.expect("over");
    let again = client.simple_query(&old).await.expect_err("it is no longer served");
    assert!(again.as_db_error().is_some_and(|error| error.message().contains("no longer kept")), "{again:?}");
    // Once nobody reads it, it goes.
    let done = mesh.json(&asked);
    assert_eq!((done[0]["held"].as_u64(), mesh.data_files().len()), (Some(0), 1), "{done}");

    let metrics = reqwest::get(format!("{}/metrics", server.http)).await.expect("answers").text().await.expect("text");
    for line in [
        "meshwork_maintenance_total{task=\"vacuum\",outcome=\"done\"} 2",
        "meshwork_cache_lookups_total{cache=\"footers\"",
        "meshwork_cache_lookups_total{cache=\"snapshots\"",
        "meshwork_table_versions_held 0",
    ] {
        assert!(metrics.lines().any(|found| found.starts_with(line)), "{line} is missing in\n{metrics}");
    }
    let jobs = crate::mesh::wait_for("the jobs", || {
        let jobs = mesh.json(&["jobs"]);
        jobs.as_array().filter(|jobs| jobs.len() == 2).cloned()
    });
    assert_eq!((jobs[0]["product"].as_str(), jobs[0]["task"].as_str()), (Some(PRODUCT), Some("compact")));
}
