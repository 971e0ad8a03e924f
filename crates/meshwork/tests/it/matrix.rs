//! Every mode × every fault: readers see exactly the rows of a reference computed in one go, or those of the publication
//! before; the next run makes it the reference; nothing is left over.
//!
//! By default a sample of the table, chosen by a seed that is printed; `MESHWORK_MATRIX=all` runs the whole of it,
//! `MESHWORK_MATRIX=<seed>` the sample of a seed.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use meshwork_testkit::{Postgres, Web, WebAnswer};

use crate::faults::is_about_the_disk;
use crate::mesh::{HEADER, Mesh, PRODUCT, wait_for};

const MODES: [&str; 3] = ["full", "append", "merge"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// kill -9 of the process that drives the run.
    Own(&'static str),
    /// kill -9 of the run's child.
    Child(&'static str),
    /// kill -9 while a compaction does this.
    Compaction(&'static str, &'static str),
    /// A file is cut short while it is read.
    Truncated,
    /// A file is removed while it is read.
    Removed,
    /// Two runs at a time, on a server.
    Concurrent,
    /// Somebody else commits to the table's folder.
    Foreign,
    /// Killed by hand, in the middle of whatever it does.
    Moment(u64),
}

const FAULTS: &[Fault] = &[
    Fault::Own("run.leased"),
    Fault::Own("run.started"),
    Fault::Own("run.verdict_stored"),
    Fault::Own("run.commit_ended"),
    Fault::Own("run.committed"),
    Fault::Own("run.published"),
    Fault::Child("stage-start"),
    Fault::Child("after-first-file"),
    Fault::Child("after-merge"),
    Fault::Child("after-stage"),
    Fault::Child("before-commit"),
    Fault::Child("after-commit-of-output-1"),
    Fault::Child("after-commit"),
    Fault::Compaction("MESHWORK_RUN_FAULT", "stage-start"),
    Fault::Compaction("MESHWORK_RUN_FAULT", "after-compaction"),
    Fault::Compaction("MESHWORK_RUN_FAULT", "after-stage"),
    Fault::Compaction("MESHWORK_RUN_FAULT", "before-commit"),
    Fault::Compaction("MESHWORK_RUN_FAULT", "after-commit"),
    Fault::Compaction("MESHWORK_FAULT", "run.verdict_stored"),
    Fault::Compaction("MESHWORK_FAULT", "run.committed"),
    Fault::Compaction("MESHWORK_FAULT", "run.published"),
    Fault::Truncated,
    Fault::Removed,
    Fault::Concurrent,
    Fault::Foreign,
    Fault::Moment(30),
    Fault::Moment(120),
    Fault::Moment(250),
];

/// How many of the table run by default.
const SAMPLE: usize = 14;

/// The rows of a table: order → amount.
type Rows = BTreeMap<u64, u64>;

/// A mesh whose product grows by files, with what its table must amount to.
struct Case {
    mesh: Mesh,
    mode: &'static str,
    files: Vec<Rows>,
}

impl Case {
    fn of(mode: &'static str) -> Self {
        Self::over(Mesh::shop(), mode)
    }

    fn over(mesh: Mesh, mode: &'static str) -> Self {
        mesh.over_files("files/part*.csv", mode, if mode == "merge" { "    key: [order_id]\n" } else { "" });
        let mut case = Self { mesh, mode, files: Vec::new() };
        case.grow(3);
        case.mesh.ok(&["apply"]);
        case.mesh.ok(&["run", PRODUCT]);
        case
    }

    /// One more file: new orders, and in a merge the first order anew.
    fn grow(&mut self, rows: u64) {
        let file = self.files.len() as u64;
        let mut orders: Rows = (0..rows).map(|n| (file * 1_000_000 + n + 1, file % 10_000)).collect();
        if self.mode == "merge" {
            orders.insert(1, file % 10_000);
        }
        self.put(self.files.len(), &orders);
        self.files.push(orders);
    }

    fn path(file: usize) -> String {
        format!("domains/shop/files/part-{file:04}.csv")
    }

    fn put(&self, file: usize, orders: &Rows) {
        // Names that do not compress.
        let name = |order: &u64| (order + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).swap_bytes();
        let rows: String =
            orders.iter().map(|(order, amount)| format!("{order},{:016x},{amount},paid\n", name(order))).collect();
        self.mesh.write(&Self::path(file), format!("{HEADER}{rows}"));
    }

    /// What the first files amount to, computed in one go.
    fn reference(&self, files: usize) -> Rows {
        let mut rows = Rows::new();
        for file in &self.files[..files] {
            rows.extend(file);
        }
        rows
    }

    fn served(&self) -> Rows {
        let sql = "SELECT order_id, CAST(amount AS BIGINT) AS amount FROM shop.orders";
        let out = self.mesh.ok(&["sql", "-c", sql, "-o", "csv"]);
        let rows: Vec<(u64, u64)> = out
            .lines()
            .skip(1)
            .map(|line| {
                let (order, amount) = line.trim().split_once(',').expect("two columns");
                (order.parse().expect("a number"), amount.parse().expect("a number"))
            })
            .collect();
        let unique: Rows = rows.iter().copied().collect();
        assert_eq!(unique.len(), rows.len(), "an order stands there twice");
        unique
    }

    /// Old or new now; the reference after the next run; nothing left over.
    fn settle(&self, fault: &str) {
        let all = self.files.len();
        let what = format!("{}, {fault}", self.mode);
        let served = self.served();
        assert!(
            served == self.reference(all) || served == self.reference(all - 1),
            "{what}: {} rows are served, neither {} nor {}",
            served.len(),
            self.reference(all).len(),
            self.reference(all - 1).len()
        );
        self.mesh.ok(&["run", PRODUCT]);
        assert_eq!(self.served(), self.reference(all), "{what}");
        self.mesh.ok(&["maintain", "--only", "vacuum"]);
        assert!(self.mesh.orphans().is_empty(), "{what} left {:?}", self.mesh.orphans());
    }

    fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::Own(step) => {
                self.grow(3);
                let said = self.mesh.with_env(&[("MESHWORK_FAULT", step)], &["run", PRODUCT]);
                assert_eq!(said.code, None, "{step} was not reached: {}", said.err);
            }
            Fault::Child(step) => {
                self.grow(3);
                let said = self.mesh.with_env(&[("MESHWORK_RUN_FAULT", step)], &["run", PRODUCT]);
                let reached = said.code != Some(0) || step.contains("commit");
                assert!(reached, "{step} was not reached: {}", said.err);
            }
            Fault::Compaction(variable, step) => {
                // As many small files as a compaction is worth.
                for _ in 0..8 {
                    self.grow(1);
                    self.mesh.ok(&["run", PRODUCT]);
                }
                self.mesh.with_env(&[(variable, step)], &["maintain", "--only", "compact"]);
                assert_eq!(self.served(), self.reference(self.files.len()), "{}, {fault:?}", self.mode);
            }
            Fault::Truncated | Fault::Removed => self.loses_a_file(fault),
            Fault::Concurrent => self.runs_twice(),
            Fault::Foreign => self.meets_a_stranger(),
            Fault::Moment(millis) => {
                self.grow(3);
                let mut run = self.mesh.command(&["run", PRODUCT]);
                let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
                std::thread::sleep(Duration::from_millis(millis));
                run.kill().expect("killed");
                run.wait().expect("ended");
            }
        }
    }

    /// While the run reads, its file is cut or goes. It must notice, or have been done before.
    fn loses_a_file(&mut self, fault: Fault) {
        self.grow(60_000);
        let file = self.files.len() - 1;
        let path = self.mesh.path().join(Self::path(file));
        let mut run = self.mesh.command(&["run", PRODUCT, "-o", "jsonl"]);
        let mut run = run.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
        let mut said = std::io::BufReader::new(run.stdout.take().expect("piped"));
        let mut line = String::new();
        // It has begun to read.
        while std::io::BufRead::read_line(&mut said, &mut line).expect("readable") > 0 {
            if line.contains("\"progress\"") {
                break;
            }
            line.clear();
        }
        match fault {
            Fault::Truncated => {
                let length = std::fs::metadata(&path).expect("there").len();
                let cut = std::fs::OpenOptions::new().write(true).open(&path).expect("opens");
                cut.set_len(length / 2).expect("cut");
            }
            _ => std::fs::remove_file(&path).expect("removed"),
        }
        std::io::copy(&mut said, &mut std::io::sink()).expect("read");
        run.wait().expect("ended");
        let served = self.served();
        let old = served == self.reference(file);
        assert!(old || served == self.reference(file + 1), "{}, {fault:?}: {} rows", self.mode, served.len());
        // The file as it should have been.
        self.put(file, &self.files[file]);
    }

    fn runs_twice(&mut self) {
        self.grow(2000);
        let server = self.mesh.serve();
        let start = || {
            let mut run = self.mesh.command(&["run", PRODUCT]);
            run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts")
        };
        let both = [start(), start()].map(|run| run.wait_with_output().expect("ended"));
        for done in &both {
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success() || said.contains("MW0411"), "{said}");
        }
        assert!(both.iter().any(|done| done.status.success()), "one of them runs");
        drop(server);
        wait_for("the lock", || (self.mesh.meshwork(&["whoami"]).code == Some(0)).then_some(()));
    }

    fn meets_a_stranger(&mut self) {
        let log = wait_for("a table", || {
            let tables = std::fs::read_dir(self.mesh.path().join("data")).ok()?;
            tables.flatten().map(|entry| entry.path().join("v1/_delta_log")).find(|log| log.is_dir())
        });
        let next = std::fs::read_dir(&log)
            .expect("a log")
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse::<u64>().ok())
            .max()
            .expect("a version")
            + 1;
        let entry = log.join(format!("{next:020}.json"));
        std::fs::write(&entry, r#"{"commitInfo":{"operation":"DELETE","engineInfo":"stray"}}"#).expect("written");
        self.grow(3);
        let said = self.mesh.fails(5, &["run", PRODUCT]);
        assert!(said.err.contains("MW0630"), "{}", said.err);
        assert_eq!(self.served(), self.reference(self.files.len() - 1), "{}", self.mode);
        std::fs::remove_file(&entry).expect("removed");
    }
}

