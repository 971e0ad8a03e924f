//! Files of others, where they lie: what a run checked, and nothing else.
//!
//! The commit of the run lists each file with what it is known by. Every read of a byte opens the file anew and compares:
//! a file that was replaced, rewritten or touched since is refused, not served. What the files say of themselves in their
//! footers is not used to leave rows out.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::common::{Result as DfResult, ScalarValue, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::ColumnId;
use meshwork_core::publication::TableLocation;
use meshwork_core::types::ColumnType;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use serde::{Deserialize, Serialize};

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
    pub path: PathBuf,
    pub identity: FileIdentity,
    /// Of the partition columns, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition: Vec<Option<String>>,
}

/// What a file is known by. The change time is the kernel's own: nobody sets it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    pub inode: u64,
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    pub changed: i64,
}

impl FileIdentity {
    pub fn of(meta: &Metadata) -> Self {
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Self {
            inode: meta.ino(),
            size: meta.len(),
            modified: nanos(meta.mtime(), meta.mtime_nsec()),
            changed: nanos(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Registered {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.identity.size).sum()
    }

    /// As a table version to scan.
    pub fn snapshot(&self) -> Result<Snapshot> {
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
            let mut partitioned = PartitionedFile::new(String::new(), file.identity.size);
            partitioned.object_meta.location = location(number);
            let values = outside.iter().zip(&file.partition).map(|(column, text)| value(column, text.as_deref()));
            partitioned.partition_values = values.collect::<Result<_>>()?;
            files.push(partitioned);
        }
        let pinned =
            PinnedFiles { files: self.files.iter().cloned().enumerate().map(|(n, f)| (location(n), f)).collect() };
        Snapshot::external(schema, table, ids.collect(), files, Arc::new(pinned))
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

pub(super) async fn load(stores: &Stores, location: &TableLocation, version: u64) -> Result<Snapshot> {
    let log = TableLog::open(stores, location, false).await?;
    let found = registered(&log, version).await?.ok_or_else(|| {
        tracing::error!(url = location.url(), version, "the log does not say which files an external table has");
        Error::environment("MW0818", "the data of a published table cannot be opened")
            .hint("the owner of the product finds the reason in the server's log, and can run the product again")
    })?;
    found.snapshot()
}

/// Exactly these files, each as long as it is the one that was registered.
pub struct PinnedFiles {
    files: HashMap<Path, RegisteredFile>,
}

impl fmt::Debug for PinnedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedFiles({})", self.files.len())
    }
}

/// Every error that tells of a file which is not what was checked.
pub const CHANGED: &str = "MW0856";

/// The error of a file that is not what was checked, where that is at the bottom of another one. It says nothing of rows.
pub fn changed(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref::<Error>().filter(|own| own.code == CHANGED) {
            return Some(own.clone());
        }
        next = error.source();
    }
    None
}

fn not_what_was_checked(file: &RegisteredFile, what: &str) -> io::Error {
    // Where it lies is no reader's business.
    tracing::warn!(path = %file.path.display(), what, "a file of an external table is refused");
    let error = Error::environment(CHANGED, format!("a file of an external table {what} since it was checked"))
        .hint("the owner of the table runs the product again, which checks the files as they are now");
    io::Error::other(error)
}

impl RegisteredFile {
    /// Opens it, if it is still the one that was registered.
    fn open(&self) -> io::Result<File> {
        // Should a pipe have taken its place, opening it must not wait for a writer.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let opened = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&self.path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => not_what_was_checked(self, "has gone"),
            _ => error,
        })?;
        let meta = file.metadata()?;
        if !meta.is_file() || FileIdentity::of(&meta) != self.identity {
            return Err(not_what_was_checked(self, "has changed"));
        }
        Ok(file)
    }

    fn read(&self, file: &File, range: &Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

impl PinnedFiles {
    /// Whether all are there as they were registered. Reading one checks it again; this tells it before the first row.
    pub async fn verify(self: &Arc<Self>) -> Result<()> {
        let files = Arc::clone(self);
        let look = move || files.files.values().try_for_each(|file| file.open().map(drop));
        blocking(look).await.map_err(|error| {
            changed(&error).unwrap_or_else(|| {
                tracing::error!(%error, "a file of an external table cannot be opened");
                Error::environment("MW0818", "the data of a published table cannot be opened").hint(
                    "the owner of the product finds the reason in the server's log, and can run the product again",
                )
            })
        })
    }
}

impl ParquetFileReaderFactory for PinnedFiles {
    fn create_reader(
        &self,
        _: usize,
        file: PartitionedFile,
        _: Option<usize>,
        _: &ExecutionPlanMetricsSet,
    ) -> DfResult<Box<dyn AsyncFileReader + Send>> {
        match self.files.get(&file.object_meta.location) {
            Some(file) => Ok(Box::new(PinnedReader(file.clone()))),
            None => internal_err!("a file that was not registered"),
        }
    }
}

struct PinnedReader(RegisteredFile);

impl AsyncFileReader for PinnedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let file = self.0.clone();
        blocking(move || file.read(&file.open()?, &range)).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let file = self.0.clone();
        let read = move || {
            let opened = file.open()?;
            ranges.iter().map(|range| file.read(&opened, range)).collect()
        };
        blocking(read).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.0.identity.size;
        let reader = ParquetMetaDataReader::new().with_metadata_options(options.map(|o| o.metadata_options().clone()));
        async move { Ok(Arc::new(reader.load_and_finish(self, size).await?)) }.boxed()
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> ParquetResult<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done);
    done.map_err(|error| {
        // The error of ours is found by walking down, and `io::Error` would hide it.
        ParquetError::External(match error.downcast::<Error>() {
            Ok(own) => Box::new(own),
            Err(error) => Box::new(error),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_as_long_as_it_is_the_one_that_was_registered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "0123456789").unwrap();
        let identity = FileIdentity::of(&std::fs::metadata(&path).unwrap());
        let mut reader = PinnedReader(RegisteredFile { path: path.clone(), identity, partition: Vec::new() });
        assert_eq!(reader.get_bytes(2..5).await.unwrap(), "234");
        assert_eq!(reader.get_byte_ranges(vec![0..1, 9..10]).await.unwrap(), ["0", "9"]);

        // The same bytes under another inode, then other bytes, both with the time set back: not what was registered.
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        for bytes in ["0123456789", "9876543210"] {
            std::fs::write(folder.path().join("b"), bytes).unwrap();
            std::fs::rename(folder.path().join("b"), &path).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
            let error = reader.get_bytes(2..5).await.unwrap_err();
            assert_eq!(changed(&error).map(|error| error.code), Some(CHANGED.to_owned()), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        let range = 0..1;
        let error = reader.get_byte_ranges(vec![range]).await.unwrap_err();
        assert!(changed(&error).is_some_and(|error| error.message.contains("has gone")));
    }
}
