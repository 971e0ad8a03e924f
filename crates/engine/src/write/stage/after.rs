//! From rows that are written to a table that is staged: they meet those that are there.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::logical_expr::LogicalPlan;
use meshwork_control::port::data::{OutputSpec, Phase};
use meshwork_core::Result;
use meshwork_core::lineage::ColumnLineage;
use meshwork_core::product::{MissingRows, Mode};
use meshwork_core::publication::Body;
use meshwork_core::quality::ClauseResult;
use meshwork_core::run::Changes;
use serde_json::Value;

use super::super::actions::{Author, Content, Declared, Operation, Staged, commit, table_id};
use super::super::check::Pass;
use super::super::compact::small_files;
use super::super::files::{DataFiles, rows_of};
use super::super::ground::{Ground, Served};
use super::super::input::Inputs;
use super::super::merge::{self, Merge};
use super::super::quarantine::{self, Quarantine};
use super::super::sample::Likeness;
use super::super::session::{self, Way};
use super::super::set;
use super::super::sink::Sink;
use super::{Built, Run};
use crate::failpoint;
use crate::read::external::Registered;
use crate::source::Reading;

/// One output on its way.
#[derive(Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) output: &'a OutputSpec,
    pub(super) sink: &'a Sink,
    pub(super) ground: &'a Ground,
    pub(super) inputs: &'a Inputs,
    pub(super) stored: &'a Schema,
}

impl Made<'_> {
    pub(super) fn unchanged(&self, served: &Served, lineage: Vec<ColumnLineage>, reading: &Reading) -> Result<Built> {
        let table = DataFiles::of(&self.sink.log, &self.sink.schema, served.state.adds())?;
        let batch = set::Batch::at_rest(self.output, Arc::clone(&self.sink.schema), table);
        Ok(Built::at_rest(batch, served.version, lineage, reading))
    }
}

/// All rows of an output, written.
pub(super) struct Rows<'q> {
    pub(super) new: Vec<Value>,
    pub(super) gone: Option<merge::Tombs>,
    pub(super) pass: Pass,
    pub(super) quarantine: Option<Quarantine<'q>>,
    pub(super) lineage: Vec<ColumnLineage>,
    pub(super) again: Option<LogicalPlan>,
    pub(super) places: Vec<usize>,
    pub(super) likeness: Likeness,
}

/// The table as it will be, file by file: `add` actions.
#[derive(Default)]
pub(super) struct After {
    pub(super) kept: Vec<Value>,
    pub(super) rewritten: Vec<Value>,
    pub(super) compacted: Vec<Value>,
    /// Paths of the files whose rows `compacted` holds.
    pub(super) moved: BTreeSet<String>,
    pub(super) new: Vec<Value>,
    /// The rows of `new`.
    pub(super) written: DataFiles,
    pub(super) changes: Option<Changes>,
    /// Rows of the table that stay because their replacement is set aside.
    pub(super) kept_rows: u64,
    /// New rows with one key, of which nobody said which one counts.
    pub(super) ambiguous: Option<ClauseResult>,
}

impl After {
    fn others(&self) -> impl Iterator<Item = &Value> {
        self.kept.iter().chain(&self.rewritten).chain(&self.compacted)
    }

    fn files(&self) -> impl Iterator<Item = &Value> {
        self.others().chain(&self.new)
    }
}

