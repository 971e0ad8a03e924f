//! Masks as a physical expression (D18). Every mask keeps the column's type and maps null to null.
//!
//! What each does, by type:
//!
//! | mask | text | bytes | integers | dates and timestamps | other |
//! |---|---|---|---|---|---|
//! | replace-with-null | null | null | null | null | null |
//! | mask-to-fixed-value | `XXXX` | empty | 0 | 1970-01-01 | 0, false |
//! | sha-256-global | SHA-256 in hex | SHA-256 | its first bytes | | |
//! | hmac-sha-256, sha-256-query-local | HMAC-SHA-256 in hex | HMAC | its first bytes | | |
//! | mask-alphanum | digits → `n`, other letters and digits → `x` | | | | |
//! | show-first-4, show-last-4 | the other characters → `x`/`n` as above | | | | |
//! | truncate-to-year, -month | | | | first instant of the year, month, in UTC | |
//!
//! Hashes of integers are over their decimal text, so that the same number hashes alike whatever its width, and take as
//! many leading bytes of the digest (big endian) as the type has. Text of four characters or fewer has nothing that a
//! show-mask could show without showing all of it, and is fully redacted.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanArray, PrimitiveArray, StringViewBuilder, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use chrono::{Datelike, NaiveDate};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use hmac::{Hmac, KeyInit, Mac};
use meshwork_control::port::data::ColumnMask;
use meshwork_core::mask::Mask;
use sha2::{Digest, Sha256};

/// `mask(input)`. Its text form names the mask and never the key.
pub struct MaskExpr {
    input: Arc<dyn PhysicalExpr>,
    mask: ColumnMask,
    data_type: DataType,
}

impl MaskExpr {
    /// `input` has the type `data_type`, one of those that readers see.
    pub fn new(input: Arc<dyn PhysicalExpr>, mask: ColumnMask, data_type: DataType) -> Self {
        Self { input, mask, data_type }
    }
}

impl fmt::Debug for MaskExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl fmt::Display for MaskExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mask({:?})", self.mask.mask)
    }
}
impl PartialEq for MaskExpr {
    fn eq(&self, other: &Self) -> bool {
        self.input.eq(&other.input) && self.mask.mask == other.mask.mask && self.mask.key == other.mask.key
    }
}
impl Eq for MaskExpr {}
impl Hash for MaskExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.mask.mask.hash(state);
    }
}

impl PhysicalExpr for MaskExpr {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.data_type.clone())
    }
    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }
    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("mask", self.data_type.clone(), true)))
    }
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let values = self.input.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(apply(&self.mask, &values, &self.data_type)?))
    }
    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.input]
    }
    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [input] = <[_; 1]>::try_from(children)
            .map_err(|_| datafusion::common::DataFusionError::Internal("a mask has one argument".to_owned()))?;
        Ok(Arc::new(Self { input, mask: self.mask.clone(), data_type: self.data_type.clone() }))
    }
    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The masked values, of the type `data_type`.
pub fn apply(mask: &ColumnMask, values: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let masked: ArrayRef = match mask.mask {
        Mask::ReplaceWithNull => return Ok(new_null_array(data_type, values.len())),
        Mask::MaskToFixedValue => fixed(values)?,
        Mask::Sha256Global => hashed(values, &Hasher256::Plain)?,
        Mask::HmacSha256 | Mask::Sha256QueryLocal => hashed(values, &Hasher256::keyed(&mask.key)?)?,
        Mask::MaskAlphanum => text(values, alphanum)?,
        Mask::ShowFirst4 => text(values, |v| show(v, End::First))?,
        Mask::ShowLast4 => text(values, |v| show(v, End::Last))?,
        Mask::TruncateToYear => truncated(values, |day| day.with_day(1).and_then(|d| d.with_month(1)))?,
        Mask::TruncateToMonth => truncated(values, |day| day.with_day(1))?,
    };
    if masked.data_type() == data_type { Ok(masked) } else { Ok(cast(&masked, data_type)?) }
}

fn text(values: &ArrayRef, mask: impl Fn(&str) -> String) -> Result<ArrayRef> {
    let (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) = values.data_type() else {
        return exec_err!("a text mask over {}", values.data_type());
    };
    let view = cast(values, &DataType::Utf8View)?;
    let mut out = StringViewBuilder::with_capacity(view.len());
    for value in view.as_string_view() {
        out.append_option(value.map(&mask));
    }
    Ok(Arc::new(out.finish()))
}

