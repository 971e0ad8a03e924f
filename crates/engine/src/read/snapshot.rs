//! One pinned version of a Delta table as files for DataFusion's own Parquet scan.
//!
//! Deletion vectors and column mapping are refused: nothing of ours writes them, and reading past one shows deleted rows.
//! Tables of others may have them ([`super::external`]).

mod cache;

use std::collections::HashMap;
use std::path::Path as FsPath;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result as DfResult, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::ProjectionExec;
use deltalake_core::kernel::StructType;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow;
use meshwork_core::error::{Error, Result};
use meshwork_core::publication::TableLocation;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelector};

pub use self::cache::SnapshotCache;
use super::external::PinnedFiles;
use crate::native::{COLUMN_ID, column_type, read_type};
use crate::storage::fault::storage_error;
use crate::storage::log::{State, TableLog, local_root};
use crate::storage::site::Site;
use crate::storage::{LogCache, Stores};

/// Files, schema and statistics of one version. Immutable, so it is cached for as long as there is room.
#[derive(Debug)]
pub struct Snapshot {
    site: Site,
    /// Columns in the files, then partition columns, as readers see them.
    schema: SchemaRef,
    table: TableSchema,
    /// Column id → index in `schema`, where the writer recorded ids.
    ids: HashMap<String, usize>,
    files: Vec<PartitionedFile>,
    /// Set for files of others: the only way to them.
    external: Option<Arc<PinnedFiles>>,
}

impl Snapshot {
    /// Files of others. `schema` names the columns of `table` as readers do.
    pub fn external(
        schema: SchemaRef,
        table: TableSchema,
        ids: HashMap<String, usize>,
        files: Vec<PartitionedFile>,
        pinned: Arc<PinnedFiles>,
    ) -> Result<Self> {
        Ok(Self { site: Site::local(FsPath::new("/"))?, schema, table, ids, files, external: Some(pinned) })
    }

    pub fn is_external(&self) -> bool {
        self.external.is_some()
    }

    /// Whether files of others are as they were registered.
    pub async fn verify(&self) -> Result<()> {
        match &self.external {
            Some(pinned) => pinned.verify().await,
            None => Ok(()),
        }
    }

    /// About what it takes in memory.
    fn bytes(&self) -> usize {
        const COLUMN: usize = 160;
        const FILE: usize = 512;
        let selected = |file: &PartitionedFile| {
            let selection = file.extension::<ParquetRowSelection>();
            selection.map_or(0, |selection| selection.selection().iter().count() * size_of::<RowSelector>())
        };
        let selections: usize = self.files.iter().map(selected).sum();
        (self.files.len() + 1) * (FILE + COLUMN * self.schema.fields().len()) + selections
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The folder of the table: every file lies below it.
    pub fn folder(&self) -> &Path {
        &self.site.folder
    }

    /// The stored column with this identity; by name where the table carries no ids.
    pub fn column(&self, id: &str, name: &str) -> Option<usize> {
        if self.ids.is_empty() { self.schema.index_of(name).ok() } else { self.ids.get(id).copied() }
    }

    /// A native scan of `columns` (indices in [`Self::schema`]).
    pub fn scan(
        &self,
        session: &dyn Session,
        columns: &[usize],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        self.files().scan(session, columns, limit)
    }

    pub fn files(&self) -> Files<'_> {
        let external = self.external.as_ref();
        Files { site: &self.site, table: &self.table, schema: &self.schema, files: &self.files, external }
    }

    /// Files of ours that no log lists. They say themselves which columns they have; one that a file lacks is null in it.
    async fn of_files(log: &TableLog, adds: &[serde_json::Value]) -> Result<Self> {
        let fail = |error: &(dyn std::error::Error + 'static)| {
            storage_error(&format!("opening the files of {}", log.url()), error)
        };
        let (mut fields, mut ids): (Vec<FieldRef>, HashMap<String, usize>) = (Vec::new(), HashMap::new());
        for add in adds {
            let name = add.get("path").and_then(serde_json::Value::as_str).unwrap_or_default();
            let options = ArrowReaderOptions::default();
            let found = match log.folder()? {
                Some(folder) => {
                    let file = std::fs::File::open(folder.join(name)).map_err(|error| fail(&error))?;
                    ArrowReaderMetadata::load(&file, options)
                }
                None => {
                    let found = log.table_store().get(&Path::from(name)).await.map_err(|error| fail(&error))?;
                    ArrowReaderMetadata::load(&found.bytes().await.map_err(|error| fail(&error))?, options)
                }
            };
            let found = found.map_err(|error| fail(&error))?;
            for field in found.schema().fields() {
                if fields.iter().any(|known| known.name() == field.name()) {
                    continue;
                }
                if let Some(id) = field.metadata().get(COLUMN_ID) {
                    // The newest name of a column comes first.
                    ids.entry(id.clone()).or_insert(fields.len());
                }
                fields.push(Arc::new(readable(field)?.as_ref().clone().with_metadata(HashMap::new())));
            }
        }
        let schema = Arc::new(Schema::new(fields));
        let site = log.site()?;
        let files = adds.iter().map(|add| described(add, &site.folder, &schema, &[])).collect::<Result<_>>()?;
        let table = TableSchema::builder(Arc::clone(&schema)).build();
        Ok(Self { site, schema, table, ids, files, external: None })
    }

