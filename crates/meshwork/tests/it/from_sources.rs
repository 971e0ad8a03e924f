//! Proposals from every kind of source, and contracts held against it.

use std::path::Path;
use std::process::Command;

use meshwork_testkit::{Mariadb, S3, Web, WebAnswer};

use crate::mesh::Mesh;

/// A SQLite file, by the library that Python brings along.
fn sqlite(path: &Path, statements: &str) {
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.close()";
    let made = Command::new("python3").args(["-c", script]).arg(path).arg(statements).status().expect("python3");
    assert!(made.success());
}

fn read(mesh: &Mesh, path: &str) -> String {
    std::fs::read_to_string(mesh.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Held against the data, the contract does not hold.
fn broken(mesh: &Mesh, args: &[&str]) -> String {
    let said = mesh.meshwork(&[&["contract", "test"], args].concat());
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    said.out
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

/// One record `{"id": n, "name": "…"}` each, in one block (Avro 1.11, object container files).
fn avro(rows: &[(i64, &str)]) -> Vec<u8> {
    fn long(value: i64, out: &mut Vec<u8>) {
        let mut bits = ((value << 1) ^ (value >> 63)) as u64;
        while bits >= 0x80 {
            out.push(bits as u8 | 0x80);
            bits >>= 7;
        }
        out.push(bits as u8);
    }
    fn bytes(text: &[u8], out: &mut Vec<u8>) {
        long(text.len() as i64, out);
        out.extend_from_slice(text);
    }
    let schema = r#"{"type": "record", "name": "row", "fields": [{"name": "id", "type": "long"}, {"name": "name", "type": "string"}]}"#;
    let mut out = b"Obj\x01".to_vec();
    long(2, &mut out);
    bytes(b"avro.schema", &mut out);
    bytes(schema.as_bytes(), &mut out);
    bytes(b"avro.codec", &mut out);
    bytes(b"null", &mut out);
    long(0, &mut out);
    let mut block = Vec::new();
    for (id, name) in rows {
        long(*id, &mut block);
        bytes(name.as_bytes(), &mut block);
    }
    let sync = [7; 16];
    out.extend_from_slice(&sync);
    long(rows.len() as i64, &mut out);
    bytes(&block, &mut out);
    out.extend_from_slice(&sync);
    out
}

const SHOP: &str = "
    CREATE TABLE Customer (CustomerId INTEGER PRIMARY KEY, FullName NVARCHAR(40) NOT NULL, PostalCode NVARCHAR(10), Vip BOOLEAN,
      Email NVARCHAR(60) UNIQUE);
    CREATE TABLE Invoice (InvoiceId INTEGER PRIMARY KEY, CustomerId INTEGER NOT NULL REFERENCES Customer,
      InvoiceDate DATETIME NOT NULL, Total NUMERIC(10,2) NOT NULL, Odd, Note TEXT);
    CREATE VIEW Big AS SELECT InvoiceId, Total FROM Invoice WHERE Total > 50;
    WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 40)
      INSERT INTO Customer SELECT n, 'Name ' || n, '0' || (1000 + n), n % 2, 'user' || n || '@example.org' FROM n;
    WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 200)
      INSERT INTO Invoice SELECT n, n % 40 + 1, datetime('2024-01-01', n || ' hours'), n * 0.5, n % 7, NULL FROM n;";

#[test]
fn a_sqlite_database_becomes_a_published_product() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shop.sqlite");
    sqlite(&file, SHOP);
    let from = file.to_str().expect("a path");
    let mesh = Mesh::empty();
    mesh.ok(&["init", "--from", from]);
    contains(
        &read(&mesh, "domains/shop/shop/invoice.contract.yaml"),
        &[
            "references: customer.customer_id",
            "type: decimal(10,2)",
            "physical_name: InvoiceDate",
            "type: timestamp",
            "the database declares it; 1.00",
        ],
    );
    let customer = read(&mesh, "domains/shop/shop/customer.contract.yaml");
    contains(
        &customer,
        &["max_length: 10", "type: boolean", "classification: pii", "primary_key: true", "unique: true"],
    );
    contains(
        &read(&mesh, "domains/shop/shop/product.yaml"),
        &["type: sqlite", "path: shop/data/shop.sqlite", "table: Invoice"],
    );
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "shop.shop"]);
    let sql = "SELECT count(*) AS n, sum(total) AS total, min(postal_code) AS code FROM shop.invoice JOIN shop.customer USING (customer_id)";
    // Postal codes are masked for everyone who is not cleared.
    let rows = mesh.ok(&["sql", "-o", "csv", "-c", &sql.replace(", min(postal_code) AS code", "")]);
    assert_eq!(rows, "n,total\n200,10050.00\n");

    // The file as the data of a contract: its tables by their names.
    let contract = mesh.path().join("domains/shop/shop/invoice.contract.yaml");
    let contract = contract.to_str().expect("a path");
    let reference = format!("customer={from}#Customer");
    mesh.ok(&["contract", "test", contract, "--data", from, "--reference", &reference]);
    sqlite(
        &file,
        "UPDATE Invoice SET CustomerId = 99 WHERE InvoiceId = 7; UPDATE Invoice SET Total = 'many' WHERE InvoiceId = 8",
    );
    let said = broken(&mesh, &[contract, "--data", from, "--reference", &reference]);
    contains(&said, &["references", "total.type"]);
    let said = mesh.fails(1, &["contract", "test", contract, "--data", &format!("{from}#Nothing")]);
    assert_eq!(said.error_code(), Some("MW0522"));
}

