//! One connection: who it is, its settings, the statement that it runs.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::datatypes::DataType;
use arrow_pg::datatypes::arrow_schema_to_pg_fields;
use futures::StreamExt;
use meshwork_control::credential::Origin;
use meshwork_control::query::{Answer, Prepared, QuerySession};
use meshwork_core::principal::Subject;
use pgwire::api::portal::Format;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::{ClientInfo, Type};
use pgwire::error::PgWireResult;
use pgwire::messages::response::TransactionStatus;
use pgwire::messages::startup::SecretKey;

use super::Services;
use super::cancel::{Registration, Registry, Running};
use super::cursor::{Count, Cursor, Cursors};
use super::error::{fatal, plain, to_pg};
use super::rows::rows;
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
    pub cursors: Cursors,
    /// Of the transaction under way; they roll nothing back, as nothing was written.
    savepoints: Mutex<Vec<String>>,
}

impl Connection {
    pub fn new(services: Services, registry: Arc<Registry>, peer: SocketAddr, has_place: bool) -> Self {
        Self {
            services,
            registry,
            has_place,
            running: Arc::default(),
            peer,
            user: OnceLock::new(),
            subject: OnceLock::new(),
            registration: OnceLock::new(),
            settings: Mutex::default(),
            cursors: Cursors::default(),
            savepoints: Mutex::default(),
        }
    }

    /// Whether nobody can listen in on it without being on this machine.
    pub fn is_local(&self) -> bool {
        self.peer.ip().to_canonical().is_loopback()
    }

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
    pub async fn prepare(&self, sql: &str, types: Vec<Option<DataType>>) -> PgWireResult<Prepared> {
        let session = self.session()?;
        self.services.query.prepare_typed(&session, sql, types).await.map_err(|error| to_pg(&error))
    }

    /// What no command of a transaction survives.
    fn transaction_ends(&self) {
        self.cursors.end_of_transaction();
        self.savepoints().clear();
    }

    fn savepoints(&self) -> MutexGuard<'_, Vec<String>> {
        self.savepoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A rollback to a savepoint leads out of a failed transaction. pgwire takes the status from before a command, so that
    /// it has to be said before.
    pub fn before<C: ClientInfo>(&self, client: &mut C, command: &Command) {
        if let Command::RollbackTo(name) = command
            && client.transaction_status() == TransactionStatus::Error
            && self.savepoint(name).is_ok()
        {
            client.set_transaction_status(TransactionStatus::Transaction);
        }
    }

    fn savepoint(&self, name: &str) -> PgWireResult<usize> {
        let unknown = || plain("3B001", format!("savepoint \"{name}\" does not exist"));
        self.savepoints().iter().rposition(|known| known == name).ok_or_else(unknown)
    }

    /// Answers a session command; `Query` is not one.
    pub fn answer(&self, command: &Command, status: TransactionStatus) -> PgWireResult<Response> {
        self.session()?;
        Ok(match command {
            Command::Query(_) | Command::Declare { .. } | Command::Fetch { .. } => {
                return Err(plain("XX000", "not a session command"));
            }
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
            Command::Commit | Command::Rollback => {
                self.transaction_ends();
                let committed = *command == Command::Commit && status != TransactionStatus::Error;
                Response::TransactionEnd(Tag::new(if committed { "COMMIT" } else { "ROLLBACK" }))
            }
            Command::Savepoint(_) | Command::Release(_) | Command::RollbackTo(_)
                if status == TransactionStatus::Idle =>
            {
                return Err(plain("25P01", "savepoints can only be used in transaction blocks"));
            }
            Command::Savepoint(name) => {
                self.savepoints().push(name.clone());
                Response::Execution(Tag::new("SAVEPOINT"))
            }
            Command::Release(name) => {
                let at = self.savepoint(name)?;
                self.savepoints().truncate(at);
                Response::Execution(Tag::new("RELEASE"))
            }
            Command::RollbackTo(name) => {
                let at = self.savepoint(name)?;
                self.savepoints().truncate(at + 1);
                // In the transaction again, also after an error.
                Response::TransactionStart(Tag::new("ROLLBACK"))
            }
            Command::Unlisten => Response::Execution(Tag::new("UNLISTEN")),
            Command::Close(name) => {
                self.cursors.close(name.as_deref())?;
                Response::Execution(Tag::new(if name.is_some() { "CLOSE CURSOR" } else { "CLOSE CURSOR ALL" }))
            }
            Command::DiscardAll => {
                self.settings().reset();
                self.cursors.close(None)?;
                Response::Execution(Tag::new("DISCARD ALL"))
            }
            Command::Deallocate(_) => Response::Execution(Tag::new("DEALLOCATE")),
            Command::Refused(why) => return Err(plain("0A000", *why)),
        })
    }
}

/// What a failed transaction block still answers.
pub fn blocked(command: &Command, status: TransactionStatus) -> PgWireResult<()> {
    let ends = matches!(command, Command::Commit | Command::Rollback | Command::RollbackTo(_));
    if status == TransactionStatus::Error && !ends {
        return Err(plain("25P02", "current transaction is aborted, commands ignored until end of transaction block"));
    }
    Ok(())
}

impl Connection {
    /// Opens a cursor over an answer.
    pub fn declare(&self, command: &Command, prepared: Arc<Prepared>, answer: Answer) -> PgWireResult<Response> {
        let Command::Declare { cursor, hold, .. } = command else {
            return Err(plain("XX000", "not a cursor"));
        };
        self.cursors.declare(cursor, Cursor::new(prepared, answer, *hold))?;
        Ok(Response::Execution(Tag::new("DECLARE CURSOR")))
    }

    /// A cursor without WITH HOLD lives in a transaction.
    pub fn may_declare(command: &Command, status: TransactionStatus) -> PgWireResult<()> {
        match command {
            Command::Declare { hold: false, .. } if status == TransactionStatus::Idle => {
                Err(plain("25P01", "DECLARE CURSOR can only be used in transaction blocks"))
            }
            _ => Ok(()),
        }
    }

    /// The next rows of a cursor: released under a decision that may have changed since (D17).
    pub async fn fetch(&self, name: &str, count: Count, format: &Format) -> PgWireResult<Response> {
        let cursor = self.cursors.find(name)?;
        self.services.query.recheck(&cursor.prepared).await.map_err(|error| to_pg(&error))?;
        let cancelled = self.running.start();
        let batches = cursor.fetch(count, &cancelled).await?;
        let fields = Arc::new(arrow_schema_to_pg_fields(&cursor.schema, format, None)?);
        let stream = futures::stream::iter(batches.into_iter().map(Ok)).boxed();
        let mut response = QueryResponse::new(Arc::clone(&fields), rows(stream, fields, cancelled));
        response.set_command_tag("FETCH");
        Ok(Response::Query(response))
    }
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
