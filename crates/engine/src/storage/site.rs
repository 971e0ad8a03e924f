//! Where DataFusion finds the files of a table: sessions know stores by a URL.

use std::path::Path as FsPath;
use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use meshwork_core::Result;
use object_store::ObjectStore;
use object_store::path::Path;

use super::bucket::Bucket;
use super::fault::storage_error;

#[derive(Clone, Debug)]
pub struct Site {
    pub store: ObjectStoreUrl,
    /// Of a bucket; every session knows the files of this machine.
    objects: Option<Arc<dyn ObjectStore>>,
    /// The table's, which every file of it lies below.
    pub folder: Path,
}

impl Site {
    pub fn local(folder: &FsPath) -> Result<Self> {
        let folder = Path::from_absolute_path(folder)
            .map_err(|error| storage_error(&format!("finding {}", folder.display()), &error))?;
        Ok(Self { store: ObjectStoreUrl::local_filesystem(), objects: None, folder })
    }

    pub fn of(bucket: &Bucket, folder: Path) -> Result<Self> {
        Ok(Self { store: bucket.site()?, objects: Some(Arc::clone(&bucket.objects)), folder })
    }

    /// The same files through this store: it may have been opened anew with another address or other credentials.
    pub fn is_through(&self, bucket: Option<&Bucket>) -> bool {
        match (&self.objects, bucket) {
            (Some(objects), Some(bucket)) => Arc::ptr_eq(objects, &bucket.objects),
            (None, None) => true,
            _ => false,
        }
    }

    /// Lets a session find it.
    pub fn introduce(&self, env: &RuntimeEnv) {
        if let Some(objects) = &self.objects {
            env.register_object_store(self.store.as_ref(), Arc::clone(objects));
        }
    }
}
