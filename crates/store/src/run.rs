//! Runs, their leases and their logs. The lease's fencing token decides who may still publish (D11).

use async_trait::async_trait;
use meshwork_control::port::state::RunLedger;
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::{ProductId, RunId};
use meshwork_core::publication::Publication;
use meshwork_core::run::{Lease, Run, RunReport, RunState};
use sqlx::{FromRow, Sqlite, Transaction};

use crate::SqliteState;
use crate::fault::{fault, fault_or};
use crate::publication::insert_publication;
use crate::quarantine;
use crate::stored::{bodies, from_json, micros, signed, timestamp, to_json, unreadable, unsigned};

type Tx = Transaction<'static, Sqlite>;

#[derive(FromRow)]
struct LeaseRow {
    product: String,
    run: Option<String>,
    fencing_token: i64,
    holder: String,
    expires_at: i64,
}

impl LeaseRow {
    fn lease(self, run: &RunId) -> Result<Lease> {
        Ok(Lease {
            product: ProductId::new(self.product),
            run: run.clone(),
            fencing_token: unsigned(self.fencing_token)?,
            holder: self.holder,
            expires_at: timestamp(self.expires_at)?,
        })
    }
}

#[async_trait]
impl RunLedger for SqliteState {
    async fn start_run(&self, run: &Run, holder: &str, now: Timestamp, expires_at: Timestamp) -> Result<Lease> {
        let mut tx = self.write().await?;
        let previous = lease_row(&mut tx, &run.product).await?;
        if let Some(row) = &previous {
            make_way(&mut tx, row, now).await?;
        }
        let fencing_token = previous.map_or(0, |row| row.fencing_token) + 1;
        let running = Run { state: RunState::Running, ..run.clone() };
        sqlx::query("INSERT INTO runs (id, product, state, fencing_token, body) VALUES (?, ?, ?, ?, ?)")
            .bind(run.id.as_str())
            .bind(run.product.as_str())
            .bind(state_name(RunState::Running))
            .bind(fencing_token)
            .bind(to_json(&running)?)
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        sqlx::query(
            "INSERT INTO leases (product, run, fencing_token, holder, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (product) DO UPDATE SET run = ?2, fencing_token = ?3, holder = ?4, expires_at = ?5",
        )
        .bind(run.product.as_str())
        .bind(run.id.as_str())
        .bind(fencing_token)
        .bind(holder)
        .bind(micros(expires_at))
        .execute(&mut *tx)
        .await
        .map_err(fault)?;
        tx.commit().await.map_err(fault)?;
        Ok(Lease {
            product: run.product.clone(),
            run: run.id.clone(),
            fencing_token: unsigned(fencing_token)?,
            holder: holder.to_owned(),
            expires_at,
        })
    }

    async fn heartbeat(&self, lease: &Lease, expires_at: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        guard(&mut tx, lease).await?;
        set_expiry(&mut tx, lease, expires_at).await?;
        tx.commit().await.map_err(fault)
    }

    async fn store_verdict(&self, lease: &Lease, report: &RunReport, now: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        self.step("verdict-begun");
        let row = guard(&mut tx, lease).await?;
        if row.expires_at <= micros(now) {
            return Err(lost(lease, "its lease ran out before the verdict was in"));
        }
        let mut run = load(&mut tx, &lease.run).await?;
        if run.state.is_over() {
            return Err(lost(lease, "it is over already"));
        }
        run.state = RunState::Committing;
        save(&mut tx, &run, Some(report)).await?;
        self.step("verdict-written");
        tx.commit().await.map_err(fault)?;
        self.step("verdict-committed");
        Ok(())
    }

    async fn publish(&self, lease: &Lease, publication: &Publication) -> Result<()> {
        let mut tx = self.write().await?;
        self.step("publish-begun");
        let mut run = load(&mut tx, &lease.run).await?;
        if run.publication.as_ref() == Some(&publication.id) {
            // The answer to an earlier attempt was lost; the publication was not.
            return Ok(());
        }
        guard(&mut tx, lease).await?;
        if run.state != RunState::Committing {
            return Err(lost(lease, "no passing verdict is stored for it"));
        }
        insert_publication(&mut tx, publication).await?;
        if let Some(report) = stored_report(&mut tx, &run.id).await? {
            quarantine::record(&mut tx, publication, &report).await?;
        }
        run.state = RunState::Published;
        run.finished_at = Some(publication.at);
        run.publication = Some(publication.id.clone());
        save(&mut tx, &run, None).await?;
        release(&mut tx, lease).await?;
        self.step("publish-written");
        tx.commit().await.map_err(fault)?;
        self.step("publish-committed");
        Ok(())
    }

