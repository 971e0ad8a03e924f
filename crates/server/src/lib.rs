//! The ports that the platform serves: the HTTP API, and the Postgres wire.
//!
//! Architecture invariant: this crate sees the use cases of `control` and Arrow. It has no query engine, no database and
//! no rule of its own about who may see what: it asks, and it writes the answer in the form that a protocol wants.

pub mod api;
pub mod http;
pub mod pg;
mod socket;
