//! The audit leaf: final from the first day (D23).
//!
//! What happened is an [`Entry`]. [`leaf::Leaf`] turns it into bytes that never change again; [`merkle`] makes
//! one tree of them, and [`checkpoint`] signs its root. The formats are described in `docs/audit.md`.

pub mod checkpoint;
mod entry;
pub mod leaf;
pub mod merkle;

pub use entry::{Entry, Event, Kind, TableRead};
