//! The audit leaf: final from the first day (D23).
//!
//! What happened is an [`Entry`]. [`leaf::Leaf`] turns it into bytes that never change again; [`chain`] links them. The
//! format is described in `docs/audit.md`.

pub mod chain;
mod entry;
pub mod leaf;

pub use entry::{Entry, Event, Kind, TableRead};
