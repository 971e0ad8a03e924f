//! Schema versions (D25): older states are migrated when they are opened, newer ones refused.

use std::path::Path;

use meshwork_core::error::{Error, Result};
use meshwork_core::id::{Ids, MeshId};
use sqlx::SqlitePool;

use crate::audit;
use crate::fault::{self, fault};

/// Every migration ends by setting `user_version` to its place in this list, counted from 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_retention.sql"),
    include_str!("../migrations/0003_quarantine.sql"),
    include_str!("../migrations/0004_audit_tree.sql"),
    include_str!("../migrations/0005_tables.sql"),
];

/// The first version whose audit log has a tree.
const AUDIT_TREE: i64 = 4;

/// `Mesh` in ASCII.
const APPLICATION: i64 = 1_298_494_312;

/// Brings the state to this binary's schema, in one transaction.
pub(crate) async fn migrate(writer: &SqlitePool, path: &Path, ids: Ids<'_>) -> Result<()> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(|error| fault::opening(path, &error))?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *tx).await.map_err(fault)?;
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *tx).await.map_err(fault)?;
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *tx).await.map_err(fault)?;
    let new = version == 0 && application == 0 && tables == 0;
    if !new && application != APPLICATION {
        return Err(fault::not_a_state(path, "it belongs to another application"));
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version > known {
        return Err(newer(path, version, known));
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        sqlx::raw_sql(*migration).execute(&mut *tx).await.map_err(fault)?;
    }
    if !new && version < AUDIT_TREE {
        audit::plant(&mut tx).await?;
    }
    if new {
        sqlx::query("INSERT INTO mesh (one, mesh_id, revision, policy_epoch) VALUES (1, ?, 0, 0)")
            .bind(MeshId::generate(ids).as_str())
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
    }
    tx.commit().await.map_err(fault)
}

fn newer(path: &Path, version: i64, known: i64) -> Error {
    Error::environment(
        "MW0402",
        format!("{} has schema version {version}; this binary knows versions up to {known}", path.display()),
    )
    .hint("use the newer `meshwork` that wrote it, or restore the backup taken before the upgrade")
}
