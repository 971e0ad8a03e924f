//! The process that builds a product (D11). Implemented by the binary, which starts itself again.

use async_trait::async_trait;
use meshwork_core::error::Result;

use super::data::{RunEvent, RunSpec};

#[async_trait]
pub trait RunProcess: Send + Sync {
    /// Starts a child with a memory ceiling, its own temporary folder and a cleared environment, and hands it the spec.
    async fn start(&self, spec: &RunSpec) -> Result<Box<dyn RunChild>>;
}

/// A running child. Dropping it kills it.
#[async_trait]
pub trait RunChild: Send {
    /// The next event, in order; lines that it writes to stderr come as `Log`. `None` when it has ended.
    async fn next(&mut self) -> Result<Option<RunEvent>>;
    /// Tells it to commit what it has staged.
    async fn commit(&mut self) -> Result<()>;
    /// Kills it with everything that it started, waits for the end, removes its temporary folder. Idempotent.
    async fn kill(&mut self);
    /// Waits for the end and says how it ended, for messages: `exit status 3`, `killed by signal 9`.
    async fn ended(&mut self) -> String;
}
