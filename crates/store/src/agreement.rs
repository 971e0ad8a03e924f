//! Agreements. Every change raises the policy epoch.

use async_trait::async_trait;
use meshwork_control::port::state::AgreementState;
use meshwork_core::agreement::Agreement;
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::{AgreementId, OutputId};
use meshwork_core::principal::Principal;

use crate::SqliteState;
use crate::fault::fault;
use crate::mesh::bump_epoch;
use crate::stored::{bodies, from_json, to_json};

#[async_trait]
impl AgreementState for SqliteState {
    async fn grant(&self, agreement: &Agreement) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query("INSERT INTO agreements (id, output, body) VALUES (?, ?, ?)")
            .bind(agreement.id.as_str())
            .bind(agreement.output.as_str())
            .bind(to_json(agreement)?)
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        bump_epoch(&mut tx).await?;
        tx.commit().await.map_err(fault)
    }

    async fn revoke(&self, id: &AgreementId, at: Timestamp, by: &Principal) -> Result<Agreement> {
        let mut tx = self.write().await?;
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM agreements WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(fault)?;
        let mut agreement: Agreement = from_json(&body.ok_or_else(|| unknown(id))?)?;
        if agreement.revoked_at.is_some() {
            return Ok(agreement);
        }
        agreement.revoked_at = Some(at);
        sqlx::query("UPDATE agreements SET body = ?, revoked_by = ? WHERE id = ?")
            .bind(to_json(&agreement)?)
            .bind(by.to_string())
            .bind(id.as_str())
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        bump_epoch(&mut tx).await?;
        tx.commit().await.map_err(fault)?;
        Ok(agreement)
    }

    async fn agreement(&self, id: &AgreementId) -> Result<Option<Agreement>> {
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM agreements WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(self.readers())
            .await
            .map_err(fault)?;
        body.as_deref().map(from_json).transpose()
    }

    async fn agreements(&self) -> Result<Vec<Agreement>> {
        let rows = sqlx::query_scalar("SELECT body FROM agreements ORDER BY sequence DESC");
        bodies(&rows.fetch_all(self.readers()).await.map_err(fault)?)
    }

    async fn agreements_of(&self, output: &OutputId) -> Result<Vec<Agreement>> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM agreements WHERE output = ? AND revoked_by IS NULL ORDER BY sequence DESC",
        )
        .bind(output.as_str())
        .fetch_all(self.readers())
        .await
        .map_err(fault)?;
        bodies(&rows)
    }
}

fn unknown(id: &AgreementId) -> Error {
    Error::not_found("MW0415", format!("there is no agreement {id}")).hint("list them with `meshwork access list`")
}
