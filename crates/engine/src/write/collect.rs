//! Collection: data files that no kept version refers to, and what interrupted writes left behind. What a run that failed
//! leaves is gone before the next one begins.

use meshwork_core::Result;
use meshwork_core::publication::TableLocation;

use super::{WriterConfig, vacuum};
use crate::storage::log::TableLog;

pub async fn collect(config: &WriterConfig, location: &TableLocation, keep: &[u64]) -> Result<Vec<String>> {
    let log = TableLog::open(&config.stores, location, config.durable).await?;
    let removed = vacuum::data(&log, keep, false).await?;
    Ok(removed.into_iter().map(|file| file.path).collect())
}
