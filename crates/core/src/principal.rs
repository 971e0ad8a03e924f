//! Who asks.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Name;

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
    pub teams: BTreeSet<Name>,
    /// Domains whose owner team it is a member of; for a product, its own domain.
    pub domains: BTreeSet<Name>,
    /// Mesh administrators manage users and grants everywhere. They read data like anyone else.
    pub admin: bool,
    /// The purpose that a token pins or a session chose (D16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
}

/// Who an agreement is with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grantee {
    User(String),
    Team(Name),
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
