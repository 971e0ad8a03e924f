//! Publications: what readers resolve through (D4).

use async_trait::async_trait;
use meshwork_control::port::state::PublicationState;
use meshwork_core::effect::Timestamp;
use meshwork_core::error::Result;
use meshwork_core::id::{OutputId, ProductId, PublicationId};
use meshwork_core::publication::Publication;
use sqlx::{Sqlite, Transaction};

use crate::SqliteState;
use crate::fault::fault;
use crate::stored::{bodies, from_json, micros, timestamp, to_json};
use crate::table;

#[async_trait]
impl PublicationState for SqliteState {
    async fn resolve(&self, output: &OutputId, major: u32, as_of: Option<Timestamp>) -> Result<Option<Publication>> {
        // Sequence, not time, orders publications: a clock that was set back must not hide the newest.
        let body: Option<String> = sqlx::query_scalar(
            "SELECT p.body FROM published_outputs o JOIN publications p ON p.sequence = o.publication
             WHERE o.output = ?1 AND o.major = ?2 AND (?3 IS NULL OR o.at <= ?3)
             ORDER BY o.publication DESC LIMIT 1",
        )
        .bind(output.as_str())
        .bind(major)
        .bind(as_of.map(micros))
        .fetch_optional(self.readers())
        .await
        .map_err(fault)?;
        body.as_deref().map(from_json).transpose()
    }

    async fn publication(&self, id: &PublicationId) -> Result<Option<Publication>> {
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM publications WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(self.readers())
            .await
            .map_err(fault)?;
        body.as_deref().map(from_json).transpose()
    }

    async fn publications(
        &self,
        product: Option<&ProductId>,
        before: Option<&PublicationId>,
        limit: u32,
    ) -> Result<Vec<Publication>> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM publications
             WHERE (?1 IS NULL OR product = ?1)
               AND (?2 IS NULL OR sequence < (SELECT sequence FROM publications WHERE id = ?2))
             ORDER BY sequence DESC LIMIT ?3",
        )
        .bind(product.map(ProductId::as_str))
        .bind(before.map(PublicationId::as_str))
        .bind(limit)
        .fetch_all(self.readers())
        .await
        .map_err(fault)?;
        bodies(&rows)
    }

    async fn current(&self) -> Result<Vec<Publication>> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM publications WHERE sequence IN
               (SELECT max(publication) FROM published_outputs GROUP BY output, major)
             ORDER BY sequence DESC",
        )
        .fetch_all(self.readers())
        .await
        .map_err(fault)?;
        bodies(&rows)
    }

    async fn kept(&self, output: &OutputId, major: u32) -> Result<Vec<Publication>> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT p.body FROM published_outputs o JOIN publications p ON p.sequence = o.publication
             WHERE o.output = ?1 AND o.major = ?2 AND o.publication >= coalesce(
               (SELECT h.publication FROM horizons h WHERE h.output = ?1 AND h.major = ?2), 0)
             ORDER BY o.publication DESC",
        )
        .bind(output.as_str())
        .bind(major)
        .fetch_all(self.readers())
        .await
        .map_err(fault)?;
        bodies(&rows)
    }

    async fn horizon(&self, output: &OutputId, major: u32) -> Result<Option<Timestamp>> {
        let at: Option<i64> = sqlx::query_scalar("SELECT at FROM horizons WHERE output = ? AND major = ?")
            .bind(output.as_str())
            .bind(major)
            .fetch_optional(self.readers())
            .await
            .map_err(fault)?;
        at.map(timestamp).transpose()
    }

    async fn kept_views(&self) -> Result<Vec<Publication>> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT p.body FROM publications p
             WHERE instr(p.body, '\"kind\":\"view\"') > 0 AND EXISTS (
               SELECT 1 FROM published_outputs o LEFT JOIN horizons h ON h.output = o.output AND h.major = o.major
               WHERE o.publication = p.sequence AND o.publication >= coalesce(h.publication, 0))
             ORDER BY p.sequence DESC",
        )
        .fetch_all(self.readers())
        .await
        .map_err(fault)?;
        bodies(&rows)
    }

    async fn expire(&self, output: &OutputId, major: u32, oldest: &PublicationId) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO horizons (output, major, publication, at)
             SELECT o.output, o.major, o.publication, o.at FROM published_outputs o
             JOIN publications p ON p.sequence = o.publication
             WHERE o.output = ?1 AND o.major = ?2 AND p.id = ?3
             ON CONFLICT (output, major) DO UPDATE SET publication = excluded.publication, at = excluded.at
             WHERE excluded.publication > publication",
        )
        .bind(output.as_str())
        .bind(major)
        .bind(oldest.as_str())
        .execute(&mut *tx)
        .await
        .map_err(fault)?;
        tx.commit().await.map_err(fault)
    }
}

/// The publication, its outputs and the event that tells of it; part of the run's last transaction.
pub(crate) async fn insert_publication(tx: &mut Transaction<'static, Sqlite>, publication: &Publication) -> Result<()> {
    let body = to_json(publication)?;
    let at = micros(publication.at);
    let sequence: i64 = sqlx::query_scalar(
        "INSERT INTO publications (id, product, run, at, body) VALUES (?, ?, ?, ?, ?) RETURNING sequence",
    )
    .bind(publication.id.as_str())
    .bind(publication.product.as_str())
    .bind(publication.run.as_str())
    .bind(at)
    .bind(&body)
    .fetch_one(&mut **tx)
    .await
    .map_err(fault)?;
    for output in &publication.outputs {
        sqlx::query("INSERT INTO published_outputs (output, major, publication, at) VALUES (?, ?, ?, ?)")
            .bind(output.output.as_str())
            .bind(output.major)
            .bind(sequence)
            .bind(at)
            .execute(&mut **tx)
            .await
            .map_err(fault)?;
        table::insert(tx, &publication.product, output).await?;
    }
    sqlx::query("INSERT INTO outbox (kind, at, body) VALUES ('publication.created', ?, ?)")
        .bind(at)
        .bind(serde_json::json!({ "publication": publication.id, "product": publication.product }).to_string())
        .execute(&mut **tx)
        .await
        .map_err(fault)?;
    Ok(())
}
