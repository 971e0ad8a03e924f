//! Housekeeping, as the owner of a mesh asks for it and as a server does it.

use serde_json::Value;
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

/// The shop's product with a second output, `totals`.
fn with_totals(mesh: &Mesh) -> String {
    let product = "domains/shop/orders/product.yaml";
    let text = std::fs::read_to_string(mesh.path().join(product)).expect("there");
    mesh.write(
        "domains/shop/orders/totals.contract.yaml",
        "schema: totals\nversion: 1.0.0\nowner: shop-team\nfields:\n  - { name: total, type: number }\n",
    );
    mesh.write("domains/shop/orders/totals.sql", "SELECT sum(CAST(amount AS DOUBLE)) AS total FROM raw\n");
    mesh.write(product, format!("{text}  totals: {{ contract: totals.contract.yaml, sql: totals.sql }}\n"));
    text
}

#[test]
fn what_a_product_has_no_longer_goes_after_its_retention() {
    let mesh = Mesh::shop();
    let without = with_totals(&mesh);
    mesh.ok(&["apply"]);
    for rows in [3, 4] {
        mesh.orders(rows);
        mesh.ok(&["run", PRODUCT]);
    }
    let folders = || std::fs::read_dir(mesh.path().join("data")).expect("there").flatten().count();
    assert_eq!(mesh.data_files().len(), 4, "each run writes each table");
    mesh.write("domains/shop/orders/product.yaml", without.replace("1.0.0", "2.0.0"));
    mesh.ok(&["apply"]);
    mesh.ok(&["run", PRODUCT]);
    let (files, places) = (mesh.data_files().len(), folders());
    assert_eq!(files, 5, "and the last one only what the product still has");

    // Within the retention it stays, whoever asks.
    mesh.ok(&["maintain"]);
    assert!(!mesh.ok(&["maintain", "--dry-run"]).contains("totals"));
    assert_eq!((mesh.data_files().len(), folders()), (files, places));
    let vacuum = |more: &[&str]| {
        let done = mesh.json(&[&["maintain", "--only", "vacuum", "--retention", "0s", "--force"], more].concat());
        let done = done.as_array().expect("a list").clone();
        let found = |is: &dyn Fn(&Value) -> bool| done.iter().find(|done| is(done)).cloned().unwrap_or_default();
        (found(&|done| !done["former"].is_null()), found(&|done| done["table"] == "shop.orders_v1"))
    };
    let (dry, _) = vacuum(&["--dry-run"]);
    assert_eq!(dry["table"], "shop.totals_v1");
    assert_eq!((dry["files"].as_u64(), dry["log_files"].as_u64()), (Some(2), Some(2)), "{dry}");
    assert!(dry["bytes"].as_u64().is_some_and(|bytes| bytes > 500), "{dry}");
    assert!(dry["former"].as_str().is_some_and(|place| place.starts_with("file:///")), "{dry}");
    assert_eq!((mesh.data_files().len(), folders()), (files, places), "a dry run does nothing");
    // Killed half-way, and done by the next.
    let asked = ["maintain", "--only", "vacuum", "--retention", "0s", "--force"];
    assert_eq!(mesh.with_env(&[("MESHWORK_FAULT", "vacuum.withdrawn")], &asked).code, None);
    assert_eq!(folders(), places);
    // Its name went with its publications; its place is the same.
    let (rest, _) = vacuum(&[]);
    assert_eq!((&rest["files"], &rest["former"]), (&dry["files"], &dry["former"]), "{rest}");
    assert_eq!((mesh.data_files().len(), folders(), mesh.served()), (1, places - 1, 4));
    assert_eq!(vacuum(&[]).0, Value::Null, "it is forgotten");

    // What was is on record; the mesh is sound, is backed up, and goes on.
    assert_eq!(mesh.json(&["publications", "list"]).as_array().map(Vec::len), Some(3));
    mesh.ok(&["doctor"]);
    let (file, folder) = (mesh.path().join("b.tar.zst"), tempfile::tempdir().expect("a folder"));
    let (file, folder) = (file.to_str().expect("text"), folder.path().join("restored"));
    mesh.ok(&["backup", file]);
    mesh.ok(&["restore", file, folder.to_str().expect("text")]);
    mesh.orders(6);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 6);

    // A product that is retired leaves all it had.
    let retired = without.replace("1.0.0", "2.0.0").replace("status: active", "status: retired");
    mesh.write("domains/shop/orders/product.yaml", retired);
    mesh.ok(&["apply"]);
    assert_eq!(mesh.data_files().len(), 2);
    let (_, orders) = vacuum(&[]);
    assert_eq!((orders["files"].as_u64(), mesh.data_files().len()), (Some(2), 0), "{orders}");
}

/// The versions that a view is served over are the view's to give up, also when its past is asked for.
#[test]
fn a_view_keeps_what_it_is_served_over_until_it_gives_it_up() {
    let mesh = Mesh::published();
    mesh.write("domains/desk/domain.yaml", "domain: desk\nowner: desk_team\n");
    mesh.write(
        "domains/desk/all/product.yaml",
        "product: all\nversion: 1.0.0\nstatus: active\ninputs:\n  \
         orders: { product: shop.orders, version: 1, purpose: test }\n\
         outputs:\n  every: { contract: every.contract.yaml, sql: every.sql, mode: view }\n",
    );
    mesh.write(
        "domains/desk/all/every.contract.yaml",
        "schema: every\nversion: 1.0.0\nowner: x\nfields:\n  - { name: order_id, type: integer }\n",
    );
    mesh.write("domains/desk/all/every.sql", "SELECT order_id FROM orders\n");
    mesh.ok(&["apply"]);
    mesh.grant("product:desk.all", PRODUCT, &[]);
    mesh.ok(&["run", "desk.all"]);
    let first = mesh.json(&["publications", "list", "desk.all"])[0]["at"].as_str().expect("a time").to_owned();
    let forget = |product: &str| {
        let asked = ["maintain", product, "--only", "vacuum", "--retention", "0s", "--force"];
        mesh.json(&asked)[0]["files"].as_u64()
    };
    let rows = |more: &[&str]| {
        let asked = ["sql", "-c", "SELECT count(*) AS n FROM desk.every", "-o", "csv"];
        let said = mesh.meshwork(&[&asked[..], more].concat());
        said.out.lines().nth(1).map(str::to_owned).ok_or(said.error_code().map(str::to_owned))
    };
    mesh.orders(5);
    mesh.ok(&["run", PRODUCT]);
    mesh.orders(7);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!((forget(PRODUCT), mesh.data_files().len()), (Some(1), 2), "nobody needs the second version");
    assert_eq!(rows(&[]), Ok("3".to_owned()), "it is served over the first");
    mesh.ok(&["run", "desk.all"]);
    assert_eq!(forget(PRODUCT), Some(0));
    assert_eq!((rows(&[]), rows(&["--as-of", &first])), (Ok("7".to_owned()), Ok("3".to_owned())));
    // Its past goes with its own retention, and then what its past needs.
    forget("desk.all");
    assert_eq!(rows(&["--as-of", &first]), Err(Some("MW0698".to_owned())));
    assert_eq!((forget(PRODUCT), mesh.data_files().len()), (Some(1), 1));
    assert_eq!(rows(&[]), Ok("7".to_owned()));
}