    async fn finish_run(&self, lease: &Lease, run: &Run, report: Option<&RunReport>) -> Result<()> {
        let mut tx = self.write().await?;
        guard(&mut tx, lease).await?;
        save(&mut tx, run, report).await?;
        release(&mut tx, lease).await?;
        tx.commit().await.map_err(fault)
    }

    async fn run(&self, id: &RunId) -> Result<Option<(Run, Option<RunReport>)>> {
        let row: Option<(String, Option<String>)> = sqlx::query_as("SELECT body, report FROM runs WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(self.readers())
            .await
            .map_err(fault)?;
        row.map(|(body, report)| run_with_report(&body, report.as_deref())).transpose()
    }

    async fn runs(&self, product: Option<&ProductId>, before: Option<&RunId>, limit: u32) -> Result<Vec<Run>> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM runs
             WHERE (?1 IS NULL OR product = ?1)
               AND (?2 IS NULL OR sequence < (SELECT sequence FROM runs WHERE id = ?2))
             ORDER BY sequence DESC LIMIT ?3",
        )
        .bind(product.map(ProductId::as_str))
        .bind(before.map(RunId::as_str))
        .bind(limit)
        .fetch_all(self.readers())
        .await
        .map_err(fault)?;
        bodies(&rows)
    }

    async fn stranded(&self, now: Timestamp) -> Result<Vec<(Run, Lease, Option<RunReport>)>> {
        #[derive(FromRow)]
        struct Stranded {
            body: String,
            report: Option<String>,
            #[sqlx(flatten)]
            lease: LeaseRow,
        }
        let rows: Vec<Stranded> = sqlx::query_as(
            "SELECT r.body, r.report, l.product, l.run, l.fencing_token, l.holder, l.expires_at
             FROM runs r JOIN leases l ON l.run = r.id
             WHERE r.state IN ('running', 'committing') AND l.expires_at <= ?
             ORDER BY r.sequence",
        )
        .bind(micros(now))
        .fetch_all(self.readers())
        .await
        .map_err(fault)?;
        rows.into_iter()
            .map(|row| {
                let (run, report) = run_with_report(&row.body, row.report.as_deref())?;
                let lease = row.lease.lease(&run.id)?;
                Ok((run, lease, report))
            })
            .collect()
    }

    async fn take_over(&self, lease: &Lease, holder: &str, now: Timestamp, expires_at: Timestamp) -> Result<Lease> {
        let mut tx = self.write().await?;
        let row = guard(&mut tx, lease).await?;
        if row.expires_at > micros(now) {
            return Err(held(&row)?);
        }
        let fencing_token = row.fencing_token + 1;
        sqlx::query("UPDATE leases SET fencing_token = ?, holder = ?, expires_at = ? WHERE product = ?")
            .bind(fencing_token)
            .bind(holder)
            .bind(micros(expires_at))
            .bind(lease.product.as_str())
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        sqlx::query("UPDATE runs SET fencing_token = ? WHERE id = ?")
            .bind(fencing_token)
            .bind(lease.run.as_str())
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        tx.commit().await.map_err(fault)?;
        Ok(Lease { fencing_token: unsigned(fencing_token)?, holder: holder.to_owned(), expires_at, ..lease.clone() })
    }

    async fn append_log(&self, run: &RunId, at: Timestamp, level: &str, line: &str) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query("INSERT INTO run_log (run, at, level, line) VALUES (?, ?, ?, ?)")
            .bind(run.as_str())
            .bind(micros(at))
            .bind(level)
            .bind(line)
            .execute(&mut *tx)
            .await
            .map_err(fault_or(|| unknown_run(run)))?;
        tx.commit().await.map_err(fault)
    }

    async fn log(&self, run: &RunId) -> Result<Vec<(Timestamp, String, String)>> {
        let rows: Vec<(i64, String, String)> =
            sqlx::query_as("SELECT at, level, line FROM run_log WHERE run = ? ORDER BY sequence")
                .bind(run.as_str())
                .fetch_all(self.readers())
                .await
                .map_err(fault)?;
        rows.into_iter().map(|(at, level, line)| Ok((timestamp(at)?, level, line))).collect()
    }
}

async fn lease_row(tx: &mut Tx, product: &ProductId) -> Result<Option<LeaseRow>> {
    sqlx::query_as("SELECT product, run, fencing_token, holder, expires_at FROM leases WHERE product = ?")
        .bind(product.as_str())
        .fetch_optional(&mut **tx)
        .await
        .map_err(fault)
}

