//! What fails beneath: the disk, memory, permissions. A clear error, the exit code of the environment, the previous
//! publication still served, nothing half-written, and the next run works.

use std::process::{Command, Stdio};

use crate::mesh::{Mesh, PRODUCT, Said, good_rows, wait_for};

pub fn is_about_the_disk(said: &Said) {
    assert_eq!(said.code, Some(3), "{said:?}");
    let text = said.err.to_lowercase();
    assert!(said.error_code().is_some(), "{}", said.err);
    assert!(
        text.contains("disk is full") || text.contains("disk may be full") || text.contains("no space left"),
        "{}",
        said.err
    );
    assert!(!text.contains("panick"), "{}", said.err);
}

/// Rows that do not compress.
fn many_rows(rows: u64) -> String {
    let mut text = String::from("order_id,customer,amount,status\n");
    let mut state = 1u64;
    for row in 1..=rows {
        let mut word = String::new();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            word += &format!("{:016x}", state ^ (state >> 29));
        }
        text += &format!("{row},{word},{}.25,open\n", row % 9000);
    }
    text
}

#[test]
fn a_disk_that_is_full() {
    let Some(mesh) = Mesh::shop().on_a_small_disk(24) else { return };
    mesh.ok(&["apply"]);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 3);

    // In the middle of a run: the rows do not fit.
    mesh.write("domains/shop/files/orders.csv", many_rows(60_000));
    for free in [1 << 20, 300 << 10] {
        mesh.disk().fill(free);
        is_about_the_disk(&mesh.meshwork(&["run", PRODUCT]));
        mesh.disk().clear();
        assert_eq!(mesh.served(), 3, "with {free} bytes free");
    }

    // While applying, with nothing free at all.
    let product = "domains/shop/orders/product.yaml";
    let text = std::fs::read_to_string(mesh.path().join(product)).expect("there");
    mesh.write(product, text.replace("one row per order", "one row for each order"));
    mesh.disk().fill(0);
    is_about_the_disk(&mesh.meshwork(&["apply"]));
    mesh.disk().clear();
    assert_eq!(mesh.meshwork(&["plan", "--detailed-exitcode"]).code, Some(1), "nothing of it was applied");
    assert_eq!(mesh.served(), 3);
    mesh.ok(&["apply"]);
    assert_eq!(mesh.meshwork(&["plan", "--detailed-exitcode"]).code, Some(0));

    mesh.write("domains/shop/files/orders.csv", good_rows(5));
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 5);
    mesh.ok(&["collect"]);
    mesh.ok(&["audit", "verify"]);
    let staged = std::fs::read_dir(mesh.path().join(".meshwork/tmp")).into_iter().flatten().flatten();
    let left: Vec<_> = staged.filter(|entry| entry.file_name().to_string_lossy().starts_with("run-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Rows are set aside and the rest is published, or neither.
#[test]
fn a_disk_that_is_full_while_rows_are_set_aside() {
    let mesh = Mesh::shop();
    let product = mesh.path().join("domains/shop/orders/product.yaml");
    let text = std::fs::read_to_string(&product).expect("there");
    std::fs::write(&product, text + "    on_violation: quarantine\n    quarantine_limit: 60%\n").expect("written");
    let Some(mesh) = mesh.on_a_small_disk(24) else { return };
    mesh.ok(&["apply"]);
    mesh.ok(&["run", PRODUCT]);
    let list = || mesh.ok(&["quarantine", "list", "--all", "-o", "json"]);
    // Every second row is bad, and none compresses.
    let bad = |rows: u64| {
        let lines = many_rows(rows);
        let each = lines.lines().enumerate();
        each.map(|(at, line)| if at % 2 == 1 { line.replace("open", "lost") } else { line.to_owned() } + "\n")
            .collect::<String>()
    };
    mesh.write("domains/shop/files/orders.csv", bad(40_000));
    for free in [2 << 20, 1 << 20, 300 << 10] {
        mesh.disk().fill(free);
        is_about_the_disk(&mesh.meshwork(&["run", PRODUCT]));
        mesh.disk().clear();
        assert_eq!((mesh.served(), list().trim()), (3, "[]"), "with {free} bytes free");
    }
    mesh.write("domains/shop/files/orders.csv", bad(100));
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 50);
    assert_eq!(mesh.ok(&["quarantine", "show", PRODUCT, "-o", "csv"]).lines().count(), 51);
    mesh.ok(&["collect"]);
}

/// Not even root reads it: without the capabilities that let it.
#[test]
fn a_source_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let mesh = Mesh::published();
    let file = mesh.path().join("domains/shop/files/orders.csv");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).expect("changed");
    let command = mesh.command(&["run", PRODUCT]);
    let mut plain = Command::new("setpriv");
    plain.args(["--bounding-set=-dac_override,-dac_read_search", "--"]).stdin(Stdio::null());
    plain.arg(command.get_program()).args(command.get_args());
    if !rustix::process::geteuid().is_root() {
        plain = mesh.command(&["run", PRODUCT]);
    }
    let said = Said::of(plain.output().expect("setpriv"));
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("orders.csv") && said.err.to_lowercase().contains("permission denied"), "{}", said.err);
    assert_eq!(mesh.served(), 3);
    assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("changed");
    mesh.orders(4);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 4);
}

/// The run's process dies of it, and nothing else does.
#[test]
fn a_run_that_eats_memory() {
    let mesh = Mesh::published();
    mesh.orders(300);
    mesh.write(
        "domains/shop/orders/orders.sql",
        "SELECT 1 AS order_id, CAST(cardinality(array_agg(repeat(a.customer, 20000))) AS TEXT) AS customer, 1.5 AS amount, \
         'open' AS status FROM raw a CROSS JOIN raw b\n",
    );
    mesh.ok(&["apply"]);
    // A ceiling for the server is one for its children too.
    let command = mesh.command(&["serve", "--http", "127.0.0.1:0", "--pg", "off"]);
    let mut limited = Command::new("prlimit");
    limited.arg("--data=900000000").arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    let mut server = limited.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("prlimit");
    wait_for("server.json", || std::fs::read(mesh.path().join(".meshwork/server.json")).ok());
    let said = mesh.fails(3, &["run", PRODUCT]);
    assert!(said.err.contains("memory"), "{}", said.err);
    assert_eq!(mesh.served(), 3);
    assert!(matches!(server.try_wait(), Ok(None)), "the server is up");
    mesh.write("domains/shop/orders/orders.sql", "SELECT order_id, customer, amount, status FROM raw\n");
    mesh.ok(&["apply"]);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 300);
    server.kill().expect("killed");
    server.wait().expect("ended");
    assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
}

#[test]
fn two_servers_on_one_mesh() {
    let mesh = Mesh::published();
    let mut first = mesh.serve();
    let said = mesh.fails(5, &["serve", "--http", "127.0.0.1:0", "--pg", "off"]);
    assert!(said.err.contains(&first.child.id().to_string()), "{}", said.err);
    assert!(first.is_up());
    assert_eq!(mesh.served(), 3);
}
