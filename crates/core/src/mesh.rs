//! A mesh and its domains, as declared (from a checkout) or as applied (from the state, where every id is given).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::classification::Classification;
use crate::error::Place;
use crate::id::{DomainId, MeshId};
use crate::name::Name;
use crate::product::{Output, Product};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mesh {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<MeshId>,
    pub name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Default storage root: a folder (relative to the mesh folder, or absolute) or a URL.
    pub storage: String,
    #[serde(default)]
    pub classifications: Vec<Classification>,
    /// Cedar policy files under `governance/access/`, and those that domains add (only `forbid`, only their own: D17).
    #[serde(default)]
    pub policies: Vec<PolicyFile>,
    #[serde(default)]
    pub domains: BTreeMap<Name, Domain>,
}

impl Mesh {
    pub fn domain(&self, name: &str) -> Option<&Domain> {
        self.domains.get(name)
    }

    /// The output called `domain.output`, with its product.
    pub fn output(&self, domain: &str, output: &str) -> Option<(&Product, &Output)> {
        let domain = self.domains.get(domain)?;
        domain.products.values().find_map(|p| p.outputs.get(output).map(|o| (p, o)))
    }

    pub fn products(&self) -> impl Iterator<Item = (&Domain, &Product)> {
        self.domains.values().flat_map(|d| d.products.values().map(move |p| (d, p)))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFile {
    /// Relative to the mesh folder.
    pub path: String,
    pub text: String,
    /// Set when a domain's own folder holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Name>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Domain {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<DomainId>,
    pub name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The owner team.
    pub owner: Name,
    /// User names of the owner team's members.
    #[serde(default)]
    pub members: Vec<String>,
    /// Its own storage root, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    #[serde(default)]
    pub connections: BTreeMap<Name, Connection>,
    #[serde(default)]
    pub products: BTreeMap<Name, Product>,
    /// Folder relative to the mesh folder, such as `domains/marketing`.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A database that sources name. Secrets stand as `${secret:name}` only (D27) and are resolved in the run's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    #[serde(rename = "type")]
    pub kind: ConnectionKind,
    pub host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    pub database: String,
    pub user: String,
    /// `${secret:name}` or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// `disable`, `prefer`, `require`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionKind {
    Postgres,
}
