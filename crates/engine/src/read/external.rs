//! Files of others, where they lie: what a run checked, and nothing else.
//!
//! The commit of the run lists each file with what it is known by. Every read of a byte asks for the file anew and compares:
//! a file that was replaced, rewritten or touched since is refused, not served. What the files say of themselves in their
//! footers is not used to leave rows out.

mod deleted;
mod pinned;

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::common::ScalarValue;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::table_schema::TableSchema;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::ColumnId;
use meshwork_core::publication::TableLocation;
use meshwork_core::types::ColumnType;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

pub use deleted::{Deleted, List, file_name};
pub use pinned::{FileIdentity, Pin, PinnedFiles, PinnedReader, Reach, changed};

use super::snapshot::Snapshot;
use crate::native::read_type;
use crate::storage::{Stores, TableLog};

/// A table of others as a run found it: part of the run's commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// `delta` or `parquet`.
    pub format: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// That its files lie in; absent for files of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// In the order of the contract.
    pub columns: Vec<RegisteredColumn>,
    pub files: Vec<RegisteredFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredColumn {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ColumnId>,
    /// The contract's name.
    pub name: String,
    /// The name in the files.
    pub physical: String,
    pub native: ColumnType,
    /// Its values stand in the list of files, not in the files.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partition: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredFile {
    #[serde(flatten)]
    pub pin: Pin,
    /// Of the partition columns, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition: Vec<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Deleted>,
}

impl Registered {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.pin.identity.size()).sum()
    }

    /// As a table version to scan.
    pub async fn snapshot(&self, reach: Reach) -> Result<Snapshot> {
        let (inside, outside): (Vec<_>, Vec<_>) = self.columns.iter().partition(|column| !column.partition);
        let fields = |columns: &[&RegisteredColumn], name: fn(&RegisteredColumn) -> &String| -> Vec<FieldRef> {
            let field = |c: &&RegisteredColumn| Arc::new(Field::new(name(c), read_type(&c.native), true));
            columns.iter().map(field).collect()
        };
        let physical = Arc::new(Schema::new(fields(&inside, |column| &column.physical)));
        let table = TableSchema::builder(physical)
            .with_table_partition_cols(fields(&outside, |column| &column.physical))
            .build();
        let all: Vec<&RegisteredColumn> = inside.iter().chain(&outside).copied().collect();
        let schema = Arc::new(Schema::new(fields(&all, |column| &column.name)));
        let ids = all.iter().enumerate().filter_map(|(at, column)| Some((column.id.as_ref()?.to_string(), at)));
        let mut files = Vec::with_capacity(self.files.len());
        for (number, file) in self.files.iter().enumerate() {
            let mut partitioned = PartitionedFile::new(String::new(), file.pin.identity.size());
            partitioned.object_meta.location = location(number);
            let values = outside.iter().zip(&file.partition).map(|(column, text)| value(column, text.as_deref()));
            partitioned.partition_values = values.collect::<Result<_>>()?;
            files.push(match &file.deleted {
                None => partitioned,
                Some(deleted) => partitioned.with_extension(ParquetRowSelection::new(deleted.selection(&reach).await?)),
            });
        }
        let pins = self.files.iter().enumerate().map(|(number, file)| (location(number), file.pin.clone()));
        Snapshot::external(schema, table, ids.collect(), files, Arc::new(PinnedFiles::new(reach, pins)))
    }
}

fn value(column: &RegisteredColumn, text: Option<&str>) -> Result<ScalarValue> {
    let ty = read_type(&column.native);
    let value = match text {
        Some(text) => ScalarValue::try_from_string(text.to_owned(), &ty),
        None => ScalarValue::try_new_null(&ty),
    };
    value.map_err(|_| {
        let message = format!("a folder's value of the partition column `{}` is no {}", column.physical, column.native);
        Error::check("MW0684", message).hint("declare the column in the contract with the type that its values have")
    })
}

/// Files are known by their number: no plan and no error knows where they lie.
fn location(number: usize) -> Path {
    Path::from(format!("file-{number}"))
}

/// The table of others that a version registered.
pub async fn registered(log: &TableLog, version: u64) -> Result<Option<Registered>> {
    let commit = log.commit(version).await?;
    let mark = commit.as_ref().and_then(|commit| commit.mark()).and_then(|mark| mark.get("external"));
    Ok(mark.and_then(|mark| Registered::deserialize(mark).ok()))
}

pub(super) async fn load(stores: &Stores, location: &TableLocation, version: u64, reach: Reach) -> Result<Snapshot> {
    let log = TableLog::open(stores, location, false).await?;
    let found = registered(&log, version).await?.ok_or_else(|| {
        tracing::error!(url = location.url(), version, "the log does not say which files an external table has");
        Error::environment("MW0818", "the data of a published table cannot be opened")
            .hint("the owner of the product finds the reason in the server's log, and can run the product again")
    })?;
    found.snapshot(reach).await
}
