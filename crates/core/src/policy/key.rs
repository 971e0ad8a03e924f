//! Keys of the hashing masks, and of the audit log's signature.
//!
//! The key of the `hmac-sha-256` mask is `HMAC-SHA256(mesh key, "entity:" + name)`, where the name is that of the
//! classification whose mask it is. So equal values of equally classified columns stay joinable across tables of one
//! mesh, are not comparable between classifications, and mean nothing in another mesh.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The secret that all keyed masks of a mesh derive from. Whoever has it can test guesses of masked values, and sign for
/// the audit log.
#[derive(Clone)]
pub struct MeshKey([u8; 32]);

impl MeshKey {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key of masks that belong to `entity`: a global entity id or a classification's name.
    pub fn derive(&self, entity: &str) -> [u8; 32] {
        self.derived(b"entity:", entity)
    }

    /// The seed of the key that signs checkpoints of the audit log.
    pub fn audit_seed(&self) -> [u8; 32] {
        self.derived(b"audit:", "checkpoint v1")
    }

    fn derived(&self, what: &[u8], of: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(what);
        mac.update(of.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for MeshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeshKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_mesh_and_by_entity_and_are_stable() {
        let mesh = MeshKey::new([1; 32]);
        assert_eq!(mesh.derive("pii"), mesh.derive("pii"));
        assert_ne!(mesh.derive("pii"), mesh.derive("health"));
        assert_ne!(mesh.derive("pii"), MeshKey::new([2; 32]).derive("pii"));
        assert_eq!(format!("{mesh:?}"), "MeshKey(…)");
    }
}
