//! What runs have set aside, and what has become of it.

use async_trait::async_trait;
use meshwork_control::port::state::QuarantineState;
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::{OutputId, ProductId, RunId};
use meshwork_core::publication::Publication;
use meshwork_core::quarantine::{QuarantineEntry, Released, location};
use meshwork_core::run::{OutputReport, RunReport};
use sqlx::{Sqlite, Transaction};

use crate::SqliteState;
use crate::fault::fault;
use crate::stored::{bodies, from_json, micros, to_json};

type Tx = Transaction<'static, Sqlite>;

#[async_trait]
impl QuarantineState for SqliteState {
    async fn quarantine(&self, product: Option<&ProductId>, run: Option<&RunId>) -> Result<Vec<QuarantineEntry>> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM quarantine
             WHERE (?1 IS NULL OR product = ?1) AND (?2 IS NULL OR run = ?2)
             ORDER BY at DESC, run DESC, output, major",
        )
        .bind(product.map(ProductId::as_str))
        .bind(run.map(RunId::as_str))
        .fetch_all(self.readers())
        .await
        .map_err(fault)?;
        bodies(&rows)
    }

    async fn quarantined_before(&self, moment: Timestamp) -> Result<Vec<QuarantineEntry>> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT body FROM quarantine WHERE at < ? ORDER BY at")
            .bind(micros(moment))
            .fetch_all(self.readers())
            .await
            .map_err(fault)?;
        bodies(&rows)
    }

    async fn forget_quarantine(&self, run: &RunId, output: &OutputId, major: u32) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM quarantine WHERE run = ? AND output = ? AND major = ?")
            .bind(run.as_str())
            .bind(output.as_str())
            .bind(major)
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        tx.commit().await.map_err(fault)
    }
}

/// What a publication means for the quarantine; part of its transaction.
pub(crate) async fn record(tx: &mut Tx, publication: &Publication, report: &RunReport) -> Result<()> {
    for output in &report.outputs {
        if let Some(released) = &output.release {
            release(tx, output, released).await?;
            continue;
        }
        // A table that was built anew has judged all its rows again.
        if output.rebuilt {
            supersede(tx, output, &publication.run).await?;
        }
        if output.quarantine.as_ref().is_some_and(|quarantined| quarantined.rows > 0) {
            insert(tx, publication, output).await?;
        }
    }
    Ok(())
}

async fn insert(tx: &mut Tx, publication: &Publication, output: &OutputReport) -> Result<()> {
    let Some(quarantined) = output.quarantine.clone() else { return Ok(()) };
    let entry = QuarantineEntry {
        run: publication.run.clone(),
        product: publication.product.clone(),
        output: output.output.clone(),
        name: output.name.clone(),
        major: output.major,
        at: publication.at,
        location: location(&output.location),
        quarantined,
        released: Default::default(),
        superseded_by: None,
    };
    sqlx::query(
        "INSERT INTO quarantine (run, output, major, product, at, superseded, body) VALUES (?, ?, ?, ?, ?, 0, ?)",
    )
    .bind(entry.run.as_str())
    .bind(entry.output.as_str())
    .bind(entry.major)
    .bind(entry.product.as_str())
    .bind(micros(entry.at))
    .bind(to_json(&entry)?)
    .execute(&mut **tx)
    .await
    .map_err(fault)?;
    Ok(())
}

async fn supersede(tx: &mut Tx, output: &OutputReport, by: &RunId) -> Result<()> {
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT body FROM quarantine WHERE output = ? AND major = ? AND superseded = 0")
            .bind(output.output.as_str())
            .bind(output.major)
            .fetch_all(&mut **tx)
            .await
            .map_err(fault)?;
    for mut entry in bodies::<QuarantineEntry>(&rows)? {
        entry.superseded_by = Some(by.clone());
        save(tx, &entry).await?;
    }
    Ok(())
}

async fn release(tx: &mut Tx, output: &OutputReport, released: &Released) -> Result<()> {
    let row: Option<String> =
        sqlx::query_scalar("SELECT body FROM quarantine WHERE run = ? AND output = ? AND major = ?")
            .bind(released.of.as_str())
            .bind(output.output.as_str())
            .bind(output.major)
            .fetch_optional(&mut **tx)
            .await
            .map_err(fault)?;
    let taken = || {
        Error::conflict("MW0419", "the quarantine that rows were released from has changed since")
            .hint("release again what `meshwork quarantine list` still shows")
    };
    let mut entry: QuarantineEntry = from_json(&row.ok_or_else(taken)?)?;
    if entry.superseded_by.is_some() || entry.released.meets(&released.rows) {
        return Err(taken());
    }
    entry.released = entry.released.and(&released.rows);
    save(tx, &entry).await
}

async fn save(tx: &mut Tx, entry: &QuarantineEntry) -> Result<()> {
    sqlx::query("UPDATE quarantine SET superseded = ?, body = ? WHERE run = ? AND output = ? AND major = ?")
        .bind(entry.superseded_by.is_some())
        .bind(to_json(entry)?)
        .bind(entry.run.as_str())
        .bind(entry.output.as_str())
        .bind(entry.major)
        .execute(&mut **tx)
        .await
        .map_err(fault)?;
    Ok(())
}
