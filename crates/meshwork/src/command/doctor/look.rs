//! The things that are looked at, in the order in which one depends on another.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use meshwork_control::check::check;
use meshwork_control::run::storage_root;
use meshwork_control::storage::storage_of;
use meshwork_core::check::tally;
use meshwork_core::limits::Limits;
use meshwork_core::mesh::Mesh;
use meshwork_core::storage::MESH_NAMESPACE;
use meshwork_engine::read::check::Checker;
use meshwork_engine::source::Secrets;
use meshwork_engine::storage::Stores;
use serde_json::{Value, json};

use super::Finding;
use crate::client::{Call, Client};
use crate::command::Context;
use crate::compose::{self, Reach};
use crate::config;
use crate::output::count;

const ENOUGH: u64 = 5 << 30;
const TOO_LITTLE: u64 = 200 << 20;
/// Between this machine's clock and that of a file system.
const SKEW: Duration = Duration::from_secs(5);

pub async fn all(context: &Context) -> Vec<Finding> {
    let mut found = vec![Finding::ok("version", format!("meshwork {}", env!("CARGO_PKG_VERSION")))];
    let folder = match compose::mesh_folder(&context.config) {
        Ok(folder) => folder,
        Err(error) => {
            found.push(Finding::error("mesh folder", &error));
            return found;
        }
    };
    let mesh = declared(&folder, &mut found);
    state(context, mesh.as_ref(), &mut found).await;
    let owner = found.iter().any(|finding| finding.what == "server");
    ports(owner, &mut found);
    space("state disk", &folder, &mut found);
    if let Some(mesh) = &mesh {
        storage(&folder, mesh, &mut found).await;
        secrets(&folder, mesh, &mut found);
    }
    found
}

fn declared(folder: &Path, found: &mut Vec<Finding>) -> Option<Mesh> {
    let mut checked = check(folder, Some(&Checker));
    let (errors, warnings, _) = tally(&checked.diagnostics);
    let what = "mesh folder";
    let counts = &checked.counts;
    found.push(match (errors, warnings) {
        (0, 0) => Finding::ok(what, format!("{}: {} in order", folder.display(), count(counts.products, "product"))),
        (0, n) => Finding::warn(what, count(n, "warning"), "`meshwork check` shows them"),
        (n, _) => Finding::fail(what, count(n, "error"), "`meshwork check` shows them"),
    });
    checked.mesh.take()
}

/// Opens the state or asks the server that holds it, and compares what is applied with what is declared and stored.
async fn state(context: &Context, mesh: Option<&Mesh>, found: &mut Vec<Finding>) {
    let client = match context.client().await {
        Ok(client) => client,
        Err(error) => return found.push(Finding::error("state", &error)),
    };
    match context.reach().await {
        Ok(Reach::Embedded(platform)) => {
            found.push(Finding::ok("state", format!("{} is free and opens", platform.lock.folder().path().display())));
        }
        Ok(Reach::Server { url, .. }) => found.push(served(&client, url).await),
        Err(error) => return found.push(Finding::error("state", &error)),
    }
    let applied = match client.json(Call::get("mesh")).await {
        Ok(applied) => applied,
        Err(error) => return found.push(Finding::error("state", &error)),
    };
    found.push(match applied["revision"].as_u64() {
        None | Some(0) => Finding::warn("applied", "nothing is applied yet", "`meshwork apply` applies the folder"),
        Some(revision) => Finding::ok("applied", format!("revision {revision} of mesh {}", text(&applied["id"]))),
    });
    for (what, key) in [("queries", "query_limits"), ("runs", "run_limits")] {
        if let Ok(limits) = serde_json::from_value::<Limits>(applied[key].clone()) {
            found.push(Finding::ok("limits", format!("of {what}: {limits}")));
        }
    }
    if let Some(mesh) = mesh {
        drift(&client, mesh, found).await;
    }
    runs(&client, found).await;
}

async fn served(client: &Client, url: &str) -> Finding {
    match client.json(Call::get("whoami")).await {
        Ok(who) => Finding::ok("server", format!("{url} answers; you are {}", text(&who["principal"]))),
        Err(error) => Finding::error("server", &error),
    }
}

async fn drift(client: &Client, mesh: &Mesh, found: &mut Vec<Finding>) {
    let drift = match client.json(Call::post("drift", json!({"mesh": mesh}))).await {
        Ok(drift) => drift,
        Err(error) => return found.push(Finding::error("drift", &error)),
    };
    let list = |name: &str| drift[name].as_array().cloned().unwrap_or_default();
    for foreign in list("foreign") {
        let message = format!("{}: commits that no publication made: {}", text(&foreign["table"]), foreign["versions"]);
        let hint = "somebody else writes into this storage; they are never served, but block the next run: remove them";
        found.push(Finding::fail("foreign", message, hint));
    }
    for error in list("unreadable") {
        let message = text(&error["message"]);
        found.push(Finding::fail("storage", message, "the table's folder must be readable to whoever runs products"));
    }
    if list("foreign").is_empty() && list("unreadable").is_empty() {
        found.push(Finding::ok("foreign", "no commits but our own in the tables' folders"));
    }
}

async fn runs(client: &Client, found: &mut Vec<Finding>) {
    let Ok(page) = client.json(Call::get("runs?limit=200")).await else { return };
    let mut newest: BTreeMap<String, &Value> = BTreeMap::new();
    for run in page["items"].as_array().into_iter().flatten() {
        newest.entry(text(&run["product"])).or_insert(run);
    }
    let bad: Vec<&String> = newest
        .iter()
        .filter(|(_, run)| ["failed", "blocked"].contains(&text(&run["state"]).as_str()))
        .map(|(p, _)| p)
        .collect();
    for product in bad {
        let hint = format!("`meshwork logs {product}` says why; the publication before it is still served");
        found.push(Finding::warn("runs", format!("the last run of {product} did not publish"), hint));
    }
}

