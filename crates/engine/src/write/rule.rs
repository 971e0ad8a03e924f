//! Row-local rules on native values, one column at a time, vectorised.
//!
//! Numbers are compared exactly: a bound is brought to the scale of the column, never the column to a binary float.
//! Nulls pass everything but `required`. NaN passes no range.

mod pattern;

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, PrimitiveArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::aggregate::{max, min};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use meshwork_core::contract::Field;
use meshwork_core::quality::{Metric, Rule};
use meshwork_core::types::Literal;
use pattern::Pattern;

use super::format::Format;
use crate::exact::Exact;
use crate::source::text::{TextType, parse_date, parse_timestamp, parse_zone};

/// A test of single values. `failing` says which rows do not pass.
#[derive(Debug)]
pub enum Test {
    NotNull,
    OneOf(Values),
    NoneOf {
        values: Values,
        null: bool,
    },
    Range(Range),
    Pattern(Pattern),
    Length {
        min: u64,
        max: u64,
    },
    MultipleOf(Exact),
    Format(Format),
    /// Outside the valid values, or not matching the pattern.
    Valid {
        values: Option<Values>,
        pattern: Option<Pattern>,
    },
}

/// Why a rule cannot be tested on a column: answered as an error, which blocks.
pub type Untestable = String;

/// The test and column behind a row-local rule (all but `type`, which conversion answers) or a metric that counts rows.
/// `None`: not of this kind.
pub fn compile<'r>(rule: &'r Rule, fields: &[Field]) -> Option<Result<(&'r str, Test), Untestable>> {
    let field = |column: &str| {
        fields.iter().find(|f| f.name == column).ok_or_else(|| format!("the table has no column `{column}`"))
    };
    let test = match rule {
        Rule::Required { column } => field(column).map(|_| (column.as_str(), Test::NotNull)),
        Rule::Enum { column, values } => {
            field(column).and_then(|f| Ok((column.as_str(), Test::OneOf(Values::of(values, f)?))))
        }
        Rule::Range { column, min, max, exclusive_min, exclusive_max } => field(column).and_then(|f| {
            let range = Range::of(min.as_ref(), max.as_ref(), *exclusive_min, *exclusive_max, f)?;
            Ok((column.as_str(), Test::Range(range)))
        }),
        Rule::Pattern { column, pattern } => {
            field(column).and_then(|_| Ok((column.as_str(), Test::Pattern(Pattern::new(pattern)?))))
        }
        Rule::Length { column, min, max } => field(column)
            .map(|_| (column.as_str(), Test::Length { min: min.unwrap_or(0), max: max.unwrap_or(u64::MAX) })),
        Rule::MultipleOf { column, factor } => {
            field(column).and_then(|_| exact(factor).map(|factor| (column.as_str(), Test::MultipleOf(factor))))
        }
        Rule::Format { column, format } => field(column).and_then(|_| {
            let known = Format::named(format).ok_or_else(|| format!("there is no format `{format}`"))?;
            Ok((column.as_str(), Test::Format(known)))
        }),
        Rule::Metric { metric: Metric::NullValues { column }, .. } => {
            field(column).map(|_| (column.as_str(), Test::NotNull))
        }
        Rule::Metric { metric: Metric::MissingValues { column, missing }, .. } => field(column).and_then(|f| {
            let literals: Vec<Literal> = missing.iter().flatten().cloned().collect();
            let test = Test::NoneOf { values: Values::of(&literals, f)?, null: missing.iter().any(Option::is_none) };
            Ok((column.as_str(), test))
        }),
        Rule::Metric { metric: Metric::InvalidValues { column, valid, pattern }, .. } => field(column).and_then(|f| {
            let values = if valid.is_empty() { None } else { Some(Values::of(valid, f)?) };
            let pattern = pattern.as_deref().map(Pattern::new).transpose()?;
            Ok((column.as_str(), Test::Valid { values, pattern }))
        }),
        Rule::Type { .. }
        | Rule::Unique { .. }
        | Rule::References { .. }
        | Rule::Metric { metric: Metric::RowCount | Metric::DuplicateValues { .. }, .. }
        | Rule::Sql { .. }
        | Rule::NotEvaluated { .. } => return None,
    };
    Some(test)
}

