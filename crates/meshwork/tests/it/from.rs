//! Proposals from data that exists: from nothing to a governed, published table without an edit.

use std::os::unix::fs::PermissionsExt;

use meshwork_testkit::Postgres;

use crate::mesh::Mesh;

/// Customers and their orders, as an exporting program on another system writes them.
fn exports() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut customers = String::from("Customer Id;Full Name;E-Mail;Country;Born\n");
    let mut orders = String::from("OrderId;CustomerId;Order Date;Total Amount;Status;Coupon\n");
    let names = ["Anna Schmidt", "John Doe", "Maria de Souza", "Peter Müller", "Lucas Martin"];
    for row in 1..=60 {
        let country = ["DE", "FR", "US"][row % 3];
        customers += &format!(
            "{row};{};user{row}@example.org;{country};{:02}.{:02}.19{}\n",
            names[row % 5],
            row % 28 + 1,
            row % 12 + 1,
            60 + row % 40
        );
    }
    for row in 1..=400 {
        let coupon = if row % 9 == 0 { format!("AB-{row:04}") } else { "NULL".to_owned() };
        let status = ["open", "paid", "shipped", "returned"][row % 4];
        orders += &format!(
            "{row};{};2024-{:02}-{:02};{}.{:02};{status};{coupon}\n",
            row % 60 + 1,
            row % 12 + 1,
            row % 28 + 1,
            row * 3,
            row % 100
        );
    }
    std::fs::write(folder.path().join("customers.csv"), customers).expect("written");
    std::fs::write(folder.path().join("orders.csv"), orders).expect("written");
    std::fs::write(folder.path().join("README.md"), "not data").expect("written");
    folder
}

#[test]
fn a_folder_of_files_becomes_a_published_product() {
    let mesh = Mesh::empty();
    let exports = exports();
    let from = exports.path().to_str().expect("a path");
    mesh.ok(&["init", "--from", from, "--domain", "shop", "--product", "sales"]);
    assert_eq!(mesh.json(&["check"])["ok"], true);
    let contract = |name: &str| {
        std::fs::read_to_string(mesh.path().join(format!("domains/shop/sales/{name}.contract.yaml"))).expect("there")
    };
    let (orders, customers) = (contract("orders"), contract("customers"));
    for line in [
        "physical_name: Order Date",
        "type: decimal(18,2)",
        "enum: [open, paid, returned, shipped]",
        "references: customers.customer_id",
        "pattern: '^[A-Z]{2}\\-[0-9]{4}$'",
        "primary_key: true",
    ] {
        assert!(orders.contains(line), "{line} is not in\n{orders}");
    }
    for line in ["classification: pii", "format: \"%d.%m.%Y\"", "format: email"] {
        assert!(customers.contains(line), "{line} is not in\n{customers}");
    }
    assert!(!customers.contains("user1@example.org"), "no value of personal data is quoted");
    let manifest = std::fs::read_to_string(mesh.path().join("domains/shop/sales/product.yaml")).expect("there");
    assert!(manifest.contains("delimiter: \";\"") && manifest.contains("null: [\"NULL\"]"), "{manifest}");
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "shop.sales"]);
    let rows = mesh.ok(&[
        "sql", "-o", "csv", "-c",
        "SELECT count(*) AS n, count(coupon) AS coupons, count(DISTINCT c.country) AS countries, min(e_mail) LIKE '%@%' AS clear
         FROM shop.orders o JOIN shop.customers c USING (customer_id)",
    ]);
    assert_eq!(rows, "n,coupons,countries,clear\n400,44,3,false\n");
    // What was inferred is enforced: a reference to nobody blocks.
    let file = mesh.path().join("domains/shop/sales/data/orders.csv");
    let text = std::fs::read_to_string(&file).expect("there");
    std::fs::write(&file, text.replace("\n1;2;", "\n1;999;")).expect("written");
    let said = mesh.fails(1, &["run", "shop.sales"]);
    assert!(said.err.contains("references"), "{}", said.err);
}

#[test]
fn one_more_product_in_a_mesh_that_exists() {
    let mesh = Mesh::published();
    mesh.write(
        "domains/shop/files/items.json",
        r#"{"meta": 1, "items": [{"sku": "A-1", "qty": 2}, {"sku": "B-2", "qty": 5}]}"#,
    );
    let file = mesh.path().join("domains/shop/files/items.json");
    mesh.ok(&["new", "product", "shop.items", "--from", file.to_str().expect("a path")]);
    let manifest = std::fs::read_to_string(mesh.path().join("domains/shop/items/product.yaml")).expect("there");
    assert!(manifest.contains("path: files/items.json") && manifest.contains("$.items"), "{manifest}");
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "shop.items"]);
    assert_eq!(mesh.ok(&["sql", "-o", "csv", "-c", "SELECT sum(qty) AS n FROM shop.items"]), "n\n7\n");
    let again = mesh.fails(5, &["new", "product", "shop.items", "--from", file.to_str().expect("a path")]);
    assert_eq!(again.error_code(), Some("MW1023"));
}

