//! DataFusion's errors as ours: a code, a sentence for the reader, what to do next.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Diagnostic, SchemaError};
use meshwork_core::error::{Error, Kind, Place};

use super::barrier::SealedError;
use crate::exhausted::{Exhausted, exhausted};

/// What the planner knew when it failed.
pub struct Scope<'a> {
    /// `domain.table` as written → its withheld columns.
    pub withheld: &'a [(String, Vec<String>)],
}

/// An error of planning.
pub fn planning(error: &DataFusionError, scope: &Scope<'_>) -> Error {
    let place = error.diagnostic().and_then(place);
    let told = match root(error) {
        DataFusionError::External(inner) if inner.downcast_ref::<Error>().is_some() => {
            return inner.downcast_ref::<Error>().cloned().unwrap_or_else(|| internal(error));
        }
        DataFusionError::SchemaError(schema, _) => column(schema, scope),
        DataFusionError::SQL(parser, _) => super::statement::syntax((**parser).clone()),
        DataFusionError::Plan(message) => plan(message),
        DataFusionError::NotImplemented(message) => {
            Error::usage("MW0808", format!("not supported: {}", one_line(message)))
        }
        _ => return execution(error),
    };
    match (&told.place, place) {
        (None, Some(place)) => told.at(place),
        _ => told,
    }
}

/// An error of execution (or of constant folding).
pub fn execution(error: &DataFusionError) -> Error {
    let root = root(error);
    if let Some(bound) = exhausted(root) {
        return out_of(bound);
    }
    match root {
        DataFusionError::External(inner) => {
            if let Some(ours) = inner.downcast_ref::<Error>() {
                return ours.clone();
            }
            if let Some(sealed) = inner.downcast_ref::<SealedError>() {
                return Error::environment("MW0813", sealed.to_string())
                    .hint("the server's log has the reason under that id; ask the product's owner");
            }
            internal(error)
        }
        root if root.to_string().contains(REPLAYED) => out_of_memory(),
        DataFusionError::ArrowError(arrow, _) => arrow_error(arrow),
        DataFusionError::Execution(message) | DataFusionError::Plan(message) => {
            Error::check("MW0814", format!("the query failed: {}", redacted(message)))
        }
        DataFusionError::NotImplemented(message) => {
            Error::usage("MW0808", format!("not supported: {}", one_line(message)))
        }
        DataFusionError::SchemaError(schema, _) => column(schema, &Scope { withheld: &[] }),
        _ => internal(error),
    }
}

pub fn internal(error: &DataFusionError) -> Error {
    tracing::error!(%error, "a statement failed inside the engine");
    Error::internal("MW0816", "the query engine could not run this statement")
        .hint("write it another way; the server's log has the reason")
}

fn root(error: &DataFusionError) -> &DataFusionError {
    match error.find_root() {
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => root(inner),
        found => found,
    }
}

/// The place of a diagnostic within the SQL text.
pub fn place(diagnostic: &Diagnostic) -> Option<Place> {
    let start = diagnostic.span?.start;
    Some(super::statement::place(start.line, start.column))
}

fn column(error: &SchemaError, scope: &Scope<'_>) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let name = field.name.as_str();
            let withheld = scope.withheld.iter().find(|(_, columns)| columns.iter().any(|column| column == name));
            if let Some((table, _)) = withheld {
                return Error::forbidden("MW0715", format!("column `{name}` of `{table}` is not granted to you"))
                    .hint(format!("ask the owner of `{table}` for an agreement whose columns include `{name}`"));
            }
            let written = field.flat_name();
            let error = Error::usage("MW0803", format!("column `{written}` does not exist"));
            let near = valid_fields
                .iter()
                .map(|valid| (strsim::jaro_winkler(&valid.name.to_lowercase(), &name.to_lowercase()), valid))
                .filter(|(score, _)| *score > 0.8)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            match near {
                Some((_, valid)) if valid.name.to_lowercase() == valid.name => {
                    error.hint(format!("did you mean `{}`?", valid.name))
                }
                Some((_, valid)) => {
                    error.hint(format!("did you mean \"{}\"? Names with capitals need quotes", valid.name))
                }
                None => error,
            }
        }
        SchemaError::AmbiguousReference { field } => {
            Error::usage("MW0803", format!("column `{}` is ambiguous", field.name)).hint("name its table")
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::usage("MW0809", format!("column `{name}` appears twice")).hint("give one of them an alias with AS")
        }
    }
}

