//! From what a transformation yields to what the contract stores, without silent loss: a value that the native type
//! cannot hold as it is becomes a null *and* a failing row of the column's `type` clause.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, new_null_array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, TimeUnit};
use meshwork_core::types::ColumnType;

use crate::native::arrow_type;
use crate::source::text::{TextType, parse_column};

/// A converted column and the rows whose value did not fit.
#[derive(Debug)]
pub struct Converted {
    pub array: ArrayRef,
    pub unfit: Vec<usize>,
}

/// Whether values of a type can become this column at all; decided while planning.
pub fn convertible(from: &DataType, to: &ColumnType) -> bool {
    use ColumnType as T;
    let from_text = is_text(from);
    match (from, to) {
        (DataType::Null, _) => true,
        (DataType::Dictionary(_, value), _) => convertible(value, to),
        (_, T::Text) => from_text || !from.is_nested() && !is_binary(from),
        (_, T::Binary) => is_binary(from) || from_text,
        (_, T::List(item)) => match from {
            DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::ListView(f) => {
                convertible(f.data_type(), item)
            }
            _ => from_text,
        },
        (DataType::Struct(fields), T::Struct(wanted)) => wanted
            .iter()
            .all(|(name, ty)| fields.iter().find(|f| f.name() == name).is_some_and(|f| convertible(f.data_type(), ty))),
        (_, T::Struct(_)) => from_text,
        (_, T::Boolean) => *from == DataType::Boolean || from_text,
        (_, T::Date | T::Timestamp | T::LocalTimestamp) => {
            from_text || matches!(from, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
        }
        (_, T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Decimal { .. }) => {
            from_text || from.is_numeric()
        }
    }
}

fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_binary(ty: &DataType) -> bool {
    matches!(ty, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

/// Converts one column of a batch. `convertible` has said yes.
pub fn convert(array: &ArrayRef, ty: &TextType) -> Result<Converted, arrow::error::ArrowError> {
    let target = arrow_type(&ty.native);
    let array = match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, value)?,
        DataType::LargeUtf8 | DataType::Utf8View => cast(array, &DataType::Utf8)?,
        _ => Arc::clone(array),
    };
    if let DataType::Null = array.data_type() {
        return Ok(Converted { array: new_null_array(&target, array.len()), unfit: Vec::new() });
    }
    if *array.data_type() == DataType::Utf8 && (target != DataType::Utf8 || ty.time_of_day) {
        let (array, unfit) = parse_column(array.as_string::<i32>(), ty);
        return Ok(Converted { array, unfit });
    }
    if *array.data_type() == target {
        return Ok(Converted { array, unfit: Vec::new() });
    }
    let safe = CastOptions { safe: true, ..CastOptions::default() };
    let converted = match (array.data_type(), &target) {
        // Arrow truncates floats and rounds decimals; both would be silent.
        (DataType::Float16 | DataType::Float32 | DataType::Float64, to) if to.is_integer() => {
            let wide = cast(&array, &DataType::Float64)?;
            let whole: Float64Array =
                wide.as_primitive::<Float64Type>().iter().map(|v| v.filter(|v| v.fract() == 0.0)).collect();
            cast_with_options(&(Arc::new(whole) as ArrayRef), &target, &safe)?
        }
        (from, to) if is_decimal(from) && (to.is_integer() || is_decimal(to)) => exact_decimal(&array, &target, &safe)?,
        (DataType::Timestamp(..), DataType::Date32) => {
            let date = cast_with_options(&array, &target, &safe)?;
            only_if_same(&array, date)?
        }
        (DataType::Timestamp(TimeUnit::Nanosecond, _), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            // Change the unit first and the zone after it, so that the comparison is of instants.
            let micros = DataType::Timestamp(TimeUnit::Microsecond, zone_of(array.data_type()));
            let coarse = only_if_same(&array, cast_with_options(&array, &micros, &safe)?)?;
            rezone(&coarse, zone.clone())?
        }
        (DataType::Timestamp(..), DataType::Timestamp(_, zone)) => {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, zone_of(array.data_type()));
            rezone(&cast_with_options(&array, &micros, &safe)?, zone.clone())?
        }
        (DataType::Float64, DataType::Float32) => {
            let narrow = cast_with_options(&array, &target, &safe)?;
            let wide = array.as_primitive::<Float64Type>();
            let narrow = narrow.as_primitive::<arrow::datatypes::Float32Type>();
            let kept: arrow::array::Float32Array = wide
                .iter()
                .zip(narrow.iter())
                .map(|(wide, narrow)| narrow.filter(|n| n.is_finite() || wide.is_some_and(|w| !w.is_finite())))
                .collect();
            Arc::new(kept) as ArrayRef
        }
        _ => cast_with_options(&array, &target, &safe)?,
    };
    let whole = converted.null_count() == array.null_count() && !target.is_nested();
    let unfit =
        if whole { Vec::new() } else { (0..array.len()).filter(|row| lost(&array, &converted, *row)).collect() };
    Ok(Converted { array: converted, unfit })
}

fn is_decimal(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
    )
}

fn zone_of(ty: &DataType) -> Option<Arc<str>> {
    match ty {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    }
}

/// The same instant in another zone notation. The session's zone is UTC: a timestamp without zone is read as that.
fn rezone(array: &ArrayRef, zone: Option<Arc<str>>) -> Result<ArrayRef, arrow::error::ArrowError> {
    let micros = array.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().clone();
    Ok(Arc::new(micros.with_timezone_opt(zone)))
}

