//! Packing: in a thread of its own, handing out the archive as it is written.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use meshwork_control::port::backup::{ArchivePlan, Archiver, ByteStream};
use meshwork_core::effect::{Clock, Timestamp};
use meshwork_core::error::{Error, Result};
use meshwork_core::publication::TableLocation;
use meshwork_engine::storage::{Stores, TableFile, files_of, missing_file};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{ABOUT, About, CHECKSUMS, Checksums, FORMAT, Packed, Root, hex, io};

const CHUNK: usize = 256 << 10;
/// Chunks that wait for a slow receiver.
const WAITING: usize = 8;

/// Packs the mesh of one folder.
pub struct FolderArchiver {
    pub folder: PathBuf,
    pub state: PathBuf,
    pub temporary: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub stores: Arc<Stores>,
}

#[async_trait]
impl Archiver for FolderArchiver {
    fn place(&self) -> Result<PathBuf> {
        std::fs::create_dir_all(&self.temporary).map_err(|error| io("making", &self.temporary, &error))?;
        let folder = tempfile::Builder::new()
            .prefix("backup-")
            .tempdir_in(&self.temporary)
            .map_err(|error| io("making a folder in", &self.temporary, &error))?;
        Ok(folder.keep().join("state.db"))
    }

    async fn pack(&self, plan: ArchivePlan) -> Result<ByteStream> {
        let copy = Copy(plan.state.clone());
        let roots = roots(&self.folder, &plan);
        let mut needed = BTreeSet::new();
        let mut versions: HashMap<TableLocation, BTreeSet<u64>> = HashMap::new();
        for output in plan.publications.iter().flat_map(|publication| &publication.outputs) {
            versions.entry(output.location.clone()).or_default().insert(output.delta_version);
        }
        for (location, versions) in versions {
            let Some(newest) = versions.last() else { continue };
            let packed = roots.iter().find(|root| root.url == location.root).and_then(|root| root.packed.as_ref());
            let Some(packed) = packed else {
                // What stays where it is is there now: a backup that could not be used is none.
                match missing_file(&self.stores, &location, *newest).await? {
                    None => continue,
                    Some(file) => return Err(not_there(&file)),
                }
            };
            // Older versions may have been vacuumed; readers of those get the error that they got before.
            for file in files_of(&self.stores, &location, *newest).await? {
                needed.insert((packed.clone(), file));
            }
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let packing = Packing {
            folder: self.folder.clone(),
            state: self.state.clone(),
            copy,
            about: About {
                format: FORMAT,
                mesh: plan.mesh,
                at: self.clock.now(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                roots,
            },
            needed,
        };
        tokio::task::spawn_blocking(move || {
            if let Err(error) = packing.write(sender.clone()) {
                let _ = sender.blocking_send(Err(error));
            }
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

/// The copy of the state and its folder, removed with it.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        if let Some(folder) = self.0.parent() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn roots(folder: &Path, plan: &ArchivePlan) -> Vec<Root> {
    let urls: BTreeSet<&str> = plan
        .publications
        .iter()
        .flat_map(|publication| &publication.outputs)
        .map(|output| output.location.root.as_str())
        .collect();
    urls.into_iter()
        .enumerate()
        .map(|(number, text)| {
            let local = local(text);
            Root {
                url: text.to_owned(),
                inside: local
                    .as_deref()
                    .and_then(|path| path.strip_prefix(folder).ok())
                    .map(|path| path.to_string_lossy().trim_end_matches('/').to_owned())
                    .filter(|path| !path.is_empty()),
                packed: local.map(|_| format!("storage/{number}")),
            }
        })
        .collect()
}

fn local(url: &str) -> Option<PathBuf> {
    url::Url::parse(url).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}

struct Packing {
    folder: PathBuf,
    state: PathBuf,
    copy: Copy,
    about: About,
    /// (packed root, file): what publications need.
    needed: BTreeSet<(String, TableFile)>,
}

type Encoder = zstd::Encoder<'static, Sending>;

struct Writer {
    tar: tar::Builder<Encoder>,
    sums: Checksums,
    at: Timestamp,
}

impl Packing {
    fn write(self, sender: mpsc::Sender<Result<Bytes>>) -> Result<()> {
        let broken = |error: std::io::Error| gone(&error);
        let encoder = zstd::Encoder::new(Sending { sender, buffer: Vec::with_capacity(CHUNK) }, 3).map_err(broken)?;
        let mut writer = Writer { tar: tar::Builder::new(encoder), sums: Checksums::new(), at: self.about.at };
        writer.json(ABOUT, &self.about)?;
        writer.file(&self.copy.0, "state/state.db")?;
        let key = self.state.join("mesh.key");
        if key.is_file() {
            writer.file(&key, "state/mesh.key")?;
        }
        writer.tree(&self.state.join("secrets"), "state/secrets", &|_| true)?;
        let roots: Vec<(PathBuf, String)> =
            self.about.roots.iter().filter_map(|root| Some((local(&root.url)?, root.packed.clone()?))).collect();
        let apart: Vec<PathBuf> =
            roots.iter().map(|(root, _)| root.clone()).chain([self.state.clone(), self.folder.join(".git")]).collect();
        writer.tree(&self.folder, "mesh", &|path| !apart.iter().any(|root| root == path))?;
        for (root, packed) in &roots {
            // A log entry that is packed refers to files that were there before it.
            writer.tree(root, packed, &|path| !is_data(path))?;
            writer.tree(root, packed, &is_data_or_folder)?;
        }
        for (packed, file) in &self.needed {
            let name = format!("{packed}/{}", file.path);
            if writer.sums.get(&name).is_none_or(|found| found.bytes != file.bytes) {
                return Err(not_there(file));
            }
        }
        let sums = std::mem::take(&mut writer.sums);
        writer.json(CHECKSUMS, &sums)?;
        let encoder = writer.tar.into_inner().map_err(broken)?;
        encoder.finish().and_then(|mut sending| sending.flush()).map_err(broken)
    }
}

fn not_there(file: &TableFile) -> Error {
    Error::environment("MW1093", format!("the published file {} was not there to be packed", file.path)).hint(
        "was the table vacuumed meanwhile? take the backup again; `meshwork doctor` tells if it is missing for good",
    )
}

fn is_data(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet") && !in_log(path)
}

fn is_data_or_folder(path: &Path) -> bool {
    if path.is_dir() { !path.ends_with("_delta_log") } else { is_data(path) }
}

fn in_log(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with("_delta_log"))
}

impl Writer {
    fn json<T: serde::Serialize>(&mut self, name: &str, value: &T) -> Result<()> {
        let text = serde_json::to_vec_pretty(value).map_err(|error| Error::internal("MW1099", error.to_string()))?;
        let bytes = text.len() as u64;
        self.entry(name, bytes, 0o600, &mut text.as_slice(), Path::new(name))
    }

    /// Everything below `folder` that `wanted` lets in; a folder that it does not is not entered. Links are left out: what
    /// they point at is either in the folder too, or none of ours.
    fn tree(&mut self, folder: &Path, name: &str, wanted: &dyn Fn(&Path) -> bool) -> Result<()> {
        let listing = match std::fs::read_dir(folder) {
            Ok(listing) => listing,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io("reading", folder, &error)),
        };
        let mut entries =
            listing.collect::<std::io::Result<Vec<_>>>().map_err(|error| io("reading", folder, &error))?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| io("reading", &path, &error))?;
            let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if !wanted(&path) {
                continue;
            }
            let inner = format!("{name}/{file_name}");
            if kind.is_dir() {
                self.tree(&path, &inner, wanted)?;
            } else if kind.is_file() {
                self.file(&path, &inner)?;
            }
        }
        Ok(())
    }

    /// One file. Files that come and go (drafts of a writer) may be gone already.
    fn file(&mut self, path: &Path, name: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io("reading", path, &error)),
        };
        let about = file.metadata().map_err(|error| io("reading", path, &error))?;
        self.entry(name, about.len(), about.permissions().mode() & 0o777, &mut file, path)
    }

    fn entry(&mut self, name: &str, bytes: u64, mode: u32, from: &mut dyn Read, path: &Path) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(mode);
        header.set_mtime(u64::try_from(self.at.timestamp()).unwrap_or(0));
        let mut hashing = Hashing { from: from.take(bytes), digest: Sha256::new(), read: 0 };
        self.tar.append_data(&mut header, name, &mut hashing).map_err(|error| gone(&error))?;
        if hashing.read != bytes {
            return Err(Error::environment("MW1093", format!("{} changed while it was packed", path.display()))
                .hint("take the backup again"));
        }
        self.sums.insert(name.to_owned(), Packed { bytes, sha256: hex(&hashing.digest.finalize()) });
        Ok(())
    }
}

struct Hashing<R> {
    from: R,
    digest: Sha256,
    read: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.digest.update(&buffer[..count]);
        self.read += count as u64;
        Ok(count)
    }
}

/// The archive could not be handed on: nobody waits for it any more.
fn gone(error: &std::io::Error) -> Error {
    Error::environment("MW1091", format!("writing the backup: {error}"))
}

/// Chunks into a channel.
struct Sending {
    sender: mpsc::Sender<Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK)));
        self.sender.blocking_send(Ok(chunk)).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}