fn exact(literal: &Literal) -> Result<Exact, Untestable> {
    Exact::parse(&literal.to_string()).ok_or_else(|| format!("`{literal}` is not a number"))
}

/// A set of literals, ready for columns of any type that they can meet.
#[derive(Debug)]
pub struct Values {
    texts: HashSet<String>,
    numbers: Vec<Exact>,
    booleans: Vec<bool>,
    /// Dates and timestamps in the column's unit.
    moments: Vec<i64>,
}

impl Values {
    fn of(literals: &[Literal], field: &Field) -> Result<Self, Untestable> {
        let mut values = Self { texts: HashSet::new(), numbers: Vec::new(), booleans: Vec::new(), moments: Vec::new() };
        let ty = TextType::of(field);
        for literal in literals {
            values.texts.insert(literal.to_string());
            match literal {
                Literal::Boolean(value) => values.booleans.push(*value),
                Literal::Integer(_) | Literal::Number(_) => values.numbers.push(exact(literal)?),
                Literal::Text(text) => values.moments.extend(moment(text, &ty)),
            }
        }
        Ok(values)
    }

    /// For each row, whether its value is in the set; nulls are.
    fn contains(&self, array: &ArrayRef) -> Result<BooleanBuffer, Untestable> {
        Ok(match array.data_type() {
            DataType::Utf8 | DataType::Utf8View => texts(array, |text| self.texts.contains(text))?,
            DataType::Boolean => {
                let values = array.as_boolean();
                BooleanBuffer::collect_bool(array.len(), |row| {
                    values.is_null(row) || self.booleans.contains(&values.value(row))
                })
            }
            DataType::Float32 | DataType::Float64 => {
                let numbers: Vec<f64> = self.numbers.iter().map(|n| n.to_f64()).collect();
                // 0.1 in a real column is the real nearest to 0.1.
                let single = *array.data_type() == DataType::Float32;
                let same = |a: f64, b: f64| if single { a as f32 == b as f32 } else { a == b };
                floats(array, |value| numbers.iter().any(|n| same(value, *n)))?
            }
            DataType::Date32 => by_primitive::<Date32Type>(array, |v| self.moments.contains(&i64::from(v))),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                by_primitive::<TimestampMicrosecondType>(array, |v| self.moments.contains(&v))
            }
            _ => {
                let scale = scale(array)?;
                let set: HashSet<i128> = self.numbers.iter().filter_map(|n| n.at_scale(scale)).collect();
                integers(array, |value| set.contains(&value))?
            }
        })
    }
}

/// Inclusive bounds, in each way a column may need them.
#[derive(Debug)]
pub struct Range {
    min: Option<(Bound, bool)>,
    max: Option<(Bound, bool)>,
}

#[derive(Debug)]
enum Bound {
    Number(Exact),
    Moment(i64),
    Text(String),
}

impl Range {
    fn of(
        min: Option<&Literal>,
        max: Option<&Literal>,
        exclusive_min: bool,
        exclusive_max: bool,
        field: &Field,
    ) -> Result<Self, Untestable> {
        let ty = TextType::of(field);
        let bound = |literal: &Literal| -> Result<Bound, Untestable> {
            Ok(match literal {
                Literal::Integer(_) | Literal::Number(_) => Bound::Number(exact(literal)?),
                Literal::Text(text) => match moment(text, &ty) {
                    Some(moment) => Bound::Moment(moment),
                    None => Bound::Text(text.clone()),
                },
                Literal::Boolean(_) => return Err("a boolean is no bound".to_owned()),
            })
        };
        Ok(Self {
            min: min.map(bound).transpose()?.map(|b| (b, exclusive_min)),
            max: max.map(bound).transpose()?.map(|b| (b, exclusive_max)),
        })
    }

