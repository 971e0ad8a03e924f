//! From storage failures to errors for people.

use std::error::Error as StdError;
use std::io;

use meshwork_core::Error;

use crate::remote::s3;

/// Names what went wrong with storage while doing `what` (such as "writing output `orders`").
pub fn storage_error(what: &str, error: &(dyn StdError + 'static)) -> Error {
    if let Some(error) = of_bucket(what, error) {
        return error;
    }
    if is_full(error) {
        return Error::environment("MW0622", format!("the disk is full: {what} stopped"))
            .hint("free space on the storage root, or give the domain a storage root on another disk")
            .hint("nothing was published; files of this attempt are removed by the next collection");
    }
    if let Some(error) = find_io(error) {
        return Error::environment("MW0621", format!("{what} failed: {}", error.kind()))
            .hint("check that the storage root exists and that this user may write there");
    }
    Error::environment("MW0621", format!("{what} failed: {error}"))
        .hint("check that the storage root exists and that this user may write there")
}

/// What went wrong with a bucket, or with finding it.
fn of_bucket(what: &str, error: &(dyn StdError + 'static)) -> Option<Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own.clone());
        }
        if let Some(found) = error.downcast_ref::<object_store::Error>()
            && is_of_bucket(found)
        {
            return Some(s3::fault(what, found));
        }
        next = below(error);
    }
    None
}

/// What stands behind an error. An I/O error that wraps another one gives only that one's source as its own.
fn below<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    }
}

fn is_of_bucket(error: &object_store::Error) -> bool {
    match error {
        object_store::Error::Generic { store, .. } => *store == "S3",
        // Those that every store has: behind a bucket's stands an answer, behind a folder's what the system said.
        object_store::Error::NotFound { source, .. }
        | object_store::Error::AlreadyExists { source, .. }
        | object_store::Error::Precondition { source, .. }
        | object_store::Error::NotModified { source, .. }
        | object_store::Error::PermissionDenied { source, .. }
        | object_store::Error::Unauthenticated { source, .. } => find_io(source.as_ref()).is_none(),
        _ => false,
    }
}

fn is_full(error: &(dyn StdError + 'static)) -> bool {
    match find_io(error) {
        Some(error) => matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded),
        // Some layers keep only the text of the error.
        None => error.to_string().contains("No space left on device"),
    }
}

/// The innermost I/O error of a chain.
fn find_io<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut found = None;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && (io.raw_os_error().is_some() || found.is_none())
        {
            found = Some(io);
        }
        next = below(error);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_however_deep_it_lies() {
        let full = io::Error::from_raw_os_error(28);
        let wrapped = object_store::Error::Generic { store: "x", source: Box::new(io::Error::other(full)) };
        assert_eq!(storage_error("writing", &wrapped).code, "MW0622");
        let busy = object_store::Error::Generic { store: "S3", source: "status code: 503 Service Unavailable".into() };
        assert_eq!(storage_error("writing", &io::Error::other(busy)).code, "MW0542");
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(storage_error("writing", &denied).code, "MW0621");
    }
}
