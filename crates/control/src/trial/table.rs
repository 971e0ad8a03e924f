//! Tables that a test builds, and reading them back.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use meshwork_core::contract::Table;
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use meshwork_core::filter::RowFilter;
use meshwork_core::id::{ColumnId, OutputId};
use meshwork_core::name::Name;
use meshwork_core::product::{Merge, Mode, OnViolation};
use meshwork_core::publication::TableLocation;

use crate::port::data::{
    Catalog, FilesSpec, GovernedBody, GovernedColumn, GovernedTable, ListedTable, OutputSpec, SourceSpec,
};

/// The data files of a table that was built here.
pub(super) fn files_of(table: &GovernedTable) -> SourceSpec {
    let root = table.location.root.strip_prefix("file://").unwrap_or(&table.location.root);
    SourceSpec::Parquet {
        files: FilesSpec::Folder { folder: Path::new(root).join(&table.location.path), path: "*.parquet".to_owned() },
    }
}

pub(super) fn bare(name: &Name, mut table: Table, folder: &Path, id: &str) -> OutputSpec {
    for (number, field) in table.fields.iter_mut().enumerate() {
        field.id.get_or_insert_with(|| ColumnId::new(format!("column-{number}")));
    }
    let output = OutputId::new(id);
    OutputSpec {
        location: TableLocation::of(&format!("file://{}", folder.join("data").display()), &output, 1),
        output,
        name: name.clone(),
        major: 1,
        table,
        contract_version: semver::Version::new(1, 0, 0),
        contract_digest: String::new(),
        sql: String::new(),
        sql_path: String::new(),
        mode: Mode::Full,
        key: Vec::new(),
        merge: Merge::default(),
        on_violation: OnViolation::Block,
        quarantine_limit: Default::default(),
        base: None,
        served: None,
        resting: None,
        references: BTreeMap::new(),
    }
}

/// A table that was built here, as whoever reads it sees all of it.
pub(super) fn governed(output: &OutputSpec, version: u64) -> Result<GovernedTable> {
    let column = |field: &meshwork_core::contract::Field| GovernedColumn {
        id: field.id.clone().unwrap_or_else(|| ColumnId::new(field.name.clone())),
        name: field.name.clone(),
        native: field.native.clone(),
        nullable: true,
        mask: None,
        bears: Vec::new(),
    };
    let name = |text: &str| Name::new(text).map_err(|_| Error::internal("MW0613", "a name is not one"));
    Ok(GovernedTable {
        domain: name("test")?,
        output: name("found")?,
        output_id: output.output.clone(),
        major: output.major,
        location: output.location.clone(),
        delta_version: version,
        columns: output.table.fields.iter().map(column).collect(),
        withheld: Vec::new(),
        rows: RowFilter::default(),
        decision_digest: "test".to_owned(),
        valid_until: None,
        body: GovernedBody::Stored,
    })
}

/// The one table that is read back.
pub(super) struct One(pub(super) GovernedTable);

#[async_trait]
impl Catalog for One {
    async fn resolve(&self, _: &str, _: &str, _: Option<Timestamp>) -> Result<Option<GovernedTable>> {
        Ok(Some(self.0.clone()))
    }
    async fn list(&self) -> Result<Vec<ListedTable>> {
        Ok(Vec::new())
    }
    fn user(&self) -> String {
        "test".to_owned()
    }
}
