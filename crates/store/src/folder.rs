//! `.meshwork/`: the state's folder, who holds it, and how to reach the server that does (D24).
//!
//! The lock is an advisory file lock, which the operating system ends with the process, however that dies. What
//! `server.json` says counts only while somebody holds the lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::fault;

/// The state's folder inside a mesh folder.
#[derive(Clone, Debug)]
pub struct StateFolder {
    path: PathBuf,
}

/// How to reach the server that holds the state; written by `serve` once it listens, mode 0600.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    pub pid: u32,
    /// Base URL of the HTTP API, such as `http://127.0.0.1:8080`.
    pub http: String,
    /// `host:port` of the Postgres port, where it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<String>,
    /// A bearer token that makes whoever can read this file (the folder's owner) its root; ends with the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    pub version: String,
    pub started_at: Timestamp,
}

/// What a process that wants the state gets.
#[derive(Debug)]
pub enum Opened {
    /// Nobody else has it: open [`crate::SqliteState`] and keep the lock as long.
    Exclusive(StateLock),
    /// A server has it: be its client.
    Served(ServerInfo),
}

/// Held by the one process that may open the state for writing. Ends when dropped.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
    folder: StateFolder,
}

impl StateFolder {
    pub fn of(mesh_folder: &Path) -> Self {
        Self { path: mesh_folder.join(".meshwork") }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn database(&self) -> PathBuf {
        self.path.join("state.db")
    }

    /// Creates the folder if need be and takes the lock, or finds the server that has it. A third case, another command
    /// that holds it, is `Kind::Conflict` (MW0407) naming its process.
    pub fn open(&self) -> Result<Opened> {
        match self.try_lock()? {
            Ok(lock) => Ok(Opened::Exclusive(lock)),
            Err(holder) => match self.server()? {
                Some(server) => Ok(Opened::Served(server)),
                None => Err(held(&self.path, holder)),
            },
        }
    }

    /// For `serve`: the lock or `Kind::Conflict` (MW0407), naming the process that has it.
    pub fn lock(&self) -> Result<StateLock> {
        self.try_lock()?.map_err(|holder| {
            let serving = self.server().ok().flatten().map(|server| server.pid);
            held(&self.path, serving.or(holder))
        })
    }

    fn try_lock(&self) -> Result<std::result::Result<StateLock, Option<u32>>> {
        let path = self.path.join("lock");
        let io = |error: std::io::Error| fault::io("MW0401", &path, &error);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(io)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io)?;
                let lock = StateLock { _file: file, folder: self.clone() };
                // Whoever wrote it is gone, or we would not hold the lock.
                lock.remove_server_info();
                Ok(Ok(lock))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.rewind().and_then(|()| file.read_to_string(&mut text)).map_err(io)?;
                Ok(Err(text.trim().parse().ok()))
            }
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    fn server(&self) -> Result<Option<ServerInfo>> {
        let path = self.path.join("server.json");
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                Error::environment("MW0418", format!("{} cannot be read: {error}", path.display()))
                    .hint("restart the server")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault::io("MW0418", &path, &error)),
        }
    }
}

impl StateLock {
    pub fn folder(&self) -> &StateFolder {
        &self.folder
    }

    /// Tells other commands where the server is. Replaces the file whole, so that nobody reads half of it or reads it with
    /// an older, looser mode.
    pub fn write_server_info(&self, info: &ServerInfo) -> Result<()> {
        let path = self.folder.path.join("server.json");
        let draft = self.folder.path.join("server.json.new");
        let io = |error: std::io::Error| fault::io("MW0401", &path, &error);
        let text = serde_json::to_vec_pretty(info).map_err(|error| Error::internal("MW0418", error.to_string()))?;
        match std::fs::remove_file(&draft) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft).map_err(io)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(io)?;
        std::fs::rename(&draft, &path).map_err(io)
    }

    fn remove_server_info(&self) {
        // A leftover does no harm while the lock is free, so failing to remove it is no error.
        let _ = std::fs::remove_file(self.folder.path.join("server.json"));
    }
}

impl Drop for StateLock {
    fn drop(&mut self) {
        self.remove_server_info();
    }
}

fn held(path: &Path, pid: Option<u32>) -> Error {
    let holder = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    Error::conflict("MW0407", format!("{} is held by {holder}", path.display()))
        .hint("wait for that command to end, or stop it")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn info() -> ServerInfo {
        ServerInfo {
            pid: 4711,
            http: "http://127.0.0.1:8080".to_owned(),
            postgres: None,
            token: Some("mw_x".to_owned()),
            version: "0.1.0".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_second_opener_is_told_of_the_server() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::of(dir.path());
        let lock = folder.lock().expect("free");
        lock.write_server_info(&info()).expect("written");
        assert!(matches!(folder.open(), Ok(Opened::Served(server)) if server == info()));
        let error = folder.lock().expect_err("held");
        assert_eq!((error.code.as_str(), error.kind), ("MW0407", meshwork_core::Kind::Conflict));
        assert!(error.message.contains("process 4711"), "{error}");
    }

    #[test]
    fn a_command_without_server_is_named_by_its_process() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::of(dir.path());
        let _lock = folder.lock().expect("free");
        let error = folder.open().expect_err("held");
        assert!(error.message.contains(&format!("process {}", std::process::id())), "{error}");
    }

    #[test]
    fn what_a_dead_server_left_does_not_count() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::of(dir.path());
        std::fs::create_dir(folder.path()).expect("created");
        std::fs::write(folder.path().join("server.json"), serde_json::to_vec(&info()).expect("json")).expect("written");
        assert!(matches!(folder.open(), Ok(Opened::Exclusive(_))));
    }

    #[test]
    fn only_the_owner_may_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::of(dir.path());
        let lock = folder.lock().expect("free");
        lock.write_server_info(&info()).expect("written");
        let mode = |path: PathBuf| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(folder.path().to_owned()), 0o700);
        assert_eq!(mode(folder.path().join("server.json")), 0o600);
        assert_eq!(mode(folder.path().join("lock")), 0o600);
    }
}
