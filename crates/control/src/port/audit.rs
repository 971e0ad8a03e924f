//! Where use cases leave word of what they do, before they do it.

use async_trait::async_trait;
use meshwork_core::audit::Entry;
use meshwork_core::error::Result;

/// The audit log, to those who write to it. Implemented by the sequencer of `control::audit`.
#[async_trait]
pub trait AuditSink: Send + Sync {
    /// Durable when it returns. On an error, what was to be recorded must not happen (promise 4).
    async fn record(&self, entry: Entry) -> Result<()>;
}
