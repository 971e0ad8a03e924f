//! What a caller hears of its runs: one JSON object a line over HTTP.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use meshwork_core::Error;
use meshwork_core::id::{PublicationId, RunId};
use meshwork_core::publication::PublishedOutput;
use meshwork_core::run::RunReport;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::port::data::Phase;

/// Which products to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// `domain.product`, `domain` or `all`.
    pub products: Vec<String>,
    /// Also what these read from, as far as the caller owns it (D26).
    #[serde(default)]
    pub upstream: bool,
    /// Builds outputs of mode `append` and `merge` anew from everything there is.
    #[serde(default)]
    pub full_refresh: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "update", rename_all = "snake_case")]
pub enum RunUpdate {
    /// The products that will run, in an order that respects their inputs.
    Planned {
        products: Vec<String>,
    },
    Skipped {
        product: String,
        because: Error,
    },
    /// `upstream`, which it reads, did not publish in this call: it goes on with the last publication of that (D26).
    Stale {
        product: String,
        upstream: String,
    },
    Started {
        product: String,
        run: RunId,
    },
    Progress {
        product: String,
        run: RunId,
        output: String,
        phase: Phase,
        rows: u64,
        bytes: u64,
    },
    Log {
        product: String,
        run: RunId,
        level: String,
        line: String,
    },
    /// Every clause is answered. Governed: it shows only what the caller may see (D20).
    Checked {
        product: String,
        run: RunId,
        passed: bool,
        report: Box<RunReport>,
    },
    Published {
        product: String,
        run: RunId,
        publication: PublicationId,
        outputs: Vec<PublishedOutput>,
    },
    /// No input had anything new: nothing was done, the current publication stays.
    Unchanged {
        product: String,
        run: RunId,
    },
    /// A clause of severity error did not pass; the previous publication stays. `Checked` came before.
    Blocked {
        product: String,
        run: RunId,
        error: Error,
    },
    /// `run` is absent when it could not even begin.
    Failed {
        product: String,
        run: Option<RunId>,
        error: Error,
    },
    /// Always the last.
    Finished {
        published: u32,
        #[serde(default)]
        unchanged: u32,
        blocked: u32,
        failed: u32,
        skipped: u32,
    },
}

/// The updates of one call. Dropping it before the end stops its runs: children are killed, nothing more is published.
#[derive(Debug)]
pub struct RunStream {
    pub(super) updates: mpsc::UnboundedReceiver<RunUpdate>,
    pub(super) stop: watch::Sender<bool>,
}

impl Stream for RunStream {
    type Item = RunUpdate;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<RunUpdate>> {
        self.updates.poll_recv(cx)
    }
}

impl Drop for RunStream {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Where updates go. A caller that no longer listens is no reason to stop half-way through a commit.
#[derive(Clone, Debug)]
pub(super) struct Updates(pub mpsc::UnboundedSender<RunUpdate>);

impl Updates {
    pub fn send(&self, update: RunUpdate) {
        let _ = self.0.send(update);
    }
}
