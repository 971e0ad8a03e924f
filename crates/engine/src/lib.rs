//! The data plane: the only crate with DataFusion and delta-rs. It reads (governed), writes and checks tables.

pub mod exact;
pub mod failpoint;
pub mod lineage;
pub mod native;
pub mod source;
pub mod storage;
pub mod write;
