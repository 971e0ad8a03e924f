//! Vacuum: data files that no kept version refers to, what interrupted writes left behind, and the part of the log that
//! no kept version needs.
//!
//! The caller holds the product's lease, or its guard in the only process that runs it, and has recovered its runs, so no
//! staged file is waiting for a commit. `keep` names every version that somebody can still read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use futures::TryStreamExt;
use meshwork_control::port::data::{StoredFile, Vacuumed};
use meshwork_core::publication::TableLocation;
use meshwork_core::{Error, Result};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::Value;

use super::{WriterConfig, commit, position};
use crate::failpoint;
use crate::storage::checkpoint;
use crate::storage::durable::is_leftover;
use crate::storage::fault::storage_error;
use crate::storage::log::TableLog;
use crate::storage::uploads;

pub async fn vacuum(config: &WriterConfig, location: &TableLocation, keep: &[u64], dry_run: bool) -> Result<Vacuumed> {
    let log = TableLog::open(&config.stores, location, config.durable).await?;
    let files = data(&log, keep, dry_run).await?;
    failpoint::pass(config.fail_point.as_ref(), "after-vacuum").await?;
    Ok(Vacuumed { files, log: entries(&log, keep, dry_run).await? })
}

/// Removes a table that nobody needs. Without its log nobody opens it, whatever of its files is still there.
pub async fn remove_table(config: &WriterConfig, location: &TableLocation, dry_run: bool) -> Result<Vacuumed> {
    let log = TableLog::open(&config.stores, location, config.durable).await?;
    if let Some(version) = commit::foreign(config, location, &[]).await?.first()
        && let Some(found) = log.commit(*version).await?
    {
        let message = format!("version {version} of {} was not made by meshwork, but by {}", log.url(), found.author());
        return Err(Error::conflict("MW0630", message)
            .hint("the table stays as it is: find out who writes there, and remove it by hand when nobody needs it"));
    }
    let mut entries = Vec::new();
    // The newest first: what is left, if this is cut off, is a table as it was.
    for meta in log.entries().await?.into_iter().rev() {
        remove(&log, &meta.location, dry_run).await?;
        let name = meta.location.filename().unwrap_or_default();
        entries.push(StoredFile { path: format!("_delta_log/{name}"), bytes: meta.size });
    }
    failpoint::pass(config.fail_point.as_ref(), "after-log-removed").await?;
    let mut files = cut_off(&log, dry_run).await;
    files.extend(unreferred(&log, &BTreeSet::new(), dry_run).await?);
    if !dry_run {
        // Its versions begin again if it is ever built anew.
        config.snapshots.forget(log.url());
        config.logs.forget(log.url());
        remove_folders(&log)?;
    }
    Ok(Vacuumed { files, log: entries })
}

/// The table's own folders; those that others have put something into stay.
fn remove_folders(log: &TableLog) -> Result<()> {
    let Some(root) = log.folder()? else { return Ok(()) };
    let own = [root.join("_delta_log"), root.clone()];
    for folder in own.iter().map(PathBuf::as_path).chain(root.parent()) {
        let _ = std::fs::remove_dir(folder);
    }
    Ok(())
}

/// Removes data files and leftovers.
pub async fn data(log: &TableLog, keep: &[u64], dry_run: bool) -> Result<Vec<StoredFile>> {
    // First: an upload that is ended now cannot become a file that the list does not have.
    let mut removed = cut_off(log, dry_run).await;
    let referred = referred(log, keep).await?;
    removed.extend(unreferred(log, &referred, dry_run).await?);
    removed.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(removed)
}

async fn unreferred(log: &TableLog, referred: &BTreeSet<String>, dry_run: bool) -> Result<Vec<StoredFile>> {
    let mut removed = Vec::new();
    let prefix = format!("{}/", log.table());
    let listed: Vec<(Path, u64)> = log
        .store()
        .list(Some(log.table()))
        .map_ok(|meta| (meta.location, meta.size))
        .try_collect()
        .await
        .map_err(|error| fault(log, &error))?;
    for (location, bytes) in listed {
        let Some(name) = location.as_ref().strip_prefix(&prefix) else { continue };
        let in_log = name.starts_with("_delta_log/");
        if is_leftover(name) || (!in_log && name.ends_with(".parquet") && !referred.contains(name)) {
            remove(log, &location, dry_run).await?;
            removed.push(StoredFile { path: name.to_owned(), bytes });
        }
    }
    removed.extend(leftovers(log, dry_run)?);
    Ok(removed)
}

