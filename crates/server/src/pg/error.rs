//! Our errors as PostgreSQL reports errors: SQLSTATE, message with our code, hint.

use meshwork_core::error::{Error, Kind};
use pgwire::error::{ErrorInfo, PgWireError};

/// SQLSTATE by code where a code has one of its own, else by kind. Drivers turn these into exceptions of their own.
fn sqlstate(error: &Error) -> &'static str {
    match (error.code.as_str(), error.kind) {
        (_, Kind::Forbidden) => "42501",
        ("MW0803", _) => "42703",
        ("MW0805", _) if error.message.ends_with("only queries and EXPLAIN are") => "25006",
        ("MW0806", _) => "54001",
        ("MW0807", _) => "42883",
        ("MW0808", _) => "0A000",
        ("MW0810", _) => "57014",
        ("MW0811", _) => "53200",
        ("MW0814", _) => of_data(&error.message),
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

/// A failure that the values of a statement caused.
fn of_data(message: &str) -> &'static str {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match () {
        () if says(&["divi"]) && says(&["by zero"]) => "22012",
        () if says(&["overflow", "out of range"]) => "22003",
        () if says(&["cast", "parse"]) => "22P02",
        () => "22000",
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
