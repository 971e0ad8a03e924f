//! `mesh.yaml`

use schemars::JsonSchema;

use super::limits::{self, MeshLimitsManifest};
use super::{product, storage, text};
use crate::egress::Destination;
use crate::name::Name;
use crate::product::Status;
use crate::reader::{Fields, Findings, Spanned, shown};
use crate::storage::Storage;
use crate::yaml::Node;

/// The mesh: its name, where data is kept.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MeshManifest {
    /// The name of the mesh.
    pub name: Spanned<Name>,
    /// What the mesh is for.
    pub description: Option<String>,
    /// Storage root of domains without one of their own. Default: the folder `.meshwork/data`.
    #[schemars(with = "Option<storage::StorageManifest>")]
    pub storage: Option<Spanned<Storage>>,
    /// Hosts that sources may connect to: `host`, `host:port`, `*.example.com` or an address. Without a list every host may
    /// be reached but this machine and its link, which must always be listed for HTTP and S3.
    #[schemars(with = "Option<Vec<String>>")]
    pub egress: Option<Vec<Destination>>,
    /// How long old publications stay readable, where a domain or a product does not say otherwise: `30 days`, `12 hours`;
    /// at least an hour. Default: 30 days.
    #[schemars(with = "Option<String>")]
    pub retention: Option<Spanned<u64>>,
    /// What queries and runs may use at most.
    #[schemars(default)]
    pub limits: MeshLimitsManifest,
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
        storage: storage::read(findings, &fields),
        egress: egress(&fields),
        retention: text::retention(&fields),
        limits: limits::of_mesh(&fields),
        defaults: fields.fields("defaults").map(defaults).unwrap_or_default(),
    };
    fields.finish();
    Some(manifest)
}

fn egress(fields: &Fields<'_>) -> Option<Vec<Destination>> {
    fields.node("egress")?;
    let read = |text: Spanned<&str>| {
        let destination = Destination::parse(text.value);
        if destination.is_none() {
            let message = format!("`{}` is not a host", shown(text.value));
            let hint = "Write `host`, `host:port`, `*.example.com` or an address, without `https://` and a path.";
            fields.findings().error_hinting("MW0163", text.span, message, hint);
        }
        destination
    };
    Some(fields.texts("egress").into_iter().filter_map(read).collect())
}

fn defaults(fields: Fields<'_>) -> Defaults {
    let defaults = Defaults { status: fields.choice("status", &product::STATES) };
    fields.finish();
    defaults
}
