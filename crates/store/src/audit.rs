//! The audit log: append only, in order, durable when `append` returns.

use async_trait::async_trait;
use meshwork_control::port::state::{AuditBatch, AuditRecord, AuditState};
use meshwork_core::audit::merkle::{self, Edge, Hash, Place};
use meshwork_core::error::{Error, Result};
use sqlx::{FromRow, SqliteConnection};

use crate::SqliteState;
use crate::fault::fault;
use crate::stored::{signed, unreadable, unsigned};

#[derive(FromRow)]
struct AuditRow {
    sequence: i64,
    leaf: Vec<u8>,
}

impl AuditRow {
    fn record(self) -> Result<AuditRecord> {
        Ok(AuditRecord { sequence: unsigned(self.sequence)?, leaf: self.leaf })
    }
}

#[async_trait]
impl AuditState for SqliteState {
    async fn append(&self, batch: &AuditBatch) -> Result<()> {
        let mut tx = self.write().await?;
        let last: Option<i64> =
            sqlx::query_scalar("SELECT max(sequence) FROM audit").fetch_one(&mut *tx).await.map_err(fault)?;
        let mut sequence = last.map_or(Ok(0), unsigned)?;
        for record in &batch.records {
            if record.sequence != sequence + 1 {
                return Err(gap(sequence, record.sequence));
            }
            sqlx::query("INSERT INTO audit (sequence, leaf) VALUES (?, ?)")
                .bind(signed(record.sequence)?)
                .bind(record.leaf.as_slice())
                .execute(&mut *tx)
                .await
                .map_err(fault)?;
            sequence = record.sequence;
        }
        put_nodes(&mut tx, &batch.nodes).await?;
        sqlx::query("INSERT OR REPLACE INTO audit_checkpoint (one, note) VALUES (1, ?)")
            .bind(&batch.checkpoint)
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        tx.commit().await.map_err(fault)
    }

    async fn last(&self) -> Result<u64> {
        let last: Option<i64> =
            sqlx::query_scalar("SELECT max(sequence) FROM audit").fetch_one(self.readers()).await.map_err(fault)?;
        last.map_or(Ok(0), unsigned)
    }

    async fn nodes(&self, places: &[Place]) -> Result<Vec<Option<Hash>>> {
        let mut connection = self.readers().acquire().await.map_err(fault)?;
        let mut found = Vec::with_capacity(places.len());
        for place in places {
            let hash: Option<Vec<u8>> =
                sqlx::query_scalar("SELECT hash FROM audit_nodes WHERE level = ? AND position = ?")
                    .bind(place.level)
                    .bind(signed(place.index)?)
                    .fetch_optional(&mut *connection)
                    .await
                    .map_err(fault)?;
            found.push(hash.as_deref().map(thirty_two).transpose()?);
        }
        Ok(found)
    }

    async fn checkpoint(&self) -> Result<Option<String>> {
        sqlx::query_scalar("SELECT note FROM audit_checkpoint").fetch_optional(self.readers()).await.map_err(fault)
    }

    async fn read(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>> {
        let rows: Vec<AuditRow> =
            sqlx::query_as("SELECT sequence, leaf FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?")
                .bind(signed(after)?)
                .bind(limit)
                .fetch_all(self.readers())
                .await
                .map_err(fault)?;
        rows.into_iter().map(AuditRow::record).collect()
    }

    async fn subject_key(&self, subject: &str) -> Result<Option<[u8; 32]>> {
        let key: Option<Vec<u8>> = sqlx::query_scalar("SELECT subject_key FROM audit_subjects WHERE subject = ?")
            .bind(subject)
            .fetch_optional(self.readers())
            .await
            .map_err(fault)?;
        key.as_deref().map(thirty_two).transpose()
    }

    async fn put_subject_key(&self, subject: &str, key: [u8; 32]) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query("INSERT INTO audit_subjects (subject, subject_key) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(subject)
            .bind(key.as_slice())
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        tx.commit().await.map_err(fault)
    }

    async fn subject_keys(&self) -> Result<Vec<(String, [u8; 32])>> {
        let rows: Vec<(String, Vec<u8>)> =
            sqlx::query_as("SELECT subject, subject_key FROM audit_subjects ORDER BY subject")
                .fetch_all(self.readers())
                .await
                .map_err(fault)?;
        rows.into_iter().map(|(subject, key)| Ok((subject, thirty_two(&key)?))).collect()
    }

    async fn erase_subject(&self, subject: &str) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM audit_subjects WHERE subject = ?")
            .bind(subject)
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        tx.commit().await.map_err(fault)
    }
}

async fn put_nodes(tx: &mut SqliteConnection, nodes: &[(Place, Hash)]) -> Result<()> {
    for (place, hash) in nodes {
        sqlx::query("INSERT INTO audit_nodes (level, position, hash) VALUES (?, ?, ?)")
            .bind(place.level)
            .bind(signed(place.index)?)
            .bind(hash.as_slice())
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
    }
    Ok(())
}

/// Makes the tree of a log that has none yet.
pub(crate) async fn plant(tx: &mut SqliteConnection) -> Result<()> {
    let mut edge = Edge::default();
    loop {
        let rows: Vec<AuditRow> =
            sqlx::query_as("SELECT sequence, leaf FROM audit WHERE sequence > ? ORDER BY sequence LIMIT 1000")
                .bind(signed(edge.size())?)
                .fetch_all(&mut *tx)
                .await
                .map_err(fault)?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            let next = unsigned(row.sequence)?;
            if next != edge.size() + 1 {
                return Err(gap(edge.size(), next));
            }
            put_nodes(tx, &edge.push(merkle::leaf(&row.leaf))).await?;
        }
    }
}

fn thirty_two(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| unreadable("a hash or key of the audit log is not 32 bytes long"))
}

fn gap(last: u64, next: u64) -> Error {
    Error::conflict("MW0453", format!("audit record {next} does not continue the log, whose last record is {last}"))
        .hint("another process may be writing to the same state")
}