/// The lease as stored, if `lease` is still the newest of its product.
async fn guard(tx: &mut Tx, lease: &Lease) -> Result<LeaseRow> {
    let row = lease_row(tx, &lease.product).await?.ok_or_else(|| lost(lease, "its product has no lease"))?;
    let newest = row.run.as_deref() == Some(lease.run.as_str()) && row.fencing_token == signed(lease.fencing_token)?;
    if newest { Ok(row) } else { Err(lost(lease, "another process has taken its product over")) }
}

/// Whether a new run may take the product: nobody holds it, or the holder died without a trace.
async fn make_way(tx: &mut Tx, row: &LeaseRow, now: Timestamp) -> Result<()> {
    let Some(run) = &row.run else { return Ok(()) };
    if row.expires_at > micros(now) {
        return Err(held(row)?);
    }
    let mut run = load(tx, &RunId::new(run)).await?;
    match run.state {
        // Without a stored verdict it can never commit: dropping it loses nothing.
        RunState::Running => {
            run.state = RunState::Cancelled;
            run.finished_at = Some(now);
            run.error = Some(Error::conflict("MW0413", "its process stopped answering and the lease ran out"));
            save(tx, &run, None).await
        }
        RunState::Committing => Err(Error::conflict(
            "MW0412",
            format!("run {} of {} stopped while it was committing and must be recovered first", run.id, run.name),
        )),
        _ => Ok(()),
    }
}

async fn load(tx: &mut Tx, id: &RunId) -> Result<Run> {
    let body: Option<String> = sqlx::query_scalar("SELECT body FROM runs WHERE id = ?")
        .bind(id.as_str())
        .fetch_optional(&mut **tx)
        .await
        .map_err(fault)?;
    from_json(&body.ok_or_else(|| unknown_run(id))?)
}

async fn stored_report(tx: &mut Tx, id: &RunId) -> Result<Option<RunReport>> {
    let report: Option<String> = sqlx::query_scalar("SELECT report FROM runs WHERE id = ?")
        .bind(id.as_str())
        .fetch_one(&mut **tx)
        .await
        .map_err(fault)?;
    report.as_deref().map(from_json).transpose()
}

/// Keeps the report that is there when none is given.
async fn save(tx: &mut Tx, run: &Run, report: Option<&RunReport>) -> Result<()> {
    sqlx::query("UPDATE runs SET state = ?, body = ?, report = coalesce(?, report) WHERE id = ?")
        .bind(state_name(run.state))
        .bind(to_json(run)?)
        .bind(report.map(to_json).transpose()?)
        .bind(run.id.as_str())
        .execute(&mut **tx)
        .await
        .map_err(fault)?;
    Ok(())
}

async fn set_expiry(tx: &mut Tx, lease: &Lease, expires_at: Timestamp) -> Result<()> {
    sqlx::query("UPDATE leases SET expires_at = ? WHERE product = ?")
        .bind(micros(expires_at))
        .bind(lease.product.as_str())
        .execute(&mut **tx)
        .await
        .map_err(fault)?;
    Ok(())
}

async fn release(tx: &mut Tx, lease: &Lease) -> Result<()> {
    sqlx::query("UPDATE leases SET run = NULL WHERE product = ?")
        .bind(lease.product.as_str())
        .execute(&mut **tx)
        .await
        .map_err(fault)?;
    Ok(())
}

fn run_with_report(body: &str, report: Option<&str>) -> Result<(Run, Option<RunReport>)> {
    Ok((from_json(body)?, report.map(from_json).transpose()?))
}

fn state_name(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Committing => "committing",
        RunState::Published => "published",
        RunState::Unchanged => "unchanged",
        RunState::Blocked => "blocked",
        RunState::Failed => "failed",
        RunState::Cancelled => "cancelled",
    }
}

fn held(row: &LeaseRow) -> Result<Error> {
    let run = row.run.as_deref().ok_or_else(|| unreadable("a lease without a run"))?;
    let until = timestamp(row.expires_at)?.format("%H:%M:%S UTC");
    let message = format!("the product is being run by {} (run {run}, lease until {until})", row.holder);
    Ok(Error::conflict("MW0411", message).hint("wait for that run to end, or stop it"))
}

fn unknown_run(id: &RunId) -> Error {
    Error::not_found("MW0414", format!("there is no run {id}"))
}

fn lost(lease: &Lease, why: &str) -> Error {
    Error::conflict("MW0413", format!("run {} may not go on: {why}", lease.run)).hint("run the product again")
}