    /// The same table with other data files of it, as their log entries describe them.
    pub fn with_files(&self, adds: &[serde_json::Value]) -> Result<Self> {
        let files = adds.iter().map(|add| described(add, &self.site.folder, self.table.file_schema(), &[]));
        Ok(Self {
            site: self.site.clone(),
            schema: Arc::clone(&self.schema),
            table: self.table.clone(),
            ids: self.ids.clone(),
            files: files.collect::<Result<_>>()?,
            external: None,
        })
    }
}

/// Data files of one table, to be scanned.
pub struct Files<'a> {
    pub site: &'a Site,
    pub table: &'a TableSchema,
    /// Columns in the files, then partition columns.
    pub schema: &'a SchemaRef,
    pub files: &'a [PartitionedFile],
    pub external: Option<&'a Arc<PinnedFiles>>,
}

impl Files<'_> {
    /// A native scan of `columns` (indices in `schema`).
    pub fn scan(
        &self,
        session: &dyn Session,
        columns: &[usize],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        if self.files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(columns)?))));
        }
        let config = session.config_options();
        self.site.introduce(session.runtime_env());
        let store = session.runtime_env().object_store(&self.site.store)?;
        let cache = session.runtime_env().cache_manager.get_file_metadata_cache();
        let mut options = TableParquetOptions { global: config.execution.parquet.clone(), ..Default::default() };
        let reader: Arc<dyn ParquetFileReaderFactory> = match self.external {
            None => Arc::new(CachedParquetFileReaderFactory::new(store, cache)),
            Some(pinned) => {
                // A footer of others may lie about what its row groups hold.
                options.global.pruning = false;
                options.global.enable_page_index = false;
                options.global.bloom_filter_on_read = false;
                options.global.coerce_int96 = Some("us".to_owned());
                Arc::clone(pinned) as Arc<dyn ParquetFileReaderFactory>
            }
        };
        let source = ParquetSource::new(self.table.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(reader);
        let groups = FileGroup::new(self.files.to_vec()).split_files(session.config().target_partitions().max(1));
        let (groups, statistics) = merged(groups, self.schema)?;
        let scan = FileScanConfigBuilder::new(self.site.store.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(columns.to_vec()))?
            .with_limit(limit)
            .build();
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(scan);
        let called =
            scan.schema().fields().iter().zip(columns).all(|(f, at)| f.name() == self.schema.field(*at).name());
        if called {
            return Ok(scan);
        }
        let column = |(place, at): (usize, &usize)| {
            let column = Column::new(scan.schema().field(place).name(), place);
            (Arc::new(column) as Arc<dyn PhysicalExpr>, self.schema.field(*at).name().clone())
        };
        let columns: Vec<_> = columns.iter().enumerate().map(column).collect();
        Ok(Arc::new(ProjectionExec::try_new(columns, scan)?))
    }
}

/// A data file from the `add` action that describes it. `partition`: values of the columns that are not in it.
pub fn described(
    add: &serde_json::Value,
    folder: &Path,
    schema: &SchemaRef,
    partition: &[ScalarValue],
) -> Result<PartitionedFile> {
    let broken = || Error::environment("MW0623", "an entry of a table's log does not describe a data file");
    let name = add.get("path").and_then(serde_json::Value::as_str).ok_or_else(broken)?;
    let size = add.get("size").and_then(serde_json::Value::as_u64).ok_or_else(broken)?;
    let millis = add.get("modificationTime").and_then(serde_json::Value::as_i64).unwrap_or_default();
    let mut file = PartitionedFile::new(String::new(), size);
    let folder = folder.as_ref();
    file.object_meta.location = Path::from_url_path(format!("{folder}/{name}")).map_err(|_| broken())?;
    file.object_meta.last_modified = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
    file.partition_values = partition.to_vec();
    let statistics = statistics(schema, None, add.get("stats").and_then(serde_json::Value::as_str), size);
    Ok(file.with_statistics(Arc::new(statistics)))
}

