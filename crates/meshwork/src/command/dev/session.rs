//! One development session: what was built of which declaration, and the next build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshwork_control::check::check;
use meshwork_control::mesh::Planned;
use meshwork_control::run::storage_root;
use meshwork_core::check::tally;
use meshwork_core::error::{Error, Result};
use meshwork_core::mesh::Mesh;
use meshwork_core::plan::{self, Circumstances};
use meshwork_core::quality::Outcome;
use meshwork_core::run::RunReport;
use meshwork_core::sample::Sample;
use meshwork_engine::read::check::Checker;
use meshwork_store::StateFolder;
use serde_json::{Value, json};

use super::scope::{self, Key, Scope, Shaping, Table};
use super::upstream::Upstream;
use crate::client::{Call, Client, encoded};
use crate::command::serve::{self, Server, listen_near, write_secret};
use crate::command::{Context, run};
use crate::compose::{self, Platform};
use crate::config::Config;

/// Where a session answers.
#[derive(Clone, Debug)]
pub struct Ports {
    pub http: String,
    pub pg: Option<String>,
}

pub struct Session<'c> {
    context: &'c Context,
    /// For the mesh of the session.
    config: Config,
    folder: PathBuf,
    home: PathBuf,
    selectors: Vec<String>,
    sample: Option<Sample>,
    ports: Option<Ports>,
    running: Option<Running>,
    /// The mesh as it was declared at the last build.
    before: Option<Mesh>,
    declared: BTreeMap<Key, Value>,
    builds: BTreeMap<Key, u64>,
    columns: BTreeMap<Table, Vec<String>>,
    granted: BTreeSet<(String, String, String, bool)>,
    /// What has to be built although nothing of it changed: its last run did not publish.
    owed: BTreeSet<Key>,
}

enum Running {
    Served(Server),
    Alone(Box<Platform>),
}

/// Samples of upstream tables, relative to the mesh folder.
const SAMPLES: &str = ".meshwork/dev/upstream";
/// Connections to a session do not outlive a change that takes it down.
const GRACE: Duration = Duration::from_millis(300);

