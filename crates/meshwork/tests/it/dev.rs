//! `meshwork dev`: a mesh beside the real one, built again with every save, that leaves the real one as it was.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use crate::mesh::{Mesh, signal_to, wait_for};

/// Every file of the real mesh's state and storage with its bytes.
fn real(mesh: &Mesh) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.ends_with(".meshwork/dev") {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.insert(path.clone(), std::fs::read(&path).expect("read"));
            }
        }
    }
    let mut found = BTreeMap::new();
    for folder in [".meshwork", "data"] {
        walk(&mesh.path().join(folder), &mut found);
    }
    found
}

/// A session under way, and what it has said.
struct Session<'m> {
    mesh: &'m Mesh,
    child: Child,
    said: Arc<Mutex<String>>,
    heard: usize,
}

impl<'m> Session<'m> {
    fn of(mesh: &'m Mesh, args: &[&str]) -> Self {
        let ports = ["--http", "127.0.0.1:0", "--pg", "127.0.0.1:0"];
        let mut command = mesh.command(&[&["dev"][..], args, &ports].concat());
        // One pipe for both, so that what is said stands in the order in which it was.
        let (mut pipe, end) = std::io::pipe().expect("a pipe");
        let child = command.stdout(end.try_clone().expect("another end")).stderr(end).spawn().expect("starts");
        let said = Arc::new(Mutex::new(String::new()));
        let hearing = said.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                hearing.lock().expect("free").push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { mesh, child, said, heard: 0 }
    }

    /// What it says until it waits for changes again.
    fn hear(&mut self) -> String {
        let said = wait_for("the end of a build", || {
            let said = self.said.lock().expect("free");
            let new = said.get(self.heard..)?;
            let end = new.find("waiting for changes")? + "waiting for changes".len();
            Some(new[..end].to_owned())
        });
        self.heard += said.len();
        said
    }