    fn contains(&self, array: &ArrayRef) -> Result<BooleanBuffer, Untestable> {
        match array.data_type() {
            DataType::Utf8 | DataType::Utf8View => {
                let text = |bound: &Option<(Bound, bool)>| match bound {
                    None => Ok(None),
                    Some((Bound::Text(text), exclusive)) => Ok(Some((text.clone(), *exclusive))),
                    Some(_) => Err("a text column has bounds of another type".to_owned()),
                };
                let (min, max) = (text(&self.min)?, text(&self.max)?);
                texts(array, |value| {
                    let above =
                        min.as_ref().is_none_or(|(m, ex)| if *ex { value > m.as_str() } else { value >= m.as_str() });
                    let below =
                        max.as_ref().is_none_or(|(m, ex)| if *ex { value < m.as_str() } else { value <= m.as_str() });
                    above && below
                })
            }
            DataType::Float32 | DataType::Float64 => {
                let number = |bound: &Option<(Bound, bool)>| match bound {
                    None => Ok(None),
                    Some((Bound::Number(number), exclusive)) => Ok(Some((number.to_f64(), *exclusive))),
                    Some(_) => Err("a number column has bounds of another type".to_owned()),
                };
                let (min, max) = (number(&self.min)?, number(&self.max)?);
                floats(array, |value| {
                    !value.is_nan()
                        && min.is_none_or(|(m, ex)| if ex { value > m } else { value >= m })
                        && max.is_none_or(|(m, ex)| if ex { value < m } else { value <= m })
                })
            }
            DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let moment = |bound: &Option<(Bound, bool)>, step: i64, open: i64| match bound {
                    None => Ok(open),
                    Some((Bound::Moment(at), exclusive)) => Ok(at.saturating_add(if *exclusive { step } else { 0 })),
                    Some(_) => Err("a date column has bounds of another type".to_owned()),
                };
                let (min, max) = (moment(&self.min, 1, i64::MIN)?, moment(&self.max, -1, i64::MAX)?);
                Ok(match array.data_type() {
                    DataType::Date32 => by_primitive::<Date32Type>(array, |v| (min..=max).contains(&i64::from(v))),
                    _ => by_primitive::<TimestampMicrosecondType>(array, |v| (min..=max).contains(&v)),
                })
            }
            _ => {
                let (min, max) = self.whole_bounds(scale(array)?)?;
                integers(array, |value| (min..=max).contains(&value))
            }
        }
    }
}

/// A date or timestamp literal in the unit of the column; `None` for columns of other types.
fn moment(text: &str, ty: &TextType) -> Option<i64> {
    match ty.arrow() {
        DataType::Date32 => parse_date(text, None).or_else(|| parse_date(text.get(..10)?, None)).map(i64::from),
        DataType::Timestamp(..) => {
            let zone = ty.zone.or_else(|| parse_zone("UTC"));
            parse_timestamp(text, None, zone)
                .or_else(|| parse_date(text, None).map(|days| i64::from(days) * 86_400_000_000))
        }
        _ => None,
    }
}

impl Test {
    /// A bit for every row: set where the row fails.
    pub fn failing(&self, array: &ArrayRef) -> Result<BooleanBuffer, Untestable> {
        if let Some(dictionary) = array.as_dictionary_opt::<Int32Type>()
            && !matches!(self, Self::NotNull)
        {
            return self.failing_keys(dictionary);
        }
        if let Self::Range(range) = self
            && range.holds_all(array)
        {
            return Ok(BooleanBuffer::new_unset(array.len()));
        }
        let passing = match self {
            Self::NotNull => match array.logical_nulls() {
                Some(nulls) => nulls.inner().clone(),
                None => BooleanBuffer::new_set(array.len()),
            },
            Self::OneOf(values) => values.contains(array)?,
            Self::NoneOf { values, null } => {
                let found = values.contains(array)?;
                // `contains` counts nulls as found; here they are only when null itself is one of the values.
                return Ok(BooleanBuffer::collect_bool(array.len(), |row| {
                    if array.is_null(row) { *null } else { found.value(row) }
                }));
            }
            Self::Range(range) => range.contains(array)?,
            Self::Pattern(pattern) => texts(array, |text| pattern.is_match(text))?,
            Self::Format(format) => texts(array, |text| format.matches(text))?,
            Self::Length { min, max } => lengths(array, |length| (*min..=*max).contains(&length))?,
            Self::MultipleOf(factor) => multiples(array, *factor)?,
            Self::Valid { values, pattern } => {
                let known = values.as_ref().map(|values| values.contains(array)).transpose()?;
                let matching =
                    pattern.as_ref().map(|pattern| texts(array, |text| pattern.is_match(text))).transpose()?;
                match (known, matching) {
                    (Some(known), Some(matching)) => &known & &matching,
                    (Some(one), None) | (None, Some(one)) => one,
                    (None, None) => BooleanBuffer::new_set(array.len()),
                }
            }
        };
        Ok(!&passing)
    }
}

