//! What a commit builds on: the rows that are published, and the newest version of the log, which may be another one.

use meshwork_control::port::data::OutputSpec;
use meshwork_core::{Error, Result};

use super::commit::foreign_error;
use super::position::{self, Mark, Stored};
use crate::storage::log::{Commit, State, TableLog};

/// The table as it is before the run.
pub struct Ground {
    /// The newest version of the log and what it holds. A run of ours may have made it and never published it.
    pub newest: Option<(u64, State)>,
    /// The published rows, where the run builds on them; `None` for a table that is built anew.
    pub served: Option<Served>,
}

pub struct Served {
    pub version: u64,
    pub state: State,
    pub mark: Mark,
    pub position: Stored,
}

impl Ground {
    pub async fn survey(log: &TableLog, output: &OutputSpec, full_refresh: bool) -> Result<Self> {
        let newest = newest(log, output).await?;
        let mut served = None;
        if let (Some(base), false, false) = (output.base, full_refresh, !output.mode.grows())
            // Without a position it was built by `mode: full`, from everything there was: so will this one be.
            && let (mark, Some(position)) = position::read(log, base).await?
        {
            served = Some(Served { version: base, state: log.replay(base).await?, mark, position });
        }
        let newest = match newest {
            None => None,
            Some(version) => match &served {
                Some(served) if served.version == version => Some((version, served.state.clone())),
                _ => Some((version, log.replay(version).await?)),
            },
        };
        Ok(Self { newest, served })
    }

    pub fn position(&self) -> Option<&Stored> {
        self.served.as_ref().map(|served| &served.position)
    }

    /// The version that the run would make.
    pub fn next(&self) -> u64 {
        self.newest.as_ref().map_or(0, |(version, _)| version + 1)
    }

    /// The rows that are there were checked under this very contract, and passed.
    pub fn is_checked_under(&self, digest: &str) -> bool {
        self.served.as_ref().is_some_and(|served| served.mark.contract.as_deref() == Some(digest))
    }
}

/// The newest version, if nobody else made any since the published one.
pub async fn newest(log: &TableLog, output: &OutputSpec) -> Result<Option<u64>> {
    let Some(base) = output.base else {
        let versions = log.versions().await?;
        for version in &versions {
            if let Some(found) = log.commit(*version).await? {
                ours(&found, output)?;
            }
        }
        return Ok(versions.last().copied());
    };
    if log.commit(base).await?.is_none() {
        return Err(Error::environment(
            "MW0623",
            format!("output `{}`: version {base} is published, but the table's log does not have it", output.name),
        )
        .hint("the storage root was replaced or restored: restore the table's folder to where it was"));
    }
    let mut newest = base;
    for found in log.after(base).await? {
        ours(&found, output)?;
        newest = found.version;
    }
    Ok(Some(newest))
}

fn ours(found: &Commit, output: &OutputSpec) -> Result<()> {
    match found.run() {
        Some(_) => Ok(()),
        None => Err(foreign_error(&output.name, &output.location, found)),
    }
}
