//! How far a table has consumed its incremental input (D7). The position travels in the commit that consumed it, so it
//! can neither run ahead of the data nor fall behind it.

use std::collections::BTreeMap;

use meshwork_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::read::external::Registered;
use crate::source::Identity;
use crate::storage::log::{Commit, TableLog};

/// Beyond this many files a commit only says which ones it added; every so many commits one says all again.
const WHOLE: usize = 256;
const CHAIN: u32 = 64;

/// What a commit of ours says beside the Delta actions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    pub run: String,
    pub product: String,
    pub fencing_token: u64,
    /// The version whose rows it builds on; absent for a table that was built anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// Digest of the contract under which every row was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The oldest version with the very same rows, where this one only moves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_since: Option<u64>,
    /// Files of others that the version registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<Registered>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Position {
    Files {
        input: String,
        files: Vec<Identity>,
        /// How many commits back the last one stands that lists all files; 0: this one.
        #[serde(default)]
        behind: u32,
    },
    /// A version of another product's table.
    Publication { input: String, table: String, version: u64 },
    /// The greatest value seen, as text.
    Cursor { input: String, column: String, value: String },
}

impl Position {
    pub fn input(&self) -> &str {
        match self {
            Self::Files { input, .. } | Self::Publication { input, .. } | Self::Cursor { input, .. } => input,
        }
    }

    /// The greatest value that was seen, for a cursor.
    pub fn cursor(&self) -> &str {
        match self {
            Self::Cursor { value, .. } => value,
            Self::Files { .. } | Self::Publication { .. } => "",
        }
    }

    /// As a commit says it: all files, or only those that `before` does not have.
    pub fn to_store(&self, before: Option<&Stored>) -> Self {
        let (Self::Files { input, files, .. }, Some(before)) = (self, before) else { return self.clone() };
        let Self::Files { files: known, .. } = &before.position else { return self.clone() };
        if files.len() <= WHOLE
            || before.behind >= CHAIN
            || known.iter().any(|k| files.iter().all(|f| f.name != k.name))
        {
            return self.clone();
        }
        let known: BTreeMap<&str, &Identity> = known.iter().map(|file| (file.name.as_str(), file)).collect();
        let new = files.iter().filter(|file| known.get(file.name.as_str()) != Some(file)).cloned().collect();
        Self::Files { input: input.clone(), files: new, behind: before.behind + 1 }
    }
}

/// A position as it was found in the log, complete.
#[derive(Clone, Debug)]
pub struct Stored {
    pub position: Position,
    behind: u32,
}

/// The mark of a version, and its position with what earlier commits said of it.
pub async fn read(log: &TableLog, version: u64) -> Result<(Mark, Option<Stored>)> {
    let mark = mark(log, version).await?;
    let Some(position) = mark.position.clone() else { return Ok((mark, None)) };
    let Position::Files { input, files, behind } = position else {
        return Ok((mark, Some(Stored { position, behind: 0 })));
    };
    // Newer entries win.
    let mut all: BTreeMap<String, Identity> = files.into_iter().map(|file| (file.name.clone(), file)).collect();
    let mut at = mark.base;
    for _ in 0..behind {
        let broken = || {
            Error::environment("MW0623", "an earlier commit of the table does not say which files it has consumed")
                .hint("run it once with `--full-refresh`")
        };
        let earlier = self::mark(log, at.ok_or_else(broken)?).await?;
        let Some(Position::Files { files, .. }) = earlier.position else { return Err(broken()) };
        for file in files {
            all.entry(file.name.clone()).or_insert(file);
        }
        at = earlier.base;
    }
    let position = Position::Files { input, files: all.into_values().collect(), behind: 0 };
    Ok((mark, Some(Stored { position, behind })))
}

/// The oldest commit that must stay for the position of a version to be known.
pub async fn reach(log: &TableLog, version: u64) -> Result<u64> {
    let mut mark = mark(log, version).await?;
    let mut at = version;
    while let Some(Position::Files { behind: 1.., .. }) = mark.position
        && let Some(base) = mark.base
    {
        at = base;
        mark = self::mark(log, at).await?;
    }
    Ok(at)
}

pub async fn mark(log: &TableLog, version: u64) -> Result<Mark> {
    let commit = log.commit(version).await?;
    Ok(commit.as_ref().and_then(Mark::of).unwrap_or_default())
}

impl Mark {
    /// What a commit of ours says.
    pub fn of(commit: &Commit) -> Option<Self> {
        Self::deserialize(commit.mark()?).ok()
    }
}
