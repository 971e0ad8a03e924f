//! Runs: one attempt to build, check and publish a product.

use serde::{Deserialize, Serialize};

use crate::effect::Timestamp;
use crate::error::Error;
use crate::id::{OutputId, ProductId, PublicationId, RunId};
use crate::lineage::ColumnLineage;
use crate::principal::Principal;
use crate::publication::{Body, TableLocation};
use crate::quality::ClauseResult;
use crate::quarantine::{Quarantined, Released};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub product: ProductId,
    /// `domain.product` at the time of the run.
    pub name: String,
    #[serde(default, skip_serializing_if = "RunTask::is_build")]
    pub task: RunTask,
    pub state: RunState,
    pub actor: Principal,
    pub started_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<PublicationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

/// What a run does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunTask {
    /// Builds the outputs from the inputs.
    #[default]
    Build,
    /// Writes small files of what is published together: the same rows in fewer files.
    Compact,
}

impl RunTask {
    pub fn is_build(&self) -> bool {
        *self == Self::Build
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Building and checking; holds the product's lease.
    Running,
    /// The verdict is stored and passes; Delta commits may exist. Recovery rolls it forward or drops it.
    Committing,
    Published,
    /// No input had anything new for it: the current publication stays as it is.
    Unchanged,
    /// A clause of severity error did not pass; nothing was committed.
    Blocked,
    Failed,
    /// Stopped by a person, or its lease ran out.
    Cancelled,
}

impl RunState {
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Running | Self::Committing)
    }
}

/// The exclusive right to run one product. A holder whose token is no longer the newest must not commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub product: ProductId,
    pub run: RunId,
    /// Rises with every lease of the product.
    pub fencing_token: u64,
    /// Process id and host of the holder, for messages.
    pub holder: String,
    pub expires_at: Timestamp,
}

/// What a run found and made, for each output; stored with the verdict, before any commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputReport {
    pub output: OutputId,
    pub name: String,
    pub major: u32,
    pub contract_version: semver::Version,
    pub contract_digest: String,
    pub location: TableLocation,
    /// Of the whole table, as it is after the commit.
    pub rows: u64,
    pub bytes: u64,
    /// What the run does to the rows that were there; absent for a table that is built anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// The table was built anew, from everything there is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rebuilt: bool,
    /// What was set aside; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantined>,
    /// Of a run that released quarantined rows of this output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Released>,
    /// Empty where nothing was new: then nothing was checked either.
    pub clauses: Vec<ClauseResult>,
    #[serde(default)]
    pub profile: Vec<ColumnProfile>,
    #[serde(default)]
    pub lineage: Vec<ColumnLineage>,
    #[serde(default, skip_serializing_if = "Body::is_stored")]
    pub body: Body,
    /// The staged commit: Delta actions as JSON, opaque outside the engine. Recovery commits it if need be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<serde_json::Value>,
}

/// What a run of mode `append` or `merge` does to a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    pub added: u64,
    pub updated: u64,
    pub deleted: u64,
    /// Data files that were written anew because a row of theirs changed.
    #[serde(default)]
    pub files_rewritten: u64,
}

impl Changes {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// One column of what was written. Value-bearing members are absent for masked columns when shown (D20).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    pub column: String,
    pub nulls: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct_estimate: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
}

/// How long each part took, in milliseconds, and what it read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    pub outputs: Vec<OutputReport>,
    /// No input had anything new for any output.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
    pub timings: Vec<(String, u64)>,
    pub rows_read: u64,
    pub bytes_read: u64,
}