#[test]
fn a_folder_of_avro_parquet_and_delta() {
    let mesh = Mesh::published();
    let parquet = mesh.command(&["sql", "-o", "parquet", "-c", "SELECT order_id, amount FROM shop.orders"]).output();
    let parquet = parquet.expect("runs").stdout;
    let lake = tempfile::tempdir().expect("a folder");
    let file = |path: &str, bytes: &[u8]| {
        let path = lake.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, bytes).expect("written");
    };
    file("people.avro", &avro(&[(1, "Anna"), (2, "Bert"), (3, "Cleo")]));
    file("sales/year=2024/month=1/a.parquet", &parquet);
    file("sales/year=2024/month=2/a.parquet", &parquet);
    file("notes/readme.md", b"not data");
    // What the mesh has published is a Delta table.
    let log = walk(mesh.path()).into_iter().find(|path| path.ends_with("_delta_log")).expect("a table");
    for entry in walk(log.parent().expect("a table")).into_iter().filter(|path| path.is_file()) {
        let inside = entry.strip_prefix(log.parent().expect("a table")).expect("inside").to_str().expect("a path");
        file(&format!("orders/{inside}"), &std::fs::read(&entry).expect("read"));
    }
    let from = lake.path().to_str().expect("a path");
    let proposed = Mesh::empty();
    proposed.ok(&["init", "--from", from, "--domain", "lake", "--product", "lake"]);
    contains(
        &read(&proposed, "domains/lake/lake/product.yaml"),
        &[
            "type: avro",
            "path: lake/data/people.avro",
            "path: \"lake/data/sales/**/*.parquet\"",
            "type: delta",
            "path: lake/data/orders",
        ],
    );
    contains(&read(&proposed, "domains/lake/lake/sales.contract.yaml"), &["name: year", "name: month", "name: amount"]);
    proposed.ok(&["apply"]);
    proposed.ok(&["run", "lake.lake"]);
    let count = "SELECT (SELECT count(*) FROM lake.people) AS p, (SELECT count(*) FROM lake.sales WHERE month = 2) AS s, (SELECT count(*) FROM lake.orders) AS o";
    assert_eq!(proposed.ok(&["sql", "-o", "csv", "-c", count]), "p,s,o\n3,3,3\n");

    // The same as the data of contracts.
    for (table, data) in [("people", "people.avro"), ("sales", "sales"), ("orders", "orders")] {
        let contract = proposed.path().join(format!("domains/lake/lake/{table}.contract.yaml"));
        let contract = contract.to_str().expect("a path");
        let data = format!("{from}/{data}");
        let said = proposed.json(&["contract", "test", contract, "--data", &data]);
        assert_eq!((&said["ok"], said["rows"].as_u64() > Some(2)), (&true.into(), true), "{table}: {said:#}");
    }
    let people = proposed.path().join("domains/lake/lake/people.contract.yaml");
    let narrower = std::fs::read_to_string(&people)
        .expect("there")
        .replace("quality:\n", "quality:\n  - range: { field: id, max: 2 }\n");
    std::fs::write(&people, narrower).expect("written");
    let people = people.to_str().expect("a path");
    let said = broken(&proposed, &[people, "--data", &format!("{from}/people.avro")]);
    contains(&said, &["range(id)"]);
    // A folder of one table by itself.
    let alone = Mesh::empty();
    alone.ok(&["init", "--from", &format!("{from}/orders"), "--domain", "lake", "--product", "copies"]);
    alone.ok(&["apply"]);
    alone.ok(&["run", "lake.copies"]);
    assert_eq!(alone.ok(&["sql", "-o", "csv", "-c", "SELECT count(*) AS n FROM lake.orders"]), "n\n3\n");
}

