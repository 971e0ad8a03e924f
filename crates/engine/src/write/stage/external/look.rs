//! The files of a table of others as they are now: which there are, what each is known by, and what its footer says.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deltalake_core::DeltaTable;
use deltalake_core::kernel::{DeletionVectorDescriptor, StorageType};
use futures::{FutureExt, StreamExt, TryStreamExt};
use meshwork_control::port::data::{FilesSpec, OutputSpec, SourceSpec};
use meshwork_core::egress::Egress;
use meshwork_core::mesh::S3Connection;
use meshwork_core::storage::S3Storage;
use meshwork_core::{Error, Result};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::register::{Names, register};
use crate::read::external::{Deleted, FileIdentity, List, Pin, PinnedReader, Reach, Registered, changed, file_name};
use crate::read::snapshot::unknown_feature;
use crate::remote::s3;
use crate::source::file::{SourceFile, find_folder, partitions};
use crate::source::parquet::{Footer, damaged, footer};
use crate::source::{self, Access, delta};

/// A table as it lies there now.
pub(super) struct Found {
    pub table: Registered,
    /// That its files say to have, without those that are deleted.
    pub rows: u64,
    pub reach: Reach,
    /// The bucket that it lies in, and how that is reached.
    pub store: Option<S3Storage>,
}

/// One data file.
pub(super) struct Entry {
    pub name: String,
    pub pin: Pin,
    pub footer: Footer,
    /// Values of columns that are not in it, by their names.
    pub partition: HashMap<String, Option<String>>,
    pub deleted: Option<Deleted>,
}

pub(super) async fn look(input: &str, source: &SourceSpec, output: &OutputSpec, access: &Access) -> Result<Found> {
    let fields = &output.table.fields;
    match source {
        SourceSpec::Parquet { files: files @ FilesSpec::Folder { .. } } => {
            let (of, files) = (input.to_owned(), files.clone());
            let find = move || source::find(&of, &files)?.iter().map(here).collect();
            let entries: Vec<Entry> = source::in_background(find).await?;
            let (table, rows) = register(input, "parquet", fields, &Names::of_folders(&entries), entries)?;
            Ok(Found { table, rows, reach: Reach::Here, store: None })
        }
        SourceSpec::Parquet { files: FilesSpec::S3 { url, connection, egress } } => {
            let lake = Lake::open(input, url, connection, egress, access).await?;
            let objects = source::objects(url, lake.store.as_ref()).await.map_err(|error| of_input(input, error))?;
            let entries =
                in_order(objects.into_iter().map(|object| lake.entry(object.location, None)).collect()).await?;
            let (table, rows) = register(input, "parquet", fields, &Names::of_folders(&entries), entries)?;
            Ok(lake.found(table, rows))
        }
        SourceSpec::Delta { files: files @ FilesSpec::Folder { folder, path }, version } => {
            let (root, at) = find_folder(input, folder, path)?;
            let described = Described::of(input, &delta::load(input, files, *version, access).await?)?;
            let Described { version, names, files } = described;
            let look = move || files.into_iter().map(|file| file.here(&root, &at)).collect();
            let entries: Vec<Entry> = source::in_background(look).await?;
            let (table, rows) = register(input, "delta", fields, &names, entries)?;
            Ok(Found { table: Registered { version: Some(version), ..table }, rows, reach: Reach::Here, store: None })
        }
        SourceSpec::Delta { files: files @ FilesSpec::S3 { url, connection, egress }, version } => {
            let lake = Lake::open(input, url, connection, egress, access).await?;
            let described = Described::of(input, &delta::load(input, files, *version, access).await?)?;
            let Described { version, names, files } = described;
            let entries = in_order(files.into_iter().map(|file| lake.of_table(file)).collect()).await?;
            let (table, rows) = register(input, "delta", fields, &names, entries)?;
            Ok(lake.found(Registered { version: Some(version), ..table }, rows))
        }
        _ => Err(Error::check("MW0684", format!("input `{input}`: files behind a web server cannot be registered"))
            .hint("take it in with `mode: full`")),
    }
}

fn of_input(input: &str, error: Error) -> Error {
    Error { message: format!("input `{input}`: {}", error.message), ..error }
}

