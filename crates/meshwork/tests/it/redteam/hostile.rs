//! 22: a mesh folder is hostile input. Every finding has a place, and nothing outside the folder is read or written.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::mesh::{Mesh, PRODUCT, Said};

const PRODUCT_FILE: &str = "domains/shop/orders/product.yaml";
const CONTRACT_FILE: &str = "domains/shop/orders/orders.contract.yaml";

/// What lies outside and must stay there.
const OUTSIDE: &str = "outside-of-every-mesh";

fn edited(mesh: &Mesh, file: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(mesh.path().join(file)).expect("there");
    assert!(text.contains(from), "{from} is not in {file}");
    mesh.write(file, text.replace(from, to));
}

/// `check` and `apply` must both refuse, at this place, within a moment and in few words.
fn refused(mesh: &Mesh, place: &str, code: &str) -> Said {
    let began = Instant::now();
    let said = mesh.meshwork(&["check", "-o", "json"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{place}: it took {:?}", began.elapsed());
    assert_eq!(said.code, Some(1), "{said:?}");
    let found: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let found = found["diagnostics"].as_array().expect("a list");
    let at = |d: &&Value| format!("{}:{}", d["place"]["path"].as_str().unwrap_or_default(), d["place"]["line"]);
    let hit = found.iter().find(|d| d["code"] == code && (at(d) == place || d["place"]["path"] == place));
    assert!(hit.is_some(), "no {code} at {place}: {found:#?}");
    assert!(!said.out.contains(OUTSIDE), "what lies outside is shown: {}", said.out);
    assert!(said.out.len() < 100_000, "{} bytes of findings", said.out.len());
    let applied = mesh.fails(1, &["apply"]);
    assert!(!applied.err.contains(OUTSIDE) && !applied.out.contains(OUTSIDE), "{applied:?}");
    said
}

#[test]
fn paths_that_lead_out() {
    let outside = tempfile::tempdir().expect("a folder");
    let secret = outside.path().join("secret.csv");
    std::fs::write(&secret, format!("order_id,customer,amount,status\n1,{OUTSIDE},1,open\n")).expect("written");
    let absolute = secret.to_str().expect("text");
    let mesh = Mesh::shop();
    let manifest = std::fs::read_to_string(mesh.path().join(PRODUCT_FILE)).expect("there");
    let refuse = |from: &str, to: &str, line: u32| {
        assert!(manifest.contains(from), "{from}");
        mesh.write(PRODUCT_FILE, manifest.replace(from, to));
        refused(&mesh, &format!("{PRODUCT_FILE}:{line}"), "MW0122");
    };
    for path in ["../../../../../../etc/passwd", "files/../../sales/x.csv", absolute, "files\\\\..\\\\x.csv"] {
        refuse("path: files/orders.csv", &format!("path: \"{path}\""), 6);
    }
    for path in ["../../../../../../etc/passwd", "/etc/passwd", "../../../mesh.yaml"] {
        refuse("sql: orders.sql", &format!("sql: {path}"), 10);
        refuse("contract: orders.contract.yaml", &format!("contract: {path}"), 9);
    }
}

#[test]
fn names_that_are_paths() {
    for (name, code) in [("../x", "MW0115"), ("..", "MW0115"), ("a/b", "MW0115"), ("Ä", "MW0115"), ("a\\0b", "MW0103")]
    {
        let mesh = Mesh::shop();
        edited(&mesh, PRODUCT_FILE, "product: orders", &format!("product: \"{name}\""));
        refused(&mesh, &format!("{PRODUCT_FILE}:1"), code);
        edited(&mesh, PRODUCT_FILE, &format!("product: \"{name}\""), "product: orders");
        edited(&mesh, PRODUCT_FILE, "  orders:\n", &format!("  \"{name}\":\n"));
        refused(&mesh, &format!("{PRODUCT_FILE}:8"), code);
    }
    // A column's name is free, and is never a path: it is data to the storage.
    let mesh = Mesh::shop();
    edited(&mesh, CONTRACT_FILE, "name: customer", "name: \"../../customer\"");
    let said = mesh.meshwork(&["check"]);
    assert_eq!(said.code, Some(1), "{said:?}");
}

#[test]
fn links_that_lead_out() {
    let outside = tempfile::tempdir().expect("a folder");
    let secret = outside.path().join("secret.csv");
    std::fs::write(&secret, format!("order_id,customer,amount,status\n1,{OUTSIDE},1,open\n")).expect("written");
    for file in [PRODUCT_FILE, CONTRACT_FILE, "domains/shop/orders/orders.sql", "governance/classifications.yaml"] {
        let mesh = Mesh::shop();
        let link = mesh.path().join(file);
        std::fs::create_dir_all(link.parent().expect("a folder")).expect("made");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&secret, &link).expect("linked");
        refused(&mesh, file, "MW0125");
    }
    // A source is opened by the run: by itself, within a glob, and in a folder that leads out.
    let published = Mesh::published();
    let files = published.path().join("domains/shop/files");
    for (source, link, target) in [
        ("files/orders.csv", "orders.csv", secret.as_path()),
        ("files/o*.csv", "orders.csv", secret.as_path()),
        ("files/deep/secret.csv", "deep", outside.path()),
    ] {
        edited(&published, PRODUCT_FILE, "path: files/orders.csv", &format!("path: \"{source}\""));
        let _ = std::fs::remove_file(files.join(link));
        published.ok(&["apply"]);
        std::os::unix::fs::symlink(target, files.join(link)).expect("linked");
        let said = published.meshwork(&["run", PRODUCT]);
        assert!(matches!(said.code, Some(1 | 3)), "{source}: {said:?}");
        assert!(!said.err.contains(OUTSIDE), "{said:?}");
        assert!(said.error_code().is_some(), "{said:?}");
        let rows = published.ok(&["sql", "-c", "SELECT * FROM shop.orders", "-o", "csv"]);
        assert!(!rows.contains(OUTSIDE) && rows.lines().count() == 4, "{source}: {rows}");
        edited(&published, PRODUCT_FILE, &format!("path: \"{source}\""), "path: files/orders.csv");
        std::fs::remove_file(files.join(link)).expect("removed");
    }
}

#[test]
fn documents_beyond_measure() {
    let alias = |levels: usize| {
        let mut text = String::from("description: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..levels {
            let items = format!("*a{}, ", level - 1).repeat(9);
            text += &format!("k{level}: &a{level} [{}]\n", items.trim_end_matches(", "));
        }
        text
    };
    let deep = format!("description: {}1{}\n", "[".repeat(5000), "]".repeat(5000));
    let wide = format!("description: [{}]\n", "1,".repeat(400_000));
    let huge = format!("description: {}\n", "x".repeat(10 << 20));
    let long = format!("description: \"{}\"\n", "x".repeat(900 << 10));
    let mesh = Mesh::shop();
    let product = std::fs::read_to_string(mesh.path().join(PRODUCT_FILE)).expect("there");
    for (text, code) in [
        (alias(12), "MW0105"),
        (deep, "MW0105"),
        (wide, "MW0105"),
        (huge, "MW0102"),
        (long, "MW0104"),
        ("description: \"a\0b\"\n".to_owned(), "MW0103"),
        ("description: !!python/object/apply:os.system [id]\n".to_owned(), "MW0108"),
        ("<<: *x\n".to_owned(), "MW0100"),
    ] {
        mesh.write(PRODUCT_FILE, product.replace("description: Orders of the shop, one row per order.\n", &text));
        let began = Instant::now();
        let said = mesh.fails(1, &["apply"]);
        assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
        let found = format!("error[{code}]");
        assert!(said.out.contains(&found) && said.out.contains(PRODUCT_FILE), "no {code}: {}", said.out);
        assert!(said.out.len() < 4000, "{} bytes of findings", said.out.len());
    }
}

#[test]
fn files_that_are_none() {
    let mesh = Mesh::shop();
    let pipe = mesh.path().join("domains/shop/orders/pipe.contract.yaml");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    refused(&mesh, "domains/shop/orders/pipe.contract.yaml", "MW0125");
    // The same as a source: reading it would wait for ever.
    let mesh = Mesh::published();
    let source = mesh.path().join("domains/shop/files/orders.csv");
    std::fs::remove_file(&source).expect("removed");
    rustix::fs::mknodat(rustix::fs::CWD, &source, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    let began = Instant::now();
    let said = mesh.meshwork(&["run", PRODUCT]);
    assert!(began.elapsed() < Duration::from_secs(20), "it waited");
    assert!(matches!(said.code, Some(1 | 3)), "{said:?}");
    assert_eq!(mesh.served(), 3);
}

/// Nothing expands variables or runs templates: what looks like one stays what it is.
#[test]
fn templates_are_text() {
    let mesh = Mesh::shop();
    let variable = [("MESHWORK_TEST_SECRET", OUTSIDE)];
    let text = "description: \"${MESHWORK_TEST_SECRET} {{ env.MESHWORK_TEST_SECRET }} $(cat /etc/passwd) ${env:MESHWORK_TEST_SECRET} ${secret:x}\"\n";
    edited(&mesh, PRODUCT_FILE, "description: Orders of the shop, one row per order.\n", text);
    edited(&mesh, "domains/shop/orders/orders.sql", "customer", "'${MESHWORK_TEST_SECRET}{{ 1 }}' AS customer");
    for args in [&["check"][..], &["apply"], &["run", PRODUCT]] {
        let said = mesh.with_env(&variable, args);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(!format!("{said:?}").contains(OUTSIDE), "{said:?}");
    }
    let shown = mesh.json(&["product", "show", PRODUCT]).to_string();
    assert!(shown.contains("${MESHWORK_TEST_SECRET}") && !shown.contains(OUTSIDE), "{shown}");
    let rows = mesh.ok(&["sql", "-c", "SELECT DISTINCT customer FROM shop.orders", "-o", "csv"]);
    assert_eq!(rows, "customer\n${MESHWORK_TEST_SECRET}{{ 1 }}\n");
}

/// Where a mesh stores is its administrator's to say: names never lead the storage out of its root.
#[test]
fn nothing_is_written_outside() {
    let outside = tempfile::tempdir().expect("a folder");
    let mesh = Mesh::published();
    let before = std::fs::read_dir(outside.path()).expect("there").count();
    // The folder of a domain turns into a link between apply and run.
    let files = mesh.path().join("domains/shop/files");
    std::fs::rename(&files, mesh.path().join("away")).expect("moved");
    std::os::unix::fs::symlink(outside.path(), &files).expect("linked");
    let said = mesh.meshwork(&["run", PRODUCT]);
    assert!(matches!(said.code, Some(1 | 3)), "{said:?}");
    assert_eq!(std::fs::read_dir(outside.path()).expect("there").count(), before);
    assert_eq!(mesh.served(), 3);
}
