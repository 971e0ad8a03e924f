//! Classifications: names such as `pii` that bind columns to masks.

use serde::{Deserialize, Serialize};

use crate::mask::Mask;
use crate::name::Name;
use crate::types::ColumnType;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    pub name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A classification that it refines: `health` is a `special_category`. It takes the parent's mask where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Name>,
    /// The mask of a column of a type that `by_type` does not name.
    pub mask: Mask,
    /// Masks for types where the default does not apply, such as a birth date: `date → truncate-to-year`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_type: Vec<(LogicalFamily, Mask)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogicalFamily {
    Text,
    Integer,
    Number,
    Boolean,
    Date,
    Timestamp,
    Nested,
}

impl LogicalFamily {
    pub fn of(ty: &ColumnType) -> Self {
        use ColumnType as T;
        match ty {
            T::Text | T::Binary => Self::Text,
            T::Int8 | T::Int16 | T::Int32 | T::Int64 => Self::Integer,
            T::Float32 | T::Float64 | T::Decimal { .. } => Self::Number,
            T::Boolean => Self::Boolean,
            T::Date => Self::Date,
            T::Timestamp | T::LocalTimestamp => Self::Timestamp,
            T::List(_) | T::Struct(_) => Self::Nested,
        }
    }
}

impl Classification {
    pub fn mask_for(&self, ty: &ColumnType) -> Mask {
        let family = LogicalFamily::of(ty);
        self.by_type.iter().find(|(of, _)| *of == family).map_or(self.mask, |(_, mask)| *mask)
    }
}
