//! Publications: what makes data visible (D4).

use serde::{Deserialize, Serialize};

use crate::effect::Timestamp;
use crate::id::{OutputId, ProductId, PublicationId, RunId};
use crate::lineage::ColumnLineage;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publication {
    pub id: PublicationId,
    pub product: ProductId,
    pub run: RunId,
    pub at: Timestamp,
    pub outputs: Vec<PublishedOutput>,
}

/// One table version that a publication makes visible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishedOutput {
    pub output: OutputId,
    pub major: u32,
    pub contract_version: semver::Version,
    pub contract_digest: String,
    pub location: TableLocation,
    pub delta_version: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Where each column came from and what mask it already bore (D19).
    #[serde(default)]
    pub lineage: Vec<ColumnLineage>,
}

/// Where a Delta table lies: `<root>/<output id>/v<major>/`. The root is an absolute URL (`file:///…/`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableLocation {
    pub root: String,
    pub path: String,
}

impl TableLocation {
    pub fn of(root: &str, output: &OutputId, major: u32) -> Self {
        Self { root: root.trim_end_matches('/').to_owned() + "/", path: format!("{output}/v{major}") }
    }

    pub fn url(&self) -> String {
        format!("{}{}", self.root, self.path)
    }
}