fn plan(message: &str) -> Error {
    let message = one_line(message);
    if let Some(table) = message.strip_prefix("table '").and_then(|rest| rest.split_once("' not found")) {
        return unknown_table(table.0);
    }
    if message.starts_with("Invalid function") || message.contains("unction") && message.contains("not found") {
        return Error::usage("MW0807", message.to_owned());
    }
    Error::usage("MW0809", message.to_owned())
}

/// The same for a table that is unknown and one that is not the caller's to know of (D15).
pub fn unknown_table(written: &str) -> Error {
    let name = written.strip_prefix("meshwork.").unwrap_or(written);
    let name = name.strip_prefix("public.").unwrap_or(name);
    let error = Error::not_found("MW0804", format!("table `{name}` does not exist"));
    if name.contains('.') {
        error.hint("`.tables` in the shell of `meshwork sql` lists the tables that you may query")
    } else {
        error.hint("name a table with its domain: `domain.output`")
    }
}

/// In the message of the panic of an exchange of rows that is started twice, which only a nested-loop join does, and only
/// when it has run out of memory.
pub const REPLAYED: &str = "partition not used yet";

pub fn out_of_memory() -> Error {
    out_of(Exhausted::Memory)
}

fn out_of(bound: Exhausted) -> Error {
    let what = match bound {
        Exhausted::Memory => "memory",
        Exhausted::Spill => "spill space",
    };
    Error::limit("MW0811", format!("the statement needs more {what} than it may use"))
        .hint("select fewer rows or columns, or aggregate before joining and sorting")
}

fn arrow_error(error: &ArrowError) -> Error {
    match error {
        ArrowError::DivideByZero => Error::check("MW0814", "the query failed: division by zero"),
        ArrowError::ArithmeticOverflow(_) => Error::check("MW0814", "the query failed: a number is out of range"),
        ArrowError::CastError(message) | ArrowError::ParseError(message) | ArrowError::ComputeError(message) => {
            Error::check("MW0814", format!("the query failed: {}", redacted(message)))
        }
        ArrowError::InvalidArgumentError(message) => {
            Error::check("MW0814", format!("the query failed: {}", redacted(message)))
        }
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(inner) => execution(inner),
            None => Error::new(Kind::Internal, "MW0816", "the query engine could not run this statement"),
        },
        _ => Error::check("MW0814", "the query failed while it was running"),
    }
}

/// Without the values that Arrow quotes (D20): errors are stored and shown to people who may not see them.
pub fn redacted(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut quoted = false;
    for c in one_line(message).chars() {
        if c == '\'' || c == '"' {
            if quoted {
                out.push('…');
            }
            out.push(c);
            quoted = !quoted;
        } else if !quoted {
            out.push(c);
        }
    }
    out
}

fn one_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_out_of_messages() {
        assert_eq!(
            redacted("Cannot cast string '123-45' to value of Int64 type\nBacktrace"),
            "Cannot cast string '…' to value of Int64 type"
        );
    }

    #[test]
    fn a_withheld_column_is_forbidden_and_an_unknown_one_is_not() {
        let missing = |name: &str| {
            DataFusionError::SchemaError(
                Box::new(SchemaError::FieldNotFound {
                    field: Box::new(datafusion::common::Column::new_unqualified(name)),
                    valid_fields: vec![datafusion::common::Column::new_unqualified("email")],
                }),
                Box::new(None),
            )
        };
        let withheld = [("crm.c".to_owned(), vec!["ssn".to_owned()])];
        let scope = Scope { withheld: &withheld };
        assert_eq!(planning(&missing("ssn"), &scope).kind, Kind::Forbidden);
        let unknown = planning(&missing("emial"), &scope);
        assert_eq!((unknown.code.as_str(), unknown.hints[0].as_str()), ("MW0803", "did you mean `email`?"));
    }
}