impl Test {
    /// Each distinct value is looked at once.
    fn failing_keys(&self, array: &DictionaryArray<Int32Type>) -> Result<BooleanBuffer, Untestable> {
        let failing = self.failing(array.values())?;
        let null_fails = match self {
            Self::NoneOf { null, .. } => *null,
            _ => false,
        };
        let keys = array.keys();
        if failing.count_set_bits() == 0 && !(null_fails && keys.null_count() > 0) {
            return Ok(BooleanBuffer::new_unset(array.len()));
        }
        let values = keys.values();
        Ok(BooleanBuffer::collect_bool(array.len(), |row| {
            if keys.is_null(row) { null_fails } else { failing.value(values[row] as usize) }
        }))
    }
}

impl Range {
    /// Whether the extremes of a column of whole numbers lie within the bounds, which is quickly known.
    fn holds_all(&self, array: &ArrayRef) -> bool {
        macro_rules! extremes {
            ($ty:ty) => {{
                let values = array.as_primitive::<$ty>();
                match (min(values), max(values)) {
                    (Some(least), Some(most)) => (i128::from(least), i128::from(most)),
                    // Nulls only.
                    _ => return true,
                }
            }};
        }
        let (least, most) = match array.data_type() {
            DataType::Int8 => extremes!(Int8Type),
            DataType::Int16 => extremes!(Int16Type),
            DataType::Int32 => extremes!(Int32Type),
            DataType::Int64 => extremes!(Int64Type),
            DataType::Decimal128(..) => extremes!(Decimal128Type),
            _ => return false,
        };
        let Ok(scale) = scale(array) else { return false };
        match self.whole_bounds(scale) {
            Ok((min, max)) => min <= least && most <= max,
            Err(_) => false,
        }
    }

    /// The bounds as whole multiples of `10^-scale`, both inclusive.
    fn whole_bounds(&self, scale: i32) -> Result<(i128, i128), Untestable> {
        let number = |bound: &Option<(Bound, bool)>| match bound {
            None => Ok(None),
            Some((Bound::Number(number), exclusive)) => Ok(Some((*number, *exclusive))),
            Some(_) => Err("a number column has bounds of another type".to_owned()),
        };
        let min = match number(&self.min)? {
            None => i128::MIN,
            Some((bound, false)) => bound.ceil_at(scale),
            Some((bound, true)) => bound.floor_at(scale).saturating_add(1),
        };
        let max = match number(&self.max)? {
            None => i128::MAX,
            Some((bound, false)) => bound.floor_at(scale),
            Some((bound, true)) => bound.ceil_at(scale).saturating_sub(1),
        };
        Ok((min, max))
    }
}

fn texts(array: &ArrayRef, holds: impl Fn(&str) -> bool) -> Result<BooleanBuffer, Untestable> {
    if let Some(views) = array.as_string_view_opt() {
        return Ok(BooleanBuffer::collect_bool(array.len(), |row| views.is_null(row) || holds(views.value(row))));
    }
    let texts = array.as_string_opt::<i32>().ok_or_else(|| untestable(array))?;
    Ok(BooleanBuffer::collect_bool(array.len(), |row| texts.is_null(row) || holds(texts.value(row))))
}