/// The ports that `serve` takes unless told otherwise.
fn ports(ours: bool, found: &mut Vec<Finding>) {
    for (port, flag) in [(8080, "--http"), (5433, "--pg")] {
        let what = format!("port {port}");
        found.push(match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => Finding::ok(&what, "free"),
            Err(_) if ours => Finding::ok(&what, "in use; a server of this mesh runs"),
            Err(error) => {
                let hint = format!("`meshwork serve {flag} 127.0.0.1:OTHER` takes another one");
                Finding::warn(&what, format!("cannot be taken: {error}"), hint)
            }
        });
    }
}

fn space(what: &str, folder: &Path, found: &mut Vec<Finding>) {
    let Some(existing) = folder.ancestors().find(|folder| folder.is_dir()) else { return };
    let Ok(disk) = rustix::fs::statvfs(existing) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let message = format!("{} free at {}", indicatif::HumanBytes(free), existing.display());
    found.push(match free {
        ..TOO_LITTLE => Finding::fail(what, message, "runs will fail: make room, or move the storage"),
        TOO_LITTLE..ENOUGH => Finding::warn(what, message, "a large run may not fit"),
        _ => Finding::ok(what, message),
    });
}

async fn storage(folder: &Path, mesh: &Mesh, found: &mut Vec<Finding>) {
    let roots =
        std::iter::once(&mesh.storage).chain(mesh.domains.values().filter_map(|domain| domain.storage.as_ref()));
    let mut seen = Vec::new();
    for root in roots {
        let url = match storage_root(folder, root) {
            Ok(url) => url,
            Err(error) => {
                found.push(Finding::error("storage", &error));
                continue;
            }
        };
        if seen.contains(&url) {
            continue;
        }
        seen.push(url.clone());
        if let Some(path) = url::Url::parse(&url).ok().and_then(|url| url.to_file_path().ok()) {
            found.push(writable(&path));
            space("storage disk", &path, found);
        } else {
            found.push(bucket(folder, mesh, &url).await);
        }
    }
}

/// Asks the store, with the credentials that a run would have, to create objects as a commit does.
async fn bucket(folder: &Path, mesh: &Mesh, url: &str) -> Finding {
    let secrets = Secrets { variables: config::secrets(), folder: Some(folder.join(".meshwork/secrets")) };
    let known = storage_of(mesh, url).into_iter().collect();
    match Stores::given(known, secrets).examine(url).await {
        Ok(owner) => {
            let claimed = owner.map_or_else(|| ", not used yet".to_owned(), |mesh| format!("; it is mesh {mesh}'s"));
            Finding::ok("storage", format!("{url} can be written, and creates an object only once{claimed}"))
        }
        Err(error) => Finding::error("storage", &error),
    }
}

/// Writes and removes a file, and compares the clock of the file system with ours.
#[allow(clippy::disallowed_methods, reason = "the file system's clock is compared with this one")]
fn writable(root: &Path) -> Finding {
    let Some(existing) = root.ancestors().find(|folder| folder.is_dir()) else {
        return Finding::fail(
            "storage",
            format!("{} cannot be reached", root.display()),
            "mount it, or correct `storage`",
        );
    };
    let shown = root.display();
    let attempt = || -> std::io::Result<SystemTime> {
        let mut file = tempfile::Builder::new().prefix(".meshwork-doctor-").tempfile_in(existing)?;
        file.write_all(b"x")?;
        file.as_file().sync_all()?;
        file.as_file().metadata()?.modified()
    };
    let written = match attempt() {
        Ok(written) => written,
        Err(error) => {
            let hint = "whoever runs products must be able to write there";
            return Finding::fail("storage", format!("{shown} cannot be written: {error}"), hint);
        }
    };
    let now = SystemTime::now();
    let skew = now.duration_since(written).or_else(|_| written.duration_since(now)).unwrap_or_default();
    if skew > SKEW {
        let message = format!("{shown} keeps another time: {} seconds apart", skew.as_secs());
        return Finding::warn("storage", message, "set the clocks of both machines, with NTP");
    }
    let claimed = if root.join("_meshwork/owner.json").is_file() { "" } else { ", not used yet" };
    Finding::ok("storage", format!("{shown} can be written and flushed{claimed}"))
}

/// Every secret that a connection refers to, as a run would look for it.
fn secrets(folder: &Path, mesh: &Mesh, found: &mut Vec<Finding>) {
    let mut missing = 0;
    for domain in mesh.domains.values() {
        let variables = config::secrets_of(&domain.name)
            .into_iter()
            .filter_map(|(name, value)| {
                Some((name.into_string().ok()?.to_ascii_uppercase(), value.into_string().ok()?))
            })
            .collect();
        let known = Secrets { variables, folder: Some(PathBuf::from(folder).join(".meshwork/secrets")) };
        let document = json!([domain.connections, domain.storage]);
        for reference in references(&document) {
            if let Err(error) = known.resolve(&domain.name, &reference) {
                missing += 1;
                found.push(Finding::error("secrets", &error));
            }
        }
    }
    let known = Secrets { variables: config::secrets(), folder: Some(folder.join(".meshwork/secrets")) };
    for reference in references(&json!(mesh.storage)) {
        if let Err(error) = known.resolve(MESH_NAMESPACE, &reference) {
            missing += 1;
            found.push(Finding::error("secrets", &error));
        }
    }
    if missing == 0 {
        found.push(Finding::ok("secrets", "every secret that is referred to is there"));
    }
}

/// Texts that are references, wherever a connection has them.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if text.starts_with("${secret:") => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Object(map) => map.values().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
