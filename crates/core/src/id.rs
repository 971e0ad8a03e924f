//! Immutable ids, given at first apply. Time-ordered UUIDs (version 7) as text.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::effect::{Clock, Entropy};

/// Where new ids come from.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'a> {
    pub clock: &'a dyn Clock,
    pub entropy: &'a dyn Entropy,
}

impl Ids<'_> {
    pub fn uuid(&self) -> uuid::Uuid {
        let mut random = [0u8; 10];
        self.entropy.fill(&mut random);
        let millis = u64::try_from(self.clock.now().timestamp_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(text: impl Into<String>) -> Self { Self(text.into()) }
            pub fn generate(ids: Ids<'_>) -> Self { Self(ids.uuid().to_string()) }
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self { Self(text) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )*};
}

ids! {
    MeshId, DomainId, ProductId,
    /// An output port; also the first part of its storage path.
    OutputId,
    ContractId, ColumnId, RunId, PublicationId, AgreementId, UserId, TokenId, AuditId,
}
