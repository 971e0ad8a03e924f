//! Rows of one output that are set aside while the rest is published (D8).
//!
//! They are written into files beside the table, in a folder of their run, before anything is committed. Nothing refers to
//! them but the run's report: only once that is published do they show.

mod duplicate;
mod file;
mod key;
mod release;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::Int64Type;
use meshwork_control::port::data::{OutputSpec, ReleaseSpec, RunSpec};
use meshwork_core::product::{Mode, OnViolation};
use meshwork_core::quality::{Clause, ClauseResult, Rule, Scope};
use meshwork_core::quarantine::{KEY_CLAUSE, LIMIT_CLAUSE, Quarantined, Released, Rows, obstacle};
use meshwork_core::{Error, Result, Severity};
use serde_json::Value;

use super::WriterConfig;
use super::check::{Pass, SetAside, Stored, counted};
use super::sink::Written;
use crate::source::Samples;
use crate::storage::fault::storage_error;
use duplicate::Removed;
use file::{Files, Note};
use key::Keys;

pub use duplicate::Ground;
pub use file::{collect, remove};
pub use release::Released as ReleasedRows;

/// Columns that no two rows may share.
#[derive(Clone, Debug)]
pub struct UniqueRule {
    pub clause: String,
    pub columns: Vec<String>,
    /// The key of a merge, which finds the row to replace.
    pub is_merge_key: bool,
}

/// What is set aside of one output on its way.
pub struct Quarantine<'a> {
    output: &'a OutputSpec,
    release: Option<&'a ReleaseSpec>,
    rules: Vec<UniqueRule>,
    files: Files,
    keys: Keys,
    written_keys: Option<key::Written>,
    removed: Removed,
    kept_rows: u64,
    /// There is more than the output allows: nothing is set aside.
    refused: bool,
    /// Of a release: the numbers of all its rows, and of those that stay.
    tried: Vec<u64>,
    stay: BTreeSet<u64>,
    /// By clause, rows that stay without having been looked at again.
    stuck: BTreeMap<String, u64>,
}

impl<'a> Quarantine<'a> {
    /// `None` where rows that break the contract block the run. A release sets aside again, whatever the output does.
    pub async fn of(
        config: &Arc<WriterConfig>,
        spec: &'a RunSpec,
        output: &'a OutputSpec,
        written: &Written,
        scratch: PathBuf,
    ) -> Result<Option<Self>> {
        let release = spec.release.as_ref();
        if output.on_violation != OnViolation::Quarantine && release.is_none() {
            return Ok(None);
        }
        let rules = rules(output);
        let files = Files::new(config, spec, output, written).await?;
        let keys = Keys::new(scratch, output, &rules);
        Ok(Some(Self {
            output,
            release,
            rules,
            files,
            keys,
            written_keys: None,
            removed: Removed::default(),
            kept_rows: 0,
            refused: false,
            tried: Vec::new(),
            stay: BTreeSet::new(),
            stuck: BTreeMap::new(),
        }))
    }

    /// Takes note of a batch: of what is set aside of it, and of the keys of the rest.
    pub async fn batch(&mut self, stored: &Stored, set_aside: Option<&SetAside>, pass: &Pass) -> Result<()> {
        self.keys.good(stored)?;
        if self.release.is_some()
            && let Some((_, rows)) = &stored.origin
        {
            self.tried.extend(rows_of(rows));
        }
        let Some(set_aside) = set_aside else { return Ok(()) };
        self.keys.bad(set_aside)?;
        if self.release.is_some() {
            let rows = set_aside.places.iter().filter_map(|(_, row)| *row);
            self.stay.extend(rows.clone());
            self.tried.extend(rows);
            return Ok(());
        }
        let broken = pass.broken();
        let notes = set_aside.broken.iter().zip(&set_aside.places).map(|(of_row, place)| Note {
            clauses: of_row.iter().map(|at| broken[*at].clause.clone()).collect(),
            reasons: of_row.iter().map(|at| broken[*at].reason.clone()).collect(),
            place: place.clone(),
        });
        self.files.add(&set_aside.columns, &set_aside.raw, &notes.collect::<Vec<_>>()).await
    }

