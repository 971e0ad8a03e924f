//! Our errors as PostgreSQL reports errors: SQLSTATE, message with our code, hint.

use meshwork_core::error::{Error, Kind};
use pgwire::error::{ErrorInfo, PgWireError};

/// SQLSTATE by code where a code has one of its own, else by kind.
fn sqlstate(error: &Error) -> &'static str {
    match (error.code.as_str(), error.kind) {
        (_, Kind::Forbidden) => "42501",
        (_, Kind::NotFound) => "42P01",
        (_, Kind::Unauthenticated) => "28P01",
        (_, Kind::Usage) => "42601",
        (_, Kind::Check) => "22000",
        (_, Kind::Conflict) => "55000",
        (_, Kind::Limit) => "54000",
        (_, Kind::Environment) => "58030",
        (_, Kind::Interrupted) => "57014",
        (_, Kind::Partial | Kind::Internal) => "XX000",
    }
}

pub fn to_pg(error: &Error) -> PgWireError {
    let mut info = ErrorInfo::new("ERROR".into(), sqlstate(error).into(), error.to_string());
    if !error.hints.is_empty() {
        info.hint = Some(error.hints.join("\n"));
    }
    PgWireError::UserError(Box::new(info))
}

/// An error of the protocol itself, which has no code of ours.
pub fn plain(sqlstate: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".into(), sqlstate.into(), message.into())))
}

/// Ends the connection.
pub fn fatal(sqlstate: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".into(), sqlstate.into(), message.into())))
}
