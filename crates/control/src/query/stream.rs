//! A running answer keeps asking whether it may go on, once a second, and says in the audit log how it ended.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use meshwork_core::audit::Event;
use meshwork_core::error::Error;
use tokio::time::MissedTickBehavior;

use super::{Inner, Plan, QuerySession};
use crate::port::data::BatchStream;
use crate::readers::Hold;

const EVERY: Duration = Duration::from_secs(1);

pub(super) struct Watch {
    inner: Arc<Inner>,
    session: QuerySession,
    plan: Plan,
    query_id: String,
    rows: u64,
    over: bool,
    /// Keeps what it reads from being vacuumed.
    _reading: Hold,
}

impl Watch {
    pub fn new(inner: Arc<Inner>, session: QuerySession, plan: Plan, query_id: String, reading: Hold) -> Self {
        Self { inner, session, plan, query_id, rows: 0, over: false, _reading: reading }
    }

    pub fn over(self, stream: BatchStream) -> BatchStream {
        let mut tick = tokio::time::interval(EVERY);
        // After a pause of the reader one check is enough.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        let state = (self, stream, tick);
        Box::pin(futures::stream::unfold(state, |(mut watch, mut stream, mut tick)| async move {
            if watch.over {
                return None;
            }
            let next = loop {
                // The check comes first: a reader that pauses is not handed the next batch unchecked.
                tokio::select! {
                    biased;
                    _ = tick.tick() => {
                        if let Err(error) = watch.inner.still_allowed(&watch.session, &watch.plan).await {
                            break Some(Err(error));
                        }
                    }
                    batch = stream.next() => break batch,
                }
            };
            match next {
                Some(Ok(batch)) => {
                    watch.rows += batch.num_rows() as u64;
                    Some((Ok(batch), (watch, stream, tick)))
                }
                Some(Err(error)) => {
                    // Whatever computes it stops before anybody hears why.
                    stream = futures::stream::empty().boxed();
                    watch.ended(Some(&error)).await;
                    Some((Err(error), (watch, stream, tick)))
                }
                None => {
                    watch.ended(None).await;
                    None
                }
            }
        }))
    }

    /// The outcome is for the record only: the intent has been recorded, so a failure here refuses nothing.
    async fn outcome(inner: Arc<Inner>, session: QuerySession, query: String, rows: u64, error: Option<String>) {
        let event = Event::QueryOutcome { query, rows, error };
        if let Err(error) = inner.audit.record(inner.entry(&session, None, event)).await {
            tracing::error!(%error, "the outcome of a query could not be recorded");
        }
    }

    pub async fn ended(&mut self, error: Option<&Error>) {
        self.over = true;
        let code = error.map(|error| error.code.clone());
        Self::outcome(self.inner.clone(), self.session.clone(), self.query_id.clone(), self.rows, code).await;
    }
}

impl Drop for Watch {
    /// A reader that goes away has cancelled its query.
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (inner, session) = (self.inner.clone(), self.session.clone());
            let cancelled = Some("cancelled".to_owned());
            runtime.spawn(Self::outcome(inner, session, self.query_id.clone(), self.rows, cancelled));
        }
    }
}
