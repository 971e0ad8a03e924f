//! Use cases of the platform: apply, run, query, grant, audit.
//!
//! Architecture invariant: this crate talks to the world only through the small traits of [`port`], which `store` and
//! `engine` implement and the binary composes. It knows Arrow (what a query returns) but neither DataFusion nor SQL databases.

pub mod access;
pub mod audit;
pub mod backup;
pub mod check;
pub mod checkout;
pub mod credential;
pub mod governance;
pub mod maintenance;
pub mod mesh;
pub mod platform;
pub mod port;
pub mod quarantine;
pub mod query;
pub mod readers;
pub mod run;
pub mod storage;
pub mod trial;
