//! Files on other machines, fetched whole into the run's own folder before they are read: each is one consistent
//! version, and readers may look at it as often as they like.

mod http;
mod s3;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meshwork_control::port::data::FilesSpec;
use meshwork_core::egress::{Egress, Port};
use meshwork_core::mesh::S3Connection;
use meshwork_core::{Error, Result};
use object_store::{ObjectMeta, ObjectStore};
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

use super::file::SourceFile;
use super::{Identity, Meter, Secrets, Selection};
use crate::remote::{Patience, egress};

/// What sources of one run need beside their description.
#[derive(Clone, Debug)]
pub struct Access {
    pub domain: String,
    pub secrets: Secrets,
    pub spool: Arc<Spool>,
    pub patience: Patience,
}

impl Access {
    pub fn new(domain: &str, secrets: Secrets, scratch: &Path, bytes: u64) -> Self {
        let spool = Arc::new(Spool::new(scratch.join("fetched"), bytes));
        Self { domain: domain.to_owned(), secrets, spool, patience: Patience::default() }
    }

    /// For sources of this machine and databases: nothing is fetched.
    pub fn here(domain: &str, secrets: Secrets) -> Self {
        Self::new(domain, secrets, Path::new(""), 0)
    }

    pub fn secret(&self, reference: &str) -> Result<String> {
        self.secrets.resolve(&self.domain, reference)
    }

    /// The address of a database that may be connected to; one through a socket on this machine has none.
    pub async fn allow(&self, input: &str, host: &str, port: u16, list: &Egress) -> Result<Option<IpAddr>> {
        if host.starts_with('/') {
            return Ok(None);
        }
        let found = tokio::time::timeout(self.patience.connecting, egress::addresses(Port::Database, host, port, list));
        match found.await {
            Ok(Ok(found)) => Ok(found.first().map(std::net::SocketAddr::ip)),
            Ok(Err(error)) => Err(of_input(input, error)),
            Err(_) => {
                Err(Error::environment("MW0541", format!("input `{input}`: the host `{host}` is not found in time"))
                    .hint("check this machine's name service"))
            }
        }
    }

    /// The files of a source, or those of them that are named, fetched where they lie elsewhere.
    pub async fn files(
        &self,
        input: &str,
        files: &FilesSpec,
        only: &Selection,
        meter: &Meter,
    ) -> Result<Vec<SourceFile>> {
        let is_wanted = |name: &str| only.as_ref().is_none_or(|only| only.contains(name));
        // Outputs of one run see the same files, and a second attempt at a plan does not fetch them again.
        let found = match files {
            FilesSpec::Folder { folder, path } => {
                let (input, folder, path) = (input.to_owned(), folder.clone(), path.clone());
                let mut found = super::in_background(move || super::file::find(&input, &folder, &path)).await?;
                found.retain(|file| is_wanted(&file.name));
                return Ok(found);
            }
            FilesSpec::S3 { url, connection, egress } => {
                let mut fetched = self.spool.fetched.lock().await;
                s3::fetch(self, url, connection, egress, &is_wanted, &mut fetched, meter).await
            }
            FilesSpec::Http { url, connection, egress } => {
                let mut fetched = self.spool.fetched.lock().await;
                http::fetch(self, url, connection.as_ref(), egress, &mut fetched, meter).await.map(|file| vec![file])
            }
        };
        found.map_err(|error| of_input(input, error))
    }

    /// What their server says of the files of a source now. Nothing is fetched.
    pub async fn identities(&self, input: &str, files: &FilesSpec) -> Result<Vec<Identity>> {
        let found = match files {
            FilesSpec::Folder { .. } => return Ok(Vec::new()),
            FilesSpec::S3 { url, connection, egress } => s3::identities(self, url, connection, egress).await,
            FilesSpec::Http { url, connection, egress } => {
                http::identity(self, url, connection.as_ref(), egress).await.map(|file| vec![file])
            }
        };
        found.map_err(|error| of_input(input, error))
    }
}

/// The keys below an address of S3 that ends in `/`, without it: for `init`.
pub async fn listed(access: &Access, url: &str, connection: &S3Connection, egress: &Egress) -> Result<Vec<String>> {
    s3::names(access, url, connection, egress).await
}

/// The objects of a source in a bucket.
pub(crate) async fn objects(url: &str, store: &dyn ObjectStore) -> Result<Vec<ObjectMeta>> {
    let (_, key) = s3::parts(url)?;
    s3::find(store, url, key).await
}

/// Whether a folder of a bucket is a Delta table: for `init`.
pub async fn is_delta(access: &Access, url: &str, connection: &S3Connection, egress: &Egress) -> Result<bool> {
    s3::is_there(access, &format!("{}/_delta_log", url.trim_end_matches('/')), connection, egress).await
}

fn of_input(input: &str, error: Error) -> Error {
    Error { message: format!("input `{input}`: {}", error.message), ..error }
}

/// A folder of the run with room for so many bytes.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    limit: u64,
    used: AtomicU64,
    files: AtomicU64,
    fetched: Mutex<Fetched>,
}

/// What a run has of other machines.
#[derive(Debug, Default)]
struct Fetched {
    /// Objects of a source, by its address.
    listed: BTreeMap<String, Vec<ObjectMeta>>,
    /// By the name of the file.
    files: BTreeMap<String, SourceFile>,
}

impl Spool {
    fn new(folder: PathBuf, limit: u64) -> Self {
        Self { folder, limit, used: AtomicU64::new(0), files: AtomicU64::new(0), fetched: Mutex::default() }
    }

    async fn create(&self) -> Result<Spooled<'_>> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(number.to_string());
        let create = async {
            tokio::fs::create_dir_all(&self.folder).await?;
            tokio::fs::File::create(&path).await
        };
        let file = create.await.map_err(|error| unwritable(&error))?;
        Ok(Spooled { spool: self, path, file, len: 0 })
    }
}

fn unwritable(error: &std::io::Error) -> Error {
    crate::storage::fault::storage_error("fetching a source", error)
}

/// One file on its way.
struct Spooled<'s> {
    spool: &'s Spool,
    path: PathBuf,
    file: tokio::fs::File,
    len: u64,
}

impl Spooled<'_> {
    async fn write(&mut self, name: &str, bytes: &[u8], meter: &Meter) -> Result<()> {
        let len = bytes.len() as u64;
        if self.spool.used.fetch_add(len, Ordering::Relaxed) + len > self.spool.limit {
            let limit = self.spool.limit >> 20;
            return Err(Error::limit("MW0544", format!("`{name}`: what this run fetches is more than {limit} MiB"))
                .hint("raise `spill` of the run's `limits`, or read fewer files at once"));
        }
        self.file.write_all(bytes).await.map_err(|error| unwritable(&error))?;
        self.len += len;
        meter.add(0, len);
        Ok(())
    }

    /// From the start again.
    async fn restart(&mut self) -> Result<()> {
        self.spool.used.fetch_sub(self.len, Ordering::Relaxed);
        self.len = 0;
        let path = self.path.clone();
        self.file = tokio::fs::File::create(path).await.map_err(|error| unwritable(&error))?;
        Ok(())
    }

    async fn finish(mut self, name: &str) -> Result<SourceFile> {
        self.file.flush().await.map_err(|error| unwritable(&error))?;
        Ok(SourceFile::own(&self.path)?.called(name))
    }
}

#[cfg(test)]
mod tests;
