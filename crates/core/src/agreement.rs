//! Agreements: access grants with a purpose and an expiry. The approval is the grant.

use serde::{Deserialize, Serialize};

use crate::effect::Timestamp;
use crate::filter::RowFilter;
use crate::id::{AgreementId, OutputId};
use crate::name::Name;
use crate::principal::{Grantee, Principal};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    pub id: AgreementId,
    pub grantee: Grantee,
    pub output: OutputId,
    /// `domain.output` at the time of granting, for people; the id decides.
    pub table: String,
    /// The contract major that it pins (D3).
    pub major: u32,
    pub purpose: String,
    /// Absent: every column. Columns outside a grant are absent for the grantee (D15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Classifications that the grantee may read in the clear.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clear: Vec<Name>,
    #[serde(default, skip_serializing_if = "RowFilter::is_empty")]
    pub rows: RowFilter,
    pub granted_by: Principal,
    pub granted_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Agreement {
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}
