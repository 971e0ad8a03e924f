//! The child process of a run (D11): how it is started, and what it does.

pub mod child;
pub mod parent;
