//! `domain.yaml`

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::connection::{self, ConnectionManifest};
use super::{storage, text};
use crate::mesh::Connection;
use crate::name::{Name, TeamName};
use crate::principal;
use crate::reader::{Fields, Findings, Spanned, shown};
use crate::storage::Storage;
use crate::yaml::Node;

/// A domain: who owns it, and what its products may connect to.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DomainManifest {
    /// The name of the domain; in SQL it is the schema.
    pub domain: Spanned<Name>,
    /// The name that it had before; its products and data stay the same.
    pub renamed_from: Option<Spanned<Name>>,
    /// What the domain is responsible for.
    pub description: Option<String>,
    /// The team that owns it.
    pub owner: Spanned<TeamName>,
    /// User names of the owner team's members.
    #[schemars(default)]
    pub members: Vec<String>,
    /// A storage root of its own, as `storage` in mesh.yaml.
    #[schemars(with = "Option<storage::StorageManifest>")]
    pub storage: Option<Spanned<Storage>>,
    /// How long old publications of its products stay readable, as `retention` in mesh.yaml.
    #[schemars(with = "Option<String>")]
    pub retention: Option<Spanned<u64>>,
    /// Databases, S3 stores and web servers that its sources name.
    #[schemars(with = "BTreeMap<Name, ConnectionManifest>", default)]
    pub connections: Vec<(Spanned<Name>, Connection)>,
}

/// Reads it; `None` only when the file is not a map. `folder` names the domain when it does not name itself.
pub fn read<'n>(findings: &'n Findings<'n>, node: &'n Node, folder: &str) -> Option<DomainManifest> {
    let fields = Fields::of(findings, node, "the domain")?;
    let manifest = DomainManifest {
        domain: super::product::or_fallback(fields.required_name("domain"), folder, fields.at()),
        renamed_from: fields.name("renamed_from"),
        description: fields.string("description"),
        owner: owner(&fields),
        members: members(&fields),
        storage: storage::read(findings, &fields),
        retention: text::retention(&fields),
        connections: fields
            .named("connections")
            .into_iter()
            .filter_map(|(name, node)| Some((name.clone(), connection::read(findings, &name, node)?)))
            .collect(),
    };
    fields.finish();
    Some(manifest)
}

/// Or a stand-in, so that reading goes on; an error has been noted.
fn owner(fields: &Fields<'_>) -> Spanned<TeamName> {
    fields.required_team("owner").unwrap_or_else(|| {
        let value = TeamName::new("owner").expect("`owner` is a name");
        Spanned { value, span: fields.at() }
    })
}

fn members(fields: &Fields<'_>) -> Vec<String> {
    let mut members: Vec<String> = Vec::new();
    for member in fields.texts("members") {
        if !principal::is_user_name(member.value) {
            let message = format!("`{}` is not a user name", shown(member.value));
            let hint = "Letters, digits and `._-@+`, up to 64 characters, without a prefix such as `user:`.";
            fields.findings().error_hinting("MW0123", member.span, message, hint);
        } else if members.iter().any(|known| known == member.value) {
            let message = format!("`{}` stands twice in `members`", shown(member.value));
            fields.findings().warning("MW0123", member.span, message, "Remove one of the two.");
        } else {
            members.push(member.value.to_owned());
        }
    }
    members
}
