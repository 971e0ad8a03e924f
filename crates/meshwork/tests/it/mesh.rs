//! A mesh in a temporary folder, and the binary that works on it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::disk::Disk;

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The first code of ours that it printed as an error.
    pub fn error_code(&self) -> Option<&str> {
        let at = self.err.find("MW")?;
        self.err.get(at..at + 6)
    }
}

pub struct Mesh {
    /// Where it lies on one of its own.
    disk: Option<Disk>,
    folder: TempDir,
}

pub const PRODUCT: &str = "shop.orders";

const PRODUCT_YAML: &str = "\
product: orders
version: 1.0.0
status: active
description: Orders of the shop, one row per order.
inputs:
  raw: { source: { type: csv, path: files/orders.csv } }
outputs:
  orders:
    contract: orders.contract.yaml
    sql: orders.sql
";

const CONTRACT_YAML: &str = "\
schema: orders
version: 1.0.0
owner: shop-team
fields:
  - name: order_id
    type: integer
    required: true
    description: Number of the order
  - name: customer
    type: string
    required: true
    description: Who ordered
  - name: amount
    type: number
    required: true
    description: Total in EUR
  - name: status
    type: string
    required: true
    enum: [open, paid, shipped]
    description: Where it stands
quality:
  - unique: [order_id]
  - range: { field: amount, min: 0, max: 10000 }
";

/// The first line of a file of orders.
pub const HEADER: &str = "order_id,customer,amount,status\n";

impl Mesh {
    /// One domain, one product over a CSV file, three rows. Nothing is applied.
    pub fn shop() -> Self {
        let mesh = Self::empty();
        mesh.write("mesh.yaml", "name: shop_mesh\nstorage: data\n");
        mesh.write("domains/shop/domain.yaml", "domain: shop\nowner: shop_team\nmembers: [ana]\n");
        mesh.write("domains/shop/orders/product.yaml", PRODUCT_YAML);
        mesh.write("domains/shop/orders/orders.contract.yaml", CONTRACT_YAML);
        mesh.write("domains/shop/orders/orders.sql", "SELECT order_id, customer, amount, status FROM raw\n");
        mesh.orders(3);
        mesh
    }

    /// A folder with nothing in it.
    pub fn empty() -> Self {
        Self { disk: None, folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// On a disk of a few megabytes from now on. `None` where that cannot be had, after saying so.
    pub fn on_a_small_disk(self, megabytes: u32) -> Option<Self> {
        let disk = Disk::over(self.folder.path(), megabytes)?;
        Some(Self { disk: Some(disk), ..self })
    }

    pub fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("on a disk of its own")
    }

    /// The same, applied and published.
    pub fn published() -> Self {
        let mesh = Self::shop();
        mesh.ok(&["apply"]);
        mesh.ok(&["run", PRODUCT]);
        mesh
    }

    /// The folder, as tests see it.
    pub fn path(&self) -> &Path {
        self.disk.as_ref().map_or(self.folder.path(), |disk| &disk.folder)
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        std::fs::write(path, text).expect("written");
    }

    /// The product over several files: taken up one by one, unless everything is built anew each time. `more`: lines of
    /// its output.
    pub fn over_files(&self, files: &str, mode: &str, more: &str) {
        let incremental = if mode == "full" { "" } else { "    incremental: files\n" };
        self.write(
            "domains/shop/orders/product.yaml",
            format!(
                "product: orders
version: 1.0.0
status: active
description: Orders of the shop, one row per order.
inputs:
  raw:
    source: {{ type: csv, path: {files} }}
{incremental}outputs:
  orders:
    contract: orders.contract.yaml
    sql: orders.sql
    mode: {mode}
{more}"
            ),
        );
    }

    /// The source: that many good rows.
    pub fn orders(&self, rows: usize) {
        self.source(&good_rows(rows));
    }

    pub fn source(&self, text: &str) {
        self.write("domains/shop/files/orders.csv", text);
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshwork"));
        let folder = self.folder.path();
        command.arg("-C").arg(folder).args(args).stdin(Stdio::null());
        for name in ["MESHWORK_SERVER", "MESHWORK_TOKEN", "MESHWORK_DIR", "MESHWORK_FAULT", "MESHWORK_RUN_FAULT"] {
            command.env_remove(name);
        }
        // Nothing of the user who runs the tests.
        command.env("XDG_STATE_HOME", folder.join(".state")).env("XDG_CONFIG_HOME", folder.join(".config"));
        match &self.disk {
            Some(disk) => disk.enter(&command),
            None => command,
        }
    }

    pub fn meshwork(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().expect("the binary starts"))
    }

