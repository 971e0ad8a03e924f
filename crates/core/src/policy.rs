//! Who may discover, query and read in the clear: a pure decision with its reasons.
//!
//! Cedar answers the three actions of D15 ([`cedar`]); everything that Cedar cannot say is computed around it: which
//! agreement is in force ([`purpose`]), which major a bare table name means ([`major`]), which mask a column bears
//! ([`mask`]), which rows remain. A decision depends on its arguments only, so the same arguments give the same digest.

mod cedar;
mod decision;
pub mod key;
mod major;
mod mask;
mod purpose;
pub mod report;
#[cfg(test)]
mod tests;

pub use cedar::{Policies, validate};
pub use decision::{ColumnAccess, ColumnDecision, Decision, Request, unknown_table};
pub use key::MeshKey;
pub use mask::required_mask;
