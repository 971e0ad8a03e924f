//! The applied mesh, its revision, and the policy epoch.

use async_trait::async_trait;
use meshwork_control::port::state::{Applied, MeshState};
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::MeshId;
use meshwork_core::mesh::Mesh;
use meshwork_core::principal::Principal;
use sqlx::{Sqlite, Transaction};

use crate::SqliteState;
use crate::fault::fault;
use crate::stored::{from_json, micros, signed, to_json, unsigned};

#[async_trait]
impl MeshState for SqliteState {
    async fn applied(&self) -> Result<Applied> {
        let (mesh_id, revision, body): (String, i64, Option<String>) =
            sqlx::query_as("SELECT mesh_id, revision, body FROM mesh")
                .fetch_one(self.readers())
                .await
                .map_err(fault)?;
        let mesh = body.as_deref().map(from_json).transpose()?;
        Ok(Applied { revision: unsigned(revision)?, mesh_id: MeshId::new(mesh_id), mesh })
    }

    async fn apply(
        &self,
        base: u64,
        mesh: &Mesh,
        changes: &serde_json::Value,
        actor: &Principal,
        at: Timestamp,
    ) -> Result<u64> {
        let body = to_json(mesh)?;
        let mut tx = self.write().await?;
        self.step("apply-begun");
        let current: i64 = sqlx::query_scalar("SELECT revision FROM mesh").fetch_one(&mut *tx).await.map_err(fault)?;
        if current != signed(base)? {
            return Err(changed_since(base, current));
        }
        let revision = current + 1;
        sqlx::query("UPDATE mesh SET revision = ?, body = ?")
            .bind(revision)
            .bind(body)
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        sqlx::query("INSERT INTO apply_history (revision, actor, at, changes) VALUES (?, ?, ?, ?)")
            .bind(revision)
            .bind(actor.to_string())
            .bind(micros(at))
            .bind(changes.to_string())
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        bump_epoch(&mut tx).await?;
        self.step("apply-written");
        tx.commit().await.map_err(fault)?;
        self.step("apply-committed");
        unsigned(revision)
    }

    async fn policy_epoch(&self) -> Result<u64> {
        let epoch = sqlx::query_scalar("SELECT policy_epoch FROM mesh").fetch_one(self.readers()).await;
        unsigned(epoch.map_err(fault)?)
    }
}

/// In the transaction of whatever changed, so that a decision never outlives what it was made of (D17).
pub(crate) async fn bump_epoch(tx: &mut Transaction<'static, Sqlite>) -> Result<()> {
    sqlx::query("UPDATE mesh SET policy_epoch = policy_epoch + 1").execute(&mut **tx).await.map_err(fault)?;
    Ok(())
}

fn changed_since(base: u64, current: i64) -> Error {
    Error::conflict("MW0410", format!("the plan is based on revision {base}, but the mesh is at revision {current}"))
        .hint("plan again, look at what changed, then apply")
}