#[test]
fn from_an_empty_folder_over_a_live_database_in_three_commands() {
    let database = Postgres::start().expect("PostgreSQL");
    database.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'glad');
         CREATE TABLE customers (customer_id int PRIMARY KEY, email varchar(80) NOT NULL UNIQUE, mood mood, ip inet,
                                 joined timestamptz NOT NULL DEFAULT now());
         COMMENT ON TABLE customers IS 'Who buys from us';
         COMMENT ON COLUMN customers.email IS 'Where invoices go';
         CREATE TABLE \"Order\" (id bigint PRIMARY KEY, customer int NOT NULL REFERENCES customers, total numeric NOT NULL,
                               status text NOT NULL CHECK (status IN ('open', 'paid')), note text);
         CREATE VIEW big_orders AS SELECT id, total FROM \"Order\" WHERE total > 100;
         INSERT INTO customers SELECT n, 'user' || n || '@example.org', 'glad', '10.0.0.1'::inet FROM generate_series(1, 50) n;
         INSERT INTO \"Order\" SELECT n, n % 50 + 1, n * 1.25, CASE n % 2 WHEN 0 THEN 'open' ELSE 'paid' END FROM generate_series(1, 300) n;",
    );
    let mesh = Mesh::empty();
    let url = format!("postgres://postgres:{}@127.0.0.1:{}/postgres", database.password(), database.port());
    mesh.ok(&["init", "--from", &url, "--domain", "crm"]);
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "crm.postgres"]);
    let rows = mesh.ok(&[
        "sql",
        "-o",
        "csv",
        "-c",
        "SELECT count(*) AS n, sum(total) AS total, min(email) LIKE '%@%' AS clear
         FROM crm.order_data o JOIN crm.customers c ON c.customer_id = o.customer",
    ]);
    assert_eq!(rows, "n,total,clear\n300,56437.50,false\n");
    let secret = mesh.path().join(".meshwork/secrets/crm/postgres_password");
    assert_eq!(std::fs::metadata(&secret).expect("kept").permissions().mode() & 0o777, 0o600);
    let domain = mesh.path().join("domains/crm");
    let mut texts = String::new();
    for entry in std::fs::read_dir(domain.join("postgres")).expect("there").flatten() {
        texts += &std::fs::read_to_string(entry.path()).expect("a text");
    }
    texts += &std::fs::read_to_string(domain.join("domain.yaml")).expect("there");
    assert!(!texts.contains(database.password()), "the password stands in a manifest");
    for part in [
        "references: customers.customer_id",
        "enum: [open, paid]",
        "enum: [sad, glad]",
        "description: Where invoices go",
        "max_length: 80",
        "query: \"SELECT \\\"customer_id\\\"",
        "the catalog declares it; 1.00",
    ] {
        assert!(texts.contains(part), "{part} is not in\n{texts}");
    }
}

#[test]
fn a_dbt_project_with_its_database() {
    let database = Postgres::start().expect("PostgreSQL");
    database.sql(
        "CREATE TABLE stg_orders (order_id int, status text, other text);
         INSERT INTO stg_orders SELECT n, 'placed' FROM generate_series(1, 30) n;
         CREATE TABLE unrelated (x int);",
    );
    let mesh = Mesh::empty();
    let manifest = serde_json::json!({
        "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "adapter_type": "postgres", "project_name": "jaffle"},
        "nodes": {
            "model.jaffle.stg_orders": {"resource_type": "model", "name": "stg_orders", "schema": "public", "description": "Orders, cleaned.",
                "config": {"materialized": "table"}, "columns": {"order_id": {"name": "order_id", "description": "Number of the order"}}},
            "test.jaffle.a": {"resource_type": "test", "name": "accepted", "attached_node": "model.jaffle.stg_orders", "column_name": "status",
                "test_metadata": {"name": "accepted_values", "kwargs": {"values": ["placed", "returned"]}}, "config": {}},
            "test.jaffle.u": {"resource_type": "test", "name": "unique", "attached_node": "model.jaffle.stg_orders", "column_name": "order_id",
                "test_metadata": {"name": "unique", "kwargs": {}}, "config": {}},
        },
        "sources": {},
    });
    mesh.write("target/manifest.json", manifest.to_string());
    let file = mesh.path().join("target/manifest.json");
    let url = format!("postgres://postgres:{}@127.0.0.1:{}/postgres", database.password(), database.port());
    mesh.ok(&["init", "--from", file.to_str().expect("a path"), "--database", &url]);
    let contract =
        std::fs::read_to_string(mesh.path().join("domains/jaffle/jaffle/stg_orders.contract.yaml")).expect("there");
    for part in [
        "enum: [placed, returned]",
        "description: Number of the order",
        "description: \"Orders, cleaned.\"",
        "dbt says so",
    ] {
        assert!(contract.contains(part), "{part} is not in\n{contract}");
    }
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "all"]);
    assert_eq!(mesh.ok(&["sql", "-o", "csv", "-c", "SELECT count(*) AS n FROM jaffle.stg_orders"]), "n\n30\n");
}

#[test]
fn what_cannot_be_started_from_says_why() {
    let mesh = Mesh::empty();
    for (from, exit, code) in [
        ("/nowhere/at/all.csv", 5, "MW1100"),
        ("oracle://u:hunter2@host/db", 2, "MW1102"),
        ("postgres://u:hunter2@127.0.0.1:1/db", 3, "MW0520"),
    ] {
        let said = mesh.fails(exit, &["init", "--from", from]);
        assert_eq!(said.error_code(), Some(code), "{}", said.err);
        assert!(!said.err.contains("hunter2"), "{}", said.err);
    }
    assert!(!mesh.path().join("mesh.yaml").exists(), "nothing was written");
}