    /// Rows of a release that cannot even be tried: what stood in them is still not a value.
    pub fn leave(&mut self, rows: Vec<(u64, String)>) {
        for (row, clause) in rows {
            self.tried.push(row);
            self.stay.insert(row);
            *self.stuck.entry(clause).or_default() += 1;
        }
    }

    /// After the last batch: finds the rows that share a key, and takes them out of the written files. Gives the files of
    /// the rest; `None` where they stay as they are.
    pub async fn settle(&mut self, ground: &Ground<'_>, pass: &mut Pass) -> Result<Option<Vec<Value>>> {
        let keys = self.written_keys.insert(self.keys.close()?);
        let all = pass.rows + pass.aside_rows();
        let (release, limit) = (self.release.is_some(), self.output.quarantine_limit);
        let allows = |rows| release || limit.allows(rows, all);
        if !allows(pass.aside_rows()) {
            self.refused = true;
            return Ok(None);
        }
        let removed = duplicate::find(&self.rules, keys, ground).await?;
        if !allows(pass.aside_rows() + removed.len()) {
            self.refused = true;
            return Ok(None);
        }
        self.removed = removed;
        self.kept_rows = duplicate::kept_rows(keys, ground, &self.removed).await?;
        if self.removed.is_empty() {
            return Ok(None);
        }
        pass.start_over();
        self.take_out(ground, pass).await.map(Some)
    }

    /// Writes the files anew without the rows to be removed.
    async fn take_out(&mut self, ground: &Ground<'_>, pass: &mut Pass) -> Result<Vec<Value>> {
        let Some(keys) = &self.written_keys else { return Ok(ground.written.to_vec()) };
        let origins = duplicate::origins(keys, ground, &self.removed).await?;
        let mut writer = ground.sink.open()?;
        let mut place = 0u64;
        for add in ground.written {
            let name = add.get("path").and_then(Value::as_str).unwrap_or_default();
            let fault = |error: &(dyn std::error::Error + 'static)| {
                storage_error(&format!("reading what was written of {}", ground.sink.what), error)
            };
            for batch in file::rows(&ground.sink.log, name).await? {
                let batch = batch.map_err(|error| fault(&error))?;
                let places: Vec<u64> = (place..place + batch.num_rows() as u64).collect();
                place += batch.num_rows() as u64;
                let goes: BooleanArray = places.iter().map(|place| Some(self.removed.0.contains_key(place))).collect();
                let mut rest = batch.clone();
                if goes.true_count() > 0 {
                    let failed = |_| Error::internal("MW0605", "the rows of a batch cannot be told apart");
                    rest = filter_record_batch(&batch, &not(&goes).map_err(failed)?).map_err(failed)?;
                    let gone = filter_record_batch(&batch, &goes).map_err(failed)?;
                    let those: Vec<u64> =
                        places.into_iter().filter(|place| self.removed.0.contains_key(place)).collect();
                    self.put_aside(gone.columns(), &those, &origins).await?;
                }
                if rest.num_rows() > 0 {
                    let (stored, _) = pass.batch(&rest)?;
                    writer.write(&stored.rows).await.map_err(|error| ground.sink.fault(&error))?;
                }
            }
        }
        let adds = ground.sink.close(writer).await?;
        ground.sink.remove(ground.written).await;
        Ok(adds)
    }

    async fn put_aside(
        &mut self,
        columns: &[ArrayRef],
        places: &[u64],
        origins: &BTreeMap<u64, (Option<String>, Option<u64>)>,
    ) -> Result<()> {
        let of = |place: &u64| origins.get(place).cloned().unwrap_or_default();
        if self.release.is_some() {
            self.stay.extend(places.iter().filter_map(|place| of(place).1));
            return Ok(());
        }
        let rules = |place: &u64| self.removed.0[place].iter().map(|rule| &self.rules[*rule]);
        let notes = places.iter().map(|place| Note {
            clauses: rules(place).map(|rule| rule.clause.clone()).collect(),
            reasons: rules(place).map(|rule| format!("another row has the same {}", rule.columns.join(", "))).collect(),
            place: of(place),
        });
        let notes: Vec<Note> = notes.collect();
        self.files.add(columns, &BTreeMap::new(), &notes).await
    }