    pub fn with_env(&self, env: &[(&str, &str)], args: &[&str]) -> Said {
        Said::of(self.command(args).envs(env.iter().copied()).output().expect("the binary starts"))
    }

    /// Must end well; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let said = self.meshwork(args);
        assert_eq!(said.code, Some(0), "meshwork {args:?}\n{}\n{}", said.out, said.err);
        said.out
    }

    /// Must end with this exit code and an error of ours.
    pub fn fails(&self, exit: i32, args: &[&str]) -> Said {
        let said = self.meshwork(args);
        assert_eq!(said.code, Some(exit), "meshwork {args:?}\n{}\n{}", said.out, said.err);
        assert!(said.error_code().is_some(), "no code in: {}", said.err);
        said
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// How many rows the published table has.
    pub fn served(&self) -> usize {
        let out = self.ok(&["sql", "-c", "SELECT count(*) AS n FROM shop.orders", "-o", "csv"]);
        let rows = out.lines().nth(1).and_then(|line| line.trim().parse().ok());
        rows.unwrap_or_else(|| panic!("no count in {out:?}"))
    }

    /// Data files that no Delta log names (but not what is set aside), and what runs left in the temporary folder.
    pub fn orphans(&self) -> BTreeSet<PathBuf> {
        let mut files = Vec::new();
        walk(&self.path().join("data"), &mut files);
        let (logs, rest): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|f| f.parent().is_some_and(|p| p.ends_with("_delta_log")));
        let mut known = BTreeSet::new();
        for log in &logs {
            let table = log.parent().and_then(Path::parent).expect("a table");
            for line in std::fs::read_to_string(log).unwrap_or_default().lines() {
                let action: Value = serde_json::from_str(line).unwrap_or_default();
                if let Some(path) = action.pointer("/add/path").and_then(Value::as_str) {
                    known.insert(table.join(path));
                }
            }
        }
        let mut orphans: BTreeSet<PathBuf> = rest
            .into_iter()
            .filter(|file| !known.contains(file))
            .filter(|file| {
                !file.components().any(|part| ["_meshwork", "quarantine"].iter().any(|own| part.as_os_str() == *own))
            })
            .collect();
        orphans.extend(logs.into_iter().filter(|log| log.to_string_lossy().contains('#')));
        let mut left = Vec::new();
        walk(&self.path().join(".meshwork/tmp"), &mut left);
        orphans.extend(left.into_iter().filter(|file| file.to_string_lossy().contains("/run-")));
        orphans
    }

    /// A server on free ports, once it answers.
    pub fn serve(&self) -> Server<'_> {
        self.serve_with(&[])
    }

    pub fn serve_with(&self, more: &[&str]) -> Server<'_> {
        self.serve_on(&[&["--http", "127.0.0.1:0", "--pg", "127.0.0.1:0"], more].concat())
    }

    pub fn serve_on(&self, ports: &[&str]) -> Server<'_> {
        let mut command = self.command(&[&["serve"], ports].concat());
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the server starts");
        let mut server = Server { mesh: self, child, http: String::new(), token: String::new(), pg: None };
        let file = self.path().join(".meshwork/server.json");
        wait_for("server.json", || {
            if let Ok(Some(status)) = server.child.try_wait() {
                panic!("the server ended: {status}");
            }
            let info: Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
            server.http = info["http"].as_str()?.to_owned();
            server.token = info["token"].as_str()?.to_owned();
            server.pg = info["postgres"].as_str().map(str::to_owned);
            Some(())
        });
        server
    }
}

/// Where scripts put what tests need beside Rust.
#[allow(clippy::disallowed_methods, reason = "a test may know where it runs")]
pub fn cache() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    cache.expect("HOME").join("meshwork")
}

pub fn good_rows(rows: usize) -> String {
    let mut text = String::from("order_id,customer,amount,status\n");
    for row in 1..=rows {
        text += &format!("{row},customer {},{}.50,{}\n", row % 7, row % 900, ["open", "paid", "shipped"][row % 3]);
    }
    text
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            walk(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

/// Tries again until there is something.
pub fn wait_for<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{what} did not come within 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub struct Server<'a> {
    mesh: &'a Mesh,
    pub child: Child,
    pub http: String,
    pub token: String,
    pub pg: Option<String>,
}

impl Server<'_> {
    /// By a signal, as `kill` or Ctrl-C would; waits for the end.
    pub fn stop(mut self, signal: rustix::process::Signal) -> Option<i32> {
        signal_to(&self.child, signal);
        self.child.wait().expect("it ends").code()
    }

    pub fn is_up(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None)) && self.mesh.meshwork(&["whoami"]).code == Some(0)
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal_to(child: &Child, signal: rustix::process::Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("it is there");
}
