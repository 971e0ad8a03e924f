//! `_meshwork/owner.json` in a storage root: one mesh, one control plane (D24).

use std::io::Write as _;
use std::path::Path;

use meshwork_core::error::{Error, Result};
use meshwork_core::id::MeshId;
use serde::{Deserialize, Serialize};

use crate::fault;

#[derive(Serialize, Deserialize)]
struct Owner {
    mesh_id: MeshId,
}

/// Claims a local storage root for a mesh; idempotent. `Kind::Conflict` (MW0408) when it belongs to another.
/// The root is created if need be.
pub fn claim_root(root: &Path, mesh: &MeshId) -> Result<()> {
    let folder = root.join("_meshwork");
    let path = folder.join("owner.json");
    let io = |error: std::io::Error| fault::io("MW0401", &path, &error);
    std::fs::create_dir_all(&folder).map_err(io)?;
    // Written aside and linked: of two that claim at once, one wins, and nobody reads half a file.
    let draft = folder.join(format!("owner.{mesh}.{}.new", std::process::id()));
    let text = serde_json::to_vec(&Owner { mesh_id: mesh.clone() })
        .map_err(|error| Error::internal("MW0409", error.to_string()))?;
    let mut file = std::fs::File::create(&draft).map_err(io)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(io)?;
    let linked = std::fs::hard_link(&draft, &path);
    std::fs::remove_file(&draft).map_err(io)?;
    match linked {
        Ok(()) => std::fs::File::open(&folder).and_then(|folder| folder.sync_all()).map_err(io),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => check_owner(root, &path, mesh),
        Err(error) => Err(io(error)),
    }
}

fn check_owner(root: &Path, path: &Path, mesh: &MeshId) -> Result<()> {
    let bytes = std::fs::read(path).map_err(|error| fault::io("MW0401", path, &error))?;
    let owner: Option<Owner> = serde_json::from_slice(&bytes).ok();
    match owner {
        Some(owner) if owner.mesh_id == *mesh => Ok(()),
        other => {
            let who = other.map_or_else(|| "an unknown mesh".to_owned(), |owner| format!("mesh {}", owner.mesh_id));
            Err(Error::conflict("MW0408", format!("the storage root {} belongs to {who}", root.display()))
                .hint("use another storage root")
                .hint(format!("if that mesh is gone for good, remove {}", path.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mesh_keeps_the_root() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("storage");
        claim_root(&root, &MeshId::new("one")).expect("free");
        claim_root(&root, &MeshId::new("one")).expect("ours already");
        let error = claim_root(&root, &MeshId::new("two")).expect_err("taken");
        assert_eq!((error.code.as_str(), error.kind), ("MW0408", meshwork_core::Kind::Conflict));
        assert!(error.message.contains("mesh one"), "{error}");
        let left: Vec<_> = std::fs::read_dir(root.join("_meshwork")).expect("there").collect();
        assert_eq!(left.len(), 1, "no drafts stay");
    }
}
