//! The nouns of a data mesh and the decisions about them.
//!
//! Architecture invariant: this crate is pure. It has no IO, no clock, no randomness, no tokio, no DataFusion and no
//! Arrow; what it needs of these comes in as an argument, so every decision can be tested as a function.

pub mod agreement;
pub mod audit;
pub mod check;
pub mod classification;
pub mod codes;
pub mod contract;
pub mod decimal;
pub mod diagnostic;
pub mod effect;
pub mod egress;
pub mod error;
pub mod filter;
pub mod format;
pub mod id;
pub mod infer;
pub mod limits;
pub mod lineage;
pub mod manifest;
pub mod mask;
pub mod mesh;
pub mod name;
pub mod permission;
pub mod plan;
pub mod policy;
pub mod principal;
pub mod product;
pub mod publication;
pub mod quality;
pub mod quarantine;
pub mod reader;
pub mod retention;
pub mod run;
pub mod sample;
pub mod scaffold;
pub mod storage;
pub mod suggestion;
pub mod types;
pub mod yaml;

pub use error::{Diagnostic, Error, Kind, Place, Result, Severity};