/// Uploads to a bucket that never ended. Not every store and not every key may list them; they cost room, and hide nothing.
async fn cut_off(log: &TableLog, dry_run: bool) -> Vec<StoredFile> {
    let Some(bucket) = log.bucket().filter(|_| !dry_run) else { return Vec::new() };
    let aborted = uploads::abort(bucket, log.table()).await.unwrap_or_else(|error| {
        tracing::warn!(url = log.url(), %error, "unfinished uploads could not be ended");
        Vec::new()
    });
    aborted.into_iter().map(|path| StoredFile { path, bytes: 0 }).collect()
}

fn fault(log: &TableLog, error: &object_store::Error) -> meshwork_core::Error {
    storage_error(&format!("vacuuming {}", log.url()), error)
}

async fn remove(log: &TableLog, location: &Path, dry_run: bool) -> Result<()> {
    if dry_run {
        return Ok(());
    }
    match log.store().delete(location).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(fault(log, &error)),
    }
}

/// Data files of every kept version, and of the newest one: dropping its files would break the table for whoever
/// opens it without us, and it is superseded by the next publication anyway.
async fn referred(log: &TableLog, keep: &[u64]) -> Result<BTreeSet<String>> {
    let Some(newest) = log.versions().await?.last().copied() else { return Ok(BTreeSet::new()) };
    let keep: BTreeSet<u64> = keep.iter().copied().filter(|kept| *kept <= newest).chain([newest]).collect();
    let first = keep.first().copied().unwrap_or(newest);
    // Each file with the version since which it is there.
    let mut since: BTreeMap<String, u64> =
        log.replay(first).await?.files.into_keys().map(|path| (path, first)).collect();
    let mut referred = BTreeSet::new();
    let mut commits = log.commits(first + 1..=newest);
    while let Some(commit) = commits.try_next().await? {
        let version = commit.version;
        for action in commit.actions {
            let path = |kind: &str| action.get(kind)?.get("path").and_then(Value::as_str);
            if let Some(path) = path("add") {
                since.entry(path.to_owned()).or_insert(version);
            }
            if let Some(path) = path("remove")
                && let Some(from) = since.remove(path)
                && keep.range(from..version).next().is_some()
            {
                referred.insert(path.to_owned());
            }
        }
    }
    referred.extend(since.into_keys());
    Ok(referred)
}

/// Temporary files, which object stores do not list.
fn leftovers(log: &TableLog, dry_run: bool) -> Result<Vec<StoredFile>> {
    let mut removed = Vec::new();
    let Some(root) = log.folder()? else { return Ok(removed) };
    for folder in [root.clone(), root.join("_delta_log")] {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if is_leftover(name) {
                let (path, bytes) = (entry.path(), entry.metadata().map_or(0, |meta| meta.len()));
                if dry_run || std::fs::remove_file(&path).is_ok() {
                    let path = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
                    removed.push(StoredFile { path, bytes });
                }
            }
        }
    }
    Ok(removed)
}

/// Removes entries of the log before the last checkpoint that the oldest kept version can be read from.
async fn entries(log: &TableLog, keep: &[u64], dry_run: bool) -> Result<Vec<StoredFile>> {
    let (Some(oldest), Some(current)) = (keep.iter().min(), keep.iter().max()) else { return Ok(Vec::new()) };
    if !dry_run {
        checkpoint::write_if_missing(log, *current).await;
    }
    let Some(from) = checkpoint::versions(log).await?.into_iter().rev().find(|at| at <= oldest) else {
        return Ok(Vec::new());
    };
    let first = position::reach(log, *current).await?.min(from);
    let mut removed = Vec::new();
    for meta in log.entries().await? {
        let Some(name) = meta.location.filename() else { continue };
        let version = |suffix: &str| name.strip_suffix(suffix).and_then(|stem| stem.parse::<u64>().ok());
        let goes = version(".json").is_some_and(|version| version < first)
            || version(".checkpoint.parquet").is_some_and(|version| version < from);
        if goes {
            remove(log, &meta.location, dry_run).await?;
            removed.push(StoredFile { path: format!("_delta_log/{name}"), bytes: meta.size });
        }
    }
    Ok(removed)
}
