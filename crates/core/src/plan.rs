//! What an apply would change, what stands against it, and whom it touches. Pure: [`plan`] compares two meshes.
//!
//! Identity first: an object is what its name (or `renamed_from`) had been, so a rename keeps ids, storage and grants
//! (D1). Then [`resulting`] says what the mesh would be (D26), and the differences between it and the applied mesh are
//! the plan.

mod consumer;
mod difference;
mod identity;
mod port;
mod resulting;
mod rule;
mod text;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use self::identity::assign_ids;
pub use self::resulting::{absent_products, resulting};
use crate::agreement::Agreement;
use crate::effect::Timestamp;
use crate::error::Diagnostic;
use crate::mesh::Mesh;
use crate::name::Name;

/// What else a plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Retire products that the checkout's domains no longer hold.
    pub prune: bool,
    /// All that are known; only live ones count.
    pub agreements: &'a [Agreement],
    pub now: Timestamp,
}

/// Everything that an apply would do. Nothing is done while there are problems.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub changes: Vec<Change>,
    /// What must be mended first.
    #[serde(default)]
    pub problems: Vec<Diagnostic>,
    /// What is good to know.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// One object that comes, changes or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub action: Action,
    pub object: Object,
    /// `acme`, `sales`, `sales.orders`, `sales.orders v1`.
    pub name: String,
    /// Whose it is; absent for what belongs to the mesh as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Name>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
    /// Who reads what changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub affects: Vec<Affected>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Create,
    Change,
    Retire,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    Mesh,
    Domain,
    Product,
    Output,
    /// One served major of an output, with its contract.
    Version,
}

/// One thing about a change, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Whether a consumer may break on it.
    #[serde(default)]
    pub breaking: bool,
}

/// A consumer of what changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// `product:analytics.customer_360`, `team:finance`, `user:ana`.
    pub consumer: String,
    /// `input customers`, `agreement 0198… for reporting`.
    pub through: String,
    /// The changed columns that it is known to name; empty when none or not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

impl Plan {
    /// Whether applying would change nothing: `--detailed-exitcode` says 0, else 2 (or 1 with problems).
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The domains that it changes something of.
    pub fn domains(&self) -> BTreeSet<&Name> {
        self.changes.iter().filter_map(|change| change.domain.as_ref()).collect()
    }

    /// Whether it changes what belongs to the mesh as a whole: its settings, classifications, access policies.
    pub fn touches_mesh(&self) -> bool {
        self.changes.iter().any(|change| change.domain.is_none())
    }

    /// For people, without colours.
    pub fn to_text(&self) -> String {
        text::render(self)
    }
}

/// The difference between what is applied and what `declared` asks for.
pub fn plan(applied: Option<&Mesh>, declared: &Mesh, circumstances: Circumstances<'_>) -> Plan {
    let mut next = resulting(applied, declared, circumstances.prune);
    identity::carry(applied, &mut next);
    let mut plan = Plan { changes: difference::changes(applied, &next), ..Plan::default() };
    consumer::mark(&mut plan.changes, applied, &next, circumstances);
    rule::judge(&mut plan, applied, declared, &next, circumstances);
    plan
}
