//! What queries and runs may use: set by whoever serves, the mesh and the product, and kept on every port.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::mesh::{Mesh, PRODUCT};

/// Statements over two series of 300,000 rows, which would take minutes.
const HEAVY: [&str; 3] = [
    "SELECT count(*) FROM generate_series(1, 300000) a, generate_series(1, 300000) b",
    "SELECT count(*) FROM generate_series(1, 300000) a, generate_series(1, 300000) b WHERE a.value + b.value < 0",
    "SELECT a.value + b.value AS n FROM generate_series(1, 300000) a, generate_series(1, 300000) b ORDER BY n DESC LIMIT 3",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_statement_is_kept_on_every_port_and_it_can_be_cancelled() {
    let mesh = Mesh::published();
    let server = mesh.serve_with(&["--limits", "query.time=500ms"]);
    // A second beside the limit, and one for a machine that has other things to do.
    let within = Duration::from_millis(2500);
    let http = reqwest::Client::new();
    let ask = async |sql: &str| -> (u16, String) {
        let request = http.post(format!("{}/api/v1/query", server.http)).bearer_auth(&server.token);
        let answer = request.json(&json!({ "sql": sql })).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.unwrap_or_default())
    };
    let address = server.pg.clone().expect("an address");
    let (host, port) = address.split_once(':').expect("an address");
    let settings = format!("host={host} port={port} user=owner password='{}' dbname=meshwork", server.token);
    let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.expect("connected");
    tokio::spawn(connection);
    for sql in HEAVY {
        let started = Instant::now();
        let (_, text) = ask(sql).await;
        assert!(text.contains("MW0810"), "{sql}: {text}");
        assert!(started.elapsed() < within, "{sql}: HTTP took {:?}", started.elapsed());
        let started = Instant::now();
        let error = client.simple_query(sql).await.expect_err("too long");
        assert_eq!(error.code().map(|code| code.code()), Some("57014"), "{sql}: {error:?}");
        assert!(started.elapsed() < within, "{sql}: Postgres took {:?}", started.elapsed());
        assert_eq!(ask("SELECT 1 AS n").await.0, 200);
    }
    let limits = mesh.json(&["doctor"]);
    let told = limits.as_array().expect("findings").iter().any(|finding| {
        finding["what"] == "limits"
            && finding["message"].as_str().is_some_and(|message| message.contains("time 500 ms"))
    });
    assert!(told, "{limits}");
    assert_eq!(server.stop(Signal::TERM), Some(0));

    // Long enough to be cancelled.
    let server = mesh.serve_with(&["--limits", "query.time=1min"]);
    let address = server.pg.clone().expect("an address");
    let (host, port) = address.split_once(':').expect("an address");
    let settings = format!("host={host} port={port} user=owner password='{}' dbname=meshwork", server.token);
    let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.expect("connected");
    tokio::spawn(connection);
    for sql in HEAVY {
        let cancel = client.cancel_token();
        let asked = client.simple_query(sql);
        let cancelled = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            cancel.cancel_query(NoTls).await.expect("sent");
            Instant::now()
        };
        let (ended, since) = tokio::join!(asked, cancelled);
        assert_eq!(ended.expect_err("cancelled").code().map(|code| code.code()), Some("57014"), "{sql}");
        assert!(since.elapsed() < Duration::from_secs(2), "{sql}: {:?}", since.elapsed());
        let started = Instant::now();
        client.simple_query("SELECT 1").await.expect("the session goes on");
        assert!(started.elapsed() < Duration::from_secs(2), "{sql} still computes");
    }
}

#[test]
fn the_mesh_and_its_products_lower_limits_and_cannot_raise_them() {
    let mesh = Mesh::published();
    let yaml = "name: shop_mesh\nstorage: data\nlimits:\n  query: { rows: 2, memory: 256 MiB }\n  run: { rows: 100 }\n";
    mesh.write("mesh.yaml", yaml);
    let plan = mesh.ok(&["plan"]);
    assert!(plan.contains("limits of queries `none` → `memory 256 MiB, rows 2`"), "{plan}");
    mesh.ok(&["apply"]);
    let applied = mesh.json(&["sql", "-c", "SELECT order_id FROM shop.orders LIMIT 2"]);
    assert_eq!(applied["rows"].as_array().map(Vec::len), Some(2), "{applied}");
    let error = mesh.fails(3, &["sql", "-c", "SELECT order_id FROM shop.orders"]);
    assert_eq!(error.error_code(), Some("MW0812"), "{error:?}");
    // The operator's counts where it is lower, and only there.
    let error = mesh.fails(3, &["--limits", "query.rows=1", "sql", "-c", "SELECT order_id FROM shop.orders LIMIT 2"]);
    assert_eq!(error.error_code(), Some("MW0812"), "{error:?}");
    let error = mesh.fails(3, &["--limits", "query.rows=9", "sql", "-c", "SELECT order_id FROM shop.orders"]);
    assert_eq!(error.error_code(), Some("MW0812"), "{error:?}");
    assert_eq!(mesh.fails(2, &["--limits", "query.cores=1", "whoami"]).error_code(), Some("MW1068"));

    let product = |limits: &str| {
        let path = mesh.path().join("domains/shop/orders/product.yaml");
        let text = std::fs::read_to_string(path).expect("there");
        let text: String = text.lines().filter(|line| !line.starts_with("limits:")).map(|l| format!("{l}\n")).collect();
        mesh.write("domains/shop/orders/product.yaml", text + limits);
    };
    product("limits: { rows: 200 }\n");
    let said = mesh.meshwork(&["check"]);
    assert_eq!(said.code, Some(1));
    assert!(format!("{}{}", said.out, said.err).contains("MW0189"), "{said:?}");
    product("limits: { rows: 20, time: soon }\n");
    let said = mesh.meshwork(&["check"]);
    assert!(format!("{}{}", said.out, said.err).contains("MW0188"), "{said:?}");
    product("limits: { rows: 20 }\n");
    mesh.ok(&["apply"]);
    mesh.orders(21);
    let error = mesh.meshwork(&["run", PRODUCT]);
    assert!(format!("{}{}", error.out, error.err).contains("MW0641"), "{error:?}");
    assert_eq!(mesh.served(), 3, "nothing was published");
    mesh.orders(20);
    mesh.ok(&["run", PRODUCT]);
    let shown: Value = mesh.json(&["doctor"]);
    assert!(shown.to_string().contains("of queries: memory 256 MiB, spill 8 GiB, time 5 min, rows 2"), "{shown}");
}
