//! `meshwork serve`

pub mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use meshwork_core::error::{Error, Result};
use meshwork_server::http::{Peer, Port};
use meshwork_server::pg;
use meshwork_store::{ServerInfo, StateFolder};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Context, terminated};
use crate::compose::{self, Platform};
use crate::{config, exit};
use tls::Tls;

#[derive(Debug, Args)]
pub struct Serve {
    /// Address of the HTTP API; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    http: String,
    /// Address of the Postgres wire; `off` for none
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5433")]
    pg: String,
    #[command(flatten)]
    tls: tls::Files,
}

/// How long requests may go on after the server was asked to stop.
const GRACE: Duration = Duration::from_secs(10);
const RECOVERY: Duration = Duration::from_secs(10);
/// How often to look whether housekeeping is due.
const MAINTENANCE: Duration = Duration::from_secs(30);

impl Serve {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let folder = StateFolder::of(&compose::mesh_folder(&context.config)?);
        // Ports first: a taken one is found before anything is opened.
        let tls = self.tls.open(config::tls())?;
        let reach = if tls.is_some() { Reach::Anywhere } else { Reach::ThisMachine };
        let http = listen(&self.http, "http", reach).await?;
        let pg = if self.pg == "off" { None } else { Some(listen(&self.pg, "pg", reach).await?) };
        let lock = compose::patiently(Duration::from_secs(2), || folder.lock()).await?;
        let platform = compose::open(&context.config, lock).await?;
        let server = Server::start(platform, Ports { http, pg, tls }).await?;
        let token_file = folder.path().join(compose::ADMIN_TOKEN);
        if server.first_start(&token_file).await? {
            let file = token_file.display();
            context.printer.note(&format!("the first administrator's one-time token is in {file}; it is exchanged by"));
            context.printer.note(&format!("  meshwork login --server {} --token-file {file}", server.http));
        }
        context.printer.line(&format!("HTTP API       {}", server.http));
        context.printer.line(&format!("documentation  {}/api/docs", server.http));
        if let Some(pg) = server.pg {
            context.printer.line(&format!("Postgres wire  {pg}"));
        }
        let app = &server.platform.app;
        let applied = app.mesh.applied().await?;
        let (query, run) = (app.query.limits(applied.mesh.as_ref()), app.runs.limits(applied.mesh.as_ref()));
        context.printer.note(&format!("limits of queries: {}", query.shown()));
        context.printer.note(&format!("limits of runs:    {}", run.shown()));
        terminated().await;
        context.printer.note("stopping");
        server.stop().await;
        Ok(exit::OK)
    }
}

/// What a server listens on.
pub struct Ports {
    pub http: TcpListener,
    pub pg: Option<TcpListener>,
    pub tls: Option<Tls>,
}

/// A server that answers on its ports until it is stopped.
pub struct Server {
    pub http: String,
    pub pg: Option<SocketAddr>,
    pub platform: Arc<Platform>,
    token: String,
    stop: watch::Sender<bool>,
    tasks: tokio::task::JoinSet<()>,
}

impl Server {
    pub async fn start(platform: Platform, ports: Ports) -> Result<Self> {
        let Ports { http: listener, pg: postgres, tls } = ports;
        let platform = Arc::new(platform);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = tokio::task::JoinSet::new();
        let http_address = address(&listener)?;
        let pg_address = postgres.as_ref().map(address).transpose()?;
        let acceptor = tls.as_ref().map(|tls| tls.acceptor(b"http/1.1")).transpose()?;
        let (http, own) = match &acceptor {
            None => (format!("http://{http_address}"), format!("http://{http_address}")),
            Some(_) => {
                // The command line in the mesh folder comes in by a door of its own: which name the certificate has for the
                // world is not its concern.
                let door = listen("127.0.0.1:0", "http", Reach::ThisMachine).await?;
                let own = format!("http://{}", address(&door)?);
                tasks.spawn(answering(platform.router.clone(), Port::new(door, None), stopped.clone()));
                (format!("https://{http_address}"), own)
            }
        };
        tasks.spawn(answering(platform.router.clone(), Port::new(listener, acceptor), stopped.clone()));
        if let Some(listener) = postgres {
            let services =
                pg::Services { credentials: platform.app.credentials.clone(), query: (*platform.app.query).clone() };
            let acceptor = tls.as_ref().map(|tls| tls.acceptor(pg::ALPN)).transpose()?;
            tasks.spawn(pg::serve(listener, services, acceptor, turned(stopped.clone())));
        }
        let runs = platform.app.runs.clone();
        tasks.spawn(repeated(RECOVERY, stopped.clone(), async move || {
            if let Err(error) = runs.recover().await {
                tracing::warn!(%error, "recovery did not finish");
            }
        }));
        let (maintenance, metrics) = (platform.app.maintenance.clone(), platform.app.metrics.clone());
        // Nothing is due yet, but what there will be to do is known from the beginning.
        if let Err(error) = maintenance.work().await {
            tracing::warn!(%error, "housekeeping is not planned yet");
        }
        tasks.spawn(repeated(MAINTENANCE, stopped, async move || match maintenance.work().await {
            Ok(done) => done.iter().for_each(|done| {
                metrics.maintained(done);
                if done.is_something() {
                    let (table, task) = (&done.table, done.task.as_str());
                    tracing::info!(table, task, files = done.files, bytes = done.bytes, "maintained");
                }
            }),
            Err(error) => tracing::warn!(%error, "housekeeping did not finish"),
        }));
        let token = platform.app.credentials.owner_token();
        platform.lock.write_server_info(&ServerInfo {
            pid: std::process::id(),
            http: own,
            postgres: pg_address.map(|address| address.to_string()),
            token: Some(token.clone()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: platform.app.clock.now(),
        })?;
        Ok(Self { http, pg: pg_address, platform, token, stop, tasks })
    }

    /// Writes the one-time administrator token, where there is no administrator yet.
    pub async fn first_start(&self, file: &Path) -> Result<bool> {
        let file = file.to_owned();
        self.platform.app.credentials.first_start(move |token| write_secret(&file, token)).await
    }

    /// Takes no more connections, lets requests end within the grace, stops the rest, closes the state.
    pub async fn stop(self) {
        self.stop_within(GRACE).await;
    }

    pub async fn stop_within(mut self, grace: Duration) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(grace, all).await;
        self.tasks.shutdown().await;
        self.platform.close(grace).await;
    }

