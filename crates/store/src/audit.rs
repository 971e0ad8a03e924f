//! The audit log: append only, in order, durable when `append` returns.

use async_trait::async_trait;
use meshwork_control::port::state::{AuditRecord, AuditState};
use meshwork_core::audit::chain;
use meshwork_core::error::{Error, Result};
use sqlx::FromRow;

use crate::SqliteState;
use crate::fault::fault;
use crate::stored::{signed, unreadable, unsigned};

#[derive(FromRow)]
struct AuditRow {
    sequence: i64,
    leaf: Vec<u8>,
    leaf_hash: Vec<u8>,
    chain_hash: Vec<u8>,
}

impl AuditRow {
    fn record(self) -> Result<AuditRecord> {
        Ok(AuditRecord {
            sequence: unsigned(self.sequence)?,
            leaf: self.leaf,
            leaf_hash: thirty_two(&self.leaf_hash)?,
            chain_hash: thirty_two(&self.chain_hash)?,
        })
    }
}

#[async_trait]
impl AuditState for SqliteState {
    async fn append(&self, records: &[AuditRecord]) -> Result<()> {
        let mut tx = self.write().await?;
        let last: Option<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT sequence, chain_hash FROM audit ORDER BY sequence DESC LIMIT 1")
                .fetch_optional(&mut *tx)
                .await
                .map_err(fault)?;
        let (mut sequence, mut previous) = match last {
            Some((sequence, hash)) => (unsigned(sequence)?, thirty_two(&hash)?),
            None => (0, chain::GENESIS),
        };
        for record in records {
            if record.sequence != sequence + 1 || record.chain_hash != chain::link(&previous, &record.leaf_hash) {
                return Err(gap(sequence, record.sequence));
            }
            sqlx::query("INSERT INTO audit (sequence, leaf, leaf_hash, chain_hash) VALUES (?, ?, ?, ?)")
                .bind(signed(record.sequence)?)
                .bind(record.leaf.as_slice())
                .bind(record.leaf_hash.as_slice())
                .bind(record.chain_hash.as_slice())
                .execute(&mut *tx)
                .await
                .map_err(fault)?;
            (sequence, previous) = (record.sequence, record.chain_hash);
        }
        tx.commit().await.map_err(fault)
    }

    async fn last(&self) -> Result<Option<AuditRecord>> {
        let row: Option<AuditRow> =
            sqlx::query_as("SELECT sequence, leaf, leaf_hash, chain_hash FROM audit ORDER BY sequence DESC LIMIT 1")
                .fetch_optional(self.readers())
                .await
                .map_err(fault)?;
        row.map(AuditRow::record).transpose()
    }

    async fn read(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>> {
        let rows: Vec<AuditRow> = sqlx::query_as(
            "SELECT sequence, leaf, leaf_hash, chain_hash FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?",
        )
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

fn thirty_two(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| unreadable("a hash or key of the audit log is not 32 bytes long"))
}

fn gap(last: u64, next: u64) -> Error {
    Error::conflict("MW0453", format!("audit record {next} does not continue the log, whose last record is {last}"))
        .hint("another process may be writing to the same state")
}
