//! Column lineage with mask state (D19).

use serde::{Deserialize, Serialize};

use crate::mask::Mask;
use crate::name::Name;

/// What one output column was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnLineage {
    pub column: String,
    pub from: Vec<ColumnSource>,
    /// Classifications that it inherits from those, each with the mask that the values already bear.
    pub inherited: Vec<Inherited>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ColumnSource {
    /// The product's input name.
    pub input: String,
    pub column: String,
    /// Whether the value flows (`SELECT x`, `lower(x)`), or only steers which rows come (joins, filters, counts).
    pub flows: bool,
    /// What the values of that column bore when they arrived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bears: Vec<Inherited>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Inherited {
    pub classification: Name,
    /// The mask that was applied before the value arrived; `None` when it arrived in the clear.
    pub masked_by: Option<Mask>,
}
