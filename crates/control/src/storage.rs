//! Storage roots on S3: how the tables in them are reached, now and where they were before.

use std::sync::Arc;

use async_trait::async_trait;
use meshwork_core::error::Result;
use meshwork_core::mesh::Mesh;

use crate::mesh::MeshReader;
use crate::port::data::{StorageDirectory, StorageSpec};

/// Those of the applied mesh.
pub struct AppliedStorage(pub Arc<MeshReader>);

#[async_trait]
impl StorageDirectory for AppliedStorage {
    async fn storage(&self, url: &str) -> Result<Option<StorageSpec>> {
        Ok(self.0.applied().await?.mesh.as_ref().and_then(|mesh| storage_of(mesh, url)))
    }
}

/// A root of a mesh, or one that was.
pub fn storage_of(mesh: &Mesh, url: &str) -> Option<StorageSpec> {
    let mut roots = mesh.s3_roots().chain(mesh.former_storage.iter().cloned());
    roots.find(|root| root.storage.url == url).map(|root| StorageSpec { root, egress: mesh.egress.clone() })
}
