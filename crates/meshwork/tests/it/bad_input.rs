//! Bad input: a clear error with code and exit code, and the previous publication is still served.

use crate::mesh::{Mesh, PRODUCT, good_rows};

/// Runs on a bad source; then what is served must be what was.
fn refuses(mesh: &Mesh, exit: i32, words: &[&str]) {
    let said = mesh.fails(exit, &["run", PRODUCT]);
    for word in words {
        assert!(said.err.contains(word), "`{word}` is not in {}", said.err);
    }
    assert_eq!(mesh.served(), 3, "{}", said.err);
    assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
}

#[test]
fn sources() {
    let mesh = Mesh::published();
    let file = mesh.path().join("domains/shop/files/orders.csv");

    std::fs::remove_file(&file).expect("removed");
    refuses(&mesh, 3, &["orders.csv"]);

    mesh.source(&good_rows(5).replace(',', ";"));
    refuses(&mesh, 1, &["order_id", "delimiter: ';'"]);

    mesh.source("order_id,customer,amount,status\n1,a,much,open\n2,b,3.00,open\n");
    refuses(&mesh, 1, &["amount", "orders.csv:2"]);

    mesh.source("order_id,customer,status\n1,a,open\n");
    refuses(&mesh, 1, &["amount"]);

    mesh.source("");
    let said = mesh.meshwork(&["run", PRODUCT]);
    assert!(matches!(said.code, Some(1 | 3)), "{said:?}");
    assert_eq!(mesh.served(), 3);

    mesh.source("order_id,customer,amount,status\n1,\"a,3.00,open\n2,b,3.00,open\n");
    let said = mesh.meshwork(&["run", PRODUCT]);
    assert!(matches!(said.code, Some(1 | 3)), "{said:?}");
    assert_eq!(mesh.served(), 3);

    // A column that appears does no harm: the SQL does not read it.
    mesh.source("order_id,customer,amount,status,note\n1,a,3.00,open,hello\n2,b,3.00,open,\n");
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 2);
}

#[test]
fn unreadable_source() {
    use std::os::unix::fs::PermissionsExt;
    let mesh = Mesh::published();
    let file = mesh.path().join("domains/shop/files/orders.csv");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).expect("changed");
    // Root reads everything; then there is nothing to see here.
    if std::fs::read(&file).is_err() {
        refuses(&mesh, 3, &["orders.csv"]);
    }
}

#[test]
fn half_a_parquet_file() {
    let mesh = Mesh::published();
    let mut bytes = b"PAR1".to_vec();
    bytes.extend(std::iter::repeat_n(7u8, 4096));
    mesh.write("domains/shop/files/orders.parquet", &bytes);
    let product = mesh.path().join("domains/shop/orders/product.yaml");
    let text = std::fs::read_to_string(&product).expect("there");
    std::fs::write(
        &product,
        text.replace("type: csv, path: files/orders.csv", "type: parquet, path: files/orders.parquet"),
    )
    .expect("written");
    mesh.ok(&["apply"]);
    let said = mesh.meshwork(&["run", PRODUCT]);
    assert!(matches!(said.code, Some(1 | 3)), "{said:?}");
    assert!(said.err.contains("orders.parquet"), "{}", said.err);
    assert_eq!(mesh.served(), 3);
}

#[test]
fn a_database_that_is_down() {
    let mesh = Mesh::published();
    mesh.write(
        "domains/shop/domain.yaml",
        "domain: shop\nowner: shop_team\nmembers: [ana]\nconnections:\n  crm: { type: postgres, host: 127.0.0.1, port: 1, database: crm, user: reader, tls: disable }\n",
    );
    let product = mesh.path().join("domains/shop/orders/product.yaml");
    let text = std::fs::read_to_string(&product).expect("there");
    let source = "type: postgres, connection: crm, table: public.orders";
    std::fs::write(&product, text.replace("type: csv, path: files/orders.csv", source)).expect("written");
    mesh.ok(&["apply"]);
    refuses(&mesh, 3, &["127.0.0.1"]);
}

#[test]
fn a_state_from_a_newer_version() {
    let mesh = Mesh::published();
    let state = mesh.path().join(".meshwork/state.db");
    // The schema's version stands in the file's header (user_version, offset 60).
    let mut bytes = std::fs::read(&state).expect("there");
    bytes[60..64].copy_from_slice(&9999u32.to_be_bytes());
    std::fs::write(&state, bytes).expect("written");
    let _ = std::fs::remove_file(mesh.path().join(".meshwork/state.db-wal"));
    let said = mesh.fails(3, &["publications", "list"]);
    assert!(said.err.contains("MW0402") || said.err.contains("MW0403"), "{}", said.err);
}

#[test]
fn statements_beyond_measure() {
    let mesh = Mesh::published();
    let terms = format!("SELECT 1{} AS n", " + 1".repeat(20_000));
    mesh.write("terms.sql", &terms);
    let said = mesh.meshwork(&["sql", "-f", mesh.path().join("terms.sql").to_str().expect("text")]);
    assert!(matches!(said.code, Some(0..=3)), "{:?}", said.code);
    let huge = format!("SELECT '{}'", "x".repeat(10 << 20));
    mesh.write("huge.sql", &huge);
    let said = mesh.fails(3, &["sql", "-f", mesh.path().join("huge.sql").to_str().expect("text")]);
    assert!(said.err.len() < 2000, "the statement is not repeated");
    assert_eq!(mesh.served(), 3);
}

/// The same over each port of a server, which stays up and goes on with others.
#[tokio::test(flavor = "multi_thread")]
async fn statements_beyond_measure_over_every_port() {
    let mesh = Mesh::published();
    mesh.write("password", "a long enough password");
    let password = mesh.path().join("password");
    mesh.ok(&["user", "add", "ana", "--password-file", password.to_str().expect("text")]);
    let mut server = mesh.serve();
    let (host, port) = server.pg.as_deref().and_then(|pg| pg.split_once(':')).expect("an address");
    let settings = format!("host={host} port={port} user=ana password='a long enough password'");
    let connect = async || {
        let (client, connection) = tokio_postgres::connect(&settings, tokio_postgres::NoTls).await.expect("connected");
        tokio::spawn(connection);
        client
    };
    let terms = format!("SELECT 1{} AS n", " + 1".repeat(20_000));
    let huge = format!("SELECT '{}'", "x".repeat(10 << 20));
    let deep = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    for (sql, states, statuses) in [
        (&terms, ["54001", "54000"], [413, 413]),
        (&huge, ["54000", "54001"], [413, 413]),
        (&deep, ["54001", "54000"], [413, 413]),
    ] {
        let request = reqwest::Client::new().post(format!("{}/api/v1/query", server.http)).bearer_auth(&server.token);
        let answer = request.json(&serde_json::json!({ "sql": sql })).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("text");
        assert!(statuses.contains(&status), "{status}: {}", &text[..200.min(text.len())]);
        assert!(text.contains("MW") && text.len() < 2000, "{}", &text[..200.min(text.len())]);
        let client = connect().await;
        let simple = client.simple_query(sql).await.expect_err("too much");
        let extended = client.query(sql.as_str(), &[]).await.expect_err("too much");
        for error in [simple, extended] {
            let error = error.as_db_error().expect("told by the server");
            assert!(states.contains(&error.code().code()), "{}", error.message());
            assert!(error.message().len() < 2000);
        }
        client.simple_query("SELECT 1").await.expect("the session goes on");
    }
    assert!(server.is_up());
    assert_eq!(mesh.served(), 3);
}
