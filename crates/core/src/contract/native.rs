//! From what a contract says about a column to what it is stored as (D12), and whether the type in the source can be it.

use crate::classification::LogicalFamily;
use crate::contract::draft::FieldDraft;
use crate::contract::pattern::{DatePattern, date_pattern};
use crate::reader::{Findings, shown};
use crate::types::{ColumnType, Literal, LogicalType};

/// What follows from a field's type and options.
#[derive(Debug)]
pub struct Typed {
    pub logical: LogicalType,
    pub native: ColumnType,
    /// strftime, for source text.
    pub format: Option<String>,
    /// Text formats that become a clause: `email`, `uuid`, ….
    pub text_format: Option<String>,
    /// Unsigned integers have no type of their own: these are their bounds.
    pub unsigned: Option<(&'static str, Literal)>,
    pub default_timezone: Option<String>,
}

/// Formats of text that are checked.
pub const TEXT_FORMATS: &[&str] = &["email", "uuid", "uri", "hostname", "ipv4", "ipv6", "byte"];
/// Formats of text that say something about it, without a form of their own.
const SILENT_FORMATS: &[&str] = &["password"];
const INTEGER_FORMATS: &[&str] = &["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"];
const FLOAT_FORMATS: &[&str] = &["f32", "f64"];

/// Integers above 64 bits as a decimal would need 39 digits; there are 38.
const MAX_PRECISION: u64 = 38;

pub fn typed(findings: &Findings<'_>, field: &FieldDraft<'_>) -> Typed {
    let mut pattern = None;
    let mut logical = match &field.logical_type {
        Some(found) => found.value,
        None => {
            field.physical_type.as_ref().and_then(|ty| physical(&ty.value)).map_or(LogicalType::String, |p| p.logical)
        }
    };
    if matches!(logical, LogicalType::Date | LogicalType::Timestamp | LogicalType::Time)
        && let Some(format) = &field.options.format
    {
        match date_pattern(&format.value) {
            Ok(found) => pattern = Some(found),
            Err(why) => findings.error_hinting(
                "MW0221",
                format.span,
                format!("`{}` is not a date pattern: {why}", shown(&format.value)),
                "Write it as `yyyy-MM-dd HH:mm:ss`, or in strftime as `%Y-%m-%d`.",
            ),
        }
    }
    let said_date = logical == LogicalType::Date;
    if let (true, Some(pattern)) = (said_date, &pattern) {
        logical = dated(pattern);
    } else if said_date && field.is_any_date {
        logical = match field.physical_type.as_ref().and_then(|ty| physical(&ty.value)).map(|physical| physical.logical)
        {
            Some(found @ (LogicalType::Timestamp | LogicalType::Time)) => found,
            _ => LogicalType::Date,
        };
    }
    options_fit(findings, field, logical);
    let mut typed = Typed {
        logical,
        native: ColumnType::Text,
        format: pattern.as_ref().map(|pattern| pattern.text.clone()),
        text_format: None,
        unsigned: None,
        default_timezone: None,
    };
    match logical {
        LogicalType::String => text(findings, field, &mut typed),
        LogicalType::Time => {}
        LogicalType::Boolean => typed.native = ColumnType::Boolean,
        LogicalType::Date => typed.native = ColumnType::Date,
        LogicalType::Integer => integer(findings, field, &mut typed),
        LogicalType::Number => typed.native = number(findings, field),
        LogicalType::Timestamp => timestamp(findings, field, pattern.as_ref(), &mut typed),
        LogicalType::Array => {
            let item = field.items.as_deref().map_or(ColumnType::Text, |item| self::typed(findings, item).native);
            typed.native = ColumnType::List(Box::new(item));
        }
        // Nobody knows what it holds: JSON as text.
        LogicalType::Object if field.properties.is_empty() => {}
        LogicalType::Object => {
            let parts =
                field.properties.iter().map(|part| (part.name.value.clone(), self::typed(findings, part).native));
            typed.native = ColumnType::Struct(parts.collect());
        }
    }
    clash(findings, field, logical);
    typed
}

/// Before 3.1 `date` stood for dates, times and timestamps; the pattern says which.
fn dated(pattern: &DatePattern) -> LogicalType {
    match (pattern.reads.date, pattern.reads.time) {
        (true, true) => LogicalType::Timestamp,
        (false, true) => LogicalType::Time,
        _ => LogicalType::Date,
    }
}

fn text(findings: &Findings<'_>, field: &FieldDraft<'_>, typed: &mut Typed) {
    let Some(format) = &field.options.format else { return };
    match format.value.as_str() {
        "binary" => typed.native = ColumnType::Binary,
        known if TEXT_FORMATS.contains(&known) => typed.text_format = Some(known.to_owned()),
        silent if SILENT_FORMATS.contains(&silent) => {}
        other => {
            let message = format!("`{}` is not a text format that can be checked", shown(other));
            let known = TEXT_FORMATS.iter().chain(SILENT_FORMATS).chain(&["binary"]).copied();
            findings.unknown("MW0222", format.span, message, other, known);
        }
    }
}

fn integer(findings: &Findings<'_>, field: &FieldDraft<'_>, typed: &mut Typed) {
    typed.native = ColumnType::Int64;
    let Some(format) = &field.options.format else { return };
    let bound = |text: &str| Literal::number(text).unwrap_or(Literal::Integer(0));
    let (native, unsigned) = match format.value.as_str() {
        "i8" => (ColumnType::Int8, None),
        "i16" => (ColumnType::Int16, None),
        "i32" => (ColumnType::Int32, None),
        "i64" => (ColumnType::Int64, None),
        "u8" => (ColumnType::Int16, Some(("u8", bound("255")))),
        "u16" => (ColumnType::Int32, Some(("u16", bound("65535")))),
        "u32" => (ColumnType::Int64, Some(("u32", bound("4294967295")))),
        "u64" => (ColumnType::Decimal { precision: 20, scale: 0 }, Some(("u64", bound("18446744073709551615")))),
        wide @ ("i128" | "u128") => {
            findings.error_hinting(
                "MW0222",
                format.span,
                format!("`{wide}` is wider than any type that is stored"),
                "Use `number` with the physical type `decimal(38,0)`, or a string.",
            );
            return;
        }
        other => {
            let message = format!("`{}` is not an integer format", shown(other));
            findings.unknown("MW0222", format.span, message, other, INTEGER_FORMATS.iter().copied());
            return;
        }
    };
    typed.native = native;
    typed.unsigned = unsigned;
}

fn number(findings: &Findings<'_>, field: &FieldDraft<'_>) -> ColumnType {
    let options = &field.options;
    let from_physical = field.physical_type.as_ref().and_then(|ty| Some((physical(&ty.value)?.decimal?, ty.span)));
    let declared = options.precision.map(|p| ((p.value, options.scale.map_or(0, |s| s.value)), p.span));
    if let (None, Some(scale)) = (&declared, options.scale) {
        findings.error_hinting("MW0223", scale.span, "`scale` stands without `precision`", "Add `precision`.");
    }
    if let Some(((precision, scale), at)) = declared.or(from_physical) {
        if precision == 0 || precision > MAX_PRECISION || scale > precision {
            let message = format!(
                "decimal({precision},{scale}) does not exist: the precision is 1 to 38, the scale at most as much"
            );
            findings.error("MW0223", at, message);
            return ColumnType::Float64;
        }
        // Both are at most 38 here.
        return ColumnType::Decimal { precision: precision as u8, scale: scale as i8 };
    }
    match options.format.as_ref().map(|format| (format.value.as_str(), format.span)) {
        None | Some(("f64", _)) => ColumnType::Float64,
        Some(("f32", _)) => ColumnType::Float32,
        Some((other, span)) => {
            let message = format!("`{}` is not a number format", shown(other));
            findings.unknown("MW0222", span, message, other, FLOAT_FORMATS.iter().copied());
            ColumnType::Float64
        }
    }
}

fn timestamp(findings: &Findings<'_>, field: &FieldDraft<'_>, pattern: Option<&DatePattern>, typed: &mut Typed) {
    let options = &field.options;
    let said = options.timezone.map(|zone| zone.value);
    // A `date` of ODCS 3.0 that is a timestamp by its pattern has no option for the zone: the pattern has it or not.
    let was_date = field.logical_type.as_ref().is_some_and(|found| found.value == LogicalType::Date);
    let source_zoned = || {
        let physical = field.physical_type.as_ref().map(|ty| ty.value.to_lowercase());
        physical.is_some_and(|ty| ty.contains("tz") && !ty.contains("ntz") || ty.contains("with time zone"))
    };
    let zoned = said.unwrap_or(!was_date || pattern.map_or_else(source_zoned, |pattern| pattern.reads.zone));
    typed.native = if zoned { ColumnType::Timestamp } else { ColumnType::LocalTimestamp };
    let Some(zone) = &options.default_timezone else { return };
    if !zoned {
        findings.error_hinting(
            "MW0224",
            zone.span,
            "a timestamp without zone has no default zone",
            "Remove `defaultTimezone`, or `timezone: false`.",
        );
        return;
    }
    match fixed_zone(&zone.value) {
        Some(found) => typed.default_timezone = Some(found),
        None => findings.error_hinting(
            "MW0224",
            zone.span,
            format!("the zone `{}` is neither UTC nor a fixed offset", shown(&zone.value)),
            "Write `UTC` or an offset such as `+01:00`; convert times of a zone with summer time in the SQL.",
        ),
    }
}

/// `UTC` or `±HH:MM`.
fn fixed_zone(text: &str) -> Option<String> {
    if matches!(text, "UTC" | "Etc/UTC" | "Z" | "GMT" | "Etc/GMT" | "Etc/Zulu" | "Zulu") {
        return Some("UTC".to_owned());
    }
    let (sign, rest) = text.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let two = |part: &str, below: u8| part.len() == 2 && part.parse::<u8>().is_ok_and(|n| n < below);
    (matches!(sign, "+" | "-") && two(hours, 15) && two(minutes, 60)).then(|| text.to_owned())
}

/// Notes options that mean nothing for the type.
fn options_fit(findings: &Findings<'_>, field: &FieldDraft<'_>, logical: LogicalType) {
    use LogicalType as L;
    let options = &field.options;
    let nested = matches!(logical, L::Object | L::Array | L::Boolean);
    for (name, span, fits) in [
        ("minLength", options.min_length.map(|x| x.span), logical == L::String),
        ("maxLength", options.max_length.map(|x| x.span), logical == L::String),
        ("pattern", options.pattern.as_ref().map(|x| x.span), matches!(logical, L::String | L::Time)),
        ("minItems", options.min_items.map(|x| x.span), logical == L::Array),
        ("maxItems", options.max_items.map(|x| x.span), logical == L::Array),
        ("uniqueItems", options.unique_items, logical == L::Array),
        ("minimum", options.min.map(|x| x.node.span), !nested && logical != L::String),
        ("maximum", options.max.map(|x| x.node.span), !nested && logical != L::String),
        ("multipleOf", options.multiple_of.map(|x| x.span), matches!(logical, L::Integer | L::Number)),
        ("precision", options.precision.map(|x| x.span), logical == L::Number),
        ("scale", options.scale.map(|x| x.span), logical == L::Number),
        ("timezone", options.timezone.map(|x| x.span), matches!(logical, L::Timestamp | L::Time)),
        (
            "defaultTimezone",
            options.default_timezone.as_ref().map(|x| x.span),
            matches!(logical, L::Timestamp | L::Time),
        ),
        ("format", options.format.as_ref().map(|x| x.span), !nested),
        ("required", options.properties, logical == L::Object),
        ("items", field.items.as_ref().map(|x| x.at), logical == L::Array),
        ("properties", field.properties.first().map(|x| x.at), logical == L::Object),
    ] {
        if let (Some(span), false) = (span, fits) {
            findings.error("MW0220", span, format!("`{name}` means nothing for the type {logical}"));
        }
    }
}

/// A type of a source, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Physical {
    pub logical: LogicalType,
    pub decimal: Option<(u64, u64)>,
}