#[test]
fn a_delta_table_in_a_bucket() {
    let published = Mesh::published();
    let log = walk(published.path()).into_iter().find(|path| path.ends_with("_delta_log")).expect("a table");
    let table = log.parent().expect("a table");
    let store = S3::start(&["lake"]).expect("versitygw");
    let bucket = store.bucket("lake");
    for entry in walk(table).into_iter().filter(|path| path.is_file()) {
        let to = bucket.join("tables/orders").join(entry.strip_prefix(table).expect("inside"));
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        std::fs::copy(&entry, to).expect("copied");
    }
    std::fs::write(bucket.join("tables/rates.csv"), "id,rate\n1,0.5\n2,0.7\n").expect("written");
    let env = [("AWS_ACCESS_KEY_ID", S3::KEY_ID), ("AWS_SECRET_ACCESS_KEY", S3::KEY)];
    let at = |path: &str| format!("s3://lake/{path}?endpoint={}", store.endpoint());
    let ok = |mesh: &Mesh, args: &[&str]| {
        let said = mesh.with_env(&env, args);
        assert_eq!(said.code, Some(0), "{args:?}: {}{}", said.out, said.err);
    };
    let mesh = Mesh::empty();
    ok(&mesh, &["init", "--from", &at("tables/orders"), "--domain", "lake", "--product", "sales"]);
    let source = ["type: delta", "path: \"s3://lake/tables/orders\"", "connection: lake"];
    contains(&read(&mesh, "domains/lake/sales/product.yaml"), &source);
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "lake.sales"]);
    let count = |table: &str| mesh.ok(&["sql", "-o", "csv", "-c", &format!("SELECT count(*) AS n FROM lake.{table}")]);
    assert_eq!(count("orders"), "n\n3\n");
    // The table among other files, and by itself with a stroke at its end.
    let other = Mesh::empty();
    ok(&other, &["init", "--from", &at("tables/"), "--domain", "lake", "--product", "all"]);
    contains(&read(&other, "domains/lake/all/product.yaml"), &source);
    contains(&read(&other, "domains/lake/all/product.yaml"), &["path: \"s3://lake/tables/rates.csv\""]);
    ok(&other, &["new", "product", "lake.again", "--from", &at("tables/orders/")]);
    contains(&read(&other, "domains/lake/again/product.yaml"), &source);

    // The same as the data of a contract, by address and as its own server.
    let contract = mesh.path().join("domains/lake/sales/orders.contract.yaml");
    let path = contract.to_str().expect("a path");
    for data in [at("tables/orders"), at("tables/orders/")] {
        ok(&mesh, &["contract", "test", path, "--data", &data]);
    }
    let narrower = std::fs::read_to_string(&contract)
        .expect("there")
        .replace("quality:\n", "quality:\n  - range: { field: order_id, max: 2 }\n");
    std::fs::write(&contract, narrower).expect("written");
    let said = mesh.with_env(&env, &["contract", "test", path, "--data", &at("tables/orders")]);
    assert!(said.code == Some(1) && said.out.contains("range(order_id)"), "{}{}", said.out, said.err);
    let several = mesh.with_env(&env, &["contract", "test", path, "--data", &at("tables/")]);
    assert_eq!((several.code, several.error_code()), (Some(2), Some("MW1111")), "{}", several.err);
    mesh.write(
        "orders.odcs.yaml",
        format!(
            "apiVersion: v3.1.0\nkind: DataContract\nid: orders\nversion: 1.0.0\nstatus: active\nservers:\n  - server: lake\n    \
             type: s3\n    location: s3://lake/tables/orders\n    endpointUrl: {}\n    format: delta\nschema:\n  - name: orders\n    \
             properties:\n      - name: order_id\n        logicalType: integer\n        required: true\n        unique: true\n",
            store.endpoint()
        ),
    );
    let odcs = mesh.path().join("orders.odcs.yaml");
    ok(&mesh, &["contract", "test", odcs.to_str().expect("a path")]);
}

