//! The data plane: the only crate with DataFusion and delta-rs. It reads (governed), writes and checks tables.
//!
//! - [`native`]: column types as Arrow types, stored and read.
//! - [`read`]: the one governed read path. [`read::Engine`] answers statements over a principal's catalog;
//!   [`read::check::Checker`] judges SQL without data; [`read::secured::provider`] is a governed table for a run's session,
//!   [`read::session::base_context`] that session.

pub mod exact;
mod exhausted;
pub mod failpoint;
pub mod infer;
mod keys;
pub mod lineage;
pub mod native;
pub mod read;
pub mod remote;
mod set;
pub mod source;
pub mod storage;
pub mod verify;
pub mod write;
