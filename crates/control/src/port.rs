//! What the use cases need of the world. Small traits, one a noun; implemented by `store` (state), `engine` (data) and
//! the binary (processes).

pub mod audit;
pub mod backup;
pub mod data;
pub mod process;
pub mod state;
