//! The hash chain over leaves: changing, dropping or reordering one breaks every link after it.

use sha2::{Digest, Sha256};

/// Before the first leaf.
pub const GENESIS: [u8; 32] = [0; 32];

pub fn leaf_hash(leaf: &[u8]) -> [u8; 32] {
    Sha256::digest(leaf).into()
}

/// SHA-256 of (previous chain hash ‖ leaf hash).
pub fn link(previous: &[u8; 32], leaf_hash: &[u8; 32]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(leaf_hash);
    hasher.finalize().into()
}
