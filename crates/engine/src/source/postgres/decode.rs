//! PostgreSQL's binary formats as Arrow columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, ListArray, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, TimeUnit};
use meshwork_core::types::ColumnType;
use tokio_postgres::types::{FromSql, Kind, Type};

use crate::exact::Exact;

/// A value as it came.
pub struct Raw<'a>(pub Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }
    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }
    fn accepts(_: &Type) -> bool {
        true
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum PgType {
    Boolean,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric { precision: u8, scale: i8 },
    Text,
    Jsonb,
    Uuid,
    Date,
    Timestamp,
    TimestampTz,
    Time,
    Bytea,
    Array(Box<PgType>),
}

/// A `numeric` without precision, where the contract does not say better.
const NUMERIC: PgType = PgType::Numeric { precision: 38, scale: 10 };

impl PgType {
    /// `None` for types that we cannot read.
    pub fn of(ty: &Type, modifier: i32, wanted: Option<&ColumnType>) -> Option<Self> {
        Some(match *ty {
            Type::BOOL => Self::Boolean,
            Type::INT2 => Self::Int2,
            Type::INT4 => Self::Int4,
            Type::INT8 => Self::Int8,
            Type::OID => Self::Oid,
            Type::FLOAT4 => Self::Float4,
            Type::FLOAT8 => Self::Float8,
            Type::NUMERIC => numeric(modifier, wanted),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::CHAR | Type::NAME | Type::JSON | Type::XML => Self::Text,
            Type::JSONB => Self::Jsonb,
            Type::UUID => Self::Uuid,
            Type::DATE => Self::Date,
            Type::TIMESTAMP => Self::Timestamp,
            Type::TIMESTAMPTZ => Self::TimestampTz,
            Type::TIME => Self::Time,
            Type::BYTEA => Self::Bytea,
            _ => match ty.kind() {
                Kind::Enum(_) => Self::Text,
                Kind::Domain(base) => return Self::of(base, modifier, wanted),
                Kind::Array(item) => {
                    let wanted = match wanted {
                        Some(ColumnType::List(item)) => Some(item.as_ref()),
                        _ => None,
                    };
                    match Self::of(item, modifier, wanted)? {
                        // Arrays of arrays have one type in PostgreSQL, whatever their dimensions.
                        Self::Array(_) => return None,
                        item => Self::Array(Box::new(item)),
                    }
                }
                _ if ty.name() == "citext" => Self::Text,
                _ => return None,
            },
        })
    }

    pub fn arrow(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 | Self::Oid => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric { precision, scale } => DataType::Decimal128(*precision, *scale),
            Self::Text | Self::Jsonb | Self::Uuid | Self::Time => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Bytea => DataType::Binary,
            Self::Array(item) => DataType::List(Arc::new(Field::new("element", item.arrow(), true))),
        }
    }
}

fn numeric(modifier: i32, wanted: Option<&ColumnType>) -> PgType {
    if modifier >= 4 {
        let packed = modifier - 4;
        let precision = u8::try_from(packed >> 16 & 0xFFFF).ok().filter(|p| (1..=38).contains(p));
        // Eleven bits, signed: PostgreSQL 15 and later allow negative scales.
        let scale = i8::try_from(((packed & 0x7FF) ^ 1024) - 1024).ok();
        if let (Some(precision), Some(scale)) = (precision, scale)
            && (0..=precision.cast_signed()).contains(&scale)
        {
            return PgType::Numeric { precision, scale };
        }
    }
    match wanted {
        Some(ColumnType::Decimal { precision, scale }) => PgType::Numeric { precision: *precision, scale: *scale },
        _ => NUMERIC,
    }
}

/// Why a value could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It has no place in the column's type: a null was appended instead.
    Value,
    /// Not the format that the protocol promises.
    Format,
}

