//! The HTTP API: `router` shows it on one screen, `api/<noun>` holds its handlers.

pub mod auth;
pub mod body;
mod docs;
pub mod etag;
pub mod format;
mod listener;
pub mod metrics;
mod openapi;
pub mod page;
pub mod params;
pub mod problem;
mod request;
mod router;
mod state;
mod suggest;
pub mod table;
#[cfg(test)]
mod tests;

pub use auth::Session;
pub use listener::{Peer, Port};
pub use metrics::Metrics;
pub use router::{describe, router};
pub use state::AppState;

/// For everything that shows data: never kept by a shared cache, and not by the client either (D14).
pub const DATA_CACHE: &str = "private, no-store";
