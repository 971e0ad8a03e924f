//! The commit log of one Delta table: `_delta_log/<version>.json`.
//!
//! We write it ourselves, one conditional create per commit, because a publication needs exactly that: the version that
//! was prepared, or an error. Nothing here merges with what somebody else wrote.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use deltalake_core::logstore::{StorageConfig, default_logstore};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use meshwork_core::publication::TableLocation;
use meshwork_core::{Error, Result};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde_json::Value;
use url::Url;

use super::bucket::Bucket;
use super::checkpoint;
use super::durable::DurableLocal;
use super::fault::storage_error;
use super::site::Site;
use super::stores::Stores;
use crate::remote::s3;

#[derive(Clone, Debug)]
pub struct TableLog {
    root: Root,
    /// The table's folder, in the store of the root.
    table: Path,
    url: String,
}

#[derive(Clone, Debug)]
enum Root {
    Local(Arc<DurableLocal>),
    S3(Arc<Bucket>),
}

/// Requests at a time for one table's log.
const AHEAD: usize = 16;

/// One commit, as far as publishing needs it.
#[derive(Clone, Debug)]
pub struct Commit {
    pub version: u64,
    pub actions: Vec<Value>,
}

impl Commit {
    fn info(&self) -> Option<&Value> {
        self.actions.iter().find_map(|action| action.get("commitInfo"))
    }

    /// The run of ours that made it; `None` for a commit by anybody else.
    pub fn run(&self) -> Option<&str> {
        self.info()?.get("meshwork")?.get("run")?.as_str()
    }

    /// What we said in it beside the Delta actions.
    pub fn mark(&self) -> Option<&Value> {
        self.info()?.get("meshwork")
    }

    /// Who says to have made it, for messages.
    pub fn author(&self) -> String {
        let field = |name: &str| self.info().and_then(|info| info.get(name)).and_then(Value::as_str).map(str::to_owned);
        let engine = field("engineInfo").unwrap_or_else(|| "an unnamed writer".to_owned());
        match field("operation") {
            Some(operation) => format!("{operation} by {engine}"),
            None => engine,
        }
    }
}

/// A data file of a version: what a commit that replaces it has to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFile {
    pub path: String,
    pub add: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Written,
    Taken,
}

impl TableLog {
    pub async fn open(stores: &Stores, location: &TableLocation, flush: bool) -> Result<Self> {
        let url = location.url();
        if let Some(bucket) = stores.bucket_of(location).await? {
            let table = bucket.path(&location.path);
            return Ok(Self { root: Root::S3(bucket), table, url });
        }
        let root = local_root(location)?;
        let store = DurableLocal::open(&root, flush)
            .map_err(|error| storage_error(&format!("opening the storage root {}", root.display()), &error))?;
        Ok(Self { root: Root::Local(Arc::new(store)), table: Path::from(location.path.as_str()), url })
    }

    /// The table's own folder as a store.
    pub fn table_store(&self) -> Arc<dyn ObjectStore> {
        let store: Arc<dyn ObjectStore> = match &self.root {
            Root::Local(store) => Arc::clone(store) as _,
            Root::S3(bucket) => Arc::clone(&bucket.objects),
        };
        Arc::new(PrefixStore::new(store, self.table.clone()))
    }

    pub fn store(&self) -> &dyn ObjectStore {
        match &self.root {
            Root::Local(store) => store.as_ref(),
            Root::S3(bucket) => bucket.objects.as_ref(),
        }
    }

    /// The folder of this machine that the table is; `None` for one in a bucket.
    pub fn folder(&self) -> Result<Option<PathBuf>> {
        match &self.root {
            Root::Local(_) => self.data_file("").map(Some),
            Root::S3(_) => Ok(None),
        }
    }

