//! From texts to typed columns, value by value (D12). A text that does not fit its type is told apart from a null: the
//! caller records where it stood.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int64Builder, StringArray, StringBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field as ArrowField, Schema};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike};
use meshwork_core::contract::Field;
use meshwork_core::types::{ColumnType, LogicalType};

use crate::exact::Exact;
use crate::native::arrow_type;

/// How texts of one column are read.
#[derive(Clone, Debug, PartialEq)]
pub struct TextType {
    pub native: ColumnType,
    /// A time of day is stored as text, but must be one.
    pub time_of_day: bool,
    /// Zone of texts without an offset; without it such a text is not a `Timestamp`.
    pub zone: Option<FixedOffset>,
    /// strftime pattern of dates and timestamps, instead of ISO 8601.
    pub format: Option<String>,
    /// A text that may hold a JSON object or array.
    pub json: bool,
}

impl TextType {
    pub fn plain(native: ColumnType) -> Self {
        Self { native, time_of_day: false, zone: None, format: None, json: false }
    }

    pub fn of(field: &Field) -> Self {
        let temporal = matches!(field.native, ColumnType::Date | ColumnType::Timestamp | ColumnType::LocalTimestamp);
        Self {
            native: field.native.clone(),
            time_of_day: field.logical_type == LogicalType::Time && field.native == ColumnType::Text,
            zone: field.default_timezone.as_deref().and_then(parse_zone),
            format: field.format.clone().filter(|format| temporal && format.contains('%')),
            json: matches!(field.logical_type, LogicalType::Object | LogicalType::Array)
                || field.physical_type.as_ref().is_some_and(|ty| ty.to_ascii_lowercase().starts_with("json")),
        }
    }

    pub fn arrow(&self) -> DataType {
        arrow_type(&self.native)
    }
}

/// `UTC`, `Z`, `+02:00`, `-0530`.
pub fn parse_zone(text: &str) -> Option<FixedOffset> {
    if matches!(text, "UTC" | "utc" | "Z" | "z" | "GMT") {
        return FixedOffset::east_opt(0);
    }
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let digits: String = digits.chars().filter(|c| *c != ':').collect();
    if digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = if digits.len() <= 2 { (digits.as_str(), "0") } else { digits.split_at(digits.len() - 2) };
    FixedOffset::east_opt(sign * (hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60))
}

/// Builds one column of a batch.
pub struct TextColumn {
    ty: TextType,
    builder: Builder,
}

enum Builder {
    Boolean(BooleanBuilder),
    Integer {
        values: Int64Builder,
        min: i64,
        max: i64,
    },
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal {
        values: Decimal128Builder,
        precision: u8,
        scale: i8,
    },
    Text(StringBuilder),
    Binary(BinaryBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    /// Lists and structs, as JSON texts that were checked one by one.
    Nested(Vec<Option<String>>),
}

impl TextColumn {
    pub fn new(ty: &TextType) -> Self {
        let integer = |min, max| Builder::Integer { values: Int64Builder::new(), min, max };
        let builder = match &ty.native {
            ColumnType::Boolean => Builder::Boolean(BooleanBuilder::new()),
            ColumnType::Int8 => integer(i8::MIN.into(), i8::MAX.into()),
            ColumnType::Int16 => integer(i16::MIN.into(), i16::MAX.into()),
            ColumnType::Int32 => integer(i32::MIN.into(), i32::MAX.into()),
            ColumnType::Int64 => integer(i64::MIN, i64::MAX),
            ColumnType::Float32 => Builder::Float32(Float32Builder::new()),
            ColumnType::Float64 => Builder::Float64(Float64Builder::new()),
            ColumnType::Decimal { precision, scale } => {
                Builder::Decimal { values: Decimal128Builder::new(), precision: *precision, scale: *scale }
            }
            ColumnType::Text => Builder::Text(StringBuilder::new()),
            ColumnType::Binary => Builder::Binary(BinaryBuilder::new()),
            ColumnType::Date => Builder::Date(Date32Builder::new()),
            ColumnType::Timestamp | ColumnType::LocalTimestamp => {
                Builder::Timestamp(TimestampMicrosecondBuilder::new())
            }
            ColumnType::List(_) | ColumnType::Struct(_) => Builder::Nested(Vec::new()),
        };
        Self { ty: ty.clone(), builder }
    }