/// Each group with its statistics, and those of all: what the planner decides by.
fn merged(groups: Vec<FileGroup>, schema: &Schema) -> DfResult<(Vec<FileGroup>, Statistics)> {
    let of_group = |group: FileGroup| -> DfResult<FileGroup> {
        let files = group.iter().filter_map(|file| file.statistics.as_deref());
        let statistics = Statistics::try_merge_iter(files, schema)?;
        Ok(group.with_statistics(Arc::new(statistics)))
    };
    let groups = groups.into_iter().map(of_group).collect::<DfResult<Vec<_>>>()?;
    let all = Statistics::try_merge_iter(groups.iter().filter_map(|group| group.file_statistics(None)), schema)?;
    Ok((groups, all))
}

fn unreadable(location: &TableLocation, version: u64, why: &dyn std::fmt::Display) -> Error {
    // The place of the files is no reader's business: it goes to the log.
    tracing::error!(url = location.url(), version, %why, "a published table version cannot be opened");
    unopened()
}

fn unopened() -> Error {
    Error::environment("MW0818", "the data of a published table cannot be opened")
        .hint("the owner of the product finds the reason in the server's log, and can run the product again")
}

/// Reader features under which the files still say what they say: those that are off unless used, and used are refused.
const READ_FEATURES: [&str; 5] =
    ["timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "deletionVectors", "columnMapping"];

/// The feature of a Delta table under which its files do not say what its rows are to us, if it has one.
pub fn unread(settings: &HashMap<String, String>, protocol: &impl serde::Serialize) -> Option<String> {
    if settings.get("delta.columnMapping.mode").is_some_and(|mode| mode != "none") {
        return Some("column mapping".to_owned());
    }
    unknown_feature(protocol)
}

/// A feature of a Delta table that no reader of ours knows, if it has one.
pub fn unknown_feature(protocol: &impl serde::Serialize) -> Option<String> {
    let protocol = serde_json::to_value(protocol).unwrap_or_default();
    let features = protocol["readerFeatures"].as_array().into_iter().flatten().filter_map(|feature| feature.as_str());
    features.map(str::to_owned).find(|feature| !READ_FEATURES.contains(&feature.as_str()))
}

async fn load(stores: &Stores, location: &TableLocation, version: u64, logs: &LogCache) -> Result<Snapshot> {
    if let Some((log, state)) = own(stores, location, version, logs).await {
        return of_state(location, version, &log, &state);
    }
    foreign(stores, location, version).await
}

/// The state of a table that this platform writes, from its log; `None` for others, and where that fails.
async fn own(
    stores: &Stores,
    location: &TableLocation,
    version: u64,
    logs: &LogCache,
) -> Option<(TableLog, Arc<State>)> {
    // Opening a store makes its folder.
    if local_root(location).is_ok_and(|root| !root.is_dir()) {
        return None;
    }
    let log = TableLog::open(stores, location, false).await.ok()?;
    log.commit(version).await.ok()??.run()?;
    let state = logs.state(&log, version).await.ok()?;
    state.is_plain().then_some((log, state))
}

fn of_state(location: &TableLocation, version: u64, log: &TableLog, state: &State) -> Result<Snapshot> {
    let fail = |why: &dyn std::fmt::Display| unreadable(location, version, why);
    let absent = || fail(&"its log has no metadata");
    let metadata = state.metadata.as_ref().ok_or_else(absent)?;
    let text = metadata.get("schemaString").and_then(serde_json::Value::as_str).ok_or_else(absent)?;
    let declared: StructType = serde_json::from_str(text).map_err(|error| fail(&error))?;
    let stored: Schema = (&declared).try_into_arrow().map_err(|error| fail(&error))?;
    let columns = Columns::of(&stored, &[])?;
    let site = log.site().map_err(|error| fail(&error))?;
    let files = state.adds().map(|add| described(add, &site.folder, &columns.file_schema, &[]));
    let files = files.collect::<Result<_>>()?;
    Ok(columns.snapshot(site, files))
}

/// The columns of a table as readers see them.
struct Columns {
    file_schema: SchemaRef,
    /// Values of these stand in the log, not in the files.
    in_paths: Vec<FieldRef>,
    schema: SchemaRef,
    ids: HashMap<String, usize>,
}

impl Columns {
    fn of(stored: &Schema, partitions: &[String]) -> Result<Self> {
        let (mut in_files, mut in_paths) = (Vec::new(), Vec::new());
        for field in stored.fields() {
            let field = readable(field)?;
            if partitions.contains(field.name()) { in_paths.push(field) } else { in_files.push(field) }
        }
        // Partition values lie in the metadata's order in every file entry.
        in_paths.sort_by_key(|field| partitions.iter().position(|name| name == field.name()));
        let ids = in_files.iter().chain(&in_paths).enumerate();
        let ids = ids.filter_map(|(at, field)| Some((field.metadata().get(COLUMN_ID)?.clone(), at))).collect();
        let bare = |fields: &[FieldRef]| -> Vec<FieldRef> {
            fields.iter().map(|field| Arc::new(field.as_ref().clone().with_metadata(HashMap::new()))).collect()
        };
        let (in_files, in_paths) = (bare(&in_files), bare(&in_paths));
        let file_schema = Arc::new(Schema::new(in_files.clone()));
        let schema = Arc::new(Schema::new([in_files, in_paths.clone()].concat()));
        Ok(Self { file_schema, in_paths, schema, ids })
    }

    fn snapshot(self, site: Site, files: Vec<PartitionedFile>) -> Snapshot {
        let table = TableSchema::builder(self.file_schema).with_table_partition_cols(self.in_paths).build();
        Snapshot { site, schema: self.schema, table, ids: self.ids, files, external: None }
    }
}

/// A table that others write, or one whose log says more than ours do.
async fn foreign(stores: &Stores, location: &TableLocation, version: u64) -> Result<Snapshot> {
    let fail = |why: &dyn std::fmt::Display| unreadable(location, version, why);
    let (table, site) = match stores.bucket_of(location).await? {
        Some(_) => {
            let log = TableLog::open(stores, location, false).await?;
            (log.delta_table(version).await.map_err(|error| fail(&error))?, log.site()?)
        }
        None => {
            let url = url::Url::parse(&location.url()).map_err(|error| fail(&error))?;
            let table = deltalake_core::open_table_with_version(url, version).await.map_err(|error| fail(&error))?;
            let folder = table.table_url().to_file_path().map_err(|()| fail(&"it is no folder"))?;
            (table, Site::local(&folder)?)
        }
    };
    let state = table.snapshot().map_err(|error| fail(&error))?;
    let snapshot = state.snapshot();
    if let Some(feature) = unread(snapshot.metadata().configuration(), snapshot.protocol()) {
        return Err(unsupported(&feature));
    }

    let partitions: Vec<String> = snapshot.metadata().partition_columns().iter().map(ToString::to_string).collect();
    let columns = Columns::of(&snapshot.arrow_schema(), &partitions)?;
    let folder = &site.folder;
    let mut files = Vec::new();
    for view in snapshot.log_data().iter() {
        if view.deletion_vector_descriptor().is_some() {
            return Err(unsupported("deletion vectors"));
        }
        let relative = view.object_store_path();
        let path = Path::parse(format!("{folder}/{relative}")).map_err(|error| fail(&error))?;
        let size = u64::try_from(view.size()).map_err(|error| fail(&error))?;
        let mut file = PartitionedFile::new(String::new(), size);
        file.object_meta.location = path;
        // Part of the metadata cache's key: a file of a Delta table is never rewritten under its name.
        file.object_meta.last_modified = view.modification_datetime().map_err(|error| fail(&error))?;
        let values = view.partition_values_map();
        let partition =
            columns.in_paths.iter().map(|field| partition_value(values.get(field.name()), field.data_type()));
        file.partition_values = partition.collect::<DfResult<_>>().map_err(|error| fail(&error))?;
        let rows = view.num_records();
        let statistics = statistics(&columns.file_schema, rows, view.stats().as_deref(), size);
        files.push(file.with_statistics(Arc::new(statistics)));
    }
    Ok(columns.snapshot(site, files))
}

fn unsupported(feature: &str) -> Error {
    Error::environment("MW0819", format!("the table uses {feature}, which is not read here"))
        .hint("let the product write the table; other writers' commits are not served")
}

fn readable(field: &FieldRef) -> Result<FieldRef> {
    let Some(ty) = column_type(field.data_type()) else {
        return Err(unsupported(&format!("the type {}", field.data_type())));
    };
    Ok(Arc::new(Field::new(field.name(), read_type(&ty), field.is_nullable()).with_metadata(field.metadata().clone())))
}

fn partition_value(text: Option<&Option<String>>, ty: &DataType) -> DfResult<ScalarValue> {
    match text {
        Some(Some(text)) if !text.is_empty() => ScalarValue::try_from_string(text.clone(), ty),
        _ => ScalarValue::try_new_null(ty),
    }
}

/// A file's statistics from its log entry. Only what cannot have been rounded counts as exact: not text (writers cut
/// long values), not floats (NaN), not timestamps (JSON holds milliseconds).
fn statistics(schema: &SchemaRef, rows: Option<usize>, json: Option<&str>, size: u64) -> Statistics {
    let parsed: serde_json::Value = json.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let rows = rows.or_else(|| parsed["numRecords"].as_u64().and_then(|rows| usize::try_from(rows).ok()));
    let bound = |kind: &str, field: &Field| -> Precision<ScalarValue> {
        let text = match &parsed[kind][field.name()] {
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::String(text) => text.clone(),
            _ => return Precision::Absent,
        };
        let ty = field.data_type();
        let Ok(value) = ScalarValue::try_from_string(text, ty) else { return Precision::Absent };
        match ty {
            _ if ty.is_integer() => Precision::Exact(value),
            DataType::Date32 => Precision::Exact(value),
            _ => Precision::Inexact(value),
        }
    };
    // What a column takes in memory, by which joins choose the side to hold: like DataFusion's own, but for the length of
    // texts, which the log does not tell.
    let bytes = |field: &Field| match (rows, field.data_type().primitive_width()) {
        (Some(rows), Some(width)) => Precision::Exact(rows * width),
        (Some(rows), None) => Precision::Inexact(rows * TEXT_BYTES),
        (None, _) => Precision::Absent,
    };
    let columns = schema.fields().iter().map(|field| {
        let nulls = parsed["nullCount"][field.name()].as_u64().and_then(|nulls| usize::try_from(nulls).ok());
        ColumnStatistics {
            null_count: nulls.map_or(Precision::Absent, Precision::Exact),
            min_value: bound("minValues", field),
            max_value: bound("maxValues", field),
            byte_size: bytes(field),
            ..ColumnStatistics::new_unknown()
        }
    });
    let columns: Vec<ColumnStatistics> = columns.collect();
    let total: Option<usize> = columns.iter().map(|column| column.byte_size.get_value().copied()).sum();
    let total = total.or_else(|| usize::try_from(size).ok());
    Statistics {
        num_rows: rows.map_or(Precision::Absent, Precision::Exact),
        total_byte_size: total.map_or(Precision::Absent, Precision::Inexact),
        column_statistics: columns,
    }
}

/// A view of a text, and a few letters.
const TEXT_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_that_cannot_be_rounded_are_exact() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8View, true),
            Field::new("score", DataType::Float64, true),
        ]));
        let json = r#"{"numRecords":3,"minValues":{"id":1,"name":"a","score":0.5},"maxValues":{"id":9,"name":"z"},
            "nullCount":{"id":0,"name":1}}"#;
        let found = statistics(&schema, None, Some(json), 10);
        assert_eq!(found.num_rows, Precision::Exact(3));
        assert_eq!(found.column_statistics[0].max_value, Precision::Exact(ScalarValue::Int64(Some(9))));
        assert_eq!(found.column_statistics[1].null_count, Precision::Exact(1));
        assert!(matches!(found.column_statistics[1].min_value, Precision::Inexact(_)));
        assert!(matches!(found.column_statistics[2].min_value, Precision::Inexact(_)));
        assert_eq!(found.column_statistics[2].max_value, Precision::Absent);
        let bytes: Vec<_> = found.column_statistics.iter().map(|column| column.byte_size).collect();
        assert_eq!(bytes, [Precision::Exact(24), Precision::Inexact(3 * TEXT_BYTES), Precision::Exact(24)]);
        assert_eq!(found.total_byte_size, Precision::Inexact(48 + 3 * TEXT_BYTES));
    }
}
