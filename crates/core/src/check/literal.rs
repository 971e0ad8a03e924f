//! Whether a literal can be compared with a column.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use crate::types::{ColumnType, Literal};

/// `None` when it fits; else what the column wants.
pub(super) fn misfit(literal: &Literal, ty: &ColumnType) -> Option<&'static str> {
    use ColumnType as T;
    match (ty, literal) {
        (T::Boolean, Literal::Boolean(_)) | (T::Text, Literal::Text(_)) => None,
        (T::Int8, Literal::Integer(value)) => i8::try_from(*value).is_err().then_some("a whole number of 8 bits"),
        (T::Int16, Literal::Integer(value)) => i16::try_from(*value).is_err().then_some("a whole number of 16 bits"),
        (T::Int32, Literal::Integer(value)) => i32::try_from(*value).is_err().then_some("a whole number of 32 bits"),
        (T::Int64, Literal::Integer(_)) => None,
        (T::Float32 | T::Float64 | T::Decimal { .. }, Literal::Integer(_) | Literal::Number(_)) => None,
        (T::Date, Literal::Text(text)) if NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() => None,
        (T::Timestamp, Literal::Text(text)) if DateTime::parse_from_rfc3339(text).is_ok() => None,
        (T::LocalTimestamp, Literal::Text(text)) if is_local(text) => None,
        (T::Boolean, _) => Some("true or false"),
        (T::Text, _) => Some("a text (in quotes)"),
        (T::Int8 | T::Int16 | T::Int32 | T::Int64, _) => Some("a whole number"),
        (T::Float32 | T::Float64 | T::Decimal { .. }, _) => Some("a number"),
        (T::Date, _) => Some("a date such as \"2026-01-31\""),
        (T::Timestamp, _) => Some("a moment such as \"2026-01-31T12:00:00Z\""),
        (T::LocalTimestamp, _) => Some("a time without zone such as \"2026-01-31T12:00:00\""),
        (T::Binary | T::List(_) | T::Struct(_), _) => Some("no comparison, because of its type"),
    }
}

fn is_local(text: &str) -> bool {
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .any(|format| NaiveDateTime::parse_from_str(text, format).is_ok())
}

pub(super) fn name(ty: &ColumnType) -> &'static str {
    use ColumnType as T;
    match ty {
        T::Boolean => "boolean",
        T::Int8 | T::Int16 | T::Int32 | T::Int64 => "integer",
        T::Float32 | T::Float64 => "number",
        T::Decimal { .. } => "decimal",
        T::Text => "text",
        T::Binary => "binary",
        T::Date => "date",
        T::Timestamp => "timestamp",
        T::LocalTimestamp => "timestamp without zone",
        T::List(_) => "list",
        T::Struct(_) => "object",
    }
}
