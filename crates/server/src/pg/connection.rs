//! One connection: who it is, its settings, the statement that it runs.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use meshwork_control::credential::Origin;
use meshwork_control::query::{Prepared, QuerySession};
use meshwork_core::principal::Subject;
use pgwire::api::cancel::CancelHandler;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::{PgWireServerHandlers, Type};
use pgwire::error::PgWireResult;
use pgwire::messages::response::TransactionStatus;
use pgwire::messages::startup::SecretKey;

use super::Services;
use super::cancel::{Registration, Registry, Running};
use super::error::{fatal, plain, to_pg};
use super::extended::Extended;
use super::setting::Settings;
use super::statement::Command;

pub struct Connection {
    pub services: Services,
    pub registry: Arc<Registry>,
    pub has_place: bool,
    pub running: Arc<Running>,
    peer: SocketAddr,
    user: OnceLock<String>,
    /// Set once, by the credential check; nothing a client sends can change it.
    subject: OnceLock<Subject>,
    registration: OnceLock<Registration>,
    settings: Mutex<Settings>,
}

impl Connection {
    pub fn user(&self) -> String {
        self.user.get().cloned().unwrap_or_default()
    }

    pub fn origin(&self) -> Origin {
        Origin { port: Some("postgres".into()), address: Some(self.peer.ip().to_string()) }
    }

    /// Keeps the name and the settings that came with the startup message: those of the allow-list, also inside
    /// `options=-c name=value`. A driver's other parameters are ignored, as none of them may have an effect.
    pub fn sign_in_as(&self, user: &str, parameters: &BTreeMap<String, String>) -> Result<(), String> {
        let _ = self.user.set(user.to_owned());
        let mut settings = self.settings();
        for (name, value) in parameters {
            if name.starts_with("meshwork.") {
                settings.set(name, Some(value))?;
            } else if name == "options" {
                for (name, value) in options(value) {
                    settings.set(&name, Some(&value))?;
                }
            } else if name == "application_name" {
                let _ = settings.set(name, Some(value));
            }
        }
        Ok(())
    }

    pub fn begin(&self, subject: Subject, pid: i32, key: &SecretKey) {
        let _ = self.subject.set(subject);
        let _ = self.registration.set(self.registry.register(pid, key, Arc::clone(&self.running)));
    }

    /// The session for one statement; an error that ends the connection before sign-in.
    pub fn session(&self) -> PgWireResult<QuerySession> {
        let Some(subject) = self.subject.get() else {
            return Err(fatal("28000", "sign in first"));
        };
        let settings = self.settings();
        Ok(QuerySession {
            actor: subject.clone(),
            subject: subject.clone(),
            purpose: settings.purpose.clone(),
            as_of: settings.as_of,
            port: "postgres",
            address: Some(self.peer.ip().to_string()),
        })
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans a statement as this session; cancelled with it.
    pub async fn prepare(&self, sql: &str) -> PgWireResult<Prepared> {
        let session = self.session()?;
        self.services.query.prepare(&session, sql).await.map_err(|error| to_pg(&error))
    }

    /// Answers a session command; `Query` is not one.
    pub fn answer(&self, command: &Command, status: TransactionStatus) -> PgWireResult<Response> {
        self.session()?;
        Ok(match command {
            Command::Query(_) => return Err(plain("XX000", "not a session command")),
            Command::Set { name, value } => {
                self.settings()
                    .set(name, value.as_deref())
                    .map_err(|why| plain(if why.starts_with("unrecognized") { "42704" } else { "22023" }, why))?;
                Response::Execution(Tag::new("SET"))
            }
            Command::Reset(Some(name)) => {
                self.settings().set(name, None).map_err(|why| plain("42704", why))?;
                Response::Execution(Tag::new("RESET"))
            }
            Command::Reset(None) => {
                self.settings().reset();
                Response::Execution(Tag::new("RESET"))
            }
            Command::Show(name) if name == "all" => {
                let rows = self.settings().all();
                table("SHOW", &["name", "setting"], rows.into_iter().map(|(name, value)| vec![name, value]))?
            }
            Command::Show(name) => {
                let value = self.settings().show(name);
                let unknown = || plain("42704", format!("unrecognized configuration parameter \"{name}\""));
                table("SHOW", &[name], [vec![value.ok_or_else(unknown)?]])?
            }
            Command::Begin => Response::TransactionStart(Tag::new("BEGIN")),
            Command::Commit if status == TransactionStatus::Error => Response::TransactionEnd(Tag::new("ROLLBACK")),
            Command::Commit => Response::TransactionEnd(Tag::new("COMMIT")),
            Command::Rollback => Response::TransactionEnd(Tag::new("ROLLBACK")),
            Command::DiscardAll => {
                self.settings().reset();
                Response::Execution(Tag::new("DISCARD ALL"))
            }
            Command::Deallocate(_) => Response::Execution(Tag::new("DEALLOCATE")),
            Command::Refused(why) => return Err(plain("0A000", *why)),
        })
    }
}

/// What a failed transaction block still answers.
pub fn blocked(command: &Command, status: TransactionStatus) -> PgWireResult<()> {
    if status == TransactionStatus::Error && !matches!(command, Command::Commit | Command::Rollback) {
        return Err(plain("25P02", "current transaction is aborted, commands ignored until end of transaction block"));
    }
    Ok(())
}

/// The columns of a session command's answer.
pub fn text_fields(names: &[&str]) -> Vec<FieldInfo> {
    names.iter().map(|name| FieldInfo::new((*name).to_owned(), None, None, Type::TEXT, FieldFormat::Text)).collect()
}

fn table(tag: &str, names: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> PgWireResult<Response> {
    let fields = Arc::new(text_fields(names));
    let mut encoder = DataRowEncoder::new(Arc::clone(&fields));
    let mut encoded = Vec::new();
    for row in rows {
        for value in row {
            encoder.encode_field(&value)?;
        }
        encoded.push(Ok(encoder.take_row()));
    }
    let mut response = QueryResponse::new(fields, futures::stream::iter(encoded));
    response.set_command_tag(tag);
    Ok(Response::Query(response))
}

/// `-c name=value` and `--name=value` of the startup packet's `options`.
fn options(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let pair = match word.strip_prefix("-c") {
            Some("") => words.next(),
            Some(pair) => Some(pair),
            None => word.strip_prefix("--"),
        };
        if let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) {
            found.insert(name.to_lowercase(), value.to_owned());
        }
    }
    found
}

/// The handlers that pgwire asks for; all are the one connection.
pub struct Handlers {
    connection: Arc<Connection>,
}

impl Handlers {
    pub fn new(services: Services, registry: Arc<Registry>, peer: SocketAddr, has_place: bool) -> Self {
        let connection = Connection {
            services,
            registry,
            has_place,
            running: Arc::default(),
            peer,
            user: OnceLock::new(),
            subject: OnceLock::new(),
            registration: OnceLock::new(),
            settings: Mutex::default(),
        };
        Self { connection: Arc::new(connection) }
    }
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl pgwire::api::query::SimpleQueryHandler> {
        Arc::clone(&self.connection)
    }
    fn extended_query_handler(&self) -> Arc<impl pgwire::api::query::ExtendedQueryHandler> {
        Arc::new(Extended(Arc::clone(&self.connection)))
    }
    fn startup_handler(&self) -> Arc<impl pgwire::api::auth::StartupHandler> {
        Arc::clone(&self.connection)
    }
    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::clone(&self.connection.registry)
    }
}
