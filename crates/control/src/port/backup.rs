//! Copies of a whole mesh.

use std::path::{Path, PathBuf};
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use meshwork_core::error::Result;
use meshwork_core::id::MeshId;
use meshwork_core::publication::Publication;

pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Implemented by the state.
#[async_trait]
pub trait StateCopy: Send + Sync {
    /// Writes a copy of the state as it is at one moment to `path`, which must not exist. Readers and the writer go on.
    async fn copy_to(&self, path: &Path) -> Result<()>;
}

/// What an archive is made of.
#[derive(Clone, Debug)]
pub struct ArchivePlan {
    pub mesh: MeshId,
    /// The copy of the state; removed by the archiver once it is packed.
    pub state: PathBuf,
    /// All that the copy of the state knows of, and perhaps some that are newer. Newest first.
    pub publications: Vec<Publication>,
}

/// Implemented by the binary, which knows where everything lies.
#[async_trait]
pub trait Archiver: Send + Sync {
    /// A new place for the copy of the state, readable by its owner only.
    fn place(&self) -> Result<PathBuf>;
    /// Packs state, keys, the mesh folder and every table that the publications need. An error ends the stream.
    async fn pack(&self, plan: ArchivePlan) -> Result<ByteStream>;
}