fn redact(c: char) -> char {
    match c {
        _ if c.is_numeric() => 'n',
        _ if c.is_alphanumeric() => 'x',
        _ => c,
    }
}

fn alphanum(value: &str) -> String {
    value.chars().map(redact).collect()
}

enum End {
    First,
    Last,
}

fn show(value: &str, end: End) -> String {
    let length = value.chars().count();
    let shown = |at: usize| match end {
        End::First => at < 4,
        End::Last => at + 4 >= length,
    };
    value.chars().enumerate().map(|(at, c)| if length > 4 && shown(at) { c } else { redact_fully(c, length) }).collect()
}

/// A value too short for a show-mask loses its punctuation too.
fn redact_fully(c: char, length: usize) -> char {
    if length <= 4 { 'x' } else { redact(c) }
}

enum Hasher256 {
    Plain,
    Keyed(Box<Hmac<Sha256>>),
}

impl Hasher256 {
    fn keyed(key: &[u8]) -> Result<Self> {
        if key.is_empty() {
            return exec_err!("a keyed mask without a key");
        }
        match Hmac::<Sha256>::new_from_slice(key) {
            Ok(mac) => Ok(Self::Keyed(Box::new(mac))),
            Err(_) => exec_err!("a keyed mask with a bad key"),
        }
    }

    fn digest(&self, value: &[u8]) -> [u8; 32] {
        match self {
            Self::Plain => Sha256::digest(value).into(),
            Self::Keyed(mac) => {
                let mut mac = (**mac).clone();
                mac.update(value);
                mac.finalize().into_bytes().into()
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn hashed(values: &ArrayRef, hasher: &Hasher256) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            return text(values, |value| hex(&hasher.digest(value.as_bytes())));
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let view = cast(values, &DataType::BinaryView)?;
            let mut out = BinaryViewBuilder::with_capacity(view.len());
            for value in view.as_binary_view() {
                out.append_option(value.map(|value| hasher.digest(value)));
            }
            Arc::new(out.finish())
        }
        DataType::Int64 => integers::<Int64Type>(values, |text| i64::from_be_bytes(leading(&hasher.digest(text)))),
        DataType::Int32 => integers::<Int32Type>(values, |text| i32::from_be_bytes(leading(&hasher.digest(text)))),
        DataType::Int16 => integers::<Int16Type>(values, |text| i16::from_be_bytes(leading(&hasher.digest(text)))),
        DataType::Int8 => integers::<Int8Type>(values, |text| i8::from_be_bytes(leading(&hasher.digest(text)))),
        other => return exec_err!("a hash mask over {other}"),
    })
}

fn leading<const N: usize>(digest: &[u8; 32]) -> [u8; N] {
    std::array::from_fn(|at| digest[at])
}

fn integers<T: ArrowPrimitiveType>(values: &ArrayRef, mask: impl Fn(&[u8]) -> T::Native) -> ArrayRef
where
    T::Native: fmt::Display,
{
    let masked: PrimitiveArray<T> = values.as_primitive::<T>().unary(|value| mask(value.to_string().as_bytes()));
    Arc::new(masked)
}

fn constant<T: ArrowPrimitiveType>(values: &ArrayRef) -> ArrayRef
where
    T::Native: Default,
{
    let masked: PrimitiveArray<T> = values.as_primitive::<T>().unary(|_| T::Native::default());
    Arc::new(masked.with_data_type(values.data_type().clone()))
}

fn fixed(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => return text(values, |_| "XXXX".to_owned()),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let view = cast(values, &DataType::BinaryView)?;
            let mut out = BinaryViewBuilder::with_capacity(view.len());
            for value in view.as_binary_view() {
                out.append_option(value.map(|_| b""));
            }
            Arc::new(out.finish())
        }
        DataType::Boolean => {
            Arc::new(values.as_boolean().iter().map(|value| value.map(|_| false)).collect::<BooleanArray>())
        }
        DataType::Int8 => constant::<Int8Type>(values),
        DataType::Int16 => constant::<Int16Type>(values),
        DataType::Int32 => constant::<Int32Type>(values),
        DataType::Int64 => constant::<Int64Type>(values),
        DataType::Float32 => constant::<Float32Type>(values),
        DataType::Float64 => constant::<Float64Type>(values),
        DataType::Decimal128(..) => constant::<Decimal128Type>(values),
        DataType::Date32 => constant::<Date32Type>(values),
        DataType::Timestamp(TimeUnit::Microsecond, _) => constant::<TimestampMicrosecondType>(values),
        other => return exec_err!("a fixed mask over {other}"),
    })
}