    pub fn append_null(&mut self) {
        match &mut self.builder {
            Builder::Boolean(b) => b.append_null(),
            Builder::Integer { values, .. } => values.append_null(),
            Builder::Float32(b) => b.append_null(),
            Builder::Float64(b) => b.append_null(),
            Builder::Decimal { values, .. } => values.append_null(),
            Builder::Text(b) => b.append_null(),
            Builder::Binary(b) => b.append_null(),
            Builder::Date(b) => b.append_null(),
            Builder::Timestamp(b) => b.append_null(),
            Builder::Nested(b) => b.push(None),
        }
    }

    /// Appends the value of a text, or a null and `false` when it does not fit the type.
    #[must_use]
    pub fn append(&mut self, text: &str) -> bool {
        // Blanks around a number or a date mean nothing; in text they are data.
        let bare = text.trim_matches([' ', '\t']);
        macro_rules! push {
            ($builder:expr, $value:expr) => {{
                let value = $value;
                $builder.append_option(value);
                value.is_some()
            }};
        }
        match &mut self.builder {
            Builder::Boolean(b) => push!(b, parse_boolean(bare)),
            Builder::Integer { values, min, max } => {
                let value = parse_integer(bare).filter(|v| (*min..=*max).contains(v));
                push!(values, value)
            }
            Builder::Float32(b) => {
                push!(
                    b,
                    parse_float(bare)
                        .map(|v| (v, v as f32))
                        .filter(|(v, f)| f.is_finite() || !v.is_finite())
                        .map(|x| x.1)
                )
            }
            Builder::Float64(b) => push!(b, parse_float(bare)),
            Builder::Decimal { values, precision, scale } => push!(values, parse_decimal(bare, *precision, *scale)),
            Builder::Text(b) => {
                if self.ty.time_of_day {
                    let time = parse_time(bare);
                    b.append_option(time.as_deref());
                    return time.is_some();
                }
                b.append_value(text);
                true
            }
            Builder::Binary(b) => match parse_binary(bare) {
                Some(bytes) => {
                    b.append_value(bytes);
                    true
                }
                None => {
                    b.append_null();
                    false
                }
            },
            Builder::Date(b) => push!(b, parse_date(bare, self.ty.format.as_deref())),
            Builder::Timestamp(b) => {
                let value = match self.ty.native {
                    ColumnType::LocalTimestamp => parse_local(bare, self.ty.format.as_deref()).and_then(micros),
                    _ => parse_timestamp(bare, self.ty.format.as_deref(), self.ty.zone),
                };
                push!(b, value)
            }
            Builder::Nested(b) => {
                // Valid by itself first: the text is put inside an object to be decoded.
                let valid = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
                let fits = valid && decode_nested(&[Some(text.to_owned())], &self.ty.native).is_some();
                b.push(fits.then(|| text.to_owned()));
                fits
            }
        }
    }

    /// Appends bytes, or a null and `false` where the column is neither bytes nor text that they are.
    #[must_use]
    pub fn append_bytes(&mut self, bytes: &[u8]) -> bool {
        match (&mut self.builder, std::str::from_utf8(bytes)) {
            (Builder::Binary(b), _) => {
                b.append_value(bytes);
                true
            }
            (_, Ok(text)) => self.append(text),
            (_, Err(_)) => {
                self.append_null();
                false
            }
        }
    }

    pub fn finish(&mut self) -> ArrayRef {
        let target = self.ty.arrow();
        match &mut self.builder {
            Builder::Boolean(b) => Arc::new(b.finish()),
            Builder::Integer { values, .. } => {
                let wide: ArrayRef = Arc::new(values.finish());
                // Every value was held against the bounds of the narrow type.
                cast(&wide, &target).unwrap_or(wide)
            }
            Builder::Float32(b) => Arc::new(b.finish()),
            Builder::Float64(b) => Arc::new(b.finish()),
            Builder::Decimal { values, precision, scale } => {
                Arc::new(values.finish().with_data_type(DataType::Decimal128(*precision, *scale)))
            }
            Builder::Text(b) => Arc::new(b.finish()),
            Builder::Binary(b) => Arc::new(b.finish()),
            Builder::Date(b) => Arc::new(b.finish()),
            Builder::Timestamp(b) => Arc::new(b.finish().with_data_type(target)),
            Builder::Nested(b) => {
                let texts = std::mem::take(b);
                let len = texts.len();
                decode_nested(&texts, &self.ty.native).unwrap_or_else(|| new_null_array(&target, len))
            }
        }
    }
}

fn parse_boolean(text: &str) -> Option<bool> {
    let is = |options: &[&str]| options.iter().any(|option| text.eq_ignore_ascii_case(option));
    if is(&["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else if is(&["false", "f", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// `12`, `+12`, `12.0`, `1.2e1`: any way to write a whole number.
fn parse_integer(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| Exact::parse(text)?.at_scale(0)?.try_into().ok())
}

fn parse_float(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    // "1e999" reads as infinity; only a text that says so may be it.
    let spelled = text.bytes().any(|b| matches!(b, b'n' | b'N'));
    (value.is_finite() || spelled).then_some(value)
}

pub fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let value = Exact::parse(text)?.at_scale(scale.into())?;
    (value.unsigned_abs() < 10u128.checked_pow(precision.into())?).then_some(value)
}

fn parse_time(text: &str) -> Option<String> {
    ["%H:%M:%S%.f", "%H:%M"].iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok())?;
    Some(text.to_owned())
}

/// Base64, or PostgreSQL's `\x` hexadecimal.
fn parse_binary(text: &str) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        if digits.len() % 2 != 0 || !digits.is_ascii() {
            return None;
        }
        return (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect();
    }
    crate::write::format::decode_base64(text)
}