impl Run {
    /// From rows that are written to a table that is staged.
    pub(super) async fn finish(&self, made: &Made<'_>, rows: Rows<'_>, reading: &Reading, way: Way) -> Result<Built> {
        let Made { output, sink, ground, .. } = *made;
        let Rows { new, gone, mut pass, mut quarantine, lineage, again, places, likeness } = rows;
        self.progress(output, Phase::Checking, pass.rows, reading);
        let mut after = After { new, ..After::default() };
        if let Some(quarantine) = &mut quarantine {
            self.settle(made, quarantine, &mut pass, &mut after, gone.as_ref(), reading, way).await?;
        }
        after.written = DataFiles::of(&sink.log, &sink.schema, &after.new)?;
        // Of a release that no row passes, nothing is left to do.
        let release = quarantine.as_ref().and_then(|quarantine| quarantine.released(&pass));
        let nothing = release.as_ref().is_some_and(|release| release.rows.is_empty());
        if nothing {
            after.kept = ground.served.iter().flat_map(|served| served.state.adds().cloned()).collect();
        } else {
            self.combine(made, &mut after, gone, way).await?;
            self.compact(made, &mut after, way).await?;
        }
        self.look_at_others(made, &after, &mut pass, way).await?;
        let (mut set_aside, mut refusal) = (None, None);
        if let Some(quarantine) = &mut quarantine {
            set_aside = quarantine.finish(&pass).await?;
            refusal = quarantine.refusal(&pass);
            failpoint::pass(self.config.fail_point.as_ref(), "after-quarantine").await?;
        }
        let staged = match (&ground.served, nothing) {
            (Some(served), true) => Staged::unchanged(served.version),
            _ => self.staged(made, &after, None)?,
        };
        let table = DataFiles::of(&sink.log, &sink.schema, after.files())?;
        let batch = set::Batch {
            output: output.name.to_string(),
            major: output.major,
            schema: Arc::clone(&sink.schema),
            trusted: ground.is_checked_under(&output.contract_digest),
            unsettled: after.ambiguous.as_ref().map(|_| "two new rows have the same key".to_owned()),
            written: after.written,
            table,
            again,
            places,
            likeness,
        };
        Ok(Built {
            pass: Some(pass),
            batch,
            rebuilt: ground.served.is_none(),
            staged,
            lineage,
            reading: reading.clone(),
            changes: after.changes,
            implied: after.ambiguous.into_iter().collect(),
            body: Body::Stored,
            scratch: None,
            set_aside,
            release,
            refusal,
        })
    }

    /// Sets rows aside that share a key, before they meet the table.
    #[expect(clippy::too_many_arguments, reason = "one step of `finish`, split off for its length")]
    async fn settle(
        &self,
        made: &Made<'_>,
        quarantine: &mut Quarantine<'_>,
        pass: &mut Pass,
        after: &mut After,
        gone: Option<&merge::Tombs>,
        reading: &Reading,
        way: Way,
    ) -> Result<()> {
        let served: Vec<Value> = made.ground.served.iter().flat_map(|served| served.state.adds().cloned()).collect();
        let new = std::mem::take(&mut after.new);
        let meeting = quarantine::Ground {
            output: made.output,
            sink: made.sink,
            limits: &self.spec.limits,
            now: self.spec.now,
            way,
            reading,
            served: &served,
            gone,
            whole: self.is_whole(made.output),
            written: &new,
        };
        let rest = quarantine.settle(&meeting, pass).await?;
        if quarantine.deleted_too(&meeting).await? > 0 {
            after.ambiguous = Some(merge::deleted_too(made.output));
        } else if meeting.whole {
            after.rewritten = quarantine.write_kept_rows(&meeting).await?;
        }
        after.kept_rows = quarantine.kept_rows();
        after.new = rest.unwrap_or(new);
        Ok(())
    }

    /// Rows of the table that are not in the batch go.
    fn is_whole(&self, output: &OutputSpec) -> bool {
        output.mode == Mode::Merge && output.merge.missing_rows == MissingRows::Delete && self.spec.release.is_none()
    }

