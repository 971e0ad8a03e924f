//! `_meshwork/owner.json` in a root on S3: one mesh, one control plane (D24). Before it is written the store has shown
//! that of several who create one object at the same time exactly one succeeds, which is what every commit rests on; that
//! the file is there says that it has.

use bytes::Bytes;
use futures::future::join_all;
use meshwork_core::{Error, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use super::bucket::Bucket;
use super::fault::storage_error;

#[derive(Serialize, Deserialize)]
struct Owner {
    mesh_id: String,
    /// Whether the store was seen to create an object only once.
    #[serde(default)]
    conditional_create: bool,
}

/// Writers that race, and how often.
const WRITERS: usize = 4;
const ROUNDS: usize = 2;

pub(super) async fn claim(bucket: &Bucket, mesh: &str) -> Result<()> {
    let owner = bucket.owner.get_or_try_init(|| async { settle(bucket, mesh).await }).await?;
    if owner == mesh { Ok(()) } else { Err(taken(bucket, owner)) }
}

/// Whose it is now: the mesh's own, where it was nobody's.
async fn settle(bucket: &Bucket, mesh: &str) -> Result<String> {
    match read(bucket).await? {
        Some(owner) if owner.conditional_create || owner.mesh_id != mesh => return only_ours(bucket, owner, mesh),
        _ => probe(bucket, mesh).await?,
    }
    let owner = Owner { mesh_id: mesh.to_owned(), conditional_create: true };
    let text = serde_json::to_vec(&owner).map_err(|error| Error::internal("MW0620", error.to_string()))?;
    match create(bucket, &path(bucket), text.into()).await {
        Ok(_) => Ok(mesh.to_owned()),
        // Somebody was there first, or this very request was heard and its answer lost.
        Err(error) => match read(bucket).await? {
            Some(owner) => only_ours(bucket, owner, mesh),
            None => Err(fault(bucket, "claiming", &error)),
        },
    }
}

fn only_ours(bucket: &Bucket, owner: Owner, mesh: &str) -> Result<String> {
    if owner.mesh_id == mesh { Ok(owner.mesh_id) } else { Err(taken(bucket, &owner.mesh_id)) }
}

fn taken(bucket: &Bucket, mesh: &str) -> Error {
    Error::conflict("MW0408", format!("the storage root {} belongs to mesh {mesh}", bucket.root))
        .hint("use another storage root")
        .hint(format!("if that mesh is gone for good, remove {}_meshwork/owner.json", bucket.root))
}

pub(super) async fn examine(bucket: &Bucket) -> Result<Option<String>> {
    let owner = read(bucket).await?;
    probe(bucket, "doctor").await?;
    Ok(owner.map(|owner| owner.mesh_id))
}

/// Whether this mesh may keep tables there. Claims nothing.
pub(super) async fn fit(bucket: &Bucket, mesh: &str) -> Result<()> {
    if let Some(owner) = read(bucket).await? {
        only_ours(bucket, owner, mesh)?;
    }
    probe(bucket, mesh).await
}

fn path(bucket: &Bucket) -> Path {
    bucket.path("_meshwork/owner.json")
}

async fn read(bucket: &Bucket) -> Result<Option<Owner>> {
    let found = bucket.read(&path(bucket)).await.map_err(|error| fault(bucket, "opening", &error))?;
    let Some(bytes) = found else { return Ok(None) };
    let unknown = Owner { mesh_id: "that is not known".to_owned(), conditional_create: true };
    Ok(Some(serde_json::from_slice(&bytes).unwrap_or(unknown)))
}

async fn create(bucket: &Bucket, path: &Path, bytes: Bytes) -> object_store::Result<()> {
    bucket.objects.put_opts(path, bytes.into(), PutOptions::from(PutMode::Create)).await.map(drop)
}

fn fault(bucket: &Bucket, what: &str, error: &object_store::Error) -> Error {
    storage_error(&format!("{what} the storage root {}", bucket.root), error)
}

/// Several writers create one object at once: one succeeds, the others are told that it is there, and so is one who comes
/// later; what is read back is the one's.
async fn probe(bucket: &Bucket, who: &str) -> Result<()> {
    for round in 0..ROUNDS {
        let path = bucket.path(&format!("_meshwork/probe-{who}-{}-{round}", std::process::id()));
        // Of a probe that was killed.
        remove(bucket, &path).await?;
        let seen = race(bucket, &path).await;
        let removed = remove(bucket, &path).await;
        if !seen? {
            return Err(Error::environment(
                "MW0617",
                format!("the store behind {} lets several writers create one object", bucket.root),
            )
            .hint("meshwork needs a store that honours `If-None-Match: *` when an object is put, as AWS S3, MinIO, Ceph (from Squid on) and versitygw do")
            .hint("nothing was written there; a proxy before the store may have dropped the header"));
        }
        removed?;
    }
    Ok(())
}

async fn race(bucket: &Bucket, path: &Path) -> Result<bool> {
    let body = |writer: usize| Bytes::from(format!("writer {writer}"));
    let answers = join_all((0..WRITERS).map(|writer| create(bucket, path, body(writer)))).await;
    let late = create(bucket, path, body(WRITERS)).await;
    let mut won = Vec::new();
    for (writer, answer) in answers.iter().enumerate().chain([(WRITERS, &late)]) {
        match answer {
            Ok(()) => won.push(writer),
            Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(fault(bucket, "probing", error)),
        }
    }
    let found = bucket.read(path).await.map_err(|error| fault(bucket, "probing", &error))?;
    Ok(match won.as_slice() {
        [writer] => *writer < WRITERS && found == Some(body(*writer)),
        // An answer was lost and its request repeated: the store has one of them all the same.
        [] => found.is_some(),
        _ => false,
    })
}

async fn remove(bucket: &Bucket, path: &Path) -> Result<()> {
    match bucket.objects.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(fault(bucket, "probing", &error)),
    }
}
