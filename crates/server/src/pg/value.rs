//! Parameters of the extended protocol as one-row Arrow arrays of the type that the planner inferred.

mod array;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array,
    Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow_pg::datatypes::into_pg_type;
use bytes::Bytes;
use pgwire::api::Type;
use pgwire::error::{PgWireError, PgWireResult};
use postgres_types::Kind;

use super::error::plain;

/// The type that a parameter has for the client: what the client said, else what the planner inferred, else text.
pub fn parameter_type(declared: Option<&Type>, inferred: Option<&DataType>) -> Type {
    match declared {
        Some(declared) if *declared != Type::UNKNOWN => declared.clone(),
        _ => inferred.and_then(|ty| into_pg_type(ty).ok()).filter(|ty| *ty != Type::UNKNOWN).unwrap_or(Type::TEXT),
    }
}

/// The Arrow type of a parameter that the client declares. Text is what a driver says of everything that it sends as text,
/// so it tells nothing.
pub fn declared_type(declared: &Type) -> Option<DataType> {
    let item = |ty| DataType::List(Arc::new(Field::new("item", ty, true)));
    Some(match *declared {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::NUMERIC => DataType::Decimal128(38, 10),
        Type::DATE => DataType::Date32,
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::BYTEA => DataType::Binary,
        _ => match declared.kind() {
            Kind::Array(of) => item(declared_type(of).unwrap_or(DataType::Utf8)),
            _ => return None,
        },
    })
}

/// One value. `inferred` is what the plan needs; a value of another type is cast, and one that does not fit is an error.
pub fn decode(
    value: Option<&Bytes>,
    ty: &Type,
    binary: bool,
    inferred: Option<&DataType>,
    at: usize,
) -> PgWireResult<ArrayRef> {
    let wanted = inferred.cloned().unwrap_or(DataType::Utf8);
    let Some(bytes) = value else {
        return Ok(new_null_array(&wanted, 1));
    };
    let array = match ty.kind() {
        Kind::Array(of) => array::decode(bytes, of, binary),
        _ if binary => from_binary(bytes, ty),
        _ => from_text(bytes, ty),
    };
    let array = array.ok_or_else(|| invalid(ty, at))?;
    if *array.data_type() == wanted {
        return Ok(array);
    }
    cast_with_options(&array, &wanted, &CastOptions { safe: false, ..Default::default() }).map_err(|_| invalid(ty, at))
}

fn invalid(ty: &Type, at: usize) -> PgWireError {
    plain("22P02", format!("parameter ${} is not a valid value of type {}", at + 1, ty.name()))
}

/// Text values go to Arrow as text; its cast does the rest. The ones that PostgreSQL spells differently are read here.
fn from_text(bytes: &Bytes, ty: &Type) -> Option<ArrayRef> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(match *ty {
        Type::BOOL => {
            let value = match text.trim().to_ascii_lowercase().as_str() {
                "t" | "true" | "y" | "yes" | "on" | "1" => true,
                "f" | "false" | "n" | "no" | "off" | "0" => false,
                _ => return None,
            };
            Arc::new(BooleanArray::from(vec![value]))
        }
        // A driver sends its zone along; a type without one ignores it, as PostgreSQL does.
        Type::DATE | Type::TIMESTAMP => Arc::new(StringArray::from(vec![without_zone(text, *ty == Type::DATE)])),
        Type::BYTEA => {
            let hex = text.strip_prefix("\\x")?;
            let decoded = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(hex.get(i..i + 2)?, 16).ok());
            let decoded: Option<Vec<u8>> = decoded.collect();
            Arc::new(BinaryArray::from_vec(vec![decoded?.as_slice()]))
        }
        _ => Arc::new(StringArray::from(vec![text])),
    })
}

/// `2026-01-31 10:00:00+02` → `2026-01-31 10:00:00`; of a date, its day.
fn without_zone(text: &str, day: bool) -> &str {
    let text = text.trim();
    let end = if day { text.find([' ', 'T']) } else { None };
    let zone = text.get(10..).and_then(|rest| rest.find(['+', '-', 'Z'])).map(|at| at + 10);
    let text = end.or(zone).and_then(|end| text.get(..end)).unwrap_or(text);
    text.trim_end()
}