    /// The folder owner's token, as long as this server lives.
    pub fn token(&self) -> &str {
        &self.token
    }
}

async fn answering(router: axum::Router, port: Port, until: watch::Receiver<bool>) {
    let service = router.into_make_service_with_connect_info::<Peer>();
    if let Err(error) = axum::serve(port, service).with_graceful_shutdown(turned(until)).await {
        tracing::error!(%error, "the HTTP port failed");
    }
}

async fn turned(mut flag: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = flag.wait_for(|on| *on).await;
}

async fn repeated(every: Duration, stopped: watch::Receiver<bool>, mut job: impl AsyncFnMut()) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => job().await,
            () = turned(stopped.clone()) => return,
        }
    }
}

fn address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|error| Error::environment("MW0980", format!("the port has no address: {error}")))
}

/// Who may come to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    ThisMachine,
    /// In TLS.
    Anywhere,
}

pub async fn listen(text: &str, option: &str, reach: Reach) -> Result<TcpListener> {
    let wrong = |why: String| {
        Error::usage("MW0980", format!("--{option} {}: {why}", text.escape_debug()))
            .hint(format!("write an address and a port, such as `--{option} 127.0.0.1:8081`; port 0 takes a free one"))
    };
    let mut addresses = tokio::net::lookup_host(text).await.map_err(|error| wrong(error.to_string()))?;
    let address = addresses.next().ok_or_else(|| wrong("it is no address".to_owned()))?;
    if reach == Reach::ThisMachine && !address.ip().is_loopback() {
        return Err(Error::usage("MW0981", format!("{address} is not a loopback address, and TLS is not configured"))
            .hint("passwords and tokens would travel in the clear: give a certificate with `--tls-cert` and `--tls-key`, or listen on 127.0.0.1 behind a TLS proxy"));
    }
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            Error::environment("MW0982", format!("port {} is in use by another process", address.port()))
                .hint(format!("choose another with `--{option} {}:PORT`; port 0 takes a free one", address.ip()))
        }
        std::io::ErrorKind::PermissionDenied => {
            Error::environment("MW0982", format!("port {} may not be used by this user", address.port()))
                .hint(format!("choose one above 1023 with `--{option} {}:PORT`", address.ip()))
        }
        _ => wrong(error.to_string()),
    })
}

/// On this machine: the address, or a free port where that is taken.
pub async fn listen_near(usual: &str, option: &str) -> Result<TcpListener> {
    match listen(usual, option, Reach::ThisMachine).await {
        Err(error) if error.code == "MW0982" => listen("127.0.0.1:0", option, Reach::ThisMachine).await,
        listener => listener,
    }
}

/// A file that only its owner may read, new each time.
pub fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let io = |error: std::io::Error| Error::environment("MW0983", format!("{}: {error}", path.display()));
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).map_err(io)?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_free_loopback_ports() {
        let taken = listen("127.0.0.1:0", "http", Reach::ThisMachine).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = listen(&format!("127.0.0.1:{port}"), "http", Reach::ThisMachine).await.unwrap_err();
        assert_eq!(error.message, format!("port {port} is in use by another process"));
        assert_eq!(error.hints, ["choose another with `--http 127.0.0.1:PORT`; port 0 takes a free one"]);
        assert_eq!(listen("0.0.0.0:0", "pg", Reach::ThisMachine).await.unwrap_err().code, "MW0981");
        listen("0.0.0.0:0", "pg", Reach::Anywhere).await.unwrap();
        assert_eq!(listen("nonsense", "pg", Reach::ThisMachine).await.unwrap_err().code, "MW0980");
    }
}
