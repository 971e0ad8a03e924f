//! What went wrong in SQLite or the file system, as an error for people.

use std::path::Path;

use meshwork_core::error::Error;

// Primary result codes, https://www.sqlite.org/rescode.html
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const IO: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANNOT_OPEN: i32 = 14;
const NOT_A_DATABASE: i32 = 26;

/// Any error of a statement or transaction.
pub(crate) fn fault(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            Error::conflict("MW0417", "an id or name that must be unique is taken")
        }
        sqlx::Error::Database(database) => match primary(database.as_ref()) {
            FULL => Error::environment("MW0404", "the disk is full: the state was not changed")
                .hint("free some space where `.meshwork` lies and try again"),
            BUSY | LOCKED => Error::environment("MW0406", "the state is busy").hint("try again"),
            CORRUPT | NOT_A_DATABASE => Error::environment("MW0403", "the state file is damaged")
                .hint("move `.meshwork/state.db` aside and restore a backup"),
            READONLY | IO | CANNOT_OPEN => {
                Error::environment("MW0405", format!("the state cannot be read or written: {}", database.message()))
                    .hint("check that the disk is not full, and the permissions of `.meshwork`")
            }
            _ => Error::internal("MW0409", format!("the state answered: {}", database.message())),
        },
        sqlx::Error::PoolTimedOut => {
            Error::environment("MW0406", "the state is busy: no connection became free").hint("try again")
        }
        sqlx::Error::PoolClosed => Error::environment("MW0405", "the state is closed"),
        other => Error::environment("MW0405", format!("the state cannot be read or written: {other}")),
    }
}

/// The same, where a reference to something that does not exist has its own error.
pub(crate) fn fault_or(missing: impl FnOnce() -> Error) -> impl FnOnce(sqlx::Error) -> Error {
    |error| match &error {
        sqlx::Error::Database(database) if database.is_foreign_key_violation() => missing(),
        _ => fault(error),
    }
}

/// While opening, the path is news, and whatever fails is about the file.
pub(crate) fn opening(path: &Path, error: &sqlx::Error) -> Error {
    let sqlx::Error::Database(database) = error else {
        return Error::environment("MW0401", format!("{} cannot be opened: {error}", path.display()));
    };
    match primary(database.as_ref()) {
        CORRUPT | NOT_A_DATABASE => not_a_state(path, database.message()),
        FULL => Error::environment("MW0404", format!("the disk is full: {} cannot be opened", path.display()))
            .hint("free some space and try again"),
        // Its shared memory is a file too.
        IO => Error::environment("MW0401", format!("{} cannot be opened: {}", path.display(), database.message()))
            .hint("the disk may be full: free some space and try again"),
        _ => Error::environment("MW0401", format!("{} cannot be opened: {}", path.display(), database.message()))
            .hint("check that the folder exists and that you may write to it"),
    }
}

pub(crate) fn not_a_state(path: &Path, why: &str) -> Error {
    Error::environment("MW0403", format!("{} is not a Meshwork state: {why}", path.display()))
        .hint("move it aside and restore a backup; data in the storage root is not affected")
}

pub(crate) fn io(code: &str, path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Error::environment("MW0404", format!("the disk is full: {} cannot be written", path.display()))
                .hint("free some space and try again")
        }
        _ => Error::environment(code, format!("{}: {error}", path.display()))
            .hint("check that the folder exists and that you may write to it"),
    }
}

fn primary(error: &dyn sqlx::error::DatabaseError) -> i32 {
    error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0) & 0xff
}
