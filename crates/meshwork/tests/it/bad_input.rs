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
