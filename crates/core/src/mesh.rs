//! A mesh and its domains, as declared (from a checkout) or as applied (from the state, where every id is given).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::classification::Classification;
use crate::egress::Egress;
use crate::error::Place;
use crate::id::{DomainId, MeshId};
use crate::limits::MeshLimits;
use crate::name::{Name, TeamName};
use crate::product::{Output, Product};
use crate::storage::{MESH_NAMESPACE, Storage, StorageRoot};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mesh {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<MeshId>,
    pub name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Storage root of domains without one of their own.
    pub storage: Storage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_place: Option<Place>,
    /// Stores that were a root once and are none now: what was published there is still read. Kept by `apply`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_storage: Vec<StorageRoot>,
    /// Where sources may connect to.
    #[serde(default)]
    pub egress: Egress,
    /// How long old publications stay readable, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<u64>,
    #[serde(default, skip_serializing_if = "MeshLimits::is_empty")]
    pub limits: MeshLimits,
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

    /// The roots on S3 that are in use.
    pub fn s3_roots(&self) -> impl Iterator<Item = StorageRoot> {
        let of_mesh = (MESH_NAMESPACE, Some(&self.storage));
        let of_domains = self.domains.values().map(|domain| (domain.name.as_str(), domain.storage.as_ref()));
        std::iter::once(of_mesh).chain(of_domains).filter_map(|(namespace, storage)| {
            Some(StorageRoot { namespace: namespace.to_owned(), storage: storage?.as_s3()?.clone() })
        })
    }

    /// Where a root of this namespace is declared.
    pub fn storage_place(&self, namespace: &str) -> Option<&Place> {
        match namespace {
            MESH_NAMESPACE => self.storage_place.as_ref(),
            domain => self.domain(domain)?.storage_place.as_ref(),
        }
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
    pub owner: TeamName,
    /// User names of the owner team's members.
    #[serde(default)]
    pub members: Vec<String>,
    /// Its own storage root, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_place: Option<Place>,
    /// As of the mesh, for products that do not say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<u64>,
    #[serde(default)]
    pub connections: BTreeMap<Name, Connection>,
    #[serde(default)]
    pub products: BTreeMap<Name, Product>,
    /// Folder relative to the mesh folder, such as `domains/marketing`.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// What sources connect to. Secrets stand as `${secret:name}` only (D27) and are resolved where they are used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Connection {
    Postgres(DatabaseConnection),
    Mysql(DatabaseConnection),
    S3(S3Connection),
    Http(HttpConnection),
}

impl Connection {
    pub fn kind(&self) -> ConnectionKind {
        match self {
            Self::Postgres(_) => ConnectionKind::Postgres,
            Self::Mysql(_) => ConnectionKind::Mysql,
            Self::S3(_) => ConnectionKind::S3,
            Self::Http(_) => ConnectionKind::Http,
        }
    }
}

impl Connection {
    /// Host and port that it leads to, where it says so itself.
    pub fn destination(&self) -> Option<(String, u16)> {
        match self {
            Self::Postgres(database) if database.host.starts_with('/') => None,
            Self::Postgres(database) => Some((database.host.clone(), database.port.unwrap_or(5432))),
            Self::Mysql(database) => Some((database.host.clone(), database.port.unwrap_or(3306))),
            Self::S3(store) => {
                let (scheme, host) = store.endpoint.as_deref()?.split_once("://")?;
                let default = if scheme == "https" { 443 } else { 80 };
                Some(match host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
                    Some((host, port)) => (host.to_owned(), port.parse().ok()?),
                    None => (host.to_owned(), default),
                })
            }
            Self::Http(_) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionKind {
    Postgres,
    Mysql,
    S3,
    Http,
}

impl ConnectionKind {
    pub const ALL: [(&'static str, Self); 4] =
        [("postgres", Self::Postgres), ("mysql", Self::Mysql), ("s3", Self::S3), ("http", Self::Http)];

    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseConnection {
    pub host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    pub database: String,
    pub user: String,
    /// `${secret:name}` or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// `disable`, `prefer`, `require`, `verify-full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// `${secret:name}`: certificates in PEM that `verify-full` believes instead of the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// All but the addresses are references to secrets. Without credentials the store is asked as anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct S3Connection {
    /// `https://host:port`; absent for AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Absent: the bucket stands in the path where there is an endpoint, in the host's name for AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl S3Connection {
    /// Every reference to a secret in it.
    pub fn references(&self) -> impl Iterator<Item = &String> {
        [&self.access_key_id, &self.secret_access_key, &self.session_token, &self.ca].into_iter().flatten()
    }
}

/// Credentials for the files of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpConnection {
    pub host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}
