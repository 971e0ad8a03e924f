//! Collection: data files that no kept version refers to, and what interrupted writes left behind.
//!
//! The caller holds the product's lease and has recovered its runs, so no staged file is waiting for a commit.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use meshwork_core::Result;
use meshwork_core::publication::TableLocation;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::WriterConfig;
use crate::storage::durable::is_leftover;
use crate::storage::fault::storage_error;
use crate::storage::log::{State, TableLog};

pub async fn collect(config: &WriterConfig, location: &TableLocation, keep: &[u64]) -> Result<Vec<String>> {
    let log = TableLog::open(location, config.durable)?;
    let fault = |error: object_store::Error| storage_error(&format!("collecting {}", location.url()), &error);
    let referred = referred(&log, keep).await?;
    let prefix = format!("{}/", log.table());
    let listed: Vec<Path> =
        log.store().list(Some(log.table())).map_ok(|meta| meta.location).try_collect().await.map_err(fault)?;
    let mut removed = Vec::new();
    for location in listed {
        let Some(name) = location.as_ref().strip_prefix(&prefix) else { continue };
        let in_log = name.starts_with("_delta_log/");
        if is_leftover(name) || (!in_log && name.ends_with(".parquet") && !referred.contains(name)) {
            match log.store().delete(&location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => removed.push(name.to_owned()),
                Err(error) => return Err(fault(error)),
            }
        }
    }
    removed.extend(leftovers(&log)?);
    removed.sort();
    Ok(removed)
}

/// Data files of every kept version, and of the newest one: dropping its files would break the table for whoever
/// opens it without us, and it is superseded by the next publication anyway.
async fn referred(log: &TableLog, keep: &[u64]) -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    let versions = log.versions().await?;
    let Some(newest) = versions.last().copied() else { return Ok(files) };
    let mut state = State::default();
    for version in 0..=newest {
        match log.commit(version).await? {
            Some(commit) => state.apply(commit),
            // `replay` names what is missing.
            None => state = log.replay(version).await?,
        }
        if version == newest || keep.contains(&version) {
            files.extend(state.files.keys().cloned());
        }
    }
    Ok(files)
}

/// Temporary files, which object stores do not list.
fn leftovers(log: &TableLog) -> Result<Vec<String>> {
    let root = log.store().file(log.table()).map_err(|error| storage_error("collecting", &error))?;
    let mut removed = Vec::new();
    for folder in [root.clone(), root.join("_delta_log")] {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if is_leftover(name) && std::fs::remove_file(entry.path()).is_ok() {
                let path = entry.path();
                removed.push(path.strip_prefix(&root).unwrap_or(&path).display().to_string());
            }
        }
    }
    Ok(removed)
}