const EPOCH: NaiveDate = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a date");

pub fn parse_date(text: &str, format: Option<&str>) -> Option<i32> {
    let date = match format {
        Some(format) => NaiveDate::parse_from_str(text, format).ok()?,
        None => {
            // chrono takes `2024-1-2` as well; ISO 8601 does not.
            let bytes = text.as_bytes();
            if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
                return None;
            }
            NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?
        }
    };
    i32::try_from(date.signed_duration_since(EPOCH).num_days()).ok()
}

fn parse_local(text: &str, format: Option<&str>) -> Option<NaiveDateTime> {
    match format {
        Some(format) => NaiveDateTime::parse_from_str(text, format)
            .ok()
            .or_else(|| NaiveDate::parse_from_str(text, format).ok()?.and_hms_opt(0, 0, 0)),
        None => ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()),
    }
}

pub fn parse_timestamp(text: &str, format: Option<&str>, zone: Option<FixedOffset>) -> Option<i64> {
    let with_offset: Option<DateTime<FixedOffset>> = match format {
        Some(format) => DateTime::parse_from_str(text, format).ok(),
        None => DateTime::parse_from_rfc3339(text).ok().or_else(|| {
            ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z"]
                .iter()
                .find_map(|format| DateTime::parse_from_str(text, format).ok())
        }),
    };
    if let Some(moment) = with_offset {
        return micros(moment.naive_utc());
    }
    let local = parse_local(text, format)?;
    micros(zone?.from_local_datetime(&local).single()?.naive_utc())
}

/// Microseconds since 1970; `None` when nanoseconds would be lost.
fn micros(moment: NaiveDateTime) -> Option<i64> {
    if !moment.nanosecond().is_multiple_of(1000) {
        return None;
    }
    Some(moment.and_utc().timestamp_micros())
}

/// JSON texts as a list or struct column.
fn decode_nested(texts: &[Option<String>], ty: &ColumnType) -> Option<ArrayRef> {
    let schema = Arc::new(Schema::new(vec![ArrowField::new("v", arrow_type(ty), true)]));
    let mut decoder =
        arrow::json::ReaderBuilder::new(schema).with_batch_size(texts.len().max(1)).build_decoder().ok()?;
    for text in texts {
        let line = match text {
            Some(text) => format!("{{\"v\":{text}}}\n"),
            None => "{\"v\":null}\n".to_owned(),
        };
        if decoder.decode(line.as_bytes()).ok()? != line.len() {
            return None;
        }
    }
    let batch = decoder.flush().ok()??;
    (batch.num_rows() == texts.len()).then(|| Arc::clone(batch.column(0)))
}

/// Reads a whole text column as another type, telling which rows did not fit.
pub fn parse_column(texts: &StringArray, ty: &TextType) -> (ArrayRef, Vec<usize>) {
    let mut column = TextColumn::new(ty);
    let mut unfit = Vec::new();
    for (row, text) in texts.iter().enumerate() {
        match text {
            None => column.append_null(),
            Some(text) => {
                if !column.append(text) {
                    unfit.push(row);
                }
            }
        }
    }
    (column.finish(), unfit)
}

#[cfg(test)]
mod tests {
    use arrow::util::display::array_value_to_string;

    use super::*;

    /// The text of the parsed value; `None` when it does not fit.
    fn read(ty: &TextType, text: &str) -> Option<String> {
        let mut column = TextColumn::new(ty);
        let fits = column.append(text);
        let array = column.finish();
        assert_eq!(array.data_type(), &ty.arrow());
        assert_eq!(fits, !array.is_null(0));
        fits.then(|| array_value_to_string(&array, 0).expect("displays"))
    }

