//! Whatever stops a run, readers see the old publication or the new one, the next run works, and nothing is left over.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::mesh::{Mesh, PRODUCT, signal_to, wait_for};

/// Steps at which the process that drives the run is killed.
const OWN: &[&str] =
    &["run.leased", "run.started", "run.verdict_stored", "run.commit_ended", "run.committed", "run.published"];

/// Steps at which the run's child process is killed.
const CHILD: &[&str] =
    &["stage-start", "after-first-file", "after-stage", "before-commit", "after-commit-of-output-1", "after-commit"];

#[test]
fn killed_at_every_step() {
    let mesh = Mesh::published();
    let mut old = 3;
    let own = OWN.iter().map(|step| ("MESHWORK_FAULT", *step));
    let child = CHILD.iter().map(|step| ("MESHWORK_RUN_FAULT", *step));
    for (variable, step) in own.chain(child) {
        let new = old + 1;
        mesh.orders(new);
        let said = mesh.with_env(&[(variable, step)], &["run", PRODUCT]);
        if variable == "MESHWORK_FAULT" {
            assert_eq!(said.code, None, "{step} was not reached: {}", said.err);
        }
        let served = mesh.served();
        assert!(served == old || served == new, "{step}: {served} rows are served");
        mesh.ok(&["run", PRODUCT]);
        assert_eq!(mesh.served(), new, "{step}");
        mesh.ok(&["collect"]);
        assert!(mesh.orphans().is_empty(), "{step} left {:?}", mesh.orphans());
        old = new;
    }
}

#[test]
fn recovery_itself_may_be_killed() {
    let mesh = Mesh::published();
    for (rows, first) in [(4, "run.verdict_stored"), (5, "run.committed")] {
        mesh.orders(rows);
        assert_eq!(mesh.with_env(&[("MESHWORK_FAULT", first)], &["run", PRODUCT]).code, None);
        for step in ["recovery.leased", "recovery.committed"] {
            mesh.with_env(&[("MESHWORK_FAULT", step)], &["publications", "list"]);
        }
        mesh.ok(&["run", PRODUCT]);
        assert_eq!(mesh.served(), rows);
        mesh.ok(&["collect"]);
        assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
    }
}

#[test]
fn killed_at_any_moment() {
    let mesh = Mesh::published();
    let mut rows = 3;
    for delay in [20, 60, 120, 200, 300, 450, 600, 800] {
        rows += 1;
        mesh.orders(rows);
        let mut run =
            mesh.command(&["run", PRODUCT]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        std::thread::sleep(Duration::from_millis(delay));
        run.kill().expect("killed");
        run.wait().expect("ended");
        let served = mesh.served();
        assert!(served == rows - 1 || served == rows, "after {delay} ms: {served}");
        mesh.ok(&["run", PRODUCT]);
        assert_eq!(mesh.served(), rows);
    }
    mesh.ok(&["collect"]);
    assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
}

#[test]
fn killed_while_applying() {
    for step in ["apply.begin", "apply.end"] {
        let mesh = Mesh::shop();
        let said = mesh.with_env(&[("MESHWORK_FAULT", step)], &["apply"]);
        assert_eq!(said.code, None, "{step} was not reached: {}", said.err);
        mesh.ok(&["apply"]);
        mesh.ok(&["run", PRODUCT]);
        assert_eq!(mesh.served(), 3);
    }
}

/// The mesh is what it was or what it was to be, and readers notice nothing.
#[test]
fn killed_while_applying_a_change() {
    let mesh = Mesh::published();
    let product = "domains/shop/orders/product.yaml";
    let text = std::fs::read_to_string(mesh.path().join(product)).expect("there");
    let described = |round: usize| format!("The orders of round {round}.");
    let applied = || mesh.json(&["product", "show", PRODUCT])["description"].as_str().expect("text").to_owned();
    let mut old = applied();
    for round in 0..6 {
        let new = described(round);
        mesh.write(product, text.replace("Orders of the shop, one row per order.", &new));
        match round {
            0 | 1 => {
                let step = ["apply.begin", "apply.end"][round];
                let said = mesh.with_env(&[("MESHWORK_FAULT", step)], &["apply"]);
                assert_eq!(said.code, None, "{step} was not reached: {}", said.err);
            }
            _ => {
                let mut apply = mesh.command(&["apply"]);
                let mut apply = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
                std::thread::sleep(Duration::from_millis(30 * round as u64));
                apply.kill().expect("killed");
                apply.wait().expect("ended");
            }
        }
        let now = applied();
        assert!(now == old || now == new, "round {round}: {now}");
        assert_eq!(mesh.served(), 3);
        mesh.ok(&["apply"]);
        assert_eq!(applied(), new);
        assert_eq!(mesh.meshwork(&["plan", "--detailed-exitcode"]).code, Some(0));
        old = new;
    }
    mesh.ok(&["audit", "verify"]);
}

#[test]
fn interrupted_by_a_person() {
    let mesh = Mesh::published();
    mesh.orders(4);
    let mut command = mesh.command(&["run", PRODUCT]);
    let mut run = command
        .env("MESHWORK_RUN_FAULT", "after-stage:sleep")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let temporary = mesh.path().join(".meshwork/tmp");
    let child_runs =
        || std::fs::read_dir(&temporary).ok()?.flatten().find(|e| e.file_name().to_string_lossy().starts_with("run-"));
    wait_for("the run's folder", child_runs);
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    signal_to(&run, Signal::INT);
    let status = run.wait().expect("ends");
    assert_eq!(status.code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    assert!(child_runs().is_none(), "the child's folder is left");
    assert_eq!(mesh.served(), 3);
    assert_eq!(mesh.json(&["runs"])[0]["state"], "cancelled");
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 4);
    assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
}

#[test]
fn two_at_once() {
    let mesh = Mesh::published();
    mesh.orders(4);
    let slow = || {
        let mut command = mesh.command(&["run", PRODUCT]);
        command.env("MESHWORK_RUN_FAULT", "after-stage:sleep").stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("starts")
    };
    let mut first = slow();
    wait_for("the lock", || std::fs::read_dir(mesh.path().join(".meshwork/tmp")).ok()?.flatten().next());
    let said = mesh.fails(5, &["run", PRODUCT]);
    assert!(said.err.contains(&format!("process {}", first.id())), "{}", said.err);
    first.kill().expect("killed");
    first.wait().expect("ended");
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 4);
}
