//! Copies of the state: one taken while it is used, and one put to use in another place.

use std::path::Path;

use async_trait::async_trait;
use meshwork_control::port::backup::StateCopy;
use meshwork_core::error::{Error, Result};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::SqliteState;
use crate::fault::{fault, opening};

#[async_trait]
impl StateCopy for SqliteState {
    async fn copy_to(&self, path: &Path) -> Result<()> {
        let name = path.to_str().ok_or_else(|| {
            Error::usage("MW0419", format!("the state cannot be copied to {}: the path is not UTF-8", path.display()))
        })?;
        // A connection of its own: the copy may take long, and the readers are few.
        let mut connection = self.readers().acquire().await.map_err(fault)?.detach();
        // It may write: to the new file, nowhere else.
        sqlx::query("PRAGMA query_only = OFF").execute(&mut connection).await.map_err(fault)?;
        let copied = sqlx::query("VACUUM INTO ?").bind(name).execute(&mut connection).await.map_err(fault);
        let _ = connection.close().await;
        copied.map(drop)
    }
}

/// Looks a restored state over, and lets it find its tables where they are now: storage roots `from` become `to`.
///
/// Errors: MW0403 (damaged).
pub async fn settle_copy(path: &Path, roots: &[(String, String)]) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false).foreign_keys(true);
    let mut connection = options.disable_statement_logging().connect().await.map_err(|error| opening(path, &error))?;
    let health: String =
        sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut connection).await.map_err(fault)?;
    if health != "ok" {
        return Err(Error::environment("MW0403", format!("{} is damaged: {health}", path.display()))
            .hint("restore another backup"));
    }
    let mut tx = connection.begin().await.map_err(fault)?;
    for (from, to) in roots.iter().filter(|(from, to)| from != to) {
        // A location is `{"root": URL, "path": …}`, in publications, in the reports of runs that wait for recovery, of rows that were
        // set aside.
        let quoted = |root: &str| format!("\"root\":{}", serde_json::Value::from(root));
        for (table, column) in [("publications", "body"), ("runs", "report"), ("runs", "body"), ("quarantine", "body")]
        {
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "UPDATE {table} SET {column} = replace({column}, ?1, ?2) WHERE instr({column}, ?1) > 0"
            )))
            .bind(quoted(from))
            .bind(quoted(to))
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        }
        sqlx::query("UPDATE OR REPLACE tables SET root = ?2 WHERE root = ?1")
            .bind(from)
            .bind(to)
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
    }
    // Whoever held a product's lease does not hold it here.
    sqlx::query("UPDATE leases SET expires_at = 0 WHERE run IS NOT NULL").execute(&mut *tx).await.map_err(fault)?;
    tx.commit().await.map_err(fault)?;
    connection.close().await.map_err(fault)
}
