//! What has become of an output.

use std::collections::BTreeMap;

use meshwork_core::lineage::ColumnLineage;
use meshwork_core::publication::{Body, PublishedOutput};
use meshwork_core::quality::ClauseResult;
use meshwork_core::quarantine::{Quarantined, Released};
use meshwork_core::run::Changes;

use super::super::actions::Staged;
use super::super::check::Pass;
use super::super::set;
use super::view;
use crate::source::Reading;

/// An output that is written, before its set clauses are answered.
pub(super) struct Built {
    /// Taken when they are; none where nothing was new.
    pub(super) pass: Option<Pass>,
    pub(super) batch: set::Batch,
    pub(super) rebuilt: bool,
    pub(super) staged: Staged,
    pub(super) lineage: Vec<ColumnLineage>,
    pub(super) reading: Reading,
    pub(super) changes: Option<Changes>,
    pub(super) implied: Vec<ClauseResult>,
    pub(super) body: Body,
    /// Where the rows of a view lie while they are checked.
    #[expect(dead_code, reason = "dropping it removes them")]
    pub(super) scratch: Option<view::Scratch>,
    pub(super) set_aside: Option<Quarantined>,
    pub(super) release: Option<Released>,
    pub(super) refusal: Option<(BTreeMap<String, ClauseResult>, ClauseResult)>,
}

impl Built {
    /// What there is at this version stays, and nothing was looked at.
    pub(super) fn at_rest(batch: set::Batch, version: u64, lineage: Vec<ColumnLineage>, reading: &Reading) -> Self {
        let built = Self::of(batch, Staged::unchanged(version), lineage, Body::Stored, reading);
        Self { changes: Some(Changes::default()), ..built }
    }

    /// The same of an output that keeps no rows of its own.
    pub(super) fn as_served(batch: set::Batch, served: &PublishedOutput, reading: &Reading) -> Self {
        let staged = Staged::unchanged(served.delta_version);
        Self::of(batch, staged, served.lineage.clone(), served.body.clone(), reading)
    }

    /// An output whose rows are not kept.
    pub(super) fn of(
        batch: set::Batch,
        staged: Staged,
        lineage: Vec<ColumnLineage>,
        body: Body,
        reading: &Reading,
    ) -> Self {
        Self {
            pass: None,
            batch,
            rebuilt: false,
            staged,
            lineage,
            reading: reading.clone(),
            changes: None,
            implied: Vec::new(),
            body,
            scratch: None,
            set_aside: None,
            release: None,
            refusal: None,
        }
    }
}
