//! Delta tables of others, at their newest or at a pinned version, through delta-rs' own reader, which knows column
//! mapping and deletion vectors.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;
use deltalake_core::kernel::StorageType;
use deltalake_core::logstore::{StorageConfig, default_logstore};
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use futures::{StreamExt, TryStreamExt};
use meshwork_control::port::data::FilesSpec;
use meshwork_core::egress::Egress;
use meshwork_core::mesh::S3Connection;
use meshwork_core::{Error, Result};
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use url::Url;

use super::file::{confine, find_folder};
use super::{Access, Reading, Source};
use crate::remote::s3;

#[derive(Clone)]
struct DeltaSource {
    input: String,
    schema: SchemaRef,
    provider: Arc<dyn TableProvider>,
    context: SessionContext,
    reading: Reading,
    /// File after file, instead of several at once.
    in_order: bool,
}

impl std::fmt::Debug for DeltaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Delta({})", self.input)
    }
}

pub async fn open(
    input: &str,
    files: &FilesSpec,
    version: Option<u64>,
    reading: Reading,
    access: &Access,
) -> Result<Arc<dyn Source>> {
    let table = load(input, files, version, access).await?;
    let failed = |error: &dyn std::fmt::Display| unreadable(input, error);
    let context: SessionContext = deltalake_core::delta_datafusion::create_session().into_inner();
    table.update_datafusion_session(&context.state()).map_err(|error| failed(&error))?;
    let provider = table.table_provider().await.map_err(|error| failed(&error))?;
    let fields = provider.schema();
    let fields = fields.fields().iter().map(|f| ArrowField::new(f.name(), plain(f.data_type()), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(Arc::new(DeltaSource { input: input.to_owned(), schema, provider, context, reading, in_order: false }))
}

pub(crate) async fn load(input: &str, files: &FilesSpec, version: Option<u64>, access: &Access) -> Result<DeltaTable> {
    let (path, mut table, folder) = match files {
        FilesSpec::Folder { folder, path } => {
            let (root, at) = find_folder(input, folder, path)?;
            let url = Url::from_directory_path(&at).map_err(|()| unreadable(input, &"its folder has no address"))?;
            let table = DeltaTableBuilder::from_url(url).and_then(DeltaTableBuilder::build);
            (path, table.map_err(|error| unreadable(input, &error))?, Some((root, at)))
        }
        FilesSpec::S3 { url, connection, egress } => {
            (url, in_bucket(input, url, connection, egress, access).await?, None)
        }
        FilesSpec::Http { .. } => {
            return Err(Error::usage("MW0537", format!("input `{input}`: Delta tables are not read over HTTP"))
                .hint("read it from the domain's folder or from a bucket"));
        }
    };
    let loaded = match version {
        Some(version) => table.load_version(version).await,
        None => table.load().await,
    };
    loaded.map_err(|error| no_table(input, path, version, &error))?;
    inside(input, &table, folder.as_ref())?;
    Ok(table)
}

/// A table in a bucket, through a connection of the domain.
async fn in_bucket(
    input: &str,
    url: &str,
    connection: &S3Connection,
    egress: &Egress,
    access: &Access,
) -> Result<DeltaTable> {
    let broken = || {
        Error::check("MW0546", format!("input `{input}`: `{url}` is not a folder of a bucket"))
            .hint("write `s3://bucket/folder`")
    };
    let (bucket, folder) = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(broken)?;
    let store = s3::open(bucket, connection, &access.domain, &access.secrets, egress, access.patience).await;
    let store: Arc<dyn ObjectStore> =
        Arc::new(store.map_err(|error| Error { message: format!("input `{input}`: {}", error.message), ..error })?);
    let folder = Path::parse(folder.trim_end_matches('/')).map_err(|_| broken())?;
    // Whatever its credentials are, what it cannot answer now is told as such, and not as a table that is not there.
    if let Some(Err(error)) = store.list(Some(&folder.clone().join("_delta_log"))).next().await {
        return Err(s3::fault(&format!("input `{input}`: `{url}`"), &error));
    }
    let url = Url::parse(&format!("{}/", url.trim_end_matches('/'))).map_err(|_| broken())?;
    let table = Arc::new(PrefixStore::new(Arc::clone(&store), folder));
    Ok(DeltaTable::new(default_logstore(table, store, &url, &StorageConfig::default())))
}

/// The log is the domain's to write: the files that it names lie in the table's folder, too (D27).
fn inside(input: &str, table: &DeltaTable, folder: Option<&(PathBuf, PathBuf)>) -> Result<()> {
    let snapshot = table.snapshot().map_err(|error| unreadable(input, &error))?;
    for file in snapshot.snapshot().log_data().iter() {
        let name = file.path();
        let strange = name.starts_with('/') || name.contains(':') || name.split('/').any(|part| part == "..");
        let deletions = file.deletion_vector_descriptor();
        let elsewhere = deletions.is_some_and(|vector| vector.storage_type == StorageType::AbsolutePath);
        if strange || elsewhere {
            return Err(Error::check(
                "MW0503",
                format!("input `{input}`: the table's log names a file outside of its folder"),
            )
            .hint("a Delta table is read only where all of its files lie in its own folder"));
        }
        let Some((root, at)) = folder else { continue };
        let path = at.join(name.as_ref());
        if path.exists() {
            confine(&format!("input `{input}`: a file of the table"), root, &path)?;
        }
    }
    Ok(())
}

fn no_table(input: &str, path: &str, version: Option<u64>, error: &dyn std::fmt::Display) -> Error {
    let at = version.map(|version| format!(" at version {version}")).unwrap_or_default();
    tracing::warn!(input, %error, "a Delta source cannot be opened");
    Error::environment("MW0537", format!("input `{input}`: there is no Delta table in `{path}`{at} that can be read"))
        .hint("check that the folder holds `_delta_log`, and which versions it has")
}

pub(crate) fn unreadable(input: &str, error: &dyn std::fmt::Display) -> Error {
    // Its words may quote values of partition columns and statistics: they go to the log.
    tracing::warn!(input, %error, "a Delta source cannot be read");
    Error::environment("MW0537", format!("input `{input}`: the Delta table cannot be read"))
        .hint("check that all of its files are there, and which features the table uses")
}

fn plain(ty: &DataType) -> DataType {
    match ty {
        DataType::Dictionary(_, value) => plain(value),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    }
}

impl Source for DeltaSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn has_origin(&self) -> bool {
        false
    }

    fn partitions(&self, columns: &[usize]) -> Vec<Arc<dyn PartitionStream>> {
        let schema = super::table::projected(&self.schema, columns);
        vec![Arc::new(Rows { source: self.clone(), schema, columns: columns.to_vec() })]
    }

    fn in_order(&self) -> Option<Arc<dyn Source>> {
        Some(Arc::new(Self { in_order: true, ..self.clone() }))
    }
}

struct Rows {
    source: DeltaSource,
    schema: SchemaRef,
    columns: Vec<usize>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeltaRows({})", self.source.input)
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, columns) = (Arc::clone(&self.schema), self.columns.clone());
        let DeltaSource { input, provider, context, reading, in_order, .. } = self.source.clone();
        let opened = async move {
            let table = context.read_table(provider)?;
            let names: Vec<String> = columns.iter().map(|at| table.schema().field(*at).name().clone()).collect();
            let columns = names.into_iter().map(datafusion::prelude::ident).collect::<Vec<_>>();
            let table = table.select(columns)?;
            let rows = if in_order {
                futures::stream::iter(table.execute_stream_partitioned().await?).flatten().boxed()
            } else {
                table.execute_stream().await?.boxed()
            };
            Ok::<_, DataFusionError>(rows.map(move |batch| {
                let batch = batch?;
                reading.meter.add(batch.num_rows() as u64, batch.get_array_memory_size() as u64);
                as_declared(&batch, &schema)
            }))
        };
        let stream = futures::stream::once(opened).try_flatten();
        let stream = stream.map_err(move |error| DataFusionError::External(Box::new(unreadable(&input, &error))));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

fn as_declared(batch: &RecordBatch, schema: &SchemaRef) -> datafusion::error::Result<RecordBatch> {
    let arrays = batch.columns().iter().zip(schema.fields()).map(|(array, field)| cast(array, field.data_type()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays.collect::<Result<_, _>>()?, &options)?)
}

#[cfg(test)]
mod tests;
