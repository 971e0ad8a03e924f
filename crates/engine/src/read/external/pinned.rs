//! Files of others as they were when they were checked, and the only way to their bytes: each read tells whether the file
//! is still that one. Files of this machine are known by what its kernel says of them, objects of a bucket by their ETag.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::{Result as DfResult, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use meshwork_core::error::{Error, Result};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use serde::{Deserialize, Serialize};

/// A file that was looked at, and what it is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Absolute, or the key of an object.
    pub path: PathBuf,
    pub identity: FileIdentity,
}

/// What a file is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FileIdentity {
    Here {
        inode: u64,
        size: u64,
        /// Nanoseconds since 1970.
        modified: i64,
        /// The change time is the kernel's own: nobody sets it back.
        changed: i64,
    },
    Object {
        etag: String,
        size: u64,
        /// Where the bucket keeps versions: another one is another object, whatever it holds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
}

impl FileIdentity {
    pub fn of(meta: &Metadata) -> Self {
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Self::Here {
            inode: meta.ino(),
            size: meta.len(),
            modified: nanos(meta.mtime(), meta.mtime_nsec()),
            changed: nanos(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// `None` for an object without an ETag: nothing would tell it from another one. Some stores have objects that they never
    /// saw written.
    pub fn of_object(meta: &ObjectMeta) -> Option<Self> {
        let etag = meta.e_tag.clone().filter(|tag| !tag.trim_matches('"').is_empty())?;
        Some(Self::Object { etag, size: meta.size, version: meta.version.clone() })
    }

    pub fn size(&self) -> u64 {
        match self {
            Self::Here { size, .. } | Self::Object { size, .. } => *size,
        }
    }
}

/// Where pinned files lie.
#[derive(Clone, Debug)]
pub enum Reach {
    Here,
    Bucket(Arc<dyn ObjectStore>),
}

impl Reach {
    /// Whether both are one way: a bucket that was opened anew is another.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Here, Self::Here) => true,
            (Self::Bucket(own), Self::Bucket(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    /// Tells whether the file is as it was.
    async fn look(&self, pin: &Pin) -> ParquetResult<()> {
        match self {
            Self::Here => {
                let pin = pin.clone();
                blocking(move || pin.open().map(drop)).await
            }
            Self::Bucket(store) => {
                let found = store.head(&pin.key()?).await.map_err(|error| pin.failed(error))?;
                pin.compare(&found)
            }
        }
    }

    /// These bytes of the file, if it is as it was.
    pub async fn read(&self, pin: &Pin, ranges: &[Range<u64>]) -> ParquetResult<Vec<Bytes>> {
        match self {
            Self::Here => {
                let (pin, ranges) = (pin.clone(), ranges.to_vec());
                let read = move || {
                    let file = pin.open()?;
                    ranges.iter().map(|range| exactly(&file, range)).collect()
                };
                blocking(read).await
            }
            Self::Bucket(store) => {
                let fetch = |range| pin.fetch(store.as_ref(), range);
                object_store::coalesce_ranges(ranges, fetch, object_store::OBJECT_STORE_COALESCE_DEFAULT).await
            }
        }
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

impl Pin {
    fn is_not_what_was_checked(&self, what: &str) -> Error {
        // Where it lies is no reader's business.
        tracing::warn!(path = %self.path.display(), what, "a file of an external table is refused");
        Error::environment(CHANGED, format!("a file of an external table {what} since it was checked"))
            .hint("the owner of the table runs the product again, which checks the files as they are now")
    }

    /// Opens it, if it is still the one that was registered.
    fn open(&self) -> io::Result<File> {
        // Should a pipe have taken its place, opening it must not wait for a writer.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let opened = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&self.path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::other(self.is_not_what_was_checked("has gone")),
            _ => error,
        })?;
        let meta = file.metadata()?;
        if !meta.is_file() || FileIdentity::of(&meta) != self.identity {
            return Err(io::Error::other(self.is_not_what_was_checked("has changed")));
        }
        Ok(file)
    }

    fn key(&self) -> ParquetResult<Path> {
        let key = self.path.to_str().and_then(|key| Path::parse(key).ok());
        key.ok_or_else(|| ParquetError::General("a registered object has no key".to_owned()))
    }

    /// The answer itself says which object it is of: a store need not know the condition.
    async fn fetch(&self, store: &dyn ObjectStore, range: Range<u64>) -> ParquetResult<Bytes> {
        let if_match = match &self.identity {
            FileIdentity::Object { etag, .. } => Some(etag.clone()),
            FileIdentity::Here { .. } => None,
        };
        let options = GetOptions { if_match, range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = store.get_opts(&self.key()?, options).await.map_err(|error| self.failed(error))?;
        self.compare(&found.meta)?;
        found.bytes().await.map_err(|error| self.failed(error))
    }

    fn compare(&self, found: &ObjectMeta) -> ParquetResult<()> {
        if FileIdentity::of_object(found).as_ref() == Some(&self.identity) {
            return Ok(());
        }
        Err(ParquetError::External(Box::new(self.is_not_what_was_checked("has changed"))))
    }

    fn failed(&self, error: object_store::Error) -> ParquetError {
        ParquetError::External(match error {
            object_store::Error::NotFound { .. } => Box::new(self.is_not_what_was_checked("has gone")),
            object_store::Error::Precondition { .. } => Box::new(self.is_not_what_was_checked("has changed")),
            other => Box::new(other),
        })
    }
}

fn exactly(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
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

/// Exactly these files, each as long as it is the one that was registered.
pub struct PinnedFiles {
    reach: Reach,
    files: HashMap<Path, Pin>,
}

impl fmt::Debug for PinnedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedFiles({})", self.files.len())
    }
}

/// Objects that are asked for at a time.
const AHEAD: usize = 16;

impl PinnedFiles {
    pub fn new(reach: Reach, files: impl Iterator<Item = (Path, Pin)>) -> Self {
        Self { reach, files: files.collect() }
    }

    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Whether all are there as they were registered. Reading one checks it again; this tells it before the first row.
    pub async fn verify(&self) -> Result<()> {
        let looks: Vec<_> = self.files.values().map(|pin| self.reach.look(pin)).collect();
        let looked = futures::stream::iter(looks).buffer_unordered(AHEAD).try_collect::<()>().await;
        looked.map_err(|error| unopened(&error))
    }
}

/// What readers hear of files that cannot be opened.
pub fn unopened(error: &ParquetError) -> Error {
    changed(error).unwrap_or_else(|| {
        tracing::error!(%error, "a file of an external table cannot be opened");
        Error::environment("MW0818", "the data of a published table cannot be opened")
            .hint("the owner of the product finds the reason in the server's log, and can run the product again")
    })
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
            Some(pin) => Ok(Box::new(PinnedReader { reach: self.reach.clone(), pin: pin.clone() })),
            None => internal_err!("a file that was not registered"),
        }
    }
}

pub struct PinnedReader {
    pub reach: Reach,
    pub pin: Pin,
}

/// Of an object the end is fetched at once: most footers fit.
const FOOTER: usize = 64 << 10;

impl AsyncFileReader for PinnedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let read = async move {
            let mut found = self.reach.read(&self.pin, std::slice::from_ref(&range)).await?;
            found.pop().ok_or_else(|| ParquetError::General("nothing was read".to_owned()))
        };
        read.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move { self.reach.read(&self.pin, &ranges).await }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.pin.identity.size();
        let hint = matches!(self.reach, Reach::Bucket(_)).then_some(FOOTER);
        let reader = ParquetMetaDataReader::new()
            .with_metadata_options(options.map(|o| o.metadata_options().clone()))
            .with_prefetch_hint(hint);
        async move { Ok(Arc::new(reader.load_and_finish(self, size).await?)) }.boxed()
    }
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
        let mut reader = PinnedReader { reach: Reach::Here, pin: Pin { path: path.clone(), identity } };
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

    #[tokio::test]
    async fn an_object_is_read_as_long_as_it_has_its_etag() {
        let store: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        let key = Path::from("lake/a");
        let put = async |bytes: &'static str| store.put(&key, bytes.into()).await.unwrap();
        put("0123456789").await;
        let identity = FileIdentity::of_object(&store.head(&key).await.unwrap()).unwrap();
        let (reach, pin) = (Reach::Bucket(Arc::clone(&store)), Pin { path: "lake/a".into(), identity });
        let pinned = PinnedFiles::new(reach.clone(), std::iter::once((Path::from("file-0"), pin.clone())));
        let mut reader = PinnedReader { reach, pin };
        pinned.verify().await.unwrap();
        assert_eq!(reader.get_byte_ranges(vec![0..1, 9..10]).await.unwrap(), ["0", "9"]);
        // The same bytes, written again.
        put("0123456789").await;
        let error = reader.get_bytes(2..5).await.unwrap_err();
        assert!(changed(&error).is_some_and(|error| error.message.contains("has changed")), "{error}");
        assert_eq!(pinned.verify().await.unwrap_err().code, CHANGED);
        store.delete(&key).await.unwrap();
        assert!(changed(&reader.get_bytes(2..5).await.unwrap_err()).is_some_and(|e| e.message.contains("has gone")));
        assert_eq!(pinned.verify().await.unwrap_err().code, CHANGED);
    }
}
