//! `backup` and `restore`: what is restored is the mesh that was packed, elsewhere.

use std::path::Path;

use serde_json::Value;

use crate::mesh::{Mesh, PRODUCT, Said};

const TABLE: &str = "SELECT * FROM shop.orders ORDER BY order_id";

fn in_folder(mesh: &Mesh, folder: &Path, args: &[&str]) -> Said {
    let mut whole = vec!["-C", folder.to_str().expect("UTF-8")];
    whole.extend(args);
    mesh.meshwork(&whole)
}

fn rows(mesh: &Mesh, folder: &Path) -> String {
    let said = in_folder(mesh, folder, &["sql", "-c", TABLE, "-o", "csv"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.out
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_restored_mesh_goes_on_where_the_packed_one_was() {
    let mesh = Mesh::published();
    mesh.orders(5);
    mesh.ok(&["run", PRODUCT]);
    mesh.ok(&["access", "grant", "user:ana", "shop.orders", "--purpose", "test"]);
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (file, folder) = (elsewhere.path().join("shop.tar.zst"), elsewhere.path().join("restored"));
    // A server serves meanwhile: the command is its client.
    let server = mesh.serve();
    mesh.ok(&["backup", text(&file)]);
    assert_eq!(mesh.fails(5, &["backup", text(&file)]).error_code(), Some("MW1090"));
    drop(server);
    // What happens after the backup is not in it.
    mesh.orders(9);
    mesh.ok(&["run", PRODUCT]);

    let proof = mesh.json(&["restore", text(&file), text(&folder)]);
    assert_eq!(proof["tables"], 1);
    assert!(proof["audit_records"].as_u64().is_some_and(|records| records > 0), "{proof}");
    assert_eq!(rows(&mesh, &folder).lines().count(), 1 + 5);
    let agreements = in_folder(&mesh, &folder, &["access", "list", "-o", "json"]);
    let agreements: Value = serde_json::from_str(&agreements.out).expect("JSON");
    assert_eq!(agreements[0]["grantee"], "user:ana");
    // The old publication is there too, and the next run builds on what was restored, in its own storage.
    let publications = in_folder(&mesh, &folder, &["publications", "list", "-o", "json"]);
    let publications: Value = serde_json::from_str(&publications.out).expect("JSON");
    let first = publications[1]["at"].as_str().expect("a time").to_owned();
    let old = in_folder(&mesh, &folder, &["sql", "--as-of", &first, "-c", TABLE, "-o", "csv"]);
    assert_eq!(old.out.lines().count(), 1 + 3, "{}", old.err);
    let source = folder.join("domains/shop/files/orders.csv");
    std::fs::write(&source, crate::mesh::good_rows(7)).expect("written");
    assert_eq!(in_folder(&mesh, &folder, &["run", PRODUCT]).code, Some(0));
    assert_eq!(rows(&mesh, &folder).lines().count(), 1 + 7);
    assert_eq!(mesh.served(), 9, "the original is untouched");
    assert_eq!(in_folder(&mesh, &folder, &["audit", "verify"]).code, Some(0));
}

#[test]
fn a_storage_root_elsewhere_is_moved() {
    let storage = tempfile::tempdir().expect("a folder");
    let old = storage.path().join("lake");
    let mesh = Mesh::shop();
    mesh.write("mesh.yaml", format!("name: shop_mesh\nstorage: {}\n", text(&old)));
    mesh.ok(&["apply"]);
    mesh.ok(&["run", PRODUCT]);
    let (file, folder) = (storage.path().join("b.tar.zst"), storage.path().join("restored"));
    mesh.ok(&["backup", text(&file)]);
    let said = mesh.fails(5, &["restore", text(&file), text(&folder)]);
    assert_eq!(said.error_code(), Some("MW1090"), "{}", said.err);
    assert!(!folder.exists(), "nothing stays");
    let moved = format!("{}={}", text(&old), text(&storage.path().join("new")));
    mesh.ok(&["restore", text(&file), text(&folder), "--storage", &moved]);
    std::fs::remove_dir_all(&old).expect("removed");
    assert_eq!(rows(&mesh, &folder).lines().count(), 1 + 3);
}

#[test]
fn a_damaged_backup_restores_nothing() {
    let mesh = Mesh::published();
    let dir = tempfile::tempdir().expect("a folder");
    let (file, folder) = (dir.path().join("b.tar.zst"), dir.path().join("restored"));
    mesh.ok(&["backup", text(&file)]);
    let whole = std::fs::read(&file).expect("read");
    let mut changed = zstd::decode_all(whole.as_slice()).expect("zstd");
    let at = changed.windows(9).position(|window| window == b"shop_team").expect("in domain.yaml");
    changed[at] = b'x';
    let changed = zstd::encode_all(changed.as_slice(), 1).expect("zstd");
    for bad in [&whole[..whole.len() / 2], &whole[..0], b"no archive", &changed] {
        std::fs::write(&file, bad).expect("written");
        let said = mesh.fails(3, &["restore", text(&file), text(&folder)]);
        assert!(matches!(said.error_code(), Some("MW1092" | "MW1091")), "{}", said.err);
        assert!(!folder.exists(), "nothing stays");
    }
}

#[test]
fn only_an_administrator_gets_all_of_it() {
    let mesh = Mesh::published();
    mesh.ok(&["user", "add", "ana", "--team", "shop_team"]);
    let file = mesh.path().join("b.tar.zst");
    let said = mesh.fails(4, &["--as", "user:ana", "backup", text(&file)]);
    assert_eq!(said.error_code(), Some("MW0741"), "{}", said.err);
    assert!(!file.exists());
    mesh.ok(&["backup", text(&file)]);
    let audit = mesh.ok(&["audit", "query", "-o", "json"]);
    assert!(audit.contains("backup.create"), "on record: {audit}");
}