fn from_binary(bytes: &Bytes, ty: &Type) -> Option<ArrayRef> {
    // PostgreSQL counts from 2000-01-01.
    const DAYS: i32 = 10_957;
    const MICROS: i64 = DAYS as i64 * 86_400_000_000;
    let int64 = || Some(i64::from_be_bytes(bytes.as_ref().try_into().ok()?));
    let int32 = || Some(i32::from_be_bytes(bytes.as_ref().try_into().ok()?));
    Some(match *ty {
        Type::BOOL => Arc::new(BooleanArray::from(vec![*bytes.first()? != 0])),
        Type::INT2 => Arc::new(Int16Array::from(vec![i16::from_be_bytes(bytes.as_ref().try_into().ok()?)])),
        Type::INT4 => Arc::new(Int32Array::from(vec![int32()?])),
        Type::INT8 => Arc::new(Int64Array::from(vec![int64()?])),
        Type::FLOAT4 => Arc::new(Float32Array::from(vec![f32::from_be_bytes(bytes.as_ref().try_into().ok()?)])),
        Type::FLOAT8 => Arc::new(Float64Array::from(vec![f64::from_be_bytes(bytes.as_ref().try_into().ok()?)])),
        Type::DATE => Arc::new(Date32Array::from(vec![int32()?.checked_add(DAYS)?])),
        Type::TIMESTAMP => Arc::new(TimestampMicrosecondArray::from(vec![int64()?.checked_add(MICROS)?])),
        Type::TIMESTAMPTZ => {
            Arc::new(TimestampMicrosecondArray::from(vec![int64()?.checked_add(MICROS)?]).with_timezone("UTC"))
        }
        Type::NUMERIC => numeric(bytes)?,
        Type::BYTEA => Arc::new(BinaryArray::from_vec(vec![bytes.as_ref()])),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON => {
            Arc::new(StringArray::from(vec![std::str::from_utf8(bytes).ok()?]))
        }
        Type::UUID => {
            let id = uuid::Uuid::from_slice(bytes).ok()?;
            Arc::new(StringArray::from(vec![id.to_string()]))
        }
        _ => return None,
    })
}

/// `numeric` on the wire: base-10,000 digits, weight of the first, sign, display scale. NaN and infinities have no
/// decimal value and are refused.
fn numeric(bytes: &[u8]) -> Option<ArrayRef> {
    let word = |at: usize| Some(i16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let (count, weight, sign, scale) = (word(0)?, word(2)?, word(4)? as u16, word(6)?);
    if !matches!(sign, 0 | 0x4000) || !(0..=37).contains(&scale) {
        return None;
    }
    let scale = i32::from(scale);
    let mut value: i128 = 0;
    for at in 0..count {
        let digit = i128::from(word(8 + 2 * usize::try_from(at).ok()?)?);
        // The digit stands for digit · 10^(4·(weight - at)); we count in units of 10^-scale.
        let exponent = 4 * (i32::from(weight) - i32::from(at)) + scale;
        let part = if exponent >= 0 {
            digit.checked_mul(10i128.checked_pow(exponent.unsigned_abs())?)?
        } else {
            digit / 10i128.checked_pow(exponent.unsigned_abs())?
        };
        value = value.checked_add(part)?;
    }
    let value = if sign == 0 { value } else { -value };
    let array = Decimal128Array::from(vec![value]).with_precision_and_scale(38, i8::try_from(scale).ok()?).ok()?;
    Some(Arc::new(array))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Decimal128Type, Int64Type};

    use super::*;

    fn bytes(data: &[u8]) -> Bytes {
        Bytes::copy_from_slice(data)
    }

    #[test]
    fn values_take_the_type_that_the_plan_needs() {
        let narrow = decode(Some(&bytes(&7i32.to_be_bytes())), &Type::INT4, true, Some(&DataType::Int64), 0).unwrap();
        assert_eq!(narrow.as_primitive::<Int64Type>().value(0), 7);
        let text = decode(Some(&bytes(b"42")), &Type::TEXT, false, Some(&DataType::Int64), 0).unwrap();
        assert_eq!(text.as_primitive::<Int64Type>().value(0), 42);
        let null = decode(None, &Type::TEXT, false, Some(&DataType::Int64), 0).unwrap();
        assert!(null.is_null(0));
        assert!(decode(Some(&bytes(b"4x")), &Type::TEXT, false, Some(&DataType::Int64), 0).is_err());
    }

    #[test]
    fn a_binary_numeric_keeps_its_digits() {
        // 1234.5600: digits 1234, 5600; weight 0; scale 4
        let wire = [0, 2, 0, 0, 0, 0, 0, 4, 0x04, 0xD2, 0x15, 0xE0];
        let array = decode(Some(&bytes(&wire)), &Type::NUMERIC, true, Some(&DataType::Decimal128(10, 2)), 0).unwrap();
        assert_eq!(array.as_primitive::<Decimal128Type>().value(0), 123_456);
        let nan = [0, 0, 0, 0, 0xC0, 0, 0, 0];
        assert!(decode(Some(&bytes(&nan)), &Type::NUMERIC, true, None, 0).is_err());
    }

    #[test]
    fn dates_count_from_1970() {
        let array = decode(Some(&bytes(&0i32.to_be_bytes())), &Type::DATE, true, Some(&DataType::Date32), 0).unwrap();
        assert_eq!(array.as_primitive::<arrow::datatypes::Date32Type>().value(0), 10_957);
    }
}
