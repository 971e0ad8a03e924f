//! A column's type as the short form writes it.

use super::ColumnProfile;
use crate::types::ColumnType;

/// `type` and what belongs to it: keys and values as YAML, in order.
pub fn pick(column: &ColumnProfile) -> Vec<(&'static str, String)> {
    let ty = &column.ty;
    let mut lines = if ty.time_of_day { vec![("type", "time".to_owned())] } else { lines_of(&ty.native) };
    lines.extend(ty.format.as_ref().map(|format| ("format", format!("\"{format}\""))));
    lines.extend(ty.physical.map(|physical| ("physical_type", physical.to_owned())));
    if let (Some(longest), ColumnType::Text, false) = (ty.max_length, &ty.native, ty.time_of_day) {
        lines.push(("max_length", longest.to_string()));
    }
    lines
}

/// What is worth knowing beside the type.
pub fn note(column: &ColumnProfile) -> Option<&'static str> {
    let seen = &column.seen;
    if column.ty.declared {
        return None;
    }
    if seen.present() == 0 {
        return Some("no value was seen: its type is a guess");
    }
    match column.ty.native {
        ColumnType::LocalTimestamp => {
            Some("the texts have no offset; with `default_timezone` instead of `timezone: false` they get one")
        }
        ColumnType::Int64 => {
            let flag = |values: &Vec<(String, u64)>| {
                values.len() == 2 && values.iter().all(|(value, _)| value == "0" || value == "1")
            };
            if seen.values.as_ref().is_some_and(flag) {
                return Some("only 0 and 1: perhaps a `boolean`");
            }
            // From the year 2001 on, and not for another two centuries.
            let moment = |from: f64, to: f64| {
                let within = |text: &str| text.parse::<f64>().is_ok_and(|value| (from..to).contains(&value));
                seen.numbers.as_ref().is_some_and(|(least, most)| within(least) && within(most))
            };
            let words = super::name::words(&column.name);
            let timed = words.iter().any(|word| {
                ["time", "date", "at", "on", "updated", "created", "timestamp", "ts", "modified"]
                    .contains(&word.as_str())
            });
            match timed {
                true if moment(1.0e12, 1.0e13) => {
                    Some("perhaps milliseconds since 1970: a further field can be `to_timestamp_millis` of it")
                }
                true if moment(1.0e9, 1.0e10) => {
                    Some("perhaps seconds since 1970: a further field can be `to_timestamp_seconds` of it")
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn lines_of(native: &ColumnType) -> Vec<(&'static str, String)> {
    let plain = |ty: &str| vec![("type", ty.to_owned())];
    let with = |ty: &str, key: &'static str, value: &str| vec![("type", ty.to_owned()), (key, value.to_owned())];
    match native {
        ColumnType::Boolean => plain("boolean"),
        ColumnType::Int8 => with("integer", "format", "i8"),
        ColumnType::Int16 => with("integer", "format", "i16"),
        ColumnType::Int32 => with("integer", "format", "i32"),
        ColumnType::Int64 => plain("integer"),
        ColumnType::Float32 => with("number", "format", "f32"),
        ColumnType::Float64 => plain("number"),
        ColumnType::Decimal { precision, scale } => plain(&format!("decimal({precision},{scale})")),
        ColumnType::Text => plain("string"),
        ColumnType::Binary => with("string", "format", "binary"),
        ColumnType::Date => plain("date"),
        ColumnType::Timestamp => plain("timestamp"),
        ColumnType::LocalTimestamp => with("timestamp", "timezone", "false"),
        ColumnType::List(item) => vec![("type", "array".to_owned()), ("items", format!("{{ {} }}", flow(item)))],
        ColumnType::Struct(fields) => vec![("type", "object".to_owned()), ("fields", parts(fields))],
    }
}

fn parts(fields: &[(String, ColumnType)]) -> String {
    let parts: Vec<String> = fields
        .iter()
        .map(|(name, ty)| format!("{{ name: {}, {} }}", crate::contract::scalar(name), flow(ty)))
        .collect();
    format!("[{}]", parts.join(", "))
}

/// A type on one line, between braces.
fn flow(native: &ColumnType) -> String {
    let pair = |(key, value): (&str, String)| {
        // A comma would end the value.
        if key == "type" && value.contains(',') { format!("{key}: \"{value}\"") } else { format!("{key}: {value}") }
    };
    lines_of(native).into_iter().map(pair).collect::<Vec<_>>().join(", ")
}
