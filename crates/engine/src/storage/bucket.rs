//! A storage root on S3: a prefix of a bucket, with the credentials that its domain's secrets hold at the moment of each
//! request.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::execution::object_store::ObjectStoreUrl;
use meshwork_control::port::data::StorageSpec;
use meshwork_core::storage::S3Storage;
use meshwork_core::{Error, Result};
use object_store::aws::{AmazonS3, AwsCredential};
use object_store::client::CredentialProvider;
use object_store::limit::LimitStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::remote::Patience;
use crate::remote::s3::Address;
use crate::source::Secrets;

/// Requests at a time, of everybody in this process: what comes beyond them waits for a connection.
const REQUESTS: usize = 64;

#[derive(Debug)]
pub struct Bucket {
    /// `s3://bucket/prefix/`
    pub root: String,
    prefix: String,
    pub objects: Arc<dyn ObjectStore>,
    store: AmazonS3,
    pub(super) http: reqwest::Client,
    pub(super) address: url::Url,
    pub(super) region: String,
    pub(super) credentials: Arc<Referred>,
    pub patience: Patience,
    /// Which mesh it has been found to belong to.
    pub(super) owner: OnceCell<String>,
}

impl Bucket {
    pub async fn open(spec: &StorageSpec, secrets: &Secrets, patience: Patience) -> Result<Self> {
        Self::new(spec, secrets, patience, true).await
    }

    /// One that is only read: without credentials of its own it is asked as anybody.
    pub async fn open_source(spec: &StorageSpec, secrets: &Secrets, patience: Patience) -> Result<Self> {
        let connection = &spec.root.storage.connection;
        let signed = connection.access_key_id.is_some() || connection.secret_access_key.is_some();
        Self::new(spec, secrets, patience, signed).await
    }

    async fn new(spec: &StorageSpec, secrets: &Secrets, patience: Patience, signed: bool) -> Result<Self> {
        let S3Storage { url, connection } = &spec.root.storage;
        let (bucket, prefix) = S3Storage::split(url)
            .ok_or_else(|| Error::check("MW0620", format!("`{url}` is not a prefix of a bucket")))?;
        let namespace = &spec.root.namespace;
        let credentials =
            Arc::new(Referred { namespace: namespace.clone(), spec: spec.clone(), secrets: secrets.clone() });
        if signed {
            credentials.resolve()?;
        }
        let found = Address::find(bucket, connection, namespace, secrets, &spec.egress, patience).await?;
        let builder = match signed {
            true => found.builder.with_credentials(Arc::clone(&credentials) as _),
            false => found.builder.with_skip_signature(true),
        };
        let store = builder.build();
        let store = store.map_err(|error| crate::remote::s3::fault(&format!("the bucket `{bucket}`"), &error))?;
        Ok(Self {
            root: url.clone(),
            prefix: prefix.to_owned(),
            objects: Arc::new(LimitStore::new(store.clone(), REQUESTS)),
            store,
            http: found.http,
            address: found.url,
            region: found.region,
            credentials,
            patience,
            owner: OnceCell::new(),
        })
    }

    /// Where something of the root lies in the bucket.
    pub fn path(&self, relative: &str) -> Path {
        Path::from(format!("{}{relative}", self.prefix))
    }

    /// The name under which sessions know it: two roots of one bucket may have other credentials.
    pub fn site(&self) -> Result<ObjectStoreUrl> {
        let digest = Sha256::digest(self.root.as_bytes());
        let mark: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        ObjectStoreUrl::parse(format!("s3-{mark}://root"))
            .map_err(|error| Error::internal("MW0620", format!("a storage root has no name: {error}")))
    }

    /// Without a bound on requests, and with what only S3 has.
    pub fn store(&self) -> &AmazonS3 {
        &self.store
    }

    /// The bytes of an object; `None` where there is none.
    pub(super) async fn read(&self, path: &Path) -> object_store::Result<Option<bytes::Bytes>> {
        match self.objects.get(path).await {
            Ok(found) => found.bytes().await.map(Some),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Credentials by reference: a secret that is replaced counts from the next request on.
pub struct Referred {
    namespace: String,
    spec: StorageSpec,
    secrets: Secrets,
}

impl fmt::Debug for Referred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Referred({})", self.namespace)
    }
}

impl Referred {
    fn resolve(&self) -> Result<AwsCredential> {
        let connection = &self.spec.root.storage.connection;
        let secret = |reference: &String| self.secrets.resolve(&self.namespace, reference);
        let missing = || {
            Error::check("MW0620", format!("the storage `{}` names no credentials", self.spec.root.storage.url))
                .hint("add `access_key_id` and `secret_access_key` to `storage`, and apply")
        };
        Ok(AwsCredential {
            key_id: secret(connection.access_key_id.as_ref().ok_or_else(missing)?)?,
            secret_key: secret(connection.secret_access_key.as_ref().ok_or_else(missing)?)?,
            token: connection.session_token.as_ref().map(secret).transpose()?,
        })
    }
}

#[async_trait]
impl CredentialProvider for Referred {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |error| object_store::Error::Generic { store: "S3", source: Box::new(error) };
        self.resolve().map(Arc::new).map_err(failed)
    }
}
