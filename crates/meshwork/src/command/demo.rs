//! `meshwork demo`: an example mesh from nothing to queries, without any service beside.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use meshwork_core::error::{Error, Kind, Result};
use meshwork_core::mesh::Mesh;
use meshwork_core::product::Input;
use meshwork_store::StateFolder;
use serde_json::{Value, json};

use super::serve::{Ports, Server, listen_near};
use super::{Context, apply, check, run, terminated};
use crate::client::{Call, Client};
use crate::output::count;
use crate::{compose, config, example, exit};

#[derive(Debug, Args)]
pub struct Demo {
    /// Check the three things to try instead of waiting, then end
    #[arg(long)]
    once: bool,
    /// Size of the example's data, as a factor
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    scale: u32,
    /// Where to make the example mesh [default: a temporary folder, removed at the end]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Who tries things out.
const USER: &str = "ana";
/// The product whose first run is blocked.
const BLOCKED: &str = "marketing.leads";
const TABLE: &str = "analytics.customer_360";
const QUERY: &str = "SELECT * FROM analytics.customer_360 LIMIT 5";

impl Demo {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let folder = Folder::new(self.dir.as_deref())?;
        let context = Context::new(context.config.at(&folder.path));
        let work = async {
            let server = prepare(&context, &folder.path, self.scale).await?;
            let things = Things::of(&context, &server).await?;
            let result = if self.once { things.check(&context).await } else { things.wait(&context).await };
            server.stop().await;
            result
        };
        tokio::select! {
            result = work => result,
            () = terminated() => Err(Error::new(Kind::Interrupted, "MW1010", "stopped")),
        }
    }
}

/// The example's folder: kept if it was named, else removed at the end.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn new(named: Option<&Path>) -> Result<Self> {
        let path = match named {
            Some(path) => path.to_path_buf(),
            None => config::temporary_folder(&format!("meshwork-demo-{}", std::process::id())),
        };
        let path = std::path::absolute(&path)
            .map_err(|error| Error::environment("MW1004", format!("the folder {}: {error}", path.display())))?;
        if path.join("mesh.yaml").exists() {
            return Err(Error::conflict("MW1023", format!("{} is a mesh folder already", path.display()))
                .hint("name another folder, or leave `--dir` away"));
        }
        Ok(Self { path, temporary: named.is_none() })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// From an empty folder to a server with published products.
async fn prepare(context: &Context, folder: &Path, scale: u32) -> Result<Server> {
    let printer = &context.printer;
    let step = |text: &str| printer.note(&printer.bold(text));
    step(&format!("The example mesh, in {}", folder.display()));
    example::write(folder, scale)?;
    let mesh = check::declared(context)?;
    printer.note(&format!(
        "checked: {}, {}",
        count(mesh.domains.len(), "domain"),
        count(mesh.products().count(), "product")
    ));
    // Ports before work; the state is opened once, for commands and server alike.
    let http = listen_near("127.0.0.1:8080", "http").await?;
    let pg = listen_near("127.0.0.1:5433", "pg").await?;
    let lock = StateFolder::of(folder).lock()?;
    let platform = compose::open(&context.config, lock).await?;
    step("Apply");
    apply::apply(context, &platform.client(&context.config).await?, &mesh, false).await?;
    // From now on the folder's owner is a member of the domains.
    let client = platform.client(&context.config).await?;
    step("Agreements that products need to read each other");
    grant_inputs(context, &client, &mesh).await?;
    step("Run everything: the leads have bad rows, so they are not published");
    run::run(context, &client, &["all".to_owned()], false, false).await?;
    step("The cleaned leads");
    example::correct_leads(folder)?;
    run::run(context, &client, &[BLOCKED.to_owned()], false, false).await?;
    let left = unpublished(&client, &mesh).await?;
    if !left.is_empty() {
        run::run(context, &client, &left, false, false).await?;
    }
    let left = unpublished(&client, &mesh).await?;
    if !left.is_empty() {
        return Err(Error::check("MW1029", format!("not published: {}", left.join(", "))));
    }
    Server::start(platform, Ports { http, pg: Some(pg), tls: None }).await
}

/// Every product is allowed to read what it declares as its input from another domain.
async fn grant_inputs(context: &Context, client: &Client, mesh: &Mesh) -> Result<()> {
    for (domain, product) in mesh.products() {
        for input in product.inputs.values() {
            let Input::Product(input) = input else { continue };
            if input.domain == domain.name {
                continue;
            }
            let grantee = format!("product:{}.{}", domain.name, product.name);
            let table = format!("{}.{}", input.domain, input.output);
            let purpose = input.purpose.as_deref().unwrap_or("analytics");
            let body = json!({"grantee": grantee, "table": table, "purpose": purpose});
            client.json(Call::post("agreements", body)).await?;
            context.printer.note(&format!("{grantee} may read {table} for {purpose}"));
        }
    }
    Ok(())
}

async fn unpublished(client: &Client, mesh: &Mesh) -> Result<Vec<String>> {
    let publications = client.all("publications").await?;
    let published: Vec<&str> = publications.iter().filter_map(|p| p.get("product")?.as_str()).collect();
    let names = mesh.products().map(|(domain, product)| format!("{}.{}", domain.name, product.name));
    Ok(names.filter(|name| !published.contains(&name.as_str())).collect())
}