pub fn physical(text: &str) -> Option<Physical> {
    let lower = text.trim().to_lowercase();
    let end = lower.find(['(', '<', '[']).unwrap_or(lower.len());
    let (word, rest) = lower.split_at(end);
    if rest.starts_with('[') {
        return Some(Physical { logical: LogicalType::Array, decimal: None });
    }
    let word = word.trim();
    let logical = match word {
        "varchar" | "char" | "character" | "character varying" | "text" | "string" | "nvarchar" | "nchar"
        | "bpchar" | "clob" | "varchar2" | "nvarchar2" | "uuid" | "citext" | "tinytext" | "mediumtext" | "longtext"
        | "enum" => LogicalType::String,
        "int" | "integer" | "bigint" | "smallint" | "tinyint" | "mediumint" | "int2" | "int4" | "int8" | "int16"
        | "int32" | "int64" | "serial" | "bigserial" | "long" | "short" | "uint8" | "uint16" | "uint32" | "uint64" => {
            LogicalType::Integer
        }
        "decimal" | "numeric" | "number" | "dec" | "money" | "bignumeric" | "double" | "double precision" | "float"
        | "real" | "float4" | "float8" | "float32" | "float64" => LogicalType::Number,
        "bool" | "boolean" => LogicalType::Boolean,
        "date" => LogicalType::Date,
        "datetime" | "datetime2" | "timestamptz" | "timestamp_ntz" | "timestamp_ltz" | "timestamp_tz"
        | "smalldatetime" | "datetimeoffset" => LogicalType::Timestamp,
        "timetz" => LogicalType::Time,
        "array" | "list" | "vector" => LogicalType::Array,
        "struct" | "object" | "record" | "row" | "map" => LogicalType::Object,
        other if other.starts_with("timestamp") => LogicalType::Timestamp,
        other if other == "time" || other.starts_with("time ") => LogicalType::Time,
        _ => return None,
    };
    let decimal = matches!(word, "decimal" | "numeric" | "number" | "dec").then(|| arguments(rest)).flatten();
    Some(Physical { logical, decimal })
}

