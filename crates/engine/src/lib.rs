//! The data plane: the only crate with DataFusion and delta-rs. It reads (governed), writes and checks tables.

pub mod native;