/// The three things to try, with a user and a token for them.
struct Things {
    http: String,
    pg: Option<std::net::SocketAddr>,
    password: String,
    token: String,
}

impl Things {
    async fn of(context: &Context, server: &Server) -> Result<Self> {
        let client = server.platform.client(&context.config).await?;
        let mut random = [0; 9];
        server.platform.app.entropy.fill(&mut random);
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        client.json(Call::post("users", json!({"name": USER, "password": password}))).await?;
        let grant = json!({"grantee": format!("user:{USER}"), "table": TABLE, "purpose": "demo"});
        client.json(Call::post("agreements", grant)).await?;
        let created = client.json(Call::post("tokens", json!({"user": USER, "label": "demo"}))).await?;
        let token = created.get("token").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { http: server.http.clone(), pg: server.pg, password, token })
    }

    fn psql(&self) -> Option<String> {
        self.pg.map(|pg| format!("postgresql://{USER}:{}@{}:{}/meshwork", self.password, pg.ip(), pg.port()))
    }

    fn data(&self) -> String {
        format!("{}/api/v1/data/{}?limit=5", self.http, TABLE.replacen('.', "/", 1))
    }

    async fn wait(&self, context: &Context) -> Result<u8> {
        use std::io::IsTerminal;
        let printer = &context.printer;
        printer.note("");
        printer.note(&printer.bold("Three things to try"));
        printer.line(&format!("  psql '{}' -c '{QUERY}'", self.psql().unwrap_or_default()));
        printer.line(&format!("  curl -H 'Authorization: Bearer {}' '{}'", self.token, self.data()));
        printer.line(&format!("  {}/api/docs", self.http));
        if std::io::stdin().is_terminal() {
            printer.note("\nThe server runs until Ctrl-C.");
            std::future::pending::<()>().await;
        }
        Ok(exit::OK)
    }

    /// Does what the three lines say.
    async fn check(&self, context: &Context) -> Result<u8> {
        let mut failures = 0;
        let checks =
            [("psql", self.check_psql().await), ("curl", self.check_data().await), ("docs", self.check_docs().await)];
        for (name, result) in checks {
            match result {
                Ok(found) => context.printer.line(&format!("{} {name}: {found}", context.printer.good("ok"))),
                Err(error) => {
                    failures += 1;
                    context.printer.line(&format!("{} {name}: {error}", context.printer.bad("failed")));
                }
            }
        }
        if failures > 0 {
            return Err(Error::check("MW1029", format!("{failures} of 3 things to try do not work")));
        }
        Ok(exit::OK)
    }

    async fn check_psql(&self) -> Result<String> {
        let failed = |what: String| Error::check("MW1029", what);
        let Some(psql) = config::on_path("psql") else {
            return Err(failed("there is no psql on the PATH".to_owned())
                .hint("install it, on Debian by `apt-get install postgresql-client`"));
        };
        let address = self.psql().ok_or_else(|| failed("the Postgres port is off".to_owned()))?;
        let mut command = tokio::process::Command::new(psql);
        command.args([&address, "--no-psqlrc", "--csv", "-c", QUERY]).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(30), command.output()).await;
        let output = output
            .map_err(|_| failed("no answer within 30 s".to_owned()))?
            .map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let rows = text.lines().count().saturating_sub(1);
        match (output.status.success(), rows) {
            (true, 5) => Ok("5 rows over the Postgres wire".to_owned()),
            (true, rows) => Err(failed(format!("5 rows were expected, {rows} came"))),
            (false, _) => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    }

    async fn check_data(&self) -> Result<String> {
        let client = Client::remote(&self.http, Some(self.token.clone()), None, None)?;
        let path = self.data();
        let answer = client.json(Call::get(path.strip_prefix(&self.http).unwrap_or(&path))).await?;
        let rows = answer.get("rows").or_else(|| answer.get("items")).and_then(Value::as_array).map_or(0, Vec::len);
        if rows != 5 {
            return Err(Error::check("MW1029", format!("5 rows were expected, {rows} came")));
        }
        let anonymous = Client::remote(&self.http, None, None, None)?;
        match anonymous.json(Call::get(path.strip_prefix(&self.http).unwrap_or(&path))).await {
            Err(error) if error.kind == Kind::Unauthenticated => {
                Ok("5 rows over HTTP, none without the token".to_owned())
            }
            _ => Err(Error::check("MW1029", "the data came without a token")),
        }
    }

    async fn check_docs(&self) -> Result<String> {
        let client = Client::remote(&self.http, None, None, None)?;
        let page = client.bytes(Call::get("/api/docs").accept("text/html")).await?;
        let openapi = client.json(Call::get("/api/openapi.json")).await?;
        let paths = openapi.get("paths").and_then(Value::as_object).map_or(0, serde_json::Map::len);
        if page.is_empty() || paths == 0 {
            return Err(Error::check("MW1029", "the documentation is empty"));
        }
        Ok(format!("a page of {} bytes on {paths} paths", page.len()))
    }
}