    /// The new rows and those that are there.
    async fn combine(&self, made: &Made<'_>, after: &mut After, gone: Option<merge::Tombs>, way: Way) -> Result<()> {
        let output = made.output;
        if after.ambiguous.is_some() {
            return Ok(());
        }
        let served: Vec<Value> = made.ground.served.iter().flat_map(|served| served.state.adds().cloned()).collect();
        match output.mode {
            Mode::Full | Mode::View | Mode::External => {}
            Mode::Append => {
                after.changes = Some(Changes { added: after.written.rows, ..Changes::default() });
                after.kept = served;
            }
            Mode::Merge => {
                let merge = Merge {
                    sink: made.sink,
                    output,
                    limits: &self.spec.limits,
                    now: self.spec.now,
                    way,
                    new: &after.written,
                    gone,
                };
                after.ambiguous = merge.ambiguous().await?;
                if after.ambiguous.is_some() {
                    return Ok(());
                }
                if self.is_whole(output) {
                    // The batch is all there is to be, beside what stays for a row that is set aside.
                    let before: u64 = served.iter().map(rows_of).sum();
                    let found = merge.found(&served).await?;
                    after.changes = Some(Changes {
                        added: after.written.rows.saturating_sub(found),
                        updated: found,
                        deleted: before.saturating_sub(found + after.kept_rows),
                        files_rewritten: served.len() as u64,
                    });
                    return Ok(());
                }
                let merged = merge.run(served).await?;
                after.kept = merged.kept;
                after.rewritten = merged.rewritten;
                after.changes = Some(merged.changes);
                failpoint::pass(self.config.fail_point.as_ref(), "after-merge").await?;
            }
        }
        Ok(())
    }

    /// Many small files that stay become few larger ones, in the same commit.
    async fn compact(&self, made: &Made<'_>, after: &mut After, way: Way) -> Result<()> {
        if after.ambiguous.is_some() {
            return Ok(());
        }
        let (limits, now) = (&self.spec.limits, self.spec.now);
        let least = self.config.small_files;
        let Some(compacted) = small_files(made.sink, limits, now, way, &mut after.kept, least).await? else {
            return Ok(());
        };
        (after.compacted, after.moved) = (compacted.adds, compacted.moved);
        failpoint::pass(self.config.fail_point.as_ref(), "after-compaction").await
    }

    /// Rows that are there: checked where the contract is another one, and counted by metrics.
    async fn look_at_others(&self, made: &Made<'_>, after: &After, pass: &mut Pass, way: Way) -> Result<()> {
        let others: Vec<&Value> = after.others().collect();
        let others = DataFiles::of(&made.sink.log, &made.sink.schema, others)?;
        let columns = pass.with_others(others.rows, !made.ground.is_checked_under(&made.output.contract_digest));
        if columns.is_empty() {
            return Ok(());
        }
        let context = session::session(&self.spec.limits, &self.config.scratch, self.spec.now, way)?;
        others.show(&context, pass, &columns, &made.sink.what).await
    }

    pub(super) fn staged(&self, made: &Made<'_>, after: &After, external: Option<Registered>) -> Result<Staged> {
        let output = made.output;
        let author = Author {
            run: self.spec.run.as_str(),
            product: &self.spec.product,
            fencing_token: self.spec.fencing_token,
            at: self.spec.now,
        };
        let served = made.ground.served.as_ref();
        let before = made.ground.position();
        let position = match (&self.spec.release, before) {
            // It takes nothing of the inputs.
            (Some(_), Some(before)) => Some(before.position.to_store(Some(before))),
            _ => made.inputs.fresh.as_ref().map(|(_, fresh)| fresh.position.to_store(before)),
        };
        let content = Content {
            operation: match (output.mode, served) {
                (Mode::Append, Some(_)) => Operation::Append,
                (Mode::Merge, Some(_)) => Operation::Merge,
                _ => Operation::Overwrite,
            },
            kept: after.kept.clone(),
            compacted: after.compacted.clone(),
            moved: after.moved.clone(),
            added: after.rewritten.iter().chain(&after.new).cloned().collect(),
            contract: Some(output.contract_digest.clone()),
            base: served.map(|served| served.version),
            position,
            same_since: None,
            external,
        };
        let id = table_id(output.output.as_str(), output.major);
        let newest = made.ground.newest.as_ref().map(|(_, state)| state);
        Ok(commit(made.ground.next(), newest, &id, Declared::Schema(made.stored), content, author))
    }
}
