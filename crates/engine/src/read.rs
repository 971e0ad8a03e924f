//! The one governed read path: from a statement and a principal's catalog to attested, masked, filtered batches.
//!
//! [`Engine`] implements [`QueryEngine`] and [`SqlChecker`]. A statement goes through [`statement`] (guards, one query
//! only), [`session`] (a fresh session whose catalog holds governed tables only), the planner, [`attest`] (no data source
//! outside a barrier) and [`planned`] (execution within limits).
//!
//! Invariant: nothing above a [`barrier::BarrierExec`] sees a raw value, a hidden row, their number, or an error that
//! depends on them.
//!
//! [`QueryEngine`]: meshwork_control::port::data::QueryEngine
//! [`SqlChecker`]: meshwork_control::port::data::SqlChecker

pub mod attest;
pub mod barrier;
pub mod bounded;
pub mod check;
pub mod compatible;
pub mod engine;
pub mod error;
pub mod explain;
pub mod external;
pub mod filter;
pub mod footer;
pub mod functions;
pub mod json;
pub mod listing;
pub mod mask;
pub mod output;
pub mod parameter;
pub mod planned;
pub mod planners;
pub mod postgres;
pub mod relation;
pub mod secured;
pub mod session;
pub mod snapshot;
pub mod statement;
pub mod stop;
#[cfg(test)]
mod tests;
pub mod view;

pub use engine::{Engine, EngineConfig};