    fn check(native: ColumnType, cases: &[(&str, Option<&str>)]) {
        for (text, expected) in cases {
            assert_eq!(read(&TextType::plain(native.clone()), text).as_deref(), *expected, "{native}: {text:?}");
        }
    }

    #[test]
    fn integers_keep_to_their_width() {
        check(ColumnType::Int8, &[("127", Some("127")), ("128", None), ("-128", Some("-128")), ("-129", None)]);
        check(ColumnType::Int16, &[("32767", Some("32767")), ("32768", None)]);
        check(ColumnType::Int32, &[("2147483647", Some("2147483647")), ("2147483648", None)]);
        check(
            ColumnType::Int64,
            &[
                ("9223372036854775807", Some("9223372036854775807")),
                ("9223372036854775808", None),
                (" 12 ", Some("12")),
                ("+12", Some("12")),
                ("12.0", Some("12")),
                ("12.5", None),
                ("abc", None),
                ("", None),
                ("1_000", None),
            ],
        );
    }

    #[test]
    fn decimals_lose_nothing() {
        check(
            ColumnType::Decimal { precision: 5, scale: 2 },
            &[
                ("1.5", Some("1.50")),
                ("1.500", Some("1.50")),
                ("999.99", Some("999.99")),
                ("1000", None),
                ("1.555", None),
                ("-0.01", Some("-0.01")),
                ("-0.001", None),
                ("1e2", Some("100.00")),
                ("NaN", None),
            ],
        );
    }

    #[test]
    fn floats_and_booleans() {
        check(ColumnType::Float64, &[("1.5", Some("1.5")), ("NaN", Some("NaN")), ("1e999", None), ("1,5", None)]);
        check(ColumnType::Float32, &[("1e38", Some("1e38")), ("1e39", None)]);
        check(ColumnType::Boolean, &[("TRUE", Some("true")), ("0", Some("false")), ("maybe", None)]);
    }

    #[test]
    fn dates_and_times() {
        check(
            ColumnType::Date,
            &[("2024-02-29", Some("2024-02-29")), ("2023-02-29", None), ("2024-1-2", None), ("29.02.2024", None)],
        );
        check(
            ColumnType::Timestamp,
            &[
                ("2024-01-01T12:00:00Z", Some("2024-01-01T12:00:00Z")),
                ("2024-01-01 12:00:00+02:00", Some("2024-01-01T10:00:00Z")),
                ("2024-01-01T12:00:00.123456Z", Some("2024-01-01T12:00:00.123456Z")),
                ("2024-01-01T12:00:00.1234567Z", None),
                ("2024-01-01T12:00:00", None),
            ],
        );
        check(
            ColumnType::LocalTimestamp,
            &[("2024-01-01 12:00:00", Some("2024-01-01T12:00:00")), ("2024-01-01T12:00:00Z", None)],
        );
        let berlin = TextType { zone: parse_zone("+01:00"), ..TextType::plain(ColumnType::Timestamp) };
        assert_eq!(read(&berlin, "2024-01-01T12:00:00").as_deref(), Some("2024-01-01T11:00:00Z"));
        let german = TextType { format: Some("%d.%m.%Y".into()), ..TextType::plain(ColumnType::Date) };
        assert_eq!(read(&german, "29.02.2024").as_deref(), Some("2024-02-29"));
        let time = TextType { time_of_day: true, ..TextType::plain(ColumnType::Text) };
        assert_eq!(read(&time, "23:59:59").as_deref(), Some("23:59:59"));
        assert_eq!(read(&time, "24:00"), None);
    }

    #[test]
    fn nested_values_come_as_json() {
        check(
            ColumnType::List(Box::new(ColumnType::Int32)),
            &[("[1,2]", Some("[1, 2]")), ("[1,\"x\"]", None), ("1]", None)],
        );
        let point = ColumnType::Struct(vec![("x".into(), ColumnType::Int32)]);
        check(point, &[("{\"x\":1}", Some("{x: 1}")), ("7", None), ("{\"x\":1},\"y\":{}", None)]);
    }

    #[test]
    fn zones() {
        for (text, seconds) in [
            ("UTC", Some(0)),
            ("+02:00", Some(7200)),
            ("-0530", Some(-19800)),
            ("+2", Some(7200)),
            ("Europe/Berlin", None),
        ] {
            assert_eq!(parse_zone(text).map(|zone| zone.local_minus_utc()), seconds, "{text}");
        }
    }
}