/// Cuts in UTC. A value outside the calendar becomes null rather than showing itself.
fn truncated(values: &ArrayRef, cut: impl Fn(NaiveDate) -> Option<NaiveDate>) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Date32 => {
            let masked: PrimitiveArray<Date32Type> = values
                .as_primitive::<Date32Type>()
                .unary_opt(|days| Date32Type::to_naive_date_opt(days).and_then(&cut).map(Date32Type::from_naive_date));
            Arc::new(masked)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let masked: PrimitiveArray<TimestampMicrosecondType> =
                values.as_primitive::<TimestampMicrosecondType>().unary_opt(|micros| {
                    let day = chrono::DateTime::from_timestamp_micros(micros)?.date_naive();
                    Some(cut(day)?.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
                });
            Arc::new(masked.with_data_type(values.data_type().clone()))
        }
        other => return exec_err!("a date mask over {other}"),
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Int32Array, Int64Array, StringArray};
    use arrow::util::display::array_value_to_string;

    use super::*;

    fn masked(mask: Mask, values: impl Array + 'static) -> Vec<String> {
        let values: ArrayRef = Arc::new(values);
        let mask = ColumnMask { mask, key: b"key".to_vec() };
        let out = apply(&mask, &values, values.data_type()).unwrap();
        assert_eq!(out.data_type(), values.data_type());
        (0..out.len()).map(|at| array_value_to_string(&out, at).unwrap()).collect()
    }

    #[test]
    fn show_masks_keep_four_characters_and_redact_short_values() {
        let values = || StringArray::from(vec![Some("123-45-6789"), Some("abcd"), Some("a-b1c"), None, Some("")]);
        assert_eq!(masked(Mask::ShowLast4, values()), ["nnn-nn-6789", "xxxx", "x-b1c", "", ""]);
        assert_eq!(masked(Mask::ShowFirst4, values()), ["123-nn-nnnn", "xxxx", "a-b1x", "", ""]);
        assert_eq!(masked(Mask::MaskAlphanum, values()), ["nnn-nn-nnnn", "xxxx", "x-xnx", "", ""]);
    }

    #[test]
    fn hashes_keep_the_type_and_equal_values_stay_equal() {
        assert_eq!(
            masked(Mask::Sha256Global, StringArray::from(vec!["abc"])),
            ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]
        );
        let numbers = masked(Mask::HmacSha256, Int64Array::from(vec![Some(7), Some(7), Some(8), None]));
        assert_eq!(numbers[0], numbers[1]);
        assert_ne!(numbers[0], numbers[2]);
        assert_eq!(numbers[3], "");
        assert_ne!(numbers[0], "7");
        assert_ne!(
            masked(Mask::HmacSha256, StringArray::from(vec!["abc"])),
            masked(Mask::Sha256Global, StringArray::from(vec!["abc"]))
        );
    }

    #[test]
    fn dates_are_cut_in_utc() {
        // 2024-07-19 is day 19923.
        let days = || Date32Array::from(vec![Some(19923), None]);
        assert_eq!(masked(Mask::TruncateToYear, days()), ["2024-01-01", ""]);
        assert_eq!(masked(Mask::TruncateToMonth, days()), ["2024-07-01", ""]);
        // The last day of a long month, so that no step goes through 31 February.
        assert_eq!(masked(Mask::TruncateToYear, Date32Array::from(vec![19813])), ["2024-01-01"]);
    }

    #[test]
    fn null_and_fixed_values_say_nothing() {
        assert_eq!(masked(Mask::ReplaceWithNull, Int32Array::from(vec![1, 2])), ["", ""]);
        assert_eq!(masked(Mask::MaskToFixedValue, Int32Array::from(vec![Some(1), None])), ["0", ""]);
    }

    #[test]
    fn a_keyed_mask_without_a_key_is_refused() {
        let values: ArrayRef = Arc::new(StringArray::from(vec!["abc"]));
        let mask = ColumnMask { mask: Mask::HmacSha256, key: Vec::new() };
        assert!(apply(&mask, &values, &DataType::Utf8).is_err());
    }
}
