//! `mesh.yaml`

use schemars::JsonSchema;

use super::{product, text};
use crate::name::Name;
use crate::product::Status;
use crate::reader::{Fields, Findings, Spanned};
use crate::yaml::Node;

/// The mesh: its name, where data is kept.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MeshManifest {
    /// The name of the mesh.
    pub name: Spanned<Name>,
    /// What the mesh is for.
    pub description: Option<String>,
    /// Default storage root: a folder relative to the mesh folder, an absolute folder, or a `file://` URL. Default:
    /// `.meshwork/data`.
    pub storage: Option<Spanned<String>>,
    /// What products take that do not say otherwise.
    #[schemars(default)]
    pub defaults: Defaults,
}

/// Values for what products leave out.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Defaults {
    /// Status of products without one. Default: `draft`.
    pub status: Option<Spanned<Status>>,
}

pub const DEFAULT_STORAGE: &str = ".meshwork/data";

/// Reads it; `None` only when the file is not a map.
pub fn read<'n>(findings: &'n Findings<'n>, node: &'n Node) -> Option<MeshManifest> {
    let fields = Fields::of(findings, node, "the mesh")?;
    let manifest = MeshManifest {
        name: product::or_fallback(fields.required_name("name"), "mesh", fields.at()),
        description: fields.string("description"),
        storage: fields.text("storage").and_then(|text| text::storage_root(findings, text)),
        defaults: fields.fields("defaults").map(defaults).unwrap_or_default(),
    };
    fields.finish();
    Some(manifest)
}

fn defaults(fields: Fields<'_>) -> Defaults {
    let defaults = Defaults { status: fields.choice("status", &product::STATES) };
    fields.finish();
    defaults
}
