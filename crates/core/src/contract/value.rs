//! Values that stand in a contract (enum, bounds, examples) against the type of their column.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use crate::decimal::Decimal;
use crate::types::{ColumnType, Literal, LogicalType};

/// The type that a value must have.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'t> {
    pub logical: LogicalType,
    pub native: &'t ColumnType,
    /// strftime, where the column has a pattern.
    pub format: Option<&'t str>,
}

impl Expected<'_> {
    /// The value in the one spelling that comparing and engines rely on, or what is wrong with it.
    pub fn value(&self, literal: Literal) -> Result<Literal, String> {
        match (self.native, literal) {
            (ColumnType::Boolean, value @ Literal::Boolean(_)) => Ok(value),
            (ColumnType::Text, Literal::Text(text)) if self.logical == LogicalType::Time => {
                time(&text).then_some(Literal::Text(text)).ok_or_else(|| "it is not a time such as 13:45:00".to_owned())
            }
            (ColumnType::Text | ColumnType::Binary, value @ Literal::Text(_)) => Ok(value),
            (ColumnType::Text, _) => Err("it is not a text: put it in quotes".to_owned()),
            (ColumnType::Date, Literal::Text(text)) => self.date(&text),
            (ColumnType::Timestamp, Literal::Text(text)) => self.timestamp(&text),
            (ColumnType::LocalTimestamp, Literal::Text(text)) => self.local_timestamp(&text),
            (native, value @ (Literal::Integer(_) | Literal::Number(_))) => number(native, value),
            (native, Literal::Text(text)) if is_number(native) && Decimal::parse(&text).is_some() => {
                Err("it is a text: write it without quotes".to_owned())
            }
            _ => Err("it is of another type".to_owned()),
        }
    }

    fn date(&self, text: &str) -> Result<Literal, String> {
        let iso = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        let date = iso.or_else(|| NaiveDate::parse_from_str(text, self.format?).ok());
        date.map(|date| Literal::Text(date.format("%Y-%m-%d").to_string()))
            .ok_or_else(|| "it is not a date such as 2026-01-31".to_owned())
    }

    fn timestamp(&self, text: &str) -> Result<Literal, String> {
        let zoned = DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc));
        let at = zoned
            .or_else(|| Some(DateTime::parse_from_str(text, self.format?).ok()?.with_timezone(&Utc)))
            .or_else(|| Some(self.naive(text)?.and_utc()));
        at.map(|at| Literal::Text(at.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string()))
            .ok_or_else(|| "it is not a timestamp such as 2026-01-31T13:45:00Z".to_owned())
    }

    fn local_timestamp(&self, text: &str) -> Result<Literal, String> {
        self.naive(text)
            .map(|at| Literal::Text(at.format("%Y-%m-%dT%H:%M:%S%.f").to_string()))
            .ok_or_else(|| "it is not a timestamp without zone, such as 2026-01-31T13:45:00".to_owned())
    }

    fn naive(&self, text: &str) -> Option<NaiveDateTime> {
        let patterns = [Some("%Y-%m-%dT%H:%M:%S%.f"), Some("%Y-%m-%d %H:%M:%S%.f"), self.format];
        let found = patterns.into_iter().flatten().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        found.or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| date.and_time(NaiveTime::MIN)))
    }
}

fn time(text: &str) -> bool {
    let clock = text.strip_suffix('Z').unwrap_or(text);
    ["%H:%M:%S%.f", "%H:%M"].iter().any(|format| NaiveTime::parse_from_str(clock, format).is_ok())
}

fn is_number(native: &ColumnType) -> bool {
    use ColumnType as T;
    matches!(native, T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Decimal { .. })
}

