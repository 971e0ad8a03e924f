//! Storage roots on S3: how the tables in them are reached, now and where they were before.

use std::sync::Arc;

use async_trait::async_trait;
use meshwork_core::error::{Error, Result};
use meshwork_core::mesh::Mesh;
use meshwork_core::storage::StorageRoot;

use crate::mesh::MeshReader;
use crate::port::data::{StorageDirectory, StorageProbe, StorageSpec};
use crate::port::state::Applied;

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

/// Asks the stores of roots that `next` adds, or reaches otherwise than the applied mesh does. Connects with secrets to
/// wherever `next` says: only for a mesh whose storage the caller may decide on.
pub(crate) async fn probe_changed(probe: &dyn StorageProbe, applied: &Applied, next: &Mesh) -> Result<()> {
    let known: Vec<StorageRoot> = applied.mesh.iter().flat_map(Mesh::s3_roots).collect();
    for root in next.s3_roots().filter(|root| !known.contains(root)) {
        let place = next.storage_place(&root.namespace).cloned();
        let spec = StorageSpec { root, egress: next.egress.clone() };
        let refused = |error: Error| Error { place, ..error }.hint("nothing was applied");
        probe.probe(&spec, &applied.mesh_id).await.map_err(refused)?;
    }
    Ok(())
}
