//! Storage of published data: roots in folders of this machine and in buckets, and the commit log of one table in them.

pub mod bucket;
pub mod cache;
pub mod checkpoint;
pub mod durable;
pub mod fault;
pub mod log;
mod owner;
pub mod site;
pub mod stores;
pub mod uploads;

pub use cache::LogCache;
pub use durable::DurableLocal;
pub use log::TableLog;
pub use stores::Stores;

use meshwork_core::Result;
use meshwork_core::publication::TableLocation;

/// A file of a table, relative to its storage root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableFile {
    pub path: String,
    pub bytes: u64,
}

/// The data files that a version of a table consists of: what a copy of the table must hold.
pub async fn files_of(stores: &Stores, location: &TableLocation, version: u64) -> Result<Vec<TableFile>> {
    let state = TableLog::open(stores, location, false).await?.replay(version).await?;
    let file = |add: &log::DataFile| TableFile {
        path: format!("{}/{}", location.path, add.path),
        bytes: add.add.get("size").and_then(serde_json::Value::as_u64).unwrap_or(0),
    };
    Ok(state.files.values().map(file).collect())
}

/// A data file of a version that is not there as it was written, if there is one.
pub async fn missing_file(stores: &Stores, location: &TableLocation, version: u64) -> Result<Option<TableFile>> {
    let log = TableLog::open(stores, location, false).await?;
    let there = log.sizes().await?;
    let files = files_of(stores, location, version).await?;
    let folder = format!("{}/", location.path);
    Ok(files.into_iter().find(|file| {
        let name = file.path.strip_prefix(&folder).unwrap_or(&file.path);
        there.get(name) != Some(&file.bytes)
    }))
}
