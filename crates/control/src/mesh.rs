//! The declared mesh: planning, applying, and seeing where reality drifts from it (D26).

mod reader;

pub use reader::MeshReader;
