//! Puts the parts together: state, engine, use cases, router. What an embedded command, `serve` and the child of a run
//! work with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meshwork_control::access::AccessService;
use meshwork_control::audit::AuditService;
use meshwork_control::backup::BackupService;
use meshwork_control::credential::CredentialService;
use meshwork_control::governance::Governance;
use meshwork_control::maintenance::{Jobs, MaintenanceService};
use meshwork_control::mesh::{MeshReader, MeshService};
use meshwork_control::platform::Ports;
use meshwork_control::port::audit::AuditSink;
use meshwork_control::port::data::{QueryLimits, RunEngine, RunLimits, RunSpec};
use meshwork_control::quarantine::QuarantineService;
use meshwork_control::query::{QueryService, QuerySettings};
use meshwork_control::run::{RunPorts, RunService, RunSettings};
use meshwork_control::storage::AppliedStorage;
use meshwork_core::audit::checkpoint::Signer;
use meshwork_core::effect::{Clock, Entropy};
use meshwork_core::error::{Error, Kind, Result};
use meshwork_core::id::Ids;
use meshwork_core::policy::MeshKey;
use meshwork_core::principal::Subject;
use meshwork_engine::failpoint::FailPoint;
use meshwork_engine::read::{Engine, EngineConfig};
use meshwork_engine::source::Secrets;
use meshwork_engine::storage::Stores;
use meshwork_engine::write::{Writer, WriterConfig};
use meshwork_server::http::{AppState, Session, router};
use meshwork_store::{Opened, SqliteState, StateFolder, StateLock};

use crate::backup::archive::FolderArchiver;
use crate::client::Client;
use crate::config::{ChildSettings, Config};
use crate::contexts::token_from;
use crate::effect::{Faulty, KillAt, SystemClock, SystemEntropy};
use crate::process::parent::{SelfProcess, remove_leftovers};

const LEASE: Duration = Duration::from_secs(15);
const HEARTBEAT: Duration = Duration::from_secs(4);
/// From one look after a product's tables to the next.
const MAINTENANCE: Duration = Duration::from_secs(3600);
/// Where the first administrator finds a one-time token, in the state's folder.
pub const ADMIN_TOKEN: &str = "admin-token";
const SECOND: Duration = Duration::from_secs(1);

/// The whole platform in this process, which holds the state's lock.
pub struct Platform {
    pub app: AppState,
    pub router: axum::Router,
    state: Arc<SqliteState>,
    pub lock: StateLock,
    /// Where tables lie.
    pub stores: Arc<Stores>,
}

/// How a command reaches the API.
pub enum Reach {
    Embedded(Box<Platform>),
    Server { url: String, token: Option<String> },
}

/// A server that was named; else the one that holds the folder's state; else the folder itself.
pub async fn reach(config: &Config) -> Result<Reach> {
    if let Some(url) = &config.server {
        let token = match (&config.token, &config.token_command) {
            (None, Some(command)) => Some(token_from(command)?),
            (token, _) => token.clone(),
        };
        return Ok(Reach::Server { url: url.clone(), token });
    }
    let opened = patiently(config.lock_patience, || StateFolder::of(&mesh_folder(config)?).open()).await?;
    Ok(match opened {
        Opened::Exclusive(lock) => Reach::Embedded(Box::new(open(config, lock).await?)),
        Opened::Served(server) => Reach::Server { url: server.http, token: config.token.clone().or(server.token) },
    })
}

/// Whoever has the lock may let go of it in a moment: most commands are short.
pub async fn patiently<T>(patience: Duration, attempt: impl Fn() -> Result<T>) -> Result<T> {
    const PAUSE: Duration = Duration::from_millis(25);
    let mut waited = Duration::ZERO;
    loop {
        match attempt() {
            Err(error) if error.kind == Kind::Conflict && waited < patience => {
                tokio::time::sleep(PAUSE).await;
                waited += PAUSE;
            }
            result => return result,
        }
    }
}

/// A folder without `mesh.yaml` has no state, and gets none by asking for it.
pub fn mesh_folder(config: &Config) -> Result<PathBuf> {
    if config.folder.join("mesh.yaml").is_file() || config.state_folder().is_dir() {
        return Ok(config.folder.clone());
    }
    Err(Error::usage("MW1021", format!("{} is not a mesh folder: it has no mesh.yaml", config.folder.display()))
        .hint("go into one, name it with `-C DIR`, or make one with `meshwork init DIR`"))
}

pub async fn client(config: &Config, reach: &Reach) -> Result<Client> {
    match reach {
        Reach::Embedded(platform) => platform.client(config).await,
        Reach::Server { url, token } => {
            Client::remote(url, token.clone(), config.act_as.clone(), config.authority.as_deref())
        }
    }
}

impl Platform {
    /// As the folder's owner: root of the embedded mode (D24), a member of every domain that is applied now.
    pub async fn client(&self, config: &Config) -> Result<Client> {
        let applied = self.app.mesh.applied().await?;
        let owner = Subject::owner(applied.mesh.as_ref());
        Ok(Client::in_process(self.router.clone(), Session::of(owner), config.act_as.clone()))
    }

