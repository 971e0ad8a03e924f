//! A whole mesh as one file: a tar archive, compressed with zstd.
//!
//! ```text
//! backup.json            what it is: format, mesh, moment, storage roots
//! state/                 state.db, mesh.key, secrets/: mode 0600
//! mesh/                  the mesh folder: manifests, contracts, SQL, files that products read
//! storage/0/, 1/, …      one folder a storage root: commit logs first, then data files
//! checksums.json         path → bytes and SHA-256 of everything above
//! ```

pub mod archive;
pub mod restore;

use std::collections::BTreeMap;

use meshwork_core::effect::Timestamp;
use meshwork_core::error::Error;
use meshwork_core::id::MeshId;
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
const ABOUT: &str = "backup.json";
const CHECKSUMS: &str = "checksums.json";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct About {
    format: u32,
    mesh: MeshId,
    at: Timestamp,
    /// Of the binary that wrote it.
    version: String,
    roots: Vec<Root>,
}

/// A storage root as publications name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Root {
    url: String,
    /// Relative to the mesh folder, where it lies in there; it is restored to the same place in the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inside: Option<String>,
    /// `storage/<n>`; absent for an object store, whose data stays where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packed: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Packed {
    bytes: u64,
    sha256: String,
}

type Checksums = BTreeMap<String, Packed>;

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn damaged(why: &str) -> Error {
    Error::environment("MW1092", format!("the backup cannot be used: {why}"))
        .hint("copy it again from where it is kept, or use an older one; nothing was restored")
}

pub fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Error {
    Error::environment("MW1091", format!("{what} {}: {error}", path.display()))
        .hint("check the space and the permissions, then try again")
}
