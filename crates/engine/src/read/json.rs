//! `json_build_object(key, value, …)`, as drivers ask for it.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use serde_json::{Map, Value};

pub fn build_object() -> Arc<ScalarUDF> {
    let any = Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(BuildObject { signature: any }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct BuildObject {
    signature: Signature,
}

impl ScalarUDFImpl for BuildObject {
    fn name(&self) -> &'static str {
        "json_build_object"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        if arguments.len() % 2 == 1 {
            return exec_err!("json_build_object needs a value for each key");
        }
        Ok(DataType::Utf8)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = args.args.iter().map(|value| value.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let object = |row: usize| -> Result<String> {
            let mut members = Map::new();
            for pair in columns.chunks(2) {
                let key = array_value_to_string(&pair[0], row)?;
                members.insert(key, json(&pair[1], row)?);
            }
            Ok(Value::Object(members).to_string())
        };
        let objects: StringArray = (0..args.number_rows).map(|row| object(row).map(Some)).collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(objects)))
    }
}

fn json(array: &ArrayRef, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let one = array.slice(row, 1);
    Ok(match array.data_type() {
        DataType::Boolean => Value::from(one.as_boolean().value(0)),
        ty if ty.is_integer() => Value::from(cast(&one, &DataType::Int64)?.as_primitive::<Int64Type>().value(0)),
        ty if ty.is_floating() => Value::from(cast(&one, &DataType::Float64)?.as_primitive::<Float64Type>().value(0)),
        _ => Value::from(array_value_to_string(&one, 0)?),
    })
}