/// Everything below a folder.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        found.push(entry.path());
        if entry.path().is_dir() {
            found.extend(walk(&entry.path()));
        }
    }
    found
}

#[test]
fn a_mysql_database_becomes_a_published_product() {
    let database = Mariadb::start().expect("MariaDB");
    database.sql(
        "CREATE TABLE customers (id INT PRIMARY KEY COMMENT 'Who', email VARCHAR(80) NOT NULL UNIQUE, vip TINYINT(1) NOT NULL,
           born DATE, mood ENUM('sad','glad') NOT NULL) COMMENT 'Who buys';
         CREATE TABLE orders (id BIGINT PRIMARY KEY, customer INT NOT NULL, total DECIMAL(10,2) NOT NULL, at DATETIME NOT NULL,
           took TIME, place POINT, FOREIGN KEY (customer) REFERENCES customers (id));
         CREATE VIEW big_orders AS SELECT id, total FROM orders WHERE total > 100;
         INSERT INTO customers SELECT seq, CONCAT('user', seq, '@example.org'), seq % 2, IF(seq = 7, '0000-00-00', '1990-01-31'),
           'glad' FROM seq_1_to_50;
         INSERT INTO orders (id, customer, total, at, took) SELECT seq, seq % 50 + 1, seq * 1.25, '2024-01-01 10:00:00', '10:30:00'
           FROM seq_1_to_300;",
    );
    let mesh = Mesh::empty();
    let url = format!("mysql://reader:{}@127.0.0.1:{}/shop", database.password(), database.port());
    mesh.ok(&["init", "--from", &url, "--domain", "crm", "--product", "shop"]);
    contains(
        &read(&mesh, "domains/crm/shop/customers.contract.yaml"),
        &[
            "enum: [sad, glad]",
            "type: boolean",
            "max_length: 80",
            "description: Who buys",
            "classification: pii",
            "no day, so it is read as text",
        ],
    );
    contains(
        &read(&mesh, "domains/crm/shop/orders.contract.yaml"),
        &["references: customers.id", "type: time", "decimal(10,2)"],
    );
    let domain = read(&mesh, "domains/crm/domain.yaml");
    contains(&domain, &["type: mysql", "password: ${secret:shop_password}"]);
    assert!(!domain.contains(database.password()));
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "crm.shop"]);
    let sql = "SELECT count(*) AS n, sum(total) AS total FROM crm.orders o JOIN crm.customers c ON c.id = o.customer WHERE vip";
    assert_eq!(mesh.ok(&["sql", "-o", "csv", "-c", sql]), "n,total\n150,28312.50\n");
    let contract = mesh.path().join("domains/crm/shop/orders.contract.yaml");
    let (contract, reference) = (contract.to_str().expect("a path"), format!("customers={url}?table=customers"));
    mesh.ok(&["contract", "test", contract, "--data", &url, "--reference", &reference]);
    database.sql("UPDATE orders SET total = -5 WHERE id = 9");
    let said = broken(&mesh, &[contract, "--data", &url, "--reference", &reference]);
    contains(&said, &["range(total)"]);
}

