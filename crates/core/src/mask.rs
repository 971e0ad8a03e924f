//! Masks (D18): which there are, how strict each is, and which type each can mask.

use serde::{Deserialize, Serialize};

use crate::types::ColumnType;

/// Ordered by strictness, the strictest last, so that `max` picks between several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mask {
    #[serde(rename = "show-last-4")]
    ShowLast4,
    #[serde(rename = "show-first-4")]
    ShowFirst4,
    TruncateToMonth,
    TruncateToYear,
    MaskAlphanum,
    #[serde(rename = "sha-256-global")]
    Sha256Global,
    /// Keyed by the mesh, separated by entity id: the default for personal data.
    #[serde(rename = "hmac-sha-256")]
    HmacSha256,
    #[serde(rename = "sha-256-query-local")]
    Sha256QueryLocal,
    MaskToFixedValue,
    ReplaceWithNull,
}

impl Mask {
    /// The stricter of two; first + last together show eight characters, so they become alphanum.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::ShowFirst4, Self::ShowLast4) | (Self::ShowLast4, Self::ShowFirst4) => Self::MaskAlphanum,
            (a, b) => a.max(b),
        }
    }

    /// The table of (mask, type) pairs; any pair not listed is an error at `check`.
    pub fn applies_to(self, ty: &ColumnType) -> bool {
        use ColumnType as T;
        match self {
            Self::ReplaceWithNull => true,
            Self::MaskToFixedValue => !matches!(ty, T::List(_) | T::Struct(_)),
            Self::HmacSha256 | Self::Sha256Global | Self::Sha256QueryLocal => {
                matches!(ty, T::Text | T::Binary | T::Int64 | T::Int32 | T::Int16 | T::Int8)
            }
            Self::MaskAlphanum | Self::ShowFirst4 | Self::ShowLast4 => matches!(ty, T::Text),
            Self::TruncateToYear | Self::TruncateToMonth => {
                matches!(ty, T::Date | T::Timestamp | T::LocalTimestamp)
            }
        }
    }
}