pub enum Column {
    Boolean(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Oid(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Numeric { values: Decimal128Builder, precision: u8, scale: i8 },
    Text(StringBuilder),
    Jsonb(StringBuilder),
    Uuid(StringBuilder),
    Time(StringBuilder),
    Date(Date32Builder),
    Moment { values: TimestampMicrosecondBuilder, ty: DataType },
    Bytea(BinaryBuilder),
    Array { items: Box<Column>, item: DataType, ends: Vec<i32>, valid: Vec<bool>, len: i32 },
}

/// Days and microseconds from 1970 to 2000, where PostgreSQL starts counting.
const DAYS: i32 = 10_957;
const MICROS: i64 = 946_684_800_000_000;

impl Column {
    pub fn new(ty: &PgType) -> Self {
        match ty {
            PgType::Boolean => Self::Boolean(BooleanBuilder::new()),
            PgType::Int2 => Self::Int2(Int16Builder::new()),
            PgType::Int4 => Self::Int4(Int32Builder::new()),
            PgType::Int8 => Self::Int8(Int64Builder::new()),
            PgType::Oid => Self::Oid(Int64Builder::new()),
            PgType::Float4 => Self::Float4(Float32Builder::new()),
            PgType::Float8 => Self::Float8(Float64Builder::new()),
            PgType::Numeric { precision, scale } => {
                Self::Numeric { values: Decimal128Builder::new(), precision: *precision, scale: *scale }
            }
            PgType::Text => Self::Text(StringBuilder::new()),
            PgType::Jsonb => Self::Jsonb(StringBuilder::new()),
            PgType::Uuid => Self::Uuid(StringBuilder::new()),
            PgType::Time => Self::Time(StringBuilder::new()),
            PgType::Date => Self::Date(Date32Builder::new()),
            PgType::Timestamp | PgType::TimestampTz => {
                Self::Moment { values: TimestampMicrosecondBuilder::new(), ty: ty.arrow() }
            }
            PgType::Bytea => Self::Bytea(BinaryBuilder::new()),
            PgType::Array(item) => Self::Array {
                items: Box::new(Self::new(item)),
                item: item.arrow(),
                ends: vec![0],
                valid: Vec::new(),
                len: 0,
            },
        }
    }

    pub fn append(&mut self, value: Option<&[u8]>) -> Result<(), Misfit> {
        let Some(raw) = value else {
            self.append_null();
            return Ok(());
        };
        match self {
            Self::Boolean(b) => b.append_value(fixed::<1>(raw)? != [0]),
            Self::Int2(b) => b.append_value(i16::from_be_bytes(fixed(raw)?)),
            Self::Int4(b) => b.append_value(i32::from_be_bytes(fixed(raw)?)),
            Self::Int8(b) => b.append_value(i64::from_be_bytes(fixed(raw)?)),
            Self::Oid(b) => b.append_value(u32::from_be_bytes(fixed(raw)?).into()),
            Self::Float4(b) => b.append_value(f32::from_be_bytes(fixed(raw)?)),
            Self::Float8(b) => b.append_value(f64::from_be_bytes(fixed(raw)?)),
            Self::Numeric { values, precision, scale } => match decimal(raw, *precision, *scale)? {
                Some(value) => values.append_value(value),
                None => {
                    values.append_null();
                    return Err(Misfit::Value);
                }
            },
            Self::Text(b) => b.append_value(std::str::from_utf8(raw).map_err(|_| Misfit::Format)?),
            Self::Jsonb(b) => {
                // A version number, then the text.
                let (1, text) = raw.split_first().map(|(v, t)| (*v, t)).ok_or(Misfit::Format)? else {
                    return Err(Misfit::Format);
                };
                b.append_value(std::str::from_utf8(text).map_err(|_| Misfit::Format)?);
            }
            Self::Uuid(b) => b.append_value(uuid::Uuid::from_bytes(fixed(raw)?).to_string()),
            Self::Time(b) => b.append_value(time(i64::from_be_bytes(fixed(raw)?)).ok_or(Misfit::Format)?),
            Self::Date(b) => {
                let days = i32::from_be_bytes(fixed(raw)?);
                // The two ends stand for infinity.
                let date = if days == i32::MAX || days == i32::MIN { None } else { days.checked_add(DAYS) };
                b.append_option(date);
                return date.map(|_| ()).ok_or(Misfit::Value);
            }
            Self::Moment { values, .. } => {
                let micros = i64::from_be_bytes(fixed(raw)?);
                let moment = if micros == i64::MAX || micros == i64::MIN { None } else { micros.checked_add(MICROS) };
                values.append_option(moment);
                return moment.map(|_| ()).ok_or(Misfit::Value);
            }
            Self::Bytea(b) => b.append_value(raw),
            Self::Array { items, ends, valid, len, .. } => {
                let fits = array(raw, items, len);
                ends.push(*len);
                valid.push(true);
                return fits;
            }
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Boolean(b) => b.append_null(),
            Self::Int2(b) => b.append_null(),
            Self::Int4(b) => b.append_null(),
            Self::Int8(b) | Self::Oid(b) => b.append_null(),
            Self::Float4(b) => b.append_null(),
            Self::Float8(b) => b.append_null(),
            Self::Numeric { values, .. } => values.append_null(),
            Self::Text(b) | Self::Jsonb(b) | Self::Uuid(b) | Self::Time(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Moment { values, .. } => values.append_null(),
            Self::Bytea(b) => b.append_null(),
            Self::Array { ends, valid, len, .. } => {
                ends.push(*len);
                valid.push(false);
            }
        }
    }

    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(b) => Arc::new(b.finish()),
            Self::Int2(b) => Arc::new(b.finish()),
            Self::Int4(b) => Arc::new(b.finish()),
            Self::Int8(b) | Self::Oid(b) => Arc::new(b.finish()),
            Self::Float4(b) => Arc::new(b.finish()),
            Self::Float8(b) => Arc::new(b.finish()),
            Self::Numeric { values, precision, scale } => {
                Arc::new(values.finish().with_data_type(DataType::Decimal128(*precision, *scale)))
            }
            Self::Text(b) | Self::Jsonb(b) | Self::Uuid(b) | Self::Time(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Moment { values, ty } => Arc::new(values.finish().with_data_type(ty.clone())),
            Self::Bytea(b) => Arc::new(b.finish()),
            Self::Array { items, item, ends, valid, len } => {
                let field = Arc::new(Field::new("element", item.clone(), true));
                let offsets = OffsetBuffer::new(std::mem::replace(ends, vec![0]).into());
                let nulls = NullBuffer::from(std::mem::take(valid));
                *len = 0;
                Arc::new(ListArray::new(field, offsets, items.finish(), Some(nulls)))
            }
        }
    }
}

fn fixed<const N: usize>(raw: &[u8]) -> Result<[u8; N], Misfit> {
    raw.try_into().map_err(|_| Misfit::Format)
}

/// Microseconds since midnight as ISO text.
fn time(micros: i64) -> Option<String> {
    // PostgreSQL has 24:00:00, which ISO 8601 does not.
    let micros = u64::try_from(micros).ok().filter(|m| *m < 86_400_000_000)?;
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(if fraction == 0 { text } else { format!("{text}.{fraction:06}") })
}

/// Header of four 16-bit numbers (digits, weight, sign, shown scale), then digits of base 10,000.
fn decimal(raw: &[u8], precision: u8, scale: i8) -> Result<Option<i128>, Misfit> {
    let mut words = raw.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]));
    let mut next = || words.next().ok_or(Misfit::Format);
    let (digits, weight, sign, _) = (next()?, next()?, next()?.cast_unsigned(), next()?);
    if sign != 0 && sign != 0x4000 {
        // NaN and the infinities.
        return Ok(None);
    }
    let mut mantissa: i128 = 0;
    for _ in 0..digits {
        let digit = next()?;
        let Some(more) = mantissa.checked_mul(10_000).and_then(|m| m.checked_add(i128::from(digit))) else {
            return Ok(None);
        };
        mantissa = more;
    }
    let places = 4 * (i32::from(digits) - 1 - i32::from(weight));
    let exact = Exact::new(if sign == 0 { mantissa } else { -mantissa }, places);
    let limit = 10u128.pow(precision.min(38).into());
    Ok(exact.at_scale(scale.into()).filter(|value| value.unsigned_abs() < limit))
}