fn number(native: &ColumnType, value: Literal) -> Result<Literal, String> {
    let Some(decimal) = value.decimal() else { return Err("it is not a decimal number".to_owned()) };
    let whole = |low: i64, high: i64| {
        if !decimal.is_integer() {
            return Err("it is not a whole number".to_owned());
        }
        if decimal < Decimal::from(low) || decimal > Decimal::from(high) {
            return Err(format!("it does not fit into {native}"));
        }
        // `1e3` and `5.0` are whole numbers, too.
        Ok(Literal::number(&decimal.to_string()).unwrap_or_else(|| value.clone()))
    };
    match native {
        ColumnType::Int8 => whole(i64::from(i8::MIN), i64::from(i8::MAX)),
        ColumnType::Int16 => whole(i64::from(i16::MIN), i64::from(i16::MAX)),
        ColumnType::Int32 => whole(i64::from(i32::MIN), i64::from(i32::MAX)),
        ColumnType::Int64 => whole(i64::MIN, i64::MAX),
        ColumnType::Decimal { precision, scale } => {
            let (scale, whole) =
                (u64::from(scale.unsigned_abs()), u64::from(*precision) - u64::from(scale.unsigned_abs()));
            if decimal.scale() > scale || decimal.whole_digits() > whole {
                return Err(format!("it does not fit into {native}"));
            }
            Ok(value)
        }
        ColumnType::Float32 | ColumnType::Float64 => Ok(value),
        _ => Err("it is a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(logical: LogicalType, native: ColumnType, literal: Literal, expected: Result<&str, &str>) {
        let found = Expected { logical, native: &native, format: Some("%d.%m.%Y") }.value(literal.clone());
        match (found, expected) {
            (Ok(found), Ok(text)) => assert_eq!(found.to_string(), text, "{literal:?} as {native}"),
            (Err(found), Err(why)) => assert!(found.contains(why), "{literal:?} as {native}: {found}"),
            (found, expected) => panic!("{literal:?} as {native}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn values_against_types() {
        use ColumnType as T;
        use LogicalType as L;
        let text = |text: &str| Literal::Text(text.to_owned());
        let number = |text: &str| Literal::number(text).unwrap();
        check(L::String, T::Text, text("a"), Ok("a"));
        check(L::String, T::Text, Literal::Integer(1), Err("quotes"));
        check(L::Integer, T::Int8, Literal::Integer(127), Ok("127"));
        check(L::Integer, T::Int8, Literal::Integer(128), Err("does not fit into tinyint"));
        check(L::Integer, T::Int64, number("1e3"), Ok("1000"));
        check(L::Integer, T::Int64, number("1.5"), Err("whole"));
        check(L::Integer, T::Int64, number("9223372036854775808"), Err("fit"));
        check(L::Integer, T::Int64, text("5"), Err("without quotes"));
        check(L::Number, T::Decimal { precision: 4, scale: 2 }, number("99.99"), Ok("99.99"));
        check(L::Number, T::Decimal { precision: 4, scale: 2 }, number("100"), Err("fit"));
        check(L::Number, T::Decimal { precision: 4, scale: 2 }, number("0.001"), Err("fit"));
        check(L::Boolean, T::Boolean, Literal::Boolean(true), Ok("true"));
        check(L::Boolean, T::Boolean, text("true"), Err("another type"));
        check(L::Date, T::Date, text("2026-02-28"), Ok("2026-02-28"));
        check(L::Date, T::Date, text("28.02.2026"), Ok("2026-02-28"));
        check(L::Date, T::Date, text("2026-02-30"), Err("date"));
        check(L::Timestamp, T::Timestamp, text("2026-01-01T01:00:00+01:00"), Ok("2026-01-01T00:00:00Z"));
        check(L::Timestamp, T::Timestamp, text("2026-01-01"), Ok("2026-01-01T00:00:00Z"));
        check(L::Timestamp, T::LocalTimestamp, text("2026-01-01 10:00:00"), Ok("2026-01-01T10:00:00"));
        check(L::Timestamp, T::LocalTimestamp, text("soon"), Err("timestamp"));
        check(L::Time, T::Text, text("25:00"), Err("time"));
        check(L::Array, T::List(Box::new(T::Text)), text("a"), Err("another type"));
    }
}
