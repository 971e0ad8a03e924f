//! Commits: exactly the staged version, or an error (D4, D9).

use meshwork_core::effect::Timestamp;
use meshwork_core::id::RunId;
use meshwork_core::publication::TableLocation;
use meshwork_core::run::OutputReport;
use meshwork_core::{Error, Result};

use super::WriterConfig;
use super::actions::Staged;
use super::position::Mark;
use crate::failpoint;
use crate::storage::checkpoint;
use crate::storage::log::{Commit, Put, State, TableLog};

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
    let mut staged = staged(output)?;
    if staged.is_unchanged() {
        return Ok(staged.version);
    }
    let log = TableLog::open(&config.stores, &output.location, config.durable).await?;
    let began = config.clock.now();
    loop {
        match standing(run, output, &log, &staged).await? {
            Standing::Made(version) => return Ok(version),
            Standing::Next => {}
            Standing::Behind(newest) => staged = over(&log, &staged, newest).await?,
        }
        for (path, size) in staged.added() {
            if log.size_of(path).await? != Some(size) {
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
                return Ok(staged.version);
            }
            Put::Taken if in_time(config, began) => {}
            Put::Taken => return Err(crowded(&output.name)),
        }
    }
}

/// Whether a commit that others came before may still be tried again.
pub fn in_time(config: &WriterConfig, began: Timestamp) -> bool {
    (config.clock.now() - began).to_std().is_ok_and(|took| took < config.commit_time)
}

pub fn crowded(output: &str) -> Error {
    Error::conflict(
        "MW0694",
        format!("output `{output}`: others kept committing first, until the time for it was over"),
    )
    .hint("run it again when fewer write there")
}

/// Where a staged commit stands against the log.
enum Standing {
    /// An attempt of this run has made it.
    Made(u64),
    /// Its version is the next one.
    Next,
    /// Runs that lost their lease committed this version and those before it; what they wrote was never published.
    Behind(u64),
}

async fn standing(run: &RunId, output: &OutputReport, log: &TableLog, staged: &Staged) -> Result<Standing> {
    let mut at = staged.version;
    let own = staged.mark().map_or(0, |mark| mark.fencing_token);
    while let Some(found) = log.commit(at).await? {
        let Some(owner) = found.run() else { return Err(foreign_error(&output.name, &output.location, &found)) };
        if owner == run.as_str() {
            // That attempt may have died between linking the commit and flushing its folder.
            log.flush(found.version).await?;
            return Ok(Standing::Made(found.version));
        }
        let token = Mark::of(&found).map_or(0, |mark| mark.fencing_token);
        if token >= own {
            return Err(Error::conflict(
                "MW0631",
                format!("output `{}`: another run has committed version {at} first", output.name),
            )
            .hint("run the product again; it builds on the newest version"));
        }
        at += 1;
    }
    Ok(if at == staged.version { Standing::Next } else { Standing::Behind(at - 1) })
}

/// The same content on top of a newer version: what the versions between say is undone, because the table as it was
/// staged is the one that was checked.
async fn over(log: &TableLog, staged: &Staged, newest: u64) -> Result<Staged> {
    let mut wanted = match staged.version.checked_sub(1) {
        Some(before) => log.replay(before).await?,
        None => State::default(),
    };
    staged.apply_to(&mut wanted);
    Ok(staged.over(newest + 1, &wanted, &log.replay(newest).await?))
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
        let log = TableLog::open(&config.stores, &output.location, config.durable).await?;
        let made = log.from(staged.version).await?;
        let own = made.iter().find(|found| found.run() == Some(run.as_str())).map(|found| found.version);
        if let Some(version) = own {
            log.flush(version).await?;
        }
        versions.push(own);
    }
    Ok(versions)
}

/// Versions in the folder that no run of ours made.
pub async fn foreign(config: &WriterConfig, location: &TableLocation, known: &[u64]) -> Result<Vec<u64>> {
    let log = TableLog::open(&config.stores, location, config.durable).await?;
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