#[allow(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
fn wanted() -> (u64, bool) {
    match std::env::var("MESHWORK_MATRIX").ok() {
        Some(all) if all == "all" => (0, true),
        Some(seed) => (seed.parse().expect("a seed"), false),
        None => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
            (now.as_secs(), false)
        }
    }
}

#[test]
fn every_mode_under_every_fault() {
    let (seed, whole) = wanted();
    let mut cases: Vec<(&'static str, Fault)> =
        MODES.iter().flat_map(|mode| FAULTS.iter().map(move |fault| (*mode, *fault))).collect();
    // A full run leaves one file, and merges nothing.
    cases.retain(|(mode, fault)| match fault {
        Fault::Child("after-merge") => *mode == "merge",
        Fault::Compaction(..) => *mode == "append",
        _ => true,
    });
    if !whole {
        println!("a sample of the matrix; MESHWORK_MATRIX={seed} repeats it, MESHWORK_MATRIX=all runs the whole");
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for at in (1..cases.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            cases.swap(at, (state >> 33) as usize % (at + 1));
        }
        cases.truncate(SAMPLE);
    }
    for mode in MODES {
        let mut faults = cases.iter().filter(|(of, _)| *of == mode).peekable();
        if faults.peek().is_none() {
            continue;
        }
        let mut case = Case::of(mode);
        for (_, fault) in faults {
            case.inject(*fault);
            case.settle(&format!("{fault:?}"));
        }
    }
}

/// Kilobytes that a run finds free: too few for its rows, too few for what it notes down, none.
const FREE: [usize; 3] = [128, 12, 0];

#[test]
fn every_mode_on_a_disk_that_is_full() {
    for mode in MODES {
        let Some(mesh) = Mesh::shop().on_a_small_disk(40) else { return };
        let mut case = Case::over(mesh, mode);
        for free in FREE {
            case.grow(20_000);
            case.mesh.disk().fill(free << 10);
            is_about_the_disk(&case.mesh.meshwork(&["run", PRODUCT]));
            case.mesh.disk().clear();
            case.settle(&format!("{free} KiB free"));
        }
    }
}

/// The database dies while its rows are read, the web server hangs up: old rows, then the new ones.
#[test]
fn a_source_that_dies_while_it_is_read() {
    for mode in ["full", "merge"] {
        let postgres = Postgres::start().expect("PostgreSQL");
        postgres.sql(
            "CREATE TABLE orders (order_id bigint, customer text, amount double precision, status text);
             INSERT INTO orders SELECT n, 'c', 1, 'paid' FROM generate_series(1, 3) n",
        );
        let mesh = Mesh::shop();
        mesh.write(
            "mesh.yaml",
            format!("name: shop_mesh\nstorage: data\negress: [\"127.0.0.1:{}\"]\n", postgres.port()),
        );
        mesh.write(
            "domains/shop/domain.yaml",
            format!(
                "domain: shop\nowner: shop_team\nmembers: [ana]\nconnections:\n  crm: {{ type: postgres, host: 127.0.0.1, \
                 port: {}, database: postgres, user: postgres, password: \"${{secret:crm}}\" }}\n",
                postgres.port()
            ),
        );
        let product = "domains/shop/orders/product.yaml";
        let text = std::fs::read_to_string(mesh.path().join(product)).expect("there");
        let source = "source: { type: postgres, connection: crm, table: public.orders }";
        let text = text.replace("source: { type: csv, path: files/orders.csv }", source);
        let text = match mode {
            "full" => text,
            _ => text
                .replace(source, &format!("{source}, incremental: cursor(order_id)"))
                .replace("    sql: orders.sql\n", "    sql: orders.sql\n    mode: merge\n    key: [order_id]\n"),
        };
        mesh.write(product, text);
        let secret = [("MW_SECRET_SHOP_CRM", postgres.password())];
        let run = |mesh: &Mesh| mesh.with_env(&secret, &["run", PRODUCT]);
        mesh.ok(&["apply"]);
        let said = run(&mesh);
        assert_eq!(said.code, Some(0), "{mode}: {}", said.err);
        postgres.sql("INSERT INTO orders SELECT n, repeat('x', 200), 1, 'open' FROM generate_series(4, 200000) n");
        let mut slow = mesh.command(&["run", PRODUCT, "-o", "jsonl"]);
        let mut slow = slow.envs(secret).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
        let mut said = std::io::BufReader::new(slow.stdout.take().expect("piped"));
        let mut line = String::new();
        while std::io::BufRead::read_line(&mut said, &mut line).expect("readable") > 0 {
            if line.contains("\"progress\"") {
                break;
            }
            line.clear();
        }
        drop(postgres);
        std::io::copy(&mut said, &mut std::io::sink()).expect("read");
        slow.wait().expect("ended");
        let served = mesh.served();
        assert!(served == 3 || served == 200_000, "{mode}: {served}");
        // It does not come back: the old publication stays, with a clear error.
        let said = run(&mesh);
        assert!(said.code != Some(0) && said.error_code().is_some(), "{mode}: {}", said.err);
        assert_eq!(mesh.served(), served, "{mode}");
        mesh.ok(&["maintain"]);
        assert!(mesh.orphans().is_empty(), "{mode}: {:?}", mesh.orphans());
    }
    let body: String = (1..=400).map(|n| format!("{n},c,1,paid\n")).collect();
    let body = format!("{HEADER}{body}");
    let whole = body.len();
    let web = Web::start(move |_, before| {
        let answer = WebAnswer::ok(body.clone());
        // Whole, then cut in the middle for as often as it is asked, then whole again.
        match before {
            1..=3 => WebAnswer { cut_at: Some(whole / 2), ..answer },
            _ => answer,
        }
    })
    .expect("a server");
    let mesh = Mesh::shop();
    mesh.write("mesh.yaml", format!("name: shop_mesh\nstorage: data\negress: [\"127.0.0.1:{}\"]\n", web.port()));
    let product = "domains/shop/orders/product.yaml";
    let text = std::fs::read_to_string(mesh.path().join(product)).expect("there");
    mesh.write(product, text.replace("path: files/orders.csv", &format!("path: {:?}", web.url("/orders.csv"))));
    mesh.ok(&["apply"]);
    mesh.ok(&["run", PRODUCT]);
    for _ in 0..4 {
        mesh.meshwork(&["run", PRODUCT]);
        assert_eq!(mesh.served(), 400);
    }
    assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
}