    /// Waits for what was stopped to be put in order, then closes the state.
    pub async fn close(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.app.runs.idle()).await;
        let _ = tokio::time::timeout(SECOND, self.state.close()).await;
    }
}

/// Opens the state that `lock` guards, settles what dead processes left, and composes everything over it.
pub async fn open(config: &Config, lock: StateLock) -> Result<Platform> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let folder = lock.folder().path().to_owned();
    let temporary = folder.join("tmp");
    remove_leftovers(&temporary);
    std::fs::create_dir_all(&temporary).map_err(|error| {
        Error::environment("MW0401", format!("the folder {}: {error}", temporary.display()))
            .hint("queries and runs need room for temporary files beside the state")
    })?;
    let ids = Ids { clock: &*clock, entropy: &*entropy };
    let state = Arc::new(SqliteState::open(&lock.folder().database(), ids).await?);
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let reader = Arc::new(MeshReader::new(state.clone()));
    let secrets = Secrets { variables: crate::config::secrets(), folder: Some(folder.join("secrets")) };
    let stores = Arc::new(Stores::new(Arc::new(AppliedStorage(reader.clone())), secrets));
    let reading = EngineConfig { stores: stores.clone(), ..EngineConfig::new(temporary.join("spill"), cores) };
    let engine = Arc::new(Engine::new(reading)?);
    let writing = WriterConfig {
        // What is removed is to be known of no longer.
        snapshots: engine.snapshots().clone(),
        ..WriterConfig::over(stores.clone(), temporary.join("write"), clock.clone())
    };
    let writer = Arc::new(Writer::new(writing));
    let ports = Ports {
        mesh: Arc::new(Faulty { state: state.clone(), faults: KillAt(config.faults.own.clone()) }),
        runs: state.clone(),
        publications: state.clone(),
        agreements: state.clone(),
        credentials: state.clone(),
        audit: state.clone(),
        query: engine.clone(),
        run: writer,
        sql: engine,
        storage: stores.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
    };
    let mesh_key = mesh_key(&folder.join("mesh.key"), &*entropy)?;
    let applied = reader.applied().await?;
    let signer = Signer::new(&format!("meshwork/{}", applied.mesh_id), &mesh_key.audit_seed());
    let audit = Arc::new(AuditService::start(state.clone(), entropy.clone(), signer).await);
    let sink: Arc<dyn AuditSink> = audit.clone();
    let governance = Arc::new(Governance::new(state.clone(), state.clone()));
    let query = Arc::new(QueryService::new(
        ports.clone(),
        governance.clone(),
        sink.clone(),
        QuerySettings { mesh_key, limits: query_limits(), operator: config.limits.query },
    ));
    let process = SelfProcess {
        program: program()?,
        temporary: temporary.clone(),
        secrets: config.secrets.clone().unwrap_or_else(|| folder.join("secrets")),
        fault: config.faults.child.clone(),
        mesh: applied.mesh_id.clone(),
        stores: stores.clone(),
    };
    let settings = RunSettings {
        folder: config.folder.clone(),
        holder: format!("process {} on this machine", std::process::id()),
        limits: run_limits(cores),
        operator: config.limits.run,
        sample: config.sample,
        parallel: cores.clamp(1, 4),
        lease: LEASE,
        heartbeat: HEARTBEAT,
    };
    let run_ports = RunPorts {
        mesh: ports.mesh.clone(),
        runs: ports.runs.clone(),
        publications: ports.publications.clone(),
        tables: state.clone(),
        quarantine: state.clone(),
        engine: ports.run.clone(),
        process: Arc::new(process),
        reads: query.clone(),
        readers: query.readers().clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        faults: Arc::new(KillAt(config.faults.own.clone())),
    };
    let runs = Arc::new(RunService::new(run_ports, settings));
    runs.recover_all().await?;
    let maintenance = MaintenanceService {
        runs: (*runs).clone(),
        audit: sink.clone(),
        clock: clock.clone(),
        jobs: Arc::new(Jobs::new(MAINTENANCE, &*entropy)),
    };
    let backup = BackupService {
        state: state.clone(),
        mesh: state.clone(),
        publications: state.clone(),
        tables: state.clone(),
        archiver: Arc::new(FolderArchiver {
            folder: config.folder.clone(),
            state: folder,
            temporary: temporary.join("backup"),
            clock: clock.clone(),
            stores: stores.clone(),
        }),
        audit: sink.clone(),
        clock: clock.clone(),
        readers: query.readers().clone(),
    };
    let quarantine = QuarantineService {
        state: state.clone(),
        query: query.clone(),
        runs: runs.clone(),
        audit: sink.clone(),
        clock: clock.clone(),
    };
    let token_file = lock.folder().path().join(ADMIN_TOKEN);
    let credentials =
        CredentialService::new(state.clone(), reader.clone(), sink.clone(), clock.clone(), entropy.clone())
            .when_spent(move |token| remove_secret(&token_file, token));
    let app = AppState {
        backup,
        maintenance,
        quarantine,
        credentials: Arc::new(credentials),
        mesh: Arc::new(MeshService::new(ports.clone(), reader, sink.clone())),
        query,
        access: Arc::new(AccessService::new(ports.clone(), governance, sink)),
        runs,
        audit,
        ledger: state.clone(),
        publications: state.clone(),
        clock,
        entropy,
        metrics: Arc::default(),
    };
    Ok(Platform { router: router(app.clone()), app, state, lock, stores })
}