/// The column type that a source's own name of a type stands for, as wide as it can be.
pub fn physical_type(text: &str) -> Option<ColumnType> {
    let found = physical(text)?;
    let word = text.trim().to_lowercase();
    let zoned =
        word.contains("tz") && !word.contains("ntz") || word.contains("with time zone") || word.contains("offset");
    Some(match (found.logical, found.decimal) {
        (LogicalType::Number, Some((precision, scale)))
            if (1..=MAX_PRECISION).contains(&precision) && scale <= precision =>
        {
            ColumnType::Decimal { precision: precision as u8, scale: scale as i8 }
        }
        (LogicalType::Number, _) => ColumnType::Float64,
        (LogicalType::Integer, _) => ColumnType::Int64,
        (LogicalType::Boolean, _) => ColumnType::Boolean,
        (LogicalType::Date, _) => ColumnType::Date,
        (LogicalType::Timestamp, _) if zoned => ColumnType::Timestamp,
        (LogicalType::Timestamp, _) => ColumnType::LocalTimestamp,
        // What they hold is not known: as text.
        (LogicalType::String | LogicalType::Time | LogicalType::Object | LogicalType::Array, _) => ColumnType::Text,
    })
}

fn arguments(text: &str) -> Option<(u64, u64)> {
    let inner = text.strip_prefix('(')?.split_once(')')?.0;
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))
}

