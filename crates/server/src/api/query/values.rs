//! Values for `$1`, `$2`, …: from JSON or from text, cast to the type that the planner inferred.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use meshwork_core::{Error, Result};
use serde_json::Value;

/// One one-row array a parameter.
pub fn bind_json(types: &[Option<DataType>], values: &[Value]) -> Result<Vec<ArrayRef>> {
    if types.len() != values.len() {
        let error = Error::usage(
            "MW0936",
            format!("the statement has {} parameters, but {} values were given", types.len(), values.len()),
        );
        return Err(error.hint("give one value for each of $1, $2, … in `params`"));
    }
    types.iter().zip(values).enumerate().map(|(at, (ty, value))| json(at, ty.as_ref(), value)).collect()
}

/// The same from text, as filters have it.
pub fn bind_text(types: &[Option<DataType>], values: &[String]) -> Result<Vec<ArrayRef>> {
    let typed = values.iter().enumerate();
    typed.map(|(at, value)| text(at, types.get(at).and_then(Option::as_ref), value)).collect()
}

fn json(at: usize, ty: Option<&DataType>, value: &Value) -> Result<ArrayRef> {
    match (value, ty) {
        (Value::Null, ty) => Ok(new_null_array(ty.unwrap_or(&DataType::Utf8), 1)),
        (Value::String(value), ty) => text(at, ty, value),
        (Value::Bool(value), None) => Ok(Arc::new(BooleanArray::from(vec![*value]))),
        (Value::Number(number), None) => Ok(match number.as_i64() {
            Some(integer) => Arc::new(Int64Array::from(vec![integer])),
            None => Arc::new(Float64Array::from(vec![number.as_f64().unwrap_or(f64::NAN)])),
        }),
        // By way of its text, so that a decimal keeps its digits.
        (Value::Bool(_) | Value::Number(_), ty) => text(at, ty, &value.to_string()),
        (Value::Array(_) | Value::Object(_), _) => {
            Err(Error::usage("MW0936", format!("the value of ${} is neither text, number, boolean nor null", at + 1)))
        }
    }
}

fn text(at: usize, ty: Option<&DataType>, value: &str) -> Result<ArrayRef> {
    let given: ArrayRef = Arc::new(StringArray::from(vec![value]));
    let Some(ty) = ty else { return Ok(given) };
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let fails = |_| {
        let name = crate::http::format::type_name(ty);
        Error::usage(
            "MW0936",
            format!("`{}`, the value of ${}, cannot be read as {name}", value.escape_debug(), at + 1),
        )
    };
    match ty {
        // A zone by name needs a zone database; UTC is the only one there is, and its offset is none.
        DataType::Timestamp(unit, Some(_)) => {
            let offset = DataType::Timestamp(*unit, Some("+00:00".into()));
            let cast = cast_with_options(&given, &offset, &strict).map_err(fails)?;
            cast_with_options(&cast, ty, &strict).map_err(fails)
        }
        ty => cast_with_options(&given, ty, &strict).map_err(fails),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType};
    use serde_json::json;

    use super::*;

    #[test]
    fn json_becomes_the_type_that_the_statement_needs() {
        let types = [
            Some(DataType::Int64),
            Some(DataType::Decimal128(10, 2)),
            Some(DataType::Date32),
            Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            Some(DataType::Utf8),
            None,
        ];
        let values =
            [json!(7), json!(0.10), json!("1970-01-02"), json!("1970-01-01T00:00:01Z"), json!(null), json!("x")];
        let bound = bind_json(&types, &values).unwrap();
        assert_eq!(bound[0].as_primitive::<Int64Type>().value(0), 7);
        assert_eq!(bound[1].as_primitive::<Decimal128Type>().value(0), 10);
        assert_eq!(bound[2].as_primitive::<Date32Type>().value(0), 1);
        assert_eq!(bound[3].as_primitive::<TimestampMicrosecondType>().value(0), 1_000_000);
        assert_eq!(bound[4].null_count(), 1);
        assert_eq!(bound[5].as_string::<i32>().value(0), "x");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = bind_json(&[Some(DataType::Int64)], &[json!("abc")]).unwrap_err();
        assert_eq!(error.message, "`abc`, the value of $1, cannot be read as int64");
        assert!(bind_json(&[Some(DataType::Int64)], &[]).is_err());
        assert!(bind_json(&[None], &[json!([1])]).is_err());
        assert!(bind_text(&[Some(DataType::Date32)], &["tomorrow".to_owned()]).is_err());
    }
}
