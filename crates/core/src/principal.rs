//! Who asks.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::effect::Timestamp;
use crate::error::{Error, Result};
use crate::id::TokenId;
use crate::mesh::{Domain, Mesh};
use crate::name::{Name, TeamName};

/// A user, or a product reading its inputs as itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    User(String),
    /// `domain.product`
    Product {
        domain: Name,
        product: Name,
    },
}

/// `user:ana`, `product:sales.orders`. Also what `--as` and agreements take; a bare word is a user.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user:{name}"),
            Self::Product { domain, product } => write!(f, "product:{domain}.{product}"),
        }
    }
}

/// A principal with what the platform knows of it; input to every decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub principal: Principal,
    /// Teams it belongs to.
    pub teams: BTreeSet<TeamName>,
    /// Domains whose owner team it is a member of; for a product, its own domain.
    pub domains: BTreeSet<Name>,
    /// Mesh administrators manage users and grants everywhere. They read data like anyone else.
    pub admin: bool,
    /// The purpose that a token pins or a session chose (D16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The token that it came with; revoking that token ends the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// When that token expires: no decision for it may outlive this (D17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// What that token is confined to; for everything else it has no rights, whatever its user may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<TokenScope>,
}

/// What a token is confined to.
pub type TokenScope = BTreeSet<Part>;

/// A part of the mesh: `sales`, with what its owners may do there, or `sales.orders`, to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Part {
    Domain(Name),
    Product { domain: Name, product: Name },
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => write!(f, "{domain}"),
            Self::Product { domain, product } => write!(f, "{domain}.{product}"),
        }
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let name = |part: &str| {
            Name::new(part).map_err(|problem| {
                Error::usage("MW0944", format!("`{}` is no domain or product: {problem}", text.escape_debug()))
                    .hint("write `sales` or `sales.orders`")
            })
        };
        Ok(match text.split_once('.') {
            None => Self::Domain(name(text)?),
            Some((domain, product)) => Self::Product { domain: name(domain)?, product: name(product)? },
        })
    }
}

impl TryFrom<String> for Part {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        part.to_string()
    }
}

/// The user name that the owner of the mesh folder has in embedded mode.
pub const FOLDER_OWNER: &str = "owner";

/// Names go into headers, logs and policies: short, visible, ASCII, as sign-in names and mail addresses are.
pub fn is_user_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b'+'))
}

impl Subject {
    /// A user's rights follow from its teams and from the domains that list it as a member of their owner team.
    pub fn user(name: &str, teams: impl IntoIterator<Item = TeamName>, admin: bool, mesh: Option<&Mesh>) -> Self {
        let mut teams: BTreeSet<TeamName> = teams.into_iter().collect();
        let listed = |domain: &Domain| domain.members.iter().any(|member| member == name);
        teams.extend(domains_of(mesh).filter(|domain| listed(domain)).map(|domain| domain.owner.clone()));
        let domains = domains_of(mesh).filter(|d| teams.contains(&d.owner)).map(|d| d.name.clone()).collect();
        Self::of(Principal::User(name.to_owned()), teams, domains, admin)
    }

    /// A product reads as itself: with its own agreements, and at home in its own domain. It is in no team.
    pub fn product(domain: Name, product: Name) -> Self {
        let domains = BTreeSet::from([domain.clone()]);
        Self::of(Principal::Product { domain, product }, BTreeSet::new(), domains, false)
    }

    /// Whoever owns the mesh folder is its root in embedded mode (D24): administrator, and in every owner team.
    pub fn owner(mesh: Option<&Mesh>) -> Self {
        let teams = domains_of(mesh).map(|domain| domain.owner.clone());
        Self::user(FOLDER_OWNER, teams, true, mesh)
    }

    fn of(principal: Principal, teams: BTreeSet<TeamName>, domains: BTreeSet<Name>, admin: bool) -> Self {
        Self { principal, teams, domains, admin, purpose: None, token: None, valid_until: None, scope: None }
    }

    /// The same with no rights beyond a scope. What concerns the whole mesh is beyond every scope.
    #[must_use]
    pub fn confined(self, scope: Option<TokenScope>) -> Self {
        Self { admin: self.admin && scope.is_none(), scope, ..self }
    }

    /// Whether the scope of its token has the product.
    pub fn reaches(&self, domain: &Name, product: &Name) -> bool {
        self.scope.as_ref().is_none_or(|scope| {
            scope.iter().any(|part| match part {
                Part::Domain(whole) => whole == domain,
                Part::Product { domain: home, product: one } => home == domain && one == product,
            })
        })
    }

    /// Whether the domain is its own, and all of it within the scope of its token.
    pub fn is_home(&self, domain: &Name) -> bool {
        let within = self.scope.as_ref().is_none_or(|scope| scope.contains(&Part::Domain(domain.clone())));
        within && self.domains.contains(domain)
    }

    /// Whether it may do in a domain what its owners do: a product is at home in its domain but acts for nobody.
    pub fn owns(&self, domain: &Name) -> bool {
        matches!(self.principal, Principal::User(_)) && self.is_home(domain)
    }
}

fn domains_of(mesh: Option<&Mesh>) -> impl Iterator<Item = &Domain> {
    mesh.into_iter().flat_map(|mesh| mesh.domains.values())
}

/// Who an agreement is with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grantee {
    User(String),
    Team(TeamName),
    Product { domain: Name, product: Name },
}

/// `user:ana`, `team:marketing-team`, `product:sales.orders`.
impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user:{name}"),
            Self::Team(name) => write!(f, "team:{name}"),
            Self::Product { domain, product } => write!(f, "product:{domain}.{product}"),
        }
    }
}

impl Grantee {
    pub fn covers(&self, subject: &Subject) -> bool {
        match (self, &subject.principal) {
            (Self::User(name), Principal::User(user)) => name == user,
            (Self::Team(team), _) => subject.teams.contains(team),
            (Self::Product { domain, product }, Principal::Product { domain: d, product: p }) => {
                domain == d && product == p
            }
            _ => false,
        }
    }
}