    fn sql(&self, sql: &str) -> String {
        let dev = self.mesh.path().join(".meshwork/dev");
        let said = self.mesh.meshwork(&["-C", dev.to_str().expect("text"), "sql", "-c", sql, "-o", "csv"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.out
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SUM: &str = "SELECT count(*) AS n, cast(sum(amount) AS bigint) AS total FROM shop.orders";

#[test]
fn every_save_is_checked_and_built_and_the_real_mesh_stays_as_it_is() {
    let mesh = Mesh::published();
    let before = real(&mesh);
    let mut session = Session::of(&mesh, &[]);
    let said = session.hear();
    assert!(said.contains("built 1 of 1") && said.contains("orders: 3 rows") && said.contains("psql"), "{said}");
    assert_eq!(session.sql(SUM), "n,total\n3,7\n");
    // psql's way in.
    let token = std::fs::read_to_string(mesh.path().join(".meshwork/dev/token")).expect("there");
    assert!(said.contains("-U owner") && token.starts_with("mw_"), "{said}");

    let sql = "domains/shop/orders/orders.sql";
    mesh.write(sql, "SELECT order_id, customer, amount * 2 AS amount, status FROM raw\n");
    let said = session.hear();
    assert!(said.contains("orders.sql changed") && said.contains("built 1 of 1"), "{said}");
    assert_eq!(session.sql(SUM), "n,total\n3,15\n");

    let product = "domains/shop/orders/product.yaml";
    let good = std::fs::read_to_string(mesh.path().join(product)).expect("there");
    mesh.write(product, good.replace("sql: orders.sql", "sql: [orders.sql"));
    let said = session.hear();
    assert!(said.contains("does not check") && said.contains("domains/shop/orders/product.yaml:"), "{said}");
    assert_eq!(session.sql(SUM), "n,total\n3,15\n", "what was built before is still there");
    mesh.write(product, &good);
    assert!(session.hear().contains("nothing to build"));

    // A file that is gone, and one that an editor puts in its place.
    std::fs::remove_file(mesh.path().join(sql)).expect("there");
    let said = session.hear();
    assert!(said.contains("orders.sql is gone") && said.contains("does not check"), "{said}");
    mesh.write("domains/shop/orders/orders.sql~", "SELECT order_id, customer, amount, status FROM raw\n");
    std::fs::rename(mesh.path().join("domains/shop/orders/orders.sql~"), mesh.path().join(sql)).expect("renamed");
    assert!(session.hear().contains("built 1 of 1"));
    assert_eq!(session.sql(SUM), "n,total\n3,7\n");

    // New data.
    mesh.orders(5);
    assert!(session.hear().contains("built 1 of 1"));
    assert_eq!(session.sql("SELECT count(*) AS n FROM shop.orders"), "n\n5\n");

    // Data that breaks the contract: the run says where, the table stays.
    mesh.source("order_id,customer,amount,status\n1,ana,5,lost\n");
    let said = session.hear();
    assert!(said.contains("blocked shop.orders") && said.contains("orders.csv:2"), "{said}");
    assert_eq!(session.sql("SELECT count(*) AS n FROM shop.orders"), "n\n5\n");
    mesh.orders(3);
    assert!(session.hear().contains("built 1 of 1"));

    // A column goes: readers of a real table would have to be told, here everything begins anew.
    let contract = "domains/shop/orders/orders.contract.yaml";
    let text = std::fs::read_to_string(mesh.path().join(contract)).expect("there");
    let without =
        text.replace("  - name: customer\n    type: string\n    required: true\n    description: Who ordered\n", "");
    assert_ne!(text, without);
    mesh.write(sql, "SELECT order_id, amount, status FROM raw\n");
    mesh.write(contract, &without);
    let mut said = session.hear();
    if !said.contains("built anew") {
        said = session.hear();
    }
    assert!(said.contains("built anew") && said.contains("built 1 of 1"), "{said}");
    assert_eq!(session.sql("SELECT * FROM shop.orders LIMIT 1").lines().next(), Some("order_id,amount,status"));

    signal_to(&session.child, Signal::INT);
    assert_eq!(session.child.wait().expect("ends").code(), Some(0), "{}", session.said.lock().expect("free"));
    assert!(before == real(&mesh), "the real mesh was touched");
    assert_eq!(mesh.served(), 3);
}

const CUSTOMERS: &str = "\
schema: customers
version: 1.0.0
owner: crm-team
fields:
  - { name: customer, type: string, required: true, unique: true, description: The name }
  - { name: email, type: string, classification: pii, description: The address }
";

/// `crm.customers` beside the shop, and `shop.totals` that reads both.
fn two_domains() -> Mesh {
    let mesh = Mesh::shop();
    mesh.write("governance/classifications.yaml", "pii: { mask: replace-with-null }\n");
    mesh.write("domains/crm/domain.yaml", "domain: crm\nowner: crm-team\n");
    mesh.write("domains/crm/customers/customers.contract.yaml", CUSTOMERS);
    mesh.write("domains/crm/customers/customers.sql", "SELECT customer, email FROM raw\n");
    mesh.write(
        "domains/crm/customers/product.yaml",
        "product: customers\nversion: 1.0.0\nstatus: active\ndescription: Customers.\ninputs:\n  raw: { source: { type: csv, path: customers.csv } }\noutputs:\n  customers: { contract: customers.contract.yaml, sql: customers.sql }\n",
    );
    let rows: String = (0..7).map(|n| format!("customer {n},{n}@example.com\n")).collect();
    mesh.write("domains/crm/customers.csv", format!("customer,email\n{rows}"));
    mesh.write(
        "domains/shop/totals/product.yaml",
        "product: totals\nversion: 1.0.0\nstatus: active\ndescription: What each customer spent.\ninputs:\n  orders: { product: shop.orders, version: 1 }\n  customers: { product: crm.customers, version: 1, purpose: service }\noutputs:\n  totals: { contract: totals.contract.yaml, sql: totals.sql }\n",
    );
    mesh.write(
        "domains/shop/totals/totals.contract.yaml",
        "schema: totals\nversion: 1.0.0\nowner: shop-team\nfields:\n  - { name: customer, type: string, required: true, description: Who }\n  - { name: email, type: string, description: Where }\n  - { name: amount, type: number, description: How much }\nquality:\n  - row_count: { min: 7 }\n",
    );
    mesh.write(
        "domains/shop/totals/totals.sql",
        "SELECT c.customer, c.email, sum(o.amount) AS amount FROM customers c JOIN orders o ON o.customer = c.customer GROUP BY 1, 2\n",
    );
    mesh.orders(50);
    mesh
}

#[test]
fn what_other_domains_offer_is_read_from_the_mesh_as_the_product_may_see_it() {
    let mesh = two_domains();
    mesh.ok(&["apply"]);
    let dev = mesh.path().join(".meshwork/dev");
    let dev = dev.to_str().expect("text");
    let once = ["dev", "shop", "--once", "--sample", "5"];
    let said = mesh.meshwork(&once);
    assert_ne!(said.code, Some(0));
    assert!(said.err.contains("crm.customers") && said.err.contains("publish it first"), "{said:?}");

    mesh.ok(&["run", "crm.customers"]);
    mesh.ok(&["access", "grant", "product:shop.totals", "crm.customers", "--purpose", "service"]);
    let publications = mesh.json(&["publications", "list"]);
    let said = mesh.meshwork(&once);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("crm.customers v1 read from the mesh as product:shop.totals"), "{said:?}");
    assert!(format!("{}{}", said.out, said.err).contains("1 sampled"), "row_count on a sample: {said:?}");
    let seen = |sql: &str| {
        let said = mesh.meshwork(&["-C", dev, "sql", "-c", sql, "-o", "csv"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.out
    };
    assert_eq!(seen("SELECT count(*) AS n FROM shop.orders"), "n\n5\n", "a sample of the source");
    // The first five orders are of customers 1 to 5, the first five customers are 0 to 4.
    let totals = seen("SELECT count(*) AS n, count(email) AS known FROM shop.totals");
    assert_eq!(totals.lines().last(), Some("4,0"), "masked");
    assert_eq!(mesh.json(&["publications", "list"]), publications, "nothing was published in the real mesh");
    let audit = mesh.ok(&["audit", "query", "-o", "json"]);
    assert!(audit.contains("product:shop.totals"), "the read is on record: {audit}");

    // Everything, the same every time.
    for _ in 0..2 {
        let said = mesh.meshwork(&["dev", "--once", "--sample", "50%"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.err.contains("built 3 of 3"), "all domains are built here: {said:?}");
    }
    let sampled = seen("SELECT customer FROM crm.customers ORDER BY 1");
    assert!((2..8).contains(&sampled.lines().count()), "{sampled}");
    mesh.meshwork(&["dev", "--once", "--sample", "50%"]);
    assert_eq!(seen("SELECT customer FROM crm.customers ORDER BY 1"), sampled);
    let said = mesh.meshwork(&["dev", "--once", "--sample", "all"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(seen("SELECT count(*) AS n FROM shop.orders"), "n\n50\n");
    assert_eq!(mesh.fails(2, &["dev", "--once", "--sample", "some"]).error_code(), Some("MW1072"));
    assert_eq!(mesh.fails(5, &["dev", "nobody", "--once"]).error_code(), Some("MW1069"));
}
