//! Where tables lie and have lain.

use async_trait::async_trait;
use meshwork_control::port::state::{KnownTable, TableState};
use meshwork_core::effect::Timestamp;
use meshwork_core::error::Result;
use meshwork_core::id::{OutputId, ProductId};
use meshwork_core::publication::{PublishedOutput, TableLocation, TablePlace};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, Transaction};

use crate::SqliteState;
use crate::fault::fault;
use crate::stored::{micros, timestamp, unreadable};

#[async_trait]
impl TableState for SqliteState {
    async fn tables(&self, product: Option<&ProductId>) -> Result<Vec<KnownTable>> {
        let rows: Vec<(String, i64, String, String, Option<i64>)> = sqlx::query_as(
            "SELECT output, major, root, path, given_up FROM tables WHERE ?1 IS NULL OR product = ?1
             ORDER BY output, major, root, path",
        )
        .bind(product.map(ProductId::as_str))
        .fetch_all(self.readers())
        .await
        .map_err(fault)?;
        let known = rows.into_iter().map(|(output, major, root, path, given_up)| {
            let place = TablePlace {
                output: OutputId::new(output),
                major: u32::try_from(major).map_err(|_| unreadable("a major version is out of range"))?,
                location: TableLocation { root, path },
            };
            Ok(KnownTable { place, given_up: given_up.map(timestamp).transpose()? })
        });
        known.collect()
    }

    async fn set_given_up(&self, table: &TablePlace, since: Option<Timestamp>) -> Result<()> {
        const SQL: &str =
            "UPDATE tables SET given_up = ?5 WHERE output = ?1 AND major = ?2 AND root = ?3 AND path = ?4";
        self.execute(of(SQL, table).bind(since.map(micros))).await
    }

    async fn withdraw(&self, table: &TablePlace) -> Result<()> {
        const SQL: &str = "DELETE FROM published_outputs
             WHERE output = ?1 AND major = ?2 AND publication IN (
               SELECT p.sequence FROM publications p, json_each(p.body, '$.outputs') o
               WHERE o.value ->> '$.output' = ?1 AND o.value ->> '$.major' = ?2
                 AND o.value ->> '$.location.root' = ?3 AND o.value ->> '$.location.path' = ?4
                 AND p.sequence IN (SELECT publication FROM published_outputs WHERE output = ?1 AND major = ?2))";
        self.execute(of(SQL, table)).await
    }

    async fn forget_table(&self, table: &TablePlace) -> Result<()> {
        const SQL: &str = "DELETE FROM tables WHERE output = ?1 AND major = ?2 AND root = ?3 AND path = ?4";
        self.execute(of(SQL, table)).await
    }
}

type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// The first four arguments of a statement about a table.
fn of(sql: &'static str, table: &TablePlace) -> Query {
    sqlx::query(sql)
        .bind(table.output.to_string())
        .bind(table.major)
        .bind(table.location.root.clone())
        .bind(table.location.path.clone())
}

impl SqliteState {
    async fn execute(&self, query: Query) -> Result<()> {
        let mut tx = self.write().await?;
        query.execute(&mut *tx).await.map_err(fault)?;
        tx.commit().await.map_err(fault)
    }
}

/// A table that a publication names; part of the run's last transaction.
pub(crate) async fn insert(
    tx: &mut Transaction<'static, Sqlite>,
    product: &ProductId,
    output: &PublishedOutput,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO tables (output, major, root, path, product) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET given_up = NULL, product = excluded.product",
    )
    .bind(output.output.as_str())
    .bind(output.major)
    .bind(&output.location.root)
    .bind(&output.location.path)
    .bind(product.as_str())
    .execute(&mut **tx)
    .await
    .map_err(fault)?;
    Ok(())
}