/// Keeps values of `converted` that convert back to what they were.
fn only_if_same(original: &ArrayRef, converted: ArrayRef) -> Result<ArrayRef, arrow::error::ArrowError> {
    let back = cast(&converted, original.data_type())?;
    let same = arrow::compute::kernels::cmp::not_distinct(&back, original)?;
    arrow::compute::nullif(&converted, &arrow::compute::not(&same)?)
}

fn exact_decimal(
    array: &ArrayRef,
    target: &DataType,
    safe: &CastOptions<'_>,
) -> Result<ArrayRef, arrow::error::ArrowError> {
    let converted = cast_with_options(array, target, safe)?;
    let scale = match array.data_type() {
        DataType::Decimal32(_, s)
        | DataType::Decimal64(_, s)
        | DataType::Decimal128(_, s)
        | DataType::Decimal256(_, s) => *s,
        _ => 0,
    };
    let kept = match target {
        DataType::Decimal128(_, s) => *s,
        _ => 0,
    };
    if kept >= scale {
        return Ok(converted);
    }
    // Digits were cut: keep the value only if they were zeros.
    let wide = cast(array, &DataType::Decimal128(38, scale))?;
    let step = 10i128.checked_pow(u32::from((scale - kept).unsigned_abs())).unwrap_or(i128::MAX);
    let whole = wide.as_primitive::<Decimal128Type>();
    let cut: arrow::array::BooleanArray = whole.iter().map(|v| Some(v.is_some_and(|v| v % step != 0))).collect();
    arrow::compute::nullif(&converted, &cut)
}

/// Whether a value was there before and is not, or not wholly, after.
fn lost(before: &ArrayRef, after: &ArrayRef, row: usize) -> bool {
    if before.is_null(row) {
        return false;
    }
    if after.is_null(row) {
        return true;
    }
    match (before.data_type(), after.data_type()) {
        (DataType::List(_), DataType::List(_)) => {
            let (before, after) = (before.as_list::<i32>().value(row), after.as_list::<i32>().value(row));
            (0..before.len()).any(|item| lost(&before, &after, item))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let (before, after) = (before.as_struct(), after.as_struct());
            fields.iter().enumerate().any(|(at, field)| match before.column_by_name(field.name()) {
                Some(column) => lost(column, after.column(at), row),
                None => false,
            })
        }
        _ => false,
    }
}

/// Rows as texts, for samples; `None` for nulls.
pub fn texts(array: &ArrayRef, rows: &[usize]) -> Vec<Option<String>> {
    let format = arrow::util::display::FormatOptions::default().with_display_error(true);
    match arrow::util::display::ArrayFormatter::try_new(array, &format) {
        Ok(formatter) => {
            rows.iter().map(|row| (!array.is_null(*row)).then(|| formatter.value(*row).to_string())).collect()
        }
        Err(_) => vec![None; rows.len()],
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Int64Array, StringArray, TimestampNanosecondArray};

    use super::*;

    fn check(array: impl Array + 'static, native: ColumnType, expected: &[Option<&str>], unfit: &[usize]) {
        let array: ArrayRef = Arc::new(array);
        assert!(convertible(array.data_type(), &native));
        let converted = convert(&array, &TextType::plain(native.clone())).expect("converts");
        assert_eq!(converted.array.data_type(), &arrow_type(&native));
        let rows: Vec<usize> = (0..array.len()).collect();
        let shown = texts(&converted.array, &rows);
        assert_eq!(shown.iter().map(Option::as_deref).collect::<Vec<_>>(), expected, "{native}");
        assert_eq!(converted.unfit, unfit, "{native}");
    }

    #[test]
    fn nothing_is_cut_silently() {
        check(Int64Array::from(vec![Some(127), Some(128), None]), ColumnType::Int8, &[Some("127"), None, None], &[1]);
        check(
            Float64Array::from(vec![1.0, 1.5, f64::NAN, 1e30]),
            ColumnType::Int64,
            &[Some("1"), None, None, None],
            &[1, 2, 3],
        );
        let decimals = Decimal128Array::from(vec![12300, 12345, -1]).with_precision_and_scale(10, 4).expect("fits");
        check(decimals.clone(), ColumnType::Decimal { precision: 10, scale: 2 }, &[Some("1.23"), None, None], &[1, 2]);
        check(decimals, ColumnType::Int32, &[None, None, None], &[0, 1, 2]);
        check(
            Float64Array::from(vec![0.1 + 0.2, 1e12]),
            ColumnType::Decimal { precision: 5, scale: 2 },
            &[Some("0.30"), None],
            &[1],
        );
        check(Float64Array::from(vec![1e300, f64::INFINITY]), ColumnType::Float32, &[None, Some("inf")], &[0]);
    }

    #[test]
    fn moments() {
        let nanos = TimestampNanosecondArray::from(vec![1_000, 1_001, 86_400_000_000_000]);
        check(
            nanos.clone(),
            ColumnType::Timestamp,
            &[Some("1970-01-01T00:00:00.000001Z"), None, Some("1970-01-02T00:00:00Z")],
            &[1],
        );
        check(nanos, ColumnType::Date, &[None, None, Some("1970-01-02")], &[0, 1]);
    }

    #[test]
    fn texts_are_parsed_by_the_columns_rules() {
        let array = StringArray::from(vec![Some("12"), Some("x"), None]);
        check(array, ColumnType::Int64, &[Some("12"), None, None], &[1]);
        assert!(!convertible(&DataType::Boolean, &ColumnType::Int64));
        assert!(!convertible(&DataType::Int64, &ColumnType::Boolean));
        assert!(!convertible(&DataType::Int64, &ColumnType::Date));
        assert!(!convertible(&DataType::Binary, &ColumnType::Text));
    }
}