/// Dimensions, flags, item type, then length and lower bound of each dimension, then items with their lengths.
fn array(raw: &[u8], items: &mut Column, len: &mut i32) -> Result<(), Misfit> {
    let mut rest = raw;
    let mut word = || -> Result<i32, Misfit> {
        let (head, tail) = rest.split_first_chunk::<4>().ok_or(Misfit::Format)?;
        rest = tail;
        Ok(i32::from_be_bytes(*head))
    };
    let dimensions = word()?;
    let (_, _) = (word()?, word()?);
    let count = match dimensions {
        0 => 0,
        1 => {
            let count = word()?;
            word()?;
            count
        }
        _ => return Err(Misfit::Value),
    };
    let mut fits = Ok(());
    for _ in 0..count {
        let (head, tail) = rest.split_first_chunk::<4>().ok_or(Misfit::Format)?;
        let size = i32::from_be_bytes(*head);
        rest = tail;
        let item = match usize::try_from(size) {
            Ok(size) => {
                let (item, tail) = rest.split_at_checked(size).ok_or(Misfit::Format)?;
                rest = tail;
                Some(item)
            }
            Err(_) => None,
        };
        *len += 1;
        match items.append(item) {
            Err(Misfit::Format) => return Err(Misfit::Format),
            done => fits = fits.and(done),
        }
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(digits: &[i16], weight: i16, sign: u16) -> Vec<u8> {
        let mut raw = Vec::new();
        for word in [digits.len() as i16, weight, sign.cast_signed(), 0] {
            raw.extend(word.to_be_bytes());
        }
        for digit in digits {
            raw.extend(digit.to_be_bytes());
        }
        raw
    }

    #[test]
    fn numerics_are_exact() {
        for (digits, weight, sign, expected) in [
            (&[][..], 0, 0, Some(0)),
            (&[1][..], 0, 0, Some(100)),
            (&[12, 3400][..], 0, 0x4000, Some(-1234)),
            (&[1][..], 1, 0, Some(1_000_000)),
            (&[5000][..], -1, 0, Some(50)),
            (&[1][..], -1, 0, None),
            (&[][..], 0, 0xC000, None),
        ] {
            assert_eq!(decimal(&numeric(digits, weight, sign), 38, 2), Ok(expected), "{digits:?}");
        }
        assert_eq!(decimal(&numeric(&[100], 0, 0), 4, 2), Ok(None), "100.00 has five digits");
        assert_eq!(decimal(&[0, 1], 38, 2), Err(Misfit::Format));
    }

    #[test]
    fn times() {
        assert_eq!(time(0).as_deref(), Some("00:00:00"));
        assert_eq!(time(86_399_999_999).as_deref(), Some("23:59:59.999999"));
        assert_eq!(time(86_400_000_000), None);
    }
}
