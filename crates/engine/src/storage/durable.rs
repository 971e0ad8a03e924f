//! A local object store whose writes survive power loss (D10).
//!
//! A file is written under a temporary name (`<name>#<n>`), flushed to the disk, and only then linked (create) or renamed
//! (replace) to its name, after which its folder is flushed. `PutMode::Create` uses link(2), which fails if the name
//! exists: two writers of one commit can never both succeed. A path that leads out of the root through a symbolic link
//! is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

#[derive(Debug)]
pub struct DurableLocal {
    root: PathBuf,
    inner: LocalFileSystem,
    flush: bool,
}

impl std::fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DurableLocal({})", self.root.display())
    }
}

impl DurableLocal {
    /// Opens the store of a folder, creating it if need be. `flush: false` gives up durability, for benchmarks.
    pub fn open(root: &FsPath, flush: bool) -> io::Result<Self> {
        create_folder(root, flush)?;
        let root = root.canonicalize()?;
        let inner = LocalFileSystem::new_with_prefix(&root).map_err(io::Error::other)?;
        Ok(Self { root, inner, flush })
    }

    pub fn root(&self) -> &FsPath {
        &self.root
    }

    /// The file of an object, after checking that no symbolic link leads out of the root.
    pub fn file(&self, location: &Path) -> Result<PathBuf> {
        let path = self.inner.path_to_filesystem(location)?;
        self.confine(&path)
            .map_err(|source| Error::PermissionDenied { path: location.to_string(), source: Box::new(source) })?;
        Ok(path)
    }

    fn confine(&self, path: &FsPath) -> io::Result<()> {
        let mut existing = path;
        // What does not exist yet cannot be a link; its nearest existing ancestor decides.
        while existing.symlink_metadata().is_err() {
            existing = existing.parent().ok_or(io::ErrorKind::NotFound)?;
        }
        if existing.canonicalize()?.starts_with(&self.root) {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, "a symbolic link leads out of the storage root"))
        }
    }

    /// Flushes the folder that holds an object, so that its name survives power loss.
    pub async fn flush_folder_of(&self, location: &Path) -> Result<()> {
        if !self.flush {
            return Ok(());
        }
        let path = self.file(location)?;
        blocking(move || flush_folder(parent(&path))).await
    }

    /// Flushes an object that was written by other means, and the folder that holds it.
    pub async fn flush(&self, location: &Path) -> Result<()> {
        if !self.flush {
            return Ok(());
        }
        let path = self.file(location)?;
        blocking(move || File::open(&path)?.sync_all()).await?;
        self.flush_folder_of(location).await
    }

    fn confined_list(&self, list: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let root = self.root.clone();
        let inner = self.inner.clone();
        list.try_filter(move |meta| {
            let inside = inner
                .path_to_filesystem(&meta.location)
                .ok()
                .and_then(|path| path.canonicalize().ok())
                .is_some_and(|path| path.starts_with(&root));
            futures::future::ready(inside)
        })
        .boxed()
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "`put_opts` with mode `PutMode::Update`".into(),
                    implementer: self.to_string(),
                });
            }
        };
        let path = self.file(location)?;
        let flush = self.flush;
        let name = location.to_string();
        blocking(move || {
            let (mut file, staging) = new_staging(&path, flush)?;
            let written = payload
                .iter()
                .try_for_each(|chunk| file.write_all(chunk))
                .and_then(|()| finish(file, &staging, &path, create, flush));
            if written.is_err() {
                let _ = fs::remove_file(&staging);
            }
            written
        })
        .await
        .map_err(|error| already_exists(error, &name))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let path = self.file(location)?;
        let flush = self.flush;
        let dest = path.clone();
        let (file, staging) = blocking(move || new_staging(&path, flush)).await?;
        Ok(Box::new(Upload { file: Some(Arc::new(file)), staging, dest, offset: 0, flush }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.file(location)?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.file(location)?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.confined_list(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.confined_list(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        if let Some(prefix) = prefix {
            self.file(prefix)?;
        }
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let payload = PutPayload::from(self.get_opts(from, GetOptions::default()).await?.bytes().await?);
        let mode = match options.mode {
            CopyMode::Create => PutMode::Create,
            CopyMode::Overwrite => PutMode::Overwrite,
        };
        self.put_opts(to, payload, PutOptions::from(mode)).await.map(|_| ())
    }
}

#[derive(Debug)]
struct Upload {
    /// Taken by `complete` and `abort`.
    file: Option<Arc<File>>,
    staging: PathBuf,
    dest: PathBuf,
    offset: u64,
    flush: bool,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let mut at = self.offset;
        self.offset += data.content_length() as u64;
        let file = self.file.clone();
        Box::pin(blocking(move || {
            let file = file.ok_or_else(|| io::Error::other("the upload has ended"))?;
            for chunk in data.iter() {
                file.write_all_at(chunk, at)?;
                at += chunk.len() as u64;
            }
            Ok(())
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let file = self.file.take();
        let (staging, dest, flush) = (self.staging.clone(), self.dest.clone(), self.flush);
        let done = blocking(move || {
            let file = file.and_then(Arc::into_inner).ok_or_else(|| io::Error::other("the upload has ended"))?;
            finish(file, &staging, &dest, false, flush)
        })
        .await;
        if done.is_err() {
            let _ = fs::remove_file(&self.staging);
        }
        done.map(|()| PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        if self.file.take().is_some() {
            let staging = self.staging.clone();
            blocking(move || fs::remove_file(staging)).await?;
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.staging);
        }
    }
}

/// Whether a file name is that of a temporary file of this store (or of `object_store`'s own local one).
pub fn is_leftover(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(stem, n)| !stem.is_empty() && !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn finish(file: File, staging: &FsPath, dest: &FsPath, create: bool, flush: bool) -> io::Result<()> {
    if flush {
        file.sync_all()?;
    }
    drop(file);
    if create {
        fs::hard_link(staging, dest)?;
        let _ = fs::remove_file(staging);
    } else {
        fs::rename(staging, dest)?;
    }
    if flush { flush_folder(parent(dest)) } else { Ok(()) }
}

fn new_staging(dest: &FsPath, flush: bool) -> io::Result<(File, PathBuf)> {
    let mut n = 1u32;
    loop {
        let mut staging = dest.as_os_str().to_owned();
        staging.push(format!("#{n}"));
        let staging = PathBuf::from(staging);
        match OpenOptions::new().write(true).create_new(true).open(&staging) {
            Ok(file) => return Ok((file, staging)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => n += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create_folder(parent(dest), flush)?,
            Err(error) => return Err(error),
        }
    }
}

/// Creates a folder and its missing ancestors, flushing each new name.
fn create_folder(folder: &FsPath, flush: bool) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        create_folder(above, flush)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if flush { flush_folder(parent(folder)) } else { Ok(()) }
}

fn flush_folder(folder: &FsPath) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn parent(path: &FsPath) -> &FsPath {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => FsPath::new("."),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
        .and_then(|done| done)
        .map_err(|source| Error::Generic { store: "DurableLocal", source: Box::new(source) })
}

fn already_exists(error: Error, path: &str) -> Error {
    match error {
        Error::Generic { source, .. }
            if source.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::AlreadyExists) =>
        {
            Error::AlreadyExists { path: path.to_owned(), source }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
