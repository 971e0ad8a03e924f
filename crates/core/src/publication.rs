//! Publications: what makes data visible (D4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::effect::Timestamp;
use crate::id::{ColumnId, OutputId, ProductId, PublicationId, RunId};
use crate::lineage::ColumnLineage;
use crate::name::Name;
use crate::storage::S3Storage;
use crate::types::ColumnType;

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
    #[serde(default, skip_serializing_if = "Body::is_stored")]
    pub body: Body,
}

impl PublishedOutput {
    /// Every published version that a reader of this one needs, beside itself: what a view was checked over, and what
    /// views among these were.
    pub fn pinned(&self) -> Vec<&Self> {
        let Body::View(view) = &self.body else { return Vec::new() };
        let each = view.inputs.values().map(|input| &input.table);
        each.flat_map(|table| std::iter::once(table).chain(table.pinned())).collect()
    }
}

/// What stands behind a published version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// Data files in the table's folder.
    #[default]
    Stored,
    /// A query. The table's log holds the verdict and no files.
    View(Box<ViewBody>),
    /// Files of others. The table's log says which, and how each is known again.
    External(ExternalBody),
}

impl Body {
    pub fn is_stored(&self) -> bool {
        *self == Self::Stored
    }

    /// As shown to people: `table`, `view`, `external`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stored => "table",
            Self::View(_) => "view",
            Self::External(_) => "external",
        }
    }
}

/// A query as it was checked: its text, its moment, and exactly the versions that it was checked over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewBody {
    pub sql: String,
    /// What `now()` is in it.
    pub now: Timestamp,
    pub columns: Vec<ViewColumn>,
    /// By the name of the input.
    pub inputs: BTreeMap<String, ViewInput>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewColumn {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ColumnId>,
    pub name: String,
    pub native: ColumnType,
}

/// One version that a view reads, and how its product read it when the view was checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewInput {
    pub domain: Name,
    pub output: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The publication that made it visible.
    pub publication: PublicationId,
    /// Over the columns, masks and row filter under which the product saw it. Under others the verdict says nothing.
    pub effect: String,
    pub table: PublishedOutput,
}

/// Views over views, at most so many.
pub const VIEW_DEPTH: usize = 8;

/// Tables below one view, at most, those of views among them included.
pub const VIEW_TABLES: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalBody {
    /// `delta` or `parquet`.
    pub format: String,
    /// Of the Delta table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    pub files: u64,
    /// The bucket that the files lie in, and how it was reached when they were checked; absent for files of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Box<S3Storage>>,
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

/// A table of an output, at one of the places where it has been.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TablePlace {
    pub output: OutputId,
    pub major: u32,
    pub location: TableLocation,
}
