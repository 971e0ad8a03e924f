//! External tables in buckets: files of others there, served as they were checked.

use super::{Lake, holding, keys, walk};
use crate::external::{CONTRACT, IDS, product, rows};
use crate::mesh::PRODUCT;
use crate::redteam::ports::Ports;
use meshwork_testkit::S3;

impl Lake {
    /// The published shop, whose table the domain `lake` takes for one of others: `lake.events`.
    fn registering(format: &str) -> Self {
        let lake = Self::published();
        let mesh = &lake.mesh;
        let bucket = lake.server.bucket("lake");
        let mut table = None;
        walk(&bucket, &mut |file| {
            let log = file.parent().filter(|folder| folder.ends_with("_delta_log"));
            table = table.take().or_else(|| Some(log?.parent()?.strip_prefix(&bucket).ok()?.to_str()?.to_owned()));
        });
        let table = table.expect("a table");
        let below = if format == "parquet" { "/*.parquet" } else { "" };
        mesh.write(
            "domains/lake/domain.yaml",
            format!(
                "domain: lake\nowner: lake_team\nconnections:\n  store: {{ type: s3, endpoint: {:?}, access_key_id: \
                 \"${{secret:lake_id}}\", secret_access_key: \"${{secret:lake_key}}\" }}\n",
                lake.proxy.endpoint()
            ),
        );
        keys(mesh.path(), "lake");
        let source = format!("{{ type: {format}, path: \"s3://lake/{table}{below}\", connection: store }}");
        mesh.write("domains/lake/events/product.yaml", product(&source));
        mesh.write("domains/lake/events/events.contract.yaml", CONTRACT);
        mesh.ok(&["apply"]);
        mesh.ok(&["run", "lake.events"]);
        lake
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_table_in_a_bucket_is_served_at_the_version_that_was_checked() {
    let lake = Lake::registering("delta");
    let mesh = &lake.mesh;
    assert_eq!(rows(mesh, IDS), "event_id 1 2 3");
    let registered =
        || mesh.json(&["publications", "list", "lake.events"])[0]["outputs"][0]["registered"]["version"].clone();
    assert_eq!(registered(), 0);
    mesh.orders(5);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!((mesh.served(), rows(mesh, IDS).as_str()), (5, "event_id 1 2 3"), "until it is checked");
    mesh.user("eve");
    mesh.grant("eve", "lake.events", &["--rows", "event_id > 1"]);
    {
        let server = mesh.serve();
        let ports = Ports::of(mesh, &server, "eve").await;
        for (port, answer) in ports.ask(IDS).await {
            assert_eq!(answer.map(|rows| rows.as_array().map(Vec::len)), Ok(Some(2)), "{port}");
        }
        for (port, answer) in ports.ask("EXPLAIN ANALYZE SELECT * FROM lake.events").await {
            let shown = format!("{answer:?}");
            assert!(!shown.contains("parquet") && !shown.contains("s3:"), "{port}: {shown}");
        }
        // Whose table it is vacuums it, while a server that has read it runs.
        mesh.ok(&["maintain", PRODUCT, "--retention", "0s", "--force"]);
        for (port, answer) in ports.ask("SELECT * FROM lake.events").await {
            let error = answer.expect_err(port);
            assert!(error == "MW0856" || port.starts_with("postgres"), "{port}: {error}");
        }
    }
    let said = mesh.fails(3, &["sql", "-c", IDS]);
    assert!(said.error_code() == Some("MW0856") && said.err.contains("has gone"), "{}", said.err);
    mesh.ok(&["run", "lake.events"]);
    assert_eq!((rows(mesh, IDS).as_str(), registered()), ("event_id 1 2 3 4 5", 1.into()));
    let mut found = holding(mesh.path(), S3::KEY);
    found.retain(|file| !file.ends_with("/lake_key"));
    assert_eq!(found, [""; 0], "what opens the bucket stands nowhere but where it was put");
}

/// Another domain's product reads the table, and a view that stands over it: their runs get the keys to it, and no others.
#[test]
fn runs_of_others_reach_an_external_table_in_a_bucket() {
    let lake = Lake::registering("parquet");
    let mesh = &lake.mesh;
    let contract = |name: &str| {
        format!("schema: {name}\nversion: 1.0.0\nowner: desk-team\nfields:\n  - {{ name: customer, type: string }}\n")
    };
    for (domain, input, mode) in [("desk", "lake.events", "view"), ("finance", "desk.seen", "full")] {
        let output = if mode == "view" { "seen" } else { "kept" };
        mesh.write(&format!("domains/{domain}/domain.yaml"), format!("domain: {domain}\nowner: {domain}_team\n"));
        mesh.write(
            &format!("domains/{domain}/{output}/product.yaml"),
            format!(
                "product: {output}\nversion: 1.0.0\nstatus: active\ninputs:\n  below: {{ product: {}, output: {}, version: 1, \
                 purpose: test }}\noutputs:\n  {output}: {{ contract: c.yaml, sql: s.sql, mode: {mode} }}\n",
                input,
                input.split_once('.').expect("a table").1
            ),
        );
        mesh.write(&format!("domains/{domain}/{output}/c.yaml"), contract(output));
        mesh.write(&format!("domains/{domain}/{output}/s.sql"), "SELECT customer FROM below\n");
    }
    std::fs::remove_dir_all(mesh.path().join(".meshwork/secrets")).expect("removed");
    let env = [
        ("MW_SECRET_SHOP_LAKE_ID", S3::KEY_ID),
        ("MW_SECRET_SHOP_LAKE_KEY", S3::KEY),
        ("MW_SECRET_LAKE_LAKE_ID", S3::KEY_ID),
        ("MW_SECRET_LAKE_LAKE_KEY", S3::KEY),
    ];
    let ok = |args: &[&str]| {
        let said = mesh.with_env(&env, args);
        assert_eq!(said.code, Some(0), "{args:?}: {}\n{}", said.out, said.err);
        said.out
    };
    ok(&["apply"]);
    ok(&["access", "grant", "product:desk.seen", "lake.events", "--purpose", "test"]);
    ok(&["run", "desk.seen"]);
    ok(&["access", "grant", "product:finance.kept", "desk.seen", "--purpose", "test"]);
    ok(&["run", "finance.kept"]);
    let count = |table: &str| ok(&["sql", "-c", &format!("SELECT count(*) AS n FROM {table}"), "-o", "csv"]);
    assert_eq!((count("desk.seen").as_str(), count("finance.kept").as_str()), ("n\n3\n", "n\n3\n"));
    // Without the keys of its domain nobody gets at it.
    let said = mesh.with_env(&env[..2], &["sql", "-c", IDS]);
    assert!(said.code == Some(3) && said.err.contains("error[MW0818]"), "{said:?}");
    assert!(!said.err.contains(S3::KEY), "{said:?}");
}

#[test]
fn killed_while_an_external_table_in_a_bucket_is_checked() {
    let lake = Lake::registering("parquet");
    let mesh = &lake.mesh;
    // Files of the shop's table as they come; each run of it replaces the rows with more of them.
    let replaced = |orders: usize| {
        mesh.orders(orders);
        mesh.ok(&["run", PRODUCT]);
        mesh.ok(&["maintain", PRODUCT, "--retention", "0s", "--force"]);
    };
    let count = || mesh.meshwork(&["sql", "-c", "SELECT count(*) AS n FROM lake.events", "-o", "csv"]);
    for (at, (variable, step)) in [
        ("MESHWORK_RUN_FAULT", "after-stage"),
        ("MESHWORK_RUN_FAULT", "before-commit"),
        ("MESHWORK_FAULT", "run.verdict_stored"),
        ("MESHWORK_FAULT", "run.committed"),
    ]
    .into_iter()
    .enumerate()
    {
        let new = 4 + at;
        replaced(new);
        mesh.with_env(&[(variable, step)], &["run", "lake.events"]);
        let served = count();
        // The old list of files, which are gone, or the new one: never anything between.
        assert!(served.error_code() == Some("MW0856") || served.out == format!("n\n{new}\n"), "{step}: {served:?}");
        mesh.ok(&["run", "lake.events"]);
        assert_eq!(count().out, format!("n\n{new}\n"), "{step}");
    }
    mesh.ok(&["collect"]);
    assert_eq!(lake.orphans(), Default::default());
}
