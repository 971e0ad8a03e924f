//! Storage roots: where the mesh or a domain keeps its tables.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::mesh::S3Connection;

/// Secrets of the mesh's own storage stand in this namespace, which no domain can have as its name.
pub const MESH_NAMESPACE: &str = "_mesh";

/// As declared. A folder is relative to the mesh folder, absolute, or a `file://` URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Storage {
    Folder(String),
    S3(S3Storage),
}

/// A prefix of a bucket. Whoever may write there is told by references to secrets only (D27).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Storage {
    /// `s3://bucket/prefix/`: within a mesh it names the root, whatever address the store has today.
    pub url: String,
    #[serde(flatten)]
    pub connection: S3Connection,
}

/// A root on S3, and whose secrets its references are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageRoot {
    /// A domain, or [`MESH_NAMESPACE`].
    pub namespace: String,
    #[serde(flatten)]
    pub storage: S3Storage,
}

impl Storage {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Folder(folder) => folder,
            Self::S3(store) => &store.url,
        }
    }

    pub fn as_s3(&self) -> Option<&S3Storage> {
        match self {
            Self::Folder(_) => None,
            Self::S3(store) => Some(store),
        }
    }

    /// The folders that a root consists of, from the top: one root lies inside another where it begins with all of that
    /// one's. The address of a store is no part of it: two spellings of an address may lead to the same store.
    pub fn parts(&self) -> Vec<&str> {
        let text = self.as_str();
        let (top, path) = match (text.strip_prefix("s3://"), text.strip_prefix("file://").unwrap_or(text)) {
            (Some(rest), _) => (Some("s3://"), rest),
            // A relative folder starts at the mesh folder, whose own path is not known here.
            (None, path) => (path.starts_with('/').then_some("/"), path),
        };
        top.into_iter().chain(path.split('/').filter(|part| !matches!(*part, "" | "."))).collect()
    }
}

impl S3Storage {
    /// Bucket and prefix of a root; the prefix is empty or ends with `/`.
    pub fn split(root: &str) -> Option<(&str, &str)> {
        root.strip_prefix("s3://")?.split_once('/')
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::S3(S3Storage { connection: S3Connection { endpoint: Some(endpoint), .. }, .. }) => {
                write!(f, " at {endpoint}")
            }
            _ => Ok(()),
        }
    }
}

impl From<&str> for Storage {
    fn from(folder: &str) -> Self {
        Self::Folder(folder.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_stored_as_it_always_was() {
        let folder: Storage = serde_json::from_str("\"data\"").expect("an old state");
        assert_eq!(folder, Storage::from("data"));
        assert_eq!(serde_json::to_string(&folder).expect("text"), "\"data\"");
        let store = Storage::S3(S3Storage {
            url: "s3://lake/sales/".into(),
            connection: S3Connection { endpoint: Some("http://minio:9000".into()), ..S3Connection::default() },
        });
        let text = serde_json::to_string(&store).expect("text");
        assert_eq!(text, r#"{"url":"s3://lake/sales/","endpoint":"http://minio:9000"}"#);
        assert_eq!(serde_json::from_str::<Storage>(&text).expect("again"), store);
    }

    #[test]
    fn parts_of_roots() {
        let parts = |text: &str| Storage::from(text).parts().join("|");
        assert_eq!(parts("file:///a//b/"), "/|a|b");
        assert_eq!(parts("./data"), "data");
        let store = |url: &str| Storage::S3(S3Storage { url: url.into(), connection: S3Connection::default() });
        assert_eq!(store("s3://lake/a/b/").parts(), ["s3://", "lake", "a", "b"]);
        assert_eq!(S3Storage::split("s3://lake/"), Some(("lake", "")));
    }
}
