//! What the use cases need of the world. Small traits, one a noun; implemented by `store` (state) and `engine` (data).

pub mod data;
pub mod state;
