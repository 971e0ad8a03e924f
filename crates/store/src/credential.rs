//! Users and their tokens. Every change raises the policy epoch.

use async_trait::async_trait;
use meshwork_control::port::state::{CredentialState, Token, User};
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::TokenId;

use crate::SqliteState;
use crate::fault::{fault, fault_or};
use crate::mesh::bump_epoch;
use crate::stored::{bodies, from_json, to_json};

#[async_trait]
impl CredentialState for SqliteState {
    async fn user(&self, name: &str) -> Result<Option<User>> {
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM users WHERE name = ?")
            .bind(name)
            .fetch_optional(self.readers())
            .await
            .map_err(fault)?;
        body.as_deref().map(from_json).transpose()
    }

    async fn users(&self) -> Result<Vec<User>> {
        let rows = sqlx::query_scalar("SELECT body FROM users ORDER BY name");
        bodies(&rows.fetch_all(self.readers()).await.map_err(fault)?)
    }

    async fn put_user(&self, user: &User) -> Result<()> {
        let mut tx = self.write().await?;
        // Not REPLACE: that would delete the row, and its tokens with it.
        sqlx::query("INSERT INTO users (name, body) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET body = ?2")
            .bind(&user.name)
            .bind(to_json(user)?)
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        bump_epoch(&mut tx).await?;
        tx.commit().await.map_err(fault)
    }

    async fn remove_user(&self, name: &str) -> Result<()> {
        let mut tx = self.write().await?;
        let removed =
            sqlx::query("DELETE FROM users WHERE name = ?").bind(name).execute(&mut *tx).await.map_err(fault)?;
        if removed.rows_affected() == 0 {
            return Err(unknown_user(name));
        }
        bump_epoch(&mut tx).await?;
        tx.commit().await.map_err(fault)
    }

    async fn put_token(&self, token: &Token) -> Result<()> {
        let mut tx = self.write().await?;
        insert_token(&mut tx, token).await?;
        bump_epoch(&mut tx).await?;
        tx.commit().await.map_err(fault)
    }

    async fn token_by_hash(&self, hash: &str) -> Result<Option<Token>> {
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM tokens WHERE hash = ?")
            .bind(hash)
            .fetch_optional(self.readers())
            .await
            .map_err(fault)?;
        body.as_deref().map(from_json).transpose()
    }

    async fn tokens(&self, user: Option<&str>) -> Result<Vec<Token>> {
        let rows: Vec<String> =
            sqlx::query_scalar("SELECT body FROM tokens WHERE ?1 IS NULL OR user = ?1 ORDER BY id DESC")
                .bind(user)
                .fetch_all(self.readers())
                .await
                .map_err(fault)?;
        bodies(&rows)
    }

    async fn remove_token(&self, id: &TokenId) -> Result<()> {
        let mut tx = self.write().await?;
        let removed =
            sqlx::query("DELETE FROM tokens WHERE id = ?").bind(id.as_str()).execute(&mut *tx).await.map_err(fault)?;
        if removed.rows_affected() == 0 {
            return Err(Error::not_found("MW0416", format!("there is no token {id}")));
        }
        bump_epoch(&mut tx).await?;
        tx.commit().await.map_err(fault)
    }

    async fn use_token(&self, id: &TokenId, at: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query("UPDATE tokens SET body = json_set(body, '$.last_used_at', ?) WHERE id = ?")
            .bind(at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
            .bind(id.as_str())
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        tx.commit().await.map_err(fault)
    }

    async fn exchange_token(&self, spent: &TokenId, at: Timestamp, new: &Token) -> Result<bool> {
        let mut tx = self.write().await?;
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM tokens WHERE id = ?")
            .bind(spent.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(fault)?;
        let Some(mut token) = body.as_deref().map(from_json::<Token>).transpose()? else { return Ok(false) };
        if !token.one_time || token.spent_at.is_some() {
            return Ok(false);
        }
        token.spent_at = Some(at);
        sqlx::query("UPDATE tokens SET body = ? WHERE id = ?")
            .bind(to_json(&token)?)
            .bind(spent.as_str())
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        insert_token(&mut tx, new).await?;
        bump_epoch(&mut tx).await?;
        tx.commit().await.map_err(fault)?;
        Ok(true)
    }
}

async fn insert_token(tx: &mut sqlx::SqliteConnection, token: &Token) -> Result<()> {
    sqlx::query("INSERT INTO tokens (id, user, hash, body) VALUES (?, ?, ?, ?)")
        .bind(token.id.as_str())
        .bind(&token.user)
        .bind(&token.hash)
        .bind(to_json(token)?)
        .execute(tx)
        .await
        .map(drop)
        .map_err(fault_or(|| unknown_user(&token.user)))
}

fn unknown_user(name: &str) -> Error {
    Error::not_found("MW0416", format!("there is no user `{}`", name.escape_debug()))
}
