//! How long old publications stay readable: time travel reaches back so far, and the files that only they need are kept.

use std::time::Duration;

use crate::mesh::{Domain, Mesh};
use crate::product::Product;

/// Where no manifest says otherwise: 30 days.
pub const DEFAULT: u64 = 30 * 24 * 3600;

/// What manifests may ask for at least, in seconds: an hour. A statement or a run that began before must be able to end.
pub const FLOOR: u64 = 3600;

/// Of a product: its own, else its domain's, else the mesh's.
pub fn of(mesh: &Mesh, domain: &Domain, product: &Product) -> Duration {
    let seconds = product.retention.or(domain.retention).or(mesh.retention).unwrap_or(DEFAULT);
    Duration::from_secs(seconds.max(FLOOR))
}
