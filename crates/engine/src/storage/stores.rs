//! The storage roots that this process has open. Folders of this machine are opened as they come; a root on S3 is looked up
//! and opened once, with one pool of connections for everybody, and again when the mesh says another thing about it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use meshwork_control::port::data::{StorageDirectory, StorageProbe, StorageSpec};
use meshwork_core::id::MeshId;
use meshwork_core::publication::TableLocation;
use meshwork_core::{Error, Result};
use tokio::sync::Mutex;

use super::bucket::Bucket;
use super::owner;
use crate::remote::Patience;
use crate::source::Secrets;

pub struct Stores {
    directory: Arc<dyn StorageDirectory>,
    secrets: Secrets,
    patience: Patience,
    open: Mutex<Open>,
    /// Held by who probes: two in one process would take each other's object for a second writer's.
    probing: Mutex<()>,
}

/// By the address of the root, or by all that is known of a source.
type Open = HashMap<String, (StorageSpec, Arc<Bucket>)>;

/// One that is open, unless the mesh says another thing about it now.
fn known(open: &Open, name: &str, spec: &StorageSpec) -> Option<Arc<Bucket>> {
    open.get(name).filter(|(of, _)| of == spec).map(|(_, bucket)| Arc::clone(bucket))
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stores")
    }
}

impl Stores {
    pub fn new(directory: Arc<dyn StorageDirectory>, secrets: Secrets) -> Self {
        Self { directory, secrets, patience: Patience::default(), open: Mutex::default(), probing: Mutex::default() }
    }

    /// Those that were given, and no others.
    pub fn given(storage: Vec<StorageSpec>, secrets: Secrets) -> Self {
        Self::new(Arc::new(Given(storage)), secrets)
    }

    /// Folders of this machine only.
    pub fn local() -> Self {
        Self::given(Vec::new(), Secrets::default())
    }

    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// The bucket that a table lies in; `None` for a folder of this machine.
    pub async fn bucket_of(&self, location: &TableLocation) -> Result<Option<Arc<Bucket>>> {
        self.bucket(&location.root).await
    }

    pub async fn bucket(&self, root: &str) -> Result<Option<Arc<Bucket>>> {
        if !root.starts_with("s3://") {
            return Ok(None);
        }
        let spec = self.directory.storage(root).await?.ok_or_else(|| {
            Error::environment("MW0619", format!("the storage root {root} is not one that this mesh knows"))
                .hint("name it as `storage` in mesh.yaml or domain.yaml, with its credentials, and apply")
        })?;
        let mut open = self.open.lock().await;
        if let Some(bucket) = known(&open, root, &spec) {
            return Ok(Some(bucket));
        }
        let bucket = Arc::new(Bucket::open(&spec, &self.secrets, self.patience).await?);
        open.insert(root.to_owned(), (spec, Arc::clone(&bucket)));
        Ok(Some(bucket))
    }

    /// The bucket that tables of others lie in, as their domain may read it. It is no root: nothing is written there.
    pub async fn source(&self, spec: &StorageSpec) -> Result<Arc<Bucket>> {
        // Several domains may read one bucket, each with keys of its own.
        let name = serde_json::to_string(&spec.root).map_err(|error| Error::internal("MW0620", error.to_string()))?;
        let mut open = self.open.lock().await;
        if let Some(bucket) = known(&open, &name, spec) {
            return Ok(bucket);
        }
        let bucket = Arc::new(Bucket::open_source(spec, &self.secrets, self.patience).await?);
        open.insert(name, (spec.clone(), Arc::clone(&bucket)));
        Ok(bucket)
    }

    /// Makes a root on S3 the mesh's own before anything is written there; idempotent, and asked of the store once.
    ///
    /// Errors: MW0408 (another mesh's), MW0617 (a store that lets two writers create one object).
    pub async fn claim(&self, root: &str, mesh: &str) -> Result<()> {
        match self.bucket(root).await? {
            Some(bucket) => owner::claim(&bucket, mesh).await,
            None => Ok(()),
        }
    }

    /// Looks at a root on S3: it answers, takes writes, and creates an object only once. Says whose it is, if anybody's.
    pub async fn examine(&self, root: &str) -> Result<Option<String>> {
        match self.bucket(root).await? {
            Some(bucket) => owner::examine(&bucket).await,
            None => Ok(None),
        }
    }
}

#[async_trait]
impl StorageProbe for Stores {
    async fn probe(&self, storage: &StorageSpec, mesh: &MeshId) -> Result<()> {
        let bucket = Bucket::open(storage, &self.secrets, self.patience).await?;
        let _alone = self.probing.lock().await;
        owner::fit(&bucket, mesh.as_str()).await
    }
}

struct Given(Vec<StorageSpec>);

#[async_trait]
impl StorageDirectory for Given {
    async fn storage(&self, url: &str) -> Result<Option<StorageSpec>> {
        Ok(self.0.iter().find(|spec| spec.root.storage.url == url).cloned())
    }
}