impl<'c> Session<'c> {
    pub async fn open(
        context: &'c Context,
        folder: PathBuf,
        selectors: Vec<String>,
        sample: Option<Sample>,
        ports: Option<Ports>,
    ) -> Result<Self> {
        let home = folder.join(".meshwork/dev");
        let secrets = Some(context.config.state_folder().join("secrets"));
        let mut config = context.config.at(&folder);
        (config.sample, config.secrets, config.act_as) = (sample, secrets, None);
        let mut session = Self {
            context,
            config,
            home,
            selectors,
            sample,
            ports,
            running: None,
            before: None,
            declared: BTreeMap::new(),
            builds: BTreeMap::new(),
            columns: BTreeMap::new(),
            granted: BTreeSet::new(),
            owed: BTreeSet::new(),
            folder,
        };
        remove(&session.folder.join(SAMPLES))?;
        session.start().await?;
        Ok(session)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where tables of the real mesh may lie inside the folder: not to be watched.
    pub fn storage_folders(&self) -> Vec<PathBuf> {
        let Some(mesh) = check(&self.folder, None).mesh else { return Vec::new() };
        let own = mesh.domains.values().filter_map(|domain| domain.storage.as_ref());
        let urls = own.chain([&mesh.storage]).filter_map(|root| storage_root(&self.folder, root).ok());
        urls.filter_map(|url| url::Url::parse(&url).ok()?.to_file_path().ok()).collect()
    }

    /// An empty state and empty storage, and the ports over them.
    async fn start(&mut self) -> Result<()> {
        let state = StateFolder::of(&self.home);
        let lock = compose::patiently(Duration::from_secs(5), || state.lock()).await?;
        for entry in std::fs::read_dir(state.path()).into_iter().flatten().flatten() {
            if entry.file_name() != "lock" {
                remove(&entry.path())?;
            }
        }
        remove(&self.home.join("data"))?;
        let platform = compose::open(&self.config, lock).await?;
        self.declared.clear();
        self.granted.clear();
        self.running = Some(match &mut self.ports {
            None => Running::Alone(Box::new(platform)),
            Some(ports) => {
                let http = listen_near(&ports.http, "http").await?;
                let pg = match &ports.pg {
                    Some(pg) => Some(listen_near(pg, "pg").await?),
                    None => None,
                };
                let server = Server::start(platform, serve::Ports { http, pg, tls: None }).await?;
                // The same ones next time.
                ports.http = server.http.trim_start_matches("http://").to_owned();
                ports.pg = server.pg.map(|address| address.to_string());
                write_secret(&self.home.join("token"), server.token())?;
                Running::Served(server)
            }
        });
        Ok(())
    }

    async fn stop(&mut self) {
        match self.running.take() {
            Some(Running::Served(server)) => server.stop_within(GRACE).await,
            Some(Running::Alone(platform)) => platform.close(GRACE).await,
            None => {}
        }
    }

    pub async fn close(mut self) {
        self.settle().await;
        self.stop().await;
    }

    /// Waits for what a dropped build left running.
    pub async fn settle(&self) {
        if let Some(runs) = self.platform().map(|platform| Arc::clone(&platform.app.runs)) {
            let _ = tokio::time::timeout(Duration::from_secs(10), runs.idle()).await;
        }
    }

    fn platform(&self) -> Option<&Platform> {
        match self.running.as_ref()? {
            Running::Served(server) => Some(&server.platform),
            Running::Alone(platform) => Some(platform),
        }
    }

    async fn client(&self) -> Result<Client> {
        let platform = self.platform().ok_or_else(|| Error::internal("MW1073", "the session is over"))?;
        platform.client(&self.config).await
    }

    pub fn show_ports(&self) {
        let Some(ports) = &self.ports else { return };
        let printer = &self.context.printer;
        if let Some((host, port)) = ports.pg.as_deref().and_then(|pg| pg.rsplit_once(':')) {
            let token = self.home.join("token");
            let token = token.display();
            printer.note(&format!("  PGPASSWORD=$(cat {token}) psql -h {host} -p {port} -U owner meshwork"));
        }
        printer.note(&format!("  meshwork -C {} sql", self.home.display()));
        printer.note(&format!("  http://{}/api/docs", ports.http));
    }

    /// Checks, and builds what changed with what depends on it. Whether all is well.
    pub async fn build(&mut self, changed: &BTreeSet<PathBuf>) -> Result<bool> {
        let printer = &self.context.printer;
        for path in changed.iter().take(5) {
            let shown = path.strip_prefix(&self.folder).unwrap_or(path).display();
            printer.note(&printer.dim(&format!("{shown} {}", if path.exists() { "changed" } else { "is gone" })));
        }
        if self.running.is_none() {
            // A save stopped it while it began anew.
            self.start().await?;
        }
        let checked = check(&self.folder, Some(&Checker));
        for finding in &checked.diagnostics {
            printer.line(checked.render(finding, self.context.config.color).trim_end());
            printer.line("");
        }
        let Some(mesh) = &checked.mesh else {
            let (errors, ..) = tally(&checked.diagnostics);
            let kept = if self.before.is_some() { "; what was built before is still there" } else { "" };
            printer.note(&format!("{} {errors} errors{kept}", printer.bad("does not check:")));
            return Ok(false);
        };
        let scope = Scope::of(mesh, &self.selectors)?;
        self.tell_changes(mesh);
        self.fetch(mesh, &scope).await?;
        let stale = self.apply(mesh, &scope, changed).await?;
        self.before = Some(mesh.clone());
        if stale.is_empty() {
            printer.note(&format!("{} nothing to build", printer.good("ok:")));
            return Ok(true);
        }
        self.run(&scope, stale).await
    }

    /// What the declaration changes, as `plan` says it; what a real apply would refuse is a note here.
    fn tell_changes(&self, mesh: &Mesh) {
        let printer = &self.context.printer;
        let Some(before) = &self.before else { return };
        let now = self.platform().map(|platform| platform.app.clock.now()).unwrap_or_default();
        let circumstances = Circumstances { prune: true, agreements: &[], now };
        let plan = plan::plan(Some(before), mesh, circumstances);
        if !plan.is_empty() {
            printer.raw(&plan.to_text());
        }
    }

    /// Samples of the tables that come from the mesh, each once a session.
    async fn fetch(&mut self, mesh: &Mesh, scope: &Scope) -> Result<()> {
        let missing: Vec<_> = scope.upstream.iter().filter(|(table, _)| !self.columns.contains_key(*table)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let upstream = Upstream::open(self.context).await?;
        let mut fetched: Result<()> = Ok(());
        for (table, (product, readers)) in missing {
            let (domain, output, major) = table;
            let declared =
                mesh.domain(domain).and_then(|d| d.products.get(product)?.outputs.get(output)?.versions.get(major));
            let (Some(version), Some(reader)) = (declared, readers.first()) else { continue };
            let into = self.folder.join(SAMPLES).join(domain.as_str()).join(format!("{output}_v{major}.parquet"));
            let config = &self.context.config;
            match upstream.read(config, table, version.schema(), reader, self.sample, &into).await {
                Ok(sampled) => {
                    let printer = &self.context.printer;
                    match sampled.note {
                        Some(note) => printer.note(&format!("{} {note}", printer.warn("note:"))),
                        None => printer
                            .note(&format!("{domain}.{output} v{major} read from the mesh as {}", sampled.reader)),
                    }
                    self.columns.insert(table.clone(), sampled.columns);
                }
                Err(error) => {
                    let hint = "publish it first, or name its domain too, so that it is built here";
                    fetched = Err(error.hint(format!("`{domain}.{output}` is read from the mesh: {hint}")));
                    break;
                }
            }
        }
        upstream.close().await;
        fetched
    }

    /// Makes the session's mesh what is declared. Returns what has to be built now.
    async fn apply(&mut self, mesh: &Mesh, scope: &Scope, changed: &BTreeSet<PathBuf>) -> Result<BTreeSet<Key>> {
        let declared: BTreeMap<Key, Value> = mesh
            .products()
            .map(|(domain, product)| ((domain.name.clone(), product.name.clone()), product))
            .filter(|(key, _)| {
                scope.own.contains(key) || scope.upstream.iter().any(|(t, (p, _))| (&t.0, p) == (&key.0, &key.1))
            })
            .map(|(key, product)| (key, scope::declaration(product)))
            .collect();
        let altered = |session: &Self| -> BTreeSet<Key> {
            let altered = declared.iter().filter(|(key, value)| session.declared.get(*key) != Some(value));
            altered.map(|(key, _)| key.clone()).collect()
        };
        let mut stale = altered(self);
        for key in &stale {
            *self.builds.entry(key.clone()).or_default() += 1;
        }
        let storage = self.home.join("data");
        let shaping = Shaping { storage: &storage, samples: SAMPLES, columns: &self.columns, builds: &self.builds };
        let (shaped, notes) = scope::shape(mesh, scope, &shaping);
        let printer = &self.context.printer;
        notes.iter().for_each(|note| printer.note(&format!("{} {note}", printer.warn("note:"))));
        let asked = json!({ "mesh": shaped, "prune": true });
        let planned: Planned = typed(self.client().await?.json(Call::post("plan", asked)).await?)?;
        let mut base = planned.base;
        if !planned.plan.problems.is_empty() {
            // Its own state is worth nothing: a change that readers of a real one would have to be told of begins anew.
            printer.note("a change that breaks what was built: everything is built anew");
            self.stop().await;
            self.start().await?;
            stale = altered(self);
            base = 0;
        }
        let body = json!({ "mesh": shaped, "base": base, "prune": true });
        self.client().await?.json(Call::post("apply", body)).await?;
        let client = self.client().await?;
        for agreement in scope.agreements(mesh) {
            if self.granted.contains(&agreement) {
                continue;
            }
            let (reader, table, purpose, clear) = &agreement;
            let classifications: Vec<String> = mesh.classifications.iter().map(|c| c.name.to_string()).collect();
            let clear = if *clear { classifications } else { Vec::new() };
            let body = json!({ "grantee": reader, "table": table, "purpose": purpose, "clear": clear });
            client.json(Call::post("agreements", body)).await?;
            self.granted.insert(agreement);
        }
        for (domain, product) in mesh.products() {
            if changed.iter().any(|file| scope::reads(domain, product, &self.folder, file)) {
                stale.insert((domain.name.clone(), product.name.clone()));
            }
        }
        stale.extend(self.owed.iter().cloned());
        stale.retain(|key| declared.contains_key(key));
        let stale = scope.dependents(mesh, stale);
        self.owed.clone_from(&stale);
        self.declared = declared;
        Ok(stale)
    }

    async fn run(&mut self, scope: &Scope, stale: BTreeSet<Key>) -> Result<bool> {
        let printer = &self.context.printer;
        let client = self.client().await?;
        let names: Vec<String> = stale.iter().map(|(domain, product)| format!("{domain}.{product}")).collect();
        let began = Instant::now();
        // From all there is: what a sample holds is the same whenever it is taken.
        let ended = run::run(self.context, &client, &names, false, true).await?;
        self.owed.retain(|(domain, product)| !ended.published.contains(&format!("{domain}.{product}")));
        for key in stale.iter().filter(|key| scope.own.contains(*key)) {
            let product = format!("{}.{}", key.0, key.1);
            if ended.published.contains(&product)
                && let Some(lines) = results(&client, &product).await?
            {
                printer.raw(&lines);
            }
        }
        let took = began.elapsed().as_secs_f64();
        let (good, all) = (ended.published.len(), names.len());
        let mark = if ended.failures.is_empty() { printer.good("built") } else { printer.bad("built") };
        printer.note(&format!("{mark} {good} of {all} in {took:.1} s"));
        Ok(ended.failures.is_empty())
    }
}

/// `  orders: 3 rows, 9 of 9 clauses pass, 41 ms`, by the newest run's report.
async fn results(client: &Client, product: &str) -> Result<Option<String>> {
    let id = run::id_of(client, product).await?;
    let quality = client.json(Call::get(format!("runs/{}/quality", encoded(&id)))).await?;
    let Some(report) = quality.get("report").cloned() else { return Ok(None) };
    let Ok(report) = serde_json::from_value::<RunReport>(report) else { return Ok(None) };
    let mut lines = String::new();
    for output in &report.outputs {
        let passed = output.clauses.iter().filter(|clause| clause.outcome == Outcome::Pass).count();
        let sampled = output.clauses.iter().filter(
            |clause| matches!(&clause.outcome, Outcome::NotEvaluated { because } if because.starts_with("sampled")),
        );
        let prefix = format!("{}:", output.name);
        let ms: u64 = report.timings.iter().filter(|(what, _)| what.starts_with(&prefix)).map(|(_, ms)| ms).sum();
        let sampled = match sampled.count() {
            0 => String::new(),
            n => format!(", {n} sampled"),
        };
        let (name, rows, all) = (&output.name, output.rows, output.clauses.len());
        lines += &format!("  {name}: {rows} rows, {passed} of {all} clauses pass{sampled}, {ms} ms\n");
    }
    Ok(Some(lines))
}

fn typed<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T> {
    serde_json::from_value(answer)
        .map_err(|error| Error::environment("MW1009", format!("the server's answer is not understood: {error}")))
}

/// A file, or a folder with all that is in it.
fn remove(path: &Path) -> Result<()> {
    let removed = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::environment("MW1071", format!("{} cannot be removed: {error}", path.display())))
        }
        _ => Ok(()),
    }
}
