//! The control plane's state in SQLite: implements the traits of `control::port::state`, one file a noun.
//!
//! Architecture invariant: this crate decides nothing about data or access. It keeps what it is given, each method in one
//! transaction, and guards what only a transaction can: revisions, leases, fencing tokens, the order of the audit log.
//!
//! How a process gets at the state of a mesh folder (D24): [`StateFolder::open`] either takes the folder's lock (then the
//! caller may open [`SqliteState`] and write) or says which running server to talk to.

mod agreement;
mod audit;
mod copy;
mod credential;
mod fault;
mod folder;
mod mesh;
mod publication;
mod quarantine;
mod root;
mod run;
mod schema;
mod sqlite;
mod stored;
#[cfg(test)]
mod suite;
mod table;

pub use copy::settle_copy;
pub use folder::{Opened, ServerInfo, StateFolder, StateLock};
pub use root::claim_root;
pub use sqlite::{OnStep, SqliteState};