/// In characters for text, in items for lists, in bytes for binary.
fn lengths(array: &ArrayRef, holds: impl Fn(u64) -> bool) -> Result<BooleanBuffer, Untestable> {
    let length: Box<dyn Fn(usize) -> u64 + '_> = match array.data_type() {
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            Box::new(move |row| texts.value(row).chars().count() as u64)
        }
        DataType::Utf8View => {
            let texts = array.as_string_view();
            Box::new(move |row| texts.value(row).chars().count() as u64)
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            Box::new(move |row| values.value(row).len() as u64)
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            Box::new(move |row| u64::try_from(lists.value_length(row)).unwrap_or(0))
        }
        _ => return Err(untestable(array)),
    };
    Ok(BooleanBuffer::collect_bool(array.len(), |row| array.is_null(row) || holds(length(row))))
}

fn multiples(array: &ArrayRef, factor: Exact) -> Result<BooleanBuffer, Untestable> {
    match array.data_type() {
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            // The shortest decimal of the single, not of its widening: 0.1 is a multiple of 0.1.
            Ok(by_row(values, |v| Exact::parse(&format!("{v:e}")).and_then(|e| e.is_multiple_of(factor)) == Some(true)))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Ok(by_row(values, |v| Exact::of_float(v).and_then(|e| e.is_multiple_of(factor)) == Some(true)))
        }
        _ => {
            let scale = scale(array)?;
            match factor.at_scale(scale) {
                Some(0) => integers(array, |value| value == 0),
                Some(step) => integers(array, |value| value % step == 0),
                // The factor is finer than the column: 0.25 in a column of tenths.
                None => integers(array, |value| Exact::new(value, scale).is_multiple_of(factor) == Some(true)),
            }
        }
    }
}

fn untestable(array: &ArrayRef) -> Untestable {
    format!("this clause does not apply to columns of type {}", array.data_type())
}

/// The scale of a column of integers or decimals.
fn scale(array: &ArrayRef) -> Result<i32, Untestable> {
    match array.data_type() {
        DataType::Decimal128(_, scale) => Ok(i32::from(*scale)),
        ty if ty.is_integer() => Ok(0),
        _ => Err(untestable(array)),
    }
}

fn by_row<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, holds: impl Fn(T::Native) -> bool) -> BooleanBuffer {
    let values = array.values();
    match array.nulls() {
        None => BooleanBuffer::collect_bool(values.len(), |row| holds(values[row])),
        Some(nulls) => BooleanBuffer::collect_bool(values.len(), |row| nulls.is_null(row) || holds(values[row])),
    }
}

fn by_primitive<T: ArrowPrimitiveType>(array: &ArrayRef, holds: impl Fn(T::Native) -> bool) -> BooleanBuffer {
    by_row(array.as_primitive::<T>(), holds)
}

fn integers(array: &ArrayRef, holds: impl Fn(i128) -> bool) -> Result<BooleanBuffer, Untestable> {
    Ok(match array.data_type() {
        DataType::Int8 => by_primitive::<Int8Type>(array, |v| holds(v.into())),
        DataType::Int16 => by_primitive::<Int16Type>(array, |v| holds(v.into())),
        DataType::Int32 => by_primitive::<Int32Type>(array, |v| holds(v.into())),
        DataType::Int64 => by_primitive::<Int64Type>(array, |v| holds(v.into())),
        DataType::UInt8 => by_primitive::<UInt8Type>(array, |v| holds(v.into())),
        DataType::UInt16 => by_primitive::<UInt16Type>(array, |v| holds(v.into())),
        DataType::UInt32 => by_primitive::<UInt32Type>(array, |v| holds(v.into())),
        DataType::UInt64 => by_primitive::<UInt64Type>(array, |v| holds(v.into())),
        DataType::Decimal128(..) => by_primitive::<Decimal128Type>(array, holds),
        _ => return Err(untestable(array)),
    })
}

fn floats(array: &ArrayRef, holds: impl Fn(f64) -> bool) -> Result<BooleanBuffer, Untestable> {
    Ok(match array.data_type() {
        DataType::Float32 => by_primitive::<Float32Type>(array, |v| holds(v.into())),
        DataType::Float64 => by_primitive::<Float64Type>(array, holds),
        _ => return Err(untestable(array)),
    })
}

#[cfg(test)]
mod tests;