/// Logical and physical type that cannot be one column.
fn clash(findings: &Findings<'_>, field: &FieldDraft<'_>, logical: LogicalType) {
    use LogicalType as L;
    let (Some(said), Some(physical_type)) = (&field.logical_type, &field.physical_type) else { return };
    let Some(found) = physical(&physical_type.value) else { return };
    let fits = match found.logical {
        // Files and untyped sources hold everything as text.
        L::String => true,
        L::Integer => matches!(logical, L::Integer | L::Number | L::Boolean),
        L::Number => logical == L::Number || logical == L::Integer && found.decimal.is_none_or(|(_, scale)| scale == 0),
        L::Timestamp => matches!(logical, L::Timestamp | L::Date | L::Time),
        // `date` of ODCS 3.0 stood for all three.
        L::Date => logical == L::Date || said.value == L::Date,
        L::Time => logical == L::Time || said.value == L::Date,
        // Semi-structured columns are often read as text.
        L::Object | L::Array => matches!(logical, L::Object | L::Array | L::String),
        L::Boolean => logical == L::Boolean,
    };
    if !fits {
        findings.error_hinting(
            "MW0225",
            physical_type.span,
            format!("the physical type `{}` cannot be the logical type {}", shown(&physical_type.value), said.value),
            format!("Its logical type would be `{}`.", found.logical),
        );
    }
}

/// Whether a range means something on this type.
pub fn has_order(native: &ColumnType) -> bool {
    matches!(
        LogicalFamily::of(native),
        LogicalFamily::Integer | LogicalFamily::Number | LogicalFamily::Date | LogicalFamily::Timestamp
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_sources() {
        for (text, expected) in [
            ("VARCHAR(20)", Some((LogicalType::String, None))),
            ("decimal(10, 2)", Some((LogicalType::Number, Some((10, 2))))),
            ("NUMERIC(18)", Some((LogicalType::Number, Some((18, 0))))),
            ("timestamp with time zone", Some((LogicalType::Timestamp, None))),
            ("timestamp(6)", Some((LogicalType::Timestamp, None))),
            ("int[]", Some((LogicalType::Array, None))),
            ("STRUCT<a INT>", Some((LogicalType::Object, None))),
            ("geometry", None),
        ] {
            assert_eq!(physical(text).map(|p| (p.logical, p.decimal)), expected, "{text}");
        }
    }

    #[test]
    fn zones() {
        for (text, expected) in [
            ("Etc/UTC", Some("UTC")),
            ("+01:00", Some("+01:00")),
            ("-15:00", None),
            ("Europe/Berlin", None),
            ("+1", None),
            ("", None),
            ("é01:00", None),
        ] {
            assert_eq!(fixed_zone(text).as_deref(), expected, "{text}");
        }
    }
}