    /// Rows that are set aside and have the key of a row that deletes.
    pub async fn deleted_too(&mut self, ground: &Ground<'_>) -> Result<u64> {
        let Some(keys) = &self.written_keys else { return Ok(0) };
        duplicate::deleted_too(keys, ground, &self.removed).await
    }

    /// Published rows of which the replacement is set aside, in files of their own: for a table of which all others go.
    pub async fn write_kept_rows(&mut self, ground: &Ground<'_>) -> Result<Vec<Value>> {
        match &self.written_keys {
            Some(keys) if self.kept_rows > 0 => duplicate::write_kept_rows(keys, ground, &self.removed).await,
            _ => Ok(Vec::new()),
        }
    }

    pub fn kept_rows(&self) -> u64 {
        self.kept_rows
    }

    /// For the report: what was set aside, if anything, and if not too much.
    pub async fn finish(&mut self, pass: &Pass) -> Result<Option<Quarantined>> {
        let files = self.files.finish().await?;
        let rows = pass.aside_rows() + self.removed.len();
        if self.release.is_some() || self.refused || rows == 0 {
            return Ok(None);
        }
        Ok(Some(Quarantined {
            rows,
            batch_rows: pass.rows + rows,
            limit: self.output.quarantine_limit,
            clauses: self.clauses(pass),
            kept_rows: self.kept_rows,
            files,
        }))
    }

    fn clauses(&self, pass: &Pass) -> BTreeMap<String, u64> {
        let mut clauses = pass.aside_clauses();
        let duplicates = self.rules.iter().zip(self.removed.counts(self.rules.len()));
        let duplicates = duplicates.map(|(rule, rows)| (rule.clause.clone(), rows)).filter(|(_, rows)| *rows > 0);
        for (clause, rows) in duplicates.chain(self.stuck.clone()) {
            *clauses.entry(clause).or_default() += rows;
        }
        clauses
    }

    /// What a release made of its rows.
    pub fn released(&self, pass: &Pass) -> Option<Released> {
        let release = self.release?;
        Some(Released {
            of: release.of.clone(),
            tried: self.tried.len() as u64,
            rows: Rows::of(self.tried.iter().copied().filter(|row| !self.stay.contains(row))),
            clauses: self.clauses(pass),
        })
    }

    /// Answers that block because there is more than the output allows: those of the clauses, as if nothing were set
    /// aside, and that of the limit.
    pub fn refusal(&self, pass: &Pass) -> Option<(BTreeMap<String, ClauseResult>, ClauseResult)> {
        if !self.refused {
            return None;
        }
        let clause = Clause {
            id: LIMIT_CLAUSE.to_owned(),
            severity: Severity::Error,
            scope: Scope::Batch,
            rule: Rule::NotEvaluated { because: String::new() },
            description: None,
            dimension: None,
            place: None,
        };
        let (rows, all) = (pass.aside_rows(), pass.rows + pass.aside_rows());
        let limit = self.output.quarantine_limit;
        let mut answer = counted(&clause, rows.max(1), all, "", Samples::default());
        answer.message = if limit.allows(rows, all) {
            format!("with the rows that share a key, more than {limit} of {all} rows would be set aside")
        } else {
            format!("{rows} of {all} rows break clauses about single rows; no more than {limit} may be set aside")
        };
        answer.failing_rows = None;
        Some((pass.aside_answers(), answer))
    }
}

fn rows_of(rows: &ArrayRef) -> impl Iterator<Item = u64> + '_ {
    rows.as_primitive::<Int64Type>().iter().flatten().filter_map(|row| u64::try_from(row).ok())
}

fn rules(output: &OutputSpec) -> Vec<UniqueRule> {
    let mut rules = Vec::new();
    if output.mode == Mode::Merge {
        let clause = KEY_CLAUSE.to_owned();
        rules.push(UniqueRule { clause, columns: output.key.clone(), is_merge_key: true });
    }
    for clause in &output.table.clauses {
        let Rule::Unique { columns } = &clause.rule else { continue };
        let known = columns.iter().all(|column| output.table.field(column).is_some());
        let gates = clause.severity == Severity::Error;
        if known && gates && obstacle(clause, output.mode, &output.key, &output.merge).is_none() {
            let (clause, columns) = (clause.id.clone(), columns.clone());
            rules.push(UniqueRule { clause, columns, is_merge_key: false });
        }
    }
    rules
}