fn here(file: &SourceFile) -> Result<Entry> {
    let (footer, meta) = footer(file)?;
    let path = file.path.canonicalize().map_err(|error| file.unreadable(&error))?;
    Ok(Entry {
        name: file.name.clone(),
        pin: Pin { path, identity: FileIdentity::of(&meta) },
        footer,
        partition: file.partitions.iter().cloned().collect(),
        deleted: None,
    })
}

/// Objects whose footers are asked for at a time.
const AHEAD: usize = 8;

async fn in_order(looks: Vec<impl Future<Output = Result<Entry>>>) -> Result<Vec<Entry>> {
    futures::stream::iter(looks).buffered(AHEAD).try_collect().await
}

/// A bucket with files of others.
struct Lake {
    input: String,
    bucket: String,
    /// Below which a Delta table lies.
    folder: Key,
    storage: S3Storage,
    store: Arc<dyn ObjectStore>,
}

impl Lake {
    async fn open(input: &str, url: &str, connection: &S3Connection, egress: &Egress, access: &Access) -> Result<Self> {
        let broken = || {
            Error::check("MW0546", format!("input `{input}`: `{url}` is not an address in a bucket"))
                .hint("write `s3://bucket/folder`")
        };
        let (bucket, key) = S3Storage::split(url).ok_or_else(broken)?;
        let store = s3::open(bucket, connection, &access.domain, &access.secrets, egress, access.patience).await;
        let store = store.map_err(|error| of_input(input, error))?;
        Ok(Self {
            input: input.to_owned(),
            bucket: bucket.to_owned(),
            folder: Key::parse(key.trim_end_matches('/')).map_err(|_| broken())?,
            storage: S3Storage { url: format!("s3://{bucket}/"), connection: connection.clone() },
            store: Arc::new(store),
        })
    }

    fn found(self, table: Registered, rows: u64) -> Found {
        let table = Registered { bucket: Some(self.bucket), ..table };
        Found { table, rows, reach: Reach::Bucket(self.store), store: Some(self.storage) }
    }

    async fn entry(&self, key: Key, described: Option<TableFile>) -> Result<Entry> {
        let name = format!("s3://{}/{key}", self.bucket);
        let pin = self.pin(&name, &key).await?;
        let mut reader = PinnedReader { reach: Reach::Bucket(Arc::clone(&self.store)), pin: pin.clone() };
        // A damaged footer can make the reader panic instead of fail.
        let loading = AssertUnwindSafe(ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::default()));
        let footer = match loading.catch_unwind().await {
            Ok(Ok(metadata)) => Footer::of(&metadata),
            Ok(Err(error)) => return Err(self.unread(&name, &error)),
            Err(_) => None,
        };
        let footer = footer.ok_or_else(|| damaged(&name))?;
        let (partition, deleted) = match described {
            None => (partitions(key.as_ref()).into_iter().collect(), None),
            Some(file) => {
                let deleted = match &file.deleted {
                    None => None,
                    Some(vector) => Some(self.deleted(vector, footer.rows).await?),
                };
                (file.partition, deleted)
            }
        };
        Ok(Entry { name, pin, footer, partition, deleted })
    }

    async fn of_table(&self, file: TableFile) -> Result<Entry> {
        let key = self.below(&file.path);
        self.entry(key, Some(file)).await
    }

    fn below(&self, path: &str) -> Key {
        let key = format!("{}/{path}", self.folder);
        // What a key cannot hold stands in it encoded.
        Key::parse(&key).unwrap_or_else(|_| Key::from(key))
    }

    async fn pin(&self, name: &str, key: &Key) -> Result<Pin> {
        let what = format!("input `{}`: `{name}`", self.input);
        let found = self.store.head(key).await.map_err(|error| s3::fault(&what, &error))?;
        let identity = FileIdentity::of_object(&found).ok_or_else(|| {
            Error::check("MW0684", format!("{what} has no ETag, by which it could be known again"))
                .hint("write it through the store, which gives it one, or take the table in with `mode: full`")
        })?;
        Ok(Pin { path: PathBuf::from(key.as_ref()), identity })
    }

    async fn deleted(&self, vector: &DeletionVectorDescriptor, of: u64) -> Result<Deleted> {
        let list = match vector_file(&self.input, vector)? {
            None => List::InLog { inline: vector.path_or_inline_dv.clone() },
            Some((path, offset)) => {
                let key = self.below(&path);
                List::InFile { pin: self.pin(&format!("s3://{}/{key}", self.bucket), &key).await?, offset }
            }
        };
        deleted(&self.input, vector, list, of)
    }

    fn unread(&self, name: &str, error: &parquet::errors::ParquetError) -> Error {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<object_store::Error>() {
                return s3::fault(&format!("input `{}`: `{name}`", self.input), error);
            }
            next = error.source();
        }
        match changed(error) {
            None => damaged(name),
            Some(_) => Error::environment("MW0686", format!("input `{}`: `{name}` changes just now", self.input))
                .hint("run again when nothing writes there"),
        }
    }
}

