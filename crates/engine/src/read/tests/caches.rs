//! What a second statement need not read again.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use meshwork_control::port::data::QueryEngine;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::catalog::fixture;

/// The local files, with a note of what was read of them.
#[derive(Debug, Default)]
struct Noting {
    inner: LocalFileSystem,
    reads: Mutex<Vec<(Path, Range<u64>)>>,
}

impl std::fmt::Display for Noting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("noting")
    }
}

impl Noting {
    fn note(&self, path: &Path, range: Range<u64>) {
        self.reads.lock().unwrap().push((path.clone(), range));
    }

    /// How many reads there were since the last time, and how many of them touched the footer of a Parquet file.
    fn take(&self) -> (usize, usize) {
        let reads = std::mem::take(&mut *self.reads.lock().unwrap());
        let of_footers = reads.iter().filter(|(path, range)| {
            let bytes = std::fs::read(format!("/{path}")).unwrap();
            let end = bytes.len();
            assert_eq!(&bytes[end - 4..], b"PAR1", "{path}");
            let length = u32::from_le_bytes(bytes[end - 8..end - 4].try_into().unwrap());
            range.end > end as u64 - 8 - u64::from(length)
        });
        (reads.len(), of_footers.count())
    }
}

#[async_trait]
impl ObjectStore for Noting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }
    async fn put_multipart_opts(&self, at: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, opts).await
    }
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let asked = options.range.clone();
        let result = self.inner.get_opts(location, options).await?;
        let size = result.meta.size;
        let range = match asked {
            Some(GetRange::Bounded(range)) => range,
            Some(GetRange::Offset(from)) => from..size,
            Some(GetRange::Suffix(length)) => size.saturating_sub(length)..size,
            None => 0..size,
        };
        self.note(location, range);
        Ok(result)
    }
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        for range in ranges {
            self.note(location, range.clone());
        }
        self.inner.get_ranges(location, ranges).await
    }
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_second_statement_reads_no_footer_and_no_log() {
    let fixture = fixture().await;
    let store = Arc::new(Noting::default());
    fixture.engine.env().register_object_store(&url::Url::parse("file:///").unwrap(), store.clone());
    // A table with a mask and a filter, and one without.
    let statements = ["SELECT id, email FROM crm.c ORDER BY id", "SELECT sum(amount) FROM crm.o WHERE amount > 5"];
    let mut answers = Vec::new();
    for statement in statements {
        answers.push(fixture.query(statement).await.unwrap());
    }
    let (reads, footers) = store.take();
    assert!(reads > footers && footers >= 3, "three files: {reads} reads, {footers} of footers");
    let uses = |cache: &str| fixture.engine.caches().into_iter().find(|known| known.cache == cache).unwrap();
    assert_eq!(uses("footers").misses, 3);
    let (hits, opened) = (uses("footers").hits, uses("snapshots"));
    for (statement, answer) in statements.iter().zip(&answers) {
        assert_eq!(fixture.query(statement).await.as_ref(), Ok(answer));
    }
    let (reads, footers) = store.take();
    assert!(reads > 0 && footers == 0, "{reads} reads, {footers} of footers");
    assert_eq!((uses("footers").misses, uses("footers").hits), (3, hits + 3));
    assert_eq!((uses("snapshots").misses, uses("snapshots").hits), (opened.misses, opened.hits + 2));
    assert!(uses("footers").bytes > 0 && uses("footers").bytes <= uses("footers").limit);
}
