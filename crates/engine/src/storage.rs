//! Storage of published data: a durable local store and the commit log of one table in it.

pub mod cache;
pub mod checkpoint;
pub mod durable;
pub mod fault;
pub mod log;

pub use cache::LogCache;
pub use durable::DurableLocal;
pub use log::TableLog;

use meshwork_core::Result;
use meshwork_core::publication::TableLocation;

/// A file of a table, relative to its storage root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableFile {
    pub path: String,
    pub bytes: u64,
}

/// The data files that a version of a table consists of: what a copy of the table must hold.
pub async fn files_of(location: &TableLocation, version: u64) -> Result<Vec<TableFile>> {
    let state = TableLog::open(location, false)?.replay(version).await?;
    let file = |add: &log::DataFile| TableFile {
        path: format!("{}/{}", location.path, add.path),
        bytes: add.add.get("size").and_then(serde_json::Value::as_u64).unwrap_or(0),
    };
    Ok(state.files.values().map(file).collect())
}
