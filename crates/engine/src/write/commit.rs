//! Commits: exactly the staged version, or an error (D4, D9).

use meshwork_core::id::RunId;
use meshwork_core::publication::TableLocation;
use meshwork_core::run::OutputReport;
use meshwork_core::{Error, Result};

use super::WriterConfig;
use super::actions::Staged;
use crate::failpoint;
use crate::storage::checkpoint;
use crate::storage::log::{Commit, Put, TableLog};

/// Commits every staged output, in order. An output that this run has committed before keeps its version.
pub async fn commit(config: &WriterConfig, run: &RunId, outputs: &[OutputReport]) -> Result<Vec<u64>> {
    let point = config.fail_point.as_ref();
    failpoint::pass(point, "before-commit").await?;
    let mut versions = Vec::with_capacity(outputs.len());
    for (at, output) in outputs.iter().enumerate() {
        versions.push(commit_output(config, run, output).await?);
        failpoint::pass(point, &format!("after-commit-of-output-{}", at + 1)).await?;
    }
    failpoint::pass(point, "after-commit").await?;
    Ok(versions)
}

async fn commit_output(config: &WriterConfig, run: &RunId, output: &OutputReport) -> Result<u64> {
    let staged = staged(output)?;
    if staged.is_unchanged() {
        return Ok(staged.version);
    }
    let log = TableLog::open(&output.location, config.durable)?;
    if let Some(found) = log.commit(staged.version).await? {
        return taken(run, output, &log, &found).await;
    }
    for (path, size) in staged.added() {
        let whole = std::fs::metadata(log.data_file(path)?).is_ok_and(|meta| meta.len() == size);
        if !whole {
            return Err(Error::environment(
                "MW0632",
                format!("output `{}`: a staged data file is missing", output.name),
            )
            .hint("it was removed after the run had staged it; run the product again"));
        }
    }
    match log.put(staged.version, staged.bytes().into()).await? {
        Put::Written => {
            checkpoint::write_if_due(&log, staged.version).await;
            Ok(staged.version)
        }
        Put::Taken => match log.commit(staged.version).await? {
            Some(found) => taken(run, output, &log, &found).await,
            None => Err(Error::environment(
                "MW0623",
                format!("output `{}`: version {} came and went while committing", output.name, staged.version),
            )
            .hint("something else changes the table's folder; find it before running again")),
        },
    }
}

/// The version exists: fine if an earlier attempt of this run made it.
async fn taken(run: &RunId, output: &OutputReport, log: &TableLog, found: &Commit) -> Result<u64> {
    match found.run() {
        Some(owner) if owner == run.as_str() => {
            // That attempt may have died between linking the commit and flushing its folder.
            log.flush(found.version).await?;
            Ok(found.version)
        }
        Some(_) => Err(Error::conflict(
            "MW0631",
            format!("output `{}`: another run has committed version {} first", output.name, found.version),
        )
        .hint("run the product again; it builds on the newest version")),
        None => Err(foreign_error(&output.name, &output.location, found)),
    }
}

/// D4: what others commit in a table of ours is never served, and never overwritten without somebody deciding it.
pub fn foreign_error(name: &str, location: &TableLocation, found: &Commit) -> Error {
    let entry = format!("{}/_delta_log/{:020}.json", location.url(), found.version);
    Error::conflict(
        "MW0630",
        format!("output `{name}`: version {} was not made by meshwork, but by {}", found.version, found.author()),
    )
    .hint("the published version is still served and this one never will be")
    .hint(format!("find out what writes there and stop it, move {entry} away, and run again"))
}

fn staged(output: &OutputReport) -> Result<Staged> {
    match &output.staged {
        Some(value) => Staged::read(value),
        None => Err(Error::internal("MW0632", format!("output `{}` has nothing staged", output.name))),
    }
}

pub async fn committed(config: &WriterConfig, run: &RunId, outputs: &[OutputReport]) -> Result<Vec<Option<u64>>> {
    let mut versions = Vec::with_capacity(outputs.len());
    for output in outputs {
        let Some(value) = &output.staged else {
            versions.push(None);
            continue;
        };
        let staged = Staged::read(value)?;
        // Nothing of it will ever be committed, so nothing can have begun.
        if staged.is_unchanged() {
            versions.push(None);
            continue;
        }
        let version = staged.version;
        let log = TableLog::open(&output.location, config.durable)?;
        let ours = log.commit(version).await?.is_some_and(|found| found.run() == Some(run.as_str()));
        if ours {
            log.flush(version).await?;
        }
        versions.push(ours.then_some(version));
    }
    Ok(versions)
}

/// Versions in the folder that no run of ours made.
pub async fn foreign(config: &WriterConfig, location: &TableLocation, known: &[u64]) -> Result<Vec<u64>> {
    let log = TableLog::open(location, config.durable)?;
    let mut foreign = Vec::new();
    for version in log.versions().await? {
        if known.contains(&version) {
            continue;
        }
        // One of ours that was never published (its run died, recovery dropped it) is not foreign.
        if log.commit(version).await?.is_some_and(|found| found.run().is_none()) {
            foreign.push(version);
        }
    }
    Ok(foreign)
}