/// Both halves of the engine over a folder of their own, for what must not touch a mesh's state or storage.
pub struct Engines {
    pub reader: Engine,
    pub writer: Writer,
    pub run_limits: RunLimits,
    pub query_limits: QueryLimits,
}

pub fn engines_without_state(config: &Config, scratch: &Path) -> Result<Engines> {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut writer = WriterConfig::new(scratch.join("write"), Arc::new(SystemClock));
    // Nothing there is to outlive the command.
    writer.durable = false;
    writer.fail_point = config.faults.child.as_deref().map(FailPoint::parse).transpose()?;
    Ok(Engines {
        reader: Engine::new(EngineConfig::new(scratch.join("spill"), cores))?,
        writer: Writer::new(writer),
        run_limits: run_limits(cores).under(config.limits.run),
        query_limits: query_limits().under(config.limits.query),
    })
}

/// Removes the file, if that is what it holds.
fn remove_secret(file: &Path, secret: &str) {
    if std::fs::read_to_string(file).is_ok_and(|text| text.trim() == secret)
        && let Err(error) = std::fs::remove_file(file)
    {
        tracing::warn!(file = %file.display(), %error, "the file of a spent token could not be removed");
    }
}

fn program() -> Result<PathBuf> {
    std::env::current_exe()
        .map_err(|error| Error::environment("MW0664", format!("the path of this program is not known: {error}")))
}

fn query_limits() -> QueryLimits {
    QueryLimits {
        memory_bytes: 1 << 30,
        spill_bytes: 8 << 30,
        time: Duration::from_secs(300),
        rows: None,
        sql_bytes: 1 << 20,
    }
}

fn run_limits(cores: usize) -> RunLimits {
    let (memory_bytes, spill_bytes, time) = (2 << 30, 32 << 30, Duration::from_secs(4 * 3600));
    RunLimits { memory_bytes, spill_bytes, time, rows: None, cores }
}

/// The key of keyed masks: made once, and kept beside the state, readable by its owner only. Losing it changes every
/// masked value; it is not in the database, so that a copy of that does not reveal what was masked.
fn mesh_key(path: &Path, entropy: &dyn Entropy) -> Result<MeshKey> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let io = |error: std::io::Error| {
        Error::environment("MW1022", format!("the mesh key {}: {error}", path.display()))
            .hint("it belongs to this mesh's state; restore it from a backup if it was removed")
    };
    match std::fs::read(path) {
        Ok(bytes) => {
            let key: [u8; 32] = bytes.try_into().map_err(|_| io(std::io::ErrorKind::InvalidData.into()))?;
            Ok(MeshKey::new(key))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut key = [0; 32];
            entropy.fill(&mut key);
            let draft = path.with_extension("new");
            let _ = std::fs::remove_file(&draft);
            let mut file =
                std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft).map_err(io)?;
            file.write_all(&key).and_then(|()| file.sync_all()).map_err(io)?;
            std::fs::rename(&draft, path).map_err(io)?;
            Ok(MeshKey::new(key))
        }
        Err(error) => Err(io(error)),
    }
}

/// The engine of a run's child process: it writes, and knows nothing of the state.
pub fn child_engine(spec: &RunSpec, settings: ChildSettings) -> Result<Arc<dyn RunEngine>> {
    let scratch = settings.temporary.unwrap_or_else(|| PathBuf::from("."));
    let secrets = Secrets { variables: crate::config::secrets(), folder: settings.secrets };
    let stores = Arc::new(Stores::given(spec.storage.clone(), secrets.clone()));
    let mut config = WriterConfig::over(stores, scratch, Arc::new(SystemClock));
    config.secrets = secrets;
    config.fail_point = settings.fault.as_deref().map(FailPoint::parse).transpose()?;
    Ok(Arc::new(Writer::new(config)))
}

/// Diagnostics of the process, to standard error. Commands are quiet unless asked; `serve` says what it does.
pub fn log(config: &Config, default: &str) {
    let filter = match (&config.log_filter, config.verbose) {
        (Some(filter), _) => filter.clone(),
        (None, 0) => default.to_owned(),
        (None, 1) => "info,sqlx=warn".to_owned(),
        (None, _) => "debug,sqlx=info,h2=info,hyper=info".to_owned(),
    };
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_default();
    // A second call (the demo composes several times) changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(config.color)
        .try_init();
}