    pub fn bucket(&self) -> Option<&Bucket> {
        match &self.root {
            Root::Local(_) => None,
            Root::S3(bucket) => Some(bucket),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Flushes a file that was not written through this store, and the name of it. What a bucket has answered for is kept.
    pub async fn settle(&self, location: &Path) -> Result<()> {
        let Root::Local(store) = &self.root else { return Ok(()) };
        store.flush(location).await.map_err(|error| self.fault("flushing a file of", &error))
    }

    pub fn table(&self) -> &Path {
        &self.table
    }

    pub(crate) fn data_file(&self, name: &str) -> Result<PathBuf> {
        let Root::Local(store) = &self.root else {
            return Err(Error::internal("MW0620", format!("{} is no folder of this machine", self.url)));
        };
        let path = Path::from(format!("{}/{name}", self.table));
        store.file(&path).map_err(|error| self.fault("finding a data file of", &error))
    }

    /// Where sessions find the table's files.
    pub fn site(&self) -> Result<Site> {
        match &self.root {
            Root::Local(_) => Site::local(&self.data_file("")?),
            Root::S3(bucket) => Site::of(bucket, self.table.clone()),
        }
    }

    /// Bytes of a data file; `None` where there is none.
    pub async fn size_of(&self, name: &str) -> Result<Option<u64>> {
        match &self.root {
            Root::Local(_) => Ok(std::fs::metadata(self.data_file(name)?).ok().map(|meta| meta.len())),
            Root::S3(bucket) => match bucket.objects.head(&Path::from(format!("{}/{name}", self.table))).await {
                Ok(found) => Ok(Some(found.size)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(self.fault("looking for a data file of", &error)),
            },
        }
    }

    /// Everything below the table's folder with its size.
    pub async fn sizes(&self) -> Result<BTreeMap<String, u64>> {
        let prefix = format!("{}/", self.table);
        let name = |meta: object_store::ObjectMeta| {
            (meta.location.as_ref().strip_prefix(&prefix).unwrap_or_default().to_owned(), meta.size)
        };
        let listed = self.store().list(Some(&self.table)).map_ok(name).try_collect().await;
        listed.map_err(|error| self.fault("listing", &error))
    }

    /// Removes a data file that nothing refers to. One that cannot be removed now the collector will find.
    pub async fn discard(&self, name: &str) {
        match &self.root {
            Root::Local(_) => {
                let _ = self.data_file(name).map(std::fs::remove_file);
            }
            Root::S3(bucket) => {
                let _ = bucket.objects.delete(&Path::from(format!("{}/{name}", self.table))).await;
            }
        }
    }

    /// A version of the table as delta-rs opens it.
    pub async fn delta_table(&self, version: u64) -> Result<DeltaTable, DeltaTableError> {
        let url = Url::parse(&format!("{}/", self.url))
            .map_err(|_| DeltaTableError::InvalidTableLocation(self.url.clone()))?;
        match &self.root {
            Root::Local(_) => DeltaTableBuilder::from_url(url)?.with_version(version).load().await,
            Root::S3(bucket) => {
                let root = Arc::clone(&bucket.objects);
                let mut table =
                    DeltaTable::new(default_logstore(self.table_store(), root, &url, &StorageConfig::default()));
                table.load_version(version).await?;
                Ok(table)
            }
        }
    }

    fn entry(&self, version: u64) -> Path {
        self.table.clone().join("_delta_log").join(format!("{version:020}.json"))
    }

    pub fn fault(&self, what: &str, error: &(dyn std::error::Error + 'static)) -> Error {
        storage_error(&format!("{what} the table {}", self.url), error)
    }

    /// The versions after one that is there, as far as they go on without a gap. Cheaper than listing all of them.
    pub async fn after(&self, version: u64) -> Result<Vec<Commit>> {
        self.from(version + 1).await
    }

    /// The versions from one on, as far as they go on without a gap.
    pub async fn from(&self, version: u64) -> Result<Vec<Commit>> {
        let mut found = Vec::new();
        while let Some(commit) = self.commit(version + found.len() as u64).await? {
            found.push(commit);
        }
        Ok(found)
    }

    /// All files of the log, by name.
    pub async fn entries(&self) -> Result<Vec<ObjectMeta>> {
        let folder = self.table.clone().join("_delta_log");
        let mut listed = match self.store().list_with_delimiter(Some(&folder)).await {
            Ok(listed) => listed.objects,
            Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(self.fault("listing the log of", &error)),
        };
        listed.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        Ok(listed)
    }

    /// The names of all files of the log.
    pub async fn names(&self) -> Result<Vec<String>> {
        let entries = self.entries().await?;
        Ok(entries.iter().filter_map(|entry| entry.location.filename().map(str::to_owned)).collect())
    }

    /// All versions in the log, ascending.
    pub async fn versions(&self) -> Result<Vec<u64>> {
        let names = self.names().await?;
        let stems = names.iter().filter_map(|name| name.strip_suffix(".json"));
        Ok(stems
            .filter(|stem| stem.len() == 20 && stem.bytes().all(|b| b.is_ascii_digit()))
            .filter_map(|stem| stem.parse().ok())
            .collect())
    }

    pub async fn commit(&self, version: u64) -> Result<Option<Commit>> {
        let entry = self.entry(version);
        let bytes = match self.store().get(&entry).await {
            Ok(found) => found.bytes().await.map_err(|error| self.fault("reading the log of", &error))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.fault("reading the log of", &error)),
        };
        let actions = serde_json::Deserializer::from_slice(&bytes)
            .into_iter::<Value>()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| self.broken(&format!("commit {version} is not JSON lines")))?;
        Ok(Some(Commit { version, actions }))
    }

    fn broken(&self, why: &str) -> Error {
        Error::environment("MW0623", format!("the commit log of {} cannot be used: {why}", self.url))
            .hint("restore the `_delta_log` folder from a backup; publications keep being served as long as their files are there")
    }

    /// Creates the entry of a version. `Taken` when it exists, whoever wrote it: that may have been this very request,
    /// repeated because its answer was lost.
    pub async fn put(&self, version: u64, bytes: Bytes) -> Result<Put> {
        let entry = self.entry(version);
        let mut pause = self.bucket().map(|bucket| bucket.patience.pause).unwrap_or_default();
        let mut attempts = self.bucket().map_or(1, |bucket| bucket.patience.attempts);
        loop {
            let options = PutOptions::from(PutMode::Create);
            let error = match self.store().put_opts(&entry, bytes.clone().into(), options).await {
                Ok(_) => return Ok(Put::Written),
                Err(object_store::Error::AlreadyExists { .. }) if self.bucket().is_none() => return Ok(Put::Taken),
                Err(error) => error,
            };
            attempts -= 1;
            // A store may refuse two writers at once (409), or take an entry and never say so.
            match self.store().head(&entry).await {
                Ok(_) if self.bucket().is_some() => return Ok(Put::Taken),
                _ if attempts == 0 || s3::puts_off(&error) => return Err(self.fault("committing to", &error)),
                _ => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
    }

    /// Makes sure that an entry that was found, perhaps of an attempt that died before it could flush, is durable.
    pub async fn flush(&self, version: u64) -> Result<()> {
        let Root::Local(store) = &self.root else { return Ok(()) };
        store.flush_folder_of(&self.entry(version)).await.map_err(|error| self.fault("flushing the log of", &error))
    }

    /// The data files of a version, and the metadata action in force, from replaying the log up to it.
    pub async fn replay(&self, version: u64) -> Result<State> {
        let (mut state, first) = match checkpoint::before(self, version).await {
            Some((at, state)) => (state, at + 1),
            None => (State::default(), 0),
        };
        let mut commits = self.commits(first..=version);
        while let Some(commit) = commits.try_next().await? {
            state.apply(commit);
        }
        drop(commits);
        Ok(state)
    }

    /// A commit that must be there.
    pub async fn present(&self, version: u64) -> Result<Commit> {
        self.commit(version).await?.ok_or_else(|| self.broken(&format!("commit {version} is missing")))
    }

    /// Commits that must be there, in order. Of a bucket several are asked for at a time.
    pub fn commits(&self, versions: std::ops::RangeInclusive<u64>) -> BoxStream<'_, Result<Commit>> {
        let ahead = if self.bucket().is_some() { AHEAD } else { 1 };
        futures::stream::iter(versions).map(|at| self.present(at)).buffered(ahead).boxed()
    }
}

/// A table at some version.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub files: BTreeMap<String, DataFile>,
    pub metadata: Option<Value>,
    pub protocol: Option<Value>,
}

impl State {
    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        const FILE: usize = 2 << 10;
        FILE * (self.files.len() + 1)
    }

    /// Whether its files say all that its rows are: no partition columns, no deletion vectors, no feature beyond ours.
    pub fn is_plain(&self) -> bool {
        let list = |value: &Option<Value>, key: &str| -> Vec<String> {
            let values = value.as_ref().and_then(|value| value.get(key)).and_then(Value::as_array);
            values.into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect()
        };
        self.metadata.is_some()
            && list(&self.metadata, "partitionColumns").is_empty()
            && list(&self.protocol, "readerFeatures").iter().all(|feature| feature == "timestampNtz")
            && self.adds().all(|add| add.get("deletionVector").is_none_or(Value::is_null))
    }

    /// The `add` actions of its files.
    pub fn adds(&self) -> impl Iterator<Item = &Value> {
        self.files.values().map(|file| &file.add)
    }

    pub fn apply(&mut self, commit: Commit) {
        for action in commit.actions {
            let Value::Object(action) = action else { continue };
            for (kind, body) in action {
                let path = || body.get("path").and_then(Value::as_str).map(str::to_owned);
                match kind.as_str() {
                    "add" => {
                        if let Some(path) = path() {
                            self.files.insert(path.clone(), DataFile { path, add: body });
                        }
                    }
                    "remove" => {
                        if let Some(path) = path() {
                            self.files.remove(&path);
                        }
                    }
                    "metaData" => self.metadata = Some(body),
                    "protocol" => self.protocol = Some(body),
                    _ => {}
                }
            }
        }
    }
}

/// The folder of a storage root on this machine.
pub fn local_root(location: &TableLocation) -> Result<PathBuf> {
    let unsupported = || {
        let scheme = location.root.split(':').next().unwrap_or_default();
        Error::usage("MW0620", format!("storage of type `{scheme}` is not available yet"))
            .hint("use a folder or `s3://bucket/prefix` as `storage` in mesh.yaml or domain.yaml")
    };
    let url = Url::parse(&location.root).map_err(|_| unsupported())?;
    if url.scheme() != "file" {
        return Err(unsupported());
    }
    url.to_file_path().map_err(|()| unsupported())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_roots() {
        let at = |root: &str| local_root(&TableLocation { root: root.into(), path: "a/v1".into() });
        assert_eq!(at("file:///data/a%20b/").expect("local"), PathBuf::from("/data/a b/"));
        assert_eq!(at("gs://bucket/").expect_err("remote").code, "MW0620");
    }
}
