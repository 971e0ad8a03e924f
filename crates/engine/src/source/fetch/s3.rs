//! Objects of an S3-compatible store: `s3://bucket/key`, with `*`, `?` and `**` as in folders.

use futures::{StreamExt, TryStreamExt};
use meshwork_core::egress::Egress;
use meshwork_core::mesh::S3Connection;
use meshwork_core::{Error, Result};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::{Access, Fetched, Meter};
use crate::remote::s3::{fault, open};
use crate::source::Identity;
use crate::source::file::{SourceFile, is_glob, matches_path};

/// More than so many objects are hardly meant.
const MAX_OBJECTS: usize = 10_000;

pub(super) async fn fetch(
    access: &Access,
    url: &str,
    connection: &S3Connection,
    egress: &Egress,
    is_wanted: &(dyn Fn(&str) -> bool + Sync),
    fetched: &mut Fetched,
    meter: &Meter,
) -> Result<Vec<SourceFile>> {
    let (bucket, key) = parts(url)?;
    let store = open(bucket, connection, &access.domain, &access.secrets, egress, access.patience).await?;
    let objects = match fetched.listed.get(url) {
        Some(objects) => objects.clone(),
        None => find(&store, url, key).await?,
    };
    fetched.listed.insert(url.to_owned(), objects.clone());
    let mut files = Vec::with_capacity(objects.len());
    for object in objects {
        let name = name(bucket, &object);
        if !is_wanted(&name) {
            continue;
        }
        if let Some(file) = fetched.files.get(&name) {
            files.push(file.clone());
            continue;
        }
        let file = get(access, &store, &name, &object, meter).await?;
        fetched.files.insert(name, file.clone());
        files.push(file);
    }
    Ok(files)
}

/// The keys below an address that ends in `/`, by their rest.
pub(super) async fn names(
    access: &Access,
    url: &str,
    connection: &S3Connection,
    egress: &Egress,
) -> Result<Vec<String>> {
    let (bucket, prefix) = parts(url)?;
    let store = open(bucket, connection, &access.domain, &access.secrets, egress, access.patience).await?;
    let objects = find(&store, url, &format!("{prefix}**/*")).await?;
    let mut names: Vec<String> =
        objects.iter().filter_map(|o| o.location.as_ref().strip_prefix(prefix)).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

/// Whether anything lies in a folder of a bucket.
pub(super) async fn is_there(access: &Access, url: &str, connection: &S3Connection, egress: &Egress) -> Result<bool> {
    let (bucket, folder) = parts(url)?;
    let store = open(bucket, connection, &access.domain, &access.secrets, egress, access.patience).await?;
    match store.list(Some(&location(url, folder)?)).next().await {
        Some(Err(error)) => Err(fault(&format!("`{url}`"), &error)),
        found => Ok(found.is_some()),
    }
}

pub(super) async fn identities(
    access: &Access,
    url: &str,
    connection: &S3Connection,
    egress: &Egress,
) -> Result<Vec<Identity>> {
    let (bucket, key) = parts(url)?;
    let store = open(bucket, connection, &access.domain, &access.secrets, egress, access.patience).await?;
    let identity = |object: &ObjectMeta| {
        // Some stores have objects that they never saw written.
        let etag = object.e_tag.clone().filter(|tag| !tag.trim_matches('"').is_empty());
        Identity {
            name: name(bucket, object),
            size: object.size,
            // Where there is a tag, a time to the second says less.
            modified: object.last_modified.timestamp_nanos_opt().filter(|_| etag.is_none()),
            digest: None,
            etag,
        }
    };
    Ok(find(&store, url, key).await?.iter().map(identity).collect())
}

/// Bucket and key.
pub(super) fn parts(url: &str) -> Result<(&str, &str)> {
    url.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(|| no_address(url))
}

fn location(url: &str, key: &str) -> Result<Path> {
    Path::parse(key).map_err(|_| no_address(url))
}

fn no_address(url: &str) -> Error {
    Error::check("MW0546", format!("`{url}` is not an address of objects")).hint("write `s3://bucket/key`")
}

fn name(bucket: &str, object: &ObjectMeta) -> String {
    format!("s3://{bucket}/{}", object.location)
}

pub(super) async fn find(store: &dyn ObjectStore, url: &str, key: &str) -> Result<Vec<ObjectMeta>> {
    let failed = |error: object_store::Error| fault(&format!("`{url}`"), &error);
    let parts: Vec<&str> = key.split('/').collect();
    let Some(first) = parts.iter().position(|part| is_glob(part)) else {
        let location = location(url, key)?;
        return match store.head(&location).await {
            Ok(object) => Ok(vec![object]),
            // The answer to HEAD has no body to say why: some stores answer so to credentials that they do not know.
            Err(error @ object_store::Error::NotFound { .. }) => match store.list(Some(&location)).next().await {
                Some(Err(why)) => Err(failed(why)),
                _ => Err(failed(error)),
            },
            Err(error) => Err(failed(error)),
        };
    };
    let prefix = parts[..first].join("/");
    let prefix = if prefix.is_empty() { None } else { Some(location(url, &prefix)?) };
    let mut listed = store.list(prefix.as_ref());
    let mut found = Vec::new();
    while let Some(object) = listed.try_next().await.map_err(failed)? {
        // Stores show folders as empty objects, too.
        if matches_path(key, object.location.as_ref()) && !object.location.as_ref().ends_with('/') {
            found.push(object);
        }
        if found.len() > MAX_OBJECTS {
            return Err(Error::limit("MW0544", format!("`{url}` matches more than {MAX_OBJECTS} objects"))
                .hint("read fewer at once, with a narrower path"));
        }
    }
    if found.is_empty() {
        return Err(Error::environment("MW0501", format!("no object matches `{url}`"))
            .hint("check the path; `*` matches within one part of a key, `**` any number of parts"));
    }
    found.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(found)
}

/// The very object that was listed: one that was replaced since is an error.
async fn get(access: &Access, store: &AmazonS3, name: &str, object: &ObjectMeta, meter: &Meter) -> Result<SourceFile> {
    let failed = |error: object_store::Error| fault(&format!("`{name}`"), &error);
    let options = GetOptions { if_match: object.e_tag.clone(), ..GetOptions::default() };
    let mut stream = store.get_opts(&object.location, options).await.map_err(failed)?.into_stream();
    let mut file = access.spool.create().await?;
    while let Some(bytes) = stream.next().await {
        file.write(name, &bytes.map_err(failed)?, meter).await?;
    }
    if file.len != object.size {
        return Err(Error::environment("MW0543", format!("`{name}`: the store went away in the middle"))
            .hint("run again; the publication before is still served"));
    }
    file.finish(name).await
}