/// A version of a Delta table, by its log.
struct Described {
    version: u64,
    names: Names,
    files: Vec<TableFile>,
}

struct TableFile {
    /// Below the table's folder.
    path: String,
    partition: HashMap<String, Option<String>>,
    deleted: Option<DeletionVectorDescriptor>,
    input: String,
}

impl Described {
    fn of(input: &str, table: &DeltaTable) -> Result<Self> {
        let state = table.snapshot().map_err(|error| delta::unreadable(input, &error))?;
        let snapshot = state.snapshot();
        if let Some(feature) = unknown_feature(snapshot.protocol()) {
            let message = format!("input `{input}`: the table uses {feature}, with which it cannot be registered");
            return Err(Error::check("MW0685", message)
                .hint("take it in with `mode: full`, if that reads it, or let its writer rewrite it without"));
        }
        let schema = serde_json::to_value(snapshot.schema().as_ref()).unwrap_or_default();
        let partitions = snapshot.metadata().partition_columns().iter().map(ToString::to_string).collect();
        let names = Names::of_table(&schema, snapshot.metadata().configuration(), partitions);
        let file = |file: deltalake_core::kernel::LogicalFileView| TableFile {
            path: file.path().into_owned(),
            partition: file.partition_values_map(),
            deleted: file.deletion_vector_descriptor(),
            input: input.to_owned(),
        };
        let mut files: Vec<TableFile> = snapshot.log_data().iter().map(file).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { version: table.version().unwrap_or_default(), names, files })
    }
}

impl TableFile {
    fn here(self, root: &Path, at: &Path) -> Result<Entry> {
        let file = |path: &str| {
            let path = at.join(path);
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            SourceFile::below(root, path, name)
        };
        let found = here(&file(&self.path))?;
        let deleted = match &self.deleted {
            None => None,
            Some(vector) => {
                let list = match vector_file(&self.input, vector)? {
                    None => List::InLog { inline: vector.path_or_inline_dv.clone() },
                    Some((path, offset)) => {
                        let file = file(&path);
                        let meta = file.open()?.metadata().map_err(|error| file.unreadable(&error))?;
                        let path = file.path.canonicalize().map_err(|error| file.unreadable(&error))?;
                        List::InFile { pin: Pin { path, identity: FileIdentity::of(&meta) }, offset }
                    }
                };
                Some(deleted(&self.input, vector, list, found.footer.rows)?)
            }
        };
        Ok(Entry { partition: self.partition, deleted, ..found })
    }
}

/// Where a deletion vector lies below the table's folder; `None` for one in the log.
fn vector_file(input: &str, vector: &DeletionVectorDescriptor) -> Result<Option<(String, u64)>> {
    match vector.storage_type {
        StorageType::Inline => Ok(None),
        // What a file begins with, where the log does not say more.
        StorageType::UuidRelativePath => {
            let offset = u64::try_from(vector.offset.unwrap_or(1)).map_err(|_| unusable(input))?;
            Ok(Some((file_name(&vector.path_or_inline_dv)?, offset)))
        }
        StorageType::AbsolutePath => Err(unusable(input)),
    }
}

fn deleted(input: &str, vector: &DeletionVectorDescriptor, list: List, of: u64) -> Result<Deleted> {
    let bytes = u32::try_from(vector.size_in_bytes).map_err(|_| unusable(input))?;
    let rows = u64::try_from(vector.cardinality).map_err(|_| unusable(input))?;
    if rows > of {
        return Err(unusable(input));
    }
    Ok(Deleted { list, bytes, rows, of })
}

fn unusable(input: &str) -> Error {
    Error::environment("MW0537", format!("input `{input}`: a deletion vector of the Delta table cannot be used"))
        .hint("check that the table's log is whole")
}
