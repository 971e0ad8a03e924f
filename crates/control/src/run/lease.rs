//! Keeping a lease alive while a run holds it.

use std::sync::Arc;
use std::time::Duration;

use meshwork_core::effect::{Clock, Timestamp};
use meshwork_core::error::Kind;
use meshwork_core::run::Lease;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::port::state::RunLedger;

/// Extends a lease until dropped; `lost` turns true when another has taken it or it could not be extended in time.
pub struct Heartbeat {
    task: JoinHandle<()>,
    pub lost: watch::Receiver<bool>,
}

impl Heartbeat {
    pub fn start(
        runs: Arc<dyn RunLedger>,
        clock: Arc<dyn Clock>,
        lease: Lease,
        every: Duration,
        length: Duration,
    ) -> Self {
        let (lose, lost) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut held_until = lease.expires_at;
            loop {
                tokio::time::sleep(every).await;
                let until = after(clock.now(), length);
                match runs.heartbeat(&lease, until).await {
                    Ok(()) => held_until = until,
                    Err(error) if error.kind == Kind::Conflict => break,
                    // A busy state is tried again while the lease still holds.
                    Err(_) if clock.now() < held_until => {}
                    Err(_) => break,
                }
            }
            lose.send_replace(true);
        });
        Self { task, lost }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn after(now: Timestamp, length: Duration) -> Timestamp {
    chrono::TimeDelta::from_std(length).ok().and_then(|length| now.checked_add_signed(length)).unwrap_or(now)
}