#[test]
fn files_of_a_store_and_of_a_web_server() {
    let store = S3::start(&["lake"]).expect("versitygw");
    std::fs::create_dir_all(store.bucket("lake").join("raw/clicks")).expect("made");
    for (file, text) in [
        ("raw/orders-1.csv", "id;total\n1;1.50\n2;2.50\n"),
        ("raw/orders-2.csv", "id;total\n3;3.50\n"),
        ("raw/people.json", "{\"id\": 1, \"score\": 5}\n{\"id\": 2, \"score\": 7}\n"),
    ] {
        std::fs::write(store.bucket("lake").join(file), text).expect("written");
    }
    let env = [("AWS_ACCESS_KEY_ID", S3::KEY_ID), ("AWS_SECRET_ACCESS_KEY", S3::KEY)];
    let mesh = Mesh::empty();
    let from = format!("s3://lake/raw/?endpoint={}", store.endpoint());
    let said = mesh.with_env(&env, &["init", "--from", &from, "--domain", "lake", "--product", "raw"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    contains(
        &read(&mesh, "domains/lake/raw/product.yaml"),
        &[
            "path: \"s3://lake/raw/orders-*.csv\"",
            "connection: lake",
            "path: \"s3://lake/raw/people.json\"",
            "delimiter: \";\"",
        ],
    );
    let domain = read(&mesh, "domains/lake/domain.yaml");
    contains(&domain, &["type: s3", "access_key_id: ${secret:lake_access_key_id}"]);
    contains(&read(&mesh, "mesh.yaml"), &[&format!("egress: [\"127.0.0.1:{}\"]", store.port())]);
    // The keys are with the secrets now, and runs take them from there.
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "lake.raw"]);
    let sql =
        "SELECT count(*) AS n, sum(total) AS total, (SELECT max(score) FROM lake.people) AS best FROM lake.orders";
    assert_eq!(mesh.ok(&["sql", "-o", "csv", "-c", sql]), "n,total,best\n3,7.5,7\n");

    // A contract that names the store itself.
    let contract = format!(
        "apiVersion: v3.1.0\nkind: DataContract\nid: orders\nversion: 1.0.0\nstatus: active\nservers:\n  - server: lake\n    type: s3\n    \
         location: s3://lake/raw/orders-*.csv\n    endpointUrl: {}\n    format: csv\nschema:\n  - name: orders\n    properties:\n      \
         - name: id\n        logicalType: integer\n        required: true\n        unique: true\n",
        store.endpoint()
    );
    mesh.write("orders.odcs.yaml", contract);
    let path = mesh.path().join("orders.odcs.yaml");
    let path = path.to_str().expect("a path");
    let said = mesh.with_env(&env, &["contract", "test", path]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    std::fs::write(store.bucket("lake").join("raw/orders-3.csv"), "id;total\n3;9\n").expect("written");
    let said = mesh.with_env(&env, &["contract", "test", path]);
    assert!(said.code == Some(1) && said.out.contains("unique"), "{}{}", said.out, said.err);

    let web = Web::start(|_, _| WebAnswer::ok("id,rate\n1,0.5\n2,0.7\n")).expect("a server");
    let mesh = Mesh::empty();
    mesh.ok(&["init", "--from", &web.url("/data/rates.csv"), "--domain", "open"]);
    contains(&read(&mesh, "domains/open/rates/product.yaml"), &[&format!("path: \"{}\"", web.url("/data/rates.csv"))]);
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "open.rates"]);
    assert_eq!(mesh.ok(&["sql", "-o", "csv", "-c", "SELECT sum(rate) AS n FROM open.rates"]), "n\n1.2\n");
    let contract = mesh.path().join("domains/open/rates/rates.contract.yaml");
    mesh.ok(&["contract", "test", contract.to_str().expect("a path"), "--data", &web.url("/data/rates.csv")]);
}
