//! Storage of published data: a durable local store and the commit log of one table in it.

pub mod durable;
pub mod fault;
pub mod log;

pub use durable::DurableLocal;
pub use log::TableLog;
