//! Cancelling a running statement from another connection, by process id and secret key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use pgwire::api::cancel::CancelHandler;
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::SecretKey;
use tokio_util::sync::CancellationToken;

/// The statement that a connection runs now.
#[derive(Debug, Default)]
pub struct Running(Mutex<CancellationToken>);

impl Running {
    /// A token for the next statement. It covers planning and every row: cancelling a stream ends it.
    pub fn start(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        token
    }

    fn cancel(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }
}

/// Live connections by (process id, secret key). The key is known to its client alone.
#[derive(Debug, Default)]
pub struct Registry {
    next: AtomicI32,
    live: Mutex<HashMap<(i32, Bytes), Arc<Running>>>,
}

impl Registry {
    pub fn next_pid(&self) -> i32 {
        self.next.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & i32::MAX
    }

    /// The registration ends when the guard is dropped.
    pub fn register(self: &Arc<Self>, pid: i32, key: &SecretKey, running: Arc<Running>) -> Registration {
        let key = (pid, key.to_bytes());
        self.live.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), running);
        Registration { key, registry: Arc::clone(self) }
    }

    pub fn cancel_all(&self) {
        for running in self.live.lock().unwrap_or_else(PoisonError::into_inner).values() {
            running.cancel();
        }
    }
}

#[async_trait]
impl CancelHandler for Registry {
    /// No answer either way, as the protocol has it: a wrong key learns nothing.
    async fn on_cancel_request(&self, request: CancelRequest) {
        let key = (request.pid, request.secret_key.to_bytes());
        let running = self.live.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(running) = running {
            running.cancel();
        }
    }
}

#[derive(Debug)]
pub struct Registration {
    key: (i32, Bytes),
    registry: Arc<Registry>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
